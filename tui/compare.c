/* compare.c - see compare.h. */
#include "compare.h"

#include "app.h"

bool compare_is_on(const struct app *a)
{
    return a->comparing && a->other_tokens && a->partner;
}

const char *compare_face(const struct app *a, int show)
{
    static const char *const faces[SHOW_COUNT] = {"A", "B", "B−A"};
    return a->comparing && a->other_tokens ? faces[show] : show_names[show];
}

void compare_ask(struct app *a, struct beside *b, const struct session_want *w)
{
    struct session_want *side = compare_is_on(a) ? beside_add(b, w, BESIDE_OTHER, 0, NULL) : NULL;
    if (!side)
        return;
    side->target.input = a->other_image ? run_of_image(a->other_image)
                                        : run_ids(a->other_tokens, a->n_other);
    side->target.n_edits = 0;
    for (int32_t i = 0; i < w->n_wants; i++) {
        struct want want;
        if (snapshot_want_of_b(&w->wants[i], a->partner, a->n, &want))
            beside_also(b, want);
    }
}

const struct snapshot *compare_take(struct app *a, const struct snapshot *s)
{
    const struct beside *b = &a->beside;
    if (!compare_is_on(a) || a->asking_changed || s->generation != a->generation || s->n != a->n)
        return NULL;
    for (int i = 0; i < s->n_sides && i < b->n; i++)
        if (b->what[i].kind == BESIDE_OTHER && s->sides[i]->err.code == 0)
            return snapshot_compare(s, s->sides[i], a->partner, &a->m->cfg);
    return NULL;
}
