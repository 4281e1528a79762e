/* rule_code.c - what code may include, call and how long it may be.  Tested through tests/tidy/bad.
 */
#include "tidy.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { FILE_LINES_MAX = 600, FUNCTION_LINES_MAX = 70, NAME_BYTES = 64 };

/* The arrows of the house: who may include whose headers.  tui (and tests) may include any. */
static const struct arrow {
    const char *from, *to[3];
} arrows[] = {
    {"kernels/", {"kernels/"}},
    {"engine/", {"engine/", "kernels/"}},
    {"render/", {"render/"}},
};

/* The engine's folders: each may include itself and those before it, so that calls have no circle.
 */
static const char *const engine_folders[] = {"base", "token",   "model", "names",   "edit",
                                             "run",  "measure", "lab",   "session", "lib"};

/* Index of the folder that a path "FOLDER/..." begins with, or -1. */
static int engine_folder(const char *path)
{
    for (size_t i = 0; i < sizeof engine_folders / sizeof *engine_folders; i++)
        if (path_in(path, engine_folders[i]) && path[strlen(engine_folders[i])] == '/')
            return (int)i;
    return -1;
}

/* System headers that belong to the owner of the terminal. */
static const char *const terminal_headers[] = {"curses.h",  "ncurses.h",   "term.h",
                                               "termios.h", "sys/ioctl.h", "pty.h"};

static bool arrow_allows(const struct tree *t, const struct arrow *a, const char *name, bool *known)
{
    char end[256];
    snprintf(end, sizeof end, "/%s", name);
    bool allowed = false;
    for (int i = 0; i < t->n; i++) {
        if (!path_ends(t->files[i].path, end) || path_in(t->files[i].path, "tests/"))
            continue;
        *known = true;
        for (size_t k = 0; k < sizeof a->to / sizeof *a->to && a->to[k]; k++)
            allowed = allowed || path_in(t->files[i].path, a->to[k]);
    }
    return allowed;
}

void rule_include(const struct tree *t, const struct source *s)
{
    const struct arrow *a = NULL;
    for (size_t i = 0; i < sizeof arrows / sizeof *arrows; i++)
        if (path_in(s->path, arrows[i].from))
            a = &arrows[i];
    if (a == NULL || !is_c(s))
        return;
    for (const char *p = s->text; (p = strstr(p, "#include")) != NULL; p += 8) {
        size_t at = (size_t)(p - s->text);
        char open = 0, name[128];
        if (s->code[at] != '#' || sscanf(p, "#include %c%127[^\">\n]", &open, name) != 2)
            continue;
        bool known = false;
        if (open == '"' &&
            !arrow_allows(t, a, strrchr(name, '/') ? strrchr(name, '/') + 1 : name, &known) &&
            known)
            report(s, at, "include", name, "%.*s may not include \"%s\"",
                   (int)strcspn(a->from, "/"), a->from, name);
        if (open == '"' && path_in(s->path, "engine/") &&
            engine_folder(name) > engine_folder(s->path + strlen("engine/")))
            report(s, at, "include", name, "engine/%.*s may not include \"%s\"",
                   (int)strcspn(s->path + strlen("engine/"), "/"), s->path + strlen("engine/"),
                   name);
        for (size_t i = 0; open == '<' && i < sizeof terminal_headers / sizeof *terminal_headers;
             i++)
            if (strcmp(name, terminal_headers[i]) == 0)
                report(s, at, "include", name, "<%s> belongs to tui", name);
    }
}

/* Functions that may not be called; each list is words between blanks. */
static const struct ban {
    const char *dirs[4]; /* the folders it holds in; none: everywhere */
    const char *names, *why;
} bans[] = {
    {{NULL},
     " strcpy strcat stpcpy strncpy strncat sprintf vsprintf gets strtok alloca tmpnam mktemp ",
     "unbounded or unsafe; snprintf, memcpy, mkstemp"},
    {{NULL}, " atoi atol atoll atof ", "hides bad input; strtol, strtod with a check"},
    {{"kernels/", "engine/", "render/", "tui/"},
     " system popen execl execlp execle execv execvp execve execvpe setjmp longjmp sigsetjmp siglongjmp ",
     "no child programs, no non-local jumps"},
    {{"kernels/", "engine/", "render/"},
     " printf fprintf vprintf vfprintf puts fputs putchar putc fputc perror exit _exit quick_exit abort signal"
     " sigaction tcsetattr isatty ",
     "library code never prints, exits or owns the terminal"},
    {{"render/"}, " fopen fdopen fread fwrite mmap ", "render does no i/o"},
};

static bool ban_holds(const struct ban *b, const char *path)
{
    if (b->dirs[0] == NULL)
        return true;
    for (size_t i = 0; i < sizeof b->dirs / sizeof *b->dirs && b->dirs[i]; i++)
        if (path_in(path, b->dirs[i]))
            return true;
    return false;
}

void rule_banned(const struct tree *t, const struct source *s)
{
    (void)t;
    if (!is_c(s))
        return;
    size_t n;
    for (size_t at = 0; (n = next_word(s->code, &at)) > 0; at += n) {
        char word[NAME_BYTES + 2];
        bool member = at > 0 && (s->code[at - 1] == '.' ||
                                 (at > 1 && s->code[at - 2] == '-' && s->code[at - 1] == '>'));
        if (n >= NAME_BYTES || member || s->code[at + n] != '(')
            continue;
        snprintf(word, sizeof word, " %.*s ", (int)n, s->code + at);
        for (size_t i = 0; i < sizeof bans / sizeof *bans; i++)
            if (ban_holds(&bans[i], s->path) && strstr(bans[i].names, word)) {
                word[n + 1] = '\0';
                report(s, at, "banned", word + 1, "%s() · %s", word + 1, bans[i].why);
            }
    }
}

/* The name before the first parenthesis of the declaration that ends just before `brace`. */
static void function_name(const char *code, size_t brace, char *name)
{
    size_t start = brace; /* back to the first line that starts in the first column */
    while (start > 0) {
        size_t line = start - 1;
        while (line > 0 && code[line - 1] != '\n')
            line--;
        if (isspace((unsigned char)code[line]))
            ;
        else if (code[line] == '}' || code[line] == '#' || code[line] == ';')
            break;
        else if (strcspn(code + line, "(") < strcspn(code + line, "\n")) {
            start = line;
            break;
        }
        start = line;
    }
    size_t at = start, n, last = start, last_n = 0, paren = start + strcspn(code + start, "(");
    for (; (n = next_word(code, &at)) > 0 && at < paren; at += n) {
        last = at;
        last_n = n;
    }
    snprintf(name, NAME_BYTES, "%.*s", (int)last_n, code + last);
}

void rule_size(const struct tree *t, const struct source *s)
{
    (void)t;
    if (!is_c(s) && !path_ends(s->path, ".sh") && !path_ends(s->path, ".py"))
        return;
    int line = 0, start = 0;
    size_t start_at = 0;
    char before = 0; /* last character of code before this line */
    for (size_t at = 0; at < s->len; at += strcspn(s->code + at, "\n") + 1) {
        line++;
        if (s->code[at] == '{' && before == ')') {
            start = line;
            start_at = at;
        } else if (s->code[at] == '}' && start > 0) {
            char name[NAME_BYTES];
            function_name(s->code, start_at, name);
            if (line - start + 1 > FUNCTION_LINES_MAX)
                report(s, start_at, "function", name, "%s has %d lines, at most %d", name,
                       line - start + 1, FUNCTION_LINES_MAX);
            start = 0;
        }
        for (size_t i = at; i < s->len && s->code[i] != '\n'; i++)
            if (!isspace((unsigned char)s->code[i]))
                before = s->code[i];
    }
    if (line > FILE_LINES_MAX)
        report(s, 0, "file", NULL, "%d lines, at most %d", line, FILE_LINES_MAX);
}
