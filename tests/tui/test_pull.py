"""What `borescope pull` leaves is what the hub's own client leaves, and each takes the other's cache for its own.

    test_pull.py BORESCOPE HUB_PROGRAM      in the root of the source tree

Says SKIP and leaves with 77 where huggingface_hub or transformers is not installed.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import huggingface_hub  # noqa: F401
    import transformers  # noqa: F401
except ImportError as missing:
    print(f"SKIP: {missing}")
    sys.exit(77)

BORESCOPE, HUB = sys.argv[1:3]
NAME, COMMIT = "org/tiny", "0123456789abcdef0123456789abcdef01234567"
FILES = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]

DOWNLOAD = f"""
from huggingface_hub import hf_hub_download
for name in {FILES!r}:
    hf_hub_download({NAME!r}, name)
"""
OPEN = f"""
import huggingface_hub, transformers
folder = huggingface_hub.snapshot_download({NAME!r}, local_files_only=True)
assert folder.endswith({COMMIT!r}), folder
cache = huggingface_hub.scan_cache_dir()
assert not cache.warnings, cache.warnings
[repo] = cache.repos
[revision] = repo.revisions
assert repo.repo_id == {NAME!r} and revision.commit_hash == {COMMIT!r} and revision.refs == {{"main"}}
assert {{f.file_name for f in revision.files}} == set({FILES!r})
model = transformers.AutoModelForCausalLM.from_pretrained({NAME!r}, local_files_only=True)
tokens = transformers.AutoTokenizer.from_pretrained({NAME!r}, local_files_only=True)(" Mary", return_tensors="pt")
assert model(**tokens).logits.shape[-1] == model.config.vocab_size
"""


def environment(cache, endpoint):
    """Nothing of the caller's own settings for the hub or proxies."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING")) and "proxy" not in k.lower()}
    return {**kept, "HF_HOME": str(cache), "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1", "TQDM_DISABLE": "1"}


def python(program, env):
    subprocess.run([sys.executable, "-c", program], env=env, check=True)


def borescope(*args, env):
    done = subprocess.run([BORESCOPE, *args], env=env, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def layout(cache):
    """Every file with its size, every link with what it says."""
    root = cache / "hub"
    return {
        str(path.relative_to(root)): os.readlink(path) if path.is_symlink() else path.stat().st_size
        for path in sorted(root.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def check(endpoint, folder):
    ours, theirs = Path(folder, "ours"), Path(folder, "theirs")
    env, their_env = environment(ours, endpoint), environment(theirs, endpoint)
    pulled = borescope("pull", NAME, env=env).stdout.strip()
    assert pulled == f"{ours}/hub/models--org--tiny/snapshots/{COMMIT}", pulled
    python(OPEN, env)
    python(DOWNLOAD, their_env)
    mine, other = layout(ours), layout(theirs)
    mine.pop("CACHEDIR.TAG"), other.pop("CACHEDIR.TAG")  # the same signature, other words
    assert mine == other, f"{mine}\n{other}"
    assert "everything is there already" in borescope("pull", NAME, env=their_env).stderr
    assert "llama" in borescope("info", NAME, env=their_env).stdout
    python(DOWNLOAD, {**env, "HF_HUB_OFFLINE": "1"})


def main():
    hub = subprocess.Popen([HUB, *(f"models/teach/{name}" for name in FILES)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        with tempfile.TemporaryDirectory() as folder:
            check(hub.stdout.readline().decode().strip(), folder)
    finally:
        hub.stdin.close()
        hub.wait()
    print("pulled, downloaded and opened both ways")


main()
