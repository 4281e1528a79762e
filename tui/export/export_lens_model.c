/* export_lens_model.c - the model of a program for TransformerLens: a HookedTransformer made from
 * the checkpoint's own folder by the library's converter; where that is known to leave something
 * out, the architecture's data says how it is put back. Tested in tests/tui/test_export.c and
 * test_export.py. */
#include "export/export_lens.h"

#include <string.h>

#include "model/process.h"

static int32_t context_of(const struct exporter *x)
{
    int32_t n = x->cfg->n_ctx < 2048 ? x->cfg->n_ctx : 2048;
    if (x->cfg->pos == POS_LEARNED)
        return x->cfg->n_ctx;
    n = x->x->n > n ? x->x->n : n;
    for (int32_t i = 0; i < x->x->n_prompts; i++)
        n = x->x->prompts[i].n > n ? x->x->prompts[i].n : n;
    return n;
}

/* attn_types=["global"] * 2 + ["local"] * 4: neighbouring layers of one kind together. */
static void put_windows(struct exporter *x)
{
    const struct plan *plan = x->x->m->plan;
    int32_t n = x->cfg->n_layers, size = 0;
    for (int32_t l = 0; l < n && !size; l++)
        size = plan_window(plan, l);
    if (!size)
        return;
    bytes_addf(x->out, "        use_local_attn=True, window_size=%d, attn_types=", (int)size);
    for (int32_t l = 0, end; l < n; l = end) {
        bool local = plan_window(plan, l) > 0;
        for (end = l + 1; end < n && (plan_window(plan, end) > 0) == local;)
            end++;
        bytes_addf(x->out, "%s[\"%s\"] * %d", l ? " + " : "", local ? "local" : "global",
                   (int)(end - l));
    }
    bytes_add_string(x->out, ",\n");
}

/* The scale of embeddings has the type that they are stored in; this program has all in f32. */
static void put_scaled(struct exporter *x)
{
    const char *stored = x->x->m->dtype;
    bytes_addf(
        x->out,
        "    weights[\"embed.W_E\"] = hf.get_input_embeddings().weight.detach() * torch.tensor(%d**0.5).to(torch.%s).float()\n",
        (int)x->cfg->d_model,
        !strcmp(stored, "bf16")  ? "bfloat16"
        : !strcmp(stored, "f16") ? "float16"
                                 : "float32");
}

static void put_config(struct exporter *x, const struct switches *sw)
{
    static const char *const acts[KN_ACT_COUNT] = {[KN_ACT_GELU] = "gelu",
                                                   [KN_ACT_GELU_NEW] = "gelu_new",
                                                   [KN_ACT_RELU] = "relu",
                                                   [KN_ACT_SILU] = "silu",
                                                   [KN_ACT_QUICK_GELU] = "quick_gelu"};
    const struct config *c = x->cfg;
    bytes_addf(
        x->out,
        "    cfg = HookedTransformerConfig(\n"
        "        n_layers=%d, n_heads=%d, d_head=%d, d_model=%d, d_mlp=%d, d_vocab=%d, n_ctx=%d,\n"
        "        act_fn=\"%s\", gated_mlp=%s, normalization_type=\"%s\", final_rms=%s, eps=%.9g, attn_scale=%.9g**0.5,\n",
        (int)c->n_layers, (int)c->n_heads, (int)c->d_head, (int)c->d_model,
        (int)(c->n_moe ? c->d_expert : c->d_mlp), (int)c->d_vocab, (int)context_of(x), acts[c->act],
        c->gated ? "True" : "False", c->norm_center ? "LN" : "RMS",
        c->norm_center ? "False" : "True", c->norm_eps,
        c->query_pre_attn_scalar > 0 ? c->query_pre_attn_scalar : (double)c->d_head);
    if (c->pos == POS_ROTARY)
        bytes_addf(
            x->out,
            "        positional_embedding_type=\"rotary\", rotary_dim=%d, rotary_base=%.17g, rotary_adjacent_pairs=%s,\n",
            (int)c->n_rot, c->rope.theta, c->rope_pairs ? "True" : "False");
    if (c->pos == POS_ALIBI)
        bytes_add_string(x->out, "        positional_embedding_type=\"alibi\",\n");
    if (c->embed_norm)
        bytes_add_string(x->out, "        post_embedding_ln=True,\n");
    if (c->arch->lens.grouped || c->n_kv_heads != c->n_heads)
        bytes_addf(x->out, "        n_key_value_heads=%d,\n", (int)c->n_kv_heads);
    if (c->n_moe)
        bytes_addf(x->out, "        num_experts=%d, experts_per_token=%d, norm_topk_prob=%s,\n",
                   (int)c->n_experts, (int)c->n_active, c->share_top ? "True" : "False");
    if (c->qk_norm_joined) /* and where norms stand, the library knows by the name */
        bytes_addf(x->out, "        original_architecture=\"%s\",\n", c->arch->class_name);
    else if (c->qk_norm)
        bytes_add_string(x->out, "        use_qk_norm=True,\n");
    if (c->norm_place == NORM_BOTH)
        bytes_add_string(x->out, "        use_normalization_before_and_after=True,\n");
    if (c->softcap > 0)
        bytes_addf(x->out, "        attn_scores_soft_cap=%.17g,\n", c->softcap);
    if (c->final_softcap > 0)
        bytes_addf(x->out, "        output_logits_soft_cap=%.17g,\n", c->final_softcap);
    put_windows(x);
    bytes_addf(
        x->out,
        "        parallel_attn_mlp=%s, use_hook_tokens=%s, init_weights=False, dtype=torch.float32,\n    )\n",
        c->parallel ? "True" : "False", sw->tokens ? "True" : "False");
}

/* Layers without rotary positions turn by no angle. */
static void put_unrotated(struct exporter *x)
{
    for (int32_t l = 0; l < x->cfg->n_layers; l++)
        if (layer_in(&x->cfg->unrotated, l))
            bytes_addf(x->out,
                       "    at = model.blocks[%d].attn  # without rotary positions\n"
                       "    at.rotary_cos, at.rotary_sin = torch.ones_like(at.rotary_cos), "
                       "torch.zeros_like(at.rotary_sin)\n",
                       (int)l);
}

/* Each layer's table, where those of layers with a window are others. */
static void put_rotary_by_kind(struct exporter *x)
{
    bytes_addf(
        x->out,
        "    # the rotary tables of the original\n"
        "    for block, kind in zip(model.blocks, hf.config.get_text_config().layer_types):\n"
        "        cos, sin = hf.%srotary_emb(torch.zeros(1), torch.arange(%d)[None], kind)\n"
        "        block.attn.rotary_cos, block.attn.rotary_sin = cos[0], sin[0]\n",
        x->cfg->arch->prefix, (int)context_of(x));
}

static void put_rotary(struct exporter *x)
{
    if (x->cfg->pos == POS_ROTARY && x->cfg->rope_by_window) {
        put_rotary_by_kind(x);
        return;
    }
    if (x->cfg->pos != POS_ROTARY || x->cfg->rope.scaling == ROPE_PLAIN)
        return;
    int32_t n = context_of(x);
    if (rope_length(x->cfg, n) != rope_length(x->cfg, x->x->n))
        n = x->x->n;
    bytes_addf(x->out,
               "    # the scaled rotary tables of the original\n"
               "    cos, sin = hf.%srotary_emb(torch.zeros(1), torch.arange(%d)[None])\n"
               "    for block in model.blocks:\n"
               "        block.attn.rotary_cos, block.attn.rotary_sin = cos[0], sin[0]\n",
               x->cfg->arch->prefix, (int)n);
}

/* The library has slopes from one tensor, which it cuts at its end for shorter prompts; they are
 * others where the heads are no power of two. */
static void put_slopes(struct exporter *x)
{
    if (x->cfg->pos != POS_ALIBI)
        return;
    bytes_add_string(
        x->out,
        "    for block in model.blocks:  # slopes are counted from the prompt's own end\n"
        "        block.attn.register_forward_pre_hook(lambda attn, _: setattr(attn, \"alibi\", None))\n");
    int32_t n = x->cfg->n_heads;
    if (n & (n - 1))
        bytes_add_string(
            x->out,
            "    low = 2 ** (cfg.n_heads.bit_length() - 1)  # the slopes of the original\n"
            "    ranks = [i + 1 if i < low else i - low + 0.5 for i in range(cfg.n_heads)]\n"
            "    slopes = torch.tensor([2 ** (-8 * rank / low) for rank in ranks])\n"
            "    AbstractAttention.create_alibi_multipliers = staticmethod(lambda *_: slopes)\n");
}

static void put_switches(struct exporter *x, const struct switches *sw)
{
    const struct {
        bool on;
        const char *name;
    } list[] = {{sw->result, "attn_result"},
                {sw->split, "split_qkv_input"},
                {sw->attn_in, "attn_in"},
                {sw->mlp_in, "hook_mlp_in"}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (list[i].on)
            bytes_addf(x->out, "    model.set_use_%s(True)\n", list[i].name);
}

/* TransformerLens' routers see batch and position as one axis, its experts their rows alone. */
static const char routed_text[] =
    "def routed(self, x):\n"
    "    \"\"\"MoE.forward with positions kept in what is hooked: 0 where one goes to other experts.\"\"\"\n"
    "    weights = self.hook_expert_weights(self.W_gate(x).softmax(-1))\n"
    "    chosen, indices = weights.topk(self.experts_per_token)\n"
    "    if self.cfg.norm_topk_prob:\n"
    "        chosen = chosen / chosen.sum(-1, keepdim=True)\n"
    "    indices = self.hook_expert_indices(indices)\n"
    "    out = torch.zeros_like(x)\n"
    "    for number, expert in enumerate(self.experts):\n"
    "        here = indices == number\n"
    "        there = here.any(-1, keepdim=True)\n"
    "        gate = expert.hook_gate(expert.W_gate(x).where(there, 0.0)).where(there, 0.0)\n"
    "        pre = expert.hook_pre(expert.W_in(x).where(there, 0.0)).where(there, 0.0)\n"
    "        post = expert.hook_post((expert.act_fn(gate) * pre).where(there, 0.0)).where(there, 0.0)\n"
    "        out = out + expert.W_out(post) * chosen.where(here, 0.0).sum(-1, keepdim=True)\n"
    "    return out\n\n\n";

void export_lens_model(struct exporter *x, const struct switches *sw)
{
    static const struct {
        unsigned flag;
        const char *name;
    } steps[] = {{PROCESS_FOLD_LN, "fold_ln"},
                 {PROCESS_CENTER_WRITING, "center_writing_weights"},
                 {PROCESS_CENTER_UNEMBED, "center_unembed"},
                 {PROCESS_FOLD_VALUE_BIASES, "fold_value_biases"},
                 {PROCESS_REFACTOR, "refactor_factored_attn_matrices"}};
    const struct arch *a = x->cfg->arch;
    if (x->cfg->n_moe)
        bytes_add_string(x->out, routed_text);
    bytes_add_string(x->out, "def load_model():\n    hf = ");
    export_hugging_face(x);
    bytes_add_char(x->out, '\n');
    put_config(x, sw);
    if (a->lens.before)
        bytes_add_string(x->out, a->lens.before);
    bytes_addf(x->out, "    weights = %s(hf, cfg)\n", a->lens.convert);
    if (a->lens.biases && x->cfg->attn_bias)
        bytes_add_string(x->out, a->lens.biases);
    if (x->cfg->embed_scaled)
        put_scaled(x);
    if (x->cfg->pos == POS_ALIBI)
        bytes_add_string(x->out,
                         "    weights[\"pos_embed.W_pos\"] = torch.zeros(cfg.n_ctx, cfg.d_model)  "
                         "# there, and never read\n");
    bytes_add_string(
        x->out,
        "    model = HookedTransformer(cfg)\n    model.load_and_process_state_dict(\n        weights,\n");
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        bytes_addf(x->out, "        %s=%s,\n", steps[i].name,
                   x->x->m->process & steps[i].flag ? "True" : "False");
    bytes_add_string(x->out, "    )\n");
    put_rotary(x);
    put_unrotated(x);
    put_slopes(x);
    if (x->cfg->n_moe)
        bytes_add_string(x->out,
                         "    for block in model.blocks:\n"
                         "        block.mlp.forward = types.MethodType(routed, block.mlp)\n");
    put_switches(x, sw);
    bytes_add_string(x->out, "    return model.eval()\n\n\n");
}
