/* library.c - see library.h. */
#include "library.h"

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
    struct bore_options opt = {.backend = "cpu", .threads = 2, .cache_bytes = cache_bytes};
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
    safetensors_close(l->ref);
    free(l->tokens);
}

bool library_same(const struct bore_tensor *a, const struct bore_tensor *b)
{
    size_t n = sizeof(float);
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++) {
        if (a->shape[i] != b->shape[i])
            return false;
        n *= (size_t)a->shape[i];
    }
    return !memcmp(a->data, b->data, n);
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
