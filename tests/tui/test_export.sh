#!/bin/sh
# Exported programs in the libraries they are for.  $1: borescope.  The interpreter: $BORESCOPE_PYTHON, else python3.
python=${BORESCOPE_PYTHON:-python3}
command -v "$python" >/dev/null || { echo "SKIP: no $python"; exit 77; }
exec "$python" tests/tui/test_export.py "$1" gpt2 gpt_neox gpt_neox_sequential llama mistral qwen2 qwen3 opt opt_bare opt_post_norm bloom codegen falcon_new falcon_alibi stablelm_parallel stablelm_qk_norm gemma3 llama_bias llama_dynamic llama_llama3 llama_head_dim llama_tied gpt2_bf16 mixtral olmo olmoe gpt_oss
