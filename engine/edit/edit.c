/* edit.c - edits as objects and as text: the tables of edit.def, printing, numbers (see edit.h).
 *
 * Printing is the inverse of edit_parse.c.  Tested in tests/engine/test_edit.c. */
#include "edit/edit_form.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/number.h"

const struct edit_word edit_op_words[EDIT_OP_COUNT] = {
#define EDIT_OP(id, text, help) [EDIT_##id] = {text, text, help, EDIT_NAMES_NONE},
#include "edit/edit.def"
};

const struct edit_word edit_value_words[EDIT_VALUE_COUNT] = {
#define EDIT_VALUE(id, word, names, form, help) \
    [EDIT_##id] = {word, form, help, EDIT_NAMES_##names},
#include "edit/edit.def"
};

const char *const edit_mask_fn_names[EDIT_MASK_COUNT] = {"step", "sigmoid", "tanh", "relu"};

bool edit_changes_itself(enum edit_value_kind v)
{
    return v == EDIT_CLAMP || v == EDIT_PROJECT_OUT || v == EDIT_WHITEN || v == EDIT_UNWHITEN;
}

bool edit_names_file(const struct edit *ed)
{
    return edit_value_words[ed->value].names == EDIT_NAMES_FILE ||
           edit_value_words[ed->direction].names == EDIT_NAMES_FILE;
}

const char *edit_file_path(const struct edit *ed)
{
    return edit_names_file(ed) ? ed->text[0] : NULL;
}

bool edit_reads_source(enum edit_value_kind v)
{
    return v == EDIT_FROM || v == EDIT_RESAMPLE || v == EDIT_MEAN || v == EDIT_FROZEN;
}

bool edit_is_hosted(enum edit_value_kind v)
{
    return v == EDIT_NOISE || v == EDIT_WHITEN || v == EDIT_UNWHITEN;
}

struct edit *edit_copy(const struct edit *ed)
{
    struct edit *same = (struct edit *)(uintptr_t)
        ed; /* the count is the only thing that ever changes */
    atomic_fetch_add(&same->refs, 1);
    return same;
}

void edit_free(struct edit *ed)
{
    if (ed && atomic_fetch_sub(&ed->refs, 1) == 1)
        free(ed);
}

bool edit_hook_pattern(const struct edit *ed, char pattern[LIMIT_PATTERN])
{
    size_t len = strlen(ed->pattern), suffix = strlen("_grad");
    bool backward = len > suffix && strcmp(ed->pattern + len - suffix, "_grad") == 0;
    snprintf(pattern, LIMIT_PATTERN, "%.*s", (int)(backward ? len - suffix : len), ed->pattern);
    return backward;
}

/* ---- numbers ---- */

const char *edit_number_parse(const char *text, float *out, bool *over)
{
    char *end;
    float f = number_float(text, &end);
    const char *p = text + (*text == '-' || *text == '+');
    *over = isinf(f) && *p != 'i' && *p != 'I';
    *out = isnan(f) ? NAN : f; /* one NaN: its sign and payload mean nothing */
    return end;
}

int edit_number_print(float f, char buf[32])
{
    if (isnan(f))
        return snprintf(buf, 32, "nan");
    int n = 0;
    for (int digits = 1; digits <= 9; digits++) {
        n = number_print(buf, 32, digits, (double)f);
        if (number_float(buf, NULL) == f)
            break;
    }
    if (strchr(buf, 'e') && fabsf(f) >= 1 && fabsf(f) < 1e6f) /* 30, not 3e+01 */
        n = number_print(buf, 32, 9, (double)f);
    return n;
}

/* ---- printing ---- */

struct writer {
    char *buf;
    size_t size, len; /* len may pass size: what does not fit is counted only */
};

static void put_bytes(struct writer *w, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++, w->len++)
        if (w->len + 1 < w->size)
            w->buf[w->len] = s[i];
    if (w->size > 0)
        w->buf[w->len < w->size ? w->len : w->size - 1] = '\0';
}

static void put(struct writer *w, const char *fmt, ...) ERR_PRINTF(2, 3);
static void put(struct writer *w, const char *fmt, ...)
{
    char text[LIMIT_PATTERN];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    put_bytes(w, text, n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

static void put_token(struct writer *w, const char *s, int32_t len)
{
    put(w, "\"");
    for (int32_t i = 0; i < len;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s + i, len - i, &c);
        if (n < 1 || c < 0x20 || c == 0x7f) {
            n = 1;
            if (s[i] == '\n')
                put(w, "\\n");
            else
                put(w, "\\x%02x", (unsigned)(unsigned char)s[i]);
        } else {
            if (c == '"' || c == '\\')
                put(w, "\\");
            put_bytes(w, s + i, (size_t)n);
        }
        i += (int32_t)n;
    }
    put(w, "\"");
}

int edit_token_print(const char *text, int32_t len, char *buf, size_t size)
{
    struct writer w = {buf, size, 0};
    put_token(&w, text, len);
    return (int)w.len;
}

static void put_place(struct writer *w, const struct edit_place *p)
{
    switch (p->kind) {
    case PLACE_NONE: return;
    case PLACE_INT: put(w, "%d", (int)p->value); return;
    case PLACE_END: put(w, "end"); return;
    case PLACE_TOKEN:
        put_token(w, p->text, p->len);
        if (p->value != 1)
            put(w, "#%d", (int)p->value);
        return;
    }
}

static void put_sel(struct writer *w, const struct edit_sel *sel)
{
    if (sel->dim != DIM_NONE)
        put(w, "%s=", site_dim_name(sel->dim));
    if (sel->kind == SEL_RANGE) {
        put_place(w, &sel->spans[0].lo);
        put(w, ":");
        put_place(w, &sel->spans[0].hi);
        if (sel->step != 1)
            put(w, ":%d", (int)sel->step);
        return;
    }
    put(w, "%s", sel->kind == SEL_SET ? "{" : "");
    for (int32_t i = 0; i < sel->n; i++) {
        put(w, "%s", i ? "," : "");
        put_place(w, &sel->spans[i].lo);
        put(w, "%s", sel->spans[i].hi.kind == PLACE_NONE ? "" : "..");
        put_place(w, &sel->spans[i].hi);
    }
    put(w, "%s", sel->kind == SEL_SET ? "}" : "");
}

/* Can a run's name stand without quotes? */
static bool plain_name(const char *s)
{
    return *s &&
           s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")] ==
               '\0';
}

static void put_arguments(struct writer *w, const struct edit *ed, enum edit_value_kind kind)
{
    char number[32], hi[32];
    switch (kind) {
    case EDIT_FROM:
    case EDIT_MEAN_REF:
    case EDIT_RESAMPLE:
        if (plain_name(ed->text[0]))
            put_bytes(w, ed->text[0], strlen(ed->text[0]));
        else
            put_token(w, ed->text[0], (int32_t)strlen(ed->text[0]));
        if (kind == EDIT_RESAMPLE)
            put(w, ", seed=%d", (int)ed->seed);
        if (kind == EDIT_MEAN_REF && ed->source_pos == EDIT_SAME_POS)
            put(w, ", pos=same");
        else if (ed->source_pos != EDIT_SAME_POS && ed->source_pos != EDIT_ALL_POS)
            put(w, ", pos=%d", (int)ed->source_pos);
        return;
    case EDIT_CLAMP:
        edit_number_print(ed->lo, number);
        edit_number_print(ed->hi, hi);
        put(w, "%s, %s", number, hi);
        return;
    case EDIT_NOISE:
        edit_number_print(ed->sigma, number);
        put(w, "%s, seed=%d", number, (int)ed->seed);
        return;
    case EDIT_DIR:
    case EDIT_FILE:
    case EDIT_ROWS:
    case EDIT_MASK:
    case EDIT_WHITEN:
    case EDIT_UNWHITEN:
        for (int i = 0; i < 2; i++) {
            put(w, "%s", i ? ", " : "");
            if (ed->text[i])
                put_token(w, ed->text[i], ed->text_len[i]);
            else
                put(w, "%d", (int)ed->token[i]);
        }
        if (kind == EDIT_MASK && ed->mask_fn != EDIT_MASK_STEP)
            put(w, ", %s", edit_mask_fn_names[ed->mask_fn]);
        return;
    case EDIT_PROJECT_OUT:
        put(w, "%s(", edit_value_words[ed->direction].word);
        put_arguments(w, ed, ed->direction);
        put(w, ")");
        return;
    default: return;
    }
}

static void put_value(struct writer *w, const struct edit *ed)
{
    char number[32];
    edit_number_print(ed->number, number);
    if (ed->value == EDIT_NUMBER) {
        put(w, "%s", number);
        return;
    }
    if (ed->number != 1.0f)
        put(w, "%s * ", number);
    put(w, "%s", edit_value_words[ed->value].word);
    if (!strchr(edit_value_words[ed->value].form, '('))
        return;
    put(w, "(");
    put_arguments(w, ed, ed->value);
    put(w, ")");
}

int edit_print(const struct edit *ed, char *buf, size_t size)
{
    struct writer w = {buf, size, 0};
    put(&w, "%s", ed->pattern);
    for (int32_t i = 0; i < ed->n_sels; i++) {
        put(&w, "%s", i ? ", " : "[");
        put_sel(&w, &ed->sels[i]);
    }
    put(&w, "%s %s ", ed->n_sels ? "]" : "", edit_op_words[ed->op].word);
    put_value(&w, ed);
    if (ed->renormalize)
        put(&w, ", %s", EDIT_RENORMALIZE);
    return (int)w.len;
}
