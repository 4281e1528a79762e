/* sweep.c - commands of sweeps: which one the noun under the cursor asks for. */
#include <stdio.h>
#include <string.h>

#include "app.h"
#include "list/patch.h"
#include "measure/sweep_kind.h"
#include "sweeps.h"

/* The pair's logit difference at the answer, else how far the answers move. */
static void pair_metric(const struct app *a, char *buf, size_t size)
{
    char one[LIMIT_NAME], two[LIMIT_NAME];
    int row = model_answer_row(a->m, a->tokens, a->n);
    row = row == a->n - 1 ? -1 : row;
    if (a->pair[0] >= 0 && a->pair[1] >= 0)
        snprintf(buf, size, "logit[%d, %s] - logit[%d, %s]", row,
                 metric_token(a->m->tok, a->pair[0], one), row,
                 metric_token(a->m->tok, a->pair[1], two));
    else
        snprintf(buf, size, "kl[%d]", row);
}

/* The kind that a hook is swept by, NULL: none. */
static const char *kind_of(enum site_id id)
{
    static const struct {
        enum site_id id;
        const char *kind;
    } kinds[] = {{SITE_RESID_PRE, "resid_pre"},   {SITE_RESID_MID, "resid_mid"},
                 {SITE_RESID_POST, "resid_post"}, {SITE_EMBED, "resid_pre"},
                 {SITE_FULL_EMBED, "resid_pre"},  {SITE_ATTN_OUT, "attn_out"},
                 {SITE_MLP_OUT, "mlp_out"},       {SITE_Z, "z_all_pos"},
                 {SITE_Q, "q_all_pos"},           {SITE_K, "k_all_pos"},
                 {SITE_V, "v_all_pos"},           {SITE_PATTERN, "edge"},
                 {SITE_ATTN_SCORES, "edge"},      {SITE_POST, "neuron"}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].id == id)
            return kinds[i].kind;
    return NULL;
}

/* An edge is swept in its head, a neuron at its position. */
static void choose(const struct app *a, struct session_sweep *of)
{
    if (!strcmp(of->kind, "edge")) {
        snprintf(of->over[0], sizeof of->over[0], "layer=%d", (int)app_layer(a));
        snprintf(of->over[1], sizeof of->over[1], "head=%d", (int)a->cur.head);
    } else if (!strcmp(of->kind, "neuron")) {
        snprintf(of->over[0], sizeof of->over[0], "pos=%d", (int)a->cur.row);
    }
}

/* What is put there: the other prompt's, zero without one. */
static void put_there(const struct app *a, struct session_sweep *of)
{
    bool pattern = !strcmp(of->kind, "edge") || strstr(of->kind, "pattern");
    bool fits = a->other_tokens && (a->n_other == a->n || !pattern);
    snprintf(of->with, sizeof of->with, fits ? "from(other)" : "zero");
}

/* What a guest has put there must be read to be known to name no file: with holes it is not. */
static int may_put(const struct app *a, const char *with, struct err *e)
{
    if (strlen(with) >= sizeof a->sweep.with)
        return err_set(e, ERR_BAD_INPUT, "a value of %zu bytes · %zu at most", strlen(with),
                       sizeof a->sweep.with - 1);
    char text[LIMIT_EDIT_TEXT] = "hook";
    struct edit *ed = NULL;
    int rc = sweep_kind_right(with, text + 4, sizeof text - 4, e);
    if (!rc && a->guest && !(rc = edit_parse(&ed, text, e)))
        rc = edit_list_may(&a->edits, ed, e);
    edit_free(ed);
    return rc;
}

unsigned act_SWEEP(struct app *a, const char *args)
{
    struct session_sweep of = {.id = 0};
    struct noun noun;
    char name[LIMIT_NAME];
    struct err e;
    if (a->m->cfg.headless) {
        app_complain(a, "no sweep · %s", config_lack(&a->m->cfg, PROPERTY_HEAD));
        return 0;
    }
    if (sweeps_wait(a, args))
        return 0;
    if (*args) {
        size_t n = strcspn(args, " ");
        snprintf(name, sizeof name, "%.*s", (int)n, args);
        const struct sweep_kind *k = sweep_kind_find(name, &e);
        if (!k) {
            app_complain(a, "%s", e.text);
            return 0;
        }
        snprintf(of.kind, sizeof of.kind, "%s", k->name);
        args += n + strspn(args + n, " ");
        if (*args && may_put(a, args, &e)) {
            app_complain(a, "%s", e.text);
            return 0;
        }
    } else if (a->cur.view == VIEW_SWEEP && a->sweep.id) {
        of = a->sweep; /* once more, as things are now */
        of.paused = false;
    } else if (!app_view(a)->noun || !app_view(a)->noun(a, &noun) || !kind_of(noun.site.id)) {
        app_complain(
            a, "{sweep} sweeps a head, an edge, a neuron or the stream · :sweep KIND another");
        return 0;
    } else {
        snprintf(of.kind, sizeof of.kind, "%s", kind_of(noun.site.id));
    }
    if (!*of.over[0])
        choose(a, &of);
    if (*args)
        snprintf(of.with, sizeof of.with, "%s", args);
    else
        put_there(a, &of);
    of.align = patch_align(a);
    pair_metric(a, of.metric, sizeof of.metric);
    sweeps_begin(a, &of);
    return 0;
}
