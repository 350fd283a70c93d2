"""Which weights are pruned: those of matrices and convolutions, by default."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from torch import nn

from rk import UserError
from rk.errors import suggest

Target = Literal["all", "recurrent", "input-to-hidden", "hidden-to-hidden"]
"""Which weights: all, or those of recurrent layers, or one of their two kinds."""

_RECURRENT = {"ih": "input-to-hidden", "hh": "hidden-to-hidden"}
_RECURRENT_NAME = re.compile(r"weight_(ih|hh)(_.*)?")


def recurrent_weights(learner: nn.Module) -> dict[str, str]:
    """Returns the names of the weights of recurrent layers, with their kind, `input-to-hidden` or `hidden-to-hidden`.

    They are recognised by torch's names, ``weight_ih...`` and ``weight_hh...``: those of `torch.nn.RNN`, `LSTM`, `GRU`
    and their cells, and of the layers of rk-rnn.
    """
    found = {}
    for name, _ in learner.named_parameters():
        if match := _RECURRENT_NAME.fullmatch(name.rpartition(".")[2]):
            found[name] = _RECURRENT[match[1]]
    return found


def prunable(
    learner: nn.Module, include: Iterable[str] = (), exclude: Iterable[str] = (), target: Target = "all"
) -> dict[str, nn.Parameter]:
    """Returns the weights that may be pruned, each once, by their names in the learner.

    By default: every trained floating-point parameter of two or more dimensions that no embedding owns. So norms and
    biases stay dense, and so does a tied embedding.

    Args:
        learner: Everything that is learned.
        include: Regular expressions: only weights with a match in their names, embeddings too.
        exclude: Regular expressions: weights with a match in their names stay dense.
        target: Of these, all, or only weights of recurrent layers; see `recurrent_weights`.

    Raises:
        rk.UserError: When an expression matches no weight, when the learner has no recurrent layer and `target` asks
            for its weights, or when no weight is left.
    """
    every = {n: p for n, p in learner.named_parameters() if p.dim() >= 2 and p.is_floating_point() and p.requires_grad}
    included, excluded = _patterns("include", include), _patterns("exclude", exclude)
    for key, patterns in (("include", included), ("exclude", excluded)):
        for pattern in patterns:
            if not any(pattern.search(name) for name in every):
                text = f"{key}: {pattern.pattern!r} matches no weight of two or more dimensions"
                raise UserError(text, suggest(pattern.pattern, list(every), "weights"))
    embedded = {
        id(p) for m in learner.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag) for p in m.parameters()
    }
    kinds = recurrent_weights(learner)
    if target != "all" and not kinds:
        raise UserError(
            f"target: {target} needs a recurrent layer, and the learner has none",
            "its weights would be called weight_ih and weight_hh; or choose others by include",
        )
    found = {}
    for name, p in every.items():
        wanted = any(x.search(name) for x in included) if included else id(p) not in embedded
        wanted &= target == "all" or (name in kinds and target in ("recurrent", kinds[name]))
        if wanted and not any(x.search(name) for x in excluded):
            found[name] = p
    if not found:
        raise UserError("no weight can be pruned", f"weights of two or more dimensions: {', '.join(every) or 'none'}")
    if any(hasattr(p, "to_local") for p in found.values()):
        raise UserError("masks need whole weights: fsdp spreads each weight over devices", "fit.strategy=ddp")
    return found


def _patterns(key: str, texts: Iterable[str]) -> list[re.Pattern[str]]:
    found = []
    for text in texts:
        try:
            found.append(re.compile(text))
        except re.error as error:
            raise UserError(f"{key}: {text!r} is not a regular expression: {error}") from None
    return found
