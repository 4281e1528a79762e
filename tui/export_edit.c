/* export_edit.c - what an edit does to a tensor, as a Python function of it.
 *
 * The tensor has the batch axis first and is a copy; a negative number, an anchor or a set has become what it means for these
 * tokens.  Edits that read another run index it as they index the tensor.  Tested in tests/tui/test_export.py. */
#include "export_parts.h"

#include "edit_form.h"
#include "reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One axis of an index. */
struct piece {
    enum { PIECE_WHOLE, PIECE_ONE, PIECE_RANGE, PIECE_LIST } kind;
    int32_t lo, hi, step, size;
    const struct edit_axis *axis;
    bool outside; /* the tensor that is read may be longer: count from the start, name the end */
};

enum index_form {
    INDEX_PLAIN, /* as one would write it: a single element drops its axis */
    INDEX_KEEP   /* no axis is dropped or moved, so that a value of the selection's shape fits */
};

static int32_t axis_value(const struct edit_axis *a, int32_t i)
{
    return a->list ? a->list[i] : a->lo + i;
}

static struct piece piece_of(const struct edit_axis *a, int64_t size, bool outside)
{
    int32_t step = a->n > 1 ? axis_value(a, 1) - axis_value(a, 0) : 1, lo = axis_value(a, 0);
    struct piece p = {PIECE_RANGE, lo, axis_value(a, a->n - 1) + 1, step, (int32_t)size, a, outside};
    for (int32_t i = 2; i < a->n; i++)
        if (axis_value(a, i) - axis_value(a, i - 1) != step)
            p.kind = PIECE_LIST;
    if (a->n == 2 && step > 1)
        p.kind = PIECE_LIST;
    if (a->n == size && !outside)
        p.kind = PIECE_WHOLE;
    else if (a->n == 1)
        p.kind = PIECE_ONE;
    return p;
}

static void put_list(struct bytes *b, const struct piece *p, int nested)
{
    for (int32_t i = 0; i < p->axis->n; i++) {
        bytes_addf(b, "%s", i ? ", " : "[");
        bytes_add_repeat(b, '[', (size_t)nested);
        bytes_addf(b, "%d", (int)axis_value(p->axis, i));
        bytes_add_repeat(b, ']', (size_t)nested);
    }
    bytes_add_char(b, ']');
}

static void put_range(struct bytes *b, const struct piece *p)
{
    bool open = p->hi == p->size && !p->outside;
    if (p->lo)
        bytes_addf(b, "%d", (int)p->lo);
    bytes_add_char(b, ':');
    if (!open)
        bytes_addf(b, "%d", (int)p->hi);
    if (p->step != 1)
        bytes_addf(b, ":%d", (int)p->step);
}

static void put_piece(struct bytes *b, const struct piece *p, enum index_form form)
{
    if (p->kind == PIECE_WHOLE)
        bytes_add_char(b, ':');
    else if (p->kind == PIECE_RANGE || (p->kind == PIECE_ONE && form == INDEX_KEEP))
        put_range(b, p);
    else if (p->kind == PIECE_ONE)
        bytes_addf(b, "%d", p->lo == p->size - 1 && p->size > 1 && !p->outside ? -1 : (int)p->lo);
    else
        put_list(b, p, 0);
}

/* "[:, 2:5, -1]": the batch, then the first n axes of the act, those that are whole at the end left out; nothing, and
 * false, where all are. */
static bool put_index(struct bytes *b, const struct exporter *x, const struct edit_act *act, int n, enum index_form form, bool outside)
{
    struct piece p[SITE_RANK_MAX];
    int64_t shape[SITE_RANK_MAX];
    int lists = 0, last = -1, left;
    site_shape(x->cfg, act->site.id, x->x->n, shape);
    for (int i = 0; i < n; i++) {
        enum site_dim d = site_table[act->site.id].dims[i];
        p[i] = piece_of(&act->axis[i], shape[i], outside && (d == DIM_POS || d == DIM_DEST || d == DIM_SRC));
        lists += p[i].kind == PIECE_LIST;
        last = p[i].kind == PIECE_WHOLE ? last : i;
    }
    if (last < 0)
        return false;
    bool all = lists > 1 && form == INDEX_KEEP; /* lists apart from each other would move their axes to the front */
    if (all)
        last = n - 1;
    left = all ? n : lists;
    bytes_add_string(b, "[:");
    for (int i = 0; i <= last; i++) {
        bytes_add_string(b, ", ");
        if (lists > 1 && (all || p[i].kind == PIECE_LIST))
            put_list(b, &p[i], --left);
        else
            put_piece(b, &p[i], form);
    }
    bytes_add_char(b, ']');
    return true;
}

/* The elements that are assigned to. */
static void put_target(struct bytes *b, const struct exporter *x, const struct edit_act *act, int n, enum index_form form)
{
    bytes_add_char(b, 'x');
    if (!put_index(b, x, act, n, form, false))
        bytes_add_string(b, "[:]");
}

/* ---- values ------------------------------------------------------------------------------------------ */

static const char *hook_word(const struct exporter *x)
{
    return x->to == EXPORT_TRANSFORMER_LENS ? "hook.name" : "name";
}

static int32_t source_length(const struct exporter *x, const struct edit_act *act)
{
    if (act->set && act->value == EDIT_RESAMPLE)
        return (int32_t)(act->set->start[act->source_prompt + 1] - act->set->start[act->source_prompt]);
    for (int32_t i = 0; i < x->x->n_prompts && act->value == EDIT_FROM; i++)
        if (!strcmp(x->x->prompts[i].name, act->source_name))
            return x->x->prompts[i].n;
    return act->value == EDIT_MEAN_REF ? -1 : x->x->n;
}

static void put_factor(struct bytes *b, const struct edit_act *act)
{
    if (act->number != 1.0f) {
        export_float(b, act->number);
        bytes_add_string(b, " * ");
    }
}

/* ref_mean("ref", hook.name) */
static void put_ref_mean(struct exporter *x, struct bytes *b, const struct edit_act *act)
{
    bytes_add_string(b, "ref_mean(");
    export_string(b, act->set->name, strlen(act->set->name));
    bytes_addf(b, ", %s", hook_word(x));
    if (act->source_pos == EDIT_SAME_POS)
        bytes_add_string(b, ", \"same\")");
    else if (act->source_pos == EDIT_ALL_POS)
        bytes_add_string(b, ").expand_as(x)");
    else
        bytes_addf(b, ", %d).expand_as(x)", (int)act->source_pos);
    x->helpers |= HELP_MEAN;
}

/* runs["corrupt"][hook.name][:, 2:5], refs["ref"][3][hook.name][:, -1] */
static void put_source(struct exporter *x, struct bytes *b, const struct edit_act *act)
{
    const char *run = act->set ? act->set->name : act->value == EDIT_FROM ? act->source_name : "base";
    bool same = act->source_pos == EDIT_SAME_POS && act->value != EDIT_MEAN;
    *(act->set ? &x->reads_sets : &x->reads_runs) = true;
    if (act->value == EDIT_MEAN_REF) {
        put_ref_mean(x, b, act);
    } else {
        bytes_add_string(b, act->set ? "refs[" : "runs[");
        export_string(b, run, strlen(run));
        bytes_add_char(b, ']');
        if (act->set)
            bytes_addf(b, "[%d]", (int)act->source_prompt);
        bytes_addf(b, "[%s]", hook_word(x));
        if (act->value == EDIT_MEAN)
            bytes_addf(b, ".mean(%d, keepdim=True).expand_as(x)", site_row_axis(act->site.id) + 1);
        else if (!same)
            bytes_addf(b, "[:, [%d]].expand_as(x)", (int)act->source_pos);
    }
    put_index(b, x, act, act->rank, INDEX_PLAIN, same && source_length(x, act) != x->x->n);
}

/* direction(464, 611)  # " Mary" - " John" */
static void put_direction(struct exporter *x, struct bytes *b, const struct edit *ed)
{
    int32_t id[2];
    for (int i = 0; i < 2; i++)
        id[i] = ed->text[i] ? tokenizer_find(x->x->m->tok, ed->text[i], (size_t)ed->text_len[i]) : ed->token[i];
    bytes_addf(b, "direction(%d, %d)", (int)id[0], (int)id[1]);
    x->helpers |= HELP_DIRECTION;
}

/* "steer.safetensors", "v6"; the path made absolute */
static void put_place(struct bytes *b, const struct edit *ed)
{
    char *path = realpath(ed->text[0], NULL);
    const char *shown = path ? path : ed->text[0];
    export_string(b, shown, strlen(shown));
    bytes_add_string(b, ", ");
    export_string(b, ed->text[1], (size_t)ed->text_len[1]);
    free(path);
}

/* load("steer.safetensors", "v6") */
static void put_file(struct exporter *x, struct bytes *b, const struct edit *ed)
{
    bytes_add_string(b, "load(");
    put_place(b, ed);
    bytes_add_char(b, ')');
    x->helpers |= HELP_LOAD;
}

/* .reshape(3, 5): the axes from the first one along which values differ. */
static void put_shape(struct bytes *b, const struct edit_act *act)
{
    int first = -1;
    for (int i = act->rank - 1; i >= 0; i--)
        first = act->vec_stride[i] ? i : first;
    first = first < 0 ? act->rank - 1 : first;
    bytes_add_string(b, ".reshape(");
    for (int i = first; i < act->rank; i++)
        bytes_addf(b, "%s%d", i == first ? "" : ", ", act->vec_stride[i] ? (int)act->axis[i].n : 1);
    bytes_add_char(b, ')');
}

/* rows("hooks.safetensors", "actadd.layer_0_pre_attn.param", [0, 1, 2]).reshape(3, 15) */
static void put_rows(struct exporter *x, struct bytes *b, const struct edit_act *act, const struct edit *ed)
{
    bytes_add_string(b, "rows(");
    put_place(b, ed);
    bytes_add_string(b, ", ");
    if (act->axis[0].list)
        put_list(b, &(struct piece){.axis = &act->axis[0]}, 0);
    else
        bytes_addf(b, "range(%d, %d)", (int)act->axis[0].lo, (int)(act->axis[0].lo + act->axis[0].n));
    bytes_add_char(b, ')');
    put_shape(b, act);
    x->helpers |= HELP_ROWS;
}

/* mask(...), or the offset that goes with it */
static void put_mask(struct exporter *x, struct bytes *b, const struct edit_act *act, const struct edit *ed)
{
    static const char *const fns[EDIT_MASK_COUNT] = {"lambda p: (p > 0).float()", "torch.sigmoid", "torch.tanh", "torch.relu"};
    bytes_addf(b, "%s(", act->part ? "mask_offset" : "mask");
    put_place(b, ed);
    bytes_addf(b, ", %s)", fns[ed->mask_fn]);
    put_shape(b, act);
    x->helpers |= HELP_MASK;
}

/* A tensor laid on the selection's axes: written out unless it runs along the last axis alone. */
static void put_vector(struct exporter *x, struct bytes *b, const struct edit_act *act, const struct edit *ed)
{
    put_file(x, b, ed);
    if (act->vec_stride[0] || (act->rank == 3 && act->vec_stride[1]) || !act->vec_stride[act->rank - 1])
        put_shape(b, act);
}

static bool is_whole(const struct exporter *x, const struct edit_act *act, int axis)
{
    int64_t shape[SITE_RANK_MAX];
    site_shape(x->cfg, act->site.id, x->x->n, shape);
    return act->axis[axis].n == shape[axis];
}

/* The value at the index, without its factor; false where there is none to write. */
static bool put_value(struct exporter *x, struct bytes *b, const struct edit_act *act, const struct edit *ed)
{
    switch (act->value) {
    case EDIT_NUMBER: export_float(b, act->number); return true;
    case EDIT_FROM:
    case EDIT_MEAN:
    case EDIT_FROZEN:
    case EDIT_RESAMPLE:
    case EDIT_MEAN_REF:
        put_source(x, b, act);
        return true;
    case EDIT_CLAMP:
        bytes_add_char(b, 'x');
        put_index(b, x, act, act->rank, INDEX_PLAIN, false);
        bytes_add_string(b, ".clone().clamp("); /* its gradient needs the values that are about to be overwritten */
        export_float(b, act->lo);
        bytes_add_string(b, ", ");
        export_float(b, act->hi);
        bytes_add_char(b, ')');
        return true;
    case EDIT_NOISE:
        bytes_addf(b, "noise(x, %s, sigma=", hook_word(x));
        export_float(b, act->sigma);
        bytes_addf(b, ", seed=%d)", (int)act->seed);
        put_index(b, x, act, act->rank, INDEX_PLAIN, false);
        x->helpers |= HELP_NOISE;
        return true;
    case EDIT_DIR:
        put_direction(x, b, ed);
        if (!is_whole(x, act, act->rank - 1)) {
            bytes_add_string(b, ".expand_as(x)");
            put_index(b, x, act, act->rank, INDEX_PLAIN, false);
        }
        return true;
    case EDIT_FILE: put_vector(x, b, act, ed); return true;
    case EDIT_ROWS: put_rows(x, b, act, ed); return true;
    case EDIT_MASK: put_mask(x, b, act, ed); return true;
    default: return false;
    }
}

/* ---- statements -------------------------------------------------------------------------------------- */

/* x[...] = x[...] - (x[...] @ d)[..., None] * d */
static void put_project(struct exporter *x, struct bytes *b, const struct edit_act *act, const struct edit *ed)
{
    bytes_add_string(b, "    d = ");
    if (ed->direction == EDIT_FILE) {
        bytes_add_string(b, "unit(");
        put_file(x, b, ed);
        bytes_add_char(b, ')');
        x->helpers |= HELP_UNIT;
    } else {
        put_direction(x, b, ed);
    }
    bytes_add_string(b, "\n    ");
    put_target(b, x, act, act->rank - 1, INDEX_PLAIN);
    bytes_add_string(b, " -= (x");
    put_index(b, x, act, act->rank - 1, INDEX_PLAIN, false);
    bytes_add_string(b, " @ d)[..., None] * d\n");
}

/* x[:, 2:5] = whiten(x[:, 2:5], "hooks.safetensors", "whiten.layer_0_pre_mlp") */
static void put_whiten(struct exporter *x, struct bytes *b, const struct edit_act *act, const struct edit *ed)
{
    bytes_add_string(b, "    ");
    put_target(b, x, act, 1, INDEX_KEEP);
    bytes_addf(b, " = %s(x", edit_value_words[act->value].word);
    put_index(b, x, act, 1, INDEX_KEEP, false);
    bytes_add_string(b, ", ");
    put_place(b, ed);
    bytes_add_string(b, ")\n");
    x->helpers |= HELP_WHITEN;
}

/* Scores from later positions stay -inf; arithmetic of two of them would not leave them so. */
static bool needs_mask(const struct edit_act *act)
{
    bool attention = act->site.id == SITE_ATTN_SCORES || act->site.id == SITE_PATTERN;
    bool plain = (act->op == EDIT_SET || act->op == EDIT_ADD) && act->number > 0 && isfinite(act->number);
    return attention && !act->full && ((edit_reads_source(act->value) && !plain) || act->value == EDIT_MEAN_REF);
}

static bool brings_shape(enum edit_value_kind v)
{
    return v == EDIT_FILE || v == EDIT_ROWS || v == EDIT_MASK;
}

static bool put_statements(struct exporter *x, struct bytes *b, const struct edit_act *act, const struct edit *ed)
{
    if (act->value == EDIT_PROJECT_OUT) {
        put_project(x, b, act, ed);
        return true;
    }
    if (act->value == EDIT_WHITEN || act->value == EDIT_UNWHITEN) {
        put_whiten(x, b, act, ed);
        return true;
    }
    bool masked = needs_mask(act);
    if (masked)
        bytes_add_string(b, "    before = x.clone()\n");
    bytes_add_string(b, "    ");
    put_target(b, x, act, act->rank, brings_shape(act->value) ? INDEX_KEEP : INDEX_PLAIN);
    bytes_addf(b, " %s ", edit_op_words[act->op].word);
    if (act->value != EDIT_NUMBER)
        put_factor(b, act);
    if (!put_value(x, b, act, ed))
        return false;
    bytes_add_char(b, '\n');
    if (masked)
        bytes_add_string(b, "    later = torch.ones_like(x, dtype=torch.bool).triu(1)\n    x = torch.where(later, before, x)\n");
    if (act->renormalize) {
        bytes_add_string(b, "    rows = x");
        put_index(b, x, act, 2, INDEX_PLAIN, false);
        bytes_add_string(b, "\n    ");
        put_target(b, x, act, 2, INDEX_PLAIN);
        bytes_add_string(b, " = rows / rows.sum(-1, keepdim=True)\n");
    }
    return true;
}

/* ---- functions --------------------------------------------------------------------------------------- */

int export_refuse(struct exporter *x, int32_t edit, const char *why)
{
    char text[100];
    bool cut = edit_print(x->x->edits[edit], text, sizeof text) >= (int)sizeof text;
    return err_set(x->e, ERR_BAD_INPUT, "edit %d: %s%s · %s", (int)edit + 1, text, cut ? "…" : "", why);
}

/* The function with this body among those of the edit, made if there is none; -1 = memory is out. */
static int32_t function_with(struct exporter *x, int32_t edit, struct bytes *body)
{
    int32_t first = x->n_functions;
    while (first > 0 && x->function[first - 1].edit == edit)
        first--;
    for (int32_t i = first; i < x->n_functions; i++)
        if (x->function[i].body.len == body->len && !memcmp(x->function[i].body.data, body->data, body->len))
            return i;
    struct export_function *more = realloc(x->function, ((size_t)x->n_functions + 1) * sizeof *more);
    if (!more || body->failed)
        return -1;
    x->function = more;
    int n = x->n_functions - first + 1;
    x->function[x->n_functions++] = (struct export_function){edit, n, n, *body};
    for (int32_t i = first; i < x->n_functions; i++)
        x->function[i].count = n;
    *body = (struct bytes){0};
    return x->n_functions - 1;
}

static int by_edit(const void *a, const void *b)
{
    const struct export_change *x = a, *y = b;
    return x->act.edit != y->act.edit ? (x->act.edit < y->act.edit ? -1 : 1) : (x->order > y->order) - (x->order < y->order);
}

int export_functions(struct exporter *x)
{
    for (int32_t i = 0; i < x->n_changes; i++)
        x->change[i].order = i;
    if (x->n_changes)
        qsort(x->change, (size_t)x->n_changes, sizeof *x->change, by_edit);
    for (int32_t i = 0; i < x->n_changes; i++) {
        struct export_change *c = &x->change[i];
        struct bytes body = {0};
        if (!put_statements(x, &body, &c->act, x->x->edits[c->act.edit])) {
            bytes_free(&body);
            char why[120];
            snprintf(why, sizeof why, "%s cannot be exported", edit_value_words[c->act.value].form);
            return export_refuse(x, c->act.edit, why);
        }
        c->function = function_with(x, c->act.edit, &body);
        bytes_free(&body);
        if (c->function < 0)
            return err_set(x->e, ERR_SYSTEM, "memory is out · export");
    }
    return 0;
}

void export_function_name(const struct exporter *x, int32_t function, char buf[40])
{
    const struct export_function *f = &x->function[function];
    if (f->count == 1)
        snprintf(buf, 40, "edit_%d", (int)f->edit + 1);
    else
        snprintf(buf, 40, "edit_%d_%d", (int)f->edit + 1, f->index);
}

void export_functions_print(struct exporter *x)
{
    char name[40], text[LIMIT_EDIT_TEXT];
    for (int32_t i = 0; i < x->n_functions; i++) {
        const struct export_function *f = &x->function[i];
        export_function_name(x, i, name);
        edit_print(x->x->edits[f->edit], text, sizeof text);
        if (f->index == 1) {
            bytes_add_string(x->out, "# ");
            export_comment(x, text, strlen(text));
            bytes_add_char(x->out, '\n');
        }
        bytes_addf(x->out, "def %s(x, %s):\n    x = x.clone()\n", name, x->to == EXPORT_TRANSFORMER_LENS ? "hook" : "name");
        bytes_add(x->out, f->body.data, f->body.len);
        bytes_add_string(x->out, "    return x\n\n\n");
    }
}
