/* export.c - resolving what is to be exported, and the parts that the programs for all libraries
 * share (see export.h). */
#include "export/export_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edit/edit_form.h"
#include "edit/reference.h"
#include "model/gguf.h"
#include "run/prompt_align.h"
#include "text.h"

enum { SET_TOKENS_MAX = 50000 };

const char *const export_names[EXPORT_COUNT] = {"transformer_lens", "nnsight"};

int export_find(const char *name, enum export_to *to, struct err *e)
{
    for (int i = 0; i < EXPORT_COUNT; i++)
        if (!strcmp(name, export_names[i])) {
            *to = (enum export_to)i;
            return 0;
        }
    return err_set(e, ERR_USAGE, "no export to \"%.40s\" · transformer_lens or nnsight", name);
}

/* ---- resolving ---- */

static int32_t token_text(void *user, int32_t pos, const char **text)
{
    const struct export *x = user;
    size_t len;
    *text = tokenizer_text(x->m->tok, x->tokens[pos], &len);
    return (int32_t)len;
}

static int check_run(const struct export *x, const struct edit_instr *act, struct err *e)
{
    if (act->value != EDIT_FROM || !strcmp(act->source_name, "base"))
        return 0;
    for (int32_t i = 0; i < x->n_prompts; i++)
        if (!strcmp(x->prompts[i].name, act->source_name))
            return 0;
    return err_set(e, ERR_BAD_INPUT,
                   "no run is called \"%s\" · edit %d · give it with --run NAME=TEXT",
                   act->source_name, (int)act->edit + 1);
}

/* Some rotary scalings make their tables for a length: TransformerLens keeps those that it began
 * with, Hugging Face the dynamic ones of the longest prompt so far. */
static int check_length(const struct exporter *x, int64_t n, const char *option, const char *name)
{
    if (rope_length(x->cfg, (int32_t)n) == rope_length(x->cfg, x->x->n))
        return 0;
    return err_set(
        x->e, ERR_BAD_INPUT,
        "%s %s · %d tokens beside %d: the model's rotary scaling depends on the length · give it as many",
        option, name, (int)n, (int)x->x->n);
}

static int check_lengths(const struct exporter *x)
{
    const struct export *in = x->x;
    int rc = 0;
    for (int32_t i = 0; !rc && i < in->n_prompts; i++)
        rc = check_length(x, in->prompts[i].n, "--run", in->prompts[i].name);
    for (int32_t i = 0; i < in->n_sets; i++)
        for (int32_t k = 0; !rc && k < in->sets[i]->n; k++)
            rc = check_length(x, in->sets[i]->start[k + 1] - in->sets[i]->start[k], "--ref",
                              in->sets[i]->name);
    return rc;
}

/* from() of a prompt of another length, as the run reads it. */
static int pair_positions(const struct export *in, struct edit_program *p, struct err *e)
{
    const struct pair_target t = {.input = run_ids(in->tokens, in->n),
                                  .prompts = in->prompts,
                                  .n_prompts = in->n_prompts,
                                  .align = in->align};
    struct prompt_maps maps = {0};
    int rc = prompt_align(&maps, &t, p, in->n_edits, e);
    prompt_maps_free(&maps);
    return rc;
}

static int resolve_edits(struct exporter *x)
{
    const struct export *in = x->x;
    struct edit_context ctx = {.cfg = x->cfg,
                               .n_pos = in->n,
                               .model = in->m,
                               .token_text = token_text,
                               .user = (void *)(uintptr_t)in,
                               .sets = in->sets,
                               .n_sets = in->n_sets};
    ctx.gradients = in->grad != NULL;
    x->prog = in->program ? edit_program_copy(in->program) : NULL;
    int rc = x->prog ? 0 : edit_resolve(&x->prog, in->edits, in->on, in->n_edits, &ctx, x->e);
    for (int32_t i = 0; !rc && i < x->prog->n_instrs; i++)
        rc = check_run(in, &x->prog->instrs[i], x->e);
    if (!rc && !in->program)
        rc = pair_positions(in, x->prog, x->e);
    if (!rc)
        rc = check_lengths(x);
    size_t n = rc ? 0
                  : (size_t)x->prog->n_instrs + (size_t)x->prog->n_back +
                        (size_t)x->prog->n_weights;
    x->change = rc ? NULL : calloc(n + 1, sizeof *x->change);
    return rc || x->change ? rc : err_memory(x->e, "export");
}

static int add_captures(struct exporter *x, const char *glob)
{
    struct alias_pick *picks = NULL;
    int n = alias_select(x->cfg, glob, &picks, x->e);
    struct alias_pick *more = n < 0
                                  ? NULL
                                  : realloc(x->capture, (size_t)(x->n_captures + n) * sizeof *more);
    if (!more) {
        free(picks);
        return n < 0 ? n : err_memory(x->e, "export");
    }
    x->capture = more;
    for (int i = 0; i < n; i++) {
        int k = 0;
        while (k < x->n_captures && strcmp(x->capture[k].name, picks[i].name) != 0)
            k++;
        if (k == x->n_captures)
            x->capture[x->n_captures++] = picks[i];
    }
    free(picks);
    return 0;
}

static int resolve_captures(struct exporter *x)
{
    int rc = 0;
    for (int i = 0; i < x->x->n_captures && !rc; i++)
        rc = add_captures(x, x->x->captures[i]);
    for (int i = 0; i < x->n_captures && !rc; i++) {
        const struct alias_value *v = &x->capture[i].value;
        const char *why = v->n_sites ? site_refusal(x->cfg, v->site[0].id) : NULL;
        if (why)
            rc = err_set(x->e, ERR_BAD_INPUT, "%s · %s", x->capture[i].name, why);
        if (!rc && x->x->grad && !v->n_edits)
            rc = err_set(x->e, ERR_BAD_INPUT, "no gradient for %s · %s", x->capture[i].name,
                         v->why);
    }
    return rc;
}

static int resolve_metric(struct exporter *x)
{
    int32_t row0, row1;
    if (!x->x->grad)
        return 0;
    if (!x->n_captures)
        return err_set(x->e, ERR_USAGE,
                       "--grad adds the gradients of captured names · name some with -c");
    int rc = metric_parse(&x->metric, x->x->grad, x->x->m->tok, x->cfg->d_vocab, x->e);
    rc = rc ? rc : metric_check_gradient(&x->metric, x->x->m, x->e);
    return rc ? rc : metric_rows(&x->metric, x->x->n, &row0, &row1, x->e);
}

/* Sets are written out: their size has a bound. */
static int check_sets(struct exporter *x)
{
    for (int32_t i = 0; i < x->x->n_sets; i++) {
        if (x->x->sets[i]->means)
            return err_set(x->e, ERR_BAD_INPUT,
                           "--ref %s · is a file of statistics · a program takes its means by "
                           "file(\"%s\", \"HOOK.mean\")",
                           x->x->sets[i]->name, x->x->sets[i]->path);
        if (x->x->sets[i]->n_tokens > SET_TOKENS_MAX)
            return err_set(x->e, ERR_BAD_INPUT,
                           "--ref %s · %lld tokens · an exported program holds at most %d",
                           x->x->sets[i]->name, (long long)x->x->sets[i]->n_tokens, SET_TOKENS_MAX);
    }
    return 0;
}

int export_program(struct bytes *out, enum export_to to, const struct export *in, struct err *e)
{
    if (in->m->cfg.bidirectional) /* HookedTransformer is causal, and a module is called `output` */
        return err_set(
            e, ERR_BAD_INPUT,
            "export · programs are of models that look back, %s looks both ways · borescope "
            "run -o writes the activations",
            in->m->cfg.arch->model_type);
    struct exporter x = {.x = in, .cfg = &in->m->cfg, .to = to, .e = e};
    struct bytes text = {0};
    x.out = &text;
    int rc = resolve_edits(&x);
    if (!rc)
        rc = check_sets(&x);
    if (!rc)
        rc = resolve_captures(&x);
    if (!rc)
        rc = resolve_metric(&x);
    if (!rc)
        rc = to == EXPORT_NNSIGHT ? export_nnsight(&x) : export_lens(&x);
    if (!rc && text.failed)
        rc = err_memory(e, "export");
    if (!rc)
        bytes_add(out, text.data, text.len);
    for (int32_t i = 0; i < x.n_functions; i++)
        bytes_free(&x.function[i].body);
    free(x.function);
    free(x.change);
    free(x.parameter);
    free(x.capture);
    edit_program_free(x.prog);
    bytes_free(&text);
    return rc;
}

/* ---- Python ---- */

/* What could not be shown as it is becomes bytes in Python's way of passing them through a text
 * ("surrogateescape"). */
void export_string(struct bytes *out, const char *text, size_t len)
{
    struct bytes shown = {0};
    text_add(&shown, text, len, TEXT_PLAIN);
    bool plain = shown.len == len && !memcmp(shown.data, text, len);
    bytes_free(&shown);
    bytes_add_char(out, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            bytes_addf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            bytes_addf(out, "\\x%02x", c);
        else if (c >= 0x80 && !plain)
            bytes_addf(out, "\\udc%02x", c);
        else
            bytes_add_char(out, (char)c);
    }
    bytes_add_char(out, '"');
}

void export_hugging_face(struct exporter *x)
{
    const struct gguf *g = x->x->m->files ? checkpoint_gguf(x->x->m->files) : NULL;
    bytes_add_string(x->out, "AutoModelForCausalLM.from_pretrained(MODEL, ");
    if (g) {
        bytes_add_string(x->out, "gguf_file=");
        export_string(x->out, gguf_file(g), strlen(gguf_file(g)));
        bytes_add_string(x->out, ", ");
    }
    bytes_add_string(x->out, "dtype=torch.float32, attn_implementation=\"eager\")");
}

void export_float(struct bytes *out, float f)
{
    if (isnan(f))
        bytes_add_string(out, "float(\"nan\")");
    else if (isinf(f))
        bytes_add_string(out, f > 0 ? "float(\"inf\")" : "-float(\"inf\")");
    else {
        char text[32];
        edit_number_print(f, text);
        bytes_add_string(out, text);
    }
}

static void put_ids(struct bytes *b, const int32_t *ids, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        bytes_addf(b, "%s%d", i ? i % 24 ? ", " : ",\n          " : "[", (int)ids[i]);
    bytes_add_char(b, ']');
}

void export_comment(struct exporter *x, const char *text, size_t len)
{
    struct bytes shown = {0};
    text_add(&shown, text, len, TEXT_PLAIN);
    for (size_t i = 0; i < shown.len; i++) /* it may stand in a text of three quotes */
        bytes_add_char(x->out, shown.data[i] == '"' && x->in_docstring    ? '\''
                               : shown.data[i] == '\\' && x->in_docstring ? '/'
                                                                          : shown.data[i]);
    bytes_free(&shown);
}

/* The text that the tokens stand for, as a comment. */
static void put_text(struct exporter *x, const int32_t *ids, int32_t n)
{
    struct bytes text = {0};
    for (int32_t i = 0; i < n && text.len < 400; i++) {
        size_t len;
        const char *t = tokenizer_text(x->x->m->tok, ids[i], &len);
        bytes_add(&text, t, len);
    }
    bytes_add_string(x->out, "# ");
    export_comment(x, text.data, text.len);
    bytes_add_char(x->out, '\n');
    bytes_free(&text);
}

static void put_sets(struct exporter *x)
{
    bytes_add_string(x->out, "# reference sets: the tokens of their prompts\nREFS = {\n");
    for (int32_t i = 0; i < x->x->n_sets; i++) {
        const struct reference_set *s = x->x->sets[i];
        bytes_add_string(x->out, "    ");
        export_string(x->out, s->name, strlen(s->name));
        bytes_add_string(x->out, ": [\n");
        for (int32_t k = 0; k < s->n; k++) {
            bytes_add_string(x->out, "        ");
            put_ids(x->out, s->tokens + s->start[k], (int32_t)(s->start[k + 1] - s->start[k]));
            bytes_add_string(x->out, ",\n");
        }
        bytes_add_string(x->out, "    ],\n");
    }
    bytes_add_string(x->out, "}\n");
}

void export_title(struct exporter *x, const char *library, const char *needs)
{
    bytes_add_string(x->out, "\"\"\"");
    x->in_docstring = true;
    export_comment(x, x->x->m->name, strlen(x->x->m->name));
    x->in_docstring = false;
    int32_t n = 0;
    for (int32_t i = 0; i < x->x->n_edits; i++)
        n += !x->x->on || x->x->on[i];
    bytes_addf(
        x->out,
        " through %s: %d token%s, %d edit%s, %d hook point%s captured.  Written by borescope export.\n\n"
        "    python THIS_FILE [OUT.safetensors | OUT.npz]\n\n"
        "Needs %s, transformers 5 and safetensors.  The file that it writes holds the same tensors under the same names\n"
        "as that of `borescope run -o`.\n\"\"\"\n\n",
        library, (int)x->x->n, x->x->n == 1 ? "" : "s", (int)n, n == 1 ? "" : "s", x->n_captures,
        x->n_captures == 1 ? "" : "s", needs);
}

void export_imports(struct exporter *x)
{
    bytes_addf(x->out, "%s%simport sys\n%s\nimport numpy as np\nimport torch\n",
               x->prog->n_weights ? "import contextlib\n" : "",
               x->prog->n_back ? "import functools\n" : "",
               x->to == EXPORT_TRANSFORMER_LENS && x->cfg->n_moe ? "import types\n" : "");
}

void export_tokens(struct exporter *x)
{
    put_text(x, x->x->tokens, x->x->n);
    bytes_add_string(x->out, "TOKENS = ");
    put_ids(x->out, x->x->tokens, x->x->n);
    bytes_add_char(x->out, '\n');
    if (x->reads_sets)
        put_sets(x);
    if (!x->reads_runs)
        return;
    bytes_add_string(x->out,
                     "# runs without edits, which edits read\nRUNS = {\n    \"base\": TOKENS,\n");
    for (int32_t i = 0; i < x->x->n_prompts; i++) {
        bytes_add_string(x->out, "    ");
        export_string(x->out, x->x->prompts[i].name, strlen(x->x->prompts[i].name));
        bytes_add_string(x->out, ": ");
        put_ids(x->out, x->x->prompts[i].tokens, x->x->prompts[i].n);
        bytes_add_string(x->out, ",\n");
    }
    bytes_add_string(x->out, "}\n");
}

static void put_term(struct bytes *b, const struct metric_term *t)
{
    switch (t->kind) {
    case METRIC_LOGIT: bytes_addf(b, "logits[0, %d, %d]", (int)t->pos, (int)t->token); return;
    case METRIC_LOGPROB:
        bytes_addf(b, "logits[0, %d].log_softmax(-1)[%d]", (int)t->pos, (int)t->token);
        return;
    case METRIC_LOSS:
        bytes_add_string(
            b, "torch.nn.functional.cross_entropy(logits[0, :-1], torch.tensor(TOKENS[1:]))");
        return;
    case METRIC_KL:
        bytes_addf(
            b,
            "torch.nn.functional.kl_div(logits[0, %d].log_softmax(-1), base_logits[0, %d].log_softmax(-1), "
            "log_target=True, reduction=\"sum\")",
            (int)t->pos, (int)t->pos);
        return;
    case METRIC_RANK: return; /* metric_check_gradient refuses it */
    }
}

void export_metric(struct exporter *x)
{
    if (!x->x->grad)
        return;
    bytes_add_string(x->out, "# ");
    export_comment(x, x->x->grad, strlen(x->x->grad));
    bytes_add_string(x->out, "\ndef metric(logits, base_logits):\n    return (\n");
    for (int32_t i = 0; i < x->metric.n; i++) {
        const struct metric_term *t = &x->metric.terms[i];
        bytes_addf(x->out, "        %s", t->factor < 0 ? "- " : i ? "+ " : "");
        if (fabs(t->factor) != 1)
            bytes_addf(x->out, "%.15g * ", fabs(t->factor));
        put_term(x->out, t);
        bytes_add_char(x->out, '\n');
    }
    bytes_add_string(x->out, "    )\n\n\n");
}

void export_save(struct exporter *x)
{
    bytes_add_string(
        x->out,
        "def save(path, tensors):\n"
        "    tensors = {name: value.detach().contiguous().clone() for name, value in tensors.items()}\n"
        "    if path.endswith(\".npz\"):\n"
        "        np.savez(path, **{name: value.numpy() for name, value in tensors.items()})\n"
        "    else:\n"
        "        save_file(tensors, path)\n\n\n");
}

void export_list_end(struct exporter *x)
{
    struct bytes *b = x->out;
    if (b->len > 1 && !strcmp(b->data + b->len - 2, "[\n"))
        b->len--;
    bytes_add_string(b, "]\n");
}

int export_layers(const struct site_ref *sites, int n)
{
    int k = 1;
    while (k < n && sites[k].id == sites[0].id && sites[k].layer == sites[k - 1].layer + 1 &&
           sites[0].layer != SITE_ROOT)
        k++;
    return k;
}

struct site_ref export_site(const struct alias_pick *p)
{
    return p->value.form == FORM_SITE && p->value.n_sites == 1
               ? p->value.site[0]
               : (struct site_ref){SITE_COUNT, SITE_ROOT};
}
