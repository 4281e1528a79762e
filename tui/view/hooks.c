/* hooks.c - view 4: every hook point by name, with shape and statistics. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "names/alias.h"
#include "draw.h"

enum { NAME_WIDTH = 34, SHAPE_WIDTH = 19 };

/* Letters in this order, or a pattern with wildcards. */
static bool matches(const char *name, const char *filter)
{
    if (strpbrk(filter, "*?{"))
        return site_glob(filter, name);
    for (; *filter; filter++) {
        if (*filter == ' ')
            continue;
        while (*name && tolower((unsigned char)*name) != tolower((unsigned char)*filter))
            name++;
        if (!*name++)
            return false;
    }
    return true;
}

/* The hooks that a name in another library shows; returns how many. */
static int list_elsewhere(struct app *a)
{
    int found = 0;
    for (int t = LIBRARY_LENS + 1; t < LIBRARY_COUNT; t++) {
        struct alias_pick *names = NULL;
        int n = alias_list(&a->m->cfg, (enum alias_library)t, &names, NULL);
        for (int k = 0; k < n; k++) {
            const struct alias_value *v = &names[k].value;
            if (!matches(names[k].name, a->filter))
                continue;
            for (int32_t i = 0; i < a->n_sites; i++)
                for (int p = 0; p < v->n_sites && !a->listed[i]; p++)
                    if (site_same(a->sites[i], v->site[p]))
                        a->listed[i] = true, found++;
        }
        free(names);
    }
    return found;
}

/* TransformerLens' names first; where none matches, those of other libraries. */
static void list_hooks(struct app *a)
{
    char name[LIMIT_NAME];
    int found = 0;
    if (strcmp(a->filter, a->listed_for) == 0)
        return;
    snprintf(a->listed_for, sizeof a->listed_for, "%s", a->filter);
    for (int32_t i = 0; i < a->n_sites; i++)
        found += a->listed[i] = matches(site_name(a->sites[i], name), a->filter);
    a->listed_elsewhere = !found && list_elsewhere(a);
}

static bool is_listed(const struct app *a, int32_t i)
{
    return a->listed[i];
}

/* Place of the cursor among the listed ones and their number. */
static int32_t place_of(const struct app *a, int32_t *listed)
{
    int32_t at = -1, n = 0;
    for (int32_t i = 0; i < a->n_sites; i++)
        if (is_listed(a, i)) {
            if (i == a->cur.hook)
                at = n;
            n++;
        }
    *listed = n;
    return at;
}

/* Put the cursor on the listed hook at place `at`. */
static void go_to(struct app *a, int32_t at)
{
    int32_t n = 0;
    for (int32_t i = 0; i < a->n_sites; i++)
        if (is_listed(a, i) && n++ == at)
            a->cur.hook = i;
}

static int32_t rows_shown(struct rect body)
{
    return body.h > 6       ? body.h - 5
           : body.h - 2 > 0 ? body.h - 2
                            : 1; /* header lines and the foot */
}

static void hooks_layout(struct app *a, struct rect body)
{
    list_hooks(a);
    int32_t n, at = place_of(a, &n);
    if (at < 0 && n) {
        go_to(a, 0);
        at = 0;
    }
    a->page = rows_shown(body);
    a->hook_top = draw_scroll(a->hook_top, at < 0 ? 0 : at, n, a->page);
    a->rows_y = body.y + 2;
}

static bool has_stats(const struct app *a, int32_t i)
{
    return site_fires(&a->m->cfg, a->sites[i].id) || a->observed[i];
}

static void hooks_want(const struct app *a, struct want_list *l)
{
    int32_t at = 0;
    for (int32_t i = 0; i < a->n_sites; i++) {
        if (!is_listed(a, i))
            continue;
        if (at >= a->hook_top && at < a->hook_top + a->page && has_stats(a, i))
            want_add(l, want_whole(WANT_STATS, a->sites[i]));
        at++;
    }
}

static void shape_text(const struct app *a, enum site_id id, char *buf, size_t size)
{
    int64_t shape[SITE_RANK_MAX];
    int rank = site_shape(&a->m->cfg, id, a->n, shape), at = snprintf(buf, size, "[1");
    for (int i = 0; i < rank; i++)
        at += snprintf(buf + at, size - (size_t)at, ", %lld", (long long)shape[i]);
    snprintf(buf + at, size - (size_t)at, "]");
}

static void draw_figures(const struct app *a, struct canvas *c, struct rect r, int x, int y,
                         struct canvas_style st, struct site_ref ref)
{
    const struct want w = want_whole(WANT_STATS, ref);
    struct answer at;
    bool answered = app_answer(a, WANT_STATS, SITE_COUNT, &at);
    enum show show = answered ? at.show : SHOW_BASE;
    const struct lens_stats *base = answered ? snapshot_at(at.s, FACE_BASE, &w, 0) : NULL,
                            *st2 = base && show != SHOW_BASE ? snapshot_at(at.s, FACE_EDITED, &w, 0)
                                                             : base;
    if (!base || !st2) {
        canvas_put(c, r, x + 6, y, canvas_plain(CANVAS_DIM), "…");
        return;
    }
    st.attr |= at.stale ? CANVAS_DIM : 0;
    double v[4] = {st2->mean, st2->std, (double)st2->min, (double)st2->max};
    double b[4] = {base->mean, base->std, (double)base->min, (double)base->max};
    for (int i = 0; i < 4; i++) {
        double shown = show == SHOW_DIFFERENCE ? b[i] == v[i] ? 0 : v[i] - b[i] : v[i];
        if (show != SHOW_DIFFERENCE || shown != 0)
            draw_number(c, r, x + i * 8, y, st, shown, 7, 2,
                        show == SHOW_DIFFERENCE ? NUMBER_SIGN : 0);
    }
    if (st2->n_nan)
        st = canvas_style(color_text_over(COLORMAP_NAN), COLORMAP_NAN, st.attr);
    canvas_putf(c, r, x + 32, y, st, "%5lld", (long long)st2->n_nan);
}

static void draw_hook(const struct app *a, struct canvas *c, struct rect r, int y, int32_t i)
{
    bool on = i == a->cur.hook, wide = r.w >= 80;
    struct canvas_style st = canvas_plain((on ? CANVAS_BOLD : 0) |
                                          (has_stats(a, i) ? 0 : CANVAS_DIM));
    char name[LIMIT_NAME], shape[64];
    site_name(a->sites[i], name);
    shape_text(a, a->sites[i].id, shape, sizeof shape);
    canvas_put(c, r, 1, y, st, on ? "▶" : " ");
    canvas_put(c, r, 3, y, st, name);
    canvas_put(c, r, 3 + NAME_WIDTH, y, st, shape);
    if (!wide)
        return;
    int x = 3 + NAME_WIDTH + SHAPE_WIDTH;
    if (has_stats(a, i)) {
        canvas_put(c, r, x, y, st, "f32");
        draw_figures(a, c, r, x + 4, y, st, a->sites[i]);
    } else {
        canvas_put(c, r, x, y, st, "on request");
        if (!site_is_module_port(a->sites[i].id))
            canvas_putf(c, r, x + 10, y, st, ": %s", site_table[a->sites[i].id].needs);
    }
    char edits[48] = "";
    for (int32_t k = 0, at = 0; k < a->n_reach && at < 32; k++) {
        const struct edit_reach *hit = &a->reach[k];
        if (site_same(hit->site, a->sites[i]))
            at += snprintf(edits + at, sizeof edits - (size_t)at, " %s%d",
                           a->edits.on[hit->edit] ? "*" : "-", (int)hit->edit + 1);
    }
    canvas_put(c, r, x + 42, y, canvas_plain(0), edits);
}

/* The same tensor under the names of other libraries. */
static void draw_names(const struct app *a, struct canvas *c, struct rect r)
{
    static const enum alias_library libraries[] = {LIBRARY_HF, LIBRARY_NNSIGHT, LIBRARY_TAKER,
                                                   LIBRARY_BRIDGE};
    int x = 3;
    for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++) {
        char name[LIMIT_NAME];
        if (alias_name(&a->m->cfg, a->sites[a->cur.hook], libraries[i], 0, name)) {
            x += canvas_put(c, r, x, 0, canvas_plain(CANVAS_DIM),
                            alias_library_name(libraries[i])) +
                 1;
            x += canvas_put(c, r, x, 0, canvas_plain(0), name) + 3;
        }
    }
}

static void hooks_draw(struct app *a, struct frame *f, struct rect body)
{
    struct canvas *c = f->canvas;
    int32_t n, at = place_of(a, &n);
    (void)at;
    int x = canvas_putf(c, body, 1, 0, canvas_plain(0), "%d of %d", (int)n, (int)a->n_sites) + 4;
    if (a->filter[0])
        canvas_putf(c, body, x, 0, canvas_plain(0), "filter: %s%s", a->filter,
                    a->listed_elsewhere ? "   a name in another library" : "");
    struct rect head = {body.x, body.y + 1, body.w, 1};
    canvas_put(c, head, 3, 0, canvas_plain(CANVAS_DIM), "name");
    canvas_put(c, head, 3 + NAME_WIDTH, 0, canvas_plain(CANVAS_DIM), "shape");
    if (body.w >= 80)
        canvas_put(c, head, 3 + NAME_WIDTH + SHAPE_WIDTH, 0, canvas_plain(CANVAS_DIM),
                   "dtype   mean     std     min     max   NaN  edits");
    struct rect rows = {body.x, body.y + 2, body.w, a->page};
    int32_t place = 0;
    for (int32_t i = 0; i < a->n_sites; i++) {
        if (!is_listed(a, i))
            continue;
        int32_t y = place++ - a->hook_top;
        if (y >= 0 && y < rows.h)
            draw_hook(a, c, rows, y, i);
    }
    if (!n)
        canvas_put(c, rows, 3, 0, canvas_plain(0), "no hook has that · / then Enter lists all");
    struct rect foot = {body.x, body.y + body.h - 1, body.w, 1};
    if (n && body.h > 6)
        draw_names(a, c, (struct rect){body.x, foot.y - 1, body.w, 1});
    const char *refusal = site_refusal(&a->m->cfg, a->sites[a->cur.hook].id);
    if (n && refusal)
        canvas_put(c, foot, 3, 0, canvas_plain(CANVAS_DIM), refusal);
    else if (n)
        canvas_put(
            c, foot, 3, 0, canvas_plain(CANVAS_DIM),
            has_stats(a, a->cur.hook)
                ? "y copies the name   Enter opens the tensor   x zeroes"
                : "y copies the name   Enter opens the tensor   x zeroes   Space switches this on-request hook on");
}

static void hooks_title(const struct app *a, struct bytes *out)
{
    (void)a;
    bytes_add_string(out, "hook points in forward order");
}

static void hooks_move(struct app *a, enum move m, int count)
{
    int32_t n, at = place_of(a, &n);
    if (!n)
        return;
    draw_move_cursor(m, count, &at, n, a->page, NULL, 0);
    go_to(a, at);
}

static bool hooks_noun(const struct app *a, struct noun *n)
{
    n->site = a->sites[a->cur.hook];
    n->all[0] = 0;
    int axis = site_row_axis(n->site.id);
    if (axis == 0)
        snprintf(n->here, sizeof n->here, "[%d]", (int)draw_row_index(a, a->cur.row));
    else
        snprintf(n->here, sizeof n->here, "[:, %d]", (int)draw_row_index(a, a->cur.row));
    return true;
}

static bool hooks_enter(struct app *a)
{
    const char *refusal = site_refusal(&a->m->cfg, a->sites[a->cur.hook].id);
    if (refusal) {
        app_complain(a, "%s", refusal);
        return true;
    }
    app_jump_push(a);
    a->cur.site = a->sites[a->cur.hook];
    a->cur.element = 0;
    a->cur.view = VIEW_TENSOR;
    return true;
}

static bool hooks_click(struct app *a, int x, int y)
{
    (void)x;
    int32_t n;
    place_of(a, &n);
    int32_t at = a->hook_top + y - a->rows_y;
    if (y < a->rows_y || at >= n || y >= a->rows_y + a->page)
        return false;
    go_to(a, at);
    return true;
}

static void hooks_copy(const struct app *a, struct bytes *out)
{
    char name[LIMIT_NAME];
    bytes_add_string(out, site_name(a->sites[a->cur.hook], name));
}

const struct view view_hooks = {
    .help =
        "every hook point in firing order; / filters by its name in any library, Enter shows values, x zeroes it at the position of the cursor",
    .layout = hooks_layout,
    .want = hooks_want,
    .draw = hooks_draw,
    .title = hooks_title,
    .move = hooks_move,
    .noun = hooks_noun,
    .enter = hooks_enter,
    .click = hooks_click,
    .copy = hooks_copy};
