"""Generating along a path with a cache of keys and values: greedy answers equal those of the stateless definition."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Int
from rk_recursion.twins import twin
from torch import Tensor, nn

from rk_lm.layered import Path
from rk_lm.pretrained import Layered


@contextlib.contextmanager
def installed(layered: Layered, path: Path) -> Iterator[Any]:
    """Makes the model run `path` in its own forward and `generate`, with a cache slot for every step of the path.

    A step is a shallow copy of its layer: it shares the weights, but its attention writes to its own slot. Without
    that, a layer that runs twice would read its own first keys as if they were of earlier tokens. The type of attention
    stays that of the layer's own number. The model is as it was afterwards.

    Args:
        layered: The model.
        path: Layer numbers.
    """
    decoder, config = layered.model.get_decoder(), layered.config
    layers, depth, types = decoder.layers, config.num_hidden_layers, getattr(config, "layer_types", None)
    try:
        decoder.layers = nn.ModuleList(_step(layers[i], place) for place, i in enumerate(path))
        config.num_hidden_layers = len(path)
        if types is not None:
            config.layer_types = [types[i] for i in path]
        yield layered.model
    finally:
        decoder.layers, config.num_hidden_layers = layers, depth
        if types is not None:
            config.layer_types = types


def _step(layer: nn.Module, place: int) -> nn.Module:
    step: Any = twin(layer)  # Any: a layer of transformers, of whatever family
    step.self_attn = twin(layer.get_submodule("self_attn"))
    step.self_attn.layer_idx = place
    if hasattr(step, "layer_idx"):
        step.layer_idx = place
    return step


@torch.inference_mode()
def generate(
    layered: Layered, path: Path, prompts: list[list[int]], pad: int, **settings: Any
) -> Int[Tensor, "batch new"]:
    """Returns what the model generates after each prompt when it runs `path`.

    Args:
        layered: The model.
        path: Layer numbers.
        prompts: Token numbers; they may differ in length.
        pad: The token for padding.
        settings: Of ``GenerationMixin.generate``: ``max_new_tokens``, ``do_sample``, ...
    """
    longest = max(map(len, prompts))
    device = layered.device
    tokens = torch.tensor([[pad] * (longest - len(p)) + p for p in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)
    with installed(layered, path) as model, _plain_generation(model, pad):
        found = model.generate(tokens, attention_mask=mask, **settings)
    return found[:, longest:]


@contextlib.contextmanager
def _plain_generation(model: Any, pad: int) -> Iterator[None]:
    """Leaves out what a model's own settings add to decoding: a penalty of repetitions would change greedy answers."""
    from transformers import GenerationConfig

    own = model.generation_config
    model.generation_config = GenerationConfig(eos_token_id=own.eos_token_id, pad_token_id=pad)
    try:
        yield
    finally:
        model.generation_config = own
