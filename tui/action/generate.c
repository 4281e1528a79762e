/* generate.c - commands of the continuations: running, stepping, breakpoints. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "generation.h"

/* Run, or pause; from the beginning where the prompt is another one. */
static void run(struct app *a)
{
    struct generation *g = &a->generation_of;
    bool done = g->voice[VOICE_CLEAN].n >= g->count || g->voice[VOICE_CLEAN].ended;
    if (!generation_is_current(a) || (!g->running && done))
        generation_start(a);
    else {
        g->running = !g->running;
        g->why[0] = 0;
    }
}

/* Forget the steps behind the cursor's one, and go on from there. */
static void again_from_here(struct app *a)
{
    struct generation *g = &a->generation_of;
    for (int v = 0; v < VOICE_COUNT; v++) {
        struct voice_text *t = &g->voice[v];
        t->n = g->at < t->n ? g->at : t->n;
        t->ended = false;
    }
    g->at = generation_steps(g) ? generation_steps(g) - 1 : 0;
    g->running = generation_is_current(a);
    g->why[0] = 0;
}

/* The continuation becomes the prompt. */
static void take_over(struct app *a)
{
    struct generation *g = &a->generation_of;
    enum voice v = g->edited && a->show != SHOW_BASE ? VOICE_EDITED : VOICE_CLEAN;
    char *text = generation_is_current(a) && g->voice[v].n ? generation_text(a, v) : NULL;
    if (!text)
        app_complain(a, "nothing is written yet · Space runs");
    else if (app_set_prompt(a, text)) {
        app_say(a, "the %s continuation is the prompt", v ? "edited" : "clean");
        generation_free(g);
    }
    free(text);
}

static void set_number(struct app *a, const char *word, const char *text)
{
    struct generation *g = &a->generation_of;
    char *end;
    double v = strtod(text, &end);
    bool ok = end > text && !*end && isfinite(v) && v >= 0;
    if (strcmp(word, "temperature") == 0 && ok && v <= 1e6)
        g->temperature = v;
    else if (strcmp(word, "seed") == 0 && ok && v < 1e9)
        g->seed = (uint64_t)v;
    else if (strcmp(word, "count") == 0 && ok && v >= 1 && v <= 4096 && v == floor(v)) {
        generation_free(g);
        g->count = (int)v;
    } else {
        app_complain(a, "generate %s", action_table[ACTION_GENERATE].usage);
        return;
    }
    app_say(a, "temperature %g, seed %llu, %d tokens", g->temperature, (unsigned long long)g->seed,
            g->count ? g->count : GENERATION_COUNT);
}

unsigned act_GENERATE(struct app *a, const char *args)
{
    size_t n = strcspn(args, " ");
    const char *rest = args + n + strspn(args + n, " ");
    char word[16];
    snprintf(word, sizeof word, "%.*s", n < 15 ? (int)n : 15, args);
    app_show_view(a, VIEW_GENERATE);
    if (!*args || strcmp(args, "run") == 0)
        run(a);
    else if (strcmp(args, "start") == 0)
        generation_start(a);
    else if (strcmp(args, "here") == 0)
        again_from_here(a);
    else if (strcmp(args, "take") == 0)
        take_over(a);
    else
        set_number(a, word, rest);
    return 0;
}

unsigned act_BREAK(struct app *a, const char *args)
{
    struct generation *g = &a->generation_of;
    struct bytes b = {0};
    if (strcmp(args, "off") == 0)
        g->n_stops = 0;
    else if (!*args) {
        app_line_open(a, LINE_COMMAND, "break ");
        app_say(a, "entropy > 3 · norm > 100 · nan · attends LAYER HEAD TOKEN > 0.5 · off");
        return 0;
    } else if (!generation_break(a, args)) {
        return 0;
    }
    for (int i = 0; i < g->n_stops; i++) {
        bytes_add_string(&b, i ? ", " : "");
        generation_break_text(a, &g->stop[i], &b);
    }
    app_say(a, "breakpoints: %s", b.failed || !b.len ? "none" : b.data);
    bytes_free(&b);
    return 0;
}
