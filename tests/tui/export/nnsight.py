"""gpt2 through nnsight: 9 tokens, 4 edits, 4 hook points captured.  Written by borescope export.

    python THIS_FILE [OUT.safetensors | OUT.npz]

Needs nnsight, transformers 5 and safetensors.  The file that it writes holds the same tensors under the same names
as that of `borescope run -o`.
"""

import sys

import numpy as np
import torch
from nnsight import NNsight
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

MODEL = "tests/fixtures/models/gpt2"
# <3><17><42><8><8><29><3><17><42>
TOKENS = [3, 17, 42, 8, 8, 29, 3, 17, 42]
# runs without edits, which edits read
RUNS = {
    "base": TOKENS,
    "corrupt": [3, 17, 11, 8, 26, 29, 44, 17, 2],
}


def attend(module, query, key, value, attention_mask, scaling=None, softcap=None, **_):
    """Attention with a place to look at every step of it."""
    query, key = module.hook_rot_q(query), module.hook_rot_k(key)
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = query @ key.transpose(-1, -2) * scaling
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    scores = module.hook_attn_scores(scores.masked_fill(attention_mask < 0, -float("inf")))
    pattern = module.hook_pattern(scores.softmax(-1))
    return (pattern @ value).transpose(1, 2).contiguous(), pattern


hf = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32, attn_implementation="eager").eval()
sys.modules[type(hf).__module__].eager_attention_forward = attend
for block in hf.transformer.h:
    for name in ("hook_rot_q", "hook_rot_k", "hook_attn_scores", "hook_pattern"):
        block.attn.add_module(name, torch.nn.Identity())
model = NNsight(hf)


# blocks.{0..2}.attn.hook_z[-1, 1] = 0
def edit_1(x, name):
    x = x.clone()
    x[:, -1, 1] = 0
    return x


# blocks.1.attn.hook_pattern[{0,2}, 3:, {0,1,3}] *= 3, renormalize
def edit_2(x, name):
    x = x.clone()
    x[:, [[0], [2]], 3:, [0, 1, 3]] *= 3
    rows = x[:, [0, 2], 3:].clone()
    x[:, [0, 2], 3:] = rows / rows.sum(-1, keepdim=True)
    return x


# blocks.0.hook_resid_pre[2] = 0.5 * from(corrupt)
def edit_3(x, name):
    x = x.clone()
    x[:, 2] = 0.5 * runs["corrupt"][name][:, 2]
    return x


# blocks.*.hook_mlp_out = mean()
def edit_4(x, name):
    x = x.clone()
    x[:] = runs["base"][name].mean(1, keepdim=True).expand_as(x)
    return x


# logit[-1, 3] - logit[-1, 5]
def metric(logits, base_logits):
    return (
        logits[0, -1, 3]
        - logits[0, -1, 5]
    )


def save(path, tensors):
    tensors = {name: value.detach().contiguous().clone() for name, value in tensors.items()}
    if path.endswith(".npz"):
        np.savez(path, **{name: value.numpy() for name, value in tensors.items()})
    else:
        save_file(tensors, path)


# Where each hook point is, in the order in which the model gets there:
# name, module, its side, element of a tuple, that tensor in the hook point's shape
POINTS = [
    ("blocks.0.hook_resid_pre", model.transformer.h[0], "input", None, None),
    ("blocks.0.attn.hook_q", model.transformer.h[0].attn.c_attn, "output", None, lambda x: x[..., 0:15].unflatten(-1, (3, 5))),
    ("blocks.0.attn.hook_z", model.transformer.h[0].attn.c_proj, "input", None, lambda x: x.unflatten(-1, (3, 5))),
    ("blocks.0.hook_mlp_out", model.transformer.h[0].mlp.c_proj, "output", None, None),
    ("blocks.0.hook_resid_post", model.transformer.h[0], "output", None, None),
    ("blocks.1.attn.hook_pattern", model.transformer.h[1].attn.hook_pattern, "output", None, None),
    ("blocks.1.attn.hook_z", model.transformer.h[1].attn.c_proj, "input", None, lambda x: x.unflatten(-1, (3, 5))),
    ("blocks.1.hook_mlp_out", model.transformer.h[1].mlp.c_proj, "output", None, None),
    ("blocks.1.hook_resid_post", model.transformer.h[1], "output", None, None),
    ("blocks.2.attn.hook_z", model.transformer.h[2].attn.c_proj, "input", None, lambda x: x.unflatten(-1, (3, 5))),
    ("blocks.2.hook_mlp_out", model.transformer.h[2].mlp.c_proj, "output", None, None),
    ("blocks.2.hook_resid_post", model.transformer.h[2], "output", None, None),
]
# point, function; in this order
EDITS = [
    ("blocks.0.attn.hook_z", edit_1),
    ("blocks.1.attn.hook_z", edit_1),
    ("blocks.2.attn.hook_z", edit_1),
    ("blocks.1.attn.hook_pattern", edit_2),
    ("blocks.0.hook_resid_pre", edit_3),
    ("blocks.0.hook_mlp_out", edit_4),
    ("blocks.1.hook_mlp_out", edit_4),
    ("blocks.2.hook_mlp_out", edit_4),
]
CAPTURE = [
    "blocks.0.hook_resid_post",
    "blocks.1.hook_resid_post",
    "blocks.2.hook_resid_post",
    "blocks.0.attn.hook_q",
]


VIEWS = {name: view for name, _, _, _, view in POINTS}


def shown(name, x):
    return VIEWS[name](x) if VIEWS[name] else x


def run(tokens, edits=()):
    """The logits, and what every point holds after its edits."""
    values = {}
    with model.trace(torch.tensor([tokens])):
        for name, module, side, element, view in POINTS:
            whole = getattr(module, side)
            x = (whole if element is None else whole[element]).clone()  # other uses of the same tensor are not this point
            part = view(x) if view else x
            for at, edit in edits:
                if at == name:
                    part.copy_(edit(part, name))
            if x.is_floating_point() and torch.is_grad_enabled():
                x.requires_grad_().retain_grad()
            setattr(module, side, x if element is None else (*whole[:element], x, *whole[element + 1:]))
            values[name] = x.save()
        logits = model.output.logits.save()
    return logits, values


def values_of(tokens):
    """What edits read, of a run without edits."""
    with torch.no_grad():
        return {name: shown(name, x) for name, x in run(tokens)[1].items()}


runs = {name: values_of(tokens) for name, tokens in RUNS.items()}
with torch.no_grad():
    base_logits, _ = run(TOKENS)
logits, values = run(TOKENS, EDITS)
metric(logits, base_logits).backward()
captured = {name: shown(name, values[name]) for name in CAPTURE}
for name in CAPTURE:
    x = values[name]
    if x.is_floating_point():
        captured[name + "_grad"] = shown(name, torch.zeros_like(x) if x.grad is None else x.grad)
captured["logits"] = logits
save(sys.argv[1] if len(sys.argv) > 1 else "captured.safetensors", captured)
