/* test_guest.c - what a watcher with the keyboard may not do: nothing opens, makes or changes a
 * file, whatever the command, its arguments, or the word of the edit language.  The kernel says
 * what was touched (inotify); the same done by the teacher shows that it would. */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include "command.h"
#include "driver_test.h"
#include "edit/edit.h"
#include "save/image_file.h"
#include "share/host.h"
#include "share/room.h"

#define VIT "tests/fixtures/models/vit"
#define HOOK "blocks.0.hook_mlp_out"

static char *folder, *tensors, *lines, *session, *image, *fresh;
static int watch = -1;
static char home[4096];

/* ---- what is touched ---- */

static bool touched(void)
{
    char buf[65536] __attribute__((aligned(8)));
    bool any = false;
    for (ssize_t n; (n = read(watch, buf, sizeof buf)) > 0;)
        any = true;
    return any;
}

static void put(const char *path, const char *text, size_t len)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void make_files(void)
{
    size_t n;
    char *model = file_read("tests/fixtures/models/gpt2/edits.safetensors", &n);
    folder = folder_make();
    tensors = folder_path(folder, "x.safetensors");
    lines = folder_path(folder, "lines.txt");
    session = folder_path(folder, "s.session");
    image = folder_path(folder, "pixels.npy");
    fresh = folder_path(folder, "fresh.txt");
    put(tensors, model, n);
    free(model);
    model = file_read(VIT "/pixels.npy", &n);
    put(image, model, n);
    free(model);
    put(lines, "view hooks\n", 11);
    static const char text[] = "model teach\nprompt \"Tom\"\nend\n";
    put(session, text, sizeof text - 1);
}

/* A room with the keyboard of `d` in it, and the folder under the kernel's eyes. */
static int begin(const char *model, const struct app_options *o)
{
    struct err e = {0};
    make_files();
    driver_open_app(&d, model, o, 120, 36);
    setenv("XDG_RUNTIME_DIR", "/tmp", 1);
    if (share_open(&d.app->share, "guests", NULL, 0, &e))
        fail_msg("%s", e.text);
    d.app->opt.state_folder = folder;
    assert_true(getcwd(home, sizeof home) && chdir(folder) == 0); /* files without a folder too */
    watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch < 0 || inotify_add_watch(watch, folder, IN_ALL_EVENTS) < 0)
        fail_msg("inotify: %s", strerror(errno));
    touched();
    return 0;
}

static int open_text(void **state)
{
    (void)state;
    const struct app_options o = {.prompt = "When Mary and John", .bos = -1, .pair = {-1, -1}};
    return begin("models/teach", &o);
}

static int end(void **state)
{
    (void)state;
    host_guest(d.app, false);
    close(watch);
    assert_int_equal(chdir(home), 0);
    driver_close(&d);
    folder_remove(folder);
    free(tensors), free(lines), free(session), free(image), free(fresh);
    return 0;
}

/* As the guest (or the teacher) types it; what it asked the driver for. */
static unsigned type(const char *command, bool guest)
{
    d.app->message[0] = 0;
    host_guest(d.app, guest);
    unsigned react = app_command(d.app, command);
    host_guest(d.app, false);
    driver_settle(&d);
    return react;
}

/* ---- commands ---- */

/* Arguments that name a file, as any command might take them. */
static char *argument(int i)
{
    static char buf[1024];
    switch (i) {
    case 0: buf[0] = 0; break;
    case 1: snprintf(buf, sizeof buf, " %s", tensors); break;
    case 2: snprintf(buf, sizeof buf, "! %s", fresh); break;
    case 3: snprintf(buf, sizeof buf, " a=%s", lines); break;
    case 4: snprintf(buf, sizeof buf, " nnsight %s/x.py", folder); break;
    case 5: snprintf(buf, sizeof buf, " %s += file(\"%s\", \"v\")", HOOK, tensors); break;
    case 6: snprintf(buf, sizeof buf, " 1 %s += file(\"%s\", \"v\")", HOOK, tensors); break;
    case 7: snprintf(buf, sizeof buf, " mlp_out += file(\"%s\", \"v\")", tensors); break;
    case 8: snprintf(buf, sizeof buf, " %s", session); break;
    case 9: snprintf(buf, sizeof buf, " %s", lines); break;
    case 10: snprintf(buf, sizeof buf, " x.txt %s", tensors); break;
    case 11: snprintf(buf, sizeof buf, " 1"); break;
    case 12: snprintf(buf, sizeof buf, "! %s", session); break;
    case 13: snprintf(buf, sizeof buf, " mlp_out += {f=file}(\"%s\", \"v\")", tensors); break;
    default: return NULL;
    }
    return buf;
}

static void all_arguments(int id, bool guest)
{
    const char *arg;
    for (int i = 0; (arg = argument(i)); i++) {
        char command[1200];
        snprintf(command, sizeof command, "%s%s", action_table[id].name, arg);
        unsigned react = type(command, guest);
        if (guest && (react & (REACT_QUIT | REACT_SUSPEND | REACT_COPY)))
            fail_msg("a guest's \"%s\" does something to the teacher's program", command);
        if (guest && touched())
            fail_msg("a guest's \"%s\" touched a file: %s", command, d.app->message);
        if (strchr(d.app->message, '\n'))
            fail_msg("more than a line: %s", d.app->message);
        if (d.app->mode != LINE_NONE)
            app_line_cancel(d.app);
    }
}

/* Every row of actions.def, with every kind of argument, in lines and in the help list too. */
static void test_actions(void **state)
{
    (void)state;
    type("edit " HOOK " = 0", false);
    type("state! 1", false);
    const struct share *room = d.app->share;
    for (int i = 0; i < ACTION_COUNT; i++) {
        all_arguments(i, true);
        for (enum line_mode m = LINE_COMMAND; m <= LINE_HELP; m += LINE_HELP - LINE_COMMAND) {
            app_line_open(d.app, m, "write");
            type(action_table[i].name, true);
            d.app->mode = LINE_NONE;
        }
        assert_false(touched());
        assert_ptr_equal(d.app->share, room);
        assert_false(d.app->present.on);
    }
    assert_true(access(fresh, F_OK) < 0);
}

/* The same words open files for the teacher: what the test would see. */
static void test_teacher(void **state)
{
    (void)state;
    static const enum action_id with_files[] = {ACTION_WRITE, ACTION_W,      ACTION_SAVE,
                                                ACTION_OPEN,  ACTION_SOURCE, ACTION_REF,
                                                ACTION_EDIT,  ACTION_SWEEP,  ACTION_REPLACE};
    for (size_t i = 0; i < sizeof with_files / sizeof *with_files; i++) {
        type("edit " HOOK " = 0", false);
        touched();
        all_arguments((int)with_files[i], false);
        if (!touched())
            fail_msg("%s touched no file", action_table[with_files[i]].name);
    }
}

/* ---- words of the edit language ---- */

/* "rows("PATH", "NAME")" with what stands for its arguments: a vector of the file, or of the
 * vocabulary. */
static void sample(const char *form, bool from_file, char *out, size_t size)
{
    char vector[512];
    snprintf(vector, sizeof vector, from_file ? "file(\"%s\", \"v\")" : "dir(3, 4)", tensors);
    const char *const stands[][2] = {{"\"PATH\"", tensors},
                                     {"DIRECTION", vector},
                                     {"VECTOR", vector},
                                     {"TENSOR", "v"},
                                     {"NAME", "v"},
                                     {"NUMBER", "0.5"},
                                     {"SIGMA", "0.1"},
                                     {"seed=N", "seed=1"},
                                     {"RUN", "base"},
                                     {"LO, HI", "-1, 1"},
                                     {"\"A\", \"B\"", "3, 4"},
                                     {", FN", ", tanh"}};
    size_t n = 0;
    for (const char *s = form; *s && n + 1 < size;) {
        size_t i = 0, count = sizeof stands / sizeof *stands;
        while (i < count && strncmp(s, stands[i][0], strlen(stands[i][0])) != 0)
            i++;
        if (i == count)
            out[n++] = *s++;
        else {
            bool path = i == 0;
            n += (size_t)snprintf(out + n, size - n, "%s%s%s", path ? "\"" : "", stands[i][1],
                                  path ? "\"" : "");
            s += strlen(stands[i][0]);
        }
    }
    out[n] = 0;
}

static void one_word(const char *form, bool from_file)
{
    char value[1024], command[1200];
    sample(form, from_file, value, sizeof value);
    bool names_file = strstr(value, tensors) != NULL;
    static const char *const ways[] = {"edit " HOOK " = %s", "replace 1 " HOOK " = %s",
                                       "sweep mlp_out %s"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        while (d.app->edits.n)
            type("delete 1", false);
        type("edit " HOOK "[0] = 7", false);
        char *before = strdup(d.app->edits.past[d.app->edits.at]);
        touched();
        const char *eq = strstr(ways[i], "%s");
        snprintf(command, sizeof command, "%.*s%s", (int)(eq - ways[i]), ways[i], value);
        type(command, true);
        if (touched())
            fail_msg("a guest's \"%s\" touched a file", command);
        if (names_file && (!strstr(d.app->message, "not for guests") ||
                           strcmp(before, d.app->edits.past[d.app->edits.at]) != 0))
            fail_msg("\"%s\": %s", command, d.app->message);
        if (!names_file && strstr(d.app->message, "not for guests"))
            fail_msg("a guest may say \"%s\"", command);
        if (names_file && i == 0) { /* as the teacher it is read */
            type(command, false);
            if (!touched())
                fail_msg("\"%s\" read no file: %s", command, d.app->message);
        }
        free(before);
    }
}

/* Every row of edit.def. */
static void test_words(void **state)
{
    (void)state;
    for (int i = 0; i < EDIT_VALUE_COUNT; i++) {
        const char *form = edit_value_words[i].form;
        one_word(form, true);
        one_word(form, false);
        bool path = strstr(form, "PATH") != NULL;
        assert_int_equal(edit_value_words[i].names == EDIT_NAMES_FILE, path);
    }
}

/* ---- a model of images: what is a text elsewhere is a path here ---- */

static void test_images(void **state)
{
    (void)state;
    static const char *const words[] = {"image", "prompt", "other"};
    char command[600];
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        snprintf(command, sizeof command, "%s %s", words[i], image);
        type(command, true);
        if (touched() || !strstr(d.app->message, "not for guests"))
            fail_msg("a guest's \"%s\" · %s", command, d.app->message);
    }
    host_guest(d.app, true); /* P asks for the other one */
    app_command(d.app, "patch");
    assert_int_equal(d.app->mode, LINE_OTHER);
    line_set(&d.app->line, image, strlen(image));
    app_line_accept(d.app);
    host_guest(d.app, false);
    driver_settle(&d);
    assert_false(touched());
    app_line_cancel(d.app); /* it is open again, with the reason beside it */
    snprintf(command, sizeof command, "other %s", image);
    type(command, false);
    assert_true(touched());
    assert_non_null(d.app->other_image);
}

static int open_image(void **state)
{
    (void)state;
    char why[256];
    struct err e = {0};
    struct model *m = NULL;
    struct image_input *pixels = NULL;
    struct kn_backend *be = kn_open(&(struct kn_options){.threads = 1}, why, sizeof why);
    if (!be || model_open(&m, VIT, be, &e) < 0 ||
        image_file_open(m, VIT "/pixels.npy", &pixels, &e) < 0)
        fail_msg("%s %s", why, e.text);
    const struct app_options o = {
        .image = pixels, .prompt = "pixels.npy", .bos = -1, .pair = {-1, -1}};
    begin(VIT, &o);
    image_drop(pixels);
    model_close(m);
    kn_close(be);
    return 0;
}

/* ---- the keyboard goes to and fro ---- */

static const struct frame_caps plain = {GRAPHICS_BLOCKS, COLOR_DEPTH_TRUE, 0, 0, false};

static void take(void *to, const struct input *in)
{
    struct driver *at = to;
    host_guest(at->app, true);
    app_input(at->app, in);
    host_guest(at->app, false);
}

static int64_t now = 1000;

static void serve(void)
{
    host_serve(d.app, now += 50, take, &d);
}

static void tell(int fd, const struct up *m)
{
    struct bytes b = {0};
    wire_up_add(&b, m);
    assert_int_equal(send(fd, b.data, b.len, MSG_NOSIGNAL), b.len);
    bytes_free(&b);
    serve();
}

static int ann(void)
{
    struct err e = {0};
    char shown[ROOM_PATH_MAX];
    int fd = room_connect(share_name(d.app->share), shown, &e);
    if (fd < 0)
        fail_msg("%s", e.text);
    tell(fd, &(struct up){.kind = UP_HELLO, .name = "ann", .caps = plain});
    assert_true(share_give(d.app->share, "ann"));
    return fd;
}

static void guest_keys(int fd, const char *keys)
{
    while (*keys) {
        struct up m = {.kind = UP_INPUT, .input = {.kind = INPUT_KEY, .key = ' '}};
        if (*keys == ' ')
            keys++;
        else
            assert_true(keys_read_name(&keys, &m.input.key));
        tell(fd, &m);
    }
}

/* A line that the guest left open is not there for the teacher's Enter, however the keyboard came
 * back; nor is what it typed kept in the file of lines. */
static void test_hand_over(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        int fd = ann();
        guest_keys(fd, ":write fresh.txt");
        assert_int_equal(d.app->mode, LINE_COMMAND);
        if (how == 0)
            tell(fd, &(struct up){.kind = UP_RELEASE});
        else if (how == 1)
            assert_true(host_takes_back(d.app));
        close(fd);
        serve();
        assert_false(share_is_away(d.app->share));
        assert_int_equal(d.app->mode, LINE_NONE);
        driver_keys(&d, "<Enter>");
    }
    touched();
    int fd = ann();
    guest_keys(fd, ":view hooks<Enter>");
    assert_int_equal(d.app->cur.view, VIEW_HOOKS);
    guest_keys(fd, ":");
    guest_keys(fd, "<Up>");
    assert_non_null(strstr(d.app->message, "history is not for guests"));
    tell(fd, &(struct up){.kind = UP_RELEASE});
    assert_false(touched());
    driver_keys(&d, ":view grid<Enter>");
    assert_true(touched());
    close(fd);
    serve();
}

/* A key that is something alone and the beginning of something longer runs when time is up: as the
 * guest's who pressed it. */
static void test_timeout(void **state)
{
    (void)state;
    struct bytes warnings = {0};
    static const char more[] = "[all]\nZ write! fresh.txt\nZZ view hooks\n";
    assert_int_equal(keymap_parse(&d.map, "own", more, sizeof more - 1, &warnings), 0);
    int fd = ann();
    guest_keys(fd, "Z");
    assert_true(app_wait_ms(d.app) >= 0);
    host_timeout(d.app);
    assert_non_null(strstr(d.app->message, "write is not for guests"));
    tell(fd, &(struct up){.kind = UP_RELEASE});
    close(fd);
    serve();
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    alarm(300);
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_text, end)
    const struct CMUnitTest tests[] = {
        TEST(test_actions),   TEST(test_teacher),
        TEST(test_words),     cmocka_unit_test_setup_teardown(test_images, open_image, end),
        TEST(test_hand_over), TEST(test_timeout)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
