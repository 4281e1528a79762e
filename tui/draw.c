/* draw.c - small things that several views draw (see draw.h). */
#include "draw.h"

#include <math.h>
#include <stdio.h>
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

const char *draw_delta(const struct app *a)
{
    return a->ascii ? "logit diff" : "Δ";
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

size_t draw_wrap(const char *text, int width)
{
    size_t n = strlen(text), cut = 0;
    if (text_width(text, n, TEXT_PLAIN) <= width)
        return n;
    int depth = 0; /* an index stays together where it can */
    for (size_t i = 1; i < n && text_width(text, i, TEXT_PLAIN) <= width; i++) {
        depth += (text[i] == '[') - (text[i] == ']');
        if (text[i] == ' ' && (!depth || !cut))
            cut = i;
    }
    while (!cut && n > 1 && text_width(text, n, TEXT_PLAIN) > width)
        n--;
    return cut ? cut : n;
}

void draw_sentence(struct canvas *c, struct rect r, int x, struct canvas_style st, const char *s)
{
    for (int y = 0; y < r.h && *s; y++) {
        size_t n = draw_wrap(s, r.w - x - 1);
        canvas_put_text(c, r, x, y, st, s, n, TEXT_OWN);
        s += n + (s[n] == ' ');
    }
}

int draw_edits(const struct app *a, struct canvas *c, struct rect r)
{
    int y = 0;
    for (int i = 0; i < a->edits.n && (!c || y < r.h); i++) {
        bool bad = a->edits.why[i] != NULL;
        struct canvas_style st = canvas_plain(a->edits.on[i] && !bad ? 0 : CANVAS_DIM);
        struct bytes b = {0};
        bytes_addf(&b, "%s%s%s", a->edits.text[i], bad ? " · " : "", bad ? a->edits.why[i] : "");
        const char *s = b.failed ? a->edits.text[i] : b.data;
        if (c)
            canvas_putf(c, r, 0, y, st, "%2d %s", i + 1, draw_edit_mark(a, i));
        do {
            size_t n = draw_wrap(s, r.w - 5 > 4 ? r.w - 5 : 4);
            if (c && y < r.h)
                canvas_put_text(c, r, 5, y, st, s, n, TEXT_PLAIN);
            s += n + (s[n] == ' ');
            y++;
        } while (*s);
        bytes_free(&b);
    }
    return y;
}

const char *draw_edit_mark(const struct app *a, int i)
{
    return a->edits.why[i] ? "!" : a->edits.on[i] ? "*" : "-";
}

int32_t draw_row_index(const struct app *a, int32_t row)
{
    return row == a->n - 1 ? -1 : row;
}

const char *draw_layer_range(int32_t from, int32_t to, char buf[LAYERS_TEXT])
{
    if (from == to)
        snprintf(buf, LAYERS_TEXT, "%d", (int)from);
    else
        snprintf(buf, LAYERS_TEXT, "{%d..%d}", (int)from, (int)to);
    return buf;
}
