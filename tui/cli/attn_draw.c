/* attn_draw.c - attention patterns as pictures (see attn_draw.h). */
#include "attn_draw.h"

#include <stdio.h>
#include <string.h>

#include "canvas.h"
#include "maps_draw.h"
#include "text.h"

enum { LABEL_W = 16 };

static void head_title(const void *user, int32_t i, char buf[64])
{
    const struct attn_maps *m = user;
    snprintf(buf, 64, "L%dH%d", (int)m->layer, (int)(m->first + i));
}

static struct maps head_maps(const struct attn_maps *m)
{
    return (struct maps){.value = m->pattern,
                         .n = m->n_heads,
                         .rows = m->n,
                         .cols = m->n,
                         .scale = scale_make(SCALE_LINEAR, 0, 1),
                         .map = COLORMAP_SEQUENTIAL,
                         .title = head_title,
                         .user = m,
                         .too_large = "draw one head with -H"};
}

int attn_png(struct cli *c, const struct attn_maps *m, const char *path)
{
    struct maps maps = head_maps(m);
    int side[2], rc = maps_png(c, &maps, path, side);
    if (rc)
        return rc;
    cli_head(c);
    bytes_addf(&c->out, "# layer %d, %d head%s, %d x %d pixels, written to ", (int)m->layer,
               (int)m->n_heads, m->n_heads > 1 ? "s" : "", side[0], side[1]);
    cli_plain_text(&c->out, path, strlen(path));
    bytes_add_char(&c->out, '\n');
    return 0;
}

int attn_sixel(struct cli *c, const struct attn_maps *m)
{
    struct maps maps = head_maps(m);
    return maps_sixel(c, &maps);
}

int attn_ansi(struct cli *c, const struct attn_maps *m)
{
    struct maps maps = head_maps(m);
    return maps_ansi(c, &maps);
}

int attn_glyphs(struct cli *c, const struct attn_maps *m)
{
    int side = m->n < CANVAS_SIDE_MAX - LABEL_W ? m->n : CANVAS_SIDE_MAX - LABEL_W;
    struct canvas *canvas = canvas_new(LABEL_W + side + 1, side);
    if (!canvas)
        return cli_memory(c);
    struct rect r = canvas_rect(canvas), labels = rect_cut_left(&r, LABEL_W);
    struct heat h = {.value = m->pattern,
                     .rows = side,
                     .cols = side,
                     .stride = m->n,
                     .scale = scale_make(SCALE_LINEAR, 0, 1),
                     .map = COLORMAP_SEQUENTIAL};
    size_t len;
    for (int i = 0; i < side; i++) {
        const char *text = cli_input_text(c, i, &len);
        canvas_putf(canvas, labels, 0, i, canvas_plain(0), "%4d ", i);
        canvas_put_field(canvas, labels, 5, i, canvas_plain(0), text, len, TEXT_TOKEN, LABEL_W - 6,
                         true);
    }
    heat_glyphs(&h, canvas, r, HEAT_SHADES);
    canvas_dump_plain(canvas, &c->out);
    canvas_free(canvas);
    return 0;
}
