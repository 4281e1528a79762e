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

#include "token/char_class.h"
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

void mapped_push(struct pretokenize_work *w, struct mapped *m, const char *byte, size_t n,
                 uint32_t begin, uint32_t end)
{
    if (!n || !text_reserve(w, m, n))
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
    return w->out_of_memory ? err_memory(e, "a text of %zu bytes", w->text.len) : 0;
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

int step_split_chars(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e)
{
    (void)e;
    for (size_t i = 0; i < w->pieces.count; i++) {
        struct piece p = w->pieces.at[i];
        struct cutter c = {.w = w, .behavior = s->behavior};
        size_t done = p.begin;
        for (size_t at = p.begin, n; at < p.end; at += n) {
            utf8proc_int32_t point;
            n = char_len((unsigned char)w->text.byte[at]);
            utf8proc_iterate((const utf8proc_uint8_t *)w->text.byte + at, (utf8proc_ssize_t)n,
                             &point);
            if (!s->is_delimiter(point))
                continue;
            if (done < at)
                cut(&c, done, at, false);
            cut(&c, at, at + n, true);
            done = at + n;
        }
        if (done < p.end)
            cut(&c, done, p.end, false);
        cut_flush(&c);
    }
    swap_pieces(w);
    return 0;
}

int step_chunks(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e)
{
    (void)e;
    for (size_t i = 0; i < w->pieces.count; i++) {
        struct piece p = w->pieces.at[i];
        int64_t chars = 0;
        for (size_t at = p.begin; at < p.end; at += char_len((unsigned char)w->text.byte[at]))
            if (chars++ % s->chars == 0 && at > p.begin) {
                piece_push(w, &w->pieces_next, p.begin, at);
                p.begin = (uint32_t)at;
            }
        piece_push(w, &w->pieces_next, p.begin, p.end);
    }
    swap_pieces(w);
    return 0;
}

/* ---- rewriting
 * --------------------------------------------------------------------------------------- */

int each_piece(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e,
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
        size_t last = end; /* what is put there stands for the last character of what goes */
        while (last > begin && ((unsigned char)w->text.byte[--last] & 0xc0) == 0x80)
            ;
        uint32_t from = last < p.end      ? w->text.begin[last]
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

int byte_level_byte(int32_t c)
{
    int b = c < 0x100    ? (int)c
            : c <= 0x120 ? (int)c - 0x100
            : c <= 0x142 ? (int)c - 0x121 + 0x7f
                         : 0xad;
    return c >= 0 && c <= 0x143 && byte_level_code_point(b) == c ? b : -1;
}

static int bytes_of_piece(const struct pretokenize_step *s, struct pretokenize_work *w,
                          struct piece p, struct err *e)
{
    (void)s, (void)e;
    for (size_t i = p.begin; i < p.end; i++) {
        utf8proc_uint8_t c[2];
        size_t n = (size_t)utf8proc_encode_char(
            byte_level_code_point((unsigned char)w->text.byte[i]), c);
        mapped_push(w, &w->text_next, (const char *)c, n, w->text.begin[i], w->text.end[i]);
    }
    return 0;
}

int step_bytes(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e)
{
    return each_piece(s, w, e, bytes_of_piece);
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
