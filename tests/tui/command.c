/* command.c - see command.h. */
#include "command.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/stat.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../backend.h"
#include "fixture.h"

enum { ARGS_MAX = 60 };

static int temporary(const char *content)
{
    char path[] = "/tmp/borescope-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    size_t len = content ? strlen(content) : 0;
    assert_true(len == 0 || write(fd, content, len) == (ssize_t)len);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static char *contents(int fd, size_t *len)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = malloc((size_t)size + 1);
    assert_non_null(text);
    assert_true(pread(fd, text, (size_t)size, 0) == size);
    text[size] = '\0';
    *len = (size_t)size;
    close(fd);
    return text;
}

/* Does the command take --backend?  Its help says so. */
static bool takes_backend(const char *command)
{
    char line[256], *found = NULL;
    snprintf(line, sizeof line, "%s %s --help", BORESCOPE, command);
    FILE *f = popen(line, "r");
    assert_non_null(f);
    while (!found && fgets(line, sizeof line, f))
        found = strstr(line, "--backend");
    pclose(f);
    return found;
}

/* The program, a command, and the backend of the test where the command takes one. */
static void command_line(const char *argv[ARGS_MAX + 4], const char *const *args)
{
    bool named = false; /* by the test itself */
    int n = 0;
    for (argv[0] = BORESCOPE; args[n]; n++) {
        assert_true(n < ARGS_MAX);
        argv[n + 1] = args[n];
        named |= !strcmp(args[n], "--backend");
    }
    argv[n + 1] = NULL;
    if (!named && strcmp(test_backend(), "cpu") && n && args[0][0] != '-' && takes_backend(args[0]))
        argv[n + 1] = "--backend", argv[n + 2] = test_backend(), argv[n + 3] = NULL;
}

struct result command_run(const char *input, const char *const *args)
{
    const char *argv[ARGS_MAX + 4];
    int status, in = temporary(input), out = temporary(NULL), err = temporary(NULL);
    command_line(argv, args);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(in, 0);
        dup2(out, 1);
        dup2(err, 2);
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(126);
    }
    assert_true(waitpid(pid, &status, 0) == pid);
    close(in);
    struct result r = {.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1};
    r.out = contents(out, &r.out_len);
    r.err = contents(err, &r.err_len);
    return r;
}

void result_free(struct result *r)
{
    free(r->out);
    free(r->err);
}

struct js_doc *command_json(const char *const *args)
{
    struct result r = command_run(NULL, args);
    struct err e = {0};
    if (r.status)
        fail_msg("%s %s: status %d, %s", args[0], args[1], r.status, r.err);
    struct js_doc *doc = js_parse("stdout", r.out, r.out_len, &e);
    if (!doc)
        fail_msg("%s", e.text);
    result_free(&r);
    return doc;
}

void assert_refused(struct result r, int status, const char *part)
{
    if (r.status != status || r.out_len || !strstr(r.err, part))
        fail_msg("status %d (expected %d), %zu bytes on stdout, stderr: %s(expected: %s)", r.status,
                 status, r.out_len, r.err, part);
    assert_int_equal(strncmp(r.err, "borescope: ", 11), 0);
    assert_ptr_equal(strchr(r.err, '\n'), r.err + r.err_len - 1);
    assert_printable(r.err, r.err_len);
    result_free(&r);
}

void assert_printable(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i], d = i + 1 < len ? (unsigned char)text[i + 1] : 0;
        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f || (c == 0xc2 && d < 0xa0))
            fail_msg("byte %zu is %02x: %.60s", i, c, text + (i < 20 ? 0 : i - 20));
    }
}

static struct js_node member(struct js_node n, const char *key)
{
    struct js_node m = js_get(n, key);
    if (!m.value)
        fail_msg("no member \"%s\"", key);
    return m;
}

const char *json_string(struct js_node n, const char *key)
{
    const char *s = NULL;
    struct err e = {0};
    if (js_string(member(n, key), &s, NULL, &e))
        fail_msg("%s", e.text);
    return s;
}

int64_t json_int(struct js_node n, const char *key)
{
    int64_t v = 0;
    struct err e = {0};
    if (js_int(member(n, key), INT64_MIN, INT64_MAX, &v, &e))
        fail_msg("%s", e.text);
    return v;
}

static double number(struct js_node n)
{
    double v = 0;
    struct err e = {0};
    if (js_number(n, -1e300, 1e300, &v, &e))
        fail_msg("%s", e.text);
    return v;
}

double json_number(struct js_node n, const char *key)
{
    return number(member(n, key));
}

double json_number_at(struct js_node array, size_t i)
{
    return number(js_at(array, i));
}

const char *json_string_at(struct js_node array, size_t i)
{
    const char *s = NULL;
    assert_int_equal(js_string(js_at(array, i), &s, NULL, NULL), 0);
    return s;
}

bool json_bool(struct js_node n, const char *key)
{
    bool v = false;
    struct err e = {0};
    if (js_bool(member(n, key), &v, &e))
        fail_msg("%s", e.text);
    return v;
}

void on_every_model(void (*test)(const struct fixture *f, const char *path,
                                 const char *const input[2]))
{
    char **names = fixture_names(false);
    for (int i = 0; names[i]; i++) {
        struct fixture f = fixture_open(names[i]);
        char *path = folder_path("tests/fixtures/models", names[i]), *ids = fixture_prompt(f.ref),
             *image = folder_path(path, "pixels.npy");
        test(&f, path,
             f.image ? (const char *const[]){"--image", image}
                     : (const char *const[]){"--tokens", ids});
        free(path), free(ids), free(image);
        fixture_close(&f);
    }
    fixture_names_free(names);
}

char *folder_make(void)
{
    char path[] = "/tmp/borescope-test-XXXXXX";
    assert_non_null(mkdtemp(path));
    return strdup(path);
}

void folder_remove(char *folder)
{
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *f; (f = readdir(d));)
        if (strcmp(f->d_name, ".") && strcmp(f->d_name, ".."))
            unlinkat(dirfd(d), f->d_name, 0);
    closedir(d);
    assert_int_equal(rmdir(folder), 0);
    free(folder);
}

char *folder_path(const char *folder, const char *name)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
    return path;
}

char *file_read(const char *path, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail_msg("%s: %s", path, strerror(errno));
    return contents(fd, len);
}

static void wait_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static ino_t number_of(const char *path)
{
    struct stat st;
    return stat(path, &st) ? 0 : st.st_ino;
}

bool command_killed(const char *const *args, const char *out, const char *part, long ms)
{
    ino_t before = part ? number_of(part) : 0;
    const char *argv[ARGS_MAX + 4];
    int status = 0;
    command_line(argv, args + 1);
    pid_t pid = fork(), ended = 0;
    assert_true(pid >= 0);
    if (!pid) {
        if (!freopen(out, "w", stdout))
            _exit(126);
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    while (part && number_of(part) == before && !(ended = waitpid(pid, &status, WNOHANG)))
        wait_ms(1);
    if (ms >= 0 && !ended) {
        wait_ms(ms);
        kill(pid, SIGKILL);
    }
    if (!ended)
        assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFEXITED(status);
}

#ifdef __SANITIZE_ADDRESS__ /* where a program's start alone takes as long as its life until then \
                             */
enum { KILLS = 1 };
#else
enum { KILLS = 5 };
#endif

void command_killed_prints(const char *const *args, int n_args, const char *folder, uint32_t seed)
{
    char *out = folder_path(folder, "out.json"), *part = folder_path(folder, "p.safetensors");
    const char *all[24] = {"borescope"};
    const char *asked = getenv("BORE_KILLS");
    int times = 0, kills = asked ? (int)strtol(asked, NULL, 10) : KILLS;
    assert_true(n_args + 6 < 24);
    memcpy(all + 1, args, (size_t)n_args * sizeof *args);
    struct result whole = command_run(NULL, all + 1);
    assert_int_equal(whole.status, 0);
    memcpy(all + 1 + n_args, ((const char *const[]){"--resume", part, "--every", "0"}),
           4 * sizeof *all);
    for (bool ended = false; !ended; times++) {
        seed = seed * 1664525 + 1013904223;
        ended = times < kills
                    ? command_killed(all, out, times % 4 == 3 ? NULL : part, (long)(seed >> 27))
                    : command_killed(all, out, NULL, -1);
    }
    size_t len;
    char *got = file_read(out, &len);
    assert_true(times > 1 && len == whole.out_len);
    assert_memory_equal(got, whole.out, len);
    assert_int_not_equal(access(part, F_OK), 0);
    result_free(&whole);
    free(got), free(out), free(part);
}
