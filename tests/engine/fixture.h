/* fixture.h - test support: the fixture models and their reference values
 * (tests/fixtures/README.md). */
#ifndef FIXTURE_H
#define FIXTURE_H

/* cmocka wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "names/alias.h"
#include "run/run.h"
#include "model/checkpoint.h"

/* Every folder of tests/fixtures/models; NULL-terminated; malloc'ed strings. */
char **fixture_names(bool representatives_only);
/* Those that have this reference file. */
char **fixture_names_with(const char *file);
/* The same (NULL: the representatives); on a device whose lanes this processor plays, where a
 * launch is thousands of switches, no more of them than have every trait of a plan that any of them
 * has (the table in fixture.c), which are named. */
char **fixture_names_suited(const char *file);
bool fixture_slow(void);
void fixture_names_free(char **names);

struct fixture {
    struct model *m;
    struct checkpoint *ref; /* cache.safetensors */
    int32_t *tokens, n;
    struct image_input *image; /* of models that take images: pixels.npy */
};
/* Open a model of tests/fixtures/models (or any folder) with its cache file; fails the test if it
 * cannot. */
struct fixture fixture_open(const char *name);
void fixture_close(struct fixture *f);
/* What its reference values are of. */
struct run_input fixture_input(const struct fixture *f);
/* The same weights as another shape of model would use them: `change` sets properties. */
void fixture_change(struct fixture *f, void (*change)(struct config *cfg));
/* Its shape alone, without weights; freed with model_close. */
struct model *fixture_shape(const char *name);
/* A run with nothing computed, or a fork of `base`. */
struct run *fixture_run_new(const struct model *m, struct run *base, size_t cache_bytes);
/* The fixture's tokens computed with edits (NULL: none), as a run of its own or a fork of `base`.
 */
struct run *fixture_run(const struct fixture *f, struct run *base, const struct edit_program *p,
                        size_t cache_bytes);
/* Rows [row0, row1) of a tensor under another library's name, as captures read it. */
int fixture_read(struct run *r, const struct alias_value *v, int32_t row0, int32_t row1, float *dst,
                 struct err *e);
/* Where the walk of a model begins in one of its turns: no other model changes what it does.  How
 * many turns there are: BORE_TEST_TURNS, or what is usual. */
uint32_t fixture_seed(const char *name, uint32_t turn);
uint32_t fixture_turns(uint32_t usual);
/* Numbers for random walks: 24 bits, the same ones everywhere. */
uint32_t fixture_random(uint32_t *state);
/* A reference file of the same folder; any tensor file.  They fail the test if it cannot be opened.
 */
struct checkpoint *fixture_file(const char *name, const char *file);
struct checkpoint *fixture_tensors(const char *path);
/* Its prompt as --tokens takes it, "3,17,42"; malloc'ed. */
char *fixture_prompt(const struct checkpoint *st);

/* The cpu backend, opened once. */
struct kn_backend *fixture_backend(void);
/* Every value of a run that fires, as one number. */
uint64_t fixture_hash(struct run *r);
/* The elements of a view of its memory, without gaps; the caller frees them. */
float *fixture_values(const struct kn_view *v);
/* Count the bytes that a backend has given out, from 0; NULL: no more.  One backend at a time. */
void fixture_count(struct kn_backend *be);
size_t fixture_bytes(void);
/* The most of them at once since the count began or was asked for last. */
size_t fixture_bytes_most(void);
/* A copy of a tensor file in which the first element of an f32 tensor is another. */
void fixture_alter(const char *from, const char *to, const char *tensor, float value);
/* Or NaN. */
void fixture_spoil(const char *from, const char *to, const char *tensor);
/* A template of mkdtemp's becomes a model's folder with the same in its weights; and it goes. */
void fixture_altered(char *folder, const char *model, const char *tensor, float value);
void fixture_drop(const char *folder);
/* A JSON value out of a reference file's metadata. */
struct js_doc *fixture_json(const struct checkpoint *st, const char *key);
/* A list of ids out of the metadata; malloc'ed. */
int32_t *fixture_ids(const struct checkpoint *st, const char *key, int32_t *n);

/* Parse and resolve edits; fails the test with the message if they are refused. */
struct edit_program *fixture_program(const struct model *m, int32_t n, const char *const *texts,
                                     int32_t count);

/* max |a - b| / max |b| over finite b; infinities must agree.  NaN in a gives infinity. */
double fixture_error(const float *a, const float *b, size_t n);

/* The values of a hook under TransformerLens' name, whose rank and shape without the batch are
 * shape[0..*rank); malloc'ed. */
float *fixture_hook(struct run *r, const char *name, int64_t shape[3], int *rank);
/* Of values of slots, [pos, slot, d], those of one expert, [pos, d], in place. */
void fixture_take_expert(struct run *r, struct site_ref s, int32_t expert, float *values);

#endif
