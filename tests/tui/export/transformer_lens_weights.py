"""llama through TransformerLens: 9 tokens, 5 edits, 1 hook point captured.  Written by borescope export.

    python THIS_FILE [OUT.safetensors | OUT.npz]

Needs transformer_lens 3, transformers 5 and safetensors.  The file that it writes holds the same tensors under the same names
as that of `borescope run -o`.
"""

import contextlib
import functools
import sys

import numpy as np
import torch
from safetensors.torch import save_file
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.pretrained.weight_conversions import convert_llama_weights
from transformers import AutoModelForCausalLM

MODEL = "tests/fixtures/models/llama"
# <3><17><42><8><8><29><3><17><42>
TOKENS = [3, 17, 42, 8, 8, 29, 3, 17, 42]


def load_model():
    hf = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32, attn_implementation="eager")
    cfg = HookedTransformerConfig(
        n_layers=2, n_heads=6, d_head=4, d_model=24, d_mlp=37, d_vocab=51, n_ctx=64,
        act_fn="silu", gated_mlp=True, normalization_type="RMS", final_rms=True, eps=1e-05, attn_scale=4**0.5,
        positional_embedding_type="rotary", rotary_dim=4, rotary_base=10000, rotary_adjacent_pairs=False,
        n_key_value_heads=2,
        parallel_attn_mlp=False, use_hook_tokens=False, init_weights=False, dtype=torch.float32,
    )
    weights = convert_llama_weights(hf, cfg)
    model = HookedTransformer(cfg)
    model.load_and_process_state_dict(
        weights,
        fold_ln=False,
        center_writing_weights=False,
        center_unembed=False,
        fold_value_biases=False,
        refactor_factored_attn_matrices=False,
    )
    return model.eval()


def gaussian(shape, key, layer, sigma, seed):
    """The same numbers as borescope's: splitmix64 of seed, hook and place, through Box-Muller."""
    def mix(n):
        n = n + np.uint64(0x9E3779B97F4A7C15)
        n = (n ^ n >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        n = (n ^ n >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return n ^ n >> np.uint64(31)

    place = np.ogrid[tuple(slice(n) for n in (1,) * (3 - len(shape)) + tuple(shape))]
    with np.errstate(over="ignore"):
        at = mix(np.full((1, 1, 1), seed % 2**32, np.uint64))
        for byte in key.encode():
            at = mix(at ^ np.uint64(byte))
        at = mix(at ^ np.uint64(layer % 2**32))
        for axis in place[:2]:
            at = mix(at ^ axis.astype(np.uint64))
        first = mix(at ^ place[2].astype(np.uint64))
        second = mix(first)
    u, v = ((n >> np.uint64(11)).astype(float) for n in (first, second))
    normal = np.sqrt(-2 * np.log((u + 0.5) * 2.0**-53)) * np.cos(2 * np.pi * v * 2.0**-53)
    return sigma * torch.tensor(normal, dtype=torch.float32).reshape(shape)


def weight_noise(w, name, sigma, seed):
    return gaussian(w.shape, name, 0, sigma, seed)


# blocks.*.attn.W_K *= 0.5
def edit_1(w, name):
    x = w.detach().clone()
    x[:] *= 0.5
    return x


# model.layers.0.self_attn.q_proj.weight[3:5, 2] = 0
def edit_2(w, name):
    x = w.detach().transpose(1, 2).flatten(0, 1).clone()
    x[3:5, 2] = 0
    return x.unflatten(0, (6, 4)).transpose(1, 2)


# blocks.*.mlp.W_out += noise(0.1, seed=1)
def edit_3(w, name):
    x = w.detach().clone()
    x[:] += weight_noise(x, name, sigma=0.1, seed=1)
    return x


# unembed.b_U[7] = 1
def edit_4(w, name):
    x = w.detach().clone()
    x[7] = 1
    return x


# blocks.0.ln1.hook_normalized_grad = clamp(-1, 1)
def edit_5(x, hook):
    x = x.clone()
    x[:] = x.clone().clamp(-1, 1)
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
    ("blocks.0.attn._W_K", edit_1),
    ("blocks.1.attn._W_K", edit_1),
    ("blocks.0.attn.W_Q", edit_2),
    ("blocks.0.mlp.W_out", edit_3),
    ("blocks.1.mlp.W_out", edit_3),
    ("unembed.b_U", edit_4),
]


@contextlib.contextmanager
def edited_weights():
    """Edited weights as new parameters: the model's own are not written, and come back afterwards."""
    own = {}
    try:
        for path, edit in WEIGHTS:
            at, _, name = path.rpartition(".")
            module = model.get_submodule(at)
            w = getattr(module, name)
            own.setdefault((module, name), w)
            setattr(module, name, torch.nn.Parameter(edit(w, path)))
        yield
    finally:
        for (module, name), w in own.items():
            setattr(module, name, w)


# hook point, function; in this order
EDITS = []
# hook point, function of its gradient; in this order
GRADIENTS = [
    ("blocks.0.ln1.hook_normalized", edit_5),
]
CAPTURE = [
    "blocks.0.ln1.hook_normalized",
]

model = load_model()
values = {}


def keep(x, hook):
    """What fires first stands for all firings (ln1: for q, k and v): its gradient is their sum."""
    if hook.name not in values:
        values[hook.name] = x.clone()
        if x.is_floating_point():
            values[hook.name].retain_grad()
    return values[hook.name]


with torch.no_grad():
    base_logits = model(torch.tensor([TOKENS]), prepend_bos=False)
with edited_weights(), model.hooks(fwd_hooks=EDITS + [(name, keep) for name in [*CAPTURE, *dict(GRADIENTS)]]):
    logits = model(torch.tensor([TOKENS]), prepend_bos=False)
for name, edit in GRADIENTS:
    values[name].register_hook(functools.partial(edit, hook=model.hook_dict[name]))
metric(logits, base_logits).backward()

grads = {name: torch.zeros_like(x) if x.grad is None else x.grad for name, x in values.items() if x.is_floating_point()}
captured = {name: values[name] for name in CAPTURE}
captured.update({name + "_grad": grads[name] for name in CAPTURE if name in grads})
captured["logits"] = logits
save(sys.argv[1] if len(sys.argv) > 1 else "captured.safetensors", captured)
