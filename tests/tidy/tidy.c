/* tidy.c - run every rule over the tree, apply the exceptions, print what is left.
 *
 * tidy ROOT: prints "path:line · rule · what"; exit status 0 when there is nothing to print, 1 when
 * there is, 2 when ROOT cannot be read.  An exception that nothing needs is a violation itself.
 * Tested in tests/tidy/test_tidy.sh. */
#include "tidy.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXCEPTION_MAX = 64 };

typedef void rule_fn(const struct tree *t, const struct source *s);

static rule_fn *const rules[] = {
    rule_include, rule_banned, rule_size,       rule_head,  rule_guard, rule_declared,
    rule_layout,  rule_words,  rule_named_test, rule_flags, rule_keys,  rule_property,
    rule_rows,    rule_listed, rule_packages,   rule_named,
};

/* A line of exceptions.txt: "rule path[:symbol] reason". */
static struct exception {
    char rule[32], where[128];
    int line;
    bool used;
} exceptions[EXCEPTION_MAX];
static int n_exceptions, n_reports;
static const char exceptions_path[] = "tests/tidy/exceptions.txt";

static int line_of(const struct source *s, size_t at)
{
    int line = 1;
    for (size_t i = 0; i < at && i < s->len; i++)
        line += s->text[i] == '\n';
    return line;
}

static bool excepted(const struct source *s, const char *rule, const char *symbol)
{
    for (int i = 0; i < n_exceptions; i++) {
        struct exception *e = &exceptions[i];
        size_t n = strlen(s->path);
        if (strcmp(e->rule, rule) != 0 || strncmp(e->where, s->path, n) != 0)
            continue;
        if (e->where[n] == '\0' ||
            (symbol && e->where[n] == ':' && strcmp(e->where + n + 1, symbol) == 0)) {
            e->used = true;
            return true;
        }
    }
    return false;
}

void report(const struct source *s, size_t at, const char *rule, const char *symbol,
            const char *fmt, ...)
{
    if (excepted(s, rule, symbol))
        return;
    va_list args;
    va_start(args, fmt);
    printf("%s:%d · %s · ", s->path, line_of(s, at), rule);
    vprintf(fmt, args);
    putchar('\n');
    va_end(args);
    n_reports++;
}

static void exceptions_read(const struct source *s)
{
    int line = 0;
    for (const char *p = s->text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
        struct exception e = {.line = ++line};
        int reason = 0;
        if (*p == '#' || *p == '\n')
            continue;
        int got = sscanf(p, "%31[^ \n] %127[^ \n] %n", e.rule, e.where, &reason);
        if (got != 2 || reason == 0 || p[reason] == '\0' || p[reason - 1] == '\n')
            report(s, (size_t)(p - s->text), "exception", NULL, "wants: rule path[:symbol] reason");
        else if (n_exceptions < EXCEPTION_MAX)
            exceptions[n_exceptions++] = e;
        else
            report(s, (size_t)(p - s->text), "exception", NULL, "more than %d", EXCEPTION_MAX);
    }
}

int main(int argc, char **argv)
{
    static struct tree t; /* lives until the end */
    if (argc != 2 || !tree_read(&t, argv[1])) {
        fprintf(stderr, "tidy: usage: tidy ROOT, a folder with files\n");
        return 2;
    }
    const struct source *ex = tree_find(&t, exceptions_path);
    if (ex)
        exceptions_read(ex);
    for (int i = 0; i < t.n; i++)
        for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
            rules[r](&t, &t.files[i]);
    for (int i = 0; i < n_exceptions; i++)
        if (!exceptions[i].used) {
            printf("%s:%d · exception · nothing needs it any more\n", ex->path, exceptions[i].line);
            n_reports++;
        }
    printf("%d files, %d violations\n", t.n, n_reports);
    return n_reports > 0;
}
