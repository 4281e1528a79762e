/* sweep_cell.c - what one cell of a sweep does: its holes filled, its edits resolved
 * (sweep_parts.h). */
#include "measure/sweep_parts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The values of a cell on each axis. */
static void cell_at(const struct sweep *s, int32_t cell, int32_t at[SWEEP_AXES_MAX])
{
    for (int32_t i = s->set.n_axes; i-- > 0;) {
        at[i] = cell % s->set.axis[i].size;
        cell /= s->set.axis[i].size;
    }
}

static int32_t part_of(const struct sweep *s, const int32_t *at)
{
    return s->set.n_axes && s->set.axis[0].role == SWEEP_TYPE ? at[0] : 0;
}

/* The position of a prompt that a value of a position axis means: -1 none there; false: the value
 * is a text that the edit language places. */
static bool position_of(const struct sweep *s, const struct sweep_side *d,
                        const struct sweep_axis *x, int32_t i, int32_t *pos)
{
    int32_t v;
    if (!sweep_axis_number(x, i, &v))
        return false;
    v += v < 0 ? s->columns : 0;
    *pos = v >= 0 && v < s->columns ? d->column[v] : INT32_MAX;
    return true;
}

int32_t sweep_position(const struct sweep *s, int32_t axis, int32_t i)
{
    const struct sweep_axis *x = &s->set.axis[axis];
    int32_t pos = -1;
    return x->role == SWEEP_POS && position_of(s, &s->side[0], x, i, &pos) && pos != INT32_MAX ? pos
                                                                                               : -1;
}

static int no_position(const struct sweep *s, const struct sweep_axis *x, int32_t i, struct err *e)
{
    char text[16];
    return err_set(e, ERR_BAD_INPUT, "%s %s · the prompt has positions %d..%d", x->name,
                   sweep_axis_text(x, i, text), -(int)s->columns, (int)s->columns - 1);
}

int sweep_cell_edit(const struct sweep *s, const struct sweep_side *d, int32_t cell, int32_t i,
                    char text[LIMIT_EDIT_TEXT], bool *there, struct err *e)
{
    int32_t at[SWEEP_AXES_MAX], pos;
    char own[SWEEP_AXES_MAX][16];
    const char *value[SWEEP_AXES_MAX] = {0};
    cell_at(s, cell, at);
    const struct sweep_part *part = &s->set.part[part_of(s, at)];
    *there = true;
    for (int32_t k = 0; k < s->set.n_axes; k++) {
        const struct sweep_axis *x = &s->set.axis[k];
        value[k] = sweep_axis_text(x, at[k], own[k]);
        if (part->size[k] && at[k] >= part->size[k])
            *there = false;
        if (x->role != SWEEP_POS || !position_of(s, d, x, at[k], &pos))
            continue;
        if (pos == INT32_MAX)
            return no_position(s, x, at[k], e);
        *there &= pos >= 0;
        snprintf(own[k], sizeof own[k], "%d", (int)pos);
        value[k] = own[k];
    }
    return *there ? sweep_text_fill(&part->edit[i], value, text, e) : 0;
}

bool sweep_cell_there(const struct sweep *s, const struct sweep_side *d, int32_t cell)
{
    char text[LIMIT_EDIT_TEXT];
    bool there;
    return sweep_cell_edit(s, d, cell, 0, text, &there, NULL) || there;
}

static int32_t cell_edits(const struct sweep *s, int32_t cell)
{
    int32_t at[SWEEP_AXES_MAX];
    cell_at(s, cell, at);
    return s->set.part[part_of(s, at)].n;
}

int sweep_cell_text(const struct sweep *s, int32_t cell, char *buf, size_t size)
{
    char text[LIMIT_EDIT_TEXT];
    bool there;
    int n = 0;
    for (int32_t i = 0; i < cell_edits(s, cell); i++) {
        if (sweep_cell_edit(s, &s->side[0], cell, i, text, &there, NULL) || !there)
            return 0;
        bool room = (size_t)n < size;
        n += snprintf(room ? buf + n : NULL, room ? size - (size_t)n : 0, "%s%s", i ? "\n" : "",
                      text);
    }
    return n;
}

/* Edits of one cell on their way to a program. */
struct edits {
    struct edit **item;
    bool *on;              /* [room], as item */
    int32_t n, kept, room; /* the first `kept` are the prompt's own */
};

static int edits_init(struct edits *l, const struct sweep_side *d, int32_t more, struct err *e)
{
    *l = (struct edits){.room = d->target.n_edits + more};
    l->item = calloc((size_t)l->room + 1, sizeof(struct edit *));
    l->on = calloc((size_t)l->room + 1, sizeof *l->on);
    for (; l->item && l->n < d->target.n_edits; l->n++)
        l->item[l->n] = d->target.edits[l->n];
    l->kept = l->n;
    return l->item && l->on ? 0 : err_memory(e, "edits");
}

static void edits_free(struct edits *l)
{
    while (l->n > l->kept)
        edit_free(l->item[--l->n]);
    free(l->item), free(l->on);
}

static int edits_parse(struct edits *l, const char *text, struct err *e)
{
    assert(l->n < l->room);
    int rc = edit_parse(&l->item[l->n], text, e);
    if (rc)
        err_prefix(e, "cell \"%.100s\"", text);
    l->n += !rc;
    return rc;
}

enum { FROZEN_MOST = 2 };

/* On the way from sender to receivers attention gives what it gave. */
static int edits_freeze(const struct sweep *s, struct edits *l, struct err *e)
{
    int rc = edits_parse(l, "blocks.*.attn.hook_z = from(" SWEEP_EDITED ")", e);
    if (!rc && s->freeze_mlp)
        rc = edits_parse(l, "blocks.*.hook_mlp_out = from(" SWEEP_EDITED ")", e);
    return rc;
}

int sweep_cell_program(struct sweep *s, struct sweep_side *d, int32_t cell, enum sweep_half half,
                       struct edit_program **out, struct err *e)
{
    char text[LIMIT_EDIT_TEXT];
    struct edit_context ctx = sweep_context(s, d);
    struct edits l;
    int32_t first = half == SWEEP_RECEIVERS ? s->n_senders : 0,
            end = half == SWEEP_SENDERS ? s->n_senders : cell_edits(s, cell);
    int rc = edits_init(&l, d, end - first + FROZEN_MOST, e);
    for (int32_t i = 0; i < l.room && !rc; i++)
        l.on[i] = half != SWEEP_OWN || i >= l.kept;
    if (!rc && half == SWEEP_SENDERS)
        rc = edits_freeze(s, &l, e);
    for (int32_t i = first; i < end && !rc; i++) {
        bool there;
        rc = sweep_cell_edit(s, d, cell, i, text, &there, e);
        if (!rc && there)
            rc = edits_parse(&l, text, e);
    }
    if (!rc)
        rc = edit_resolve(out, l.item, l.on, l.n, &ctx, e);
    edits_free(&l);
    return rc;
}

bool sweep_masked(const struct edit_program *p)
{
    for (int32_t i = 0; i < p->n_instrs; i++) {
        const struct edit_instr *a = &p->instrs[i];
        if (!site_is_attention(a->site.id) || a->full || a->axis[2].list || a->axis[1].list ||
            a->axis[2].lo <= a->axis[1].lo + a->axis[1].n - 1)
            return false;
    }
    return p->n_instrs && !p->n_weights;
}
