/* bore_alias.c - the library's hooks under names that are no site's: a tensor that is a site in
 * another shape (heads joined), several sites in one (a fused projection), the input of a norm,
 * which is copied to the heads of three sites (arch_names.def), or the positions of one expert.
 *
 * A hook on several sites has a callback at each.  A fused projection's are written one after the
 * other before anything reads them: the callback of the last one, which sees the others' values
 * beside its own, joins them, calls the hook, and takes them apart again.  A norm's input is shown
 * by the first of its copies; the others are given what the hook left there.  An expert's callback
 * sees beside its site where the positions go.  Tested in tests/engine/test_library_names.c and
 * test_library_experts.c. */
#include "lib/bore_parts.h"

#include <stdlib.h>
#include <string.h>

static bool is_fused(const struct alias_value *v)
{
    return v->form == FORM_THIRDS || v->form == FORM_HEADS || v->form == FORM_PAIR;
}

static bool is_joint(const struct alias_value *v)
{
    return is_fused(v) || v->spread || v->form == FORM_EXPERT;
}

static int room_for(struct bore_alias *a, int64_t n, struct err *e)
{
    if (n <= a->room)
        return 0;
    float *buf = realloc(a->buf, (size_t)n * sizeof *buf);
    if (!buf)
        return err_memory(e, "a hook on %s", a->name);
    a->buf = buf, a->room = n;
    return 0;
}

/* Joined columns of the parts to the buffer, or back.  seen: the values of the last part, then of
 * those before it. */
static void join(const struct bore_alias *a, const struct config *cfg, const struct kn_view *seen,
                 const struct kn_view *whole, bool back)
{
    for (int i = 0; i < a->n_parts; i++) {
        struct kn_view mine = alias_part(cfg, &a->value, i, whole);
        const struct kn_view *site = &seen[(i + 1) % a->n_parts];
        if (site->ndim == 2) /* it has no heads */
            mine = kn_index(mine, 1, 0);
        capture_move(back ? site : &mine, back ? &mine : site);
    }
}

static int call_joined(const struct callback *self, struct bore_alias *a, int32_t row0,
                       const struct kn_view *v, struct err *e)
{
    const struct config *cfg = &((struct bore_model *)self->owner)->m->cfg;
    int64_t shape[ALIAS_RANK_MAX];
    if (!site_same(self->site, a->calls_at))
        return 0;
    alias_shape(cfg, &a->value, (int32_t)v->shape[0], shape, NULL);
    int rc = room_for(a, shape[0] * shape[1], e);
    if (rc)
        return rc;
    struct kn_view whole = kn_view2(a->buf, KN_F32, shape[0], shape[1]);
    join(a, cfg, v, &whole, false);
    rc = bore_hook_call(self, a->name, a->fn, a->user, row0, &whole, e);
    if (!rc && !(self->flags & CALLBACK_READS))
        join(a, cfg, v, &whole, true);
    return rc;
}

/* Rows of the buffer as a copy `v` takes them, each of its heads the same. */
static struct kn_view copy_from(struct kn_view rows, const struct kn_view *v)
{
    if (v->ndim < 3)
        return rows;
    rows.ndim = 3;
    rows.shape[2] = rows.shape[1], rows.stride[2] = rows.stride[1];
    rows.shape[1] = v->shape[1], rows.stride[1] = 0;
    return rows;
}

static int call_spread(const struct callback *self, struct bore_alias *a, int32_t row0,
                       const struct kn_view *v, struct err *e)
{
    int64_t rows = v->shape[0], columns = v->shape[v->ndim - 1];
    bool shows = site_same(self->site, a->calls_at);
    int rc = shows ? room_for(a, rows * columns, e) : 0;
    if (rc)
        return rc;
    struct kn_view whole = kn_view2(a->buf, KN_F32, rows, columns), mine = copy_from(whole, v);
    if (shows) {
        struct kn_view head = v->ndim < 3 ? *v : kn_slice(*v, 1, 0, 1),
                       to = copy_from(whole, &head);
        capture_move(&to, &head);
        rc = bore_hook_call(self, a->name, a->fn, a->user, row0, &whole, e);
    }
    if (!rc)
        capture_move(v, &mine);
    return rc;
}

/* v[0]: what the slots of each row hold; v[1]: the expert of each. */
static int call_expert(const struct callback *self, struct bore_alias *a, int32_t row0,
                       const struct kn_view *v, struct err *e)
{
    if (!site_same(self->site, a->calls_at))
        return 0;
    int64_t rows = v->shape[0], slots = v->shape[1], d = v->shape[2];
    int rc = room_for(a, rows * d, e);
    if (rc)
        return rc;
    struct kn_view mine = kn_view2(a->buf, KN_F32, rows, d);
    memset(a->buf, 0, (size_t)(rows * d) * sizeof *a->buf);
    for (int back = 0; !rc && back < 2; back++) {
        for (int64_t i = 0; i < rows * slots; i++) {
            struct kn_view slot = kn_slice(*v, 0, i / slots, i / slots + 1),
                           row = kn_slice(mine, 0, i / slots, i / slots + 1);
            slot = kn_index(slot, 1, i % slots);
            if ((int32_t)kn_f32(&v[1])[i / slots * v[1].stride[0] + i % slots * v[1].stride[1]] ==
                a->value.expert)
                capture_move(back ? &slot : &row, back ? &row : &slot);
        }
        if (!back)
            rc = bore_hook_call(self, a->name, a->fn, a->user, row0, &mine, e);
        if (self->flags & CALLBACK_READS)
            break;
    }
    return rc;
}

/* The engine's callback behind every hook under another library's name. */
static int call_alias(const struct callback *self, int32_t row0, const struct kn_view *v,
                      struct err *e)
{
    struct bore_alias *a = self->user;
    if (a->value.form == FORM_EXPERT)
        return call_expert(self, a, row0, v, e);
    if (a->value.form == FORM_FLAT || is_fused(&a->value))
        return call_joined(self, a, row0, v, e);
    if (a->n_parts > 1)
        return call_spread(self, a, row0, v, e);
    struct kn_view shown = alias_view(&a->value, v);
    return bore_hook_call(self, a->name, a->fn, a->user, row0, &shown, e);
}

const struct bore_alias *bore_alias_of(const struct callback *c)
{
    return c->fn == call_alias ? c->user : NULL;
}

bool bore_alias_at(const struct callback *c, const void *user)
{
    const struct alias_value *v = user;
    const struct bore_alias *a = bore_alias_of(c);
    if (!v->n_sites)
        return false;
    if (is_joint(v) || (a && is_joint(&a->value)))
        return a && a->value.form == v->form && a->value.spread == v->spread &&
               a->value.expert == v->expert && site_same(a->value.site[0], v->site[0]);
    return site_same(c->site, v->site[0]);
}

static int check(const struct alias_pick *pick, enum bore_direction d, unsigned flags,
                 struct err *e)
{
    const struct alias_value *v = &pick->value;
    if (!v->n_sites || (!v->n_edits && d == BORE_BACKWARD))
        return err_set(e, ERR_BAD_INPUT, "a hook on %s · %s", pick->name, v->why);
    if (!v->n_edits && !(flags & BORE_READS))
        return err_set(e, ERR_BAD_INPUT, "a hook on %s · %s; to look only, say BORE_READS",
                       pick->name, v->why);
    if (d == BORE_BACKWARD && is_fused(v))
        return err_set(
            e, ERR_BAD_INPUT,
            "a backward hook on %s · it is made of several hooks, whose gradients come one after the other · "
            "hook these: hook_q, hook_k and hook_v, or mlp.hook_pre and mlp.hook_pre_linear",
            pick->name);
    if (d == BORE_BACKWARD && v->spread)
        return err_set(
            e, ERR_BAD_INPUT,
            "a backward hook on %s · its gradient is the sum of those of hook_q_input, hook_k_input and hook_v_input · "
            "hook these",
            pick->name);
    return 0;
}

/* The sites that get a callback: what is read, or what a change must reach.  Of an expert: what its
 * slots hold, before which a forward pass keeps where they go. */
static void parts_set(struct bore_alias *a, enum bore_direction d, unsigned flags)
{
    const struct alias_value *v = &a->value;
    bool edits = v->spread && !(flags & BORE_READS);
    if (v->form == FORM_EXPERT) {
        if (d == BORE_FORWARD)
            a->part[a->n_parts++] = (struct site_ref){SITE_EXPERT_INDICES, v->site[0].layer};
        a->part[a->n_parts++] = a->calls_at = v->site[0];
        return;
    }
    a->n_parts = edits ? v->n_edits : v->n_sites;
    memcpy(a->part, edits ? v->edit : v->site, sizeof a->part);
    a->calls_at = a->part[is_fused(v) ? a->n_parts - 1 : 0];
}

int bore_alias_add(struct bore_model *m, enum bore_direction d, const struct bore_hook *h,
                   const struct alias_pick *pick, int level, struct err *e)
{
    int rc = check(pick, d, h->flags, e);
    struct bore_alias *a = rc ? NULL : calloc(1, sizeof *a);
    if (!a)
        return rc ? rc : err_memory(e, "a hook");
    memcpy(a->name, pick->name, sizeof a->name);
    a->value = pick->value, a->fn = h->fn, a->user = h->user;
    parts_set(a, d, h->flags);
    a->next = m->aliases;
    m->aliases = a;
    for (int i = 0; !rc && i < a->n_parts; i++) {
        struct callback c = {.site = a->part[i],
                             .dir = (enum callback_dir)d,
                             .flags = h->flags,
                             .level = level,
                             .fn = call_alias,
                             .user = a,
                             .owner = m};
        bool expert = a->value.form == FORM_EXPERT, last = i == a->n_parts - 1;
        if (expert && !last) /* where they go is only looked at */
            c.flags |= CALLBACK_READS;
        if (is_fused(&a->value) && last) {
            memcpy(c.with, a->part, sizeof c.with);
            c.n_with = i;
        } else if (expert && last) {
            c.with[0] = (struct site_ref){SITE_EXPERT_INDICES, a->value.site[0].layer};
            c.n_with = 1;
        }
        rc = callbacks_add(&m->hooks, &c, e);
    }
    return rc;
}

int bore_alias_check_metric(const struct callbacks *c, struct err *e)
{
    for (int32_t i = 0; i < c->n; i++) {
        const struct bore_alias *a = bore_alias_of(&c->list[i]);
        if (a && is_fused(&a->value) && !(c->list[i].flags & (CALLBACK_READS | CALLBACK_GRAD_PASS)))
            return err_set(
                e, ERR_BAD_INPUT,
                "a hook on %s in a pass with a metric · which of its elements changed is not known · hook hook_q, hook_k and "
                "hook_v, or say BORE_READS or BORE_GRAD_PASS",
                a->name);
    }
    return 0;
}

void bore_alias_sweep(struct bore_model *m, bool all)
{
    for (struct bore_alias **p = &m->aliases; *p && !m->work->depth;) {
        struct bore_alias *a = *p;
        bool used = false;
        for (int32_t i = 0; !all && i < m->hooks.n && !used; i++)
            used = bore_alias_of(&m->hooks.list[i]) == a;
        if (used) {
            p = &a->next;
            continue;
        }
        *p = a->next;
        free(a->buf);
        free(a);
    }
}
