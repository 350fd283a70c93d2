"""Means over re-initialisations of what passes through a network, layer by layer, with predictions beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import fmean

import torch
from torch import Tensor, nn

from rk import Batch
from rk_criticality.activations import Name, dual_of
from rk_criticality.probes import Pass, Probe, Step, fan_in, passed, scalable, steps
from rk_criticality.theory import Critical, Moments, critical

TOLERANCE = 0.05
"""How far chi_perp may be from 1, and C_W and C_b from the critical point."""
ROWS = 64
"""Positions whose covariances are kept."""


def first_examples(batch: Batch, count: int) -> Batch:
    """Returns the first examples of a batch; a batch whose fields have several lengths (graphs) stays whole."""
    tensors = {name: value for name, value in batch.items() if hasattr(value, "shape")}
    if len({value.shape[:1] for value in tensors.values()}) != 1:
        return batch
    return {name: value[:count] if name in tensors else value for name, value in batch.items()}


@dataclass
class Sums:
    """What is added up over the networks for one call of a layer.

    Attributes:
        name: Of the layer.
        units: Its width.
        linear: Whether it is an affine map of each position, so that the kernel's recursion applies to it.
        rows: Sums over networks of each unit's z^2, of (z^2)^2, and over units: of their sum and its square.
        gram: Sum of the covariances of the first positions, (rows, rows).
        steps: How it was reached, in each network.
        gradients: Norm of the gradient of its weights, in each network.
        weights: Variance of the weights times fan-in, in each network.
        biases: Mean square of the biases.
    """

    name: str
    units: int
    linear: bool
    rows: list[Tensor]
    gram: Tensor
    steps: list[Step] = field(default_factory=list)
    gradients: list[float] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    biases: list[float] = field(default_factory=list)


@dataclass
class Row:
    """Measured and predicted numbers of a layer; None where there is none.

    Attributes:
        name: Of the layer.
        parent: Number of the layer before it, from 0.
        units: Its width.
        activation: What is between the two.
        c_w: Variance of the weights times fan-in.
        c_b: Mean square of the biases.
        k: Mean square of a pre-activation.
        k_predicted: By the recursion, from the first layer of the chain.
        chi_perp: Growth of a gradient's squared norm to the layer before.
        chi_perp_predicted: C_W <sigma'^2> of the predicted kernels.
        chi_par: Growth of a change of the kernel.
        chi_par_predicted: C_W g' of the predicted kernels.
        v: Cov(z_i^2, z_j^2) / K^2 over networks.
        v_predicted: By the recursion.
        cosine: Mean cosine of two positions.
        cosine_predicted: By the recursion.
        from_first: Squared norm of a gradient at the first layer, for one of norm 1 here.
        gradient: Norm of the gradient of the weights.
        verdict: ordered, critical or chaotic; first or last where no layer is before or
            after it, branch at both ends of a branch beside a skip.
        advice: What to set.
    """

    name: str
    parent: int | None
    units: int
    activation: Name | None
    c_w: float | None
    c_b: float | None
    k: float
    k_predicted: float | None = None
    chi_perp: float | None = None
    chi_perp_predicted: float | None = None
    chi_par: float | None = None
    chi_par_predicted: float | None = None
    v: float | None = None
    v_predicted: float | None = None
    cosine: float | None = None
    cosine_predicted: float | None = None
    from_first: float | None = None
    gradient: float | None = None
    verdict: str = ""
    advice: str = ""


def measured(
    learners: Iterable[nn.Module],
    batch: Batch,
    draws: int,
    generator: torch.Generator,
) -> list[Row]:
    """Returns a row per call of a layer: means over the learners, with predictions.

    Args:
        learners: Networks with different initial weights; or a single one.
        batch: What they are shown.
        draws: Vectors of Hutchinson's estimator.
        generator: What those are drawn from.
    """
    sums: list[Sums] = []
    count = 0
    for learner in learners:
        with passed(learner, batch) as run:
            if not sums:
                sums = [_empty(probe) for probe in run.probes]
            _add(sums, run, steps(run.probes, draws, generator))
        count += 1
    return _rows(sums, count)


def _empty(probe: Probe) -> Sums:
    rows = probe.rows
    zeros = [torch.zeros_like(rows), torch.zeros_like(rows), *torch.zeros(2, len(rows), dtype=torch.float64)]
    taken = min(len(rows), ROWS)
    return Sums(probe.name, rows.shape[1], isinstance(probe.module, nn.Linear), zeros, rows.new_zeros(taken, taken))


def _add(sums: list[Sums], run: Pass, reached: list[Step]) -> None:
    weights = [probe.weight for probe in run.probes]
    grads: tuple[Tensor | None, ...] = (None,) * len(weights)
    if run.loss is not None:
        grads = torch.autograd.grad(run.loss, weights, allow_unused=True)
    for total, probe, step, grad in zip(sums, run.probes, reached, grads, strict=False):
        z = probe.rows
        if z.shape != total.rows[0].shape:  # a learner whose shapes are drawn
            continue
        q = z.square()
        for kept, value in zip(total.rows, (q, q.square(), q.sum(1), q.sum(1).square()), strict=True):
            kept += value
        part = z[: len(total.gram)]
        total.gram += part @ part.T / z.shape[1]
        total.steps.append(step)
        if grad is not None:
            total.gradients.append(float(grad.double().norm()))
        if scalable(probe.module):
            weight, bias = probe.module.weight, probe.module.bias
            total.weights.append(float(weight.detach().double().square().mean()) * fan_in(weight))
            total.biases.append(0.0 if bias is None else float(bias.detach().double().square().mean()))


def _rows(sums: list[Sums], count: int) -> list[Row]:
    found: list[Row] = []
    grams: list[Tensor] = []
    last = {step.parent for total in sums for step in total.steps[:1]}
    for i, total in enumerate(sums):
        parents = [step.parent for step in total.steps]
        parent = max(set(parents), key=parents.count)
        activations = [step.activation for step in total.steps]
        row = Row(
            name=total.name,
            parent=parent,
            units=total.units,
            activation=max(set(activations), key=activations.count),
            c_w=_mean(total.weights),
            c_b=_mean(total.biases),
            k=float(total.rows[0].mean()) / count,
            chi_perp=_mean([step.chi_perp for step in total.steps]),
            chi_par=_mean([step.chi_par for step in total.steps]),
            v=_covariance(total, count) if count > 1 else None,
            cosine=_cosine(total.gram),
            from_first=_mean([step.from_first for step in total.steps]),
            gradient=_mean(total.gradients),
        )
        gram = total.gram / count
        if parent is not None and total.linear and len(grams[parent]) == len(gram):
            gram = _predict(row, found[parent], grams[parent], gram)
        grams.append(gram)
        _judge(row, is_last=i not in last)
        found.append(row)
        if parent is not None and sum(step.bypassed for step in total.steps) > len(total.steps) / 2:
            for branch in (row, found[parent]):  # a branch beside a skip need not keep the norm
                branch.verdict, branch.advice = "branch", ""
    return found


def _mean(values: list[float] | list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _covariance(total: Sums, count: int) -> float:
    """Returns the mean over positions of Cov(z_i^2, z_j^2) / K^2, i != j, without bias."""
    q, q2, s, s2 = (value / count for value in total.rows)
    n = total.units
    if n < 2:
        return math.nan
    own = (q2 - q.square()).sum(1)  # sum over units of their variances
    off = (s2 - s.square() - own) * count / (count - 1) / (n * (n - 1))
    return float((off / (s / n).square().clamp(min=1e-30)).mean())


def _cosine(gram: Tensor) -> float | None:
    if len(gram) < 2:
        return None
    norms = gram.diagonal().clamp(min=1e-30).sqrt()
    cosines = gram / norms / norms.unsqueeze(1)
    return float((cosines.sum() - cosines.diagonal().sum()) / (len(gram) * (len(gram) - 1)))


def _predict(row: Row, before: Row, gram: Tensor, measured: Tensor) -> Tensor:
    """Fills in what the recursions make of the layer before, and returns the covariances that they give.

    A chain begins at what is measured at its first layer. Where the recursions do not apply, the measured covariances
    are returned: the next chain begins there.
    """
    q = gram.diagonal()
    if row.activation is None or row.c_w is None or row.c_b is None or not bool((q > 0).all()):
        return measured
    moments, dual = Moments(row.activation), dual_of(row.activation)
    ks = q[:8].tolist()
    row.chi_perp_predicted = row.c_w * fmean(map(moments.slopes, ks))
    row.chi_par_predicted = row.c_w * fmean(moments.g(k, 1) * k for k in ks) / fmean(ks)
    v = 0.0 if before.parent is None else before.v if before.v_predicted is None else before.v_predicted
    grown = [
        (row.c_w * moments.g(k, 1) * k) ** 2 * (v or 0.0) + row.c_w**2 * moments.spread(k) / before.units for k in ks
    ]
    row.v_predicted = fmean(x / (row.c_b + row.c_w * moments.g(k)) ** 2 for x, k in zip(grown, ks, strict=True))
    after = row.c_b + row.c_w * dual.pair(q.unsqueeze(1), gram, q.unsqueeze(0))[0]
    after = after.diagonal_scatter(row.c_b + row.c_w * dual.diagonal(q)[0])
    row.k_predicted, row.cosine_predicted = float(after.diagonal().mean()), _cosine(after)
    return after


def _judge(row: Row, is_last: bool) -> None:
    """Fills in the verdict: by chi_perp; a layer at the critical point of its activation is critical by definition.

    There chi_perp may be below 1 and approach it by a power of the depth: tanh.
    """
    if row.chi_perp is None or is_last:
        row.verdict = "last" if row.chi_perp is not None else "first"
        return
    point = Critical("none") if row.activation is None else critical(row.activation)
    if point.kind != "none" and row.c_w is not None and row.c_b is not None:
        row.advice = f"C_W {point.c_w:.4g}, C_b {point.c_b:.4g} ({row.activation})"
        if abs(row.c_w / point.c_w - 1) < TOLERANCE and abs(row.c_b - point.c_b) < TOLERANCE * row.k:
            row.verdict, row.advice = "critical", ""
            return
    elif row.c_w is not None and row.chi_perp > 0:
        row.advice = f"C_W {row.c_w / row.chi_perp:.4g}: weights times {row.chi_perp**-0.5:.3g}"
    low, high = 1 - TOLERANCE, 1 + TOLERANCE
    row.verdict = "ordered" if row.chi_perp < low else "critical" if row.chi_perp <= high else "chaotic"
    row.advice = "" if row.verdict == "critical" else row.advice
