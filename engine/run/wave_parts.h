/* wave_parts.h - the inside of a wave: for the files wave*.c.
 *
 * A chunk of variants goes through the stages together.  Of every site of a stage a variant owns
 * the positions in one range, its rows, where its values can differ from the base's; everywhere
 * else the base's values are its own, and are fetched where a step reads them beside own ones.  The
 * rows of all variants of a chunk lie one below the other in the site's buffer, so that a step is
 * one call for all of them.  Between stages nothing but the residual stream is kept. */
#ifndef WAVE_PARTS_H
#define WAVE_PARTS_H

#include "run/run_parts.h"
#include "run/wave.h"

enum {
    WAVE_ROWS = 512, /* of a chunk at most: more do not make products faster, but leave the cache */
    WAVE_ROWS_LEAST = 64, /* that large models have too, whose chunks take long */
    WAVE_SPARE = 24,      /* buffers that wait for their next site */
    WAVE_LOGITS = 1 << 22 /* logits computed at once */
};

/* Positions [lo, hi); none where hi <= lo. */
struct span {
    int32_t lo, hi;
};

static inline int32_t span_n(struct span a)
{
    return a.hi > a.lo ? a.hi - a.lo : 0;
}

static inline struct span span_cut(struct span a, struct span b)
{
    struct span both = {a.lo > b.lo ? a.lo : b.lo, a.hi < b.hi ? a.hi : b.hi};
    return span_n(both) ? both : (struct span){0, 0};
}

/* The least range that holds both. */
static inline struct span span_hull(struct span a, struct span b)
{
    if (!span_n(a) || !span_n(b))
        return span_n(a) ? a : b;
    return (struct span){a.lo < b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi};
}

/* Of a site, of one variant. */
struct place {
    struct span rows; /* its own */
    int32_t at;       /* where they begin in the site's buffer, in rows */
    bool given; /* nothing that the value is made from is its own: it is the base's, then edited */
};

/* A variant on its way; in the final stage one for each of its positions that is wanted. */
struct live {
    int32_t variant;
    int64_t answer;   /* of a position: which row of the chunk's answers it is */
    struct span clip; /* other positions do not matter any more */
    struct run_instrs instrs;
    struct place now[SITE_COUNT], prev[SITE_COUNT]; /* of this stage, of the one before */
};

/* The chunk that is under way, and its place in the plan. */
struct chunk {
    struct live *v;
    int32_t n;
    int32_t stage, n_steps;
    const struct step *steps;
    const struct step *beside,
        *made;                   /* products after the one, to the other, are made; NULL: none */
    bool full;                   /* attention sees later positions */
    bool edited[SITE_COUNT];     /* by some variant, in this stage */
    int32_t running[SITE_COUNT]; /* rows that steps compute; they lie first */
    int32_t rows[SITE_COUNT];    /* and given ones behind them */
    int32_t reader[SITE_COUNT];  /* the last step that writes or reads it */
    struct span block;           /* dest positions whose scores and pattern are in their buffers */
    int32_t block_rows;
};

/* A wave_run under way. */
struct wave {
    struct run *base;
    const struct wave_variant *variants;
    const struct wave_want *want;
    wave_fn *done;
    void *user;
    struct run *fork;   /* of those that go one by one; made when the first one does */
    struct run *worker; /* a fork that has no values: edits are applied in its name */
    struct span *need;  /* [stages * SITE_COUNT] positions that something wanted is made from */
    int32_t rows_max;   /* of a chunk, within the budget; 0: none travels */
    struct live *live;  /* the chunk's; room for rows_max */
    struct live *piece; /* positions in the final stage */
    struct run_picked picked;
    bool picks;
    enum site_id out; /* the site whose values the answers are */
    struct buffer now[SITE_COUNT], prev[SITE_COUNT], spare[WAVE_SPARE], operand[KN_IN_MAX];
    int32_t *ids; /* [2][rows_max] of own positions, after edits; room for a step's */
    int32_t n_spare;
    float *logits, *resid;           /* of one variant, as it is handed out */
    float *base_logits, *base_resid; /* of the base, once some variant has its values */
    bool base_read;
    float *rows_logits, *rows_resid; /* of rows of a chunk, as they came from the device */
};

/* ---- wave_rows.c: which rows are whose. ---- */

/* Fill w->need. */
void wave_need(struct wave *w);
/* Rows and places of every site of the stage c->stage, whose steps become the chunk's. */
int wave_rows(struct wave *w, struct chunk *c, struct err *e);
/* Does the variant run the step, if it has rows of the site? */
bool wave_step_active(const struct wave *w, const struct chunk *c, const struct live *v,
                      const struct step *s);
/* The site whose values an operand has. */
enum site_id wave_source(const struct wave *w, const struct chunk *c, enum site_id s);
static inline bool wave_has_edits(const struct live *v, int32_t stage, enum site_id s)
{
    return v->instrs.first[run_slot(stage, s)] >= 0;
}

/* ---- wave_values.c: where values lie. ---- */

/* Memory for a site, or one of w->now, w->prev let go. */
int wave_reserve(struct wave *w, int32_t stage, struct buffer *b, int64_t floats, struct err *e);
void wave_release(struct wave *w, struct buffer *b);
void wave_free(struct wave *w); /* all buffers */
/* Rows of the base. */
int wave_base_view(struct wave *w, int32_t stage, enum site_id s, struct span rows,
                   struct kn_view *out, struct err *e);
/* Own rows [rows) of a variant, which are all its own. */
struct kn_view wave_own_view(const struct wave *w, const struct chunk *c, const struct live *v,
                             enum site_id s, struct span rows);
/* Any rows of a variant, of this stage, the one before or the first, to `to`. */
int wave_copy_rows(struct wave *w, const struct chunk *c, const struct live *v, int32_t stage,
                   enum site_id s, struct span rows, const struct kn_view *to, struct err *e);
/* Its edits of a site, on own rows. */
int wave_edit(struct wave *w, const struct chunk *c, const struct live *v, enum site_id s,
              const struct kn_view *view, struct span rows, struct err *e);

/* ---- wave_stage.c: the steps of a stage. ---- */

/* Plan and run the stage c->stage; in the final one w->picks takes the place of the unembedding. */
int wave_stage(struct wave *w, struct chunk *c, struct err *e);
/* The stage is done: what the next one reads becomes `prev`. */
void wave_stage_leave(struct wave *w, struct chunk *c);

/* ---- wave_answer.c ---- */

/* Hand out what is wanted of the chunk's variants, whose blocks are all done; *done: how many. */
int wave_answer(struct wave *w, struct chunk *c, int32_t *done, struct err *e);
/* What is wanted of a run, to resid and logits. */
int wave_read(const struct wave *w, struct run *r, float *resid, float *logits, struct err *e);
static inline bool wave_has_logits(const struct wave *w)
{
    return site_exists(&w->base->m->cfg, SITE_UNEMBED_OUT);
}

/* ---- wave_attn.c ---- */

/* Steps [first, end) of the chunk's stage, which write or read scores and patterns. */
int wave_attention(struct wave *w, struct chunk *c, int32_t first, int32_t end, struct err *e);

#endif
