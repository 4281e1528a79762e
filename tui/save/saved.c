/* saved.c - see saved.h. */
#include "save/saved.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    bool text, of_state;
} keys[SAVED_COUNT] = {
#define SAVED(id, key, text, of_state) {key, text, of_state},
#include "save/saved.def"
};

void saved_free(struct saved *s)
{
    for (int i = 0; i < s->n; i++) {
        free(s->line[i].state);
        free(s->line[i].value);
    }
    free(s->line);
    *s = (struct saved){0};
}

void saved_add(struct saved *s, const char *state, enum saved_key key, const char *value)
{
    if (s->n == s->capacity) {
        int capacity = s->capacity ? 2 * s->capacity : 64;
        struct saved_line *grown = realloc(s->line, (size_t)capacity * sizeof *grown);
        if (!grown) {
            s->failed = true;
            return;
        }
        s->line = grown;
        s->capacity = capacity;
    }
    struct saved_line l = {state ? strdup(state) : NULL, key, strdup(value)};
    if (!l.value || (state && !l.state)) {
        free(l.state), free(l.value);
        s->failed = true;
        return;
    }
    s->line[s->n++] = l;
}

static bool is_of(const struct saved_line *l, const char *state)
{
    return state && l->state ? strcmp(state, l->state) == 0 : state == l->state;
}

const char *saved_get(const struct saved *s, const char *state, enum saved_key key)
{
    for (int i = 0; i < s->n; i++)
        if (s->line[i].key == key && is_of(&s->line[i], state))
            return s->line[i].value;
    return NULL;
}

bool saved_drop(struct saved *s, const char *state)
{
    int kept = 0, n = s->n;
    for (int i = 0; i < n; i++) {
        if (!is_of(&s->line[i], state)) {
            s->line[kept++] = s->line[i];
            continue;
        }
        free(s->line[i].state);
        free(s->line[i].value);
    }
    s->n = kept;
    return kept < n;
}

bool saved_has(const struct saved *s, const char *state)
{
    for (int i = 0; i < s->n; i++)
        if (is_of(&s->line[i], state))
            return true;
    return false;
}

bool saved_is_name(const char *name)
{
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");
    return n && n <= SAVED_NAME_MAX && !name[n] && name[0] != '.' && name[n - 1] != '.';
}

/* ---- texts ---- */

void saved_quote(struct bytes *out, const char *text)
{
    bytes_add_char(out, '"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '\n' || c == '\r' || c == '\t')
            bytes_add_string(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
        else if (c == '"' || c == '\\')
            bytes_addf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            bytes_addf(out, "\\x%02x", c);
        else
            bytes_add_char(out, (char)c);
    }
    bytes_add_char(out, '"');
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The byte of the escape behind a backslash at *at, which is stepped past; 0: it is none. */
static char escape(const char **at)
{
    static const char from[] = "nrt\"\\", to[] = "\n\r\t\"\\";
    const char *s = *at, *found = *s ? strchr(from, *s) : NULL;
    if (found) {
        *at = s + 1;
        return to[found - from];
    }
    if (*s != 'x' || hex(s[1]) < 0 || hex(s[2]) < 0)
        return 0;
    *at = s + 3;
    return (char)(hex(s[1]) * 16 + hex(s[2]));
}

char *saved_unquote(const char **at)
{
    char *out = malloc(strlen(*at) + 1);
    size_t n = 0;
    const char *s = *at + 1;
    while (out && *s && *s != '"') {
        char c = *s++;
        if (c == '\\' && !(c = escape(&s)))
            break;
        out[n++] = c;
    }
    if (!out || *s != '"') {
        free(out);
        return NULL;
    }
    out[n] = 0;
    *at = s + 1;
    return out;
}

/* ---- reading ---- */

static void warn(struct bytes *out, const char *name, int number, const char *why)
{
    bytes_addf(out, "%s:%d: %s\n", name, number, why);
}

/* "[state NAME]" -> the name, in place; NULL: it is none. */
static char *state_name(char *line)
{
    size_t n = strlen(line);
    if (strncmp(line, "[state ", 7) != 0 || line[n - 1] != ']')
        return NULL;
    line[n - 1] = 0;
    return saved_is_name(line + 7) ? line + 7 : NULL;
}

/* What is wrong with a line, NULL: nothing. */
static const char *line_read(struct saved *s, const char *state, char *line)
{
    size_t n = strcspn(line, " ");
    const char *value = line + n + (line[n] == ' ');
    int key = 0;
    while (key < SAVED_COUNT &&
           (strlen(keys[key].name) != n || memcmp(keys[key].name, line, n) != 0))
        key++;
    if (key == SAVED_COUNT)
        return "no such key · it is left out";
    if (state && !keys[key].of_state)
        return "no key of a state · it is left out";
    if (!keys[key].text) {
        saved_add(s, state, (enum saved_key)key, value);
        return NULL;
    }
    char *text = *value == '"' ? saved_unquote(&value) : NULL;
    if (!text || *value) {
        free(text);
        return "not a text in quotes · \\n \\r \\t \\\\ \\\" \\xNN stand for what cannot";
    }
    saved_add(s, state, (enum saved_key)key, text);
    free(text);
    return NULL;
}

static const char *section_read(struct saved *s, char *line, char **state)
{
    const char *name = state_name(line);
    if (!name)
        return "not [state NAME] · letters, digits, _ . -";
    free(*state);
    *state = strdup(name);
    s->failed |= !*state;
    return NULL;
}

int saved_parse(struct saved *s, const char *name, const char *text, size_t len,
                struct bytes *warnings)
{
    char *state = NULL;
    int bad = 0, number = 0;
    bool ended = false;
    for (size_t at = 0; at < len && !s->failed && !ended; number++) {
        const char *newline = memchr(text + at, '\n', len - at);
        size_t n = newline ? (size_t)(newline - (text + at)) : len - at;
        char *line = malloc(n + 1);
        const char *why = NULL;
        at += n + 1;
        if (!line) {
            s->failed = true;
            break;
        }
        memcpy(line, text + at - n - 1, n);
        line[n] = 0;
        while (n && line[n - 1] == '\r')
            line[--n] = 0;
        if (memchr(line, 0, n))
            why = "a zero byte";
        else if (s->n >= SAVED_LINES_MAX)
            why = "more lines than a session has · the rest is left out", ended = true;
        else if (strcmp(line, "end") == 0)
            ended = true;
        else if (*line == '[')
            why = section_read(s, line, &state);
        else if (*line && *line != '#')
            why = line_read(s, state, line);
        free(line);
        if (why) {
            bad++;
            warn(warnings, name, number + 1, why);
        }
    }
    free(state);
    if (!ended && !s->failed) {
        bad++;
        warn(warnings, name, number, "no `end` · the file was cut, lines may be missing");
    }
    return s->failed ? -1 : bad;
}

/* ---- printing ---- */

static void print_lines(const struct saved *s, const char *state, struct bytes *out)
{
    for (int key = 0; key < SAVED_COUNT; key++)
        for (int i = 0; i < s->n; i++) {
            const struct saved_line *l = &s->line[i];
            if ((int)l->key != key || !is_of(l, state))
                continue;
            bytes_addf(out, "%s ", keys[key].name);
            if (keys[key].text)
                saved_quote(out, l->value);
            else
                bytes_add_string(out, l->value);
            bytes_add_char(out, '\n');
        }
}

void saved_print(const struct saved *s, struct bytes *out)
{
    bytes_add_string(out, "# borescope session\n");
    print_lines(s, NULL, out);
    for (int i = 0; i < s->n; i++) {
        const char *state = s->line[i].state;
        bool first = state != NULL;
        for (int k = 0; k < i && first; k++)
            first = !is_of(&s->line[k], state);
        if (!first)
            continue;
        bytes_addf(out, "\n[state %s]\n", state);
        print_lines(s, state, out);
    }
    bytes_add_string(out, "end\n");
}
