/* Tests of spark.h. */
#include "spark.h"
#include "unit.h"

#include <math.h>

static void lines(void **state)
{
    (void)state;
    const float v[] = {0, 0.1F, 0.3F, 0.999F, 1, NAN, -INFINITY, INFINITY};
    struct scale s = scale_make(SCALE_LINEAR, 0, 1);
    struct bytes out = {0};
    struct canvas *c = canvas_new(8, 3);
    assert_int_equal(spark_put(c, (struct rect){1, 0, 4, 1}, 0, 0, canvas_plain(0), v, 8, s), 8);
    spark_put(c, canvas_rect(c), 0, 1, canvas_plain(0), v, 8, s);
    c->ascii = true;
    spark_put(c, canvas_rect(c), 0, 2, canvas_plain(0), v, 8, s);
    canvas_dump_plain(c, &out);
    assert_string_equal(out.data, " \u2581\u2581\u2583\u2588\n"
                                  "\u2581\u2581\u2583\u2588\u2588!\u2581\u2588\n"
                                  "11388!18\n");
    canvas_free(c);
    bytes_free(&out);
}

/* Bars of several lines end in eighths of a cell; the least is seen, in ASCII too. */
static void bars(void **state)
{
    (void)state;
    const float v[] = {0, 0.25F, 0.5F, 0.8125F, 1, NAN, 7};
    struct scale s = scale_make(SCALE_LINEAR, 0, 1);
    for (int ascii = 0; ascii < 2; ascii++) {
        struct bytes out = {0};
        struct canvas *c = canvas_new(8, 2);
        c->ascii = ascii;
        for (int i = 0; i < 7; i++)
            spark_bar(c, (struct rect){i, 0, i == 6 ? 2 : 1, 2}, canvas_plain(0), v[i], s);
        canvas_dump_plain(c, &out);
        assert_string_equal(out.data, ascii ? "   ## ##\n#####!##\n"
                                            : "   \u2585\u2588 \u2588\u2588\n"
                                              "\u2581\u2584\u2588\u2588\u2588!\u2588\u2588\n");
        canvas_free(c);
        bytes_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines), cmocka_unit_test(bars)};
    return cmocka_run_group_tests_name("spark", tests, NULL, NULL);
}
