"""The network while it is trained: Llama layout, attention weights kept so that the scaffold can reach them.

Knows nothing of the corpus.  Weight names are those of Hugging Face's LlamaForCausalLM, so that exporting is saving.
Tested by figures.py, which compares it with LlamaForCausalLM on the exported files.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

CONFIG = dict(layers=4, heads=6, d=192, d_mlp=512, context=128, theta=10000.0, eps=1e-5)


class RMSNorm(nn.Module):
    def __init__(self, d, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads = c["heads"]
        d = c["d"]
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(d, d, bias=False) for _ in range(4))

    def forward(self, x, cos, sin, mask, keep=None):
        """keep: [batch, heads] multiplies hook_z.  Returns the output, the pattern and z, [batch, head, pos, d_head]."""
        B, T, d = x.shape
        w = torch.cat((self.q_proj.weight, self.k_proj.weight, self.v_proj.weight))
        q, k, v = F.linear(x, w).view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        scores = (q * (d // self.heads) ** -0.5) @ k.transpose(-1, -2)
        pattern = (scores.float() + mask).softmax(-1)
        z = pattern.to(v.dtype) @ v
        if keep is not None:
            z = z * keep[:, :, None, None].to(z.dtype)
        return self.o_proj(z.transpose(1, 2).reshape(B, T, d)), pattern, z


class MLP(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_proj, self.up_proj = (nn.Linear(c["d"], c["d_mlp"], bias=False) for _ in range(2))
        self.down_proj = nn.Linear(c["d_mlp"], c["d"], bias=False)

    def forward(self, x):
        g, u = F.linear(x, torch.cat((self.gate_proj.weight, self.up_proj.weight))).chunk(2, -1)
        return self.down_proj(F.silu(g) * u)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(c["d"], c["eps"]), RMSNorm(c["d"], c["eps"])
        self.self_attn, self.mlp = Attention(c), MLP(c)

    def forward(self, x, cos, sin, mask, keep=None):
        a, pattern, z = self.self_attn(self.input_layernorm(x), cos, sin, mask, keep)
        mid = x + a
        return mid + self.mlp(self.post_attention_layernorm(mid)), pattern, z, mid


class Model(nn.Module):
    def __init__(self, vocab, c=CONFIG):
        super().__init__()
        self.c = c
        self.embed_tokens = nn.Embedding(vocab, c["d"])
        self.layers = nn.ModuleList(Block(c) for _ in range(c["layers"]))
        self.norm = RMSNorm(c["d"], c["eps"])
        for name, p in self.named_parameters():
            if p.ndim == 2:
                small = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(p, std=0.02 if "embed" in name else p.shape[1] ** -0.5 * (0.5 if small else 1))
        half = c["d"] // c["heads"] // 2
        freq = c["theta"] ** (-torch.arange(half) / half)
        angle = torch.arange(4 * c["context"])[:, None] * torch.cat((freq, freq))
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def unembed(self, x):
        return F.linear(self.norm(x), self.embed_tokens.weight)

    def forward(self, ids, mask=None, keep=None):
        """ids [B,T]; mask [B,1,T,T] added to the scores (causal if None); keep [layers,B,heads].
        Returns the last residual stream and, for each layer, (pattern, z, resid_mid)."""
        B, T = ids.shape
        if mask is None:
            mask = torch.full((T, T), float("-inf")).triu(1)
        cos, sin = self.cos[:T], self.sin[:T]
        x, seen = self.embed_tokens(ids), []
        for i, block in enumerate(self.layers):
            x, *rest = block(x, cos, sin, mask, None if keep is None else keep[i])
            seen.append(rest)
        return x, seen
