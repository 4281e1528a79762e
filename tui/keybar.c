/* keybar.c - see keybar.h. */
#include "keybar.h"

#include <stdio.h>
#include <string.h>

/* In the order in which a newcomer needs them; those without a key or meaning here are left out. */
static const struct {
    const char *command, *word;
} bar[] = {{"help", "help"},         {"quit", "quit"},      {"quantity next", "quantity"},
           {"enter", "go in"},       {"zero", "zero"},      {"zero-all", "all positions"},
           {"undo", "undo"},         {"toggle", "on/off"},  {"delete", "delete"},
           {"observe", "switch on"}, {"sort", "sort"},      {"face", "base/edited"},
           {"mask", "mask"},         {"head next", "head"}, {"layer next", "layer"},
           {"prompt", "prompt"},     {"pair", "pair"},      {"edit", "edit"},
           {"scale", "scale"},       {"sweep", "sweep"},    {"search", "search"}};
enum { BAR_N = sizeof bar / sizeof bar[0] };

/* The key of a command as the bar writes it: <Tab> is Tab; false: none runs it. */
static bool find_key(const struct app *a, const char *command, char key[KEYBAR_KEY])
{
    keymap_keys_of(a->opt.keymap, 1u << a->cur.view, command, key, KEYBAR_KEY);
    size_t n = strlen(key);
    if (key[0] == '<' && n > 2) {
        key[n - 1] = 0;
        memmove(key, key + 1, n - 1);
    }
    return n > 0;
}

const char *keybar_key(const struct app *a, const char *command, char key[KEYBAR_KEY])
{
    if (!find_key(a, command, key))
        snprintf(key, KEYBAR_KEY, ":%s", command);
    return key;
}

/* The keys of an entry as the bar writes them; false: it has none, or nothing to do here. */
static bool keys_of(const struct app *a, int i, char keys[KEYBAR_KEY])
{
    bool heads = a->cur.view != VIEW_GRID || a->quantity == QUANTITY_EXPERTS;
    if ((strcmp(bar[i].command, "delete") == 0 && a->cur.view != VIEW_EDITS) ||
        (strcmp(bar[i].command, "head next") == 0 && !heads))
        return false;
    return find_key(a, bar[i].command, keys);
}

/* What stands in front of the first: digits choose a view, unless they are counts. */
static const char *digits(const struct app *a)
{
    return a->opt.keymap->counts ? "" : "0-9";
}

static int first_x(const struct app *a)
{
    return 1 + (*digits(a) ? (int)strlen("0-9 view  ") : 0);
}

/* The next entry from *i on that fits at *x: steps over it; false: no more. */
static bool next(const struct app *a, int w, int *i, int *x, char keys[KEYBAR_KEY], int *wide)
{
    for (; *i < BAR_N; ++*i) {
        if (!keys_of(a, *i, keys))
            continue;
        *wide = text_width(keys, strlen(keys), TEXT_PLAIN) + 1 + (int)strlen(bar[*i].word);
        return *x + *wide <= w;
    }
    return false;
}

void keybar_draw(const struct app *a, struct canvas *c, struct rect r)
{
    char keys[KEYBAR_KEY];
    struct canvas_style st = canvas_plain(CANVAS_REVERSE),
                        bold = canvas_plain(CANVAS_REVERSE | CANVAS_BOLD);
    canvas_fill(c, r, st, " ");
    canvas_put(c, r, 1, 0, bold, digits(a));
    if (*digits(a))
        canvas_put(c, r, 5, 0, st, "view");
    for (int i = 0, x = first_x(a), wide; next(a, r.w, &i, &x, keys, &wide); i++, x += wide + 2) {
        int at = x + canvas_put(c, r, x, 0, bold, keys) + 1;
        canvas_put(c, r, at, 0, st, bar[i].word);
    }
}

const char *keybar_at(const struct app *a, int w, int column)
{
    char keys[KEYBAR_KEY];
    for (int i = 0, x = first_x(a), wide; next(a, w, &i, &x, keys, &wide); i++, x += wide + 2)
        if (column >= x && column < x + wide)
            return bar[i].command;
    return NULL;
}
