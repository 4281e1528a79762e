/* source.c - reading the tree into struct source.
 *
 * Build folders, version control and files with NUL bytes are left out.  Tested through
 * tests/tidy/bad. */
#include "tidy.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_BYTES_MAX = 1 << 20, PATH_BYTES = 1024 };

static const char *const left_out[] = {"build",
                                       ".git",
                                       ".cache",
                                       "__pycache__",
                                       "tests/tidy/bad",
                                       "tests/tidy/bad.txt",
                                       "tests/fuzz/corpus",
                                       "tests/fixtures/models",
                                       "tests/fixtures/quantized",
                                       "tests/fixtures/tokenizers"};

static void *need(void *p)
{
    if (p == NULL) {
        perror("tidy");
        exit(2);
    }
    return p;
}

/* Blank the literal or comment that starts at `i`; returns the offset behind it. */
static size_t blank_one(char *code, size_t i, size_t len)
{
    char quote = code[i];
    bool block = quote == '/' && code[i + 1] == '*';
    bool line = quote == '/' && code[i + 1] == '/';
    if (!block && !line && quote != '"' && quote != '\'')
        return i + 1;
    size_t from = block || line ? i : i + 1;
    size_t to = block ? i + 2 : i + 1;
    for (; to < len; to++) {
        if (block && code[to] == '*' && code[to + 1] == '/') {
            to += 2;
            break;
        }
        if (!block && code[to] == '\n')
            break;
        if (!block && !line && code[to] == '\\')
            to++;
        else if (!block && !line && code[to] == quote)
            break;
    }
    for (size_t k = from; k < to && k < len; k++)
        if (code[k] != '\n')
            code[k] = ' ';
    return block || line ? to : to + 1;
}

static void blank(char *code, size_t len)
{
    for (size_t i = 0; i < len;)
        i = blank_one(code, i, len);
}

static void file_add(struct tree *t, const char *root, const char *path, size_t size)
{
    char full[2 * PATH_BYTES];
    snprintf(full, sizeof full, "%s/%s", root, path);
    FILE *f = fopen(full, "rb");
    if (f == NULL)
        return;
    char *text = need(calloc(size + 2, 1));
    size_t len = fread(text, 1, size, f);
    fclose(f);
    if (memchr(text, '\0', len) != NULL) {
        free(text);
        return;
    }
    struct source s = {
        .path = need(strdup(path)), .text = text, .code = need(malloc(size + 2)), .len = len};
    memcpy(s.code, text, size + 2);
    t->files = need(realloc(t->files, (size_t)(t->n + 1) * sizeof *t->files));
    if (is_c(&s))
        blank(s.code, len);
    t->files[t->n++] = s;
}

static void walk(struct tree *t, const char *root, const char *dir)
{
    char full[2 * PATH_BYTES], path[PATH_BYTES];
    snprintf(full, sizeof full, "%s/%s", root, dir);
    DIR *d = opendir(full);
    if (d == NULL)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        bool skip = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
        snprintf(path, sizeof path, "%s%s%s", dir, *dir ? "/" : "", e->d_name);
        for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
            skip = skip || strcmp(path, left_out[i]) == 0 ||
                   (strchr(left_out[i], '/') == NULL && strcmp(e->d_name, left_out[i]) == 0);
        struct stat st;
        snprintf(full, sizeof full, "%s/%s", root, path);
        if (skip || lstat(full, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode))
            walk(t, root, path);
        else if (S_ISREG(st.st_mode) && st.st_size <= FILE_BYTES_MAX)
            file_add(t, root, path, (size_t)st.st_size);
    }
    closedir(d);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct source *)a)->path, ((const struct source *)b)->path);
}

bool tree_read(struct tree *t, const char *root)
{
    *t = (struct tree){0};
    walk(t, root, "");
    if (t->n > 0)
        qsort(t->files, (size_t)t->n, sizeof *t->files, by_path);
    return t->n > 0;
}

const struct source *tree_find(const struct tree *t, const char *path)
{
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->files[i].path, path) == 0)
            return &t->files[i];
    return NULL;
}

bool path_in(const char *path, const char *dir)
{
    return strncmp(path, dir, strlen(dir)) == 0;
}

bool path_ends(const char *path, const char *suffix)
{
    size_t n = strlen(path), k = strlen(suffix);
    return n >= k && strcmp(path + n - k, suffix) == 0;
}

bool is_c(const struct source *s)
{
    static const char *const ends[] = {".c", ".h", ".def", ".cu", ".comp"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (path_ends(s->path, ends[i]))
            return true;
    return false;
}

size_t next_word(const char *code, size_t *at)
{
    size_t i = *at;
    while (code[i] != '\0' && !isalpha((unsigned char)code[i]) && code[i] != '_') {
        if (isdigit((unsigned char)code[i])) /* 0x1f and 1e5 are no words */
            while (isalnum((unsigned char)code[i + 1]) || code[i + 1] == '_')
                i++;
        i++;
    }
    *at = i;
    size_t n = 0;
    while (isalnum((unsigned char)code[i + n]) || code[i + n] == '_')
        n++;
    return n;
}
