/* generate.c - the continuations, clean and edited, and the step under the cursor. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "generation.h"
#include "keybar.h"
#include "save/figure.h"
#include "say.h"

enum {
    TABLE_ROWS = GENERATION_TOP + 3,
    STEPS_MIN = 3, /* lines of the list of steps, or it is left out */
    STEP_X = 9,    /* columns before a voice's in it */
    STEP_WIDTH = 46
};

static void generate_layout(struct app *a, struct rect body)
{
    int n = generation_steps(&a->generation_of);
    a->generation_of.at = draw_clamp(a->generation_of.at, n > 0 ? n : 1);
    a->page = 10;
    a->rows_y = body.y;
}

static void generate_want(const struct app *a, struct want_list *l)
{
    (void)a;
    (void)l; /* the steps are asked for beside (generation.h) */
}

/* One token in its place, wrapped like text. */
static void put_token(const struct app *a, struct canvas *c, struct rect r, int *x, int *y,
                      struct canvas_style st, int32_t id)
{
    size_t len;
    const char *text = tokenizer_text(a->m->tok, id, &len);
    int w = text_width(text, len, TEXT_PLAIN);
    if (*x + w > r.w && *x > 0)
        *x = 0, ++*y;
    if (*y >= 0)
        canvas_put_text(c, r, *x, *y, st, text, len, TEXT_PLAIN);
    *x += w;
}

/* Lines that a voice takes in this width. */
static int lines_of(const struct app *a, const struct voice_text *t, int width)
{
    int x = 0, y = 0;
    for (int32_t i = 0; i < a->generation_of.n_prompt + t->n; i++) {
        size_t len;
        const char *text = tokenizer_text(a->m->tok, t->tokens[i], &len);
        int w = text_width(text, len, TEXT_PLAIN);
        if (x + w > width && x > 0)
            x = 0, y++;
        x += w;
    }
    return y + 1;
}

/* Where the texts, the list of steps (height 0: no room) and the step under the cursor stand. */
struct places {
    struct rect voice[VOICE_COUNT], steps, table;
};

static struct places places_of(const struct app *a, struct rect body)
{
    const struct generation *g = &a->generation_of;
    struct places p = {.steps = {body.x, body.y, body.w, 0}};
    rect_cut_bottom(&body, 1);
    p.table = rect_cut_bottom(&body, body.h > TABLE_ROWS + 4 ? TABLE_ROWS : body.h / 2);
    int clean = lines_of(a, &g->voice[VOICE_CLEAN], body.w - STEP_X),
        edited = g->edited ? lines_of(a, &g->voice[VOICE_EDITED], body.w - STEP_X) : 0,
        spare = body.h - clean - edited - 2; /* a blank line and the heading */
    if (spare >= STEPS_MIN && generation_steps(g)) {
        p.voice[VOICE_CLEAN] = rect_cut_top(&body, clean);
        p.voice[VOICE_EDITED] = rect_cut_top(&body, edited);
        rect_cut_top(&body, 1);
        p.steps = body;
        return p;
    }
    p.voice[VOICE_CLEAN] = rect_cut_top(&body, g->edited ? body.h / 2 : body.h);
    p.voice[VOICE_EDITED] = body;
    return p;
}

/* The first step that the list shows. */
static int steps_top(const struct app *a, struct rect r)
{
    const struct generation *g = &a->generation_of;
    return draw_scroll(0, g->at, generation_steps(g), r.h - 2);
}

/* The end of prompt and continuation in the rows that there are; the step under the cursor in
 * reverse, those that differ from the other voice underlined. */
static void draw_voice(const struct app *a, struct canvas *c, struct rect r, enum voice v)
{
    const struct generation *g = &a->generation_of;
    const struct voice_text *t = &g->voice[v], *other = &g->voice[1 - v];
    struct rect text = r;
    canvas_put(c, r, 1, 0, canvas_plain(CANVAS_BOLD), v ? "edited" : "clean");
    rect_cut_left(&text, STEP_X);
    int x = 0, y = r.h - lines_of(a, t, text.w);
    y = y < 0 ? y : 0;
    for (int32_t i = 0; i < g->n_prompt + t->n; i++) {
        int step = i - g->n_prompt;
        bool differs = g->edited && step >= 0 && step < other->n &&
                       other->step[step].id != t->tokens[i];
        unsigned attr = (step < 0 ? CANVAS_DIM : 0) | (differs ? CANVAS_UNDERLINE : 0) |
                        (step == g->at ? CANVAS_REVERSE : 0);
        put_token(a, c, text, &x, &y, canvas_plain(attr), t->tokens[i]);
    }
    if (t->ended && y < text.h)
        canvas_put(c, text, x + 1, y, canvas_plain(CANVAS_DIM), "(end)");
}

/* What the step under the cursor was drawn from. */
static void draw_step(const struct app *a, struct canvas *c, struct rect r, enum voice v)
{
    const struct generation *g = &a->generation_of;
    const struct voice_text *t = &g->voice[v];
    canvas_put(c, r, 1, 0, canvas_plain(CANVAS_BOLD), v ? "edited" : "clean");
    if (g->at >= t->n) {
        canvas_put(c, r, 9, 0, canvas_plain(CANVAS_DIM), g->running ? "…" : "no such step");
        return;
    }
    const struct generated *s = &t->step[g->at];
    int x = 9 + canvas_put(c, r, 9, 0, canvas_plain(0), "entropy ");
    x += draw_number(c, r, x, 0, canvas_plain(0), (double)s->entropy, 6, 2, NUMBER_LEFT);
    x += canvas_put(c, r, x, 0, canvas_plain(0), "  norm ");
    draw_number(c, r, x, 0, canvas_plain(0), (double)s->norm, 7, 1, NUMBER_LEFT);
    for (int i = 0; i < s->n_top && i + 1 < r.h; i++) {
        struct canvas_style st = canvas_plain(s->top[i].id == s->id ? CANVAS_BOLD : 0);
        canvas_put(c, r, 1, i + 1, st, s->top[i].id == s->id ? "▶" : " ");
        draw_token(a, c, r, 3, i + 1, st, s->top[i].id, 16);
        draw_number(c, r, 20, i + 1, st, exp((double)s->top[i].logp), 6, 3, NUMBER_SMALL);
        draw_number(c, r, 27, i + 1, st, (double)s->top[i].logp, 7, 2, 0);
    }
}

/* Every step: token, probability, entropy; both voices beside each other, what differs underlined.
 */
static void draw_steps(const struct app *a, struct canvas *c, struct rect r)
{
    const struct generation *g = &a->generation_of;
    int n = generation_steps(g), top = steps_top(a, r), voices = g->edited ? VOICE_COUNT : 1;
    canvas_put(c, r, 2, 0, canvas_plain(CANVAS_DIM), "step");
    for (int v = 0; v < voices; v++)
        canvas_putf(c, r, STEP_X + v * STEP_WIDTH, 0, canvas_plain(CANVAS_DIM),
                    "%-16s      p   log p  entropy", v ? "edited" : "clean");
    for (int i = 0; i + 2 < r.h && top + i < n; i++) {
        bool on = top + i == g->at;
        canvas_putf(c, r, 0, i + 1, canvas_plain(on ? CANVAS_BOLD : CANVAS_DIM), "%s%5d",
                    on ? "▶" : " ", top + i + 1);
        for (int v = 0; v < voices; v++) {
            const struct voice_text *t = &g->voice[v], *other = &g->voice[1 - v];
            if (top + i >= t->n)
                continue;
            const struct generated *s = &t->step[top + i];
            bool differs = g->edited && top + i < other->n && other->step[top + i].id != s->id;
            struct canvas_style st = canvas_plain((on ? CANVAS_BOLD : 0) |
                                                  (differs ? CANVAS_UNDERLINE : 0)),
                                plain = canvas_plain(on ? CANVAS_BOLD : 0);
            int x = STEP_X + v * STEP_WIDTH;
            draw_token(a, c, r, x, i + 1, st, s->id, 16);
            for (int k = 0; k < s->n_top; k++)
                if (s->top[k].id == s->id) {
                    draw_number(c, r, x + 17, i + 1, plain, exp((double)s->top[k].logp), 6, 3,
                                NUMBER_SMALL);
                    draw_number(c, r, x + 24, i + 1, plain, (double)s->top[k].logp, 7, 2, 0);
                }
            draw_number(c, r, x + 33, i + 1, plain, (double)s->entropy, 7, 2, 0);
        }
    }
}

static void draw_state(const struct app *a, struct canvas *c, struct rect r)
{
    const struct generation *g = &a->generation_of;
    int n = generation_steps(g), parts = generation_parts(g);
    int x = 1 + canvas_putf(c, r, 1, 0, canvas_plain(CANVAS_BOLD), "step %d of %d",
                            n ? g->at + 1 : 0, n);
    if (parts >= 0)
        x += canvas_putf(c, r, x + 2, 0, canvas_plain(0), "first difference at step %d",
                         parts + 1) +
             2;
    x += canvas_put(c, r, x + 2, 0, canvas_plain(0),
                    g->running                    ? "running"
                    : g->why[0]                   ? "stopped: "
                    : n >= g->count               ? "done"
                    : g->voice[VOICE_CLEAN].ended ? "at its end"
                                                  : "paused") +
         2;
    if (!g->running)
        canvas_put_text(c, r, x, 0, canvas_plain(0), g->why, strlen(g->why), TEXT_PLAIN);
}

static void generate_draw(struct app *a, struct frame *f, struct rect body)
{
    const struct generation *g = &a->generation_of;
    struct rect foot = rect_cut_bottom(&body, 1);
    static const char *const keys[] = {"{generate run} run, pause", "← → step",
                                       "{break} breakpoint", "{generate here} from here",
                                       "{generate take} take as prompt"};
    keybar_items(a, f->canvas, foot, 1, 0, keys, sizeof keys / sizeof *keys);
    if (!generation_is_current(a)) {
        keybar_put(a, f->canvas, body, 3, 1, canvas_plain(0),
                   g->prompt ? "the prompt is another one · {generate run} begins anew"
                             : "{generate run} continues the prompt, with the edits beside it");
        return;
    }
    body.h++; /* with the foot, which places_of cuts */
    struct places p = places_of(a, body);
    struct rect table = p.table;
    draw_voice(a, f->canvas, p.voice[VOICE_CLEAN], VOICE_CLEAN);
    if (g->edited)
        draw_voice(a, f->canvas, p.voice[VOICE_EDITED], VOICE_EDITED);
    if (p.steps.h)
        draw_steps(a, f->canvas, p.steps);
    draw_state(a, f->canvas, rect_cut_top(&table, 1));
    rect_cut_top(&table, 1);
    struct rect left = table;
    left.w = table.w / 2;
    draw_step(a, f->canvas, left, VOICE_CLEAN);
    if (g->edited)
        draw_step(a, f->canvas, (struct rect){table.x + left.w, table.y, table.w - left.w, table.h},
                  VOICE_EDITED);
}

static void generate_title(const struct app *a, struct bytes *out)
{
    const struct generation *g = &a->generation_of;
    if (g->temperature > 0)
        bytes_addf(out, "temperature %g, seed %llu, of the %d likeliest", g->temperature,
                   (unsigned long long)g->seed, GENERATION_DRAW);
    else
        bytes_add_string(out, "greedy");
    bytes_addf(out, "   %d tokens", g->count ? g->count : GENERATION_COUNT);
    for (int i = 0; i < g->n_stops; i++) {
        bytes_add_string(out, i ? ", " : "   stops at ");
        generation_break_text(a, &g->stop[i], out);
    }
}

/* Right of the newest step: one more. */
static void generate_move(struct app *a, enum move m, int count)
{
    struct generation *g = &a->generation_of;
    int n = generation_steps(g);
    int32_t at = g->at;
    bool one_more = m == MOVE_RIGHT && n && g->at == n - 1 && !g->running && n < g->count;
    switch (m) {
    case MOVE_RIGHT:
    case MOVE_DOWN: at += count; break;
    case MOVE_LEFT:
    case MOVE_UP: at -= count; break;
    case MOVE_PAGE_DOWN: at += 10 * count; break;
    case MOVE_PAGE_UP: at -= 10 * count; break;
    case MOVE_HOME:
    case MOVE_TOP: at = 0; break;
    default: at = n - 1;
    }
    g->at = draw_clamp(at, n > 0 ? n : 1);
    if (one_more)
        generation_single(a);
}

static bool generate_enter(struct app *a)
{
    (void)a;
    return false;
}

static bool generate_click(struct app *a, int x, int y)
{
    struct generation *g = &a->generation_of;
    struct rect r = places_of(a, a->body).steps;
    int at = y - r.y - 1 + (r.h ? steps_top(a, r) : 0);
    if (!generation_is_current(a) || !rect_has(r, x, y) || y == r.y || at >= generation_steps(g))
        return false;
    g->at = at;
    return true;
}

static void say_voice(const struct app *a, struct bytes *b, enum voice v)
{
    const struct generation *g = &a->generation_of;
    const struct voice_text *t = &g->voice[v];
    bytes_addf(b, "%s continuation: ", v ? "edited" : "clean");
    for (int i = 0; i < t->n; i++) {
        size_t len;
        const char *text = tokenizer_text(a->m->tok, t->step[i].id, &len);
        text_add(b, text, len, TEXT_PLAIN);
    }
    bytes_add_char(b, '\n');
    if (g->at >= t->n)
        return;
    bytes_addf(b, "step %d: ", g->at + 1);
    say_token(a, b, t->step[g->at].id);
    bytes_add_string(b, ", entropy ");
    say_number(b, (double)t->step[g->at].entropy, 2, 0);
    say_line(b);
}

static void generate_say(const struct app *a, struct bytes *b)
{
    const struct generation *g = &a->generation_of;
    if (!generation_is_current(a)) {
        bytes_add_string(b, "nothing is written yet, generate runs\n");
        return;
    }
    say_voice(a, b, VOICE_CLEAN);
    if (g->edited)
        say_voice(a, b, VOICE_EDITED);
    if (generation_parts(g) >= 0)
        bytes_addf(b, "first difference at step %d\n", generation_parts(g) + 1);
}

static void generate_copy(const struct app *a, struct bytes *out)
{
    const struct generation *g = &a->generation_of;
    char *text = generation_is_current(a)
                     ? generation_text(a, g->edited && a->show != SHOW_BASE ? VOICE_EDITED
                                                                            : VOICE_CLEAN)
                     : NULL;
    bytes_add_string(out, text ? text : "");
    free(text);
}

static void step_figures(struct figures *to, struct figure *f, const struct generated *b,
                         const struct generated *e)
{
    f->index[0] = 0;
    figure_token(to, f, "token", b->id, e->id);
    figure_number(to, f, "entropy", (double)b->entropy, (double)e->entropy);
    figure_number(to, f, "norm", (double)b->norm, (double)e->norm);
    for (int k = 0; k < b->n_top || k < e->n_top; k++) {
        bool in_base = k < b->n_top, in_edited = k < e->n_top;
        snprintf(f->index, sizeof f->index, "%d", k);
        figure_token(to, f, "best", in_base ? b->top[k].id : -1, in_edited ? e->top[k].id : -1);
        figure_number(to, f, "logprob", in_base ? (double)b->top[k].logp : NAN,
                      in_edited ? (double)e->top[k].logp : NAN);
    }
}

/* The clean voice is the base face, the one under the edits the edited; a step's position is its
 * token's own. */
static void generate_figures(const struct app *a, struct figures *to)
{
    static const struct generated none = {.id = -1, .entropy = NAN, .norm = NAN};
    const struct generation *g = &a->generation_of;
    for (int i = 0; generation_is_current(a) && i < generation_steps(g); i++) {
        struct figure f = figure_make();
        const struct generated *step[VOICE_COUNT] = {&none, &none};
        for (int v = 0; v < VOICE_COUNT; v++)
            if (i < g->voice[v].n)
                step[v] = &g->voice[v].step[i];
        f.row = g->n_prompt + i;
        f.there[FACE_EDITED] = g->edited && step[VOICE_EDITED] != &none;
        f.there[FACE_BASE] = step[VOICE_CLEAN] != &none;
        step_figures(to, &f, step[VOICE_CLEAN], step[VOICE_EDITED]);
    }
}

const struct view view_generate = {
    .help = "the prompt goes on, without the edits and with them; {toggle} and {toggle-all} "
            "switch edits while it runs, {move left} and {move right} look at a step",
    .layout = generate_layout,
    .want = generate_want,
    .draw = generate_draw,
    .title = generate_title,
    .move = generate_move,
    .enter = generate_enter,
    .click = generate_click,
    .say = generate_say,
    .figures = generate_figures,
    .copy = generate_copy};
