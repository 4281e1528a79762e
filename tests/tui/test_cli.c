/* test_cli.c - what the commands print, against the reference values of the fixtures. */
#include "command.h"
#include "../backend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "cli.h"
#include "fixture.h"

#define MODELS "tests/fixtures/models/"
#define GPT2 MODELS "gpt2"
#define TOKENIZER "tests/fixtures/tokenizers/gpt2/tokenizer.json"

/* ------------------------------------------------------------------ hooks */

static void hooks_of(const struct fixture *f, const char *path, const char *const input[2])
{
    struct js_doc *doc = RUN_JSON("hooks", path, input[0], input[1], "--json");
    struct js_doc *fired = fixture_json(f->ref, "fired"),
                  *registered = fixture_json(f->ref, "registered");
    size_t n = js_count(js_root(doc)), at = 0, known = 0;
    for (size_t i = 0; i < n; i++) {
        struct js_node h = js_at(js_root(doc), i), shape = js_get(h, "shape");
        const char *name = json_string(h, "name");
        assert_int_equal(js_count(shape), js_count(js_get(h, "dims")));
        for (size_t k = 0; k < js_count(js_root(registered)); k++)
            known += !strcmp(name, json_string_at(js_root(registered), k));
        if (!json_bool(h, "fires")) {
            assert_true(strlen(json_string(h, "needs")) > 0);
            continue;
        }
        assert_false(js_is_set(js_get(h, "needs")));
        assert_string_equal(name, json_string_at(js_root(fired), at++)); /* in firing order */
        const struct st_tensor *t = checkpoint_find(f->ref, name);
        assert_int_equal(js_count(shape), t->rank);
        for (int d = 0; d < t->rank; d++)
            assert_true(json_number_at(shape, (size_t)d) == (double)t->shape[d]);
    }
    assert_int_equal(at, js_count(js_root(fired)));
    assert_int_equal(known, js_count(js_root(registered)));
    assert_int_equal(n, known + !f->image); /* and hook_tokens */
    js_close(doc), js_close(fired), js_close(registered);
}

/* Switched on, the others stand where the library fires them, in its shapes. */
static void hooks_on_request_of(const struct fixture *f, const char *path,
                                const char *const input[2])
{
    if (!checkpoint_metadata(f->ref, "fired_when_requested"))
        return;
    struct js_doc *doc = RUN_JSON("hooks", path, input[0], input[1], "--json");
    struct js_doc *order = fixture_json(f->ref, "fired_when_requested"),
                  *requested = fixture_json(f->ref, "requested");
    size_t at = 0, shapes = 0;
    for (size_t i = 0; i < js_count(js_root(doc)); i++) {
        struct js_node h = js_at(js_root(doc), i), shape = js_get(h, "shape");
        const char *name = json_string(h, "name");
        /* the library's hook_attn_in gives way to the split inputs, and is not there for grouped
         * heads */
        if (!strstr(name, "hook_attn_in") &&
            !(f->m->cfg.bidirectional && !strcmp(name, "hook_tokens"))) /* not an encoder's */
            assert_string_equal(name, json_string_at(js_root(order), at++));
        for (size_t k = 0; k < js_count(js_root(requested)); k++) {
            if (strcmp(name, json_string_at(js_root(requested), k)) != 0)
                continue;
            const struct st_tensor *t = checkpoint_find(f->ref, name);
            assert_int_equal(js_count(shape), t->rank);
            for (int d = 0; d < t->rank; d++)
                assert_true(json_number_at(shape, (size_t)d) == (double)t->shape[d]);
            shapes++;
        }
    }
    assert_int_equal(at, js_count(js_root(order)));
    assert_int_equal(shapes, js_count(js_root(requested)));
    js_close(doc), js_close(order), js_close(requested);
}

static void hooks_are_the_library_s_names_shapes_and_order(void **state)
{
    (void)state;
    on_every_model(hooks_of);
    on_every_model(hooks_on_request_of);
}

static void hooks_need_a_config_only(void **state)
{
    (void)state;
    size_t len;
    char *folder = folder_make(), *config = file_read(GPT2 "/config.json", &len),
         *path = folder_path(folder, "config.json");
    FILE *f = fopen(path, "wbe");
    assert_true(f && fwrite(config, 1, len, f) == len && fclose(f) == 0);
    struct js_doc *doc = RUN_JSON("hooks", folder, "--filter", "blocks.2.attn.hook_{z,pattern}",
                                  "--json");
    assert_int_equal(js_count(js_root(doc)), 2);
    struct js_node pattern = js_at(js_root(doc), 0), shape = js_get(pattern, "shape");
    assert_string_equal(json_string(pattern, "name"), "blocks.2.attn.hook_pattern");
    assert_string_equal(json_string_at(shape, 0), "batch");
    assert_true(json_number_at(shape, 1) == 3);
    assert_string_equal(json_string_at(shape, 2), "pos");
    assert_string_equal(json_string_at(js_get(pattern, "dims"), 3), "src");
    js_close(doc);
    struct js_doc *info = RUN_JSON("info", folder, "--json");
    assert_int_equal(json_int(js_root(info), "layers"), 3);
    assert_false(js_is_set(js_get(js_root(info), "parameters")));
    js_close(info);
    struct js_doc *plan = RUN_JSON("plan", folder, "--tokens", "1,2,3", "--json");
    assert_int_equal(json_int(js_root(plan), "positions"), 3);
    assert_true(json_number(js_root(plan), "flops") > 0);
    size_t calls = 0, unwritten = 0;
    struct js_node steps = js_get(js_root(plan), "steps");
    int stage = -1, last = -1;
    for (size_t i = 0; i < js_count(steps); i++) {
        struct js_node step = js_at(steps, i), call = js_get(step, "call");
        last = json_int(step, "stage") == stage ? last : -1;
        stage = (int)json_int(step, "stage");
        if (js_is_set(call))
            calls += json_int(step, "call") > last, last = (int)json_int(step, "call");
        unwritten += !json_bool(step, "written");
    }
    assert_int_equal(json_int(js_root(plan), "calls"), calls);
    assert_true(calls > 0 && unwritten > 0 && calls + unwritten < js_count(steps));
    js_close(plan);
    struct result table = RUN("plan", folder, "--tsv");
    assert_non_null(strstr(table.out, "hook_normalized\tnormalize\t"));
    assert_non_null(strstr(table.out, "\t0~\t"));
    result_free(&table);
    assert_refused(RUN("lens", folder, "--tokens", "1"), 1, "safetensors");
    free(config), free(path);
    folder_remove(folder);
}

/* ------------------------------------------------------------------ lens, norms, attn */

static void lens_of(const struct fixture *f, const char *path, const char *const input[2])
{
    struct js_doc *doc = RUN_JSON("lens", path, input[0], input[1], "-k", "4", "--target", "7",
                                  "--json");
    struct js_node layers = js_get(js_root(doc), "layers");
    size_t n = js_count(layers);
    assert_int_equal(n, f->m->cfg.n_layers + 1);
    assert_string_equal(json_string(js_at(layers, 0), "name"),
                        site_exists(&f->m->cfg, SITE_FULL_EMBED) ? "hook_full_embed"
                        : f->m->cfg.pos == POS_LEARNED           ? "blocks.0.hook_resid_pre"
                                                                 : "hook_embed");
    const float *logits = checkpoint_find(f->ref, "logits")->data;
    int32_t vocab = f->m->cfg.d_vocab;
    struct js_node cells = js_get(js_at(layers, n - 1), "cells");
    assert_int_equal(js_count(cells), f->n);
    for (int32_t p = 0; p < f->n; p++, logits += vocab) {
        struct js_node cell = js_at(cells, (size_t)p), best = js_at(js_get(cell, "top"), 0);
        double sum = 0, entropy = 0;
        int above = 0;
        for (int32_t v = 0; v < vocab; v++) {
            sum += exp(logits[v]);
            above += logits[v] > logits[7];
        }
        for (int32_t v = 0; v < vocab; v++)
            entropy -= exp(logits[v]) / sum * (logits[v] - log(sum));
        assert_true(fabs(json_number(cell, "entropy") - entropy) < 1e-4);
        assert_true(fabs(json_number(cell, "target_logprob") - (logits[7] - log(sum))) < 1e-4);
        assert_int_equal(json_int(cell, "rank"), above);
        assert_true(fabs(json_number(best, "logit") - logits[json_int(best, "id")]) < 1e-4);
        assert_true(fabs(json_number(best, "logprob") - (logits[json_int(best, "id")] - log(sum))) <
                    1e-4);
        assert_int_equal(js_count(js_get(cell, "top")), 4);
    }
    js_close(doc);
}

static void the_last_lens_column_is_the_output(void **state)
{
    (void)state;
    on_every_model(lens_of);
}

static void norms_and_patterns_of(const struct fixture *f, const char *path,
                                  const char *const input[2])
{
    struct js_doc *norms = RUN_JSON("norms", path, input[0], input[1], "--what",
                                    "blocks.0.hook_attn_out", "--json");
    struct js_node site = js_at(js_get(js_root(norms), "sites"), 0);
    const struct st_tensor *t = checkpoint_find(f->ref, "blocks.0.hook_attn_out");
    const float *v = t->data;
    for (int32_t p = 0; p < f->n; p++, v += t->shape[2]) {
        double square = 0;
        for (int64_t i = 0; i < t->shape[2]; i++)
            square += (double)v[i] * v[i];
        assert_true(fabs(json_number_at(js_get(site, "norms"), (size_t)p) - sqrt(square)) <
                    1e-5 * (1 + sqrt(square)));
    }
    js_close(norms);
    struct js_doc *attn = RUN_JSON("attn", path, input[0], input[1], "-l", "0", "--json");
    struct js_node heads = js_get(js_root(attn), "heads");
    v = checkpoint_find(f->ref, "blocks.0.attn.hook_pattern")->data;
    assert_int_equal(js_count(heads), f->m->cfg.n_heads);
    for (size_t h = 0; h < js_count(heads); h++) {
        struct js_node head = js_at(heads, h), scores = js_get(head, "scores");
        double previous = 0;
        for (int32_t d = 0; d < f->n; d++)
            for (int32_t s = 0; s < f->n; s++, v++) {
                assert_true(
                    fabs(json_number_at(js_at(js_get(head, "pattern"), (size_t)d), (size_t)s) -
                         *v) < 1e-5);
                previous += d > 0 && s == d - 1 ? *v : 0;
            }
        assert_true(fabs(json_number(scores, "previous") - previous / (f->n - 1)) < 1e-5);
        assert_true(json_number(scores, "entropy") >= 0);
    }
    js_close(attn);
}

static void norms_and_patterns_are_the_library_s(void **state)
{
    (void)state;
    on_every_model(norms_and_patterns_of);
}

static void attention_can_be_drawn(void **state)
{
    (void)state;
    size_t len;
    char *folder = folder_make(), *file = folder_path(folder, "a.png");
    struct result r = RUN("attn", GPT2, "--tokens", "1,2,3,4", "--png", file);
    assert_int_equal(r.status, 0);
    result_free(&r);
    char *png = file_read(file, &len);
    assert_memory_equal(png, "\211PNG\r\n\032\n", 8);
    free(png), free(file);
    folder_remove(folder);
    r = RUN("attn", GPT2, "--tokens", "1,2,3,4", "-H", "0", "--tsv", "-e",
            "blocks.0.attn.hook_pattern[0, 1, 3] = 0.5"); /* an edge that the edit makes */
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "\n0\t1\t3\t"));
    assert_null(strstr(r.out, "\n0\t1\t2\t"));
    result_free(&r);
    r = RUN("attn", GPT2, "--tokens", "1,2,3,4", "--sixel");
    assert_true(r.status == 0 && !strncmp(r.out, "\033P", 2) && strstr(r.out, "\033\\"));
    result_free(&r);
    r = RUN("attn", GPT2, "--tokens", "1,2,3,4", "--ansi");
    assert_true(r.status == 0 && strstr(r.out, "\033[") && strstr(r.out, "L0H2"));
    result_free(&r);
    r = RUN("attn", GPT2, "--tokens", "1,2,3,4", "-H", "1"); /* a map in characters, no colour */
    assert_true(r.status == 0 && !strchr(r.out, '\033') && strstr(r.out, "█"));
    result_free(&r);
}

static void tables_come_as_tsv(void **state)
{
    (void)state;
    static const char *const commands[] = {"hooks", "run",  "lens", "norms",
                                           "attn",  "plan", "check"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        struct result r = RUN(commands[i], GPT2, "--tokens", "1,2,3", "--tsv");
        assert_int_equal(r.status, 0);
        if (strcmp(test_backend(), "cpu") == 0) /* of a device its memory is told there */
            assert_int_equal(r.err_len, 0);
        int tabs = 0, n = 0;
        char *rest;
        for (char *line = strtok_r(r.out, "\n", &rest); line;
             line = strtok_r(NULL, "\n", &rest), n++) {
            int count = 0;
            for (char *p = line; *p; p++)
                count += *p == '\t';
            if (n == 0)
                tabs = count;
            assert_int_equal(count, tabs); /* every line has the header's fields */
        }
        assert_true(tabs >= 2 && n >= 2);
        result_free(&r);
    }
}

/* ------------------------------------------------------------------ tokens, generate */

static void tokens_go_both_ways(void **state)
{
    (void)state;
    static const char *const texts[] = {"Hello world", " leading and trailing ",
                                        "wörld 🙂 日本", "a\n\nb\tc", ""};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct result r = command_run(
            texts[i], (const char *const[]){"tokens", TOKENIZER, "--stdin", "--json", NULL});
        assert_int_equal(r.status, 0);
        struct js_doc *doc = js_parse("out", r.out, r.out_len, NULL);
        struct js_node ids = js_get(js_root(doc), "ids");
        assert_int_equal(js_count(ids), js_count(js_get(js_root(doc), "tokens")));
        struct bytes list = {0};
        bytes_add_string(&list, "");
        for (size_t k = 0; k < js_count(ids); k++)
            bytes_addf(&list, "%s%d", k ? " " : "", (int)json_number_at(ids, k));
        struct js_doc *back = RUN_JSON("tokens", TOKENIZER, "-p", list.data, "--decode", "--json");
        bytes_free(&list);
        assert_string_equal(json_string(js_root(back), "text"), texts[i]);
        js_close(back);
        js_close(doc);
        result_free(&r);
    }
}

/* The pieces that come one by one are the text decoded at once; parts of characters wait for their
 * rest. */
static void text_streams_as_it_decodes(void **state)
{
    (void)state;
    int broken = 0;
    for (int seed = 1; seed <= 12; seed++) {
        char number[12];
        snprintf(number, sizeof number, "%d", seed);
        struct js_doc *doc = RUN_JSON("generate", "teach", "-p", "Naïve 🙂", "-n", "40",
                                      "--temperature", "2", "--seed", number, "--json");
        struct result r = RUN("generate", "teach", "-p", "Naïve 🙂", "-n", "40", "--temperature",
                              "2", "--seed", number);
        assert_int_equal(r.status, 0);
        assert_printable(r.out, r.out_len);
        /* Bytes that are no text are <XX> on the terminal and U+FFFD in JSON: equal up to the first
         * of them. */
        const char *text = json_string(js_root(doc), "text"), *bad = strstr(text, "\357\277\275");
        struct bytes shown = {0};
        cli_plain_text(&shown, text, bad ? (size_t)(bad - text) : strlen(text));
        broken += bad != NULL;
        if (strncmp(shown.data, r.out, shown.len) || (!bad && r.out[shown.len]))
            fail_msg("seed %d: \"%s\" and \"%s\"", seed, shown.data, r.out);
        bytes_free(&shown);
        result_free(&r);
        js_close(doc);
    }
    assert_true(broken < 12); /* the whole was compared at least once */
    struct js_doc *plain = RUN_JSON("generate", "teach", "-p", "One day", "-n", "20", "--json");
    struct js_doc *varied = RUN_JSON("generate", "teach", "-p", "One day", "-n", "20",
                                     "--repetition-penalty", "1000", "--json");
    for (size_t i = 0; i < 20; i++) /* so high a penalty lets no token come twice */
        for (size_t k = 0; k < i; k++)
            assert_true(json_int(js_at(js_get(js_root(varied), "generated"), i), "id") !=
                        json_int(js_at(js_get(js_root(varied), "generated"), k), "id"));
    assert_string_not_equal(json_string(js_root(plain), "text"),
                            json_string(js_root(varied), "text"));
    js_close(plain);
    js_close(varied);
    struct result a = RUN("generate", "teach", "-p", "The day after Monday is", "-n", "8"),
                  b = RUN("generate", "teach", "-p", "The day after Monday is", "-n", "8",
                          "--cache-mb", "0", "--threads", "1");
    assert_string_equal(a.out, b.out);
    assert_int_equal(strncmp(a.out, "The day after Monday is", 23), 0);
    result_free(&a);
    result_free(&b);
}

static void long_prompts_are_noted_where_they_can_run(void **state)
{
    (void)state;
    struct result r = RUN("norms", MODELS "llama_dynamic", "--tokens", "1,2,3,4,5,6,7,8", "--tsv");
    assert_int_equal(r.status, 0);
    static const char
        note[] = "borescope: note: the prompt has 8 tokens, the model was trained on 7\n";
    const char *found = strstr(r.err, note); /* a device's memory is told in front of it */
    assert_non_null(found);
    assert_string_equal(found, note);
    assert_true(found == r.err || getenv("BORE_TEST_BACKEND"));
    result_free(&r);
}

static void every_instruction_set_and_budget_agrees(void **state)
{
    (void)state;
    struct result a = RUN("norms", GPT2, "--tokens", "1,2,3", "--tsv", "--cpu", "portable",
                          "--threads", "1"),
                  b = RUN("norms", GPT2, "--tokens", "1,2,3", "--tsv", "--cpu", "portable",
                          "--threads", "3", "--cache-mb", "0");
    assert_string_equal(a.out, b.out);
    result_free(&a);
    result_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hooks_are_the_library_s_names_shapes_and_order),
        cmocka_unit_test(hooks_need_a_config_only),
        cmocka_unit_test(the_last_lens_column_is_the_output),
        cmocka_unit_test(norms_and_patterns_are_the_library_s),
        cmocka_unit_test(attention_can_be_drawn),
        cmocka_unit_test(tables_come_as_tsv),
        cmocka_unit_test(tokens_go_both_ways),
        cmocka_unit_test(text_streams_as_it_decodes),
        cmocka_unit_test(long_prompts_are_noted_where_they_can_run),
        cmocka_unit_test(every_instruction_set_and_budget_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
