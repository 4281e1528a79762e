/* head_list.h - the numbers of the heads view: scores of every head of every layer, their order,
 * and the filter.  Pure reading of snapshots.  Tested in tests/tui/test_heads_view.c,
 * tests/fuzz/fuzz_head_filter.c. */
#ifndef HEAD_LIST_H
#define HEAD_LIST_H

#include "app.h"

extern const char *const heads_sort_names[HEADS_SORT_COUNT];

/* "L2", "H3", "L2H1", "induction>0.5", "entropy<1": all of them must hold. */
enum { HEADS_CONDITIONS_MAX = 8 };
struct heads_condition {
    int32_t layer, head;   /* -1: any */
    enum heads_sort score; /* HEADS_BY_PLACE: none */
    bool above;
    float value;
};
struct heads_filter {
    struct heads_condition item[HEADS_CONDITIONS_MAX];
    int n;
};
/* 0, or ERR_BAD_INPUT with a line that says what would work; names may be cut short. */
int heads_filter_parse(const char *text, struct heads_filter *out, struct err *e);

/* What heads give to the pair's logit difference, by attribution; false: there is no pair. */
bool heads_attributed_want(const struct app *a, struct want *w);
/* A score of a head in the face on show; false while it is not there, or where the prompt has no
 * rows for it. */
bool heads_score(const struct app *a, int32_t layer, int32_t head, enum heads_sort which,
                 enum face face, float *out);
/* The same under the face: base, edited, edited - base. */
bool heads_value(const struct app *a, int32_t layer, int32_t head, enum heads_sort which,
                 float *out);
/* The map of a sweep over layers and heads, if the last one was that, of this prompt and these
 * edits; NULL: it was not. */
const struct sweep_map *heads_swept(const struct app *a);
/* layer * n_heads + head of those that the filter lets through, sorted; *n of them; to free, NULL
 * when out of memory.  *bad (may be NULL): the filter was not understood, and all are there. */
int32_t *heads_order(const struct app *a, int32_t *n, bool *bad);

#endif
