/* test_batch.c - pieces of a set of texts in batches: every value has the bits it has alone, pieces
 * come in order, what is held does not grow. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab/batch.h"

static char path[] = "/tmp/bore-batch-XXXXXX";
enum { TEXTS = 90, LONGEST = 70 };

static int set_up(void **state)
{
    (void)state;
    uint32_t seed = 11;
    int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");
    assert_non_null(f);
    for (int i = 0; i < TEXTS; i++) {
        uint32_t n = 1 + fixture_random(&seed) % (i % 3 ? 12 : LONGEST);
        for (uint32_t k = 0; k < n; k++)
            fprintf(f, "%d ", (int)(fixture_random(&seed) % 40));
        fputc('\n', f);
    }
    fclose(f);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

struct seen {
    const struct model *m;
    struct site_ref site;
    struct edit *const *edits;
    int32_t n_edits;
    int64_t last, pieces, tokens;
    int rests;
};

static float *values(struct run *r, struct site_ref s, int32_t n)
{
    float *x = malloc((size_t)site_row_size(&run_model(r)->cfg, s.id, n) * (size_t)n * sizeof *x);
    assert_non_null(x);
    assert_int_equal(run_read(r, s, 0, n, x, NULL, NULL), 0);
    return x;
}

static int compare(void *user, const struct text_piece *p, struct pair *pair, struct err *e)
{
    struct seen *s = user;
    struct pair *alone;
    const struct pair_target t = {
        .input = run_ids(p->tokens, p->n), .edits = s->edits, .n_edits = s->n_edits};
    assert_true(p->text >= s->last && !p->string);
    s->last = p->text, s->pieces++, s->tokens += p->n - p->fresh;
    assert_int_equal(pair_open(&alone, s->m, (size_t)64 << 20, e), 0);
    assert_int_equal(pair_sync(alone, &t, NULL, e), 0);
    float *x = values(pair_shown(pair), s->site, p->n),
          *y = values(pair_shown(alone), s->site, p->n);
    assert_memory_equal(
        x, y, (size_t)site_row_size(&s->m->cfg, s->site.id, p->n) * (size_t)p->n * sizeof *x);
    free(x), free(y);
    pair_close(alone);
    return 0;
}

static int rest(void *user, const struct texts_place *next, struct err *e)
{
    struct seen *s = user;
    (void)e;
    s->rests++;
    assert_int_equal(next->tokens, s->tokens);
    return 0;
}

static void run_set(const struct model *m, struct site_ref site, bool keep,
                    struct edit *const *edits, int32_t n_edits)
{
    struct texts *t;
    struct err e = {0};
    struct seen s = {.m = m, .site = site, .edits = edits, .n_edits = n_edits};
    const struct texts_options o = {.window = m->cfg.n_ctx < LONGEST ? m->cfg.n_ctx : LONGEST};
    const struct pair_target target = {.edits = edits, .n_edits = n_edits};
    const struct batch_work w = {.m = m,
                                 .target = &target,
                                 .keep = &site,
                                 .n_keep = keep,
                                 .stops = keep,
                                 .cache_bytes = (size_t)16 << 20,
                                 .done = compare,
                                 .user = &s,
                                 .rest = rest};
    assert_int_equal(texts_open(&t, m, path, &o, &e), 0);
    if (batch_run(t, &w, &e))
        fail_msg("%s", e.text);
    assert_true(s.last == TEXTS - 1 && s.pieces >= TEXTS && s.rests < s.pieces / 3);
    texts_close(t);
}

static void same_bits(void **state)
{
    (void)state;
    static const char *const models[] = {"gpt2", "llama", "gemma2", "gpt_neox", "mixtral", "bert"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct fixture f = fixture_open(models[i]);
        run_set(f.m, (struct site_ref){site_stream(&f.m->cfg, 1), 1}, true, NULL, 0);
        run_set(f.m, (struct site_ref){SITE_Q, 1}, true, NULL, 0); /* stops within a block */
        run_set(f.m, (struct site_ref){SITE_PATTERN, 1}, true, NULL, 0);
        run_set(f.m, (struct site_ref){site_logits(&f.m->cfg), SITE_ROOT}, false, NULL, 0);
        fixture_close(&f);
    }
}

static void same_bits_with_edits(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct edit *edits[2] = {NULL};
    assert_int_equal(edit_parse(&edits[0], "blocks.0.attn.hook_z[-1, 1] = 0", NULL), 0);
    assert_int_equal(edit_parse(&edits[1], "blocks.1.ln2.hook_scale = frozen", NULL), 0);
    run_set(f.m, (struct site_ref){SITE_RESID_POST, 1}, true, edits, 2);
    run_set(f.m, (struct site_ref){SITE_RESID_POST, 0}, true, edits, 2);
    run_set(f.m, (struct site_ref){SITE_Z, 1}, true, edits, 2);
    run_set(f.m, (struct site_ref){SITE_V, 0}, true, edits, 2); /* before the first edit */
    edit_free(edits[0]), edit_free(edits[1]);
    fixture_close(&f);
}

static int fail_third(void *user, const struct text_piece *p, struct pair *pair, struct err *e)
{
    int *n = user;
    (void)p, (void)pair;
    return ++*n == 3 ? err_set(e, ERR_BAD_INPUT, "enough") : 0;
}

static void ends_where_asked(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct texts *t;
    struct err e = {0};
    int n = 0;
    const struct texts_options o = {.window = 5};
    const struct pair_target none = {0};
    struct batch_work w = {.m = f.m, .target = &none, .done = fail_third, .user = &n};
    assert_int_equal(texts_open(&t, f.m, path, &o, &e), 0);
    assert_int_equal(batch_run(t, &w, &e), ERR_BAD_INPUT);
    assert_string_equal(e.text, "enough");
    assert_int_equal(n, 3);
    texts_close(t);
    struct edit *edit;
    assert_int_equal(edit_parse(&edit, "blocks.0.hook_resid_post[4] = 0", NULL), 0);
    const struct pair_target late = {.edits = &edit, .n_edits = 1};
    w.target = &late;
    assert_int_equal(texts_open(&t, f.m, path, &o, &e), 0);
    assert_int_equal(batch_run(t, &w, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "text "));
    texts_close(t);
    edit_free(edit);
    fixture_close(&f);
}

/* ---- what is held ---- */

enum { ROWS = 512 }; /* of a batch */

/* Full batches: of one piece, of two, of four ..., turn by turn. */
struct lengths {
    int32_t tokens[ROWS];
    int32_t longest, least; /* of a piece */
    int32_t n, rows, turns, text;
    size_t most; /* bytes held at a batch's end */
};

static int next_length(void *from, struct text_piece *out, struct err *e)
{
    struct lengths *l = from;
    (void)e;
    if (l->rows == ROWS) {
        l->rows = 0;
        l->n = l->n > l->least ? l->n / 2 : l->longest;
        l->turns -= l->n == l->longest;
    }
    if (!l->turns)
        return 0;
    *out = (struct text_piece){.tokens = l->tokens, .n = l->n, .fresh = 0, .text = l->text++};
    l->rows += l->n;
    return 1;
}

static void no_place(const void *from, struct texts_place *out)
{
    (void)from;
    *out = (struct texts_place){0};
}

static int ignore(void *user, const struct text_piece *p, struct pair *pair, struct err *e)
{
    (void)user, (void)p, (void)pair, (void)e;
    return 0;
}

/* What a backend was asked for. */
static const struct kn_backend_type *real;
static size_t bytes;
static int products;

static void *counted_alloc(struct kn_backend *be, size_t n)
{
    bytes += n;
    return real->alloc(be, n);
}

static void counted_release(struct kn_backend *be, void *mem, size_t n)
{
    bytes -= mem ? n : 0;
    real->release(be, mem, n);
}

static enum kn_status counted_run(struct kn_backend *be, const struct kn_call *c)
{
    products += c->op == KN_OP_LINEAR || c->op == KN_OP_LINEARS;
    return real->run(be, c);
}

static int measure(void *user, const struct texts_place *next, struct err *e)
{
    struct lengths *l = user;
    (void)next, (void)e;
    l->most = bytes > l->most ? bytes : l->most;
    return 0;
}

/* The most bytes at a batch's end; `products` are those of all batches. */
static size_t held(const struct model *m, int32_t longest, int32_t least, int32_t turns)
{
    static const struct pair_target plain;
    struct kn_backend *be = m->be;
    struct kn_backend_type type = *be->type;
    real = be->type, bytes = 0, products = 0;
    type.alloc = counted_alloc, type.release = counted_release, type.run = counted_run;
    be->type = &type;
    struct lengths l = {.longest = longest, .least = least, .n = longest, .turns = turns};
    const struct batch_source s = {next_length, no_place, &l};
    const struct batch_work w = {.m = m,
                                 .target = &plain,
                                 .cache_bytes = 1 << 20,
                                 .done = ignore,
                                 .user = &l,
                                 .rest = measure};
    assert_int_equal(batch_run_from(&s, &w, NULL), 0);
    be->type = real;
    assert_true(l.text > 0 && l.most > 0 && bytes == 0);
    return l.most;
}

/* Batches of all kinds one after the other hold little more than the largest of them alone, though
 * each place has a long piece at some time. */
static void room_is_bound(void **state)
{
    (void)state;
    struct model *m;
    struct err e = {0};
    if (model_open(&m, "models/teach", fixture_backend(), &e)) /* a position of it is not nothing */
        fail_msg("%s", e.text);
    size_t alone = 0, together = held(m, ROWS, 32, 3);
    for (int32_t n = ROWS; n >= 32; n /= 2) {
        size_t x = held(m, n, n, 2);
        alone = x > alone ? x : alone;
    }
    if (together > alone + alone * 3 / 5)
        fail_msg("%zu bytes, of one kind %zu at most", together, alone);
    model_close(m);
}

/* ---- products ---- */

static int products_of(const struct model *m, int32_t n)
{
    held(m, n, n, 1);
    return products;
}

/* As many products for eight pieces as for one, but that a long piece goes in parts. */
static void pieces_share_products(void **state)
{
    (void)state;
    struct model *m;
    struct err e = {0};
    if (model_open(&m, "models/teach", fixture_backend(), &e))
        fail_msg("%s", e.text);
    int one = products_of(m, ROWS), few = products_of(m, ROWS / 2), many = products_of(m, 64);
    if (!m->be->exact_rows)
        skip();
    assert_true(many > 0 && many <= few && few <= one);
    model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits), cmocka_unit_test(same_bits_with_edits),
        cmocka_unit_test(pieces_share_products), cmocka_unit_test(ends_where_asked),
        cmocka_unit_test(room_is_bound)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
