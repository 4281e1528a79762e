/* Tests of table.h: written forms, alignment of wide and refused characters, TSV that reads back.
 */
#include "table.h"
#include "text.h"
#include "unit.h"

#include <math.h>

static const struct table_column columns[] = {{"name", TABLE_TEXT, 0, 12, TEXT_TOKEN},
                                              {"n", TABLE_INT, 0, 0, 0},
                                              {"mean", TABLE_NUMBER, 2, 0, 0},
                                              {"note", TABLE_TEXT, 0, 0, 0}};

static struct table *example(void)
{
    struct table *t = table_new(columns, 4);
    table_string(t, " Mary");
    table_int(t, 15);
    table_number(t, -0.03125F);
    table_string(t, "a\tb\\");
    table_text(t, "\xe4\xb8", 2);
    table_blank(t);
    table_number(t, NAN);
    table_blank(t);
    table_string(t, "blocks.0.attn.hook_q");
    table_int(t, -7);
    table_number(t, 1e20F);
    table_string(t, "\u4e2d\u202e\x1b");
    table_string(t, "\u4e2d");
    return t;
}

static void plain(void **state)
{
    (void)state;
    struct table *t = example();
    struct bytes out = {0};
    table_plain(t, &out);
    assert_string_equal(out.data, "name           n     mean  note\n"
                                  " Mary         15    -0.03  a\u21e5b\\\n"
                                  "<E4 B8>               NaN\n"
                                  "blocks.0.at\u2026  -7  1.00e20  \u4e2d<U+202E>\u241b\n"
                                  "\u4e2d\n");
    table_free(t);
    bytes_free(&out);
}

static void tsv(void **state)
{
    (void)state;
    struct table *t = example();
    struct bytes out = {0};
    table_tsv(t, &out);
    assert_string_equal(out.data, "name\tn\tmean\tnote\n"
                                  " Mary\t15\t-0.03125\ta\\tb\\\\\n"
                                  "\\xE4\\xB8\t\tNaN\t\n"
                                  "blocks.0.attn.hook_q\t-7\t1e+20\t\u4e2d\\xE2\\x80\\xAE\\x1B\n"
                                  "\u4e2d\t\t\t\n");
    table_free(t);
    bytes_free(&out);
}

static size_t unescape(const char *s, size_t n, char *to)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        if (s[i] != '\\') {
            to[len++] = s[i];
        } else if (s[++i] == 'x') {
            assert_int_equal(sscanf(s + i + 1, "%2X", &byte), 1);
            to[len++] = (char)byte;
            i += 2;
        } else {
            to[len++] = s[i] == 't' ? '\t' : s[i] == 'n' ? '\n' : s[i] == 'r' ? '\r' : '\\';
        }
    }
    return len;
}

/* Any bytes: one line, nothing unsafe in it, and the same bytes come back. */
static void tsv_reads_back(void **state)
{
    (void)state;
    static const struct table_column one[] = {{"t", TABLE_TEXT, 0, 0, 0}};
    uint64_t random = 21;
    for (int i = 0; i < 5000; i++) {
        char text[40], back[400];
        size_t n = unit_random(&random) % sizeof text;
        for (size_t k = 0; k < n; k++)
            text[k] = (char)(unit_random(&random) >> 20);
        struct table *t = table_new(one, 1);
        struct bytes out = {0};
        table_text(t, text, n);
        table_tsv(t, &out);
        assert_memory_equal(out.data, "t\n", 2);
        assert_ptr_equal(memchr(out.data + 2, '\n', out.len - 2), out.data + out.len - 1);
        struct text_reader r;
        struct text_item item;
        for (text_open(&r, out.data + 2, out.len - 3, 0); text_next(&r, &item);)
            assert_false(item.escaped);
        assert_int_equal(unescape(out.data + 2, out.len - 3, back), n);
        assert_memory_equal(back, text, n);
        table_free(t);
        bytes_free(&out);
    }
}

static void empty(void **state)
{
    (void)state;
    struct table *t = table_new(columns, 4);
    struct bytes out = {0};
    table_plain(t, &out);
    assert_string_equal(out.data, "name  n  mean  note\n");
    assert_false(table_failed(t));
    table_free(t);
    bytes_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(plain), cmocka_unit_test(tsv),
                                       cmocka_unit_test(tsv_reads_back), cmocka_unit_test(empty)};
    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
