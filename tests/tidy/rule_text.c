/* rule_text.c - heads, guards, comments, layout and words.  Tested through tests/tidy/bad.
 *
 * Words that may not stand anywhere are spelled here in two parts, so that this file passes itself.
 */
#include "tidy.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a line; of one that holds a string, so that a message stays in one piece for whoever looks for
 * it. */
enum { COLUMNS_MAX = 100, STRING_COLUMNS_MAX = 160 };

static const char *const libraries[] = {"kernels/", "engine/", "render/", "tui/"};

static bool word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static bool in_library(const struct source *s)
{
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++)
        if (path_in(s->path, libraries[i]))
            return true;
    return false;
}

/* Does the comment at the head of the file say where it is tested? */
static bool head_names_test(const struct source *s)
{
    size_t end = 0; /* comments up to the first line of code */
    while (isspace((unsigned char)s->code[end]))
        end++;
    char *head = strndup(s->text, end);
    bool says = head && (strstr(head, "ested ") || strstr(head, "tests/"));
    free(head);
    return says;
}

/* The header that s implements: run_exec.c has run_exec.h, else run.h. */
static const struct source *own_header(const struct tree *t, const struct source *s)
{
    char path[512];
    size_t n = strlen(s->path) - strlen(".c");
    while (n > 0 && s->path[n - 1] != '/') {
        snprintf(path, sizeof path, "%.*s.h", (int)n, s->path);
        if (tree_find(t, path))
            return tree_find(t, path);
        do
            n--;
        while (n > 0 && s->path[n] != '_' && s->path[n] != '/');
    }
    return NULL;
}

/* Does a header of its own library that s includes say where it is tested? */
static bool header_names_test(const struct tree *t, const struct source *s)
{
    const struct source *own = own_header(t, s);
    if (own && head_names_test(own))
        return true;
    size_t library = strcspn(s->path, "/") + 1;
    for (const char *p = s->text; (p = strstr(p, "#include \"")) != NULL;) {
        p += strlen("#include \"");
        size_t n = strcspn(p, "\"\n");
        while (strncmp(p, "../", 3) == 0 && n > 3) {
            p += 3;
            n -= 3;
        }
        char end[256];
        snprintf(end, sizeof end, "/%.*s", (int)n, p);
        for (int i = 0; i < t->n; i++)
            if (strncmp(t->files[i].path, s->path, library) == 0 &&
                path_ends(t->files[i].path, end) && head_names_test(&t->files[i]))
                return true;
    }
    return false;
}

void rule_head(const struct tree *t, const struct source *s)
{
    if (!is_c(s))
        return;
    if (!path_in(s->text, "/*")) {
        report(s, 0, "head", NULL, "the file starts without a comment on what it is");
        return;
    }
    if (in_library(s) && path_ends(s->path, ".c") && !head_names_test(s) &&
        !header_names_test(t, s))
        report(s, 0, "head", NULL,
               "neither the head nor a header that it includes says where it is tested");
}

/* A test that a file names is there: a file, a folder, or the start of a name before '*'. */
void rule_named_test(const struct tree *t, const struct source *s)
{
    if (!in_library(s) || !is_c(s))
        return;
    for (const char *p = s->text; (p = strstr(p, "tests/")) != NULL; p++) {
        size_t n = strcspn(p, " ,;:()\"'\n");
        while (n > 0 && (p[n - 1] == '.' || p[n - 1] == '/'))
            n--;
        char path[160];
        snprintf(path, sizeof path, "%.*s",
                 (int)strcspn(p, "*") < (int)n ? (int)strcspn(p, "*") : (int)n, p);
        bool found = false;
        for (int i = 0; i < t->n && !found; i++)
            found = path_in(t->files[i].path, path);
        if (!found && s->code[p - s->text] == ' ')
            report(s, (size_t)(p - s->text), "tested", path, "there is no %s", path);
    }
}

void rule_guard(const struct tree *t, const struct source *s)
{
    (void)t;
    char name[64];
    int end = 0;
    if (!path_ends(s->path, ".h"))
        return;
    const char *p = s->code;
    while (isspace((unsigned char)*p))
        p++;
    if (sscanf(p, "#ifndef %63[A-Z0-9_]%n", name, &end) != 1 || !path_in(p + end, "\n#define ") ||
        !path_in(p + end + strlen("\n#define "), name) || !path_ends(name, "_H"))
        report(s, (size_t)(p - s->code), "guard", NULL,
               "wants #ifndef NAME_H, #define NAME_H before all else");
}

/* Does a declaration of a function start at this line of code?  *name, *n: its name. */
static bool declares(const char *line, const char **name, size_t *n)
{
    size_t paren = strcspn(line, "(;{=\n");
    if (!(isalpha((unsigned char)*line) || *line == '_') || line[paren] != '(' ||
        path_in(line, "typedef") || path_in(line, "static") || line[strcspn(line, ";{")] == '{')
        return false;
    size_t from = paren;
    while (from > 0 && word_char(line[from - 1]))
        from--;
    *name = line + from;
    *n = paren - from;
    return true;
}

/* A paragraph of a header that declares functions holds a comment. */
void rule_declared(const struct tree *t, const struct source *s)
{
    (void)t;
    if (!path_ends(s->path, ".h"))
        return;
    bool comment = false;
    const char *name = NULL;
    size_t name_n = 0, name_at = 0;
    for (size_t at = 0; at <= s->len; at += strcspn(s->text + at, "\n") + 1) {
        size_t n = strcspn(s->text + at, "\n"), word_n;
        const char *word;
        if (n == 0) {
            if (name && !comment)
                report(s, name_at, "declared", NULL, "%.*s: no comment in its paragraph",
                       (int)name_n, name);
            comment = false;
            name = NULL;
        }
        for (size_t i = at; i < at + n; i++)
            comment = comment || (s->text[i] == '/' && s->code[i] == ' ');
        if (name == NULL && declares(s->code + at, &word, &word_n)) {
            name = word;
            name_n = word_n;
            name_at = at;
        }
    }
}

static size_t columns(const char *p, size_t n)
{
    size_t cols = 0;
    for (size_t i = 0; i < n; i++)
        cols += ((unsigned char)p[i] & 0xC0) != 0x80;
    return cols;
}

void rule_layout(const struct tree *t, const struct source *s)
{
    (void)t;
    bool ours = is_c(s) || path_ends(s->path, ".txt") || path_ends(s->path, ".md") ||
                path_ends(s->path, ".py") || path_ends(s->path, ".sh") ||
                strcmp(s->path, "dev") == 0;
    if (!ours || (path_in(s->path, "tests/") && path_ends(s->path, ".txt")))
        return; /* data of tests is as it is */
    for (size_t at = 0; at < s->len; at += strcspn(s->text + at, "\n") + 1) {
        size_t n = strcspn(s->text + at, "\n");
        if (is_c(s) && memchr(s->text + at, '\t', n))
            report(s, at, "layout", NULL, "a tab");
        if (n > 0 && isspace((unsigned char)s->text[at + n - 1]))
            report(s, at, "layout", NULL, "blanks at the end of the line");
        int most = memchr(s->text + at, '"', n) || s->text[at + n - (n > 0)] == '\\'
                       ? STRING_COLUMNS_MAX
                       : COLUMNS_MAX;
        if (is_c(s) && !path_ends(s->path, ".def") && columns(s->text + at, n) > (size_t)most)
            report(s, at, "layout", NULL, "%zu columns, at most %d", columns(s->text + at, n),
                   most);
    }
    if (s->len > 0 && s->text[s->len - 1] != '\n')
        report(s, s->len, "layout", NULL, "no newline at the end");
}

void rule_words(const struct tree *t, const struct source *s)
{
    (void)t;
    static const char *const words[][2] = {
        {"TO", "DO"},          {"FIX", "ME"},       {"XX", "X"},      {"/ho", "me/"},
        {"/wo", "rk/"},        {"/ro", "ot/"},      {"/opt", "/ref"}, {"issue", " #"},
        {"-march=", "native"}, {"-ffast", "-math"}, {"-O", "fast"}};
    bool data = path_ends(s->path, ".json") && !strstr(s->path, "CMake");
    for (size_t i = 0; !data && i < sizeof words / sizeof *words; i++) {
        char word[32];
        snprintf(word, sizeof word, "%s%s", words[i][0], words[i][1]);
        for (const char *p = s->text; (p = strstr(p, word)) != NULL; p++) {
            bool before = p > s->text && word_char(p[-1]), after = word_char(p[strlen(word)]);
            bool inside = isupper((unsigned char)word[0]) && (before || after);
            if (!inside)
                report(s, (size_t)(p - s->text), "words", word, "\"%s\"", word);
        }
    }
}

/* Does the default key map have the view under this digit? */
static bool key_shows(const struct source *keys, char digit, const char *name, size_t n)
{
    char line[48];
    for (const char *p = keys->text; (p = strstr(p, "view ")) != NULL; p++) {
        const char *start = p;
        while (start > keys->text && start[-1] != '\n')
            start--;
        if (*start == digit && start[1] == ' ')
            return sscanf(p, "view %47s", line) == 1 && strlen(line) == n &&
                   memcmp(line, name, n) == 0;
    }
    return false;
}

/* Which key shows a view stands in keymaps/default.keys: comments leave it there, messages and
 * pages that say it, "the edits view (6)", agree with it. */
void rule_keys(const struct tree *t, const struct source *s)
{
    const struct source *keys = tree_find(t, "keymaps/default.keys");
    if (path_in(s->path, "tests/") || !keys)
        return;
    for (const char *p = s->text; (p = strstr(p, "view ")) != NULL; p++) {
        size_t at = (size_t)(p - s->text);
        if (isdigit((unsigned char)p[5]) && is_c(s) && s->code[at] == ' ')
            report(s, at, "keys", NULL,
                   "a comment says a view's key · keymaps/default.keys has it");
        if (p[5] != '(' || !isdigit((unsigned char)p[6]) || p[7] != ')')
            continue;
        const char *name = p - (p > s->text);
        while (name > s->text && word_char(name[-1]))
            name--;
        size_t n = p > s->text ? (size_t)(p - 1 - name) : 0;
        if (!key_shows(keys, p[6], name, n))
            report(s, at, "keys", NULL, "%c does not show %.*s in keymaps/default.keys", p[6],
                   (int)n, name);
    }
}

/* An architecture is data: its name, a row of arch.def, stands in its own file and nowhere else in
 * the engine. */
void rule_property(const struct tree *t, const struct source *s)
{
    static const char table[] = "engine/model/arch.def", row[] = "ARCH(arch_";
    if (!path_in(s->path, "engine/") || path_in(s->path, "engine/model/arch"))
        return;
    const struct source *list = NULL;
    for (int i = 0; i < t->n && !list; i++)
        list = strcmp(t->files[i].path, table) == 0 ? &t->files[i] : NULL;
    for (const char *at = list ? list->code : ""; (at = strstr(at, row)) != NULL; at++) {
        char name[32], quoted[40];
        if (sscanf(at + sizeof row - 1, "%31[a-z0-9_]", name) != 1)
            continue;
        snprintf(quoted, sizeof quoted, "\"%s\"", name);
        for (const char *p = s->text; (p = strstr(p, quoted)) != NULL; p++)
            if (s->code[p - s->text] == '"')
                report(s, (size_t)(p - s->text), "property", name,
                       "%s outside arch*.c · ask for the property", quoted);
    }
}
