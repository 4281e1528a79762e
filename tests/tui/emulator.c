/* emulator.c - see emulator.h. */
#include "emulator.h"

#include <stdlib.h>
#include <wchar.h>

#include "unit.h"

void emulator_open(struct emulator *e, int w, int h)
{
    *e = (struct emulator){
        .paint = paint_new(),
        .can = {.depth = COLOR_DEPTH_256,
                .colors = 256,
                .attrs = CANVAS_BOLD | CANVAS_DIM | CANVAS_REVERSE | CANVAS_UNDERLINE,
                .off = true,
                .erase_characters = true,
                .corner = true,
                .regions = true}};
    assert_non_null(e->paint);
    emulator_blank(e, w, h);
}

void emulator_blank(struct emulator *e, int w, int h)
{
    if (e->vt)
        vterm_free(e->vt);
    e->vt = vterm_new(h, w);
    vterm_set_utf8(e->vt, 1);
    e->screen = vterm_obtain_screen(e->vt);
    vterm_screen_reset(e->screen, 1);
    e->w = w, e->h = h;
    paint_forget(e->paint);
}

void emulator_close(struct emulator *e)
{
    vterm_free(e->vt);
    paint_free(e->paint);
    bytes_free(&e->sent);
}

int emulator_send(struct emulator *e, const struct frame *f)
{
    static const bool show[FRAME_PICTURES_MAX];
    bytes_clear(&e->sent);
    paint_frame(e->paint, f, show, &e->can, &e->sent);
    assert_false(e->sent.failed);
    vterm_input_write(e->vt, e->sent.data ? e->sent.data : "", e->sent.len);
    vterm_screen_flush_damage(e->screen);
    return (int)e->sent.len;
}

VTermScreenCell emulator_cell(const struct emulator *e, int x, int y)
{
    VTermScreenCell cell;
    assert_true(vterm_screen_get_cell(e->screen, (VTermPos){.row = y, .col = x}, &cell));
    return cell;
}

int emulator_color(VTermColor c)
{
    return VTERM_COLOR_IS_DEFAULT_FG(&c) || VTERM_COLOR_IS_DEFAULT_BG(&c) ? -1
           : VTERM_COLOR_IS_INDEXED(&c)                                   ? c.indexed.idx
                                        : c.rgb.red << 16 | c.rgb.green << 8 | c.rgb.blue;
}

/* What the frame's cell has to look like. */
static void colors_of(const struct canvas_cell *cell, enum color_depth depth, int *fg, int *bg)
{
    if (depth == COLOR_DEPTH_16 || depth == COLOR_DEPTH_256) {
        canvas_cell_colors(cell, depth, fg, bg);
        return;
    }
    struct canvas_style shown = canvas_style_shown(cell, depth);
    *fg = shown.fg == COLOR_DEFAULT ? -1 : (int)shown.fg;
    *bg = shown.bg == COLOR_DEFAULT ? -1 : (int)shown.bg;
}

/* The same text, but for what this terminal takes for another width than the C library does: such a
 * sign of one column may lie over the one before it (`doubtful_next`: one may stand behind), a mark
 * beside. */
static bool same_text(const VTermScreenCell *is, const wchar_t *want, bool doubtful_next)
{
    if (want[0] > 0x2ff && !is->chars[1] && is->chars[0] == ' ')
        return true;
    for (int i = 0; i == 0 || (is->chars[i] && (want[i] || !doubtful_next)); i++)
        if ((uint32_t)want[i] != is->chars[i])
            return false;
    return true;
}

static bool alike(const struct emulator *e, const struct canvas_cell *cell, VTermScreenCell is,
                  bool doubtful_next)
{
    const unsigned dim = CANVAS_DIM;
    wchar_t want[16] = L"";
    assert_true(mbstowcs(want, cell->text, 15) <= 15);
    unsigned attr = cell->style.attr & ~dim, has = (is.attrs.bold ? CANVAS_BOLD : 0u) |
                                                   (is.attrs.reverse ? CANVAS_REVERSE : 0u) |
                                                   (is.attrs.underline ? CANVAS_UNDERLINE : 0u);
    bool blank = wcscmp(want, L" ") == 0 && !(attr & ~(unsigned)CANVAS_BOLD);
    if (blank && !is.chars[0])
        is.chars[0] = ' ', is.chars[1] = 0;
    if (!same_text(&is, want, doubtful_next))
        return false;
    int fg, bg;
    colors_of(cell, e->can.depth, &fg, &bg);
    if (blank)
        return emulator_color(is.bg) == bg && !(has & ~(unsigned)CANVAS_BOLD);
    if (e->can.depth == COLOR_DEPTH_16 && fg == 0) /* bold black is a grey to many: left out */
        attr &= ~(unsigned)CANVAS_BOLD;
    return emulator_color(is.bg) == bg && emulator_color(is.fg) == fg && has == attr;
}

bool emulator_differs(const struct emulator *e, const struct frame *f, struct rect r, int *x,
                      int *y)
{
    for (*y = r.y; *y < r.y + r.h; ++*y)
        for (*x = r.x; *x < r.x + r.w; ++*x) {
            const struct canvas_cell *cell = canvas_at(f->canvas, *x, *y);
            bool doubtful_next = *x + 1 < f->canvas->w && cell[1].text[0] & 0x80;
            if (cell->width && !alike(e, cell, emulator_cell(e, *x, *y), doubtful_next))
                return true;
        }
    return false;
}
