"""Checkpoints that `borescope prune --write` makes, opened by Hugging Face and compared with the edits of the same pruning.

    test_prune.py BORESCOPE [MODEL...]     in the root of the source tree; MODEL: names of fixtures

Says SKIP and leaves with 77 where a library is not installed.
"""

import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")
warnings.filterwarnings("ignore")
try:
    import torch
    import transformers
    from safetensors.torch import load_file
except ImportError as error:
    print(f"SKIP: {error}")
    sys.exit(77)
transformers.logging.set_verbosity_error()

PROMPTS = Path("tests/fixtures/prompts")
TOKENS = [3, 17, 8, 30, 21]
SHARES = ["--neurons", "0.2", "--dims", "0.2", "--per-layer"]
# of these heads can be cut out one by one: no other head shares their keys, or all do
HEADS = {"olmo": ["0.34"], "mistral": ["0.21"], "gemma": ["0.34"], "phi3": ["0.34"],
         # seeds that take one of each pair that shares keys in both layers, and a pair in both
         "qwen2": ["0.5", "--score", "rand", "--seed", "1"], "qwen2 pairs": ["0.5", "--score", "rand", "--seed", "6"]}


def borescope(*arguments):
    done = subprocess.run([sys.argv[1], *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"


def logits_of(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        return model(torch.tensor([TOKENS])).logits[0]


def difference(model, shrink, folder, shares=SHARES):
    source = Path("tests/fixtures/models") / model
    sets = ["--focus", PROMPTS / "score_focus.txt", "--cripple", PROMPTS / "score_cripple.txt", "--no-bos"]
    borescope("prune", source, *sets, *shares, "-o", folder / "gone.edits", "--write", folder / "made", *(["--shrink"] if shrink else []))
    borescope("run", source, "--tokens", ",".join(map(str, TOKENS)), "-e", f"@{folder / 'gone.edits'}", "-c", "unembed.hook_out",
              "-o", folder / "want.safetensors")
    want = next(iter(load_file(folder / "want.safetensors").values())).reshape(len(TOKENS), -1)
    have, before = logits_of(folder / "made"), logits_of(source)
    scale = want.abs().max()
    assert (before - want).abs().max() / scale > 1e-3, f"{model}: pruning changes nothing"
    return ((have - want).abs().max() / scale).item()


def one(model, how, shares=SHARES):
    with tempfile.TemporaryDirectory() as folder:
        worst = difference(model, how != "zeroed", Path(folder), shares)
        config = json.loads((Path(folder) / "made" / "config.json").read_text())
    if how == "heads cut":
        before = json.loads((Path("tests/fixtures/models") / model / "config.json").read_text())
        assert config["num_attention_heads"] < before["num_attention_heads"], f"{model}: no head is cut out"
    print(f"{model} {how}: {worst:.1e}")
    return worst > 2e-5


bad = 0
for model in sys.argv[2:]:
    bad += one(model, "zeroed") + one(model, "cut")
    for name, shares in HEADS.items():
        if name.split()[0] == model:
            bad += one(model, "heads cut", ["--heads", *shares, "--per-layer"])
sys.exit(bad > 0)
