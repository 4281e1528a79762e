/* bore_hooks.c - the library's hooks: adding, levels, removing, contexts (see borescope.h).
 * Tested in tests/engine/test_lifecycle.c. */
#include "bore_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static_assert((int)BORE_FORWARD == (int)CALLBACK_FORWARD && (int)BORE_BACKWARD == (int)CALLBACK_BACKWARD, "directions are the engine's");
static_assert((int)BORE_PERMANENT == (int)CALLBACK_PERMANENT && (int)BORE_PREPEND == (int)CALLBACK_PREPEND &&
              (int)BORE_READS == (int)CALLBACK_READS && (int)BORE_GRAD_PASS == (int)CALLBACK_GRAD_PASS, "flags are the engine's");
static_assert((int)BORE_ANY_LEVEL == (int)CALLBACK_ANY_LEVEL, "levels are the engine's");

/* The engine's callback behind every hook. */
static int call_hook(const struct callback *self, int32_t row0, const struct kn_view *v, struct err *e)
{
    struct bore_model *m = self->owner;
    int i = bore_site_index(m, self->site);
    struct bore_tensor t = { .data = v->data, .rank = v->ndim + 1, .shape = { 1 } };
    for (int d = 0; d < v->ndim; d++)
        t.shape[d + 1] = v->shape[d], t.stride[d + 1] = v->stride[d];
    struct bore_error said = { 0 };
    struct bore_at at = {
        .model = m, .name = m->names[i], .layer = self->site.layer, .backward = self->dir == CALLBACK_BACKWARD, .row = m->row, .rows = m->rows,
        .pos0 = row0, .columns = m->columns, .context = &m->contexts[i], .error = &said,
    };
    int rc = ((bore_hook_fn *)self->inner)(&t, &at, self->user);
    if (!rc)
        return 0;
    said.text[sizeof said.text - 1] = '\0';
    if (said.text[0])
        return err_set(e, BORE_HOOK_FAILED, "%s · %s", at.name, said.text);
    return err_set(e, BORE_HOOK_FAILED, "%s · a hook stopped the pass: it returned %d", at.name, rc);
}

int bore_hook_sites(const struct bore_model *m, const struct bore_hook *h, struct site_ref *out, struct err *e)
{
    const struct config *cfg = &m->m->cfg;
    int n = 0;
    if (!h->name && !h->match)
        return err_set(e, ERR_BAD_INPUT, "a hook without a point · give a name, a pattern or a match function");
    if (h->name)
        n = site_select(cfg, h->name, out, e);
    for (int i = 0; !h->name && i < m->n_sites; i++)
        if (site_fires(cfg, m->sites[i].id) && h->match(m->names[i], h->user))
            out[n++] = m->sites[i];
    if (n == 0)
        return err_set(e, ERR_BAD_INPUT, "a match function · it matches no hook point that fires · bore_point_at lists them");
    for (int i = 0; i < n; i++)
        if (site_refusal(cfg, out[i].id))
            return err_set(e, ERR_BAD_INPUT, "%s · %s", m->names[bore_site_index(m, out[i])], site_refusal(cfg, out[i].id));
    return n;
}

int bore_hook_add(struct bore_model *m, enum bore_direction d, const struct bore_hook *h, int level, struct err *e)
{
    if (d != BORE_FORWARD && d != BORE_BACKWARD)
        return err_set(e, ERR_BAD_INPUT, "a hook · its direction is forward or backward");
    if (!h->fn)
        return err_set(e, ERR_BAD_INPUT, "a hook · it has no function");
    struct site_ref *sites = malloc((size_t)(m->m->cfg.n_layers + 1) * SITE_COUNT * sizeof *sites);
    int n = sites ? bore_hook_sites(m, h, sites, e) : err_set(e, ERR_SYSTEM, "out of memory · a hook"), rc = n < 0 ? n : 0;
    for (int i = 0; !rc && i < n; i++) {
        if (d == BORE_BACKWARD && sites[i].id == SITE_TOKENS)
            rc = err_set(e, ERR_BAD_INPUT, "hook_tokens · token ids have no gradient · take hook_embed");
        struct callback c = {
            .site = sites[i], .dir = (enum callback_dir)d, .flags = h->flags, .level = level, .fn = call_hook, .user = h->user, .owner = m,
            .inner = (void (*)(void))h->fn,
        };
        if (!rc)
            rc = callbacks_add(&m->hooks, &c, e);
    }
    free(sites);
    return rc;
}

/* The list never shrinks its memory, so there is room. */
static void put_back(struct bore_model *m, const struct callbacks *before)
{
    if (before->n)
        memcpy(m->hooks.list, before->list, (size_t)before->n * sizeof *before->list);
    m->hooks.n = before->n;
}

int bore_add_hook(struct bore_model *m, enum bore_direction direction, const struct bore_hook *hook, struct bore_error *error)
{
    struct err e = { 0 };
    struct callbacks before = { 0 };
    int rc = callbacks_copy(&before, &m->hooks, &e);
    if (!rc && (rc = bore_hook_add(m, direction, hook, BORE_NO_LEVEL, &e)))
        put_back(m, &before);
    callbacks_free(&before);
    return bore_done(rc, &e, error);
}

int bore_hooks_enter(struct bore_model *m, const struct bore_hook *forward, int n_forward, const struct bore_hook *backward, int n_backward,
                     struct err *e)
{
    struct callbacks before = { 0 };
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

int bore_enter(struct bore_model *m, const struct bore_hook *forward, int n_forward, const struct bore_hook *backward, int n_backward,
               int *level, struct bore_error *error)
{
    struct err e = { 0 };
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

int bore_remove_hooks(struct bore_model *m, const char *name, enum bore_direction direction, bool including_permanent, int level,
                      struct bore_error *error)
{
    struct err e = { 0 };
    if (!name) {
        bore_reset_hooks(m, false, direction, including_permanent, level);
        return 0;
    }
    bool pattern = site_is_pattern(name), found = false;
    for (int i = 0; i < m->n_sites; i++)
        if (pattern ? site_glob(name, m->names[i]) : !strcmp(name, m->names[i])) {
            callbacks_remove(&m->hooks, (enum callback_dir)direction, &m->sites[i], including_permanent, level);
            found = true;
        }
    struct site_ref unused;
    int rc = found ? 0 : pattern ? err_set(&e, ERR_BAD_INPUT, "no hook matches \"%.100s\" · bore_point_at lists them", name)
                                 : site_find(&m->m->cfg, name, &unused, &e);
    return bore_done(rc, &e, error);
}

void bore_reset_hooks(struct bore_model *m, bool clear_contexts, enum bore_direction direction, bool including_permanent, int level)
{
    if (clear_contexts)
        bore_clear_contexts(m);
    callbacks_remove(&m->hooks, (enum callback_dir)direction, NULL, including_permanent, level);
}

bool bore_has_hooks(const struct bore_model *m, const char *name, enum bore_direction direction, bool including_permanent, int level)
{
    struct site_ref s;
    if (name && site_find(&m->m->cfg, name, &s, NULL))
        return false;
    return callbacks_any(&m->hooks, (enum callback_dir)direction, name ? &s : NULL, including_permanent, level);
}

int bore_hook_count(const struct bore_model *m)
{
    return m->hooks.n;
}

struct bore_hook_info bore_hook_at(const struct bore_model *m, int i)
{
    const struct callback *c = &m->hooks.list[i];
    return (struct bore_hook_info){ m->names[bore_site_index(m, c->site)], c->dir == CALLBACK_BACKWARD, c->flags, c->level,
                                    (bore_hook_fn *)c->inner, c->user };
}

void **bore_context(struct bore_model *m, const char *name)
{
    struct site_ref s;
    return site_find(&m->m->cfg, name, &s, NULL) ? NULL : &m->contexts[bore_site_index(m, s)];
}

void bore_clear_contexts(struct bore_model *m)
{
    memset(m->contexts, 0, (size_t)m->n_sites * sizeof *m->contexts);
}
