/* Tests of kitty.h: the sequences are taken apart again and the pixels compared. */
#include "kitty.h"
#include "unit.h"

#include <stdlib.h>
#include <zlib.h>

/* Four digits at p to at most three bytes at `to`; returns how many. */
static size_t base64_quad(const char *p, unsigned char *to)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned v = 0;
    size_t n = p[2] == '=' ? 1 : p[3] == '=' ? 2 : 3;
    for (int i = 0; i < 4; i++) {
        const char *at = p[i] == '=' ? digit : strchr(digit, p[i]);
        assert_non_null(at);
        v = v << 6 | (unsigned)(at - digit);
    }
    for (size_t i = 0; i < n; i++)
        to[i] = (unsigned char)(v >> (16 - 8 * i));
    return n;
}

/* All chunks: checks framing and sizes, joins the payload. */
static size_t join_chunks(const struct bytes *b, const char *first_keys, unsigned char *payload)
{
    const char *p = b->data, *end = b->data + b->len;
    size_t n = 0;
    for (bool first = true, more = true; more; first = false) {
        assert_memory_equal(p, "\033_G", 3);
        p += 3;
        const char *keys = first ? first_keys : "q=2,";
        assert_memory_equal(p, keys, strlen(keys));
        p += strlen(keys);
        assert_memory_equal(p, "m=", 2);
        more = p[2] == '1';
        assert_int_equal(p[3], ';');
        p += 4;
        const char *stop = strchr(p, '\033');
        assert_non_null(stop);
        assert_true(stop - p <= 4096 && (stop - p) % 4 == 0 && (!more || stop - p == 4096));
        for (; p < stop; p += 4)
            n += base64_quad(p, payload + n);
        assert_memory_equal(p, "\033\\", 2);
        p += 2;
    }
    assert_ptr_equal(p, end);
    return n;
}

static void pictures_come_back(void **state)
{
    (void)state;
    uint64_t random = 9;
    for (int i = 0; i < 40; i++) {
        int w = 1 + (int)(unit_random(&random) % 130), h = 1 + (int)(unit_random(&random) % 90);
        struct image im;
        struct bytes out = {0};
        assert_int_equal(image_new(&im, w, h), IMAGE_OK);
        im.n_colors = 256;
        for (int c = 0; c < 256; c++)
            im.palette[c] = (uint32_t)(unit_random(&random) & 0xffffff);
        for (int k = 0; k < w * h; k++)
            im.pixel[k] = (uint8_t)unit_random(&random);
        assert_int_equal(kitty_image(&im, 77, 20, 10, &out), IMAGE_OK);
        char keys[96];
        (void)snprintf(keys, sizeof keys, "a=T,f=24,o=z,s=%d,v=%d,c=20,r=10,C=1,q=2,i=77,", w, h);
        unsigned char *packed = malloc(out.len), *rgb = malloc(3 * (size_t)w * (size_t)h);
        size_t n = join_chunks(&out, keys, packed);
        uLongf len = (uLongf)(3 * w * h);
        assert_int_equal(uncompress(rgb, &len, packed, n), Z_OK);
        assert_int_equal(len, 3 * w * h);
        for (int k = 0; k < w * h; k++)
            assert_int_equal((uint32_t)rgb[3 * k] << 16 | (uint32_t)rgb[3 * k + 1] << 8 |
                                 rgb[3 * k + 2],
                             im.palette[im.pixel[k]]);
        free(packed);
        free(rgb);
        image_free(&im);
        bytes_free(&out);
    }
}

static void deletes(void **state)
{
    (void)state;
    struct bytes out = {0};
    kitty_delete(7, &out);
    kitty_delete(0, &out);
    assert_string_equal(out.data, "\033_Ga=d,d=I,i=7,q=2\033\\\033_Ga=d,d=A,q=2\033\\");
    bytes_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pictures_come_back),
                                       cmocka_unit_test(deletes)};
    return cmocka_run_group_tests_name("kitty", tests, NULL, NULL);
}
