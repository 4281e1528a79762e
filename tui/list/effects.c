/* effects.c - see effects.h. */
#include "list/effects.h"

#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "compare.h"

/* Of the present values and pair? */
static bool is_current(const struct app *a)
{
    const struct effects *e = &a->effects;
    return e->effect && e->n == a->edits.n && !a->asking_changed && e->of == a->values_generation &&
           e->pair[0] == a->pair[0] && e->pair[1] == a->pair[1];
}

const struct effect *effects_at(const struct app *a, int i)
{
    return is_current(a) && a->edits.in_force[i] && a->effects.effect[i].there
               ? &a->effects.effect[i]
               : NULL;
}

/* Are they shown, and is there a pair? */
static bool are_shown(const struct app *a)
{
    return a->cur.view == VIEW_EDITS && a->edits.n && !a->m->cfg.headless && !compare_is_on(a) &&
           a->pair[0] >= 0 && a->pair[1] >= 0;
}

bool effects_wait(const struct app *a)
{
    bool failed = !a->effects.effect && a->effects.n == 0 && a->effects.of == a->values_generation;
    for (int i = a->edit_top; are_shown(a) && i < a->edits.n && i < a->edit_top + a->page; i++)
        if (a->edits.in_force[i] && !effects_at(a, i))
            return !failed; /* memory was out */
    return false;
}

void effects_free(struct effects *e)
{
    free(e->effect);
    *e = (struct effects){0};
}

static void begin(struct app *a)
{
    struct effects *e = &a->effects;
    struct effect *fresh = calloc((size_t)a->edits.n + 1, sizeof *fresh);
    effects_free(e);
    *e = (struct effects){
        fresh, fresh ? a->edits.n : 0, a->values_generation, {a->pair[0], a->pair[1]}};
}

/* Those on the screen, once the values of now are known: the one under the cursor first. */
void effects_ask(struct app *a, struct beside *b, const struct session_want *w)
{
    if (!are_shown(a) || a->asking_changed)
        return;
    if (!is_current(a))
        begin(a);
    for (int k = 0; a->effects.effect && k <= a->page; k++) {
        int i = k ? a->edit_top + k - 1 : a->cur.edit;
        if (i >= a->edits.n || (k && i == a->cur.edit) || !a->edits.in_force[i] ||
            a->effects.effect[i].there)
            continue;
        bool *on = malloc((size_t)a->edits.n * sizeof *on);
        if (!on)
            return;
        memcpy(on, a->edits.in_force, (size_t)a->edits.n * sizeof *on);
        on[i] = false;
        if (!beside_add(b, w, BESIDE_EFFECT, i, on))
            return;
        beside_also(b, app_pair_want(a));
        beside_also(b, app_kl_want(a));
    }
}

void effects_take(struct app *a, int i, const struct snapshot *s)
{
    const struct want pair = app_pair_want(a), kl = app_kl_want(a);
    enum face face = s->edited ? FACE_EDITED : FACE_BASE;
    const float *logits = snapshot_at(s, face, &pair, 0);
    const double *nats = snapshot_at(s, face, &kl, 0);
    if (!is_current(a) || i >= a->effects.n || !logits || !nats)
        return;
    a->effects.effect[i] = (struct effect){true, (double)logits[0] - (double)logits[1], *nats};
}
