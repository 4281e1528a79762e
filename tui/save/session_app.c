/* session_app.c - see session_app.h. */
#include "save/session_app.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_read.h"
#include "edit/reference.h"
#include "save/image_file.h"
#include "model/process.h"
#include "names/alias.h"
#include "list/patch.h"

/* Whole numbers of the application that are kept as they are. */
static const struct {
    enum saved_key key;
    size_t at;
} numbers[] = {{SAVED_ELEMENT, offsetof(struct app, cur.element)},
               {SAVED_ROW, offsetof(struct app, cur.row)},
               {SAVED_COLUMN, offsetof(struct app, cur.column)},
               {SAVED_HEAD, offsetof(struct app, cur.head)},
               {SAVED_SOURCE, offsetof(struct app, cur.src)}};
static const struct {
    enum saved_key key;
    size_t at;
} flags[] = {{SAVED_SCORES, offsetof(struct app, scores)},
             {SAVED_LINEAR, offsetof(struct app, linear)},
             {SAVED_ATTENTION_LOG, offsetof(struct app, attn_log)},
             {SAVED_KEYBAR, offsetof(struct app, keybar_off)},
             {SAVED_MAP, offsetof(struct app, cur.map)}};

enum { N_NUMBERS = sizeof numbers / sizeof *numbers, N_FLAGS = sizeof flags / sizeof *flags };

/* ---- collecting ---- */

static void add_tokens(struct saved *s, const char *state, enum saved_key key, const struct app *a,
                       const int32_t id[], int n)
{
    struct bytes b = {0};
    for (int i = 0; i < n; i++) {
        size_t len;
        const char *text = tokenizer_text(a->m->tok, id[i], &len);
        char *copy = strndup(text ? text : "", len);
        bool exact = copy && strlen(copy) == len && tokenizer_find(a->m->tok, text, len) == id[i];
        bytes_add_string(&b, i ? " " : "");
        if (exact)
            saved_quote(&b, copy);
        else
            bytes_addf(&b, "%d", (int)id[i]);
        free(copy);
    }
    s->failed |= b.failed;
    if (!b.failed && b.data)
        saved_add(s, state, key, b.data);
    bytes_free(&b);
}

static void add_ids(struct saved *s, const char *state, const int32_t *ids, int32_t n)
{
    struct bytes b = {0};
    for (int32_t i = 0; i < n; i++)
        bytes_addf(&b, "%s%d", i ? "," : "", (int)ids[i]);
    s->failed |= b.failed;
    if (b.data)
        saved_add(s, state, SAVED_TOKENS, b.data);
    bytes_free(&b);
}

static void add_edits(struct saved *s, const char *state, const struct app *a)
{
    for (int i = 0; i < a->edits.n; i++) {
        struct bytes b = {0};
        bytes_addf(&b, "%c %s", a->edits.on[i] ? '+' : '-', a->edits.text[i]);
        s->failed |= b.failed;
        if (!b.failed)
            saved_add(s, state, SAVED_EDIT, b.data);
        bytes_free(&b);
    }
}

/* What a named state is of. */
static void collect_state(const struct app *a, struct saved *s, const char *state)
{
    if (a->image)
        saved_add(s, state, SAVED_IMAGE, a->prompt);
    else if (a->by_ids)
        add_ids(s, state, a->tokens, a->n);
    else
        saved_add(s, state, SAVED_PROMPT, a->prompt ? a->prompt : "");
    if (a->other)
        saved_add(s, state, a->image ? SAVED_OTHER_IMAGE : SAVED_OTHER, a->other);
    if (a->align != (a->image ? TOKEN_ALIGN_INDEX : TOKEN_ALIGN_TOKEN))
        saved_add(s, state, SAVED_ALIGN, token_align_names[a->align]);
    if (a->pair_given[0] >= 0)
        add_tokens(s, state, SAVED_PAIR, a, a->pair_given, 2);
    if (a->target >= 0)
        add_tokens(s, state, SAVED_TARGET, a, &a->target, 1);
    add_edits(s, state, a);
    saved_add(s, state, SAVED_FACE, show_names[a->show]);
}

static void collect_view(const struct app *a, struct saved *s)
{
    char name[LIMIT_NAME], number[16];
    for (int32_t i = 0; i < a->n_sites; i++)
        if (a->observed[i])
            saved_add(s, NULL, SAVED_OBSERVE, site_name(a->sites[i], name));
    for (int i = 0; i < a->pins.n; i++) {
        const struct pin *p = &a->pins.pin[i];
        struct bytes b = {0};
        if (p->known)
            bytes_addf(&b, "%.9g ", p->was);
        else
            bytes_add_string(&b, "- ");
        pins_text(a, p, &b);
        s->failed |= b.failed;
        if (!b.failed)
            saved_add(s, NULL, SAVED_PIN, b.data);
        bytes_free(&b);
    }
    saved_add(s, NULL, SAVED_QUANTITY, quantity_names[a->quantity]);
    saved_add(s, NULL, SAVED_MASK, mask_names[a->mask]);
    for (int i = 0; i < N_FLAGS; i++)
        if (*(const bool *)((const char *)a + flags[i].at))
            saved_add(s, NULL, flags[i].key, "on");
    for (int i = 0; i < N_NUMBERS; i++) {
        snprintf(number, sizeof number, "%d", *(const int32_t *)((const char *)a + numbers[i].at));
        saved_add(s, NULL, numbers[i].key, number);
    }
    if (*a->filter)
        saved_add(s, NULL, SAVED_FILTER, a->filter);
    if (*a->search)
        saved_add(s, NULL, SAVED_SEARCH, a->search);
    saved_add(s, NULL, SAVED_HOOK, site_name(a->sites[a->cur.hook], name));
    saved_add(s, NULL, SAVED_TENSOR, site_name(a->cur.site, name));
    saved_add(s, NULL, SAVED_VIEW, view_names[a->cur.view]);
}

/* As it is found from everywhere. */
static void add_model(struct saved *s, enum saved_key key, const char *name)
{
    char path[PATH_MAX];
    saved_add(s, NULL, key, realpath(name, path) ? path : name);
}

void session_text(const struct app *a, struct bytes *out)
{
    struct saved s = {0};
    char process[PROCESS_TEXT_MAX];
    add_model(&s, SAVED_MODEL, a->opt.model_name ? a->opt.model_name : a->m->name);
    if (a->opt.against)
        add_model(&s, SAVED_AGAINST,
                  a->opt.against_name ? a->opt.against_name : a->opt.against->name);
    if (a->m->process)
        saved_add(&s, NULL, SAVED_PROCESS, process_text(a->m->process, process, sizeof process));
    if (a->opt.bos >= 0)
        saved_add(&s, NULL, SAVED_BOS, a->opt.bos ? "1" : "0");
    for (int i = 0; i < a->n_sets; i++) {
        struct bytes b = {0};
        bytes_addf(&b, "%s=%s", a->sets[i]->name, a->sets[i]->path);
        if (!b.failed && !strchr(b.data, '\n'))
            saved_add(&s, NULL, SAVED_REF, b.data);
        bytes_free(&b);
    }
    collect_state(a, &s, NULL);
    collect_view(a, &s);
    for (int i = 0; i < a->states.n; i++)
        saved_add(&s, a->states.line[i].state, a->states.line[i].key, a->states.line[i].value);
    saved_print(&s, out);
    out->failed |= s.failed;
    saved_free(&s);
}

void session_keep(struct app *a, const char *state)
{
    saved_drop(&a->states, state);
    collect_state(a, &a->states, state);
}

/* ---- becoming ---- */

struct become {
    struct task task;
    const struct model *m;
    int bos;
    struct saved saved;
    char *state, *path, *name, *done;
    struct reference_set **sets; /* [n_sets] read */
    int n_sets;
    struct image_input *image[2]; /* the one, the other */
    struct bytes warnings;
};

static void warn(struct become *b, const char *what, const char *why)
{
    bytes_addf(&b->warnings, "%s: %s\n", what, why);
}

/* ---- on the worker ---- */

static void read_files(struct become *b)
{
    struct err e = {0};
    for (int i = 0; !b->state && i < b->saved.n; i++) {
        const struct saved_line *l = &b->saved.line[i];
        if (l->state || l->key != SAVED_REF)
            continue;
        struct reference_set *set = NULL,
                             **more = realloc(b->sets, ((size_t)b->n_sets + 1) * sizeof *more);
        if (more)
            b->sets = more;
        if (!more || reference_load(&set, b->m, b->bos, l->value, &e) < 0)
            warn(b, "ref", more ? e.text : "out of memory");
        else
            b->sets[b->n_sets++] = set;
    }
    static const enum saved_key keys[2] = {SAVED_IMAGE, SAVED_OTHER_IMAGE};
    for (int i = 0; i < 2; i++) {
        const char *path = saved_get(&b->saved, b->state, keys[i]);
        if (path && image_file_open(b->m, path, &b->image[i], &e) < 0)
            warn(b, "image", e.text);
    }
}

static int read_become(struct session_task *t, struct err *e)
{
    struct become *b = (struct become *)t;
    char *text = NULL;
    size_t n = 0;
    int rc = b->path ? file_read_all(b->path, SAVED_BYTES_MAX, &text, &n, e) : 0;
    if (rc)
        return rc;
    if (text && saved_parse(&b->saved, b->path, text, n, &b->warnings) < 0)
        rc = err_memory(e, "%s", b->path);
    free(text);
    if (!rc)
        read_files(b);
    return rc;
}

/* ---- on the interface's thread ---- */

static int word_of(const char *value, const char *const *words, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(value, words[i]) == 0)
            return i;
    return -1;
}

/* Does a message that was bad say why a line did not fit? */
static void blame(struct app *a, struct become *b, const char *what)
{
    if (a->message_bad)
        warn(b, what, a->message);
    a->message_bad = false;
}

static void become_prompts(struct app *a, struct become *b)
{
    const char *prompt = saved_get(&b->saved, b->state, SAVED_PROMPT),
               *ids = saved_get(&b->saved, b->state, SAVED_TOKENS),
               *other = saved_get(&b->saved, b->state, SAVED_OTHER),
               *align = saved_get(&b->saved, b->state, SAVED_ALIGN);
    if (b->image[0])
        app_set_image(a, b->image[0], saved_get(&b->saved, b->state, SAVED_IMAGE), false);
    if (b->image[1])
        app_set_image(a, b->image[1], saved_get(&b->saved, b->state, SAVED_OTHER_IMAGE), true);
    if (a->image)
        return;
    if (ids)
        app_set_ids(a, ids);
    else if (prompt)
        app_set_prompt(a, prompt);
    blame(a, b, "prompt");
    app_set_other(a, other ? other : "");
    blame(a, b, "other");
    int how = align ? word_of(align, token_align_names, TOKEN_ALIGN_COUNT) : TOKEN_ALIGN_TOKEN;
    a->align = how < 0 ? TOKEN_ALIGN_TOKEN : (enum token_align)how;
    patch_realign(a);
}

/* "\" Mary\" 17" -> the tokens; false: not n of them. */
static bool tokens_of(struct app *a, const char *value, int32_t *id, int n)
{
    for (int i = 0; i < n; i++) {
        value += strspn(value, " ");
        char *text = NULL;
        if (*value == '"' && !(text = saved_unquote(&value)))
            return false;
        id[i] = text ? tokenizer_find(a->m->tok, text, strlen(text)) : -1;
        if (!text) {
            char *end;
            long v = strtol(value, &end, 10);
            id[i] = end == value || v < 0 || v >= a->m->cfg.d_vocab ? -1 : (int32_t)v;
            value = end;
        }
        free(text);
        if (id[i] < 0)
            return false;
    }
    return true;
}

static void become_tokens(struct app *a, struct become *b)
{
    const char *pair = saved_get(&b->saved, b->state, SAVED_PAIR),
               *target = saved_get(&b->saved, b->state, SAVED_TARGET);
    int32_t id[2] = {-1, -1};
    if (pair && !tokens_of(a, pair, id, 2))
        warn(b, "pair", "not two tokens of this model"), id[0] = id[1] = -1;
    memcpy(a->pair_given, id, sizeof id);
    a->pair_seen = false;
    app_pair_look(a);
    if (!target || !tokens_of(a, target, id, 1))
        id[0] = -1;
    if (target && id[0] < 0)
        warn(b, "target", "not a token of this model");
    a->target = id[0];
}

static void become_edits(struct app *a, struct become *b)
{
    struct bytes list = {0};
    struct err e = {0};
    for (int i = 0; i < b->saved.n; i++) {
        const struct saved_line *l = &b->saved.line[i];
        const char *text = l->value;
        bool here = b->state ? l->state && strcmp(l->state, b->state) == 0 : !l->state;
        struct edit *ed = NULL;
        if (!here || l->key != SAVED_EDIT)
            continue;
        if ((*text != '+' && *text != '-') || text[1] != ' ' || edit_parse(&ed, text + 2, &e) < 0)
            warn(b, l->value, ed || *e.text ? e.text : "+ or - first");
        else
            bytes_addf(&list, "%c%s\n", *text, text + 2);
        edit_free(ed);
    }
    if (list.failed || edit_list_become(&a->edits, list.data ? list.data : "", &e) < 0)
        warn(b, "edits", list.failed ? "out of memory" : e.text);
    bytes_free(&list);
    app_edits_changed(a);
    const char *face = saved_get(&b->saved, b->state, SAVED_FACE);
    int show = face ? word_of(face, show_names, SHOW_COUNT) : -1;
    if (show >= 0)
        a->show = (enum show)show;
}

/* Index of a hook by its name, -1. */
static int32_t hook_of(const struct app *a, const char *name)
{
    char buf[LIMIT_NAME];
    for (int32_t i = 0; name && i < a->n_sites; i++)
        if (strcmp(site_name(a->sites[i], buf), name) == 0)
            return i;
    return -1;
}

/* "0.81 HOOK[INDEX] TOKEN": what it was, "-" where that was not known yet. */
static void become_pins(struct app *a, struct become *b)
{
    a->pins.n = 0;
    for (int i = 0; i < b->saved.n; i++) {
        const struct saved_line *l = &b->saved.line[i];
        char *end = l->value;
        struct err e = {0};
        if (l->state || l->key != SAVED_PIN)
            continue;
        double was = strtod(l->value, &end);
        bool known = end > l->value;
        end += !known && *end == '-';
        if (end == l->value || *end != ' ')
            warn(b, l->value, "a number, or -, first");
        else if (pins_restore(a, end + 1, known, was, &e) < 0)
            warn(b, l->value, e.text);
        a->message_bad = false;
    }
}

static void become_view(struct app *a, struct become *b)
{
    const struct saved *s = &b->saved;
    const char *filter = saved_get(s, NULL, SAVED_FILTER),
               *search = saved_get(s, NULL, SAVED_SEARCH);
    memset(a->observed, 0, (size_t)a->n_sites * sizeof *a->observed);
    for (int i = 0; i < s->n; i++)
        if (s->line[i].key == SAVED_OBSERVE) {
            int32_t at = hook_of(a, s->line[i].value);
            if (at < 0)
                warn(b, s->line[i].value, "no hook of this model");
            else
                a->observed[at] = true;
        }
    for (int i = 0; i < N_FLAGS; i++)
        *(bool *)((char *)a + flags[i].at) = saved_get(s, NULL, flags[i].key) != NULL;
    for (int i = 0; i < N_NUMBERS; i++) {
        const char *value = saved_get(s, NULL, numbers[i].key);
        long v = value ? strtol(value, NULL, 10) : 0;
        *(int32_t *)((char *)a + numbers[i].at) = v < 0 || v > INT32_MAX ? 0 : (int32_t)v;
    }
    snprintf(a->filter, sizeof a->filter, "%s", filter ? filter : "");
    snprintf(a->search, sizeof a->search, "%s", search ? search : "");
    const char *word = saved_get(s, NULL, SAVED_QUANTITY);
    int q = word ? word_of(word, quantity_names, QUANTITY_COUNT) : -1;
    if (q >= 0 && quantity_is_there(a, q))
        a->quantity = (enum quantity)q;
    word = saved_get(s, NULL, SAVED_MASK);
    int mask = word ? word_of(word, mask_names, MASK_COUNT) : -1;
    a->mask = mask < 0 ? MASK_RAW : (enum mask)mask;
    int32_t hook = hook_of(a, saved_get(s, NULL, SAVED_HOOK)),
            tensor = hook_of(a, saved_get(s, NULL, SAVED_TENSOR));
    a->cur.hook = hook < 0 ? 0 : hook;
    if (tensor >= 0)
        a->cur.site = a->sites[tensor];
    word = saved_get(s, NULL, SAVED_VIEW);
    int view = word ? word_of(word, view_names, VIEW_COUNT) : -1;
    a->cur.view = view < 0 ? VIEW_GRID : (enum view_id)view;
    a->side_open = a->selecting = false;
}

/* Another model's session means nothing here. */
static bool is_of_model(struct app *a, const struct become *b)
{
    const char *model = saved_get(&b->saved, NULL, SAVED_MODEL);
    const char *base = model && strrchr(model, '/') ? strrchr(model, '/') + 1 : model;
    bool same = !model || strcmp(model, a->m->name) == 0 || strcmp(base, a->m->name) == 0 ||
                (a->opt.model_name && strcmp(model, a->opt.model_name) == 0);
    if (!same)
        app_complain(a,
                     "this session is of %.200s, %s is open · borescope --session %.200s opens it",
                     model, a->m->name, b->path ? b->path : "FILE");
    return same;
}

/* Another model to compare with is opened at the start, or not at all. */
static void become_against(const struct app *a, struct become *b)
{
    const char *name = saved_get(&b->saved, NULL, SAVED_AGAINST), *open = a->opt.against_name;
    char path[PATH_MAX];
    if (!name || (a->opt.against && open && strcmp(name, open) == 0) ||
        (a->opt.against && open && realpath(open, path) && strcmp(name, path) == 0))
        return;
    bytes_addf(&b->warnings, "against %s: %s\n", name,
               a->opt.no_against ? a->opt.no_against
               : a->opt.against  ? "another one is compared with here"
                                 : "borescope --session FILE opens it, this one goes on without");
}

/* What could not be read must not be written over: it may be all that there is of it. */
static void become_name(struct app *a, struct become *b)
{
    free(a->session);
    a->session = NULL;
    if (!b->name)
        return;
    if (b->warnings.len)
        bytes_addf(&b->warnings, "%s stays as it is: save NAME keeps what is here\n", b->name);
    else
        a->session = strdup(b->name);
}

static void take_become(struct app *a, struct task *t)
{
    struct become *b = (struct become *)t;
    if (t->work.err.code < 0) {
        app_complain(a, "%s", t->work.err.text);
        return;
    }
    if (!b->state && !is_of_model(a, b))
        return;
    a->message_bad = false;
    for (int i = 0; i < b->n_sets; i++) {
        struct err e;
        if (app_set_reference(a, b->sets[i], NULL, &e) < 0)
            warn(b, "ref", e.text);
        b->sets[i] = NULL;
    }
    become_prompts(a, b);
    become_tokens(a, b);
    become_edits(a, b);
    if (!b->state) {
        become_against(a, b);
        become_pins(a, b);
        become_view(a, b);
        saved_free(&a->states);
        for (int i = 0; i < b->saved.n; i++)
            if (b->saved.line[i].state)
                saved_add(&a->states, b->saved.line[i].state, b->saved.line[i].key,
                          b->saved.line[i].value);
    }
    if (!b->state)
        become_name(a, b);
    app_say(a, "%s · %d edit%s", b->done, a->edits.n, a->edits.n == 1 ? "" : "s");
    if (b->warnings.len && !b->warnings.failed) {
        free(a->notice);
        a->notice = strdup(b->warnings.data);
    }
}

static void free_become(struct task *t)
{
    struct become *b = (struct become *)t;
    for (int i = 0; i < b->n_sets; i++)
        reference_free(b->sets[i]);
    for (int i = 0; i < 2; i++)
        image_drop(b->image[i]);
    saved_free(&b->saved);
    bytes_free(&b->warnings);
    free(b->sets), free(b->state), free(b->path), free(b->name), free(b->done);
    free(b);
}

static struct become *become_new(struct app *a, struct saved *s, const char *state,
                                 const char *path, const char *name, const char *done)
{
    struct become *b = calloc(1, sizeof *b);
    if (!b) {
        app_complain(a, "out of memory");
        if (s)
            saved_free(s);
        return NULL;
    }
    b->task = (struct task){.work.run = read_become, .finish = take_become, .free = free_become};
    b->m = a->m, b->bos = a->opt.bos;
    b->state = state ? strdup(state) : NULL;
    b->path = path ? strdup(path) : NULL;
    b->name = name ? strdup(name) : NULL;
    b->done = strdup(done);
    if (s)
        b->saved = *s, *s = (struct saved){0};
    return b;
}

void session_become(struct app *a, struct saved *s, const char *state, const char *done)
{
    struct become *b = become_new(a, s, state, NULL, NULL, done);
    if (b)
        app_begin(a, &b->task);
}

void session_open_file(struct app *a, const char *path, const char *name)
{
    const char *base = strrchr(path, '/');
    struct become *b = become_new(a, NULL, NULL, path, name, base ? base + 1 : path);
    if (b)
        app_begin(a, &b->task);
}

void session_become_now(struct app *a, struct saved *s, const struct bytes *warnings,
                        const char *name)
{
    struct become *b = become_new(a, s, NULL, NULL, name, "the session goes on");
    if (!b)
        return;
    struct err e = {0};
    bytes_add(&b->warnings, warnings->data, warnings->len);
    read_become(&b->task.work, &e);
    take_become(a, &b->task);
    free_become(&b->task);
}
