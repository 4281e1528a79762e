/* beside.c - see beside.h. */
#include "beside.h"

#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "compare.h"
#include "list/effects.h"
#include "generation.h"

static const int32_t lanes[] = {[BESIDE_EFFECT] = LANE_EFFECT,
                                [BESIDE_CLEAN] = LANE_CLEAN,
                                [BESIDE_EDITED] = LANE_EDITED,
                                [BESIDE_OTHER] = LANE_OTHER};

struct session_want *beside_add(struct beside *b, const struct session_want *w,
                                enum beside_kind kind, int index, bool *on)
{
    if (b->n == BESIDE_MAX) {
        free(on);
        return NULL;
    }
    struct session_want *side = &b->side[b->n];
    *side = (struct session_want){.target = w->target, .lane = lanes[kind]};
    if (on)
        side->target.on = on;
    b->on[b->n] = on;
    b->what[b->n].kind = kind;
    b->what[b->n].index = index;
    b->wants[b->n++].n = 0;
    return side;
}

void beside_also(struct beside *b, struct want want)
{
    want_add(&b->wants[b->n - 1], want);
}

static void forget(struct beside *b)
{
    for (int i = 0; i < b->n; i++) {
        free(b->on[i]);
        b->on[i] = NULL;
    }
    b->n = 0;
}

void beside_free(struct beside *b)
{
    forget(b);
    for (int i = 0; i < BESIDE_MAX; i++)
        want_list_free(&b->wants[i]);
}

/* FNV-1a. */
static void mix(uint64_t *key, const void *data, size_t n)
{
    const unsigned char *s = data;
    for (size_t i = 0; i < n; i++)
        *key = (*key ^ s[i]) * UINT64_C(1099511628211);
}

static uint64_t key_of(const struct beside *b)
{
    uint64_t key = UINT64_C(14695981039346656037);
    for (int i = 0; i < b->n; i++) {
        const struct session_want *w = &b->side[i];
        mix(&key, &b->what[i].kind, sizeof b->what[i].kind);
        mix(&key, &b->what[i].index, sizeof b->what[i].index);
        mix(&key, &w->model, sizeof w->model);
        mix(&key, w->target.input.tokens, (size_t)w->target.input.n * sizeof(int32_t));
        mix(&key, w->target.on, (size_t)w->target.n_edits);
        mix(&key, w->wants, (size_t)w->n_wants * sizeof *w->wants);
    }
    return key;
}

void beside_ask(struct app *a, struct session_want *w)
{
    struct beside *b = &a->beside;
    forget(b);
    effects_ask(a, b, w);
    compare_ask(a, b, w);
    generation_ask(a, b, w);
    for (int i = 0; i < b->n; i++) {
        b->side[i].wants = b->wants[i].item;
        b->side[i].n_wants = b->wants[i].n;
    }
    b->key = key_of(b);
    w->sides = b->side;
    w->n_sides = b->n;
}

void beside_take(struct app *a, const struct snapshot *s)
{
    const struct beside *b = &a->beside;
    if (s->generation != a->generation || a->asking_changed)
        return; /* answers to what was asked before */
    for (int i = 0; i < s->n_sides && i < b->n; i++)
        switch (b->what[i].kind) {
        case BESIDE_EFFECT: effects_take(a, b->what[i].index, s->sides[i]); break;
        case BESIDE_CLEAN: generation_take(a, VOICE_CLEAN, s->sides[i]); break;
        case BESIDE_EDITED: generation_take(a, VOICE_EDITED, s->sides[i]); break;
        case BESIDE_OTHER: break; /* becomes a face: compare_take */
        }
}
