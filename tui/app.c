/* app.c - the explorer's state: input, requests and answers (see app.h). */
#include "app.h"
#include "attention.h"
#include "compare.h"
#include "explain.h"
#include "keybar.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lesson/lesson_play.h"
#include "list/patch.h"
#include "mouse.h"
#include "share/host.h"
#include "run/run.h"
#include "sweeps.h"

bool quantity_is_lens(enum quantity q)
{
    static const enum want_kind kinds[QUANTITY_COUNT] = {
#define QUANTITY(id, name, kind, site, decimals, legend, title) WANT_##kind,
#include "quantity.def"
    };
    return kinds[q] == WANT_CELL || kinds[q] == WANT_PICK || kinds[q] == WANT_KL_FINAL;
}

const char *const quantity_names[QUANTITY_COUNT] = {
#define QUANTITY(id, name, kind, site, decimals, legend, title) name,
#include "quantity.def"
};
const char *const mask_names[MASK_COUNT] = {"raw", "no-first", "renormalised",
                                            "log", "row-max",  "value"};
const char *const map_face_names[MAP_COUNT] = {"rows", "whole", "text"};
const char *const show_names[SHOW_COUNT] = {"base", "edited", "difference"};

static const struct view *const view_table[VIEW_COUNT] = {
#define VIEW(id, name) &view_##name,
#include "views.def"
};

static void say_va(struct app *a, bool bad, const char *fmt, va_list ap)
{
    char named[KEYBAR_TEXT];
    vsnprintf(a->message, sizeof a->message, keybar_format(a, fmt, named), ap);
    a->message_bad = bad;
}

void app_say(struct app *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say_va(a, false, fmt, ap);
    va_end(ap);
}

void app_complain(struct app *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say_va(a, true, fmt, ap);
    va_end(ap);
}

const struct view *app_view(const struct app *a)
{
    return view_table[a->cur.view];
}

int32_t app_layer(const struct app *a)
{
    return a->cur.column > 0 ? a->cur.column - 1 : 0;
}

int32_t app_target(const struct app *a)
{
    return a->target >= 0 ? a->target : a->pair[0];
}

/* ---- places ---- */

void app_jump_push(struct app *a)
{
    if (a->n_jump == JUMP_MAX)
        memmove(a->jump, a->jump + 1, (size_t)--a->n_jump * sizeof *a->jump);
    if (a->at_jump < a->n_jump)
        a->n_jump = a->at_jump;
    a->jump[a->n_jump++] = a->cur;
    a->at_jump = a->n_jump;
}

bool app_jump_step(struct app *a, int step)
{
    int to = a->at_jump + step;
    if (to < 0 || to >= a->n_jump + (step < 0 && a->at_jump == a->n_jump))
        return false;
    if (step < 0 && a->at_jump == a->n_jump && a->n_jump < JUMP_MAX) {
        a->jump[a->n_jump++] = a->cur; /* so that `newer` comes back here */
    }
    if (to >= a->n_jump)
        return false;
    a->at_jump = to;
    a->cur = a->jump[to];
    return true;
}

void app_show_view(struct app *a, enum view_id view)
{
    if (a->cur.view == view)
        return;
    app_jump_push(a);
    a->cur.view = view;
    a->side_open = a->selecting = false;
}

void app_resize(struct app *a, int w, int h)
{
    a->w = w;
    a->h = present_rows(&a->present, h);
}

/* ---- input ---- */

static unsigned context(const struct app *a)
{
    if (a->mode == LINE_HELP)
        return CTX_HELP;
    return a->mode != LINE_NONE ? CTX_LINE : 1u << a->cur.view;
}

static void keep(struct app *a, enum action_id id, const char *command)
{
    char named[sizeof a->pins.last + 16], name[LIMIT_NAME];
    if (id == ACTION_OBSERVE && !strchr(command, ' ')) { /* what the cursor stood on */
        snprintf(named, sizeof named, "observe %s", site_name(a->sites[a->cur.hook], name));
        command = named;
    } else if (id == ACTION_PIN && !strchr(command, ' ')) {
        snprintf(named, sizeof named, "pin %s", a->pins.last);
        command = named;
    }
    command_log_add(&a->log, command);
}

/* Run it, and keep in the log what ran: what changed the edits as what became of them. */
static unsigned run_kept(struct app *a, enum action_id id, const char *command, const char *args)
{
    char *before = command_log_edits(id) ? strdup(a->edits.past[a->edits.at]) : NULL;
    a->message_bad = false;
    unsigned react = action_table[id].run(a, args);
    if (before && !a->message_bad)
        command_log_change(&a->log, before, a->edits.past[a->edits.at]);
    else if (command_log_takes(id) && !a->message_bad && !(react & REACT_QUIT) &&
             !(id == ACTION_PROMPT && !*args) && !(id == ACTION_OTHER && !*args))
        keep(a, id, command);
    free(before);
    return react;
}

unsigned app_command(struct app *a, const char *command)
{
    const char *args;
    enum action_id id = action_find(command, &args);
    if (id == ACTION_COUNT && go_is_place(command)) /* :14, :#512 */
        id = ACTION_GO, args = command;
    if (id == ACTION_COUNT) {
        char word[64];
        text_copy(word, sizeof word, command, strcspn(command, " "), TEXT_PLAIN);
        const char *near = action_nearest(word);
        app_complain(
            a, "no command \"%s\" · %s%s%s{complete next} shows what there is, {help} the keys",
            word, near ? "nearest: " : "", near ? near : "", near ? " · " : "");
        return 0;
    }
    if (!(action_table[id].where & context(a))) {
        app_complain(a, "%s means nothing in %s", action_table[id].name,
                     a->mode ? "a line" : view_names[a->cur.view]);
        return 0;
    }
    if (!lesson_is_acting(a) && present_refuses(a, id))
        return 0;
    if (a->guest && !host_lets_guest(a, id))
        return 0;
    return run_kept(a, id, command, args);
}

static bool is_printable(uint32_t key)
{
    return key >= 0x20 && key < KEYS_SPECIAL;
}

static unsigned key_unbound(struct app *a)
{
    uint32_t key = a->pending[0];
    if (a->mode != LINE_NONE && a->n_pending == 1 && is_printable(key)) {
        char utf8[4];
        size_t n = text_encode((int32_t)key, utf8);
        line_insert(&a->line, utf8, n);
        app_line_changed(a);
    } else if (a->mode == LINE_NONE) {
        char keys[KEYMAP_SEQ_MAX * KEYS_NAME_MAX];
        keymap_sequence(a->pending, a->n_pending, keys, sizeof keys);
        app_complain(a, "%s means nothing in %s · {help} shows the keys", keys,
                     view_names[a->cur.view]);
    }
    return 0;
}

static unsigned key_run(struct app *a, const struct binding *b)
{
    char command[KEYMAP_COMMAND_MAX];
    snprintf(command, sizeof command, "%s", b->command);
    a->n_pending = 0;
    a->which_key = false;
    present_ran(&a->present, command);
    unsigned react = app_command(a, command);
    a->count = 0;
    return react;
}

static unsigned input_key(struct app *a, uint32_t key)
{
    if (a->mode == LINE_NONE || key >= KEYS_SPECIAL) /* what is typed into a line stands there */
        present_key(&a->present, key);
    if (a->mode == LINE_NONE && !a->n_pending)
        a->message[0] = 0;
    free(a->notice);
    free(a->typed);
    a->notice = a->typed = NULL;
    if (a->opt.keymap->counts && a->mode == LINE_NONE && !a->n_pending && key >= '0' &&
        key <= '9' && (key != '0' || a->count)) {
        a->count = a->count < 100000 ? a->count * 10 + (int)(key - '0') : a->count;
        return 0;
    }
    a->pending[a->n_pending++] = key;
    const struct binding *b;
    enum keymap_match match = KEYMAP_NONE;
    if (lesson_has_keys(a) && a->mode == LINE_NONE)
        match = keymap_find(a->opt.keymap, CTX_LESSON, a->pending, a->n_pending, &b);
    if (match == KEYMAP_NONE)
        match = keymap_find(a->opt.keymap, context(a), a->pending, a->n_pending, &b);
    if (match == KEYMAP_RUN)
        return key_run(a, b);
    if (match == KEYMAP_PREFIX && a->n_pending < KEYMAP_SEQ_MAX)
        return 0;
    unsigned react = 0;
    if (a->n_pending > 1 && key != KEYS_ESC) { /* what is there runs, if it is something alone */
        keymap_find(a->opt.keymap, context(a), a->pending, a->n_pending - 1, &b);
        if (b) {
            react = key_run(a, b);
            return react | input_key(a, key);
        }
    }
    if (!(a->n_pending > 1 && key == KEYS_ESC)) /* Esc leaves a prefix */
        react = key_unbound(a);
    a->n_pending = a->count = 0;
    a->which_key = false;
    return react;
}

/* A prompt is taken as it is: line breaks, as terminals send them a carriage return each, and tabs
 * are kept.  In other lines, which end with the line, they are spaces. */
static void input_paste(struct app *a, const struct input *in)
{
    if (a->mode == LINE_NONE) {
        app_say(a, "a paste goes into a line: press {command} or {prompt} first");
        return;
    }
    bool prompt = a->mode == LINE_PROMPT || a->mode == LINE_OTHER;
    struct bytes b = {0};
    for (size_t i = 0; i < in->len; i++) {
        char c = in->text[i];
        bool rest = c == '\n' && a->paste_cr; /* of a carriage return */
        a->paste_cr = c == '\r';
        if (rest || !c)
            continue;
        bytes_add_char(&b, !prompt && (unsigned char)c < 0x20 ? ' ' : c == '\r' ? '\n' : c);
    }
    if (b.len && !b.failed)
        line_insert(&a->line, b.data, b.len);
    bytes_free(&b);
    app_line_changed(a);
}

unsigned app_input(struct app *a, const struct input *in)
{
    switch (in->kind) {
    case INPUT_KEY: return input_key(a, in->key);
    case INPUT_MOUSE: return mouse_input(a, in);
    case INPUT_PASTE: input_paste(a, in); return 0;
    case INPUT_REPLY: break;
    }
    return 0;
}

int app_wait_ms(const struct app *a)
{
    return a->n_pending && !a->which_key ? 300 : -1;
}

unsigned app_timeout(struct app *a)
{
    const struct binding *b = NULL;
    if (!a->n_pending)
        return 0;
    keymap_find(a->opt.keymap, context(a), a->pending, a->n_pending, &b);
    if (b)
        return key_run(a, b); /* short for something longer that did not come */
    a->which_key = true;
    return 0;
}

/* ---- asking and answers ---- */

void app_values_changed(struct app *a)
{
    edit_list_retry(&a->edits);
    a->asking_changed = true;
}

static void mend_cursor(struct app *a)
{
    struct place *p = &a->cur;
    const struct config *cfg = &a->m->cfg;
    p->row = p->row >= a->n ? a->n - 1 : p->row < 0 ? 0 : p->row;
    int32_t seen = attention_reach(a);
    p->src = p->src >= seen ? seen - 1 : p->src < 0 ? 0 : p->src;
    p->column = p->column > cfg->n_layers ? cfg->n_layers : p->column < 0 ? 0 : p->column;
    p->head = p->head >= cfg->n_heads ? cfg->n_heads - 1 : p->head < 0 ? 0 : p->head;
}

/* The two likeliest tokens at the answer. */
static struct want likeliest(const struct app *a)
{
    int32_t row = model_answer_row(a->m, a->tokens, a->n);
    struct want w = want_make(WANT_BEST, run_lens_site(a->m, a->m->cfg.n_layers), row, row + 1);
    w.k = 2;
    return w;
}

void app_want(struct app *a, struct session_want *w)
{
    mend_cursor(a);
    bool side;
    a->body = app_body(a, &side);
    app_view(a)->layout(a, a->body);
    static struct pair_prompt other;
    a->wants.n = 0;
    app_view(a)->want(a, &a->wants);
    if (a->mode == LINE_HELP)
        explain_noun_want(a, &a->wants);
    want_add(&a->wants, app_pair_want(a));
    want_add(&a->wants, app_kl_want(a));
    want_add(&a->wants, app_nonfinite_want(a));
    lesson_want(a, &a->wants);
    pins_want(a, &a->wants);
    if (a->pair_wanted)
        want_add(&a->wants, likeliest(a));
    *w = (struct session_want){.target = {.input = app_run_input(a),
                                          .edits = a->edits.edit,
                                          .on = a->edits.in_force,
                                          .n_edits = a->edits.n,
                                          .prompts = &other,
                                          .n_prompts = a->other_tokens != NULL,
                                          .sets = a->sets,
                                          .n_sets = a->n_sets,
                                          .align = patch_align(a)},
                               .wants = a->wants.item,
                               .n_wants = a->wants.n,
                               .task = a->task ? &a->task->work : NULL,
                               .sweep = a->sweep.id ? &a->sweep : NULL};
    a->sweep.cell = a->cur.cell;
    other = (struct pair_prompt){"other", a->other_tokens, a->n_other, a->other_image};
    beside_ask(a, w);
}

void app_asked(struct app *a, uint64_t generation)
{
    a->generation = generation;
    if (a->asking_changed)
        a->values_generation = generation;
    a->asking_changed = false;
}

static void take_pair(struct app *a)
{
    const struct snapshot *s = a->snap;
    const struct want w = likeliest(a);
    const struct want_best *best = snapshot_at(s, FACE_BASE, &w, w.row0);
    if (!a->pair_wanted || s->generation < a->values_generation || !best)
        return;
    a->pair[0] = best[0].id;
    a->pair[1] = best[1].id;
    a->pair_wanted = false;
}

void app_begin(struct app *a, struct task *t)
{
    if (a->guest && !t->for_guests)
        app_complain(a, "files are not for guests · ^] gives the keyboard back");
    else if (a->task)
        app_complain(a, "still reading a file · again in a moment");
    else
        a->task = t;
    if (a->task != t)
        t->free(t);
}

static void take_task(struct app *a)
{
    struct task *t = a->task;
    if (!t || !atomic_load(&t->work.done))
        return;
    a->task = NULL;
    a->message_bad = false;
    t->finish(a, t);
    if (a->spent) /* no request that named it waits: the worker has done a later one */
        a->spent->free(a->spent);
    a->spent = t;
    if (a->message_bad)
        app_line_again(a);
}

bool app_is_settled(const struct app *a)
{
    return !a->task && !a->asking_changed && !a->pair_wanted && sweeps_settled(a) &&
           !effects_wait(a) && !generation_waits(a);
}

/* Say where the figures come from, if that is no longer where they came from. */
static void take_device(struct app *a, const struct snapshot *s)
{
    if (strcmp(a->device, s->device) == 0)
        return;
    snprintf(a->device, sizeof a->device, "%s", s->device);
    if (*s->moved)
        app_complain(a, "on the cpu from here on · %s", s->moved);
}

void app_take(struct app *a, const struct snapshot *s)
{
    if (!s)
        return;
    take_task(a);
    if (s->err.code < 0) {
        bool now = s->generation >= a->values_generation && !a->asking_changed;
        if (s->err.code != ERR_CANCELLED && now && !app_edits_refused(a, &s->err))
            app_complain(a, "%s", s->err.text);
        snapshot_release(s);
        return;
    }
    if (compare_is_on(a) && !s->n_sides &&
        !s->complete) { /* half of the answer: the other prompt's follows */
        snapshot_release(s);
        return;
    }
    take_device(a, s);
    const struct snapshot *both = compare_take(a, s);
    if (both) {
        beside_take(a, s);
        snapshot_release(s);
        s = both;
    }
    if (a->snap && a->snap->complete && a->snap != a->old) {
        snapshot_release(a->old);
        a->old = a->snap;
    } else {
        snapshot_release(a->snap);
    }
    a->snap = s;
    if (!both)
        beside_take(a, s);
    if (s->generation >= a->values_generation && !a->asking_changed)
        a->trial[0] = a->trial[1] = 0;
    take_pair(a);
    pins_took(a);
    sweeps_took(a);
}

static bool is_stale(const struct app *a, const struct snapshot *s)
{
    return a->asking_changed || s->generation < a->values_generation;
}

const struct snapshot *app_newest(const struct app *a, bool *stale)
{
    const struct snapshot *s = a->snap ? a->snap : a->old;
    *stale = s && is_stale(a, s);
    return s;
}

bool app_answer(const struct app *a, enum want_kind kind, enum site_id id, struct answer *out)
{
    const struct snapshot *const from[] = {a->snap, a->old};
    for (int i = 0; i < 2; i++) {
        const struct snapshot *s = from[i];
        const struct want *w = s ? snapshot_want(s, kind, id) : NULL;
        if (!w || !snapshot_answers(s, w))
            continue;
        *out = (struct answer){s, w, is_stale(a, s), app_show(a, s)};
        return true;
    }
    return false;
}

enum show app_show(const struct app *a, const struct snapshot *s)
{
    return s->edited ? a->show : SHOW_BASE;
}

float show_value(enum show show, float base, float edited)
{
    return show == SHOW_BASE ? base : show == SHOW_EDITED ? edited : edited - base;
}
