/* regex.c - Oniguruma patterns rewritten for PCRE2, and matching (see regex.h). */
#include "base/regex.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { PATTERN_LEN_MAX = 1 << 14, GROUPS_MAX = 100, JIT_STACK_MAX = 4 << 20 };

struct regex {
    pcre2_code *code;
};

struct regex_match {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack; /* made when the default 32 KiB did not do */
};

/* ---- rewriting the dialect ---- */

/* Oniguruma's classes, as the inside of a bracket expression.  PCRE2's own \s has U+180E besides,
 * its \w has neither marks nor connector punctuation. */
#define SPACE "\\t-\\r\\x20\\x{85}\\p{Z}"
#define WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
#define HEX "0-9a-fA-F"
/* Outside of brackets \w has Latin-1's other numbers too. */
#define WORD_ALONE WORD "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"
#define BEHIND_WORD "(?<=[" WORD_ALONE "])"
#define BEHIND_OTHER "(?<![" WORD_ALONE "])"
#define BEFORE_WORD "(?=[" WORD_ALONE "])"
#define BEFORE_OTHER "(?![" WORD_ALONE "])"

/* What stands for an escape outside of brackets. */
static const struct {
    char escape;
    const char *pattern;
} alone[] = {
    {'s', "[" SPACE "]"},
    {'S', "[^" SPACE "]"},
    {'w', "[" WORD_ALONE "]"},
    {'W', "[^" WORD_ALONE "]"},
    {'h', "[" HEX "]"},
    {'H', "[^" HEX "]"},
    {'b', "(?:" BEHIND_WORD BEFORE_OTHER "|" BEHIND_OTHER BEFORE_WORD ")"},
    {'B', "(?:" BEHIND_WORD BEFORE_WORD "|" BEHIND_OTHER BEFORE_OTHER ")"},
};
enum { ALONE_LEN_MAX = sizeof BEHIND_WORD * 4 + 16 };

struct rewrite {
    const char *in;
    size_t in_len, at;
    char *out;
    size_t len;
    size_t atom;              /* where in `out` the last atom begins, for X{n,m}+ */
    size_t group[GROUPS_MAX]; /* where the open groups begin */
    int groups;
    struct err *e;
};

static void put(struct rewrite *w, const char *s, size_t n)
{
    memcpy(w->out + w->len, s, n);
    w->len += n;
}

static void puts_to(struct rewrite *w, const char *s)
{
    put(w, s, strlen(s));
}

static char peek(const struct rewrite *w, size_t ahead)
{
    return w->at + ahead < w->in_len ? w->in[w->at + ahead] : '\0';
}

/* \s and its kin; false if the escape is not one of them. */
static bool rewrite_alone(struct rewrite *w, char c)
{
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++)
        if (alone[i].escape == c) {
            puts_to(w, alone[i].pattern);
            return true;
        }
    return false;
}

/* w->at is at a backslash. */
static int rewrite_escape(struct rewrite *w, bool in_class)
{
    char c = peek(w, 1);
    if (!c)
        return err_set(w->e, ERR_BAD_INPUT, "pattern ends in a backslash");
    if (in_class && (c == 'W' || c == 'H'))
        return err_set(w->e, ERR_BAD_INPUT, "\\%c inside [ ] is not supported", c);
    if (c == 'K')
        return err_set(w->e, ERR_BAD_INPUT, "\\K is not supported");
    if (c == 'u') { /* \uHHHH */
        puts_to(w, "\\x{");
        for (size_t i = 2; i < 6; i++) {
            char digit = peek(w, i);
            if (!isxdigit((unsigned char)digit))
                return err_set(w->e, ERR_BAD_INPUT, "\\u needs four hexadecimal digits");
            put(w, &digit, 1);
        }
        puts_to(w, "}");
        w->at += 6;
        return 0;
    }
    if (in_class && strchr("swh", c))
        puts_to(w, c == 's' ? SPACE : c == 'w' ? WORD : HEX);
    else if (in_class || !rewrite_alone(w, c))
        put(w, w->in + w->at, 2);
    w->at += 2;
    /* The name of \p{…} is copied whole: its braces must not look like a quantifier. */
    if ((c == 'p' || c == 'P' || c == 'x') && peek(w, 0) == '{') {
        size_t n = 0;
        while (peek(w, n) && peek(w, n) != '}')
            n++;
        put(w, w->in + w->at, n + (peek(w, n) == '}'));
        w->at += n + (peek(w, n) == '}');
    }
    return 0;
}

/* [:alpha:] at w->at, copied whole. */
static void rewrite_posix(struct rewrite *w)
{
    size_t n = 2;
    while (peek(w, n) && peek(w, n) != ']')
        n++;
    put(w, w->in + w->at, n + (peek(w, n) == ']'));
    w->at += n + (peek(w, n) == ']');
}

/* One item of a bracket expression.  `edge`: what is before it is no character that a range could
 * begin with, because a set inside the set begins or ended there. */
static int rewrite_item(struct rewrite *w, bool edge)
{
    char c = peek(w, 0);
    if (c == '\\')
        return rewrite_escape(w, true);
    if (c == '&' && peek(w, 1) == '&')
        return err_set(w->e, ERR_BAD_INPUT, "&& inside [ ] is not supported");
    if (c == '[') {
        rewrite_posix(w);
        return 0;
    }
    if (c == '-' && peek(w, 1) == '[' && peek(w, 2) != ':')
        return err_set(w->e, ERR_BAD_INPUT, "-[ ] inside [ ] is not supported");
    if (c == '-' && (edge || peek(w, 1) == ']'))
        puts_to(w, "\\-");
    else
        put(w, &c, 1);
    w->at++;
    return 0;
}

/* w->at is at the [ of a bracket expression.  Sets inside it are joined to it: [a[bc]] is [abc]. */
static int rewrite_class(struct rewrite *w)
{
    bool edge = true; /* at the beginning, and where a set inside begins or ends */
    int open = 1, rc = 0;
    put(w, "[", 1);
    w->at++;
    if (peek(w, 0) == '^') {
        put(w, "^", 1);
        w->at++;
    }
    for (bool first = true; w->at < w->in_len && !rc; first = false) {
        char c = peek(w, 0);
        bool inner = c == '[' && peek(w, 1) != ':';
        if (inner && (peek(w, 1) == '^' || peek(w, 1) == ']'))
            return err_set(w->e, ERR_BAD_INPUT, "[%c ] inside [ ] is not supported", peek(w, 1));
        if (inner || (c == ']' && !first)) {
            open += inner ? 1 : -1;
            edge = true;
            w->at++;
        } else {
            rc = rewrite_item(w, edge);
            edge = false;
        }
        if (!open) {
            put(w, "]", 1);
            return 0;
        }
    }
    return rc ? rc : err_set(w->e, ERR_BAD_INPUT, "[ without ]");
}

/* Length of {n}, {n,}, {,m} or {n,m} at w->at, else 0. */
static size_t interval_len(const struct rewrite *w)
{
    size_t n = 1;
    int digits = 0;
    while (isdigit((unsigned char)peek(w, n)) || peek(w, n) == ',')
        digits += peek(w, n++) != ',';
    return digits && peek(w, n) == '}' ? n + 1 : 0;
}

/* X{n,m}+ repeats X{n,m} in Ruby's syntax; PCRE2 would take it for a possessive quantifier. */
static void rewrite_interval(struct rewrite *w, size_t n)
{
    bool repeated = peek(w, n) == '+';
    if (repeated) {
        memmove(w->out + w->atom + 3, w->out + w->atom, w->len - w->atom);
        memcpy(w->out + w->atom, "(?:", 3);
        w->len += 3;
    }
    put(w, w->in + w->at, n);
    if (repeated)
        puts_to(w, ")");
    w->at += n;
}

static int rewrite_open(struct rewrite *w)
{
    if (w->groups == GROUPS_MAX)
        return err_set(w->e, ERR_BAD_INPUT, "more than %d groups inside each other", GROUPS_MAX);
    w->group[w->groups++] = w->len;
    if (peek(w, 1) == '*')
        return err_set(w->e, ERR_BAD_INPUT, "(* is not supported");
    if (peek(w, 1) == '?') {
        size_t n = 2;
        while (peek(w, n) && strchr("imsx-", peek(w, n)))
            if (peek(w, n++) == 'm')
                return err_set(w->e, ERR_BAD_INPUT, "(?m) is not supported");
    }
    put(w, "(", 1);
    w->at++;
    return 0;
}

static int rewrite_one(struct rewrite *w)
{
    char c = peek(w, 0);
    size_t n;
    if (c == '(')
        return rewrite_open(w);
    if (c == ')') {
        if (!w->groups)
            return err_set(w->e, ERR_BAD_INPUT, ") without (");
        w->atom = w->group[--w->groups];
    } else if (c == '{' && (n = interval_len(w))) {
        rewrite_interval(w, n);
        return 0;
    } else if (c == '\\' || c == '[') {
        w->atom = w->len;
        return c == '[' ? rewrite_class(w) : rewrite_escape(w, false);
    } else if (!strchr("*+?|", c) && ((unsigned char)c & 0xc0) != 0x80) {
        w->atom = w->len;
    }
    put(w, &c, 1);
    w->at++;
    return 0;
}

/* malloc'ed pattern for PCRE2 with its length, or NULL. */
static char *rewrite(const char *pattern, size_t len, size_t *out_len, struct err *e)
{
    /* Two bytes become at most as many as the longest escape. */
    struct rewrite w = {
        .in = pattern, .in_len = len, .out = malloc(len * ALONE_LEN_MAX + 64), .e = e};
    int rc = w.out ? 0 : err_memory(e, "a pattern");
    while (!rc && w.at < len)
        rc = rewrite_one(&w);
    if (!rc) {
        *out_len = w.len;
        return w.out;
    }
    free(w.out);
    return NULL;
}

/* ---- compiling and matching ---- */

struct regex *regex_compile(const char *pattern, size_t len, bool literal, struct err *e)
{
    if (len > PATTERN_LEN_MAX || memchr(pattern, '\0', len)) {
        err_set(e, ERR_BAD_INPUT, "pattern of %zu bytes · at most %d are read, and no NUL", len,
                PATTERN_LEN_MAX);
        return NULL;
    }
    size_t rewritten_len = len;
    char *rewritten = literal ? NULL : rewrite(pattern, len, &rewritten_len, e);
    if (!literal && !rewritten)
        return NULL;
    int code;
    size_t where;
    struct regex *r = malloc(sizeof *r);
    uint32_t options = PCRE2_UTF |
                       (literal ? PCRE2_LITERAL
                                : PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C);
    pcre2_code *compiled = r ? pcre2_compile((PCRE2_SPTR)(literal ? pattern : rewritten),
                                             rewritten_len, options, &code, &where, NULL)
                             : NULL;
    if (!r) {
        err_memory(e, "a pattern");
    } else if (!compiled) {
        char why[120];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        err_set(e, ERR_BAD_INPUT, "pattern \"%.120s\" · %s", pattern, why);
        free(r);
        r = NULL;
    } else {
        (void)pcre2_jit_compile(compiled,
                                PCRE2_JIT_COMPLETE); /* without it matching is only slower */
        r->code = compiled;
    }
    free(rewritten);
    return r;
}

void regex_free(struct regex *r)
{
    if (!r)
        return;
    pcre2_code_free(r->code);
    free(r);
}

struct regex_match *regex_match_new(void)
{
    struct regex_match *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->data = pcre2_match_data_create(1, NULL);
    m->context = pcre2_match_context_create(NULL);
    if (m->data && m->context)
        return m;
    regex_match_free(m);
    return NULL;
}

void regex_match_free(struct regex_match *m)
{
    if (!m)
        return;
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->context);
    pcre2_jit_stack_free(m->stack);
    free(m);
}

struct regex_walk regex_walk_start(const struct regex *r, struct regex_match *m, const char *s,
                                   size_t len)
{
    return (struct regex_walk){.regex = r, .match = m, .s = s, .len = len};
}

static int match_at(struct regex_walk *k)
{
    struct regex_match *m = k->match;
    int rc = pcre2_match(k->regex->code, (PCRE2_SPTR)k->s, k->len, k->from, PCRE2_NO_UTF_CHECK,
                         m->data, m->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT && !m->stack) {
        m->stack = pcre2_jit_stack_create(32 << 10, JIT_STACK_MAX, NULL);
        pcre2_jit_stack_assign(m->context, NULL, m->stack);
        rc = pcre2_match(k->regex->code, (PCRE2_SPTR)k->s, k->len, k->from, PCRE2_NO_UTF_CHECK,
                         m->data, m->context);
    }
    return rc;
}

int regex_next(struct regex_walk *k, struct err *e)
{
    while (k->from <= k->len) {
        int rc = match_at(k);
        if (rc == PCRE2_ERROR_NOMATCH)
            return 0;
        if (rc < 0) {
            char why[120];
            pcre2_get_error_message(rc, (PCRE2_UCHAR *)why, sizeof why);
            return err_set(e, ERR_BAD_INPUT,
                           "the tokenizer's pattern fails on this text at byte %zu · %s", k->from,
                           why);
        }
        const size_t *at = pcre2_get_ovector_pointer(k->match->data);
        bool empty_again = at[0] == at[1] && k->any && at[1] == k->end;
        if (empty_again) {
            do
                k->from++;
            while (k->from < k->len && ((unsigned char)k->s[k->from] & 0xc0) == 0x80);
            continue;
        }
        k->any = true;
        k->begin = at[0];
        k->end = k->from = at[1];
        return 1;
    }
    return 0;
}
