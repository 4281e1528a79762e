/* bore_hooks.c - the library's hooks: adding, levels, removing, contexts (see borescope.h).
 * Tested in tests/engine/test_lifecycle.c. */
#include "lib/bore_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static_assert((int)BORE_FORWARD == (int)CALLBACK_FORWARD &&
                  (int)BORE_BACKWARD == (int)CALLBACK_BACKWARD,
              "directions are the engine's");
static_assert((int)BORE_PERMANENT == (int)CALLBACK_PERMANENT &&
                  (int)BORE_PREPEND == (int)CALLBACK_PREPEND &&
                  (int)BORE_READS == (int)CALLBACK_READS &&
                  (int)BORE_GRAD_PASS == (int)CALLBACK_GRAD_PASS,
              "flags are the engine's");
static_assert((int)BORE_ANY_LEVEL == (int)CALLBACK_ANY_LEVEL, "levels are the engine's");

int bore_hook_call(const struct callback *c, const char *name, bore_hook_fn *fn, void *user,
                   int32_t row0, const struct kn_view *v, struct err *e)
{
    struct bore_model *m = c->owner;
    struct bore_error said = {0};
    struct bore_tensor t = {.data = kn_f32(v), .rank = v->ndim + 1, .shape = {1}};
    for (int d = 0; d < v->ndim; d++)
        t.shape[d + 1] = v->shape[d], t.stride[d + 1] = v->stride[d];
    t.stride[0] = v->shape[0] * v->stride[0];
    struct bore_at at = {
        .model = m,
        .name = name,
        .layer = c->site.layer,
        .backward = c->dir == CALLBACK_BACKWARD,
        .row = m->work->row,
        .rows = m->work->rows,
        .pos0 = row0,
        .columns = m->work->columns,
        .context = &m->contexts[bore_site_index(m, c->site)],
        .error = &said,
    };
    int rc = fn(&t, &at, user);
    if (!rc)
        return 0;
    said.text[sizeof said.text - 1] = '\0';
    if (said.text[0])
        return err_set(e, BORE_HOOK_FAILED, "%s · %s", at.name, said.text);
    return err_set(e, BORE_HOOK_FAILED, "%s · a hook stopped the pass: it returned %d", at.name,
                   rc);
}

/* The engine's callback behind every hook on a site. */
static int call_hook(const struct callback *self, int32_t row0, const struct kn_view *v,
                     struct err *e)
{
    struct bore_model *m = self->owner;
    return bore_hook_call(self, m->names[bore_site_index(m, self->site)],
                          (bore_hook_fn *)self->inner, self->user, row0, v, e);
}

/* Points that a match function takes. */
static int picks_matching(const struct bore_model *m, const struct bore_hook *h,
                          struct alias_pick **out, struct err *e)
{
    int n = alias_list(&m->m->cfg, LIBRARY_LENS, out, e), kept = 0;
    for (int i = 0; i < n; i++)
        if (alias_fires(&m->m->cfg, &(*out)[i].value) && h->match((*out)[i].name, h->user))
            (*out)[kept++] = (*out)[i];
    if (n >= 0 && !kept) {
        free(*out);
        return err_set(
            e, ERR_BAD_INPUT,
            "a match function · it matches no hook point that fires · bore_point_at lists them");
    }
    return n < 0 ? n : kept;
}

static int hook_picks(const struct bore_model *m, const struct bore_hook *h,
                      struct alias_pick **out, struct err *e)
{
    if (!h->name && !h->match)
        return err_set(e, ERR_BAD_INPUT,
                       "a hook without a point · give a name, a pattern or a match function");
    return h->name ? capture_picks(&m->m->cfg, h->name, out, e) : picks_matching(m, h, out, e);
}

static int add_one(struct bore_model *m, enum bore_direction d, const struct bore_hook *h,
                   const struct alias_pick *pick, int level, struct err *e)
{
    struct site_ref s = pick->value.site[0];
    if (d == BORE_BACKWARD && pick->value.n_sites && s.id == SITE_TOKENS)
        return err_set(e, ERR_BAD_INPUT, "%s · token ids have no gradient · take hook_embed",
                       pick->name);
    if (pick->value.library != LIBRARY_LENS || pick->value.form == FORM_EXPERT)
        return bore_alias_add(m, d, h, pick, level, e);
    struct callback c = {
        .site = s,
        .dir = (enum callback_dir)d,
        .flags = h->flags,
        .level = level,
        .fn = call_hook,
        .user = h->user,
        .owner = m,
        .inner = (void (*)(void))h->fn,
    };
    return callbacks_add(&m->hooks, &c, e);
}

int bore_hook_add(struct bore_model *m, enum bore_direction d, const struct bore_hook *h, int level,
                  struct err *e)
{
    if (d != BORE_FORWARD && d != BORE_BACKWARD)
        return err_set(e, ERR_BAD_INPUT, "a hook · its direction is forward or backward");
    if (!h->fn)
        return err_set(e, ERR_BAD_INPUT, "a hook · it has no function");
    struct alias_pick *picks = NULL;
    int n = hook_picks(m, h, &picks, e), rc = n < 0 ? n : 0;
    for (int i = 0; !rc && i < n; i++)
        rc = add_one(m, d, h, &picks[i], level, e);
    free(picks);
    return rc;
}

/* The list never shrinks its memory, so there is room. */
static void put_back(struct bore_model *m, const struct callbacks *before)
{
    if (before->n)
        memcpy(m->hooks.list, before->list, (size_t)before->n * sizeof *before->list);
    m->hooks.n = before->n;
    bore_alias_sweep(m, false);
}

int bore_add_hook(struct bore_model *m, enum bore_direction direction, const struct bore_hook *hook,
                  struct bore_error *error)
{
    struct err e = {0};
    struct callbacks before = {0};
    int rc = callbacks_copy(&before, &m->hooks, &e);
    if (!rc && (rc = bore_hook_add(m, direction, hook, BORE_NO_LEVEL, &e)))
        put_back(m, &before);
    callbacks_free(&before);
    return bore_done(rc, &e, error);
}

int bore_hooks_enter(struct bore_model *m, const struct bore_hook *forward, int n_forward,
                     const struct bore_hook *backward, int n_backward, struct err *e)
{
    struct callbacks before = {0};
    int rc = callbacks_copy(&before, &m->hooks, e);
    if (rc)
        return rc;
    m->level++;
    for (int i = 0; !rc && i < n_forward; i++)
        rc = bore_hook_add(m, BORE_FORWARD, &forward[i], m->level, e);
    for (int i = 0; !rc && i < n_backward; i++)
        rc = bore_hook_add(m, BORE_BACKWARD, &backward[i], m->level, e);
    if (rc) {
        put_back(m, &before);
        m->level--;
    }
    callbacks_free(&before);
    return rc;
}

int bore_enter(struct bore_model *m, const struct bore_hook *forward, int n_forward,
               const struct bore_hook *backward, int n_backward, int *level,
               struct bore_error *error)
{
    struct err e = {0};
    int rc = bore_hooks_enter(m, forward, n_forward, backward, n_backward, &e);
    if (!rc)
        *level = m->level;
    return bore_done(rc, &e, error);
}

void bore_leave(struct bore_model *m, int level, bool clear_contexts)
{
    for (; level > 0 && m->level >= level; m->level--)
        bore_reset_hooks(m, clear_contexts, BORE_BOTH, false, m->level);
}

int bore_level(const struct bore_model *m)
{
    return m->level;
}

int bore_remove_hooks(struct bore_model *m, const char *name, enum bore_direction direction,
                      bool including_permanent, int level, struct bore_error *error)
{
    struct err e = {0};
    if (!name) {
        bore_reset_hooks(m, false, direction, including_permanent, level);
        return 0;
    }
    bool pattern = site_is_pattern(name), found = false;
    for (int i = 0; i < m->n_sites; i++)
        if (pattern ? site_glob(name, m->names[i]) : !strcmp(name, m->names[i])) {
            struct alias_value v = {.form = FORM_SITE, .n_sites = 1, .site = {m->sites[i]}};
            callbacks_remove(&m->hooks, (enum callback_dir)direction, bore_alias_at, &v,
                             including_permanent, level);
            found = true;
        }
    struct alias_pick *picks = NULL;
    int n = found ? 0 : alias_select(&m->m->cfg, name, &picks, &e);
    for (int i = 0; i < n; i++)
        callbacks_remove(&m->hooks, (enum callback_dir)direction, bore_alias_at, &picks[i].value,
                         including_permanent, level);
    free(picks);
    bore_alias_sweep(m, false);
    return bore_done(n < 0 ? n : 0, &e, error);
}

void bore_reset_hooks(struct bore_model *m, bool clear_contexts, enum bore_direction direction,
                      bool including_permanent, int level)
{
    if (clear_contexts)
        bore_clear_contexts(m);
    callbacks_remove(&m->hooks, (enum callback_dir)direction, NULL, NULL, including_permanent,
                     level);
    bore_alias_sweep(m, false);
}

bool bore_has_hooks(const struct bore_model *m, const char *name, enum bore_direction direction,
                    bool including_permanent, int level)
{
    struct alias_value v;
    if (name && alias_find(&m->m->cfg, name, &v, NULL))
        return false;
    return callbacks_any(&m->hooks, (enum callback_dir)direction, name ? bore_alias_at : NULL, &v,
                         including_permanent, level);
}

/* A hook on several sites has a callback at each; one of them stands for it. */
static bool stands_for_hook(const struct callback *c)
{
    const struct bore_alias *a = bore_alias_of(c);
    return !a || site_same(a->calls_at, c->site);
}

int bore_hook_count(const struct bore_model *m)
{
    int n = 0;
    for (int i = 0; i < m->hooks.n; i++)
        n += stands_for_hook(&m->hooks.list[i]);
    return n;
}

struct bore_hook_info bore_hook_at(const struct bore_model *m, int i)
{
    const struct callback *c = m->hooks.list;
    while (!stands_for_hook(c) || i-- > 0)
        c++;
    const struct bore_alias *a = bore_alias_of(c);
    return (struct bore_hook_info){a ? a->name : m->names[bore_site_index(m, c->site)],
                                   c->dir == CALLBACK_BACKWARD,
                                   c->flags,
                                   c->level,
                                   a ? a->fn : (bore_hook_fn *)c->inner,
                                   a ? a->user : c->user};
}

void **bore_context(struct bore_model *m, const char *name)
{
    struct alias_value v;
    return alias_find(&m->m->cfg, name, &v, NULL) || !v.n_sites
               ? NULL
               : &m->contexts[bore_site_index(m, v.site[0])];
}

void bore_clear_contexts(struct bore_model *m)
{
    memset(m->contexts, 0, (size_t)m->n_sites * sizeof *m->contexts);
}
