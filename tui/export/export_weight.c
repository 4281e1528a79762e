/* export_weight.c - edits of weights: the library's parameter that holds a weight, seen in the
 * shape in which the edit names it, and the context in which the model has its edited weights.
 *
 * The edited weight is a new parameter in place of the model's, which is not written: what shares
 * it (tied embeddings) stays as it is, and it comes back afterwards.  Several edits of one
 * parameter follow each other in the order of the list. Tested in tests/tui/test_export.c and
 * test_export.py. */
#include "export/export_parts.h"

#include "model/arch.h"
#include "names/named_weight.h"
#include "model/process.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A letter for each axis: n, k what the weight gives and reads; where heads are in it h, d apart, J
 * joined. */
static char axis_letter(const char *word, bool reads)
{
    if (strstr(word, "head*d_head"))
        return 'J';
    return !strcmp(word, "d_head") ? 'd' : strstr(word, "head") ? 'h' : reads ? 'k' : 'n';
}

/* The shape that the edit means. */
static void named_axes(const struct edit_weight *w, char axes[5])
{
    for (int i = 0; i < w->rank; i++)
        axes[i] = axis_letter(w->words[i], w->step_k[i] != 0);
    axes[w->rank] = 0;
}

static bool is_kv(enum weight_id id)
{
    return id == W_K || id == W_V || id == B_K || id == B_V;
}

static int heads_of(const struct config *c, enum weight_id id)
{
    return is_kv(id) ? c->n_kv_heads : c->n_heads;
}

static void layer_as_pattern(char name[LIMIT_NAME], int32_t layer)
{
    char number[16], from[LIMIT_NAME];
    snprintf(number, sizeof number, ".%d.", (int)layer);
    memcpy(from, name, sizeof from);
    const char *at = layer < 0 ? NULL : strstr(from, number);
    if (at)
        snprintf(name, LIMIT_NAME, "%.*s.%%d.%s", (int)(at - from), from, at + strlen(number));
}

/* TransformerLens: its name in its shape; where its class of attention has grouped heads the stored
 * one. */
static int find_lens(struct exporter *x, const struct edit_weight *w, struct export_parameter *p)
{
    struct named_weight *list = NULL;
    int n = named_weight_list(x->x->m, LIBRARY_LENS, &list, x->e), found = 0;
    for (int i = 0; i < n && !found; i++) {
        const struct named_weight *at = &list[i];
        if (at->part[0] != w->id || at->layer != w->layer || at->axis[0].n > 1)
            continue;
        const char *last = strrchr(at->name, '.') + 1;
        bool stored = is_kv(w->id) && x->cfg->arch->lens.grouped && *last != '_';
        bool linear = w->id == W_ROUTER || weight_is_expert(w->id); /* a module's */
        snprintf(p->name, sizeof p->name, "%.*s%s%s%s", (int)(last - at->name), at->name,
                 stored ? "_" : "", last, linear ? ".weight" : "");
        layer_as_pattern(p->name, p->layer);
        for (int d = 0; d < at->rank; d++)
            p->axes[d] = axis_letter(at->dims[d], at->axis[d].run[0].over == RUN_K);
        found = 1;
    }
    free(list);
    return n < 0 ? n : found;
}

/* Hugging Face: the architecture's row; a bias that this model has not is there to be set. */
static bool find_module(const struct config *c, const struct edit_weight *w,
                        struct export_parameter *p)
{
    if (w->id == W_U || w->id == B_U) {
        snprintf(p->name, sizeof p->name, "lm_head.%s", w->id == W_U ? "weight" : "bias");
        memcpy(p->axes, w->id == W_U ? "nk" : "n", w->id == W_U ? 3 : 2);
        return true;
    }
    int part;
    const struct arch_tensor *a = arch_tensor_of(c, w->id, &part);
    if (!a || a->each) /* a parameter for each head */
        return false;
    const struct weight_info *info = &weight_table[w->id];
    char n = info->n == DIM_HEADS || info->n == DIM_KV_HEADS ? 'J' : 'n',
         k = info->k == DIM_HEADS  ? 'J'
             : info->k == DIM_NONE ? 0
                                   : 'k';
    /* routers have their second name where all experts are in one tensor, as here (a->merged) */
    if (!arch_tensor_name(c->arch, a, w->id == W_ROUTER, p->name))
        arch_tensor_name(c->arch, a, 0, p->name);
    p->expert = a->merged ? weight_row_expert(c, w->layer) : -1;
    p->axes[0] = a->turned ? k : n;
    p->axes[1] = a->turned ? n : k;
    p->joined = arch_parts(a) > 1 ? a : NULL;
    p->part = part;
    return true;
}

/* A weight of a norm that both branches read? */
static bool is_shared(const struct config *c, enum weight_id id)
{
    return c->norm_shared && (id == W_LN1 || id == B_LN1 || id == W_LN2 || id == B_LN2);
}

/* Several heads of it, then those of others, and so on? */
static bool in_pieces(const struct config *c, const struct export_parameter *p)
{
    const struct arch_tensor *a = p->joined;
    return a && arch_groups(c, a) > 1 &&
           arch_part_first(c, a, p->part + 1) - arch_part_first(c, a, p->part) != c->d_head;
}

/* Would joining heads copy instead of showing the same memory? */
static bool joins_apart(const char *from, const char *to)
{
    const char *h = strchr(from, 'h');
    return h && h[1] != 'd' && strchr(to, 'J');
}

static int find_parameter(struct exporter *x, const struct edit_instr *act,
                          struct export_parameter *p)
{
    const struct edit_weight *w = act->weight;
    char why[200];
    struct weight_form used = weight_form(x->cfg, w->id),
                       there = x->to == EXPORT_NNSIGHT ? (struct weight_form){1, 0} : used;
    if (w->form.factor != there.factor || w->form.offset != there.offset)
        return export_refuse(
            x, act->edit,
            x->to == EXPORT_NNSIGHT
                ? "the checkpoint holds it scaled, or less one, beside TransformerLens' · name it as Hugging Face does"
                : "TransformerLens holds it scaled, or 1 more, beside the checkpoint · name it as TransformerLens does");
    if (x->to == EXPORT_NNSIGHT) {
        p->absent = !model_weight(x->x->m, w->layer < 0 ? 0 : w->layer, w->id)->ndim;
        p->first = w->first_n;
        if (is_shared(x->cfg, w->id) && !w->shared)
            return export_refuse(
                x, act->edit,
                "attention and MLP read one norm there · name it as Hugging Face does");
        return !find_module(x->cfg, w, p)
                   ? export_refuse(x, act->edit, "the module has no such parameter")
               : in_pieces(x->cfg, p)
                   ? export_refuse(
                         x, act->edit,
                         "its heads lie in pieces of one parameter there · edit attn.hook_q")
                   : 0;
    }
    if (x->cfg->gated && (w->id == B_IN || w->id == B_GATE)) {
        snprintf(
            why, sizeof why,
            "TransformerLens' gated MLP has no bias before the gate · the same is blocks.%d.mlp.%s += …",
            (int)w->layer, w->id == B_IN ? "hook_pre_linear" : "hook_pre");
        return export_refuse(x, act->edit, why);
    }
    bool norm = w->id == W_LN1 || w->id == B_LN1 || w->id == W_LN2 || w->id == B_LN2 ||
                w->id == W_LNF || w->id == B_LNF;
    if (norm && (x->x->m->process & PROCESS_FOLD_LN))
        return export_refuse(
            x, act->edit,
            "after fold_ln TransformerLens' norms have no weights · --process without fold_ln");
    int found = find_lens(x, w, p);
    return found < 0 ? found
           : found   ? 0
                     : export_refuse(x, act->edit, "TransformerLens has no such parameter");
}

static int by_parameter(const void *a, const void *b)
{
    const struct export_change *x = a, *y = b;
    if (x->act.edit != y->act.edit)
        return x->act.edit < y->act.edit ? -1 : 1;
    int names = strcmp(x->parameter->name, y->parameter->name);
    if (names || x->act.site.layer != y->act.site.layer) /* rows of weights: layers, experts */
        return names ? names : x->act.site.layer < y->act.site.layer ? -1 : 1;
    return (x->act.weight->id > y->act.weight->id) -
           (x->act.weight->id < y->act.weight->id); /* parts of one: any order will do */
}

int export_weights(struct exporter *x)
{
    int32_t n = x->prog->n_weights;
    struct export_change *first = x->change + x->n_changes;
    x->parameter = calloc((size_t)n + 1, sizeof *x->parameter);
    if (!x->parameter)
        return err_memory(x->e, "export");
    for (int32_t i = 0; i < n; i++) {
        const struct edit_instr *act = &x->prog->weights[i];
        enum weight_id id = act->weight->id;
        if (x->to == EXPORT_NNSIGHT && act->weight->shared && (id == W_LN2 || id == B_LN2))
            continue; /* one parameter there */
        x->parameter[i].layer = weight_row_layer(x->cfg, act->weight->layer);
        x->parameter[i].expert = -1;
        int rc = find_parameter(x, act, &x->parameter[i]);
        if (rc)
            return rc;
        named_axes(act->weight, x->parameter[i].named);
        x->edits_unembedding |= act->weight->id == W_U;
        x->change[x->n_changes++] = (struct export_change){.act = *act,
                                                           .parameter = &x->parameter[i]};
    }
    if (n)
        qsort(first, (size_t)(x->change + x->n_changes - first), sizeof *first, by_parameter);
    return 0;
}

/* ---- shapes ---- */

/* Joined heads written as they are, or apart. */
static void expand(const char *axes, bool apart, char out[5])
{
    int n = 0;
    for (; *axes; axes++) {
        if (*axes == 'J' && apart)
            out[n++] = 'h', out[n++] = 'd';
        else
            out[n++] = *axes;
    }
    out[n] = 0;
}

/* ".transpose(0, 2)": from the order of one to that of the other, the same letters. */
static void put_order(struct bytes *b, const char *from, const char *to)
{
    int at[4], moved = 0, n = (int)strlen(to), swap[4];
    for (int i = 0; i < n; i++) {
        at[i] = (int)(strchr(from, to[i]) - from);
        if (at[i] != i)
            swap[moved++] = i;
    }
    if (moved == 2 && n == 2)
        bytes_add_string(b, ".T");
    else if (moved == 2)
        bytes_addf(b, ".transpose(%d, %d)", swap[0], swap[1]);
    else if (moved)
        bytes_addf(b, ".permute(%d, %d, %d)", at[0], at[1], at[2]);
}

/* What follows a tensor of one shape to show it in another: ".unflatten(0, (4, 5)).transpose(1,
 * 2)". */
static void put_view(struct bytes *b, const char *from, const char *to, int heads, int d_head)
{
    char cur[5], want[5];
    const char *joined = strchr(from, 'J'), *flat = strchr(to, 'J');
    if (joined && !flat)
        bytes_addf(b, ".unflatten(%d, (%d, %d))", (int)(joined - from), heads, d_head);
    bool apart = (joined && !flat) || strchr(from, 'h');
    expand(from, apart, cur);
    expand(to, apart, want);
    put_order(b, cur, want);
    if (flat && !joined)
        bytes_addf(b, ".flatten(%d, %d)", (int)(flat - to), (int)(flat - to) + 1);
}

/* q, k or v out of their joint parameter, and how its axes are then. */
static void put_part(struct bytes *b, const struct config *c, const struct export_parameter *p,
                     char axes[5])
{
    const struct arch_tensor *a = p->joined;
    snprintf(axes, 5, "%s", p->axes);
    if (p->expert >= 0)
        bytes_addf(b, "[%d]", (int)p->expert);
    if (p->first)
        bytes_addf(b, "[%d:]", (int)p->first);
    if (!a)
        return;
    int groups = (int)arch_groups(c, a), first = (int)arch_part_first(c, a, p->part),
        end = (int)arch_part_first(c, a, p->part + 1);
    if (groups == 1) {
        bytes_addf(b, "[%s%d:%d]", a->turned ? ":, " : "", first, end);
    } else { /* stored [n, k], a head of each part: the first axis */
        int all = (int)arch_part_first(c, a, arch_parts(a));
        bytes_addf(b, ".unflatten(0, (%d, %d, %d))[:, %d]", groups, all / c->d_head, end - first,
                   first / c->d_head);
        expand(p->axes, true, axes);
    }
}

static bool is_viewed(const struct export_parameter *p)
{
    return p->joined || p->first || p->expert >= 0 ||
           (strcmp(p->axes, p->named) != 0 && !joins_apart(p->axes, p->named));
}

/* Zeros for a bias that the model has not. */
static void put_absent(struct bytes *b, const struct config *c, const struct edit_weight *w,
                       const struct export_parameter *p)
{
    const struct arch_tensor *a = p->joined;
    int64_t n = a ? arch_groups(c, a) * arch_part_first(c, a, arch_parts(a)) : weight_n(c, w->id);
    bytes_addf(b, "torch.zeros(%lld) if w is None else ", (long long)n);
}

/* Either x is a copy of the parameter, or a view of w, which is one. */
void export_weight_begin(const struct exporter *x, struct bytes *b, const struct export_change *c)
{
    const struct edit_weight *w = c->act.weight;
    const struct export_parameter *p = c->parameter;
    int heads = heads_of(x->cfg, w->id);
    char axes[5];
    bytes_addf(b, "    %s = ", is_viewed(p) ? "w" : "x");
    if (p->absent)
        put_absent(b, x->cfg, w, p);
    bytes_add_string(b, "w.detach()");
    if (!is_viewed(p))
        put_view(b, p->axes, p->named, heads, x->cfg->d_head);
    bytes_add_string(b, ".clone()\n");
    if (!is_viewed(p))
        return;
    bytes_add_string(b, "    x = w");
    put_part(b, x->cfg, p, axes);
    put_view(b, axes, p->named, heads, x->cfg->d_head);
    for (int i = 0; i < w->rank; i++)
        bytes_addf(b, "%s%s", i ? ", " : "  # [", !i && w->repeat > 1 ? "kv_head" : w->words[i]);
    bytes_add_string(b, "]\n");
}

void export_weight_end(const struct exporter *x, struct bytes *b, const struct export_change *c)
{
    const struct export_parameter *p = c->parameter;
    bytes_addf(b, "    return %s", is_viewed(p) ? "w" : "x");
    if (!is_viewed(p))
        put_view(b, p->named, p->axes, heads_of(x->cfg, c->act.weight->id), x->cfg->d_head);
    bytes_add_char(b, '\n');
}

/* ---- the run ---- */

const char *export_parameter(const struct export_change *c, char buf[LIMIT_NAME])
{
    return arch_name_spell(c->parameter->name, c->parameter->layer, 0, buf);
}

/* The changes from i on that make the same of one parameter in layers that follow each other. */
static int32_t run_length_of(const struct exporter *x, int32_t i)
{
    int32_t k = 1;
    const struct export_change *c = &x->change[i];
    while (i + k < x->n_changes && c[k].parameter && c[k].function == c->function &&
           !strcmp(c[k].parameter->name, c->parameter->name) &&
           c[k].parameter->layer == c->parameter->layer + k)
        k++;
    return k;
}

static const char context_text[] =
    "@contextlib.contextmanager\n"
    "def edited_weights():\n"
    "    \"\"\"Edited weights as new parameters: the model's own are not written, and come back afterwards.\"\"\"\n"
    "    own = {}\n"
    "    try:\n"
    "        for path, edit in WEIGHTS:\n"
    "            at, _, name = path.rpartition(\".\")\n"
    "            module = %s.get_submodule(at)\n"
    "            w = getattr(module, name)\n"
    "            own.setdefault((module, name), w)\n"
    "            setattr(module, name, torch.nn.Parameter(edit(w, path)))\n"
    "        yield\n"
    "    finally:\n"
    "        for (module, name), w in own.items():\n"
    "            setattr(module, name, w)\n\n\n";

void export_weights_print(struct exporter *x, const char *model)
{
    char function[40], name[LIMIT_NAME];
    if (!x->prog->n_weights)
        return;
    bytes_add_string(x->out, "# parameter, function; in this order\nWEIGHTS = [\n");
    for (int32_t i = 0, k; i < x->n_changes; i += k) {
        const struct export_change *c = &x->change[i];
        k = 1;
        if (!c->parameter)
            continue;
        export_function_name(x, c->function, function);
        k = run_length_of(x, i);
        const char *pattern = c->parameter->name, *mark = strstr(pattern, "%d");
        if (k < 3 || !mark) {
            k = 1;
            bytes_addf(x->out, "    (\"%s\", %s),\n", export_parameter(c, name), function);
        } else {
            bytes_addf(x->out, "    *((f\"%.*s{layer}%s\", %s) for layer in range(%d, %d)),\n",
                       (int)(mark - pattern), pattern, mark + 2, function, (int)c->parameter->layer,
                       (int)(c->parameter->layer + k));
        }
    }
    bytes_add_string(x->out, "]\n\n\n");
    bytes_addf(x->out, context_text, model);
}
