/* direct_type.c - a terminfo entry with direct colours (see direct_type.h).
 *
 * The format is term(5)'s extended storage format with numbers of 32 bits: a header of six shorts,
 * names, flags, numbers, places of strings, strings; then the same of what ncurses added: RGB (the
 * bits of the colours are those of red, green and blue), CO (how many are numbers still) and AX. */
#include "term/direct_type.h"

#include <curses.h>
#include <string.h>
#include <term.h>
#include <unistd.h>

enum { MAGIC = 01036, ABSENT = 0xffff, COLORS_DIRECT = 1 << 24, PAIRS_DIRECT = 1 << 16 };
#define SET_COLOR(base)                        \
    "\033[%?%p1%{8}%<%t" #base "%p1%d%e" #base \
    "8;2;%p1%{65536}%/%d;%p1%{256}%/%{255}%&%d;%p1%{255}%&%d%;m"

static void add_short(struct bytes *b, unsigned v)
{
    bytes_add_char(b, (char)(v & 255));
    bytes_add_char(b, (char)(v >> 8 & 255));
}

static void add_number(struct bytes *b, int v)
{
    add_short(b, (unsigned)v & 0xffff);
    add_short(b, (unsigned)v >> 16);
}

static void add_even(struct bytes *b)
{
    if (b->len & 1)
        bytes_add_char(b, 0);
}

static int count_of(NCURSES_CONST char *const *names)
{
    int n = 0;
    while (names[n])
        n++;
    return n;
}

static int number_of(NCURSES_CONST char *name)
{
    int v = tigetnum(name);
    return !strcmp(name, "colors") ? COLORS_DIRECT : !strcmp(name, "pairs") ? PAIRS_DIRECT : v;
}

/* NULL: this type has none.  What would change a palette is left out: there is none. */
static const char *string_of(NCURSES_CONST char *name)
{
    static const char *const none[] = {"initc", "initp", "oc", "setf", "setb", "scp"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (!strcmp(name, none[i]))
            return NULL;
    if (!strcmp(name, "setaf"))
        return SET_COLOR(3);
    if (!strcmp(name, "setab"))
        return SET_COLOR(4);
    const char *s = tigetstr(name);
    return s == (const char *)-1 ? NULL : s;
}

static void add_standard(struct bytes *b, const char *direct)
{
    struct bytes table = {0}, places = {0};
    int flags = count_of(boolnames), numbers = count_of(numnames), strings = count_of(strnames);
    for (int i = 0; i < strings; i++) {
        const char *s = string_of(strnames[i]);
        add_short(&places, s ? (unsigned)table.len : ABSENT);
        if (s)
            bytes_add(&table, s, strlen(s) + 1);
    }
    const size_t header[] = {MAGIC,           strlen(direct) + 1, (size_t)flags,
                             (size_t)numbers, (size_t)strings,    table.len};
    for (int i = 0; i < 6; i++)
        add_short(b, (unsigned)header[i]);
    bytes_add(b, direct, strlen(direct) + 1);
    for (int i = 0; i < flags; i++) /* "ccc": the palette can be changed */
        bytes_add_char(b, tigetflag(boolnames[i]) == 1 && strcmp(boolnames[i], "ccc") != 0);
    add_even(b);
    for (int i = 0; i < numbers; i++) {
        int v = number_of(numnames[i]);
        add_number(b, v < 0 ? -1 : v);
    }
    bytes_add(b, places.data, places.len);
    bytes_add(b, table.data, table.len);
    add_even(b);
    b->failed |= places.failed || table.failed || table.len >= ABSENT;
    bytes_free(&places);
    bytes_free(&table);
}

static void add_extended(struct bytes *b)
{
    static const char names[] = "AX\0RGB\0CO"; /* two flags, a number */
    const unsigned header[] = {2, 1, 0, 3, sizeof names};
    for (int i = 0; i < 5; i++)
        add_short(b, header[i]);
    bytes_add_char(b, 1);
    bytes_add_char(b, 1);
    add_number(b, 8);
    add_short(b, 0), add_short(b, 3), add_short(b, 7); /* where the names begin */
    bytes_add(b, names, sizeof names);
}

bool direct_type_make(const char *name, const char *direct, struct bytes *out)
{
    int status = 0;
    struct bytes b = {0};
    char of_colors[] = "colors", of_setab[] = "setab";
    TERMINAL *was = set_curterm(NULL);
    bool found = setupterm(name, STDOUT_FILENO, &status) == OK && status == 1;
    const char *set = found ? tigetstr(of_setab) : NULL;
    bool colors = set && set != (const char *)-1 && tigetnum(of_colors) >= 8;
    if (colors) {
        add_standard(&b, direct);
        add_extended(&b);
    }
    if (found)
        del_curterm(cur_term);
    set_curterm(was);
    bytes_add_string(out, "hex:");
    for (size_t i = 0; i < b.len; i++)
        bytes_addf(out, "%02X", (unsigned)(unsigned char)b.data[i]);
    bool ok = colors && !b.failed && !out->failed;
    bytes_free(&b);
    return ok;
}
