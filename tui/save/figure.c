/* figure.c - see figure.h. */
#include "save/figure.h"

#include <stdio.h>
#include <string.h>

struct figure figure_make(void)
{
    return (struct figure){.row = -1, .there = {true, false}, .id = {-1, -1}};
}

void figure_number(struct figures *to, struct figure *f, const char *what, double base,
                   double edited)
{
    f->what = what;
    f->value[FACE_BASE] = base, f->value[FACE_EDITED] = edited;
    f->text[FACE_BASE] = f->text[FACE_EDITED] = NULL;
    to->take(to, f);
    to->n++;
}

void figure_token(struct figures *to, struct figure *f, const char *what, int32_t base,
                  int32_t edited)
{
    const int32_t id[FACE_COUNT] = {base, edited};
    f->what = what;
    for (int face = 0; face < FACE_COUNT; face++) {
        f->id[face] = id[face];
        f->text[face] = id[face] < 0 ? "" : tokenizer_text(to->a->m->tok, id[face], &f->len[face]);
        f->len[face] = id[face] < 0 ? 0 : f->len[face];
    }
    to->take(to, f);
    to->n++;
    f->id[FACE_BASE] = f->id[FACE_EDITED] = -1;
}

void figure_text(struct figures *to, struct figure *f, const char *what, const char *text)
{
    f->what = what;
    f->text[FACE_BASE] = text, f->text[FACE_EDITED] = "";
    f->len[FACE_BASE] = strlen(text), f->len[FACE_EDITED] = 0;
    to->take(to, f);
    to->n++;
}

/* ---- an element of each kind of want; the base's stands for a face that has none ---- */

#define TELL(name)                                                                                 \
    static void name(struct figures *to, struct figure *f, const struct want *w, const void *base, \
                     const void *edited)
#define BOTH(type)                     \
    const type *b = base, *e = edited; \
    (void)w

TELL(tell_CELL)
{
    BOTH(struct want_cell);
    figure_token(to, f, "token", b->top.id, e->top.id);
    figure_number(to, f, "logprob", (double)b->top.logit - (double)b->cell.lse,
                  (double)e->top.logit - (double)e->cell.lse);
    figure_number(to, f, "entropy", (double)b->cell.entropy, (double)e->cell.entropy);
    if (b->cell.target_rank < 0)
        return;
    figure_number(to, f, "target_logit", (double)b->cell.target_logit,
                  (double)e->cell.target_logit);
    figure_number(to, f, "target_logprob", (double)b->cell.target_logit - (double)b->cell.lse,
                  (double)e->cell.target_logit - (double)e->cell.lse);
    figure_number(to, f, "target_rank", b->cell.target_rank, e->cell.target_rank);
}

TELL(tell_BEST)
{
    BOTH(struct want_best);
    for (int32_t k = 0; k < w->k; k++) {
        snprintf(f->index, sizeof f->index, "%d", (int)k);
        figure_token(to, f, "token", b[k].id, e[k].id);
        figure_number(to, f, "logit", (double)b[k].logit, (double)e[k].logit);
    }
}

TELL(tell_STATS)
{
    BOTH(struct lens_stats);
    figure_number(to, f, "mean", b->mean, e->mean);
    figure_number(to, f, "std", b->std, e->std);
    figure_number(to, f, "min", (double)b->min, (double)e->min);
    figure_number(to, f, "max", (double)b->max, (double)e->max);
    figure_number(to, f, "nan", (double)b->n_nan, (double)e->n_nan);
}

TELL(tell_HEADS)
{
    BOTH(struct lens_head);
    for (int32_t h = 0; h < to->a->m->cfg.n_heads; h++) {
        snprintf(f->index, sizeof f->index, "%d", (int)h);
        figure_number(to, f, "previous", (double)b[h].previous, (double)e[h].previous);
        figure_number(to, f, "duplicate", (double)b[h].duplicate, (double)e[h].duplicate);
        figure_number(to, f, "induction", (double)b[h].induction, (double)e[h].induction);
        figure_number(to, f, "first", (double)b[h].first, (double)e[h].first);
        figure_number(to, f, "self", (double)b[h].self, (double)e[h].self);
        figure_number(to, f, "entropy", (double)b[h].entropy, (double)e[h].entropy);
    }
}

/* [heads][width], with the heads' numbers as the site has them. */
static void tell_floats(struct figures *to, struct figure *f, const struct want *w,
                        const char *what, size_t heads, size_t width, const float *b,
                        const float *e)
{
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 0; i < width; i++) {
            size_t head = (size_t)w->head0 + h;
            if (width > 1 && (heads > 1 || w->head1))
                snprintf(f->index, sizeof f->index, "%zu,%zu", head, i);
            else if (width > 1 || heads > 1)
                snprintf(f->index, sizeof f->index, "%zu", width > 1 ? i : head);
            figure_number(to, f, what, (double)b[h * width + i], (double)e[h * width + i]);
        }
}

TELL(tell_VALUES)
{
    const struct config *cfg = &to->a->m->cfg;
    size_t heads = want_heads(cfg, w);
    f->array = true;
    tell_floats(to, f, w, "value", heads, want_floats(cfg, w, to->a->n) / heads, base, edited);
}

TELL(tell_HEAD_NORM)
{
    f->array = true;
    tell_floats(to, f, w, "norm", want_heads(&to->a->m->cfg, w), 1, base, edited);
}

TELL(tell_NORM)
{
    f->array = true;
    tell_floats(to, f, w, "norm", 1, 1, base, edited);
}

TELL(tell_COSINE)
{
    tell_floats(to, f, w, "cosine", 1, 1, base, edited);
}

TELL(tell_KL_FINAL)
{
    tell_floats(to, f, w, "kl_final", 1, 1, base, edited);
}

TELL(tell_LOGITS)
{
    tell_floats(to, f, w, "logit", 1, w->id[1] < 0 ? 1 : 2, base, edited);
}

TELL(tell_PICK)
{
    tell_floats(to, f, w, "lens_logit", 1, w->id[1] < 0 ? 1 : 2, base, edited);
}

TELL(tell_KL)
{
    BOTH(double);
    figure_number(to, f, "kl", *b, *e);
}

TELL(tell_NONFINITE)
{
    BOTH(struct lens_nonfinite);
    const struct lens_nonfinite *at = e->found ? e : b;
    if (!at->found)
        return;
    site_name(at->site, f->hook);
    snprintf(f->index, sizeof f->index, "%lld,%lld,%lld", (long long)at->index[0],
             (long long)at->index[1], (long long)at->index[2]);
    f->there[FACE_BASE] &= b->found, f->there[FACE_EDITED] &= e->found;
    figure_number(to, f, "first_nonfinite", (double)b->value, (double)e->value);
}

/* What pictures are drawn from; the pattern itself is told by the attention view. */
TELL(tell_THUMBS)
{
    (void)to, (void)f, (void)w, (void)base, (void)edited;
}

TELL(tell_HEAD_SAYS)
{
    BOTH(struct lens_top);
    for (int32_t k = 0; k < w->k; k++) {
        snprintf(f->index, sizeof f->index, "%d,%d", (int)w->head0, (int)k);
        figure_token(to, f, "writes", b[k].id, e[k].id);
        figure_number(to, f, "writes_logit", (double)b[k].logit, (double)e[k].logit);
    }
}

/* Neurons of both faces, each face in its own order. */
TELL(tell_NEURONS)
{
    BOTH(struct lens_neuron);
    for (int32_t k = 0; k < w->k; k++) {
        snprintf(f->index, sizeof f->index, "%d", (int)k);
        figure_number(to, f, "neuron", b[k].neuron, e[k].neuron);
        figure_number(to, f, "most_active_at", b[k].row, e[k].row);
        figure_number(to, f, "activation", (double)b[k].value, (double)e[k].value);
        for (int t = 0; t < NEURON_TOKENS && b[k].says[t].id >= 0; t++) {
            snprintf(f->index, sizeof f->index, "%d,%d", (int)k, t);
            figure_token(to, f, "raises", b[k].says[t].id, e[k].says[t].id);
            figure_token(to, f, "lowers", b[k].against[t].id, e[k].against[t].id);
        }
    }
}

TELL(tell_LAYER_NEURONS)
{
    tell_NEURONS(to, f, w, base, edited);
}

/* What stands for entry `index` of an attribution; the position it is of in f->row. */
static void name_share(const struct app *a, struct figure *f, enum attribute_part part,
                       int32_t index)
{
    const struct config *cfg = &a->m->cfg;
    int32_t embeds = attribute_embeds(cfg),
            width = part == ATTRIBUTE_BY_HEAD ? cfg->n_heads : cfg->d_mlp;
    f->row = part == ATTRIBUTE_BY_POS ? index : -1;
    if (part == ATTRIBUTE_BY_POS)
        f->index[0] = 0;
    else if (part != ATTRIBUTE_BY_LAYER)
        snprintf(f->index, sizeof f->index, "%d,%d", (int)(index / width), (int)(index % width));
    else if (index < embeds)
        snprintf(f->index, sizeof f->index, index ? "pos_embed" : "embed");
    else
        snprintf(f->index, sizeof f->index, "%d_%s_out", (int)(index - embeds) / 2,
                 (index - embeds) % 2 ? "mlp" : "attn");
}

TELL(tell_DIRECT)
{
    BOTH(struct want_direct);
    enum attribute_part part = (enum attribute_part)w->k;
    char what[32];
    f->hook[0] = 0;
    snprintf(what, sizeof what, "direct_by_%s", attribute_part_name(part));
    for (int32_t i = 0; i < b->n; i++) {
        name_share(to->a, f, part, b->share[i].index);
        figure_number(to, f, what, (double)b->share[i].value, (double)e->share[i].value);
    }
    f->row = -1;
    snprintf(f->index, sizeof f->index, "%s", attribute_part_name(part));
    figure_number(to, f, "direct_sum", b->sum, e->sum);
    figure_number(to, f, "direct_biases", b->constant, e->constant);
    figure_number(to, f, "direct_metric", b->metric, e->metric);
}

TELL(tell_ATTRIBUTED)
{
    BOTH(float);
    int32_t heads = to->a->m->cfg.n_heads;
    f->hook[0] = 0;
    for (int32_t i = 0; i < to->a->m->cfg.n_layers * heads; i++) {
        snprintf(f->index, sizeof f->index, "%d,%d", (int)(i / heads), (int)(i % heads));
        figure_number(to, f, "attributed", (double)b[i], (double)e[i]);
    }
}

TELL(tell_SLOPE)
{
    BOTH(float);
    int32_t heads = to->a->m->cfg.n_heads;
    site_name((struct site_ref){SITE_ATTN_SCORES, w->k / heads}, f->hook);
    for (int32_t src = 0; src < to->a->n; src++) {
        snprintf(f->index, sizeof f->index, "%d,%d,%d", (int)(w->k % heads), (int)w->pos, (int)src);
        figure_number(to, f, "slope", (double)b[src], (double)e[src]);
    }
}

TELL(tell_CHECK)
{
    BOTH(struct check_finding);
    (void)e;
    f->hook[0] = 0;
    if (b->result == CHECK_ABSENT)
        return;
    if (b->first.id != SITE_COUNT)
        site_name(b->first, f->hook);
    snprintf(f->index, sizeof f->index, "%d", (int)w->k);
    f->there[FACE_EDITED] = false;
    figure_text(to, f, "identity", check_table[w->k].name);
    figure_text(to, f, "holds", b->result == CHECK_HOLDS ? "yes" : "no");
    figure_number(to, f, "deviation", b->deviation, 0);
    figure_number(to, f, "limit", check_table[w->k].limit, 0);
    if (b->layer >= 0)
        figure_number(to, f, "worst_layer", b->layer, 0);
}

typedef void tell_fn(struct figures *to, struct figure *f, const struct want *w, const void *base,
                     const void *edited);
static tell_fn *const tellers[WANT_COUNT] = {
#define WANT(id, ...) [WANT_##id] = tell_##id,
#include "session/want.def"
};

/* ---- all ---- */

static void tell_want(struct figures *to, const struct snapshot *s, const struct want *w)
{
    bool whole = want_is_whole(w->kind);
    for (int32_t row = w->row0; row < w->row1; row++) {
        const void *base = snapshot_at(s, FACE_BASE, w, row),
                   *edited = snapshot_at(s, FACE_EDITED, w, row);
        struct figure f = figure_make();
        if (!base)
            continue;
        site_name(w->site, f.hook);
        f.row = whole ? -1 : row;
        f.there[FACE_EDITED] = edited != NULL;
        tellers[w->kind](to, &f, w, base, edited ? edited : base);
    }
}

void figure_each(struct figures *to)
{
    bool stale;
    const struct snapshot *s = app_newest(to->a, &stale);
    if (app_view(to->a)->figures)
        app_view(to->a)->figures(to->a, to);
    for (int32_t i = 0; s && !stale && i < s->n_wants; i++)
        tell_want(to, s, &s->wants[i]);
}
