/* capture_select.c - which tensors are kept (see capture.h). */
#include "measure/capture.h"

#include "base/list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void captures_close(struct capture_list *l)
{
    for (int i = 0; i < l->n; i++)
        free(l->item[i].values);
    free(l->item);
    l->item = NULL, l->n = 0;
}

bool capture_holds_ids(const struct capture *c)
{
    return site_holds_ids(c->value.site[0].id);
}

static struct capture *append(struct capture_list *l, const struct alias_value *v, const char *name,
                              struct err *e)
{
    if (!list_room(&l->item, (size_t)l->n, sizeof *l->item)) {
        err_memory(e, "captured activations");
        return NULL;
    }
    struct capture *c = &l->item[l->n++];
    *c = (struct capture){.value = *v, .collected = -1, .axis = alias_row_axis(v)};
    snprintf(c->name, sizeof c->name, "%s", name);
    return c;
}

int capture_picks(const struct config *cfg, const char *name, struct alias_pick **out,
                  struct err *e)
{
    struct alias_pick *picks = NULL;
    int n = alias_select(cfg, name, &picks, e);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < picks[i].value.n_sites; k++) {
            const char *why = site_refusal(cfg, picks[i].value.site[k].id);
            if (!why)
                continue;
            int rc = err_set(e, ERR_BAD_INPUT, "%s · %s", picks[i].name, why);
            free(picks);
            return rc;
        }
    if (n > 0)
        *out = picks;
    return n;
}

/* TransformerLens' names as marks on the list of all, others in a list of their own. */
struct chosen {
    struct capture_list *l;
    const struct capture_want *want;
    struct alias_pick *all;
    int n_all;
    bool *on;                  /* [n_all] */
    struct capture_list other; /* names only */
};

static bool computed(const struct chosen *w, const struct alias_value *v)
{
    int32_t stage = plan_stage_of(w->l->m->plan, v->site[0]);
    return stage >= w->want->first && stage < w->want->end;
}

static int choose(struct chosen *w, const struct alias_pick *pick, struct err *e)
{
    if (pick->value.library == LIBRARY_LENS) {
        int i = 0;
        while (!alias_same(&w->all[i].value, &pick->value))
            i++;
        w->on[i] = true;
        return 0;
    }
    for (int i = 0; i < w->other.n; i++)
        if (!strcmp(w->other.item[i].name, pick->name))
            return 0;
    return append(&w->other, &pick->value, pick->name, e) ? 0 : ERR_SYSTEM;
}

static int choose_name(struct chosen *w, const char *name, struct err *e)
{
    const struct config *cfg = &w->l->m->cfg;
    struct alias_pick *picks = NULL;
    int n = capture_picks(cfg, name, &picks, e), rc = n < 0 ? n : 0;
    for (int i = 0; !rc && i < n; i++) {
        if (computed(w, &picks[i].value))
            rc = choose(w, &picks[i], e);
        else if (!site_is_pattern(name) || (n == 1 && picks[i].value.library != LIBRARY_LENS))
            rc = err_set(e, ERR_BAD_INPUT,
                         "%s · this pass does not compute it: it runs layers %d to %d",
                         picks[i].name, w->want->first ? w->want->first - 1 : 0,
                         w->want->end > cfg->n_layers + 1 ? cfg->n_layers - 1 : w->want->end - 2);
    }
    free(picks);
    return rc;
}

int captures_select(struct capture_list *l, const struct capture_want *want, struct err *e)
{
    struct chosen w = {.l = l, .want = want};
    const struct config *cfg = &l->m->cfg;
    w.n_all = alias_list(cfg, LIBRARY_LENS, &w.all, e);
    if (w.n_all < 0)
        return w.n_all;
    int rc = (w.on = calloc((size_t)w.n_all, sizeof *w.on)) ? 0
                                                            : err_memory(e, "captured activations");
    for (int i = 0; !rc && want->names && i < want->n_names; i++)
        rc = choose_name(&w, want->names[i], e);
    for (int i = 0; !rc && !want->names && i < w.n_all; i++)
        w.on[i] = computed(&w, &w.all[i].value) && alias_fires(cfg, &w.all[i].value) &&
                  (!want->match || want->match(w.all[i].name, want->user));
    for (int i = 0; !rc && i < w.n_all; i++)
        if (w.on[i] && !append(l, &w.all[i].value, w.all[i].name, e))
            rc = ERR_SYSTEM;
    for (int i = 0; !rc && i < w.other.n; i++)
        if (!append(l, &w.other.item[i].value, w.other.item[i].name, e))
            rc = ERR_SYSTEM;
    captures_close(&w.other);
    free(w.all), free(w.on);
    return rc;
}

int captures_add(struct capture_list *l, const char *of, const char *name, int32_t collected,
                 struct err *e)
{
    struct alias_value v;
    int rc = alias_find(&l->m->cfg, of, &v, e), i = 0;
    if (rc)
        return rc;
    while (i < l->n && strcmp(l->item[i].name, name) != 0)
        i++;
    if (i == l->n && !append(l, &v, name, e))
        return ERR_SYSTEM;
    l->item[i].collected = collected;
    return 0;
}

int captures_add_gradients(struct capture_list *l, int n, struct err *e)
{
    for (int i = 0; i < n; i++) {
        struct capture of = l->item[i];
        if (capture_holds_ids(&of))
            continue;
        if (!of.value.n_edits)
            return err_set(e, ERR_BAD_INPUT, "no gradient for %s · %s", of.name, of.value.why);
        struct capture *c = append(l, &of.value, of.name, e);
        if (!c)
            return ERR_SYSTEM;
        snprintf(c->name + strlen(c->name), sizeof "_grad", "_grad");
        c->axis = of.axis, c->cut = of.cut, c->gradient = true;
    }
    return 0;
}
