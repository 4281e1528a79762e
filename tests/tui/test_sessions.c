/* test_sessions.c - sessions: what is saved comes back, whatever kills the program meanwhile. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "save/autosave.h"
#include "base/file_read.h"
#include "command.h"
#include "driver_test.h"
#include "save/session_app.h"
#include "save/state_files.h"

#define PROMPT "When Mary and John went to the store, John gave a bag to"
#define TEACH "models/teach"

static char *folder, *state_at;

static void open_with(const char *prompt)
{
    free(state_at);
    char made[PATH_MAX];
    const struct app_options o = {
        .prompt = prompt, .bos = -1, .pair = {-1, -1}, .state_folder = folder};
    setenv("XDG_STATE_HOME", folder, 1);
    assert_true(*state_folder(made, NULL));
    driver_open_app(&d, TEACH, &o, 120, 40);
    state_at = strdup(made);
    d.app->opt.state_folder = state_at;
}

static int open_own(void **state)
{
    (void)state;
    char *made = folder_make();
    folder = made;
    open_with(PROMPT);
    return 0;
}

static int close_session(void **state)
{
    (void)state;
    driver_close(&d);
    char line[PATH_MAX];
    snprintf(line, sizeof line, "rm -r %.200s", folder);
    int r = system(line);
    free(folder), free(state_at);
    state_at = NULL;
    return r;
}

static char *text_now(void)
{
    struct bytes b = {0};
    session_text(d.app, &b);
    assert_false(b.failed);
    return b.data;
}

static void make_something(void)
{
    driver_command(&d, "prompt Two\tlines");
    app_set_prompt(d.app, "When Mary\nand \"John\"\twent to");
    driver_command(&d, "other When Tom and John went to");
    driver_command(&d, "pair \" Mary\" \" John\"");
    driver_command(&d, "target \" Tom\"");
    driver_command(&d, "edit blocks.1.attn.hook_z[-1, 2] = 0");
    driver_command(&d, "edit blocks.2.hook_mlp_out *= 0.5");
    driver_command(&d, "edit blocks.2.hook_resid_post[3] = from(other, pos=2)");
    driver_command(&d, "toggle 2");
    driver_command(&d, "align end");
    driver_keys(&d, "b");
    driver_command(&d, "quantity attn");
    driver_command(&d, "view attention");
    driver_command(&d, "mask row-max");
    driver_keys(&d, "kkJL");
    driver_command(&d, "state! before");
    driver_command(&d, "delete 1");
}

/* All that the file says is so in a new program, which says the same. */
static void test_round_trip(void **state)
{
    (void)state;
    make_something();
    char *first = text_now();
    driver_close(&d);
    open_with(NULL);
    struct saved s = {0};
    struct bytes warnings = {0};
    assert_int_equal(saved_parse(&s, "test", first, strlen(first), &warnings), 0);
    session_become_now(d.app, &s, &warnings, NULL);
    driver_settle(&d);
    assert_null(d.app->notice);
    char *second = text_now();
    assert_string_equal(first, second);
    assert_int_equal(d.app->edits.n, 2);
    assert_false(d.app->edits.on[0]);
    assert_int_equal(d.app->cur.view, VIEW_ATTENTION);
    assert_true(d.app->snap->edited);
    free(first);
    free(second);
    driver_command(&d, "state before"); /* the state came along */
    assert_int_equal(d.app->edits.n, 3);
    assert_string_equal(d.app->prompt, "When Mary\nand \"John\"\twent to");
}

static void test_states(void **state)
{
    (void)state;
    driver_keys(&d, "x");
    driver_command(&d, "state! 1");
    driver_command(&d, "prompt bread river hat");
    driver_keys(&d, "uu");
    driver_command(&d, "edit blocks.0.hook_mlp_out = 0");
    driver_keys(&d, "<F5>");
    assert_string_equal(d.app->prompt, PROMPT);
    assert_string_equal(d.app->edits.text[0], "blocks.3.hook_resid_post[-1] = 0");
    driver_keys(&d, "`");
    assert_string_equal(d.app->prompt, "bread river hat");
    assert_string_equal(d.app->edits.text[0], "blocks.0.hook_mlp_out = 0");
    driver_keys(&d, "`");
    assert_string_equal(d.app->prompt, PROMPT);
    driver_keys(&d, "<C-r>u"); /* switching is a step that can be undone */
    driver_command(&d, "state nowhere");
    assert_true(d.app->message_bad);
    driver_command(&d, "state! a b");
    assert_true(d.app->message_bad);
    driver_command(&d, "state");
    assert_non_null(strstr(d.app->message, "states: 1"));
}

static void test_save_and_open(void **state)
{
    (void)state;
    driver_keys(&d, "x:w<Enter>");
    assert_true(d.app->message_bad); /* no name yet */
    driver_keys(&d, "<Esc>:w<Space>first<Enter>");
    if (d.app->message_bad)
        fail_msg("%s", d.app->message);
    driver_keys(&d, "k.:w<Enter>"); /* the same name again */
    assert_false(d.app->message_bad);
    driver_command(&d, "save second");
    driver_command(&d, "save first");
    assert_true(d.app->message_bad); /* another session's file */
    driver_command(&d, "save! first");
    assert_false(d.app->message_bad);
    driver_keys(&d, "uu");
    assert_int_equal(d.app->edits.n, 0);
    driver_keys(&d, ":e<Space>second<Enter>");
    assert_int_equal(d.app->edits.n, 2);
    driver_keys(&d, ":e<Space>nowhere<Enter>");
    assert_true(d.app->message_bad);
    assert_int_equal(d.app->mode, LINE_COMMAND);
    assert_int_equal(d.app->edits.n, 2); /* nothing is lost */
    driver_keys(&d, "<Esc>");
    driver_command(&d, "save ../escape");
    assert_int_equal(driver_keys(&d, "<Esc>:wq<Enter>"), REACT_QUIT);
    assert_int_equal(driver_keys(&d, ":q<Enter>"), REACT_QUIT);
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

/* What could not be opened, or not all of it, is not what `w` writes over; nor is what was open
 * before once another session is on the screen. */
static void test_not_over(void **state)
{
    (void)state;
    static const struct {
        const char *what, *text;
        bool opens;
    } rows[] = {{"another model's", "model gpt2-xl\nprompt \"Not this\"\nend\n", false},
                {"cut", "model teach\nprompt \"Tom\"\n", true},
                {"of a later version", "model teach\nprompt \"Tom\"\ncolour blue\nend\n", true}};
    char path[PATH_MAX], line[PATH_MAX + 8];
    snprintf(path, sizeof path, "%s/odd.session", folder);
    snprintf(line, sizeof line, "open %s", path);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        driver_command(&d, "save! first");
        put(path, rows[i].text);
        driver_command(&d, line);
        driver_command(&d, "w");
        if (rows[i].opens != d.app->message_bad) /* `first` is on the screen still, or nothing */
            fail_msg("%s: %s", rows[i].what, d.app->message);
        size_t n;
        char *now = file_read(path, &n);
        assert_string_equal(now, rows[i].text);
        free(now);
        driver_keys(&d, "<Esc>");
    }
    driver_command(&d, "save! first");
    snprintf(line, sizeof line, "%s/sessions/first.session", d.app->opt.state_folder);
    size_t n;
    char *first = file_read(line, &n);
    put(path, rows[1].text);
    snprintf(line, sizeof line, "open %s", path);
    driver_command(&d, line);
    driver_command(&d, "w");
    snprintf(line, sizeof line, "%s/sessions/first.session", d.app->opt.state_folder);
    char *now = file_read(line, &n);
    assert_string_equal(now, first);
    free(now), free(first);
    driver_command(&d, "open nowhere");
    driver_command(&d, "w nowhere");
    assert_false(d.app->message_bad); /* nothing of that name was there */
    driver_command(&d, "edit blocks.0.hook_mlp_out = 0");
    driver_command(&d, "open first");
    driver_command(&d, "w"); /* opened whole: this is what it is saved as */
    assert_false(d.app->message_bad);
}

/* Lines that do not fit are named; the rest is there. */
static void test_bad_lines(void **state)
{
    (void)state;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/bad.session", folder);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(
        "model teach\nprompt \"When Tom\"\ncolour blue\nedit + nonsense\n"
        "edit + blocks.0.hook_mlp_out = 0\npair \" Tom\" \" qqqq\"\nref ref=/nowhere\nview hooks\n",
        f);
    fclose(f);
    char line[PATH_MAX + 8];
    snprintf(line, sizeof line, "open %s", path);
    driver_command(&d, line);
    assert_string_equal(d.app->prompt, "When Tom");
    assert_int_equal(d.app->edits.n, 1);
    assert_int_equal(d.app->cur.view, VIEW_HOOKS);
    static const char *const told[] = {":3: no such key", "nonsense", "pair: not two tokens",
                                       "ref: ", "no `end`"};
    char *screen = driver_screen(&d);
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        if (!strstr(screen, told[i]))
            fail_msg("not told: %s\n%s", told[i], screen);
    free(screen);
    f = fopen(path, "we");
    assert_non_null(f);
    fputs("model gpt2-xl\nprompt \"Not this\"\nend\n", f);
    fclose(f);
    driver_command(&d, line);
    assert_non_null(strstr(d.app->message, "this session is of gpt2-xl, teach is open"));
    assert_string_equal(d.app->prompt, "When Tom");
}

static void test_history(void **state)
{
    (void)state;
    driver_keys(&d, ":view<Space>hooks<Enter>:nonsense<Enter><Esc>p<C-u>Tom<M-Enter>x<Enter>");
    struct line_history h[LINE_MODE_COUNT] = {{0}};
    state_history_read(d.app->opt.state_folder, h, LINE_MODE_COUNT);
    assert_int_equal(h[LINE_COMMAND].n, 2);
    assert_string_equal(h[LINE_COMMAND].item[1], "nonsense");
    assert_string_equal(h[LINE_PROMPT].item[0], "Tom\nx");
    for (int i = 0; i < LINE_MODE_COUNT; i++)
        line_history_free(&h[i]);
    static const char odd[] = "1 \"a\"\n99 \"b\"\nx\n1 \"c\n1 \"d\" e\n2 \"f\"";
    state_history_parse(odd, sizeof odd - 1, h, LINE_MODE_COUNT);
    assert_int_equal(h[1].n, 1);
    assert_int_equal(h[2].n, 1);
    for (int i = 0; i < LINE_MODE_COUNT; i++)
        line_history_free(&h[i]);
}

/* A file that has grown beyond all use is read from its end, and cut. */
static void test_long_history(void **state)
{
    (void)state;
    char path[PATH_MAX];
    struct line_history h[LINE_MODE_COUNT] = {{0}};
    struct stat st;
    snprintf(path, sizeof path, "%.2000s/history", d.app->opt.state_folder);
    FILE *f = fopen(path, "we");
    assert_true(f && fchmod(fileno(f), 0600) == 0);
    for (int i = 0; i < 400000; i++)
        fprintf(f, "1 \"line %d\"\n", i);
    assert_int_equal(fclose(f), 0);
    state_history_read(d.app->opt.state_folder, h, LINE_MODE_COUNT);
    assert_true(h[1].n > 100);
    assert_string_equal(h[1].item[h[1].n - 1], "line 399999");
    assert_true(stat(path, &st) == 0 && st.st_size < STATE_HISTORY_BYTES_MAX);
    assert_int_equal(st.st_mode & 0777, 0600);
    state_history_add(d.app->opt.state_folder, 1, "after");
    state_history_read(d.app->opt.state_folder, h, LINE_MODE_COUNT);
    assert_string_equal(h[1].item[h[1].n - 1], "after");
    for (int i = 0; i < LINE_MODE_COUNT; i++)
        line_history_free(&h[i]);
}

static void test_newest(void **state)
{
    (void)state;
    char made[PATH_MAX], path[PATH_MAX], found[PATH_MAX];
    const char *at = state_folder(made, NULL);
    struct err e = {0};
    assert_true(state_newest(at, NULL, found, &e) < 0);
    for (int i = 0; i < STATE_AUTO_MAX + 5; i++) {
        snprintf(path, sizeof path, "%.2000s/sessions/auto-%03d.session", at, i);
        FILE *f = fopen(path, "we");
        assert_non_null(f);
        fprintf(f, "model %s\nend\n", i == 20 ? "other" : "teach");
        fclose(f);
        struct timespec when[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};
        assert_int_equal(utimensat(-1, path, when, 0), 0);
    }
    assert_int_equal(state_newest(at, NULL, found, &e), 0);
    assert_string_equal(found, path);
    assert_int_equal(state_newest(at, "other", found, &e), 0);
    assert_non_null(strstr(found, "auto-020"));
    state_prune(at);
    snprintf(path, sizeof path, "%.2000s/sessions/auto-004.session", at);
    assert_int_not_equal(access(path, F_OK), 0);
    snprintf(path, sizeof path, "%.2000s/sessions/auto-005.session", at);
    assert_int_equal(access(path, F_OK), 0);
}

/* The program goes on where it was: with its model, and without saying so again. */
static void test_resume(void **state)
{
    (void)state;
    char path[PATH_MAX];
    driver_keys(&d, "x");
    char *text = text_now();
    state_auto_path(d.app->opt.state_folder, path);
    struct autosave *s = autosave_open(path);
    assert_non_null(s);
    autosave_put(s, text, strlen(text));
    struct err e;
    assert_int_equal(autosave_close(s, &e), 0);
    free(text);
    struct result r = RUN("explore", "--resume", "--plain");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "blocks.3.hook_resid_post[-1] = 0"));
    result_free(&r);
    r = RUN("--session", path, "--plain");
    assert_non_null(strstr(r.out, "1 edit"));
    result_free(&r);
    assert_refused(RUN("explore", "--session", "nowhere", "--plain"), 1, "nowhere");
    static const char *const beside[][2] = {{"-p", "Tom"},
                                            {"-e", "blocks.0.hook_mlp_out = 0"},
                                            {"--other", "Tom"},
                                            {"--pair", " Tom/ Mary"},
                                            {"--tokens", "1,2"}};
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++)
        assert_refused(RUN("teach", "--session", path, "--plain", beside[i][0], beside[i][1]), 2,
                       "beside a session, which has its own");
    assert_refused(RUN("teach", "Tom went", "--session", path, "--plain"), 2, "a prompt beside");
    snprintf(path, sizeof path, "%s/odd.session", folder);
    put(path, "model teach\nprompt \"Tom\"\ncolour blue\nedit + nonsense\nend\n");
    r = RUN("--session", path, "--plain"); /* what a popup shows elsewhere is read out */
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "odd.session:3: no such key"));
    assert_non_null(strstr(r.out, "warning: + nonsense: "));
    result_free(&r);
    snprintf(path, sizeof path, "%s/gone.session", folder);
    put(path, "model models/gone\nprompt \"Tom\"\nend\n");
    assert_refused(RUN("--session", path, "--plain"), 1, "gone.session is of models/gone");
    assert_refused(RUN("--session", path, "--plain"), 1, "opens it with a model that is there");
}

/* Where nothing can be kept, it is said why and what helps. */
/* The model of --against is kept, opened again and compared with; where it is gone the rest goes
 * on, and says so. */
static void test_against(void **state)
{
    (void)state;
    char path[PATH_MAX], line[PATH_MAX + 40], whole[PATH_MAX];
    assert_non_null(realpath(TEACH, whole));
    snprintf(line, sizeof line, "\nagainst %s\n", whole);
    d.app->opt.against = d.m;
    d.app->opt.against_name = TEACH;
    char *text = text_now();
    assert_non_null(strstr(text, line));
    snprintf(path, sizeof path, "%.200s/two.session", folder);
    put(path, text);
    free(text);
    d.app->opt.against = NULL;
    struct result r = RUN("--session", path, "--plain");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "in B: "));
    assert_null(strstr(r.out, "warning"));
    result_free(&r);
    put(path, "model teach\nagainst models/gone\nprompt \"Tom\"\nend\n");
    r = RUN("--session", path, "--plain");
    assert_int_equal(r.status, 0);
    assert_null(strstr(r.out, "in B: "));
    assert_non_null(strstr(r.out, "warning: against models/gone: "));
    result_free(&r);
    r = RUN("--session", path, "--against", "teach", "--plain");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "in B: "));
    assert_non_null(strstr(r.out, "against models/gone: another one is compared with here"));
    result_free(&r);
}

static void test_no_folder(void **state)
{
    (void)state;
    static const struct {
        const char *home, *xdg, *why;
    } rows[] = {{NULL, NULL, "neither XDG_STATE_HOME nor HOME is a path · set XDG_STATE_HOME"},
                {"", "", "neither"},
                {"here", "there", "neither"},
                {"/dev/null", NULL, "/dev/null/.local/state/borescope/sessions · Not a directory"},
                {"/", "/proc/none", "/proc/none/borescope/sessions · No such file"}};
    char buf[PATH_MAX], *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        rows[i].home ? setenv("HOME", rows[i].home, 1) : unsetenv("HOME");
        rows[i].xdg ? setenv("XDG_STATE_HOME", rows[i].xdg, 1) : unsetenv("XDG_STATE_HOME");
        assert_string_equal(state_folder(buf, &e), "");
        if (!strstr(e.text, rows[i].why))
            fail_msg("%zu: %s", i, e.text);
    }
    char deep[PATH_MAX + 10] = "/";
    memset(deep + 1, 'x', PATH_MAX);
    setenv("XDG_STATE_HOME", deep, 1);
    struct err e = {0};
    assert_string_equal(state_folder(buf, &e), "");
    assert_non_null(strstr(e.text, "at most"));
    setenv("XDG_STATE_HOME", folder, 1);
    home ? setenv("HOME", home, 1) : unsetenv("HOME");
    free(home);
}

/* A disk without room: the session of before stays, it is said, and once there is room the text is
 * written. */
static void test_full_disk(void **state)
{
    (void)state;
    char path[PATH_MAX];
    struct err e = {0};
    struct rlimit was, none = {0};
    snprintf(path, sizeof path, "%s/auto-full.session", folder);
    struct autosave *s = autosave_open(path);
    autosave_put(s, "first", 5);
    assert_int_equal(autosave_close(s, &e), 0);
    getrlimit(RLIMIT_FSIZE, &was);
    none.rlim_max = was.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &none); /* as a full disk: no file may grow */
    s = autosave_open(path);
    autosave_put(s, "second", 6);
    for (int i = 0; i < 500 && !autosave_failed(s, &e); i++)
        usleep(10000);
    autosave_put(s, "third", 5);
    struct err last = {0};
    int rc = autosave_close(s, &last);
    setrlimit(RLIMIT_FSIZE, &was);
    assert_non_null(strstr(e.text, path));
    assert_true(rc < 0);
    assert_non_null(strstr(last.text, path));
    size_t n;
    char *now = file_read(path, &n);
    assert_string_equal(now, "first");
    free(now);
    char line[PATH_MAX + 32];
    snprintf(line, sizeof line, "ls %s | grep -c tmp > /dev/null", folder);
    assert_int_not_equal(system(line), 0); /* nothing unfinished lies about */
}

/* ---- kill -9 ---- */

static uint32_t any(uint32_t *seed, uint32_t n)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed % n;
}

/* Saves texts of very different lengths, one after the other, until it is killed. */
static void save_for_ever(const char *path)
{
    struct autosave *s = autosave_open(path);
    if (!s)
        _exit(1);
    for (uint32_t i = 0;; i++) {
        struct saved one = {0};
        struct bytes b = {0};
        char line[64];
        for (uint32_t k = 0; k < i * 37 % 400; k++) {
            snprintf(line, sizeof line, "+ blocks.%u.hook_mlp_out = %u", k, i);
            saved_add(&one, NULL, SAVED_EDIT, line);
        }
        saved_add(&one, NULL, SAVED_MODEL, "teach");
        saved_print(&one, &b);
        autosave_put(s, b.data, b.len);
        saved_free(&one);
        bytes_free(&b);
        usleep(200);
    }
}

static void test_killed(void **state)
{
    (void)state;
    char path[PATH_MAX], line[PATH_MAX + 32];
    uint32_t seed = 99;
    int whole = 0,
        kills = getenv("BORE_KILLS") ? (int)strtol(getenv("BORE_KILLS"), NULL, 10) : 1000;
    snprintf(path, sizeof path, "%.2000s/killed.session", folder);
    for (int i = 0; i < kills; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (!pid)
            save_for_ever(path);
        usleep(500 + any(&seed, 4000));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        char *text = NULL;
        size_t n;
        struct err e = {0};
        struct saved s = {0};
        struct bytes warnings = {0};
        if (access(path, F_OK))
            continue; /* killed before the first was there */
        assert_int_equal(file_read_all(path, SAVED_BYTES_MAX, &text, &n, &e), 0);
        if (saved_parse(&s, "killed", text, n, &warnings) != 0)
            fail_msg("after kill %d: %s\n%s", i, warnings.data, text);
        assert_string_equal(saved_get(&s, NULL, SAVED_MODEL), "teach");
        whole++;
        free(text);
        saved_free(&s);
        bytes_free(&warnings);
    }
    assert_true(whole > kills / 2);
    snprintf(line, sizeof line, "rm -f %s.*.tmp", path);
    assert_int_equal(system(line), 0);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
#define WITH(test) cmocka_unit_test_setup_teardown(test, open_own, close_session)
    const struct CMUnitTest tests[] = {
        WITH(test_round_trip), WITH(test_states),   WITH(test_save_and_open),
        WITH(test_bad_lines),  WITH(test_not_over), WITH(test_no_folder),
        WITH(test_full_disk),  WITH(test_history),  WITH(test_long_history),
        WITH(test_newest),     WITH(test_resume),   WITH(test_against),
        WITH(test_killed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
