/* sweeps.c - see sweeps.h. */
#include "sweeps.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is there ---- */

const struct sweep_map *sweeps_map(const struct app *a)
{
    const struct snapshot *const from[] = {a->snap, a->old};
    for (int i = 0; i < 2; i++)
        if (from[i] && from[i]->sweep && a->sweep.id && from[i]->sweep->of.id == a->sweep.id)
            return from[i]->sweep;
    return NULL;
}

struct sweep_grid sweeps_grid(const struct sweep_map *m)
{
    int32_t n = m->n_axes;
    struct sweep_grid g = {.m = m, .rows = 1, .columns = 1, .planes = 1};
    if (!m->cells)
        return (struct sweep_grid){.m = m};
    g.across = n > 0 ? &m->axis[n - 1] : NULL;
    g.down = n > 1 ? &m->axis[n - 2] : NULL;
    g.turned = g.down && g.down->role != SWEEP_POS && g.across->role == SWEEP_POS;
    if (g.turned) {
        const struct sweep_map_axis *x = g.down;
        g.down = g.across, g.across = x;
    }
    g.rows = g.down ? g.down->size : 1;
    g.columns = g.across ? g.across->size : 1;
    g.planes = m->cells / (g.rows * g.columns);
    return g;
}

int32_t sweeps_cell(const struct sweep_grid *g, int32_t plane, int32_t row, int32_t column)
{
    int32_t first = plane * g->rows * g->columns;
    return first + (g->turned ? column * g->rows + row : row * g->columns + column);
}

void sweeps_place(const struct sweep_grid *g, int32_t cell, int32_t *plane, int32_t *row,
                  int32_t *column)
{
    int32_t all = g->rows * g->columns, in = all ? cell % all : 0;
    *plane = all ? cell / all : 0;
    *row = !all ? 0 : g->turned ? in % g->rows : in / g->columns;
    *column = !all ? 0 : g->turned ? in / g->rows : in % g->columns;
}

int32_t sweeps_at(const struct sweep_map *m, int32_t cell, int32_t axis)
{
    for (int32_t i = m->n_axes; i-- > axis + 1;)
        cell /= m->axis[i].size;
    return cell % m->axis[axis].size;
}

bool sweeps_run(const struct app *a, const struct sweep_map *m)
{
    return a->sweep.id && !a->sweep.paused && !(m && (m->err.code || m->done == m->cells));
}

bool sweeps_settled(const struct app *a)
{
    const struct sweep_map *m = sweeps_map(a);
    return a->cur.view != VIEW_SWEEP || !m || !m->cells || m->cell == a->cur.cell;
}

const char *sweeps_text(const struct sweep_map *m, int32_t axis, int32_t at, char buf[16])
{
    const struct sweep_kind *k = sweep_kind_find(m->of.kind, NULL);
    if (m->axis[axis].role == SWEEP_TYPE && k)
        return k->label[at];
    snprintf(buf, 16, "%d", (int)at);
    return buf;
}

/* ---- the list ---- */

static const struct sweep_map *sorting;

static double change(int32_t cell)
{
    double d = fabs((double)sorting->value[cell] - sorting->base);
    return !sorting->has[cell] ? -1 : isnan(d) ? INFINITY : d;
}

static int by_change(const void *x, const void *y)
{
    int32_t a = *(const int32_t *)x, b = *(const int32_t *)y;
    double d = change(a), e = change(b);
    return d != e ? (d < e) - (d > e) : (a > b) - (a < b);
}

static void sort_cells(struct app *a)
{
    const struct sweep_map *m = sweeps_map(a);
    if (!m || !m->cells || a->sweep_sorted_of == m)
        return;
    int32_t *list = realloc(a->sweep_sorted, (size_t)m->cells * sizeof *list);
    if (!list)
        return;
    for (int32_t i = 0; i < m->cells; i++)
        list[i] = i;
    sorting = m;
    qsort(list, (size_t)m->cells, sizeof *list, by_change);
    sweep_map_release(a->sweep_sorted_of);
    a->sweep_sorted = list;
    a->sweep_sorted_of = sweep_map_hold(m);
}

const int32_t *sweeps_sorted(const struct app *a)
{
    const struct sweep_map *m = sweeps_map(a);
    return m && a->sweep_sorted_of == m ? a->sweep_sorted : NULL;
}

/* ---- begin and end ---- */

static uint64_t mixed(uint64_t h, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3; /* FNV-1a */
    return h;
}

uint64_t sweeps_question(const struct app *a)
{
    uint64_t h = mixed(0xcbf29ce484222325, a->tokens, (size_t)a->n * sizeof *a->tokens);
    for (int i = 0; i < a->edits.n; i++)
        if (a->edits.on[i])
            h = mixed(h, a->edits.text[i], strlen(a->edits.text[i]) + 1);
    return mixed(h, a->pair, sizeof a->pair);
}

bool sweeps_wait(struct app *a, const char *args)
{
    free(a->sweep_soon);
    a->sweep_soon = a->pair_wanted ? strdup(args) : NULL;
    if (a->sweep_soon)
        app_say(a, "the sweep begins with the first numbers");
    return a->sweep_soon;
}

static void give_again(struct app *a)
{
    struct bytes command = {0};
    if (!a->sweep_soon || a->pair_wanted)
        return;
    bytes_addf(&command, "sweep %s", a->sweep_soon);
    free(a->sweep_soon);
    a->sweep_soon = NULL;
    if (!command.failed)
        app_command(a, command.data);
    bytes_free(&command);
}

void sweeps_begin(struct app *a, const struct session_sweep *of)
{
    int32_t *tokens = malloc(((size_t)a->n + 1) * sizeof *tokens);
    if (!tokens) {
        app_complain(a, "out of memory");
        return;
    }
    memcpy(tokens, a->tokens, (size_t)a->n * sizeof *tokens);
    free(a->sweep_tokens);
    a->sweep_tokens = tokens, a->n_sweep_tokens = a->n;
    uint64_t id = ++a->n_sweeps;
    a->sweep = *of;
    a->sweep.id = id;
    a->sweep_enter = false;
    a->sweep_new = a->cur.view != VIEW_SWEEP;
    a->sweep_question = sweeps_question(a);
    app_show_view(a, VIEW_SWEEP);
}

void sweeps_end(struct app *a)
{
    sweep_map_release(a->sweep_sorted_of);
    free(a->sweep_tokens), free(a->sweep_sorted), free(a->candidate), free(a->sweep_soon);
    a->sweep_tokens = NULL, a->sweep_sorted = NULL, a->candidate = a->sweep_soon = NULL;
    a->sweep_sorted_of = NULL;
}

bool sweeps_pause(struct app *a)
{
    bool waits = a->sweep_soon, runs = sweeps_run(a, sweeps_map(a));
    free(a->sweep_soon);
    a->sweep_soon = NULL;
    a->sweep.paused |= runs;
    return waits || runs;
}

/* ---- into a cell ---- */

/* The number on an axis of that name; -1: there is none. */
static int32_t named(const struct sweep_map *m, int32_t cell, const char *name)
{
    for (int32_t i = 0; i < m->n_axes; i++)
        if (!strcmp(m->axis[i].name, name))
            return sweeps_at(m, cell, i);
    for (int i = 0; i < 2; i++) { /* what was chosen */
        size_t n = strlen(name);
        if (!strncmp(m->of.over[i], name, n) && m->of.over[i][n] == '=')
            return (int32_t)strtol(m->of.over[i] + n + 1, NULL, 10);
    }
    return -1;
}

static int32_t or_else(int32_t v, int32_t fallback)
{
    return v < 0 ? fallback : v;
}

/* Put the cursor where the cell's hook is shown. */
static void go_to(struct app *a, const struct sweep_map *m, struct site_ref site)
{
    int32_t cell = m->cell, pos = named(m, cell, "pos"), head = named(m, cell, "head");
    a->cur.row = or_else(pos, or_else(named(m, cell, "dest"), a->cur.row));
    a->cur.head = or_else(head, a->cur.head);
    a->cur.src = or_else(named(m, cell, "src"), a->cur.src);
    a->cur.site = site;
    a->cur.element = or_else(named(m, cell, "neuron"), 0);
    if (site.layer >= 0)
        a->cur.column = site.layer + (site.id != SITE_RESID_PRE);
    if (head >= 0 && site.layer >= 0) {
        a->cur.view = VIEW_ATTENTION;
        a->cur.map = named(m, cell, "src") >= 0;
    } else if (site.id == SITE_RESID_PRE || site.id == SITE_RESID_POST) {
        a->cur.view = VIEW_GRID;
    } else {
        a->cur.view = VIEW_TENSOR;
    }
}

/* The cell's edit in its own words, and the hook that it is of. */
static bool edit_of(const struct app *a, const char *line, char text[LIMIT_EDIT_TEXT],
                    struct site_ref *site)
{
    char name[LIMIT_NAME];
    struct edit *ed = NULL;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(line, "[ "), line);
    if (site_find(&a->m->cfg, name, site, NULL) || edit_parse(&ed, line, NULL))
        return false;
    edit_print(ed, text, LIMIT_EDIT_TEXT);
    edit_free(ed);
    return true;
}

static void go_in(struct app *a, const struct sweep_map *m)
{
    char text[LIMIT_EDIT_TEXT];
    struct site_ref site;
    int before = a->edits.n;
    if (!edit_of(a, m->text, text, &site)) {
        app_say(a, "nothing to go into here");
        return;
    }
    app_jump_push(a);
    go_to(a, m, site);
    app_edit_add(a, text);
    free(a->candidate);
    a->candidate = a->edits.n > before ? strdup(text) : NULL;
    if (a->candidate)
        app_say(a, "candidate: %s · Backspace takes it back", text);
}

bool sweeps_enter(struct app *a)
{
    const struct sweep_map *m = sweeps_map(a);
    if (!m || !m->cells)
        return false;
    if (present_refuses(a, ACTION_EDIT)) /* it would be tried where it acts */
        return true;
    a->sweep_enter = m->cell != a->cur.cell; /* the worker says what the cell does */
    if (!a->sweep_enter)
        go_in(a, m);
    return true;
}

/* The cell of what the cursor stood on. */
static int32_t cell_here(const struct app *a, const struct sweep_map *m)
{
    int32_t cell = 0;
    for (int32_t i = 0; i < m->n_axes; i++) {
        const char *name = m->axis[i].name;
        bool pre = !strcmp(m->of.kind, "resid_pre");
        int32_t at = !strcmp(name, "layer")                          ? a->cur.column - !pre
                     : !strcmp(name, "head")                         ? a->cur.head
                     : !strcmp(name, "pos") || !strcmp(name, "dest") ? a->cur.row
                     : !strcmp(name, "src")                          ? a->cur.src
                     : !strcmp(name, "neuron")                       ? a->cur.element
                                                                     : 0;
        at = at < 0 ? 0 : at >= m->axis[i].size ? m->axis[i].size - 1 : at;
        cell = cell * m->axis[i].size + at;
    }
    return cell;
}

void sweeps_took(struct app *a)
{
    const struct sweep_map *m = sweeps_map(a);
    give_again(a);
    sort_cells(a);
    if (m && m->cells && a->sweep_new) {
        a->sweep_new = false;
        a->cur.cell = cell_here(a, m);
    }
    if (!a->sweep_enter || !m || a->cur.view != VIEW_SWEEP || m->cell != a->cur.cell)
        return;
    a->sweep_enter = false;
    go_in(a, m);
}

void sweeps_back(struct app *a)
{
    struct err e = {0};
    int last = a->edits.n - 1;
    if (!a->candidate)
        return;
    if (last >= 0 && !strcmp(a->edits.text[last], a->candidate) &&
        edit_list_undo(&a->edits, &e) == 0)
        app_edits_changed(a);
    free(a->candidate);
    a->candidate = NULL;
}
