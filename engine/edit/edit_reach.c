/* edit_reach.c - see edit_reach.h. */
#include "edit/edit_reach.h"

#include <stdlib.h>

#include "base/list.h"
#include "names/alias.h"
#include "edit/edit_parts.h"
#include "model/model.h"

struct reach_list {
    struct edit_reach *item;
    int32_t n, edit;
    bool failed;
};

static void add(struct reach_list *l, struct site_ref s, int32_t expert)
{
    for (int32_t i = l->n; i-- > 0 && l->item[i].edit == l->edit;)
        if (site_same(l->item[i].site, s) && l->item[i].expert == expert)
            return;
    if (list_room(&l->item, (size_t)l->n, sizeof *l->item))
        l->item[l->n++] = (struct edit_reach){s, expert, l->edit};
    else
        l->failed = true;
}

/* The sites of the steps of a stage that read the weight. */
static void add_readers(struct reach_list *l, const struct model *m, const struct edit_weight *w,
                        int32_t stage)
{
    int32_t n, layer = stage >= 1 && stage <= m->cfg.n_layers ? stage - 1 : SITE_ROOT;
    const struct step *steps = plan_stage(m->plan, stage, &n);
    for (int32_t i = 0; i < n; i++)
        for (int k = 0; k < KN_IN_MAX; k++)
            if ((steps[i].in[k].kind == OPERAND_WEIGHT || steps[i].in[k].kind == OPERAND_EXPERT) &&
                steps[i].in[k].id == w->id)
                add(l, (struct site_ref){steps[i].site, layer},
                    weight_row_expert(&m->cfg, w->layer) + 1);
}

static int reach_weights(struct reach_list *l, const struct edit *ed, const struct model *m,
                         struct err *e)
{
    const struct edit_context ctx = {.cfg = &m->cfg, .n_pos = 1, .model = m};
    struct edit_weight *list = NULL;
    int n = edit_weight_select(&ctx, ed->pattern, &list, e);
    for (int i = 0; i < n; i++) {
        if (list[i].layer >= 0) {
            add_readers(l, m, &list[i], weight_row_layer(&m->cfg, list[i].layer) + 1);
            continue;
        }
        add_readers(l, m, &list[i], 0);
        add_readers(l, m, &list[i], m->cfg.n_layers + 1);
    }
    free(list);
    return n < 0 ? n : 0;
}

static int reach_hooks(struct reach_list *l, const struct edit *ed, const struct model *m,
                       struct err *e)
{
    char pattern[LIMIT_PATTERN];
    struct alias_pick *picks = NULL;
    edit_hook_pattern(ed, pattern);
    int n = alias_select(&m->cfg, pattern, &picks, e), rc = n < 0 ? n : 0;
    for (int i = 0; i < n && !rc; i++) {
        const struct alias_value *v = &picks[i].value;
        const char *why = v->n_edits ? site_refusal(&m->cfg, v->edit[0].id) : v->why;
        if (why)
            rc = err_set(e, ERR_BAD_INPUT, "%s cannot be edited · %s", picks[i].name, why);
        for (int k = 0; k < v->n_edits; k++)
            add(l, v->edit[k], v->form == FORM_EXPERT ? v->expert + 1 : 0);
    }
    free(picks);
    return rc;
}

bool edit_of_weights(const struct edit *ed)
{
    return edit_is_weight(ed->pattern);
}

int32_t edit_reach(struct edit *const *edits, int32_t n, const struct model *m,
                   struct edit_reach **out, struct err *e)
{
    struct reach_list l = {0};
    int rc = 0;
    for (; l.edit < n && !rc; l.edit++)
        if ((rc = (edit_of_weights(edits[l.edit]) ? reach_weights : reach_hooks)(&l, edits[l.edit],
                                                                                 m, e)))
            err_prefix(e, "edit %d", (int)l.edit + 1);
    if (!rc && l.failed)
        rc = err_memory(e, "edits");
    if (rc) {
        free(l.item);
        return rc;
    }
    *out = l.item;
    return l.n;
}
