/* test_picture_in.c - pictures of all forms against Pillow's pixels (tests/fixtures/images); files
 * that are cut off, damaged or far too large. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "picture_in.h"

#define FOLDER "tests/fixtures/images/"

static unsigned char *slurp(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("cannot open %s", path);
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    unsigned char *bytes = malloc(*len);
    assert_int_equal(fread(bytes, 1, *len, f), *len);
    fclose(f);
    return bytes;
}

/* Does this program read .jpg? */
static bool has_jpeg(void)
{
    size_t len;
    unsigned char *bytes = slurp(FOLDER "rgb.jpg", &len);
    struct picture_rgb p = {0};
    char why[PICTURE_WHY] = "";
    enum picture_status rc = picture_read(bytes, len, &p, why);
    free(bytes), free(p.rgb);
    return rc == PICTURE_OK || !strstr(why, "libturbojpeg0-dev");
}

/* The levels of a tensor U8 [13, 17, 3] in expected.safetensors, a header of 8 bytes of length and
 * JSON. */
static void expected(const char *name, uint8_t out[13 * 17 * 3])
{
    size_t len;
    unsigned char *bytes = slurp(FOLDER "expected.safetensors", &len);
    uint64_t header;
    char key[64];
    memcpy(&header, bytes, sizeof header);
    char *json = calloc(header + 1, 1);
    memcpy(json, bytes + 8, header);
    snprintf(key, sizeof key, "\"%s\":", name);
    char *at = strstr(json, key);
    assert_non_null(at);
    at = strstr(at, "\"data_offsets\":[");
    assert_non_null(at);
    unsigned long begin = strtoul(at + 16, NULL, 10);
    memcpy(out, bytes + 8 + header + begin, 13 * 17 * 3);
    free(json), free(bytes);
}

static const char *const forms[] = {"rgb.png",         "rgba.png",   "gray.png",  "gray_alpha.png",
                                    "palette.png",     "bits.png",   "rgb.jpg",   "gray.jpg",
                                    "progressive.jpg", "turned.png", "turned.jpg"};
enum { FILES = sizeof forms / sizeof *forms, FORMS = FILES - 2 }; /* the last are not as they lie */

static void as_pillow_reads_them(void **state)
{
    (void)state;
    bool jpeg = has_jpeg();
    for (int i = 0; i < FORMS; i++) {
        char path[128], why[PICTURE_WHY];
        uint8_t want[13 * 17 * 3];
        struct picture_rgb p;
        size_t len;
        if (!jpeg && strstr(forms[i], ".jpg")) {
            print_message("SKIP %s: built without libjpeg-turbo\n", forms[i]);
            continue;
        }
        snprintf(path, sizeof path, FOLDER "%s", forms[i]);
        unsigned char *bytes = slurp(path, &len);
        if (picture_read(bytes, len, &p, why))
            fail_msg("%s: %s", path, why);
        assert_true(p.width == 17 && p.height == 13);
        expected(forms[i], want);
        for (size_t k = 0; k < sizeof want; k++)
            if (p.rgb[k] != want[k])
                fail_msg("%s: element %zu is %d, Pillow has %d", path, k, p.rgb[k], want[k]);
        free(p.rgb), free(bytes);
    }
}

/* By the entry's value, which is changed in the file. */
static void turned_as_exif_says(void **state)
{
    (void)state;
    static const struct {
        const char *name, entry[9];
        int value; /* of its bytes the one that is the number */
    } files[] = {{"turned.jpg", "\x12\x01\x03\0\x01\0\0\0", 8},
                 {"turned.png", "\x01\x12\0\x03\0\0\0\x01", 9}};
    for (int i = has_jpeg() ? 0 : 1; i < 2; i++) {
        char path[128], why[PICTURE_WHY] = "";
        size_t len;
        snprintf(path, sizeof path, FOLDER "%s", files[i].name);
        unsigned char *bytes = slurp(path, &len), *at = memmem(bytes, len, files[i].entry, 8);
        assert_non_null(at);
        for (int how = 0; how <= 9; how++) {
            uint8_t want[13 * 17 * 3];
            char name[32];
            struct picture_rgb p;
            at[files[i].value] = (unsigned char)how;
            snprintf(name, sizeof name, "%s.%d", files[i].name, how < 1 || how > 8 ? 1 : how);
            expected(name, want);
            if (picture_read(bytes, len, &p, why))
                fail_msg("%s: %s", path, why);
            assert_int_equal(p.width, how >= 5 && how <= 8 ? 13 : 17);
            if (memcmp(p.rgb, want, sizeof want) != 0)
                fail_msg("%s: not as Pillow turns it", name);
            free(p.rgb);
        }
        at[3] ^= 7; /* another type: nothing is said */
        struct picture_rgb p;
        at[files[i].value] = 6;
        assert_int_equal(picture_read(bytes, len, &p, why), PICTURE_OK);
        assert_int_equal(p.width, 17);
        free(p.rgb), free(bytes);
    }
}

/* Every beginning of a file, and every byte of its first part damaged: refused in a line, or read
 * as some picture. */
static void damage_is_told(void **state)
{
    (void)state;
    for (int i = 0; i < FILES; i++) {
        char path[128];
        size_t len, whole = 0;
        snprintf(path, sizeof path, FOLDER "%s", forms[i]);
        unsigned char *bytes = slurp(path, &len);
        for (size_t cut = 0; cut < len; cut++) {
            struct picture_rgb p = {0};
            char why[PICTURE_WHY] = "";
            enum picture_status rc = picture_read(bytes, cut, &p, why);
            assert_true(rc != PICTURE_BAD || *why);
            assert_true(!strchr(why, '\n'));
            whole += rc == PICTURE_OK;
            free(p.rgb);
        }
        /* the last bytes of a .jpg say that it ends, of a .png's end a checksum */
        assert_true(whole <= 2);
        for (size_t at = 0; at < len && at < 180; at++) {
            struct picture_rgb p = {0};
            char why[PICTURE_WHY] = "";
            bytes[at] ^= 0x5a;
            enum picture_status rc = picture_read(bytes, len, &p, why);
            assert_true(rc == PICTURE_OK || rc == PICTURE_BAD || rc == PICTURE_UNKNOWN);
            assert_true(rc != PICTURE_OK || (p.rgb && p.width > 0 && p.height > 0));
            free(p.rgb);
            bytes[at] ^= 0x5a;
        }
        free(bytes);
    }
    struct picture_rgb p;
    char why[PICTURE_WHY];
    assert_int_equal(picture_read("GIF89a..........", 16, &p, why), PICTURE_UNKNOWN);
    assert_int_equal(picture_read("", 0, &p, why), PICTURE_UNKNOWN);
}

/* A .png that says it has so many pixels, its checksum right. */
static void bombs_are_not_unpacked(void **state)
{
    (void)state;
    static const struct {
        uint32_t width, height;
    } sizes[] = {{100000, 1}, {1, 100000}, {16384, 16384}, {0x7fffffff, 0x7fffffff}, {0, 5}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t len;
        unsigned char *bytes = slurp(FOLDER "rgb.png", &len);
        char why[PICTURE_WHY] = "";
        struct picture_rgb p;
        for (int k = 0; k < 4; k++) {
            bytes[16 + k] = (unsigned char)(sizes[i].width >> (24 - 8 * k));
            bytes[20 + k] = (unsigned char)(sizes[i].height >> (24 - 8 * k));
        }
        uint32_t crc = (uint32_t)crc32(crc32(0, NULL, 0), bytes + 12, 17);
        for (int k = 0; k < 4; k++)
            bytes[29 + k] = (unsigned char)(crc >> (24 - 8 * k));
        assert_int_equal(picture_read(bytes, len, &p, why), PICTURE_BAD);
        assert_true(*why);
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_pillow_reads_them),
        cmocka_unit_test(turned_as_exif_says),
        cmocka_unit_test(damage_is_told),
        cmocka_unit_test(bombs_are_not_unpacked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
