/* snapshot.h - how snapshots own their memory: session-internal.
 *
 * A snapshot is a struct snapshot in front of a list of parts.  Small parts are its own; large ones
 * (patterns, tensors) are shared with later snapshots by reference count.
 * Parts are immutable once the snapshot is published.
 * Tested in tests/engine/test_session.c. */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include "session/session.h"

/* A shared array. */
struct blob;
struct blob *blob_new(size_t floats);
float *blob_data(struct blob *b);
struct blob *blob_hold(struct blob *b); /* NULL stays NULL */
void blob_release(struct blob *b);

struct snapshot *snapshot_new(void);
/* Memory that lives as long as the snapshot, zeroed; NULL (and the snapshot remembers) when there
 * is none. */
void *snapshot_part(struct snapshot *s, size_t count, size_t size);
/* The blob's data, held as long as the snapshot; NULL for NULL. */
float *snapshot_share(struct snapshot *s, struct blob *b);
bool snapshot_broken(const struct snapshot *s);
void snapshot_hold(const struct snapshot *s);

#endif
