/* test_sweep.c - sweeps against TransformerLens' patching.py, and what they promise besides: order,
 * cancellation, other metrics, sets of prompts, prompts of other lengths, path patching. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure/sweep.h"

static const char SWEEP[] = "sweep.safetensors";
enum { CACHE = 1 << 24 };

/* A fixture and its clean prompt. */
struct opened {
    struct fixture f;
    struct checkpoint *ref;
    int32_t *clean, n_clean;
    struct pair_prompt runs[1];
    struct sweep_prompt prompt;
};

static void opened_begin(struct opened *o, const char *name)
{
    *o = (struct opened){.f = fixture_open(name), .ref = fixture_file(name, SWEEP)};
    o->clean = fixture_ids(o->ref, "clean", &o->n_clean);
    o->runs[0] = (struct pair_prompt){.name = "clean", .tokens = o->clean, .n = o->n_clean};
    o->prompt = (struct sweep_prompt){run_ids(o->f.tokens, o->f.n), o->runs, 1,
                                      checkpoint_metadata(o->ref, "metric")};
}

static void opened_end(struct opened *o)
{
    free(o->clean);
    checkpoint_close(o->ref);
    fixture_close(&o->f);
}

static struct sweep_want want_of(const struct opened *o, const char *kind)
{
    return (struct sweep_want){
        .kind = kind, .prompts = &o->prompt, .n_prompts = 1, .cache_bytes = CACHE};
}

static struct sweep *open_sweep(const struct model *m, const struct sweep_want *w)
{
    struct sweep *s = NULL;
    struct err e = {0};
    if (sweep_open(&s, m, w, &e))
        fail_msg("%s", e.text);
    return s;
}

static void finish(struct sweep *s)
{
    struct err e = {0};
    if (sweep_step(s, SWEEP_CELLS_MAX, NULL, NULL, &e))
        fail_msg("%s", e.text);
    assert_int_equal(sweep_done(s), sweep_cells(s));
}

/* Every value, 0 where there is none, as patching.py pads. */
static float *values_of(const struct sweep *s)
{
    float *v = malloc((size_t)sweep_cells(s) * sizeof *v);
    for (int32_t i = 0; i < sweep_cells(s); i++) {
        assert_true(sweep_has(s, i) != sweep_absent(s, i));
        v[i] = sweep_has(s, i) ? (float)sweep_value(s, i, NULL) : 0;
    }
    return v;
}

static void check_values(const struct sweep *s, const struct opened *o, const char *tensor,
                         const char *what)
{
    const struct st_tensor *t = checkpoint_find(o->ref, tensor);
    assert_non_null(t);
    const struct sweep_axis *axes;
    int32_t n = sweep_axes(s, &axes);
    assert_int_equal(n, t->rank);
    for (int32_t i = 0; i < n; i++)
        assert_int_equal(axes[i].size, t->shape[i]);
    float *v = values_of(s);
    double d = fixture_error(v, t->data, (size_t)sweep_cells(s));
    if (!(d <= 1e-5))
        fail_msg("%s %s: differs by %g", what, tensor, d);
    free(v);
}

static void sweep_and_check(const struct opened *o, const struct sweep_want *w, const char *tensor,
                            const char *what)
{
    struct sweep *s = open_sweep(o->f.m, w);
    finish(s);
    check_values(s, o, tensor, what);
    sweep_close(s);
}

static void test_kinds(void **state)
{
    (void)state;
    char **names = fixture_names_with(SWEEP);
    int models = 0;
    for (char **model = names; *model; model++, models++) {
        struct opened o;
        opened_begin(&o, *model);
        struct js_doc *kinds = fixture_json(o.ref, "kinds");
        int swept = 0;
        for (int k = 0; k < sweep_kind_count; k++) {
            if (!checkpoint_find(o.ref, sweep_kinds[k].name))
                continue;
            struct sweep_want w = want_of(&o, sweep_kinds[k].name);
            sweep_and_check(&o, &w, sweep_kinds[k].name, *model);
            w.kind = sweep_kinds[k].patching; /* under the library's name, too */
            struct sweep *s = open_sweep(o.f.m, &w);
            sweep_close(s);
            swept++;
        }
        assert_int_equal(swept, (int)js_count(js_root(kinds)));
        js_close(kinds);
        opened_end(&o);
    }
    assert_true(models >= 5);
    fixture_names_free(names);
}

static void test_values_put_there(void **state)
{
    (void)state;
    char **names = fixture_names_with(SWEEP);
    for (char **model = names; *model; model++) {
        struct opened o;
        opened_begin(&o, *model);
        struct sweep_want w = want_of(&o, "z_all_pos");
        w.with = "zero";
        sweep_and_check(&o, &w, "zero.z_all_pos", *model);
        w.with = "*= 0";
        sweep_and_check(&o, &w, "zero.z_all_pos", *model);
        w.kind = "neuron", w.with = "zero";
        sweep_and_check(&o, &w, "zero.neuron", *model);
        w.kind = "resid_post", w.with = NULL;
        sweep_and_check(&o, &w, "post.resid_post", *model);
        /* as a template with holes of any name */
        const char *set = "blocks.{L}.hook_resid_post[{where}] = from(clean)";
        w.kind = NULL, w.set = &set, w.n_set = 1;
        sweep_and_check(&o, &w, "post.resid_post", *model);
        /* from the clean prompt's side: noising */
        struct pair_prompt run = {.name = "own", .tokens = o.f.tokens, .n = o.f.n};
        struct sweep_prompt back = {run_ids(o.clean, o.n_clean), &run, 1, o.prompt.metric};
        struct sweep_want b = {
            .kind = "resid_pre", .prompts = &back, .n_prompts = 1, .cache_bytes = CACHE};
        sweep_and_check(&o, &b, "back.resid_pre", *model);
        b.kind = "z_all_pos", b.cache_bytes = 0;
        sweep_and_check(&o, &b, "back.z_all_pos", *model);
        opened_end(&o);
    }
    fixture_names_free(names);
}

static double number_of(const struct checkpoint *ref, const char *tensor)
{
    const struct st_tensor *t = checkpoint_find(ref, tensor);
    assert_non_null(t);
    return (double)*(const float *)t->data;
}

/* Every metric; and by another metric than the one that was swept, with and without memory. */
static void test_metrics(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
    } metrics[] = {
        {"logprob", "logprob[-1, 5]"}, {"loss", "loss"}, {"kl", "kl"}, {"rank", "rank[-1, 5]"}};
    char **names = fixture_names_with(SWEEP);
    for (char **model = names; *model; model++) {
        struct opened o;
        opened_begin(&o, *model);
        for (size_t i = 0; i < 4; i++)
            for (int kept = 0; kept < 3; kept++) {
                char tensor[60], base[60];
                struct sweep_want w = want_of(&o, "z_all_pos");
                struct err e = {0};
                w.cache_bytes = kept == 2 ? 0 : CACHE;
                snprintf(tensor, sizeof tensor, "metric.z_all_pos.%s", metrics[i].name);
                snprintf(base, sizeof base, "metric.base.%s", metrics[i].name);
                struct sweep_prompt p = o.prompt;
                p.metric = kept ? p.metric : metrics[i].text;
                w.prompts = &p;
                struct sweep *s = open_sweep(o.f.m, &w);
                finish(s);
                if (kept) {
                    assert_int_equal(sweep_metric(s, &metrics[i].text, &e), 0);
                    bool rows = strcmp(metrics[i].name, "loss") != 0; /* of the last row alone */
                    assert_int_equal(sweep_done(s), kept == 1 && rows ? sweep_cells(s) : 0);
                    finish(s);
                }
                check_values(s, &o, tensor, *model);
                double got = sweep_base(s), want = number_of(o.ref, base);
                assert_true(fabs(got - want) <= 1e-5 * (1 + fabs(want)));
                sweep_close(s);
            }
        opened_end(&o);
    }
    fixture_names_free(names);
}

static void test_paths(void **state)
{
    (void)state;
    char **names = fixture_names_with(SWEEP);
    for (char **model = names; *model; model++) {
        struct opened o;
        opened_begin(&o, *model);
        char q[80], end[80];
        int last = (int)o.f.m->cfg.n_layers - 1;
        struct sweep_want w = want_of(&o, NULL);
        const char *set = "blocks.{layer}.attn.hook_z[:, {head}] = from(clean)", *to = end;
        w.set = &set, w.n_set = 1, w.receivers = &to, w.n_receivers = 1;
        snprintf(end, sizeof end, "blocks.%d.hook_resid_post", last);
        sweep_and_check(&o, &w, "path.out", *model);
        w.freeze_mlp = true;
        sweep_and_check(&o, &w, "path.out.mlp", *model);
        w.freeze_mlp = false;
        /* one receiver after the other: a further axis, behind those of the senders */
        to = q;
        snprintf(q, sizeof q, "blocks.%d.attn.hook_q[:, {to}]", last);
        struct sweep *s = open_sweep(o.f.m, &w);
        finish(s);
        const struct st_tensor *t = checkpoint_find(o.ref, "path.q");
        int32_t heads = o.f.m->cfg.n_heads, senders = o.f.m->cfg.n_layers * heads;
        float *v = values_of(s), *turned = malloc((size_t)(senders * heads) * sizeof *v);
        for (int32_t i = 0; i < senders; i++)
            for (int32_t h = 0; h < heads; h++)
                turned[h * senders + i] = v[i * heads + h];
        assert_true(fixture_error(turned, t->data, (size_t)(senders * heads)) <= 1e-5);
        free(v), free(turned);
        sweep_close(s);
        opened_end(&o);
    }
    fixture_names_free(names);
}

/* 0 is the prompt, 1 the other run; several prompts: their mean and its standard error. */
static void test_scores_and_sets(void **state)
{
    (void)state;
    struct opened o;
    opened_begin(&o, "gpt2");
    struct pair_prompt own = {.name = "clean", .tokens = o.f.tokens, .n = o.f.n};
    struct sweep_prompt two[2] = {o.prompt,
                                  {run_ids(o.clean, o.n_clean), &own, 1, o.prompt.metric}};
    struct sweep_want w = want_of(&o, "z_all_pos");
    double base = number_of(o.ref, "base"), clean = number_of(o.ref, "clean");
    const float *there = checkpoint_find(o.ref, "z_all_pos")->data,
                *back = checkpoint_find(o.ref, "back.z_all_pos")->data;
    w.normalize = "clean";
    struct sweep *s = open_sweep(o.f.m, &w);
    finish(s);
    double sides[2], error;
    sweep_sides(s, &sides[0], &sides[1]);
    assert_true(fabs(sides[0] - base) < 1e-5 && fabs(sides[1] - clean) < 1e-5);
    assert_true(sweep_base(s) == 0);
    for (int32_t i = 0; i < sweep_cells(s); i++)
        assert_true(fabs(sweep_value(s, i, NULL) - ((double)there[i] - base) / (clean - base)) <
                    1e-4);
    sweep_close(s);
    w.normalize = NULL, w.prompts = two, w.n_prompts = 2;
    s = open_sweep(o.f.m, &w);
    finish(s);
    for (int32_t i = 0; i < sweep_cells(s); i++) {
        double mean = ((double)there[i] + (double)back[i]) / 2;
        assert_true(fabs(sweep_value(s, i, &error) - mean) < 1e-5);
        assert_true(fabs(error - fabs((double)there[i] - (double)back[i]) / 2) < 1e-5);
    }
    assert_true(fabs(sweep_base(s) - (base + clean) / 2) < 1e-5);
    sweep_close(s);
    opened_end(&o);
}

/* ---- order and interruptions ---- */

struct stopper {
    struct sweep *s;
    int left;
    int32_t order[64];
    int n;
    bool seen[64];
};

static int stop(void *user, struct err *e)
{
    struct stopper *t = user;
    for (int32_t i = 0; i < sweep_cells(t->s); i++)
        if (sweep_has(t->s, i) && !t->seen[i]) {
            t->seen[i] = true;
            t->order[t->n++] = i;
        }
    return t->left-- > 0 ? 0 : err_set(e, ERR_CANCELLED, "cancelled");
}

static void test_order(void **state)
{
    (void)state;
    struct opened o;
    opened_begin(&o, "gpt2");
    struct sweep_want w = want_of(&o, "z_all_pos");
    struct sweep *s = open_sweep(o.f.m, &w);
    int32_t n = sweep_cells(s);
    double score[64];
    assert_true(n < 64);
    for (int32_t i = 0; i < n; i++)
        score[i] = i == 2 ? NAN : (i % 2 ? -1.0 : 1.0) * (double)(i * 7 % n);
    struct err e = {0};
    assert_int_equal(sweep_order(s, score, &e), 0);
    struct stopper t = {.s = s, .left = 3};
    assert_int_equal(sweep_step(s, SWEEP_CELLS_MAX, stop, &t, &e), ERR_CANCELLED);
    assert_int_equal(sweep_done(s), 4);
    while (sweep_done(s) < n) { /* stopped again and again, a cell or some later */
        t.left = (int)(sweep_done(s) % 2);
        int32_t before = sweep_done(s);
        int rc = sweep_step(s, SWEEP_CELLS_MAX, stop, &t, &e);
        assert_true(rc == 0 || rc == ERR_CANCELLED);
        assert_true(sweep_done(s) > before);
    }
    assert_int_equal(t.n, n);
    for (int i = 1; i < n; i++)
        assert_true(isnan(score[t.order[i]]) ||
                    fabs(score[t.order[i]]) <= fabs(score[t.order[i - 1]]));
    assert_int_equal(t.order[n - 1], 2);
    check_values(s, &o, "z_all_pos", "gpt2");
    sweep_close(s);
    /* some cells at a time */
    s = open_sweep(o.f.m, &w);
    for (int32_t done = 0; done < n; done = sweep_done(s)) {
        assert_int_equal(sweep_step(s, 2, NULL, NULL, &e), 0);
        assert_true(sweep_done(s) == done + 2 || sweep_done(s) == n);
    }
    check_values(s, &o, "z_all_pos", "gpt2");
    sweep_close(s);
    opened_end(&o);
}

/* ---- prompts of other lengths ---- */

static void test_align(void **state)
{
    (void)state;
    static const int32_t a[] = {3, 17, 42, 8, 29}, b[] = {3, 9, 17, 40, 41, 29, 8, 8, 29};
    int32_t map[9];
    struct err e = {0};
    assert_int_equal(token_align(a, 5, b, 9, TOKEN_ALIGN_TOKEN, map, &e), 0);
    /* common: 3 17 8 29; nothing stands for 42 among 40 41 29 8 */
    assert_true(map[0] == 0 && map[1] == 2 && map[2] == -1 && map[3] == 7 && map[4] == 8);
    assert_int_equal(token_align(b, 9, a, 5, TOKEN_ALIGN_TOKEN, map, &e), 0);
    assert_true(map[0] == 0 && map[1] == -1 && map[2] == 1 && map[3] == -1 && map[8] == 4);
    assert_int_equal(token_align(a, 5, b, 9, TOKEN_ALIGN_END, map, &e), 0);
    assert_true(map[0] == 4 && map[4] == 8);
    assert_int_equal(token_align(b, 9, a, 5, TOKEN_ALIGN_INDEX, map, &e), 0);
    assert_true(map[4] == 4 && map[5] == -1);
    enum token_align how;
    assert_int_equal(token_align_parse("token", &how, &e), 0);
    assert_int_equal(how, TOKEN_ALIGN_TOKEN);
    assert_int_equal(token_align_parse("middle", &how, &e), ERR_USAGE);
}

/* What one cell says is what the same edits say of a fork. */
static double fork_metric(const struct opened *o, struct run *base, struct run *source,
                          const char *const *texts, int32_t n)
{
    struct edit_program *p = fixture_program(o->f.m, run_length(base), texts, n);
    struct run *fork = fixture_run_new(o->f.m, base, CACHE);
    struct metric m;
    struct err e = {0};
    double v = NAN;
    if (run_sync(fork, (struct run_input){0}, p, &source, NULL, &e) ||
        metric_parse(&m, o->prompt.metric, o->f.m->tok, o->f.m->cfg.d_vocab, &e) ||
        metric_value(&m, fork, base, &v, &e))
        fail_msg("%s", e.text);
    run_free(fork);
    edit_program_free(p);
    return v;
}

static void test_lengths(void **state)
{
    (void)state;
    struct opened o;
    opened_begin(&o, "llama");
    const int32_t longer[] = {3,  5,  17, 11, 8, 26,
                              29, 44, 17, 2,  42}; /* two more than the prompt */
    int32_t n = o.f.n, more = 11 - n;
    o.runs[0] = (struct pair_prompt){.name = "clean", .tokens = longer, .n = 11};
    struct sweep_want w = want_of(&o, "resid_pre");
    struct sweep *s = NULL;
    struct err e = {0};
    s = open_sweep(o.f.m, &w);
    assert_int_equal(sweep_step(s, 1, NULL, NULL, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "run clean has 11 tokens, the prompt 9"));
    sweep_close(s);
    struct run *base = fixture_run_new(o.f.m, NULL, CACHE),
               *other = fixture_run_new(o.f.m, NULL, CACHE);
    assert_int_equal(run_sync(base, run_ids(o.f.tokens, n), NULL, NULL, NULL, &e), 0);
    assert_int_equal(run_sync(other, run_ids(longer, 11), NULL, NULL, NULL, &e), 0);
    w.align = TOKEN_ALIGN_END;
    s = open_sweep(o.f.m, &w);
    finish(s);
    for (int32_t i = 0; i < sweep_cells(s); i += 5) {
        char text[100];
        const char *texts[] = {text};
        snprintf(text, sizeof text, "blocks.%d.hook_resid_pre[%d] = from(clean, pos=%d)",
                 (int)(i / n), (int)(i % n), (int)(i % n + more));
        assert_true(sweep_value(s, i, NULL) == fork_metric(&o, base, other, texts, 1));
    }
    sweep_close(s);
    /* all positions at once: each from its own */
    w.kind = "z_all_pos", w.align = TOKEN_ALIGN_TOKEN;
    int32_t map[16];
    assert_int_equal(token_align(o.f.tokens, n, longer, 11, TOKEN_ALIGN_TOKEN, map, &e), 0);
    s = open_sweep(o.f.m, &w);
    finish(s);
    char lines[16][100];
    const char *texts[16];
    int32_t count = 0;
    for (int32_t p = 0; p < n; p++)
        if (map[p] >= 0) {
            snprintf(lines[count], sizeof lines[0],
                     "blocks.1.attn.hook_z[%d, 2] = from(clean, pos=%d)", (int)p, (int)map[p]);
            texts[count] = lines[count];
            count++;
        }
    assert_true(sweep_value(s, o.f.m->cfg.n_heads + 2, NULL) ==
                fork_metric(&o, base, other, texts, count));
    sweep_close(s);
    w.kind = "pattern";
    s = open_sweep(o.f.m, &w);
    assert_int_equal(sweep_step(s, 1, NULL, NULL, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "patterns have two positions"));
    sweep_close(s);
    run_free(other), run_free(base);
    opened_end(&o);
}

/* Prompts of two lengths: their positions are paired, and cells without a pair are one prompt's. */
static void test_prompts_of_lengths(void **state)
{
    (void)state;
    struct opened o;
    opened_begin(&o, "gpt2");
    struct sweep_prompt two[2] = {o.prompt, o.prompt};
    two[1].input.n -= 2, two[1].n_runs = two[0].n_runs = 0;
    struct sweep_want w = want_of(&o, "mlp_out"), one = w;
    w.prompts = two, w.n_prompts = 2;
    struct sweep *s = NULL, *alone[2];
    struct err e = {0};
    assert_int_equal(sweep_open(&s, o.f.m, &w, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "prompt 2 has 7 tokens, the first one 9"));
    one.with = w.with = "zero";
    for (int k = 0; k < 2; k++) {
        one.prompts = &two[k];
        alone[k] = open_sweep(o.f.m, &one);
        finish(alone[k]);
    }
    w.align = TOKEN_ALIGN_END;
    s = open_sweep(o.f.m, &w);
    finish(s);
    const struct sweep_axis *axes;
    assert_int_equal(sweep_axes(s, &axes), 2);
    assert_int_equal(axes[1].size, 7);
    assert_int_equal(sweep_position(s, 1, 0), 2);
    for (int32_t i = 0; i < sweep_cells(s); i++) {
        int32_t layer = i / 7, pos = i % 7;
        double mean = (sweep_value(alone[0], layer * 9 + pos + 2, NULL) +
                       sweep_value(alone[1], layer * 7 + pos, NULL)) /
                      2;
        assert_true(fabs(sweep_value(s, i, NULL) - mean) < 1e-12);
    }
    sweep_close(s);
    w.align = TOKEN_ALIGN_TOKEN; /* the last two have none */
    s = open_sweep(o.f.m, &w);
    finish(s);
    assert_true(sweep_value(s, 8, NULL) == sweep_value(alone[0], 8, NULL));
    sweep_close(s), sweep_close(alone[0]), sweep_close(alone[1]);
    opened_end(&o);
}

/* ---- edits with holes ---- */

static void test_holes(void **state)
{
    (void)state;
    struct opened o;
    opened_begin(&o, "gpt2");
    static const char *const together[] = {
        "blocks.{L=0,1}.attn.hook_z[:, {H}] = 0",
        "blocks.{L}.hook_mlp_out[{p=-1..-1}] *= {times=0.5|1|2}"};
    struct sweep_want w = want_of(&o, NULL);
    w.set = together, w.n_set = 2;
    struct sweep *s = open_sweep(o.f.m, &w);
    const struct sweep_axis *axes;
    char text[300];
    assert_int_equal(sweep_axes(s, &axes), 4);
    static const char *const names[] = {"L", "H", "p", "times"};
    static const int32_t sizes[] = {2, 3, 1, 3};
    for (int i = 0; i < 4; i++) {
        assert_string_equal(axes[i].name, names[i]);
        assert_int_equal(axes[i].size, sizes[i]);
    }
    assert_true(axes[0].role == SWEEP_LAYER && axes[1].role == SWEEP_INDEX &&
                axes[2].role == SWEEP_POS && axes[3].role == SWEEP_CHOICE);
    sweep_cell_text(s, 17, text, sizeof text);
    assert_string_equal(text, "blocks.1.attn.hook_z[:, 2] = 0\nblocks.1.hook_mlp_out[8] *= 2");
    finish(s);
    struct run *base = fixture_run_new(o.f.m, NULL, CACHE);
    struct err e = {0};
    assert_int_equal(run_sync(base, run_ids(o.f.tokens, o.f.n), NULL, NULL, NULL, &e), 0);
    const char *texts[] = {"blocks.1.attn.hook_z[:, 2] = 0", "blocks.1.hook_mlp_out[8] *= 2"};
    assert_true(sweep_value(s, 17, NULL) == fork_metric(&o, base, NULL, texts, 2));
    sweep_close(s);
    /* components; one choice is no axis; edits of every cell stand before the cell's */
    static const char *const parts[] = {
        "blocks.{at=0.attn.hook_z[:, 1]|1.hook_mlp_out|0.hook_mlp_out[-1, {1,4}]} *= {x=0}"};
    struct edit *every[1];
    assert_int_equal(edit_parse(&every[0], "blocks.1.attn.hook_z[:, 2] = 0", &e), 0);
    w.set = parts, w.n_set = 1, w.edits = every, w.n_edits = 1;
    s = open_sweep(o.f.m, &w);
    assert_int_equal(sweep_axes(s, &axes), 1);
    assert_int_equal(axes[0].size, 3);
    finish(s);
    const char *last[] = {"blocks.1.attn.hook_z[:, 2] = 0",
                          "blocks.0.hook_mlp_out[-1, {1,4}] *= 0"};
    assert_true(sweep_value(s, 2, NULL) == fork_metric(&o, base, NULL, last, 2));
    assert_true(sweep_base(s) == fork_metric(&o, base, NULL, last, 1));
    sweep_close(s);
    edit_free(every[0]);
    run_free(base);
    opened_end(&o);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *set, *with, *over, *receiver, *message;
    } bad[] = {
        {"zz", NULL, NULL, NULL, NULL, "no kind \"zz\" · the nearest is z"},
        {NULL, NULL, NULL, NULL, NULL, "--kind KIND or --set EDIT"},
        {"z", "blocks.0.hook_mlp_out = 0", NULL, NULL, NULL, "--kind and --set"},
        {NULL, "blocks.0.hook_mlp_out *= {x}", NULL, NULL, NULL, "say: {x=1,2,5..8}"},
        {NULL, "blocks.{layer}.hook_nothing[{pos}] = 0", NULL, NULL, NULL, "hook_nothing"},
        {NULL, "blocks.{layer}.hook_mlp_out[{a=1,2}, {a=3}] = 0", NULL, NULL, NULL, "given twice"},
        {NULL, "blocks.{layer}.hook_mlp_out[{a=9..1}] = 0", NULL, NULL, NULL, "runs upwards"},
        {NULL, "blocks.{layer}.hook_mlp_out[{a=1,,2}] = 0", NULL, NULL, NULL, "empty choice"},
        {NULL, "blocks.{layer}.hook_mlp_out[{a=0..99}] = 0", NULL, NULL, NULL, "positions -9..8"},
        {NULL, "blocks.{layer=0..7}.hook_mlp_out = 0", NULL, NULL, NULL, "blocks.7"},
        {"z", NULL, "nonsense(", NULL, NULL, "nonsense"},
        {"z", NULL, NULL, "neuron=3", NULL, "nothing here has a hole {neuron}"},
        {"z", NULL, NULL, "pos", NULL, "NAME=CHOICES"},
        {"q_all_pos", NULL, NULL, NULL, "blocks.1.hook_resid_post", "acts through attention"},
        {"block_every", NULL, NULL, NULL, "blocks.1.hook_resid_post", "path patching of a bundle"},
        {"z_all_pos", NULL, NULL, NULL, "blocks.1.hook_nothing", "hook_nothing"}};
    struct opened o;
    opened_begin(&o, "gpt2");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sweep_want w = want_of(&o, bad[i].kind);
        struct sweep *s = NULL;
        struct err e = {0};
        w.set = &bad[i].set, w.n_set = bad[i].set != NULL;
        w.with = bad[i].with;
        w.choose = (struct sweep_choose){&bad[i].over, bad[i].over != NULL};
        w.receivers = &bad[i].receiver, w.n_receivers = bad[i].receiver != NULL;
        int rc = sweep_open(&s, o.f.m, &w, &e);
        assert_true(rc == ERR_BAD_INPUT || rc == ERR_USAGE);
        if (!strstr(e.text, bad[i].message))
            fail_msg("%d: %s", (int)i, e.text);
        assert_null(s);
    }
    opened_end(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kinds),
                                       cmocka_unit_test(test_values_put_there),
                                       cmocka_unit_test(test_metrics),
                                       cmocka_unit_test(test_paths),
                                       cmocka_unit_test(test_scores_and_sets),
                                       cmocka_unit_test(test_order),
                                       cmocka_unit_test(test_align),
                                       cmocka_unit_test(test_lengths),
                                       cmocka_unit_test(test_prompts_of_lengths),
                                       cmocka_unit_test(test_holes),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
