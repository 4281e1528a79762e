/* cpu_choice.h - which instruction set the cpu computes by: a name, or what was measured here.
 *
 * Where AMX is, products of three bf16 terms have f32's precision, and whether they are faster is
 * measured once, in a few tenths of a second: the same products by both, weights larger than the
 * second-level cache, 1, 16 and 128 rows.  The result is kept in the cache folder, one file per
 * processor and program version; whatever is not exactly as expected there counts as absent.
 * Without AMX nothing is measured and no file written.
 * Tested in tests/engine/test_cpu_choice.c and tests/fuzz/fuzz_cpu_choice.c.
 */
#ifndef CPU_CHOICE_H
#define CPU_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kn.h"

struct cpu_choice {
    int set;      /* an enum kn_cpu; -1: there is none of that name */
    int blocks;   /* the same for a model with weights in blocks, which AMX decodes and splits into
                     terms for every row: a single one then takes several times as long */
    char why[96]; /* of a measured one; else "" */
};
/* "auto", "fma" (the best without AMX) or a set's name. */
struct cpu_choice cpu_choose(const char *name);

/* The parts of it. */
struct cpu_measure {
    double speed; /* of AMX, in parts of the other's: geometric mean over products */
    double error; /* root of the mean square of the difference, in parts of the results' */
};
/* b in parts of a, by products with weights of side x side and up to `rows` rows; false: not
 * measured for want of memory. */
bool cpu_measure(struct kn_backend *a, struct kn_backend *b, int64_t side, int64_t rows,
                 struct cpu_measure *out);
/* What of it is chosen, `best` being the set without AMX. */
struct cpu_choice cpu_choice_of(const struct cpu_measure *m, enum kn_cpu best);
/* The file's bytes: true if they hold a measure of `key`, which is then in *out. */
bool cpu_measure_parse(const char *bytes, size_t len, const char *key, struct cpu_measure *out);
enum { CPU_MEASURE_BYTES = 512 };
/* The bytes for cpu_measure_parse. */
void cpu_measure_text(const struct cpu_measure *m, const char *key, char text[CPU_MEASURE_BYTES]);
/* The file of `key`, read or written, as the cache has it. */
bool cpu_measure_read(const char *key, struct cpu_measure *out);
void cpu_measure_write(const char *key, const struct cpu_measure *m);

#endif
