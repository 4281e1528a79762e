/* bore_parts.h - what the files bore_*.c, the public library's, share; nobody else includes it. */
#ifndef BORE_PARTS_H
#define BORE_PARTS_H

#include <stdatomic.h>

#include "names/alias.h"
#include "lib/borescope.h"
#include "run/callback.h"
#include "measure/capture.h"
#include "run/pair.h"
#include "run/placement.h"
#include "lab/texts.h"

/* The call under way. */
struct bore_work {
    atomic_bool cancel; /* set from any thread; the backend looks at it while the call lasts */
    int depth;          /* 0 = no call; more than 1: a hook reads its model */
    int row, rows;      /* of the batch */
    const int32_t *columns;
};

struct bore_model {
    struct model *m;
    struct kn_backend *be;
    struct bore_work *work;
    size_t cache_bytes;
    struct placement place; /* which layers are computed where */
    char moved[320];        /* why it is on the cpu, or "" */
    struct pair *pair;      /* NULL between the failure of a device and the next call */
    struct site_ref *sites; /* every hook point in firing order */
    char (*names)[LIMIT_NAME];
    void **contexts;
    int n_sites;
    struct callbacks hooks;
    struct bore_alias *aliases; /* behind hooks by other libraries' names */
    int level;
};

/* Copy a failure out; returns rc. */
int bore_done(int rc, const struct err *e, struct bore_error *out);
/* Every call that uses the backend begins with one of these and ends with bore_end, also when
 * bore_begin fails: in between bore_cancel stops it.  bore_begin is for what moves the model's
 * runs: an error within another call (a hook that runs its own model).  A call that only reads
 * becomes part of that call. */
int bore_begin(struct bore_model *m, struct err *e);
void bore_begin_read(const struct bore_model *m);
/* Returns rc as bore_done does.  Where a device failed the model is on the cpu from now on. */
int bore_end(const struct bore_model *m, int rc, const struct err *e, struct bore_error *out);
/* Before bore_end: did a device fail, and is the model on the cpu now, so that the call can begin
 * again?  Not where hooks have been called. */
bool bore_again(struct bore_model *m, int rc, const struct err *e);
int bore_site_index(const struct bore_model *m, struct site_ref s);
/* Contiguous strides of t->shape. */
void bore_tensor_pack(struct bore_tensor *t);
/* The same and memory for it, zeros; `what` is in the error. */
int bore_tensor_alloc(struct bore_tensor *t, const char *what, struct err *e);
int64_t bore_tensor_size(const struct bore_tensor *t);

/* bore_device.c: m->be, m->m and where its layers are computed; on failure what is open is left to
 * bore_close. */
int bore_device_open(struct bore_model *m, const char *model, const struct bore_options *o,
                     struct err *e);
/* The model's device failed: go on on the cpu, and remember why.  False: it was there, or there is
 * no memory.  m->pair is closed. */
bool bore_device_fall(struct bore_model *m, const struct err *why);

/* bore_alias.c: a hook on a tensor that is made of a site, or of several, in another shape. */

struct bore_alias {
    struct bore_alias *next;
    char name[LIMIT_NAME];
    struct alias_value value;
    bore_hook_fn *fn;
    void *user;
    struct site_ref part[ALIAS_SITES_MAX],
        calls_at; /* sites that have a callback; the one whose callback calls fn */
    int n_parts;
    float *buf;
    int64_t room;
};
/* Add a hook under another library's name; its callbacks are appended to m->hooks. */
int bore_alias_add(struct bore_model *m, enum bore_direction d, const struct bore_hook *h,
                   const struct alias_pick *pick, int level, struct err *e);
/* The alias behind a callback, or NULL. */
const struct bore_alias *bore_alias_of(const struct callback *c);
/* Is the callback at the point that `v` (a struct alias_value) means?  A callback_test. */
bool bore_alias_at(const struct callback *c, const void *v);
/* An error if a hook changes several tensors at once and gradients were to end there. */
int bore_alias_check_metric(const struct callbacks *c, struct err *e);
/* Free those that no hook of the model uses any more; all = every one. */
void bore_alias_sweep(struct bore_model *m, bool all);

/* bore_hooks.c: call the caller's function with a batch of one. */
int bore_hook_call(const struct callback *c, const char *name, bore_hook_fn *fn, void *user,
                   int32_t row0, const struct kn_view *v, struct err *e);
int bore_hook_add(struct bore_model *m, enum bore_direction d, const struct bore_hook *h, int level,
                  struct err *e);
int bore_hooks_enter(struct bore_model *m, const struct bore_hook *forward, int n_forward,
                     const struct bore_hook *backward, int n_backward, struct err *e);

/* bore_pass.c */

/* One row of a batch, or a prompt that is generated from. */
struct bore_row {
    int32_t *tokens, *columns, n; /* real tokens and where they stand */
    int32_t *position;            /* [cols] which real token a column has, -1: none */
    struct image_input *image;    /* of models that take images */
    int32_t *types;               /* of the tokens, or NULL */
};
int bore_pass_check(const struct bore_model *m, const struct bore_pass *p, struct err *e);
int bore_pass_row(const struct bore_model *m, const struct bore_pass *p, int row,
                  struct bore_row *out, struct err *e);
void bore_row_free(struct bore_row *r);
/* The edits and prompts of a pass as a pair wants them; bore_target_free frees what `t` points to.
 */
int bore_target(const struct bore_model *m, const struct bore_pass *p, const struct bore_row *row,
                struct pair_target *t, struct err *e);
void bore_target_free(struct pair_target *t);
/* Edits alone, as of a call over many texts; likewise freed. */
int bore_target_of(const struct bore_model *m, const char *const *edits, int n_edits,
                   struct pair_target *t, struct err *e);
/* A set of texts as texts_open takes it; its strings are the caller's. */
struct texts_options bore_texts_options(const struct bore_texts *t);
/* First and one past the last stage of a pass (plan.h). */
int bore_pass_stages(const struct bore_model *m, const struct bore_pass *p, int32_t *first,
                     int32_t *end, struct err *e);
/* Between bore_begin and bore_end. */
int bore_pass_run(struct bore_model *m, const struct bore_pass *p, struct bore_cache *cache,
                  struct bore_result *out, struct err *e);

/* bore_cache.c */
/* The elements of an axis of `size` that a slice means, `what` for messages; cut->index is
 * malloc'ed. */
int bore_slice_cut(const struct bore_slice *s, int64_t size, const char *what,
                   struct capture_slice *cut, struct err *e);
/* Values of one row after its pass, and with a metric their gradients (also without a cache: for
 * the hooks).  base: what kl compares with, or NULL. */
int bore_cache_row(struct bore_cache *c, const struct bore_pass *p, const struct bore_row *row,
                   int index, struct run *r, struct run *base, const struct metric *metric,
                   struct err *e);

#endif
