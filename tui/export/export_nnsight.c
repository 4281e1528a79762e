/* export_nnsight.c - a program for nnsight around the Hugging Face model (see export.h).
 *
 * A hook point becomes a module's input or output, seen in TransformerLens' shape (export_place.h).
 * What lies inside the attention function (rotated queries and keys, scores, pattern) is made
 * reachable by an attention function of the program's own, with an empty module at each of these
 * places.  Tested in tests/tui/test_export.c and test_export.py. */
#include "export/export_place.h"

#include <stdio.h>
#include <string.h>

static const char attention_text[] =
    "def attend(module, query, key, value, attention_mask, scaling=None, softcap=None, **_):\n"
    "    \"\"\"Attention with a place to look at every step of it.\"\"\"\n"
    "    query, key = module.hook_rot_q(query), module.hook_rot_k(key)\n"
    "    groups = query.shape[1] // key.shape[1]\n"
    "    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)\n"
    "    scores = query @ key.transpose(-1, -2) * scaling\n"
    "    if softcap is not None:\n"
    "        scores = softcap * torch.tanh(scores / softcap)\n"
    "    scores = module.hook_attn_scores(scores.masked_fill(attention_mask < 0, -float(\"inf\")))\n";
static const char sinks_text[] =
    "    sinks = module.sinks[:, None, None].expand(*scores.shape[:-1], 1)\n"
    "    pattern = module.hook_pattern(torch.cat([scores, sinks], -1).softmax(-1)[..., :-1])\n";
static const char pattern_text[] = "    pattern = module.hook_pattern(scores.softmax(-1))\n";
static const char
    mixed_text[] = "    return (pattern @ value).transpose(1, 2).contiguous(), pattern\n\n\n";

static void put_head(struct exporter *x, const struct points *p)
{
    struct bytes *b = x->out;
    export_title(x, "nnsight", "nnsight");
    export_imports(x);
    bytes_addf(
        b,
        "from nnsight import NNsight\n%sfrom safetensors.torch import save_file\nfrom transformers import AutoModelForCausalLM\n\nMODEL = ",
        x->helpers & HELP_FILES ? "from safetensors import safe_open\n" : "");
    export_string(b, x->x->m->folder, strlen(x->x->m->folder));
    bytes_add_char(b, '\n');
    export_tokens(x);
    bytes_add_string(b, "\n\n");
    if (p->attention)
        bytes_addf(b, "%s%s%s", attention_text, x->cfg->sinks ? sinks_text : pattern_text,
                   mixed_text);
}

/* Eager attention of Hugging Face's adds multiples of slopes within and with the mask. */
static void put_slopes_once(struct exporter *x)
{
    if (x->cfg->alibi_early)
        bytes_addf(x->out,
                   "for block in hf.%sh:  # eager attention adds the slopes' multiples twice\n"
                   "    block.self_attention.register_forward_pre_hook(lambda _, args, more: (\n"
                   "        args, {**more, \"alibi\": torch.zeros_like(more[\"alibi\"])}), "
                   "with_kwargs=True)\n",
                   x->cfg->arch->prefix);
}

static void put_model(struct exporter *x, const struct points *p)
{
    char path[LIMIT_NAME];
    struct point at;
    struct bytes *b = x->out;
    bytes_add_string(b, "hf = ");
    export_hugging_face(x);
    bytes_add_string(b, ".eval()\n");
    put_slopes_once(x);
    if (p->attention &&
        alias_name(x->cfg, (struct site_ref){site_attn_made(x->cfg), 0}, LIBRARY_NNSIGHT, 0,
                   path) &&
        export_path_split(path, &at)) {
        const char *blocks = at.module + strlen("model."), *rest = strstr(blocks, "[0]");
        bytes_addf(
            b,
            "sys.modules[type(hf).__module__].eager_attention_forward = attend\n"
            "for block in hf.%.*s:\n"
            "    for name in (\"hook_rot_q\", \"hook_rot_k\", \"hook_attn_scores\", \"hook_pattern\"):\n"
            "        block%s.add_module(name, torch.nn.Identity())\n",
            (int)(rest - blocks), blocks, rest + strlen("[0]"));
    }
    bytes_add_string(b, "model = NNsight(hf)\n");
    if (x->edits_unembedding && x->helpers & HELP_DIRECTION)
        bytes_add_string(b, "unembedding = hf.lm_head.weight  # without edits\n");
    bytes_add_char(b, '\n');
}

/* Those of values, or of gradients. */
static void put_edits(struct exporter *x, const struct points *p, bool backward)
{
    char name[40];
    for (int32_t i = 0; i < x->n_changes; i++) {
        const struct export_change *c = &x->change[i];
        if (c->act.weight || c->act.backward != backward)
            continue;
        export_function_name(x, c->function, name);
        bytes_addf(x->out, "    (\"%s\", %s),\n", p->item[c->point].name, name);
    }
    export_list_end(x);
}

static void put_points(struct exporter *x, const struct points *p)
{
    bytes_add_string(
        x->out,
        "# Where each hook point is, in the order in which the model gets there:\n"
        "# name, module, its side, element of a tuple, that tensor in the hook point's shape\nPOINTS = [\n");
    for (int i = 0; i < p->n; i++) {
        const struct point *at = &p->item[i];
        char element[16] = "None";
        if (at->element >= 0)
            snprintf(element, sizeof element, "%d", at->element);
        bytes_addf(x->out, "    (\"%s\", %s, \"%s\", %s, %s),\n", at->name, at->module,
                   at->output ? "output" : "input", element, at->view);
    }
    export_list_end(x);
    bytes_add_string(x->out, "# point, function; in this order\nEDITS = [\n");
    put_edits(x, p, false);
    if (x->prog->n_back) {
        bytes_add_string(x->out,
                         "# point, function of its gradient; in this order\nGRADIENTS = [\n");
        put_edits(x, p, true);
    }
    bytes_add_string(x->out, "CAPTURE = [\n");
    for (int i = 0; i < x->n_captures; i++)
        bytes_addf(x->out, "    \"%s\",\n", x->capture[i].name);
    export_list_end(x);
    bytes_add_string(x->out, "\n\n");
}

static const char run_text[] =
    "def run(tokens, edits=()):\n"
    "    \"\"\"The logits, and what every point holds after its edits.\"\"\"\n"
    "    values = {}\n"
    "    with model.trace(torch.tensor([tokens])):\n"
    "        for name, module, side, element, view in POINTS:\n"
    "            whole = getattr(module, side)\n"
    "            x = (whole if element is None else whole[element]).clone()  # other uses of the same tensor are not this point\n"
    "            part = view(x) if view else x\n"
    "            for at, edit in edits:\n"
    "                if at == name:\n"
    "                    part.copy_(edit(part, name))\n";

static void put_run(struct exporter *x)
{
    bool in_place = x->cfg->arch->adds_in_place || x->cfg->clip_qkv > 0; /* what it is given */
    const char *given = in_place ? "x.clone()" : "x";
    bytes_add_string(x->out, run_text);
    if (x->x->grad)
        bytes_add_string(x->out,
                         "            if x.is_floating_point() and torch.is_grad_enabled():\n"
                         "                x.requires_grad_().retain_grad()\n");
    bytes_addf(x->out,
               "            setattr(module, side, %s if element is None else (*whole[:element], "
               "%s, *whole[element + 1:]))\n"
               "            values[name] = %s.save()\n"
               "        logits = model.output.logits.save()\n"
               "    return logits, values\n\n\n",
               given, given, x->x->grad ? "x" : "part");
    if (x->reads_runs || x->reads_sets)
        bytes_addf(
            x->out,
            "def values_of(tokens):\n    \"\"\"What edits read, of a run without edits.\"\"\"\n    with torch.no_grad():\n"
            "        return %s\n\n\n",
            x->x->grad ? "{name: shown(name, x) for name, x in run(tokens)[1].items()}"
                       : "run(tokens)[1]");
    if (x->reads_runs)
        bytes_add_string(x->out,
                         "runs = {name: values_of(tokens) for name, tokens in RUNS.items()}\n");
    if (x->reads_sets)
        bytes_add_string(
            x->out,
            "refs = {name: [values_of(tokens) for tokens in prompts] for name, prompts in REFS.items()}\n");
    if (!x->x->grad) {
        bytes_addf(x->out,
                   "with torch.no_grad()%s:\n    logits, values = run(TOKENS, EDITS)\n"
                   "captured = {name: values[name] for name in CAPTURE}\n",
                   x->prog->n_weights ? ", edited_weights()" : "");
        return;
    }
    bytes_addf(
        x->out,
        "with torch.no_grad():\n    base_logits, _ = run(TOKENS)\n"
        "%slogits, values = run(TOKENS, EDITS)\n"
        "%s"
        "metric(logits, base_logits).backward()\n"
        "captured = {name: shown(name, values[name]) for name in CAPTURE}\n"
        "for name in CAPTURE:\n"
        "    x = values[name]\n"
        "    if x.is_floating_point():\n"
        "        captured[name + \"_grad\"] = shown(name, torch.zeros_like(x) if x.grad is None else x.grad)\n",
        x->prog->n_weights ? "with edited_weights():\n    " : "",
        x->prog->n_back
            ? "for name, edit in GRADIENTS:\n    values[name].register_hook(functools.partial(changed, name=name, edit=edit))\n"
            : "");
}

static void put_program(struct exporter *x, const struct points *p)
{
    put_head(x, p);
    put_model(x, p);
    bytes_add_string(x->out, "\n");
    char between[200];
    const char *name = x->edits_unembedding ? "unembedding" : "model.lm_head.weight";
    bool projected = config_has(x->cfg, PROPERTY_PROJECTED);
    snprintf(between, sizeof between, "%s%s[a] - %s[b]%s", projected ? "(" : "", name, name,
             projected ? ") @ hf.model.decoder.project_out.weight" : "");
    export_helpers(x, between);
    export_functions_print(x);
    export_metric(x);
    export_save(x);
    export_weights_print(x, "hf");
    put_points(x, p);
    if (x->x->grad)
        bytes_add_string(
            x->out, "VIEWS = {name: view for name, _, _, _, view in POINTS}\n\n\n"
                    "def shown(name, x):\n    return VIEWS[name](x) if VIEWS[name] else x\n\n\n");
    if (x->prog->n_back)
        bytes_add_string(x->out, "def changed(grad, name, edit):\n"
                                 "    grad = grad.clone()\n"
                                 "    part = shown(name, grad)\n"
                                 "    part.copy_(edit(part, name.removesuffix(\"_grad\")))\n"
                                 "    return grad\n\n\n");
    put_run(x);
    bytes_add_string(
        x->out, "captured[\"logits\"] = logits\n"
                "save(sys.argv[1] if len(sys.argv) > 1 else \"captured.safetensors\", captured)\n");
}

int export_nnsight(struct exporter *x)
{
    struct points p = {0};
    if (x->x->m->process)
        return err_set(
            x->e, ERR_BAD_INPUT,
            "--process · nnsight runs the checkpoint as it is · --process none, or --to transformer_lens");
    int rc = export_places(x, &p);
    if (!rc)
        rc = export_functions(x);
    if (!rc)
        put_program(x, &p);
    export_places_free(&p);
    return rc;
}
