/* pull_test.h - test support: a cache of the test's own, a hub to fill it from, and what to expect
 * of both. */
#ifndef PULL_TEST_H
#define PULL_TEST_H

#include "command.h"
#include "hub_server.h"
#include "pull/pull.h"

#define SNAPSHOT "models--org--tiny/snapshots/" HUB_COMMIT
#define BLOBS "models--org--tiny/blobs"
enum { BIG = 300000 }; /* bytes of big.gguf */

/* The server, with a model of two files and a tokenizer, some .gguf and what nobody needs. */
extern struct hub_server hub;
extern char pull_big[BIG];

/* For the group, and before each test: an empty cache, no faults, an environment that leads there.
 */
int pull_set_up(void **state);
int pull_tear_down(void **state);
int pull_fresh(void **state);
void pull_empty_cache(void);
/* A path in the cache; one of four buffers. */
const char *pull_in_cache(const char *name);
bool pull_there(const char *name);
void pull_holds(const char *name, const void *bytes, size_t size);
/* A file of the snapshot is a link to its blob, `up` folders above, and holds what the hub has. */
void pull_is_linked(const char *path, const char *up);
/* An entry of blobs whose name ends so; NULL: none. */
const char *pull_blob_ending(const char *ending);
/* Neither a snapshot nor a ref is there, and `borescope models` opens no such model. */
void pull_is_invisible(void);
/* pull_run with a short wait. */
int pull_fetch_as(const char *name, const char *revision, const char *gguf, struct err *e);
void pull_fetches(const char *revision, const char *gguf);
/* It fails, and says this. */
void pull_fails_as(const char *name, const char *revision, const char *gguf, const char *part);
void pull_fails(const char *part);

#endif
