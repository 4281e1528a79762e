/* library.c - see library.h. */
#include "library.h"

#include "../backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void library_ok(int rc, const struct bore_error *e)
{
    if (rc)
        fail_msg("%d: %s", rc, e->text);
}

struct library library_open(const char *name, size_t cache_bytes)
{
    struct library l = {0};
    struct bore_error e = {0};
    struct bore_options opt = {.backend = test_backend(), .threads = 2, .cache_bytes = cache_bytes};
    char path[256];
    snprintf(path, sizeof path, "tests/fixtures/models/%s", name);
    library_ok(bore_open(&l.m, path, &opt, &e), &e);
    l.ref = fixture_file(name, "cache.safetensors");
    l.tokens = fixture_ids(l.ref, "tokens", &l.pass.cols);
    l.pass.tokens = l.tokens;
    l.pass.rows = 1;
    return l;
}

void library_close(struct library *l)
{
    bore_close(l->m);
    checkpoint_close(l->ref);
    free(l->tokens);
}

size_t library_count(const struct bore_tensor *t)
{
    size_t n = 1;
    for (int i = 0; i < t->rank; i++)
        n *= (size_t)t->shape[i];
    return n;
}

float library_at(const struct bore_tensor *t, int64_t a, int64_t b, int64_t c, int64_t d)
{
    int64_t i[4] = {a, b, c, d}, k = 0;
    for (int x = 0; x < t->rank; x++)
        k += i[x] * t->stride[x];
    return t->data[k];
}

bool library_same(const struct bore_tensor *a, const struct bore_tensor *b)
{
    return a->rank == b->rank && !memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) &&
           !memcmp(a->data, b->data, library_count(a) * sizeof(float));
}

void library_same_caches(const struct bore_cache *a, const struct bore_cache *b, const char *what)
{
    assert_int_equal(bore_cache_count(a), bore_cache_count(b));
    assert_true(bore_cache_count(a) > 0);
    for (int i = 0; i < bore_cache_count(a); i++) {
        struct bore_tensor x, y;
        const char *name = bore_cache_at(a, i, &x);
        assert_string_equal(name, bore_cache_at(b, i, &y));
        if (!library_same(&x, &y))
            fail_msg("%s: %s differs", what, name);
    }
}

struct bore_cache *library_cache(struct bore_model *m, const struct bore_pass *p,
                                 const char *const *names, int n)
{
    struct bore_error e = {0};
    struct bore_cache *c = NULL;
    struct bore_cache_options opt = {.names = names, .n_names = n, .incl_bwd = p->metric != NULL};
    library_ok(bore_run_with_cache(m, p, &opt, &c, NULL, &e), &e);
    return c;
}
