/* keybar.c - see keybar.h. */
#include "keybar.h"

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
enum { BAR_N = sizeof bar / sizeof bar[0], KEYS = KEYMAP_SEQ_MAX * KEYS_NAME_MAX };

/* The keys of an entry as the bar writes them; false: it has none, or nothing to do here. */
static bool keys_of(const struct app *a, int i, char keys[KEYS])
{
    bool heads = a->cur.view != VIEW_GRID || a->quantity == QUANTITY_EXPERTS;
    if ((strcmp(bar[i].command, "delete") == 0 && a->cur.view != VIEW_EDITS) ||
        (strcmp(bar[i].command, "head next") == 0 && !heads))
        return false;
    keymap_keys_of(a->opt.keymap, 1u << a->cur.view, bar[i].command, keys, KEYS);
    size_t n = strlen(keys);
    if (keys[0] == '<' && n > 2) { /* <Tab> is Tab in the bar */
        keys[n - 1] = 0;
        memmove(keys, keys + 1, n - 1);
    }
    return n > 0;
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
static bool next(const struct app *a, int w, int *i, int *x, char keys[KEYS], int *wide)
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
    char keys[KEYS];
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
    char keys[KEYS];
    for (int i = 0, x = first_x(a), wide; next(a, w, &i, &x, keys, &wide); i++, x += wide + 2)
        if (column >= x && column < x + wide)
            return bar[i].command;
    return NULL;
}
