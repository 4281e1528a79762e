/* Tests of gguf.c: one case per rule of the format, every truncation, every damaged header byte,
 * bounded cost, sets of files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/limit.h"
#include "model/checkpoint_parts.h"

/* A file in memory as it is put together. */
struct image {
    unsigned char *bytes;
    size_t len, room;
};

static void add(struct image *im, const void *p, size_t n)
{
    if (im->len + n > im->room) {
        im->room = 2 * (im->len + n) + 64;
        im->bytes = realloc(im->bytes, im->room);
    }
    memcpy(im->bytes + im->len, p, n);
    im->len += n;
}

static void number(struct image *im, int bytes, uint64_t x)
{
    for (int i = 0; i < bytes; i++) {
        unsigned char b = (unsigned char)(x >> (8 * i));
        add(im, &b, 1);
    }
}

static void text(struct image *im, const char *s)
{
    number(im, 8, strlen(s));
    add(im, s, strlen(s));
}

static struct image begin(uint32_t version, uint64_t tensors, uint64_t keys)
{
    struct image im = {0};
    add(&im, "GGUF", 4);
    number(&im, 4, version);
    number(&im, 8, tensors);
    number(&im, 8, keys);
    return im;
}

/* The beginning of a key: what follows is its value. */
static void key(struct image *im, const char *name, uint32_t type)
{
    text(im, name);
    number(im, 4, type);
}

static void key_u32(struct image *im, const char *name, uint32_t x)
{
    key(im, name, GGUF_U32);
    number(im, 4, x);
}

/* Sizes as the format has them: of the last axis first. */
static void tensor(struct image *im, const char *name, uint32_t rank, const uint64_t *size,
                   uint32_t type, uint64_t place)
{
    text(im, name);
    number(im, 4, rank);
    for (uint32_t i = 0; i < rank; i++)
        number(im, 8, size[i]);
    number(im, 4, type);
    number(im, 8, place);
}

static void vector(struct image *im, const char *name, uint64_t n, uint32_t type, uint64_t place)
{
    tensor(im, name, 1, &n, type, place);
}

/* To the next multiple, then n zeros. */
static void data(struct image *im, size_t align, size_t n)
{
    while (im->len % align)
        number(im, 1, 0);
    for (size_t i = 0; i < n; i++)
        number(im, 1, 0);
}

static void refuse(struct image im, const char *message_part)
{
    struct err e = {0};
    struct checkpoint *st = checkpoint_parse("m.gguf", im.bytes, im.len, &e);
    free(im.bytes);
    if (st)
        fail_msg("accepted, expected \"%s\"", message_part);
    assert_int_equal(e.code, ERR_BAD_INPUT);
    if (!strstr(e.text, message_part) || strncmp(e.text, "m.gguf · ", strlen("m.gguf · ")) != 0)
        fail_msg("message \"%s\" lacks \"%s\"", e.text, message_part);
}

static struct checkpoint *accept(const struct image *im)
{
    struct err e = {0};
    struct checkpoint *st = checkpoint_parse("m.gguf", im->bytes, im->len, &e);
    if (!st)
        fail_msg("refused: %s", e.text);
    return st;
}

/* Every type of value, three tensors. */
static struct image sample(void)
{
    static const uint64_t matrix[] = {64, 3};
    struct image im = begin(3, 3, 8);
    key(&im, "general.architecture", GGUF_STRING);
    text(&im, "llama");
    key_u32(&im, "general.alignment", 64);
    key(&im, "a.byte", GGUF_I8);
    number(&im, 1, 0xff);
    key(&im, "a.double", GGUF_F64);
    number(&im, 8, UINT64_C(0x3ff8000000000000));
    key(&im, "a.flag", GGUF_BOOL);
    number(&im, 1, 1);
    key(&im, "a.words", GGUF_ARRAY);
    number(&im, 4, GGUF_STRING);
    number(&im, 8, 2);
    text(&im, "one");
    text(&im, "");
    key(&im, "a.numbers", GGUF_ARRAY);
    number(&im, 4, GGUF_I32);
    number(&im, 8, 3);
    for (int i = 0; i < 3; i++)
        number(&im, 4, (uint64_t)-i);
    key(&im, "a.long", GGUF_U64);
    number(&im, 8, UINT64_MAX);
    vector(&im, "b", 3, 0, 0);
    tensor(&im, "q", 2, matrix, 2, 64); /* Q4_0: 3 rows of 2 blocks of 18 bytes */
    vector(&im, "i", 5, 24, 192);
    data(&im, 64, 197);
    return im;
}

static void a_good_file_is_read(void **state)
{
    (void)state;
    struct image im = sample();
    struct checkpoint *st = accept(&im);
    const struct gguf *g = checkpoint_gguf(st);
    struct err e = {0};
    int64_t n = 0;
    double x = 0;
    bool flag = false;
    const char *s;
    size_t len;
    const struct gguf_value *list;
    assert_int_equal(checkpoint_count(st), 3);
    const struct st_tensor *q = checkpoint_find(st, "q");
    assert_int_equal(q->dtype, ST_Q4_0);
    assert_int_equal(q->rank, 2);
    assert_int_equal(q->shape[0], 3);
    assert_int_equal(q->shape[1], 64);
    assert_int_equal(q->nbytes, 108);
    assert_int_equal(st_count(q), 192);
    assert_ptr_equal(q->data, im.bytes + im.len - 197 + 64);
    assert_int_equal(checkpoint_nbytes(st), 12 + 108 + 5);
    assert_int_equal(gguf_int(g, "a.byte", -128, 127, &n, &e), 1);
    assert_int_equal(n, -1);
    assert_int_equal(gguf_int(g, "a.none", 0, 1, &n, &e), 0);
    assert_int_equal(gguf_number(g, "a.double", &x, &e), 1);
    assert_true(x == 1.5);
    assert_int_equal(gguf_number(g, "a.words", &x, &e), ERR_BAD_INPUT);
    unsigned char *bits = (unsigned char *)(uintptr_t)gguf_find(g, "a.double")->at;
    bits[7] = 0x7f, bits[6] = 0xf0; /* infinity and more */
    assert_int_equal(gguf_number(g, "a.double", &x, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "\"a.double\" · expected a finite number"));
    assert_true(x == 1.5);
    assert_int_equal(gguf_bool(g, "a.flag", &flag, &e), 1);
    assert_true(flag);
    assert_int_equal(gguf_string(g, "general.architecture", &s, &len, &e), 1);
    assert_int_equal(len, 5);
    assert_int_equal(gguf_list(g, "a.words", GGUF_STRING, &list, &e), 1);
    const unsigned char *at = list->at;
    assert_memory_equal(gguf_next_string(&at, &len), "one", 3);
    gguf_next_string(&at, &len);
    assert_int_equal(len, 0);
    assert_int_equal(gguf_list(g, "a.numbers", GGUF_I32, &list, &e), 1);
    assert_int_equal(gguf_list_i32(list, 2), -2);
    /* what is asked for otherwise than it is there */
    assert_int_equal(gguf_int(g, "a.byte", 0, 127, &n, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "\"a.byte\" · expected an integer 0..127, found -1"));
    assert_int_equal(gguf_int(g, "a.long", 0, INT64_MAX, &n, &e), ERR_BAD_INPUT);
    assert_int_equal(gguf_int(g, "a.flag", 0, 1, &n, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "expected an integer, found bool"));
    assert_int_equal(gguf_string(g, "a.words", &s, &len, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "expected a string, found a list of string"));
    assert_int_equal(gguf_list(g, "a.numbers", GGUF_F32, &list, &e), ERR_BAD_INPUT);
    checkpoint_close(st);
    free(im.bytes);
    im = begin(2, 0, 0); /* nothing at all, the older version */
    checkpoint_close(accept(&im));
    free(im.bytes);
}

static void the_header_is_checked_first(void **state)
{
    (void)state;
    struct image im = begin(3, 0, 0);
    im.bytes[0] = 'g';
    refuse(im, "byte 0 · a GGUF file begins with GGUF");
    refuse(begin(1, 0, 0), "version 1, 2 and 3 are read");
    refuse(begin(0x03000000, 0, 0), "is it big-endian?");
    refuse(begin(3, UINT64_MAX, 0),
           "number of tensors · is 18446744073709551615, the file has room");
    refuse(begin(3, 1, 0), "number of tensors · is 1, the file has room for 0");
    refuse(begin(3, 0, UINT64_C(1) << 62), "number of keys");
}

static struct image one_key(uint32_t type)
{
    struct image im = begin(3, 0, 1);
    key(&im, "k", type);
    return im;
}

static void keys_are_checked(void **state)
{
    (void)state;
    struct image im = one_key(13);
    data(&im, 1, 16);
    refuse(im, "k · type 13 is unknown");
    im = one_key(GGUF_STRING);
    number(&im, 8, UINT64_MAX);
    data(&im, 1, 8);
    refuse(im, "k · 18446744073709551615 bytes are wanted, 8 are left");
    im = one_key(GGUF_BOOL);
    number(&im, 1, 2);
    refuse(im, "a bool is 0 or 1, found 2");
    im = one_key(GGUF_ARRAY);
    number(&im, 4, GGUF_ARRAY);
    number(&im, 8, 1);
    data(&im, 1, 32);
    refuse(im, "a list of lists");
    im = one_key(GGUF_ARRAY);
    number(&im, 4, 77);
    data(&im, 1, 32);
    refuse(im, "type 77 is unknown");
    im = one_key(GGUF_ARRAY);
    number(&im, 4, GGUF_U64);
    number(&im, 8, UINT64_C(1) << 61); /* times 8 wraps to 0 */
    refuse(im, "bytes are wanted, 0 are left");
    im = one_key(GGUF_ARRAY);
    number(&im, 4, GGUF_STRING);
    number(&im, 8, 2);
    text(&im, "whole");
    number(&im, 8, 100);
    refuse(im, "k · 100 bytes are wanted, 0 are left");
    im = begin(3, 0, 2);
    key_u32(&im, "same", 1);
    key_u32(&im, "same", 2);
    refuse(im, "key \"same\" · is there twice");
    im = begin(3, 0, 1);
    key_u32(&im, "", 1);
    refuse(im, "a key · is 0 bytes long");
    im = begin(3, 0, 1);
    key_u32(&im, "k\x1b[2J", 1);
    refuse(im, "byte 1 of it is 0x1b, not printable ASCII");
    char name[LIMIT_NAME + 1];
    memset(name, 'n', sizeof name);
    name[LIMIT_NAME] = '\0';
    im = begin(3, 0, 1);
    key_u32(&im, name, 1);
    refuse(im, "a key · is 128 bytes long, 1..127 are allowed");
    name[LIMIT_NAME - 1] = '\0';
    im = begin(3, 0, 1);
    key_u32(&im, name, 1);
    checkpoint_close(accept(&im));
    free(im.bytes);
}

static void the_alignment_is_a_power_of_two(void **state)
{
    (void)state;
    static const uint32_t bad[] = {0, 4, 24, 1 << 17, UINT32_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct image im = begin(3, 0, 1);
        key_u32(&im, "general.alignment", bad[i]);
        refuse(im, "key \"general.alignment\" · expected ");
    }
    struct image im = begin(3, 0, 1);
    key(&im, "general.alignment", GGUF_STRING);
    text(&im, "32");
    refuse(im, "expected an integer, found string");
    im = begin(3, 1, 1);
    key_u32(&im, "general.alignment", 1 << 16);
    vector(&im, "a", 1, 0, 0);
    data(&im, 1 << 16, 4);
    checkpoint_close(accept(&im));
    free(im.bytes);
}

/* One tensor whose description is `rank` sizes, a type and a place, with 64 bytes of data. */
static struct image one_tensor(uint32_t rank, const uint64_t *size, uint32_t type, uint64_t place)
{
    struct image im = begin(3, 1, 0);
    tensor(&im, "t", rank, size, type, place);
    data(&im, 32, 64);
    return im;
}

static void shapes_and_types_are_checked(void **state)
{
    (void)state;
    static const uint64_t zero[] = {0}, ones[] = {1, 1, 1, 1, 1}, wrap[] = {1u << 31, 1u << 31, 4},
                          wrap_to_zero[] = {UINT64_C(1) << 62, 4}, negative[] = {UINT64_MAX},
                          odd[] = {33}, big[] = {17};
    refuse(one_tensor(0, ones, 0, 0), "has 0 axes, 1..4 are allowed");
    refuse(one_tensor(5, ones, 0, 0), "has 5 axes, 1..4 are allowed");
    refuse(one_tensor(1, zero, 0, 0), "axis 0 has 0 elements");
    refuse(one_tensor(1, negative, 0, 0), "axis 0 has 18446744073709551615 elements");
    refuse(one_tensor(3, wrap, 0, 0), "is larger than the file");
    refuse(one_tensor(2, wrap_to_zero, 0, 0), "is larger than the file");
    refuse(one_tensor(1, odd, 8, 0), "rows of 33 are not whole blocks of Q8_0, 32 elements each");
    refuse(one_tensor(1, ones, 4, 0), "type 4 is not supported");
    refuse(one_tensor(1, ones, 16, 0), "type 16 IQ2_XXS is not supported");
    refuse(one_tensor(1, ones, 1000, 0), "type 1000 is not supported");
    refuse(one_tensor(1, big, 0, 0), "its 68 bytes from 64 end past the file's 128");
    struct image im = begin(3, 1, 0);
    vector(&im, "\xc3\xa9", 1, 0, 0);
    refuse(im, "a tensor's name · byte 0 of it is 0xc3");
    im = begin(3, 2, 0);
    vector(&im, "same", 8, 0, 0);
    vector(&im, "same", 8, 0, 32);
    data(&im, 32, 64);
    refuse(im, "tensor \"same\" · is also in m.gguf");
}

static struct image two_tensors(uint64_t first, uint64_t second, size_t bytes)
{
    struct image im = begin(3, 2, 0);
    vector(&im, "a", 9, 0, first); /* 36 bytes, padded to 64 */
    vector(&im, "b", 8, 0, second);
    data(&im, 32, bytes);
    return im;
}

static void tensors_must_tile_the_data(void **state)
{
    (void)state;
    refuse(two_tensors(0, 36, 96), "\"b\" · its place 36 is not a multiple of the alignment");
    refuse(two_tensors(0, 32, 96), "\"b\" · its place is 32, the data before it end only at 36");
    refuse(two_tensors(0, 0, 96), "the data before it end only at 36");
    refuse(two_tensors(0, 96, 160), "\"b\" · its place is 96, the data before it end at 36");
    refuse(two_tensors(32, 96, 160), "\"a\" · its place is 32, the data before it end at 0");
    refuse(two_tensors(0, UINT64_MAX - 31, 96), "is behind the file");
    refuse(two_tensors(0, 64, 97), "1 bytes after the last tensor belong to none");
    refuse(two_tensors(0, 64, 95), "its 32 bytes from 160 end past the file's 191");
    struct image im = two_tensors(32, 0, 68); /* in another order; the last is not padded */
    struct checkpoint *st = accept(&im);
    assert_ptr_equal(checkpoint_find(st, "b")->data, im.bytes + im.len - 68);
    checkpoint_close(st);
    free(im.bytes);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct image im = sample();
    for (size_t len = 0; len < im.len; len++) {
        struct err e = {0};
        unsigned char *exact = malloc(len + !len); /* a read past the end is seen */
        memcpy(exact, im.bytes, len);
        assert_null(checkpoint_parse("m.gguf", exact, len, &e));
        assert_int_equal(e.code, ERR_BAD_INPUT);
        free(exact);
    }
    free(im.bytes);
}

static void check_sound(const struct checkpoint *st, const struct image *im)
{
    for (size_t i = 0; i < checkpoint_count(st); i++) {
        const struct st_tensor *t = checkpoint_at(st, i);
        const unsigned char *p = t->data;
        size_t n = 1;
        for (int d = 0; d < t->rank; d++)
            n *= (size_t)t->shape[d];
        assert_int_equal(n, st_count(t));
        assert_true(p >= im->bytes && p + t->nbytes <= im->bytes + im->len);
        assert_ptr_equal(checkpoint_find(st, t->name), t);
    }
}

static void every_damaged_header_byte_is_survived(void **state)
{
    (void)state;
    struct image im = sample();
    size_t accepted = 0;
    for (size_t at = 0; at < im.len - 197; at++) {
        unsigned char good = im.bytes[at];
        for (int v = 0; v < 256; v++) {
            struct err e = {0};
            im.bytes[at] = (unsigned char)v;
            struct checkpoint *st = checkpoint_parse("m.gguf", im.bytes, im.len, &e);
            if (st) {
                check_sound(st, &im);
                accepted++;
            } else {
                assert_int_equal(e.code, ERR_BAD_INPUT);
            }
            checkpoint_close(st);
        }
        im.bytes[at] = good;
    }
    assert_true(accepted > 100); /* names and values may change */
    free(im.bytes);
}

static void counts_are_bounded_and_quick(void **state)
{
    (void)state;
    char name[32];
    struct image im = begin(3, 0, LIMIT_GGUF_KEYS);
    for (int i = 0; i < LIMIT_GGUF_KEYS; i++) {
        snprintf(name, sizeof name, "key.%d", i);
        key_u32(&im, name, 1);
    }
    struct image more = begin(3, 0, LIMIT_GGUF_KEYS + 1);
    add(&more, im.bytes + 24, im.len - 24);
    key_u32(&more, "one more", 1);
    refuse(more, "the file has room for 65536");
    checkpoint_close(accept(&im));
    free(im.bytes);
    im = begin(3, LIMIT_TENSORS, 0);
    for (int i = 0; i < LIMIT_TENSORS; i++) {
        snprintf(name, sizeof name, "blk.%d.w", i);
        vector(&im, name, 8, 0, (uint64_t)i * 32);
    }
    data(&im, 32, (size_t)LIMIT_TENSORS * 32);
    struct timespec a, b;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    struct checkpoint *st = accept(&im);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    print_message("%d tensors, %zu bytes: %.0f ms of cpu\n", LIMIT_TENSORS, im.len,
                  (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6);
    checkpoint_close(st);
    free(im.bytes);
}

/* ---- files ---- */

static char folder[] = "/tmp/bore-gguf-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    DIR *dir = opendir(folder);
    for (struct dirent *d; (d = readdir(dir));)
        unlinkat(dirfd(dir), d->d_name, 0);
    closedir(dir);
    return rmdir(folder);
}

static const char *place(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* Part `no` of `count` with one tensor. */
static void put_part(const char *name, const char *tensor_name, uint16_t no, uint16_t count)
{
    struct image im = begin(3, 1, 2);
    key(&im, "split.no", GGUF_U16);
    number(&im, 2, no);
    key(&im, "split.count", GGUF_U16);
    number(&im, 2, count);
    vector(&im, tensor_name, 8, 0, 0);
    data(&im, 32, 32);
    FILE *f = fopen(place(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(im.bytes, 1, im.len, f), im.len);
    fclose(f);
    free(im.bytes);
}

static void refuse_file(const char *name, const char *message_part)
{
    struct err e = {0};
    assert_null(checkpoint_open(place(name), &e));
    if (!strstr(e.text, message_part))
        fail_msg("message \"%s\" lacks \"%s\"", e.text, message_part);
}

static void a_set_of_files_is_one_checkpoint(void **state)
{
    (void)state;
    struct err e = {0};
    put_part("m-00001-of-00002.gguf", "a", 0, 2);
    put_part("m-00002-of-00002.gguf", "b", 1, 2);
    static const char *const names[] = {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"};
    for (int i = 0; i < 2; i++) { /* whichever is named */
        struct checkpoint *st = checkpoint_open(place(names[i]), &e);
        if (!st)
            fail_msg("%s", e.text);
        assert_int_equal(checkpoint_count(st), 2);
        assert_string_equal(checkpoint_find(st, "b")->file, names[1]);
        checkpoint_close(st);
    }
    put_part("m-00002-of-00002.gguf", "a", 1, 2);
    refuse_file(names[0], "tensor \"a\" · is also in m-00001-of-00002.gguf");
    put_part("m-00002-of-00002.gguf", "b", 0, 2);
    refuse_file(names[0],
                "says to be part 1 of 2 (split.no, split.count), by its name it is 2 of 2");
    put_part("m-00002-of-00002.gguf", "b", 1, 3);
    refuse_file(names[0], "says to be part 2 of 3");
    assert_int_equal(unlink(place("m-00002-of-00002.gguf")), 0);
    refuse_file(names[0], "m-00002-of-00002.gguf · cannot open: No such file");
    put_part("whole.gguf", "a", 0, 2);
    refuse_file("whole.gguf", "says to be part 1 of 2");
    put_part("m-00003-of-00002.gguf", "a", 0, 1); /* no part: a name like others */
    struct checkpoint *st = checkpoint_open(place("m-00003-of-00002.gguf"), &e);
    assert_non_null(st);
    checkpoint_close(st);
}

static void only_regular_files_are_opened(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(place("pipe.gguf"), 0600), 0);
    refuse_file("pipe.gguf", "is not a regular file");
    refuse_file("none.gguf", "cannot open");
    assert_int_equal(mkdir(place("folder.gguf"), 0700), 0);
    refuse_file("folder.gguf", "is not a regular file");
    assert_int_equal(rmdir(place("folder.gguf")), 0);
    fclose(fopen(place("empty.gguf"), "wb"));
    refuse_file("empty.gguf", "is 0 bytes long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_is_read),
        cmocka_unit_test(the_header_is_checked_first),
        cmocka_unit_test(keys_are_checked),
        cmocka_unit_test(the_alignment_is_a_power_of_two),
        cmocka_unit_test(shapes_and_types_are_checked),
        cmocka_unit_test(tensors_must_tile_the_data),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_damaged_header_byte_is_survived),
        cmocka_unit_test(counts_are_bounded_and_quick),
        cmocka_unit_test(a_set_of_files_is_one_checkpoint),
        cmocka_unit_test(only_regular_files_are_opened),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
