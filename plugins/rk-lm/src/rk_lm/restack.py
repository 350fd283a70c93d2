"""A path as a model of its own: the layers of a path, each with weights of its own, in the order of the path."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from rk import UserError
from rk_lm.layered import Path, run_path
from rk_lm.pretrained import Layered

BY_LAYER = ("layer_types", "no_rope_layers", "mlp_layer_types")
"""Lists of a configuration with an entry for each layer."""
_PROBE = 16
"""Tokens whose logits are compared."""
_APART = 1e-4
"""Largest difference of these logits, as a share of the largest one."""


def restacked(layered: Layered, path: Path) -> Any:
    """Returns a model of the transformers library that does in its own forward what `layered` does along `path`.

    Layer p of the new model has the weights of layer ``path[p]``, its own number in the cache of keys and values, and
    the type of attention of the layer that it was made from. Embedding, norm and head are those of the model; a tied
    head stays tied.

    Args:
        layered: The model.
        path: Layer numbers.

    Raises:
        rk.UserError: When the path has no layer, or one that the model does not have; when the model is quantised; when
            the new model does not give the logits of the path.
    """
    model, old = layered.model, layered.config
    if not path or not all(0 <= i < layered.depth for i in path):
        raise UserError(
            f"a path must have layers from 0 to {layered.depth - 1}, got {list(path)}", 'for example "0-11 13-29"'
        )
    if getattr(model.config, "quantization_config", None) is not None:
        raise UserError(f"a quantised {old.model_type} cannot be written along a path", "take its weights in 32 bits")
    config = copy.deepcopy(model.config)
    text = config.get_text_config(decoder=True)
    text.num_hidden_layers = len(path)
    for name in BY_LAYER:
        if (values := getattr(old, name, None)) is not None:
            setattr(text, name, [values[i] for i in path])
    with torch.random.fork_rng(devices=[]), torch.device(layered.device):
        new = type(model)(config).to(layered.dtype).eval()
    new.load_state_dict(_weights(model, path))
    new.generation_config = copy.deepcopy(model.generation_config)
    _check(layered, path, new)
    return new


def _weights(model: Any, path: Path) -> dict[str, Tensor]:
    """Returns the weights by the names that they have in the new model."""
    decoder = model.get_decoder()
    (prefix,) = (name for name, module in model.named_modules() if module is decoder)
    layers = f"{prefix}.layers." if prefix else "layers."
    found: dict[str, Tensor] = {}
    by_layer: dict[int, dict[str, Tensor]] = {}
    for name, value in model.state_dict().items():
        if name.startswith(layers):
            number, _, rest = name.removeprefix(layers).partition(".")
            by_layer.setdefault(int(number), {})[rest] = value
        else:
            found[name] = value
    for place, i in enumerate(path):
        found |= {f"{layers}{place}.{rest}": value for rest, value in by_layer[i].items()}
    return found


@torch.inference_mode()
def _check(layered: Layered, path: Path, new: nn.Module) -> None:
    """Raises `rk.UserError` when the new model is not the path: its family then does something that is not known."""
    step = max(1, layered.n_tokens // _PROBE)
    tokens = torch.arange(0, step * _PROBE, step, device=layered.device)[:_PROBE].unsqueeze(0) % layered.n_tokens
    expected, found = run_path(layered, tokens, path), new(tokens).logits
    apart = float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-6))
    if not apart <= _APART:
        raise UserError(
            f"a {layered.config.model_type} with these layers gives other logits than the path ({apart:.2g})",
            "this model's layers depend on their place; it can be searched, and not be written along a path",
        )
