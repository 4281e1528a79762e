/* keymap.c - key map files (see keymap.h). */
#include "input/keymap.h"

#include <stdlib.h>
#include <string.h>

#include "embed.h"

extern const struct embedded keymap_texts[]; /* made from keymaps/ by embed.cmake */

void keymap_free(struct keymap *m)
{
    for (size_t i = 0; i < m->n; i++)
        free(m->binding[i].command);
    free(m->binding);
    *m = (struct keymap){0};
}

const char *keymap_builtin(const char *name, size_t *len)
{
    for (const struct embedded *t = keymap_texts; t->name; t++)
        if (strcmp(t->name, name) == 0) {
            *len = t->len;
            return t->text;
        }
    return NULL;
}

static int binding_add(struct keymap *m, const struct binding *b, const char *command)
{
    if (m->n == m->capacity) {
        size_t capacity = m->capacity ? 2 * m->capacity : 64;
        struct binding *grown = realloc(m->binding, capacity * sizeof *grown);
        if (!grown)
            return -1;
        m->binding = grown;
        m->capacity = capacity;
    }
    struct binding *to = &m->binding[m->n];
    *to = *b;
    to->command = command ? strdup(command) : NULL;
    if (command && !to->command)
        return -1;
    m->n++;
    return 0;
}

/* "[grid attention]" -> bits; 0 and *bad on an unknown word. */
static unsigned section_read(const char *line, const char **bad, size_t *bad_len)
{
    unsigned where = 0;
    const char *s = line + 1;
    for (;;) {
        s += strspn(s, " \t");
        size_t n = strcspn(s, " \t]");
        if (!n)
            break;
        unsigned bit = action_context(s, n);
        if (!bit) {
            *bad = s;
            *bad_len = n;
            return 0;
        }
        where |= bit;
        s += n;
    }
    *bad = s;
    *bad_len = *s == ']' ? 0 : 1;
    return *s == ']' ? where : 0;
}

/* The part of a warning behind "name:line: "; NULL when the line is fine, *out of memory* sets
 * *failed. */
static const char *line_read(struct keymap *m, char *line, unsigned *where, bool *failed)
{
    static _Thread_local char why[160];
    size_t n = strcspn(line, " \t");
    if (line[0] == '[' && strchr(line, ']') && strchr(line, ']')[1] == 0 && line[1]) {
        const char *bad;
        size_t bad_len;
        unsigned bits = section_read(line, &bad, &bad_len);
        if (!bits) {
            struct bytes b = {0};
            bytes_add_string(&b, "no context \"");
            text_add(&b, bad, bad_len < 40 ? bad_len : 40, TEXT_PLAIN);
            bytes_add_string(&b,
                             "\" · there are: all, line, help, lesson and the names of the views");
            text_copy(why, sizeof why, b.failed ? "" : b.data, b.failed ? 0 : b.len, TEXT_PLAIN);
            bytes_free(&b);
            return why;
        }
        *where = bits;
        return NULL;
    }
    char *rest = line + n + strspn(line + n, " \t");
    if (n == 3 && memcmp(line, "set", 3) == 0 && strncmp(rest, "counts", 6) == 0) {
        rest += 6;
        rest += strspn(rest, " \t");
        if (strcmp(rest, "on") != 0 && strcmp(rest, "off") != 0)
            return "set counts: on or off";
        m->counts = rest[1] == 'n';
        return NULL;
    }
    struct binding b = {.where = *where};
    char end = line[n];
    line[n] = 0;
    const char *s = line;
    while (*s) {
        if (b.n == KEYMAP_SEQ_MAX)
            return "more than 4 keys in a row";
        if (!keys_read_name(&s, &b.key[b.n]))
            return "not a key · write x, <C-x>, <Up>, <Space>, <lt> for <";
        b.n++;
    }
    if (!end || !*rest)
        return "no command behind the keys";
    if (strlen(rest) >= KEYMAP_COMMAND_MAX)
        return "command longer than 255 bytes";
    if (m->n >= KEYMAP_BINDINGS_MAX)
        return "more than 4096 bindings";
    bool unbind = strcmp(rest, "none") == 0;
    enum action_id id = unbind ? ACTION_COUNT : action_find(rest, NULL);
    if (!unbind && id == ACTION_COUNT)
        return "no such command · borescope --print-keymap shows them in use";
    if (!unbind && !(action_table[id].where & *where))
        return "this command means nothing in this context";
    if (binding_add(m, &b, unbind ? NULL : rest) < 0)
        *failed = true;
    return NULL;
}

int keymap_parse(struct keymap *m, const char *name, const char *text, size_t len,
                 struct bytes *warnings)
{
    unsigned where = CTX_VIEWS;
    int bad = 0, number = 0;
    bool failed = false;
    for (size_t at = 0; at < len && !failed; number++) {
        const char *newline = memchr(text + at, '\n', len - at);
        size_t n = newline ? (size_t)(newline - (text + at)) : len - at;
        char line[512];
        const char *why = NULL;
        size_t begin = at, stop = at + n;
        at += n + 1;
        while (begin < stop && strchr(" \t\r", text[begin]) && text[begin])
            begin++;
        while (stop > begin &&
               (text[stop - 1] == ' ' || text[stop - 1] == '\t' || text[stop - 1] == '\r'))
            stop--;
        if (begin == stop ||
            (text[begin] == '#' && (begin + 1 == stop || strchr(" \t#", text[begin + 1]))))
            continue; /* "#" alone is a comment; "#x" would be a key */
        if (stop - begin >= sizeof line)
            why = "line longer than 511 bytes";
        else if (memchr(text + begin, 0, stop - begin))
            why = "NUL byte";
        if (!why) {
            memcpy(line, text + begin, stop - begin);
            line[stop - begin] = 0;
            why = line_read(m, line, &where, &failed);
        }
        if (why) {
            bad++;
            bytes_addf(warnings, "%s:%d: %s\n", name, number + 1, why);
        }
    }
    return failed ? -1 : bad;
}

static bool same_keys(const struct binding *a, const struct binding *b)
{
    return a->n == b->n && memcmp(a->key, b->key, (size_t)a->n * sizeof a->key[0]) == 0;
}

bool keymap_is_active(const struct keymap *m, size_t i, unsigned where)
{
    const struct binding *b = &m->binding[i];
    if (!b->command || !(b->where & where) ||
        !(action_table[action_find(b->command, NULL)].where & where))
        return false;
    for (size_t j = i + 1; j < m->n; j++)
        if ((m->binding[j].where & where) && same_keys(b, &m->binding[j]))
            return false;
    return true;
}

enum keymap_match keymap_find(const struct keymap *m, unsigned where, const uint32_t *key, int n,
                              const struct binding **found)
{
    bool longer = false;
    *found = NULL;
    for (size_t i = 0; i < m->n; i++) {
        const struct binding *b = &m->binding[i];
        if (b->n < n || !(b->where & where) || memcmp(b->key, key, (size_t)n * sizeof *key) != 0 ||
            !keymap_is_active(m, i, where))
            continue;
        if (b->n == n)
            *found = b;
        else
            longer = true;
    }
    return longer ? KEYMAP_PREFIX : *found ? KEYMAP_RUN : KEYMAP_NONE;
}

void keymap_sequence(const uint32_t *key, int n, char *buf, size_t size)
{
    buf[0] = 0;
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        char name[KEYS_NAME_MAX];
        keys_name(key[i], name);
        if (key[i] == '<')
            memcpy(name, "<lt>", 5);
        else if (key[i] == ' ')
            memcpy(name, "<Space>", 8);
        size_t len = strlen(name);
        if (at + len + 1 > size)
            return;
        memcpy(buf + at, name, len + 1);
        at += len;
    }
}

void keymap_keys_of(const struct keymap *m, unsigned where, const char *command, char *buf,
                    size_t size)
{
    buf[0] = 0;
    for (size_t i = 0; i < m->n; i++)
        if (m->binding[i].command && strcmp(m->binding[i].command, command) == 0 &&
            keymap_is_active(m, i, where)) {
            keymap_sequence(m->binding[i].key, m->binding[i].n, buf, size);
            return;
        }
}

static void print_section(unsigned where, struct bytes *out)
{
    bytes_add_string(out, "\n[");
    const char *gap = "";
    if ((where & CTX_VIEWS) == CTX_VIEWS) {
        bytes_add_string(out, "all");
        gap = " ";
        where &= ~(unsigned)CTX_VIEWS;
    }
    for (int v = 0; v < VIEW_COUNT; v++)
        if (where & 1u << v) {
            bytes_addf(out, "%s%s", gap, view_names[v]);
            gap = " ";
        }
    if (where & CTX_LINE) {
        bytes_addf(out, "%sline", gap);
        gap = " ";
    }
    if (where & CTX_HELP) {
        bytes_addf(out, "%shelp", gap);
        gap = " ";
    }
    if (where & CTX_LESSON)
        bytes_addf(out, "%slesson", gap);
    bytes_add_string(out, "]\n");
}

void keymap_print(const struct keymap *m, struct bytes *out)
{
    bytes_add_string(out, "# KEYS       COMMAND\n");
    if (m->counts)
        bytes_add_string(out, "set counts on\n");
    unsigned where = 0;
    for (size_t i = 0; i < m->n; i++) {
        const struct binding *b = &m->binding[i];
        if (b->where != where)
            print_section(b->where, out);
        where = b->where;
        char keys[KEYMAP_SEQ_MAX * KEYS_NAME_MAX];
        keymap_sequence(b->key, b->n, keys, sizeof keys);
        bytes_addf(out, "%-12s %s\n", keys, b->command ? b->command : "none");
    }
}
