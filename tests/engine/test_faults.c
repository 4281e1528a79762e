/* test_faults.c - memory and files fail at every point in turn, once or from there on: each call of
 * the library either succeeds with the usual values or says in one line what failed, leaks nothing
 * (under ASan), and the same model then does the same work without fault, bit for bit. */
#include "library.h"

#include "faults.h"
#include "base/file_read.h"
#include "session/session.h"
#include "model/tensor_write.h"
#include "token/tokenizer.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a piece of work gave, as one number. */
static void mix(uint64_t *hash, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        *hash = (*hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
}

static void mix_tensor(uint64_t *hash, const struct bore_tensor *t)
{
    size_t n = sizeof *t->data;
    for (int i = 0; i < t->rank; i++)
        n *= (size_t)t->shape[i];
    mix(hash, t->data, n);
}

static void mix_cache(uint64_t *hash, const struct bore_cache *c)
{
    for (int i = 0; i < bore_cache_count(c); i++) {
        struct bore_tensor t;
        const char *name = bore_cache_at(c, i, &t);
        mix(hash, name, strlen(name));
        mix_tensor(hash, &t);
    }
}

/* A piece of work on an open model. */
struct work {
    const char *name, *model;
    size_t cache_bytes;
    int (*run)(const struct library *l, uint64_t *hash, struct bore_error *e);
};

static int open_and_close(const struct library *l, uint64_t *hash, struct bore_error *e)
{
    (void)l;
    static const struct bore_options options = {.threads = 2, .process = "usual"};
    struct bore_model *m;
    int rc = bore_open(&m, "tests/fixtures/models/gpt2_sharded", &options, e);
    if (rc)
        return rc;
    struct bore_shape s = bore_model_shape(m);
    mix(hash, &s, sizeof s);
    bore_close(m);
    return 0;
}

static int capture_all(const struct library *l, uint64_t *hash, struct bore_error *e)
{
    static const char *const names[] = {"*", "blocks.*.attn.hook_result",
                                        "transformer.h.*.attn.c_attn.output", "layer_1_pre_mlp"};
    struct bore_cache_options options = {
        .names = names,
        .n_names = l->ref ? 2 : 4,
        .pos = {.kind = BORE_RANGE, .start = 1, .stop = BORE_OPEN, .step = 2}};
    struct bore_cache *c;
    int rc = bore_run_with_cache(l->m, &l->pass, &options, &c, NULL, e);
    if (rc)
        return rc;
    mix_cache(hash, c);
    bore_cache_free(c);
    return 0;
}

static int edited_gradients(const struct library *l, uint64_t *hash, struct bore_error *e)
{
    static const char *const edits[] = {
        "blocks.0.mlp.hook_post[{1,3}, 2:5] = mean(ref)",
        "blocks.1.attn.hook_pattern[1, -1, 0] = 0, renormalize",
        "blocks.1.hook_resid_pre[2] = from(other)",
        "blocks.*.ln2.hook_scale = frozen",
        "blocks.1.mlp.hook_pre *= 0.5",
        "blocks.0.attn.W_Q[1] *= 0.5",
        "blocks.1.hook_attn_out += noise(0.1, seed=7)",
        "blocks.1.hook_mlp_out[3] = clamp(-1, 1)",
    };
    static const char *const names[] = {"blocks.{0,1}.hook_resid_{pre,post}",
                                        "blocks.1.attn.hook_{q,pattern}"};
    static const int32_t ids[] = {3, 1, 4, 1, 5, 9, 2, 6, 5};
    const struct bore_prompt other = {"other", ids, 9, NULL},
                             refs[] = {{"ref", ids + 1, 5, NULL}, {"ref", ids, 4, NULL}};
    struct bore_pass p = l->pass;
    struct bore_cache_options options = {.names = names, .n_names = 2, .incl_bwd = true};
    struct bore_cache *c;
    p.edits = edits, p.n_edits = sizeof edits / sizeof *edits;
    p.prompts = &other, p.n_prompts = 1, p.references = refs, p.n_references = 2;
    p.metric = "logit[-1, 7] - logit[-1, 9] + kl";
    int rc = bore_run_with_cache(l->m, &p, &options, &c, NULL, e);
    if (rc)
        return rc;
    mix_cache(hash, c);
    bore_cache_free(c);
    return 0;
}

static int halve(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    (void)at, (void)user;
    for (int64_t pos = 0; pos < t->shape[1]; pos++)
        t->data[pos * t->stride[1]] *= 0.5f;
    return 0;
}

static int hooks_and_levels(const struct library *l, uint64_t *hash, struct bore_error *e)
{
    struct bore_hook forward = {.name = "blocks.*.hook_mlp_out", .fn = halve},
                     one = {.name = "hook_embed", .fn = halve};
    struct bore_pass p = l->pass;
    struct bore_result out = {0};
    int level, rc = bore_enter(l->m, &forward, 1, &one, 1, &level, e);
    if (rc) {
        assert_int_equal(bore_hook_count(l->m), 0);
        return rc;
    }
    p.metric = "loss";
    rc = bore_run_with_hooks(l->m, &p, &one, 1, NULL, 0, 0, &out, e);
    bore_leave(l->m, level, true);
    assert_int_equal(bore_hook_count(l->m), 0);
    if (!rc)
        mix_tensor(hash, &out.output);
    bore_result_free(&out);
    return rc;
}

static bool listen(void *user, const struct bore_new_token *t)
{
    mix(user, &t->id, sizeof t->id);
    return true;
}

static int continue_batch(const struct library *l, uint64_t *hash, struct bore_error *e)
{
    static const int32_t ids[] = {3, 1, 4, 1, 5, 9};
    static const uint8_t mask[] = {0, 1, 1, 1, 1, 1};
    static const char *const edits[] = {"blocks.1.hook_mlp_out[-1] *= 0.5"};
    struct bore_pass p = {
        .tokens = ids, .rows = 2, .cols = 3, .mask = mask, .edits = edits, .n_edits = 1};
    struct bore_generate_options o = {.max_new_tokens = 3,
                                      .temperature = 1,
                                      .top_p = 0.9,
                                      .repetition_penalty = 1.1,
                                      .ignore_eos = true};
    uint64_t heard = 1;
    int rc = bore_generate(l->m, &p, &o, listen, &heard, e);
    if (!rc)
        mix(hash, &heard, sizeof heard);
    return rc;
}

static int weights_and_circuits(const struct library *l, uint64_t *hash, struct bore_error *e)
{
    struct bore_tensor w = {0}, scores = {0};
    struct bore_factored ov = {0}, even = {0};
    struct bore_weight *list = NULL;
    int n, d_head = bore_model_shape(l->m).d_head;
    double s[64], values[64][2], score;
    assert_true(d_head <= 64);
    struct bore_slice head = {.kind = BORE_ONE, .start = 1};
    int rc = bore_weight_list(l->m, BORE_HUGGING_FACE, &list, &n, e);
    if (!rc && !(rc = bore_weight_read(l->m, "blocks.1.attn.W_Q", &head, 1, &w, e)) &&
        !(rc = bore_factored_head(l->m, BORE_OV, 1, 0, &ov, e)) &&
        !(rc = bore_factored_even(&ov, &even, e)) &&
        !(rc = bore_factored_svd(&even, NULL, s, NULL, e)) &&
        !(rc = bore_factored_eigenvalues(&ov, values, e)) &&
        !(rc = bore_copying_score(l->m, 0, 0, values, &score, e)) &&
        !(rc = bore_composition_scores(l->m, 'K', &scores, e))) {
        mix(hash, list, (size_t)n * sizeof *list);
        mix(hash, s, (size_t)d_head * sizeof *s);
        mix(hash, values, (size_t)d_head * sizeof *values);
        mix(hash, &score, sizeof score);
        mix_tensor(hash, &w);
        mix_tensor(hash, &scores);
    }
    free(list);
    bore_tensor_free(&w), bore_tensor_free(&scores);
    bore_factored_free(&ov), bore_factored_free(&even);
    return rc;
}

static int analyse(const struct library *l, uint64_t *hash, struct bore_error *e)
{
    struct bore_stack stack = {0};
    struct bore_stack_options options = {.kind = "get_full_resid_decomposition"};
    struct bore_tensor called = {0}, hidden = {0};
    float heads[64];
    double mean;
    struct bore_shape shape = bore_model_shape(l->m);
    assert_true(shape.n_layers * shape.n_heads <= 64 && shape.d_model <= 64);
    int rc = bore_logit_attrs(l->m, &l->pass, &options, 5, 7, &stack, NULL, e);
    if (!rc && !(rc = bore_detect_head(l->m, &l->pass, "induction_head", BORE_ABS, heads, e)) &&
        !(rc = bore_loss(l->m, &l->pass, &mean, NULL, e)) &&
        !(rc = bore_hidden_states(l->m, &l->pass, &hidden, e)) &&
        !(rc = bore_call(l->m, "blocks.1", hidden.data, 3, &called, e))) {
        mix_tensor(hash, &stack.values);
        mix(hash, heads, (size_t)(shape.n_layers * shape.n_heads) * sizeof *heads);
        mix(hash, &mean, sizeof mean);
        mix_tensor(hash, &called);
    }
    bore_stack_free(&stack);
    bore_tensor_free(&called), bore_tensor_free(&hidden);
    return rc;
}

/* A picture becomes values; edits read those, gradients reach back to them. */
static int see(const struct library *l, uint64_t *hash, struct bore_error *e)
{
    (void)l;
    enum { HEIGHT = 13, WIDTH = 17, VALUES = 3 * 10 * 10, ROWS = 10 };
    static const char *const edits[] = {"blocks.0.hook_resid_pre[1:4] = from(other)",
                                        "blocks.1.hook_mlp_out *= 0.5"},
                             *const names[] = {"hook_embed", "blocks.*.hook_resid_post"};
    uint8_t rgb[HEIGHT * WIDTH * 3];
    float black[VALUES] = {0}, *values;
    for (int i = 0; i < HEIGHT * WIDTH * 3; i++)
        rgb[i] = (uint8_t)(i * 7);
    struct bore_model *m;
    struct bore_cache *c;
    int rc = bore_open(&m, "tests/fixtures/models/vit", NULL, e);
    if (rc)
        return rc;
    if (!(rc = bore_pixels(m, rgb, HEIGHT, WIDTH, &values, e))) {
        struct bore_prompt other = {.name = "other", .pixels = black};
        struct bore_pass p = {.pixels = values,
                              .rows = 1,
                              .cols = ROWS,
                              .edits = edits,
                              .n_edits = 2,
                              .prompts = &other,
                              .n_prompts = 1,
                              .metric = "logit[0, 7] - logit[0, 9]"};
        struct bore_cache_options options = {.names = names, .n_names = 2, .incl_bwd = true};
        mix(hash, values, VALUES * sizeof *values);
        if (!(rc = bore_run_with_cache(m, &p, &options, &c, NULL, e))) {
            mix_cache(hash, c);
            bore_cache_free(c);
        }
        free(values);
    }
    bore_close(m);
    return rc;
}

/* Token types of a batch's own. */
static int segments(const struct library *l, uint64_t *hash, struct bore_error *e)
{
    static const int32_t ids[] = {3, 17, 8, 5, 0, 9}, types[] = {1, 0, 1, 0, 0, 1};
    static const uint8_t mask[] = {1, 1, 1, 1, 0, 1};
    struct bore_pass p = {.tokens = ids, .token_types = types, .mask = mask, .rows = 2, .cols = 3};
    struct bore_result out = {0};
    int rc = bore_run(l->m, &p, &out, e);
    if (!rc)
        mix_tensor(hash, &out.output);
    bore_result_free(&out);
    return rc;
}

/* The bytes of a file of pixels as rows of a model. */
static int patches(const struct library *l, uint64_t *hash, struct bore_error *e)
{
    (void)l;
    struct err err = {0, ""};
    const struct config cfg = {.image_size = 10, .patch_size = 3, .n_channels = 3, .n_ctx = 10};
    struct image_prep prep = image_prep_usual(&cfg);
    struct image_input *im = NULL;
    char *bytes = NULL;
    size_t len;
    int rc = file_read_all("tests/fixtures/images/levels.npy", 1 << 20, &bytes, &len, &err);
    if (!rc)
        rc = image_from_npy(&im, &cfg, &prep, "levels.npy", bytes, len, &err);
    if (!rc)
        mix(hash, im->values, (size_t)im->rows * (size_t)im->patch * sizeof *im->values);
    image_drop(im);
    free(bytes);
    *e = (struct bore_error){.code = rc};
    snprintf(e->text, sizeof e->text, "%s", err.text);
    return rc;
}

static struct fixture watched, seen;

/* What a session shows of the first two requests, and that it ends. */
static int explore_of(struct fixture f, uint64_t *hash, struct bore_error *e)
{
    struct err err = {0, ""};
    struct session *s = NULL;
    struct edit *edit = NULL;
    struct want wants[] = {want_whole(WANT_LOGITS, (struct site_ref){SITE_UNEMBED_OUT, SITE_ROOT}),
                           want_make(WANT_BEST, (struct site_ref){SITE_RESID_POST, 0}, 2, 3),
                           want_make(WANT_NORM, (struct site_ref){SITE_RESID_POST, 1}, 0, f.n),
                           want_make(WANT_VALUES, (struct site_ref){SITE_PATTERN, 1}, 0, f.n),
                           want_make(WANT_VALUES, (struct site_ref){SITE_Z, 1}, 0, 3),
                           want_make(WANT_CELL, (struct site_ref){SITE_RESID_POST, 1}, 0, f.n),
                           want_whole(WANT_HEADS, (struct site_ref){SITE_PATTERN, 1}),
                           want_whole(WANT_STATS, (struct site_ref){SITE_ATTN_SCORES, 0})};
    enum { WANTS = sizeof wants / sizeof *wants };
    wants[0].id[0] = 5, wants[0].id[1] = 7;
    wants[1].k = 4;
    struct session_want want = {
        .target.input = fixture_input(&f), .wants = wants, .n_wants = WANTS};
    int rc = edit_parse(&edit, "blocks.0.hook_mlp_out[-1] *= 0.5", &err);
    if (!rc)
        rc = session_open(&s, f.m, 1 << 16, &err);
    for (int i = 0; i < 2 && !rc; i++) {
        want.target.edits = &edit, want.target.n_edits = i;
        const struct snapshot *snap = session_wait(s, session_request(s, &want));
        if ((rc = snap->err.code) != 0)
            err = snap->err;
        for (int k = 0; k < (i + 1) * WANTS && !rc; k++) {
            const struct want *w = &wants[k % WANTS];
            mix(hash, snapshot_rows(snap, (enum face)(k / WANTS), w),
                (size_t)(w->row1 - w->row0) * want_bytes(&f.m->cfg, w, f.n));
        }
        snapshot_release(snap);
    }
    session_close(s);
    edit_free(edit);
    *e = (struct bore_error){.code = rc};
    snprintf(e->text, sizeof e->text, "%s", err.text);
    return rc;
}

static int explore(const struct library *l, uint64_t *hash, struct bore_error *e)
{
    (void)l;
    return explore_of(watched, hash, e);
}

static int explore_image(const struct library *l, uint64_t *hash, struct bore_error *e)
{
    (void)l;
    return explore_of(seen, hash, e);
}

static int tokenize(const struct library *l, uint64_t *hash, struct bore_error *e)
{
    (void)l;
    struct err err = {0, ""};
    struct tokenizer *t = tokenizer_open(
        "tests/fixtures/tokenizers/added_byte_level/tokenizer.json", &err);
    struct token_list list = {0};
    int rc = t ? 0 : err.code;
    if (!rc)
        rc = tokenizer_encode(t, "The quick brown fox\n  jumps <|endoftext|>", 41,
                              TOKENIZER_ADD_SPECIAL, &list, &err);
    if (!rc)
        mix(hash, list.id, list.count * sizeof *list.id);
    token_list_free(&list);
    tokenizer_close(t);
    *e = (struct bore_error){.code = rc};
    snprintf(e->text, sizeof e->text, "%s", err.text);
    return rc;
}

static const struct work works[] = {
    {"open, processed", NULL, 0, open_and_close},
    {"tokenize", NULL, 0, tokenize},
    {"capture", "gpt2", 1 << 20, capture_all},
    {"capture, small cache", "llama", 1, capture_all},
    {"edits and gradients", "gpt2", 1 << 20, edited_gradients},
    {"edits and gradients, small cache", "llama", 1, edited_gradients},
    {"hooks", "gpt_neox", 1 << 20, hooks_and_levels},
    {"generation", "qwen2", 1 << 20, continue_batch},
    {"weights", "gpt2", 1 << 20, weights_and_circuits},
    {"analysis", "gpt2", 1 << 20, analyse},
    {"session", NULL, 0, explore},
    {"image", NULL, 0, see},
    {"pixels of a file", NULL, 0, patches},
    {"token types", "bert", 1 << 20, segments},
    {"session of an image", NULL, 0, explore_image},
};

static uint64_t result(const struct work *w, const struct library *l, int *rc, struct bore_error *e)
{
    uint64_t hash = 0xcbf29ce484222325u;
    *rc = w->run(l, &hash, e);
    return hash;
}

/* Every fault of one kind in turn.  Returns how many there were. */
static long survive(const struct work *w, const struct library *l, enum fault_kind kind,
                    bool persist)
{
    int rc;
    struct bore_error e = {0};
    uint64_t usual = result(w, l, &rc, &e);
    if (rc)
        fail_msg("%s: %s", w->name, e.text);
    for (long n = 0;; n++) {
        e = (struct bore_error){0};
        fault_set(kind, n, persist);
        uint64_t got = result(w, l, &rc, &e);
        long met = fault_clear();
        if (!met && rc)
            fail_msg("%s: failed without a fault: %s", w->name, e.text);
        bool told = e.code == rc &&
                    (rc == BORE_SYSTEM || (rc == BORE_BAD_INPUT && kind != FAULT_MEMORY)) &&
                    e.text[0];
        if (rc ? !told : got != usual)
            fail_msg("%s, fault %ld of kind %d: %d, \"%s\", %s", w->name, n, (int)kind, rc, e.text,
                     got == usual ? "" : "other values");
        if (!met)
            return n;
        if (result(w, l, &rc, &e) != usual || rc)
            fail_msg("%s, after fault %ld of kind %d: %d, \"%s\"", w->name, n, (int)kind, rc,
                     e.text);
    }
}

static void test_library(void **state)
{
    (void)state;
    watched = fixture_open("llama");
    seen = fixture_open("vit");
    for (size_t i = 0; i < sizeof works / sizeof *works; i++) {
        struct library l = {0};
        if (works[i].model)
            l = library_open(works[i].model, works[i].cache_bytes);
        long memory = survive(&works[i], &l, FAULT_MEMORY, false);
        long file = survive(&works[i], &l, FAULT_FILE, true);
        survive(&works[i], &l, FAULT_MEMORY, true);
        survive(&works[i], &l, FAULT_SHORT, false);
        print_message("%-34s %5ld allocations, %3ld file calls\n", works[i].name, memory, file);
        assert_true(memory > 10);
        if (works[i].model)
            library_close(&l);
    }
    fixture_close(&watched);
    fixture_close(&seen);
}

/* A file is there whole or not at all, and what was there before stays, whatever fails while it is
 * written. */
static void test_writing(void **state)
{
    (void)state;
    char folder[] = "/tmp/bore-faults-XXXXXX";
    assert_non_null(mkdtemp(folder));
    static const float data[3] = {1, 2, 3};
    const struct tensor_out t = {
        .name = "t", .dtype = ST_F32, .rank = 1, .shape = {3}, .data = data};
    static const char *const endings[] = {"safetensors", "npz"};
    for (int i = 0; i < 2 * FAULT_COUNT; i++) {
        char path[96];
        struct err e;
        snprintf(path, sizeof path, "%s/x.%s", folder, endings[i % 2]);
        for (long n = 0, met = 1; met; n++) {
            fault_set((enum fault_kind)(i / 2), n, false);
            int rc = tensor_write(path, &t, 1, NULL, 0, &e);
            met = fault_clear();
            assert_true(!rc || met);
            int entries = 0;
            DIR *dir = opendir(folder);
            for (struct dirent *d; (d = readdir(dir));)
                entries += d->d_name[0] != '.';
            closedir(dir);
            assert_int_equal(entries, access(path, F_OK) == 0);
            if (!rc && i % 2 == 0) {
                struct checkpoint *st = checkpoint_open(path, &e);
                assert_non_null(st);
                assert_memory_equal(checkpoint_find(st, "t")->data, data, sizeof data);
                checkpoint_close(st);
            }
            unlink(path);
            assert_true(n < 1000);
        }
    }
    rmdir(folder);
}

int main(void)
{
    setenv("XDG_CACHE_HOME", "/proc/nowhere", 1);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_library),
                                       cmocka_unit_test(test_writing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
