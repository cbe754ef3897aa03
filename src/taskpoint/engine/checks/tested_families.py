"""The families whose models the tests compare with masking, in every way a cut can be used.

They skip the self-check. The list is that of `tests/engine/families.py`, and a test says so.
"""

from __future__ import annotations

TESTED_FAMILIES = frozenset(
    {
        "bloom",
        "cohere",
        "deepseek_v3",
        "falcon",
        "gemma",
        "gemma2",
        "gemma3_text",
        "gpt2",
        "gpt_bigcode",
        "gpt_neo",
        "gpt_neox",
        "gpt_oss",
        "gptj",
        "granite",
        "llama",
        "mistral",
        "mixtral",
        "mpt",
        "olmo",
        "olmo2",
        "olmo3",
        "opt",
        "phi",
        "phi3",
        "qwen2",
        "qwen2_moe",
        "qwen3",
        "qwen3_moe",
        "smollm3",
        "starcoder2",
        "xglm",
    }
)
"""Model types."""
