/* hooks.c - every hook point by name, with shape and statistics. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "names/alias.h"
#include "draw.h"
#include "keybar.h"
#include "list/hook_rank.h"
#include "list/hook_table.h"

static bool is_listed(const struct app *a, int32_t site)
{
    for (int32_t i = 0; i < a->n_listed; i++)
        if (a->listed[i] == site)
            return true;
    return false;
}

/* The hooks that a name in another library shows. */
static void list_elsewhere(struct app *a)
{
    for (int t = LIBRARY_LENS + 1; t < LIBRARY_COUNT; t++) {
        struct alias_pick *names = NULL;
        int n = alias_list(&a->m->cfg, (enum alias_library)t, &names, NULL);
        for (int k = 0; k < n; k++) {
            const struct alias_value *v = &names[k].value;
            if (hook_rank(names[k].name, a->filter) == HOOK_NOT)
                continue;
            for (int32_t i = 0; i < a->n_sites; i++)
                for (int p = 0; p < v->n_sites; p++)
                    if (site_same(a->sites[i], v->site[p]) && !is_listed(a, i))
                        a->listed[a->n_listed++] = i;
        }
        free(names);
    }
}

/* TransformerLens' names, the best matches first; where none matches, those of other libraries. A
 * new filter puts the cursor on the best one. */
static void list_hooks(struct app *a)
{
    char name[LIMIT_NAME];
    if (strcmp(a->filter, a->listed_for) == 0)
        return;
    snprintf(a->listed_for, sizeof a->listed_for, "%s", a->filter);
    a->n_listed = 0;
    for (int r = HOOK_EXACT; r < HOOK_NOT; r++)
        for (int32_t i = 0; i < a->n_sites; i++)
            if ((*a->filter ? hook_rank(site_name(a->sites[i], name), a->filter) : HOOK_EXACT) ==
                (enum hook_rank)r)
                a->listed[a->n_listed++] = i;
    a->listed_elsewhere = !a->n_listed;
    if (!a->n_listed)
        list_elsewhere(a);
    if (a->n_listed && *a->filter)
        a->cur.hook = a->listed[0];
}

/* Place of the cursor among the listed ones and their number. */
static int32_t place_of(const struct app *a, int32_t *listed)
{
    *listed = a->n_listed;
    for (int32_t i = 0; i < a->n_listed; i++)
        if (a->listed[i] == a->cur.hook)
            return i;
    return -1;
}

/* Put the cursor on the listed hook at place `at`. */
static void go_to(struct app *a, int32_t at)
{
    if (at >= 0 && at < a->n_listed)
        a->cur.hook = a->listed[at];
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
    hook_table_layout(a, body.w);
}

static void hooks_want(const struct app *a, struct want_list *l)
{
    for (int32_t at = a->hook_top; at < a->n_listed && at < a->hook_top + a->page; at++)
        if (hook_table_fires(a, a->listed[at]))
            want_add(l, want_whole(WANT_STATS, a->sites[a->listed[at]]));
}

static int name_width(enum alias_library library, const char *name)
{
    return (int)strlen(alias_library_name(library)) + 1 + (int)strlen(name) + 3;
}

/* The same tensor under the names of other libraries, on two lines where one has no room. */
static void draw_names(const struct app *a, struct canvas *c, struct rect r)
{
    char name[4][LIMIT_NAME];
    int width = 0;
    static const enum alias_library libraries[] = {LIBRARY_HF, LIBRARY_NNSIGHT, LIBRARY_TAKER,
                                                   LIBRARY_BRIDGE};
    for (int i = 0; i < 4; i++) {
        if (!alias_name(&a->m->cfg, a->sites[a->cur.hook], libraries[i], 0, name[i]))
            name[i][0] = 0;
        width += name[i][0] ? name_width(libraries[i], name[i]) : 0;
    }
    int x = 3, y = 3 + width > r.w ? 0 : 1;
    for (int i = 0; i < 4; i++) {
        if (name[i][0] && y == 0 && x + name_width(libraries[i], name[i]) > r.w)
            x = 3, y = 1;
        if (!name[i][0])
            continue;
        x += canvas_put(c, r, x, y, canvas_plain(CANVAS_DIM), alias_library_name(libraries[i])) + 1;
        canvas_put_field(c, r, x, y, canvas_plain(0), name[i], strlen(name[i]), TEXT_PLAIN, r.w - x,
                         false);
        x += (int)strlen(name[i]) + 3;
    }
}

/* What the keys do with the hook under the cursor. */
static void draw_keys(const struct app *a, struct canvas *c, struct rect foot, bool fires)
{
    const char *const does[] = {"{enter} opens the tensor", "{zero} zeroes",
                                fires ? NULL : "{observe} switches this on-request hook on",
                                "{copy} copies the name"};
    keybar_items(a, c, foot, 3, 0, does, sizeof does / sizeof *does);
}

static void hooks_draw(struct app *a, struct frame *f, struct rect body)
{
    struct canvas *c = f->canvas;
    int32_t n = a->n_listed;
    int x = canvas_putf(c, body, 1, 0, canvas_plain(0), "%d of %d", (int)n, (int)a->n_sites) + 4;
    if (a->filter[0])
        canvas_putf(c, body, x, 0, canvas_plain(0), "filter: %s%s", a->filter,
                    a->listed_elsewhere ? "   a name in another library" : "");
    struct rect head = {body.x, body.y + 1, body.w, 1};
    hook_table_head(a, c, head);
    struct rect rows = {body.x, body.y + 2, body.w, a->page};
    for (int32_t y = 0; y < rows.h && a->hook_top + y < n; y++)
        hook_table_row(a, c, rows, y, a->listed[a->hook_top + y]);
    if (!n)
        keybar_put(a, c, rows, 3, 0, canvas_plain(0),
                   "no hook has that · {search} then {accept} lists all");
    struct rect foot = {body.x, body.y + body.h - 1, body.w, 1};
    if (n && body.h > 6)
        draw_names(a, c, (struct rect){body.x, foot.y - 2, body.w, 2});
    const char *refusal = site_refusal(&a->m->cfg, a->sites[a->cur.hook].id);
    if (n && refusal)
        canvas_put(c, foot, 3, 0, canvas_plain(CANVAS_DIM), refusal);
    else if (n) {
        bool fires = hook_table_fires(a, a->cur.hook);
        draw_keys(a, c, foot, fires);
    }
}

static void hooks_title(const struct app *a, struct bytes *out)
{
    bytes_add_string(out, *a->filter ? "hook points, best matches first"
                                     : "hook points in forward order");
}

static void hooks_move(struct app *a, enum move m, int count)
{
    int32_t n, at = place_of(a, &n);
    if (m == MOVE_LEFT || m == MOVE_RIGHT) { /* mended by layout */
        a->hook_left += m == MOVE_LEFT ? -1 : 1;
        return;
    }
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
    a->cur.site = a->sites[a->cur.hook], a->cur.expert = 0;
    a->cur.element = 0;
    a->cur.view = VIEW_TENSOR;
    return true;
}

static void hooks_say(const struct app *a, struct bytes *b)
{
    int32_t n, at = place_of(a, &n);
    bytes_addf(b, "hook %d of %d", (int)at + 1, (int)n);
    bytes_addf(b, a->filter[0] ? ", filter %s\n" : "\n", a->filter);
    if (n)
        hook_table_say(a, b, a->cur.hook);
}

static bool hooks_click(struct app *a, int x, int y)
{
    (void)x;
    int32_t at = a->hook_top + y - a->rows_y;
    if (y < a->rows_y || at >= a->n_listed || y >= a->rows_y + a->page)
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
    .help = "every hook point in firing order; {search} filters by its name in any library, "
            "{move left} and {move right} scroll, {enter} shows values, {zero} zeroes it here",
    .layout = hooks_layout,
    .want = hooks_want,
    .draw = hooks_draw,
    .title = hooks_title,
    .move = hooks_move,
    .noun = hooks_noun,
    .enter = hooks_enter,
    .say = hooks_say,
    .click = hooks_click,
    .copy = hooks_copy};
