/* test_reference.c - reference sets: mean(REF) and resample(REF) against TransformerLens (the
 * fixtures), the cache on disk, sets that change. */
#include "fixture.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run/pair.h"
#include "model/fingerprint.h"
#include "model/process.h"
#include "edit/reference.h"
#include "run/reference_mean.h"

static char top[] = "/tmp/bore-reference-XXXXXX";

static const char *in_top(const char *name)
{
    static char path[4][200];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", top, name);
    return path[turn];
}

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(top));
    setenv("XDG_CACHE_HOME", top, 1);
    return 0;
}

static void remove_tree(const char *path)
{
    DIR *d = opendir(path);
    for (struct dirent *x; d && (x = readdir(d));) {
        char sub[600];
        snprintf(sub, sizeof sub, "%s/%s", path, x->d_name);
        if (strcmp(x->d_name, ".") && strcmp(x->d_name, "..") && unlink(sub))
            remove_tree(sub);
    }
    if (d)
        closedir(d);
    rmdir(path);
}

static int tear_down(void **state)
{
    (void)state;
    remove_tree(top);
    return 0;
}

/* The set `ref` of a fixture file. */
static struct reference_set *fixture_set(const struct checkpoint *st)
{
    struct js_doc *doc = fixture_json(st, "references");
    int32_t ids[16][16], lengths[16];
    const int32_t *prompts[16];
    size_t n = js_count(js_root(doc));
    for (size_t i = 0; i < n; i++) {
        struct js_node row = js_at(js_root(doc), i);
        lengths[i] = (int32_t)js_count(row);
        prompts[i] = ids[i];
        for (int32_t k = 0; k < lengths[i]; k++) {
            int64_t v;
            assert_int_equal(js_int(js_at(row, (size_t)k), 0, 1000, &v, NULL), 0);
            ids[i][k] = (int32_t)v;
        }
    }
    struct reference_set *set;
    assert_int_equal(reference_make(&set, "ref", prompts, lengths, (int32_t)n, NULL), 0);
    js_close(doc);
    return set;
}

/* ---- values
 * ------------------------------------------------------------------------------------------ */

static float *logits_of(struct run *r, size_t *n)
{
    *n = (size_t)run_length(r) * (size_t)run_model(r)->cfg.d_vocab;
    float *x = malloc(*n * sizeof *x);
    assert_int_equal(run_read(r, (struct site_ref){site_logits(&run_model(r)->cfg), SITE_ROOT}, 0,
                              run_length(r), x, NULL, NULL),
                     0);
    return x;
}

/* All entries of one model on one pair, one after the other; then each again on a pair of its own:
 * the same bits. */
static int entries_of(const char *name, double *worst)
{
    struct fixture f = fixture_open(name);
    struct checkpoint *st = fixture_file(name, "references.safetensors");
    struct reference_set *set = fixture_set(st);
    struct js_doc *doc = fixture_json(st, "edits");
    struct pair *pair;
    struct err e = {0};
    assert_int_equal(pair_open(&pair, f.m, SIZE_MAX / 2, &e), 0);
    int done = 0;
    for (size_t i = 0; i < js_count(js_root(doc)); i++) {
        struct js_node row = js_at(js_root(doc), i), list = js_get(row, "edits");
        struct edit *edits[8];
        const char *text = "", *key;
        int32_t n = (int32_t)js_count(list);
        for (int32_t k = 0; k < n; k++) {
            assert_int_equal(js_string(js_at(list, (size_t)k), &text, NULL, NULL), 0);
            assert_int_equal(edit_parse(&edits[k], text, &e), 0);
        }
        struct pair_target t = {.input.tokens = f.tokens,
                                .input.n = f.n,
                                .edits = edits,
                                .n_edits = n,
                                .sets = &set,
                                .n_sets = 1};
        if (pair_sync(pair, &t, NULL, &e))
            fail_msg("%s: %s", name, e.text);
        struct pair *own;
        assert_int_equal(pair_open(&own, f.m, 0, &e), 0);
        assert_int_equal(pair_sync(own, &t, NULL, &e), 0);
        size_t count;
        float *a = logits_of(pair_run(pair, FACE_EDITED), &count),
              *b = logits_of(pair_run(own, FACE_EDITED), &count);
        assert_int_equal(js_string(js_get(row, "logits"), &key, NULL, NULL), 0);
        double d = fixture_error(a, checkpoint_find(st, key)->data, count);
        *worst = fmax(*worst, d);
        if (!(d <= 1e-5))
            fail_msg("%s: after %s the logits differ by %g", name, text, d);
        assert_memory_equal(a, b, count * sizeof *a);
        free(a), free(b);
        pair_close(own);
        for (int32_t k = 0; k < n; k++)
            edit_free(edits[k]);
        done++;
    }
    assert_int_equal(done, strtol(checkpoint_metadata(st, "count"), NULL, 10));
    pair_close(pair);
    js_close(doc);
    reference_free(set);
    checkpoint_close(st);
    fixture_close(&f);
    return done;
}

static void values_are_the_library_s(void **state)
{
    (void)state;
    char **names = fixture_names_with("references.safetensors");
    double worst = 0;
    int done = 0;
    for (char **name = names; *name; name++)
        done += entries_of(*name, &worst);
    print_message("%d edits with reference sets, largest error of the logits: %.2g\n", done, worst);
    fixture_names_free(names);
}

/* One edit made concrete. */
static struct edit_program *resolved(const struct fixture *f, struct reference_set *const *sets,
                                     int32_t n_sets, const char *text)
{
    struct edit *ed;
    struct edit_program *p = NULL;
    struct err e = {0};
    struct edit_context ctx = {
        .cfg = &f->m->cfg, .n_pos = f->n, .model = f->m, .sets = sets, .n_sets = n_sets};
    if (edit_parse(&ed, text, &e) || edit_resolve(&p, &ed, NULL, 1, &ctx, &e))
        fail_msg("%s: %s", text, e.text);
    edit_free(ed);
    return p;
}

/* Fill with a store of its own; how many prompts were run. */
static int64_t fill_anew(const struct fixture *f, struct edit_program *p)
{
    struct err e = {0};
    struct reference_means *s = reference_means_open(f->m, &e);
    if (reference_means_fill(s, p, &e))
        fail_msg("%s", e.text);
    int64_t runs = reference_means_runs(s);
    reference_means_close(s);
    return runs;
}

/* ---- the cache
 * --------------------------------------------------------------------------------------- */

/* The only file of the cache. */
static void cache_file(char path[400])
{
    const char *folder = in_top("borescope/reference");
    DIR *d = opendir(folder);
    assert_non_null(d);
    int found = 0;
    for (struct dirent *x; (x = readdir(d));)
        if (x->d_name[0] != '.') {
            snprintf(path, 400, "%s/%s", folder, x->d_name);
            found++;
        }
    closedir(d);
    assert_int_equal(found, 1);
}

static void write_file(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void cached_on_disk(void **state)
{
    (void)state;
    static const char *const edit = "blocks.1.attn.hook_v[2:5] = mean(ref)";
    remove_tree(in_top("borescope"));
    struct fixture f = fixture_open("llama");
    struct checkpoint *st = fixture_file("llama", "references.safetensors");
    struct reference_set *set = fixture_set(st);
    struct edit_program *p = resolved(&f, &set, 1, edit);
    assert_true(p->needs_means);
    assert_int_equal(fill_anew(&f, p), set->n);
    assert_false(p->needs_means);
    size_t bytes = (size_t)p->instrs[0].vec_n * sizeof(float);
    assert_true(bytes > 0);
    struct edit_program *q = resolved(&f, &set, 1, edit);
    assert_int_equal(fill_anew(&f, q), 0);
    assert_memory_equal(p->instrs[0].vec, q->instrs[0].vec, bytes);
    assert_true(edit_instr_equal(&p->instrs[0], &q->instrs[0]));
    edit_program_free(q);

    char path[400], good[8192], bad[8192];
    cache_file(path);
    FILE *in = fopen(path, "rb");
    size_t len = fread(good, 1, sizeof good, in);
    fclose(in);
    assert_in_range(len, bytes, sizeof good - 1);
    for (size_t i = 0; i < len; i += i < 40 || i + 80 > len ? 1 : 11) { /* one byte wrong */
        memcpy(bad, good, len);
        bad[i] = (char)(bad[i] ^ 0x41);
        write_file(path, bad, len);
        q = resolved(&f, &set, 1, edit);
        int64_t runs = fill_anew(&f, q);
        assert_memory_equal(p->instrs[0].vec, q->instrs[0].vec, bytes);
        if (runs != set->n && runs != 0) /* blanks of the header may differ */
            fail_msg("byte %zu: %d runs", i, (int)runs);
        if (runs == 0 && good[i] != ' ')
            fail_msg("byte %zu is wrong and was taken", i);
        edit_program_free(q);
    }
    for (size_t n = 0; n < len; n += 37) { /* cut short */
        write_file(path, good, n);
        q = resolved(&f, &set, 1, edit);
        assert_int_equal(fill_anew(&f, q), set->n);
        edit_program_free(q);
    }
    q = resolved(&f, &set, 1, edit); /* the last one wrote it anew */
    assert_int_equal(fill_anew(&f, q), 0);
    edit_program_free(q);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0); /* something else in its place */
    q = resolved(&f, &set, 1, edit);
    assert_int_equal(fill_anew(&f, q), set->n);
    assert_memory_equal(p->instrs[0].vec, q->instrs[0].vec, bytes);
    edit_program_free(q);
    edit_program_free(p);
    reference_free(set);
    checkpoint_close(st);
    fixture_close(&f);
}

/* Whatever the values depend on is part of the key; nowhere to write is no failure. */
static void keys_of_the_cache(void **state)
{
    (void)state;
    remove_tree(in_top("borescope"));
    struct fixture f = fixture_open("gpt2"), g = fixture_open("gpt2");
    static const int32_t a[] = {3, 4, 5}, b[] = {6, 7};
    static const int32_t *const prompts[] = {a, b};
    static const int32_t lengths[] = {3, 2}, other_lengths[] = {2, 2};
    struct reference_set *set, *other;
    assert_int_equal(reference_make(&set, "ref", prompts, lengths, 2, NULL), 0);
    assert_int_equal(reference_make(&other, "ref", prompts, other_lengths, 2, NULL), 0);
    assert_int_equal(process_model(g.m, PROCESS_CENTER_WRITING, NULL), 0);
    static const char *const edits[] = {
        "blocks.0.hook_mlp_out = mean(ref)", "blocks.1.hook_mlp_out = mean(ref)",
        "blocks.0.hook_attn_out = mean(ref)", "blocks.0.hook_mlp_out = mean(ref, pos=1)",
        "blocks.0.hook_mlp_out[:2] = mean(ref, pos=same)"};
    for (int again = 0; again < 2; again++)
        for (int k = 0; k < 15; k++) {
            struct fixture *x = k < 5 || k >= 10 ? &f : &g;
            struct reference_set *s = k < 10 ? set : other;
            struct edit_program *p = resolved(x, &s, 1, edits[k % 5]);
            assert_int_equal(fill_anew(x, p), again ? 0 : 2);
            edit_program_free(p);
        }
    setenv("XDG_CACHE_HOME", "/proc/no/such/place", 1);
    for (int k = 0; k < 2; k++) {
        struct edit_program *p = resolved(&f, &set, 1, edits[0]);
        assert_int_equal(fill_anew(&f, p), 2);
        edit_program_free(p);
        setenv("XDG_CACHE_HOME", "relative", 1); /* not a place: the next is $HOME/.cache */
        setenv("HOME", in_top("home"), 1);
    }
    setenv("XDG_CACHE_HOME", top, 1);
    reference_free(set), reference_free(other);
    fixture_close(&f), fixture_close(&g);
}

static void cancelled_and_resumed(void **state)
{
    (void)state;
    remove_tree(in_top("borescope"));
    static atomic_bool flag;
    struct fixture f = fixture_open("gpt_neox");
    struct checkpoint *st = fixture_file("gpt_neox", "references.safetensors");
    struct reference_set *set = fixture_set(st);
    struct err e = {0};
    struct reference_means *s = reference_means_open(f.m, &e);
    struct edit_program *p = resolved(&f, &set, 1, "blocks.0.hook_mlp_out = mean(ref)");
    fixture_backend()->cancel = &flag;
    atomic_store(&flag, true);
    assert_int_equal(reference_means_fill(s, p, &e), ERR_CANCELLED);
    assert_true(p->needs_means);
    atomic_store(&flag, false);
    assert_int_equal(reference_means_fill(s, p, &e), 0);
    assert_int_equal(reference_means_runs(s), set->n);
    /* a second edit of the same set finds the first one done */
    struct edit_program *q = resolved(&f, &set, 1, "blocks.*.hook_mlp_out = mean(ref)");
    assert_int_equal(reference_means_fill(s, q, &e), 0);
    assert_int_equal(reference_means_runs(s), 2 * set->n);
    assert_int_equal(reference_means_fill(s, q, &e), 0);
    assert_int_equal(reference_means_runs(s), 2 * set->n);
    struct reference_set *again = fixture_set(st); /* another object, the same prompts */
    struct edit_program *r = resolved(&f, &again, 1, "blocks.*.hook_mlp_out = mean(ref)");
    assert_int_equal(reference_means_fill(s, r, &e), 0);
    assert_int_equal(reference_means_runs(s), 2 * set->n);
    edit_program_free(r);
    reference_free(again);
    fixture_backend()->cancel = NULL;
    edit_program_free(p), edit_program_free(q);
    reference_means_close(s);
    reference_free(set);
    checkpoint_close(st);
    fixture_close(&f);
}

static void names_of_files(void **state)
{
    (void)state;
    struct reference_set *set;
    struct fixture f = fixture_open("gpt2");
    struct err e = {0};
    write_file(in_top("x=1.txt"), "1 2\n", 4);
    write_file(in_top("plain"), "1 2\n", 4);
    static const struct {
        const char *form, *name;
    } good[] = {{"%s", "ref"}, {"a.b-c_1=%s", "a.b-c_1"}};
    for (int i = 0; i < 4; i++) {
        char arg[300];
        snprintf(arg, sizeof arg, good[i % 2].form, in_top(i < 2 ? "plain" : "x=1.txt"));
        if (reference_load(&set, f.m, -1, arg, &e))
            fail_msg("%s", e.text);
        assert_string_equal(set->name, good[i % 2].name);
        reference_free(set);
    }
    static const char *const missing[] = {"",           "a=",   "/nowhere/at/all",
                                          "a=/nowhere", "/tmp", "/dev/null"};
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        assert_int_equal(reference_load(&set, f.m, -1, missing[i], &e), ERR_BAD_INPUT);
        assert_null(strchr(e.text, '\n'));
        assert_non_null(strstr(e.text, " · "));
    }
    fixture_close(&f);
}

/* A set that is replaced by another of its name, and seeds that change: the run follows, bit for
 * bit. */
static void sets_change(void **state)
{
    (void)state;
    struct fixture f = fixture_open("llama");
    struct reference_set *sets[3];
    uint32_t x = 1;
    for (int s = 0; s < 3; s++) {
        int32_t ids[4][12], lengths[4];
        const int32_t *prompts[4];
        for (int i = 0; i < 4; i++) {
            prompts[i] = ids[i], lengths[i] = 9 + i % 2;
            for (int k = 0; k < 12; k++)
                ids[i][k] = (int32_t)((x = x * 1664525u + 1013904223u) >> 24) % 51;
        }
        assert_int_equal(reference_make(&sets[s], "ref", prompts, lengths, 4, NULL), 0);
    }
    static const char *const pool[] = {"blocks.0.hook_mlp_out = mean(ref)",
                                       "blocks.1.attn.hook_z[2:] = resample(ref, seed=1)",
                                       "blocks.0.attn.hook_pattern[1] = resample(ref, seed=2)",
                                       "blocks.*.hook_resid_pre[3] = resample(ref, seed=3)",
                                       "blocks.1.hook_attn_out += 0.5 * mean(ref, pos=same)",
                                       "blocks.1.hook_resid_pre[-1] = resample(ref, seed=4)"};
    struct pair *pair;
    struct err e = {0};
    assert_int_equal(pair_open(&pair, f.m, 30000, &e), 0);
    for (int step = 0; step < 60; step++) {
        struct edit *edits[3];
        int n = 0;
        for (x = x * 1664525u + 1013904223u; n < (int)(x >> 30); n++) {
            uint32_t y = (x >> (8 * n)) % 6;
            assert_int_equal(edit_parse(&edits[n], pool[y], &e), 0);
        }
        struct pair_target t = {.input.tokens = f.tokens,
                                .input.n = f.n,
                                .edits = edits,
                                .n_edits = n,
                                .sets = &sets[x % 3],
                                .n_sets = 1};
        if (pair_sync(pair, &t, NULL, &e))
            fail_msg("%s", e.text);
        struct pair *own;
        assert_int_equal(pair_open(&own, f.m, SIZE_MAX / 2, &e), 0);
        assert_int_equal(pair_sync(own, &t, NULL, &e), 0);
        for (int face = 0; face < 2 && pair_run(pair, (enum face)face); face++) {
            size_t count;
            float *a = logits_of(pair_run(pair, (enum face)face), &count),
                  *b = logits_of(pair_run(own, (enum face)face), &count);
            assert_memory_equal(a, b, count * sizeof *a);
            free(a), free(b);
        }
        pair_close(own);
        for (int i = 0; i < n; i++)
            edit_free(edits[i]);
    }
    pair_close(pair);
    for (int s = 0; s < 3; s++)
        reference_free(sets[s]);
    fixture_close(&f);
}

/* Every number of the shape tells two models apart. */
static void fingerprints_tell_shapes_apart(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct config *c = &f.m->cfg;
    struct fingerprint one = fingerprint_model(f.m), other = {0};
#define CONFIG(type, field)                             \
    {                                                   \
        const type was = c->field;                      \
        *(unsigned char *)&c->field ^= 1;               \
        other = fingerprint_model(f.m);                 \
        if (memcmp(&one, &other, sizeof one) == 0)      \
            fail_msg("%s makes no difference", #field); \
        c->field = was;                                 \
    }
#include "model/config.def"
    other = fingerprint_model(f.m);
    assert_memory_equal(&one, &other, sizeof one);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_the_library_s),
        cmocka_unit_test(cached_on_disk),
        cmocka_unit_test(keys_of_the_cache),
        cmocka_unit_test(cancelled_and_resumed),
        cmocka_unit_test(names_of_files),
        cmocka_unit_test(sets_change),
        cmocka_unit_test(fingerprints_tell_shapes_apart),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
