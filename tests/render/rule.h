/* rule.h - what text.h promises of one item, checked from the outside: own list, utf8proc's decoder
 * and categories, wcwidth of a UTF-8 locale.  For test_text.c and the fuzz harness. */
#ifndef RULE_H
#define RULE_H

#include <locale.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <utf8proc.h>
#include <wchar.h>

#include "text.h"

static locale_t rule_locale; /* for the checks' own wcwidth */

static inline bool rule_open(void)
{
    rule_locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    return rule_locale != (locale_t)0;
}

static inline void rule_close(void)
{
    freelocale(rule_locale);
}

static inline int rule_width(int32_t cp, unsigned flags)
{
    if (flags & TEXT_UTF8PROC)
        return utf8proc_charwidth(cp);
    locale_t before = uselocale(rule_locale);
    int width = wcwidth((wchar_t)cp);
    (void)uselocale(before);
    return width;
}

static inline bool rule_in(int32_t cp, int32_t first, int32_t last)
{
    return cp >= first && cp <= last;
}

/* May never be shown, wherever it stands. */
static inline bool rule_forbids(int32_t cp)
{
    switch (utf8proc_category(cp)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return true;
    case UTF8PROC_CATEGORY_ZS: return cp != ' ';
    default:
        return cp < 0x20 || rule_in(cp, 0x7f, 0x9f) || cp == 0xad || cp == 0x61c ||
               rule_in(cp, 0x115f, 0x1160) || cp == 0x180e || rule_in(cp, 0x200b, 0x200f) ||
               rule_in(cp, 0x2028, 0x202e) || rule_in(cp, 0x2060, 0x206f) || cp == 0x3164 ||
               cp == 0xfeff || cp == 0xffa0 || rule_in(cp, 0xfff9, 0xfffb) ||
               rule_in(cp, 0xfdd0, 0xfdef) || (cp & 0xfffe) == 0xfffe ||
               rule_in(cp, 0xe0000, 0xe0fff);
    }
}

/* NULL, or which promise the item breaks. */
static inline const char *rule_broken(const struct text_item *item, unsigned flags)
{
    int width = 0, n = 0;
    if (item->len < 1 || item->len >= TEXT_ITEM_BYTES || strlen(item->utf8) != item->len)
        return "length";
    for (int at = 0; at < item->len; n++) {
        utf8proc_int32_t cp;
        utf8proc_ssize_t used = utf8proc_iterate((const utf8proc_uint8_t *)item->utf8 + at,
                                                 item->len - at, &cp);
        if (used <= 0)
            return "valid UTF-8";
        if (rule_forbids(cp))
            return "no forbidden code point";
        int w = rule_width(cp, flags);
        if (w < 0 || (n == 0) != (w > 0))
            return "one base, then marks";
        if (n != 1 && rule_in(cp, 0xfe00, 0xfe0f))
            return "no selector alone";
        if (flags & TEXT_ASCII && !rule_in(cp, 0x20, 0x7e))
            return "ASCII";
        width += w;
        at += (int)used;
    }
    if (n > 3)
        return "at most two marks";
    return width == item->width && rule_in(width, 1, 2) ? NULL : "width";
}

#endif
