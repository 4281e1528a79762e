/* borescope_stats.h - what a model does over many texts, from C: statistics of hook points,
 * evaluation, scores.
 *
 * Part of borescope.h, which includes it; the conventions there hold here.  Tested in
 * tests/engine/test_library_stats.c, test_library_eval.c, test_library_score.c. */
#ifndef BORESCOPE_STATS_H
#define BORESCOPE_STATS_H

#include "borescope.h"

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

/* A set of texts (docs/lab.md).  Zero-initialised but for its path: all of it, as it is. */
struct bore_texts {
    const char *path;   /* a file (.txt, .jsonl, .csv, .tsv, gzip'ed too) or a folder; "-": standard
                           input */
    bool paragraphs;    /* of files of lines: a text is what stands between blank ones */
    const char *field;  /* of .jsonl, .csv and .tsv: what holds the text; NULL: "text" */
    int bos;            /* as of bore_tokens */
    int window, stride; /* tokens; 0: the trained context, at most 2048; no overlap */
    int64_t skip, limit, limit_tokens; /* texts left out first; at most so many; 0: all */
    double sample;                     /* of the others each with this probability; 0: all */
    uint64_t seed;
};

/* Statistics of hook points over a set of texts, as `borescope stats` makes them. */
struct bore_stats {
    struct bore_texts texts;
    const char *const *hooks; /* names and patterns */
    int n_hooks;
    int top; /* contexts of each neuron or head that are kept; 0: none */
    const char *const *edits;
    int n_edits;
    const char *output; /* FILE.safetensors, of which docs/lab.md has the tensors */
    const char *resume; /* a file of the same form that the work goes on from, if it is there, and
                           where progress has its state kept, up to the last whole unit
                           of 1024 tokens; NULL: none.  It is not removed. */
};

/* What progress answers. */
enum bore_stats_answer { BORE_STATS_STOP = -1, BORE_STATS_GO_ON = 0, BORE_STATS_SAVE = 1 };

/* Run it.  progress (may be NULL) hears after each batch how many tokens were taken and which share
 * of the texts that is (negative: not known).  Stopped, the call fails and writes nothing but what
 * was saved.  Hooks of the model do not act. */
int bore_stats_run(struct bore_model *m, const struct bore_stats *stats,
                   enum bore_stats_answer (*progress)(void *user, int64_t tokens, double share),
                   void *user, struct bore_error *error);

/* How well the model expects the tokens of a set of texts, as `borescope eval` has it. */
struct bore_eval {
    struct bore_texts texts;
    bool choices; /* texts are questions with choices, a .jsonl file, of which path, bos, skip and
                     limit count */
    const char *const *edits; /* the model is then run without and with them */
    int n_edits;
    int top; /* K of top_K_accuracy; 0: 5 */
};
enum { BORE_MEASURES_MAX = 16 };
struct bore_evaluation {
    int64_t texts, tokens; /* that count; of questions both are how many there are */
    int n_measures;
    struct {
        char name[24]; /* "loss", "perplexity", "bits_per_byte", "accuracy", "top_5_accuracy", of
                          questions "acc", "acc_norm", "acc_bytes", "brier_score"; with
                          edits also "kl" and "agreement", which are under `edited` */
        double base, base_error, edited, edited_error, difference,
            difference_error; /* with standard errors; NaN: there is none */
    } measures[BORE_MEASURES_MAX];
};

/* Run it.  progress (may be NULL) hears after each batch how many tokens counted and which share of
 * the texts that is (negative: not known); not zero ends the work with BORE_CANCELLED.  Hooks of
 * the model do not act. */
int bore_eval_run(struct bore_model *m, const struct bore_eval *eval, struct bore_evaluation *out,
                  int (*progress)(void *user, int64_t tokens, double share), void *user,
                  struct bore_error *error);

/* Neurons or heads ranked by what they do on one set of texts and not on another, as `borescope
 * score` has it (docs/lab.md has the formulas).  Zero-initialised but for both paths: neurons by
 * abs. */
struct bore_score {
    struct bore_texts focus, cripple;
    const char *score; /* "freq", "sqrt", "abs", ..., "attribution", "ablation"; NULL: "abs" */
    const char *unit;  /* "neurons", "dims", "heads"; NULL: "neurons" */
    double eps;        /* 0: taker's, 0.001 for neurons and 0.0001 for dims and heads */
    bool median;       /* of a head's dimensions, not their mean */
    uint64_t seed;     /* of "rand" */
    const char *const *edits;
    int n_edits;
};

/* Scores [layer, neuron], [layer, head, d_head] or [layer, head] into values, which has room for as
 * many (NULL: only *n is asked for); *n: how many there are.  NaN: a unit has none.  progress as of
 * bore_eval_run.  Hooks of the model do not act. */
int bore_score_run(struct bore_model *m, const struct bore_score *score, double *values,
                   int64_t room, int64_t *n,
                   int (*progress)(void *user, int64_t tokens, double share), void *user,
                   struct bore_error *error);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
