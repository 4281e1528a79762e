/* export_nnsight.c - a program for nnsight around the Hugging Face model (see export.h).
 *
 * A hook point becomes a module's input or output, seen in TransformerLens' shape.  What lies inside the attention function
 * (rotated queries and keys, scores, pattern) is made reachable by an attention function of the program's own, with an empty
 * module at each of these places.  Points stand in the order in which the model reaches them: nnsight waits for one after the
 * other.  Tested in tests/tui/test_export.c and test_export.py. */
#include "export_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct point {
    char name[LIMIT_NAME];   /* key of its values */
    char module[LIMIT_NAME]; /* "model.transformer.h[0].attn" */
    bool output;
    int element;             /* of a tuple, -1: not a tuple */
    char view[80];           /* Python: the module's tensor in the site's shape, "None" as it is */
    int stage, site, row;    /* order */
};

struct points {
    struct point *item;
    int n;
    struct alias_pick *nnsight, *hf; /* all names; the same rows in both */
    int n_names;
    struct site_ref *sites;          /* in firing order */
    int n_sites;
    bool attention;                  /* the attention function is replaced */
};

static bool in_attention(enum site_id id)
{
    return id == SITE_ROT_Q || id == SITE_ROT_K || id == SITE_ATTN_SCORES || id == SITE_PATTERN;
}

/* ---- finding places ---------------------------------------------------------------------------------- */

/* Inputs and activations of one projection come before the next one runs. */
static enum site_id turn_of(enum site_id id)
{
    switch (id) {
    case SITE_Q_IN: return SITE_Q;
    case SITE_K_IN: return SITE_K;
    case SITE_V_IN: return SITE_V;
    case SITE_GATE_IN: case SITE_ACT_OUT: return SITE_PRE;
    case SITE_UP_IN: return SITE_PRE_LINEAR;
    default: return id;
    }
}

static int site_order(const struct points *p, struct site_ref s)
{
    s.id = turn_of(s.id);
    for (int i = 0; i < p->n_sites; i++)
        if (p->sites[i].id == s.id && p->sites[i].layer == s.layer)
            return i;
    return p->n_sites;
}

static bool split_path(const char *path, struct point *out);

/* Among the names of one site: as in the table, but what a module returns comes after what the modules within it return. */
static int row_order(const struct points *p, int row)
{
    struct point outer = {0}, inner = {0};
    int last = 2 * row;
    if (!split_path(p->nnsight[row].name, &outer) || !outer.output)
        return last;
    size_t n = strlen(outer.module);
    for (int i = 0; i < p->n_names; i++)
        if (p->nnsight[i].value.site[0].id == p->nnsight[row].value.site[0].id && split_path(p->nnsight[i].name, &inner) &&
            !strncmp(inner.module, outer.module, n) && inner.module[n] == '.' && 2 * i + 1 > last)
            last = 2 * i + 1;
    return last;
}

/* "model.x.y.output[0]" -> module, side, element */
static bool split_path(const char *path, struct point *out)
{
    const char *end = strrchr(path, '.');
    bool output = end && !strncmp(end, ".output", 7), input = end && !strncmp(end, ".input", 6);
    const char *after = output ? end + 7 : input ? end + 6 : "?";
    if (*after && *after != '[')
        return false;
    snprintf(out->module, sizeof out->module, "%.*s", (int)(end - path), path);
    out->output = output;
    out->element = *after ? after[1] - '0' : -1;
    return true;
}

/* How the site lies in the tensor of the name. */
static void view_of(const struct config *cfg, const struct alias_value *v, struct site_ref s, char *buf, size_t size)
{
    int64_t shape[SITE_RANK_MAX];
    int part = 0;
    site_shape(cfg, s.id, 1, shape);
    while (part < v->n_sites && v->site[part].id != s.id)
        part++;
    int h = (int)shape[1], d = cfg->d_head;
    if (v->form == FORM_FLAT)
        snprintf(buf, size, "lambda x: x.unflatten(-1, (%d, %d))", h, d);
    else if (v->form == FORM_THIRDS)
        snprintf(buf, size, "lambda x: x[..., %d:%d].unflatten(-1, (%d, %d))", part * h * d, (part + 1) * h * d, h, d);
    else if (v->form == FORM_HEADS)
        snprintf(buf, size, "lambda x: x.unflatten(-1, (%d, 3, %d))[..., %d, :]", h, d, part);
    else
        snprintf(buf, size, "None");
}

static bool shows(const struct config *cfg, const struct alias_value *v, struct site_ref s, bool edit)
{
    const struct site_ref *list = edit ? v->edit : v->site;
    for (int i = 0; i < (edit ? v->n_edits : v->n_sites); i++) {
        bool copy = !edit && list[i].id == SITE_MLP_IN && s.id == site_copied(cfg, SITE_MLP_IN);
        if ((list[i].id == s.id || copy) && list[i].layer == s.layer && !v->spread)
            return true;
    }
    return false;
}

/* The row that shows (or edits) a site, in its block and alone rather than within something larger; -1 = none. */
static int row_of(const struct exporter *x, const struct points *p, struct site_ref s, bool edit)
{
    int best = -1, best_rank = 0, best_order = 0;
    for (int i = 0; i < p->n_names; i++) {
        const struct alias_value *v = &p->nnsight[i].value;
        bool alone = v->form == FORM_SITE || v->form == FORM_FLAT, in_block = strchr(p->nnsight[i].name, '[') != NULL;
        int rank = 1 + alone + (in_block && s.layer != SITE_ROOT);
        int order = row_order(p, i); /* of equals the first that the model reaches: the others then see the edit */
        if ((rank > best_rank || (rank == best_rank && order < best_order)) && shows(x->cfg, v, s, edit)) {
            best = i;
            best_rank = rank;
            best_order = order;
        }
    }
    return best;
}

static int place_site(const struct exporter *x, struct points *p, struct site_ref s, bool edit, struct point *out)
{
    char path[LIMIT_NAME];
    site_name(s, out->name);
    out->site = site_order(p, s);
    if (in_attention(s.id)) {
        if (!alias_name(x->cfg, (struct site_ref){SITE_ATTN_OUT, s.layer}, TONGUE_NNSIGHT, 0, path) || !split_path(path, out))
            return -1;
        size_t n = strlen(out->module);
        snprintf(out->module + n, sizeof out->module - n, "%s", strrchr(site_table[s.id].name, '.'));
        bool rotated = s.id == SITE_ROT_Q || s.id == SITE_ROT_K;
        snprintf(out->view, sizeof out->view, rotated ? "lambda x: x.transpose(1, 2)" : "None");
        out->element = -1;
        p->attention = true;
        return 0;
    }
    int row = row_of(x, p, s, edit);
    if (row < 0 || !split_path(p->nnsight[row].name, out))
        return -1;
    out->row = row_order(p, row);
    view_of(x->cfg, &p->nnsight[row].value, s, out->view, sizeof out->view);
    return 0;
}

/* A name of a module's tensor: as it is there. */
static int place_name(const struct points *p, const struct alias_pick *pick, struct point *out)
{
    for (int i = 0; i < p->n_names; i++) {
        if (strcmp(p->nnsight[i].name, pick->name) != 0 && strcmp(p->hf[i].name, pick->name) != 0)
            continue;
        const struct alias_value *v = &pick->value;
        snprintf(out->name, sizeof out->name, "%s", pick->name);
        snprintf(out->view, sizeof out->view, "None");
        out->row = row_order(p, i);
        out->site = site_order(p, v->site[v->n_sites - 1]);
        for (int k = 0; v->site[0].id == SITE_PATTERN && k < i; k++) /* returned with the output: element 0 says when */
            if (!strncmp(p->hf[k].name, p->hf[i].name, strlen(p->hf[i].name) - 2)) {
                out->site = site_order(p, p->nnsight[k].value.site[0]);
                out->row = row_order(p, k);
            }
        return split_path(p->nnsight[i].name, out) ? 0 : -1;
    }
    return -1;
}

/* Index of the point of that name, added if new. */
static int add_point(struct points *p, const struct point *new)
{
    for (int i = 0; i < p->n; i++)
        if (!strcmp(p->item[i].name, new->name))
            return i;
    p->item[p->n] = *new;
    return p->n++;
}

/* ---- what is exported -------------------------------------------------------------------------------- */

static bool same_axis(const struct edit_axis *a, const struct edit_axis *b)
{
    return a->n == b->n && (a->list ? b->list && !memcmp(a->list, b->list, (size_t)a->n * sizeof *a->list) : !b->list && a->lo == b->lo);
}

/* The act with the same edit on another of the split inputs, all heads of both. */
static bool has_twin(const struct exporter *x, const struct edit_act *act, enum site_id id)
{
    for (int32_t i = 0; i < x->prog->n_acts; i++) {
        const struct edit_act *b = &x->prog->acts[i];
        int64_t shape[SITE_RANK_MAX];
        site_shape(x->cfg, b->site.id, x->x->n, shape);
        if (b->edit == act->edit && b->site.id == id && b->site.layer == act->site.layer && same_axis(&b->axis[0], &act->axis[0]) &&
            same_axis(&b->axis[2], &act->axis[2]) && b->axis[1].n == shape[1])
            return true;
    }
    return false;
}

/* An edit of the norm's input reaches all heads of q, k and v: one tensor here. */
static bool is_joint(const struct exporter *x, const struct edit_act *act)
{
    return (act->site.id == SITE_Q_INPUT || act->site.id == SITE_K_INPUT || act->site.id == SITE_V_INPUT) &&
           has_twin(x, act, SITE_Q_INPUT) && has_twin(x, act, SITE_K_INPUT) && has_twin(x, act, SITE_V_INPUT);
}

static int place_joint(struct points *p, struct edit_act *act, struct point *out)
{
    for (int i = 0; i < p->n_names; i++) {
        const struct alias_value *v = &p->nnsight[i].value;
        if (!v->spread || v->site[0].layer != act->site.layer)
            continue;
        snprintf(out->name, sizeof out->name, "%s", p->hf[i].name);
        snprintf(out->view, sizeof out->view, "None");
        out->row = i;
        out->site = site_order(p, act->site);
        act->site.id = SITE_RESID_PRE;
        act->rank = 2;
        act->axis[1] = act->axis[2];
        return split_path(p->nnsight[i].name, out) ? 0 : -1;
    }
    return -1;
}

static int place_changes(struct exporter *x, struct points *p)
{
    char why[LIMIT_NAME + 160], name[LIMIT_NAME];
    x->change = calloc((size_t)x->prog->n_acts + 1, sizeof *x->change);
    if (!x->change)
        return err_set(x->e, ERR_SYSTEM, "memory is out · export");
    for (int32_t i = 0; i < x->prog->n_acts; i++) {
        struct edit_act act = x->prog->acts[i];
        struct point at = {.element = -1};
        bool joint = is_joint(x, &act);
        if (joint && act.site.id != SITE_Q_INPUT)
            continue;
        if (joint ? place_joint(p, &act, &at) : place_site(x, p, act.site, true, &at)) {
            snprintf(why, sizeof why, "nnsight has no place for %s: %s", site_name(act.site, name), alias_absence(act.site.id, TONGUE_NNSIGHT));
            return export_refuse(x, act.edit, why);
        }
        x->change[x->n_changes].act = act;
        x->change[x->n_changes++].point = add_point(p, &at);
    }
    return 0;
}

static int place_captures(struct exporter *x, struct points *p)
{
    for (int i = 0; i < x->n_captures; i++) {
        const struct alias_pick *c = &x->capture[i];
        struct point at = {.element = -1};
        struct site_ref s = export_site(c);
        bool module = c->value.tongue == TONGUE_HF || c->value.tongue == TONGUE_NNSIGHT;
        int missing = module ? place_name(p, c, &at) : s.id == SITE_COUNT ? -1 : place_site(x, p, s, x->x->grad != NULL, &at);
        if (missing)
            return err_set(x->e, ERR_BAD_INPUT, "capture %s · nnsight has no place for it: %s", c->name,
                           s.id == SITE_COUNT ? "name the module's input or output" : alias_absence(s.id, TONGUE_NNSIGHT));
        snprintf(at.name, sizeof at.name, "%s", c->name);
        add_point(p, &at);
    }
    return 0;
}

/* Forward order. */
static int by_order(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    if (x->site != y->site)
        return x->site < y->site ? -1 : 1;
    return x->row != y->row ? (x->row < y->row ? -1 : 1) : x->stage - y->stage; /* edits before what only looks */
}

/* ---- the text ---------------------------------------------------------------------------------------- */

static const char attention_text[] =
    "def attend(module, query, key, value, attention_mask, scaling=None, **_):\n"
    "    \"\"\"Attention with a place to look at every step of it.\"\"\"\n"
    "    query, key = module.hook_rot_q(query), module.hook_rot_k(key)\n"
    "    groups = query.shape[1] // key.shape[1]\n"
    "    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)\n"
    "    scores = query @ key.transpose(-1, -2) * scaling\n"
    "    scores = scores.masked_fill(attention_mask < 0, -float(\"inf\"))\n"
    "    pattern = module.hook_pattern(module.hook_attn_scores(scores).softmax(-1))\n"
    "    return (pattern @ value).transpose(1, 2).contiguous(), pattern\n\n\n";

static void put_head(struct exporter *x, const struct points *p)
{
    struct bytes *b = x->out;
    export_title(x, "nnsight", "nnsight");
    bytes_addf(b, "import sys\n\nimport numpy as np\nimport torch\nfrom nnsight import NNsight\n%sfrom safetensors.torch import save_file\n"
               "from transformers import AutoModelForCausalLM\n\nMODEL = ", x->helpers & HELP_FILES ? "from safetensors import safe_open\n" : "");
    export_string(b, x->x->m->folder, strlen(x->x->m->folder));
    bytes_add_char(b, '\n');
    export_tokens(x);
    bytes_add_string(b, "\n\n");
    if (p->attention)
        bytes_add_string(b, attention_text);
}

static void put_model(struct exporter *x, const struct points *p)
{
    char path[LIMIT_NAME];
    struct point at;
    struct bytes *b = x->out;
    bytes_add_string(b, "hf = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32, attn_implementation=\"eager\").eval()\n");
    if (p->attention && alias_name(x->cfg, (struct site_ref){SITE_ATTN_OUT, 0}, TONGUE_NNSIGHT, 0, path) && split_path(path, &at)) {
        const char *blocks = at.module + strlen("model."), *rest = strstr(blocks, "[0]");
        bytes_addf(b, "sys.modules[type(hf).__module__].eager_attention_forward = attend\n"
                   "for block in hf.%.*s:\n"
                   "    for name in (\"hook_rot_q\", \"hook_rot_k\", \"hook_attn_scores\", \"hook_pattern\"):\n"
                   "        block%s.add_module(name, torch.nn.Identity())\n", (int)(rest - blocks), blocks, rest + strlen("[0]"));
    }
    bytes_add_string(b, "model = NNsight(hf)\n\n");
}

static void put_points(struct exporter *x, const struct points *p)
{
    bytes_add_string(x->out, "# Where each hook point is, in the order in which the model gets there:\n"
                     "# name, module, its side, element of a tuple, that tensor in the hook point's shape\nPOINTS = [\n");
    for (int i = 0; i < p->n; i++) {
        const struct point *at = &p->item[i];
        char element[16] = "None";
        if (at->element >= 0)
            snprintf(element, sizeof element, "%d", at->element);
        bytes_addf(x->out, "    (\"%s\", %s, \"%s\", %s, %s),\n", at->name, at->module, at->output ? "output" : "input", element, at->view);
    }
    bytes_add_string(x->out, "]\n# point, function; in this order\nEDITS = [\n");
    for (int32_t i = 0; i < x->n_changes; i++) {
        char name[40];
        export_function_name(x, x->change[i].function, name);
        bytes_addf(x->out, "    (\"%s\", %s),\n", p->item[x->change[i].point].name, name);
    }
    bytes_add_string(x->out, "]\nCAPTURE = [\n");
    for (int i = 0; i < x->n_captures; i++)
        bytes_addf(x->out, "    \"%s\",\n", x->capture[i].name);
    bytes_add_string(x->out, "]\n\n\n");
}

static const char run_text[] =
    "def run(tokens, edits=()):\n"
    "    \"\"\"The logits, and what every point holds after its edits.\"\"\"\n"
    "    values = {}\n"
    "    with model.trace(torch.tensor([tokens])):\n"
    "        for name, module, side, element, view in POINTS:\n"
    "            whole = getattr(module, side)\n"
    "            x = whole if element is None else whole[element]\n"
    "            mine = [edit for at, edit in edits if at == name]\n"
    "            if mine:\n"
    "                x = x.clone()\n"
    "                part = view(x) if view else x\n"
    "                for edit in mine:\n"
    "                    part.copy_(edit(part, name))\n"
    "                setattr(module, side, x if element is None else (*whole[:element], x, *whole[element + 1:]))\n";

static void put_run(struct exporter *x)
{
    bytes_add_string(x->out, run_text);
    bytes_add_string(x->out, x->x->grad ? "            if x.requires_grad:\n                x.retain_grad()\n            values[name] = x.save()\n"
                                        : "            values[name] = (view(x) if view else x).clone().save()\n");
    bytes_add_string(x->out, "        logits = model.output.logits.save()\n    return logits, values\n\n\n");
    if (x->reads_runs || x->reads_sets)
        bytes_addf(x->out, "def values_of(tokens):\n    \"\"\"What edits read, of a run without edits.\"\"\"\n    with torch.no_grad():\n"
                   "        return %s\n\n\n", x->x->grad ? "{name: shown(name, x) for name, x in run(tokens)[1].items()}" : "run(tokens)[1]");
    if (x->reads_runs)
        bytes_add_string(x->out, "runs = {name: values_of(tokens) for name, tokens in RUNS.items()}\n");
    if (x->reads_sets)
        bytes_add_string(x->out, "refs = {name: [values_of(tokens) for tokens in prompts] for name, prompts in REFS.items()}\n");
    if (!x->x->grad) {
        bytes_add_string(x->out, "with torch.no_grad():\n    logits, values = run(TOKENS, EDITS)\n"
                         "captured = {name: values[name] for name in CAPTURE}\n");
        return;
    }
    bytes_add_string(x->out,
        "with torch.no_grad():\n    base_logits, _ = run(TOKENS)\n"
        "logits, values = run(TOKENS, EDITS)\n"
        "metric(logits, base_logits).backward()\n"
        "captured = {name: shown(name, values[name]) for name in CAPTURE}\n"
        "for name in CAPTURE:\n"
        "    x = values[name]\n"
        "    if x.is_floating_point():\n"
        "        captured[name + \"_grad\"] = shown(name, torch.zeros_like(x) if x.grad is None else x.grad)\n");
}

static void put_program(struct exporter *x, const struct points *p)
{
    put_head(x, p);
    put_model(x, p);
    bytes_add_string(x->out, "\n");
    export_helpers(x, "model.lm_head.weight[a] - model.lm_head.weight[b]");
    export_functions_print(x);
    export_metric(x);
    export_save(x);
    put_points(x, p);
    if (x->x->grad)
        bytes_add_string(x->out, "VIEWS = {name: view for name, _, _, _, view in POINTS}\n\n\n"
                         "def shown(name, x):\n    return VIEWS[name](x) if VIEWS[name] else x\n\n\n");
    put_run(x);
    bytes_add_string(x->out, "captured[\"logits\"] = logits\n"
                     "save(sys.argv[1] if len(sys.argv) > 1 else \"captured.safetensors\", captured)\n");
}

/* Sorting moves points: changes follow their names. */
static void sort_points(struct exporter *x, struct points *p)
{
    int *place = malloc(((size_t)p->n + 1) * sizeof *place);
    if (!place || !p->n) {
        x->out->failed |= !place;
        free(place);
        return;
    }
    for (int i = 0; i < p->n; i++)
        p->item[i].stage = i;
    qsort(p->item, (size_t)p->n, sizeof *p->item, by_order);
    for (int i = 0; i < p->n; i++)
        place[p->item[i].stage] = i;
    for (int32_t i = 0; i < x->n_changes; i++)
        x->change[i].point = place[x->change[i].point];
    free(place);
}

int export_nnsight(struct exporter *x)
{
    struct points p = {0};
    int err = 0;
    if (x->x->m->process)
        err = err_set(x->e, ERR_BAD_INPUT, "--process · nnsight runs the checkpoint as it is · --process none, or --to transformer_lens");
    p.n_names = err ? 0 : alias_list(x->cfg, TONGUE_NNSIGHT, &p.nnsight, x->e);
    int n_hf = err || p.n_names < 0 ? 0 : alias_list(x->cfg, TONGUE_HF, &p.hf, x->e);
    if (p.n_names < 0 || n_hf < 0)
        err = p.n_names < 0 ? p.n_names : n_hf;
    p.sites = calloc(((size_t)x->cfg->n_layers + 1) * SITE_COUNT, sizeof *p.sites);
    p.item = calloc((size_t)x->prog->n_acts + (size_t)x->n_captures + 1, sizeof *p.item);
    if (!err && (!p.sites || !p.item))
        err = err_set(x->e, ERR_SYSTEM, "memory is out · export");
    if (!err) {
        p.n_sites = site_list(x->cfg, p.sites);
        err = place_changes(x, &p);
    }
    if (!err)
        err = place_captures(x, &p);
    if (!err) {
        sort_points(x, &p);
        err = export_functions(x);
    }
    if (!err)
        put_program(x, &p);
    free(p.nnsight);
    free(p.hf);
    free(p.sites);
    free(p.item);
    return err;
}
