/* texts.c - see texts.h. */
#include "lab/texts.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limit.h"
#include "base/list.h"
#include "base/splitmix.h"

enum {
    DEPTH_MAX = 32,      /* folders in folders */
    WINDOW_USUAL = 2048, /* what nobody asked for is no longer: attention grows with its square */
};

struct texts {
    const struct model *m;
    struct texts_options opt;
    char **path; /* the files */
    size_t n_files, next_file;
    bool folder;
    int64_t bytes, bytes_before; /* of all files, of those that are done; 0: not known */
    struct text_file *file;
    struct text_record record; /* the text at hand */
    int32_t *tokens;           /* its own, malloc'ed; NULL: there is none */
    int32_t n;
    struct texts_place at; /* at.start: of its next window */
};

/* ---- files ---- */

static int add_file(struct texts *t, const char *path, int64_t bytes, struct err *e)
{
    char *copy = NULL;
    if (t->n_files == LIMIT_TEXT_FILES)
        return err_set(e, ERR_BAD_INPUT, "%s · more than %d files · take a smaller folder", path,
                       LIMIT_TEXT_FILES);
    if (!list_room(&t->path, t->n_files, sizeof *t->path) || !(copy = strdup(path)))
        return err_memory(e, "the files of a set of texts");
    t->path[t->n_files++] = copy;
    t->bytes += bytes;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in a folder, sorted; each malloc'ed, also on failure. */
static int names_of(const char *path, char ***out, size_t *n, struct err *e)
{
    DIR *d = opendir(path);
    int rc = d ? 0 : err_set(e, ERR_BAD_INPUT, "%s · cannot open: %s", path, strerror(errno));
    for (struct dirent *x; !rc && (x = readdir(d));) {
        char *name = NULL;
        if (x->d_name[0] == '.')
            continue;
        if (!list_room(out, *n, sizeof **out) || !(name = strdup(x->d_name)))
            rc = err_memory(e, "%s", path);
        else
            (*out)[(*n)++] = name;
    }
    if (d)
        closedir(d);
    if (*n)
        qsort(*out, *n, sizeof **out, by_name);
    return rc;
}

static int add_path(struct texts *t, const char *path, int depth, struct err *e)
{
    struct stat st;
    char **name = NULL, sub[PATH_MAX];
    size_t n = 0;
    if (!strcmp(path, "-"))
        return add_file(t, path, 0, e);
    if (stat(path, &st))
        return err_set(e, ERR_BAD_INPUT, "%s · cannot open: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return add_file(t, path, S_ISREG(st.st_mode) ? (int64_t)st.st_size : 0, e);
    t->folder = true;
    int rc = depth < DEPTH_MAX
                 ? names_of(path, &name, &n, e)
                 : err_set(e, ERR_BAD_INPUT, "%s · %d folders in one another", path, DEPTH_MAX);
    for (size_t i = 0; i < n; free(name[i++])) {
        int k = snprintf(sub, sizeof sub, "%s/%s", path, name[i]);
        if (!rc)
            rc = k < (int)sizeof sub ? add_path(t, sub, depth + 1, e)
                                     : err_set(e, ERR_BAD_INPUT, "%s · the path is too long", path);
    }
    free(name);
    return rc;
}

static int next_file(struct texts *t, struct err *e)
{
    const char *path = t->path[t->next_file];
    struct text_form form = t->opt.form;
    form.format = text_format_of(path, t->folder ? TEXT_WHOLE : form.format);
    form.field = form.field ? form.field : "text";
    bool labelled = form.format >= TEXT_JSONL;
    if (form.label && !labelled)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · --label is of .jsonl, .csv and .tsv · other texts have none", path);
    int rc = text_file_open(&t->file, path, &form, e);
    t->next_file += !rc;
    return rc;
}

/* The next text of any file: 1, 0 at the end, or negative. */
static int next_record(struct texts *t, struct err *e)
{
    int rc = 0;
    while (!(rc = t->file ? text_file_next(t->file, &t->record, e) : 0)) {
        if (t->file)
            t->bytes_before += text_file_at(t->file);
        text_file_close(t->file);
        t->file = NULL;
        if (t->next_file == t->n_files)
            return 0;
        if ((rc = next_file(t, e)))
            return rc;
    }
    return rc;
}

/* ---- texts ---- */

static bool is_taken(const struct texts *t, int64_t text)
{
    uint64_t x = splitmix64(splitmix64(t->opt.seed) ^ (uint64_t)text);
    return text >= t->opt.skip &&
           (t->opt.sample == 0 || (double)(x >> 11) * 0x1p-53 < t->opt.sample);
}

/* The text at hand is done. */
static void text_leave(struct texts *t)
{
    fingerprint_add(&t->at.seen, t->record.text, t->record.len);
    free(t->tokens);
    t->tokens = NULL;
    t->at.text++, t->at.start = 0;
}

static int text_tokens(struct texts *t, struct err *e)
{
    const char *path = t->path[t->next_file - 1];
    int rc = model_encode(t->m, t->record.text, t->record.len, t->opt.bos, &t->tokens, &t->n, e);
    for (int32_t i = 0; !rc && i < t->n; i++)
        if (t->tokens[i] < 0 || t->tokens[i] >= t->m->cfg.d_vocab)
            rc = err_set(e, ERR_BAD_INPUT, "token %d · this model's vocabulary is 0..%d",
                         (int)t->tokens[i], (int)t->m->cfg.d_vocab - 1);
    if (rc)
        err_prefix(e, "%s · line %lld", path, (long long)t->record.line);
    return rc;
}

static bool is_full(const struct texts *t)
{
    const struct texts_options *o = &t->opt;
    return (o->limit && t->at.texts >= o->limit) ||
           (o->limit_tokens && t->at.tokens >= o->limit_tokens);
}

/* The next text that is taken and has tokens: 1, 0 at the end, or negative. */
static int next_text(struct texts *t, struct err *e)
{
    for (int rc;;) {
        if (is_full(t))
            return 0;
        if ((rc = next_record(t, e)) <= 0)
            return rc;
        if (!is_taken(t, t->at.text)) {
            t->at.text++;
            continue;
        }
        if ((rc = text_tokens(t, e)))
            return rc;
        if (t->n > 0)
            break;
        text_leave(t);
    }
    t->at.texts++;
    return 1;
}

int texts_next(struct texts *t, struct text_piece *out, struct err *e)
{
    int32_t window = t->opt.window, stride = t->opt.stride;
    /* a window that holds nothing new is none */
    if (t->tokens && t->at.start && t->at.start + window - stride >= t->n)
        text_leave(t);
    int rc = t->tokens ? 1 : next_text(t, e);
    if (rc <= 0 || (t->opt.limit_tokens && t->at.tokens >= t->opt.limit_tokens))
        return rc < 0 ? rc : 0;
    int64_t left = t->n - t->at.start, more = t->opt.limit_tokens - t->at.tokens;
    struct text_piece p = {.tokens = t->tokens + t->at.start,
                           .n = (int32_t)(left < window ? left : window),
                           .fresh = t->at.start ? window - stride : 0,
                           .text = t->at.text,
                           .start = t->at.start,
                           .length = t->n,
                           .string = t->record.text,
                           .bytes = t->record.len,
                           .label = t->record.label};
    if (t->opt.limit_tokens && p.n - p.fresh > more)
        p.n = p.fresh + (int32_t)more;
    int64_t end = p.start + p.n;
    p.next = end < t->n ? t->tokens[end] : -1;
    t->at.start += stride;
    t->at.tokens += p.n - p.fresh;
    *out = p;
    return 1;
}

/* ---- places ---- */

void texts_place(const struct texts *t, struct texts_place *out)
{
    *out = t->at;
}

int texts_seek(struct texts *t, const struct texts_place *place, struct err *e)
{
    const struct texts_place *now = &t->at;
    int rc = 1;
    while (rc > 0 && now->text < place->text && (rc = next_record(t, e)) > 0) {
        if (is_taken(t, now->text))
            text_leave(t);
        else
            t->at.text++;
    }
    if (rc < 0)
        return rc;
    bool same = now->text == place->text && now->seen.a == place->seen.a &&
                now->seen.b == place->seen.b;
    if (same && place->start) {
        if ((rc = next_record(t, e)) < 0 || (rc > 0 && (rc = text_tokens(t, e))))
            return rc;
        same = t->tokens && place->start < t->n + t->opt.stride;
    }
    if (!same)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · these are not the texts that were read before · go on with the same "
                       "files, or begin anew",
                       t->path[0]);
    t->at = *place;
    return 0;
}

void texts_place_print(const struct texts_place *p, char text[PLACE_TEXT])
{
    snprintf(text, PLACE_TEXT,
             "\"text\": %" PRId64 ", \"start\": %" PRId64 ", \"texts\": %" PRId64
             ", \"tokens\": %" PRId64 ", \"seen\": \"%016" PRIx64 "%016" PRIx64 "\"",
             p->text, p->start, p->texts, p->tokens, p->seen.a, p->seen.b);
}

static int hex_get(const char *text, uint64_t *out)
{
    *out = 0;
    for (int i = 0; i < 16; i++) {
        const char *digits = "0123456789abcdef", *at = text[i] ? strchr(digits, text[i]) : NULL;
        if (!at)
            return -1;
        *out = *out << 4 | (uint64_t)(at - digits);
    }
    return 0;
}

int texts_place_read(struct texts_place *p, struct js_node object, struct err *e)
{
    const struct {
        const char *key;
        int64_t *to;
    } numbers[] = {
        {"text", &p->text}, {"start", &p->start}, {"texts", &p->texts}, {"tokens", &p->tokens}};
    const char *seen = NULL;
    int rc = 0;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && !rc; i++)
        rc = js_int(js_get(object, numbers[i].key), 0, INT64_C(1) << 53, numbers[i].to, e);
    if (!rc)
        rc = js_string(js_get(object, "seen"), &seen, NULL, e);
    if (!rc && (strlen(seen) != 32 || hex_get(seen, &p->seen.a) || hex_get(seen + 16, &p->seen.b)))
        rc = js_expected(js_get(object, "seen"), "32 hexadecimal digits", e);
    return rc;
}

double texts_share(const struct texts *t)
{
    const struct texts_options *o = &t->opt;
    double best = -1,
           by[3] = {o->limit ? (double)(t->at.texts - 1) / (double)o->limit : -1,
                    o->limit_tokens ? (double)t->at.tokens / (double)o->limit_tokens : -1,
                    t->bytes ? (double)(t->bytes_before + (t->file ? text_file_at(t->file) : 0)) /
                                   (double)t->bytes
                             : -1};
    for (int i = 0; i < 3; i++)
        best = by[i] > best ? by[i] : best;
    return best > 1 ? 1 : best;
}

/* ---- opening ---- */

static int options_check(struct texts *t, struct err *e)
{
    struct texts_options *o = &t->opt;
    const struct config *cfg = &t->m->cfg;
    int32_t most = cfg->pos == POS_LEARNED && cfg->n_ctx < LIMIT_TOKENS ? cfg->n_ctx : LIMIT_TOKENS,
            own = cfg->n_ctx < WINDOW_USUAL ? cfg->n_ctx : WINDOW_USUAL;
    if (cfg->patch_size)
        return err_set(e, ERR_BAD_INPUT, "texts · %s takes images", t->m->name);
    o->window = o->window ? o->window : own;
    o->stride = o->stride ? o->stride : o->window;
    if (o->window < 1 || o->window > most)
        return err_set(e, ERR_BAD_INPUT, "windows of %d tokens · this model takes 1..%d",
                       (int)o->window, (int)most);
    if (o->stride < 1 || o->stride > o->window)
        return err_set(e, ERR_BAD_INPUT,
                       "a window every %d tokens · tokens between windows of %d would be left out",
                       (int)o->stride, (int)o->window);
    if (!(o->sample >= 0 && o->sample <= 1))
        return err_set(e, ERR_BAD_INPUT, "a sample of %g · expected a share of the texts, 0..1",
                       o->sample);
    return 0;
}

int texts_open(struct texts **out, const struct model *m, const char *path,
               const struct texts_options *opt, struct err *e)
{
    struct texts *t = calloc(1, sizeof *t);
    if (!t)
        return err_memory(e, "%s", path);
    t->m = m, t->opt = *opt;
    int rc = options_check(t, e);
    if (!rc)
        rc = add_path(t, path, 0, e);
    if (!rc && !t->n_files)
        rc = err_set(e, ERR_BAD_INPUT, "%s · a folder without files", path);
    if (!rc)
        rc = next_file(t, e);
    if (rc)
        texts_close(t);
    else
        *out = t;
    return rc;
}

void texts_close(struct texts *t)
{
    if (!t)
        return;
    text_file_close(t->file);
    for (size_t i = 0; i < t->n_files; i++)
        free(t->path[i]);
    free(t->path), free(t->tokens);
    free(t);
}
