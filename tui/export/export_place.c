/* export_place.c - places for nnsight (see export_place.h).
 *
 * A hook point becomes a module's input or output.  Of several modules that show one tensor, an
 * edit of its value takes the first that the model reaches and an edit of its gradient the last:
 * the others then see it.  Tested in tests/tui/test_export.c and test_export.py. */
#include "base/ends_with.h"
#include "export/export_place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool in_attention(enum site_id id)
{
    return id == SITE_ROT_Q || id == SITE_ROT_K || site_is_attention(id);
}

/* ---- finding places ---- */

/* Inputs, norms and activations of one projection come before the next one runs. */
static enum site_id turn_of(enum site_id id)
{
    switch (id) {
    case SITE_Q_IN:
    case SITE_Q_NORMED: return SITE_Q;
    case SITE_K_IN:
    case SITE_K_NORMED: return SITE_K;
    case SITE_V_IN: return SITE_V;
    case SITE_GATE_IN:
    case SITE_ACT_OUT: return SITE_PRE;
    case SITE_UP_IN: return SITE_PRE_LINEAR;
    default: return id;
    }
}

static int site_order(const struct points *p, struct site_ref s)
{
    s.id = turn_of(s.id);
    for (int i = 0; i < p->n_sites; i++)
        if (site_same(p->sites[i], s) ||
            (s.id == SITE_POS_EMBED && p->sites[i].id == SITE_PROJECT_IN)) /* positions first */
            return i;
    return p->n_sites;
}

/* The last of what a name shows; what has heads before positions is made of all projections'
 * outputs once they are there. */
static int value_order(const struct points *p, const struct alias_value *v)
{
    struct site_ref s = v->site[v->n_sites - 1];
    if (v->form == FORM_HEAD_FIRST && site_table[s.id].scope == SCOPE_BLOCK)
        s.id = SITE_V;
    return site_order(p, s);
}

/* Among the names of one site: as in the table, but what a module returns comes after what the
 * modules within it return. */
static int row_order(const struct points *p, int row)
{
    struct point outer = {0}, inner = {0};
    int last = 2 * row;
    if (!export_path_split(p->nnsight[row].name, &outer) || !outer.output)
        return last;
    size_t n = strlen(outer.module);
    for (int i = 0; i < p->n_names; i++)
        if (p->nnsight[i].value.site[0].id == p->nnsight[row].value.site[0].id &&
            export_path_split(p->nnsight[i].name, &inner) &&
            !strncmp(inner.module, outer.module, n) && inner.module[n] == '.' && 2 * i + 1 > last)
            last = 2 * i + 1;
    return last;
}

bool export_path_split(const char *path, struct point *out)
{
    const char *end = strrchr(path, '.');
    bool output = end && !strncmp(end, ".output", 7), input = end && !strncmp(end, ".input", 6);
    const char *after = output ? end + 7 : input ? end + 6 : "?";
    if (*after && *after != '[')
        return false;
    snprintf(out->module, sizeof out->module, "%.*s", (int)(end - path), path);
    out->output = output;
    out->element = *after ? after[1] - '0' : -1;
    return true;
}

/* Routers and experts have one axis of batch and position. */
static void view_flat(struct point *at)
{
    static const char *const modules[] = {".mlp.gate", ".mlp.router", ".mlp.experts", ".mlp"};
    size_t len = strlen(at->module);
    for (int i = 0; i < 4; i++) {
        size_t n = strlen(modules[i]);
        bool scores = i < 3 || at->element == 1; /* the last one hands on the router's */
        if (scores && len > n && !strcmp(at->module + len - n, modules[i]))
            snprintf(at->view, sizeof at->view, "lambda x: x[None]");
    }
}

/* How the site lies in the tensor of the name. */
static void view_of(const struct config *cfg, const struct alias_value *v, struct site_ref s,
                    char *buf, size_t size)
{
    int64_t shape[SITE_RANK_MAX];
    int part = 0;
    site_shape(cfg, s.id, 1, shape);
    while (part < v->n_sites && v->site[part].id != s.id)
        part++;
    int h = (int)shape[1], d = cfg->d_head, first = 0;
    for (int i = 0; i < part; i++) {
        int64_t before[SITE_RANK_MAX];
        int rank = site_shape(cfg, v->site[i].id, 1, before);
        first += (int)(before[1] * (rank == 3 ? before[2] : 1));
    }
    if (v->form == FORM_FLAT)
        snprintf(buf, size, "lambda x: x.unflatten(-1, (%d, %d))", h, d);
    else if (v->form == FORM_THIRDS)
        snprintf(buf, size, "lambda x: x[..., %d:%d].unflatten(-1, (%d, %d))", first, first + h * d,
                 h, d);
    else if (v->form == FORM_PAIR)
        snprintf(buf, size, "lambda x: x[..., %d:%d]", first, first + h);
    else if (v->form == FORM_HEADS)
        snprintf(buf, size, "lambda x: x.unflatten(-1, (%d, 3, %d))[..., %d, :]", h, d, part);
    else if (cfg->arch->flat_mlp && site_table[s.id].rank == 2)
        snprintf(buf, size, "lambda x: x if x.dim() > 2 else x[None]");
    else
        snprintf(buf, size, "None");
}

static bool shows(const struct config *cfg, const struct alias_value *v, struct site_ref s,
                  bool edit)
{
    const struct site_ref *list = edit ? v->edit : v->site;
    for (int i = 0; i < (edit ? v->n_edits : v->n_sites); i++) {
        bool copy = !edit && list[i].id == SITE_MLP_IN && s.id == site_copied(cfg, SITE_MLP_IN);
        if ((list[i].id == s.id || copy) && list[i].layer == s.layer && !v->spread)
            return true;
    }
    return false;
}

/* What a place is for: to look, to edit a value, to edit a gradient. */
enum use { USE_VALUE, USE_EDIT, USE_GRADIENT };

/* The row that shows (or edits) a site, in its block and alone rather than within something larger;
 * -1 = none.  Of a gradient the last that the model reaches: it comes back there first, and the
 * others then see the edit. */
static int row_of(const struct exporter *x, const struct points *p, struct site_ref s, enum use use)
{
    int best = -1, best_rank = 0, best_order = 0;
    for (int i = 0; i < p->n_names; i++) {
        const struct alias_value *v = &p->nnsight[i].value;
        bool alone = v->form == FORM_SITE || v->form == FORM_FLAT,
             in_block = strchr(p->nnsight[i].name, '[') != NULL;
        int rank = use == USE_GRADIENT ? 1 : 1 + alone + (in_block && s.layer != SITE_ROOT);
        int order = use == USE_GRADIENT
                        ? -row_order(p, i)
                        : row_order(p, i); /* of equals the first: the others then see the edit */
        if ((rank > best_rank || (rank == best_rank && order < best_order)) &&
            shows(x->cfg, v, s, use != USE_VALUE)) {
            best = i;
            best_rank = rank;
            best_order = order;
        }
    }
    return best;
}

/* Does a module run before attention, though its site comes after? */
static bool runs_early(const struct config *cfg, const char *module)
{
    return cfg->arch->early_norm && ends_with(module, cfg->arch->early_norm);
}

static int place_site(const struct exporter *x, struct points *p, struct site_ref s, enum use use,
                      struct point *out)
{
    char path[LIMIT_NAME];
    site_name(s, out->name);
    out->site = site_order(p, s);
    if (in_attention(s.id) && !x->cfg->arch->closed_attention) {
        if (!alias_name(x->cfg, (struct site_ref){site_attn_made(x->cfg), s.layer}, LIBRARY_NNSIGHT,
                        0, path) ||
            !export_path_split(path, out))
            return -1;
        size_t n = strlen(out->module);
        snprintf(out->module + n, sizeof out->module - n, "%s",
                 strrchr(site_table[s.id].name, '.'));
        bool rotated = s.id == SITE_ROT_Q || s.id == SITE_ROT_K;
        snprintf(out->view, sizeof out->view, rotated ? "lambda x: x.transpose(1, 2)" : "None");
        out->element = -1;
        p->attention = true;
        return 0;
    }
    int row = row_of(x, p, s, use);
    if (row < 0 || !export_path_split(p->nnsight[row].name, out))
        return -1;
    const struct alias_value *v = &p->nnsight[row].value;
    if (use == USE_GRADIENT || v->form == FORM_HEAD_FIRST)
        out->site = value_order(p, v); /* what is joined comes back before its parts */
    if (runs_early(x->cfg, out->module))
        out->site = site_order(p, (struct site_ref){SITE_LN1_OUT, s.layer});
    out->row = row_order(p, row);
    view_of(x->cfg, v, s, out->view, sizeof out->view);
    view_flat(out);
    return 0;
}

/* A name of a module's tensor: as it is there. */
static int place_name(const struct exporter *x, const struct points *p,
                      const struct alias_pick *pick, struct point *out)
{
    for (int i = 0; i < p->n_names; i++) {
        if (strcmp(p->nnsight[i].name, pick->name) != 0 && strcmp(p->hf[i].name, pick->name) != 0)
            continue;
        const struct alias_value *v = &pick->value;
        snprintf(out->name, sizeof out->name, "%s", pick->name);
        snprintf(out->view, sizeof out->view, "None");
        out->row = row_order(p, i);
        out->site = value_order(p, v);
        size_t len = strlen(p->hf[i].name); /* what a tuple holds is there with its element 0 */
        for (int k = 0; p->hf[i].name[len - 1] == ']' && k < i; k++)
            if (!strncmp(p->hf[k].name, p->hf[i].name, len - 2) && p->hf[k].name[len - 2] == '0') {
                out->site = site_order(p, p->nnsight[k].value.site[0]);
                out->row = row_order(p, k);
            }
        if (!export_path_split(p->nnsight[i].name, out))
            return -1;
        view_flat(out);
        const char *module = strrchr(out->module, '.');
        if (!strcmp(module, ".experts") && !out->output) /* they run when the router has chosen */
            out->site = site_order(p, (struct site_ref){SITE_EXPERT_GATE, v->site[0].layer});
        if (runs_early(x->cfg, out->module))
            out->site = site_order(p, (struct site_ref){SITE_LN1_OUT, v->site[0].layer});
        return 0;
    }
    return -1;
}

/* Index of the point of that name, added if new. */
static int add_point(struct points *p, const struct point *new)
{
    for (int i = 0; i < p->n; i++)
        if (!strcmp(p->item[i].name, new->name))
            return i;
    p->item[p->n] = *new;
    return p->n++;
}

/* ---- what is exported ---- */

static bool same_axis(const struct edit_axis *a, const struct edit_axis *b)
{
    return a->n == b->n &&
           (a->list ? b->list && !memcmp(a->list, b->list, (size_t)a->n * sizeof *a->list)
                    : !b->list && a->lo == b->lo);
}

/* The act with the same edit on another of the split inputs, all heads of both. */
static bool has_twin(const struct exporter *x, const struct edit_instr *act, enum site_id id)
{
    for (int32_t i = 0; i < x->prog->n_instrs; i++) {
        const struct edit_instr *b = &x->prog->instrs[i];
        int64_t shape[SITE_RANK_MAX];
        site_shape(x->cfg, b->site.id, x->x->n, shape);
        if (b->edit == act->edit && b->site.id == id && b->site.layer == act->site.layer &&
            same_axis(&b->axis[0], &act->axis[0]) && same_axis(&b->axis[2], &act->axis[2]) &&
            b->axis[1].n == shape[1])
            return true;
    }
    return false;
}

/* An edit of the norm's input reaches all heads of q, k and v: one tensor here. */
static bool is_joint(const struct exporter *x, const struct edit_instr *act)
{
    return !x->cfg->norm_shared &&
           (act->site.id == SITE_Q_INPUT || act->site.id == SITE_K_INPUT ||
            act->site.id == SITE_V_INPUT) &&
           has_twin(x, act, SITE_Q_INPUT) && has_twin(x, act, SITE_K_INPUT) &&
           has_twin(x, act, SITE_V_INPUT);
}

static int place_joint(struct points *p, struct edit_instr *act, struct point *out)
{
    for (int i = 0; i < p->n_names; i++) {
        const struct alias_value *v = &p->nnsight[i].value;
        if (!v->spread || v->site[0].layer != act->site.layer)
            continue;
        snprintf(out->name, sizeof out->name, "%s", p->hf[i].name);
        snprintf(out->view, sizeof out->view, "None");
        out->row = i;
        out->site = site_order(p, act->site);
        act->site.id = SITE_RESID_PRE;
        act->rank = 2;
        act->axis[1] = act->axis[2];
        return export_path_split(p->nnsight[i].name, out) ? 0 : -1;
    }
    return -1;
}

static int refuse_place(struct exporter *x, const struct edit_instr *act)
{
    char why[LIMIT_NAME + 160], name[LIMIT_NAME];
    snprintf(why, sizeof why, "nnsight has no place for %s: %s", site_name(act->site, name),
             alias_absence(act->site.id, LIBRARY_NNSIGHT));
    return export_refuse(x, act->edit, why);
}

static int place_changes(struct exporter *x, struct points *p)
{
    for (int32_t i = 0; i < x->prog->n_instrs; i++) {
        struct edit_instr act = x->prog->instrs[i];
        struct point at = {.element = -1};
        bool joint = is_joint(x, &act);
        if (joint && act.site.id != SITE_Q_INPUT)
            continue;
        if (joint ? place_joint(p, &act, &at) : place_site(x, p, act.site, USE_EDIT, &at))
            return refuse_place(x, &act);
        x->change[x->n_changes].act = act;
        x->change[x->n_changes++].point = add_point(p, &at);
    }
    return 0;
}

/* Edits of gradients have points of their own, behind all that look at the same tensor. */
static int place_gradients(struct exporter *x, struct points *p)
{
    for (int32_t i = 0; i < x->prog->n_back; i++) {
        const struct edit_instr *act = &x->prog->back[i];
        struct point at = {.element = -1};
        if (place_site(x, p, act->site, USE_GRADIENT, &at))
            return refuse_place(x, act);
        size_t n = strlen(at.name);
        snprintf(at.name + n, sizeof at.name - n, "_grad");
        x->change[x->n_changes].act = *act;
        x->change[x->n_changes++].point = add_point(p, &at);
    }
    return 0;
}

static int place_captures(struct exporter *x, struct points *p)
{
    for (int i = 0; i < x->n_captures; i++) {
        const struct alias_pick *c = &x->capture[i];
        struct point at = {.element = -1};
        struct site_ref s = export_site(c);
        bool module = c->value.library == LIBRARY_HF || c->value.library == LIBRARY_NNSIGHT;
        int missing = module ? place_name(x, p, c, &at)
                      : s.id == SITE_COUNT
                          ? -1
                          : place_site(x, p, s, x->x->grad ? USE_EDIT : USE_VALUE, &at);
        if (missing)
            return err_set(x->e, ERR_BAD_INPUT, "capture %s · nnsight has no place for it: %s",
                           c->name,
                           module               ? "its version of transformers has no such tensor"
                           : s.id == SITE_COUNT ? "name the module's input or output"
                                                : alias_absence(s.id, LIBRARY_NNSIGHT));
        snprintf(at.name, sizeof at.name, "%s", c->name);
        add_point(p, &at);
    }
    return 0;
}

/* Forward order. */
static int by_order(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    if (x->site != y->site)
        return x->site < y->site ? -1 : 1;
    return x->row != y->row ? (x->row < y->row ? -1 : 1)
                            : x->stage - y->stage; /* edits before what only looks */
}

/* Sorting moves points: changes follow their names. */
static int sort_points(struct exporter *x, struct points *p)
{
    int *place = malloc(((size_t)p->n + 1) * sizeof *place);
    if (!place)
        return err_memory(x->e, "export");
    for (int i = 0; i < p->n; i++)
        p->item[i].stage = i;
    if (p->n)
        qsort(p->item, (size_t)p->n, sizeof *p->item, by_order);
    for (int i = 0; i < p->n; i++)
        place[p->item[i].stage] = i;
    for (int32_t i = 0; i < x->n_changes; i++)
        x->change[i].point = place[x->change[i].point];
    free(place);
    return 0;
}

int export_places(struct exporter *x, struct points *p)
{
    p->n_names = alias_list(x->cfg, LIBRARY_NNSIGHT, &p->nnsight, x->e);
    int n_hf = p->n_names < 0 ? 0 : alias_list(x->cfg, LIBRARY_HF, &p->hf, x->e);
    if (p->n_names < 0 || n_hf < 0)
        return p->n_names < 0 ? p->n_names : n_hf;
    p->sites = calloc(((size_t)x->cfg->n_layers + 1) * SITE_COUNT, sizeof *p->sites);
    p->item = calloc((size_t)x->prog->n_instrs + (size_t)x->prog->n_back + (size_t)x->n_captures +
                         1,
                     sizeof *p->item);
    if (!p->sites || !p->item)
        return err_memory(x->e, "export");
    p->n_sites = site_list(x->cfg, p->sites);
    int rc = place_changes(x, p);
    if (!rc)
        rc = place_captures(x, p);
    if (!rc)
        rc = place_gradients(x, p);
    return rc ? rc : sort_points(x, p);
}

void export_places_free(struct points *p)
{
    free(p->nnsight);
    free(p->hf);
    free(p->sites);
    free(p->item);
}
