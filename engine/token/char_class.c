/* char_class.c - utf8proc's categories, put right where the reference's tables are of another year
 * (see char_class.h). */
#include "token/char_class.h"

#include <utf8proc.h>

#include "token/char_class_ranges.h"

#define CATEGORY(name) (1u << UTF8PROC_CATEGORY_##name)

enum {
    MARKS = CATEGORY(MN) | CATEGORY(MC) | CATEGORY(ME),
    LETTERS = CATEGORY(LU) | CATEGORY(LL) | CATEGORY(LT) | CATEGORY(LM) | CATEGORY(LO),
    NUMBERS = CATEGORY(ND) | CATEGORY(NL) | CATEGORY(NO),
    PUNCTUATION = CATEGORY(PC) | CATEGORY(PD) | CATEGORY(PS) | CATEGORY(PE) | CATEGORY(PI) |
                  CATEGORY(PF) | CATEGORY(PO),
    CONTROLS = CATEGORY(CC) | CATEGORY(CF) | CATEGORY(CO) | CATEGORY(CS),
    WORD = LETTERS | MARKS | CATEGORY(ND) | CATEGORY(NL) | CATEGORY(PC),
    SPACES = CATEGORY(ZS) | CATEGORY(ZL) | CATEGORY(ZP)
};

static bool of_category(int32_t c, unsigned set)
{
    return (set >> utf8proc_category(c)) & 1;
}

static bool in_ranges(int32_t c, const struct char_range *r, size_t n)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t middle = lo + (hi - lo) / 2;
        if (r[middle].last < c)
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo < n && r[lo].first <= c;
}

#define IN(c, ranges) in_ranges(c, ranges, sizeof(ranges) / sizeof *(ranges))

size_t char_len(unsigned char lead)
{
    return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

bool is_space(int32_t c)
{
    if (c < 0x80)
        return c == ' ' || (c >= '\t' && c <= '\r');
    return c == 0x85 || of_category(c, SPACES);
}

bool is_word(int32_t c)
{
    return of_category(c, WORD) || IN(c, word_also);
}

bool is_numeric(int32_t c)
{
    return of_category(c, NUMBERS) || IN(c, numeric_also);
}

bool is_punctuation(int32_t c)
{
    if (c < 0x80)
        return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
               (c >= '{' && c <= '~');
    return of_category(c, PUNCTUATION) ? !IN(c, punctuation_unless) : IN(c, punctuation_also);
}

bool is_control(int32_t c)
{
    return c != '\t' && c != '\n' && c != '\r' && of_category(c, CONTROLS) &&
           !IN(c, control_unless);
}

bool is_mark(int32_t c)
{
    return of_category(c, MARKS) ? !IN(c, mark_unless) : IN(c, mark_also);
}

bool is_nonspacing_mark(int32_t c)
{
    return of_category(c, CATEGORY(MN)) ? !IN(c, nonspacing_unless) : IN(c, nonspacing_also);
}

bool is_chinese(int32_t c)
{
    static const struct char_range blocks[] = {
        {0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},   {0x20000, 0x2a6df},
        {0x2a700, 0x2b73f}, {0x2b740, 0x2b81f}, {0x2b920, 0x2ceaf}, {0x2f800, 0x2fa1f}};
    return IN(c, blocks);
}

bool is_whole(int32_t c)
{
    return IN(c, whole_also);
}
