/* generation.h - the continuations of the prompt, clean and edited, token by token.
 *
 * Each token is one more question beside the main one, under the edits of the moment: they are
 * resolved anew for every length, so that [-1] follows the end, and may be switched while it runs.
 * What was written before stays.  Tested in tests/tui/test_generate_view.c. */
#ifndef GENERATION_H
#define GENERATION_H

#include "beside.h"
#include "bytes.h"

enum { GENERATION_TOP = 5, GENERATION_DRAW = 64, GENERATION_COUNT = 40, GENERATION_BREAKS = 8 };

/* A token and the distribution that it was drawn from. */
struct generated {
    int32_t id;
    float entropy, norm; /* nats; of the stream before the unembedding */
    struct {
        int32_t id;
        float logp;
    } top[GENERATION_TOP];
    int n_top;
    float seen[GENERATION_BREAKS]; /* of breakpoints that read attention: what they read */
};

enum voice { VOICE_CLEAN, VOICE_EDITED, VOICE_COUNT };

struct voice_text {
    int32_t *tokens;        /* [n_prompt + n] */
    struct generated *step; /* [n] */
    int n;
    bool ended; /* by the end token, or by the model's last place */
};

enum break_kind { BREAK_ENTROPY, BREAK_NORM, BREAK_NAN, BREAK_ATTENDS };

/* Stop at a step where a figure is above (below) a bound. */
struct breakpoint {
    enum break_kind kind;
    bool below;
    float bound;
    int32_t layer, head, id; /* ATTENDS: to the tokens `id` */
};

struct generation {
    int32_t *prompt, n_prompt; /* that they continue */
    struct voice_text voice[VOICE_COUNT];
    int single;           /* pause when this many steps are there; 0: not */
    bool running, edited; /* edited: there are edits, and a second voice */
    int count;            /* tokens to write */
    int at;               /* the step under the cursor */
    double temperature;   /* 0: the likeliest */
    uint64_t seed;
    struct breakpoint stop[GENERATION_BREAKS];
    int n_stops;
    char why[96]; /* why it paused */
};

void generation_free(struct generation *g);
/* Is it of the prompt of now? */
bool generation_is_current(const struct app *a);
/* From the beginning, with the prompt of now; running. */
void generation_start(struct app *a);
/* One step more, then pause. */
void generation_single(struct app *a);
/* Steps that both voices have, or the longer one. */
int generation_steps(const struct generation *g);
/* The first step at which the voices differ, -1: none yet. */
int generation_parts(const struct generation *g);
/* Is a question open? */
bool generation_waits(const struct app *a);
void generation_ask(struct app *a, struct beside *b, const struct session_want *w);
void generation_take(struct app *a, enum voice v, const struct snapshot *s);
/* "entropy > 3", "norm > 100", "nan", "attends 2 1 \" John\" > 0.5"; false with a message. */
bool generation_break(struct app *a, const char *text);
void generation_break_text(const struct app *a, const struct breakpoint *b, struct bytes *out);
/* Prompt and continuation as a text, malloc'ed; NULL: out of memory. */
char *generation_text(const struct app *a, enum voice v);

#endif
