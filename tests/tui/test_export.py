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
    from transformers import AutoModelForCausalLM
except ImportError as missing:
    print(f"SKIP: {missing}")
    sys.exit(77)

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)
ROOT = Path("tests/fixtures/models")
KINDS = sorted({json.loads((ROOT / name / "config.json").read_text())["model_type"] for name in sys.argv[2:]})
# A program replaces the attention function of its model's module.
MODELING = [importlib.import_module(f"transformers.models.{kind}.modeling_{kind}").__name__ for kind in
            (kind.removesuffix("_text") for kind in KINDS)]
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
blocks.0.mlp.hook_expert_weights[3:, 1] *= 3 ; blocks.1.mlp.hook_expert_indices[-1, 0] = 0
blocks.1.mlp.hook_expert_weights[:, 2] = 0 ; blocks.0.mlp.hook_expert_weights[2:4] = from(corrupt)
blocks.0.mlp.experts.3.hook_post = 0 ; blocks.*.mlp.experts.{0..4}.hook_gate[2:] *= 2 ; blocks.1.mlp.experts.1.hook_pre[:, 3:9] = clamp(-0.1, 0.2)
blocks.1.mlp.experts.2.hook_pre[{1,4,6}, {0,2}] -= 0.5 ; blocks.0.mlp.experts.1.hook_gate = frozen ; blocks.0.hook_mlp_in[1] += 0.5
blocks.1.mlp.hook_router_scores[5] = 0.5 ; HEAD.0.mlp.gate.output.2[2] = 1
layer_0_mlp_pre_out[3] = 1 ; layer_1_post_decoder[-1] *= 0.5
HEAD.0.attn.c_attn.output[2, 3:9] = 0
HEAD.0.attention.query_key_value.output[2, 3:9] = 0
HEAD.1.self_attn.k_proj.output[2:, :3] += 1 ; HEAD.0.mlp.down_proj.input[1] = 0
"""
# Edits of weights.
WEIGHTS = """
embed.W_E[{3,17}] = 0 ; embed.W_E[:, 2] += 0.5 ; embed.W_E[3, {0,4,5}] -= 1
pos_embed.W_pos[4] += 0.5 ; pos_embed.W_pos[5:, 2] = 0
blocks.0.attn.W_Q[1] *= 0 ; blocks.*.attn.W_Q[:, {0,2}, 0] += 0.25 ; blocks.1.attn.W_Q[{0,2}, :, {1,2}] = 0.125
blocks.*.attn.W_K *= 1.5 ; blocks.0.attn.W_V[:, 4] -= 0.5 ; blocks.*.attn.W_{Q,V}[:, :, 1] = 0
blocks.0.attn._W_K[-1] *= 0.5 ; blocks.1.attn._W_V[0, :, {0,3}] += 0.5 ; blocks.1.attn._W_K[1] += noise(0.2, seed=5)
blocks.0.attn.W_O[{0,2}, 1:3] = 0.25 ; blocks.1.attn.W_O[0, :, 4] -= 1 ; blocks.*.attn.W_O[-1] = project_out(dir(1, 2))
blocks.0.attn.b_Q[1] += 0.5 ; blocks.1.attn.b_K += 0.25 ; blocks.0.attn.b_V -= 0.5 ; blocks.1.attn.b_O += 0.25 ; blocks.0.attn.b_Q[1, 2] *= 3
blocks.0.mlp.W_in[:, 3:9] *= 0 ; blocks.1.mlp.W_in[2] = 0.125 ; blocks.1.mlp.W_in = clamp(-0.05, 0.05)
blocks.0.mlp.b_in[5] += 2 ; blocks.*.mlp.b_in[{0,3,4}] *= -1
blocks.0.mlp.W_gate[:, 4] = 0 ; blocks.1.mlp.W_gate *= 2
blocks.0.mlp.W_gate.weight[2] *= 3 ; blocks.1.mlp.W_gate[:, 4] = 0
blocks.0.mlp.experts.2.W_in[3] *= -2 ; blocks.*.mlp.experts.{0..4}.W_gate[:, {0,5}] += 0.25 ; blocks.1.mlp.experts.1.W_out.weight = clamp(-0.05, 0.05)
blocks.{0..1}.mlp.W_out = project_out(file("FILE", "residual")) ; blocks.0.mlp.W_out[{1,5}, {0,2,3}] += 0.5 ; blocks.1.mlp.b_out -= 0.5
blocks.*.mlp.W_out += noise(0.1, seed=3) ; blocks.0.mlp.W_in *= noise(1, seed=-2) ; blocks.0.ln2.w[1:] -= noise(0.5)
blocks.0.ln1.w *= 2 ; blocks.*.ln2.w[:4] = 0 ; ln_final.w[2] *= 3
blocks.1.ln1.b[3] += 1 ; blocks.0.ln2.b = 0 ; ln_final.b += 0.1
unembed.W_U[:, 7] = 0 ; unembed.W_U[3] *= 2 ; unembed.b_U[7] += 5 ; unembed.b_U[{1,7}] *= 2
unembed.W_U[:, 5] += 0.3 ; blocks.*.mlp.W_out = project_out(dir(5, 7)) ; blocks.0.hook_resid_post += 2 * dir(5, 7) ; embed.W_E[8] -= dir(7, 5)
embed.W_E[8] += 0.5 * file("FILE", "residual") ; blocks.0.attn.W_O[0, {0,2,3}] = file("FILE", "three") ; blocks.1.attn.b_O += file("FILE", "residual")
blocks.0.attn.W_O[1, :3, 2:5] += 0.5 * dir(1, 2) ; blocks.1.mlp.b_out -= dir(2, 1) ; blocks.1.mlp.b_out = project_out(dir(3, 4))
blocks.0.mlp.W_in *= 2 ; blocks.0.mlp.W_in[:, 1] = 0 ; blocks.0.mlp.W_in -= 0.01 ; blocks.0.mlp.W_in[3] *= 0.5
blocks.0.attn.W_O[1] = 0 ; blocks.1.attn.hook_z[:, 0] *= 2 ; blocks.1.hook_mlp_out = frozen
blocks.0.mlp.W_out *= 2 ; blocks.1.hook_resid_pre[1:3] = from(corrupt) ; embed.W_E *= 1.5 ; blocks.0.hook_mlp_out[2] = mean(set)
blocks.*.attn.W_Q *= 2 ; blocks.0.hook_mlp_out = mean() ; blocks.1.attn.hook_v[2:4] = resample(set, seed=2)
HEAD.0.mlp.c_fc.weight[3, 2:5] += 0.5 ; HEAD.*.mlp.c_proj.weight[:, 4] = 0 ; HEAD.0.attn.c_proj.weight[{1,5,9}] *= 2 ; HEAD.1.ln_2.bias += 0.5
HEAD.0.attn.c_proj.weight[2] += noise(0.5, seed=9) ; transformer.ln_f.weight *= 2 ; transformer.wte.weight[3] = 0 ; lm_head.weight[7] *= 0.5
HEAD.0.mlp.dense_h_to_4h.bias[1] += 3 ; HEAD.*.attention.dense.weight[2:5, {0,3}] = 0.5 ; HEAD.1.mlp.dense_4h_to_h.weight *= noise(1, seed=1)
HEAD.0.self_attn.q_proj.weight[1:4] = 0 ; HEAD.1.self_attn.k_proj.weight[2:, {1,3}] *= 2 ; HEAD.*.self_attn.q_proj.weight[{0,5}, {1,2,5}] -= 0.5
HEAD.0.self_attn.v_proj.weight += noise(0.1, seed=3) ; HEAD.1.self_attn.o_proj.weight[2, 3:] = 0.25 ; model.norm.weight[3] *= 2
HEAD.*.mlp.up_proj.weight[2:7] *= 0.5 ; HEAD.1.mlp.down_proj.weight[2] = 0 ; HEAD.0.mlp.gate_proj.weight[:, 1] += 0.5
HEAD.0.self_attn.k_proj.bias[1] += 2 ; HEAD.1.self_attn.q_proj.bias *= 3
model.HEAD[1].mlp.c_fc.weight[3] = 0 ; model.HEAD[0].attn.c_proj.bias += 0.5
model.HEAD[1].mlp.down_proj.weight[:, 2:] *= 0.5 ; model.HEAD[0].self_attn.q_proj.weight[1] = clamp(-0.05, 0.05)
layers.0.attn.W_Q[1, 2] = 0 ; layers.*.attn.W_O[:3] *= 2 ; layers.1.attn.b_Q[1] += 0.5 ; layers.0.attn.W_Q[:, :2, {0,3}] += noise(0.5, seed=8)
layers.0.mlp.W_in[3:9] = 0 ; layers.*.mlp.W_out[{0,2}, 1:] -= 0.1 ; layers.1.mlp.b_out += 0.5 ; layers.0.attn.out_proj.weight[1] = 0
layers.0.attn.q_proj.weight[2, 1:] *= 3 ; layers.1.mlp.gate_proj.weight[:, {0,2}] = 0 ; layers.0.mlp.out_proj.weight *= 0.5
layers.0.mlp.b_gate[2] += 1 ; layers.1.mlp.b_in -= 0.5
"""
# Edits of gradients; the last ones together with others.
GRADIENTS = """
blocks.*.attn.hook_z_grad[:, 1] *= 0.5 ; blocks.1.attn.hook_z_grad[2:, {0,2}, 1:] = 0.1
blocks.1.hook_resid_post_grad[2:] = project_out(dir(1, 2)) ; blocks.0.hook_resid_pre_grad = project_out(file("FILE", "residual"))
blocks.{0..1}.hook_mlp_out_grad = clamp(-0.02, 0.02) ; blocks.0.hook_attn_out_grad += 0.5 * dir(3, 4)
blocks.0.ln1.hook_normalized_grad[:, {0,3}] = 0.1 ; blocks.1.ln1.hook_scale_grad += 0.2 ; blocks.1.ln1.hook_normalized_grad = clamp(-0.01, 0.01)
blocks.1.attn.hook_pattern_grad[0] *= 0 ; blocks.0.attn.hook_attn_scores_grad += noise(0.1, seed=4)
blocks.*.ln1.hook_scale_grad *= 0.5 ; blocks.0.ln2.hook_normalized_grad[-1] *= 2 ; ln_final.hook_scale_grad += 0.1
blocks.1.attn.hook_pattern_grad[:, 2:5, {1,3,6}] -= 0.2 ; blocks.0.attn.hook_attn_scores_grad[1] = clamp(-0.01, 0.01)
hook_embed_grad[-1] = file("FILE", "residual") ; blocks.1.hook_resid_pre_grad[{1,2,4}] -= 0.5 * file("FILE", "three") ; hook_pos_embed_grad += 1
hook_embed_grad[1:] *= 2 ; blocks.0.attn.hook_z_grad[{1,2,4}, 1] = file("FILE", "heads")
blocks.0.attn.hook_q_grad[1] *= 2 ; blocks.0.attn.hook_k_grad -= 0.1 ; blocks.1.attn.hook_v_grad = noise(0.2) ; blocks.0.attn.hook_q_grad[:, 1] += 0.25
blocks.0.attn.hook_z[:, 1] = 0 ; blocks.0.attn.hook_z_grad += 0.3 ; blocks.0.attn.hook_z_grad[2] *= 2 ; blocks.1.hook_resid_pre[1] *= 2
blocks.1.mlp.hook_post = clamp(-0.1, 0.1) ; blocks.1.mlp.hook_post_grad = clamp(-inf, 0.02) ; blocks.0.attn.hook_pattern[1, 3:, 0] = 0, renormalize ; blocks.0.attn.hook_pattern_grad *= 2
blocks.0.hook_q_input_grad[:, 0] *= 0.5 ; blocks.1.hook_v_input_grad += 0.1
blocks.0.hook_attn_in_grad[2:, 1] = 0.2
blocks.0.attn.hook_result_grad[:, 1] = 0 ; blocks.1.attn.hook_result_grad[-1, {0,2}] *= 3
blocks.0.hook_mlp_in_grad[1:] *= 0.5 ; blocks.1.hook_mlp_in_grad += noise(0.05, seed=1)
blocks.0.hook_resid_mid_grad[2] = 0.3 ; ln_final.hook_normalized_grad *= 2
unembed.hook_in_grad[:3] = 0 ; unembed.hook_out_grad[-1, 3] *= 2 ; unembed.hook_out_grad[2, {1,4,5}] += 0.1
blocks.0.attn.hook_rot_q_grad[:, 1] *= 2 ; blocks.1.attn.hook_rot_k_grad[-3:] = clamp(-0.01, 0.02)
blocks.0.mlp.hook_pre_grad[:, 3:11] -= 0.1 ; blocks.1.mlp.hook_pre_grad *= -1
blocks.1.mlp.hook_pre_linear_grad[-1] *= 2 ; blocks.0.mlp.hook_post_grad[2] = 0
blocks.0.mlp.hook_expert_weights_grad[:, 1] *= 2 ; blocks.1.mlp.experts.3.hook_post_grad[2:] = 0.1 ; blocks.0.mlp.experts.1.hook_pre_grad *= -1
blocks.0.ln1.hook_out_grad *= 0.5 ; blocks.1.ln2.hook_out_grad[2:] += 0.1 ; blocks.0.ln2.hook_out = clamp(-0.5, 0.5) ; blocks.0.ln2.hook_out_grad *= -1
rotary_emb.hook_cos_grad[2:] *= 0.5 ; rotary_emb.hook_sin_grad = 1 ; blocks.0.hook_mlp_out_grad[1] *= 2
blocks.0.attn.q.hook_in_grad[1] = 0.1 ; blocks.1.mlp.gate.hook_in_grad *= 2 ; blocks.0.mlp.act.hook_out_grad -= 0.1
HEAD.0.attn.c_attn.output_grad[2, 3:9] = 0 ; HEAD.1.mlp.c_proj.output_grad[-1] *= 2 ; HEAD.0.attn.c_proj.input_grad[:, 2:7] += 0.1
HEAD.0.attention.query_key_value.output_grad[2, 3:9] = 0 ; HEAD.1.mlp.dense_4h_to_h.output_grad[-1] *= 2
HEAD.1.self_attn.k_proj.output_grad[2:, :3] += 0.1 ; HEAD.0.mlp.down_proj.input_grad[1] = 0 ; HEAD.0.mlp.output_grad *= 2
layer_0_attn_pre_out_grad[3] = 0.1 ; blocks.1.attn.o.hook_in_grad[:, 2] *= 3 ; layer_1_post_decoder_grad[-1] *= 0.5
blocks.0.mlp.W_out *= 2 ; blocks.1.attn.W_Q[1] = 0 ; blocks.0.hook_resid_post_grad[3:] *= 0.25 ; blocks.1.attn.hook_v[2] = from(corrupt)
unembed.W_U[:, 5] += 0.3 ; blocks.0.hook_resid_post_grad += 0.1 * dir(5, 7) ; blocks.1.hook_attn_out_grad = project_out(dir(5, 7)) ; blocks.*.ln1.w *= 1.5
"""
LINES = [(line, kind) for kind, text in (("values", EDITS), ("weights", WEIGHTS), ("gradients", GRADIENTS)) for line in text.strip().splitlines()]
# What is captured in turn.
CAPTURES = (["*"], ["blocks.*.hook_resid_post", "blocks.1.attn.hook_pattern"], ["blocks.0.attn.hook_z", "blocks.*.attn.hook_attn_scores"],
            ["blocks.*.hook_q_input", "blocks.0.attn.hook_result", "layer_1_mlp_pre_out", "blocks.1.attn.o.hook_in"])
# For nnsight: what modules show.
MODULES = (["unembed.hook_out", "blocks.*.hook_resid_p*"], ["blocks.*.attn.hook_{q,k,v,z,pattern,attn_scores}", "blocks.0.hook_resid_mid"],
           ["blocks.*.hook_{attn_out,mlp_out}", "blocks.*.mlp.hook_post", "hook_embed", "unembed.hook_in"], ["HEAD.*.*put*"])
MODULES_OF_GRADIENTS = (MODULES[0], ["blocks.*.attn.hook_{q,k,v,z,pattern,attn_scores}"], MODULES[2],
                        ["HEAD.*.mlp.*put", "HEAD.*.*output", "HEAD.*.*{ln_?,layernorm}.input", "blocks.*.attn.hook_{q,k}", "blocks.*.attn.o.hook_in"])


SERIAL = itertools.count()  # nnsight keeps the text of every file it has read


def borescope(*args):
    return subprocess.run([PROGRAM, *args], capture_output=True, text=True, check=False)


def run_program(path, out):
    """The program as if from the command line; its names."""
    kept, sys.argv = sys.argv, [str(path), str(out)]
    eager = {name: sys.modules[name].eager_attention_forward for name in MODELING if hasattr(sys.modules[name], "eager_attention_forward")}
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return runpy.run_path(str(path), run_name="__main__")
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


def check_restored(program):
    """Edits of weights are gone after the run, from shared parameters too."""
    if "edited_weights" not in program:
        return
    fresh = program["load_model"]() if "load_model" in program else AutoModelForCausalLM.from_pretrained(program["MODEL"], dtype=torch.float32)
    have, want = (model.state_dict() for model in (program.get("hf", program["model"]), fresh))
    if set(have) != set(want) or not all(torch.equal(have[name], want[name]) for name in want):
        raise Failure("the model is not as it was")
    if "hf" in program and fresh.config.tie_word_embeddings != (program["hf"].lm_head.weight is program["hf"].get_input_embeddings().weight):
        raise Failure("the embeddings are tied otherwise than before")


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
        left = run_program(program, have)
    except Exception as error:
        raise Failure(f"{type(error).__name__}: {str(error)[-600:]}") from error
    check_restored(left)
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
        post = "mlp.hook_post" if "blocks.0.mlp.hook_post" in f.keys() else "mlp.experts.0.hook_post"
        shapes = {at: f.get_slice(f"blocks.0.{at}").get_shape()[2:] for at in ("attn.hook_z", post, "hook_resid_pre")}
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
    runs += ["--ref", f"set={folder}/set.txt", "--align", "end"]
    windowed = json.loads((ROOT / name / "config.json").read_text()).get("use_sliding_window", kind in ("mistral", "gpt_oss", "gemma3_text"))
    for line, kind in LINES:
        if windowed and "scores" in line and "from(" in line:
            continue  # -inf - -inf outside the window: NaN, which TransformerLens makes 0
        edits = [word for text in line.replace("FILE", path).replace("HEAD", head).split(" ; ") for word in ("-e", text)]
        yield line, kind, [model, *prompt, *runs, *edits], head
    yield "", "values", [model, *prompt], head


def check_model(name, library, failures):
    done = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        for i, (line, kind, args, head) in enumerate(cases(name, folder)):
            modules = MODULES if kind == "values" else MODULES_OF_GRADIENTS
            captures = (CAPTURES if library == "transformer_lens" else modules)[i % 4]
            more = [word for glob in captures for word in ("-c", glob.replace("HEAD", head))]
            if "rotary_emb" in line and library == "nnsight":
                more += ["-c", "rotary_emb.*"]
            if library == "transformer_lens" and i % 5 == 1:
                more += ["--process", "usual"]
            if library == "transformer_lens" and i % 5 == 3 and kind != "values":
                more += ["--process", "center_writing_weights,fold_value_biases"]
            grad = ["--grad", "logit[-1, 3] - 0.5*logprob[2, 7] + loss + kl"]
            if i % 3 == 0 or kind == "gradients":
                more += grad
            plain = borescope("run", *args, *(["-c", "hook_embed", *grad, "-o", f"{folder}/plain.npz"] if kind == "gradients" else []))
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
