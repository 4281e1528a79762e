/* pretokenize_parse.c - "normalizer" and "pre_tokenizer" of tokenizer.json as lists of steps.
 *
 * One row per component type; a type becomes one or more steps.  Unknown types are refused with the
 * list of those that are known.  Tested in tests/engine/test_tokenizer.c. */
#include "token/pretokenize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "token/char_class.h"
#include "token/pretokenize_steps.h"
#include "base/list.h"
#include "base/regex.h"

enum { STEPS_MAX = 64 };

void steps_free(struct pretokenize_steps *s)
{
    for (size_t i = 0; i < s->count; i++) {
        regex_free(s->at[i].regex);
        charsmap_free(s->at[i].charsmap);
        free(s->at[i].text);
    }
    free(s->at);
    *s = (struct pretokenize_steps){0};
}

/* Takes over step.regex and step.text, also on failure. */
static int add(struct js_node node, struct pretokenize_steps *out, struct pretokenize_step step,
               struct err *e)
{
    if (out->count == STEPS_MAX || !list_room(&out->at, out->count, sizeof step)) {
        regex_free(step.regex);
        free(step.text);
        if (out->count == STEPS_MAX)
            return js_expected(node, "at most 64 steps in all", e);
        return err_memory(e, "%s", js_name(node.doc));
    }
    out->at[out->count++] = step;
    return 0;
}

/* step.text = a copy of n bytes (NUL-terminated). */
static int set_text(struct js_node node, struct pretokenize_step *step, const char *text, size_t n,
                    struct err *e)
{
    step->text = malloc(n + 1);
    if (!step->text)
        return err_memory(e, "%s", js_name(node.doc));
    memcpy(step->text, text, n);
    step->text[n] = '\0';
    step->len = n;
    return 0;
}

static int set_member_text(struct js_node node, const char *key, struct pretokenize_step *step,
                           struct err *e)
{
    const char *text;
    size_t n;
    int rc = js_string(js_get(node, key), &text, &n, e);
    return rc ? rc : set_text(node, step, text, n, e);
}

static int compile(struct js_node node, const char *pattern, size_t len, bool literal,
                   struct regex **out, struct err *e)
{
    *out = regex_compile(pattern, len, literal, e);
    if (*out)
        return 0;
    err_prefix(e, "%s · %s", js_name(node.doc), node.path);
    return err_code(e);
}

/* Read {"String": …} or {"Regex": …} or a bare string into a compiled pattern. */
static int pattern_parse(struct js_node node, struct regex **out, struct err *e)
{
    struct js_node string = js_get(node, "String"), regex = js_get(node, "Regex");
    bool literal = js_is_string(node) || js_is_string(string);
    const char *pattern;
    size_t len;
    if (!js_is_string(node) && !js_is_string(string) && !js_is_string(regex))
        return js_expected(node, "{\"String\": …} or {\"Regex\": …}", e);
    int rc = js_string(js_is_string(node) ? node : literal ? string : regex, &pattern, &len, e);
    if (!rc && len == 0)
        rc = js_expected(node, "a pattern that is not empty", e);
    return rc ? rc : compile(node, pattern, len, literal, out, e);
}

/* ---- one function per component
 * ---------------------------------------------------------------------- */

static int parse_unicode(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    static const struct {
        const char *type;
        int form;
    } forms[] = {{"NFC", UTF8PROC_STABLE | UTF8PROC_COMPOSE},
                 {"NFD", UTF8PROC_STABLE | UTF8PROC_DECOMPOSE},
                 {"NFKC", UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT},
                 {"NFKD", UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT}};
    const char *type = "";
    (void)js_string(js_get(node, "type"), &type, NULL, NULL);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(type, forms[i].type) == 0)
            return add(node, out,
                       (struct pretokenize_step){.run = step_unicode, .form = forms[i].form}, e);
    return js_expected(js_get(node, "type"), "a Unicode normal form", e);
}

static int add_chars(struct js_node node,
                     void (*rewrite)(struct pretokenize_work *, size_t, size_t, int32_t),
                     struct pretokenize_steps *out, struct err *e)
{
    return add(node, out, (struct pretokenize_step){.run = step_chars, .rewrite_char = rewrite}, e);
}

static int parse_lower(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    return add_chars(node, char_lower, out, e);
}

static int parse_strip_accents(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    return add_chars(node, char_strip_mark, out, e);
}

static int parse_nmt(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    return add_chars(node, char_nmt, out, e);
}

static int parse_bert(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    bool clean, chinese, lower, strip = false;
    int rc = js_bool_or(js_get(node, "clean_text"), true, &clean, e);
    if (!rc)
        rc = js_bool_or(js_get(node, "handle_chinese_chars"), true, &chinese, e);
    if (!rc)
        rc = js_bool_or(js_get(node, "lowercase"), true, &lower, e);
    if (!rc)
        rc = js_bool_or(js_get(node, "strip_accents"), lower, &strip, e);
    if (!rc && clean)
        rc = add_chars(node, char_bert_clean, out, e);
    if (!rc && chinese)
        rc = add_chars(node, char_bert_chinese, out, e);
    if (!rc && strip)
        rc = add(node, out,
                 (struct pretokenize_step){.run = step_unicode,
                                           .form = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE},
                 e);
    if (!rc && strip)
        rc = add_chars(node, char_strip_nonspacing, out, e);
    return rc || !lower ? rc : add_chars(node, char_lower, out, e);
}

static int parse_precompiled(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    struct pretokenize_step s = {
        .run = step_charsmap, .charsmap = charsmap_parse(js_get(node, "precompiled_charsmap"), e)};
    return s.charsmap ? add(node, out, s, e) : err_code(e);
}

static int parse_bytes(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    return add(node, out, (struct pretokenize_step){.run = step_bytes}, e);
}

static int parse_strip(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    struct pretokenize_step s = {.run = step_strip};
    int rc = js_bool_or(js_get(node, "strip_left"), true, &s.left, e);
    if (!rc)
        rc = js_bool_or(js_get(node, "strip_right"), true, &s.right, e);
    return rc ? rc : add(node, out, s, e);
}

static int parse_prepend(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    struct pretokenize_step s = {.run = step_prefix, .when = PREFIX_ALWAYS};
    int rc = set_member_text(node, "prepend", &s, e);
    return rc ? rc : add(node, out, s, e);
}

static int parse_replace(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    struct pretokenize_step s = {.run = step_replace};
    int rc = pattern_parse(js_get(node, "pattern"), &s.regex, e);
    if (!rc)
        rc = set_member_text(node, "content", &s, e);
    if (!rc)
        return add(node, out, s, e);
    regex_free(s.regex);
    return rc;
}

/* A split at a pattern of ours. */
static int add_split(struct js_node node, const char *pattern, enum split_behavior behavior,
                     bool invert, struct pretokenize_steps *out, struct err *e)
{
    struct pretokenize_step s = {.run = step_split, .behavior = behavior, .invert = invert};
    int rc = compile(node, pattern, strlen(pattern), false, &s.regex, e);
    return rc ? rc : add(node, out, s, e);
}

static int parse_behavior(struct js_node node, enum split_behavior fallback,
                          enum split_behavior *out, struct err *e)
{
    static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    const char *name;
    int rc = js_string_or(node, names[fallback], &name, e);
    if (rc)
        return rc;
    for (int i = 0; i < 5; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (enum split_behavior)i;
            return 0;
        }
    return js_expected(node, "Isolated, Removed, MergedWithPrevious, MergedWithNext or Contiguous",
                       e);
}

static int parse_split(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    struct pretokenize_step s = {.run = step_split};
    int rc = pattern_parse(js_get(node, "pattern"), &s.regex, e);
    if (!rc)
        rc = parse_behavior(js_get(node, "behavior"), SPLIT_ISOLATED, &s.behavior, e);
    if (!rc)
        rc = js_bool_or(js_get(node, "invert"), false, &s.invert, e);
    if (!rc)
        return add(node, out, s, e);
    regex_free(s.regex);
    return rc;
}

static int parse_byte_level(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    static const char gpt2
        [] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    bool prefix, use_regex;
    int rc = js_bool_or(js_get(node, "add_prefix_space"), true, &prefix, e);
    if (!rc)
        rc = js_bool_or(js_get(node, "use_regex"), true, &use_regex, e);
    if (!rc && prefix) {
        struct pretokenize_step s = {
            .run = step_prefix, .when = PREFIX_ALWAYS, .unless_there = true};
        rc = set_text(node, &s, " ", 1, e);
        if (!rc)
            rc = add(node, out, s, e);
    }
    if (!rc && use_regex)
        rc = add_split(node, gpt2, SPLIT_ISOLATED, false, out, e);
    return rc ? rc : parse_bytes(node, out, e);
}

static int add_split_chars(struct js_node node, bool (*is)(int32_t), enum split_behavior behavior,
                           struct pretokenize_steps *out, struct err *e)
{
    return add(node, out,
               (struct pretokenize_step){
                   .run = step_split_chars, .is_delimiter = is, .behavior = behavior},
               e);
}

static int parse_digits(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    bool single;
    int rc = js_bool_or(js_get(node, "individual_digits"), false, &single, e);
    return rc ? rc
              : add_split_chars(node, is_numeric, single ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS, out,
                                e);
}

static int parse_whitespace_split(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    return add_split_chars(node, is_space, SPLIT_REMOVED, out, e);
}

/* \w+|[^\w\s]+ */
static int parse_whitespace(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    int rc = parse_whitespace_split(node, out, e);
    return rc ? rc : add_split_chars(node, is_word, SPLIT_CONTIGUOUS, out, e);
}

static int parse_bert_words(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    int rc = parse_whitespace_split(node, out, e);
    return rc ? rc : add_split_chars(node, is_punctuation, SPLIT_ISOLATED, out, e);
}

static int parse_punctuation(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    enum split_behavior behavior = SPLIT_ISOLATED;
    int rc = parse_behavior(js_get(node, "behavior"), behavior, &behavior, e);
    return rc ? rc : add_split_chars(node, is_punctuation, behavior, out, e);
}

static int parse_fixed_length(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    struct pretokenize_step s = {.run = step_chunks};
    int rc = js_int_or(js_get(node, "length"), 1, INT32_MAX, 5, &s.chars, e);
    return rc ? rc : add(node, out, s, e);
}

static int parse_char_delimiter(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    struct pretokenize_step s = {.run = step_split, .behavior = SPLIT_REMOVED};
    int rc = pattern_parse(js_get(node, "delimiter"), &s.regex, e);
    return rc ? rc : add(node, out, s, e);
}

/* Which prefix a Metaspace asks for: files before prepend_scheme have add_prefix_space. */
static int parse_scheme(struct js_node node, bool *prefix, enum prefix_when *when, struct err *e)
{
    const char *scheme;
    bool legacy;
    int rc = js_bool_or(js_get(node, "add_prefix_space"), true, &legacy, e);
    if (!rc)
        rc = js_string_or(js_get(node, "prepend_scheme"), legacy ? "always" : "never", &scheme, e);
    if (rc)
        return rc;
    *prefix = strcmp(scheme, "never") != 0;
    *when = strcmp(scheme, "first") == 0 ? PREFIX_FIRST : PREFIX_ALWAYS;
    if (*prefix && *when == PREFIX_ALWAYS && strcmp(scheme, "always") != 0)
        return js_expected(js_get(node, "prepend_scheme"), "always, first or never", e);
    return 0;
}

/* Every space by the replacement character. */
static int add_metaspace_replace(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    struct pretokenize_step s = {.run = step_replace};
    int rc = compile(node, " ", 1, true, &s.regex, e);
    if (!rc)
        rc = set_member_text(node, "replacement", &s, e);
    if (!rc)
        return add(node, out, s, e);
    regex_free(s.regex);
    return rc;
}

static int parse_metaspace(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    struct pretokenize_step prefix = {.run = step_prefix, .unless_there = true};
    struct pretokenize_step split = {.run = step_split, .behavior = SPLIT_MERGED_NEXT};
    bool with_prefix, with_split;
    int rc = parse_scheme(node, &with_prefix, &prefix.when, e);
    if (!rc)
        rc = js_bool_or(js_get(node, "split"), true, &with_split, e);
    if (!rc)
        rc = add_metaspace_replace(node, out, e);
    if (!rc && with_prefix && !(rc = set_member_text(node, "replacement", &prefix, e)))
        rc = add(node, out, prefix, e);
    if (!rc && with_split && !(rc = pattern_parse(js_get(node, "replacement"), &split.regex, e)))
        rc = add(node, out, split, e);
    return rc;
}

/* ---- the tables
 * -------------------------------------------------------------------------------------- */

struct component {
    const char *type;
    int (*parse)(struct js_node node, struct pretokenize_steps *out, struct err *e);
};

static const struct component normalizers[] = {
    {"NFC", parse_unicode},
    {"NFD", parse_unicode},
    {"NFKC", parse_unicode},
    {"NFKD", parse_unicode},
    {"Lowercase", parse_lower},
    {"StripAccents", parse_strip_accents},
    {"Strip", parse_strip},
    {"Prepend", parse_prepend},
    {"Replace", parse_replace},
    {"ByteLevel", parse_bytes},
    {"BertNormalizer", parse_bert},
    {"Precompiled", parse_precompiled},
    {"Nmt", parse_nmt},
};

static const struct component pre_tokenizers[] = {
    {"ByteLevel", parse_byte_level},
    {"Split", parse_split},
    {"Digits", parse_digits},
    {"Punctuation", parse_punctuation},
    {"Whitespace", parse_whitespace},
    {"WhitespaceSplit", parse_whitespace_split},
    {"Metaspace", parse_metaspace},
    {"CharDelimiterSplit", parse_char_delimiter},
    {"FixedLength", parse_fixed_length},
    {"BertPreTokenizer", parse_bert_words},
};

static int unknown_type(struct js_node type, const struct component *table, size_t n, struct err *e)
{
    char known[240] = "Sequence";
    for (size_t i = 0, len = strlen(known); i < n && len < sizeof known; i++)
        len += (size_t)snprintf(known + len, sizeof known - len, ", %s", table[i].type);
    return js_expected(type, known, e);
}

static int parse(struct js_node node, const struct component *table, size_t n, const char *list_key,
                 struct pretokenize_steps *out, struct err *e)
{
    const char *type;
    if (!js_is_set(node))
        return 0;
    int rc = js_string(js_get(node, "type"), &type, NULL, e);
    if (rc)
        return rc;
    if (strcmp(type, "Sequence") == 0) { /* nesting is bounded by LIMIT_JSON_DEPTH */
        struct js_node list = js_get(node, list_key);
        if (!js_is_array(list))
            return js_expected(list, "a list", e);
        for (size_t i = 0; i < js_count(list) && !rc; i++)
            rc = parse(js_at(list, i), table, n, list_key, out, e);
        return rc;
    }
    for (size_t i = 0; i < n; i++)
        if (strcmp(type, table[i].type) == 0)
            return table[i].parse(node, out, e);
    return unknown_type(js_get(node, "type"), table, n, e);
}

int normalizer_parse(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    return parse(node, normalizers, sizeof normalizers / sizeof *normalizers, "normalizers", out,
                 e);
}

int pretokenizer_parse(struct js_node node, struct pretokenize_steps *out, struct err *e)
{
    return parse(node, pre_tokenizers, sizeof pre_tokenizers / sizeof *pre_tokenizers,
                 "pretokenizers", out, e);
}
