/* taker.c - see taker.h. */
#include "edit/taker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_read.h"
#include "base/nearest.h"
#include "base/list.h"
#include "edit/edit_form.h"
#include "model/checkpoint.h"

enum point {
    TAKER_POINTS = 8,
    TAKER_HOOKS_MAX = 4096,  /* entries of one text */
    TAKER_TEXT_MAX = 1 << 20 /* bytes */
};
enum hook {
#define TAKER_HOOK(id, name, params, edit) TAKER_##id,
#include "edit/taker.def"
    TAKER_HOOK_COUNT
};

static const char *const point_names[TAKER_POINTS] = {
#define TAKER_POINT(name) name,
#include "edit/taker.def"
};

static const struct {
    const char *name, *params, *edit;
} hook_table[TAKER_HOOK_COUNT] = {
#define TAKER_HOOK(id, name, params, edit) {name, params, edit},
#include "edit/taker.def"
};

/* One hook of the text. */
struct entry {
    int point;
    int32_t layer; /* -1 = all */
    enum hook hook;
    int line;
};

struct taker {
    const struct config *cfg;
    const char *params;
    struct checkpoint *st;
    const char *mask_fn; /* NULL = step */
    bool *used;          /* [tensors of st] */
    struct entry *entry;
    int32_t n_entries;
    struct taker_hooks out;
    struct err *e;
};

/* ---- the text ---- */

struct span {
    const char *p;
    size_t n;
};

static struct span trimmed(struct span s)
{
    while (s.n && strchr(" \t\r\f\v", s.p[0]) && s.p[0])
        s.p++, s.n--;
    while (s.n && strchr(" \t\r\f\v", s.p[s.n - 1]) && s.p[s.n - 1])
        s.n--;
    return s;
}

/* What comes before the next `stop`, and the rest after it. */
static struct span cut(struct span *rest, char stop)
{
    const char *at = memchr(rest->p, stop, rest->n);
    struct span head = {rest->p, at ? (size_t)(at - rest->p) : rest->n};
    rest->p = at ? at + 1 : rest->p + rest->n;
    rest->n -= head.n + (at != NULL);
    return trimmed(head);
}

static bool is(struct span s, const char *name)
{
    return strlen(name) == s.n && !memcmp(s.p, name, s.n);
}

static int fail_word(struct taker *t, int line, const char *what, struct span word,
                     const char *const *names, int n)
{
    char text[48];
    const char *best = names[0];
    size_t least = SIZE_MAX;
    snprintf(text, sizeof text, "%.*s", word.n > 40 ? 40 : (int)word.n, word.p);
    for (int i = 0; i < n; i++)
        best = nearest_is(text, names[i], &least) ? names[i] : best;
    return err_set(t->e, ERR_BAD_INPUT, "taker config · line %d · no %s \"%s\" · the nearest is %s",
                   line, what, text, best);
}

static int parse_layer(struct taker *t, int line, struct span word, int32_t *layer)
{
    char text[16], *end;
    snprintf(text, sizeof text, "%.*s", word.n > 12 ? 12 : (int)word.n, word.p);
    errno = 0;
    long v = strtol(text, &end, 10);
    if (!word.n || word.n > 12 || *end || errno || v < 0 || v >= t->cfg->n_layers)
        return err_set(t->e, ERR_BAD_INPUT,
                       "taker config · line %d · no layer \"%s\" · this model has layers 0..%d",
                       line, text, (int)t->cfg->n_layers - 1);
    *layer = (int32_t)v;
    return 0;
}

static int parse_hook(struct taker *t, const struct entry *at, struct span word)
{
    const char *names[TAKER_HOOK_COUNT];
    for (int h = 0; h < TAKER_HOOK_COUNT; h++)
        names[h] = hook_table[h].name;
    int h = 0;
    while (h < TAKER_HOOK_COUNT && !is(word, names[h]))
        h++;
    if (h == TAKER_HOOK_COUNT)
        return fail_word(t, at->line, "hook", word, names, TAKER_HOOK_COUNT);
    if (!hook_table[h].params)
        return err_set(
            t->e, ERR_BAD_INPUT,
            "taker config · line %d · %s runs a model of its own (sae_lens) · hooks with parameters can be read",
            at->line, names[h]);
    if (t->n_entries == TAKER_HOOKS_MAX)
        return err_set(t->e, ERR_BAD_INPUT, "taker config · line %d · more than %d hooks", at->line,
                       TAKER_HOOKS_MAX);
    t->entry[t->n_entries] = *at;
    t->entry[t->n_entries++].hook = (enum hook)h;
    return 0;
}

static int parse_line(struct taker *t, int line, struct span text)
{
    struct entry at = {.layer = -1, .line = line};
    struct span whole = trimmed(text), rest = whole, point;
    int colons = 0;
    for (size_t i = 0; i < whole.n; i++)
        colons += whole.p[i] == ':';
    if (!whole.n)
        return 0;
    if (colons < 1 || colons > 2)
        return err_set(
            t->e, ERR_BAD_INPUT,
            "taker config · line %d · \"%.*s\" · a line is POINT: HOOK, HOOK or POINT: LAYER: HOOK, HOOK",
            line, whole.n > 40 ? 40 : (int)whole.n, whole.p);
    point = cut(&rest, ':');
    while (at.point < TAKER_POINTS && !is(point, point_names[at.point]))
        at.point++;
    if (at.point == TAKER_POINTS)
        return fail_word(t, line, "point", point, point_names, TAKER_POINTS);
    int rc = colons == 2 ? parse_layer(t, line, cut(&rest, ':'), &at.layer) : 0;
    rest = trimmed(rest);
    if (!rc && !rest.n) /* a point without hooks */
        return 0;
    for (bool more = true; !rc && more;) {
        more = memchr(rest.p, ',', rest.n) != NULL;
        rc = parse_hook(t, &at, cut(&rest, ','));
    }
    return rc;
}

static int parse_text(struct taker *t, const char *text, size_t len)
{
    if (len > TAKER_TEXT_MAX || memchr(text, '\0', len))
        return err_set(t->e, ERR_BAD_INPUT, "taker config · %s · a line is POINT: HOOK, HOOK",
                       len > TAKER_TEXT_MAX ? "it is too long" : "a zero byte in it");
    t->entry = calloc(TAKER_HOOKS_MAX, sizeof *t->entry);
    int rc = t->entry ? 0 : err_memory(t->e, "taker config");
    struct span rest = {text, len};
    for (int line = 1; rest.n && !rc; line++)
        rc = parse_line(t, line, cut(&rest, '\n'));
    return rc;
}

/* ---- parameters ---- */

/* Does NAME, or NAME.something, exist?  Marks all such tensors as used. */
static bool take_params(struct taker *t, const char *name)
{
    bool any = false;
    size_t n = strlen(name);
    for (size_t i = 0; t->st && i < checkpoint_count(t->st); i++) {
        const struct st_tensor *p = checkpoint_at(t->st, i);
        if (strncmp(p->name, name, n) != 0 || (p->name[n] && p->name[n] != '.'))
            continue;
        t->used[i] = true;
        any |= p->nbytes > 0;
    }
    return any;
}

static int open_params(struct taker *t)
{
    if (!t->params)
        return 0;
    if (!(t->st = checkpoint_open(t->params, t->e)))
        return err_code(t->e);
    const char *fn = checkpoint_metadata(t->st, "mask_fn");
    t->used = calloc(checkpoint_count(t->st) + 1, sizeof *t->used);
    if (!t->used)
        return err_memory(t->e, "taker config");
    int i = 0;
    while (fn && i < EDIT_MASK_COUNT && strcmp(fn, edit_mask_fn_names[i]) != 0)
        i++;
    if (i > EDIT_MASK_STEP && i < EDIT_MASK_COUNT)
        t->mask_fn = fn;
    if (i == EDIT_MASK_COUNT)
        return err_set(t->e, ERR_BAD_INPUT, "%s · mask_fn \"%.40s\" · step, sigmoid, tanh or relu",
                       t->params, fn);
    return 0;
}

/* Parameters that no hook of the text reads. */
static int check_used(const struct taker *t)
{
    for (size_t i = 0; t->st && i < checkpoint_count(t->st); i++)
        if (!t->used[i])
            return err_set(t->e, ERR_BAD_INPUT, "%s · %s · the config has no such hook there",
                           t->params, checkpoint_at(t->st, i)->name);
    return 0;
}

/* ---- edits ---- */

static int add_edit(struct taker *t, const char *text)
{
    char *copy = list_room(&t->out.edit, (size_t)t->out.n_edits, sizeof *t->out.edit) ? strdup(text)
                                                                                      : NULL;
    if (!copy)
        return err_memory(t->e, "taker config");
    t->out.edit[t->out.n_edits++] = copy;
    return 0;
}

static int add_collect(struct taker *t, const char *name)
{
    if (!list_room(&t->out.collect, (size_t)t->out.n_collects, sizeof *t->out.collect))
        return err_memory(t->e, "taker config");
    struct taker_collect *more = t->out.collect, *c = &more[t->out.n_collects++];
    snprintf(c->name, sizeof c->name, "%s", name);
    c->edits = t->out.n_edits;
    for (int32_t i = 0; i + 1 < t->out.n_collects; i++)
        if (!strcmp(more[i].name, name)) { /* the last one is what taker returns */
            more[i].edits = c->edits;
            t->out.n_collects--;
        }
    return 0;
}

static int add_hook(struct taker *t, const struct entry *h, const char *name)
{
    char tensors[LIMIT_NAME], path[LIMIT_EDIT_TEXT], text[LIMIT_EDIT_TEXT], fn[16] = "";
    const char *edit = hook_table[h->hook].edit;
    if (!edit)
        return add_collect(t, name);
    snprintf(tensors, sizeof tensors, "%s.%s", hook_table[h->hook].params, name);
    if (!take_params(t, tensors))
        return 0; /* as it was made: it changes nothing */
    if (edit_token_print(t->params, (int32_t)strlen(t->params), path, sizeof path) >=
        (int)sizeof path)
        return err_set(t->e, ERR_BAD_INPUT, "%.60s… · a path this long does not fit into an edit",
                       t->params);
    if (h->hook == TAKER_MASK && t->mask_fn)
        snprintf(fn, sizeof fn, ", %s", t->mask_fn);
    size_t n = (size_t)snprintf(text, sizeof text, "%s ", name);
    int wrote = snprintf(text + n, sizeof text - n, edit, path, tensors, fn);
    if (wrote < 0 || (size_t)wrote >= sizeof text - n)
        return err_set(t->e, ERR_BAD_INPUT, "%.60s… · a path this long does not fit into an edit",
                       t->params);
    return add_edit(t, text);
}

/* The hooks of one point of one layer: those for all layers first. */
static int add_point(struct taker *t, int32_t layer, int point)
{
    char name[LIMIT_NAME];
    int rc = 0;
    bool offset = false, whiten = false;
    snprintf(name, sizeof name, "layer_%d_%s", (int)layer, point_names[point]);
    for (int all = 1; all >= 0 && !rc; all--)
        for (int32_t i = 0; i < t->n_entries && !rc; i++) {
            const struct entry *h = &t->entry[i];
            if (h->point != point || h->layer != (all ? -1 : layer))
                continue;
            bool undoes = h->hook == TAKER_UNOFFSET || h->hook == TAKER_UNWHITEN;
            if (undoes && !(h->hook == TAKER_UNOFFSET ? offset : whiten))
                return err_set(t->e, ERR_BAD_INPUT,
                               "taker config · line %d · %s at %s without %s before it", h->line,
                               hook_table[h->hook].name, name, hook_table[h->hook].params);
            offset |= h->hook == TAKER_OFFSET;
            whiten |= h->hook == TAKER_WHITEN;
            rc = add_hook(t, h, name);
        }
    return rc;
}

/* ---- all ---- */

int taker_parse(struct taker_hooks *out, const struct config *cfg, const char *text, size_t len,
                const char *params, struct err *e)
{
    struct taker t = {.cfg = cfg, .params = params, .e = e};
    int rc = parse_text(&t, text, len);
    if (!rc)
        rc = open_params(&t);
    for (int32_t l = 0; l < cfg->n_layers && !rc; l++)
        for (int p = 0; p < TAKER_POINTS && !rc; p++)
            rc = add_point(&t, l, p);
    if (!rc)
        rc = check_used(&t);
    checkpoint_close(t.st);
    free(t.used);
    free(t.entry);
    if (rc)
        taker_free(&t.out);
    else
        *out = t.out;
    return rc;
}

int taker_load(struct taker_hooks *out, const struct config *cfg, const char *config,
               const char *params, struct err *e)
{
    if (strchr(config, ':'))
        return taker_parse(out, cfg, config, strlen(config), params, e);
    char *text = NULL;
    size_t n = 0;
    struct err why = {0};
    int rc = file_read_all(config, TAKER_TEXT_MAX, &text, &n, &why);
    if (rc)
        err_set(e, rc, "taker config %s · a file, or the text itself: POINT: HOOK, HOOK", why.text);
    else
        rc = taker_parse(out, cfg, text, n, params, e);
    free(text);
    return rc;
}

void taker_free(struct taker_hooks *t)
{
    for (int32_t i = 0; i < t->n_edits; i++)
        free(t->edit[i]);
    free(t->edit);
    free(t->collect);
    *t = (struct taker_hooks){0};
}
