/* fingerprint.c - see fingerprint.h.  Tested in tests/engine/test_reference.c. */
#include "model/fingerprint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "model/model.h"
#include "model/checkpoint.h"
#include "base/splitmix.h"

enum { PIECE_BYTES = 1 << 16 };
enum { WHOLE_MAX = 1 << 16, SAMPLES = 16, SAMPLE_BYTES = 4096 };

static void add_word(struct fingerprint *f, uint64_t w)
{
    f->a = splitmix64(f->a ^ w);
    f->b = splitmix64(f->b + splitmix64(w ^ UINT64_C(0x6a09e667f3bcc908)));
}

void fingerprint_add(struct fingerprint *f, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    add_word(f, n);
    for (size_t i = 0; i < n; i += 8) {
        uint64_t w = 0;
        memcpy(&w, p + i, n - i < 8 ? n - i : 8);
        add_word(f, w);
    }
}

int fingerprint_file(struct fingerprint *f, const char *path, struct err *e)
{
    char piece[PIECE_BYTES];
    size_t n;
    FILE *in = fopen(path, "rb");
    while (in && (n = fread(piece, 1, sizeof piece, in)) > 0)
        fingerprint_add(f, piece, n);
    int rc = in && !ferror(in)
                 ? 0
                 : err_set(e, ERR_BAD_INPUT, "%.300s · cannot read: %s", path, strerror(errno));
    if (in)
        fclose(in);
    return rc;
}

static void add_text(struct fingerprint *f, const char *s)
{
    fingerprint_add(f, s, strlen(s));
}

static void add_tensor(struct fingerprint *f, const struct st_tensor *t)
{
    add_text(f, t->name);
    add_word(f, (uint64_t)t->dtype);
    for (int i = 0; i < t->rank; i++)
        add_word(f, (uint64_t)t->shape[i]);
    if (t->nbytes <= WHOLE_MAX) {
        fingerprint_add(f, t->data, t->nbytes);
        return;
    }
    for (size_t i = 0; i < SAMPLES; i++)
        fingerprint_add(f, (const char *)t->data + (t->nbytes - SAMPLE_BYTES) / (SAMPLES - 1) * i,
                        SAMPLE_BYTES);
}

static void add_config(struct fingerprint *f, const struct config *c)
{
#define CONFIG(type, field) fingerprint_add(f, &c->field, sizeof c->field);
#include "model/config.def"
}

struct fingerprint fingerprint_model(const struct model *m)
{
    struct fingerprint f = {0};
    add_text(&f, BORE_VERSION);
    add_config(&f, &m->cfg);
    for (int32_t stage = 0, n; stage < plan_stages(m->plan); stage++) {
        const struct step *steps = plan_stage(m->plan, stage, &n);
        fingerprint_add(&f, steps, (size_t)n * sizeof *steps);
    }
    add_word(&f, m->process);
    const char *threads = strrchr(m->be->describe,
                                  'x'); /* "cpu avx512 x2": their number does not change a bit */
    fingerprint_add(&f, m->be->describe,
                    threads ? (size_t)(threads - m->be->describe) : strlen(m->be->describe));
    add_word(&f, checkpoint_stamp(m->files));
    for (size_t i = 0; i < checkpoint_count(m->files); i++)
        add_tensor(&f, checkpoint_at(m->files, i));
    return f;
}
