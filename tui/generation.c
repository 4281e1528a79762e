/* generation.c - see generation.h. */
#include "generation.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "measure/generate.h"
#include "run/run.h"

void generation_free(struct generation *g)
{
    for (int v = 0; v < VOICE_COUNT; v++) {
        free(g->voice[v].tokens);
        free(g->voice[v].step);
        g->voice[v] = (struct voice_text){0};
    }
    free(g->prompt);
    g->prompt = NULL;
    g->n_prompt = 0;
    g->running = false;
}

bool generation_is_current(const struct app *a)
{
    const struct generation *g = &a->generation_of;
    return g->prompt && g->n_prompt == a->n &&
           memcmp(g->prompt, a->tokens, (size_t)a->n * sizeof *a->tokens) == 0;
}

static int32_t *copy_ids(const int32_t *ids, int32_t n, int room)
{
    int32_t *to = malloc(((size_t)n + (size_t)room) * sizeof *to);
    return to ? memcpy(to, ids, (size_t)n * sizeof *to) : NULL;
}

/* Where a causal model's next token is not the question, there is nothing to continue. */
static const char *refusal(const struct app *a)
{
    const struct config *cfg = &a->m->cfg;
    return a->image             ? "a model of images writes no text"
           : cfg->headless      ? "this checkpoint has no head: it names no next token"
           : cfg->bidirectional ? "this model fills gaps, it does not continue texts"
                                : NULL;
}

void generation_start(struct app *a)
{
    struct generation *g = &a->generation_of;
    const char *why = refusal(a);
    if (why) {
        app_complain(a, "%s", why);
        return;
    }
    generation_free(g);
    g->count = g->count ? g->count : GENERATION_COUNT;
    g->prompt = copy_ids(a->tokens, a->n, 0);
    g->n_prompt = a->n;
    bool ok = g->prompt != NULL;
    for (int v = 0; v < VOICE_COUNT; v++) {
        g->voice[v].tokens = copy_ids(a->tokens, a->n, g->count);
        g->voice[v].step = calloc((size_t)g->count, sizeof *g->voice[v].step);
        ok = ok && g->voice[v].tokens && g->voice[v].step;
    }
    g->edited = edit_list_count_in_force(&a->edits) > 0;
    g->at = g->single = 0;
    g->why[0] = 0;
    g->running = ok;
    if (!ok) {
        generation_free(g);
        app_complain(a, "out of memory");
    }
}

void generation_single(struct app *a)
{
    struct generation *g = &a->generation_of;
    g->single = generation_steps(g) + 1;
    g->why[0] = 0;
    g->running = true;
}

int generation_steps(const struct generation *g)
{
    int clean = g->voice[VOICE_CLEAN].n, edited = g->voice[VOICE_EDITED].n;
    return clean > edited ? clean : edited;
}

int generation_parts(const struct generation *g)
{
    const struct voice_text *c = &g->voice[VOICE_CLEAN], *e = &g->voice[VOICE_EDITED];
    for (int i = 0; i < c->n && i < e->n; i++)
        if (c->step[i].id != e->step[i].id)
            return i;
    return -1;
}

/* Does this voice write the next step now?  Both keep in step. */
static bool wants_step(const struct app *a, enum voice v)
{
    const struct generation *g = &a->generation_of;
    const struct voice_text *t = &g->voice[v], *other = &g->voice[1 - v];
    if (!g->running || !generation_is_current(a) || t->ended || t->n >= g->count ||
        (v == VOICE_EDITED && !g->edited))
        return false;
    bool alone = other->ended || (v == VOICE_CLEAN && !g->edited);
    return alone || t->n <= other->n;
}

bool generation_waits(const struct app *a)
{
    return a->cur.view == VIEW_GENERATE &&
           (wants_step(a, VOICE_CLEAN) || wants_step(a, VOICE_EDITED));
}

/* ---- asking ---- */

static struct want pattern_want(const struct breakpoint *b, int32_t row)
{
    struct want w = want_make(WANT_VALUES, (struct site_ref){SITE_PATTERN, b->layer}, row, row + 1);
    w.head0 = b->head, w.head1 = b->head + 1;
    return w;
}

static struct site_ref last_stream(const struct app *a)
{
    return run_lens_site(a->m, a->m->cfg.n_layers);
}

static struct want best_want(const struct app *a, int32_t row)
{
    struct want w = want_make(WANT_BEST, last_stream(a), row, row + 1);
    w.k = a->generation_of.temperature > 0 ? GENERATION_DRAW : GENERATION_TOP;
    w.k = w.k > a->m->cfg.d_vocab ? a->m->cfg.d_vocab : w.k;
    return w;
}

static struct want cell_want(const struct app *a, int32_t row)
{
    return want_make(WANT_CELL, last_stream(a), row, row + 1);
}

static struct want norm_want(const struct app *a, int32_t row)
{
    return want_make(WANT_NORM, last_stream(a), row, row + 1);
}

void generation_ask(struct app *a, struct beside *b, const struct session_want *w)
{
    struct generation *g = &a->generation_of;
    if (a->cur.view != VIEW_GENERATE || a->asking_changed)
        return;
    if (g->running && edit_list_count_in_force(&a->edits) && !g->edited) {
        g->edited = true; /* switched on while it ran: from here on two voices */
        struct voice_text *e = &g->voice[VOICE_EDITED], *c = &g->voice[VOICE_CLEAN];
        memcpy(e->tokens, c->tokens, ((size_t)g->n_prompt + (size_t)c->n) * sizeof *e->tokens);
        memcpy(e->step, c->step, (size_t)c->n * sizeof *e->step);
        e->n = c->n, e->ended = c->ended;
    }
    for (int v = 0; v < VOICE_COUNT; v++) {
        if (!wants_step(a, (enum voice)v))
            continue;
        const struct voice_text *t = &g->voice[v];
        struct session_want *side = beside_add(
            b, w, v == VOICE_CLEAN ? BESIDE_CLEAN : BESIDE_EDITED, t->n, NULL);
        if (!side)
            return;
        side->target.input = run_ids(t->tokens, g->n_prompt + t->n);
        side->target.paired = g->n_prompt;
        if (v == VOICE_CLEAN)
            side->target.n_edits = 0;
        int32_t row = g->n_prompt + t->n - 1;
        beside_also(b, best_want(a, row));
        beside_also(b, cell_want(a, row));
        beside_also(b, norm_want(a, row));
        for (int i = 0; i < g->n_stops; i++)
            if (g->stop[i].kind == BREAK_ATTENDS)
                beside_also(b, pattern_want(&g->stop[i], row));
    }
}

/* ---- answers ---- */

/* Sum of a pattern's row over the sources that are that token. */
static float attention_to(const struct generation *g, const struct voice_text *t, int32_t id,
                          const float *pattern)
{
    float sum = 0;
    for (int32_t i = 0; i < g->n_prompt + t->n; i++)
        if (t->tokens[i] == id)
            sum += pattern[i];
    return sum;
}

static bool is_hit(const struct breakpoint *b, const struct generated *s, int i)
{
    float v = b->kind == BREAK_ENTROPY   ? s->entropy
              : b->kind == BREAK_NORM    ? s->norm
              : b->kind == BREAK_ATTENDS ? s->seen[i]
                                         : 0;
    if (b->kind == BREAK_NAN)
        return isnan(s->entropy) || isnan(s->norm);
    return b->below ? v < b->bound : v > b->bound;
}

static void look_at_stops(struct app *a, enum voice v, const struct generated *s)
{
    struct generation *g = &a->generation_of;
    for (int i = 0; i < g->n_stops; i++) {
        struct bytes b = {0};
        if (!is_hit(&g->stop[i], s, i))
            continue;
        generation_break_text(a, &g->stop[i], &b);
        snprintf(g->why, sizeof g->why, "%s, step %d: %s", v ? "edited" : "clean",
                 g->voice[v].n + 1, b.failed ? "" : b.data);
        bytes_free(&b);
        g->running = false;
        return;
    }
}

/* The id that is written: the likeliest, or one drawn from those that were asked for. */
static int32_t choose(struct app *a, const struct voice_text *t, const struct want_best *best,
                      int k)
{
    struct generation *g = &a->generation_of;
    float logits[GENERATION_DRAW];
    const struct generate_options opt = {.temperature = g->temperature, .top_p = 1};
    uint64_t state = g->seed + (uint64_t)t->n * UINT64_C(0x9e3779b97f4a7c15);
    int32_t at = 0;
    struct err e;
    for (int i = 0; i < k; i++)
        logits[i] = best[i].logit;
    return generate_choose(logits, k, &opt, &state, &at, &e) < 0 ? -1 : best[at].id;
}

static void append(struct app *a, enum voice v, struct generated s)
{
    struct generation *g = &a->generation_of;
    struct voice_text *t = &g->voice[v];
    bool follows = g->at == generation_steps(g) - 1 || !generation_steps(g);
    t->step[t->n] = s;
    t->tokens[g->n_prompt + t->n++] = s.id;
    if (s.id == a->m->cfg.eos_id)
        t->ended = true;
    if (a->m->cfg.pos == POS_LEARNED && g->n_prompt + t->n >= a->m->cfg.n_ctx)
        t->ended = true;
    if (follows)
        g->at = generation_steps(g) - 1;
    bool both = !g->edited || g->voice[1 - v].ended || g->voice[1 - v].n >= t->n;
    if (g->single && t->n >= g->single && both)
        g->running = false, g->single = 0;
    bool done = true;
    for (int k = 0; k < (g->edited ? VOICE_COUNT : 1); k++)
        done = done && (g->voice[k].ended || g->voice[k].n >= g->count);
    if (done)
        g->running = false;
}

void generation_take(struct app *a, enum voice v, const struct snapshot *s)
{
    struct generation *g = &a->generation_of;
    struct voice_text *t = &g->voice[v];
    int32_t row = g->n_prompt + t->n - 1;
    if (!wants_step(a, v) || s->n != row + 1)
        return;
    enum face face = s->edited ? FACE_EDITED : FACE_BASE;
    const struct want bw = best_want(a, row), cw = cell_want(a, row), nw = norm_want(a, row);
    const struct want_best *best = snapshot_at(s, face, &bw, row);
    const struct want_cell *cell = snapshot_at(s, face, &cw, row);
    const float *norm = snapshot_at(s, face, &nw, row);
    if (s->err.code < 0 || !best || !cell || !norm) {
        snprintf(g->why, sizeof g->why, "%.90s", s->err.code < 0 ? s->err.text : "no answer");
        g->running = false;
        return;
    }
    struct generated step = {.entropy = cell->cell.entropy, .norm = *norm};
    step.n_top = bw.k < GENERATION_TOP ? bw.k : GENERATION_TOP;
    for (int i = 0; i < step.n_top; i++) {
        step.top[i].id = best[i].id;
        step.top[i].logp = best[i].logit - cell->cell.lse;
    }
    for (int i = 0; i < g->n_stops; i++) {
        const struct want pw = pattern_want(&g->stop[i], row);
        const float *pattern = g->stop[i].kind == BREAK_ATTENDS ? snapshot_at(s, face, &pw, row)
                                                                : NULL;
        step.seen[i] = pattern ? attention_to(g, t, g->stop[i].id, pattern) : 0;
    }
    look_at_stops(a, v, &step);
    step.id = choose(a, t, best, bw.k);
    if (step.id >= 0) {
        append(a, v, step);
        return;
    }
    if (g->running)
        snprintf(g->why, sizeof g->why, "%s, step %d: no logit is a number", v ? "edited" : "clean",
                 t->n + 1);
    g->running = false;
}

/* ---- breakpoints ---- */

void generation_break_text(const struct app *a, const struct breakpoint *b, struct bytes *out)
{
    static const char *const names[] = {"entropy", "norm", "nan", "attends"};
    bytes_add_string(out, names[b->kind]);
    if (b->kind == BREAK_NAN)
        return;
    if (b->kind == BREAK_ATTENDS) {
        size_t len;
        const char *text = tokenizer_text(a->m->tok, b->id, &len);
        bytes_addf(out, " %d %d \"", (int)b->layer, (int)b->head);
        text_add(out, text, len, TEXT_PLAIN);
        bytes_add_char(out, '"');
    }
    bytes_addf(out, " %c %g", b->below ? '<' : '>', (double)b->bound);
}

/* "2 1 " John"" in front of the bound; *s is stepped behind it. */
static bool attends_read(struct app *a, const char **s, struct breakpoint *b)
{
    int used = 0, layer, head;
    if (sscanf(*s, " %d %d %n", &layer, &head, &used) != 2 || !used || layer < 0 || head < 0 ||
        layer >= a->m->cfg.n_layers || head >= a->m->cfg.n_heads) {
        app_complain(a, "attends LAYER HEAD TOKEN > SHARE · layers 0..%d, heads 0..%d",
                     (int)a->m->cfg.n_layers - 1, (int)a->m->cfg.n_heads - 1);
        return false;
    }
    *s += used;
    const char *end = **s == '"' ? strchr(*s + 1, '"') : *s + strcspn(*s, " ") - 1;
    b->layer = layer, b->head = head;
    b->id = end ? app_token(a, *s, (size_t)(end - *s) + 1) : -1;
    if (!end)
        app_complain(a, "a quote is open · attends LAYER HEAD \" token\" > SHARE");
    *s = end ? end + 1 : *s;
    return b->id >= 0;
}

bool generation_break(struct app *a, const char *text)
{
    static const char *const names[] = {"entropy", "norm", "nan", "attends"};
    struct generation *g = &a->generation_of;
    struct breakpoint b = {0};
    size_t n = strcspn(text, " "), kind = 0;
    const char *s = text + n;
    char *end, op = 0;
    int used = 0;
    while (kind < 4 && (strlen(names[kind]) != n || memcmp(names[kind], text, n) != 0))
        kind++;
    b.kind = (enum break_kind)kind;
    if (g->n_stops == GENERATION_BREAKS) {
        app_complain(a, "%d breakpoints at most · break off forgets them", GENERATION_BREAKS);
        return false;
    }
    if (kind < 4 && b.kind == BREAK_ATTENDS && !attends_read(a, &s, &b))
        return false;
    if (kind < 4 && b.kind != BREAK_NAN) {
        bool ok = sscanf(s, " %c %n", &op, &used) == 1 && (op == '<' || op == '>') && used;
        b.bound = ok ? strtof(s + used, &end) : 0;
        b.below = op == '<';
        kind = ok && end > s + used && !*end && isfinite(b.bound) ? kind : 4;
    }
    if (kind == 4) {
        app_complain(a,
                     "break entropy > 3 | norm > 100 | nan | attends LAYER HEAD TOKEN > 0.5 | off");
        return false;
    }
    g->stop[g->n_stops++] = b;
    return true;
}

char *generation_text(const struct app *a, enum voice v)
{
    const struct generation *g = &a->generation_of;
    const struct voice_text *t = &g->voice[v];
    struct bytes b = {0};
    bytes_add_string(&b, a->prompt ? a->prompt : "");
    for (int i = 0; i < t->n; i++) {
        size_t len;
        const char *text = tokenizer_text(a->m->tok, t->step[i].id, &len);
        if (model_takes_ids(a->m))
            bytes_addf(&b, ",%d", (int)t->step[i].id);
        else if (t->step[i].id != a->m->cfg.eos_id)
            bytes_add(&b, text, len);
    }
    if (b.failed)
        bytes_free(&b);
    return b.data;
}
