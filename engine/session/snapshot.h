/* snapshot.h - how answers own their memory: session-internal.
 *
 * Elements of a figure lie in a blob, with a mark for each that is there.  A blob is counted:
 * the cache of figures and any number of snapshots share it, and it is only written while the
 * cache alone holds it.  A snapshot is a struct snapshot in front of the figures that it shows.
 * Tested in tests/engine/test_session.c. */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include "session/session.h"

/* Elements of rows [row0, row1), `bytes` each, 16-byte aligned from the first on. */
struct blob {
    atomic_int refs;
    int32_t row0, row1;
    size_t bytes;
    bool *there; /* [row1 - row0] */
    char *data;
};

/* Nothing there yet; NULL when memory is out. */
struct blob *blob_new(int32_t row0, int32_t row1, size_t bytes);
/* The same rows and more or fewer, with those there that both have. */
struct blob *blob_copy(const struct blob *b, int32_t row0, int32_t row1);
void blob_release(struct blob *b);
bool blob_is_shared(const struct blob *b);
/* The place of a row. */
void *blob_at(const struct blob *b, int32_t row);
/* Is the row there?  b may be NULL. */
bool blob_has(const struct blob *b, int32_t row);

/* Room for the wants and tokens of a request, which are copied; NULL when memory is out. */
struct snapshot *snapshot_new(const struct session_want *want);
/* One of a's question, complete if a is, without figures; its edited face is there. */
struct snapshot *snapshot_like(const struct snapshot *a);
/* How many figures there are, and the i-th: its want (whose rows reach over all that were asked
 * for) and faces, which stay the snapshot's. */
int32_t snapshot_figures(const struct snapshot *s);
void snapshot_figure(const struct snapshot *s, int32_t i, struct want *want,
                     struct blob *face[FACE_COUNT]);
/* What answers `want` in a face (NULL: nothing); takes references.  In want_order, each once, no
 * more than there are wants. */
void snapshot_show(struct snapshot *s, const struct want *want,
                   struct blob *const face[FACE_COUNT]);
/* Answers beside it, held; false: memory is out. */
bool snapshot_sides(struct snapshot *s, const struct snapshot *const *sides, int32_t n);
void snapshot_hold(const struct snapshot *s);
/* One without figures, for saying why in its err; NULL when memory is out. */
struct snapshot *snapshot_failed(void);

#endif
