/* tensor.h - the slice of a hook that the tensor view shows: which axes are its rows and columns,
 * in which order they stand, its values, what they add up to, and the panel that says so.
 *
 * Rows are positions of one head, or all heads at one position; columns are the last axis.  Rows
 * and columns are named by their index in the hook everywhere but where a function says "shown":
 * their place on the screen, once they are sorted.  Tested in tests/tui/test_tensor.c. */
#ifndef TENSOR_H
#define TENSOR_H

#include "draw.h"
#include "tensor_sum.h"

struct tensor_slice {
    int64_t shape[SITE_RANK_MAX];
    int rank;
    bool head_first; /* [head, dest, src], else [pos, head, d] */
    bool expert;     /* [pos, d]: of [pos, slot, d] the slot of one expert, 0 where none is its */
    bool by_head;    /* rows are the heads at the cursor's position */
    int32_t heads, rows, columns;
};

struct tensor_slice tensor_slice(const struct app *a);
/* The head on show, or under the cursor. */
int32_t tensor_head(const struct app *a, const struct tensor_slice *s);
/* The row under the cursor: a position, or a head. */
int32_t tensor_cursor(const struct app *a, const struct tensor_slice *s);
void tensor_want(const struct app *a, const struct tensor_slice *s, int32_t top, int32_t page,
                 struct want_list *l);
/* What a column is: the token of a source, "head 3", "expert 7"; "" where its number says all. */
void tensor_column_name(const struct app *a, const struct tensor_slice *s, int32_t column,
                        char *buf, size_t size);

/* An answer, whose rows [row0, row1) are there. */
struct tensor_values {
    struct answer at;
    int32_t columns, slots, heads, row0, row1;
    int32_t expert; /* whose slot is meant, else -1 */
    const float *v[FACE_COUNT], *index[FACE_COUNT];
};

/* False: nothing there that is of the hook and the prompt on show.  Another head is stale. */
bool tensor_open(struct tensor_values *v, const struct app *a, const struct tensor_slice *s);
/* One value of the face on show; false: that row is not there. */
bool tensor_value(const struct tensor_values *v, int32_t row, int32_t column, float *out);
/* The same of a face. */
bool tensor_face_value(const struct tensor_values *v, enum face face, int32_t row, int32_t column,
                       float *out);

/* All of an answer in the order of the screen, [row1 - row0][columns], and the sums of it in
 * a->tensor_kept: kept until it is another answer or order.  NULL: memory is out. */
const float *tensor_shown(struct app *a, const struct tensor_slice *s,
                          const struct tensor_values *v);

/* ---- order ---- */

bool tensor_is_sorted(const struct app *a, const struct tensor_slice *s, enum slice_axis axis);
/* What is shown at a place, and where something is shown. */
int32_t tensor_at(const struct app *a, const struct tensor_slice *s, enum slice_axis axis,
                  int32_t shown);
int32_t tensor_place(const struct app *a, const struct tensor_slice *s, enum slice_axis axis,
                     int32_t index);
/* Rows by the cursor's column, or columns by its row, the largest first, or the least; values that
 * are NaN last.  The order stays while values change, and for other hooks of as many.  Sorted
 * already in this way by the same: in their own order again.  Complains where values are missing.
 */
void tensor_sort(struct app *a, enum slice_axis axis, bool least);
void tensor_unsort(struct app *a);
/* The end of the application: what is kept goes. */
void tensor_free(struct app *a);

/* ---- sums ---- */

/* Where the value under the cursor lies among those of many texts, a line; false: none are open. */
bool tensor_statistics(const struct app *a, struct canvas *c, struct rect r,
                       const struct tensor_slice *s, const struct tensor_values *values);
/* The panel: the value under the cursor, the sums, their histogram, the largest of the row. */
void tensor_side(const struct app *a, struct frame *f, struct rect r);

#endif
