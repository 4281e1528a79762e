/* hook_table.c - the columns of the hooks view (see hook_table.h). */
#include "list/hook_table.h"

#include <stdio.h>
#include <string.h>

#include "draw.h"
#include "say.h"

enum { NAME_X = 3, NAME_MIN = 34, NAN_COLUMN = 6, FIRST_FIGURE = 2 };

static const struct {
    const char *name;
    int width;
} columns[] = {{"shape", 19},  {"dtype", 6},   {"   mean", 8}, {"    std", 8},
               {"    min", 8}, {"    max", 8}, {"  NaN", 6},   {"edits", 8}};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

static int columns_width(int from)
{
    int width = 0;
    for (int i = from; i < COLUMNS; i++)
        width += columns[i].width;
    return width;
}

/* As wide as the longest name where there is room for all columns beside it; the same for all rows.
 */
static int name_width(const struct app *a, int width)
{
    int room = width - NAME_X - columns_width(0), most = room > NAME_MIN ? room : NAME_MIN,
        wanted = a->hook_name_max + 1 > NAME_MIN ? a->hook_name_max + 1 : NAME_MIN;
    return wanted < most ? wanted : most;
}

void hook_table_layout(struct app *a, int width)
{
    char name[LIMIT_NAME];
    int last = 0;
    for (int32_t i = 0, known = a->hook_name_max; i < a->n_sites && !known; i++) {
        int n = (int)strlen(site_name(a->sites[i], name));
        a->hook_name_max = n > a->hook_name_max ? n : a->hook_name_max;
    }
    while (last + 1 < COLUMNS && columns_width(last) > width - NAME_X - NAME_MIN)
        last++;
    a->hook_left = a->hook_left > last ? last : a->hook_left < 0 ? 0 : a->hook_left;
}

void hook_table_head(const struct app *a, struct canvas *c, struct rect r)
{
    int x = NAME_X + name_width(a, r.w), first = x;
    canvas_put(c, r, NAME_X, 0, canvas_plain(CANVAS_DIM), "name");
    for (int i = a->hook_left; i < COLUMNS; i++) {
        if (x + columns[i].width > r.w && i > a->hook_left)
            break;
        canvas_put(c, r, x, 0, canvas_plain(CANVAS_DIM), columns[i].name);
        x += columns[i].width;
        if (i + 1 < COLUMNS && x + columns[i + 1].width > r.w)
            canvas_put(c, r, r.w - 1, 0, canvas_plain(0), "›");
    }
    if (a->hook_left)
        canvas_put(c, r, first - 2, 0, canvas_plain(0), "‹");
}

bool hook_table_fires(const struct app *a, int32_t i)
{
    return site_fires(&a->m->cfg, a->sites[i].id) || a->observed[i];
}

static void shape_text(const struct app *a, enum site_id id, char *buf, size_t size)
{
    int64_t shape[SITE_RANK_MAX];
    int rank = site_shape(&a->m->cfg, id, a->n, shape), at = snprintf(buf, size, "[1");
    for (int i = 0; i < rank; i++)
        at += snprintf(buf + at, size - (size_t)at, ", %lld", (long long)shape[i]);
    snprintf(buf + at, size - (size_t)at, "]");
}

/* The edits that act there, "*" on and "-" off. */
static void edits_text(const struct app *a, struct site_ref site, char *buf, size_t size)
{
    buf[0] = 0;
    for (int32_t k = 0, at = 0; k < a->n_reach && at + 16 < (int)size; k++) {
        const struct edit_reach *hit = &a->reach[k];
        if (site_same(hit->site, site))
            at += snprintf(buf + at, size - (size_t)at, " %s%d", draw_edit_mark(a, hit->edit),
                           (int)hit->edit + 1);
    }
}

/* The statistics of a hook in the face on show. */
struct figures {
    bool there;
    enum show show;
    double base[4], shown[4];
    int64_t n_nan, n_inf; /* the mask of scores is not counted */
    unsigned attr;
};

static struct figures figures_of(const struct app *a, struct site_ref site)
{
    const struct want w = want_whole(WANT_STATS, site);
    struct answer at;
    struct figures f = {0};
    if (!app_answer(a, WANT_STATS, SITE_COUNT, &at))
        return f;
    const struct lens_stats *base = snapshot_at(at.s, FACE_BASE, &w, 0),
                            *st = at.show == SHOW_BASE ? base
                                                       : snapshot_at(at.s, FACE_EDITED, &w, 0);
    if (!base || !st)
        return f;
    const double b[4] = {base->mean, base->std, (double)base->min, (double)base->max},
                 v[4] = {st->mean, st->std, (double)st->min, (double)st->max};
    f = (struct figures){true, at.show, {0}, {0}, st->n_nan, st->n_inf, at.stale ? CANVAS_DIM : 0};
    memcpy(f.base, b, sizeof b);
    memcpy(f.shown, v, sizeof v);
    return f;
}

static void draw_figure(struct canvas *c, struct rect r, int x, int y, struct canvas_style st,
                        const struct figures *f, int column)
{
    if (!f->there) {
        canvas_put(c, r, x, y, canvas_plain(CANVAS_DIM), "      …");
    } else if (column == NAN_COLUMN) {
        if (f->n_nan)
            st = canvas_style(color_text_over(COLORMAP_NAN), COLORMAP_NAN, st.attr);
        canvas_putf(c, r, x, y, st, "%5lld", (long long)f->n_nan);
    } else {
        double v = f->shown[column - FIRST_FIGURE], base = f->base[column - FIRST_FIGURE];
        bool diff = f->show == SHOW_DIFFERENCE;
        char n[NUMBER_BYTES];
        if (!diff && !f->n_nan && !f->n_inf) /* no alarm for the mask */
            canvas_put(c, r, x, y, st, number_fit(n, v, 7, 2, 0));
        else if (!diff)
            draw_number(c, r, x, y, st, v, 7, 2, 0);
        else if (v < base || v > base || v != v)
            draw_number(c, r, x, y, st, v - base, 7, 2, NUMBER_SIGN);
    }
}

static void draw_column(const struct app *a, struct canvas *c, struct rect r, int x, int y,
                        struct canvas_style st, const struct figures *f, int column, int32_t i)
{
    char text[64];
    if (column == 0) {
        shape_text(a, a->sites[i].id, text, sizeof text);
        canvas_put(c, r, x, y, st, text);
    } else if (column + 1 == COLUMNS) {
        edits_text(a, a->sites[i], text, sizeof text);
        canvas_put(c, r, x, y, canvas_plain(0), text);
    } else if (hook_table_fires(a, i)) {
        if (column == 1)
            canvas_put(c, r, x, y, st, "f32");
        else
            draw_figure(c, r, x, y, st, f, column);
    } else if (column == 1 || column == a->hook_left) {
        bool port = site_is_module_port(a->sites[i].id);
        int n = snprintf(text, sizeof text, "on request%s%s", port ? "" : ": ",
                         port ? "" : site_table[a->sites[i].id].needs);
        canvas_put_field(c, r, x, y, st, text, (size_t)n, TEXT_PLAIN, r.w - x, false);
    }
}

void hook_table_row(const struct app *a, struct canvas *c, struct rect r, int y, int32_t i)
{
    bool on = i == a->cur.hook;
    struct canvas_style st = canvas_plain((on ? CANVAS_BOLD : 0) |
                                          (hook_table_fires(a, i) ? 0 : CANVAS_DIM));
    char name[LIMIT_NAME];
    canvas_put(c, r, 1, y, st, on ? "▶" : " ");
    int wide = name_width(a, r.w), x = NAME_X + wide;
    site_name(a->sites[i], name);
    canvas_put_field(c, r, NAME_X, y, st, name, strlen(name), TEXT_PLAIN, wide - 1, false);
    struct figures f = figures_of(a, a->sites[i]);
    st.attr |= (uint8_t)f.attr;
    for (int k = a->hook_left; k < COLUMNS && (x + columns[k].width <= r.w || k == a->hook_left);
         k++) {
        draw_column(a, c, r, x, y, st, &f, k, i);
        x += columns[k].width;
    }
}

void hook_table_say(const struct app *a, struct bytes *b, int32_t i)
{
    static const char *const names[] = {", mean ", ", standard deviation ", ", least ",
                                        ", largest "};
    char name[LIMIT_NAME], text[64];
    shape_text(a, a->sites[i].id, text, sizeof text);
    bytes_addf(b, "%s, shape %s", site_name(a->sites[i], name), text);
    struct figures f = figures_of(a, a->sites[i]);
    if (!hook_table_fires(a, i))
        bytes_add_string(b, ", on request: observe switches it on");
    for (int k = 0; k < 4 && f.there; k++) {
        bytes_add_string(b, names[k]);
        say_number(b, f.shown[k], 2, 0);
    }
    if (f.there)
        bytes_addf(b, ", %lld NaN", (long long)f.n_nan);
    edits_text(a, a->sites[i], text, sizeof text);
    bytes_addf(b, "%s%s\n", *text ? ", edits" : "", text);
}
