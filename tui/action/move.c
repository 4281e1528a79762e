/* move.c - commands that move the cursor and choose what is shown. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "names/alias.h"
#include "compare.h"
#include "draw.h"
#include "sweeps.h"
#include "tensor.h"

/* Index of `word` in words[n], or -1. */
static int find_word(const char *word, const char *const *words, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(word, words[i]) == 0)
            return i;
    return -1;
}

unsigned act_MOVE(struct app *a, const char *args)
{
    enum move m;
    if (!draw_move_word(args, &m))
        app_complain(a, "move %s", action_table[ACTION_MOVE].usage);
    else
        app_view(a)->move(a, m, a->count > 0 ? a->count : 1);
    return 0;
}

unsigned act_VIEW(struct app *a, const char *args)
{
    int v = find_word(args, view_names, VIEW_COUNT);
    if (v < 0)
        app_complain(a, "view %s", action_table[ACTION_VIEW].usage);
    else
        app_show_view(a, (enum view_id)v);
    return 0;
}

/* "next", "previous", a name: the new place in a cycle of n, or -1. */
static int cycle(const char *args, int at, const char *const *words, int n)
{
    if (strcmp(args, "next") == 0 || !*args)
        return (at + 1) % n;
    if (strcmp(args, "previous") == 0)
        return (at + n - 1) % n;
    return find_word(args, words, n);
}

/* No such hook in a parallel block; no logits without a head; experts of a mixture alone. */
bool quantity_is_there(const struct app *a, int q)
{
    const struct config *cfg = &a->m->cfg;
    return quantity_is_lens((enum quantity)q) ? !cfg->headless
           : q == QUANTITY_EXPERTS            ? cfg->n_moe > 0
                                              : q != QUANTITY_MID || !cfg->parallel;
}

/* The same; where it is none of them, they are told. */
static int one_of(struct app *a, const char *args, int at, const char *const *words, int n)
{
    int s = cycle(args, at, words, n);
    char known[64] = "";
    for (int i = 0; i < n && s < 0; i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? "|" : "",
                 words[i]);
    if (s < 0)
        app_complain(a, "quantity %s", known);
    return s;
}

unsigned act_QUANTITY(struct app *a, const char *args)
{
    int s;
    switch (a->cur.view) {
    case VIEW_ATTENTION:
        s = one_of(a, args, a->scores, (const char *const[]){"pattern", "scores"}, 2);
        a->scores = s < 0 ? a->scores : s;
        return 0;
    case VIEW_TENSOR:
        s = one_of(a, args, a->tensor_heads, (const char *const[]){"positions", "heads"}, 2);
        a->tensor_heads = s < 0 ? a->tensor_heads : s;
        if (s == 1 && !tensor_slice(a).by_head)
            app_say(a, "this hook has no heads: its rows are positions");
        return 0;
    case VIEW_NEURONS:
        s = one_of(a, args, a->neurons_all, (const char *const[]){"position", "layer"}, 2);
        a->neurons_all = s < 0 ? a->neurons_all : s;
        return 0;
    case VIEW_ATTRIBUTION:
        s = one_of(a, args, a->cur.part, (const char *const[]){"layer", "head", "neuron", "pos"},
                   4);
        a->cur.part = s < 0 ? a->cur.part : s;
        return 0;
    default: break;
    }
    bool step = !*args || strcmp(args, "next") == 0 || strcmp(args, "previous") == 0;
    int q = cycle(args, (int)a->quantity, quantity_names, QUANTITY_COUNT);
    while (step && !quantity_is_there(a, q))
        q = cycle(args, q, quantity_names, QUANTITY_COUNT);
    if (q >= 0 && quantity_is_there(a, q)) {
        a->quantity = (enum quantity)q;
        return 0;
    }
    char known[96] = "";
    for (int i = 0; i < QUANTITY_COUNT; i++)
        if (quantity_is_there(a, i))
            snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", *known ? "|" : "",
                     quantity_names[i]);
    app_complain(a, "quantity %s", known);
    return 0;
}

unsigned act_FACE(struct app *a, const char *args)
{
    int s = cycle(args, (int)a->show, show_names, SHOW_COUNT);
    if (s < 0)
        app_complain(a, "face %s", action_table[ACTION_FACE].usage);
    else if (!edit_list_count_in_force(&a->edits) && !compare_is_on(a) && s != SHOW_BASE) {
        a->show = SHOW_BASE;
        app_say(a, "no edit is on: base is all there is · {zero} zeroes what is under the cursor");
    } else
        a->show = (enum show)s;
    return 0;
}

unsigned act_COLOUR(struct app *a, const char *args)
{
    static const char *const words[] = {"log", "linear"}, *const reach[] = {"most", "full"};
    if (a->cur.view == VIEW_TENSOR) {
        int r = cycle(args, a->tensor_full, reach, 2);
        a->tensor_full = r < 0 ? a->tensor_full : r;
        if (r < 0)
            app_complain(a, "colour most|full");
        else
            app_say(a, r ? "colours reach to the largest value" : "colours reach to most values");
        return 0;
    }
    bool attention = a->cur.view == VIEW_ATTENTION, sweep = a->cur.view == VIEW_SWEEP;
    int c = cycle(args, attention ? !a->attn_log : sweep ? !a->sweep_log : a->linear, words, 2);
    if (c < 0)
        app_complain(a, "colour linear|log");
    else {
        if (sweep)
            a->sweep_log = !c;
        else if (attention)
            a->attn_log = !c;
        else
            a->linear = c;
        app_say(a, "colour scale: %s", words[c]);
    }
    return 0;
}

unsigned act_MASK(struct app *a, const char *args)
{
    int m = cycle(args, (int)a->mask, mask_names, MASK_COUNT);
    if (m < 0)
        app_complain(a, "mask %s", action_table[ACTION_MASK].usage);
    else
        a->mask = (enum mask)m;
    return 0;
}

unsigned act_MAP(struct app *a, const char *args)
{
    int m = cycle(args, (int)a->map_face, map_face_names, MAP_COUNT);
    if (m < 0)
        app_complain(a, "map %s", action_table[ACTION_MAP].usage);
    else
        a->map_face = (enum map_face)m;
    return 0;
}

/* "next", "previous" or a number into lo..hi; -1 with a message. */
static int32_t number(struct app *a, const char *what, const char *args, int32_t at, int32_t lo,
                      int32_t hi)
{
    int32_t step = a->count > 0 ? a->count : 1;
    if (strcmp(args, "next") == 0)
        at += step;
    else if (strcmp(args, "previous") == 0)
        at -= step;
    else {
        char *end;
        long v = strtol(args, &end, 10);
        if (!*args || *end || v < lo || v > hi) {
            app_complain(a, "no such %s · %d to %d", what, (int)lo, (int)hi);
            return -1;
        }
        at = (int32_t)v;
    }
    return at < lo ? lo : at > hi ? hi : at;
}

/* The plane of a sweep with more than two axes. */
static unsigned choose_plane(struct app *a, const char *args)
{
    const struct sweep_map *m = sweeps_map(a);
    struct sweep_grid g = m ? sweeps_grid(m) : (struct sweep_grid){.m = NULL};
    int32_t plane, row, column;
    if (!m || g.planes < 2) {
        app_complain(a, "this sweep has one plane");
        return 0;
    }
    sweeps_place(&g, a->cur.cell, &plane, &row, &column);
    plane = number(a, "plane", args, plane, 0, g.planes - 1);
    if (plane >= 0)
        a->cur.cell = sweeps_cell(&g, plane, row, column);
    return 0;
}

unsigned act_HEAD(struct app *a, const char *args)
{
    if (a->cur.view == VIEW_SWEEP)
        return choose_plane(a, args);
    bool experts = a->cur.view == VIEW_GRID, one = a->cur.view == VIEW_TENSOR && a->cur.expert;
    if (one) {
        int32_t e = number(a, "expert", args, a->cur.expert - 1, 0, a->m->cfg.n_experts - 1);
        a->cur.expert = e >= 0 ? e + 1 : a->cur.expert;
        return 0;
    }
    int32_t n = experts ? a->m->cfg.n_active : a->m->cfg.n_heads;
    if (experts && a->quantity != QUANTITY_EXPERTS) {
        app_complain(a, "no head is chosen here · 2 shows attention");
        return 0;
    }
    if (a->cur.view == VIEW_TENSOR && tensor_slice(a).by_head) { /* the rows are: what is left */
        int32_t at = number(a, "position", args, a->cur.row, 0, a->n - 1);
        a->cur.row = at < 0 ? a->cur.row : at;
        return 0;
    }
    if (a->cur.view == VIEW_TENSOR) {
        int64_t shape[SITE_RANK_MAX];
        if (site_shape(&a->m->cfg, a->cur.site.id, a->n, shape) < 3) {
            app_complain(a, "this hook has no heads");
            return 0;
        }
        n = (int32_t)(site_table[a->cur.site.id].dims[0] == DIM_HEAD ? shape[0] : shape[1]);
    }
    int32_t h = number(a, experts ? "place" : "head", args, a->cur.head < n ? a->cur.head : n - 1,
                       0, n - 1);
    if (h >= 0)
        a->cur.head = h;
    return 0;
}

unsigned act_LAYER(struct app *a, const char *args)
{
    bool tensor = a->cur.view == VIEW_TENSOR;
    if (tensor && a->cur.site.layer == SITE_ROOT) {
        app_complain(a, "this hook stands outside the layers");
        return 0;
    }
    int32_t l = number(a, "layer", args, tensor ? a->cur.site.layer : app_layer(a), 0,
                       a->m->cfg.n_layers - 1);
    if (l < 0)
        return 0;
    if (tensor)
        a->cur.site.layer = l;
    a->cur.column = l + 1;
    return 0;
}

unsigned act_ENTER(struct app *a, const char *args)
{
    (void)args;
    if (!app_view(a)->enter || !app_view(a)->enter(a))
        app_say(a, "nothing to go into here");
    return 0;
}

unsigned act_BACK(struct app *a, const char *args)
{
    (void)args;
    if (a->side_open)
        a->side_open = false;
    else if (a->cur.view == VIEW_ATTENTION && a->cur.map)
        a->cur.map = false;
    else if (!app_jump_step(a, -1))
        app_say(a, "nowhere to come back to");
    else if (a->cur.view == VIEW_SWEEP)
        sweeps_back(a);
    return 0;
}

unsigned act_OLDER(struct app *a, const char *args)
{
    (void)args;
    if (!app_jump_step(a, -1))
        app_say(a, "no older place");
    return 0;
}

unsigned act_NEWER(struct app *a, const char *args)
{
    (void)args;
    if (!app_jump_step(a, 1))
        app_say(a, "no newer place");
    return 0;
}

unsigned act_WIDE(struct app *a, const char *args)
{
    (void)args;
    a->wide = !a->wide;
    app_say(a, a->wide ? "wide columns: Left and Right scroll, again for all layers"
                       : "all layers at once");
    return 0;
}

unsigned act_SIDE(struct app *a, const char *args)
{
    (void)args;
    a->side_off = !a->side_off;
    a->side_open = false;
    return 0;
}

unsigned act_NONFINITE(struct app *a, const char *args)
{
    (void)args;
    const struct lens_nonfinite *at = app_nonfinite(a);
    if (!at) {
        app_say(a, "no NaN and no infinity reaches the end of the model");
        return 0;
    }
    int64_t shape[SITE_RANK_MAX];
    int rank = site_shape(&a->m->cfg, at->site.id, a->n, shape), axis = site_row_axis(at->site.id);
    app_jump_push(a);
    a->cur.view = VIEW_TENSOR;
    a->cur.site = at->site, a->cur.expert = 0;
    if (at->site.layer != SITE_ROOT)
        a->cur.column = at->site.layer + 1;
    a->cur.row = (int32_t)at->index[axis];
    a->cur.element = rank > 1 ? (int32_t)at->index[rank - 1] : 0;
    if (rank == 3)
        a->cur.head = (int32_t)at->index[!axis];
    char name[LIMIT_NAME], n[NUMBER_BYTES];
    app_say(a, "the first %s: %s at position %d",
            number_fit(n, (double)at->value, 5, 0, NUMBER_LEFT), site_name(at->site, name),
            (int)a->cur.row);
    return 0;
}

unsigned act_TENSOR(struct app *a, const char *args)
{
    struct alias_value v;
    struct err e = {0};
    if (!*args) {
        app_show_view(a, VIEW_TENSOR);
    } else if (alias_find(&a->m->cfg, args, &v, &e) < 0) {
        app_complain(a, "%s", e.text);
    } else {
        app_jump_push(a);
        a->cur.site = v.site[0]; /* of a fused projection: the queries */
        a->cur.expert = v.form == FORM_EXPERT ? v.expert + 1 : 0;
        a->cur.view = VIEW_TENSOR;
        tensor_unsort(a);
        a->cur.element = 0;
    }
    return 0;
}
