/* guard.c - restoring the terminal (see guard.h).
 *
 * What runs in the handler: tcflush, tcsetattr, write, poll, read-only statics.  The order matters:
 * output that waits in the line is dropped first (it may be a picture nobody reads, and the reset
 * would queue behind it), and the reset begins by ending any string that was cut off in the middle.
 */
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static const int fatal_signals[] = {SIGHUP, SIGINT,  SIGQUIT, SIGILL,  SIGTRAP, SIGABRT,
                                    SIGBUS, SIGFPE,  SIGSEGV, SIGTERM, SIGPIPE, SIGXCPU,
                                    SIGSYS, SIGALRM, SIGUSR1, SIGUSR2};
enum { N_FATAL = sizeof fatal_signals / sizeof fatal_signals[0], STACK_BYTES = 64 * 1024 };

static struct {
    int tty;      /* own non-blocking description of the terminal */
    int guardian; /* write end of its pipe */
    pid_t guardian_pid, owner;
    struct termios saved;
    char reset[GUARD_RESET_MAX];
    volatile size_t reset_len;
    volatile sig_atomic_t armed, signals;
    int pipe[2];
    bool (*repair)(const void *address);
    void *stack;
} guard = {.tty = -1, .guardian = -1, .pipe = {-1, -1}};

/* The guardian is told the reset string and whether it is needed through its pipe: a length byte
 * pair, then the bytes; 'A' armed, 'D' not armed.  EOF is the death of the program. */
struct guard_word {
    char kind;
    unsigned char len[2];
};

static bool write_all(int fd, const char *bytes, size_t n, int wait_ms)
{
    while (n) {
        ssize_t did = write(fd, bytes, n);
        if (did > 0) {
            bytes += did;
            n -= (size_t)did;
        } else if (did < 0 && errno == EAGAIN && wait_ms > 0) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            poll(&p, 1, 10);
            wait_ms -= 10;
        } else if (!(did < 0 && errno == EINTR)) {
            return false;
        }
    }
    return true;
}

/* Terminal settings and reset string; true when all of it went out. */
static bool restore_tty(int tty, const struct termios *saved, const char *reset, size_t n,
                        bool drop, int wait_ms)
{
    if (drop)
        tcflush(tty, TCOFLUSH);
    bool through = write_all(tty, reset, n, wait_ms);
    tcsetattr(tty, TCSANOW, saved);
    return through;
}

/* ---- the guardian ---- */

static bool read_exact(int fd, void *to, size_t n)
{
    char *p = to;
    while (n) {
        ssize_t got = read(fd, p, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        p += got;
        n -= (size_t)got;
    }
    return true;
}

static void guardian_run(int in, int tty)
{
    static char reset[GUARD_RESET_MAX];
    size_t len = 0;
    bool armed = false;
    struct guard_word w;
    while (read_exact(in, &w, sizeof w)) {
        armed = w.kind == 'A';
        size_t n = (size_t)w.len[0] << 8 | w.len[1];
        if (n > sizeof reset || !read_exact(in, reset, n))
            break;
        len = n ? n : len;
    }
    for (int i = 0; armed && i < 3000;
         i++) { /* 5 minutes: a line that nobody reads may come back */
        if (restore_tty(tty, &guard.saved, reset, len, true, 0) || errno == EIO)
            break;
        poll(NULL, 0, 100);
    }
    _exit(0);
}

static void close_others(int keep1, int keep2)
{
    long max = sysconf(_SC_OPEN_MAX);
    if (max < 0 || max > 4096)
        max = 4096;
    for (int fd = 0; fd < max; fd++)
        if (fd != keep1 && fd != keep2)
            close(fd);
}

static int guardian_start(struct err *e)
{
    int p[2];
    if (pipe2(p, O_CLOEXEC) < 0)
        return err_set(e, ERR_SYSTEM, "pipe: %s", strerror(errno));
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    pid_t pid = fork();
    if (pid == 0) {
        static const int ignore[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGTTOU,
                                     SIGTTIN, SIGTSTP, SIGPIPE, SIGUSR1, SIGUSR2};
        for (size_t i = 0; i < sizeof ignore / sizeof ignore[0]; i++)
            signal(ignore[i], SIG_IGN);
        setpgid(0, 0);
        prctl(PR_SET_NAME, "borescope-tty");
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        close_others(p[0], guard.tty);
        guardian_run(p[0], guard.tty);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    close(p[0]);
    if (pid < 0) {
        close(p[1]);
        return err_set(e, ERR_SYSTEM, "fork: %s", strerror(errno));
    }
    guard.guardian = p[1];
    guard.guardian_pid = pid;
    return 0;
}

static void guardian_tell(char kind, size_t n)
{
    struct guard_word w = {kind, {(unsigned char)(n >> 8), (unsigned char)(n & 0xff)}};
    char message[sizeof w + GUARD_RESET_MAX];
    memcpy(message, &w, sizeof w);
    memcpy(message + sizeof w, guard.reset, n);
    if (guard.guardian >= 0)
        write_all(guard.guardian, message, sizeof w + n, 0);
}

/* ---- signals ---- */

static void say(const char *s)
{
    write_all(isatty(STDERR_FILENO) ? guard.tty : STDERR_FILENO, s, strlen(s), 50);
}

static const char *signal_name(int sig)
{
    switch (sig) {
    case SIGHUP: return "SIGHUP";
    case SIGINT: return "SIGINT";
    case SIGQUIT: return "SIGQUIT";
    case SIGILL: return "SIGILL";
    case SIGTRAP: return "SIGTRAP";
    case SIGABRT: return "SIGABRT";
    case SIGBUS: return "SIGBUS";
    case SIGFPE: return "SIGFPE";
    case SIGSEGV: return "SIGSEGV";
    case SIGTERM: return "SIGTERM";
    default: return "a signal";
    }
}

static void on_fatal(int sig, siginfo_t *info, void *context)
{
    (void)context;
    int saved_errno = errno;
    if (sig == SIGBUS && info->si_code == BUS_ADRERR && guard.repair &&
        guard.repair(info->si_addr)) {
        errno = saved_errno;
        return;
    }
    signal(sig, SIG_DFL);
    if (guard.armed && getpid() == guard.owner) {
        bool through = restore_tty(guard.tty, &guard.saved, guard.reset, guard.reset_len, true, 60);
        if (through) {
            guard.armed = 0;
            say("borescope: ended by ");
            say(signal_name(sig));
            say("\r\n");
            /* a crash beside the main thread: it may still be writing, so the guardian goes over it
             * again */
            if (gettid() == getpid())
                guardian_tell('D', 0);
        }
    }
    errno = saved_errno;
    raise(sig); /* delivered as itself when this handler returns */
}

static void on_event(int sig)
{
    int saved_errno = errno;
    guard.signals |= sig == SIGWINCH ? GUARD_WINCH : sig == SIGCONT ? GUARD_CONT : GUARD_TSTP;
    (void)!write(guard.pipe[1], "", 1);
    errno = saved_errno;
}

static int signals_install(struct err *e)
{
    guard.stack = malloc(STACK_BYTES);
    if (!guard.stack)
        return err_set(e, ERR_SYSTEM, "out of memory");
    stack_t st = {.ss_sp = guard.stack, .ss_size = STACK_BYTES};
    sigaltstack(&st, NULL);
    struct sigaction sa = {.sa_sigaction = on_fatal, .sa_flags = (int)(SA_SIGINFO | SA_ONSTACK)};
    sigfillset(&sa.sa_mask);
    for (int i = 0; i < N_FATAL; i++) {
        struct sigaction was;
        sigaction(fatal_signals[i], NULL, &was);
        if (was.sa_handler != SIG_IGN || fatal_signals[i] == SIGTERM) /* nohup stays nohup */
            sigaction(fatal_signals[i], &sa, NULL);
    }
    struct sigaction ev = {.sa_handler = on_event, .sa_flags = SA_RESTART};
    sigemptyset(&ev.sa_mask);
    sigaction(SIGWINCH, &ev, NULL);
    sigaction(SIGCONT, &ev, NULL);
    sigaction(SIGTSTP, &ev, NULL);
    return 0;
}

/* ---- what others call ---- */

int guard_open(int fd, struct err *e)
{
    char name[128];
    if (tcgetattr(fd, &guard.saved) < 0 || ttyname_r(fd, name, sizeof name) != 0)
        return err_set(e, ERR_SYSTEM, "no terminal to draw on");
    guard.tty = open(name, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (guard.tty < 0)
        return err_set(e, ERR_SYSTEM, "cannot open %s: %s", name, strerror(errno));
    guard.owner = getpid();
    int r = 0;
    if (pipe2(guard.pipe, O_CLOEXEC | O_NONBLOCK) < 0)
        r = err_set(e, ERR_SYSTEM, "pipe: %s", strerror(errno));
    if (r == 0)
        r = guardian_start(e);
    if (r == 0)
        r = signals_install(e);
    if (r < 0)
        guard_close();
    return r;
}

void guard_set_reset(const char *bytes, size_t n)
{
    if (n > GUARD_RESET_MAX)
        n = GUARD_RESET_MAX;
    guard.reset_len = 0; /* a signal in between finds an empty string, not half of one */
    memcpy(guard.reset, bytes, n);
    guard.reset_len = n;
    guardian_tell(guard.armed ? 'A' : 'D', n);
}

void guard_arm(bool armed)
{
    guard.armed = armed;
    guardian_tell(armed ? 'A' : 'D', 0);
}

void guard_restore(void)
{
    if (!guard.armed)
        return;
    if (restore_tty(guard.tty, &guard.saved, guard.reset, guard.reset_len, false, 1000))
        guard_arm(false);
}

int guard_signal_fd(void)
{
    return guard.pipe[0];
}

unsigned guard_signals(void)
{
    char drop[64];
    while (read(guard.pipe[0], drop, sizeof drop) > 0)
        ;
    sigset_t block, old;
    sigemptyset(&block);
    sigaddset(&block, SIGWINCH);
    sigaddset(&block, SIGCONT);
    sigaddset(&block, SIGTSTP);
    pthread_sigmask(SIG_BLOCK, &block, &old);
    unsigned which = (unsigned)guard.signals;
    guard.signals = 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return which;
}

void guard_set_repair(bool (*repair)(const void *address))
{
    struct sigaction sa = {.sa_sigaction = on_fatal, .sa_flags = (int)(SA_SIGINFO | SA_ONSTACK)};
    sigfillset(&sa.sa_mask);
    guard.repair = repair;
    sigaction(SIGBUS, &sa, NULL);
}

void guard_close(void)
{
    for (int i = 0; i < N_FATAL; i++) {
        struct sigaction was;
        sigaction(fatal_signals[i], NULL, &was);
        if (was.sa_sigaction == on_fatal)
            signal(fatal_signals[i], SIG_DFL);
    }
    signal(SIGWINCH, SIG_DFL);
    signal(SIGCONT, SIG_DFL);
    signal(SIGTSTP, SIG_DFL);
    stack_t off = {.ss_flags = SS_DISABLE};
    sigaltstack(&off, NULL);
    free(guard.stack);
    guard.stack = NULL;
    if (guard.guardian >= 0) {
        close(guard.guardian);
        while (!guard.armed && waitpid(guard.guardian_pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    guard.guardian = -1;
    for (int i = 0; i < 2; i++)
        if (guard.pipe[i] >= 0)
            close(guard.pipe[i]);
    guard.pipe[0] = guard.pipe[1] = -1;
    if (guard.tty >= 0)
        close(guard.tty);
    guard.tty = -1;
    guard.armed = 0;
}
