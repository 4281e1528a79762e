/* attribute_put.c - what would stand in place of a value, without computing a run where it does
 * (see attribute_parts.h).
 *
 * Whatever the edit language can write can be put: the edits are resolved as a pair's are, held by
 * a fork that is never computed, and applied to copies. */
#include "measure/attribute_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edit/reference.h"
#include "run/reference_mean.h"
#include "run/run_parts.h"

static int edits_parse(struct attribute_put *u, const char *const *hooks, int n, const char *with,
                       struct err *e)
{
    char right[LIMIT_EDIT_TEXT - LIMIT_NAME], text[LIMIT_EDIT_TEXT];
    int rc = sweep_kind_right(with, right, sizeof right, e);
    if (!rc && !(u->edits = calloc((size_t)n, sizeof(struct edit *))))
        rc = err_memory(e, "attributions");
    for (; !rc && u->n_edits < n; u->n_edits += !rc) {
        snprintf(text, sizeof text, "%s%s", hooks[u->n_edits], right);
        rc = edit_parse(&u->edits[u->n_edits], text, e);
    }
    return rc;
}

static const struct pair_prompt *prompt_find(const struct pair_target *t, const char *name)
{
    for (int32_t i = 0; i < t->n_prompts; i++)
        if (!strcmp(t->prompts[i].name, name))
            return &t->prompts[i];
    return NULL;
}

/* What runs always keep, or make of that by a copy: keeping more for them is not worth its memory.
 */
static bool is_kept(const struct plan *p, const struct edit_program *prog)
{
    for (int32_t i = 0; i < prog->n_instrs; i++) {
        enum site_id s = prog->instrs[i].site.id;
        if (s != SITE_RESID_PRE && !p->carried[s])
            return false;
    }
    return true;
}

/* The run of a source: the base, or one of its own. */
static int source_run(struct attribute_put *u, const struct pair_target *t,
                      const struct edit_source *from, size_t cache_bytes, struct run **out,
                      struct err *e)
{
    struct run_options opt = {.cache_bytes = cache_bytes};
    struct run_input in;
    if (from->set) {
        const int64_t *start = from->set->start + from->prompt;
        in = run_ids(from->set->tokens + start[0], (int32_t)(start[1] - start[0]));
    } else if (!strcmp(from->name, "base")) {
        *out = u->base;
        return 0;
    } else {
        const struct pair_prompt *prompt = prompt_find(t, from->name);
        if (!prompt)
            return err_set(e, ERR_BAD_INPUT,
                           "no run is called \"%s\" · name one with its prompt: --run %s=TEXT",
                           from->name, from->name);
        in = run_ids(prompt->tokens, prompt->n);
        in.image = prompt->image;
    }
    *out = run_create(run_model(u->base), NULL, &opt, e);
    return *out ? run_sync(*out, in, NULL, NULL, NULL, e) : err_code(e);
}

int attribute_put_open(struct attribute_put *u, struct pair *p, const struct pair_target *t,
                       const char *const *hooks, int n, const struct attribute_options *o,
                       struct err *e)
{
    struct pair_target with = *t;
    struct run_options none = {0};
    u->base = pair_run(p, FACE_BASE);
    int rc = edits_parse(u, hooks, n, o->with ? o->with : "zero", e);
    u->resolved.unlisted = true;
    with.edits = u->edits, with.on = NULL, with.n_edits = u->n_edits;
    if (!rc)
        rc = pair_edits_resolve(&u->resolved, run_model(u->base), &with, false, &u->program, e);
    if (rc)
        return rc;
    if (!(u->reads = calloc((size_t)u->program->n_sources + 1, sizeof(struct run *))))
        return err_memory(e, "attributions");
    size_t bytes = is_kept(run_model(u->base)->plan, u->program) ? 0 : o->cache_bytes;
    for (int32_t i = 0; !rc && i < u->program->n_sources; i++)
        rc = source_run(u, t, &u->program->sources[i], bytes, &u->reads[i], e);
    if (!rc && u->program->needs_means) {
        u->means = reference_means_open(run_model(u->base), e);
        rc = u->means ? reference_means_fill(u->means, u->program, e) : err_code(e);
    }
    if (!rc && !(u->fork = run_create(run_model(u->base), u->base, &none, e)))
        rc = err_code(e);
    return rc ? rc : run_edits_set(u->fork, u->program, u->reads, e);
}

void attribute_put_close(struct attribute_put *u)
{
    run_free(u->fork);
    for (int32_t i = 0; u->reads && i < u->program->n_sources; i++)
        if (u->reads[i] != u->base)
            run_free(u->reads[i]);
    free(u->reads);
    if (u->means)
        reference_means_close(u->means);
    edit_program_free(u->program);
    pair_edits_free(&u->resolved);
    for (int i = 0; i < u->n_edits; i++)
        edit_free(u->edits[i]);
    free(u->edits);
    *u = (struct attribute_put){0};
}

bool attribute_put_reads_run(const struct attribute_put *u)
{
    return u->program->n_sources > 0;
}

int attribute_put_values(struct run *fork, struct run *r, struct site_ref s, int32_t row0,
                         int32_t row1, float *value, float *put, struct err *e)
{
    int64_t shape[SITE_RANK_MAX];
    int32_t stage = plan_stage_of(r->m->plan, s);
    struct kn_backend *be = stage_backend(r, stage);
    int rank = site_shape(&r->m->cfg, s.id, run_length(r), shape),
        rc = run_read(r, s, row0, row1, value, NULL, e);
    shape[site_row_axis(s.id)] = row1 - row0;
    struct kn_view copy = kn_packed(put, KN_F32, rank, shape);
    size_t bytes = (size_t)kn_count(&copy) * sizeof *put;
    memcpy(put, value, bytes);
    if (rc || !run_has_edits(fork, stage, s.id))
        return rc;
    if (be->unified) /* the host's memory can be an operand */
        return run_edits_apply(fork, stage, s.id, &copy, row0, e);
    copy.data = be->type->alloc(be, bytes);
    rc = copy.data ? run_write(be, &copy, value, e) : run_no_room(be, e, "attributions");
    if (!rc)
        rc = run_edits_apply(fork, stage, s.id, &copy, row0, e);
    if (!rc)
        rc = run_fetch(be, &copy, put, e);
    be->type->release(be, copy.data, bytes);
    return rc;
}
