/* shift.c - see shift.h.  Tested in tests/tui/test_paint.c. */
#include "shift.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What a row looks like (FNV-1a over words); 0: it is all blank. */
static uint64_t row_hash(const struct canvas_cell *row, int columns)
{
    uint64_t h = 14695981039346656037u;
    bool blank = true;
    for (int x = 0; x < columns; x++) {
        const struct canvas_cell *c = &row[x];
        const uint64_t word[] = {c->style.fg, c->style.bg, c->style.attr};
        blank &= strcmp(c->text, " ") == 0;
        for (int i = 0; i < 3; i++)
            h = (h ^ word[i]) * 1099511628211u;
        for (const char *s = c->text; *s; s++)
            h = (h ^ (unsigned char)*s) * 1099511628211u;
    }
    return blank ? 0 : h | 1;
}

static int rows_that_moved(const uint64_t *was, const uint64_t *now, int h, struct shift *s)
{
    int n = 0, first = 0, last = 0;
    for (int y = s->by < 0 ? -s->by : 0; y < h && y + s->by < h; y++)
        if (now[y] && now[y] != was[y] && now[y] == was[y + s->by]) {
            first = n++ ? first : y;
            last = y;
        }
    s->lo = s->by < 0 ? first + s->by : first;
    s->hi = s->by < 0 ? last : last + s->by;
    return n;
}

static int cells_changed(const struct canvas_cell *was, const struct canvas_cell *now, int w)
{
    int n = 0;
    for (int x = 0; x < w; x++)
        n += !canvas_same_cell(&was[x], &now[x]);
    return n;
}

static bool pays(const struct canvas_cell *was, const struct canvas_cell *now, int w, int columns,
                 const struct shift *s)
{
    int as_it_is = 0, moved = 0;
    for (int y = s->lo; y <= s->hi; y++) {
        int from = y + s->by;
        bool inside = from >= s->lo && from <= s->hi;
        as_it_is += cells_changed(&was[y * w], &now[y * w], columns);
        moved += inside ? cells_changed(&was[from * w], &now[y * w], columns) : columns;
    }
    return 2 * moved < as_it_is;
}

bool shift_find(const struct canvas_cell *was, const struct canvas_cell *now, int w, int h,
                int judged, int moving, struct shift *out)
{
    uint64_t *hash = malloc(2 * (size_t)h * sizeof *hash), *after;
    int most = 0;
    if (!hash)
        return false;
    after = hash + h;
    for (int y = 0; y < h; y++) {
        hash[y] = row_hash(&was[y * w], judged);
        after[y] = row_hash(&now[y * w], judged);
    }
    for (int by = 1 - h; by < h; by++) {
        struct shift s = {.by = by};
        int n = by ? rows_that_moved(hash, after, h, &s) : 0;
        if (n > most)
            most = n, *out = s;
    }
    free(hash);
    return most > 1 && pays(was, now, w, moving, out);
}
