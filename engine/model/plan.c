/* plan.c - emitting the block program (see plan.h).
 *
 * Straight-line code: it reads as the forward pass of one layer, but emits steps instead of
 * computing.  What differs from layer to layer is asked for here and nowhere else.  Tested in
 * tests/engine/test_plan.c. */
#include "model/plan.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static_assert((int64_t)(LIMIT_LAYERS + 2) * PLAN_STAGE_ORDER < INT32_MAX, "orders are 32 bits");

struct emitter {
    const struct config *cfg;
    int32_t layer;      /* whose steps are emitted */
    struct step *steps; /* of all stages so far; room for `cap` */
    int32_t n, cap;
    bool failed; /* memory is out: steps go to `lost` */
    struct step lost;
};

#define AT(s)                  \
    {                          \
        OPERAND_SITE, SITE_##s \
    }
#define FLAT(s)                \
    {                          \
        OPERAND_FLAT, SITE_##s \
    }
#define ROOT(s)                \
    {                          \
        OPERAND_ROOT, SITE_##s \
    }
#define ALL(s)         \
    {                  \
        OPERAND_ALL, s \
    }
#define PREV(s)                \
    {                          \
        OPERAND_PREV, SITE_##s \
    }
#define REPEAT(s)                \
    {                            \
        OPERAND_REPEAT, SITE_##s \
    }
#define WEIGHT(w)         \
    {                     \
        OPERAND_WEIGHT, w \
    }

#define EXPERT(w)         \
    {                     \
        OPERAND_EXPERT, w \
    }

/* Append a step; its further fields are set through the returned pointer. */
#define EMIT(em, op_, site_, ...) \
    emit(em, KN_OP_##op_, SITE_##site_, (struct operand[KN_IN_MAX]){__VA_ARGS__})

static struct step *emit(struct emitter *em, enum kn_op op, enum site_id site,
                         const struct operand in[KN_IN_MAX])
{
    if (em->n == em->cap) {
        int32_t cap = em->cap ? 2 * em->cap : 64;
        struct step *more = realloc(em->steps, (size_t)cap * sizeof *more);
        if (!more) {
            em->failed = true;
            return &em->lost;
        }
        em->steps = more, em->cap = cap;
    }
    struct step *s = &em->steps[em->n++];
    memset(s, 0, sizeof *s); /* padding too: stages are compared byte by byte */
    s->op = op, s->site = site, s->p.scale = 1.0f;
    memcpy(s->in, in, sizeof s->in);
    return s;
}

/* A sliding window in positions, 0 = none. */
static int32_t layer_window(const struct config *cfg, int32_t layer)
{
    return layer_in(&cfg->windowed, layer) ? cfg->window : 0;
}

/* The three steps of a norm: x / scale, then weight (and bias). */
static void emit_norm(struct emitter *em, struct operand x, enum site_id scale,
                      enum site_id normalized, enum site_id out, enum weight_id w, enum weight_id b)
{
    struct step *s = emit(em, KN_OP_NORM_SCALE, scale, (struct operand[KN_IN_MAX]){x});
    s->p.eps = (float)em->cfg->norm_eps;
    s->p.center = em->cfg->norm_center;
    s = emit(em, KN_OP_NORMALIZE, normalized,
             (struct operand[KN_IN_MAX]){x, {OPERAND_SITE, scale}});
    s->p.center = em->cfg->norm_center;
    emit(em, KN_OP_AFFINE, out,
         (struct operand[KN_IN_MAX]){{OPERAND_SITE, normalized},
                                     WEIGHT(w),
                                     em->cfg->norm_center && b ? (struct operand)WEIGHT(b)
                                                               : (struct operand){0}})
        ->p.offset = (float)em->cfg->norm_offset;
}

/* The norms that a block has in any order, of `x`. */
static void emit_ln1(struct emitter *em, enum site_id x)
{
    emit_norm(em, (struct operand){OPERAND_SITE, x}, SITE_LN1_SCALE, SITE_LN1_NORMALIZED,
              SITE_LN1_OUT, W_LN1, B_LN1);
}

static void emit_ln2(struct emitter *em, enum site_id x)
{
    emit_norm(em, (struct operand){OPERAND_SITE, x}, SITE_LN2_SCALE, SITE_LN2_NORMALIZED,
              em->cfg->norm_place == NORM_RESIDUAL ? SITE_NORMALIZED_RESID_POST : SITE_LN2_OUT,
              W_LN2, B_LN2);
}

static void emit_embed_norm(struct emitter *em, enum site_id out)
{
    emit_norm(em, (struct operand)AT(EMBED_SUM), SITE_EMBED_LN_SCALE, SITE_EMBED_LN_NORMALIZED, out,
              W_EMBED_LN, B_EMBED_LN);
}

/* Embeddings of tokens, positions and token types, normalized together. */
static void emit_embed_parts(struct emitter *em)
{
    EMIT(em, EMBED, WORD_EMBED, {OPERAND_TOKENS, 0}, WEIGHT(W_E));
    EMIT(em, EMBED, WORD_POS_EMBED, {OPERAND_POSITIONS, 0}, WEIGHT(W_POS));
    if (em->cfg->n_types)
        EMIT(em, EMBED, TYPE_EMBED, {OPERAND_TYPES, 0}, WEIGHT(W_TYPE));
    EMIT(em, ADD, EMBED_SUM, AT(WORD_EMBED), AT(WORD_POS_EMBED));
    if (em->cfg->n_types)
        EMIT(em, ADD, EMBED_SUM, AT(EMBED_SUM), AT(TYPE_EMBED))->in_place = true;
    emit_embed_norm(em, SITE_FULL_EMBED);
}

/* A class token, perhaps one of distillation, then the patches of an image. */
static void emit_patches(struct emitter *em)
{
    EMIT(em, LINEAR, EMBED, {OPERAND_PATCHES, 0}, WEIGHT(W_PATCH), WEIGHT(B_PATCH));
    struct step *s = EMIT(em, EMBED, EMBED, {OPERAND_POSITIONS, 0}, WEIGHT(W_CLS));
    s->in_place = true, s->first_rows = em->cfg->n_prefix;
    EMIT(em, EMBED, POS_EMBED, {OPERAND_POSITIONS, 0}, WEIGHT(W_POS));
}

static void emit_embed(struct emitter *em)
{
    const struct config *cfg = em->cfg;
    if (config_has(cfg, PROPERTY_EMBED_PARTS)) {
        emit_embed_parts(em);
        return;
    }
    if (cfg->patch_size) {
        emit_patches(em);
        return;
    }
    bool projected = config_has(cfg, PROPERTY_PROJECTED);
    enum site_id out = cfg->embed_norm ? SITE_EMBED_SUM : projected ? SITE_PROJECT_IN : SITE_EMBED;
    struct step *s = emit(em, KN_OP_EMBED, out,
                          (struct operand[KN_IN_MAX]){{OPERAND_TOKENS, 0}, WEIGHT(W_E)});
    s->p.scale = cfg->embed_scale > 0 ? (float)cfg->embed_scale : 1;
    if (cfg->embed_norm)
        emit_embed_norm(em, SITE_EMBED);
    if (projected)
        EMIT(em, LINEAR, EMBED, AT(PROJECT_IN), WEIGHT(W_PROJECT_IN));
    if (cfg->pos == POS_LEARNED)
        EMIT(em, EMBED, POS_EMBED, {OPERAND_POSITIONS, 0}, WEIGHT(W_POS));
    if (cfg->pos == POS_ROTARY) {
        EMIT(em, COPY, ROT_COS, {OPERAND_COS, 0});
        EMIT(em, COPY, ROT_SIN, {OPERAND_SIN, 0});
    }
    if (cfg->pos == POS_ROTARY && cfg->rope_by_window) {
        EMIT(em, COPY, ROT_COS_LOCAL, {OPERAND_COS, 1});
        EMIT(em, COPY, ROT_SIN_LOCAL, {OPERAND_SIN, 1});
    }
}

static void emit_wanted(struct emitter *em, enum site_id site, struct operand from)
{
    emit(em, KN_OP_COPY, site, (struct operand[KN_IN_MAX]){from})->when = STEP_IF_WANTED;
}

/* A copy through which its source is read. */
static void emit_copy(struct emitter *em, enum site_id site)
{
    emit_wanted(em, site, (struct operand){OPERAND_SITE, site_copied(em->cfg, site)});
}

/* A projection of attention's input to heads, through a port; also its two replacements, from
 * per-head residual inputs. */
static void emit_heads(struct emitter *em, enum site_id out, enum site_id port, enum site_id input,
                       enum weight_id w, enum weight_id b)
{
    emit_copy(em, port);
    emit(em, KN_OP_LINEAR, out,
         (struct operand[KN_IN_MAX]){{OPERAND_SITE, port}, WEIGHT(w), WEIGHT(b)})
        ->flat_out = true;
    enum site_id from[2] = {SITE_ATTN_IN, input};
    for (int i = site_exists(em->cfg, SITE_ATTN_IN) ? 0 : 1; i < 2; i++) {
        struct step *s = emit(
            em, KN_OP_LINEAR, out,
            (struct operand[KN_IN_MAX]){{OPERAND_SITE, from[i]}, WEIGHT(w), WEIGHT(b)});
        s->when = STEP_IF_EDITED;
        s->edited = from[i];
        s->per_head = true;
    }
}

/* A norm without a bias of each head: all have the same weights, or each its own of `all`. */
static void emit_head_norm(struct emitter *em, enum site_id x, enum site_id scale,
                           enum site_id normalized, enum site_id out, enum weight_id w,
                           enum weight_id all)
{
    bool each = em->cfg->qk_norm_each;
    int32_t first = em->n;
    emit_norm(em, (struct operand){OPERAND_SITE, x}, scale, normalized, out, each ? all : w,
              W_NONE);
    for (int32_t i = first; i < em->n; i++) {
        struct step *s = &em->steps[i];
        s->flat_out = each && s->site == out;
        s->heads_are_rows = !s->flat_out;
        if (s->flat_out)
            s->in[0].kind = OPERAND_FLAT;
    }
}

/* One of all heads of a position together. */
static void emit_joined_norm(struct emitter *em, enum site_id x, enum site_id scale,
                             enum site_id normalized, enum site_id out, enum weight_id w)
{
    int32_t first = em->n;
    emit_norm(em, (struct operand){OPERAND_FLAT, x}, scale, normalized, out, w, W_NONE);
    for (int32_t i = first; i < em->n; i++)
        em->steps[i].flat_out = em->steps[i].site == out;
}

static enum site_id emit_clip(struct emitter *em, enum site_id x, enum site_id out)
{
    if (em->cfg->clip_qkv <= 0)
        return x;
    emit(em, KN_OP_CLIP, out, (struct operand[KN_IN_MAX]){{OPERAND_SITE, x}})
        ->p.limit = (float)em->cfg->clip_qkv;
    return out;
}

/* Queries or keys turned by the layer's rotary table. */
static void emit_rope(struct emitter *em, enum site_id out, enum site_id x)
{
    struct operand from = {OPERAND_SITE, x}, cosine = ROOT(ROT_COS), sine = ROOT(ROT_SIN);
    if (layer_in(&em->cfg->unrotated, em->layer)) {
        emit(em, KN_OP_COPY, out, (struct operand[KN_IN_MAX]){from});
        return;
    }
    if (em->cfg->rope_by_window && layer_in(&em->cfg->windowed, em->layer))
        cosine.id = SITE_ROT_COS_LOCAL, sine.id = SITE_ROT_SIN_LOCAL;
    struct step *s = emit(em, KN_OP_ROPE, out, (struct operand[KN_IN_MAX]){from, cosine, sine});
    s->p.n_rot = em->cfg->n_rot;
    s->p.pairs = em->cfg->rope_pairs;
}

/* Returns the site that is added to the stream. */
static enum site_id emit_attention(struct emitter *em)
{
    const struct config *cfg = em->cfg;
    bool before = config_norm_before(cfg), both = cfg->norm_place == NORM_BOTH;
    if (site_exists(cfg, SITE_ATTN_IN))
        emit_wanted(em, SITE_ATTN_IN, (struct operand)REPEAT(RESID_PRE));
    emit_wanted(em, SITE_Q_INPUT, (struct operand)REPEAT(RESID_PRE));
    emit_wanted(em, SITE_K_INPUT, (struct operand)REPEAT(RESID_PRE));
    emit_wanted(em, SITE_V_INPUT, (struct operand)REPEAT(RESID_PRE));
    if (before)
        emit_ln1(em, SITE_RESID_PRE);
    emit_heads(em, SITE_Q, SITE_Q_IN, SITE_Q_INPUT, W_Q, B_Q);
    emit_heads(em, SITE_K, SITE_K_IN, SITE_K_INPUT, W_K, B_K);
    emit_heads(em, SITE_V, SITE_V_IN, SITE_V_INPUT, W_V, B_V);
    enum site_id query = SITE_Q, key = SITE_K;
    if (cfg->qk_norm && cfg->qk_norm_joined) {
        emit_joined_norm(em, SITE_Q, SITE_Q_NORM_JOINED_SCALE, SITE_Q_NORM_JOINED_NORMALIZED,
                         SITE_Q_NORMED, W_QN_ALL);
        emit_joined_norm(em, SITE_K, SITE_K_NORM_JOINED_SCALE, SITE_K_NORM_JOINED_NORMALIZED,
                         SITE_K_NORMED, W_KN_ALL);
    } else if (cfg->qk_norm) {
        emit_head_norm(em, SITE_Q, SITE_Q_NORM_SCALE, SITE_Q_NORM_NORMALIZED, SITE_Q_NORMED, W_QN,
                       W_QN_ALL);
        emit_head_norm(em, SITE_K, SITE_K_NORM_SCALE, SITE_K_NORM_NORMALIZED, SITE_K_NORMED, W_KN,
                       W_KN_ALL);
    }
    if (cfg->qk_norm)
        query = SITE_Q_NORMED, key = SITE_K_NORMED;
    query = emit_clip(em, query, SITE_Q_CLIPPED), key = emit_clip(em, key, SITE_K_CLIPPED);
    emit_clip(em, SITE_V, SITE_V_CLIPPED);
    if (cfg->pos == POS_ROTARY) {
        emit_rope(em, SITE_ROT_Q, query);
        emit_rope(em, SITE_ROT_K, key);
        query = SITE_ROT_Q, key = SITE_ROT_K;
    }
    struct step *s = EMIT(em, ATTN_SCORES, ATTN_SCORES, {OPERAND_SITE, query}, ALL(key));
    double scalar = cfg->query_pre_attn_scalar;
    s->p.scale = (float)(1.0 / sqrt(scalar > 0 ? scalar : (double)cfg->d_head));
    s->p.window = layer_window(cfg, em->layer);
    s->p.softcap = (float)cfg->softcap;
    s->p.alibi = cfg->pos != POS_ALIBI ? 0 : cfg->alibi_early ? s->p.scale : 1;
    s->p.alibi_bf16 = cfg->alibi_early;
    s->p.full = cfg->bidirectional;
    s = EMIT(em, SOFTMAX, PATTERN, AT(ATTN_SCORES));
    s->p.full = cfg->bidirectional;
    if (cfg->sinks)
        s->in[1] = (struct operand)WEIGHT(B_SINKS);
    EMIT(em, ATTN_MIX, Z, AT(PATTERN), ALL(site_mixed(cfg)))->p.full = cfg->bidirectional;
    EMIT(em, HEAD_RESULT, RESULT, AT(Z), WEIGHT(W_O))->when = STEP_IF_WANTED;
    enum site_id out = site_attn_made(cfg);
    emit(em, KN_OP_LINEAR, out, (struct operand[KN_IN_MAX]){FLAT(Z), WEIGHT(W_O), WEIGHT(B_O)});
    s = emit(em, KN_OP_RESULT_PATCH, out,
             (struct operand[KN_IN_MAX]){AT(RESULT), AT(Z), WEIGHT(W_O)});
    s->when = STEP_IF_EDITED;
    s->edited = SITE_RESULT;
    s->in_place = true;
    if (both)
        emit_norm(em, (struct operand)AT(ATTN_LINEAR), SITE_LN1_POST_SCALE,
                  SITE_LN1_POST_NORMALIZED, SITE_ATTN_OUT, W_LN1_POST, W_NONE);
    if (cfg->norm_place == NORM_AFTER)
        emit_ln1(em, SITE_ATTN_OUT);
    return site_attn_added(cfg);
}

/* One MLP for all positions, from its input to what it adds. */
static void emit_dense(struct emitter *em, struct operand x, enum site_id out)
{
    const struct config *cfg = em->cfg;
    if (cfg->gated) {
        emit_copy(em, SITE_GATE_IN);
        EMIT(em, LINEAR, PRE, AT(GATE_IN), WEIGHT(W_GATE), WEIGHT(B_GATE));
        emit_copy(em, SITE_UP_IN);
        EMIT(em, LINEAR, PRE_LINEAR, AT(UP_IN), WEIGHT(W_IN), WEIGHT(B_IN));
        struct step *s = EMIT(em, ACT, ACT_OUT, AT(PRE));
        s->when = STEP_IF_WANTED;
        s->p.act = cfg->act;
        EMIT(em, GATE, POST, AT(PRE), AT(PRE_LINEAR))->p.act = cfg->act;
        s = EMIT(em, GATE, POST, AT(ACT_OUT), AT(PRE_LINEAR)); /* the product alone */
        s->when = STEP_IF_EDITED;
        s->edited = SITE_ACT_OUT;
    } else {
        if (cfg->norm_place == NORM_RESIDUAL) { /* the stream goes on from the same norm */
            emit_copy(em, SITE_UP_IN);
            x.id = SITE_UP_IN;
        }
        EMIT(em, LINEAR, PRE, x, WEIGHT(W_IN), WEIGHT(B_IN));
        EMIT(em, ACT, POST, AT(PRE))->p.act = cfg->act;
    }
    emit(em, KN_OP_LINEAR, out,
         (struct operand[KN_IN_MAX]){AT(POST), WEIGHT(W_OUT), WEIGHT(B_OUT)});
}

/* A mixture of experts: the router chooses some for each position, whose outputs are weighted. */
static void emit_experts(struct emitter *em, struct operand x, enum site_id out)
{
    const struct config *cfg = em->cfg;
    EMIT(em, LINEAR, ROUTER_LOGITS, x, WEIGHT(W_ROUTER), WEIGHT(B_ROUTER));
    EMIT(em, ROUTE, EXPERT_WEIGHTS, AT(ROUTER_LOGITS))->p.top = cfg->route_top ? cfg->n_active : 0;
    EMIT(em, TOP_INDEX, EXPERT_INDICES, AT(EXPERT_WEIGHTS));
    EMIT(em, TOP_VALUE, ROUTER_SCORES, AT(EXPERT_WEIGHTS))->p.share = cfg->share_top;
    EMIT(em, LINEAR, EXPERT_GATE, x, EXPERT(W_EXPERT_GATE), EXPERT(B_EXPERT_GATE));
    EMIT(em, LINEAR, EXPERT_PRE, x, EXPERT(W_EXPERT_IN), EXPERT(B_EXPERT_IN));
    struct step *s = EMIT(em, GATE, EXPERT_POST, AT(EXPERT_GATE), AT(EXPERT_PRE));
    s->p.act = cfg->act;
    s->p.limit = (float)cfg->glu_limit, s->p.offset = (float)cfg->glu_offset;
    EMIT(em, LINEAR, EXPERT_OUT, AT(EXPERT_POST), EXPERT(W_EXPERT_OUT), EXPERT(B_EXPERT_OUT));
    emit(em, KN_OP_BLEND, out, (struct operand[KN_IN_MAX]){AT(ROUTER_SCORES), AT(EXPERT_OUT)});
}

/* As emit_attention; `input`: the stream that the MLP reads. */
static enum site_id emit_mlp(struct emitter *em, enum site_id input)
{
    const struct config *cfg = em->cfg;
    bool before = config_norm_before(cfg), both = cfg->norm_place == NORM_BOTH;
    bool branch = cfg->norm_place != NORM_RESIDUAL; /* else hook_mlp_in stands before ln1 */
    struct operand x = {OPERAND_SITE, before ? SITE_LN2_OUT : branch ? SITE_MLP_IN : input};
    if (branch)
        emit_copy(em, SITE_MLP_IN);
    if (before)
        emit_ln2(em, SITE_MLP_IN);
    enum site_id out = site_mlp_made(cfg);
    if (layer_in(&cfg->moe, em->layer))
        emit_experts(em, x, out);
    else
        emit_dense(em, x, out);
    if (both)
        emit_norm(em, (struct operand)AT(MLP_LINEAR), SITE_LN2_POST_SCALE, SITE_LN2_POST_NORMALIZED,
                  SITE_MLP_OUT, W_LN2_POST, W_NONE);
    if (cfg->norm_place == NORM_AFTER)
        emit_ln2(em, SITE_MLP_OUT);
    return site_mlp_added(cfg);
}

/* The stream as a block hands it on. */
static struct operand stream_before(const struct emitter *em)
{
    return (struct operand){OPERAND_PREV, site_stream(em->cfg, em->layer - 1)};
}

static void emit_block(struct emitter *em)
{
    const struct config *cfg = em->cfg;
    if (em->layer == 0 && site_exists(cfg, SITE_POS_EMBED))
        EMIT(em, ADD, RESID_PRE, PREV(EMBED), PREV(POS_EMBED));
    else
        EMIT(em, COPY, RESID_PRE, stream_before(em));
    enum site_id added = emit_attention(em), stream = SITE_RESID_MID;
    if (cfg->parallel) {
        emit_mlp(em, SITE_RESID_PRE);
        EMIT(em, ADD, RESID_POST, AT(RESID_PRE), AT(ATTN_OUT));
        EMIT(em, ADD, RESID_POST, AT(RESID_POST), AT(MLP_OUT))->in_place = true;
        return;
    }
    EMIT(em, ADD, RESID_MID, AT(RESID_PRE), {OPERAND_SITE, added});
    if (cfg->norm_place == NORM_RESIDUAL) {
        emit_copy(em, SITE_MLP_IN); /* branch and stream read it */
        emit_ln1(em, SITE_MLP_IN);
        stream = SITE_LN1_OUT;
    }
    added = emit_mlp(em, stream);
    EMIT(em, ADD, RESID_POST, {OPERAND_SITE, stream}, {OPERAND_SITE, added});
    if (cfg->norm_place == NORM_RESIDUAL)
        emit_ln2(em, SITE_RESID_POST);
}

static void emit_final(struct emitter *em)
{
    const struct config *cfg = em->cfg;
    if (!site_exists(cfg, SITE_UNEMBED_IN))
        return;
    if (cfg->mlm_head) {
        EMIT(em, LINEAR, MLM_PRE, stream_before(em), WEIGHT(W_MLM), WEIGHT(B_MLM));
        EMIT(em, ACT, MLM_POST, AT(MLM_PRE))->p.act = cfg->head_act;
        emit_norm(em, (struct operand)AT(MLM_POST), SITE_MLM_LN_SCALE, SITE_MLM_LN_NORMALIZED,
                  SITE_UNEMBED_IN, W_MLM_LN, B_MLM_LN);
    } else if (config_has(cfg, PROPERTY_FINAL_NORM)) {
        emit_norm(em, stream_before(em), SITE_LNF_SCALE, SITE_LNF_NORMALIZED, SITE_UNEMBED_IN,
                  W_LNF, B_LNF);
    } else {
        EMIT(em, COPY, UNEMBED_IN, stream_before(em));
    }
    if (cfg->headless)
        return;
    struct operand in = AT(UNEMBED_IN);
    if (config_has(cfg, PROPERTY_PROJECTED)) {
        EMIT(em, LINEAR, PROJECT_OUT, in, WEIGHT(W_PROJECT_OUT));
        in.id = SITE_PROJECT_OUT;
    }
    EMIT(em, LINEAR, UNEMBED_OUT, in, WEIGHT(W_U), WEIGHT(B_U));
    if (cfg->final_softcap > 0)
        EMIT(em, SOFTCAP, LOGITS, AT(UNEMBED_OUT))->p.softcap = (float)cfg->final_softcap;
}

/* The steps emitted last are those of a stage; kept once where an earlier one has the same. */
static void stage_take(struct plan *p, struct emitter *em, int32_t stage, int32_t first)
{
    size_t bytes = (size_t)(em->n - first) * sizeof *em->steps;
    p->first[stage] = first, p->count[stage] = em->n - first;
    assert(em->n - first < PLAN_STAGE_ORDER);
    for (int32_t i = 0; i < stage; i++)
        if (p->count[i] == p->count[stage] &&
            !memcmp(em->steps + p->first[i], em->steps + first, bytes)) {
            p->first[stage] = p->first[i];
            em->n = first;
            return;
        }
}

struct plan *plan_build(const struct config *cfg)
{
    struct plan *p = calloc(1, sizeof *p);
    struct emitter em = {.cfg = cfg};
    if (p)
        *p = (struct plan){.cfg = *cfg, .stages = cfg->n_layers + 2};
    if (!p || !(p->first = calloc((size_t)p->stages * 2, sizeof *p->first))) {
        free(p);
        return NULL;
    }
    p->count = p->first + p->stages;
    for (int32_t stage = 0; stage < p->stages && !em.failed; stage++) {
        int32_t first = em.n;
        em.layer = stage - 1;
        if (stage == 0)
            emit_embed(&em);
        else if (stage <= cfg->n_layers)
            emit_block(&em);
        else
            emit_final(&em);
        if (!em.failed && stage) /* of the first stage every value is kept */
            plan_fuse_mark(em.steps + first, em.n - first);
        stage_take(p, &em, stage, first);
    }
    p->steps = em.steps;
    if (em.failed) {
        plan_free(p);
        return NULL;
    }
    plan_sites_mark(p, em.n);
    return p;
}

void plan_free(struct plan *p)
{
    if (!p)
        return;
    free(p->steps), free(p->first);
    free(p);
}
