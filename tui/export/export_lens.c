/* export_lens.c - a program for TransformerLens (see export.h): its hooks and its run.  The model:
 * export_lens_model.c.
 *
 * Hooks in need of a switch get it.
 * Tested in tests/tui/test_export.c and test_export.py. */
#include "export/export_lens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_split(enum site_id id)
{
    return id == SITE_Q_INPUT || id == SITE_K_INPUT || id == SITE_V_INPUT;
}

static bool is_ln1(enum site_id id)
{
    return id == SITE_LN1_SCALE || id == SITE_LN1_NORMALIZED;
}

/* Is this layer's input of heads edited? */
static bool inputs_edited(const struct exporter *x, int32_t layer)
{
    for (int32_t i = 0; i < x->n_changes; i++) {
        struct site_ref s = x->change[i].act.site;
        if (s.layer == layer && (is_split(s.id) || s.id == SITE_ATTN_IN))
            return true;
    }
    return false;
}

static void switch_on(struct switches *sw, enum site_id id, bool live)
{
    sw->result |= id == SITE_RESULT;
    sw->split |= is_split(id) && live;
    sw->attn_in |= id == SITE_ATTN_IN && live;
    sw->mlp_in |= id == SITE_MLP_IN;
    sw->tokens |= id == SITE_TOKENS;
}

/* ---- checks ---- */

/* What can be read all the same is made of other hooks (put_derived). */
static bool is_made(enum site_id id)
{
    return id == SITE_ROT_COS || id == SITE_ROT_SIN || id == SITE_ACT_OUT;
}

/* Of one expert, which the library has. */
static bool is_expert(enum site_id id)
{
    return id == SITE_EXPERT_GATE || id == SITE_EXPERT_PRE || id == SITE_EXPERT_POST;
}

static const char *no_hook(enum site_id id)
{
    if (is_expert(id))
        return "TransformerLens hooks each expert by its number · name mlp.experts.0.hook_post, …";
    if (id == SITE_LN1_OUT || id == SITE_LN2_OUT)
        return "TransformerLens has no hook on a norm's output · its ln1.hook_normalized and ln2.hook_normalized come before the weight";
    if (site_table[id].when == PROPERTY_QK_NORM_HEADS)
        return "TransformerLens makes one axis of batch, position and head there · use hook_q, hook_k, hook_rot_q, hook_rot_k";
    return site_is_module_port(id)
               ? "TransformerLens has no hook there · it is a module's own input or output in Hugging Face"
               : NULL;
}

static int check_changes(struct exporter *x, struct switches *sw)
{
    const struct edit_program *p = x->prog;
    for (int32_t i = 0; i < p->n_instrs + p->n_back; i++) {
        const struct edit_instr *act = i < p->n_instrs ? &p->instrs[i] : &p->back[i - p->n_instrs];
        if (!act->expert && no_hook(act->site.id))
            return export_refuse(x, act->edit, no_hook(act->site.id));
        switch_on(sw, act->site.id, true);
        struct edit_instr *own = &x->change[x->n_changes++].act;
        *own = *act;
        if (act->expert) { /* there [pos, d_mlp], with no slots */
            own->rank = 2;
            own->axis[1] = act->axis[2], own->vec_stride[1] = act->vec_stride[2];
        }
    }
    return 0;
}

/* What another switch takes away from a hook. */
static int check_switches(struct exporter *x, const struct switches *sw)
{
    for (int32_t i = 0; i < x->n_changes; i++) {
        const struct edit_instr *act = &x->change[i].act;
        if (is_ln1(act->site.id) && (sw->split || sw->attn_in))
            return export_refuse(
                x, act->edit,
                "TransformerLens gives the hooks of ln1 a head axis while another edit or capture switches the "
                "inputs of heads on · export them one by one");
        if (act->site.id == SITE_ATTN_IN && sw->split)
            return export_refuse(
                x, act->edit,
                "TransformerLens ignores hook_attn_in where hook_q_input, hook_k_input and hook_v_input "
                "are on · edit those");
    }
    return 0;
}

static int check_capture(struct exporter *x, const struct alias_pick *p, const struct switches *sw)
{
    for (int i = 0; i < p->value.n_sites; i++) {
        struct site_ref s = p->value.site[i];
        if (p->value.form != FORM_EXPERT && no_hook(s.id) && !(is_made(s.id) && !x->x->grad))
            return err_set(x->e, ERR_BAD_INPUT, "capture %s · %s", p->name, no_hook(s.id));
        if (is_ln1(s.id) && (sw->split || sw->attn_in) && (x->x->grad || inputs_edited(x, s.layer)))
            return err_set(
                x->e, ERR_BAD_INPUT,
                "capture %s · TransformerLens gives it a head axis where the inputs of heads are switched on "
                "· export them one by one",
                p->name);
        if (s.id == SITE_ATTN_IN && sw->split && x->x->grad)
            return err_set(
                x->e, ERR_BAD_INPUT,
                "capture %s · TransformerLens ignores it where hook_q_input is on · export them one by one",
                p->name);
    }
    if (x->x->grad && p->value.spread)
        return err_set(
            x->e, ERR_BAD_INPUT,
            "capture %s · its gradient is that of several hooks · name hook_q_input, hook_k_input, hook_v_input",
            p->name);
    return 0;
}

/* What the library's models have no place for. */
static int check_model(struct exporter *x)
{
    const struct config *c = x->cfg;
    if (!c->arch->lens.convert)
        return err_set(x->e, ERR_BAD_INPUT,
                       "%s · TransformerLens has no converter for %s · --to nnsight", x->x->m->name,
                       c->arch->model_type);
    if (c->norm_place == NORM_RESIDUAL || config_has(c, PROPERTY_PROJECTED))
        return err_set(x->e, ERR_BAD_INPUT,
                       "TransformerLens' HookedTransformer normalizes before its branches, this "
                       "model the sum of stream and branch · --to nnsight");
    const char *why = c->sinks          ? "TransformerLens' attention has no sinks"
                      : c->clip_qkv > 0 ? "TransformerLens clips no queries, keys and values"
                      : c->mlp_bias && c->gated
                          ? "TransformerLens' gated MLP has no biases on its gate"
                          : NULL;
    return why ? err_set(x->e, ERR_BAD_INPUT, "%s · %s · it cannot hold this model", x->x->m->name,
                         why)
               : 0;
}

/* ---- names ---- */

static int by_site(const void *a, const void *b)
{
    const struct site_ref *x = a, *y = b;
    return x->id != y->id ? (x->id > y->id) - (x->id < y->id)
                          : (x->layer > y->layer) - (x->layer < y->layer);
}

/* Sorted, each once; returns how many are left. */
static int sort_sites(struct site_ref *s, int n)
{
    int kept = 0;
    if (n > 1)
        qsort(s, (size_t)n, sizeof *s, by_site);
    for (int i = 0; i < n; i++)
        if (!i || by_site(&s[i], &s[kept - 1]) != 0)
            s[kept++] = s[i];
    return kept;
}

/* One line for each stretch of layers; `with`: what stands beside the name. */
static void put_pairs(struct exporter *x, const struct site_ref *s, int n, const char *with)
{
    char name[LIMIT_NAME];
    for (int i = 0, k; i < n; i += k) {
        k = export_layers(s + i, n - i);
        if (k < 3) {
            k = 1;
            bytes_addf(x->out, "    (\"%s\", %s),\n", site_name(s[i], name), with);
        } else {
            bytes_addf(x->out, "    *((f\"blocks.{layer}.%s\", %s) for layer in range(%d, %d)),\n",
                       site_table[s[i].id].name, with, (int)s[i].layer, (int)s[i].layer + k);
        }
    }
}

/* Names, those of the same layers together. */
static void put_names(struct exporter *x, const struct site_ref *s, int n)
{
    char name[LIMIT_NAME];
    for (int i = 0, k, same; i < n; i += k) {
        k = export_layers(s + i, n - i);
        if (k == 1) {
            bytes_addf(x->out, "    \"%s\",\n", site_name(s[i], name));
            continue;
        }
        bytes_addf(x->out,
                   "    *(f\"blocks.{layer}.{hook}\" for layer in range(%d, %d) for hook in (\n",
                   (int)s[i].layer, (int)s[i].layer + k);
        for (same = i;
             same < n && export_layers(s + same, n - same) == k && s[same].layer == s[i].layer;
             same += k)
            bytes_addf(x->out, "        \"%s\",\n", site_table[s[same].id].name);
        bytes_add_string(x->out, "    )),\n");
        k = same - i;
    }
}

/* Those of values, or of gradients. */
static void put_edits(struct exporter *x, bool backward, struct site_ref *room)
{
    char name[40];
    for (int32_t f = 0; f < x->n_functions; f++) {
        int n = 0;
        export_function_name(x, f, name);
        for (int32_t i = 0; i < x->n_changes; i++) {
            const struct edit_instr *act = &x->change[i].act;
            if (x->change[i].function != f || act->weight || act->backward != backward)
                continue;
            if (act->expert)
                bytes_addf(x->out, "    (\"blocks.%d.mlp.experts.%d.%s\", %s),\n",
                           (int)act->site.layer, (int)act->expert - 1,
                           strrchr(site_table[act->site.id].name, '.') + 1, name);
            else
                room[n++] = act->site;
        }
        put_pairs(x, room, sort_sites(room, n), name);
    }
    export_list_end(x);
}

static void put_table(struct exporter *x, enum site_id id)
{
    bytes_addf(x->out, "model.blocks[0].attn.rotary_%s[None, :len(TOKENS)]",
               id == SITE_ROT_COS ? "cos" : "sin");
}

/* A capture that is not simply a hook's value: how it is made of those, c. */
static bool put_derived(struct exporter *x, const struct alias_pick *p, const struct switches *sw)
{
    const struct alias_value *v = &p->value;
    char a[ALIAS_SITES_MAX][LIMIT_NAME];
    struct site_ref s = v->site[0];
    for (int i = 0; i < v->n_sites; i++)
        site_name(v->site[i], a[i]);
    switch (v->form) {
    case FORM_SITE:
        if ((is_split(s.id) && !sw->split) || (s.id == SITE_ATTN_IN && !sw->attn_in)) {
            int64_t shape[SITE_RANK_MAX];
            site_shape(x->cfg, s.id, 1, shape);
            bytes_addf(x->out,
                       "c[\"blocks.%d.hook_resid_pre\"].unsqueeze(2).expand(-1, -1, %d, -1)",
                       (int)s.layer, (int)shape[1]);
        } else if (s.id == SITE_ACT_OUT) {
            bytes_addf(x->out, "model.blocks[%d].mlp.act_fn(c[\"blocks.%d.mlp.hook_pre\"])",
                       (int)s.layer, (int)s.layer);
        } else if (is_made(s.id)) {
            put_table(x, s.id);
        } else {
            bytes_addf(x->out, "c[\"%s\"]%s", a[0],
                       is_ln1(s.id) && (sw->split || sw->attn_in) ? "[:, :, 0]" : "");
        }
        return true;
    case FORM_FLAT: bytes_addf(x->out, "c[\"%s\"].flatten(2)", a[0]); return true;
    case FORM_THIRDS:
        bytes_addf(
            x->out,
            "torch.cat([c[\"%s\"].flatten(2), c[\"%s\"].flatten(2), c[\"%s\"].flatten(2)], -1)",
            a[0], a[1], a[2]);
        return true;
    case FORM_HEADS:
        bytes_addf(x->out, "torch.stack([c[\"%s\"], c[\"%s\"], c[\"%s\"]], 3).flatten(2)", a[0],
                   a[1], a[2]);
        return true;
    case FORM_PAIR:
        bytes_addf(x->out, "torch.cat([c[\"%s\"], c[\"%s\"]], -1)", a[0], a[1]);
        return true;
    case FORM_HEAD_FIRST:
        if (is_made(s.id))
            put_table(x, s.id);
        else
            bytes_addf(x->out, "c[\"%s\"]", a[0]);
        bytes_add_string(x->out, is_made(s.id) ? "[:, None]" : ".transpose(1, 2)");
        return true;
    case FORM_EXPERT:
    case FORM_REFUSED: break;
    }
    return false;
}

static bool is_direct(const struct alias_pick *p, const struct switches *sw)
{
    struct site_ref s = export_site(p);
    char name[LIMIT_NAME];
    if (p->value.form == FORM_EXPERT)
        return true;
    if (s.id == SITE_COUNT || is_made(s.id) || strcmp(site_name(s, name), p->name) != 0)
        return false;
    bool inputs_on = sw->split || sw->attn_in;
    return !(is_split(s.id) && !sw->split) && !(s.id == SITE_ATTN_IN && !sw->attn_in) &&
           !(is_ln1(s.id) && inputs_on);
}

/* CAPTURE: hooks whose value is kept as it is; SEEN: all that are read; DERIVED: other captures,
 * made of those. */
static void put_captures(struct exporter *x, const struct switches *sw, struct site_ref *room)
{
    int n = 0, derived = 0;
    bytes_add_string(x->out, "CAPTURE = [\n");
    for (int i = 0; i < x->n_captures; i++)
        if (x->capture[i].value.form == FORM_EXPERT)
            bytes_addf(x->out, "    \"%s\",\n", x->capture[i].name);
        else if (is_direct(&x->capture[i], sw))
            room[n++] = export_site(&x->capture[i]);
    put_names(x, room, sort_sites(room, n));
    export_list_end(x);
    for (int i = 0; i < x->n_captures; i++) {
        const struct alias_pick *p = &x->capture[i];
        if (is_direct(p, sw))
            continue;
        bytes_add_string(x->out,
                         derived++ ? "    \""
                                   : "# other names: made of hooks' values c\nDERIVED = {\n    \"");
        bytes_addf(x->out, "%s\": lambda c, model: ", p->name);
        put_derived(x, p, sw);
        bytes_add_string(x->out, ",\n");
    }
    if (!derived)
        return;
    bytes_add_string(x->out, "}\n");
    n = 0;
    for (int i = 0; i < x->n_captures; i++)
        for (int k = 0; k < x->capture[i].value.n_sites && !is_direct(&x->capture[i], sw); k++) {
            struct site_ref s = x->capture[i].value.site[k];
            bool input = (is_split(s.id) && !sw->split) || (s.id == SITE_ATTN_IN && !sw->attn_in);
            enum site_id id = input ? SITE_RESID_PRE : s.id == SITE_ACT_OUT ? SITE_PRE : s.id;
            if (s.id != SITE_ROT_COS && s.id != SITE_ROT_SIN)
                room[n++] = (struct site_ref){id, s.layer};
        }
    bytes_add_string(x->out, "SEEN = sorted({*CAPTURE, *[\n");
    put_names(x, room, sort_sites(room, n));
    bytes_add_string(x->out, "]})\n");
}

static bool has_derived(const struct exporter *x, const struct switches *sw)
{
    for (int i = 0; i < x->n_captures; i++)
        if (!is_direct(&x->capture[i], sw))
            return true;
    return false;
}

/* ---- the run ---- */

static void put_runs(struct exporter *x)
{
    if (!x->reads_runs && !x->reads_sets)
        return;
    bytes_add_string(
        x->out,
        "\n\ndef values_of(tokens):\n"
        "    \"\"\"The hook points that edits read, in a run without edits.\"\"\"\n"
        "    names = [name for name, _ in EDITS]\n"
        "    with torch.no_grad():\n"
        "        return model.run_with_cache(torch.tensor([tokens]), prepend_bos=False, names_filter=names)[1]\n\n\n");
    if (x->reads_runs)
        bytes_add_string(x->out,
                         "runs = {name: values_of(tokens) for name, tokens in RUNS.items()}\n");
    if (x->reads_sets)
        bytes_add_string(
            x->out,
            "refs = {name: [values_of(tokens) for tokens in prompts] for name, prompts in REFS.items()}\n");
}

static void put_forward(struct exporter *x, const char *seen)
{
    bytes_addf(
        x->out,
        "values = {}\n\n\n"
        "def keep(x, hook):\n"
        "    values[hook.name] = x.clone()\n\n\n"
        "with torch.no_grad(), %smodel.hooks(fwd_hooks=EDITS + [(name, keep) for name in %s]):\n"
        "    logits = model(torch.tensor([TOKENS]), prepend_bos=False)\n\n"
        "captured = {name: values[name] for name in CAPTURE}\n",
        x->prog->n_weights ? "edited_weights(), " : "", seen);
}

/* Gradients are edited by hooks on the tensors.  The library's backward hooks (dir="bwd") would put
 * the edited gradient before the edits of the value, see one firing of ln1 at a time, and not see
 * each other's changes. */
static void put_backward(struct exporter *x, const char *seen, bool derived)
{
    bool edits = x->prog->n_back > 0;
    bytes_addf(
        x->out,
        "values = {}\n\n\n"
        "def keep(x, hook):\n"
        "    \"\"\"What fires first stands for all firings (ln1: for q, k and v): its gradient is their sum.\"\"\"\n"
        "    if hook.name not in values:\n"
        "        values[hook.name] = x.clone()\n"
        "        if x.is_floating_point():\n"
        "            values[hook.name].retain_grad()\n"
        "    return values[hook.name]\n\n\n"
        "with torch.no_grad():\n"
        "    base_logits = model(torch.tensor([TOKENS]), prepend_bos=False)\n"
        "with %smodel.hooks(fwd_hooks=EDITS + [(name, keep) for name in %s%s%s]):\n"
        "    logits = model(torch.tensor([TOKENS]), prepend_bos=False)\n"
        "%s"
        "metric(logits, base_logits).backward()\n\n"
        "grads = {name: torch.zeros_like(x) if x.grad is None else x.grad for name, x in values.items() if x.is_floating_point()}\n"
        "captured = {name: values[name] for name in CAPTURE}\n"
        "captured.update({name + \"_grad\": grads[name] for name in CAPTURE if name in grads})\n",
        x->prog->n_weights ? "edited_weights(), " : "", edits ? "[*" : "", seen,
        edits ? ", *dict(GRADIENTS)]" : "",
        edits
            ? "for name, edit in GRADIENTS:\n"
              "    values[name].register_hook(functools.partial(edit, hook=model.hook_dict[name]))\n"
            : "");
    if (derived)
        bytes_add_string(
            x->out,
            "captured.update({name + \"_grad\": make(grads, model) for name, make in DERIVED.items()})\n");
}

static void put_head(struct exporter *x)
{
    struct bytes *b = x->out;
    export_title(x, "TransformerLens", "transformer_lens 3");
    export_imports(x);
    bytes_addf(
        b,
        "%sfrom safetensors.torch import save_file\n"
        "from transformer_lens import HookedTransformer, HookedTransformerConfig\n"
        "%sfrom transformer_lens.pretrained.weight_conversions import %s\n"
        "from transformers import AutoModelForCausalLM\n\n",
        x->helpers & HELP_FILES ? "from safetensors import safe_open\n" : "",
        x->cfg->pos == POS_ALIBI
            ? "from transformer_lens.components.abstract_attention import AbstractAttention\n"
            : "",
        x->cfg->arch->lens.convert);
    bytes_add_string(b, "MODEL = ");
    export_string(b, x->x->m->folder, strlen(x->x->m->folder));
    bytes_add_char(b, '\n');
}

int export_lens(struct exporter *x)
{
    struct switches sw = {0};
    int rc = check_model(x);
    if (!rc)
        rc = check_changes(x, &sw);
    for (int i = 0; i < x->n_captures && !rc; i++)
        for (int k = 0; k < x->capture[i].value.n_sites; k++)
            switch_on(&sw, x->capture[i].value.site[k].id, x->x->grad != NULL);
    if (!rc)
        rc = check_switches(x, &sw);
    for (int i = 0; i < x->n_captures && !rc; i++)
        rc = check_capture(x, &x->capture[i], &sw);
    if (!rc)
        rc = export_functions(x);
    size_t n = (size_t)x->n_changes + (size_t)x->n_captures * ALIAS_SITES_MAX + 1;
    struct site_ref *room = rc ? NULL : malloc(n * sizeof *room);
    if (!rc && !room)
        rc = err_memory(x->e, "export");
    if (rc)
        return rc;
    bool derived = has_derived(x, &sw);
    put_head(x);
    export_tokens(x);
    bytes_add_string(x->out, "\n\n");
    export_lens_model(x, &sw);
    export_helpers(x, x->edits_unembedding ? "unembedding[:, a] - unembedding[:, b]"
                                           : "model.W_U[:, a] - model.W_U[:, b]");
    export_functions_print(x);
    export_metric(x);
    export_save(x);
    export_weights_print(x, "model");
    bytes_add_string(x->out, "# hook point, function; in this order\nEDITS = [\n");
    put_edits(x, false, room);
    if (x->prog->n_back) {
        bytes_add_string(x->out,
                         "# hook point, function of its gradient; in this order\nGRADIENTS = [\n");
        put_edits(x, true, room);
    }
    put_captures(x, &sw, room);
    bytes_add_string(x->out, "\nmodel = load_model()\n");
    if (x->edits_unembedding && x->helpers & HELP_DIRECTION)
        bytes_add_string(x->out, "unembedding = model.W_U  # without edits\n");
    put_runs(x);
    if (x->x->grad)
        put_backward(x, derived ? "SEEN" : "CAPTURE", derived);
    else
        put_forward(x, derived ? "SEEN" : "CAPTURE");
    if (derived)
        bytes_add_string(
            x->out,
            "captured.update({name: make(values, model) for name, make in DERIVED.items()})\n");
    bytes_add_string(
        x->out, "captured[\"logits\"] = logits\n"
                "save(sys.argv[1] if len(sys.argv) > 1 else \"captured.safetensors\", captured)\n");
    free(room);
    return 0;
}
