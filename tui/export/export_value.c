/* export_value.c - the value that an edit puts at its index, as a Python expression.
 *
 * Edits that read another run index it as they index the tensor.  Tested in
 * tests/tui/test_export.py. */
#include "export/export_parts.h"

#include "edit/edit_form.h"
#include "edit/reference.h"

#include <stdlib.h>
#include <string.h>

static const char *hook_word(const struct exporter *x)
{
    return x->to == EXPORT_TRANSFORMER_LENS ? "hook.name" : "name";
}

static int32_t source_length(const struct exporter *x, const struct edit_instr *act)
{
    if (act->set && act->value == EDIT_RESAMPLE)
        return (int32_t)(act->set->start[act->source_prompt + 1] -
                         act->set->start[act->source_prompt]);
    for (int32_t i = 0; i < x->x->n_prompts && act->value == EDIT_FROM; i++)
        if (!strcmp(x->x->prompts[i].name, act->source_name))
            return x->x->prompts[i].n;
    return act->value == EDIT_MEAN_REF ? -1 : x->x->n;
}

static void put_factor(struct bytes *b, const struct edit_instr *act)
{
    if (act->value != EDIT_NUMBER && act->number != 1.0f) {
        export_float(b, act->number);
        bytes_add_string(b, " * ");
    }
}

/* ref_mean("ref", hook.name) */
static void put_ref_mean(struct exporter *x, struct bytes *b, const struct edit_instr *act)
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
static void put_source(struct exporter *x, struct bytes *b, const struct edit_instr *act)
{
    const char *run = act->set                  ? act->set->name
                      : act->value == EDIT_FROM ? act->source_name
                                                : "base";
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
    export_index(b, x, act, act->rank, INDEX_PLAIN, same && source_length(x, act) != x->x->n);
}

void export_direction(struct exporter *x, struct bytes *b, const struct edit *ed)
{
    int32_t id[2];
    for (int i = 0; i < 2; i++)
        id[i] = ed->text[i] ? tokenizer_find(x->x->m->tok, ed->text[i], (size_t)ed->text_len[i])
                            : ed->token[i];
    bytes_addf(b, "direction(%d, %d)", (int)id[0], (int)id[1]);
    x->helpers |= HELP_DIRECTION;
}

void export_place(struct bytes *b, const struct edit *ed)
{
    char *path = realpath(ed->text[0], NULL);
    const char *shown = path ? path : ed->text[0];
    export_string(b, shown, strlen(shown));
    bytes_add_string(b, ", ");
    export_string(b, ed->text[1], (size_t)ed->text_len[1]);
    free(path);
}

void export_file(struct exporter *x, struct bytes *b, const struct edit *ed)
{
    bytes_add_string(b, "load(");
    export_place(b, ed);
    bytes_add_char(b, ')');
    x->helpers |= HELP_LOAD;
}

/* .reshape(3, 5): the axes from the first one along which values differ. */
static void put_shape(struct bytes *b, const struct edit_instr *act)
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
static void put_rows(struct exporter *x, struct bytes *b, const struct edit_instr *act,
                     const struct edit *ed)
{
    bytes_add_string(b, "rows(");
    export_place(b, ed);
    bytes_add_string(b, ", ");
    if (act->axis[0].list)
        export_list(b, &act->axis[0], 0);
    else
        bytes_addf(b, "range(%d, %d)", (int)act->axis[0].lo,
                   (int)(act->axis[0].lo + act->axis[0].n));
    bytes_add_char(b, ')');
    put_shape(b, act);
    x->helpers |= HELP_ROWS;
}

/* mask(...), or the offset that goes with it */
static void put_mask(struct exporter *x, struct bytes *b, const struct edit_instr *act,
                     const struct edit *ed)
{
    static const char *const fns[EDIT_MASK_COUNT] = {"lambda p: (p > 0).float()", "torch.sigmoid",
                                                     "torch.tanh", "torch.relu"};
    bytes_addf(b, "%s(", act->part ? "mask_offset" : "mask");
    export_place(b, ed);
    bytes_addf(b, ", %s)", fns[ed->mask_fn]);
    put_shape(b, act);
    x->helpers |= HELP_MASK;
}

/* A tensor laid on the selection's axes: written out unless it runs along the last axis alone. */
static void put_vector(struct exporter *x, struct bytes *b, const struct edit_instr *act,
                       const struct edit *ed)
{
    export_file(x, b, ed);
    if (act->vec_stride[0] || (act->rank == 3 && act->vec_stride[1]) ||
        !act->vec_stride[act->rank - 1])
        put_shape(b, act);
}

static bool is_whole(const struct exporter *x, const struct edit_instr *act, int axis)
{
    int64_t shape[SITE_RANK_MAX];
    export_shape(x, act, shape);
    return act->axis[axis].n == shape[axis];
}

/* noise(x, hook.name, sigma=0.1, seed=7)[:, 2] */
static void put_noise(struct exporter *x, struct bytes *b, const struct export_change *c)
{
    const struct edit_instr *act = &c->act;
    char name[LIMIT_NAME];
    bytes_add_string(b, act->weight ? "weight_noise(x, " : "noise(x, ");
    if (!act->weight)
        bytes_add_string(b, hook_word(x));
    else if (!strcmp(export_parameter(c, name), act->weight->name))
        bytes_add_string(b, "name");
    else
        export_string(b, act->weight->name, strlen(act->weight->name));
    bytes_add_string(b, ", sigma=");
    export_float(b, act->sigma);
    bytes_addf(b, ", seed=%d)", (int)act->seed);
    export_index(b, x, act, act->rank, INDEX_PLAIN, false);
    x->helpers |= act->weight ? HELP_WEIGHT_NOISE : HELP_NOISE;
}

bool export_value(struct exporter *x, struct bytes *b, const struct export_change *c,
                  const struct edit *ed)
{
    const struct edit_instr *act = &c->act;
    put_factor(b, act);
    switch (act->value) {
    case EDIT_NUMBER: export_float(b, act->number); return true;
    case EDIT_FROM:
    case EDIT_MEAN:
    case EDIT_FROZEN:
    case EDIT_RESAMPLE:
    case EDIT_MEAN_REF: put_source(x, b, act); return true;
    case EDIT_CLAMP:
        bytes_add_char(b, 'x');
        export_index(b, x, act, act->rank, INDEX_PLAIN, false);
        bytes_add_string(
            b,
            ".clone().clamp("); /* its gradient needs the values that are about to be overwritten */
        export_float(b, act->lo);
        bytes_add_string(b, ", ");
        export_float(b, act->hi);
        bytes_add_char(b, ')');
        return true;
    case EDIT_NOISE: put_noise(x, b, c); return true;
    case EDIT_DIR:
        export_direction(x, b, ed);
        if (!is_whole(x, act, act->rank - 1)) {
            bytes_add_string(b, ".expand_as(x)");
            export_index(b, x, act, act->rank, INDEX_PLAIN, false);
        }
        return true;
    case EDIT_FILE: put_vector(x, b, act, ed); return true;
    case EDIT_ROWS: put_rows(x, b, act, ed); return true;
    case EDIT_MASK: put_mask(x, b, act, ed); return true;
    default: return false;
    }
}
