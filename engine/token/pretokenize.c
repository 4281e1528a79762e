/* pretokenize.c - running the steps (see pretokenize.h).
 *
 * Invariants: w->text is valid UTF-8, its pieces lie in rising order without overlap, and the
 * origins of its bytes never go back.  A rewriting step makes text_next and pieces_next and swaps;
 * a splitting step makes pieces_next only.  Memory running out makes every push a no-op until
 * steps_run reports it. */
#include "token/pretokenize.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "token/pretokenize_steps.h"
#include "base/regex.h"

/* ---- growing arrays
 * ---------------------------------------------------------------------------------- */

static bool grow(void **p, size_t item, size_t capacity)
{
    void *grown = realloc(*p, capacity * item);
    if (grown)
        *p = grown;
    return grown != NULL;
}

static bool text_reserve(struct pretokenize_work *w, struct mapped *m, size_t n)
{
    if (w->out_of_memory || w->too_long)
        return false;
    if (n <= m->capacity - m->len)
        return true;
    if (m->len + n > w->len_max) {
        w->too_long = true;
        return false;
    }
    size_t capacity = (m->len + n) * 3 / 2 + 64;
    if (!grow((void **)&m->byte, 1, capacity) ||
        !grow((void **)&m->begin, sizeof *m->begin, capacity) ||
        !grow((void **)&m->end, sizeof *m->end, capacity)) {
        w->out_of_memory = true;
        return false;
    }
    m->capacity = capacity;
    return true;
}

/* Append n bytes that all stand for original[begin .. end). */
static void mapped_push(struct pretokenize_work *w, struct mapped *m, const char *byte, size_t n,
                        uint32_t begin, uint32_t end)
{
    if (!text_reserve(w, m, n))
        return;
    memcpy(m->byte + m->len, byte, n);
    for (size_t i = m->len; i < m->len + n; i++) {
        m->begin[i] = begin;
        m->end[i] = end;
    }
    m->len += n;
}

void mapped_copy(struct pretokenize_work *w, struct mapped *m, const struct mapped *from,
                 size_t begin, size_t end)
{
    size_t n = end - begin;
    if (!n || !text_reserve(w, m, n))
        return;
    memcpy(m->byte + m->len, from->byte + begin, n);
    memcpy(m->begin + m->len, from->begin + begin, n * sizeof *m->begin);
    memcpy(m->end + m->len, from->end + begin, n * sizeof *m->end);
    m->len += n;
}

void mapped_push_original(struct pretokenize_work *w, struct mapped *m, const char *byte, size_t n,
                          uint32_t begin)
{
    if (!n || !text_reserve(w, m, n))
        return;
    memcpy(m->byte + m->len, byte, n);
    for (size_t i = 0; i < n; i++) {
        m->begin[m->len + i] = begin + (uint32_t)i;
        m->end[m->len + i] = begin + (uint32_t)i + 1;
    }
    m->len += n;
}

void piece_push(struct pretokenize_work *w, struct pieces *p, size_t begin, size_t end)
{
    if (w->out_of_memory)
        return;
    if (p->count == p->capacity) {
        size_t capacity = p->capacity * 2 + 64;
        if (!grow((void **)&p->at, sizeof *p->at, capacity)) {
            w->out_of_memory = true;
            return;
        }
        p->capacity = capacity;
    }
    p->at[p->count++] = (struct piece){(uint32_t)begin, (uint32_t)end};
}

static void mapped_free(struct mapped *m)
{
    free(m->byte);
    free(m->begin);
    free(m->end);
}

void work_free(struct pretokenize_work *w)
{
    mapped_free(&w->text);
    mapped_free(&w->text_next);
    free(w->pieces.at);
    free(w->pieces_next.at);
    regex_match_free(w->match);
    *w = (struct pretokenize_work){0};
}

static void swap_pieces(struct pretokenize_work *w)
{
    struct pieces t = w->pieces;
    w->pieces = w->pieces_next;
    w->pieces_next = t;
    w->pieces_next.count = 0;
}

static void swap_all(struct pretokenize_work *w)
{
    struct mapped t = w->text;
    w->text = w->text_next;
    w->text_next = t;
    w->text_next.len = 0;
    swap_pieces(w);
}

int steps_run(const struct pretokenize_steps *s, struct pretokenize_work *w, struct err *e)
{
    if (!w->match && !(w->match = regex_match_new()))
        w->out_of_memory = true;
    w->text_next.len = w->pieces_next.count = 0;
    for (size_t i = 0; i < s->count && !w->out_of_memory && !w->too_long; i++) {
        int rc = s->at[i].run(&s->at[i], w, e);
        if (rc)
            return rc;
    }
    if (w->too_long)
        return err_set(e, ERR_BAD_INPUT,
                       "the tokenizer's steps make this text longer than %zu bytes", w->len_max);
    return w->out_of_memory
               ? err_set(e, ERR_SYSTEM, "out of memory for a text of %zu bytes", w->text.len)
               : 0;
}

/* ---- splitting
 * --------------------------------------------------------------------------------------- */

/* The stream of matches and gaps of one piece, folded into pieces as the behavior says. */
struct cutter {
    struct pretokenize_work *w;
    enum split_behavior behavior;
    bool previous, any; /* was the last range a delimiter; was there one */
    size_t begin, end;  /* the range being gathered */
};

static void cut_flush(struct cutter *c)
{
    if (c->any && c->begin < c->end)
        piece_push(c->w, &c->w->pieces_next, c->begin, c->end);
}

static void cut(struct cutter *c, size_t begin, size_t end, bool delimiter)
{
    if (c->behavior == SPLIT_REMOVED) {
        if (!delimiter && begin < end)
            piece_push(c->w, &c->w->pieces_next, begin, end);
        return;
    }
    bool join = c->any && ((c->behavior == SPLIT_CONTIGUOUS && delimiter == c->previous) ||
                           (c->behavior == SPLIT_MERGED_PREVIOUS && delimiter && !c->previous) ||
                           (c->behavior == SPLIT_MERGED_NEXT && !delimiter && c->previous));
    if (!join) {
        cut_flush(c);
        c->begin = begin;
    }
    c->end = end;
    c->previous = delimiter;
    c->any = true;
}

int step_split(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e)
{
    for (size_t i = 0; i < w->pieces.count; i++) {
        struct piece p = w->pieces.at[i];
        struct cutter c = {.w = w, .behavior = s->behavior};
        struct regex_walk k = regex_walk_start(s->regex, w->match, w->text.byte + p.begin,
                                               p.end - p.begin);
        size_t done = p.begin;
        int rc;
        while ((rc = regex_next(&k, e)) > 0) {
            if (done < p.begin + k.begin)
                cut(&c, done, p.begin + k.begin, s->invert);
            cut(&c, p.begin + k.begin, p.begin + k.end, !s->invert);
            done = p.begin + k.end;
        }
        if (rc < 0)
            return rc;
        if (done < p.end)
            cut(&c, done, p.end, s->invert);
        cut_flush(&c);
    }
    swap_pieces(w);
    return 0;
}

/* ---- rewriting
 * --------------------------------------------------------------------------------------- */

/* Rewrite piece by piece: `rewrite` appends what becomes of one to w->text_next. */
static int each_piece(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e,
                      int (*rewrite)(const struct pretokenize_step *, struct pretokenize_work *,
                                     struct piece, struct err *))
{
    for (size_t i = 0; i < w->pieces.count; i++) {
        size_t begin = w->text_next.len;
        int rc = rewrite(s, w, w->pieces.at[i], e);
        if (rc)
            return rc;
        if (w->text_next.len > begin)
            piece_push(w, &w->pieces_next, begin, w->text_next.len);
    }
    swap_all(w);
    return 0;
}

static int prefix_piece(const struct pretokenize_step *s, struct pretokenize_work *w,
                        struct piece p, struct err *e)
{
    (void)e;
    uint32_t origin = p.begin < p.end ? w->text.begin[p.begin] : 0;
    bool there = s->unless_there && p.end - p.begin >= s->len &&
                 memcmp(w->text.byte + p.begin, s->text, s->len) == 0;
    if (p.begin < p.end && !there && (s->when == PREFIX_ALWAYS || origin == 0))
        mapped_push(w, &w->text_next, s->text, s->len, origin, origin);
    mapped_copy(w, &w->text_next, &w->text, p.begin, p.end);
    return 0;
}

int step_prefix(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e)
{
    return each_piece(s, w, e, prefix_piece);
}

static int replace_piece(const struct pretokenize_step *s, struct pretokenize_work *w,
                         struct piece p, struct err *e)
{
    struct regex_walk k = regex_walk_start(s->regex, w->match, w->text.byte + p.begin,
                                           p.end - p.begin);
    size_t done = p.begin;
    int rc;
    while ((rc = regex_next(&k, e)) > 0) {
        size_t begin = p.begin + k.begin, end = p.begin + k.end;
        mapped_copy(w, &w->text_next, &w->text, done, begin);
        uint32_t from = begin < p.end     ? w->text.begin[begin]
                        : begin > p.begin ? w->text.end[begin - 1]
                                          : 0;
        mapped_push(w, &w->text_next, s->text, s->len, from,
                    begin < end ? w->text.end[end - 1] : from);
        done = end;
    }
    mapped_copy(w, &w->text_next, &w->text, done, p.end);
    return rc;
}

int step_replace(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e)
{
    return each_piece(s, w, e, replace_piece);
}

static int bytes_of_piece(const struct pretokenize_step *s, struct pretokenize_work *w,
                          struct piece p, struct err *e)
{
    (void)s, (void)e;
    for (size_t i = p.begin; i < p.end; i++) {
        char c[2];
        size_t n = byte_level_char((unsigned char)w->text.byte[i], c);
        mapped_push(w, &w->text_next, c, n, w->text.begin[i], w->text.end[i]);
    }
    return 0;
}

int step_bytes(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e)
{
    return each_piece(s, w, e, bytes_of_piece);
}

/* Calls `one` for every character of the piece. */
static void each_char(struct pretokenize_work *w, struct piece p,
                      void (*one)(struct pretokenize_work *w, size_t at, size_t n, int32_t c))
{
    for (size_t at = p.begin; at < p.end;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)w->text.byte + at,
                                              (utf8proc_ssize_t)(p.end - at), &c);
        if (n <= 0)
            return; /* cannot be: text is valid */
        one(w, at, (size_t)n, c);
        at += (size_t)n;
    }
}

static void lower_char(struct pretokenize_work *w, size_t at, size_t n, int32_t c)
{
    utf8proc_uint8_t out[8];
    utf8proc_ssize_t out_n = utf8proc_encode_char(utf8proc_tolower(c), out);
    if (c == 0x130) { /* the one character whose lower case is two */
        memcpy(out, "i\xcc\x87", 3);
        out_n = 3;
    }
    mapped_push(w, &w->text_next, (const char *)out, (size_t)out_n, w->text.begin[at],
                w->text.end[at + n - 1]);
}

static int lower_piece(const struct pretokenize_step *s, struct pretokenize_work *w, struct piece p,
                       struct err *e)
{
    (void)s, (void)e;
    each_char(w, p, lower_char);
    return 0;
}

int step_lower(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e)
{
    return each_piece(s, w, e, lower_piece);
}

static void strip_accent(struct pretokenize_work *w, size_t at, size_t n, int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    if (k != UTF8PROC_CATEGORY_MN && k != UTF8PROC_CATEGORY_MC && k != UTF8PROC_CATEGORY_ME)
        mapped_copy(w, &w->text_next, &w->text, at, at + n);
}

static int strip_accents_piece(const struct pretokenize_step *s, struct pretokenize_work *w,
                               struct piece p, struct err *e)
{
    (void)s, (void)e;
    each_char(w, p, strip_accent);
    return 0;
}

int step_strip_accents(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e)
{
    return each_piece(s, w, e, strip_accents_piece);
}

static int strip_piece(const struct pretokenize_step *s, struct pretokenize_work *w, struct piece p,
                       struct err *e)
{
    (void)e;
    size_t begin = p.begin, end = p.end;
    utf8proc_int32_t c;
    while (s->left && begin < end) {
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)w->text.byte + begin,
                                              (utf8proc_ssize_t)(end - begin), &c);
        if (n <= 0 || !is_space(c))
            break;
        begin += (size_t)n;
    }
    while (s->right && begin < end) {
        size_t at = end - 1;
        while (at > begin && ((unsigned char)w->text.byte[at] & 0xc0) == 0x80)
            at--;
        if (utf8proc_iterate((const utf8proc_uint8_t *)w->text.byte + at,
                             (utf8proc_ssize_t)(end - at), &c) <= 0 ||
            !is_space(c))
            break;
        end = at;
    }
    mapped_copy(w, &w->text_next, &w->text, begin, end);
    return 0;
}

int step_strip(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e)
{
    return each_piece(s, w, e, strip_piece);
}

/* ---- Unicode normal forms
 * ---------------------------------------------------------------------------- */

/* The end of the grapheme cluster that begins at `at`.  Composition and reordering never cross its
 * end: what can follow a starter in a composition extends its cluster. */
static size_t cluster_end(const struct mapped *m, size_t at, size_t end)
{
    utf8proc_int32_t c, next, state = 0;
    at += (size_t)utf8proc_iterate((const utf8proc_uint8_t *)m->byte + at,
                                   (utf8proc_ssize_t)(end - at), &c);
    while (at < end) {
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)m->byte + at,
                                              (utf8proc_ssize_t)(end - at), &next);
        if (utf8proc_grapheme_break_stateful(c, next, &state))
            break;
        at += (size_t)n;
        c = next;
    }
    return at;
}

/* Reordering marks costs the square of their number, and no script needs this many. */
enum { CLUSTER_LEN_MAX = 4096 };

/* One cluster: kept byte for byte with its origins if it does not change, else all of it stands for
 * all. */
static int normalize_cluster(struct pretokenize_work *w, size_t at, size_t end, int form,
                             struct err *e)
{
    if (end - at > CLUSTER_LEN_MAX)
        return err_set(e, ERR_BAD_INPUT,
                       "text · one character with %zu bytes of marks at byte %u · at most %d",
                       end - at, w->text.begin[at], CLUSTER_LEN_MAX);
    utf8proc_uint8_t *out = NULL;
    const utf8proc_uint8_t *in = (const utf8proc_uint8_t *)w->text.byte + at;
    utf8proc_ssize_t n = utf8proc_map(in, (utf8proc_ssize_t)(end - at), &out,
                                      (utf8proc_option_t)form);
    if (n < 0)
        return err_set(e, ERR_SYSTEM, "cannot normalize the text at byte %zu · %s", at,
                       utf8proc_errmsg(n));
    if ((size_t)n == end - at && memcmp(out, in, (size_t)n) == 0)
        mapped_copy(w, &w->text_next, &w->text, at, end);
    else
        mapped_push(w, &w->text_next, (const char *)out, (size_t)n, w->text.begin[at],
                    w->text.end[end - 1]);
    free(out);
    return 0;
}

static int unicode_piece(const struct pretokenize_step *s, struct pretokenize_work *w,
                         struct piece p, struct err *e)
{
    const struct mapped *m = &w->text;
    for (size_t at = p.begin; at < p.end;) {
        size_t plain = at; /* ASCII that no combining mark can follow */
        while (plain < p.end && (unsigned char)m->byte[plain] < 0x80)
            plain++;
        if (plain < p.end && plain > at)
            plain--;
        if (plain > at) {
            mapped_copy(w, &w->text_next, m, at, plain);
            at = plain;
            continue;
        }
        size_t end = cluster_end(m, at, p.end);
        int rc = normalize_cluster(w, at, end, s->form, e);
        if (rc)
            return rc;
        at = end;
    }
    return 0;
}

int step_unicode(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e)
{
    return each_piece(s, w, e, unicode_piece);
}

/* ---- characters
 * -------------------------------------------------------------------------------------- */

size_t char_len(unsigned char lead)
{
    return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

bool is_space(int32_t c)
{
    if (c < 0x80)
        return c == ' ' || (c >= '\t' && c <= '\r');
    utf8proc_category_t k = utf8proc_category(c);
    return c == 0x85 || k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL ||
           k == UTF8PROC_CATEGORY_ZP;
}

bool is_word(int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    default: break;
    }
    /* Join controls, and circled letters: symbols with the property Alphabetic. */
    return c == 0x200c || c == 0x200d || (c >= 0x24b6 && c <= 0x24e9) ||
           (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
           (c >= 0x1f170 && c <= 0x1f189);
}

/* GPT-2's bytes_to_unicode: printable Latin-1 stands for itself, the other 68 bytes for U+0100 and
 * up in order. */
static int32_t byte_level_code_point(int b)
{
    if (b <= 0x20)
        return 0x100 + b;
    if (b >= 0x7f && b <= 0xa0)
        return 0x121 + (b - 0x7f);
    return b == 0xad ? 0x143 : b;
}

size_t byte_level_char(unsigned char byte, char out[2])
{
    return (size_t)utf8proc_encode_char(byte_level_code_point(byte), (utf8proc_uint8_t *)out);
}

int byte_level_byte(int32_t c)
{
    int b = c < 0x100    ? (int)c
            : c <= 0x120 ? (int)c - 0x100
            : c <= 0x142 ? (int)c - 0x121 + 0x7f
                         : 0xad;
    return c >= 0 && c <= 0x143 && byte_level_code_point(b) == c ? b : -1;
}
