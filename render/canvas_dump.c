/* canvas_dump.c - a canvas as plain text, as text with SGR sequences, and as a map of its styles.
 * Tested in tests/render/test_canvas.c. */
#include "canvas.h"

#include <string.h>

static bool style_equal(struct canvas_style a, struct canvas_style b)
{
    return a.fg == b.fg && a.bg == b.bg && a.attr == b.attr;
}

static const struct canvas_cell *row_of(const struct canvas *c, int y)
{
    return &c->cell[(size_t)y * (size_t)c->w];
}

void canvas_dump_plain(const struct canvas *c, struct bytes *out)
{
    for (int y = 0; y < c->h; y++) {
        const struct canvas_cell *row = row_of(c, y);
        int end = c->w;
        while (end > 0 && strcmp(row[end - 1].text, " ") == 0)
            end--;
        for (int x = 0; x < end; x++)
            bytes_add_string(out, row[x].text);
        bytes_add_char(out, '\n');
    }
}

static void add_index(struct bytes *out, enum color_depth depth, int index, bool background)
{
    if (index < 0)
        return;
    if (depth == COLOR_DEPTH_256)
        bytes_addf(out, ";%d;5;%d", background ? 48 : 38, index);
    else
        bytes_addf(out, ";%d", (index < 8 ? 30 + index : 90 + index - 8) + (background ? 10 : 0));
}

static void add_true(struct bytes *out, uint32_t rgb, bool background)
{
    if (rgb != COLOR_DEFAULT)
        bytes_addf(out, ";%d;2;%u;%u;%u", background ? 48 : 38, (unsigned)(rgb >> 16 & 255),
                   (unsigned)(rgb >> 8 & 255), (unsigned)(rgb & 255));
}

/* Two samples of a picture, not text over a colour. */
static bool is_halves(const struct canvas_cell *cell)
{
    return strcmp(cell->text, "\u2580") == 0;
}

void canvas_cell_colors(const struct canvas_cell *cell, enum color_depth depth, int *fg, int *bg)
{
    if (!is_halves(cell)) {
        color_nearest_pair(depth, cell->style.fg, cell->style.bg, fg, bg);
        return;
    }
    int upper, lower, own;
    color_nearest_pair(depth, cell->style.fg, COLOR_DEFAULT, &upper, &own);
    color_nearest_pair(depth, COLOR_DEFAULT, cell->style.bg, &own, &lower);
    *fg = upper, *bg = lower;
}

static void add_sgr(struct bytes *out, enum color_depth depth, const struct canvas_cell *cell)
{
    const struct canvas_style st = cell->style;
    static const char *const attr[] = {";1", ";2", ";7", ";4"}; /* bold, dim, reverse, underline */
    bytes_add_string(out, "\033[0");
    for (int i = 0; i < 4; i++)
        if (st.attr >> i & 1)
            bytes_add_string(out, attr[i]);
    if (depth == COLOR_DEPTH_TRUE) {
        add_true(out, st.fg, false);
        add_true(out, st.bg, true);
    } else if (depth != COLOR_DEPTH_NONE) {
        int fg, bg;
        canvas_cell_colors(cell, depth, &fg, &bg);
        add_index(out, depth, fg, false);
        add_index(out, depth, bg, true);
    }
    bytes_add_char(out, 'm');
}

struct canvas_style canvas_style_shown(const struct canvas_cell *cell, enum color_depth depth)
{
    const struct canvas_style st = cell->style;
    if (depth == COLOR_DEPTH_NONE)
        return canvas_plain(st.attr);
    if (depth == COLOR_DEPTH_TRUE)
        return st;
    int fg, bg;
    canvas_cell_colors(cell, depth, &fg, &bg);
    return canvas_style(fg < 0 ? COLOR_DEFAULT : color_of_index(fg),
                        bg < 0 ? COLOR_DEFAULT : color_of_index(bg), st.attr);
}

/* What differs at this depth: colours that are rounded to the same ones are kept apart. */
static struct canvas_style style_sent(struct canvas_style st, enum color_depth depth)
{
    return depth == COLOR_DEPTH_NONE ? canvas_plain(st.attr) : st;
}

void canvas_dump_ansi(const struct canvas *c, enum color_depth depth, struct bytes *out)
{
    for (int y = 0; y < c->h; y++) {
        const struct canvas_cell *row = row_of(c, y);
        struct canvas_style now = canvas_plain(0);
        int end = c->w;
        while (end > 0 && strcmp(row[end - 1].text, " ") == 0 &&
               style_sent(row[end - 1].style, depth).bg == COLOR_DEFAULT &&
               !(row[end - 1].style.attr & (CANVAS_REVERSE | CANVAS_UNDERLINE)))
            end--;
        for (int x = 0; x < end; x++) {
            struct canvas_style st = style_sent(row[x].style, depth);
            bool other = x && is_halves(&row[x]) != is_halves(&row[x - 1]);
            if (!style_equal(st, now) || (other && !style_equal(st, canvas_plain(0))))
                add_sgr(out, depth, &row[x]);
            now = st;
            bytes_add_string(out, row[x].text);
        }
        if (!style_equal(now, canvas_plain(0)))
            bytes_add_string(out, "\033[0m");
        bytes_add_char(out, '\n');
    }
}

static void add_color(struct bytes *out, uint32_t rgb)
{
    if (rgb == COLOR_DEFAULT)
        bytes_add_string(out, "default");
    else
        bytes_addf(out, "%06x", (unsigned)rgb);
}

void canvas_dump_styles(const struct canvas *c, enum color_depth depth, struct bytes *out)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    static const char *const attr[] = {" bold", " dim", " reverse", " underline"};
    struct canvas_style seen[sizeof letters - 1];
    size_t count = 0;
    for (int y = 0; y < c->h; y++) {
        for (int x = 0; x < c->w; x++) {
            struct canvas_style st = canvas_style_shown(&row_of(c, y)[x], depth);
            size_t i = 0;
            while (i < count && !style_equal(seen[i], st))
                i++;
            bool plain = style_equal(st, canvas_plain(0));
            if (!plain && i == count && count < sizeof letters - 1)
                seen[count++] = st;
            bytes_add_char(out, plain       ? '.'
                                : i < count ? letters[i]
                                            : '#'); /* '#': more styles than letters */
        }
        bytes_add_char(out, '\n');
    }
    for (size_t i = 0; i < count; i++) {
        bytes_addf(out, "%c ", letters[i]);
        add_color(out, seen[i].fg);
        bytes_add_string(out, " on ");
        add_color(out, seen[i].bg);
        for (int a = 0; a < 4; a++)
            if (seen[i].attr >> a & 1)
                bytes_add_string(out, attr[a]);
        bytes_add_char(out, '\n');
    }
}
