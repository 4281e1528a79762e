/* lesson_play.c - a lesson under way (see lesson_play.h). */
#include "lesson/lesson_play.h"

#include "lesson/lesson.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a step left, to come back to. */
struct mark {
    char *prompt, *other, *edits; /* prompts NULL: none; edits as edit_list keeps its past */
    struct place cur;
    enum quantity quantity;
    enum show show;
    enum mask mask;
    enum map_face map_face;
    bool comparing, wide, linear, attn_log, scores, side_open, pair_seen, pair_wanted;
    int32_t pair_given[2];
    int32_t pair[2], target;
};

struct lesson_play {
    struct lesson l;
    struct keymap keys; /* the default one: lessons are written in its keys */
    struct mark mark[LESSON_STEPS_MAX];
    int at;
    enum lesson_state state;
    bool out, acting; /* acting: its own keys are being pressed */
};

static void mark_free(struct mark *m)
{
    free(m->prompt);
    free(m->other);
    free(m->edits);
    *m = (struct mark){0};
}

/* ---- remembering and restoring ---- */

static bool mark_set(const struct app *a, struct mark *m)
{
    mark_free(m);
    *m = (struct mark){.prompt = a->prompt ? strdup(a->prompt) : NULL,
                       .other = a->other ? strdup(a->other) : NULL,
                       .edits = strdup(a->edits.past[a->edits.at]),
                       .cur = a->cur,
                       .quantity = a->quantity,
                       .show = a->show,
                       .mask = a->mask,
                       .map_face = a->map_face,
                       .comparing = a->comparing,
                       .wide = a->wide,
                       .linear = a->linear,
                       .attn_log = a->attn_log,
                       .scores = a->scores,
                       .side_open = a->side_open,
                       .pair_given = {a->pair_given[0], a->pair_given[1]},
                       .pair_seen = a->pair_seen,
                       .pair_wanted = a->pair_wanted,
                       .pair = {a->pair[0], a->pair[1]},
                       .target = a->target};
    return m->edits && !m->prompt == !a->prompt && !m->other == !a->other;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void set_edits(struct app *a, const char *state)
{
    struct err e = {0};
    if (edit_list_become(&a->edits, state, &e) < 0)
        app_complain(a, "%s", e.text);
    app_edits_changed(a);
}

static void mark_restore(struct app *a, const struct mark *m)
{
    if (m->prompt && !same_text(m->prompt, a->prompt))
        app_set_prompt(a, m->prompt);
    if (!same_text(m->other, a->other))
        app_set_other(a, m->other ? m->other : "");
    set_edits(a, m->edits);
    a->cur = m->cur;
    a->quantity = m->quantity;
    a->show = m->show;
    a->mask = m->mask;
    a->map_face = m->map_face;
    a->comparing = m->comparing;
    a->wide = m->wide;
    a->linear = m->linear;
    a->attn_log = m->attn_log;
    a->scores = m->scores;
    a->side_open = m->side_open;
    a->selecting = false;
    memcpy(a->pair_given, m->pair_given, sizeof a->pair_given);
    a->pair_seen = m->pair_seen;
    a->pair_wanted = m->pair_wanted;
    a->pair[0] = m->pair[0];
    a->pair[1] = m->pair[1];
    a->target = m->target;
}

/* ---- steps ---- */

static void press(struct app *a, uint32_t key)
{
    struct input in = {.kind = INPUT_KEY, .key = key};
    app_input(a, &in);
}

static void press_keys(struct app *a, const char *s)
{
    uint32_t key;
    while (*s && keys_read_name(&s, &key))
        press(a, key);
}

static void type_text(struct app *a, const char *s)
{
    for (size_t n = strlen(s); n;) {
        int32_t cp;
        size_t used = text_decode(s, n, &cp);
        if (cp >= 0x20)
            press(a, (uint32_t)cp);
        s += used;
        n -= used;
    }
}

/* As if the student did it, with the keys of the default map, whatever the student's own are. */
static void act(struct app *a, struct lesson_play *p, enum lesson_act how, const char *text)
{
    struct keymap *own = a->opt.keymap;
    a->opt.keymap = &p->keys;
    p->acting = true;
    if (how == LESSON_KEYS)
        press_keys(a, text);
    else if (how == LESSON_TYPE)
        type_text(a, text);
    else if (how == LESSON_DO)
        app_command(a, text);
    else
        set_edits(a, "");
    p->acting = false;
    a->opt.keymap = own;
}

static void remember(struct app *a, struct lesson_play *p)
{
    if (!mark_set(a, &p->mark[p->at])) {
        mark_free(&p->mark[p->at]);
        app_complain(a, "out of memory · the lesson cannot come back to this step");
    }
}

static void enter_step(struct app *a, struct lesson_play *p, int at)
{
    const struct lesson_step *s = &p->l.step[at];
    p->at = at;
    p->state = LESSON_TOLD;
    p->out = false;
    for (int i = 0; i < s->n_actions; i++)
        act(a, p, s->action[i].act, s->action[i].text);
    if (!a->message_bad)
        a->message[0] = 0;
    remember(a, p);
}

static void come_back(struct app *a, struct lesson_play *p)
{
    if (a->mode != LINE_NONE)
        app_line_cancel(a);
    if (p->mark[p->at].edits)
        mark_restore(a, &p->mark[p->at]);
    p->out = false;
}

static void step_to(struct app *a, struct lesson_play *p, int at)
{
    come_back(a, p);
    if (at < p->l.n) {
        enter_step(a, p, at);
        return;
    }
    char title[128];
    snprintf(title, sizeof title, "%s", p->l.title);
    lesson_end(a);
    app_say(a, "end of the lesson \"%s\" · all keys are yours, :lesson opens others", title);
}

/* `next` before the question is answered or the task is done. */
static void press_on(struct app *a, struct lesson_play *p)
{
    const struct lesson_step *s = &p->l.step[p->at];
    if (s->ask) {
        app_line_open(a, LINE_ANSWER, "");
        return;
    }
    if (p->state == LESSON_TOLD) {
        p->state = LESSON_MISSED;
    } else {
        come_back(a, p);
        if (s->solve)
            act(a, p, *s->solve == ':' ? LESSON_DO : LESSON_KEYS, s->solve + (*s->solve == ':'));
        p->state = LESSON_SHOWN;
    }
}

static void next(struct app *a, struct lesson_play *p)
{
    struct lesson_view v = {.step = &p->l.step[p->at]};
    lesson_see(a, &v);
    bool open = (v.step->ask || v.step->attempt) && v.state <= LESSON_MISSED;
    if (p->out)
        come_back(a, p);
    else if (open)
        press_on(a, p);
    else
        step_to(a, p, p->at + 1);
}

static void back(struct app *a, struct lesson_play *p)
{
    if (p->at == 0 && !p->out) {
        app_say(a, "this is the first step");
        return;
    }
    p->at -= p->at > 0;
    p->state = LESSON_TOLD;
    come_back(a, p);
}

/* What the student did outside to solve the task stays. */
static void again(struct app *a, struct lesson_play *p)
{
    const struct lesson_step *s = &p->l.step[p->at];
    if (p->out && s->attempt && lesson_holds(a, &s->until) == 1) {
        p->out = false;
        return;
    }
    p->state = LESSON_TOLD;
    come_back(a, p);
}

static void leave(struct app *a, struct lesson_play *p)
{
    if (p->out)
        lesson_end(a);
    else
        p->out = true;
}

bool lesson_command(struct app *a, const char *word)
{
    static const struct {
        const char *word;
        void (*run)(struct app *, struct lesson_play *);
    } words[] = {{"next", next}, {"back", back}, {"again", again}, {"leave", leave}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(word, words[i].word)) {
            if (a->lesson)
                words[i].run(a, a->lesson);
            else
                app_say(a, "no lesson is open · :lesson NAME, {complete next} shows them");
            return true;
        }
    return false;
}

void lesson_answer(struct app *a, const char *text)
{
    struct lesson_play *p = a->lesson;
    if (!p)
        return;
    const struct lesson_step *s = &p->l.step[p->at];
    if (text[strspn(text, " ")] == 0)
        p->state = LESSON_SHOWN;
    else if (fact_matches(a, &s->answer, text, s->within))
        p->state = LESSON_DONE;
    else
        p->state = LESSON_MISSED;
}

/* ---- what it speaks of ---- */

int lesson_holds(const struct app *a, const struct lesson_claim *c)
{
    struct fact_value v;
    size_t len;
    if (!fact_value(a, &c->fact, &v))
        return -1;
    if (*c->token) {
        const char *text = tokenizer_text(a->m->tok, (int32_t)v.number, &len);
        const char *want = c->token;
        while (len && *text == ' ')
            text++, len--;
        want += strspn(want, " ");
        return strlen(want) == len && memcmp(text, want, len) == 0;
    }
    if (isnan(v.number))
        return 0;
    return c->op == '<'   ? v.number < c->number
           : c->op == '>' ? v.number > c->number
                          : v.number == c->number;
}

struct asking {
    const struct app *a;
    struct want_list *l;
};

static void want_each(void *to, const char *text, size_t n, const struct fact *f)
{
    struct asking *q = to;
    (void)text, (void)n;
    if (f)
        fact_want(q->a, f, q->l);
}

void lesson_want(const struct app *a, struct want_list *l)
{
    const struct lesson_play *p = a->lesson;
    if (!p)
        return;
    const struct lesson_step *s = &p->l.step[p->at];
    const char *const texts[] = {s->say, s->right, s->wrong};
    struct asking q = {a, l};
    char why[160];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i])
            lesson_text(texts[i], want_each, &q, why);
    for (int i = 0; i < s->n_claims; i++)
        fact_want(a, &s->claim[i].fact, l);
    if (s->has_answer)
        fact_want(a, &s->answer, l);
    if (s->has_until)
        fact_want(a, &s->until.fact, l);
}

bool lesson_has_keys(const struct app *a)
{
    return a->lesson && !a->lesson->out && !a->lesson->acting;
}

bool lesson_is_acting(const struct app *a)
{
    return a->lesson && a->lesson->acting;
}

bool lesson_see(const struct app *a, struct lesson_view *out)
{
    const struct lesson_play *p = a->lesson;
    if (!p)
        return false;
    *out = (struct lesson_view){&p->l, &p->l.step[p->at], p->at, p->state, p->out};
    if (out->step->attempt && out->state <= LESSON_MISSED &&
        lesson_holds(a, &out->step->until) == 1)
        out->state = LESSON_DONE;
    return true;
}

/* ---- beginning and end ---- */

bool lesson_begin(struct app *a, struct lesson *l)
{
    struct bytes warnings = {0};
    size_t len;
    const char *keys = keymap_builtin("default", &len);
    struct lesson_play *p = calloc(1, sizeof *p);
    if (!p || keymap_parse(&p->keys, "default", keys, len, &warnings) < 0) {
        app_complain(a, "out of memory");
    } else if (strcmp(a->m->name, l->model) != 0) {
        app_complain(a, "this lesson is about %s, not %s · borescope lessons opens it", l->model,
                     a->m->name);
    } else {
        lesson_end(a);
        p->l = *l;
        *l = (struct lesson){0};
        a->lesson = p;
        if (a->mode != LINE_NONE)
            app_line_cancel(a);
        enter_step(a, p, 0);
        p = NULL;
    }
    bytes_free(&warnings);
    if (p)
        keymap_free(&p->keys);
    free(p);
    lesson_free(l);
    return a->lesson && !a->message_bad;
}

bool lesson_begin_named(struct app *a, const char *name)
{
    size_t len;
    struct lesson l;
    struct bytes errors = {0};
    const char *text = lesson_builtin(name, &len);
    int bad = text ? lesson_parse(&l, name, text, len, &errors) : 0;
    bool ok = text && bad == 0 && lesson_begin(a, &l);
    if (!text) {
        app_complain(a, "no such lesson · {complete next} shows those there are");
    } else if (bad) {
        lesson_free(&l);
        app_complain(a, "%s", bad < 0 ? "out of memory" : errors.data);
    }
    bytes_free(&errors);
    return ok;
}

void lesson_end(struct app *a)
{
    struct lesson_play *p = a->lesson;
    if (!p)
        return;
    a->lesson = NULL;
    for (int i = 0; i < LESSON_STEPS_MAX; i++)
        mark_free(&p->mark[i]);
    lesson_free(&p->l);
    keymap_free(&p->keys);
    free(p);
}
