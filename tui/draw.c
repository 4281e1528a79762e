/* draw.c - small things that several views draw (see draw.h). */
#include "draw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int draw_side_width(int w)
{
    int side = w * 2 / 5;
    return side < 40 ? 40 : side > 50 ? 50 : side;
}

void draw_add_token(const struct app *a, int32_t id, struct bytes *out)
{
    size_t len;
    const char *text = tokenizer_text(a->m->tok, id, &len);
    text_add(out, text, len, TEXT_TOKEN);
}

void draw_token(const struct app *a, struct canvas *c, struct rect r, int x, int y,
                struct canvas_style st, int32_t id, int width)
{
    size_t len;
    const char *text = tokenizer_text(a->m->tok, id, &len);
    canvas_put_field(c, r, x, y, st, text, len, TEXT_TOKEN, width, true);
}

void draw_input(const struct app *a, struct canvas *c, struct rect r, int x, int y,
                struct canvas_style st, int32_t row, int width)
{
    size_t len;
    const char *text = model_input_text(a->m, a->tokens[row], &len);
    canvas_put_field(c, r, x, y, st, text, len, TEXT_TOKEN, width, true);
}

void draw_position(const struct app *a, struct canvas *c, struct rect r, int y, int32_t row)
{
    bool on = row == a->cur.row;
    struct canvas_style st = canvas_plain(on ? CANVAS_BOLD : 0);
    canvas_put(c, r, 0, y, st, on ? "▶" : " ");
    canvas_putf(c, r, 1, y, st, "%4d ", (int)row);
    draw_input(a, c, r, 6, y, st, row, DRAW_LABEL - 7);
}

int32_t draw_scroll(int32_t top, int32_t at, int32_t n, int32_t room)
{
    if (room < 1)
        room = 1;
    if (at < top)
        top = at;
    if (at >= top + room)
        top = at - room + 1;
    if (top > n - room)
        top = n - room;
    return top < 0 ? 0 : top;
}

int32_t draw_clamp(int32_t at, int32_t n)
{
    return at >= n ? n - 1 : at < 0 ? 0 : at;
}

bool draw_move_word(const char *word, enum move *m)
{
    static const char *const words[MOVE_COUNT] = {"up",        "down", "left", "right", "page-up",
                                                  "page-down", "home", "end",  "top",   "bottom"};
    for (int i = 0; i < MOVE_COUNT; i++)
        if (strcmp(word, words[i]) == 0) {
            *m = (enum move)i;
            return true;
        }
    return false;
}

void draw_move_cursor(enum move m, int count, int32_t *down, int32_t n_down, int32_t page,
                      int32_t *across, int32_t n_across)
{
    int32_t row = *down, column = across ? *across : 0;
    switch (m) {
    case MOVE_UP: row -= count; break;
    case MOVE_DOWN: row += count; break;
    case MOVE_LEFT: column -= count; break;
    case MOVE_RIGHT: column += count; break;
    case MOVE_PAGE_UP: row -= page * count; break;
    case MOVE_PAGE_DOWN: row += page * count; break;
    case MOVE_HOME: column = 0, row = across ? row : 0; break;
    case MOVE_END: column = n_across - 1, row = across ? row : n_down - 1; break;
    case MOVE_TOP: row = 0; break;
    case MOVE_BOTTOM: row = n_down - 1; break;
    case MOVE_COUNT: break;
    }
    *down = draw_clamp(row, n_down);
    if (across)
        *across = draw_clamp(column, n_across);
}

struct canvas_style draw_value_style(const struct frame *f, enum colormap map, double position)
{
    if (f->caps.depth == COLOR_DEPTH_NONE)
        return canvas_plain(0);
    uint32_t bg = position == position ? colormap_at(map, position) : COLORMAP_NAN;
    return canvas_style(color_text_over(bg), bg, 0);
}

int draw_number(struct canvas *c, struct rect r, int x, int y, struct canvas_style st, double v,
                int width, int decimals, unsigned flags)
{
    char n[NUMBER_BYTES];
    if (!isfinite(v))
        st = canvas_style(color_text_over(COLORMAP_NAN), COLORMAP_NAN, st.attr);
    return canvas_put(c, r, x, y, st, number_fit(n, v, width, decimals, flags));
}

static bool axis_has(const struct edit_axis *x, int32_t at)
{
    if (!x->list)
        return at >= x->lo && at < x->lo + x->n;
    for (int32_t i = 0; i < x->n; i++)
        if (x->list[i] == at)
            return true;
    return false;
}

bool draw_is_edited(const struct app *a, struct site_ref s, int axis, int32_t at)
{
    const struct edit_program *p = a->snap ? a->snap->program : NULL;
    for (int32_t i = 0; p && i < p->n_instrs; i++) {
        const struct edit_instr *act = &p->instrs[i];
        if (site_same(act->site, s) &&
            (axis < 0 || (axis < act->rank && axis_has(&act->axis[axis], at))))
            return true;
    }
    return false;
}

void draw_edits(const struct app *a, struct canvas *c, struct rect r)
{
    for (int i = 0; i < a->edits.n && i < r.h; i++) {
        struct canvas_style st = canvas_plain(a->edits.on[i] ? 0 : CANVAS_DIM);
        canvas_putf(c, r, 0, i, st, "%2d %s %s", i + 1, a->edits.on[i] ? "*" : "-",
                    a->edits.text[i]);
    }
}

int32_t draw_row_index(const struct app *a, int32_t row)
{
    return row == a->n - 1 ? -1 : row;
}
