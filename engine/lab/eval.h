/* eval.h - how well a model expects the tokens of a set of texts, without and with edits.
 *
 * In a causal model a token counts if it is fresh in its window, not the window's first, and passes
 * the filter: what is asked is how the token before it expects it.  With windows that overlap this
 * is Hugging Face's recipe for perplexity (docs, "Perplexity of fixed-length models"), each token
 * with the same weight.  In a model that sees all tokens each one of a window that is fresh, not
 * special and passes the filter is masked in turn, and asked for at its own place: Salazar et al.
 * 2020, Masked Language Model Scoring.  Standard errors take texts as independent of each other and
 * tokens of a text as not: with x_i the sums over text i of n, and g the gradient of a measure by
 * the sums over all, the variance is n / (n - 1) sum_i (g . x_i)^2, the ratio estimator's (Cochran
 * 1977, Sampling Techniques, 6.4) and by linearisation that of every measure; of a difference,
 * paired.  Tested in tests/engine/test_eval.c. */
#ifndef EVAL_H
#define EVAL_H

#include "lab/batch.h"
#include "lab/token_filter.h"

/* Sums over tokens, questions (eval_choices.h) or images (eval_images.h); CHANGE: edited minus
 * base. */
enum eval_sum {
    EVAL_TOKENS,
    EVAL_BYTES, /* of the tokens' text; none where the tokenizer has no texts */
    EVAL_LOSS,
    EVAL_TOP1,
    EVAL_TOPK,
    EVAL_NORM,
    EVAL_PER_BYTE,
    EVAL_BRIER,
    EVAL_LOSS_CHANGE,
    EVAL_TOP1_CHANGE,
    EVAL_TOPK_CHANGE,
    EVAL_NORM_CHANGE,
    EVAL_PER_BYTE_CHANGE,
    EVAL_BRIER_CHANGE,
    EVAL_KL,
    EVAL_AGREE,
    EVAL_SUMS
};
/* From a sum to that of its change. */
enum { EVAL_CHANGE = EVAL_LOSS_CHANGE - EVAL_LOSS };

enum eval_measure {
#define MEASURE(name, sum, over, unit, help) MEASURE_##name,
#include "lab/eval.def"
    EVAL_MEASURES
};

/* Zero-initialised: of no texts. */
struct eval {
    bool edited;                          /* there are edits */
    bool choices;                         /* of questions */
    bool images;                          /* of images (eval_images.h) */
    bool masked;                          /* each token behind a mask */
    int32_t top;                          /* K */
    int64_t texts;                        /* of which a token counts */
    double sum[EVAL_SUMS];                /* over all whole texts */
    double product[EVAL_SUMS][EVAL_SUMS]; /* over texts, of their sums by each other */
    double text[EVAL_SUMS];               /* the sums of the text at hand, */
    int64_t at;                           /* whose number this is */
    struct fingerprint about; /* what it is of (eval_about): a as asked, b with what files hold */
    struct texts_place place; /* where it goes on */
};

struct eval_work {
    const struct model *m;
    const struct pair_target *target;    /* edits in force; none: no comparison */
    const struct texts_options *options; /* of the texts, for what `about` says */
    const struct token_filter *filter;   /* of the tokens that are expected */
    int32_t top;                         /* K of top_K_accuracy */
    size_t cache_bytes;
    struct ranks *ranks; /* NULL, or those who share the work and have agreed (ranks.h) */
    /* After each batch, on rank 0; may be NULL.  `v` is of whole units of work, from whose end it
     * could go on; `news` is of all ranks: tokens (or questions) counted, how far they are.  Not
     * zero ends the work. */
    int (*rest)(void *user, const struct eval *v, const struct gather_news *news, struct err *e);
    void *user;
};

/* What an evaluation is of: model, windows, edits, filter, and what else decides its numbers. */
int eval_about(struct eval *v, const struct eval_work *w, bool choices, struct err *e);
/* Over a set that nothing was taken from, from v->place on: v is of nothing, or of all before it.
 * Of several ranks all call it with the same place; the result is rank 0's.  ERR_BAD_INPUT also
 * where no token counts. */
int eval_run(struct eval *v, struct texts *t, const struct eval_work *w, struct err *e);

/* A measure and its standard errors; NaN: there is none (a measure of edits alone, no edits, fewer
 * than two texts, tokens without text). */
struct eval_value {
    enum eval_measure is;
    char name[24];
    double base, base_error, edited, edited_error, difference, difference_error;
};
/* Those that there are, of tokens or of questions, in the order of eval.def; how many. */
int eval_values(const struct eval *v, struct eval_value out[EVAL_MEASURES]);

/* To a .safetensors file, which appears whole or not at all, and back.  Fuzzed in
 * tests/fuzz/fuzz_eval.c. */
int eval_write(const struct eval *v, const char *path, struct err *e);
int eval_read(struct eval *v, const char *path, struct err *e);
/* The same from bytes; `name` is for messages. */
int eval_parse(struct eval *v, const char *name, const void *bytes, size_t len, struct err *e);

#endif
