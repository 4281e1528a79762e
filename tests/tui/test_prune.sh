#!/bin/sh
# Pruned checkpoints in Hugging Face.  $1: borescope.  The interpreter: $BORESCOPE_PYTHON, else python3.
python=${BORESCOPE_PYTHON:-python3}
command -v "$python" >/dev/null || { echo "SKIP: no $python"; exit 77; }
exec "$python" tests/tui/test_prune.py "$1" gpt2 gpt2_bf16 gpt_neox llama llama_bias mistral qwen2 opt falcon phi phi3 gptj starcoder2 stablelm olmo gemma gpt_neo
