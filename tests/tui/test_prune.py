"""Checkpoints that `borescope prune --write` makes, opened by Hugging Face and compared with the edits of the same pruning.

    test_prune.py BORESCOPE [MODEL...]     in the root of the source tree; MODEL: names of fixtures

Says SKIP and leaves with 77 where a library is not installed.
"""

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


def borescope(*arguments):
    done = subprocess.run([sys.argv[1], *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"


def logits_of(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        return model(torch.tensor([TOKENS])).logits[0]


def difference(model, shrink, folder):
    source = Path("tests/fixtures/models") / model
    sets = ["--focus", PROMPTS / "score_focus.txt", "--cripple", PROMPTS / "score_cripple.txt", "--no-bos"]
    borescope("prune", source, *sets, *SHARES, "-o", folder / "gone.edits", "--write", folder / "made", *(["--shrink"] if shrink else []))
    borescope("run", source, "--tokens", ",".join(map(str, TOKENS)), "-e", f"@{folder / 'gone.edits'}", "-c", "unembed.hook_out",
              "-o", folder / "want.safetensors")
    want = next(iter(load_file(folder / "want.safetensors").values())).reshape(len(TOKENS), -1)
    have, before = logits_of(folder / "made"), logits_of(source)
    scale = want.abs().max()
    assert (before - want).abs().max() / scale > 1e-3, f"{model}: pruning changes nothing"
    return ((have - want).abs().max() / scale).item()


bad = 0
for model in sys.argv[2:]:
    for shrink in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            worst = difference(model, shrink, Path(folder))
        bad += worst > 2e-5
        print(f"{model}{' cut' if shrink else ' zeroed'}: {worst:.1e}")
sys.exit(bad > 0)
