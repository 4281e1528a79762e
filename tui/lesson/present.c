/* present.c - the explorer before a class (see present.h). */
#include "lesson/present.h"

#include <stdio.h>
#include <string.h>

#include "app.h"

void present_set(struct app *a, bool on, bool locked)
{
    a->present.on = on;
    a->present.locked = on && locked;
    a->keybar_off = on;
    app_resize(a, a->w, a->present.rows);
}

int present_rows(struct present *p, int rows)
{
    p->rows = rows;
    p->apart = p->on && rows >= PRESENT_ROWS;
    return p->apart ? rows / 2 : rows;
}

void present_key(struct present *p, uint32_t key)
{
    if (p->n_keys == PRESENT_KEYS)
        memmove(p->key, p->key + 1, (size_t)--p->n_keys * sizeof *p->key);
    p->key[p->n_keys++] = key;
    p->command[0] = 0;
}

void present_ran(struct present *p, const char *command)
{
    snprintf(p->command, sizeof p->command, "%s", command);
}

bool present_refuses(struct app *a, enum action_id id)
{
    static const bool changes[ACTION_COUNT] = {
        [ACTION_ZERO] = true,   [ACTION_ZERO_ALL] = true, [ACTION_FREEZE] = true,
        [ACTION_MEAN] = true,   [ACTION_SCALE] = true,    [ACTION_NUDGE] = true,
        [ACTION_PATCH] = true,  [ACTION_AGAIN] = true,    [ACTION_EDIT] = true,
        [ACTION_TAKER] = true,  [ACTION_TOGGLE] = true,   [ACTION_TOGGLE_ALL] = true,
        [ACTION_DELETE] = true, [ACTION_UNDO] = true,     [ACTION_REPLACE] = true,
        [ACTION_SHIFT] = true,  [ACTION_NAME] = true,     [ACTION_STATE] = true,
        [ACTION_OPEN] = true,   [ACTION_REDO] = true};
    if (!a->present.locked || !changes[id])
        return false;
    app_complain(a, "edits are locked · :present open unlocks them");
    return true;
}

void present_draw(const struct app *a, struct canvas *c, struct rect r)
{
    const struct present *p = &a->present;
    struct bytes b = {0};
    if (!p->on || !p->n_keys)
        return;
    for (int i = 0; i < p->n_keys; i++) {
        char name[KEYMAP_SEQ_MAX * KEYS_NAME_MAX];
        keymap_sequence(&p->key[i], 1, name, sizeof name);
        bytes_addf(&b, "%s%s", i ? " " : "  ", name);
    }
    bytes_addf(&b, "%s%s  ", *p->command ? "  " : "", p->command);
    int width = b.failed ? r.w : text_width(b.data, b.len, TEXT_PLAIN);
    if (width < r.w / 2)
        canvas_put_text(c, r, r.w - width, 0, canvas_plain(CANVAS_BOLD | CANVAS_REVERSE), b.data,
                        b.len, TEXT_PLAIN);
    bytes_free(&b);
}

/* ---- rows apart ---- */

static bool is_one_of(const char *s, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(s, *list) == 0)
            return true;
    return false;
}

/* What stands in the second row of a cell: its ground, lines that go on, solid shades. */
static struct canvas_cell below(const struct canvas_cell *cell)
{
    static const char *const lines[] = {"│", "┌", "┐", "├", "┤", "┬", "┼", NULL};
    static const char *const solid[] = {"█", "▓", "▒", "░", "▌", "▐", NULL};
    struct canvas_cell out = *cell;
    out.style.attr &= (uint8_t)~CANVAS_UNDERLINE;
    if (is_one_of(cell->text, solid))
        return out;
    if (strcmp(cell->text, "▀") == 0) /* two samples: this row is the lower one's */
        out.style.fg = cell->style.bg;
    snprintf(out.text, sizeof out.text, "%s", is_one_of(cell->text, lines) ? "│" : " ");
    if (!cell->width)
        out.text[0] = 0;
    return out;
}

static struct canvas_cell upper(const struct canvas_cell *cell)
{
    struct canvas_cell out = *cell;
    if (strcmp(cell->text, "▀") == 0)
        snprintf(out.text, sizeof out.text, "█");
    return out;
}

static void double_rows(struct rect *r)
{
    r->y *= 2;
    r->h *= 2;
}

bool present_spread(struct frame *f, int rows)
{
    struct canvas *from = f->canvas, *to = canvas_new(from->w, rows);
    if (!to)
        return false;
    to->ascii = from->ascii;
    for (int y = 0; y < from->h && 2 * y + 1 < rows; y++)
        for (int x = 0; x < from->w; x++) {
            const struct canvas_cell *cell = &from->cell[y * from->w + x];
            to->cell[2 * y * to->w + x] = upper(cell);
            to->cell[(2 * y + 1) * to->w + x] = below(cell);
        }
    canvas_free(from);
    f->canvas = to;
    for (int i = 0; i < f->n_pictures; i++)
        double_rows(&f->picture[i].r);
    for (int i = 0; i < f->n_popups; i++)
        double_rows(&f->popup[i]);
    double_rows(&f->panel);
    double_rows(&f->beside);
    f->caret_y *= f->caret_y > 0 ? 2 : 1;
    return true;
}
