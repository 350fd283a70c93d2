"""The analysis `activation`: the critical point of an activation, and every prediction beside a measurement."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt, Lt

from rk.sampling import generator
from rk.writing import write_csv
from rk_criticality.activations import Name
from rk_criticality.entry import Entry
from rk_criticality.simulate import Network, measure, tangent_kernels
from rk_criticality.theory import Critical, cosines, critical, flow, next_order, residual_gain


class Activation:
    """The critical point of an activation, and how random networks of finite width follow the recursions from there.

    Prints (C_b, C_W), K*, the universality class, nu and the best depth / width. Then random networks are drawn, whose
    means are compared with the recursions of arXiv:2106.10165, layer by layer: the kernel with its correction of finite
    width, both susceptibilities, the four-point vertex V / (n K^2), the cosine of two inputs, the tangent kernel.
    Without skips, the kernel and V have the terms of order 1 / width^2; `vertex-first` is V of the book, without them.

    It writes ``ledger.csv`` and a figure.

    Args:
        activation: The activation.
        width: Units of each layer.
        depth: Layers.
        inits: Networks.
        c_w: Variance of the weights times fan-in; null: the critical one.
        c_b: Variance of the biases; null: the critical one.
        k: Kernel of the first layer; null: K*, or 1 where it is 0 or any.
        gamma: Weight of a skip around each layer; the critical C_W is then (1 - gamma^2) that of the activation, which
            is known for scale-invariant ones.
        cosine: Of the two inputs.
        tangents: Networks whose tangent kernel is computed; 0: none.
        num_outputs: Outputs of the network whose best depth / width is printed.
        seed: Seeds the networks.

    Raises:
        ValueError: When the activation has no critical point and `c_w` and `c_b` are not given.

    Examples:
        rk analyze activation --activation gelu
    """

    def __init__(
        self,
        activation: Name = "tanh",
        width: Annotated[int, Ge(2)] = 200,
        depth: Annotated[int, Ge(2)] = 10,
        inits: Annotated[int, Ge(2)] = 10000,
        c_w: Annotated[float, Gt(0)] | None = None,
        c_b: Annotated[float, Ge(0)] | None = None,
        k: Annotated[float, Gt(0)] | None = None,
        gamma: Annotated[float, Ge(0), Lt(1)] = 0.0,
        cosine: Annotated[float, Gt(-1), Lt(1)] = 0.5,
        tangents: Annotated[int, Ge(0)] = 100,
        num_outputs: Annotated[int, Ge(1)] = 1,
        seed: int = 0,
    ) -> None:
        self.point = residual_gain(activation, gamma) if gamma else critical(activation)
        if self.point.kind == "none" and (c_w is None or c_b is None):
            raise ValueError(f"{activation} has no critical point: give c_w and c_b")
        self.network = Network(
            activation,
            self.point.c_b if c_b is None else c_b,
            self.point.c_w if c_w is None else c_w,
            width,
            depth,
            gamma,
        )
        self.k = k or self.point.k or 1.0
        self.inits = inits
        self.cosine = cosine
        self.tangents = tangents
        self.num_outputs = num_outputs
        self.seed = seed

    def analyze(self, out: Path) -> dict[str, float]:
        """Returns the critical point, and of each quantity the largest relative error over the layers."""
        from rk_criticality.drawing import draw_ledger

        net = self.network
        entries = self.entries()
        rows = [
            [name, e.layer, *(f"{x:.7g}" for x in (e.predicted, e.measured, e.error))]
            for name, found in entries.items()
            for e in found
        ]
        write_csv(out / "ledger.csv", ["quantity", "layer", "predicted", "measured", "error"], rows)
        draw_ledger(entries, out / "ledger.png", f"{net.name}: width {net.width}, {self.inits} networks")
        print(f"{net.name}: {_described(self.point)}")
        numbers = {"c_b": self.point.c_b, "c_w": self.point.c_w, "k": self.point.k}
        if self.point.nu is not None:
            numbers["nu"] = self.point.nu
        if (ratio := self.point.best_ratio(self.num_outputs)) is not None:
            numbers["depth/width"] = ratio
        return numbers | {f"{name}/error": max(e.error for e in found) for name, found in entries.items()}

    def entries(self) -> dict[str, list[Entry]]:
        """Returns the ledger: quantity -> its entries, from layer 2."""
        net = self.network
        predicted = flow(net.name, net.c_b, net.c_w, self.k, net.depth, net.width, net.gamma, 1 + self.k)
        measured = measure(net, self.k, self.cosine, self.inits, generator(self.seed, "units"))
        angles = cosines(net.name, net.c_b, net.c_w, self.k, self.cosine, net.depth, net.gamma)
        first = [(p.mean, p.v) for p in predicted]
        finite = first if net.gamma else next_order(net.name, net.c_b, net.c_w, self.k, net.depth, net.width)
        entries = {
            "kernel": _entries([k for k, _ in finite], [m.mean for m in measured]),
            "chi_par": _entries([p.chi_par for p in predicted], [m.chi_par for m in measured]),
            "chi_perp": _entries([p.chi_perp for p in predicted], [m.chi_perp for m in measured]),
            "vertex": _entries([v for _, v in finite], [m.v for m in measured]),
            "vertex-first": _entries([v for _, v in first], [m.v for m in measured]),
            "cosine": _entries(angles, [m.cosine for m in measured]),
        }
        if self.tangents:
            found = tangent_kernels(net, self.k, self.tangents, generator(self.seed, "tangents"))
            entries["tangent"] = _entries([p.theta for p in predicted], found)
        return entries


def _entries(predicted: Sequence[float], measured: Sequence[float]) -> list[Entry]:
    return [Entry(i, p, m) for i, (p, m) in enumerate(zip(predicted, measured, strict=True), 1) if i > 1]


def _described(point: Critical) -> str:
    if point.kind == "none":
        return "no critical point"
    return f"{point.kind}, C_b {point.c_b:.8g}, C_W {point.c_w:.8g}, K* {point.k:.8g}"
