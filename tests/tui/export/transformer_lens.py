"""gpt2 through TransformerLens: 9 tokens, 4 edits, 58 hook points captured.  Written by borescope export.

    python THIS_FILE [OUT.safetensors | OUT.npz]

Needs transformer_lens 3, transformers 5 and safetensors.  The file that it writes holds the same tensors under the same names
as that of `borescope run -o`.
"""

import sys

import numpy as np
import torch
from safetensors.torch import save_file
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights
from transformers import AutoModelForCausalLM

MODEL = "tests/fixtures/models/gpt2"
# <3><17><42><8><8><29><3><17><42>
TOKENS = [3, 17, 42, 8, 8, 29, 3, 17, 42]
# runs without edits, which edits read
RUNS = {
    "base": TOKENS,
    "corrupt": [3, 17, 11, 8, 26, 29, 44, 17, 2],
}


def load_model():
    hf = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32, attn_implementation="eager")
    cfg = HookedTransformerConfig(
        n_layers=3, n_heads=3, d_head=5, d_model=15, d_mlp=60, d_vocab=47, n_ctx=32,
        act_fn="gelu_new", gated_mlp=False, normalization_type="LN", final_rms=False, eps=1e-05, attn_scale=5**0.5,
        parallel_attn_mlp=False, use_hook_tokens=False, init_weights=False, dtype=torch.float32,
    )
    weights = convert_gpt2_weights(hf, cfg)
    model = HookedTransformer(cfg)
    model.load_and_process_state_dict(
        weights,
        fold_ln=True,
        center_writing_weights=False,
        center_unembed=False,
        fold_value_biases=False,
        refactor_factored_attn_matrices=False,
    )
    return model.eval()


# blocks.{0..2}.attn.hook_z[-1, 1] = 0
def edit_1(x, hook):
    x = x.clone()
    x[:, -1, 1] = 0
    return x


# blocks.1.attn.hook_pattern[{0,2}, 3:, {0,1,3}] *= 3, renormalize
def edit_2(x, hook):
    x = x.clone()
    x[:, [[0], [2]], 3:, [0, 1, 3]] *= 3
    rows = x[:, [0, 2], 3:].clone()
    x[:, [0, 2], 3:] = rows / rows.sum(-1, keepdim=True)
    return x


# blocks.0.hook_resid_pre[2] = 0.5 * from(corrupt)
def edit_3(x, hook):
    x = x.clone()
    x[:, 2] = 0.5 * runs["corrupt"][hook.name][:, 2]
    return x


# blocks.*.hook_mlp_out = mean()
def edit_4(x, hook):
    x = x.clone()
    x[:] = runs["base"][hook.name].mean(1, keepdim=True).expand_as(x)
    return x


def save(path, tensors):
    tensors = {name: value.detach().contiguous().clone() for name, value in tensors.items()}
    if path.endswith(".npz"):
        np.savez(path, **{name: value.numpy() for name, value in tensors.items()})
    else:
        save_file(tensors, path)


# hook point, function; in this order
EDITS = [
    *((f"blocks.{layer}.attn.hook_z", edit_1) for layer in range(0, 3)),
    ("blocks.1.attn.hook_pattern", edit_2),
    ("blocks.0.hook_resid_pre", edit_3),
    *((f"blocks.{layer}.hook_mlp_out", edit_4) for layer in range(0, 3)),
]
CAPTURE = [
    "hook_embed",
    "hook_pos_embed",
    *(f"blocks.{layer}.{hook}" for layer in range(0, 3) for hook in (
        "hook_resid_pre",
        "ln1.hook_scale",
        "ln1.hook_normalized",
        "attn.hook_q",
        "attn.hook_k",
        "attn.hook_v",
        "attn.hook_attn_scores",
        "attn.hook_pattern",
        "attn.hook_z",
        "hook_attn_out",
        "hook_resid_mid",
        "ln2.hook_scale",
        "ln2.hook_normalized",
        "mlp.hook_pre",
        "mlp.hook_post",
        "hook_mlp_out",
        "hook_resid_post",
    )),
    "ln_final.hook_scale",
    "ln_final.hook_normalized",
    "unembed.hook_in",
    "unembed.hook_out",
]
# other names: made of hooks' values c
DERIVED = {
    "transformer.h.0.attn.c_attn.output": lambda c, model: torch.cat([c["blocks.0.attn.hook_q"].flatten(2), c["blocks.0.attn.hook_k"].flatten(2), c["blocks.0.attn.hook_v"].flatten(2)], -1),
}
SEEN = sorted({*CAPTURE, *[
    "blocks.0.attn.hook_q",
    "blocks.0.attn.hook_k",
    "blocks.0.attn.hook_v",
]})

model = load_model()


def values_of(tokens):
    """The hook points that edits read, in a run without edits."""
    names = [name for name, _ in EDITS]
    with torch.no_grad():
        return model.run_with_cache(torch.tensor([tokens]), prepend_bos=False, names_filter=names)[1]


runs = {name: values_of(tokens) for name, tokens in RUNS.items()}
values = {}


def keep(x, hook):
    values[hook.name] = x.clone()


with torch.no_grad(), model.hooks(fwd_hooks=EDITS + [(name, keep) for name in SEEN]):
    logits = model(torch.tensor([TOKENS]), prepend_bos=False)

captured = {name: values[name] for name in CAPTURE}
captured.update({name: make(values, model) for name, make in DERIVED.items()})
captured["logits"] = logits
save(sys.argv[1] if len(sys.argv) > 1 else "captured.safetensors", captured)
