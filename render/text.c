/* text.c - the sanitizer.
 *
 * It must not know who shows the text or where.  Invariant: every item it gives out is one cell of
 * text that passes text_classify, so that concatenated items are clean text again. Tested in
 * tests/render/test_text.c, tests/fuzz/fuzz_text.c. */
#include "text.h"

#include <assert.h>
#include <limits.h>
#include <langinfo.h>
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>
#include <wchar.h>

/* ---- code points ---- */

size_t text_decode(const char *s, size_t n, int32_t *cp)
{
    const unsigned char *b = (const unsigned char *)s;
    assert(n > 0);
    *cp = -1;
    if (b[0] < 0x80) {
        *cp = b[0];
        return 1;
    }
    size_t len = b[0] >= 0xf0 ? 4 : b[0] >= 0xe0 ? 3 : 2;
    if (b[0] < 0xc2 || b[0] > 0xf4)
        return 1;
    /* Second bytes that would make an overlong form, a surrogate or more than U+10FFFF (Unicode
     * table 3-7). */
    unsigned lo = b[0] == 0xe0 ? 0xa0 : b[0] == 0xf0 ? 0x90 : 0x80;
    unsigned hi = b[0] == 0xed ? 0x9f : b[0] == 0xf4 ? 0x8f : 0xbf;
    int32_t value = b[0] & (0x7f >> len);
    for (size_t i = 1; i < len; i++) {
        if (i >= n || b[i] < lo || b[i] > hi)
            return i;
        value = value << 6 | (b[i] & 0x3f);
        lo = 0x80;
        hi = 0xbf;
    }
    *cp = value;
    return len;
}

size_t text_encode(int32_t cp, char out[4])
{
    assert(cp >= 0 && cp <= 0x10ffff && (cp < 0xd800 || cp > 0xdfff));
    return (size_t)utf8proc_encode_char(cp, (utf8proc_uint8_t *)out);
}

static pthread_once_t locale_once = PTHREAD_ONCE_INIT;
static locale_t utf8_locale; /* lives as long as the program; 0: there is none */

static void locale_find(void)
{
    utf8_locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (utf8_locale)
        return;
    utf8_locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    if (utf8_locale && strcmp(nl_langinfo_l(CODESET, utf8_locale), "UTF-8") != 0) {
        freelocale(utf8_locale);
        utf8_locale = (locale_t)0;
    }
}

/* Columns of one code point by the rule of text.h; negative where it has none. */
static int char_width(int32_t cp, unsigned flags)
{
    if (cp >= 0x20 && cp < 0x7f)
        return 1;
    if (cp < 0xa0)
        return -1;
    (void)pthread_once(&locale_once, locale_find);
    if (!utf8_locale || flags & TEXT_UTF8PROC)
        return utf8proc_charwidth(cp);
    locale_t before = uselocale(utf8_locale);
    int width = wcwidth((wchar_t)cp);
    (void)uselocale(before);
    return width;
}

/* Invisible ones that are letters or marks by their category. */
static bool is_filler(int32_t cp)
{
    return cp == 0x115f || cp == 0x1160 || cp == 0x3164 || cp == 0xffa0 ||
           (cp >= 0xe0000 && cp <= 0xe0fff);
}

static bool is_jamo_vowel(int32_t cp)
{
    return (cp >= 0x1161 && cp <= 0x11a7) || (cp >= 0xd7b0 && cp <= 0xd7c6);
}

static bool is_jamo_tail(int32_t cp)
{
    return (cp >= 0x11a8 && cp <= 0x11ff) || (cp >= 0xd7cb && cp <= 0xd7fb);
}

enum text_class text_classify(int32_t cp, unsigned flags)
{
    if (cp < 0x20 || cp == 0x7f)
        return TEXT_CLASS_CONTROL;
    if (cp < 0x7f)
        return TEXT_CLASS_BASE;
    if (cp >= 0xfe00 && cp <= 0xfe0f)
        return TEXT_CLASS_SELECTOR;
    if (cp > 0x10ffff || is_filler(cp))
        return TEXT_CLASS_REFUSED;
    const utf8proc_property_t *p = utf8proc_get_property(cp);
    bool mark = false;
    switch (p->category) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF: /* signs that span digits, too: terminals give them 0 or 1 column */
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return TEXT_CLASS_REFUSED;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME: mark = true; break;
    case UTF8PROC_CATEGORY_MC:
        mark = char_width(cp, flags) == 0; /* most take a column of their own */
        break;
    default: mark = is_jamo_vowel(cp) || is_jamo_tail(cp); break;
    }
    int width = char_width(cp, flags);
    if (p->ignorable || width < 0 || (width == 0) != mark)
        return TEXT_CLASS_REFUSED;
    return mark ? TEXT_CLASS_MARK : TEXT_CLASS_BASE;
}

/* ---- items ---- */

/* Characters of our own screens and what stands for them in ASCII. */
static char own_glyph(int32_t cp)
{
    static const struct {
        int32_t cp;
        char ascii;
    } own[] = {
        {0x00b7, '.'}, {0x00d7, 'x'}, {0x0394, 'D'}, {0x2013, '-'}, {0x2026, '~'}, {0x2039, '<'},
        {0x203a, '>'}, {0x2190, '<'}, {0x2191, '^'}, {0x2192, '>'}, {0x2193, 'v'}, {0x21b5, '/'},
        {0x21e5, '>'}, {0x2202, 'd'}, {0x2212, '-'}, {0x2260, '!'}, {0x2500, '-'}, {0x2502, '|'},
        {0x2588, '#'}, {0x2591, '.'}, {0x2592, '+'}, {0x2593, '%'}, {0x25a1, 'o'}, {0x25b6, '>'},
        {0x25b8, '>'}, {0x25bc, 'v'}, {0x25c0, '<'}, {0x2713, '+'}, {0x2717, 'x'},
    };
    if (cp > 0x2502 && cp < 0x2580)
        return '+'; /* corners and crossings of boxes */
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (own[i].cp == cp)
            return own[i].ascii;
    return '\0';
}

static bool is_white(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

void text_open(struct text_reader *r, const char *s, size_t n, unsigned flags)
{
    static const char empty[] = "";
    if (n == 0)
        s = empty; /* NULL is allowed then */
    *r = (struct text_reader){.at = s, .end = s + n, .visible = s + n, .flags = flags};
    if (flags & TEXT_SPACES)
        r->visible = s;
    else if (flags & TEXT_TOKEN)
        while (r->visible > s && is_white(r->visible[-1]))
            r->visible--;
    r->pending_at = r->pending;
}

static void item_char(struct text_item *item, int32_t cp)
{
    item->len = (uint8_t)text_encode(cp, item->utf8);
    item->width = 1;
}

/* The next character of r->pending. */
static void item_pending(struct text_reader *r, struct text_item *item)
{
    item->utf8[0] = *r->pending_at++;
    item->len = 1;
    item->width = 1;
    item->escaped = true;
}

static void item_control(struct text_reader *r, struct text_item *item, int32_t cp, bool space)
{
    item->escaped = true;
    if (!(r->flags & TEXT_ASCII)) {
        item_char(item, space        ? 0xb7
                        : cp == '\n' ? 0x21b5
                        : cp == '\t' ? 0x21e5
                        : cp == 0x7f ? 0x2421
                                     : 0x2400 + cp);
        return;
    }
    r->pending_at = r->pending;
    (void)snprintf(r->pending, sizeof r->pending, space ? "<20>" : "^%c", (char)(cp ^ 0x40));
    item_pending(r, item);
}

/* Up to four ill-formed bytes; `used` of them are known. */
static void item_bytes(struct text_reader *r, struct text_item *item, size_t used)
{
    while (r->at + used < r->end && used < 4) {
        int32_t cp;
        size_t more = text_decode(r->at + used, (size_t)(r->end - r->at) - used, &cp);
        if (cp >= 0 || used + more > 4)
            break;
        used += more;
    }
    char *to = r->pending;
    for (size_t i = 0; i < used; i++)
        to += snprintf(to, 4, "%c%02X", i ? ' ' : '<', (unsigned)(unsigned char)r->at[i]);
    memcpy(to, ">", 2);
    r->pending_at = r->pending;
    item_pending(r, item);
    item->source_len = used;
}

/* May `cp`, a mark or selector, stand behind `before` in the cell that `item` holds so far? */
static bool mark_fits(const struct text_item *item, int32_t base, int32_t before, int32_t cp,
                      unsigned flags)
{
    switch (text_classify(cp, flags)) {
    case TEXT_CLASS_SELECTOR: /* U+FE0F widens a narrow base on some terminals, U+FE0E narrows a
                                 wide one */
        return before == base &&
               (cp == 0xfe0f ? item->width == 2 : cp != 0xfe0e || item->width == 1);
    case TEXT_CLASS_MARK:
        if (is_jamo_vowel(cp))
            return (before >= 0x1100 && before <= 0x115e) || (before >= 0xa960 && before <= 0xa97c);
        if (is_jamo_tail(cp))
            return (before >= 0xac00 && before <= 0xd7a3) || is_jamo_vowel(before);
        return true;
    default: return false;
    }
}

static void item_grapheme(struct text_reader *r, struct text_item *item, int32_t base, size_t used)
{
    memcpy(item->utf8, r->at, used);
    item->width = (uint8_t)char_width(base, r->flags);
    int32_t before = base;
    for (int marks = 0; marks < 2 && r->at + used < r->end && !(r->flags & TEXT_ASCII); marks++) {
        int32_t cp;
        size_t more = text_decode(r->at + used, (size_t)(r->end - r->at) - used, &cp);
        if (cp < 0x300 || !mark_fits(item, base, before, cp, r->flags))
            break;
        memcpy(item->utf8 + used, r->at + used, more);
        used += more;
        before = cp;
    }
    item->len = (uint8_t)used;
    item->source_len = used;
}

bool text_next(struct text_reader *r, struct text_item *item)
{
    *item = (struct text_item){.source = r->at};
    if (*r->pending_at) {
        item_pending(r, item);
        return true;
    }
    if (r->at >= r->end)
        return false;
    int32_t cp;
    size_t used = text_decode(r->at, (size_t)(r->end - r->at), &cp);
    item->source_len = used;
    enum text_class class = cp < 0 ? TEXT_CLASS_REFUSED : text_classify(cp, r->flags);
    bool space = cp == ' ' && r->at >= r->visible;
    if (cp < 0) {
        item_bytes(r, item, used);
    } else if (class == TEXT_CLASS_CONTROL || space) {
        item_control(r, item, cp, space);
    } else if (class == TEXT_CLASS_BASE && (cp < 0x7f || !(r->flags & TEXT_ASCII))) {
        item_grapheme(r, item, cp, used);
    } else if (r->flags & TEXT_OWN && r->flags & TEXT_ASCII && own_glyph(cp)) {
        item_char(item, own_glyph(cp));
    } else {
        (void)snprintf(r->pending, sizeof r->pending, "<U+%04X>", (unsigned)cp);
        r->pending_at = r->pending;
        item_pending(r, item);
    }
    r->at += item->source_len;
    return true;
}

/* ---- whole texts ---- */

int text_width(const char *s, size_t n, unsigned flags)
{
    struct text_reader r;
    struct text_item item;
    int width = 0;
    for (text_open(&r, s, n, flags); text_next(&r, &item) && width < INT_MAX - 2;)
        width += item.width;
    return width;
}

void text_add(struct bytes *out, const char *s, size_t n, unsigned flags)
{
    struct text_reader r;
    struct text_item item;
    for (text_open(&r, s, n, flags); text_next(&r, &item);)
        bytes_add(out, item.utf8, item.len);
}

char *text_copy(char *dst, size_t size, const char *s, size_t n, unsigned flags)
{
    struct text_reader r;
    struct text_item item;
    size_t len = 0;
    assert(size > 0);
    for (text_open(&r, s, n, flags); text_next(&r, &item) && item.len < size - len; len += item.len)
        memcpy(dst + len, item.utf8, item.len);
    dst[len] = '\0';
    return dst;
}

void text_fit(struct bytes *out, const char *s, size_t n, unsigned flags, int width)
{
    struct text_reader r;
    struct text_item item;
    size_t cut = out->len;
    int columns = 0;
    for (text_open(&r, s, n, flags); text_next(&r, &item);) {
        if (columns + item.width > width) {
            if (width > 0 && !out->failed) {
                out->len = cut;
                bytes_add_string(out, flags & TEXT_ASCII ? "~" : "\u2026");
            }
            return;
        }
        bytes_add(out, item.utf8, item.len);
        columns += item.width;
        if (columns < width)
            cut = out->len;
    }
}
