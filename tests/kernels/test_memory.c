/* test_memory.c - buffers of the cpu backend: apart, aligned, zero, and given back. */
#include "cpu/memory.h"
#include "ktest.h"

#include <stdio.h>
#include <string.h>

enum { BUFFERS = 200, STEPS = 4000 };

static bool is_zero(const unsigned char *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* Kilobytes of one kind of the process' memory. */
static long status_kb(const char *kind)
{
    long kb = -1;
    char line[200];
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, kind, strlen(kind)))
            sscanf(line + strlen(kind), ": %ld", &kb);
    if (f)
        fclose(f);
    return kb;
}

static size_t some_size(uint64_t *state)
{
    static const size_t MOST[] = {100, 5000, 1 << 20, 10 << 20};
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    uint64_t r = *state >> 33;
    return r % 37 == 0 ? 0 : 1 + (size_t)(r % MOST[r / 64 % 4 == 3 ? r / 256 % 4 : r / 64 % 3]);
}

static void test_buffers_are_apart_and_zero(void **state)
{
    (void)state;
    static struct {
        unsigned char *at, mark;
        size_t n;
    } b[BUFFERS];
    struct memory m = {.kept_max = 16 << 20};
    uint64_t seed = 7;
    for (int step = 0; step < STEPS; step++) {
        size_t i = (size_t)(seed >> 40) % BUFFERS;
        if (b[i].at) { /* whole: nobody else wrote into it */
            assert_true(b[i].n == 0 || b[i].at[0] == b[i].mark);
            assert_true(b[i].n == 0 || memcmp(b[i].at, b[i].at + 1, b[i].n - 1) == 0);
            memory_release(&m, b[i].at, b[i].n);
            b[i].at = NULL;
        } else {
            b[i].n = some_size(&seed);
            assert_non_null(b[i].at = memory_alloc(&m, b[i].n));
            assert_int_equal((uintptr_t)b[i].at % 64, 0);
            assert_true(is_zero(b[i].at, b[i].n));
            b[i].mark = (unsigned char)(step | 1);
            memset(b[i].at, b[i].mark, b[i].n);
        }
        (void)some_size(&seed);
    }
    memory_free(&m);
    assert_null(m.slabs);
}

/* A buffer that stays does not keep the memory of those around it. */
static void test_memory_goes_back(void **state)
{
    (void)state;
    enum { EACH = 1 << 20, MANY = 256 };
    struct memory m = {.kept_max = MANY * EACH};
    void *all[MANY], *stays[MANY / 16];
    long before = status_kb("RssAnon");
    if (before < 0)
        skip();
    for (int i = 0; i < MANY; i++) {
        memset(all[i] = memory_alloc(&m, EACH), 1, EACH);
        if (i % 16 == 0)
            stays[i / 16] = memory_alloc(&m, 64);
    }
    assert_true(status_kb("RssAnon") > before + MANY * 1024 * 9 / 10);
    for (int i = 0; i < MANY; i++)
        memory_release(&m, all[i], EACH);
    assert_true(status_kb("RssAnon") < before + MANY * 1024 / 4);
    for (int i = 0; i < MANY / 16; i++)
        memory_release(&m, stays[i], 64);
    assert_null(m.slabs);
    memory_release(&m, NULL, 0);
}

/* What is released beside as much that is in use is there for the next buffers, as zeros, and goes
 * with the rest. */
static void test_pages_are_used_again(void **state)
{
    (void)state;
    enum { EACH = 1 << 20, MANY = 64 };
    struct memory m = {.kept_max = 2 * MANY * EACH};
    void *stay[MANY], *go[MANY];
    for (int i = 0; i < MANY; i++)
        stay[i] = memory_alloc(&m, EACH);
    for (int turn = 0; turn < 3; turn++) {
        for (int i = 0; i < MANY; i++) {
            assert_non_null(go[i] = memory_alloc(&m, EACH));
            assert_true(is_zero(go[i], EACH));
            memset(go[i], 1 + turn, EACH);
        }
        assert_int_equal(m.kept, 0);
        for (int i = MANY; i-- > 0;)
            memory_release(&m, go[i], EACH);
        assert_int_equal(m.kept, (size_t)MANY * EACH);
    }
    for (int i = 0; i < MANY; i++) {
        memory_release(&m, stay[i], EACH);
        assert_true(m.kept <= m.in_use);
    }
    assert_null(m.slabs);
    assert_int_equal(m.kept, 0);
}

/* Of what is released no more stays than was said, however much is in use. */
static void test_no_more_is_kept_than_was_said(void **state)
{
    (void)state;
    enum { EACH = 1 << 20, MANY = 64, MOST = 8 };
    struct memory m = {.kept_max = MOST * EACH};
    void *b[MANY];
    for (int i = 0; i < MANY; i++)
        memset(b[i] = memory_alloc(&m, EACH), 1, EACH);
    for (int i = 0; i < MANY; i++) {
        memory_release(&m, b[i], EACH);
        assert_true(m.kept <= MOST * EACH);
        assert_true(i + 1 != MOST || m.kept == MOST * EACH);
    }
    assert_null(m.slabs);
}

/* Buffers of many sizes come and go, some of them seldom: all of them together hold little more
 * than they are. */
static void test_places_are_taken_again(void **state)
{
    (void)state;
    enum { LIVE = 1024, TURNS = 40000, MOST = 64 << 10 };
    struct memory m = {0};
    static struct {
        void *at;
        size_t n;
    } b[LIVE];
    m.kept_max = LIVE * MOST;
    uint64_t seed = 11;
    long before = status_kb("VmSize");
    if (before < 0)
        skip();
    for (int i = 0; i < TURNS; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        size_t k = (size_t)(seed >> 40) % LIVE;
        if (b[k].at && k < LIVE / 4 && i % 64)
            continue;
        memory_release(&m, b[k].at, b[k].n);
        b[k].n = 1 + (size_t)(seed >> 20) % MOST;
        assert_non_null(b[k].at = memory_alloc(&m, b[k].n));
    }
    assert_true(status_kb("VmSize") - before < 3 * LIVE * MOST / 2 / 1024);
    for (int i = 0; i < LIVE; i++)
        memory_release(&m, b[i].at, b[i].n);
    assert_null(m.slabs);
}

static void test_what_cannot_be_had(void **state)
{
    (void)state;
    struct memory m = {0};
    assert_null(memory_alloc(&m, SIZE_MAX));
    assert_null(memory_alloc(&m, SIZE_MAX / 4));
    void *p = memory_alloc(&m, 100);
    assert_non_null(p);
    memory_release(&m, p, 100);
    memory_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffers_are_apart_and_zero),
        cmocka_unit_test(test_memory_goes_back),
        cmocka_unit_test(test_pages_are_used_again),
        cmocka_unit_test(test_no_more_is_kept_than_was_said),
        cmocka_unit_test(test_places_are_taken_again),
        cmocka_unit_test(test_what_cannot_be_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
