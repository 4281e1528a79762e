/* terminal.c - see terminal.h. */
#include "terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <utmp.h>

#include "unit.h"

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What a shell does: the program gets a foreground group; when it stops, so do we, and it goes on
 * with us. */
static void be_shell(char *const argv[])
{
    signal(SIGTTOU, SIG_IGN);
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        tcsetpgrp(0, getpid());
        signal(SIGTTOU, SIG_DFL);
        execv(argv[0], argv);
        _exit(127);
    }
    setpgid(child, child);
    int status;
    while (waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status)) {
        raise(SIGSTOP);
        tcsetpgrp(0, child);
        kill(-child, SIGCONT);
    }
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

void pty_open(struct pty *p, int w, int h, char *const argv[])
{
    *p = (struct pty){.answers = p->answers, .job = p->job};
    struct winsize ws = {.ws_col = (unsigned short)w,
                         .ws_row = (unsigned short)h,
                         .ws_xpixel = (unsigned short)(9 * w),
                         .ws_ypixel = (unsigned short)(18 * h)};
    assert_int_equal(openpty(&p->master, &p->slave, NULL, NULL, &ws), 0);
    assert_int_equal(tcgetattr(p->slave, &p->before), 0);
    fcntl(p->master, F_SETFL, O_NONBLOCK);
    fcntl(p->master, F_SETFD, FD_CLOEXEC);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        login_tty(p->slave);
        setenv("TERM", "xterm-256color", 1);
        unsetenv("TMUX");
        unsetenv("STY");
        unsetenv("NO_COLOR");
        if (p->job)
            be_shell(argv);
        execv(argv[0], argv);
        _exit(127);
    }
}

static bool has(const char *seq, const char *what)
{
    return strcmp(seq, what) == 0;
}

static void sequence(struct pty *p)
{
    const char *s = p->seq;
    if (has(s, "[?1049h"))
        p->alternate = true;
    if (has(s, "[?1049l"))
        p->alternate = false;
    if (has(s, "[?25l"))
        p->hidden = true;
    if (has(s, "[?25h") || has(s, "[?12l\x1b[?25h"))
        p->hidden = false;
    if (has(s, "[?1000h"))
        p->mouse = true;
    if (has(s, "[?1000l"))
        p->mouse = false;
    if (has(s, "[?1002h"))
        p->drag = true;
    if (has(s, "[?1002l"))
        p->drag = false;
    if (has(s, "[?2004h"))
        p->paste = true;
    if (has(s, "[?2004l"))
        p->paste = false;
    if (p->answers && has(s, "[c")) {
        p->answered++;
        pty_type(p, "\x1b[6;18;9t\x1b[?62;4;22c", 20);
    }
}

/* A plain reading of ECMA-48: text, CSI, strings; CAN ends anything. */
static void take(struct pty *p, unsigned char c)
{
    p->total++;
    if (p->n_tail == sizeof p->tail) {
        memmove(p->tail, p->tail + sizeof p->tail / 2, sizeof p->tail / 2);
        p->n_tail /= 2;
    }
    p->tail[p->n_tail++] = (char)c;
    if (c == 0x18) {
        p->state = 0;
        return;
    }
    switch (p->state) {
    case 0:
        if (c == 0x1b) {
            p->state = 1;
            p->n_seq = 0;
        } else if ((c < 0x20 && c != '\r' && c != '\n' && c != '\b' && c != 0x0f) || c == 0x7f)
            p->raw++;
        return;
    case 1: /* after ESC */
        p->seq[p->n_seq++] = (char)c;
        p->state = c == '[' ? 2 : strchr("P]_^X", c) ? 3 : strchr("()*+#%", c) ? 5 : 0;
        return;
    case 2: /* CSI */
        if (p->n_seq < sizeof p->seq - 1)
            p->seq[p->n_seq++] = (char)c;
        if (c >= 0x40 && c < 0x7f) {
            p->seq[p->n_seq] = 0;
            p->state = 0;
            sequence(p);
        }
        return;
    case 3: /* a string, until ST */ p->state = c == 0x1b ? 4 : 3; return;
    case 4: p->state = c == '\\' ? 0 : 3; return;
    default: p->state = 0;
    }
}

void pty_read(struct pty *p, int ms, int quiet_ms)
{
    int64_t end = now_ms() + ms, quiet = now_ms() + quiet_ms;
    for (;;) {
        int64_t now = now_ms(), until = quiet < end ? quiet : end;
        if (now >= until)
            return;
        struct pollfd f = {.fd = p->master, .events = POLLIN};
        if (poll(&f, 1, (int)(until - now)) <= 0)
            return;
        unsigned char buf[4096];
        ssize_t n = read(p->master, buf, sizeof buf);
        if (n <= 0)
            return;
        for (ssize_t i = 0; i < n; i++)
            take(p, buf[i]);
        quiet = now_ms() + quiet_ms;
    }
}

void pty_type(struct pty *p, const char *bytes, size_t n)
{
    for (int tries = 0; n && tries < 200; tries++) {
        ssize_t did = write(p->master, bytes, n);
        if (did > 0) {
            bytes += did;
            n -= (size_t)did;
        } else {
            poll(NULL, 0, 5);
        }
    }
}

void pty_resize(struct pty *p, int w, int h)
{
    struct winsize ws = {.ws_col = (unsigned short)w,
                         .ws_row = (unsigned short)h,
                         .ws_xpixel = (unsigned short)(9 * w),
                         .ws_ypixel = (unsigned short)(18 * h)};
    ioctl(p->master, TIOCSWINSZ, &ws);
}

void pty_repaint(struct pty *p)
{
    struct winsize ws;
    assert_int_equal(ioctl(p->master, TIOCGWINSZ, &ws), 0);
    ws.ws_xpixel ^= 1;
    assert_int_equal(ioctl(p->master, TIOCSWINSZ, &ws), 0);
}

bool pty_ended(struct pty *p, int ms, int *status)
{
    int64_t end = now_ms() + ms;
    while (now_ms() < end) {
        if (waitpid(p->pid, status, WNOHANG) == p->pid) {
            p->pid = -1;
            return true;
        }
        pty_read(p, 10, 10);
    }
    return false;
}

bool pty_is_restored(struct pty *p, char *why, size_t size)
{
    struct termios now;
    tcgetattr(p->slave, &now);
    bool settings = now.c_iflag == p->before.c_iflag && now.c_oflag == p->before.c_oflag &&
                    now.c_lflag == p->before.c_lflag && now.c_cflag == p->before.c_cflag;
    snprintf(why, size, "settings %s, %s screen, cursor %s, mouse %s, paste %s",
             settings ? "back" : "CHANGED", p->alternate ? "ALTERNATE" : "main",
             p->hidden ? "HIDDEN" : "shown", p->mouse || p->drag ? "ON" : "off",
             p->paste ? "ON" : "off");
    return settings && !p->alternate && !p->hidden && !p->mouse && !p->drag && !p->paste;
}

void pty_close(struct pty *p)
{
    if (p->pid > 0) {
        kill(p->pid, SIGKILL);
        waitpid(p->pid, NULL, 0);
        p->pid = -1;
    }
    close(p->slave);
    close(p->master);
}
