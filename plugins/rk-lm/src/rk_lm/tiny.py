"""Tiny random models of every known family: what tests run on, and the mechanics of a search without any weights."""

from __future__ import annotations

from typing import Any

import torch

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 8,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
}
_OWN: dict[str, dict[str, Any]] = {
    "gemma2": {"sliding_window": 4, "query_pre_attn_scalar": 8},
    "gemma3_text": {
        "sliding_window": 4,
        "query_pre_attn_scalar": 8,
        "layer_types": ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"] * 2,
    },
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "smollm3": {"no_rope_layers": [1, 1, 1, 0] * 2, "pad_token_id": 0},
}
N_BYTES = 256
SPECIAL = ("<pad>", "<bos>", "<eos>")


def tiny_config(family: str, **changes: Any) -> Any:
    """Returns the configuration of a model with 8 layers of width 32, and a window of 4 where attention slides.

    Args:
        family: A ``model_type`` of `rk_lm.pretrained.FAMILIES`.
        changes: Other values for some of it.
    """
    from transformers import AutoConfig

    tokens = {
        "vocab_size": N_BYTES + len(SPECIAL),
        "pad_token_id": N_BYTES,
        "bos_token_id": N_BYTES + 1,
        "eos_token_id": N_BYTES + 2,
    }
    return AutoConfig.for_model(family, **{**SIZES, **_OWN.get(family, {}), **tokens, **changes})


def tiny_model(family: str, seed: int = 0, spread: float = 0.2, **changes: Any) -> Any:
    """Returns a tiny model with weights that are a function of the seed.

    Args:
        family: As `tiny_config` takes it.
        seed: Draws the weights; the global generator is left as it was.
        spread: Standard deviation of the weights: at the usual 0.02, layers of this width would do next to nothing.
        changes: As `tiny_config` takes them.
    """
    from transformers import AutoModelForCausalLM

    config = tiny_config(family, initializer_range=spread, **changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
    return model.float().eval()


def byte_tokenizer() -> Any:
    """Returns a tokenizer with a token for each byte, `SPECIAL` after them; a prompt begins with ``<bos>``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*alphabet, *SPECIAL])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    pad, bos, eos = SPECIAL
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad, bos_token=bos, eos_token=eos)
