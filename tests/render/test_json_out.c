/* Tests of json_out.h: written forms, and any bytes and floats read back by jansson. */
#include "json_out.h"
#include "text.h"
#include "unit.h"

#include <float.h>
#include <jansson.h>
#include <math.h>

static void forms(void **state)
{
    (void)state;
    struct bytes out = {0};
    struct json_out j;
    json_out_begin(&j, &out);
    json_out_object(&j);
    json_out_array(json_out_key(&j, "tokens"));
    json_out_int(&j, -3);
    json_out_string(&j, "a\"\\\n\x1b\x7f");
    json_out_string(&j, NULL);
    json_out_close(&j);
    json_out_object(json_out_key(&j, "empty"));
    json_out_close(&j);
    json_out_floats(json_out_key(&j, "v"), (const float[]){0.1F, NAN, INFINITY, -1e-10F, 16777216},
                    5);
    json_out_double(json_out_key(&j, "d"), 0.1);
    json_out_bool(json_out_key(&j, "ok"), true);
    json_out_ints(json_out_key(&j, "ids"), (const int64_t[]){1, INT64_MIN}, 2);
    json_out_close(&j);
    json_out_end(&j);
    assert_string_equal(out.data,
                        "{\n\"tokens\":[-3,\"a\\\"\\\\\\n\\u001b\\u007f\",null],\n\"empty\":{},\n"
                        "\"v\":[0.1,null,null,-1e-10,16777216],\n\"d\":0.1,\n\"ok\":true,\n"
                        "\"ids\":[1,-9223372036854775808]\n}\n");
    bytes_free(&out);
}

static void assert_text(const char *in, size_t n, const char *expected)
{
    struct bytes out = {0};
    struct json_out j;
    json_out_begin(&j, &out);
    json_out_text(&j, in, n);
    json_out_end(&j);
    assert_string_equal(out.data, expected);
    bytes_free(&out);
}

static void texts(void **state)
{
    (void)state;
    assert_text("\u4e2d\u00e9", 5, "\"\u4e2d\u00e9\"\n");
    assert_text("\xc2\x9b\u202e", 5, "\"\\u009b\\u202e\"\n");
    assert_text("\U000e0041", 4, "\"\\udb40\\udc41\"\n");
    assert_text("\xe4\xb8", 2, "\"\xef\xbf\xbd\"\n"); /* one ill-formed part */
    assert_text("\xe4\xb8\xe4\xb8", 4, "\"\xef\xbf\xbd\xef\xbf\xbd\"\n");
    assert_text("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"\n");
    assert_text("a\0b", 3, "\"a\\u0000b\"\n");
    assert_text("", 0, "\"\"\n");
}

/* What a reader must get: ill-formed parts as U+FFFD, all else as it is. */
static size_t expected_utf8(const char *s, size_t n, char *to)
{
    size_t len = 0;
    for (size_t at = 0; at < n;) {
        int32_t cp;
        size_t used = text_decode(s + at, n - at, &cp);
        len += text_encode(cp < 0 ? 0xfffd : cp, to + len);
        at += used;
    }
    return len;
}

static void any_bytes_read_back(void **state)
{
    (void)state;
    static const char *const piece[] = {"\"",     "\\",       "\u202e",      "\U0001f600",
                                        "\u0301", "\xe4\xb8", "\xed\xa0\x80"};
    uint64_t random = 31;
    for (int i = 0; i < 20000; i++) {
        char text[80], expected[320];
        size_t n = 0, want = unit_random(&random) % 60;
        while (n < want) {
            uint64_t pick = unit_random(&random);
            const char *p = piece[(pick >> 8) % 7];
            if (pick & 3)
                text[n++] = (char)(pick >> 20);
            else
                n += (size_t)snprintf(text + n, sizeof text - n, "%s", p);
        }
        struct bytes out = {0};
        struct json_out j;
        json_out_begin(&j, &out);
        json_out_array(&j);
        json_out_text(&j, text, n);
        json_out_close(&j);
        json_out_end(&j);
        for (size_t k = 0; k < out.len; k++)
            assert_true(out.data[k] == '\n' || (unsigned char)out.data[k] >= 0x20);
        json_t *doc = json_loadb(out.data, out.len, JSON_ALLOW_NUL, NULL);
        assert_non_null(doc);
        const json_t *s = json_array_get(doc, 0);
        size_t len = expected_utf8(text, n, expected);
        assert_int_equal(json_string_length(s), len);
        assert_memory_equal(json_string_value(s), expected, len);
        json_decref(doc);
        bytes_free(&out);
    }
}

static void floats_read_back(void **state)
{
    (void)state;
    uint64_t random = 17;
    struct bytes out = {0};
    struct json_out j;
    float v[5000];
    double d[5000];
    json_out_begin(&j, &out);
    json_out_array(&j);
    for (int i = 0; i < 5000; i++) {
        uint64_t bits = unit_random(&random);
        memcpy(&v[i], &bits, sizeof v[i]);
        v[i] = isfinite(v[i]) ? v[i] : FLT_MAX;
        bits = unit_random(&random);
        memcpy(&d[i], &bits, sizeof d[i]);
        d[i] = isfinite(d[i]) ? d[i] : DBL_MIN;
        json_out_float(&j, v[i]);
        json_out_double(&j, d[i]);
    }
    json_out_close(&j);
    json_out_end(&j);
    json_t *doc = json_loadb(out.data, out.len, 0, NULL);
    assert_non_null(doc);
    for (size_t i = 0; i < 5000; i++) {
        assert_true((float)json_number_value(json_array_get(doc, 2 * i)) == v[i]);
        assert_true(json_number_value(json_array_get(doc, 2 * i + 1)) == d[i]);
    }
    json_decref(doc);
    bytes_free(&out);
}

static void one_line_has_no_newline(void **state)
{
    (void)state;
    struct bytes out = {0};
    struct json_out j;
    json_out_begin(&j, &out);
    j.one_line = true;
    json_out_array(&j);
    json_out_int(&j, 1);
    json_out_array(&j);
    json_out_close(&j);
    json_out_close(&j);
    json_out_end(&j);
    assert_string_equal(out.data, "[1,[]]");
    bytes_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms), cmocka_unit_test(texts), cmocka_unit_test(any_bytes_read_back),
        cmocka_unit_test(floats_read_back), cmocka_unit_test(one_line_has_no_newline)};
    return cmocka_run_group_tests_name("json_out", tests, NULL, NULL);
}
