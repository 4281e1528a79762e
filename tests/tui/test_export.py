"""Programs that `borescope export` writes, run in the libraries they are for and compared with `borescope run -o`.

    test_export.py BORESCOPE [MODEL...]     in the root of the source tree; MODEL: names of fixtures, all if none

Every program runs in this process, so that the libraries are imported once.  Prints one line per model and library and
leaves with 1 when a tensor differs.  Says SKIP and leaves with 77 where a library is not installed.
"""

import contextlib
import importlib
import io
import itertools
import json
import os
import runpy
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")
warnings.filterwarnings("ignore")
try:
    import nnsight  # noqa: F401
    import numpy as np
    import torch
    import transformer_lens  # noqa: F401
    import transformers
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file
except ImportError as missing:
    print(f"SKIP: {missing}")
    sys.exit(77)

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)
# A program replaces the attention function of its model's module.
MODELING = [importlib.import_module(f"transformers.models.{kind}.modeling_{kind}").__name__ for kind in ("gpt2", "gpt_neox", "llama", "mistral", "qwen2")]
ROOT = Path("tests/fixtures/models")
FORWARD, GRADIENT = 2e-5, 2e-4  # of the largest value of a tensor: float32 against float32

# One line: edits separated by " ; ".  L: the last layer.  Lines whose hooks a model has not are left out for it.
EDITS = """
blocks.0.attn.hook_z[-1, 1] = 0
blocks.*.attn.hook_z[{1,3}, :] *= 0.25
blocks.{0..1}.hook_mlp_out[2:] = mean()
blocks.0.hook_resid_pre[{0,3,4}, {1,2,7}] -= 0.3 ; blocks.1.attn.hook_q[1:8:2, {0,2}] += 0.5
blocks.0.attn.hook_pattern[{0,2}, 3:, {0,1,3}] *= 3, renormalize
blocks.0.attn.hook_pattern[1, -1, -2] = 0, renormalize ; blocks.1.attn.hook_pattern[:, {3,6}, 1] = 0.25
blocks.0.attn.hook_attn_scores[2, -1, 1] = -inf
blocks.0.attn.hook_attn_scores[1] -= from(corrupt)
blocks.1.attn.hook_attn_scores += -0.5 * from(corrupt)
blocks.1.attn.hook_pattern = from(corrupt) ; blocks.0.hook_resid_pre[2] = from(corrupt)
blocks.0.hook_mlp_out[-1] = 0.5 * from(long, pos=-2) ; blocks.0.attn.hook_v[2:] = from(long)
blocks.1.hook_resid_pre[1:] = from(base, pos=0)
hook_embed[1] *= 2 ; blocks.1.attn.hook_pattern = frozen
hook_embed[1] *= 2 ; blocks.*.ln1.hook_scale = frozen
blocks.0.mlp.hook_post = clamp(-0.1, 0.1) ; blocks.1.hook_resid_pre[2:, {0,3,6}] = clamp(-inf, 0.25)
blocks.0.hook_resid_pre += noise(0.3, seed=7) ; blocks.1.attn.hook_z[2:, 1] = noise(0.5, seed=-3)
blocks.0.hook_resid_post[4:] += 3 * dir(5, 7) ; blocks.1.hook_resid_pre[{1,2,5}, {0,4,5}] -= dir(7, 5)
blocks.1.hook_resid_pre = project_out(dir(1, 2)) ; blocks.0.hook_attn_out[2] = project_out(file("FILE", "residual"))
blocks.0.hook_resid_post += 0.5 * file("FILE", "residual") ; blocks.0.hook_resid_pre[1:4] = file("FILE", "three")
blocks.0.attn.hook_z[{1,2,4}, 1] = file("FILE", "heads") ; blocks.0.attn.hook_q[{1,2,4}, {0,1}] += file("FILE", "rows")
blocks.*.hook_mlp_out = mean(set) ; blocks.0.attn.hook_z[1:, 1] = mean(set, pos=-2)
blocks.0.attn.hook_pattern[1] = mean(set, pos=same) ; blocks.1.hook_resid_pre += 0.5 * mean(set, pos=same)
blocks.0.attn.hook_q[2:4] = resample(set, seed=2) ; blocks.1.attn.hook_attn_scores[:, :3] = resample(set)
blocks.1.attn.hook_attn_scores = mean(set, pos=same) ; blocks.0.hook_resid_pre[{1,2,4}, 3] -= resample(set, seed=1, pos=-1)
blocks.0.attn.hook_attn_scores[1] = 0 ; blocks.1.attn.hook_pattern[2, :3, -1] += 0.25
blocks.0.hook_resid_mid[-1] += 0.5
blocks.0.attn.hook_result[:, 1] = 0 ; blocks.1.attn.hook_result[-1, 2] *= 2
blocks.1.hook_q_input[-1, 0] += 0.5 ; blocks.0.hook_v_input[2:6, 0, 1] = 0.25
blocks.0.hook_mlp_in[4:] *= 0.5
hook_tokens[3] = 23
blocks.0.attn.hook_rot_q[:, 1] = 0 ; blocks.1.attn.hook_rot_k[-5:, :, 0] += 1
blocks.1.mlp.hook_pre_linear[-1] *= 2 ; blocks.0.mlp.hook_pre[:, 3:11] -= 1
ln_final.hook_normalized[:, 7] = 0 ; unembed.hook_in[-1] *= 0.5 ; unembed.hook_out[2:4, 7] = -1
blocks.1.ln2.hook_normalized[3:7, {2,9}] -= 1
blocks.0.ln1.hook_in[2] = 0
layer_0_mlp_pre_out = mask("FILE", "mlp", tanh) ; layer_1_attn_pre_out = mask("FILE", "heads_all") ; layer_0_post_decoder = mask("FILE", "stream", sigmoid)
layer_0_post_decoder += rows("FILE", "three") ; blocks.1.attn.hook_z[1:, 1] = rows("FILE", "many") ; layer_0_pre_decoder[{1,2,5}] -= rows("FILE", "many_stream")
layer_0_attn_pre_out = offset(file("FILE", "heads_all.param")) ; blocks.1.hook_mlp_out = postbias(dir(3, 4)) ; layer_1_post_mlp = unoffset(file("FILE", "stream.offset"))
layer_0_attn_pre_out[2:] = whiten("FILE", "white") ; layer_1_attn_pre_out = whiten("FILE", "white") ; layer_1_attn_pre_out = unwhiten("FILE", "white")
blocks.0.attn.o.hook_in[:, 1] = 0 ; blocks.1.mlp.out.hook_in[-1] *= 3
layer_0_mlp_pre_out[3] = 1 ; layer_1_post_decoder[-1] *= 0.5
HEAD.0.attn.c_attn.output[2, 3:9] = 0
HEAD.0.attention.query_key_value.output[2, 3:9] = 0
HEAD.1.self_attn.k_proj.output[2:, :3] += 1 ; HEAD.0.mlp.down_proj.input[1] = 0
"""
# What is captured in turn.
CAPTURES = (["*"], ["blocks.*.hook_resid_post", "blocks.1.attn.hook_pattern"], ["blocks.0.attn.hook_z", "blocks.*.attn.hook_attn_scores"],
            ["blocks.*.hook_q_input", "blocks.0.attn.hook_result", "layer_1_mlp_pre_out", "blocks.1.attn.o.hook_in"])
# For nnsight: what modules show.
MODULES = (["unembed.hook_out", "blocks.*.hook_resid_p*"], ["blocks.*.attn.hook_{q,k,v,z,pattern,attn_scores}", "blocks.0.hook_resid_mid"],
           ["blocks.*.hook_{attn_out,mlp_out}", "blocks.*.mlp.hook_post", "hook_embed", "unembed.hook_in"], ["HEAD.*.*put*"])


SERIAL = itertools.count()  # nnsight keeps the text of every file it has read


def borescope(*args):
    return subprocess.run([PROGRAM, *args], capture_output=True, text=True, check=False)


def run_program(path, out):
    """The program as if from the command line."""
    kept, sys.argv = sys.argv, [str(path), str(out)]
    eager = {name: sys.modules[name].eager_attention_forward for name in MODELING}
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            runpy.run_path(str(path), run_name="__main__")
    finally:
        sys.argv = kept
        for name, function in eager.items():
            sys.modules[name].eager_attention_forward = function


def difference(have, want):
    """Largest difference over the largest finite value, each by limit; infinities must stand in the same places."""
    have, want = have.astype(np.float64), want.astype(np.float64)
    if have.shape != want.shape:
        return np.inf
    finite = np.isfinite(want)
    if not np.array_equal(finite, np.isfinite(have)) or not np.array_equal(np.isnan(have), np.isnan(want)):
        return np.inf
    if not finite.any():
        return 0.0
    return np.abs(have[finite] - want[finite]).max() / max(np.abs(want[finite]).max(), 1e-6)


class Failure(Exception):
    pass


def compare(folder, library, args):
    """0: refused by the exporter with a reason; else how many tensors agreed."""
    program, have, want = (str(Path(folder) / f"{next(SERIAL)}.{end}") for end in ("py", "have.safetensors", "want.safetensors"))
    made = borescope("export", *args, "--to", library, "-o", program)
    if made.returncode:
        if made.stdout or made.stderr.count("\n") != 1 or "·" not in made.stderr:
            raise Failure(f"not one line: {made.stderr}")
        return 0, made.stderr
    ran = borescope("run", *args, "-o", want)
    if ran.returncode:
        raise Failure(f"exported, but does not run: {ran.stderr}")
    try:
        run_program(program, have)
    except Exception as error:
        raise Failure(f"{type(error).__name__}: {str(error)[-600:]}") from error
    have, want = load_file(have), load_file(want)
    if set(have) != set(want):
        raise Failure(f"other names: {sorted(set(have) ^ set(want))[:6]}")
    for name, value in want.items():
        error = difference(have[name], value)
        if not error <= (GRADIENT if name.endswith("_grad") else FORWARD):
            raise Failure(f"{name} differs by {error:.2e} of its largest value")
    return len(want), ""


def fixture_values(folder):
    """Its tokens and sizes."""
    with safe_open(folder / "cache.safetensors", "np") as f:
        tokens = json.loads(f.metadata()["tokens"])
        shapes = {at: f.get_slice(f"blocks.0.{at}").get_shape()[2:] for at in ("attn.hook_z", "mlp.hook_post", "hook_resid_pre")}
    return tokens, *shapes.values()


def file_values(folder, heads, mlp, stream):
    """Tensors for file(), rows(), mask() and whiten(), in their own file."""
    rng = np.random.default_rng(3)
    path = str(Path(folder) / "values.safetensors")
    width = heads[0] * heads[1]
    shapes = {
        "residual": stream, "three": (3, *stream), "heads": (3, heads[1]), "rows": (3, 1, heads[1]),
        "mlp.param": mlp, "mlp.offset": mlp, "heads_all.param": heads, "stream.param": stream, "stream.offset": stream,
        "many.1": heads[1:], "many.4": heads[1:], "many.90": heads[1:], "many_stream.2": stream, "many_stream.5": stream,
        "white.offset": heads, "white.scale": (width,), "white.rotate.weight": (width, width), "white.rotate_inv.weight": (width, width),
    }
    save_file({name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}, path)
    return path


def cases(name, folder):
    model = str(ROOT / name)
    tokens, heads, mlp, stream = fixture_values(ROOT / name)
    kind = json.loads((ROOT / name / "config.json").read_text())["model_type"]
    head = {"gpt2": "transformer.h", "gpt_neox": "gpt_neox.layers"}.get(kind, "model.layers")
    path = file_values(folder, heads, mlp, stream)
    prompt = ["--tokens", ",".join(map(str, tokens))]
    corrupt, long = ([(7 * t + 1) % 40 for t in ids] for ids in (tokens, tokens + tokens[:3]))
    runs = ["--run", "corrupt=" + ",".join(map(str, corrupt)), "--run", "long=" + ",".join(map(str, long))]
    prompts = [[(5 * t + i) % 40 for t in (tokens * 2)[i:i + len(tokens) - 2 + i]] for i in range(4)]
    if name == "llama_dynamic":  # one length only
        runs, prompts = runs[:2], [[(5 * t + i) % 40 for t in tokens] for i in range(4)]
    Path(folder, "set.txt").write_text("".join(",".join(map(str, ids)) + "\n" for ids in prompts))
    runs += ["--ref", f"set={folder}/set.txt"]
    windowed = json.loads((ROOT / name / "config.json").read_text()).get("use_sliding_window", kind == "mistral")
    for line in EDITS.strip().splitlines():
        if windowed and "scores" in line and "from(" in line:
            continue  # -inf - -inf outside the window: NaN, which TransformerLens makes 0
        edits = [word for text in line.replace("FILE", path).replace("HEAD", head).split(" ; ") for word in ("-e", text)]
        yield line, [model, *prompt, *runs, *edits], head
    yield "", [model, *prompt], head


def check_model(name, library, failures):
    done = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        for i, (line, args, head) in enumerate(cases(name, folder)):
            captures = (CAPTURES if library == "transformer_lens" else MODULES)[i % 4]
            more = [word for glob in captures for word in ("-c", glob.replace("HEAD", head))]
            if library == "transformer_lens" and i % 5 == 1:
                more += ["--process", "usual"]
            if i % 3 == 0:
                more += ["--grad", "logit[-1, 3] - 0.5*logprob[2, 7] + loss + kl"]
            plain = borescope("run", *args)
            if plain.returncode:  # hooks that this model has not
                if VERBOSE:
                    print(f"  left out: {plain.stderr.strip()}")
                continue
            try:
                n, why = compare(folder, library, [*args, *more])
            except Failure as failure:
                failures.append(f"{name} {library} {line or 'no edits'} {' '.join(more)}\n    {failure}")
                continue
            done += n > 0
            refused += n == 0
            if VERBOSE and why:
                print(f"  {line} | {' '.join(more)}\n    {why.strip()}")
    print(f"{name:20} {library:17} {done} programs agree, {refused} refused", flush=True)
    return done


def main():
    names = sys.argv[2:] or [entry["name"] for entry in json.loads((ROOT / "index.json").read_text())]
    failures, done = [], 0
    for name in names:
        for library in ("transformer_lens", "nnsight"):
            done += check_model(name, library, failures)
    print("\n".join(failures))
    print(f"{done} passed, {len(failures)} failed")
    sys.exit(1 if failures or not done else 0)


PROGRAM = str(Path(sys.argv[1]).resolve())
VERBOSE = bool(os.environ.get("VERBOSE"))
main()
