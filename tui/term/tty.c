/* tty.c - the terminal (see tty.h). */
#include "tty.h"

#include <curses.h> /* terminfo alone: nothing is drawn by it */
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "guard.h"
#include "input/keys.h"
#include "paint.h"
#include "pictures.h"

enum { FENCE_MS = 1000, COPY_MAX = 74994 };
#define MOUSE_ON "\x1b[?1000h\x1b[?1002h\x1b[?1006h"
#define PASTE_ON "\x1b[?2004h"

struct tty {
    struct tty_options opt;
    int fd;
    FILE *in, *out;
    struct termios raw;
    struct frame_caps caps;
    struct cells_can can;
    struct paint *paint;
    struct pictures pictures;
    int w, h;
    bool afresh, da1_seen, da1_sixel, kitty_asked, kitty_ok, margins_asked, multiplexed;
    int fences;           /* DA1 questions without an answer yet */
    int caret_x, caret_y; /* -1: none is to be seen */
};

/* ---- options ---- */

static const char *const graphics_words[] = {"auto", "sixel", "kitty", "blocks", "none", NULL};
static const char *const color_words[] = {"auto", "none", "16", "256", "true", NULL};

static bool is_word(const char *s, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(s, *words) == 0)
            return true;
    return false;
}

int tty_check_options(const struct tty_options *o, struct err *e)
{
    if (o->graphics && !is_word(o->graphics, graphics_words))
        return err_set(e, ERR_USAGE, "--graphics %s · auto, sixel, kitty, blocks or none",
                       o->graphics);
    if (o->color && !is_word(o->color, color_words))
        return err_set(e, ERR_USAGE, "--color %s · auto, true, 256, 16 or none", o->color);
    return 0;
}

static bool option_is(const char *value, const char *word)
{
    return value && strcmp(value, word) == 0;
}

bool tty_is_usable(void)
{
    const char *name = getenv("TERM");
    return name && *name && strcmp(name, "dumb") != 0 && isatty(STDOUT_FILENO);
}

/* ---- terminfo ---- */

static const char *capability(const char *name)
{
    const char *s = tigetstr(name);
    return s && s != (char *)-1 ? s : "";
}

static int number(const char *name)
{
    int v = tigetnum(name);
    return v < 0 ? 0 : v;
}

static bool has_flag(const char *name)
{
    return tigetflag(name) == 1;
}

/* Is true colour wanted?  What COLORTERM says counts, but in GNU screen, which passes on what the
 * terminal around it says of colours but not the colours, only --color does. */
static bool wants_true(const struct tty_options *o, bool automatic)
{
    const char *ct = getenv("COLORTERM");
    return option_is(o->color, "true") || (automatic && ct && !getenv("STY") &&
                                           (option_is(ct, "truecolor") || option_is(ct, "24bit")));
}

static enum color_depth choose_depth(const struct tty_options *o, int colors)
{
    const char *no = getenv("NO_COLOR");
    bool automatic = !o->color || option_is(o->color, "auto");
    if (option_is(o->color, "none") || (automatic && no && *no) || colors < 8)
        return COLOR_DEPTH_NONE;
    if (option_is(o->color, "16"))
        return COLOR_DEPTH_16;
    if (wants_true(o, automatic) || (colors > 256 && !option_is(o->color, "256")))
        return COLOR_DEPTH_TRUE;
    return colors >= 256 ? COLOR_DEPTH_256 : COLOR_DEPTH_16;
}

/* What the terminal can, as terminfo says; false: it is moved about by other words than ECMA-48's.
 */
static bool read_can(const struct tty_options *o, struct cells_can *can)
{
    static const char *const attr[] = {"bold", "dim", "rev", "smul"}; /* CANVAS_BOLD | ... */
    static const int without_color[] = {32, 16, 4, 2};                /* bits of "ncv" */
    enum { BYTES = 3 };
    if (strncmp(capability("cup"), "\x1b[", 2) != 0 ||
        strncmp(capability("el"), "\x1b[K", BYTES) != 0)
        return false;
    *can = (struct cells_can){.colors = *capability("setaf") ? number("colors") : 0};
    can->depth = choose_depth(o, can->colors);
    for (int i = 0; i < 4; i++) {
        can->attrs |= strncmp(capability(attr[i]), "\x1b[", 2) == 0 ? 1u << i : 0;
        can->attrs_plain |= number("ncv") & without_color[i] ? 1u << i : 0;
    }
    can->off = strncmp(capability("rmul"), "\x1b[24m", 5) == 0;
    can->erase_characters = strncmp(capability("ech"), "\x1b[", 2) == 0;
    can->regions = strncmp(capability("csr"), "\x1b[", 2) == 0;
    can->corner = has_flag("xenl") || !has_flag("am");
    return true;
}

/* ---- reset string ---- */

/* A terminfo string without its padding marks. */
static void add_capability(struct bytes *b, const char *name)
{
    for (const char *s = capability(name); *s; s++)
        if (s[0] == '$' && s[1] == '<' && strchr(s, '>'))
            s = strchr(s, '>');
        else
            bytes_add_char(b, *s);
}

static void prepare_reset(const struct tty *t)
{
    struct bytes b = {0};
    bytes_add_string(&b, "\x18\x1b\\"); /* ends a picture that was cut off */
    if (t->caps.graphics == GRAPHICS_KITTY)
        bytes_add_string(&b, "\x1b_Ga=d,q=2\x1b\\");
    bytes_add_string(&b, "\x1b[?69l\x1b[?2026l\x1b[?1002l\x1b[?1000l\x1b[?1006l\x1b[?2004l\x1b[r");
    add_capability(&b, "rmkx");
    add_capability(&b, "sgr0");
    add_capability(&b, "op");
    add_capability(&b, "rmcup");
    add_capability(&b, "cnorm");
    bytes_add_string(&b, "\r");
    if (!b.failed)
        guard_set_reset(b.data, b.len);
    bytes_free(&b);
}

/* ---- writing ---- */

static void write_bytes(const struct tty *t, const char *s, size_t n)
{
    fflush(t->out);
    int fd = fileno(t->out);
    while (n) {
        ssize_t did = write(fd, s, n);
        if (did > 0) {
            s += did;
            n -= (size_t)did;
        } else if (!(did < 0 && errno == EINTR)) {
            return;
        }
    }
}

static void write_capabilities(const struct tty *t, const char *a, const char *other)
{
    struct bytes b = {0};
    add_capability(&b, a);
    add_capability(&b, other);
    if (!b.failed && b.len)
        write_bytes(t, b.data, b.len);
    bytes_free(&b);
}

static void write_string(const struct tty *t, const char *s)
{
    write_bytes(t, s, strlen(s));
}

/* ---- questions ---- */

static void ask(struct tty *t, const char *question)
{
    struct bytes b = {0};
    bytes_add_string(&b, question);
    bytes_add_string(&b, "\x1b[c");
    if (!b.failed) {
        write_bytes(t, b.data, b.len);
        t->fences++;
    }
    bytes_free(&b);
}

static bool wants_pictures(const struct tty *t)
{
    return !option_is(t->opt.graphics, "blocks") && !option_is(t->opt.graphics, "none") &&
           !t->caps.ascii;
}

static void ask_all(struct tty *t)
{
    const char *name = getenv("TERM");
    if (!wants_pictures(t) || strncmp(name, "linux", 5) == 0 || strncmp(name, "vt", 2) == 0)
        return;
    ask(t, t->multiplexed ? "\x1b[16t" : "\x1b[>0q\x1b[16t");
}

/* Cell size from the window size in pixels: less exact (borders), used until the terminal says
 * better. */
static void cell_from_ioctl(struct tty *t)
{
    struct winsize ws = {0};
    if (ioctl(t->fd, TIOCGWINSZ, &ws) == 0 && ws.ws_col && ws.ws_row && ws.ws_xpixel &&
        ws.ws_ypixel) {
        t->caps.cell_w = ws.ws_xpixel / ws.ws_col;
        t->caps.cell_h = ws.ws_ypixel / ws.ws_row;
    }
}

static void decide_graphics(struct tty *t)
{
    const char *g = t->opt.graphics;
    enum graphics was = t->caps.graphics;
    bool automatic = !g || option_is(g, "auto");
    if (!wants_pictures(t))
        t->caps.graphics = option_is(g, "none") ? GRAPHICS_NONE : GRAPHICS_BLOCKS;
    else if (option_is(g, "kitty") || (automatic && t->kitty_ok && !t->da1_sixel))
        t->caps.graphics = GRAPHICS_KITTY;
    else if (option_is(g, "sixel") || (automatic && t->da1_sixel))
        t->caps.graphics = GRAPHICS_SIXEL;
    else
        t->caps.graphics = GRAPHICS_BLOCKS;
    if (was != t->caps.graphics)
        prepare_reset(t);
}

/* "?62;4;22c": an attribute that is exactly 4, behind the first. */
static bool da1_has_sixel(const char *s, size_t n)
{
    char copy[KEYS_REPLY_MAX + 2];
    if (n >= sizeof copy)
        return false;
    memcpy(copy, s, n);
    copy[n] = 0;
    char *at = strchr(copy, ';');
    while (at) {
        char *end;
        long v = strtol(at + 1, &end, 10);
        if (v == 4 && end != at + 1 && (*end == ';' || *end == 'c'))
            return true;
        at = strchr(at + 1, ';');
    }
    return false;
}

static bool is_kitty_like(const char *version)
{
    static const char *const names[] = {"kitty", "ghostty", "WezTerm", "Konsole", NULL};
    for (int i = 0; names[i]; i++)
        if (strstr(version, names[i]))
            return true;
    return false;
}

static void ask_kitty(struct tty *t)
{
    if (t->kitty_asked || t->multiplexed || !wants_pictures(t))
        return;
    t->kitty_asked = true;
    ask(t, "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\");
}

/* Margins on the left and the right are of the VT420 (64): what says it is an older one may print
 * the question. */
static void ask_margins(struct tty *t, const char *da1)
{
    if (t->margins_asked || t->multiplexed || strtol(da1 + 1, NULL, 10) < 64)
        return;
    t->margins_asked = true;
    ask(t, "\x1b[?69$p");
}

bool tty_reply(struct tty *t, const char *text, size_t n)
{
    struct frame_caps was = t->caps;
    char s[KEYS_REPLY_MAX + 2] = "";
    memcpy(s, text, n < sizeof s - 1 ? n : sizeof s - 1);
    int h, w;
    if (s[0] == '?' && n && s[n - 1] == 'c') {
        t->fences -= t->fences > 0;
        t->da1_seen = true;
        t->da1_sixel = da1_has_sixel(s, n);
        const char *name = getenv("TERM");
        if (strstr(name, "kitty") || strstr(name, "ghostty"))
            ask_kitty(t);
        ask_margins(t, s);
    } else if (strncmp(s, "?69;", 4) == 0) { /* 1: on, 2: off, and it can be changed */
        t->can.margins = s[4] == '1' || s[4] == '2';
    } else if (sscanf(s, "6;%d;%dt", &h, &w) == 2 && h > 0 && w > 0 && h < 200 && w < 200) {
        t->caps.cell_h = h;
        t->caps.cell_w = w;
    } else if (strncmp(s, "P>|", 3) == 0) {
        if (is_kitty_like(s + 3))
            ask_kitty(t);
    } else if (strncmp(s, "_Gi=31;OK", 9) == 0) {
        t->kitty_ok = true;
    }
    decide_graphics(t);
    return memcmp(&was, &t->caps, sizeof was) != 0;
}

/* ---- opening and closing ---- */

static void measure(struct tty *t)
{
    struct winsize ws = {0};
    if (ioctl(t->fd, TIOCGWINSZ, &ws) == 0 && ws.ws_col && ws.ws_row) {
        t->w = ws.ws_col;
        t->h = ws.ws_row;
    } else {
        t->w = number("cols") ? number("cols") : 80;
        t->h = number("lines") ? number("lines") : 24;
    }
    if (t->w > CANVAS_SIDE_MAX)
        t->w = CANVAS_SIDE_MAX;
    if (t->h > CANVAS_SIDE_MAX)
        t->h = CANVAS_SIDE_MAX;
}

static void switch_on(struct tty *t)
{
    tcsetattr(t->fd, TCSADRAIN, &t->raw);
    write_string(t, PASTE_ON);
    if (t->opt.mouse)
        write_string(t, MOUSE_ON);
}

/* Terminfo read, the other screen and raw mode on. */
static int open_screen(struct tty *t, struct err *e)
{
    const char *type = getenv("TERM");
    int status = 0;
    if (setupterm(type, fileno(t->out), &status) != OK)
        return err_set(e, ERR_BAD_INPUT,
                       "TERM=%s is not in the terminfo database · try TERM=xterm or --plain", type);
    if (!read_can(&t->opt, &t->can)) {
        del_curterm(cur_term);
        return err_set(e, ERR_SYSTEM, "the terminal %s cannot be used · try --plain", type);
    }
    t->caps.depth = t->can.depth;
    prepare_reset(t);
    tcgetattr(t->fd, &t->raw);
    cfmakeraw(&t->raw);
    t->raw.c_cc[VMIN] = 1;
    t->raw.c_cc[VTIME] = 0;
    guard_arm(true); /* before the first byte that changes anything */
    write_capabilities(t, "smcup", "civis");
    return 0;
}

int tty_open(struct tty **out, const struct tty_options *o, struct err *e)
{
    int r = tty_check_options(o, e);
    if (r < 0)
        return r;
    struct tty *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(e, ERR_SYSTEM, "out of memory");
    t->opt = *o;
    t->out = stdout;
    t->in = isatty(STDIN_FILENO) ? stdin : fopen("/dev/tty", "re");
    if (!t->in) {
        free(t);
        return err_set(e, ERR_SYSTEM, "no terminal to read keys from");
    }
    t->fd = fileno(t->in);
    t->multiplexed = getenv("TMUX") || getenv("STY");
    const char *codeset = nl_langinfo(CODESET);
    t->caps.ascii = strcmp(codeset, "UTF-8") != 0;
    t->paint = paint_new();
    r = t->paint ? guard_open(fileno(t->out), e) : err_set(e, ERR_SYSTEM, "out of memory");
    if (r == 0 && (r = open_screen(t, e)) < 0)
        guard_close();
    if (r < 0) {
        paint_free(t->paint);
        free(t);
        return r;
    }
    decide_graphics(t);
    cell_from_ioctl(t);
    measure(t);
    t->caret_x = -1;
    switch_on(t);
    ask_all(t);
    t->afresh = true;
    *out = t;
    return 0;
}

/* Read until every question has its answer, at most FENCE_MS. */
static void await_answers(struct tty *t)
{
    struct keys k = {0};
    int64_t until_ms = clock_ms() + FENCE_MS;
    while (t->fences > 0) {
        int64_t left = until_ms - clock_ms();
        struct pollfd p = {.fd = t->fd, .events = POLLIN};
        if (left <= 0 || poll(&p, 1, (int)left) < 0 || !(p.revents & POLLIN))
            return;
        uint8_t buf[256];
        ssize_t n = read(t->fd, buf, sizeof buf);
        for (ssize_t i = 0; i < n; i++) {
            struct input in[2];
            int got = keys_push(&k, buf[i], in);
            for (int j = 0; j < got; j++)
                if (in[j].kind == INPUT_REPLY)
                    tty_reply(t, in[j].text, in[j].len);
        }
        if (n <= 0)
            return;
    }
}

static void give_back(struct tty *t)
{
    struct bytes b = {0};
    pictures_end(&t->pictures, &b);
    if (b.len)
        write_bytes(t, b.data, b.len);
    bytes_free(&b);
    fflush(t->out);
    await_answers(t);
    guard_restore();
}

void tty_close(struct tty *t)
{
    if (!t)
        return;
    give_back(t);
    guard_close();
    del_curterm(cur_term);
    paint_free(t->paint);
    if (t->in != stdin)
        fclose(t->in);
    free(t);
}

void tty_suspend(struct tty *t)
{
    give_back(t);
    struct sigaction was, stop = {.sa_handler = SIG_DFL};
    sigaction(SIGTSTP, &stop, &was);
    kill(0, SIGTSTP); /* the whole job, as the terminal itself would */
    sigaction(SIGTSTP, &was, NULL);
    guard_signals(); /* the SIGCONT that woke us */
    tty_resume(t);
}

void tty_resume(struct tty *t)
{
    guard_arm(true);
    write_capabilities(t, "smcup", "civis");
    switch_on(t);
    t->caret_x = -1;
    tty_resized(t);
}

/* ---- the rest ---- */

int tty_fd(const struct tty *t)
{
    return t->fd;
}

void tty_size(const struct tty *t, int *w, int *h)
{
    *w = t->w;
    *h = t->h;
}

const struct frame_caps *tty_caps(const struct tty *t)
{
    return &t->caps;
}

void tty_repaint(struct tty *t)
{
    t->afresh = true;
}

void tty_resized(struct tty *t)
{
    measure(t);
    t->afresh = true;
    if (t->da1_seen && wants_pictures(t) && t->fences == 0)
        ask(t, "\x1b[16t"); /* a font of another size leaves the rows as they are */
}

void tty_draw(struct tty *t, const struct frame *f)
{
    if (f->canvas->w != t->w || f->canvas->h != t->h)
        return;
    bool show[FRAME_PICTURES_MAX] = {false};
    pictures_choose(f, show);
    struct bytes all = {0}, after = {0};
    pictures_update(&t->pictures, f, show, t->afresh, &all, &after);
    if (t->afresh)
        paint_forget(t->paint);
    paint_frame(t->paint, f, show, &t->can, &all);
    bytes_add(&all, after.data, after.len);
    bool caret = f->caret_x >= 0, moved = f->caret_x != t->caret_x || f->caret_y != t->caret_y;
    if (caret && (moved || all.len))
        bytes_addf(&all, "\x1b[%d;%dH", f->caret_y + 1, f->caret_x + 1);
    if (caret != (t->caret_x >= 0))
        add_capability(&all, caret ? "cnorm" : "civis");
    t->caret_x = f->caret_x, t->caret_y = f->caret_y;
    t->afresh = all.failed || after.failed; /* it is drawn anew */
    if (!t->afresh && all.len)
        write_bytes(t, all.data, all.len);
    bytes_free(&all);
    bytes_free(&after);
}

bool tty_copy(struct tty *t, const char *text, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if ((n + 2) / 3 * 4 > COPY_MAX)
        return false;
    struct bytes b = {0};
    bytes_add_string(&b, "\x1b]52;c;");
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)(uint8_t)text[i] << 16 |
                     (i + 1 < n ? (uint32_t)(uint8_t)text[i + 1] << 8 : 0) |
                     (i + 2 < n ? (uint8_t)text[i + 2] : 0);
        bytes_add_char(&b, digits[v >> 18]);
        bytes_add_char(&b, digits[v >> 12 & 63]);
        bytes_add_char(&b, i + 1 < n ? digits[v >> 6 & 63] : '=');
        bytes_add_char(&b, i + 2 < n ? digits[v & 63] : '=');
    }
    bytes_add_string(&b, "\x1b\\");
    bool ok = !b.failed;
    if (ok)
        write_bytes(t, b.data, b.len);
    bytes_free(&b);
    return ok;
}
