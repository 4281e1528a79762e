/* maps_draw.h - maps of numbers side by side as pictures: PNG file, sixel, coloured characters.
 * Tested in tests/tui/test_cli.c and tests/tui/test_cli_sweep.c. */
#ifndef MAPS_DRAW_H
#define MAPS_DRAW_H

#include "cli.h"
#include "heat.h"

struct maps {
    const float *value; /* [n][rows][cols] */
    int32_t n, rows, cols;
    struct scale scale;
    enum colormap map;
    /* The title of map i, in characters. */
    void (*title)(const void *user, int32_t i, char buf[64]);
    const void *user;
    const char *too_large; /* what would make a picture smaller: "draw one head with -H" */
};

/* side[2]: its width and height in pixels. */
int maps_png(struct cli *c, const struct maps *m, const char *path, int side[2]);
int maps_sixel(struct cli *c, const struct maps *m);
int maps_ansi(struct cli *c, const struct maps *m);

#endif
