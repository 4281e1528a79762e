/* image_set.c - see image_set.h. */
#include "image_set.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/list.h"
#include "lab/text_file.h"
#include "save/image_file.h"

struct image_set {
    struct cli *c;
    const char *path;
    /* a table */
    struct text_file *table;
    double size; /* of it, in bytes */
    /* a folder */
    char **file; /* [n] */
    int32_t *label;
    size_t n, next;
    char name[PATH_MAX]; /* of the image at hand */
};

/* ---- classes ---- */

/* Is it one of the names that commas part? */
static bool is_one_of(const char *names, size_t len, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = names, *end = names + len; p < end;) {
        const char *comma = memchr(p, ',', (size_t)(end - p)), *stop = comma ? comma : end;
        while (p < stop && *p == ' ')
            p++;
        if ((size_t)(stop - p) == n && !memcmp(p, name, n))
            return true;
        p = stop + 1;
    }
    return false;
}

/* The class that a label means; -1: none, or several. */
static int32_t class_of(const struct cli *c, const char *label)
{
    int32_t n = c->m->cfg.d_vocab, found = -1, alike = 0;
    char *end;
    long number = strtol(label, &end, 10);
    if (end > label && !*end && number >= 0 && number < n)
        return (int32_t)number;
    for (int pass = 0; pass < 2 && !alike; pass++)
        for (int32_t i = 0; i < n; i++) {
            size_t len;
            const char *text = tokenizer_text(c->m->tok, i, &len);
            bool same = pass ? is_one_of(text, len, label)
                             : len == strlen(label) && !memcmp(text, label, len);
            alike += same;
            found = same ? i : found;
        }
    return alike == 1 ? found : -1;
}

static int no_class(struct cli *c, const char *where, const char *label)
{
    size_t len;
    const char *first = tokenizer_text(c->m->tok, 0, &len);
    return err_set(
        &c->err, ERR_BAD_INPUT,
        "%.200s · \"%.60s\" is no class of this model, or several have that name · a name "
        "such as \"%.*s\", or a number 0..%d",
        where, label, len < 60 ? (int)len : 60, first, (int)c->m->cfg.d_vocab - 1);
}

/* ---- a folder ---- */

static int seen(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

/* The bytes' order, whatever the locale. */
static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool is_image(const char *name)
{
    static const char *const ends[] = {".png", ".jpg", ".jpeg", ".npy"};
    const char *point = strrchr(name, '.');
    for (size_t i = 0; point && i < sizeof ends / sizeof *ends; i++)
        if (!strcasecmp(point, ends[i]))
            return true;
    return false;
}

static int add_image(struct image_set *s, const char *folder, const char *name, int32_t label)
{
    char path[PATH_MAX], *copy;
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (n >= (int)sizeof path)
        return err_set(&s->c->err, ERR_BAD_INPUT, "%.200s… · the path is too long", path);
    if (!list_room(&s->file, s->n, sizeof *s->file) ||
        !list_room(&s->label, s->n, sizeof *s->label) || !(copy = strdup(path)))
        return cli_memory(s->c);
    s->file[s->n] = copy, s->label[s->n++] = label;
    return 0;
}

static int add_class(struct image_set *s, const char *folder, int32_t label)
{
    struct dirent **list = NULL;
    int rc = 0, n = scandir(folder, &list, seen, by_bytes);
    if (n < 0)
        return err_set(&s->c->err, ERR_BAD_INPUT, "%.200s · cannot open: %s", folder,
                       strerror(errno));
    for (int i = 0; i < n; free(list[i++]))
        if (!rc && is_image(list[i]->d_name))
            rc = add_image(s, folder, list[i]->d_name, label);
    free(list);
    return rc;
}

/* Do the folders stand for the classes by their order alone? */
static bool by_order(const struct cli *c, struct dirent *const *list, int n)
{
    for (int i = 0; i < n; i++)
        if (class_of(c, list[i]->d_name) >= 0)
            return false;
    return n == c->m->cfg.d_vocab;
}

static int open_folder(struct image_set *s)
{
    struct cli *c = s->c;
    struct dirent **list = NULL;
    int rc = 0, all = scandir(s->path, &list, seen, by_bytes), n = 0;
    char sub[PATH_MAX];
    struct stat st;
    for (int i = 0; i < all; i++) { /* folders alone */
        int k = snprintf(sub, sizeof sub, "%s/%s", s->path, list[i]->d_name);
        if (k < (int)sizeof sub && stat(sub, &st) == 0 && S_ISDIR(st.st_mode))
            list[n++] = list[i];
        else
            free(list[i]);
    }
    bool order = by_order(c, list, n);
    for (int i = 0; i < n; i++) {
        int32_t label = order ? i : class_of(c, list[i]->d_name);
        snprintf(sub, sizeof sub, "%s/%s", s->path, list[i]->d_name);
        if (!rc)
            rc = label < 0 ? no_class(c, sub, list[i]->d_name) : add_class(s, sub, label);
        free(list[i]);
    }
    free(list);
    if (!rc && order)
        snprintf(c->note, sizeof c->note,
                 "%.80s · its folders are the classes 0..%d in the order "
                 "of their names",
                 s->path, n - 1);
    return rc || s->n ? rc
                      : err_set(&c->err, ERR_BAD_INPUT,
                                "%.200s · no image · expected FOLDER/CLASS/FILE.png, .jpg or .npy",
                                s->path);
}

/* ---- a table ---- */

static int open_table(struct image_set *s, const struct stat *st)
{
    const struct options *o = s->c->opt;
    const struct text_form form = {.format = text_format_of(s->path, TEXT_LINES),
                                   .field = o->field ? o->field : "file",
                                   .label = o->label ? o->label : "label"};
    if (form.format < TEXT_JSONL)
        return err_set(&s->c->err, ERR_BAD_INPUT,
                       "%.200s · this model takes images · expected a folder of classes, or a "
                       ".csv, .tsv or .jsonl file of `file` and `label`",
                       s->path);
    s->size = (double)st->st_size;
    return text_file_open(&s->table, s->path, &form, &s->c->err);
}

/* A line of it: the file's path beside the table, its class. */
static int table_next(struct image_set *s, int32_t *label, struct err *e)
{
    struct text_record r;
    char where[PATH_MAX + 40];
    const char *slash = strrchr(s->path, '/');
    int rc = text_file_next(s->table, &r, e);
    if (rc <= 0)
        return rc;
    bool whole = r.len && r.text[0] == '/';
    int n = snprintf(s->name, sizeof s->name, "%.*s%.*s",
                     whole || !slash ? 0 : (int)(slash + 1 - s->path), s->path, (int)r.len, r.text);
    snprintf(where, sizeof where, "%s · line %lld", s->path, (long long)r.line);
    if (n >= (int)sizeof s->name)
        return err_set(e, ERR_BAD_INPUT, "%.200s · the path is too long", where);
    *label = class_of(s->c, r.label);
    return *label >= 0 ? 1 : no_class(s->c, where, r.label);
}

/* ---- the set ---- */

int image_set_open(struct cli *c, const char *path, struct image_set **out)
{
    struct image_set *s = calloc(1, sizeof *s);
    struct stat st;
    if (!s)
        return cli_memory(c);
    s->c = c, s->path = path;
    int rc = stat(path, &st) ? err_set(&c->err, ERR_BAD_INPUT, "%.200s · cannot open: %s", path,
                                       strerror(errno))
             : S_ISDIR(st.st_mode) ? open_folder(s)
                                   : open_table(s, &st);
    *out = s;
    return rc;
}

void image_set_close(struct image_set *s)
{
    if (!s)
        return;
    text_file_close(s->table);
    for (size_t i = 0; i < s->n; i++)
        free(s->file[i]);
    free(s->file), free(s->label);
    free(s);
}

static int set_next(void *from, bool wanted, struct labelled_image *out, struct err *e)
{
    struct image_set *s = from;
    int rc = 1;
    *out = (struct labelled_image){.name = s->name};
    if (s->table) {
        rc = table_next(s, &out->label, e);
    } else if ((rc = s->next < s->n) > 0) {
        snprintf(s->name, sizeof s->name, "%s", s->file[s->next]);
        out->label = s->label[s->next++];
    }
    if (rc > 0 && s->c->opt->state && fingerprint_file(&out->content, s->name, e))
        return err_code(e);
    if (rc > 0 && wanted && image_file_open(s->c->m, s->name, &out->image, e))
        return err_code(e);
    return rc;
}

static double set_share(const void *from)
{
    const struct image_set *s = from;
    return s->table ? (double)text_file_at(s->table) / s->size : (double)s->next / (double)s->n;
}

struct images_source image_set_source(struct image_set *s)
{
    const struct options *o = s->c->opt;
    return (struct images_source){
        .next = set_next, .share = set_share, .from = s, .skip = o->skip, .limit = o->limit};
}
