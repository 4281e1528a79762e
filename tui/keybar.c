/* keybar.c - see keybar.h. */
#include "keybar.h"

#include <stdio.h>
#include <string.h>

/* In the order in which a newcomer needs them; those without a key or meaning here are left out. */
static const struct {
    const char *command, *word;
} bar[] = {{"help", "help"},
           {"quit", "quit"},
           {"quantity next", "quantity"},
           {"wide", "words"},
           {"enter", "go in"},
           {"zero", "zero"},
           {"zero-all", "all positions"},
           {"undo", "undo"},
           {"toggle", "on/off"},
           {"delete", "delete"},
           {"observe", "switch on"},
           {"sort", "sort"},
           {"face", "base/edited"},
           {"mask", "mask"},
           {"head next", "head"},
           {"layer next", "layer"},
           {"prompt", "prompt"},
           {"pair", "pair"},
           {"edit", "edit"},
           {"scale", "scale"},
           {"sweep", "sweep"},
           {"search", "search"}};
enum { BAR_N = sizeof bar / sizeof bar[0] };

/* The key of a command there as the bar writes it: <Tab> is Tab; false: none runs it. */
static bool find_key(const struct app *a, unsigned where, const char *command, char key[KEYBAR_KEY])
{
    keymap_keys_of(a->opt.keymap, where, command, key, KEYBAR_KEY);
    size_t n = strlen(key);
    if (key[0] == '<' && n > 2 && strchr(key, '>') == key + n - 1) { /* one key, not <M-g>g */
        key[n - 1] = 0;
        memmove(key, key + 1, n - 1);
    }
    return n > 0;
}

const char *keybar_key(const struct app *a, const char *command, char key[KEYBAR_KEY])
{
    const unsigned first[] = {a->mode == LINE_HELP ? CTX_HELP : 0, 1u << a->cur.view, CTX_LINE};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        if (first[i] && find_key(a, first[i], command, key))
            return key;
    for (int v = 0; v < VIEW_COUNT; v++)
        if (find_key(a, 1u << v, command, key))
            return key;
    snprintf(key, KEYBAR_KEY, ":%.*s", KEYBAR_KEY - 2, command);
    return key;
}

/* Is it "{COMMAND}..."?  The command in `command`. */
static bool is_named(const char *text, char command[KEYBAR_KEY])
{
    size_t n = *text == '{' ? strcspn(text, "}") : 0;
    if (!n || !text[n] || n > KEYBAR_KEY)
        return false;
    memcpy(command, text + 1, n - 1);
    command[n - 1] = 0;
    return action_find(command, NULL) != ACTION_COUNT;
}

static char *name_keys(const struct app *a, const char *text, bool format, char out[KEYBAR_TEXT])
{
    char command[KEYBAR_KEY], key[KEYBAR_KEY];
    size_t n = 0;
    while (*text && n < KEYBAR_TEXT - 2 * KEYBAR_KEY - 1) {
        if (!is_named(text, command)) {
            out[n++] = *text++;
            continue;
        }
        for (const char *k = keybar_key(a, command, key); *k; out[n++] = *k++)
            if (format && *k == '%')
                out[n++] = '%';
        text += strcspn(text, "}") + 1;
    }
    out[n] = 0;
    return out;
}

char *keybar_text(const struct app *a, const char *text, char out[KEYBAR_TEXT])
{
    return name_keys(a, text, false, out);
}

char *keybar_format(const struct app *a, const char *format, char out[KEYBAR_TEXT])
{
    return name_keys(a, format, true, out);
}

void keybar_put(const struct app *a, struct canvas *c, struct rect r, int x, int y,
                struct canvas_style st, const char *text)
{
    char named[KEYBAR_TEXT];
    canvas_put(c, r, x, y, st, keybar_text(a, text, named));
}

void keybar_items(const struct app *a, struct canvas *c, struct rect r, int x, int y,
                  const char *const *items, int n)
{
    char named[KEYBAR_TEXT];
    for (int i = 0; i < n; i++) {
        const char *item = items[i] ? keybar_text(a, items[i], named) : "";
        int width = text_width(item, strlen(item), TEXT_PLAIN);
        if (x + width > r.w)
            return;
        if (width)
            x += canvas_put(c, r, x, y, canvas_plain(CANVAS_DIM), item) + 3;
    }
}

/* The keys of an entry as the bar writes them; false: it has none, or nothing to do here. */
static bool keys_of(const struct app *a, int i, char keys[KEYBAR_KEY])
{
    enum { WORDS = 5 }; /* columns that hold one */
    bool heads = a->cur.view != VIEW_GRID || a->quantity == QUANTITY_EXPERTS,
         narrow = a->cur.view == VIEW_GRID && a->m && a->column_width < WORDS;
    if ((strcmp(bar[i].command, "delete") == 0 && a->cur.view != VIEW_EDITS) ||
        (strcmp(bar[i].command, "wide") == 0 && !narrow) ||
        (strcmp(bar[i].command, "head next") == 0 && !heads))
        return false;
    return find_key(a, 1u << a->cur.view, bar[i].command, keys);
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
