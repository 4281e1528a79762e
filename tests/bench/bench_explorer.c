/* bench_explorer.c - from a key to its frame, and the bytes of a cursor move.
 *
 *   bench_explorer [--goals] [--keys N] [BORESCOPE]
 *
 * The explorer on a pseudo-terminal of 120 x 40, a random model of GPT-2's small size, 512 tokens.
 * A terminal emulator (libvterm) reads what it writes: the frame of a key is there when the mark of
 * the cursor's row stands at the row that the key goes to.  Keys scroll through the prompt, the
 * next one some milliseconds after the frame of the last, while an edit at the first position is
 * put on and taken off again, so that a rerun of everything always goes on.  Then the same without
 * one, and the bytes that each key brought.
 *
 * The terminal is one with margins (DECSLRM): where a move scrolls the grid, what stands beside it
 * stays.  What bounds the bytes of a move at rest are the figures that change: in the grid some 450
 * of the panel's (24 tokens, their figures where these differ, 24 places), in the lens, where
 * another layer's figures of all positions come too, some 1,100 of about 900 cells.
 */
#include "bench.h"
#include "bench_row.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utmp.h>
#include <vterm.h>

enum {
    W = 120,
    H = 40,
    TOKENS = 512,
    WAIT_MS = 60000,
    PAUSE_MS = 9,
    KEYS = 10000,
    CALM_KEYS = 400
};

static struct {
    int master;
    pid_t pid;
    VTerm *vt;
    VTermScreen *screen;
    size_t bytes; /* that came */
    bool asked;
} tty;

static void stop(const char *what)
{
    fprintf(stderr, "bench_explorer: %s\n", what);
    if (tty.pid > 0)
        kill(tty.pid, SIGKILL);
    bench_model_remove();
    exit(1);
}

/* Feed the emulator with what comes within `ms`; false: nothing came. */
static bool take(int ms)
{
    static char buf[1 << 16];
    struct pollfd f = {.fd = tty.master, .events = POLLIN};
    if (poll(&f, 1, ms) <= 0)
        return false;
    ssize_t n = read(tty.master, buf, sizeof buf);
    if (n <= 0)
        stop("the explorer ended early");
    tty.bytes += (size_t)n;
    vterm_input_write(tty.vt, buf, (size_t)n);
    if (!tty.asked && memmem(buf, (size_t)n, "\x1b[c", 3)) {
        static const char answer[] = "\x1b[6;18;9t\x1b[?64;22c\x1b[?69;2$y";
        tty.asked = write(tty.master, answer, sizeof answer - 1) > 0;
    }
    return true;
}

static uint32_t cell(int x, int y)
{
    VTermScreenCell c;
    return vterm_screen_get_cell(tty.screen, (VTermPos){.row = y, .col = x}, &c) ? c.chars[0] : 0;
}

/* The position in the prompt that the mark stands at; -1: there is no mark. */
static int marked(void)
{
    for (int y = 0; y < H; y++)
        if (cell(0, y) == 0x25b6) {
            int n = -1, x = 1;
            while (cell(x, y) == ' ')
                x++;
            for (; cell(x, y) >= '0' && cell(x, y) <= '9'; x++)
                n = (n < 0 ? 0 : n) * 10 + (int)(cell(x, y) - '0');
            return n;
        }
    return -1;
}

static void type(const char *keys)
{
    if (write(tty.master, keys, strlen(keys)) != (ssize_t)strlen(keys))
        stop("the explorer does not read");
}

/* Milliseconds until the mark stands at `row`. */
static double await(int row)
{
    double from = bench_now();
    while (marked() != row)
        if (bench_now() - from > WAIT_MS || (!take(1000) && bench_now() - from > WAIT_MS))
            stop("a key had no frame");
    return bench_now() - from;
}

/* Does a mark stand on the status line or in the panel's title: an answer is still to come? */
static bool waits(void)
{
    for (int x = 0; x < W; x++)
        if (cell(x, 0) == 0x2026 || cell(x, 2) == 0x2026)
            return true;
    return false;
}

/* Until all is answered and nothing came for a while. */
static void settle(void)
{
    double from = bench_now();
    while (take(700) || waits())
        if (bench_now() - from > WAIT_MS)
            stop("a question had no answer");
}

static void start(char *program, const char *folder)
{
    static char ids[TOKENS * 8];
    int32_t token[TOKENS];
    size_t at = 0;
    bench_tokens(token, TOKENS, BENCH_VOCAB, 0);
    for (int i = 0; i < TOKENS; i++)
        at += (size_t)snprintf(ids + at, sizeof ids - at, "%s%d", i ? "," : "", (int)token[i]);
    char *argv[] = {program, (char *)folder, "--tokens", ids, "--no-bos", NULL};
    struct winsize size = {.ws_row = H, .ws_col = W, .ws_xpixel = 9 * W, .ws_ypixel = 18 * H};
    tty.vt = vterm_new(H, W);
    vterm_set_utf8(tty.vt, 1);
    tty.screen = vterm_obtain_screen(tty.vt);
    vterm_screen_enable_altscreen(tty.screen, 1);
    vterm_screen_reset(tty.screen, 1);
    tty.pid = forkpty(&tty.master, NULL, NULL, &size);
    if (tty.pid == 0) {
        setenv("TERM", "xterm-256color", 1);
        setenv("LC_ALL", "C.UTF-8", 1);
        unsetenv("NO_COLOR");
        execv(argv[0], argv);
        _exit(127);
    }
    if (tty.pid < 0)
        stop("no pseudo-terminal");
    await(TOKENS - 1);
    settle();
}

/* Time and bytes of n keys that scroll from the first position on and back; rerun: an edit there
 * goes on and off. */
static void scroll(int n, bool rerun, double *took, double *bytes)
{
    int row = 0, step = 1;
    for (int i = 0; i < n; i++) {
        if (rerun && i % 32 == 0)
            type(i % 64 ? "\x12" : "u"); /* redo, undo */
        if (row + step < 0 || row + step >= TOKENS)
            step = -step;
        row += step;
        size_t before = tty.bytes;
        type(step > 0 ? "j" : "k");
        took[i] = await(row);
        double end = bench_now() + PAUSE_MS;
        while (bench_now() < end)
            take(1);
        bytes[i] = (double)(tty.bytes - before);
    }
}

/* Bytes of cursor moves to and fro in another view, each until nothing came for a while: with all
 * that the panel has of the place. */
static void moves(const char *view, const char *what)
{
    enum { MOVES = 40, QUIET_MS = 150 }; /* longer than a panel waits */
    double bytes[MOVES];
    char text[80];
    type(view);
    settle();
    for (int i = 0; i < MOVES; i++) {
        size_t before = tty.bytes;
        type(i / 8 % 2 ? "k" : "j");
        take(1000);
        while (take(QUIET_MS))
            ;
        bytes[i] = (double)(tty.bytes - before);
    }
    snprintf(text, sizeof text, "explorer: bytes of a cursor move, %s", what);
    bench_report("", text, "B", "<=", 400, bytes, MOVES);
}

int main(int argc, char **argv)
{
    static double took[KEYS], bytes[KEYS];
    bench_take_options(&argc, argv);
    int keys = bench_options.goals ? KEYS : 1000;
    if (argc > 2 && strcmp(argv[1], "--keys") == 0)
        keys = (int)strtol(argv[2], NULL, 10), argc -= 2, argv += 2;
    char *program = argc > 1 ? argv[1] : BORESCOPE;
    if (argc > 2 || keys < 1 || keys > KEYS || access(program, X_OK) != 0) {
        fprintf(stderr, "bench_explorer: [--goals] [--keys 1..%d] [BORESCOPE]\n", KEYS);
        return 2;
    }
    start(program, bench_model(ST_F32));
    type("g"); /* the first position */
    await(0);
    type("x");
    settle();
    scroll(CALM_KEYS, false, took, bytes);
    double calm = bench_median(bytes, CALM_KEYS), frame = bench_median(took, CALM_KEYS);
    bench_row_print(&(struct bench_row){"", "explorer: bytes of a cursor move, grid of 512 tokens",
                                        "B", "<=", 400, calm, bytes[0], bytes[CALM_KEYS - 1],
                                        CALM_KEYS, NULL});
    bench_row_print(&(struct bench_row){"", "explorer: key -> frame, nothing else going on", "ms",
                                        "", 0, frame, took[CALM_KEYS / 4], took[CALM_KEYS * 3 / 4],
                                        CALM_KEYS, NULL});
    moves("3g", "lens");
    moves("4", "hooks");
    moves("5", "tensor");
    type("1g");
    await(0);
    scroll(keys, true, took, bytes);
    double median = bench_median(took, keys), *late = &took[keys * 99 / 100];
    bench_row_print(&(struct bench_row){"",
                                        "explorer: key -> frame while a rerun goes on, 99th of 100",
                                        "ms", "<=", 16, *late, median, took[keys - 1], keys, NULL});
    type("q");
    for (char rest[4096]; waitpid(tty.pid, NULL, WNOHANG) == 0;) {
        struct pollfd f = {.fd = tty.master, .events = POLLIN};
        if (poll(&f, 1, 10) > 0 && read(tty.master, rest, sizeof rest) < 0)
            poll(NULL, 0, 1);
    }
    vterm_free(tty.vt);
    bench_model_remove();
    return 0;
}
