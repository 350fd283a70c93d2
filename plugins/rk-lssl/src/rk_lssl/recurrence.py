"""Exporter: a trained stack of `lssl` layers as the matrices of its recurrence, with a script of numpy that runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rk_sequence.model import Block, SequenceModel
from torch import Tensor, nn

from rk import LoadedRun, UserError
from rk_lssl.layer import LSSL

SCRIPT = '''"""Runs the recurrence with numpy alone: python recurrence.py series.csv, with a row for each step."""
import math
import sys
import numpy as np

w = np.load(__file__.replace(".py", ".npz"))
erf = np.vectorize(math.erf)
states, pooled = [np.zeros(w[f"{i}.b"].shape) for i in range(int(w["layers"]))], 0.0
norm = lambda x, g: x / np.sqrt((x * x).mean() + w["eps"]) * g


def step(u):
    """One step: features in, the last hidden vector out."""
    x = w["enter.weight"] @ u + w["enter.bias"]
    for i, s in enumerate(states):
        z = norm(x, w[f"{i}.norm"])
        states[i] = s = np.einsum("hij,hj->hi", w[f"{i}.a"], s) + w[f"{i}.b"] * z[:, None]
        y = np.einsum("hmn,hn->hm", w[f"{i}.c"], s) + w[f"{i}.d"] * z[:, None]
        y = (y * (1 + erf(y / math.sqrt(2))) / 2).ravel()
        x = x + w[f"{i}.mix.weight"] @ y + w[f"{i}.mix.bias"]
    return x


def head(x):
    return w["head.weight"] @ norm(x, w["norm"]) + w["head.bias"]


if __name__ == "__main__":
    series = np.loadtxt(sys.argv[1], delimiter=",", ndmin=2)
    for t, u in enumerate(series):
        x = step(u)
        pooled = pooled + x
        if str(w["readout"]) == "step":
            print(*head(x))
    if str(w["readout"]) != "step":
        print(*head(x if str(w["readout"]) == "last" else pooled / len(series)))
'''


class Recurrence:
    """Writes ``recurrence.npz`` with Ab, Bb, C, D of every layer and all other weights, and a script that runs them.

    ``python recurrence.py series.csv`` needs numpy alone. It keeps one state for each layer, whatever the length of the
    series; each step costs the same. The series is that which the model sees: of data that is normalised, normalised.

    Examples:
        rk export last --to recurrence -o recurrence
    """

    def export(self, run: LoadedRun, out: Path) -> list[Path]:
        """Writes the two files into `out`.

        Raises:
            rk.UserError: When the run's model is not a `sequence` of numbers with `lssl` layers, norms `rms`, no MLP.
        """
        files = out / "recurrence.npz", out / "recurrence.py"
        arrays: Any = weights(_model(run))  # Any: savez takes arrays by whatever name
        np.savez(files[0], **arrays)
        files[1].write_text(SCRIPT, encoding="utf-8")
        return list(files)


def _model(run: LoadedRun) -> SequenceModel:
    model: Any = getattr(run.learner, "model", None)
    reason = None
    if not isinstance(model, SequenceModel) or not hasattr(model, "projection"):
        reason = "its model is not a sequence model of numbers"
    elif not all(isinstance(b, Block) and isinstance(b.layer, LSSL) for b in model.blocks):
        reason = "it has other layers than lssl"
    elif any(isinstance(b, Block) and (b.mlp is not None or not b.residual) for b in model.blocks):
        reason = "it has MLPs, or blocks without a residual"
    elif not isinstance(model.norm, nn.RMSNorm):
        reason = "its norms are not rms"
    if reason is not None:
        raise UserError(f"{run.folder.label} is not written as a recurrence: {reason}", "--to safetensors")
    assert isinstance(model, SequenceModel)
    return model


def weights(model: SequenceModel) -> dict[str, Any]:
    """Returns all that the script reads, as arrays by name."""
    norm: Any = model.norm
    eps = norm.eps if norm.eps is not None else float(np.finfo(np.float32).eps)
    found: dict[str, Any] = {"layers": len(model.blocks), "readout": model.readout, "eps": eps}
    found |= _of(model.projection, "enter") | _of(model.head, "head") | {"norm": _array(norm.weight)}
    for i, block in enumerate(model.blocks):
        assert isinstance(block, Block)
        layer: Any = block.layer  # Any: an LSSL, as `_model` has seen
        before: Any = block.layer_norm
        a, b = layer.system()
        found |= {f"{i}.a": _array(a), f"{i}.b": _array(b), f"{i}.c": _array(layer.C), f"{i}.d": _array(layer.D)}
        found |= {f"{i}.norm": _array(before.weight)} | _of(layer.mix, f"{i}.mix")
    return found


def _of(linear: nn.Linear, name: str) -> dict[str, np.ndarray]:
    bias = np.zeros(linear.out_features) if linear.bias is None else _array(linear.bias)
    return {f"{name}.weight": _array(linear.weight), f"{name}.bias": bias}


def _array(tensor: Tensor) -> np.ndarray:
    return np.asarray(tensor.detach().cpu().double().numpy())
