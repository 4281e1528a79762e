/* test_edit.c - the edit language as text: what parses, how it prints, what the messages say. */
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "edit_refused.h"

/* Parse `text`, compare what it prints, and check that printing is a fixpoint. */
static void prints_as(const char *text, const char *want)
{
    struct edit *ed = NULL, *again = NULL;
    struct err e = {0, ""};
    char got[LIMIT_EDIT_TEXT], twice[LIMIT_EDIT_TEXT];
    if (edit_parse(&ed, text, &e))
        fail_msg("%s: %s", text, e.text);
    int len = edit_print(ed, got, sizeof got);
    assert_int_equal(len, strlen(got));
    if (strcmp(got, want) != 0)
        fail_msg("%s\n  printed %s\n  wanted  %s", text, got, want);
    if (edit_parse(&again, got, &e))
        fail_msg("printed %s: %s", got, e.text);
    edit_print(again, twice, sizeof twice);
    assert_string_equal(twice, got);
    edit_free(ed);
    edit_free(again);
}

static void index_forms(void **state)
{
    (void)state;
    prints_as("blocks.9.attn.hook_z[-1, 9] = 0", "blocks.9.attn.hook_z[-1, 9] = 0");
    prints_as("  blocks.9.attn.hook_z [ -1 ,9 ]=0 ", "blocks.9.attn.hook_z[-1, 9] = 0");
    prints_as("hook_embed=1", "hook_embed = 1");
    prints_as("hook_embed[:]=1", "hook_embed[:] = 1");
    prints_as("hook_embed[:,1:]=1", "hook_embed[:, 1:] = 1");
    prints_as("hook_embed[:-2,:]=1", "hook_embed[:-2, :] = 1");
    prints_as("hook_embed[ -3 : -1 ]=1", "hook_embed[-3:-1] = 1");
    prints_as("hook_embed[::2,1::3]=1", "hook_embed[::2, 1::3] = 1");
    prints_as("hook_embed[0:8:1,::]=1", "hook_embed[0:8, :] = 1");
    prints_as("hook_embed[{1,4}]=1", "hook_embed[{1,4}] = 1");
    prints_as("hook_embed[{4..7}]=1", "hook_embed[{4..7}] = 1");
    prints_as("hook_embed[{ 0, 2 .. 5 ,-1}]=1", "hook_embed[{0,2..5,-1}] = 1");
    prints_as("hook_embed[{-3..end}]=1", "hook_embed[{-3..end}] = 1");
    prints_as("hook_embed[+3]=1", "hook_embed[3] = 1");
    prints_as("hook_embed[-0]=1", "hook_embed[0] = 1");
    prints_as("hook_embed[2147483647,-2147483647]=1", "hook_embed[2147483647, -2147483647] = 1");
    prints_as("blocks.9.attn.hook_z[pos=-1, head=9]=0", "blocks.9.attn.hook_z[pos=-1, head=9] = 0");
    prints_as("blocks.9.attn.hook_z[ head = {1,2} , pos = 2: ]=0",
              "blocks.9.attn.hook_z[head={1,2}, pos=2:] = 0");
    prints_as("blocks.9.attn.hook_z[-1, d_head=9]=0", "blocks.9.attn.hook_z[-1, d_head=9] = 0");
    prints_as("blocks.9.attn.hook_pattern[dest=end,src=0]=0",
              "blocks.9.attn.hook_pattern[dest=end, src=0] = 0");
    prints_as("hook_embed[end]=1", "hook_embed[end] = 1");
    prints_as("hook_embed[2:end]=1", "hook_embed[2:end] = 1");
}

static void token_anchors(void **state)
{
    (void)state;
    prints_as("hook_embed[pos=\"John\"]=1", "hook_embed[pos=\"John\"] = 1");
    prints_as("hook_embed[pos=\"John\"#2]=1", "hook_embed[pos=\"John\"#2] = 1");
    prints_as("hook_embed[pos=\"John\" # 2]=1", "hook_embed[pos=\"John\"#2] = 1");
    prints_as("hook_embed[\"John\"#1]=1", "hook_embed[\"John\"] = 1");
    prints_as("hook_embed[\"John\"#-1]=1", "hook_embed[\"John\"#-1] = 1");
    prints_as("hook_embed[\" John\":\"Mary\"#2]=1", "hook_embed[\" John\":\"Mary\"#2] = 1");
    prints_as("hook_embed[{\"a\",\"b\"..\"c\"}]=1", "hook_embed[{\"a\",\"b\"..\"c\"}] = 1");
    prints_as("hook_embed[\"a]b, #c\"]=1 # \"d", "hook_embed[\"a]b, #c\"] = 1");
    prints_as("hook_embed[\"\\\"\\\\\\n\\x00\\x7F\\xe9\"]=1",
              "hook_embed[\"\\\"\\\\\\n\\x00\\x7f\\xe9\"] = 1");
    prints_as("hook_embed[\"\\xc3\\xa9\"]=1", "hook_embed[\"\xc3\xa9\"] = 1");
    prints_as("hook_embed[\"caf\xc3\xa9 \xe2\x96\x81\xf0\x9f\x98\x80\"]=1",
              "hook_embed[\"caf\xc3\xa9 \xe2\x96\x81\xf0\x9f\x98\x80\"] = 1");
    prints_as("hook_embed[\"\xff\xc3(\"]=1", "hook_embed[\"\\xff\\xc3(\"] = 1");
    prints_as("hook_embed[\"a\tb\nc\"]=1", "hook_embed[\"a\\x09b\\nc\"] = 1");
}

static void patterns(void **state)
{
    (void)state;
    prints_as("blocks.*.attn.hook_z = 0", "blocks.*.attn.hook_z = 0");
    prints_as("blocks.{4..7}.hook_mlp_out = mean()", "blocks.{4..7}.hook_mlp_out = mean()");
    prints_as("blocks.{0, 2 .. 5}.hook_{resid_{pre, post},attn_out} = 0",
              "blocks.{0,2..5}.hook_{resid_{pre,post},attn_out} = 0");
    prints_as("blocks.[0-3].attn.hook_z[-1] = 0", "blocks.[0-3].attn.hook_z[-1] = 0");
    prints_as("blocks.[!0].attn.hook_[qk][-1] = 0", "blocks.[!0].attn.hook_[qk][-1] = 0");
    prints_as("blocks.?.hook_resid_p* = 0", "blocks.?.hook_resid_p* = 0");
    prints_as("* *= 2", "* *= 2");
    prints_as("hook_z[-1]*=2", "hook_z[-1] *= 2");
    prints_as("hook_z*=2", "hook_z *= 2");
}

static void values(void **state)
{
    (void)state;
    prints_as("x = -0", "x = -0");
    prints_as("x += +3", "x += 3");
    prints_as("x-=-3", "x -= -3");
    prints_as("x *= .5", "x *= 0.5");
    prints_as("x = 5.", "x = 5");
    prints_as("x = 1e-3", "x = 0.001");
    prints_as("x = 1E+10", "x = 1e+10");
    prints_as("x = 0x1.8p1", "x = 3");
    prints_as("x = 0.1", "x = 0.1");
    prints_as("x = 16777217", "x = 16777216");
    prints_as("x = 3.4028235e38", "x = 3.4028235e+38");
    prints_as("x = 1e-45", "x = 1e-45");
    prints_as("x = 1e-99", "x = 0");
    prints_as("x = inf", "x = inf");
    prints_as("x = -inf", "x = -inf");
    prints_as("x = -Infinity", "x = -inf");
    prints_as("x = nan", "x = nan");
    prints_as("x = -NaN", "x = nan");
    prints_as("x = from(corrupt)", "x = from(corrupt)");
    prints_as("x = from ( base-2.1 )", "x = from(base-2.1)");
    prints_as("x = from(\"corrupt\")", "x = from(corrupt)");
    prints_as("x = from(\"my run\")", "x = from(\"my run\")");
    prints_as("x += mean( )", "x += mean()");
    prints_as("x -= 0.5*from(a)", "x -= 0.5 * from(a)");
    prints_as("x += -1 * mean()", "x += -1 * mean()");
    prints_as("x += 1 * mean()", "x += mean()");
    prints_as("x += nan * mean()", "x += nan * mean()");
    prints_as("x = frozen", "x = frozen");
    prints_as("x = from(a , pos = -2 )", "x = from(a, pos=-2)");
    prints_as("x = from(\"a b\",pos=end)", "x = from(\"a b\", pos=-1)");
    prints_as("x = mean( ref )", "x = mean(ref)");
    prints_as("x -= .5*mean(\"a b\",pos=same)", "x -= 0.5 * mean(\"a b\", pos=same)");
    prints_as("x = mean(ref, pos= -3)", "x = mean(ref, pos=-3)");
    prints_as("x = mean(ref, pos=end)", "x = mean(ref, pos=-1)");
    prints_as("x=resample(ref)", "x = resample(ref, seed=0)");
    prints_as("x = resample(ref , pos=2, seed=-7)", "x = resample(ref, seed=-7, pos=2)");
    prints_as("x[4:] += 3*dir(\" Paris\",\" Rome\")", "x[4:] += 3 * dir(\" Paris\", \" Rome\")");
    prints_as("x -= dir( 5 , \"\\\"\" )", "x -= dir(5, \"\\\"\")");
    prints_as("x *= noise(.5)", "x *= noise(0.5, seed=0)");
    prints_as("x += 2*noise( 1e-1 , seed = -7 )", "x += 2 * noise(0.1, seed=-7)");
    prints_as("x = file(\"a b.safetensors\",\"v\")", "x = file(\"a b.safetensors\", \"v\")");
    prints_as("x=project_out( dir(\"a\",3) )", "x = project_out(dir(\"a\", 3))");
    prints_as("x = project_out(file(\"p\", \"t\"))", "x = project_out(file(\"p\", \"t\"))");
    /* taker's words are read as the operators that they are */
    prints_as("x = offset(file(\"p\", \"t\"))", "x += file(\"p\", \"t\")");
    prints_as("x[2:] = unoffset( dir(3,4) )", "x[2:] -= dir(3, 4)");
    prints_as("x = postbias(file(\"p\", \"t\"))", "x += file(\"p\", \"t\")");
    prints_as("x -= .5 * frozen#a", "x -= 0.5 * frozen");
    prints_as("x = clamp( -1.0 ,+1 )", "x = clamp(-1, 1)");
    prints_as("x=clamp(0,inf)", "x = clamp(0, inf)");
    prints_as("x[3, -1, 0] = 0 , renormalize # rows", "x[3, -1, 0] = 0, renormalize");
    prints_as("x *= 2 * from(a),renormalize", "x *= 2 * from(a), renormalize");
}

static void comments(void **state)
{
    (void)state;
    prints_as("x = 0 # zero \"x\"", "x = 0");
    prints_as("# first line\nx[1] = 0#no blank before", "x[1] = 0");
    prints_as("x = from(a)#b", "x = from(a)");
    prints_as("x = 0\r\n", "x = 0");
    prints_as("x[\"#\"#2] = 0 #2", "x[\"#\"#2] = 0");
}

/* Every float survives printing; the shortest form is chosen. */
static void numbers_round_trip(void **state)
{
    (void)state;
    uint32_t bits = 12345;
    for (int i = 0; i < 20000; i++) {
        bits = bits * 1664525u + 1013904223u;
        float f, back;
        memcpy(&f, &bits, sizeof f);
        char text[64], printed[64];
        struct edit *ed;
        struct err e;
        snprintf(text, sizeof text, "x = %.9g", (double)f);
        assert_int_equal(edit_parse(&ed, text, &e), 0);
        assert_in_range(edit_print(ed, printed, sizeof printed), 5, 4 + 15);
        edit_free(ed);
        back = strtof(printed + 4, NULL);
        assert_true(isnan(f) ? isnan(back) : memcmp(&f, &back, sizeof f) == 0);
    }
}

static void numbers_ignore_the_locale(void **state)
{
    (void)state;
    const char *const comma[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "nl_NL.UTF-8"};
    for (size_t i = 0; i < sizeof comma / sizeof *comma; i++)
        if (setlocale(LC_ALL, comma[i])) {
            prints_as("x = 0.5", "x = 0.5");
            setlocale(LC_ALL, "C");
            return;
        }
    printf("SKIP: no locale with a decimal comma is installed\n");
    skip();
}

static void bounds(void **state)
{
    (void)state;
    char text[LIMIT_EDIT_TEXT + 1], printed[LIMIT_EDIT_TEXT];
    struct edit *ed;
    struct err e;
    /* a comment may fill the text to the last byte, not one more */
    memset(text, '#', sizeof text);
    memcpy(text, "x = 0 ", 6);
    text[LIMIT_EDIT_TEXT - 1] = '\0';
    assert_int_equal(edit_parse(&ed, text, &e), 0);
    edit_free(ed);
    text[LIMIT_EDIT_TEXT - 1] = '#';
    text[LIMIT_EDIT_TEXT] = '\0';
    refused(text, "edit of 4096 bytes · at most 4095");
    /* a set as large as the text allows */
    size_t n = (size_t)snprintf(text, sizeof text, "x[{0");
    while (n + 2 + strlen("}] = 0") < LIMIT_EDIT_TEXT)
        n += (size_t)snprintf(text + n, sizeof text - n, ",%d", (int)(n % 10));
    snprintf(text + n, sizeof text - n, "}] = 0");
    prints_as(text, text);
    /* text that fits but whose printed form would not */
    n = (size_t)snprintf(text, sizeof text, "x[\"");
    memset(text + n, '\xff', 2000);
    snprintf(text + n + 2000, sizeof text - n - 2000, "\"] = 0");
    refused(text, "edit of 8009 bytes once printed · at most 4095");
    memset(text, 'a', LIMIT_PATTERN - 1);
    memcpy(text + LIMIT_PATTERN - 1, " = 0", 5);
    prints_as(text, text);
    memset(text, 'a', LIMIT_PATTERN);
    memcpy(text + LIMIT_PATTERN, " = 0", 5);
    refused(text, "hook pattern of 1024 bytes · at most 1023");
    /* a long run name; a buffer that is too small is cut, the length is told */
    n = (size_t)snprintf(text, sizeof text, "x = from(");
    memset(text + n, 'r', 4000);
    snprintf(text + n + 4000, sizeof text - n - 4000, ")");
    prints_as(text, text);
    assert_int_equal(edit_parse(&ed, text, &e), 0);
    assert_int_equal(edit_print(ed, printed, 8), 4010);
    assert_string_equal(printed, "x = fro");
    assert_int_equal(edit_print(ed, NULL, 0), 4010);
    struct edit *same = edit_copy(ed);
    edit_free(ed);
    assert_int_equal(edit_print(same, printed, sizeof printed), 4010);
    edit_free(same);
    edit_free(NULL);
}

/* ---- random edits: text with free spacing beside its canonical form
 * -------------------------------- */

static uint64_t seed;

static int roll(int n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (int)((seed >> 33) % (uint64_t)n);
}

struct two {
    char loose[LIMIT_EDIT_TEXT], strict[LIMIT_EDIT_TEXT];
    size_t n, m;
};

static void both(struct two *t, const char *s)
{
    t->n += (size_t)snprintf(t->loose + t->n, sizeof t->loose - t->n, "%s", s);
    t->m += (size_t)snprintf(t->strict + t->m, sizeof t->strict - t->m, "%s", s);
}

/* Blanks that mean nothing; `strict` is what is printed there. */
static void gap(struct two *t, const char *strict)
{
    static const char *const gaps[] = {"", " ", "  ", "\t", " \n "};
    t->n += (size_t)snprintf(t->loose + t->n, sizeof t->loose - t->n, "%s", gaps[roll(5)]);
    t->m += (size_t)snprintf(t->strict + t->m, sizeof t->strict - t->m, "%s", strict);
}

static void gen_place(struct two *t)
{
    static const char *const tokens[] = {"\"John\"", "\" Mary\"", "\"a\\\"]#,\"", "\"\\n\\x01\"",
                                         "\"\xc3\xa9\""};
    char s[32];
    gap(t, "");
    switch (roll(4)) {
    case 0: both(t, "end"); break;
    case 1:
        both(t, tokens[roll(5)]);
        if (roll(2)) {
            gap(t, "");
            both(t, "#");
            gap(t, "");
            snprintf(s, sizeof s, "%d", 2 + roll(5));
            both(t, s);
        }
        break;
    default: snprintf(s, sizeof s, "%d", roll(40) - 20); both(t, s);
    }
    gap(t, "");
}

static void gen_sel(struct two *t)
{
    char s[32];
    int n;
    switch (roll(3)) {
    case 0:
        if (roll(2))
            gen_place(t);
        both(t, ":");
        if (roll(2))
            gen_place(t);
        if (roll(2)) {
            snprintf(s, sizeof s, ":%d", 2 + roll(7));
            both(t, s);
        }
        break;
    case 1:
        both(t, "{");
        n = 1 + roll(4);
        for (int i = 0; i < n; i++) {
            both(t, i ? "," : "");
            gen_place(t);
            if (roll(3) == 0) {
                both(t, "..");
                gen_place(t);
            }
        }
        both(t, "}");
        break;
    default: gen_place(t);
    }
    gap(t, "");
}

static void gen_index(struct two *t)
{
    static const char *const dims[] = {"pos", "head", "d_head"};
    int n = roll(4), named = roll(n + 1);
    for (int i = 0; i < n; i++) {
        both(t, i ? "," : "[");
        gap(t, i ? " " : "");
        if (i >= named) {
            both(t, dims[i]);
            gap(t, "");
            both(t, "=");
            gap(t, "");
        }
        gen_sel(t);
    }
    both(t, n ? "]" : "");
}

static void gen_edit(struct two *t)
{
    static const char *const sites[] = {"blocks.0.attn.hook_z",
                                        "blocks.*.hook_mlp_out",
                                        "blocks.{1..3}.attn.hook_[qkv]*",
                                        "hook_{embed,pos_embed}",
                                        "*",
                                        "blocks.??.ln?.hook_scale"};
    static const char *const numbers[] = {"0",   "-0",   "1.5", "-2e+20",
                                          "inf", "-inf", "nan", "1e-07"};
    *t = (struct two){.n = 0};
    gap(t, "");
    both(t, sites[roll(6)]);
    gen_index(t);
    both(t, " ");
    int kind = roll(9);
    both(t, kind == 4 || kind == 8 ? "=" : edit_op_words[roll(EDIT_OP_COUNT)].word);
    gap(t, " ");
    if (kind == 0 || (kind != 4 && kind != 8 && roll(3) == 0)) {
        both(t, numbers[roll(8)]);
        if (kind) {
            gap(t, " ");
            both(t, "*");
            gap(t, " ");
        }
    }
    static const char *const words[] = {"",
                                        "from",
                                        "mean",
                                        "frozen",
                                        "clamp",
                                        "noise(0.5, seed=-3)",
                                        "dir(\" a\\n\", 7)",
                                        "file(\"a#b\", \"c\")",
                                        "project_out(dir(0, \"x\"))"};
    both(t, words[kind]);
    if (kind == 4) {
        gap(t, "");
        both(t, "(");
        gap(t, "");
        both(t, roll(2) ? "-inf" : "-1.5");
        gap(t, "");
        both(t, ",");
        gap(t, " ");
        both(t, roll(2) ? "0" : "1e+10");
        gap(t, "");
        both(t, ")");
    } else if (kind == 1 || kind == 2) {
        gap(t, "");
        both(t, "(");
        gap(t, "");
        both(t, kind == 1 ? (roll(2) ? "corrupt" : "\"a b\\\"\"") : "");
        gap(t, "");
        both(t, ")");
    }
    gap(t, "");
    if (roll(4) == 0) {
        both(t, ",");
        gap(t, " ");
        both(t, "renormalize");
        gap(t, "");
    }
    t->n += (size_t)snprintf(t->loose + t->n, sizeof t->loose - t->n, "%s",
                             roll(2) ? "" : "# note [\"");
}

static void random_edits_round_trip(void **state)
{
    (void)state;
    struct two *t = malloc(sizeof *t);
    seed = 1;
    for (int i = 0; i < 20000; i++) {
        gen_edit(t);
        prints_as(t->loose, t->strict);
    }
    free(t);
}

/* Cutting an edit anywhere, or changing a byte, never does worse than an error with text. */
static void damaged_edits(void **state)
{
    (void)state;
    struct two *t = malloc(sizeof *t);
    seed = 2;
    for (int i = 0; i < 20000; i++) {
        gen_edit(t);
        size_t len = strlen(t->loose);
        size_t at = (size_t)roll((int)len);
        t->loose[at] = (char)(roll(3) ? roll(256) : 0);
        struct edit *ed = NULL;
        struct err e = {0, ""};
        if (edit_parse(&ed, t->loose, &e) == 0) {
            edit_print(ed, t->strict, sizeof t->strict);
            prints_as(t->loose, t->strict);
        } else {
            assert_int_equal(e.code, ERR_BAD_INPUT);
            assert_non_null(strstr(e.text, " · "));
        }
        edit_free(ed);
    }
    free(t);
}

/* The reference for users has every row of edit.def and names every axis; its examples parse. */
static void documentation_is_complete(void **state)
{
    (void)state;
    FILE *f = fopen("docs/edits.md", "r");
    assert_non_null(f);
    char *doc = calloc(1, 1 << 16);
    assert_in_range(fread(doc, 1, (1 << 16) - 1, f), 1000, (1 << 16) - 2);
    fclose(f);
    static const char *const want[] = {
#define EDIT_OP(id, text, help) "| `" text "` | " help " |",
#define EDIT_VALUE(id, word, names, form, help) "| `" form "` | " help " |",
#include "edit/edit.def"
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        if (!strstr(doc, want[i]))
            fail_msg("docs/edits.md lacks the row: %s", want[i]);
    for (int d = DIM_NONE + 1; d < DIM_NAMED; d++) {
        char name[32];
        snprintf(name, sizeof name, "`%s`", site_dim_name((enum site_dim)d));
        if (!strstr(doc, name))
            fail_msg("docs/edits.md lacks the axis %s", name);
    }
    int examples = 0;
    char *rest = NULL;
    for (char *line = strtok_r(doc, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        struct edit *ed;
        struct err e;
        if (strncmp(line, "    blocks.", 11) != 0)
            continue;
        examples++;
        if (edit_parse(&ed, line, &e))
            fail_msg("docs/edits.md: %s: %s", line, e.text);
        edit_free(ed);
    }
    assert_in_range(examples, 5, 50);
    free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(index_forms),
        cmocka_unit_test(token_anchors),
        cmocka_unit_test(patterns),
        cmocka_unit_test(values),
        cmocka_unit_test(comments),
        cmocka_unit_test(numbers_round_trip),
        cmocka_unit_test(numbers_ignore_the_locale),
        cmocka_unit_test(bounds),
        cmocka_unit_test(random_edits_round_trip),
        cmocka_unit_test(damaged_edits),
        cmocka_unit_test(documentation_is_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
