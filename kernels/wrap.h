/* wrap.h - backends that wrap another one, and what they share: a table of memory.
 *
 * Addresses of device memory are only compared and counted here, never followed.  Tested in
 * tests/kernels/test_wrap.c. */
#ifndef KN_WRAP_H
#define KN_WRAP_H

#include "kn.h"

/* What kn_open calls for "fence:INNER", "check:A,B", "trace:INNER" and "split:A,B,..."; `inner`:
 * what stands after the colon.  As kn_open. */
typedef struct kn_backend *wrap_open(const struct kn_options *opt, const char *inner, char *why,
                                     size_t why_size);
wrap_open fence_open, check_open, trace_open, split_open;
/* check: of two open backends, which become its own; NULL without memory, and they do not. */
struct kn_backend *check_new(struct kn_backend *a, struct kn_backend *b);
/* split: likewise, of n backends; copies of operands take copies_bytes at most, beside those of the
 * call under way. */
struct kn_backend *split_new(struct kn_backend *const *parts, int n, size_t copies_bytes);

/* A backend that kn_open finds by its name, or by NAME:MORE, beside those that are built in: what a
 * test links. */
typedef struct kn_backend *kn_opener(const struct kn_options *opt, char *why, size_t why_size);
void kn_offer(const char *name, kn_opener *open);

/* kn_open for another name. */
struct kn_backend *wrap_inner(const struct kn_options *opt, const char *name, char *why,
                              size_t why_size);
/* Take over what the inner backend promises, and its description behind a prefix. */
void wrap_promise(struct kn_backend *be, const struct kn_backend *inner, const char *prefix);

/* Memory that stands for other memory, byte for byte. */
struct region {
    char *at;
    size_t bytes;
    char *other;
    bool gone; /* released, and waiting for what is queued */
    /* of split: */
    int part;              /* which one `other` belongs to */
    struct kn_view import; /* what that one made of host memory; absent: it is an own piece */
};

/* In rising order of `at`; regions that change move. */
struct regions {
    struct region *list;
    int n, room;
};

/* Bytes from a view's first element to its last. */
size_t wrap_span(const struct kn_view *v);
bool regions_add(struct regions *rs, struct region r); /* false without memory */
/* The one that holds all of the view, or NULL. */
struct region *regions_find(const struct regions *rs, const struct kn_view *v);
/* The one that begins at `at`, the latest. */
struct region *regions_at(const struct regions *rs, const void *at);
void regions_remove(struct regions *rs, struct region *r);
/* The same view of the other memory. */
struct kn_view region_other(const struct region *r, const struct kn_view *v);
extern const char *const wrap_out_name[KN_OUT_MAX], *const wrap_in_name[KN_IN_MAX];
/* Stop with a message that names what was wrong, the operation and its operand ("in1", "out0"). */
_Noreturn void wrap_fail(const char *who, const char *what, const char *op, const char *operand);

#endif
