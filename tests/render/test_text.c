/* Tests of text.h: the rule checked from the outside (own list, utf8proc's decoder and categories,
 * wcwidth of a UTF-8 locale) over every byte, every code point alone and in context, and random
 * strings; and written cases. The program stays in the "C" locale, as under LC_ALL=C. */
#include "rule.h"
#include "text.h"
#include "unit.h"

/* Items obey the rule and cover the source; returns the columns, adds the cleaned text to *clean if
 * given. */
static int check_items(const char *s, size_t n, unsigned flags, struct bytes *clean)
{
    struct text_reader r;
    struct text_item item;
    size_t covered = 0;
    int width = 0;
    for (text_open(&r, s, n, flags); text_next(&r, &item);) {
        assert_null(rule_broken(&item, flags));
        if (item.source_len) {
            assert_ptr_equal(item.source, s + covered);
            covered += item.source_len;
        } else {
            assert_true(item.escaped);
        }
        width += item.width;
        if (clean)
            bytes_add(clean, item.utf8, item.len);
    }
    assert_int_equal(covered, n);
    return width;
}

/* Everything promised about a text as a whole: items, sources, width, idempotence, fields. */
static void check_text(const char *s, size_t n, unsigned flags)
{
    struct bytes clean = {0}, again = {0}, field = {0};
    int width = check_items(s, n, flags, &clean);
    assert_int_equal(text_width(s, n, flags), width);
    text_add(&again, clean.data ? clean.data : "", clean.len,
             flags & ~(unsigned)(TEXT_SPACES | TEXT_TOKEN));
    assert_int_equal(again.len, clean.len);
    if (clean.len)
        assert_memory_equal(again.data, clean.data, clean.len);
    int room = (int)(n % 7);
    text_fit(&field, s, n, flags, room);
    assert_in_range(text_width(field.data, field.len, flags & TEXT_UTF8PROC), 0, room);
    bytes_free(&clean);
    bytes_free(&again);
    bytes_free(&field);
}

static const unsigned flag_sets[] = {TEXT_PLAIN,
                                     TEXT_TOKEN,
                                     TEXT_SPACES,
                                     TEXT_ASCII,
                                     TEXT_ASCII | TEXT_TOKEN,
                                     TEXT_ASCII | TEXT_OWN,
                                     TEXT_UTF8PROC,
                                     TEXT_UTF8PROC | TEXT_TOKEN};
enum { FLAG_SETS = sizeof flag_sets / sizeof flag_sets[0] };

static void all_bytes(void **state)
{
    (void)state;
    for (int f = 0; f < FLAG_SETS; f++)
        for (int a = 0; a < 256; a++)
            for (int b = -1; b < 256; b++)
                check_text((char[]){(char)a, (char)b}, b < 0 ? 1 : 2, flag_sets[f]);
}

/* UTF-8 by arithmetic, surrogates included: they must be refused as bytes. */
static size_t raw_utf8(int32_t cp, char *out)
{
    int more = cp < 0x80 ? 0 : cp < 0x800 ? 1 : cp < 0x10000 ? 2 : 3;
    static const int lead[4] = {0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[more] | cp >> 6 * more);
    for (int i = 1; i <= more; i++)
        out[i] = (char)(0x80 | (cp >> 6 * (more - i) & 0x3f));
    return (size_t)more + 1;
}

/* Each code point alone, and behind and in front of these. */
static void all_code_points(void **state)
{
    (void)state;
    static const char *const before[] = {
        "", "a", "\u4e2d", "\u1100", "\u263a\ufe0e", "e\u0301\u0302", "\x1b[", "\xe4\xb8"};
    static const char *const after[] = {"", "\u0301", "\ufe0f", "\u1161\u11a8", "\x9b"};
    for (int32_t cp = 0; cp <= 0x10ffff; cp++) {
        const char *b = before[cp % 8], *a = after[cp % 5];
        bool crowded = cp < 0x20000 || (cp >= 0xe0000 && cp < 0xe1000) ||
                       cp % 64 == 0; /* mostly assigned */
        char text[32];
        check_items(text, raw_utf8(cp, text), TEXT_PLAIN, NULL);
        if (!crowded)
            continue;
        size_t n = strlen(b), tail = strlen(a);
        memcpy(text, b, n);
        n += raw_utf8(cp, text + n);
        memcpy(text + n, a, tail);
        check_text(text, n + tail, cp % 4 ? TEXT_PLAIN : flag_sets[cp / 4 % FLAG_SETS]);
    }
}

static void random_strings(void **state)
{
    (void)state;
    static const char *const piece[] = {
        "\x1b]0;", "\xc2\x9b",   "\xc2",       "\u202e",       "\u200d",           "\u0301",
        "\ufe0f",  "\U0001f600", "\U0001f3fb", "\u1100",       "\u1161",           "\u11a8",
        " ",       "\t",         "\n",         "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe4\xb8",
        "\u00e9",  "\u05d0",     "\U000e0041", "\u0915\u094d", "\ufffe",           "x",
        "\u00a0",  "\u3000"};
    uint64_t random = 7;
    for (int i = 0; i < 20000; i++) {
        char text[96];
        size_t n = 0, want = unit_random(&random) % 40;
        while (n < want) {
            uint64_t pick = unit_random(&random);
            if (pick & 1) {
                text[n++] = (char)(pick >> 8);
            } else {
                const char *p = piece[(pick >> 8) % (sizeof piece / sizeof piece[0])];
                memcpy(text + n, p, strlen(p));
                n += strlen(p);
            }
        }
        check_text(text, n, flag_sets[i % FLAG_SETS]);
    }
}

static void written_forms(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        unsigned flags;
        const char *out;
        int width;
    } cases[] = {
        {"plain", 0, "plain", 5},
        {" Mary", TEXT_TOKEN, " Mary", 5},
        {" ", TEXT_TOKEN, "\u00b7", 1},
        {"  \n", TEXT_TOKEN, "\u00b7\u00b7\u21b5", 3},
        {"\t", TEXT_TOKEN, "\u21e5", 1},
        {"a b ", TEXT_TOKEN, "a b\u00b7", 4},
        {"a b", TEXT_SPACES, "a\u00b7b", 3},
        {"\x1b[31m", 0, "\u241b[31m", 5},
        {"\x7f\r", 0, "\u2421\u240d", 2},
        {"\xe4\xb8", TEXT_TOKEN, "<E4 B8>", 7},
        {"\xe4\xb8\xe4\xb8\xe4", 0, "<E4 B8 E4 B8><E4>", 17},
        {"\xe4\xb8\xad", 0, "\u4e2d", 2},
        {"\x9b", 0, "<9B>", 4},
        {"\xc2\x9b", 0, "<U+009B>", 8},
        {"\u202e", 0, "<U+202E>", 8},
        {"a\u200bb", 0, "a<U+200B>b", 10},
        {"a\u06013", 0, "a<U+0601>3", 10},
        {"\xed\xa0\x80", 0, "<ED A0 80>", 10},
        {"\xc0\xaf", 0, "<C0 AF>", 7},
        {"\xf4\x90\x80\x80", 0, "<F4 90 80 80>", 13},
        {"e\u0301", 0, "e\u0301", 1},
        {"e\u0301\u0302\u0303", 0, "e\u0301\u0302<U+0303>", 9},
        {"\u0301", 0, "<U+0301>", 8},
        {"\u26a0\ufe0f", 0, "\u26a0<U+FE0F>", 9},
        {"\u26a0\ufe0e", 0, "\u26a0\ufe0e", 1},
        {"\U0001f600\ufe0f", 0, "\U0001f600\ufe0f", 2},
        {"\ufe0f", 0, "<U+FE0F>", 8},
        {"\u1112\u1161\u11ab", 0, "\u1112\u1161\u11ab", 2},
        {"a\u1161", 0, "a<U+1161>", 9},
        {"\u00a0", 0, "<U+00A0>", 8},
        {"\U0010ffff", 0, "<U+10FFFF>", 10},
        {"caf\u00e9", TEXT_ASCII, "caf<U+00E9>", 11},
        {"\x1b\n\t\x7f", TEXT_ASCII, "^[^J^I^?", 8},
        {" ", TEXT_ASCII | TEXT_TOKEN, "<20>", 4},
        {"\u25b6 \u2502\u2212\u253c\u00e9", TEXT_ASCII | TEXT_OWN, "> |-+<U+00E9>", 13},
        {"\u25b6", TEXT_ASCII, "<U+25B6>", 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bytes out = {0};
        text_add(&out, cases[i].in, strlen(cases[i].in), cases[i].flags);
        assert_string_equal(out.data, cases[i].out);
        assert_int_equal(text_width(cases[i].in, strlen(cases[i].in), cases[i].flags),
                         cases[i].width);
        bytes_free(&out);
    }
}

static void nul_bytes_and_empty(void **state)
{
    (void)state;
    struct bytes out = {0};
    text_add(&out, "a\0b", 3, 0);
    assert_string_equal(out.data, "a\u2400b");
    bytes_free(&out);
    assert_int_equal(text_width(NULL, 0, TEXT_TOKEN), 0);
}

static void assert_fit(const char *in, unsigned flags, int width, const char *expected)
{
    struct bytes out = {0};
    bytes_add_char(&out, '|');
    text_fit(&out, in, strlen(in), flags, width);
    assert_string_equal(out.data + 1, expected);
    bytes_free(&out);
}

static void fields(void **state)
{
    (void)state;
    assert_fit("Mary", 0, 6, "Mary");
    assert_fit("Mary", 0, 4, "Mary");
    assert_fit("Mary", 0, 3, "Ma\u2026");
    assert_fit("Mary", TEXT_ASCII, 3, "Ma~");
    assert_fit("Mary", 0, 1, "\u2026");
    assert_fit("Mary", 0, 0, "");
    assert_fit("\u4e2d\u4e2d", 0, 3, "\u4e2d\u2026");
    assert_fit("\u4e2d\u4e2d", 0, 2, "\u2026");
    assert_fit("\xe4\xb8", TEXT_TOKEN, 5, "<E4 \u2026");
}

static void copies_are_cut_between_items(void **state)
{
    (void)state;
    char small[6], one[1];
    assert_string_equal(text_copy(small, sizeof small, "ab\u4e2d\u4e2d", 8, 0), "ab\u4e2d");
    assert_string_equal(text_copy(small, sizeof small, "abcdefg", 7, 0), "abcde");
    assert_string_equal(text_copy(one, sizeof one, "abc", 3, 0), "");
}

/* Ill-formed parts are as long as the Unicode standard's maximal subparts (its table 3-8). */
static void decoding(void **state)
{
    (void)state;
    static const char text[] = "\x61\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf\x64";
    static const size_t lengths[] = {1, 3, 2, 1, 1, 1, 1, 1, 1, 1};
    size_t at = 0;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        int32_t cp;
        size_t used = text_decode(text + at, sizeof text - 1 - at, &cp);
        assert_int_equal(used, lengths[i]);
        assert_int_equal(cp, (unsigned char)text[at] < 0x80 ? text[at] : -1);
        at += used;
    }
    assert_int_equal(at, sizeof text - 1);
}

static void encoding_inverts_decoding(void **state)
{
    (void)state;
    for (int32_t cp = 0; cp <= 0x10ffff; cp += cp < 0x3000 ? 1 : 37) {
        if (cp >= 0xd800 && cp <= 0xdfff)
            continue;
        char text[4];
        int32_t back;
        size_t n = text_encode(cp, text);
        assert_int_equal(text_decode(text, n, &back), n);
        assert_int_equal(back, cp);
    }
}

static void the_checks_see_violations(void **state)
{
    (void)state;
    assert_true(rule_forbids(0x1b) && rule_forbids(0x9b) && rule_forbids(0x202e) &&
                rule_forbids(0x200b) && rule_forbids(0xe0041) && rule_forbids(0xe000) &&
                rule_forbids(0xfffe) && rule_forbids(0x2065) && rule_forbids(0xa0));
    assert_false(rule_forbids('a') || rule_forbids(0x4e2d) || rule_forbids(0x301) ||
                 rule_forbids(0xfe0f) || rule_forbids(0x5d0));
}

int main(void)
{
    if (!rule_open()) {
        printf("SKIP: no C.UTF-8 locale to compare widths with\n");
        return 0;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_checks_see_violations),
                                       cmocka_unit_test(written_forms),
                                       cmocka_unit_test(nul_bytes_and_empty),
                                       cmocka_unit_test(fields),
                                       cmocka_unit_test(copies_are_cut_between_items),
                                       cmocka_unit_test(decoding),
                                       cmocka_unit_test(encoding_inverts_decoding),
                                       cmocka_unit_test(all_bytes),
                                       cmocka_unit_test(all_code_points),
                                       cmocka_unit_test(random_strings)};
    int failed = cmocka_run_group_tests_name("text", tests, NULL, NULL);
    rule_close();
    return failed;
}
