/* run_callbacks.c - callbacks of a run: when they fire, and what their changes mean (see run.h,
 * run_callbacks).
 *
 * A stage with callbacks runs on all its rows at once, and every site that has one is kept for all
 * rows: when the stage is rematerialised, the kept value stands for the step and what the callback
 * made of it, so that a callback fires once per pass.  Which elements were changed is kept too, for
 * the backward pass. Tested in tests/engine/test_lifecycle.c. */
#include "run/run_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool called_by(const struct run *r, int32_t stage, enum site_id s, enum callback_dir dir,
                      unsigned without)
{
    for (int32_t i = 0; i < r->called.n; i++) {
        const struct callback *c = &r->called.list[i];
        if (c->dir == dir && c->site.id == s && !(c->flags & without) &&
            plan_stage_of(r->m->plan, c->site) == stage)
            return true;
    }
    return false;
}

bool run_called(const struct run *r, int32_t stage, enum site_id s)
{
    return called_by(r, stage, s, CALLBACK_FORWARD, 0);
}

bool run_changed(const struct run *r, int32_t stage, enum site_id s)
{
    return called_by(r, stage, s, CALLBACK_FORWARD, CALLBACK_READS);
}

bool run_called_back(const struct run *r, int32_t stage, enum site_id s, unsigned without)
{
    return called_by(r, stage, s, CALLBACK_BACKWARD, without);
}

bool run_stage_called(const struct run *r, int32_t stage)
{
    for (int32_t i = 0; i < r->called.n; i++)
        if (r->called.list[i].dir == CALLBACK_FORWARD &&
            plan_stage_of(r->m->plan, r->called.list[i].site) == stage)
            return true;
    return false;
}

int32_t run_called_order(const struct run *r)
{
    int32_t order = ORDER_NONE;
    for (int32_t i = 0; i < r->called.n; i++) {
        int32_t o = plan_order(r->m->plan, r->called.list[i].site);
        if (r->called.list[i].dir == CALLBACK_FORWARD && o < order)
            order = o;
    }
    return order;
}

void run_marks_drop(struct run *r)
{
    for (int32_t i = 0; r->marks && i < plan_stages(r->m->plan) * SITE_COUNT; i++) {
        free(r->marks[i]);
        r->marks[i] = NULL;
    }
}

void run_called_free(struct run *r)
{
    run_marks_drop(r);
    callbacks_free(&r->called);
    free(r->marks), free(r->called_full);
}

/* Let go of what only the callbacks before needed. */
static void forget(struct run *r)
{
    run_release_unkept(r);
    run_marks_drop(r);
    if (r->called_full)
        memset(r->called_full, 0, (size_t)plan_stages(r->m->plan) * sizeof *r->called_full);
    r->version++;
}

static int inputs_check(const struct plan *p, const struct callbacks *c, struct err *e)
{
    for (int32_t i = 0; i < c->n; i++)
        for (int32_t j = 0; j < i; j++) {
            const struct callback *a = &c->list[j], *b = &c->list[i];
            if (p->conflicts[a->site.id][b->site.id] && a->site.layer == b->site.layer &&
                a->dir == CALLBACK_FORWARD && b->dir == CALLBACK_FORWARD &&
                !((a->flags | b->flags) & CALLBACK_READS))
                return err_set(
                    e, ERR_BAD_INPUT,
                    "layer %d · %s and %s cannot both be changed · one would hide the other",
                    a->site.layer, site_table[a->site.id].name, site_table[b->site.id].name);
        }
    return 0;
}

int run_callbacks(struct run *r, const struct callbacks *c, int32_t row0, struct err *e)
{
    int rc = c ? inputs_check(r->m->plan, c, e) : 0;
    if (rc)
        return rc;
    int32_t before = run_called_order(r), n_before = r->called.n;
    size_t stages = (size_t)plan_stages(r->m->plan);
    if (!r->marks)
        r->marks = calloc(stages * SITE_COUNT, sizeof *r->marks);
    if (!r->called_full)
        r->called_full = calloc(stages, sizeof *r->called_full);
    if (!r->marks || !r->called_full)
        return err_memory(e, "callbacks");
    if ((rc = callbacks_copy(&r->called, c, e)))
        return rc;
    if (row0 == 0) {
        if (n_before || r->called.n)
            forget(r);
        if (before != ORDER_NONE)
            run_dirty(r, before, 0);
    }
    r->called_row = row0;
    return 0;
}

/* Is any value of a source after its destination visible?  `blank` is what hides it. */
static bool sees_later(const struct kn_view *v, int32_t row0, float blank)
{
    for (int64_t h = 0; h < v->shape[0]; h++)
        for (int64_t i = 0; i < v->shape[1]; i++) {
            const float *p = kn_f32(v) + h * v->stride[0] + i * v->stride[1];
            for (int64_t k = row0 + i + 1; k < v->shape[2]; k++)
                if (p[k] != blank)
                    return true;
        }
    return false;
}

/* Elements of a host view in its order, for the caller to free; NULL: no memory. */
static float *values_copy(const struct kn_view *v)
{
    float *copy = malloc((size_t)kn_count(v) * sizeof *copy + 1);
    if (copy)
        kn_pack(v, copy);
    return copy;
}

/* Mark the elements that differ from what they were, `old`, which lies without gaps. */
static int mark_changes(struct run *r, int32_t stage, enum site_id s, const struct kn_view *now,
                        const float *old, int32_t r0, struct err *e)
{
    int32_t slot = run_slot(stage, s), rows = (int32_t)now->shape[site_row_axis(s)];
    int64_t pitch = run_pitch(r, s), n[3], vs[3], ms[3];
    if (!r->marks[slot] && !(r->marks[slot] = calloc((size_t)(pitch * r->cap), 1)))
        return err_memory(e, "what callbacks changed");
    uint8_t *m = r->marks[slot] + r0 * pitch;
    struct kn_view at = run_site_view(r, s, NULL, 0, rows, r->n);
    run_axes(&at, n, ms);
    run_axes(now, n, vs);
    memset(m, 0, (size_t)(rows * pitch));
    for (int64_t a = 0; a < n[0]; a++)
        for (int64_t b = 0; b < n[1]; b++)
            for (int64_t c = 0; c < n[2]; c++, old++)
                m[a * ms[0] + b * ms[1] + c * ms[2]] = memcmp(kn_f32(now) + a * vs[0] + b * vs[1] +
                                                                  c * vs[2],
                                                              old, sizeof *old) != 0;
    return 0;
}

/* One callback on rows of its site, which `v` holds, and of the sites that it sees beside it. */
static int call_one(struct run *r, int32_t stage, const struct callback *c, int32_t r0,
                    const struct kn_view *v, struct err *e)
{
    struct kn_view shown[1 + CALLBACK_WITH_MAX] = {*v};
    struct host_view with[CALLBACK_WITH_MAX] = {0};
    int32_t rows = (int32_t)v->shape[site_row_axis(c->site.id)];
    int rc = 0;
    for (int i = 0; !rc && i < c->n_with; i++) {
        enum site_id s = c->with[i].id;
        struct kn_view x = run_site_view(r, s, r->keep[run_slot(stage, s)], r0, rows, 0);
        rc = host_view_get(&with[i], stage_backend(r, stage), &x, e);
        shown[i + 1] = with[i].v;
    }
    if (!rc)
        rc = c->fn(c, r0, shown, e);
    for (int i = 0; i < c->n_with; i++)
        if (c->flags & CALLBACK_READS)
            host_view_drop(&with[i]);
        else
            rc = host_view_end(&with[i], stage_backend(r, stage), rc, e);
    return rc;
}

int run_call(struct run *r, int32_t stage, enum site_id s, int32_t r0, int32_t r1, int32_t n_src,
             bool *full, struct err *e)
{
    struct site_ref ref = {s, site_table[s].scope == SCOPE_BLOCK ? stage - 1 : SITE_ROOT};
    bool attn = site_is_attention(s), changes = run_changed(r, stage, s);
    bool ends = r->keep_marks &&
                called_by(r, stage, s, CALLBACK_FORWARD, CALLBACK_READS | CALLBACK_GRAD_PASS);
    struct kn_view v = run_site_view(r, s, r->keep[run_slot(stage, s)], r0, r1 - r0, n_src);
    struct host_view h;
    float *old = NULL;
    int rc = host_view_get(&h, stage_backend(r, stage), &v, e);
    if (!rc && ends && !(old = values_copy(&h.v)))
        rc = err_memory(e, "what callbacks change");
    int32_t at = 0;
    for (const struct callback *c;
         !rc && (c = callbacks_next(&r->called, CALLBACK_FORWARD, ref, &at));)
        rc = call_one(r, stage, c, r0, &h.v, e);
    if (!rc && ends)
        rc = mark_changes(r, stage, s, &h.v, old, r0, e);
    free(old);
    if (!rc && attn && changes && !*full &&
        sees_later(&h.v, r0, s == SITE_PATTERN ? 0.0f : -INFINITY))
        *full = r->called_full[stage] = true;
    if (changes)
        return host_view_end(&h, stage_backend(r, stage), rc, e);
    host_view_drop(&h);
    return rc;
}

int run_marks_apply(const struct run *r, int32_t stage, enum site_id s, int32_t r0,
                    const struct kn_view *g, struct err *e)
{
    const uint8_t *m = r->marks ? r->marks[run_slot(stage, s)] : NULL;
    if (!m)
        return 0;
    struct kn_view at = run_site_view(r, s, NULL, 0, (int32_t)g->shape[site_row_axis(s)], r->n);
    struct host_view h;
    int64_t n[3], ms[3], gs[3];
    int rc = host_view_get(&h, stage_backend(r, stage), g, e);
    if (rc)
        return rc;
    run_axes(&at, n, ms);
    run_axes(&h.v, n, gs);
    m += r0 * run_pitch(r, s);
    for (int64_t a = 0; a < n[0]; a++)
        for (int64_t b = 0; b < n[1]; b++)
            for (int64_t c = 0; c < n[2]; c++)
                if (m[a * ms[0] + b * ms[1] + c * ms[2]])
                    kn_f32(&h.v)[a * gs[0] + b * gs[1] + c * gs[2]] = 0;
    return host_view_end(&h, stage_backend(r, stage), 0, e);
}
