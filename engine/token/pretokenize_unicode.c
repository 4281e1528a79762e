/* pretokenize_unicode.c - rewriting by character: normal forms, case, accents, what BERT and
 * SentencePiece clean up.  Tested in tests/engine/test_tokenizer.c. */
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "token/char_class.h"
#include "token/pretokenize_steps.h"

/* ---- one character at a time
 * ------------------------------------------------------------------------- */

static int chars_of_piece(const struct pretokenize_step *s, struct pretokenize_work *w,
                          struct piece p, struct err *e)
{
    (void)e;
    for (size_t at = p.begin; at < p.end;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)w->text.byte + at,
                                              (utf8proc_ssize_t)(p.end - at), &c);
        if (n <= 0)
            return 0; /* cannot be: text is valid */
        s->rewrite_char(w, at, (size_t)n, c);
        at += (size_t)n;
    }
    return 0;
}

int step_chars(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e)
{
    return each_piece(s, w, e, chars_of_piece);
}

static void keep(struct pretokenize_work *w, size_t at, size_t n)
{
    mapped_copy(w, &w->text_next, &w->text, at, at + n);
}

static void put(struct pretokenize_work *w, size_t at, size_t n, const char *text, size_t len)
{
    mapped_push(w, &w->text_next, text, len, w->text.begin[at], w->text.end[at + n - 1]);
}

void char_lower(struct pretokenize_work *w, size_t at, size_t n, int32_t c)
{
    utf8proc_uint8_t out[8];
    utf8proc_ssize_t out_n = utf8proc_encode_char(utf8proc_tolower(c), out);
    if (c == 0x130) { /* the one character whose lower case is two */
        memcpy(out, "i\xcc\x87", 3);
        out_n = 3;
    }
    put(w, at, n, (const char *)out, (size_t)out_n);
}

void char_strip_mark(struct pretokenize_work *w, size_t at, size_t n, int32_t c)
{
    if (!is_mark(c))
        keep(w, at, n);
}

void char_strip_nonspacing(struct pretokenize_work *w, size_t at, size_t n, int32_t c)
{
    if (!is_nonspacing_mark(c))
        keep(w, at, n);
}

void char_bert_clean(struct pretokenize_work *w, size_t at, size_t n, int32_t c)
{
    if (c == 0 || c == 0xfffd || is_control(c))
        return;
    if (is_space(c))
        put(w, at, n, " ", 1);
    else
        keep(w, at, n);
}

void char_bert_chinese(struct pretokenize_work *w, size_t at, size_t n, int32_t c)
{
    bool apart = is_chinese(c);
    if (apart)
        put(w, at, n, " ", 1);
    keep(w, at, n);
    if (apart)
        put(w, at, n, " ", 1);
}

void char_nmt(struct pretokenize_work *w, size_t at, size_t n, int32_t c)
{
    static const char blanks[] = "\t\n\f\r";
    if ((c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f ||
        c == 0x9f)
        return;
    if ((c && c < 0x20 && strchr(blanks, (int)c)) || c == 0x1680 || (c >= 0x200b && c <= 0x200f) ||
        c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xfeff || c == 0xfffd)
        put(w, at, n, " ", 1);
    else
        keep(w, at, n);
}

/* ---- Unicode normal forms
 * ---------------------------------------------------------------------------- */

size_t cluster_end(const struct mapped *m, size_t at, size_t end)
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

/* The first or last code point that c is decomposed to. */
static int32_t decomposed(int32_t c, bool last)
{
    utf8proc_int32_t out[32];
    int state = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char(c, out, 32, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
                                                 &state);
    return n > 0 && n <= 32 ? out[last ? n - 1 : 0] : c;
}

/* Do the letters of two Korean characters compose?  Compatibility letters do so under NFKC, though
 * each is a cluster of its own. */
static bool hangul_composes(int32_t before, int32_t c)
{
    int32_t left = decomposed(before, true), right = decomposed(c, false);
    bool vowel = right >= 0x1161 && right <= 0x1175, final = right > 0x11a7 && right <= 0x11c2;
    return (vowel && left >= 0x1100 && left <= 0x1112) ||
           (final && left >= 0x1161 && left <= 0x1175);
}

static int32_t char_at(const struct mapped *m, size_t at, size_t end)
{
    utf8proc_int32_t c;
    return utf8proc_iterate((const utf8proc_uint8_t *)m->byte + at, (utf8proc_ssize_t)(end - at),
                            &c) > 0
               ? c
               : -1;
}

/* The end of what is normalized in one go from `at`: composition and reordering never cross it,
 * since what can follow a starter in a composition extends its cluster. */
static size_t unit_end(const struct mapped *m, size_t at, size_t end, int form)
{
    size_t stop = cluster_end(m, at, end);
    while (form & UTF8PROC_COMPAT && stop < end) {
        size_t last = stop - 1;
        while (last > at && ((unsigned char)m->byte[last] & 0xc0) == 0x80)
            last--;
        int32_t before = char_at(m, last, end), next = char_at(m, stop, end);
        if (next < 0x1161 || !hangul_composes(before, next))
            break;
        stop = cluster_end(m, stop, end);
    }
    return stop;
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

/* The end of the character at `at` if the reference does not decompose it, else `at`. */
static size_t whole_char(const struct mapped *m, size_t at, size_t end)
{
    return is_whole(char_at(m, at, end)) ? at + char_len((unsigned char)m->byte[at]) : at;
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
        size_t end = whole_char(m, at, p.end);
        if (end > at) {
            keep(w, at, end - at);
            at = end;
            continue;
        }
        end = unit_end(m, at, p.end, s->form);
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
