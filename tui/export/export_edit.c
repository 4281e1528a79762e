/* export_edit.c - what an edit does to a tensor, as a Python function of it.
 *
 * Statements change x, a copy.  Tested in tests/tui/test_export.py. */
#include "export/export_parts.h"

#include "edit/edit_form.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- statements ---- */

/* x[...] = x[...] - (x[...] @ d)[..., None] * d */
static void put_project(struct exporter *x, struct bytes *b, const struct edit_instr *act,
                        const struct edit *ed)
{
    bytes_add_string(b, "    d = ");
    if (ed->direction == EDIT_FILE) {
        bytes_add_string(b, "unit(");
        export_file(x, b, ed);
        bytes_add_char(b, ')');
        x->helpers |= HELP_UNIT;
    } else {
        export_direction(x, b, ed);
    }
    bytes_add_string(b, "\n    ");
    export_target(b, x, act, act->rank - 1, INDEX_PLAIN);
    bytes_add_string(b, " -= (x");
    export_index(b, x, act, act->rank - 1, INDEX_PLAIN, false);
    bytes_add_string(b, " @ d)[..., None] * d\n");
}

/* x[:, 2:5] = whiten(x[:, 2:5], "hooks.safetensors", "whiten.layer_0_pre_mlp") */
static void put_whiten(struct exporter *x, struct bytes *b, const struct edit_instr *act,
                       const struct edit *ed)
{
    bytes_add_string(b, "    ");
    export_target(b, x, act, 1, INDEX_KEEP);
    bytes_addf(b, " = %s(x", edit_value_words[act->value].word);
    export_index(b, x, act, 1, INDEX_KEEP, false);
    bytes_add_string(b, ", ");
    export_place(b, ed);
    bytes_add_string(b, ")\n");
    x->helpers |= HELP_WHITEN;
}

/* Scores from later positions stay -inf; arithmetic of two of them would not leave them so. */
static bool needs_mask(const struct edit_instr *act)
{
    bool attention = site_is_attention(act->site.id);
    bool plain = (act->op == EDIT_SET || act->op == EDIT_ADD) && act->number > 0 &&
                 isfinite(act->number);
    return attention && !act->full &&
           ((edit_reads_source(act->value) && !plain) || act->value == EDIT_MEAN_REF);
}

static bool brings_shape(enum edit_value_kind v)
{
    return v == EDIT_FILE || v == EDIT_ROWS || v == EDIT_MASK;
}

static bool put_statements(struct exporter *x, struct bytes *b, const struct export_change *c,
                           const struct edit *ed)
{
    const struct edit_instr *act = &c->act;
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
    export_target(b, x, act, act->rank, brings_shape(act->value) ? INDEX_KEEP : INDEX_PLAIN);
    bytes_addf(b, " %s ", edit_op_words[act->op].word);
    if (!export_value(x, b, c, ed))
        return false;
    bytes_add_char(b, '\n');
    if (masked)
        bytes_add_string(
            b,
            "    later = torch.ones_like(x, dtype=torch.bool).triu(1)\n    x = torch.where(later, before, x)\n");
    if (act->renormalize) {
        bytes_add_string(b, "    rows = x");
        export_index(b, x, act, 2, INDEX_PLAIN, false);
        bytes_add_string(b, ".clone()\n    "); /* the gradient needs them as they are now */
        export_target(b, x, act, 2, INDEX_PLAIN);
        bytes_add_string(b, " = rows / rows.sum(-1, keepdim=True)\n");
    }
    return true;
}

/* The function's lines, from its copy x to what it returns. */
static bool put_body(struct exporter *x, struct bytes *b, const struct export_change *c,
                     const struct edit *ed)
{
    if (c->act.weight)
        export_weight_begin(x, b, c);
    else
        bytes_add_string(b, "    x = x.clone()\n");
    bool written = put_statements(x, b, c, ed);
    if (c->act.weight)
        export_weight_end(x, b, c);
    else
        bytes_add_string(b, "    return x\n");
    return written;
}

/* ---- functions ---- */

int export_refuse(struct exporter *x, int32_t edit, const char *why)
{
    char text[100];
    bool cut = edit_print(x->x->edits[edit], text, sizeof text) >= (int)sizeof text;
    return err_set(x->e, ERR_BAD_INPUT, "edit %d: %s%s · %s", (int)edit + 1, text, cut ? "…" : "",
                   why);
}

/* The function with this body among those of the edit, made if there is none; -1 = memory is out.
 */
static int32_t function_with(struct exporter *x, const struct edit_instr *act, struct bytes *body)
{
    int32_t first = x->n_functions, edit = act->edit;
    while (first > 0 && x->function[first - 1].edit == edit)
        first--;
    for (int32_t i = first; i < x->n_functions; i++)
        if (x->function[i].body.len == body->len &&
            !memcmp(x->function[i].body.data, body->data, body->len))
            return i;
    struct export_function *more = realloc(x->function,
                                           ((size_t)x->n_functions + 1) * sizeof *more);
    if (!more || body->failed)
        return -1;
    x->function = more;
    int n = x->n_functions - first + 1;
    x->function[x->n_functions++] = (struct export_function){edit, n, n, act->weight != NULL,
                                                             *body};
    for (int32_t i = first; i < x->n_functions; i++)
        x->function[i].count = n;
    *body = (struct bytes){0};
    return x->n_functions - 1;
}

static int by_edit(const void *a, const void *b)
{
    const struct export_change *x = a, *y = b;
    return x->act.edit != y->act.edit ? (x->act.edit < y->act.edit ? -1 : 1)
                                      : (x->order > y->order) - (x->order < y->order);
}

int export_functions(struct exporter *x)
{
    int rc = export_weights(x);
    if (rc)
        return rc;
    for (int32_t i = 0; i < x->n_changes; i++)
        x->change[i].order = i;
    if (x->n_changes)
        qsort(x->change, (size_t)x->n_changes, sizeof *x->change, by_edit);
    for (int32_t i = 0; i < x->n_changes; i++) {
        struct export_change *c = &x->change[i];
        struct bytes body = {0};
        if (!put_body(x, &body, c, x->x->edits[c->act.edit])) {
            bytes_free(&body);
            char why[120];
            snprintf(why, sizeof why, "%s cannot be exported", edit_value_words[c->act.value].form);
            return export_refuse(x, c->act.edit, why);
        }
        c->function = function_with(x, &c->act, &body);
        bytes_free(&body);
        if (c->function < 0)
            return err_memory(x->e, "export");
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
        bytes_addf(x->out, "def %s(%s):\n", name,
                   f->weight                          ? "w, name"
                   : x->to == EXPORT_TRANSFORMER_LENS ? "x, hook"
                                                      : "x, name");
        bytes_add(x->out, f->body.data, f->body.len);
        bytes_add_string(x->out, "\n\n");
    }
}
