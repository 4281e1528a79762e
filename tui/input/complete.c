/* complete.c - completion (see complete.h). */
#include "input/complete.h"

#include "names/alias.h"

#include <stdlib.h>
#include <string.h>

#include "list/hook_rank.h"
#include "lesson/lesson.h"
#include "share/share.h"
#include "names/named_weight.h"

void complete_reset(struct app *a)
{
    struct completion *c = &a->complete;
    for (int i = 0; i < c->n; i++)
        free(c->item[i]);
    free(c->stem);
    *c = (struct completion){.at = -1};
}

static void add(struct completion *c, const char *text, size_t len)
{
    for (int i = 0; i < c->n; i++)
        if (strlen(c->item[i]) == len && memcmp(c->item[i], text, len) == 0)
            return;
    char *copy = c->n < COMPLETE_MAX ? strndup(text, len) : NULL;
    if (copy)
        c->item[c->n++] = copy;
}

static bool starts(const char *s, const char *with, size_t n)
{
    return strncmp(s, with, n) == 0;
}

/* Weights, once the word has got as far as one's own name: "blocks.0.mlp.W", "embed.". */
static void find_weights(const struct app *a, struct completion *c, const char *word, size_t n)
{
    struct named_weight *list = NULL;
    int count = n > 1 ? named_weight_list(a->m, LIBRARY_LENS, &list, NULL) : 0;
    for (int i = 0; i < count && c->n < COMPLETE_MAX; i++)
        if (starts(list[i].name, word, n))
            add(c, list[i].name, strlen(list[i].name));
    free(list);
}

static void find_words(struct completion *c, const char *usage, const char *word, size_t n)
{
    for (const char *s = usage; *s;) {
        s += strspn(s, "[]| ");
        size_t len = strcspn(s, "[]| ");
        if (len && starts(s, word, n) && len >= n && !(s[0] >= 'A' && s[0] <= 'Z'))
            add(c, s, len);
        s += len;
    }
}

/* Names in another library that hold the part. */
static void find_elsewhere(const struct app *a, struct completion *c, enum alias_library t,
                           const char *part)
{
    struct alias_pick *names = NULL;
    int n = alias_list(&a->m->cfg, t, &names, NULL);
    for (int i = 0; i < n && c->n < COMPLETE_MAX; i++)
        if (strstr(names[i].name, part))
            add(c, names[i].name, strlen(names[i].name));
    free(names);
}

/* The best fits first: the whole name or the beginning of it, words, parts; then names of other
 * libraries. */
static void find_hooks(const struct app *a, struct completion *c, const char *word, size_t n)
{
    char part[LIMIT_NAME], name[LIMIT_NAME];
    if (n >= sizeof part)
        return;
    memcpy(part, word, n);
    part[n] = 0;
    int before = c->n;
    for (int32_t i = 0; i < a->n_sites && c->n < COMPLETE_MAX; i++)
        if (starts(site_name(a->sites[i], name), part, n))
            add(c, name, strlen(name));
    for (int r = HOOK_EXACT; n > 1 && r <= HOOK_PART; r++)
        for (int32_t i = 0; i < a->n_sites && c->n < COMPLETE_MAX; i++)
            if (hook_rank(site_name(a->sites[i], name), part) == (enum hook_rank)r)
                add(c, name, strlen(name));
    for (int t = LIBRARY_LENS; c->n == before && n > 1 && t < LIBRARY_COUNT; t++) /* experts too */
        find_elsewhere(a, c, (enum alias_library)t, part);
}

/* Tokens in quotes, so that their spaces are seen; what was typed without one finds both. */
static void find_tokens(const struct app *a, struct completion *c, const char *word, size_t n)
{
    int count = tokenizer_count(a->m->tok);
    bool quoted = n && word[0] == '"';
    word += quoted, n -= quoted;
    for (int spaced = 1; spaced >= 0; spaced--)
        for (int32_t id = 0; id < count && c->n < COMPLETE_MAX; id++) {
            size_t len;
            const char *text = tokenizer_text(a->m->tok, id, &len);
            char buf[128];
            if (len + 3 > sizeof buf || !len || memchr(text, '"', len) || memchr(text, '\n', len))
                continue;
            bool skip = spaced && text[0] == ' ' && !(n && word[0] == ' ');
            if ((spaced != 0) != (text[0] == ' ') || len < n + skip ||
                memcmp(text + skip, word, n) != 0)
                continue;
            buf[0] = '"';
            memcpy(buf + 1, text, len);
            buf[len + 1] = '"';
            add(c, buf, len + 2);
        }
}

static void find_quantities(const struct app *a, struct completion *c, const char *word, size_t n)
{
    if (a->cur.view == VIEW_ATTENTION)
        find_words(c, "pattern|scores", word, n);
    if (a->cur.view == VIEW_TENSOR)
        find_words(c, "positions|heads", word, n);
    for (int q = 0; a->cur.view == VIEW_GRID && q < QUANTITY_COUNT; q++)
        if (quantity_is_there(a, q) && starts(quantity_names[q], word, n))
            add(c, quantity_names[q], strlen(quantity_names[q]));
}

static void find_people(const struct app *a, struct completion *c, const char *word, size_t n)
{
    struct person p[WIRE_PEOPLE_MAX];
    int people = a->share ? share_people(a->share, p) : 0;
    for (int i = 1; i < people; i++) /* not the teacher */
        if (starts(p[i].name, word, n))
            add(c, p[i].name, strlen(p[i].name));
}

static void find_lessons(struct completion *c, const char *usage, const char *word, size_t n)
{
    for (int i = 0; lesson_name(i); i++)
        if (starts(lesson_name(i), word, n))
            add(c, lesson_name(i), strlen(lesson_name(i)));
    find_words(c, usage, word, n);
}

static void find_commands(struct completion *c, const char *word, size_t n)
{
    for (int i = 0; i < ACTION_COUNT; i++)
        if ((action_table[i].where & CTX_VIEWS) && starts(action_table[i].name, word, n))
            add(c, action_table[i].name, strlen(action_table[i].name));
}

void complete_find(struct app *a)
{
    struct completion *c = &a->complete;
    complete_reset(a);
    const char *text = line_text(&a->line);
    size_t caret = a->line.caret, begin = caret;
    int quotes = 0;
    for (size_t i = 0; i < caret; i++)
        quotes += text[i] == '"';
    while (begin && (quotes % 2 ? text[begin] != '"' || begin == caret : text[begin - 1] != ' '))
        begin--;
    if (quotes % 2 && text[begin] != '"')
        return;
    c->begin = begin;
    c->stem = strdup(text);
    const char *word = text + begin;
    size_t n = caret - begin;
    const char *args = NULL;
    if (a->mode == LINE_PAIR) {
        if (n)
            find_tokens(a, c, word, n);
        return;
    }
    if (a->mode != LINE_COMMAND)
        return;
    if (begin == 0) {
        find_commands(c, word, n);
        return;
    }
    enum action_id id = action_find(text, &args);
    if (id == ACTION_COUNT)
        return;
    const struct action *act = &action_table[id];
    bool first = args == word;
    switch (act->complete) {
    case COMPLETE_NONE: break;
    case COMPLETE_WORDS: find_words(c, act->usage, word, n); break;
    case COMPLETE_QUANTITY: find_quantities(a, c, word, n); break;
    case COMPLETE_HOOK:
        if (first)
            find_hooks(a, c, word, n);
        break;
    case COMPLETE_EDIT:
        if (first) {
            find_hooks(a, c, word, n);
            find_weights(a, c, word, n);
        }
        break;
    case COMPLETE_TOKEN:
        if (n)
            find_tokens(a, c, word, n);
        break;
    case COMPLETE_PERSON: find_people(a, c, word, n); break;
    case COMPLETE_LESSON: find_lessons(c, act->usage, word, n); break;
    case COMPLETE_KIND:
        for (int i = 0; i < sweep_kind_count; i++)
            if (starts(sweep_kinds[i].name, word, n))
                add(c, sweep_kinds[i].name, strlen(sweep_kinds[i].name));
        break;
    case COMPLETE_COMMAND: find_commands(c, word, n); break;
    }
}

static void take(struct app *a, int at)
{
    struct completion *c = &a->complete;
    c->at = at;
    if (at < c->top)
        c->top = at;
    else if (at >= c->top + COMPLETE_ROWS)
        c->top = at - COMPLETE_ROWS + 1;
    line_set(&a->line, c->stem, c->begin);
    line_insert(&a->line, c->item[at], strlen(c->item[at]));
}

void complete_scroll(struct app *a, int lines)
{
    struct completion *c = &a->complete;
    int last = c->n > COMPLETE_ROWS ? c->n - COMPLETE_ROWS : 0, top = c->top + lines;
    c->top = top < 0 ? 0 : top > last ? last : top;
}

void complete_click(struct app *a, int x, int y)
{
    struct completion *c = &a->complete;
    if (c->stem && rect_has(c->rows, x, y) && c->top + y - c->rows.y < c->n)
        take(a, c->top + y - c->rows.y);
}

void complete_step(struct app *a, int step)
{
    struct completion *c = &a->complete;
    if (!c->stem)
        complete_find(a);
    if (!c->n || !c->stem)
        return;
    take(a, c->at < 0 ? (step > 0 ? 0 : c->n - 1) : (c->at + step + c->n) % c->n);
}

void complete_help(const struct app *a, struct bytes *out)
{
    const struct completion *c = &a->complete;
    const char *text = line_text(&a->line);
    if (a->mode != LINE_COMMAND)
        return;
    if (c->at >= 0 && c->begin == 0)
        text = c->item[c->at];
    enum action_id id = action_find(text, NULL);
    if (id != ACTION_COUNT)
        bytes_addf(out, "%s %s · %s", action_table[id].name, action_table[id].usage,
                   action_table[id].help);
}
