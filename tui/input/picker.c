/* picker.c - the list of models: state, keys, drawing (see picker.h). */
#include "input/picker.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "model/hub.h"

enum { FAMILY = 12, COUNT = 9, SIZE = 10, TYPE = 7, NAME_MIN = 12, NAME_WIDTH = 56 };

/* ---- the list ---- */

/* Does each word of the filter stand in the name or the family? */
static bool matches(const struct catalog_entry *x, const char *filter)
{
    char word[128];
    while (*(filter += strspn(filter, " "))) {
        size_t n = strcspn(filter, " ");
        snprintf(word, sizeof word, "%.*s", (int)n, filter);
        if (!strcasestr(x->name, word) && !strcasestr(x->family, word))
            return false;
        filter += n;
    }
    return true;
}

/* List what matches; the cursor stays on its entry if that is still there. */
static void list_matching(struct picker *p)
{
    int32_t on = p->n_shown ? p->shown[p->at] : 0;
    p->n_shown = p->at = 0;
    for (int32_t i = 0; i < p->list.n; i++)
        if (matches(&p->list.entry[i], line_text(&p->filter))) {
            if (i <= on)
                p->at = p->n_shown;
            p->shown[p->n_shown++] = i;
        }
}

int picker_open(struct picker *p, const struct keymap *keymap, struct err *e)
{
    *p = (struct picker){.keymap = keymap, .picked = PICKER_NONE, .w = 80, .h = 24, .page = 1};
    int rc = catalog_list(&p->list, e);
    if (!rc && !(p->shown = malloc((size_t)p->list.n * sizeof *p->shown)))
        rc = err_memory(e, "the list of models");
    if (rc)
        picker_free(p);
    else
        list_matching(p);
    return rc;
}

void picker_free(struct picker *p)
{
    catalog_free(&p->list);
    line_free(&p->filter);
    free(p->shown);
    p->shown = NULL;
}

bool picker_look(struct picker *p)
{
    struct catalog_entry *x = NULL;
    for (int32_t i = p->top; i < p->n_shown && i < p->top + p->page && !x; i++)
        if (!p->list.entry[p->shown[i]].looked)
            x = &p->list.entry[p->shown[i]];
    for (int i = 0; i < p->list.n && !x; i++)
        if (!p->list.entry[i].looked)
            x = &p->list.entry[i];
    if (!x)
        return false;
    catalog_look(x);
    p->n_looked++;
    return true;
}

/* What is wrong and what to do, without the path in front. */
static const char *advice(const struct catalog_entry *x)
{
    static const char mark[] = " · ";
    const char *text = strstr(x->error.text, mark);
    return text ? text + sizeof mark - 1 : x->error.text;
}

/* ---- keys ---- */

static unsigned pick(struct picker *p)
{
    if (!p->n_shown)
        return 0;
    struct catalog_entry *x = &p->list.entry[p->shown[p->at]];
    catalog_look(x);
    if (!x->opens) {
        snprintf(p->message, sizeof p->message, "%s", advice(x));
        return 0;
    }
    p->picked = p->shown[p->at];
    return REACT_QUIT;
}

static void type_to(struct picker *p, bool on, bool keep)
{
    p->typing = on;
    if (!keep) {
        line_set(&p->filter, "", 0);
        list_matching(p);
    }
}

static unsigned command(struct picker *p, const char *text)
{
    const char *args;
    enum move m;
    switch (action_find(text, &args)) {
    case ACTION_MOVE:
        if (draw_move_word(args, &m))
            draw_move_cursor(m, 1, &p->at, p->n_shown, p->page, NULL, 0);
        return 0;
    case ACTION_HISTORY: /* the arrows, while the filter is typed */
        draw_move_cursor(strcmp(args, "older") ? MOVE_DOWN : MOVE_UP, 1, &p->at, p->n_shown,
                         p->page, NULL, 0);
        return 0;
    case ACTION_ENTER:
    case ACTION_ACCEPT: return pick(p);
    case ACTION_SEARCH: type_to(p, true, true); return 0;
    case ACTION_CANCEL: type_to(p, false, false); return 0;
    case ACTION_CARET: line_caret(&p->filter, args); return 0;
    case ACTION_ERASE:
        line_erase(&p->filter, args);
        list_matching(p);
        return 0;
    case ACTION_REDRAW: return REACT_REPAINT;
    case ACTION_SUSPEND: return REACT_SUSPEND;
    case ACTION_QUIT: return REACT_QUIT;
    default: return 0;
    }
}

static unsigned press(struct picker *p, uint32_t key)
{
    const struct binding *b;
    char text[KEYMAP_COMMAND_MAX], utf8[4];
    p->message[0] = '\0';
    p->pending[p->n_pending++] = key;
    enum keymap_match match = keymap_find(p->keymap, p->typing ? CTX_LINE : CTX_HOOKS, p->pending,
                                          p->n_pending, &b);
    if (match == KEYMAP_PREFIX && p->n_pending < KEYMAP_SEQ_MAX)
        return 0;
    bool alone = p->n_pending == 1;
    p->n_pending = 0;
    if (match == KEYMAP_RUN) {
        snprintf(text, sizeof text, "%s", b->command);
        return command(p, text);
    }
    if (p->typing && alone && key >= 0x20 && key < KEYS_SPECIAL) {
        line_insert(&p->filter, utf8, text_encode((int32_t)key, utf8));
        list_matching(p);
    }
    return 0;
}

static unsigned click(struct picker *p, const struct input *in)
{
    int32_t row = p->top + in->y - p->rows_y;
    if (in->act == MOUSE_WHEEL_UP || in->act == MOUSE_WHEEL_DOWN)
        draw_move_cursor(in->act == MOUSE_WHEEL_UP ? MOVE_UP : MOVE_DOWN, 3, &p->at, p->n_shown,
                         p->page, NULL, 0);
    if (in->act != MOUSE_PRESS || in->button != 0 || in->y < p->rows_y ||
        in->y >= p->rows_y + p->page || row >= p->n_shown)
        return 0;
    p->message[0] = '\0';
    if (row == p->at) /* it was chosen already */
        return pick(p);
    p->at = row;
    return 0;
}

unsigned picker_input(struct picker *p, const struct input *in)
{
    switch (in->kind) {
    case INPUT_KEY: return press(p, in->key);
    case INPUT_MOUSE: return click(p, in);
    case INPUT_PASTE:
        for (size_t i = 0; p->typing && i < in->len; i++)
            line_insert(&p->filter, (unsigned char)in->text[i] < 0x20 ? " " : &in->text[i], 1);
        list_matching(p);
        return 0;
    case INPUT_REPLY: break;
    }
    return 0;
}

/* ---- the screen ---- */

/* Columns of names: as wide as the widest, within what the others leave. */
static int name_width(const struct picker *p, bool *wide)
{
    int most = NAME_MIN;
    for (int32_t i = 0; i < p->n_shown; i++) {
        const char *name = p->list.entry[p->shown[i]].name;
        int w = text_width(name, strlen(name), TEXT_PLAIN);
        most = w > most ? w : most;
    }
    int room = p->w - 3 - 2 - (FAMILY + COUNT + SIZE + TYPE) - 8;
    *wide = room >= NAME_MIN;
    room = *wide ? room : p->w - 4 - SIZE;
    most = most > NAME_WIDTH ? NAME_WIDTH : most;
    return most < room ? most : room > 0 ? room : 1;
}

static void put_right(struct canvas *c, struct rect r, int x, int y, struct canvas_style st,
                      const char *text, int width)
{
    canvas_put(c, r, x + width - text_width(text, strlen(text), TEXT_PLAIN), y, st, text);
}

static void draw_entry(const struct picker *p, struct canvas *c, struct rect r, int32_t row, int y,
                       int width, bool wide)
{
    const struct catalog_entry *x = &p->list.entry[p->shown[row]];
    bool on = row == p->at;
    struct canvas_style st = canvas_plain((on ? CANVAS_BOLD : 0) |
                                          (x->looked && !x->opens ? CANVAS_DIM : 0));
    char number[NUMBER_BYTES], why[sizeof x->error.text];
    canvas_put(c, r, 1, y, st, on ? "▶" : " ");
    canvas_put_field(c, r, 3, y, st, x->name, strlen(x->name), TEXT_PLAIN, width, false);
    int at = 3 + width + 2;
    if (!x->looked) {
        canvas_put(c, r, at, y, canvas_plain(CANVAS_DIM), "…");
        return;
    }
    if (wide) {
        canvas_put_field(c, r, at, y, st, x->family, strlen(x->family), TEXT_PLAIN, FAMILY - 1,
                         false);
        if (x->params)
            put_right(c, r, at + FAMILY, y, st, number_count(number, (double)x->params), COUNT);
        at += FAMILY + COUNT;
    }
    if (x->bytes)
        put_right(c, r, at, y, st, number_bytes(number, (double)x->bytes), SIZE);
    if (!wide)
        return;
    at += SIZE + 2;
    canvas_put_field(c, r, at, y, st, x->dtype, strlen(x->dtype), TEXT_PLAIN, TYPE - 1, false);
    const char *last = x->opens ? "yes" : catalog_why(x, why, sizeof why);
    at += TYPE;
    canvas_put_field(c, r, at, y, st, last, strlen(last), TEXT_PLAIN, r.w - at, false);
}

static void draw_head(const struct picker *p, struct canvas *c, int width, bool wide)
{
    struct rect title = {0, 0, p->w, 1}, names = {0, 1, p->w, 1};
    char root[PATH_MAX];
    struct canvas_style st = canvas_plain(CANVAS_REVERSE), dim = canvas_plain(CANVAS_DIM);
    hub_cache(root);
    canvas_fill(c, title, st, " ");
    int x = canvas_putf(c, title, 1, 0, st, "borescope  %d model%s", (int)p->n_shown,
                        p->n_shown == 1 ? "" : "s");
    if (p->n_shown < p->list.n)
        x += canvas_putf(c, title, 1 + x, 0, st, " of %d", p->list.n);
    x += canvas_put(c, title, 1 + x, 0, st, "   the built-in one and those of ");
    canvas_put_text(c, title, 1 + x, 0, st, root, strlen(root), TEXT_PLAIN);
    canvas_put(c, names, 3, 0, dim, "name");
    x = 3 + width + 2;
    if (wide) {
        canvas_put(c, names, x, 0, dim, "family");
        put_right(c, names, x + FAMILY, 0, dim, "params", COUNT);
        x += FAMILY + COUNT;
    }
    put_right(c, names, x, 0, dim, "size", SIZE);
    if (wide) {
        canvas_put(c, names, x + SIZE + 2, 0, dim, "type");
        canvas_put(c, names, x + SIZE + 2 + TYPE, 0, dim, "opens");
    }
}

/* The filter while it is typed, a message, or why the entry under the cursor does not open. */
static void draw_message(const struct picker *p, struct frame *f, struct rect r)
{
    const struct catalog_entry *x = p->n_shown ? &p->list.entry[p->shown[p->at]] : NULL;
    const char *text = p->message[0] ? p->message : x && x->looked && !x->opens ? advice(x) : "";
    if (p->typing && !p->message[0]) {
        int at = canvas_put(f->canvas, r, 0, 0, canvas_plain(CANVAS_BOLD), "/");
        f->caret_x = line_draw(&p->filter, f->canvas, r, at, 0);
        f->caret_y = r.y;
        return;
    }
    canvas_put_field(f->canvas, r, 1, 0, canvas_plain(p->message[0] ? CANVAS_BOLD : 0), text,
                     strlen(text), TEXT_PLAIN, r.w > 2 ? r.w - 2 : 1, false);
}

static void draw_keys(const struct picker *p, struct canvas *c, struct rect r)
{
    static const struct {
        const char *command, *word;
    } bar[] = {
        {"enter", "opens"}, {"search", "filter"}, {"cancel", "clear filter"}, {"quit", "quit"}};
    struct canvas_style st = canvas_plain(CANVAS_REVERSE),
                        bold = canvas_plain(CANVAS_REVERSE | CANVAS_BOLD);
    canvas_fill(c, r, st, " ");
    int x = 1;
    for (size_t i = 0; i < sizeof bar / sizeof *bar; i++) {
        char keys[KEYMAP_SEQ_MAX * KEYS_NAME_MAX];
        keymap_keys_of(p->keymap, CTX_HOOKS, bar[i].command, keys, sizeof keys);
        x += canvas_put_text(c, r, x, 0, bold, keys, strlen(keys), TEXT_PLAIN) + 1;
        x += canvas_put(c, r, x, 0, st, bar[i].word) + 2;
    }
}

bool picker_draw(struct picker *p, struct frame *f)
{
    if (!frame_begin(f, p->w, p->h))
        return false;
    bool wide;
    int width = name_width(p, &wide), head = p->h > 4 ? 2 : 0, foot = p->h > 4 ? 2 : p->h > 1;
    p->page = p->h - head - foot > 0 ? p->h - head - foot : 1;
    p->rows_y = head;
    p->at = draw_clamp(p->at, p->n_shown > 0 ? p->n_shown : 1);
    p->top = draw_scroll(p->top, p->at, p->n_shown, p->page);
    struct rect rows = {0, head, p->w, p->page};
    if (head)
        draw_head(p, f->canvas, width, wide);
    for (int32_t i = 0; i < p->page && p->top + i < p->n_shown; i++)
        draw_entry(p, f->canvas, rows, p->top + i, i, width, wide);
    if (!p->n_shown)
        canvas_put(f->canvas, rows, 3, 0, canvas_plain(0),
                   "no model here has that in its name or family");
    if (foot)
        draw_message(p, f, (struct rect){0, p->h - foot, p->w, 1});
    if (foot > 1)
        draw_keys(p, f->canvas, (struct rect){0, p->h - 1, p->w, 1});
    return true;
}
