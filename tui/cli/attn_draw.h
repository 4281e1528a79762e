/* attn_draw.h - attention patterns as pictures: PNG file, sixel, coloured or plain characters.
 * Tested in tests/tui/test_cli.c. */
#ifndef ATTN_DRAW_H
#define ATTN_DRAW_H

#include "cli.h"

/* Patterns of neighbouring heads of one layer. */
struct attn_maps {
    const float *pattern; /* [n_heads][n][n] */
    int32_t n_heads, n, first, layer;
};

int attn_png(struct cli *c, const struct attn_maps *m, const char *path);
int attn_sixel(struct cli *c, const struct attn_maps *m);
int attn_ansi(struct cli *c, const struct attn_maps *m);
/* One head with its tokens. */
int attn_glyphs(struct cli *c, const struct attn_maps *m);

#endif
