/* screen_file.c - see screen_file.h. */
#include "save/screen_file.h"

#include <string.h>

enum { CELL_W = 9, CELL_H = 18, BASELINE = 14, BLACK = 0x000000, WHITE = 0xffffff };

/* Text between tags and in attributes. */
static void add_escaped(struct bytes *out, const char *s)
{
    for (; *s; s++) {
        const char *name = *s == '<'   ? "&lt;"
                           : *s == '>' ? "&gt;"
                           : *s == '&' ? "&amp;"
                           : *s == '"' ? "&quot;"
                                       : NULL;
        if (name)
            bytes_add_string(out, name);
        else
            bytes_add_char(out, *s);
    }
}

struct screen_look screen_look(struct canvas_style st)
{
    uint32_t fg = st.fg == COLOR_DEFAULT ? BLACK : st.fg,
             bg = st.bg == COLOR_DEFAULT ? WHITE : st.bg;
    bool swap = st.attr & CANVAS_REVERSE;
    struct screen_look l = {swap ? bg : fg, swap ? fg : bg, false};
    if (st.attr & CANVAS_DIM && st.fg == COLOR_DEFAULT && !swap)
        l.fg = 0x777777;
    l.plain = l.fg == BLACK && l.bg == WHITE && !(st.attr & (CANVAS_BOLD | CANVAS_UNDERLINE));
    return l;
}

/* The cells from x on that look alike; their text is appended to *text. */
static int run_of(const struct canvas *c, int x, int y, struct bytes *text)
{
    const struct canvas_cell *first = canvas_at(c, x, y);
    int n = 0;
    for (const struct canvas_cell *at;
         (at = canvas_at(c, x + n, y)) && canvas_same_style(&first->style, &at->style); n++)
        add_escaped(text, at->text); /* the right half of a wide one has none */
    return n;
}

void screen_html(const struct canvas *c, const char *title, struct bytes *out)
{
    bytes_add_string(out, "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>");
    add_escaped(out, title);
    bytes_add_string(out, "</title></head>\n<body style=\"background:#ffffff;color:#000000\">\n"
                          "<pre style=\"font-family:monospace;line-height:1.2\">\n");
    for (int y = 0; y < c->h; y++) {
        for (int x = 0; x < c->w;) {
            struct bytes text = {0};
            struct canvas_style st = canvas_at(c, x, y)->style;
            struct screen_look l = screen_look(st);
            x += run_of(c, x, y, &text);
            if (!l.plain)
                bytes_addf(out, "<span style=\"color:#%06x;background:#%06x%s%s\">", l.fg, l.bg,
                           st.attr & CANVAS_BOLD ? ";font-weight:bold" : "",
                           st.attr & CANVAS_UNDERLINE ? ";text-decoration:underline" : "");
            bytes_add_string(out, text.failed || !text.data ? "" : text.data);
            bytes_add_string(out, l.plain ? "" : "</span>");
            out->failed |= text.failed;
            bytes_free(&text);
        }
        bytes_add_char(out, '\n');
    }
    bytes_add_string(out, "</pre>\n</body></html>\n");
}

void screen_svg(const struct canvas *c, struct bytes *out)
{
    int w = c->w * CELL_W, h = c->h * CELL_H;
    bytes_addf(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 "
               "%d %d\" font-family=\"monospace\" font-size=\"15\">\n"
               "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n",
               w, h, w, h, w, h);
    for (int y = 0; y < c->h; y++)
        for (int x = 0; x < c->w;) {
            struct bytes text = {0};
            struct canvas_style st = canvas_at(c, x, y)->style;
            struct screen_look l = screen_look(st);
            int n = run_of(c, x, y, &text);
            if (l.bg != WHITE)
                bytes_addf(out,
                           "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"#%06x\"/>\n",
                           x * CELL_W, y * CELL_H, n * CELL_W, CELL_H, l.bg);
            bool blank = !text.data || strspn(text.data, " ") == text.len;
            if (!blank)
                bytes_addf(
                    out,
                    "<text x=\"%d\" y=\"%d\" textLength=\"%d\" lengthAdjust="
                    "\"spacingAndGlyphs\" xml:space=\"preserve\" fill=\"#%06x\"%s%s>%s</text>\n",
                    x * CELL_W, y * CELL_H + BASELINE, n * CELL_W, l.fg,
                    st.attr & CANVAS_BOLD ? " font-weight=\"bold\"" : "",
                    st.attr & CANVAS_UNDERLINE ? " text-decoration=\"underline\"" : "",
                    text.failed ? "" : text.data);
            out->failed |= text.failed;
            bytes_free(&text);
            x += n;
        }
    bytes_add_string(out, "</svg>\n");
}
