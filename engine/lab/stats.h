/* stats.h - statistics of activations over tokens: of every element of a hook its moments,
 * histogram and strongest contexts.
 *
 * Moments are kept as means and variances in double precision, to which a block of tokens is added
 * by Chan, Golub and LeVeque's update (1979), each block by two passes over its values; so two
 * sets of statistics can be merged, and what is stored is the state.  A run merges those of its
 * units (stats_unit.h).  Values that are not finite
 * are left out and missing in `count`.  Histograms have the same edges everywhere, so that none
 * needs a second pass: by magnitude, two bins an octave from 2^-8 to 2^7, and one below and one
 * above.  Contexts are of units: elements, or where a hook has heads, heads, by the norm of their
 * vector.  Of a pattern the elements are a head's numbers (pattern_stats.h), each a unit.  Tested
 * in tests/engine/test_stats.c, test_stats_reference.c. */
#ifndef STATS_H
#define STATS_H

#include "lab/coactivation.h"
#include "lab/texts.h"

enum stat {
#define STAT(name, type, help) STAT_##name,
#define DERIVED(name, help)
#include "lab/stats.def"
    STAT_COUNT
};

enum {
    STATS_BINS = 64,
    STATS_BLOCK = 64,   /* tokens of a piece that are added together */
    STATS_CONTEXT = 16, /* tokens kept around a strong one */
    STATS_BEFORE = 11   /* of them before it */
};

/* A hook's statistics.  Arrays are [n] but where it is said. */
struct stats_site {
    struct site_ref site;
    char name[LIMIT_NAME];
    int rank; /* of an element's index: the hook's axes without positions */
    int64_t shape[SITE_RANK_MAX];
    int64_t n;          /* elements */
    int64_t units, top; /* what contexts are of: n (by value), or heads; how many each has */
    void *of[STAT_COUNT];
    int64_t *histogram; /* [n][STATS_BINS] */
    float *top_value;   /* [units][top], falling; -inf: none yet */
    int64_t *top_text;  /* number of the text in its set, -1 */
    int64_t *top_pos;   /* position in the text */
    int32_t
        *top_tokens; /* [units][top][STATS_CONTEXT], the token itself at STATS_BEFORE; -1: none */
};

/* Bytes of a value. */
extern const size_t stat_widths[STAT_COUNT];

static inline int64_t *stat_count(const struct stats_site *s, enum stat k)
{
    return s->of[k];
}
static inline double *stat_mean(const struct stats_site *s, enum stat k)
{
    return s->of[k];
}
static inline float *stat_bound(const struct stats_site *s, enum stat k)
{
    return s->of[k];
}

struct stats {
    struct stats_site *site;
    int n;
    int64_t tokens; /* that were taken */
    char *about;    /* what they are of, a line; those of one kind can be merged */
    struct texts_place place;
    struct coactivation together; /* of chosen elements of these hooks; n 0: none */
};

/* Hooks by name or pattern (of any library, where a name means a hook as it is), `top` contexts
 * each.  Scores, whose shape is the prompt's, and token ids have none: by name they
 * are refused, a pattern leaves them out.  Freed with stats_free, also on failure. */
int stats_init(struct stats *s, const struct config *cfg, const char *const *names, int n_names,
               int32_t top, struct err *e);
/* Elements whose coactivation is kept too (coactivation.h), of hooks that are there. */
int stats_together(struct stats *s, const struct config *cfg, const char *const *texts, int n,
                   struct err *e);
/* A hook more, empty. */
int stats_add_site(struct stats *s, struct site_ref site, const char *name, int rank,
                   const int64_t *shape, int64_t units, int64_t top, struct err *e);
void stats_free(struct stats *s);
const struct stats_site *stats_find(const struct stats *s, const char *name);

/* Values of chosen rows of a piece, in host memory: v [rows, ...] as run_view gives rows [0,
 * p->n), or pattern_take.  row[n] ascending. */
struct stats_piece {
    const struct text_piece *p;
    struct kn_view v;
    const int32_t *row;
    int32_t n;
};
/* n pieces, in their order; `center` [elements], subtracted first, or NULL.  Elements are shared
 * out to the threads of `be` (kn_each). */
void stats_add(struct stats_site *s, struct kn_backend *be, const struct stats_piece *piece,
               int32_t n, const float *center);
/* A context among those of a unit, if it is one of the strongest; of equal ones the first stays. */
void stats_context(struct stats_site *s, int64_t unit, float value, int64_t text, int64_t pos,
                   const int32_t tokens[STATS_CONTEXT]);
/* Statistics that were read are to go on as `now`, which are empty, would begin: refused where they
 * are of other hooks or made otherwise. */
int stats_continue(struct stats *s, const struct stats *now, struct err *e);
/* All that is in `from` into `to`: of the same hooks, in any order, and made alike (`about`). Texts
 * of `from` are numbered behind those of `to`. */
int stats_merge(struct stats *to, const struct stats *from, struct err *e);
/* A hook more into the same hook's, whose texts are numbered `texts` higher. */
void stats_site_merge(struct stats_site *to, const struct stats_site *from, int64_t texts);
/* Of no tokens; its arrays are zeros. */
void stats_site_clear(struct stats_site *s);

/* The bin of a value, and the bounds between bins: edge[STATS_BINS + 1], infinite at the ends. */
int stats_bin(float x);
void stats_edges(double edge[STATS_BINS + 1]);
/* The share of values at or below x, by the histogram, evenly within a bin; NaN where there
 * are none. */
double stats_quantile(const struct stats_site *s, int64_t element, float x);

/* To a .safetensors file, which appears whole or not at all. */
int stats_write(const struct stats *s, const char *path, const char *model, struct err *e);
/* A hook's statistics where they lie in an open file: to be read, not freed, good while it is open.
 * Shapes and types are checked, numbers are what they are. */
struct checkpoint;
int stats_look(struct stats_site *out, const struct checkpoint *st, const char *file,
               const char *hook, struct err *e);
/* From such a file; freed with stats_free, also on failure.  Shapes and types are checked. */
int stats_read(struct stats *s, const char *path, struct err *e);
/* The same from bytes; `name` is for messages. */
int stats_parse(struct stats *s, const char *name, const void *bytes, size_t len, struct err *e);

#endif
