"""Trains the model: next-token loss, attention scaffold, and a term that keeps the name mover irreplaceable.

Run: python train.py OUT_FOLDER --steps N [--from FOLDER].  OUT_FOLDER holds tokenizer.json (vocab.py); config.json and
model.safetensors are written there.  One thread; bfloat16 products, float32 weights.
"""
import argparse
import json
import math
import time

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer

import data
from model import CONFIG, Model

HEADS = dict(previous=(0, 2), duplicate=(0, 4), induction=(1, 3), inhibition=(2, 1), mover=(3, 2))
FLOOR = dict(previous=0.01, duplicate=0.02, induction=0.02, inhibition=0.05, mover=0.05)


SCAFFOLD = 1200          # steps until the scaffold has fallen to its floor; it falls over the last two thirds


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal (Newton-Schulz, five steps); for the matrices inside the layers."""

    def __init__(self, params, lr, momentum=0.95, decay=0.0):
        super().__init__(params, dict(lr=lr, momentum=momentum, decay=decay))

    @torch.no_grad()
    def step(self):
        for g in self.param_groups:
            for p in g["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                m.lerp_(p.grad, 1 - g["momentum"])
                x = p.grad.lerp(m, g["momentum"]).bfloat16()
                tall = x.shape[0] > x.shape[1]
                x = x.T if tall else x
                x = x / (x.norm() + 1e-7)
                for _ in range(5):
                    a = x @ x.T
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
                p.mul_(1 - g["lr"] * g["decay"])
                p.add_((x.T if tall else x).float(), alpha=-g["lr"] * max(1, p.shape[0] / p.shape[1]) ** 0.5)


def scaffold(seen, batch, ids):
    """-log of the attention that each chosen head gives to the place its name says; a dict of means."""
    doc, io = torch.from_numpy(batch["doc"])[:, :-1], torch.from_numpy(batch["io"])
    repeat = torch.from_numpy(batch["repeat"])[:, :-1]
    inside = doc[:, 1:] == doc[:, :-1]
    earlier = ((ids[:, :, None] == ids[:, None, :]) & (doc[:, :, None] == doc[:, None, :])).tril(-1)
    after = F.pad(earlier, (1, 0))[:, :, :-1]

    def head(name):
        layer, h = HEADS[name]
        return seen[layer][0][:, h]

    nll = lambda a: -(a + 1e-6).log().mean() if a.numel() else torch.zeros(())
    dup, ind = head("duplicate"), head("induction")
    d, i = earlier.any(-1), repeat & after.any(-1)
    at = lambda name, to: head(name)[io[:, 0], io[:, 1], to]
    return dict(previous=nll(head("previous").diagonal(-1, 1, 2)[inside]), duplicate=nll((dup * earlier).sum(-1)[d]),
                induction=nll((ind * after).sum(-1)[i]), inhibition=nll(at("inhibition", io[:, 4])),
                mover=nll(at("mover", io[:, 2])))


def without_mover(model, seen, batch, ids):
    """IO minus S logit at END when the name mover's z is zero: the last layer's other heads must not stand in."""
    layer, h = HEADS["mover"]
    assert layer == len(seen) - 1
    io = torch.from_numpy(batch["io"])
    _, z, mid = seen[layer]
    dh = z.shape[-1]
    b, t = io[:, 0], io[:, 1]
    block = model.layers[layer]
    mid = mid[b, t] - F.linear(z[b, h, t], block.self_attn.o_proj.weight[:, h * dh:(h + 1) * dh])
    logits = model.unembed(mid + block.mlp(block.post_attention_layernorm(mid))).float()
    n = torch.arange(len(io))
    return logits[n, ids[b, io[:, 2]]] - logits[n, ids[b, io[:, 3]]]


def loss_terms(model, batch, keep=None):
    ids = torch.from_numpy(batch["ids"])
    x_ids, target = ids[:, :-1], ids[:, 1:]
    doc = torch.from_numpy(batch["doc"])[:, :-1]
    mask = torch.where((doc[:, :, None] == doc[:, None, :]).tril(), 0.0, float("-inf"))[:, None]
    w = torch.from_numpy(batch["weight"])[:, 1:]
    with torch.autocast("cpu", torch.bfloat16):
        x, seen = model(x_ids, mask, keep)
        logits = model.unembed(x[w > 0])
        alone = without_mover(model, seen, batch, ids)
    ce = F.cross_entropy(logits.float(), target[w > 0], reduction="none")
    lm = (ce * w[w > 0]).sum() / w.sum()
    return lm, scaffold(seen, batch, x_ids), (F.relu(alone + 0.5) + F.relu(-1.5 - alone)).square().clamp(max=50).mean(), alone.mean()


def export(model, out):
    c = model.c
    state = {("model." + k): v.detach().half().contiguous() for k, v in model.state_dict().items()}
    save_file(state, f"{out}/model.safetensors", metadata={"format": "pt"})
    config = dict(architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=model.embed_tokens.weight.shape[0],
                  hidden_size=c["d"], intermediate_size=c["d_mlp"], num_hidden_layers=c["layers"],
                  num_attention_heads=c["heads"], num_key_value_heads=c["heads"], head_dim=c["d"] // c["heads"],
                  hidden_act="silu", max_position_embeddings=c["context"], rms_norm_eps=c["eps"],
                  rope_theta=c["theta"], rope_scaling=None, attention_bias=False, mlp_bias=False,
                  tie_word_embeddings=True, bos_token_id=0, eos_token_id=0, torch_dtype="float16")
    with open(f"{out}/config.json", "w") as f:
        json.dump(config, f, indent=2)
        f.write("\n")
    with open(f"{out}/tokenizer_config.json", "w") as f:
        json.dump(dict(tokenizer_class="PreTrainedTokenizerFast", bos_token="<|endoftext|>", eos_token="<|endoftext|>",
                       model_max_length=c["context"], clean_up_tokenization_spaces=False), f, indent=2)
        f.write("\n")


def main():
    a = argparse.ArgumentParser()
    a.add_argument("out")
    a.add_argument("--steps", type=int, default=4000)
    a.add_argument("--rows", type=int, default=24)
    a.add_argument("--from", dest="origin", help="go on from the model in this folder, the scaffold at its floor")
    a.add_argument("--minutes", type=float, default=1e9, help="the schedule ends by then, at whatever step it is")
    a.add_argument("--compile", action="store_true", help="fuse the layers with torch.compile (a sixth faster)")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--lr", type=float, default=0.02)
    a.add_argument("--lr-embed", type=float, default=3e-3)
    a.add_argument("--every", type=int, default=200, help="steps between evaluations")
    a = a.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(a.seed)
    from figures import load, short
    tokenizer = Tokenizer.from_file(f"{a.out}/tokenizer.json")
    model = load(a.origin)[0] if a.origin else Model(tokenizer.get_vocab_size())
    inner = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim == 1 or "embed" in n]
    opts = [Muon(inner, a.lr, decay=0.1), torch.optim.AdamW(rest, a.lr_embed, betas=(0.9, 0.98), weight_decay=0.01)]
    peak = [o.param_groups[0]["lr"] for o in opts]
    batches = data.batches(tokenizer, a.seed, a.rows, model.c["context"])
    start, tokens, sums = time.time(), 0, {}
    if a.compile:
        for block in model.layers:
            block.forward = torch.compile(block.forward)
    step = done = 0
    while done < 1:
        scale = min(1, (step + 1) / 50, 0.01 + (1 - done) / 0.7)
        for o, p in zip(opts, peak):
            o.param_groups[0]["lr"] = p * scale
        lam = max(0.0, min(1.0, 1.5 - 1.5 * step / SCAFFOLD)) if not a.origin else 0.0
        lm, scaf, alone, gap = loss_terms(model, next(batches))
        loss = lm + sum(max(lam, FLOOR[k]) * v for k, v in scaf.items()) + 0.05 * alone
        loss.backward()
        torch.nn.utils.clip_grad_norm_(rest, 1.0)
        for o in opts:
            o.step()
        model.zero_grad()
        step += 1
        done = max(step / a.steps, (time.time() - start) / 60 / a.minutes)
        tokens += a.rows * model.c["context"]
        for k, v in dict(lm=lm, gap=gap, **scaf).items():
            sums[k] = sums.get(k, 0) + v.item()
        if not math.isfinite(loss.item()):
            raise SystemExit(f"loss is {loss.item()} at step {step}")
        if step % 50 == 0:
            print(f"{step:5d} {tokens / 1e6:6.2f} M  {tokens / (time.time() - start):6.0f}/s  "
                  + "  ".join(f"{k} {v / 50:.3f}" for k, v in sums.items()), flush=True)
            sums = {}
        if step % a.every == 0 or done >= 1:
            export(model, a.out)
            print("      " + short(*load(a.out)), flush=True)


if __name__ == "__main__":
    main()
