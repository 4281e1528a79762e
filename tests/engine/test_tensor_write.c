/* Tests of tensor_write.h: what is written can be read back, whole or not at all, and errors are
 * told. */
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
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/file_write.h"
#include "model/tensor_write.h"

static char folder[] = "/tmp/bore-tw-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int entries(bool remove_them)
{
    int n = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *d; (d = readdir(dir));)
        if (d->d_name[0] != '.') {
            n++;
            if (remove_them)
                unlinkat(dirfd(dir), d->d_name, 0);
        }
    closedir(dir);
    return n;
}

static int remove_folder(void **state)
{
    (void)state;
    entries(true);
    return rmdir(folder);
}

static const char *place(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static const float numbers[6] = {1, -2, 3.5f, 0, 1e30f, -0.25f};
static const uint8_t small[3] = {7, 8, 9};

static int count_up(void *ctx, void *buf, size_t offset, size_t n, struct err *e)
{
    (void)e;
    size_t *next = ctx;
    assert_int_equal(offset, *next); /* consecutive pieces */
    *next += n;
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)buf)[i] = (unsigned char)((offset + i) % 251);
    return 0;
}

static int break_down(void *ctx, void *buf, size_t offset, size_t n, struct err *e)
{
    (void)ctx, (void)buf, (void)n;
    return offset ? err_set(e, ERR_CANCELLED, "stopped at %zu", offset) : 0;
}

enum { BIG = (1 << 20) + 1000 };

static void write_sample(const char *name)
{
    size_t next = 0;
    struct err e = {0};
    const struct tensor_out t[] = {
        {.name = "u", .dtype = ST_U8, .rank = 1, .shape = {3}, .data = small},
        {.name = "blocks.0.hook_z", .dtype = ST_F32, .rank = 2, .shape = {2, 3}, .data = numbers},
        {.name = "big", .dtype = ST_I8, .rank = 1, .shape = {BIG}, .read = count_up, .ctx = &next},
        {.name = "none", .dtype = ST_F32, .rank = 2, .shape = {0, 5}},
        {.name = "scalar", .dtype = ST_F32, .rank = 0, .data = numbers},
    };
    const struct tensor_meta meta[] = {{"tokens", "[1,2]"}, {"prompt", "\"é\"\n"}};
    if (tensor_write(place(name), t, 5, meta, 2, &e))
        fail_msg("%s", e.text);
    assert_int_equal(next, BIG);
}

static void safetensors_come_back(void **state)
{
    (void)state;
    struct err e = {0};
    write_sample("a.safetensors");
    struct checkpoint *st = checkpoint_open(place("a.safetensors"), &e);
    if (!st)
        fail_msg("%s", e.text);
    assert_int_equal(checkpoint_count(st), 5);
    assert_string_equal(checkpoint_metadata(st, "prompt"), "\"é\"\n");
    const struct st_tensor *z = checkpoint_find(st, "blocks.0.hook_z");
    assert_int_equal(z->rank, 2);
    assert_int_equal(z->shape[1], 3);
    assert_memory_equal(z->data, numbers, sizeof numbers);
    assert_memory_equal(checkpoint_find(st, "u")->data, small, sizeof small);
    const unsigned char *big = checkpoint_find(st, "big")->data;
    for (size_t i = 0; i < BIG; i++)
        assert_int_equal(big[i], i % 251);
    assert_int_equal(checkpoint_find(st, "none")->nbytes, 0);
    assert_int_equal(checkpoint_find(st, "scalar")->rank, 0);
    checkpoint_close(st);
}

static uint64_t get(const unsigned char *p, int n)
{
    uint64_t v = 0;
    while (n--)
        v = v << 8 | p[n];
    return v;
}

/* One entry of the central directory at `entry`, checked against its member; returns the member's
 * bytes. */
static const unsigned char *member(const unsigned char *file, const unsigned char *entry,
                                   const char *name, size_t *size)
{
    size_t name_len = get(entry + 28, 2), at = get(entry + 42, 4);
    const unsigned char *local = file + at;
    assert_int_equal(get(entry, 4), 0x02014b50);
    assert_int_equal(get(local, 4), 0x04034b50);
    assert_int_equal(name_len, strlen(name));
    assert_memory_equal(entry + 46, name, name_len);
    assert_memory_equal(local + 30, name, name_len);
    *size = get(entry + 24, 4);
    assert_int_equal(get(local + 22, 4), *size);
    assert_int_equal(get(local + 14, 4), get(entry + 16, 4));
    const unsigned char *bytes = local + 30 + name_len + get(local + 28, 2);
    assert_int_equal(crc32(0, bytes, (unsigned)*size), get(entry + 16, 4));
    return bytes;
}

static void check_npy(const unsigned char *bytes, size_t size, const char *header, size_t data_len)
{
    size_t len = get(bytes + 8, 2);
    assert_memory_equal(bytes, "\x93NUMPY\x01\x00", 8);
    assert_int_equal((10 + len) % 64, 0);
    assert_int_equal(bytes[10 + len - 1], '\n');
    assert_memory_equal(bytes + 10, header, strlen(header));
    assert_int_equal(size, 10 + len + data_len);
}

static void npz_has_the_layout_that_numpy_reads(void **state)
{
    (void)state;
    static const struct {
        const char *name, *header;
        size_t data_len;
    } want[] = {
        {"u.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }", 3},
        {"blocks.0.hook_z.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 24},
        {"big.npy", "{'descr': '|i1', 'fortran_order': False, 'shape': (1049576,), }", BIG},
        {"none.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 5), }", 0},
        {"scalar.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (), }", 4},
    };
    write_sample("a.npz");
    unsigned char *file = malloc(2 << 20);
    FILE *f = fopen(place("a.npz"), "rb");
    size_t len = fread(file, 1, 2 << 20, f), size;
    fclose(f);
    const unsigned char *end = file + len - 22;
    assert_int_equal(get(end, 4), 0x06054b50);
    assert_int_equal(get(end + 10, 2), 6);
    const unsigned char *entry = file + get(end + 16, 4);
    const unsigned char *json = member(file, entry, "metadata.json", &size);
    assert_memory_equal(json, "{\n \"tokens\": \"[1,2]\"", 19);
    for (size_t i = 0; i < 5; i++) {
        entry += 46 + get(entry + 28, 2) + get(entry + 30, 2);
        const unsigned char *npy = member(file, entry, want[i].name, &size);
        check_npy(npy, size, want[i].header, want[i].data_len);
        if (i == 1)
            assert_memory_equal(npy + size - sizeof numbers, numbers, sizeof numbers);
    }
    assert_ptr_equal(entry + 46 + get(entry + 28, 2), end);
    free(file);
}

static void refuse(const char *name, const struct tensor_out *t, size_t n, int code,
                   const char *part)
{
    struct err e = {0};
    int before = entries(false);
    assert_int_equal(tensor_write(place(name), t, n, NULL, 0, &e), code);
    if (!strstr(e.text, part))
        fail_msg("message \"%s\" lacks \"%s\"", e.text, part);
    assert_int_equal(entries(false), before); /* nothing is left behind */
}

static void what_cannot_be_written_is_refused(void **state)
{
    (void)state;
    struct err e = {0};
    const struct tensor_out twice[] = {
        {.name = "a", .dtype = ST_U8, .rank = 1, .shape = {3}, .data = small},
        {.name = "a", .dtype = ST_U8, .rank = 1, .shape = {3}, .data = small}};
    const struct tensor_out like[] = {
        {.name = "a/b", .dtype = ST_U8, .rank = 1, .shape = {3}, .data = small},
        {.name = "a_b", .dtype = ST_U8, .rank = 1, .shape = {3}, .data = small}};
    const struct tensor_out half = {
        .name = "h", .dtype = ST_BF16, .rank = 1, .shape = {1}, .data = numbers};
    const struct tensor_out odd = {
        .name = "\xff", .dtype = ST_U8, .rank = 1, .shape = {3}, .data = small};
    const struct tensor_out meta = {
        .name = "__metadata__", .dtype = ST_U8, .rank = 1, .shape = {3}, .data = small};
    const struct tensor_out huge = {
        .name = "x", .dtype = ST_U8, .rank = 2, .shape = {INT64_MAX, 4}};
    const struct tensor_out broken = {
        .name = "x", .dtype = ST_U8, .rank = 1, .shape = {BIG}, .read = break_down};
    const struct tensor_meta same[] = {{"k", "1"}, {"k", "2"}};
    refuse("a.pt", twice, 1, ERR_USAGE, "ends in .safetensors or .npz");
    assert_int_equal(tensor_write_check("x.npz", &e), 0);
    assert_int_equal(tensor_write_check(".npz", &e), ERR_USAGE);
    refuse("b.npz", twice, 2, ERR_BAD_INPUT, "two tensors are called \"a\"");
    refuse("b.npz", like, 2, ERR_BAD_INPUT, "two members would be called a_b.npy");
    refuse("b.npz", &half, 1, ERR_BAD_INPUT, "an .npz cannot hold BF16");
    refuse("b.safetensors", &odd, 1, ERR_BAD_INPUT, "cannot be a tensor's name");
    refuse("b.safetensors", &meta, 1, ERR_BAD_INPUT, "cannot be a tensor's name");
    refuse("b.safetensors", &huge, 1, ERR_BAD_INPUT, "impossible shape");
    refuse("b.safetensors", &broken, 1, ERR_CANCELLED, "stopped at 1048576");
    refuse("b.npz", &broken, 1, ERR_CANCELLED, "stopped at 1048576");
    refuse("no/such/b.npz", twice, 1, ERR_SYSTEM, "cannot write: No such file");
    assert_int_equal(tensor_write("/dev/full.npz", twice, 1, same, 2, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "given twice"));
    assert_int_equal(mkdir(place("d.npz"), 0700), 0);
    refuse("d.npz", twice, 1, ERR_BAD_INPUT, "is not a regular file");
    assert_int_equal(rmdir(place("d.npz")), 0);
}

/* A full disk, played by the limit on file sizes: the old file stays and nothing is left beside it.
 */
static void a_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    struct rlimit old, tight;
    size_t next = 0;
    struct err e = {0};
    const struct tensor_out big = {
        .name = "big", .dtype = ST_I8, .rank = 1, .shape = {BIG}, .read = count_up, .ctx = &next};
    write_sample("keep.safetensors");
    int before = entries(false);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    tight = old;
    tight.rlim_cur = 1 << 19;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    int rc = tensor_write(place("keep.safetensors"), &big, 1, NULL, 0, &e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(rc, ERR_SYSTEM);
    assert_non_null(strstr(e.text, "cannot write: File too large"));
    assert_int_equal(entries(false), before);
    struct checkpoint *st = checkpoint_open(place("keep.safetensors"), &e);
    assert_non_null(st);
    assert_int_equal(checkpoint_count(st), 5);
    checkpoint_close(st);
}

static uint64_t length_of(const struct file_write *f)
{
    struct stat st;
    assert_int_equal(fstat(f->fd, &st), 0);
    return (uint64_t)st.st_size;
}

/* The file grows by whole pieces at multiples of them, however it is given; what is changed later
 * is changed in the file and in the piece that is not there yet. */
static void bytes_go_to_the_file_in_whole_pieces(void **state)
{
    (void)state;
    static const size_t steps[] = {
        8, 1000, 1, FILE_WRITE_PIECE + 77, FILE_WRITE_PIECE, 1009, 3 * FILE_WRITE_PIECE - 5, 4096};
    enum { MOST = 8 };
    static char want[MOST * FILE_WRITE_PIECE];
    struct err e = {0};
    struct file_write f;
    uint64_t at = 0;
    for (size_t i = 0; i < sizeof want; i++)
        want[i] = (char)(i % 251);
    assert_int_equal(file_write_begin(&f, place("pieces"), &e), 0);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        assert_int_equal(file_write_bytes(&f, want + at, steps[i], &e), 0);
        at += steps[i];
        assert_int_equal(f.at, at);
        assert_int_equal(length_of(&f), at - at % FILE_WRITE_PIECE);
    }
    const uint64_t patches[] = {0, 5 * FILE_WRITE_PIECE - 3, at - 6};
    for (size_t i = 0; i < sizeof patches / sizeof *patches; i++) {
        memcpy(want + patches[i], "patch!", 6);
        assert_int_equal(file_write_patch(&f, patches[i], "patch!", 6, &e), 0);
    }
    assert_int_equal(file_write_commit(&f, &e), 0);
    FILE *in = fopen(place("pieces"), "rb");
    static char got[sizeof want];
    assert_int_equal(fread(got, 1, sizeof got, in), at);
    assert_memory_equal(got, want, at);
    fclose(in);
}

static void a_link_stays_a_link(void **state)
{
    (void)state;
    struct stat st;
    char target[256];
    snprintf(target, sizeof target, "%s", place("target.safetensors"));
    fclose(fopen(target, "w"));
    assert_int_equal(symlink(target, place("link.safetensors")), 0);
    write_sample("link.safetensors");
    assert_int_equal(lstat(place("link.safetensors"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(target, &st), 0);
    assert_true(st.st_size > BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safetensors_come_back),
        cmocka_unit_test(npz_has_the_layout_that_numpy_reads),
        cmocka_unit_test(what_cannot_be_written_is_refused),
        cmocka_unit_test(a_failed_write_leaves_the_old_file),
        cmocka_unit_test(bytes_go_to_the_file_in_whole_pieces),
        cmocka_unit_test(a_link_stays_a_link),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
