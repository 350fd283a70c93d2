"""Models of the transformers library as layers that can be called in any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.masking_utils import create_causal_mask, create_sliding_window_causal_mask

from rk import UserError
from rk_lm.layered import Context, branch_mask, positions_of

FAMILIES = {
    "llama": "Llama, SmolLM, SmolLM2",
    "qwen2": "Qwen2, Qwen2.5",
    "qwen3": "Qwen3",
    "gemma2": "Gemma 2",
    "gemma3_text": "Gemma 3",
    "olmoe": "OLMoE",
    "smollm3": "SmolLM3",
}
"""``model_type`` of a configuration -> the models that have it: those whose every path is tested."""

ROTARY_BY_TYPE = ("gemma3_text",)
"""Families whose rotary embedding depends on the type of attention."""

FULL, SLIDING = "full_attention", "sliding_attention"


class Layered(nn.Module):
    """A decoder of the transformers library behind the calls of `rk_lm.layered.LayeredModel`.

    Types of attention (sliding or full) and rotary embeddings are those of the layer's own number, never of its place
    in a path.

    Args:
        model: A causal language model. It is put into eval mode.

    Raises:
        rk.UserError: When its family is not known to work.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        config = model.config.get_text_config(decoder=True)
        check_family(config)
        decoder = model.get_decoder()
        self.model = model.eval()
        self.config = config
        self.decoder_layers = decoder.layers
        self.depth = len(decoder.layers)
        self.layer_types = tuple(getattr(config, "layer_types", None) or [FULL] * self.depth)
        self._by_type = config.model_type in ROTARY_BY_TYPE
        self._decoder = (decoder,)  # in a tuple, it is not a second submodule with the same weights

    @property
    def d_model(self) -> int:
        """Size of a hidden state."""
        return self.config.hidden_size

    @property
    def context_length(self) -> int | None:
        """The model's context length in tokens; None where its configuration has none."""
        return getattr(self.config, "max_position_embeddings", None)

    @property
    def n_tokens(self) -> int:
        """Tokens that the model knows."""
        return self._decoder[0].embed_tokens.num_embeddings

    @property
    def dtype(self) -> torch.dtype:
        return self.model.dtype

    @property
    def device(self) -> torch.device:
        return self.model.device

    def embed(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time d_model"]:
        return self._decoder[0].embed_tokens(tokens)  # Gemma's factor sqrt(d_model) is inside

    def context(self, tokens: Int[Tensor, "batch time"], branches: Int[Tensor, "batch time"] | None = None) -> Context:
        if branches is None:
            positions = torch.arange(tokens.shape[1], device=tokens.device).unsqueeze(0)
            masks = self._plain_masks(tokens, positions)
        else:
            positions = positions_of(branches)
            windows = {FULL: None, SLIDING: getattr(self.config, "sliding_window", None)}
            masks = {t: branch_mask(branches, self.dtype, windows[t]) for t in set(self.layer_types)}
        like = torch.empty(1, 1, self.d_model, dtype=self.dtype, device=tokens.device)
        rotary = self._decoder[0].rotary_emb
        return Context(
            positions,
            masks,
            {
                t: rotary(like, positions, t) if self._by_type else rotary(like, positions)
                for t in set(self.layer_types)
            },
        )

    def _plain_masks(self, tokens: Tensor, positions: Tensor) -> dict[str, Tensor | None]:
        """Returns the masks that the model makes for itself: bit-equal paths need the same attention kernels."""
        like = torch.empty(*tokens.shape, 1, dtype=self.dtype, device=tokens.device)
        make: dict[str, Callable[..., Any]] = {FULL: create_causal_mask, SLIDING: create_sliding_window_causal_mask}
        settings: dict[str, Any] = {"attention_mask": None, "past_key_values": None, "position_ids": positions}
        return {t: make[t](self.config, like, **settings) for t in set(self.layer_types)}

    def layer(self, i: int, hidden: Float[Tensor, "batch time d_model"], context: Context) -> Tensor:
        kind = self.layer_types[i]
        return self.decoder_layers[i](
            hidden,
            attention_mask=context.masks[kind],
            position_embeddings=context.rotary[kind],
            position_ids=context.positions,
        )

    def head(self, hidden: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows vocab"]:
        logits = self.model.get_output_embeddings()(self._decoder[0].norm(hidden))
        cap = getattr(self.config, "final_logit_softcapping", None)
        return logits if cap is None else torch.tanh(logits / cap) * cap


def check_family(config: Any) -> None:
    """Raises `rk.UserError` when paths through a model of this configuration are undefined, or have not been tested."""
    shared = getattr(config, "num_kv_shared_layers", 0)
    if shared:
        raise UserError(
            f"{config.model_type}: its last {shared} layers read keys and values that an earlier layer has computed; "
            "without that layer, or with it twice, they are not defined",
            "choose a model whose layers have their own keys and values, as gemma (Gemma 3) has",
        )
    if config.model_type not in FAMILIES:
        raise UserError(
            f"models of the type {config.model_type} are not known to run layer by layer",
            f"these are: {', '.join(FAMILIES.values())}",
        )
    kinds = set(getattr(config, "layer_types", None) or ()) - {FULL, SLIDING}
    if kinds:
        raise UserError(f"{config.model_type}: attention of the type {', '.join(sorted(kinds))} is not known")
