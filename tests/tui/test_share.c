/* test_share.c - the room: who is let in, what a hostile, slow or dead watcher can do (nothing),
 * and what the keyboard's guest may.  Watchers are sockets of this test; time is a number. */
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "driver_test.h"
#include "share/host.h"
#include "share/people.h"
#include "share/room.h"

static struct share *room;
static int64_t now = 1000;
static char folder[] = "/tmp/bore-room-XXXXXX";
static const struct frame_caps plain = {GRAPHICS_BLOCKS, COLOR_DEPTH_TRUE, 0, 0, false};

static int open_room(void **state)
{
    (void)state;
    struct err e = {0};
    driver_open(&d, "tests/fixtures/models/gpt2", tokens, 8, 120, 36);
    if (share_open(&d.app->share, "lesson 1", NULL, 0, &e))
        fail_msg("%s", e.text);
    room = d.app->share;
    assert_string_equal(share_name(room), "lesson-1");
    return 0;
}

static int close_room(void **state)
{
    (void)state;
    driver_close(&d);
    return 0;
}

/* ---- watchers ---- */

static int knock(void)
{
    struct err e = {0};
    char shown[ROOM_PATH_MAX];
    int fd = room_connect("lesson-1", shown, &e);
    if (fd < 0)
        fail_msg("%s", e.text);
    return fd;
}

static void tell(int fd, const struct up *m)
{
    struct bytes b = {0};
    wire_up_add(&b, m);
    assert_int_equal(send(fd, b.data, b.len, MSG_NOSIGNAL), b.len);
    bytes_free(&b);
}

static struct input typed[64];
static int n_typed;

static void take(void *to, const struct input *in)
{
    (void)to;
    typed[n_typed++ % 64] = *in;
}

static bool serve(int64_t ms)
{
    now += ms;
    return share_serve(room, d.app, now, take, NULL);
}

static int come(const char *name, const struct frame_caps *caps)
{
    struct up hello = {.kind = UP_HELLO, .caps = *caps};
    snprintf(hello.name, sizeof hello.name, "%s", name);
    int fd = knock();
    tell(fd, &hello);
    assert_true(serve(SHARE_FRAME_MS));
    return fd;
}

/* All that has come; the kinds of its messages as letters, the last screen in *far (may be NULL).
 */
static char *heard(int fd, struct frame *far)
{
    static char kinds[4096];
    static struct bytes b;
    ssize_t n;
    size_t at = 0, len, used, count = 0;
    const uint8_t *body;
    uint8_t kind;
    bytes_clear(&b);
    while ((n = recv(fd, bytes_reserve(&b, 1 << 20), 1 << 20, MSG_DONTWAIT)) > 0)
        b.len += (size_t)n;
    while (count < sizeof kinds - 2 && wire_next((const uint8_t *)b.data + at, b.len - at,
                                                 WIRE_DOWN_MAX, &kind, &body, &len, &used) == 1) {
        kinds[count++] = "?fpe"[kind];
        if (far && kind == DOWN_FRAME)
            assert_true(wire_frame_read(body, len, far));
        at += used;
    }
    if (n == 0)
        kinds[count++] = '.'; /* closed */
    kinds[count] = 0;
    return kinds;
}

static bool holds(const struct frame *f, const char *text)
{
    struct bytes b = {0};
    canvas_dump_plain(f->canvas, &b);
    bool there = strstr(b.data, text) != NULL;
    bytes_free(&b);
    return there;
}

/* ---- other users ---- */

/* As another user: 0 connected, 1 refused by the system, 2 told to go. */
static int as_nobody(const char *path)
{
    pid_t child = fork();
    if (child == 0) {
        struct err e = {0};
        char shown[ROOM_PATH_MAX];
        if (setgid(65534) || setuid(65534))
            _exit(9);
        int fd = room_connect(path, shown, &e);
        if (fd < 0)
            _exit(1);
        struct up hello = {.kind = UP_HELLO, .name = "nobody", .caps = plain};
        struct bytes b = {0};
        wire_up_add(&b, &hello);
        send(fd, b.data, b.len, MSG_NOSIGNAL);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        poll(&p, 1, 5000);
        const char *what = heard(fd, NULL);
        _exit(*what == 'e' || *what == '.' ? 2 : 0);
    }
    int status, done = 0;
    while (!done) {
        done = waitpid(child, &status, WNOHANG) == child;
        serve(SHARE_FRAME_MS);
        poll(NULL, 0, 2);
    }
    return WEXITSTATUS(status);
}

static void reopen(const char *const *allow, int n, char path[256])
{
    struct err e = {0};
    share_close(room);
    if (share_open(&d.app->share, "open", allow, n, &e))
        fail_msg("%s", e.text);
    room = d.app->share;
    snprintf(path, 256, "/tmp/borescope-%u-shared/open", (unsigned)getuid());
}

/* Other users: not into a private room, not even to the socket's folder; into one that lets others
 * in, those who are named. */
static void test_other_users(void **state)
{
    (void)state;
    if (getuid() != 0)
        skip(); /* only root can be somebody else */
    static const char *const somebody[] = {"65533"}, *const nobody[] = {"nobody"};
    char path[256];
    struct person p[WIRE_PEOPLE_MAX];
    snprintf(path, sizeof path, "%s/borescope/lesson-1", folder);
    assert_int_equal(chmod(folder, 0755),
                     0); /* so that it is borescope's own folder that keeps out */
    assert_int_equal(as_nobody(path), 1);
    reopen(somebody, 1, path);
    assert_int_equal(as_nobody(path), 2);
    assert_int_equal(share_people(room, p), 1);
    reopen(nobody, 1, path);
    assert_int_equal(as_nobody(path), 0);
    struct stat st;
    *strrchr(path, '/') = 0;
    assert_true(stat(path, &st) == 0 && (st.st_mode & 07777) == 0711);
    static const char *const unknown[] = {"no-such-user-here"};
    struct share *s = NULL;
    struct err e = {0};
    assert_true(share_open(&s, "x", unknown, 1, &e) < 0);
}

/* ---- watching ---- */

static void test_watching(void **state)
{
    (void)state;
    struct frame far = {0};
    int ann = come("ann", &plain);
    assert_string_equal(heard(ann, &far), "pf");
    assert_true(holds(&far, "[1 grid]") && holds(&far, "through the layers"));
    driver_keys(&d, "4");
    share_changed(room, &d.frame.caps);
    serve(1);
    assert_string_equal(heard(ann, &far), ""); /* in time */
    serve(SHARE_FRAME_MS);
    assert_string_equal(heard(ann, &far), "f");
    assert_true(holds(&far, "[4 hooks]"));
    for (int v = 0; v < VIEW_COUNT;
         v++) { /* none keeps anything of a drawing that is not the teacher's */
        app_show_view(d.app, (enum view_id)v);
        share_changed(room, &d.frame.caps);
        serve(SHARE_FRAME_MS);
        driver_settle(&d);
        share_changed(room, &d.frame.caps);
        serve(SHARE_FRAME_MS);
        assert_string_equal(heard(ann, &far), "ff");
    }
    serve(1000);
    assert_string_equal(heard(ann, &far), ""); /* nothing new, nothing told */
    assert_int_equal(share_wait_ms(room, now), -1);
    frame_free(&far);
    close(ann);
    assert_true(serve(1));
}

/* Each gets the teacher's screen, as its terminal can show it; the teacher's own is untouched by
 * it. */
static void test_kinds(void **state)
{
    (void)state;
    static const struct frame_caps kinds[] = {
        {GRAPHICS_SIXEL, COLOR_DEPTH_TRUE, 9, 18, false},
        {GRAPHICS_KITTY, COLOR_DEPTH_256, 10, 20, false},
        {GRAPHICS_BLOCKS, COLOR_DEPTH_TRUE, 0, 0, false},
        {GRAPHICS_NONE, COLOR_DEPTH_NONE, 0, 0, false},
        {GRAPHICS_NONE, COLOR_DEPTH_NONE, 0, 0, true},
        {GRAPHICS_SIXEL, COLOR_DEPTH_TRUE, 18, 36, false}, /* a third size: flattened */
        {GRAPHICS_SIXEL, COLOR_DEPTH_16, 0, 0, true},
        {GRAPHICS_NONE, COLOR_DEPTH_16, 0, 0, false}};
    enum { N = sizeof kinds / sizeof *kinds };
    d.frame.caps = kinds[0];
    driver_keys(&d, "2Gjj");
    char *before = driver_screen(&d);
    struct rect map = d.frame.picture[d.frame.n_pictures - 1].r;
    int32_t top = d.app->row_top, map_top = d.app->map_top;
    share_changed(room, &d.frame.caps);
    for (int i = 0; i < N; i++) {
        struct frame far = {0};
        char name[8];
        snprintf(name, sizeof name, "w%d", i);
        int fd = come(name, &kinds[i]);
        assert_non_null(strchr(heard(fd, &far), 'f'));
        assert_true(holds(&far, "hook_pattern"));
        const struct picture *p = &far.picture[far.n_pictures - (far.n_pictures > 0)];
        const struct canvas_cell *last = canvas_at(far.canvas, map.x + map.w - 2,
                                                   map.y + map.h - 1);
        if (i < 2) /* the same cells, other pixels */
            assert_true(far.n_pictures > 1 && memcmp(&p->r, &map, sizeof map) == 0 &&
                        p->h > p->r.h * (kinds[i].cell_h - 6) && p->h <= p->r.h * kinds[i].cell_h);
        else if (kinds[i].depth !=
                 COLOR_DEPTH_NONE) /* the same cells, as blocks to the last corner */
            assert_true(far.n_pictures == 0 && last->style.bg != COLOR_DEFAULT);
        else
            assert_int_equal(far.n_pictures, 0);
        frame_free(&far);
    }
    char *after = driver_screen(&d);
    assert_string_equal(before, after);
    assert_true(top == d.app->row_top && map_top == d.app->map_top);
    free(before);
    free(after);
}

/* Where the teacher has no pixels, nobody has: what one points at is the same to all. */
static void test_blocks_for_all(void **state)
{
    (void)state;
    static const struct frame_caps sixel = {GRAPHICS_SIXEL, COLOR_DEPTH_TRUE, 9, 18, false};
    struct frame far = {0};
    d.frame.caps = plain;
    driver_keys(&d, "2");
    char *screen = driver_screen(&d);
    share_changed(room, &d.frame.caps);
    int fd = come("ann", &sixel);
    assert_non_null(strchr(heard(fd, &far), 'f'));
    assert_int_equal(far.n_pictures, 0);
    for (int i = 0; i < far.canvas->w * far.canvas->h; i++)
        assert_string_equal(far.canvas->cell[i].text, d.frame.canvas->cell[i].text);
    free(screen);
    frame_free(&far);
}

static void test_cursors(void **state)
{
    (void)state;
    struct person p[WIRE_PEOPLE_MAX];
    int ann = come("ann", &plain), bob = come("ann", &plain); /* the same name */
    assert_int_equal(share_people(room, p), 3);
    assert_string_equal(p[1].name, "ann");
    assert_string_equal(p[2].name, "ann-2");
    heard(bob, NULL);
    tell(ann, &(struct up){.kind = UP_CURSOR, .x = 30, .y = 30});
    assert_true(serve(1));
    share_people(room, p);
    assert_true(p[1].x == 30 && p[1].y == 30 && p[2].x == -1);
    assert_non_null(strchr(heard(bob, NULL), 'p'));
    char *bare = driver_screen(&d);
    host_draw(d.app, &d.frame);
    const struct canvas_cell *cell = canvas_at(d.frame.canvas, 30, 30);
    assert_true(cell->style.attr & CANVAS_UNDERLINE);
    assert_string_equal(canvas_at(d.frame.canvas, 31, 30)->text,
                        "a"); /* its name, where it is blank */
    /* Over text the name gives way: not a character of the view is hidden. */
    tell(ann, &(struct up){.kind = UP_CURSOR, .x = 3, .y = 4});
    tell(bob, &(struct up){.kind = UP_CURSOR, .x = 999, .y = -7});
    serve(1);
    free(bare);
    bare = driver_screen(&d);
    char was[12][TEXT_ITEM_BYTES];
    for (int x = 0; x < 12; x++)
        memcpy(was[x], canvas_at(d.frame.canvas, x, 4)->text, TEXT_ITEM_BYTES);
    host_draw(d.app, &d.frame);
    for (int x = 0; x < 12; x++)
        if (strcmp(was[x], " ") != 0)
            assert_string_equal(canvas_at(d.frame.canvas, x, 4)->text, was[x]);
    free(bare);
    close(ann);
    serve(1);
    assert_int_equal(share_people(room, p), 2);
}

/* ---- what they cannot do ---- */

static void expect_gone(int fd, const char *what)
{
    struct person p[WIRE_PEOPLE_MAX];
    serve(1);
    serve(1);
    const char *last = heard(fd, NULL);
    if (!*last || last[strlen(last) - 1] != '.')
        fail_msg("%s: still in the room", what);
    assert_int_equal(share_people(room, p), 1);
    close(fd);
}

static void test_hostile(void **state)
{
    (void)state;
    static const struct {
        const char *what, *bytes;
        size_t n;
    } rows[] = {{"text", "GET / HTTP/1.1\r\n\r\n", 18},
                {"too long", "\xff\xff\xff\x7f\1", 5},
                {"empty", "\0\0\0\0", 4},
                {"unknown", "\1\0\0\0\x63", 5},
                {"key before hello", "\x0b\0\0\0\4\0x\0\0\0\0\0\0\0\0", 15}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int fd = knock();
        serve(1);
        assert_int_equal(send(fd, rows[i].bytes, rows[i].n, MSG_NOSIGNAL), rows[i].n);
        expect_gone(fd, rows[i].what);
    }
    int fd = come("twice", &plain);
    struct up hello = {.kind = UP_HELLO, .name = "again", .caps = plain};
    tell(fd, &hello);
    expect_gone(fd, "a second hello");
    fd = knock();
    serve(1);
    serve(SHARE_HELLO_MS - 10);
    assert_string_equal(heard(fd, NULL), "");
    serve(20);
    assert_string_equal(heard(fd, NULL), "."); /* it never said who it is */
    close(fd);
    fd = come("flood", &plain);
    for (int i = 0; i <= SHARE_MESSAGES_MAX; i++) {
        tell(fd, &(struct up){.kind = UP_CURSOR, .x = i, .y = 1});
        if (i % 50 == 0)
            serve(0);
    }
    expect_gone(fd, "too many messages");
    assert_true(share_wait_ms(room, now) == -1);
}

/* It takes nothing: one screen waits for it, no more, and then it is dropped. */
static void test_slow(void **state)
{
    (void)state;
    struct person p[WIRE_PEOPLE_MAX];
    int slow = come("slow", &plain), small = 4096;
    setsockopt(slow, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    int good = come("good", &plain);
    int64_t from = now;
    size_t frames = 0;
    while (now - from < 3 * SHARE_SLOW_MS && share_people(room, p) == 3) {
        driver_keys(&d, now % 2 ? "2" : "1"); /* another screen each time */
        share_changed(room, &d.frame.caps);
        serve(SHARE_FRAME_MS);
        for (const char *s = heard(good, NULL); *s; s++)
            frames += *s == 'f';
    }
    assert_int_equal(share_people(room, p), 2);
    assert_string_equal(p[1].name, "good");
    assert_true(now - from >= SHARE_SLOW_MS && frames > 50); /* it missed none of them */
    close(slow);
}

/* A room full of hostile watchers takes less than 50 ms of the teacher's time at once. */
static void test_crowd(void **state)
{
    (void)state;
    struct person p[WIRE_PEOPLE_MAX];
    int fd[SHARE_WATCHERS_MAX + 2];
    for (int i = 0; i < SHARE_WATCHERS_MAX; i++) {
        struct frame_caps c = {GRAPHICS_SIXEL, COLOR_DEPTH_TRUE, 8 + i, 64, false};
        fd[i] = come("crowd", &c);
    }
    assert_int_equal(share_people(room, p), SHARE_WATCHERS_MAX + 1);
    fd[SHARE_WATCHERS_MAX] = knock();
    serve(1);
    assert_string_equal(heard(fd[SHARE_WATCHERS_MAX], NULL), "e."); /* full */
    double worst = 0;
    for (int round = 0; round < 60; round++) {
        driver_keys(&d, round % 2 ? "2" : "1");
        share_changed(room, &d.frame.caps);
        for (int i = 0; i < SHARE_WATCHERS_MAX && share_people(room, p) > SHARE_WATCHERS_MAX; i++) {
            struct up m = {
                .kind = UP_SCREEN,
                .caps = {GRAPHICS_SIXEL, COLOR_DEPTH_TRUE, 8 + (round + i) % 50, 64, false}};
            tell(fd[i], &m);
            tell(fd[i], &(struct up){.kind = UP_CURSOR, .x = round, .y = i});
            if (i % 2)
                heard(fd[i], NULL); /* the others take nothing */
        }
        struct timespec a, b;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
        serve(SHARE_FRAME_MS);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
        double ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
        worst = ms > worst ? ms : worst;
    }
    print_message("a crowd of %d: at most %.1f ms\n", SHARE_WATCHERS_MAX, worst);
    assert_true(worst < 50);
    for (int i = 0; i <= SHARE_WATCHERS_MAX; i++)
        close(fd[i]);
}

/* ---- the keyboard ---- */

static void press(int fd, uint32_t key)
{
    tell(fd, &(struct up){.kind = UP_INPUT, .input = {.kind = INPUT_KEY, .key = key}});
    serve(1);
}

static void test_keyboard(void **state)
{
    (void)state;
    struct person p[WIRE_PEOPLE_MAX];
    int ann = come("ann", &plain), bob = come("bob", &plain);
    n_typed = 0;
    press(ann, 'x');
    assert_int_equal(n_typed, 0); /* read-only */
    assert_false(share_give(room, "eve"));
    assert_true(share_give(room, "ann"));
    share_people(room, p);
    assert_true(!p[0].keyboard && p[1].keyboard && !p[2].keyboard);
    press(ann, 'x');
    press(bob, 'y');
    assert_true(n_typed == 1 && typed[0].key == 'x');
    assert_true(share_give(room, "bob"));
    press(ann, 'x');
    press(bob, 'y');
    assert_true(n_typed == 2 && typed[1].key == 'y');
    tell(bob, &(struct up){.kind = UP_RELEASE});
    serve(1);
    assert_false(share_is_away(room));
    share_give(room, "bob");
    assert_true(host_takes_back(d.app)); /* a key of the teacher's, and only that */
    assert_false(host_takes_back(d.app));
    share_give(room, "ann");
    close(ann); /* and it is back by itself */
    serve(1);
    assert_false(share_is_away(room));
    close(bob);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    alarm(300);
    if (!mkdtemp(folder) || setenv("XDG_RUNTIME_DIR", folder, 1))
        return 1;
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_room, close_room)
    const struct CMUnitTest tests[] = {

        TEST(test_other_users),    TEST(test_watching), TEST(test_kinds),
        TEST(test_blocks_for_all), TEST(test_cursors),  TEST(test_hostile),
        TEST(test_slow),           TEST(test_crowd),    TEST(test_keyboard)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char line[64];
    snprintf(line, sizeof line, "rm -r %s", folder);
    return system(line) || failed;
}
