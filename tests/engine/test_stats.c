/* test_stats.c - statistics over texts: against sums in double precision over runs of single texts,
 * patterns, their file, going on, merging, what is not finite. */
#include "fixture.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab/pattern_stats.h"
#include "lab/stats_run.h"
#include "model/tensor_write.h"

static char top[] = "/tmp/bore-stats-XXXXXX", texts_path[64];
enum { TEXTS = 40, LONGEST = 44, TOP = 3 };

static const struct pair_target no_edits = {0};
static const struct token_filter all_tokens = {0};
static const char *const hooks[] = {"blocks.*.mlp.hook_post", "blocks.{0,1}.attn.hook_z",
                                    "blocks.1.hook_resid_post", "hook_embed",
                                    "blocks.0.ln1.hook_scale"};
enum { HOOKS = sizeof hooks / sizeof *hooks };

static int set_up(void **state)
{
    (void)state;
    uint32_t seed = 7;
    assert_non_null(mkdtemp(top));
    snprintf(texts_path, sizeof texts_path, "%s/texts.txt", top);
    FILE *f = fopen(texts_path, "w");
    assert_non_null(f);
    for (int i = 0; i < TEXTS; i++) {
        uint32_t n = 1 + fixture_random(&seed) % LONGEST;
        for (uint32_t k = 0; k < n; k++)
            fprintf(f, "%d ", (int)(fixture_random(&seed) % 40));
        fputc('\n', f);
    }
    fclose(f);
    return 0;
}

static int tear_down(void **state)
{
    char command[80];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", top);
    return system(command);
}

static char *in_top(const char *name)
{
    static char path[4][100];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", top, name);
    return path[turn];
}

/* Statistics of some hooks over the texts with these options. */
static struct stats run_hooks(const struct model *m, const char *const *names, int n,
                              struct texts_options o, struct stats_work w)
{
    struct stats s;
    struct texts *t;
    struct err e = {0};
    w.m = m, w.options = &o;
    w.target = w.target ? w.target : &no_edits;
    w.filter = w.filter ? w.filter : &all_tokens;
    assert_int_equal(stats_init(&s, &m->cfg, names, n, TOP, &e), 0);
    assert_int_equal(stats_about(&s, &w, &e), 0);
    if (texts_open(&t, m, texts_path, &o, &e) || stats_run(&s, t, &w, &e))
        fail_msg("%s", e.text);
    texts_close(t);
    return s;
}

static struct stats run_all(const struct model *m, struct texts_options o, struct stats_work w)
{
    return run_hooks(m, hooks, HOOKS, o, w);
}

/* ---- against plain sums ---- */

struct plain {
    double n, sum, root, pos, neg, pos_n, min, max;
    int64_t bin[STATS_BINS];
    double *x; /* for the second pass */
};

static void plain_add(struct plain *p, double x)
{
    double edge[STATS_BINS + 1];
    int b = 0;
    stats_edges(edge);
    while (x < 0 ? x > edge[b + 1] : x >= edge[b + 1])
        b++;
    p->bin[b]++;
    p->x = realloc(p->x, (size_t)(p->n + 1) * sizeof *p->x);
    assert_non_null(p->x);
    p->x[(size_t)p->n] = x;
    p->n++, p->sum += x, p->root += sqrt(fabs(x));
    p->pos += x > 0 ? x : 0, p->neg += x < 0 ? x : 0, p->pos_n += x > 0;
    p->min = p->n == 1 || x < p->min ? x : p->min, p->max = p->n == 1 || x > p->max ? x : p->max;
}

static void near(double a, double b, double scale)
{
    if (!(fabs(a - b) <= 1e-7 * scale + 1e-12))
        fail_msg("%.17g where %.17g was expected", a, b);
}

static void element_equals(const struct stats_site *s, int64_t i, const struct plain *p)
{
    double mean = p->sum / p->n, var = 0, scale = fmax(fabs(p->min), fabs(p->max));
    for (size_t k = 0; k < (size_t)p->n; k++)
        var += (p->x[k] - mean) * (p->x[k] - mean);
    assert_int_equal(stat_count(s, STAT_count)[i], p->n);
    assert_int_equal(stat_count(s, STAT_pos_count)[i], p->pos_n);
    near(stat_mean(s, STAT_mean)[i], mean, scale * 1e-6);
    near(stat_mean(s, STAT_variance)[i], var / p->n, scale * scale * 1e-6);
    near(stat_mean(s, STAT_sqrt_abs_mean)[i], p->root / p->n, sqrt(scale));
    near(stat_mean(s, STAT_pos_mass)[i], p->pos / p->n, scale * 1e-6);
    near(stat_mean(s, STAT_neg_mass)[i], p->neg / p->n, scale * 1e-6);
    assert_true((double)stat_bound(s, STAT_min)[i] == p->min);
    assert_true((double)stat_bound(s, STAT_max)[i] == p->max);
    assert_memory_equal(s->histogram + i * STATS_BINS, p->bin, sizeof p->bin);
    double share = 0;
    for (size_t k = 0; k < (size_t)p->n; k++)
        share += p->x[k] <= mean;
    assert_true(fabs(stats_quantile(s, i, (float)mean) - share / p->n) <=
                (double)p->bin[stats_bin((float)mean)] / p->n + 1e-9);
}

/* The strongest values of a unit, found by looking at all; equal ones by their order. */
struct strongest {
    float value[TOP];
    int64_t text[TOP], pos[TOP];
};

static void strongest_add(struct strongest *s, float v, int64_t text, int64_t pos)
{
    int k = TOP;
    while (k > 0 && (s->text[k - 1] < 0 || v > s->value[k - 1]))
        k--;
    for (int i = TOP - 1; i > k; i--)
        s->value[i] = s->value[i - 1], s->text[i] = s->text[i - 1], s->pos[i] = s->pos[i - 1];
    if (k < TOP)
        s->value[k] = v, s->text[k] = text, s->pos[k] = pos;
}

/* Every text by itself, its values as run_read gives them. */
static void site_equals(const struct model *m, const struct stats_site *s, struct texts_options o)
{
    struct texts *t;
    struct text_piece p;
    struct plain *plain = calloc((size_t)s->n, sizeof *plain);
    struct strongest *best = calloc((size_t)s->units, sizeof *best);
    assert_true(plain && best && !texts_open(&t, m, texts_path, &o, NULL));
    for (int64_t u = 0; u < s->units; u++)
        for (int k = 0; k < TOP; k++)
            best[u].text[k] = -1;
    while (texts_next(t, &p, NULL) > 0) {
        struct run *r = fixture_run_new(m, NULL, (size_t)64 << 20);
        float *x = malloc((size_t)(s->n * p.n) * sizeof *x);
        assert_int_equal(run_sync(r, run_ids(p.tokens, p.n), NULL, NULL, NULL, NULL), 0);
        assert_int_equal(run_read(r, s->site, 0, p.n, x, NULL, NULL), 0);
        for (int32_t row = p.fresh; row < p.n; row++)
            for (int64_t u = 0, d = s->n / s->units; u < s->units; u++) {
                double norm = 0;
                for (int64_t i = u * d; i < (u + 1) * d; i++) {
                    float v = x[row * s->n + i];
                    plain_add(&plain[i], (double)v);
                    norm += (double)v * (double)v;
                }
                strongest_add(&best[u], s->rank == 2 ? (float)sqrt(norm) : x[row * s->n + u],
                              p.text, p.start + row);
            }
        free(x);
        run_free(r);
    }
    texts_close(t);
    for (int64_t i = 0; i < s->n; i++) {
        element_equals(s, i, &plain[i]);
        free(plain[i].x);
    }
    for (int64_t u = 0; u < s->units; u++) {
        assert_memory_equal(s->top_value + u * TOP, best[u].value, sizeof best[u].value);
        assert_memory_equal(s->top_text + u * TOP, best[u].text, sizeof best[u].text);
        assert_memory_equal(s->top_pos + u * TOP, best[u].pos, sizeof best[u].pos);
    }
    free(plain), free(best);
}

static void equal_plain_sums(void **state)
{
    (void)state;
    static const char *const models[] = {"gpt2", "llama", "gpt_neox"};
    const struct texts_options options[] = {
        {.window = LONGEST}, {.window = 8, .stride = 5}, {.window = 7}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct fixture f = fixture_open(models[i]);
        struct texts_options o = options[i];
        o.window = o.window < f.m->cfg.n_ctx ? o.window : f.m->cfg.n_ctx;
        struct stats s = run_all(f.m, o, (struct stats_work){0});
        assert_true(s.n >= 6 && s.place.texts == TEXTS && s.tokens == s.place.tokens);
        for (int k = 0; k < s.n; k++)
            site_equals(f.m, &s.site[k], o);
        stats_free(&s);
        fixture_close(&f);
    }
}

/* ---- patterns ---- */

/* What a row of n shares says under one of the names. */
static float number_of(const char *name, const float *p, int n, int dest)
{
    int d = !strcmp(name, "self") ? 0 : 1;
    double sum = 0;
    bool entropy = !strcmp(name, "entropy"), distance = !strcmp(name, "distance"), any = false;
    if (!strcmp(name, "first"))
        return p[0];
    if (sscanf(name, "ahead_%d", &d) == 1)
        d = -d;
    else if (strcmp(name, "further") && !entropy && !distance) {
        assert_true(d == 0 || !strcmp(name, "previous") || sscanf(name, "back_%d", &d) == 1);
    } else {
        for (int s = 0; s < n; s++) {
            int away = abs(dest - s);
            any |= entropy || distance || away >= 16;
            sum += entropy      ? p[s] > 0 ? -(double)p[s] * log((double)p[s]) : 0
                   : distance   ? (double)p[s] * away
                   : away >= 16 ? (double)p[s]
                                : 0;
        }
        return any ? (float)sum : NAN;
    }
    return dest - d >= 0 && dest - d < n ? p[dest - d] : NAN;
}

static void pattern_equals(const struct model *m, const struct stats_site *s,
                           struct texts_options o)
{
    struct texts *t;
    struct text_piece p;
    struct plain *plain = calloc((size_t)s->n, sizeof *plain);
    struct strongest *best = calloc((size_t)s->n, sizeof *best);
    char names[600], *at, *next;
    assert_true(plain && best && s->units == s->n && !texts_open(&t, m, texts_path, &o, NULL));
    for (int64_t i = 0; i < s->n; i++)
        for (int k = 0; k < TOP; k++)
            best[i].text[k] = -1;
    while (texts_next(t, &p, NULL) > 0) {
        struct run *r = fixture_run_new(m, NULL, (size_t)64 << 20);
        size_t heads = (size_t)m->cfg.n_heads, n = (size_t)p.n;
        float *x = malloc(heads * n * n * sizeof *x);
        assert_int_equal(run_sync(r, run_ids(p.tokens, p.n), NULL, NULL, NULL, NULL), 0);
        assert_int_equal(run_read(r, s->site, 0, p.n, x, NULL, NULL), 0);
        for (int32_t row = p.fresh; row < p.n; row++)
            for (size_t h = 0, i = 0; h < heads; h++) {
                pattern_names((int)s->shape[1], names, sizeof names);
                for (at = strtok_r(names, "[\", ]", &next); at;
                     at = strtok_r(NULL, "[\", ]", &next), i++) {
                    float v = number_of(at, x + (h * n + (size_t)row) * n,
                                        m->cfg.bidirectional ? p.n : row + 1, row);
                    if (isnan(v))
                        continue;
                    plain_add(&plain[i], (double)v);
                    strongest_add(&best[i], v, p.text, p.start + row);
                }
            }
        free(x);
        run_free(r);
    }
    texts_close(t);
    for (int64_t i = 0; i < s->n; i++) {
        assert_true(plain[i].n > 0);
        element_equals(s, i, &plain[i]);
        free(plain[i].x);
        assert_memory_equal(s->top_value + i * TOP, best[i].value, sizeof best[i].value);
        assert_memory_equal(s->top_pos + i * TOP, best[i].pos, sizeof best[i].pos);
    }
    free(plain), free(best);
}

/* Of a pattern: shares by distance, entropy; also of a model that sees all tokens. */
static void patterns(void **state)
{
    (void)state;
    static const char *const models[] = {"gpt2", "bert"}, *const names[] = {
                                                              "blocks.1.attn.hook_pattern",
                                                              "blocks.0.mlp.hook_post"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct fixture f = fixture_open(models[i]);
        struct texts_options o = {.window = f.m->cfg.n_ctx < LONGEST ? f.m->cfg.n_ctx : LONGEST};
        struct stats s = run_hooks(f.m, names, 2, o, (struct stats_work){0}), again = {0};
        const struct stats_site *a = stats_find(&s, names[0]);
        assert_int_equal(a->shape[0], f.m->cfg.n_heads);
        assert_int_equal(a->shape[1], f.m->cfg.bidirectional ? 35 : 20);
        pattern_equals(f.m, a, o);
        assert_int_equal(stats_write(&s, in_top("pattern.safetensors"), "m", NULL), 0);
        assert_int_equal(stats_read(&again, in_top("pattern.safetensors"), NULL), 0);
        assert_int_equal(stats_merge(&again, &s, NULL), 0);
        assert_int_equal(stat_count(stats_find(&again, names[0]), STAT_count)[0],
                         2 * stat_count(a, STAT_count)[0]);
        stats_free(&again), stats_free(&s);
        fixture_close(&f);
    }
}

/* ---- files ---- */

static char *file_bytes(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *bytes = malloc((size_t)1 << 24);
    assert_non_null(bytes);
    *n = fread(bytes, 1, (size_t)1 << 24, f);
    fclose(f);
    return bytes;
}

static void same_file(const char *a, const char *b)
{
    size_t n, k;
    char *x = file_bytes(a, &n), *y = file_bytes(b, &k);
    assert_int_equal(n, k);
    assert_memory_equal(x, y, n);
    free(x), free(y);
}

static int end_after(void *user, const struct stats *s, const struct gather_news *news,
                     struct err *e)
{
    int *left = user;
    (void)news;
    if ((*left)-- > 0)
        return 0;
    assert_int_equal(stats_write(s, in_top("part.safetensors"), "m", e), 0);
    return ERR_CANCELLED;
}

/* Ended after any batch, read from its file and continued, it ends with the same bytes: batches,
 * which are then others, do not show. */
static void goes_on(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct texts_options o = {.window = 9, .stride = 6};
    char kept[64], command[300];
    memcpy(kept, texts_path, sizeof kept);
    snprintf(texts_path, sizeof texts_path, "%s/long.txt", top); /* of several units */
    snprintf(command, sizeof command, "cat %s %s %s %s > %s", kept, kept, kept, kept, texts_path);
    assert_int_equal(system(command), 0);
    struct stats whole = run_all(f.m, o, (struct stats_work){0});
    assert_int_equal(stats_write(&whole, in_top("whole.safetensors"), "m", NULL), 0);
    int ended = 1, after = 0;
    for (; ended; after++) {
        int left = after;
        struct stats s, now;
        struct texts *t;
        struct err e = {0};
        struct stats_work w = {.m = f.m,
                               .options = &o,
                               .target = &no_edits,
                               .filter = &all_tokens,
                               .rest = end_after,
                               .user = &left};
        assert_int_equal(stats_init(&s, &f.m->cfg, hooks, HOOKS, TOP, &e), 0);
        assert_int_equal(stats_about(&s, &w, &e), 0);
        assert_int_equal(texts_open(&t, f.m, texts_path, &o, &e), 0);
        ended = stats_run(&s, t, &w, &e) != 0;
        texts_close(t);
        stats_free(&s);
        if (!ended)
            break;
        w.rest = NULL;
        assert_int_equal(stats_init(&now, &f.m->cfg, hooks, HOOKS, TOP, &e), 0);
        assert_int_equal(stats_about(&now, &w, &e), 0);
        assert_int_equal(stats_read(&s, in_top("part.safetensors"), &e), 0);
        assert_int_equal(stats_continue(&s, &now, &e), 0);
        assert_int_equal(texts_open(&t, f.m, texts_path, &o, &e), 0);
        if (stats_run(&s, t, &w, &e))
            fail_msg("%s", e.text);
        assert_int_equal(stats_write(&s, in_top("part.safetensors"), "m", &e), 0);
        same_file(in_top("part.safetensors"), in_top("whole.safetensors"));
        texts_close(t);
        stats_free(&s), stats_free(&now);
    }
    assert_true(after > 5);
    assert_true(whole.tokens > 3 * UNIT_TOKENS);
    memcpy(texts_path, kept, sizeof kept);
    stats_free(&whole);
    fixture_close(&f);
}

static void merged_near(const struct stats_site *a, const struct stats_site *b)
{
    static const enum stat means[] = {STAT_mean, STAT_variance, STAT_sqrt_abs_mean, STAT_pos_mass,
                                      STAT_neg_mass};
    size_t n = (size_t)a->n;
    assert_memory_equal(a->of[STAT_count], b->of[STAT_count], n * sizeof(int64_t));
    assert_memory_equal(a->of[STAT_pos_count], b->of[STAT_pos_count], n * sizeof(int64_t));
    assert_memory_equal(a->of[STAT_min], b->of[STAT_min], n * sizeof(float));
    assert_memory_equal(a->of[STAT_max], b->of[STAT_max], n * sizeof(float));
    assert_memory_equal(a->histogram, b->histogram, n * STATS_BINS * sizeof *a->histogram);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof means / sizeof *means; k++) {
            double x = stat_mean(a, means[k])[i], y = stat_mean(b, means[k])[i],
                   scale = fmax(fabs((double)stat_bound(a, STAT_min)[i]),
                                fabs((double)stat_bound(a, STAT_max)[i]));
            assert_true(fabs(x - y) <= 1e-12 * fmax(scale, scale * scale));
        }
    size_t places = (size_t)(a->units * a->top);
    assert_memory_equal(a->top_value, b->top_value, places * sizeof *a->top_value);
    assert_memory_equal(a->top_text, b->top_text, places * sizeof *a->top_text);
    assert_memory_equal(a->top_pos, b->top_pos, places * sizeof *a->top_pos);
    assert_memory_equal(a->top_tokens, b->top_tokens,
                        places * STATS_CONTEXT * sizeof *a->top_tokens);
}

/* Statistics of three parts, merged, are those of the whole. */
static void merges(void **state)
{
    (void)state;
    struct fixture f = fixture_open("llama");
    struct texts_options o = {.window = LONGEST};
    struct stats whole = run_all(f.m, o, (struct stats_work){0});
    char all[1 << 14], *at = all, kept[64];
    FILE *in = fopen(texts_path, "r");
    all[fread(all, 1, sizeof all - 1, in)] = '\0';
    fclose(in);
    memcpy(kept, texts_path, sizeof kept);
    struct stats sum = {0};
    for (int part = 0; part < 3; part++) {
        snprintf(texts_path, sizeof texts_path, "%s/part.txt", top);
        FILE *out = fopen(texts_path, "w");
        for (int line = 0; line < (part < 2 ? 11 : TEXTS) && *at; line++) {
            size_t n = strcspn(at, "\n") + 1;
            fwrite(at, 1, n, out);
            at += n;
        }
        fclose(out);
        struct stats one = run_all(f.m, o, (struct stats_work){0});
        if (!part) {
            sum = one;
            continue;
        }
        assert_int_equal(stats_merge(&sum, &one, NULL), 0);
        stats_free(&one);
    }
    memcpy(texts_path, kept, sizeof kept);
    assert_int_equal(sum.tokens, whole.tokens);
    assert_int_equal(sum.place.texts, TEXTS);
    for (int i = 0; i < whole.n; i++)
        merged_near(&whole.site[i], stats_find(&sum, whole.site[i].name));
    struct err e = {0};
    o.window = 9;
    struct stats other = run_all(f.m, o, (struct stats_work){0});
    assert_int_equal(stats_merge(&sum, &other, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "made otherwise"));
    stats_free(&other), stats_free(&sum), stats_free(&whole);
    fixture_close(&f);
}

/* ---- centers, edits ---- */

/* Edits act; centered statistics are those of x minus the peak. */
static void edited_and_centered(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct texts_options o = {.window = 9};
    struct stats plain = run_all(f.m, o, (struct stats_work){0});
    struct edit *edit = NULL;
    assert_int_equal(edit_parse(&edit, "blocks.0.mlp.hook_post[:, 3] = 2.5", NULL), 0);
    const struct pair_target target = {.edits = &edit, .n_edits = 1};
    struct stats edited = run_all(f.m, o, (struct stats_work){.target = &target}),
                 centered = run_all(f.m, o, (struct stats_work){.center = &plain});
    const struct stats_site *s = stats_find(&edited, "blocks.0.mlp.hook_post");
    assert_true(stat_mean(s, STAT_mean)[3] == 2.5 && stat_mean(s, STAT_variance)[3] == 0);
    const struct stats_site *a = stats_find(&plain, "blocks.1.hook_resid_post"),
                            *b = stats_find(&edited, "blocks.1.hook_resid_post");
    assert_true(stat_mean(a, STAT_mean)[0] != stat_mean(b, STAT_mean)[0]);
    b = stats_find(&centered, "blocks.1.hook_resid_post");
    for (int64_t i = 0; i < a->n; i++) {
        near(stat_mean(b, STAT_mean)[i], stat_mean(a, STAT_mean)[i] - (double)stats_peak(a, i), 1);
        near(stat_mean(b, STAT_variance)[i], stat_mean(a, STAT_variance)[i], 1);
    }
    assert_string_not_equal(plain.about, edited.about);
    assert_string_not_equal(plain.about, centered.about);
    edit_free(edit);
    stats_free(&plain), stats_free(&edited), stats_free(&centered);
    fixture_close(&f);
}

/* ---- values ---- */

static struct stats of_shape(int rank, int64_t a, int64_t b)
{
    struct stats s = {0};
    const int64_t shape[] = {a, b};
    assert_int_equal(stats_add_site(&s, (struct site_ref){0}, "x", rank, shape, a, 2, NULL), 0);
    return s;
}

/* Values that are not finite are left out, whatever their neighbours. */
static void not_finite(void **state)
{
    (void)state;
    struct stats s = of_shape(1, 3, 0);
    float x[4][3] = {{1, NAN, 2}, {-3, NAN, INFINITY}, {2, NAN, 4}, {0, NAN, -INFINITY}};
    const int32_t row[] = {0, 1, 2, 3}, tokens[] = {5, 6, 7, 8};
    const struct text_piece p = {.tokens = tokens, .n = 4, .text = 9, .start = 100};
    struct kn_view v = kn_view2(x, KN_F32, 4, 3);
    char why[128];
    struct kn_backend *be = kn_open(&(struct kn_options){.backend = "cpu", .cpu = -1}, why,
                                    sizeof why);
    assert_non_null(be);
    stats_add(&s.site[0], be, &(struct stats_piece){&p, v, row, 4}, 1, NULL);
    kn_close(be);
    const struct stats_site *k = s.site;
    assert_int_equal(stat_count(k, STAT_count)[0], 4);
    assert_int_equal(stat_count(k, STAT_count)[1], 0);
    assert_int_equal(stat_count(k, STAT_count)[2], 2);
    assert_true(stat_mean(k, STAT_mean)[0] == 0 && stat_mean(k, STAT_variance)[0] == 3.5);
    assert_true(stat_mean(k, STAT_pos_mass)[0] == 0.75 && stat_mean(k, STAT_neg_mass)[0] == -0.75);
    assert_true(stat_mean(k, STAT_mean)[2] == 3);
    assert_true(k->top_value[0] == 2 && k->top_text[0] == 9 && k->top_pos[0] == 102);
    assert_int_equal(k->top_tokens[STATS_BEFORE], 7);
    assert_int_equal(k->top_tokens[STATS_BEFORE - 2], 5);
    assert_int_equal(k->top_tokens[STATS_BEFORE - 3], -1);
    assert_int_equal(k->top_text[2], -1);
    assert_true(isnan(stats_quantile(k, 1, 0)) && stats_quantile(k, 0, 2) == 1 &&
                stats_quantile(k, 0, -4) == 0);
    stats_free(&s);
}

static void bins(void **state)
{
    (void)state;
    double edge[STATS_BINS + 1];
    stats_edges(edge);
    for (int b = 0; b < STATS_BINS; b++) {
        float lo = (float)edge[b], hi = (float)edge[b + 1];
        assert_true(edge[b] < edge[b + 1]);
        if (b >= STATS_BINS / 2) {
            assert_int_equal(stats_bin(lo), b);
            assert_int_equal(stats_bin(isinf(hi) ? FLT_MAX : nextafterf(hi, lo)), b);
        } else {
            assert_int_equal(stats_bin(nextafterf(isinf(lo) ? -FLT_MAX : lo, hi)), b);
        }
    }
    assert_int_equal(stats_bin(-0.0f), STATS_BINS / 2);
    assert_int_equal(stats_bin(-FLT_MIN), STATS_BINS / 2 - 1);
}

/* ---- refusals ---- */

static void refused(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct stats s;
    struct err e = {0};
    const char *const any = "*", *const wrong[] = {"blocks.0.attn.hook_attn_scores", "hook_tokens",
                                                   "blocks.*.attn.hook_attn_scores"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (!strcmp(wrong[i], "hook_tokens") && !site_exists(&f.m->cfg, SITE_TOKENS))
            continue;
        assert_int_equal(stats_init(&s, &f.m->cfg, &wrong[i], 1, TOP, &e), ERR_BAD_INPUT);
        assert_non_null(strstr(e.text, "it has no statistics"));
        stats_free(&s);
    }
    assert_int_equal(stats_init(&s, &f.m->cfg, &any, 1, TOP, &e), 0);
    for (int i = 0; i < s.n; i++)
        assert_null(strstr(s.site[i].name, "scores"));
    stats_free(&s);
    assert_int_equal(stats_read(&s, "tests/fixtures/models/gpt2/model.safetensors", &e),
                     ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "is no file of statistics"));
    stats_free(&s);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equal_plain_sums),
                                       cmocka_unit_test(patterns),
                                       cmocka_unit_test(goes_on),
                                       cmocka_unit_test(merges),
                                       cmocka_unit_test(edited_and_centered),
                                       cmocka_unit_test(not_finite),
                                       cmocka_unit_test(bins),
                                       cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
