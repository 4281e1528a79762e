/* edit_parse_value.c - operator and value of an edit (see edit_parse.c): one parse_NAME per word
 * that has arguments. */
#include "edit/edit_scan.h"

#include <stdio.h>
#include <string.h>

enum { VALUE_FORMS = 800 }; /* bytes of the list of all values */

static int parse_op(struct scan *s)
{
    scan_comments(s);
    for (int op = 0; op < EDIT_OP_COUNT; op++)
        if (scan_take(s, edit_op_words[op].word)) {
            s->ed->op = (enum edit_op)op;
            return 0;
        }
    return scan_fail(s, "expected an operator", "these are = += -= *=");
}

/* The forms of all values, for messages. */
static const char *value_forms(char buf[VALUE_FORMS])
{
    size_t n = (size_t)snprintf(buf, VALUE_FORMS, "values are ");
    for (int i = 0; i < EDIT_VALUE_COUNT; i++)
        n += (size_t)snprintf(buf + n, VALUE_FORMS - n, "%s%s", i ? ", " : "",
                              edit_value_words[i].form);
    return buf;
}

/* A word that is no value that can stand here. */
static int fail_word(struct scan *s, const char *at, size_t n)
{
    char forms[VALUE_FORMS], what[160];
    snprintf(what, sizeof what, "unknown value \"%.*s\"", n > 60 ? 60 : (int)n, at);
    return scan_fail_at(s, at, what, value_forms(forms));
}

/* The name of a run or a reference set: plain or quoted. */
static int parse_source_name(struct scan *s)
{
    const char *what = s->ed->value == EDIT_FROM ? "run" : "reference set",
               *form = edit_value_words[s->ed->value].form;
    char message[60];
    scan_blanks(s);
    const char *at = s->p;
    if (*at == '"') {
        int32_t len;
        if (scan_quoted(s, &s->ed->text[0], &len))
            return ERR_BAD_INPUT;
        if (strlen(s->ed->text[0]) != (size_t)len) {
            snprintf(message, sizeof message, "zero byte in the name of a %s", what);
            return scan_fail_at(s, at, message, form);
        }
    } else {
        size_t n = 0;
        while (scan_is_word(at[n]) || at[n] == '.' || at[n] == '-')
            n++;
        memcpy(s->bytes, at, n);
        s->bytes[n] = '\0';
        s->ed->text[0] = s->bytes;
        s->bytes += n + 1;
        s->p += n;
    }
    snprintf(message, sizeof message, "expected the name of a %s", what);
    return *s->ed->text[0] ? 0 : scan_fail_at(s, at, message, form);
}

static int parse_pos(struct scan *s)
{
    bool mean = s->ed->value == EDIT_MEAN_REF;
    scan_blanks(s);
    const char *at = s->p;
    if (mean && scan_take(s, "same")) {
        s->ed->source_pos = EDIT_SAME_POS;
        return 0;
    }
    if (scan_take(s, "end")) {
        s->ed->source_pos = -1;
        return 0;
    }
    if (mean && !scan_is_digit(*at) && *at != '-' && *at != '+')
        return scan_fail(s, "expected a position", "a whole number, end, or same");
    return scan_int(s, &s->ed->source_pos);
}

/* RUN or REF, then pos= and (resample) seed= in any order. */
static int parse_source(struct scan *s)
{
    bool seeded = s->ed->value == EDIT_RESAMPLE;
    s->ed->source_pos = s->ed->value == EDIT_MEAN_REF ? EDIT_ALL_POS : EDIT_SAME_POS;
    if (parse_source_name(s))
        return ERR_BAD_INPUT;
    for (int given = 0; scan_take(s, ",");) {
        bool seed = seeded && !(given & 1) && scan_take(s, "seed");
        if ((!seed && ((given & 2) || !scan_take(s, "pos"))) || !scan_take(s, "="))
            return scan_fail(s, seeded ? "expected seed= or pos=" : "expected pos=",
                             seeded                          ? "as in resample(ref, seed=7, pos=-1)"
                             : s->ed->value == EDIT_MEAN_REF ? "as in mean(ref, pos=same)"
                                                             : "as in from(corrupt, pos=-1)");
        if (seed ? scan_int(s, &s->ed->seed) : parse_pos(s))
            return ERR_BAD_INPUT;
        given |= seed ? 1 : 2;
    }
    return 0;
}

/* What a number may look like as an argument; nan is none of them. */
#define NUMBERS "such as 0, -1.5, 1e-3, inf, -inf"

static int parse_number(struct scan *s, float *out, const char *such)
{
    scan_blanks(s);
    bool over;
    const char *end = edit_number_parse(s->p, out, &over);
    if (end == s->p)
        return scan_fail(s, "expected a number", such);
    if (over)
        return scan_fail(s, "number beyond f32", "the largest is 3.4028235e38; inf is written inf");
    if (scan_is_word(*end) || *end == '.')
        return scan_fail(s, "not a number", such);
    s->p = end;
    return 0;
}

static int parse_clamp(struct scan *s)
{
    const char *at = s->p;
    struct edit *ed = s->ed;
    if (parse_number(s, &ed->lo, NUMBERS))
        return ERR_BAD_INPUT;
    if (!scan_take(s, ","))
        return scan_fail(s, "expected ,", edit_value_words[EDIT_CLAMP].form);
    if (parse_number(s, &ed->hi, NUMBERS))
        return ERR_BAD_INPUT;
    return ed->lo <= ed->hi ? 0
                            : scan_fail_at(s, at, "bounds that hold nothing",
                                           "the lower one comes first, as in clamp(-1, 1)");
}

static int parse_noise(struct scan *s)
{
    scan_blanks(s);
    const char *at = s->p;
    if (parse_number(s, &s->ed->sigma, NUMBERS))
        return ERR_BAD_INPUT;
    if (!(s->ed->sigma >= 0.0f && s->ed->sigma <= 3.4e38f))
        return scan_fail_at(s, at, "not a standard deviation",
                            "a number from 0 on, as in noise(0.1, seed=7)");
    if (!scan_take(s, ","))
        return 0;
    if (!scan_take(s, "seed") || !scan_take(s, "="))
        return scan_fail(s, "expected seed=", edit_value_words[EDIT_NOISE].form);
    return scan_int(s, &s->ed->seed);
}

/* Two tokens, in quotes or as ids. */
static int parse_dir(struct scan *s)
{
    struct edit *ed = s->ed;
    for (int i = 0; i < 2; i++) {
        if (i && !scan_take(s, ","))
            return scan_fail(s, "expected ,", edit_value_words[EDIT_DIR].form);
        scan_blanks(s);
        const char *at = s->p;
        if (*at == '"' ? scan_quoted(s, &ed->text[i], &ed->text_len[i])
                       : scan_int(s, &ed->token[i]))
            return ERR_BAD_INPUT;
        if (ed->token[i] < 0)
            return scan_fail_at(s, at, "token below 0", "a token id, or a token in quotes");
    }
    return 0;
}

static int parse_file(struct scan *s)
{
    for (int i = 0; i < 2; i++) {
        if (i && !scan_take(s, ","))
            return scan_fail(s, "expected ,", edit_value_words[EDIT_FILE].form);
        scan_blanks(s);
        const char *at = s->p;
        if (*at != '"')
            return scan_fail(s, "expected a text in quotes", edit_value_words[EDIT_FILE].form);
        if (scan_quoted(s, &s->ed->text[i], &s->ed->text_len[i]))
            return ERR_BAD_INPUT;
        if (!*s->ed->text[i] || strlen(s->ed->text[i]) != (size_t)s->ed->text_len[i])
            return scan_fail_at(s, at, "not a name", edit_value_words[EDIT_FILE].form);
    }
    return 0;
}

static int parse_mask(struct scan *s)
{
    if (parse_file(s))
        return ERR_BAD_INPUT;
    if (!scan_take(s, ","))
        return 0;
    scan_blanks(s);
    size_t n = scan_word_len(s->p);
    for (int fn = 0; fn < EDIT_MASK_COUNT; fn++)
        if (scan_word_is(s->p, n, edit_mask_fn_names[fn])) {
            s->ed->mask_fn = (enum edit_mask_fn)fn;
            s->p += n;
            return 0;
        }
    return scan_fail(s, "expected a function", "step, sigmoid, tanh or relu");
}

static int parse_direction(struct scan *s)
{
    static const enum edit_value_kind kinds[] = {EDIT_DIR, EDIT_FILE};
    for (int i = 0; i < 2; i++) {
        if (!scan_take(s, edit_value_words[kinds[i]].word))
            continue;
        s->ed->direction = kinds[i];
        if (!scan_take(s, "("))
            return scan_fail(s, "expected (", edit_value_words[kinds[i]].form);
        if (kinds[i] == EDIT_DIR ? parse_dir(s) : parse_file(s))
            return ERR_BAD_INPUT;
        return scan_take(s, ")") ? 0 : scan_fail(s, "expected )", edit_value_words[kinds[i]].form);
    }
    char forms[120];
    const char *word = edit_value_words[s->ed->value].word;
    snprintf(forms, sizeof forms, "%s(dir(\"A\", \"B\")) or %s(file(\"PATH\", \"TENSOR\"))", word,
             word);
    return scan_fail(s, "expected a direction", forms);
}

static int (*const parse_arguments[EDIT_VALUE_COUNT])(struct scan *) = {
    [EDIT_FROM] = parse_source,       [EDIT_MEAN_REF] = parse_source,
    [EDIT_RESAMPLE] = parse_source,   [EDIT_CLAMP] = parse_clamp,
    [EDIT_NOISE] = parse_noise,       [EDIT_DIR] = parse_dir,
    [EDIT_FILE] = parse_file,         [EDIT_ROWS] = parse_file,
    [EDIT_WHITEN] = parse_file,       [EDIT_UNWHITEN] = parse_file,
    [EDIT_MASK] = parse_mask,         [EDIT_PROJECT_OUT] = parse_direction,
    [EDIT_OFFSET] = parse_direction,  [EDIT_UNOFFSET] = parse_direction,
    [EDIT_POSTBIAS] = parse_direction};

/* Taker's words for adding a vector and taking it away. */
static bool is_shift(enum edit_value_kind v)
{
    return v == EDIT_OFFSET || v == EDIT_UNOFFSET || v == EDIT_POSTBIAS;
}

/* Does this value begin from the value that it replaces, as clamp() does?  Then it takes = alone.
 */
static bool stands_alone(enum edit_value_kind v)
{
    return edit_changes_itself(v) || v == EDIT_MASK || is_shift(v);
}

/* A word; `factor`: a number times it. */
static int parse_word(struct scan *s, bool factor)
{
    scan_blanks(s);
    const char *at = s->p;
    size_t n = scan_word_len(at);
    char forms[VALUE_FORMS];
    if (n == 0)
        return scan_fail(s, "expected a value", value_forms(forms));
    int kind = 0;
    while (kind < EDIT_VALUE_COUNT && !scan_word_is(at, n, edit_value_words[kind].word))
        kind++;
    if (kind == EDIT_VALUE_COUNT)
        return fail_word(s, at, n);
    s->ed->value = (enum edit_value_kind)kind;
    s->p += n;
    if (stands_alone(s->ed->value) && (factor || s->ed->op != EDIT_SET)) {
        char what[80];
        snprintf(what, sizeof what, "%s stands alone after =", edit_value_words[kind].form);
        return scan_fail_at(s, at, what, "it already begins from the value there");
    }
    if (!strchr(edit_value_words[kind].form, '('))
        return 0;
    if (!scan_take(s, "("))
        return scan_fail(s, "expected (", edit_value_words[kind].form);
    if (kind == EDIT_MEAN && scan_take(s, ")"))
        return 0;
    if (kind == EDIT_MEAN)
        s->ed->value = EDIT_MEAN_REF;
    if (parse_arguments[s->ed->value](s))
        return ERR_BAD_INPUT;
    if (!scan_take(s, ")"))
        return scan_fail(s, "expected )", edit_value_words[s->ed->value].form);
    if (is_shift(s->ed->value)) {
        s->ed->op = s->ed->value == EDIT_UNOFFSET ? EDIT_SUB : EDIT_ADD;
        s->ed->value = s->ed->direction;
    }
    return 0;
}

static int parse_value(struct scan *s)
{
    scan_blanks(s);
    struct edit *ed = s->ed;
    bool over;
    ed->value = EDIT_NUMBER;
    if (edit_number_parse(s->p, &ed->number, &over) == s->p) {
        ed->number = 1.0f;
        return parse_word(s, false);
    }
    if (parse_number(s, &ed->number, NUMBERS ", nan"))
        return ERR_BAD_INPUT;
    return scan_take(s, "*") ? parse_word(s, true) : 0;
}

int edit_parse_action(struct scan *s)
{
    int rc = parse_op(s);
    if (rc || (rc = parse_value(s)))
        return rc;
    scan_comments(s);
    const char *at = s->p;
    if (scan_take(s, ",")) {
        scan_blanks(s);
        size_t n = scan_word_len(s->p);
        if (scan_word_is(s->p, n, EDIT_RENORMALIZE)) {
            s->ed->renormalize = true;
            s->p += n;
            scan_comments(s);
            at = s->p;
        } else if (n > 0) {
            return fail_word(s, s->p, n);
        }
    }
    return *at == '\0' ? 0
                       : scan_fail_at(s, at, "unexpected text after the edit",
                                      "one edit is HOOK[index] = VALUE");
}
