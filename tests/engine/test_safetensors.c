/* Tests of safetensors.c and checkpoint.h: one case per rule, every truncation, every damaged
 * header byte, bounded cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/mapping.h"
#include "model/checkpoint_parts.h"

/* A file in memory: header text, declared length (or the true one), data bytes of zeros. */
struct image {
    unsigned char *bytes;
    size_t len;
};

static struct image make_declared(const char *header, uint64_t declared, size_t data_len)
{
    size_t n = strlen(header);
    struct image im = {.bytes = calloc(1, 8 + n + data_len + 1), .len = 8 + n + data_len};
    for (int i = 0; i < 8; i++)
        im.bytes[i] = (unsigned char)(declared >> (8 * i));
    memcpy(im.bytes + 8, header, n);
    return im;
}

/* The header is padded with spaces to a multiple of 8, as writers do. */
static struct image make(const char *header, size_t data_len)
{
    size_t n = strlen(header), padded = (n + 7) / 8 * 8;
    char *text = malloc(padded + 1);
    memset(text, ' ', padded);
    memcpy(text, header, n);
    text[padded] = '\0';
    struct image im = make_declared(text, padded, data_len);
    free(text);
    return im;
}

static void refuse_image(struct image im, const char *message_part)
{
    struct err e = {0};
    struct checkpoint *st = checkpoint_parse("m.safetensors", im.bytes, im.len, &e);
    free(im.bytes);
    assert_null(st);
    assert_int_equal(e.code, ERR_BAD_INPUT);
    if (!strstr(e.text, message_part) || !strstr(e.text, "m.safetensors"))
        fail_msg("message \"%s\" lacks \"%s\"", e.text, message_part);
}

static void refuse(const char *header, size_t data_len, const char *message_part)
{
    refuse_image(make(header, data_len), message_part);
}

static struct checkpoint *accept(struct image im)
{
    struct err e = {0};
    struct checkpoint *st = checkpoint_parse("m.safetensors", im.bytes, im.len, &e);
    if (!st)
        fail_msg("refused: %s", e.text);
    return st;
}

#define T(name, dtype, shape, begin, end)                                                          \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end \
    "]}"

static void a_good_file_is_read(void **state)
{
    (void)state;
    struct image im = make(
        "{\"__metadata__\":{\"format\":\"pt\"}," T("b", "BF16", "[3]", 24, 30) "," T(
            "a", "F32", "[2, 3]", 0, 24) "," T("empty", "F16", "[0,7]", 30,
                                               30) "," T("scalar", "I8", "[]", 30, 31) "}",
        31);
    struct checkpoint *st = accept(im);
    assert_int_equal(checkpoint_count(st), 4);
    assert_string_equal(checkpoint_at(st, 0)->name, "b");
    const struct st_tensor *a = checkpoint_find(st, "a");
    assert_int_equal(a->dtype, ST_F32);
    assert_int_equal(a->rank, 2);
    assert_int_equal(a->shape[0], 2);
    assert_int_equal(a->shape[1], 3);
    assert_int_equal(a->nbytes, 24);
    assert_string_equal(a->file, "m.safetensors");
    assert_ptr_equal((const unsigned char *)checkpoint_find(st, "b")->data,
                     (const unsigned char *)a->data + 24);
    assert_int_equal(checkpoint_find(st, "empty")->nbytes, 0);
    assert_int_equal(checkpoint_find(st, "scalar")->rank, 0);
    assert_null(checkpoint_find(st, "c"));
    assert_string_equal(checkpoint_nearest(st, "scaler"), "scalar");
    assert_string_equal(checkpoint_metadata(st, "format"), "pt");
    assert_null(checkpoint_metadata(st, "other"));
    assert_int_equal(checkpoint_nbytes(st), 31);
    assert_false(checkpoint_changed(st, NULL));
    char shape[32];
    assert_string_equal(st_shape_text(shape, sizeof shape, a->shape, a->rank), "[2, 3]");
    checkpoint_close(st);
    free(im.bytes);
    im = make("{}", 0);
    checkpoint_close(accept(im));
    free(im.bytes);
}

static void the_length_is_checked_first(void **state)
{
    (void)state;
    refuse_image(make_declared("", 0, 0), "header at byte 8");
    refuse_image(make_declared("{}", UINT64_MAX, 0), "at most 104857600");
    refuse_image(make_declared("{}", UINT64_C(1) << 62, 0), "at most");
    refuse_image(make_declared("{}", 1 << 30, 0), "at most");
    refuse_image(make_declared("{}", 3, 0), "header of 3 bytes ends past the file's 10");
    refuse_image(make_declared("[]", 2, 0), "does not begin with {");
    refuse_image(make_declared("  {}", 4, 0), "does not begin with {");
}

static void every_field_is_checked(void **state)
{
    (void)state;
    refuse("{\"a\":1}", 0,
           "key \"a\" · expected an object of dtype, shape and data_offsets, found 1");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 0, "expected an object of dtype");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4],\"x\":1}}", 4,
           "expected an object of dtype");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"offsets\":[0,4]}}", 4,
           "\"a.data_offsets\" · expected a list of two");
    refuse("{" T("a", "F33", "[1]", 0, 4) "}", 4, "\"a.dtype\" · expected a dtype");
    refuse("{" T("a", "F4", "[2]", 0, 1) "}", 1, "\"a.dtype\"");
    refuse("{\"a\":{\"dtype\":4,\"shape\":[],\"data_offsets\":[0,4]}}", 4,
           "\"a.dtype\" · expected a string, found 4");
    refuse("{" T("a", "F32", "3", 0, 4) "}", 4, "\"a.shape\" · expected a list");
    refuse("{" T("a", "F32", "[-1]", 0, 4) "}", 4, "\"a.shape[0]\" · expected an integer 0..");
    refuse("{" T("a", "F32", "[1.0]", 0, 4) "}", 4, "\"a.shape[0]\" · expected an integer");
    refuse("{" T("a", "F32", "[\"1\"]", 0, 4) "}", 4, "\"a.shape[0]\" · expected an integer");
    refuse("{" T("a", "U8", "[1,1,1,1,1,1,1,1,1]", 0, 1) "}", 1,
           "at most 8 sizes, found a list of 9");
    refuse("{" T("a", "F32", "[1]", 0, 8) "}", 4,
           "\"a.data_offsets[1]\" · expected an integer 0..4, found 8");
    refuse("{" T("a", "F32", "[1]", 4, 0) "}", 4,
           "\"a.data_offsets[1]\" · expected an integer 4..4, found 0");
    refuse("{" T("a", "F32", "[1]", -4, 0) "}", 4, "\"a.data_offsets[0]\"");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,1]}}", 1,
           "expected a list of two");
    refuse("{" T("a", "F32", "[2]", 0, 4) "}", 4, "F32 [2] needs 8 bytes, data_offsets hold 4");
    refuse("{\"__metadata__\":[]}", 0, "\"__metadata__\" · expected an object of strings");
    refuse("{\"__metadata__\":{\"a\":1}}", 0, "\"__metadata__.a\" · expected a string");
}

static void names_are_checked(void **state)
{
    (void)state;
    refuse("{" T("a", "U8", "[1]", 0, 1) "," T("a", "U8", "[1]", 1, 2) "}", 2, "duplicate");
    refuse("{\"__metadata__\":{\"k\":\"v\",\"k\":\"w\"}}", 0, "duplicate");
    refuse("{" T("", "U8", "[1]", 0, 1) "}", 1, "empty name");
    refuse("{" T("a\\u001b[2J", "U8", "[1]", 0, 1) "}", 1, "control character at byte 1");
    refuse("{" T("a\\u009b", "U8", "[1]", 0, 1) "}", 1, "control character");
    refuse("{" T("\\u0000", "U8", "[1]", 0, 1) "}", 1, "NUL byte");
    refuse("{" T("\xff", "U8", "[1]", 0, 1) "}", 1, "unable to decode byte 0xff");
    struct image im = make("{" T("gewöhnlich", "U8", "[1]", 0, 1) "}", 1);
    checkpoint_close(accept(im));
    free(im.bytes);
}

static void shapes_cannot_overflow(void **state)
{
    (void)state;
    refuse("{" T("a", "F32", "[4294967296,4294967296]", 0, 0) "}", 0, "64 bits");
    refuse("{" T("a", "U8", "[4294967296,4294967296]", 0, 0) "}", 0, "64 bits");
    refuse("{" T("a", "F64", "[2305843009213693952]", 0, 0) "}", 0,
           "64 bits"); /* 2^61 * 8 wraps to 0 */
    refuse("{" T("a", "U8", "[0,4294967296,4294967296]", 0, 0) "}", 0, "64 bits");
    refuse("{" T("a", "U8", "[9223372036854775808]", 0, 0) "}", 0, "too big integer");
    refuse("{" T("a", "U8", "[9223372036854775807]", 0, 0) "}", 0,
           "needs 9223372036854775807 bytes");
}

static void ranges_must_tile_the_data(void **state)
{
    (void)state;
    refuse("{" T("a", "U8", "[4]", 0, 4) "," T("b", "U8", "[4]", 2, 6) "}", 6,
           "\"b\" · overlaps \"a\" by 2 bytes");
    refuse("{" T("a", "U8", "[4]", 0, 4) "," T("b", "U8", "[4]", 0, 4) "}", 4, "overlaps");
    refuse("{" T("a", "U8", "[4]", 0, 4) "," T("b", "U8", "[2]", 6, 8) "}", 8,
           "\"b\" · 2 bytes in front of it");
    refuse("{" T("a", "U8", "[4]", 2, 6) "}", 6, "\"a\" · 2 bytes in front of it");
    refuse("{" T("a", "U8", "[4]", 0, 4) "}", 5, "1 bytes after the last tensor");
    refuse("{}", 1, "after the last tensor");
    refuse("{" T("a", "U8", "[4]", 0, 4) "," T("b", "U8", "[0]", 2, 2) "}", 4,
           "\"b\" · overlaps \"a\"");
}

static void misaligned_tensors_are_copied_into_place(void **state)
{
    (void)state;
    /* The whole data section off by one, as early writers left it, and one tensor off behind a
     * shorter one. */
    static const char off[] = "{" T("a", "F32", "[2]", 0, 8) "," T("z", "F64", "[0]", 8, 8) "}   ";
    char odd[256];
    snprintf(odd, sizeof odd, "%s%s", off, strlen(off) % 2 ? "" : " ");
    struct image im = make_declared(odd, strlen(odd), 8);
    for (unsigned char i = 0; i < 8; i++)
        im.bytes[im.len - 8 + i] = i;
    struct checkpoint *st = accept(im);
    const struct st_tensor *a = checkpoint_find(st, "a");
    assert_int_equal((uintptr_t)a->data % 4, 0);
    assert_memory_equal(a->data, "\0\1\2\3\4\5\6\7", 8);
    assert_int_equal(st->shard->copy_len, 64);
    checkpoint_close(st);
    free(im.bytes);
    im = make("{" T("u", "U8", "[2]", 0, 2) "," T("b", "F32", "[1]", 2, 6) "}", 6);
    im.bytes[im.len - 1] = 7;
    st = accept(im);
    assert_int_equal((uintptr_t)checkpoint_find(st, "b")->data % 4, 0);
    assert_int_equal(((const unsigned char *)checkpoint_find(st, "b")->data)[3], 7);
    assert_ptr_equal(checkpoint_find(st, "u")->data,
                     im.bytes + im.len - 6); /* stays where it lies */
    checkpoint_close(st);
    free(im.bytes);
}

static const char sample_header[] = "{\"__metadata__\":{\"k\":\"v\"}," T(
    "wte", "F32", "[2,2]", 0, 16) "," T("b", "BF16", "[4]", 16, 24) "}";

static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct image im = make(sample_header, 24);
    for (size_t len = 0; len < im.len; len++) {
        struct err e = {0};
        unsigned char *exact = malloc(len +
                                      !len); /* so that the sanitizer sees a read past the end */
        memcpy(exact, im.bytes, len);
        assert_null(checkpoint_parse("m", exact, len, &e));
        assert_int_equal(e.code, ERR_BAD_INPUT);
        free(exact);
    }
    free(im.bytes);
}

/* An accepted file must be sound: every tensor inside the file, aligned, its size that of its
 * shape. */
static void check_sound(const struct checkpoint *st, const struct image *im)
{
    for (size_t i = 0; i < checkpoint_count(st); i++) {
        const struct st_tensor *t = checkpoint_at(st, i);
        const unsigned char *p = t->data;
        size_t n = st_dtype_size(t->dtype);
        for (int d = 0; d < t->rank; d++)
            n *= (size_t)t->shape[d];
        assert_int_equal(n, t->nbytes);
        assert_int_equal((uintptr_t)p % st_dtype_size(t->dtype), 0);
        if (!st->shard->copy_len && n)
            assert_true(p >= im->bytes + 8 && p + n <= im->bytes + im->len);
        assert_ptr_equal(checkpoint_find(st, t->name), t);
    }
}

static void every_damaged_header_byte_is_survived(void **state)
{
    (void)state;
    struct image im = make(sample_header, 24);
    size_t accepted = 0;
    for (size_t at = 0; at < im.len - 24; at++) {
        unsigned char good = im.bytes[at];
        for (int v = 0; v < 256; v++) {
            struct err e = {0};
            im.bytes[at] = (unsigned char)v;
            struct checkpoint *st = checkpoint_parse("m", im.bytes, im.len, &e);
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
    assert_true(accepted > 100); /* names and metadata may change */
    free(im.bytes);
}

static struct image many(size_t n)
{
    size_t size = n * 100 + 16;
    char *text = malloc(size), *p = text;
    *p++ = '{';
    for (size_t i = 0; i < n; i++)
        p += snprintf(
            p, size - (size_t)(p - text),
            "%s\"model.layers.%zu.w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%zu,%zu]}",
            i ? "," : "", i, i, i + 1);
    memcpy(p, "}", 2);
    struct image im = make(text, n);
    free(text);
    return im;
}

static void a_hundred_thousand_tensors_are_quick(void **state)
{
    (void)state;
    struct image im = many(100000);
    struct timespec a, b;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    struct checkpoint *st = accept(im);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    print_message("100000 tensors, %zu bytes: %.0f ms of cpu\n", im.len,
                  (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6);
    assert_int_equal(checkpoint_find(st, "model.layers.99999.w")->nbytes, 1);
    checkpoint_close(st);
    free(im.bytes);
}

static void the_number_of_tensors_is_bounded(void **state)
{
    (void)state;
    struct image im = many(LIMIT_TENSORS);
    checkpoint_close(accept(im));
    free(im.bytes);
    refuse_image(many(LIMIT_TENSORS + 1), "more than 262144 tensors");
}

/* ---- files
 * ------------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/bore-st-XXXXXX";

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
    static char path[2][256];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static void put(const char *name, const void *bytes, size_t len)
{
    FILE *f = fopen(place(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    fclose(f);
}

static void put_image(const char *name, const char *header, size_t data_len)
{
    struct image im = make(header, data_len);
    put(name, im.bytes, im.len);
    free(im.bytes);
}

static void refuse_index(const char *json, const char *message_part)
{
    struct err e = {0};
    put("model.safetensors.index.json", json, strlen(json));
    assert_null(checkpoint_open(place("model.safetensors.index.json"), &e));
    if (!strstr(e.text, message_part))
        fail_msg("message \"%s\" lacks \"%s\"", e.text, message_part);
}

static void shards_and_index_must_agree(void **state)
{
    (void)state;
    struct err e = {0};
    put_image("s1.safetensors", "{\"__metadata__\":{\"k\":\"one\"}," T("a", "U8", "[2]", 0, 2) "}",
              2);
    put_image("s2.safetensors", "{\"__metadata__\":{\"k\":\"two\"}," T("b", "U8", "[3]", 0, 3) "}",
              3);
    put_image("s3.safetensors", "{" T("a", "U8", "[3]", 0, 3) "}", 3);
    const char good[] =
        "{\"metadata\":{\"total_size\":5},\"weight_map\":{\"a\":\"s1.safetensors\",\"b\":\"s2.safetensors\"}}";
    put("model.safetensors.index.json", good, strlen(good));
    struct checkpoint *st = checkpoint_open(place("model.safetensors.index.json"), &e);
    if (!st)
        fail_msg("%s", e.text);
    assert_int_equal(checkpoint_count(st), 2);
    assert_string_equal(checkpoint_find(st, "b")->file, "s2.safetensors");
    assert_string_equal(checkpoint_metadata(st, "k"), "one");
    assert_int_equal(checkpoint_nbytes(st), 5);
    checkpoint_close(st);
    refuse_index("{\"weight_map\":{}}", "weight_map");
    refuse_index("{}", "\"weight_map\" · expected an object");
    refuse_index("{\"weight_map\":{\"a\":1}}", "\"weight_map.a\" · expected a string");
    refuse_index("{\"weight_map\":{\"a\":\"../s1.safetensors\"}}", "in the same folder");
    refuse_index("{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "in the same folder");
    refuse_index("{\"weight_map\":{\"a\":\"..\"}}", "in the same folder");
    refuse_index("{\"weight_map\":{\"a\":\"\"}}", "in the same folder");
    refuse_index("{\"weight_map\":{\"a\":\"s4.safetensors\"}}", "cannot open: No such file");
    refuse_index("{\"weight_map\":{\"a\":\"s1.safetensors\",\"c\":\"s1.safetensors\"}}",
                 "\"c\" · is not in s1.safetensors");
    refuse_index(
        "{\"weight_map\":{\"a\":\"s1.safetensors\",\"b\":\"s1.safetensors\",\"z\":\"s2.safetensors\"}}",
        "index says s1.safetensors, it is in s2.safetensors");
    refuse_index(
        "{\"weight_map\":{\"b\":\"s2.safetensors\",\"a\":\"s3.safetensors\",\"a2\":\"s1.safetensors\"}}",
        "\"a\" · is also in s3.safetensors");
    put_image("s5.safetensors", "{" T("x", "U8", "[1]", 0, 1) "," T("y", "U8", "[1]", 1, 2) "}", 2);
    refuse_index("{\"weight_map\":{\"x\":\"s5.safetensors\"}}",
                 "\"y\" · is in s5.safetensors but not in the index");
}

static void odd_files_are_refused(void **state)
{
    (void)state;
    struct err e = {0};
    assert_null(checkpoint_open(folder, &e));
    assert_non_null(strstr(e.text, "regular file"));
    put("empty.safetensors", "", 0);
    assert_null(checkpoint_open(place("empty.safetensors"), &e));
    assert_non_null(strstr(e.text, "is 0 bytes long"));
    assert_int_equal(mkfifo(place("fifo.safetensors"), 0600), 0);
    assert_null(
        checkpoint_open(place("fifo.safetensors"), &e)); /* and does not wait for a writer */
    assert_non_null(strstr(e.text, "regular file"));
}

static void a_change_of_the_file_is_seen(void **state)
{
    (void)state;
    struct err e = {0};
    const char *changed = NULL;
    put_image("c.safetensors", "{" T("a", "U8", "[2]", 0, 2) "}", 2);
    struct checkpoint *st = checkpoint_open(place("c.safetensors"), &e);
    assert_non_null(st);
    assert_false(checkpoint_changed(st, &changed));
    put_image("c2.safetensors", "{" T("a", "U8", "[3]", 0, 3) "}", 3);
    assert_int_equal(rename(place("c2.safetensors"), place("c.safetensors")), 0);
    assert_true(checkpoint_changed(st, &changed));
    assert_string_equal(changed, "c.safetensors");
    unlink(place("c.safetensors"));
    assert_true(checkpoint_changed(st, NULL));
    checkpoint_close(st);
}

static void on_bus(int sig, siginfo_t *info, void *context)
{
    (void)context;
    if (!mapping_repair(info->si_addr))
        signal(sig, SIG_DFL);
}

/* Weights are to lie in huge pages where the page cache can have them. */
static void weights_are_mapped_for_huge_pages(void **state)
{
    (void)state;
    struct err e = {0};
    char line[512];
    bool here = false, asked = false;
    FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    if (!f)
        skip();
    fclose(f);
    put_image("huge.safetensors", "{" T("a", "U8", "[4096]", 0, 4096) "}", 4096);
    struct checkpoint *st = checkpoint_open(place("huge.safetensors"), &e);
    assert_non_null(st);
    assert_non_null(f = fopen("/proc/self/smaps", "r"));
    while (fgets(line, sizeof line, f)) {
        if (strstr(line, "huge.safetensors"))
            here = true;
        if (here && strncmp(line, "VmFlags:", 8) == 0) {
            asked = strstr(line, " hg") != NULL;
            break;
        }
    }
    fclose(f);
    checkpoint_close(st);
    assert_true(here && asked);
}

/* Cut short while mapped: with a handler that repairs, reading goes on with zeros and the file
 * counts as changed. */
static void a_lost_mapping_reads_as_zeros(void **state)
{
    (void)state;
    enum { BYTES = 3 * 65536 };
    struct err e = {0};
    struct sigaction before;
    sigaction(SIGBUS, NULL, &before);
    put_image("lost.safetensors", "{" T("a", "U8", "[196608]", 0, 196608) "}", BYTES);
    struct checkpoint *st = checkpoint_open(place("lost.safetensors"), &e);
    assert_non_null(st);
    struct stat id, now;
    assert_int_equal(stat(place("lost.safetensors"), &id), 0);
    assert_int_equal(truncate(place("lost.safetensors"), 65536), 0);
    struct sigaction repairing = {.sa_sigaction = on_bus, .sa_flags = (int)SA_SIGINFO};
    sigaction(SIGBUS, &repairing, NULL);
    const volatile unsigned char *a = checkpoint_at(st, 0)->data;
    assert_int_equal(a[BYTES - 1], 0);
    assert_int_equal(a[BYTES / 2], 0);
    assert_int_equal(truncate(place("lost.safetensors"), id.st_size), 0);
    assert_int_equal(stat(place("lost.safetensors"), &now), 0);
    assert_int_equal(now.st_size, id.st_size);
    assert_true(checkpoint_changed(st, NULL));
    checkpoint_close(st);
    assert_false(
        mapping_repair((const void *)(uintptr_t)a)); /* no longer ours: any fault there is fatal */
    sigaction(SIGBUS, &before, NULL);
}

static void the_samples_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        enum st_dtype dtype;
        int rank;
    } samples[] = {{"tensor-1d-int32", ST_I32, 1},
                   {"tensor-2d-float64", ST_F64, 2},
                   {"tensor-3d-float32", ST_F32, 3},
                   {"tensor-4d-float32", ST_F32, 4}};
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        char path[256];
        struct err e = {0};
        snprintf(path, sizeof path, "../shared/data/formats/safetensors/%s.safetensors",
                 samples[i].file);
        if (access(path, F_OK)) {
            print_message("SKIP: no %s\n", path);
            skip();
        }
        struct checkpoint *st = checkpoint_open(path, &e);
        if (!st)
            fail_msg("%s", e.text);
        assert_int_equal(checkpoint_count(st), 1);
        assert_int_equal(checkpoint_at(st, 0)->dtype, samples[i].dtype);
        assert_int_equal(checkpoint_at(st, 0)->rank, samples[i].rank);
        checkpoint_close(st);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_is_read),
        cmocka_unit_test(the_length_is_checked_first),
        cmocka_unit_test(every_field_is_checked),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(shapes_cannot_overflow),
        cmocka_unit_test(ranges_must_tile_the_data),
        cmocka_unit_test(misaligned_tensors_are_copied_into_place),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_damaged_header_byte_is_survived),
        cmocka_unit_test(a_hundred_thousand_tensors_are_quick),
        cmocka_unit_test(the_number_of_tensors_is_bounded),
        cmocka_unit_test(shards_and_index_must_agree),
        cmocka_unit_test(odd_files_are_refused),
        cmocka_unit_test(a_change_of_the_file_is_seen),
        cmocka_unit_test(a_lost_mapping_reads_as_zeros),
        cmocka_unit_test(weights_are_mapped_for_huge_pages),
        cmocka_unit_test(the_samples_are_read),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
