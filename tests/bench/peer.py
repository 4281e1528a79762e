"""The other side of bench_peer: PyTorch with TransformerLens on the same weights.

    python peer.py FOLDER THREADS clock|processor

FOLDER: config.json and model.safetensors of a GPT-2.  Each line of input is a task; each answer is a line: the
milliseconds that it took, or `error TEXT`.  Nothing is asked of the network.

    forward N       TransformerLens' forward pass over N tokens, logits of all of them
    cache N         run_with_cache
    lens N          the logit lens of all layers x N positions, five best tokens each, from a cache that is there
    grad N          forward, and backward to hook_z of every layer from a logit difference
    patch KIND N    one patch of patching.py over N tokens: resid_pre [layer, pos], z [layer, head], z_pos
                    [layer, pos, head]
    stats FILE N    moments of hook_post and hook_z of all layers over texts, N together with padding; FILE has the
                    ids of a text in each line
    exact FILE N    errors of float32 logits, relative to the largest: of the file's, of PyTorch's; against float64
    gguf FILE TYPE  writes the model as GGUF (f32, bf16), for llama.cpp
"""

import contextlib
import io
import json
import os
import sys
import time
import warnings
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
folder, threads, clock = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
os.environ["OMP_NUM_THREADS"] = str(threads)
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what libraries print is no answer
warnings.filterwarnings("ignore")

import numpy as np
import pandas
import torch
import transformers
from transformer_lens import HookedTransformer, HookedTransformerConfig, patching
from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights

torch.set_num_threads(threads)
now = time.process_time if clock == "processor" else time.monotonic


def tokens_of(n):
    """As bench_tokens has them."""
    return torch.tensor([[i * 7919 % config["vocab_size"] for i in range(n)]])


def load():
    transformers.logging.set_verbosity_error()
    hf = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    cfg = HookedTransformerConfig(
        n_layers=config["n_layer"], d_model=config["n_embd"], n_ctx=config["n_positions"], n_heads=config["n_head"],
        d_head=config["n_embd"] // config["n_head"], d_mlp=4 * config["n_embd"], d_vocab=config["vocab_size"],
        act_fn="gelu_new", normalization_type="LN", device="cpu", init_weights=False)
    model = HookedTransformer(cfg)
    model.load_state_dict({**model.state_dict(), **convert_gpt2_weights(hf, cfg)})
    return hf.eval(), model.eval()


def timed(work):
    before = now()
    work()
    return f"{1e3 * (now() - before):.3f}"


def forward(n):
    tokens = tokens_of(int(n))
    with torch.no_grad():
        return timed(lambda: model(tokens))


def cache(n):
    tokens = tokens_of(int(n))
    with torch.no_grad():
        return timed(lambda: model.run_with_cache(tokens))


def lens(n):
    with torch.no_grad():
        _, kept = model.run_with_cache(tokens_of(int(n)), names_filter=lambda name: name.endswith("resid_post"))
        stack = torch.stack([kept["resid_post", layer] for layer in range(model.cfg.n_layers)])[:, 0]
        return timed(lambda: model.unembed(model.ln_final(stack)).topk(5))


def grad(n):
    tokens = tokens_of(int(n))
    kept = []

    def keep(z, hook):
        z.retain_grad()
        kept.append(z)
        return z

    def work():
        kept.clear()
        names = [(f"blocks.{layer}.attn.hook_z", keep) for layer in range(model.cfg.n_layers)]
        start = ("hook_embed", lambda value, hook: value.detach().requires_grad_(True))
        logits = model.run_with_hooks(tokens, fwd_hooks=[start] + names)
        (logits[0, -1, 1] - logits[0, -1, 2]).backward()

    model.requires_grad_(False)  # activations alone, as the other side computes
    return timed(work)


def patch(kind, n):
    act, setter, axes = {
        "resid_pre": ("resid_pre", patching.layer_pos_patch_setter, ["layer", "pos"]),
        "z": ("z", patching.layer_head_vector_patch_setter, ["layer", "head"]),
        "z_pos": ("z", patching.layer_pos_head_vector_patch_setter, ["layer", "pos", "head"]),
    }[kind]
    index = pandas.DataFrame([[4] * len(axes), [7] * len(axes)], columns=axes)
    tokens = tokens_of(int(n))

    def metric(logits):
        return logits[0, -1, 11] - logits[0, -1, 42]

    with torch.no_grad(), contextlib.redirect_stderr(io.StringIO()):
        kept = model.run_with_cache((tokens + 11) % config["vocab_size"])[1]
        both = timed(lambda: patching.generic_activation_patch(model, tokens, kept, metric, setter, act, index_df=index))
    return str(float(both) / len(index))


def stats(file, n):
    texts = [[int(word) for word in line.split()] for line in Path(file).read_text().splitlines()]
    sums = {}

    def add(x, hook):
        x = x[mask].flatten(1)
        size = x.abs()
        new = [x.sum(0, dtype=torch.float64), (x * x).sum(0, dtype=torch.float64), size.sum(0, dtype=torch.float64),
               size.sqrt().sum(0, dtype=torch.float64), x.clamp(min=0).sum(0, dtype=torch.float64), (x > 0).sum(0)]
        old = sums.setdefault(hook.name, [0] * len(new) + [torch.inf, -torch.inf])
        sums[hook.name] = [a + b for a, b in zip(old, new)] + [
            torch.minimum(torch.as_tensor(old[-2]), x.amin(0)), torch.maximum(torch.as_tensor(old[-1]), x.amax(0))]

    def work():
        nonlocal mask
        for i in range(0, len(texts), int(n)):
            batch = texts[i:i + int(n)]
            ids = torch.zeros(len(batch), max(map(len, batch)), dtype=torch.long)
            mask = torch.zeros(ids.shape, dtype=torch.bool)
            for row, text in enumerate(batch):
                ids[row, :len(text)] = torch.tensor(text)
                mask[row, :len(text)] = True
            model.run_with_hooks(ids, return_type=None, fwd_hooks=[
                (lambda name: name.endswith(("mlp.hook_post", "attn.hook_z")), add)])

    mask = None
    with torch.no_grad():
        return timed(work)


def exact(file, n):
    ours = np.fromfile(file, dtype=np.float32)
    tokens = tokens_of(int(n))
    with torch.no_grad():
        single = hf(tokens).logits[0, -1].double().numpy()
        double = hf.double()(tokens).logits[0, -1].numpy()
        hf.float()
    scale = np.abs(double).max()
    return " ".join(f"{np.abs(x - double).max() / scale:.4e}" for x in (ours, single))


def gguf(file, kind):
    import gguf as library

    types = library.GGMLQuantizationType
    out = library.GGUFWriter(file, "gpt2")
    for add, value in ((out.add_context_length, config["n_positions"]), (out.add_embedding_length, config["n_embd"]),
                       (out.add_feed_forward_length, 4 * config["n_embd"]), (out.add_block_count, config["n_layer"]),
                       (out.add_head_count, config["n_head"]), (out.add_layer_norm_eps, 1e-5),
                       (out.add_vocab_size, config["vocab_size"]), (out.add_tokenizer_model, "no_vocab")):
        add(value)
    names = {"ln_1": "attn_norm", "ln_2": "ffn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output",
             "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}
    root = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm"}
    for name, value in hf.transformer.state_dict().items():
        path, part = name.rsplit(".", 1)
        if path in root:
            named = f"{root[path]}.{part}"
        else:
            _, layer, module = path.split(".", 2)
            named = f"blk.{layer}.{names[module]}.{part}"
        value = (value.T if ".c_" in name else value).contiguous().numpy()
        dtype = types.BF16 if kind == "bf16" and value.ndim == 2 and path != "wpe" else types.F32
        out.add_tensor(named, library.quants.quantize(value, dtype), raw_dtype=dtype)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return "0"


config = json.loads((folder / "config.json").read_text())
hf, model = load()
tasks = {task.__name__: task for task in (forward, cache, lens, grad, patch, stats, exact, gguf)}
print("ready", file=answers, flush=True)
for line in sys.stdin:
    name, *words = line.split()
    try:
        answer = tasks[name](*words)
    except Exception as error:
        answer = "error " + " ".join(str(error).split())
    print(answer, file=answers, flush=True)
