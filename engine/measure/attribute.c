/* attribute.c - maps of gradients times differences, and what all attributions share (see
 * attribute.h).  Edges of the stream: attribute_edges.c; direct effects: attribute_direct.c. */
#include "measure/attribute_parts.h"

#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"

static const struct {
    const char *name, *meaning;
} methods[ATTRIBUTE_METHOD_COUNT] = {
    [ATTRIBUTE_GRAD] = {"grad", "the metric's slope along each value"},
    [ATTRIBUTE_ATP] = {"atp",
                       "to first order, what the metric gains by each of these patches alone"},
    [ATTRIBUTE_IG] = {"ig", "the same with the gradient as a mean on the way; what one layer's get "
                            "adds up to patching all of them"},
    [ATTRIBUTE_EAP] = {"eap",
                       "to first order, what the metric gains where one receiver alone reads "
                       "one sender's patch"},
    [ATTRIBUTE_EAP_IG] = {"eap-ig", "the same with the gradient as a mean between both embeddings"},
    [ATTRIBUTE_DLA] = {"dla",
                       "what each adds to the logits itself, the final norm held fixed; exact "
                       "for that path"},
};
static const char *const part_names[ATTRIBUTE_PART_COUNT] = {"layer", "head", "head_pos", "neuron",
                                                             "pos"};

const char *attribute_method_name(enum attribute_method m)
{
    return methods[m].name;
}

const char *attribute_method_meaning(enum attribute_method m)
{
    return methods[m].meaning;
}

int attribute_method_parse(const char *name, enum attribute_method *out, struct err *e)
{
    for (int i = 0; i < ATTRIBUTE_METHOD_COUNT; i++)
        if (!strcmp(name, methods[i].name)) {
            *out = (enum attribute_method)i;
            return 0;
        }
    return err_set(e, ERR_USAGE, "no method \"%s\" · grad, atp, ig, eap, eap-ig or dla", name);
}

const char *attribute_part_name(enum attribute_part p)
{
    return part_names[p];
}

int attribute_part_parse(const char *name, enum attribute_part *out, struct err *e)
{
    for (int i = 0; i < ATTRIBUTE_PART_COUNT; i++)
        if (!strcmp(name, part_names[i])) {
            *out = (enum attribute_part)i;
            return 0;
        }
    return err_set(e, ERR_USAGE, "dla has no \"%s\" · layer, head, head_pos, neuron or pos", name);
}

/* ---- results ---- */

int64_t attribution_count(const struct attribution *a)
{
    int64_t n = 1;
    for (int i = 0; i < a->rank; i++)
        n *= a->axis[i].size;
    return n;
}

int attribution_alloc(struct attribution *a, struct err *e)
{
    int64_t n = attribution_count(a);
    if (n > LIMIT_CAPTURE_BYTES / (int64_t)sizeof(double))
        return err_set(e, ERR_BAD_INPUT,
                       "an attribution · %lld values, at most %lld · a kind with fewer axes, or a "
                       "shorter prompt",
                       (long long)n, (long long)(LIMIT_CAPTURE_BYTES / (int64_t)sizeof(double)));
    a->values = calloc((size_t)n + 1, sizeof *a->values);
    return a->values ? 0 : err_memory(e, "attributions");
}

int attribute_axis_labels(struct attribute_axis *x, struct err *e)
{
    x->label = calloc((size_t)x->size + 1, sizeof *x->label);
    return x->label ? 0 : err_memory(e, "attributions");
}

void attribution_free(struct attribution *a)
{
    for (int i = 0; i < a->rank; i++)
        free(a->axis[i].label);
    free(a->values), free(a->there);
    *a = (struct attribution){0};
}

double attribution_remainder(const struct attribution *a)
{
    return a->metric - a->constant - a->sum;
}

/* Values from sums, where they are there. */
static void take_sums(struct attribution *a, const double *sums)
{
    a->sum = 0;
    for (int64_t i = 0; i < attribution_count(a); i++) {
        bool there = !a->there || a->there[i]; /* a pattern has slopes along sources to come */
        a->values[i] = there ? (float)sums[i] : 0;
        a->sum += there ? sums[i] : 0;
    }
}

int attribute_correlation(const float *a, const float *b, const bool *there, int64_t n,
                          double *pearson, double *spearman, struct err *e)
{
    double *x = malloc(((size_t)n * 4 + 1) * sizeof *x), *y = x + n, *work = y + n;
    size_t count = 0;
    if (!x)
        return err_memory(e, "a correlation");
    for (int64_t i = 0; i < n; i++)
        if (!there || there[i])
            x[count] = (double)a[i], y[count++] = (double)b[i];
    *pearson = count > 1 ? gsl_stats_correlation(x, 1, y, 1, count) : (double)NAN;
    *spearman = count > 1 ? gsl_stats_spearman(x, 1, y, 1, count, work) : (double)NAN;
    free(x);
    return 0;
}

/* ---- maps ---- */

/* One left side of a kind, read as a hook and the axes that it keeps. */
struct part {
    enum site_id site;
    char hook[LIMIT_NAME]; /* "blocks.*.attn.hook_z" */
    int rank, kept;
    int64_t shape[SITE_RANK_MAX];
    bool keep[SITE_RANK_MAX];
    const char *word[SITE_RANK_MAX]; /* of a kept axis */
    int64_t step[SITE_RANK_MAX];     /* between its values in the map; 0: summed over */
    int64_t origin, layer_step;
};

static const char *const words[] = {"pos", "head", "neuron", "dest", "src", "d_head"};
enum { WORDS = sizeof words / sizeof *words };

/* "[{pos}, {head}]" or "[:, {head}]" or nothing. */
static void part_index(struct part *q, const char *index)
{
    for (int i = 0; *index && *index != ']' && i < q->rank; i++) {
        const char *item = index + strspn(index, "[, {");
        size_t n = strcspn(item, ",]}");
        for (int w = 0; w < WORDS; w++)
            if (strlen(words[w]) == n && !strncmp(words[w], item, n))
                q->keep[i] = true, q->word[i] = words[w];
        index = item + strcspn(item, ",]");
    }
}

static int part_read(struct part *q, const struct config *cfg, const char *set, int32_t n,
                     struct err *e)
{
    static const char block[] = "blocks.{layer}.";
    const char *name = set + sizeof block - 1, *index = name + strcspn(name, "[");
    *q = (struct part){.site = SITE_COUNT};
    snprintf(q->hook, sizeof q->hook, "blocks.*.%.*s", (int)(index - name), name);
    for (int s = 0; s < SITE_COUNT; s++)
        if (site_exists(cfg, (enum site_id)s) && !strcmp(site_table[s].name, q->hook + 9))
            q->site = (enum site_id)s;
    if (q->site == SITE_COUNT || site_refusal(cfg, q->site)) {
        char first[LIMIT_NAME];
        snprintf(first, sizeof first, "blocks.0.%.100s", q->hook + 9);
        const char *why = q->site == SITE_COUNT ? site_absence(cfg, first)
                                                : site_refusal(cfg, q->site);
        return err_set(e, ERR_BAD_INPUT, "%s · this model does not have it%s%s", q->hook + 9,
                       why ? " · " : "", why ? why : "");
    }
    q->rank = site_shape(cfg, q->site, n, q->shape);
    part_index(q, index);
    for (int i = 0; i < q->rank; i++)
        q->kept += q->keep[i];
    return 0;
}

struct map {
    struct attribution *out;
    struct run *r;
    const struct attribute_options *o;
    struct part part[SWEEP_PARTS_MAX];
    int n_parts;
    int32_t n;
    double *sums;
    struct attribute_put put;
    float *value, *with; /* scratch, or (ig) a whole site */
    size_t room;         /* values in each */
    bool whole;          /* ig: they hold all rows of the site */
    double weight;
};

/* The axes: those of the first part that it keeps, behind `type` (of bundles) and `layer`. */
static int map_axes(struct map *k, const struct sweep_kind *kind, struct err *e)
{
    const struct config *cfg = &run_model(k->r)->cfg;
    struct attribution *a = k->out;
    k->n_parts = sweep_kind_parts(kind);
    for (int i = 0; i < k->n_parts; i++) {
        int rc = part_read(&k->part[i], cfg, kind->set[i], k->n, e);
        if (rc)
            return rc;
    }
    if (k->n_parts > 1)
        a->axis[a->rank++] = (struct attribute_axis){.name = "type", .size = k->n_parts};
    a->axis[a->rank++] = (struct attribute_axis){.name = "layer", .size = cfg->n_layers};
    for (int i = 0; i < k->part[0].rank; i++)
        if (k->part[0].keep[i])
            a->axis[a->rank++] = (struct attribute_axis){
                .name = k->part[0].word[i],
                .size = (int32_t)k->part[0].shape[i],
                .position = site_dim_is_position(site_table[k->part[0].site].dims[i])};
    int64_t cells = attribution_count(a), each = cells / k->n_parts;
    for (int i = 0; i < k->n_parts; i++) { /* by name: a pattern's axes stand the other way round */
        struct part *q = &k->part[i];
        q->origin = i * each, q->layer_step = each / cfg->n_layers;
        int64_t step = 1;
        for (int x = a->rank - 1; x > (k->n_parts > 1); step *= a->axis[x--].size)
            for (int d = 0; d < q->rank; d++)
                if (q->keep[d] && !strcmp(q->word[d], a->axis[x].name))
                    q->step[d] = step;
    }
    if (k->n_parts > 1) {
        int rc = attribute_axis_labels(&a->axis[0], e);
        for (int i = 0; !rc && i < k->n_parts; i++)
            snprintf(a->axis[0].label[i], ATTRIBUTE_LABEL_MAX, "%s", kind->label[i]);
        return rc;
    }
    return 0;
}

/* Which cells there are: hooks of layers that have them, heads that keys have, sources that a
 * destination sees. */
static int map_there(struct map *k, struct err *e)
{
    const struct config *cfg = &run_model(k->r)->cfg;
    bool *there = calloc((size_t)attribution_count(k->out) + 1, sizeof *there);
    bool all = true;
    if (!there)
        return err_memory(e, "attributions");
    k->out->there = there;
    for (int i = 0; i < k->n_parts; i++) {
        const struct part *q = &k->part[i];
        bool causal = site_is_attention(q->site) && q->step[1] && q->step[2] && !cfg->bidirectional;
        int64_t n[3] = {1, 1, 1};
        for (int d = 0; d < q->rank; d++)
            n[d] = q->step[d] ? q->shape[d] : 1;
        for (int32_t l = 0; l < cfg->n_layers; l++) {
            bool *at = there + q->origin + l * q->layer_step;
            if (!site_is_there(cfg, (struct site_ref){q->site, l}))
                continue;
            for (int64_t x = 0; x < n[0]; x++)
                for (int64_t y = 0; y < n[1]; y++)
                    for (int64_t z = 0; z < n[2]; z++)
                        at[x * q->step[0] + y * q->step[1] + z * q->step[2]] = !causal || z <= y;
        }
    }
    for (int64_t i = 0; i < attribution_count(k->out); i++)
        all &= there[i];
    if (all) {
        free(there);
        k->out->there = NULL;
    }
    return 0;
}

static int map_room(struct map *k, size_t values, struct err *e)
{
    if (values <= k->room)
        return 0;
    free(k->value);
    k->value = malloc(2 * values * sizeof *k->value);
    k->room = k->value ? values : 0;
    k->with = k->value + values;
    return k->value ? 0 : err_memory(e, "attributions");
}

/* Differences of rows, or ones, times gradients to where their cells are.  What is put lies without
 * gaps: all rows, of which `first` elements come before these, or these alone. */
static void map_add(struct map *k, const struct part *q, double *cells, const struct kn_view *g,
                    int64_t first)
{
    int64_t n[3] = {1, 1, 1}, gs[3] = {0}, ws[3] = {0}, to[3] = {0}, size = 1;
    for (int d = q->rank - 1, i = 2; d >= 0; d--, i--) {
        n[i] = g->shape[d], gs[i] = g->stride[d], ws[i] = size, to[i] = q->step[d];
        size *= k->whole ? q->shape[d] : n[i];
    }
    const float *x = k->value + (k->whole ? first : 0), *w = k->with + (k->whole ? first : 0);
    bool bare = k->o->method == ATTRIBUTE_GRAD;
    for (int64_t a = 0; a < n[0]; a++)
        for (int64_t b = 0; b < n[1]; b++) {
            const float *gr = kn_f32(g) + a * gs[0] + b * gs[1];
            int64_t at = a * ws[0] + b * ws[1];
            double *cell = cells + a * to[0] + b * to[1], sum = 0;
            for (int64_t c = 0; c < n[2]; c++) {
                int64_t i = at + c * ws[2];
                double d = bare           ? 1
                           : x[i] == w[i] ? 0 /* hidden scores are infinite on both sides */
                                          : (double)w[i] - (double)x[i];
                double v = k->weight * d * (double)gr[c * gs[2]];
                sum += to[2] ? 0 : v;
                cell[c * to[2]] += to[2] ? v : 0;
            }
            *cell += sum;
        }
}

static int map_take(void *user, struct site_ref s, int32_t row0, int32_t row1,
                    const struct kn_view *g, struct err *e)
{
    struct map *k = user;
    for (int i = 0; i < k->n_parts; i++) {
        const struct part *q = &k->part[i];
        if (q->site != s.id)
            continue;
        int axis = site_row_axis(s.id), rc = 0;
        int64_t row = row0; /* elements before the first row */
        for (int d = axis + 1; d < q->rank; d++)
            row *= q->shape[d];
        if (!k->whole && k->o->method != ATTRIBUTE_GRAD) {
            rc = map_room(k, (size_t)kn_count(g), e);
            rc = rc ? rc
                    : attribute_put_values(k->put.fork, k->r, s, row0, row1, k->value, k->with, e);
        }
        if (rc)
            return rc;
        map_add(k, q, k->sums + q->origin + s.layer * q->layer_step + row0 * q->step[axis], g, row);
    }
    return 0;
}

/* All sites of all parts. */
static struct site_ref *map_sites(const struct map *k, int32_t *n, struct err *e)
{
    const struct config *cfg = &run_model(k->r)->cfg;
    struct site_ref *sites = calloc((size_t)(cfg->n_layers * k->n_parts) + 1, sizeof *sites);
    *n = 0;
    for (int i = 0; sites && i < k->n_parts; i++)
        for (int32_t l = 0; l < cfg->n_layers; l++)
            if (site_is_there(cfg, (struct site_ref){k->part[i].site, l}))
                sites[(*n)++] = (struct site_ref){k->part[i].site, l};
    if (!sites)
        err_memory(e, "attributions");
    return sites;
}

/* Layers from the last to the first: what is moved in one leaves those before it as they were. */
static int map_integrate(struct map *k, struct pair *p, const struct pair_target *t,
                         const struct metric *m, struct err *e)
{
    int32_t n_layers = run_model(k->r)->cfg.n_layers,
            steps = k->o->steps ? k->o->steps : ATTRIBUTE_STEPS;
    struct attribute_path w = {.pair = p, .target = t, .metric = m};
    int rc = 0;
    k->weight = 1.0 / steps;
    for (int i = 0; !rc && i < k->n_parts; i++) {
        const struct part *q = &k->part[i];
        int64_t size = 1;
        for (int d = 0; d < q->rank; d++)
            size *= q->shape[d];
        for (int32_t l = n_layers - 1; !rc && l >= 0; l--) {
            w.site = (struct site_ref){q->site, l};
            if (!site_is_there(&run_model(k->r)->cfg, w.site))
                continue;
            k->whole = false;
            if ((rc = map_room(k, (size_t)size, e)) ||
                (rc = attribute_put_values(k->put.fork, pair_shown(p), w.site, 0, k->n, k->value,
                                           k->with, e)))
                break;
            k->whole = true;
            w.x = k->value, w.put = k->with;
            for (int32_t s = 0; !rc && s < steps; s++)
                rc = attribute_path_grad(&w, (s + 0.5) / steps, &w.site, 1, map_take, k, e);
        }
        if (!rc)
            rc = attribute_path_end(p, t, e);
    }
    struct err unused;
    if (rc)
        attribute_path_end(p, t, &unused);
    return rc;
}

static int map_fill(struct map *k, struct pair *p, const struct pair_target *t,
                    const struct metric *m, struct err *e)
{
    const char *hooks[SWEEP_PARTS_MAX];
    int32_t n;
    for (int i = 0; i < k->n_parts; i++)
        hooks[i] = k->part[i].hook;
    if (k->o->method == ATTRIBUTE_GRAD && k->part[0].kept < k->part[0].rank)
        return err_set(
            e, ERR_BAD_INPUT,
            "grad · %s is summed over an axis, where slopes mean nothing · score, edge or "
            "neuron; atp for others",
            k->o->kind->name);
    struct site_ref *sites = map_sites(k, &n, e);
    int rc = sites ? 0 : err_code(e);
    if (!rc && k->o->method != ATTRIBUTE_GRAD)
        rc = attribute_put_open(&k->put, p, t, hooks, k->n_parts, k->o, e);
    if (!rc && k->o->method == ATTRIBUTE_IG)
        rc = map_integrate(k, p, t, m, e);
    else if (!rc)
        rc = grad_run(k->r, pair_run(p, FACE_BASE), m, sites, n, map_take, k, e);
    free(sites);
    return rc;
}

static int attribute_map(struct attribution *out, struct pair *p, const struct pair_target *t,
                         const struct metric *m, const struct attribute_options *o, struct err *e)
{
    struct map k = {.out = out, .r = pair_shown(p), .o = o, .weight = 1};
    k.n = run_length(k.r);
    int rc = map_axes(&k, o->kind, e);
    if (!rc)
        rc = attribution_alloc(out, e);
    if (!rc)
        rc = map_there(&k, e);
    if (!rc && !(k.sums = calloc((size_t)attribution_count(out) + 1, sizeof *k.sums)))
        rc = err_memory(e, "attributions");
    if (!rc)
        rc = map_fill(&k, p, t, m, e);
    if (!rc)
        take_sums(out, k.sums);
    attribute_put_close(&k.put);
    free(k.sums), free(k.value);
    return rc;
}

int attribute(struct attribution *out, struct pair *p, const struct pair_target *t,
              const struct metric *m, const struct attribute_options *o, struct err *e)
{
    struct attribution a = {0};
    struct run *r = pair_shown(p), *base = pair_run(p, FACE_BASE);
    bool edges = o->method == ATTRIBUTE_EAP || o->method == ATTRIBUTE_EAP_IG;
    int rc = 0;
    if (o->steps < 0 || o->steps > ATTRIBUTE_STEPS_MAX)
        return err_set(e, ERR_BAD_INPUT, "%d steps · 1..%d", o->steps, ATTRIBUTE_STEPS_MAX);
    if (o->method == ATTRIBUTE_DLA)
        return attribute_direct(out, r, m, o->part, e);
    rc = metric_value(m, r, base, &a.metric, e);
    if (!rc)
        rc = edges ? attribute_edges(&a, p, t, m, o, e) : attribute_map(&a, p, t, m, o, e);
    if (rc)
        attribution_free(&a);
    else
        *out = a;
    return rc;
}

struct heads {
    struct run *r;
    double *sums; /* [layers][heads] */
};

static int heads_take(void *user, struct site_ref s, int32_t row0, int32_t row1,
                      const struct kn_view *g, struct err *e)
{
    struct heads *k = user;
    int64_t heads = g->shape[1], dh = g->shape[2];
    float *z = malloc((size_t)kn_count(g) * sizeof *z);
    int rc = z ? run_read(k->r, s, row0, row1, z, NULL, e) : err_memory(e, "attributions");
    for (int64_t i = 0; !rc && i < g->shape[0]; i++)
        for (int64_t h = 0; h < heads; h++)
            for (int64_t j = 0; j < dh; j++)
                k->sums[s.layer * heads + h] += (double)z[(i * heads + h) * dh + j] *
                                                (double)kn_f32(
                                                    g)[i * g->stride[0] + h * g->stride[1] +
                                                       j * g->stride[2]];
    free(z);
    return rc;
}

int attribute_heads(struct run *r, struct run *base, const struct metric *m, float *out,
                    struct err *e)
{
    int32_t layers = run_model(r)->cfg.n_layers;
    size_t n = (size_t)layers * (size_t)run_model(r)->cfg.n_heads;
    struct site_ref *sites = malloc(((size_t)layers + 1) * sizeof *sites);
    struct heads k = {r, calloc(n + 1, sizeof *k.sums)};
    int rc = sites && k.sums ? 0 : err_memory(e, "attributions");
    for (int32_t l = 0; !rc && l < layers; l++)
        sites[l] = (struct site_ref){SITE_Z, l};
    if (!rc)
        rc = grad_run(r, base, m, sites, layers, heads_take, &k, e);
    for (size_t i = 0; !rc && i < n; i++)
        out[i] = (float)k.sums[i];
    free(sites), free(k.sums);
    return rc;
}
