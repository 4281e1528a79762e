"""gpt2 through nnsight: 9 tokens, 5 edits, 2 hook points captured.  Written by borescope export.

    python THIS_FILE [OUT.safetensors | OUT.npz]

Needs nnsight, transformers 5 and safetensors.  The file that it writes holds the same tensors under the same names
as that of `borescope run -o`.
"""

import contextlib
import functools
import sys

import numpy as np
import torch
from nnsight import NNsight
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

MODEL = "tests/fixtures/models/gpt2"
# <3><17><42><8><8><29><3><17><42>
TOKENS = [3, 17, 42, 8, 8, 29, 3, 17, 42]


hf = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32, attn_implementation="eager").eval()
model = NNsight(hf)
unembedding = hf.lm_head.weight  # without edits


def direction(a, b):
    """From token b to token a in the unembedding, length 1."""
    d = (unembedding[a] - unembedding[b]).detach()
    return (d.double() / d.double().norm()).float()


# blocks.*.attn.W_Q[1, :, {0,1,4}] = 0
def edit_1(w, name):
    w = w.detach().clone()
    x = w[:, 0:15].unflatten(1, (3, 5)).transpose(0, 1)  # [head, d_model, d_head]
    x[1, :, [0, 1, 4]] = 0
    return w


# unembed.W_U[:, 3] *= 2
def edit_2(w, name):
    w = w.detach().clone()
    x = w.T  # [d_model, d_vocab]
    x[:, 3] *= 2
    return w


# unembed.b_U[7] = 1
def edit_3(w, name):
    x = torch.zeros(47) if w is None else w.detach().clone()
    x[7] = 1
    return x


# blocks.0.mlp.W_out = project_out(dir(1, 2))
def edit_4(w, name):
    x = w.detach().clone()
    d = direction(1, 2)
    x[:] -= (x @ d)[..., None] * d
    return x


# blocks.1.attn.hook_q_grad[:, 1] *= 0.5
def edit_5(x, name):
    x = x.clone()
    x[:, :, 1] *= 0.5
    return x


# logit[-1, 3]
def metric(logits, base_logits):
    return (
        logits[0, -1, 3]
    )


def save(path, tensors):
    tensors = {name: value.detach().contiguous().clone() for name, value in tensors.items()}
    if path.endswith(".npz"):
        np.savez(path, **{name: value.numpy() for name, value in tensors.items()})
    else:
        save_file(tensors, path)


# parameter, function; in this order
WEIGHTS = [
    *((f"transformer.h.{layer}.attn.c_attn.weight", edit_1) for layer in range(0, 3)),
    ("lm_head.weight", edit_2),
    ("lm_head.bias", edit_3),
    ("transformer.h.0.mlp.c_proj.weight", edit_4),
]


@contextlib.contextmanager
def edited_weights():
    """Edited weights as new parameters: the model's own are not written, and come back afterwards."""
    own = {}
    try:
        for path, edit in WEIGHTS:
            at, _, name = path.rpartition(".")
            module = hf.get_submodule(at)
            w = getattr(module, name)
            own.setdefault((module, name), w)
            setattr(module, name, torch.nn.Parameter(edit(w, path)))
        yield
    finally:
        for (module, name), w in own.items():
            setattr(module, name, w)


# Where each hook point is, in the order in which the model gets there:
# name, module, its side, element of a tuple, that tensor in the hook point's shape
POINTS = [
    ("blocks.1.attn.hook_q", model.transformer.h[1].attn.c_attn, "output", None, lambda x: x[..., 0:15].unflatten(-1, (3, 5))),
    ("transformer.h.1.attn.c_attn.output", model.transformer.h[1].attn.c_attn, "output", None, None),
    ("blocks.1.attn.hook_q_grad", model.transformer.h[1].attn.c_attn, "output", None, lambda x: x[..., 0:15].unflatten(-1, (3, 5))),
]
# point, function; in this order
EDITS = []
# point, function of its gradient; in this order
GRADIENTS = [
    ("blocks.1.attn.hook_q_grad", edit_5),
]
CAPTURE = [
    "blocks.1.attn.hook_q",
    "transformer.h.1.attn.c_attn.output",
]


VIEWS = {name: view for name, _, _, _, view in POINTS}


def shown(name, x):
    return VIEWS[name](x) if VIEWS[name] else x


def changed(grad, name, edit):
    grad = grad.clone()
    part = shown(name, grad)
    part.copy_(edit(part, name.removesuffix("_grad")))
    return grad


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


with torch.no_grad():
    base_logits, _ = run(TOKENS)
with edited_weights():
    logits, values = run(TOKENS, EDITS)
for name, edit in GRADIENTS:
    values[name].register_hook(functools.partial(changed, name=name, edit=edit))
metric(logits, base_logits).backward()
captured = {name: shown(name, values[name]) for name in CAPTURE}
for name in CAPTURE:
    x = values[name]
    if x.is_floating_point():
        captured[name + "_grad"] = shown(name, torch.zeros_like(x) if x.grad is None else x.grad)
captured["logits"] = logits
save(sys.argv[1] if len(sys.argv) > 1 else "captured.safetensors", captured)
