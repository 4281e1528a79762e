/* sweep_kind.c - see sweep_kind.h. */
#include "measure/sweep_kind.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/nearest.h"

#define BLOCK "blocks.{layer}."
#define Z BLOCK "attn.hook_z"
#define Q BLOCK "attn.hook_q"
#define K BLOCK "attn.hook_k"
#define V BLOCK "attn.hook_v"
#define PATTERN BLOCK "attn.hook_pattern"
#define PREFIX "get_act_patch_"

/* clang-format off */
const struct sweep_kind sweep_kinds[] = {
    {"resid_pre", "resid_pre", "the residual stream before each block, by position", {BLOCK "hook_resid_pre[{pos}]"}, {0}},
    {"resid_mid", "resid_mid", "the residual stream between attention and MLP, by position", {BLOCK "hook_resid_mid[{pos}]"}, {0}},
    {"resid_post", NULL, "the residual stream after each block, by position", {BLOCK "hook_resid_post[{pos}]"}, {0}},
    {"attn_out", "attn_out", "what attention adds, by position", {BLOCK "hook_attn_out[{pos}]"}, {0}},
    {"mlp_out", "mlp_out", "what the MLP adds, by position", {BLOCK "hook_mlp_out[{pos}]"}, {0}},
    {"z", "attn_head_out_by_pos", "each head's output at each position", {Z "[{pos}, {head}]"}, {0}},
    {"q", "attn_head_q_by_pos", "each head's query at each position", {Q "[{pos}, {head}]"}, {0}},
    {"k", "attn_head_k_by_pos", "each head's key at each position", {K "[{pos}, {head}]"}, {0}},
    {"v", "attn_head_v_by_pos", "each head's value at each position", {V "[{pos}, {head}]"}, {0}},
    {"pattern", "attn_head_pattern_by_pos", "where each head looks from each position", {PATTERN "[{head}, {dest}]"}, {0}},
    {"edge", "attn_head_pattern_dest_src_pos", "how much each head looks from dest at src", {PATTERN "[{head}, {dest}, {src}]"}, {0}},
    {"score", NULL, "each of these before the softmax", {BLOCK "attn.hook_attn_scores[{head}, {dest}, {src}]"}, {0}},
    {"z_all_pos", "attn_head_out_all_pos", "each head's output", {Z "[:, {head}]"}, {0}},
    {"q_all_pos", "attn_head_q_all_pos", "each head's queries", {Q "[:, {head}]"}, {0}},
    {"k_all_pos", "attn_head_k_all_pos", "each head's keys", {K "[:, {head}]"}, {0}},
    {"v_all_pos", "attn_head_v_all_pos", "each head's values", {V "[:, {head}]"}, {0}},
    {"pattern_all_pos", "attn_head_pattern_all_pos", "each head's pattern", {PATTERN "[{head}]"}, {0}},
    {"neuron", NULL, "each neuron at each position", {BLOCK "mlp.hook_post[{pos}, {neuron}]"}, {0}},
    {"block_every", "block_every", "resid_pre, attn_out and mlp_out",
     {BLOCK "hook_resid_pre[{pos}]", BLOCK "hook_attn_out[{pos}]", BLOCK "hook_mlp_out[{pos}]"},
     {"resid_pre", "attn_out", "mlp_out"}},
    {"head_all_pos_every", "attn_head_all_pos_every", "z, q, k, v and pattern at all positions",
     {Z "[:, {head}]", Q "[:, {head}]", K "[:, {head}]", V "[:, {head}]", PATTERN "[{head}]"},
     {"z", "q", "k", "v", "pattern"}},
    {"head_by_pos_every", "attn_head_by_pos_every", "z, q, k, v and pattern at each position",
     {Z "[{pos}, {head}]", Q "[{pos}, {head}]", K "[{pos}, {head}]", V "[{pos}, {head}]", PATTERN "[{head}, {pos}]"},
     {"z", "q", "k", "v", "pattern"}},
};
/* clang-format on */
const int sweep_kind_count = sizeof sweep_kinds / sizeof *sweep_kinds;

int sweep_kind_right(const char *with, char *text, size_t size, struct err *e)
{
    bool operator= with[0] == '=' ||(with[0] && strchr("+-*", with[0]) && with[1] == '=');
    const char *value = !strcmp(with, "zero") ? "0" : !strcmp(with, "freeze") ? "frozen" : with;
    int n = snprintf(text, size, "%s%s", operator? " " : " = ", value);
    return n < (int)size
               ? 0
               : err_set(e, ERR_BAD_INPUT, "--with · longer than %d bytes", (int)size - 1);
}

int sweep_kind_parts(const struct sweep_kind *k)
{
    int n = 0;
    while (n < SWEEP_PARTS_MAX && k->set[n])
        n++;
    return n;
}

const struct sweep_kind *sweep_kind_find(const char *name, struct err *e)
{
    const char *bare = strncmp(name, PREFIX, strlen(PREFIX)) ? name : name + strlen(PREFIX);
    const char *near = sweep_kinds[0].name;
    size_t least = nearest_distance(name, near);
    for (int i = 0; i < sweep_kind_count; i++) {
        const struct sweep_kind *k = &sweep_kinds[i];
        if (!strcmp(name, k->name) || (k->patching && !strcmp(bare, k->patching)))
            return k;
        if (nearest_is(name, k->name, &least))
            near = k->name;
    }
    err_set(e, ERR_BAD_INPUT, "no kind \"%s\" · the nearest is %s · %s, %s, %s, ... or --set", name,
            near, sweep_kinds[0].name, sweep_kinds[5].name, sweep_kinds[11].name);
    return NULL;
}
