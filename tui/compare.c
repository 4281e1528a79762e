/* compare.c - see compare.h. */
#include "compare.h"

#include <stdlib.h>
#include <string.h>

#include "app.h"

bool compare_is_of_models(const struct app *a)
{
    return a->comparing && a->comparing_models && a->opt.against && a->same && a->n_same >= a->n;
}

bool compare_is_on(const struct app *a)
{
    return compare_is_of_models(a) ||
           (a->comparing && !a->comparing_models && a->other_tokens && a->partner);
}

const int32_t *compare_partner(const struct app *a)
{
    return compare_is_of_models(a) ? a->same : a->partner;
}

const int32_t *compare_tokens(const struct app *a)
{
    return compare_is_of_models(a) ? a->tokens : a->other_tokens;
}

const char *compare_face(const struct app *a, int show)
{
    static const char *const faces[SHOW_COUNT] = {"A", "B", "B−A"};
    bool two = a->comparing &&
               (a->comparing_models ? a->opt.against != NULL : a->other_tokens != NULL);
    return two ? faces[show] : show_names[show];
}

/* Positions of the prompt as they are. */
static void same_positions(struct app *a)
{
    if (a->n_same >= a->n)
        return;
    int32_t *same = realloc(a->same, (size_t)a->n * sizeof *same);
    if (!same)
        return;
    a->same = same;
    for (; a->n_same < a->n; a->n_same++)
        same[a->n_same] = a->n_same;
}

void compare_ask(struct app *a, struct beside *b, const struct session_want *w)
{
    if (a->comparing && a->comparing_models)
        same_positions(a);
    struct session_want *side = compare_is_on(a) ? beside_add(b, w, BESIDE_OTHER, 0, NULL) : NULL;
    if (!side)
        return;
    if (compare_is_of_models(a))
        side->model = a->opt.against;
    else
        side->target.input = a->other_image ? run_of_image(a->other_image)
                                            : run_ids(a->other_tokens, a->n_other);
    side->target.n_edits = 0;
    for (int32_t i = 0; i < w->n_wants; i++) {
        struct want want;
        if (snapshot_want_of_b(&w->wants[i], compare_partner(a), a->n, &want))
            beside_also(b, want);
    }
}

const struct snapshot *compare_take(struct app *a, const struct snapshot *s)
{
    const struct beside *b = &a->beside;
    if (!compare_is_on(a) || a->asking_changed || s->generation != a->generation || s->n != a->n)
        return NULL;
    for (int i = 0; i < s->n_sides && i < b->n; i++) {
        if (b->what[i].kind != BESIDE_OTHER)
            continue;
        if (s->sides[i]->err.code == 0)
            return snapshot_compare(s, s->sides[i], compare_partner(a), &a->m->cfg);
        app_complain(a, "B · %s", s->sides[i]->err.text);
    }
    return NULL;
}

/* ---- do two models fit together? ---- */

static int same_sites(const struct model *a, const struct model *b, struct err *e)
{
    const struct config *p = &a->cfg, *q = &b->cfg;
    enum { POSITIONS = 3 };
    if (p->n_layers != q->n_layers || p->headless != q->headless || p->d_vocab != q->d_vocab)
        return err_set(e, ERR_BAD_INPUT,
                       "--against %s · it has %d layers and %d tokens, %s %d and %d · models to "
                       "compare are of one shape",
                       b->name, (int)q->n_layers, (int)q->d_vocab, a->name, (int)p->n_layers,
                       (int)p->d_vocab);
    for (int id = 0; id < SITE_COUNT; id++) {
        int64_t x[SITE_RANK_MAX] = {0}, y[SITE_RANK_MAX] = {0};
        bool has = site_exists(p, (enum site_id)id);
        if (has != site_exists(q, (enum site_id)id))
            return err_set(e, ERR_BAD_INPUT,
                           "--against %s · only %s has %s · models to compare are of one shape",
                           b->name, has ? a->name : b->name, site_table[id].name);
        if (has && (site_shape(p, (enum site_id)id, POSITIONS, x) !=
                        site_shape(q, (enum site_id)id, POSITIONS, y) ||
                    memcmp(x, y, sizeof x) != 0))
            return err_set(e, ERR_BAD_INPUT,
                           "--against %s · its %s has another shape than that of %s · models to "
                           "compare are of one shape",
                           b->name, site_table[id].name, a->name);
    }
    return 0;
}

int compare_models(const struct model *a, const struct model *b, struct err *e)
{
    int rc = same_sites(a, b, e), n = tokenizer_count(a->tok), of_b = tokenizer_count(b->tok);
    if (rc || !n || !of_b) /* ids are ids */
        return rc;
    n = of_b < n ? of_b : n; /* what is beyond is no text of one of them */
    for (int32_t id = 0; id < n; id++) {
        size_t x, y;
        const char *s = tokenizer_text(a->tok, id, &x), *t = tokenizer_text(b->tok, id, &y);
        if (x != y || memcmp(s, t, x) != 0)
            return err_set(e, ERR_BAD_INPUT,
                           "--against %s · its token %d is another one than that of %s · models to "
                           "compare read the same tokens",
                           b->name, (int)id, a->name);
    }
    return 0;
}
