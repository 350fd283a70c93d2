"""What analyses have in common: the layer of a run, its activity, and its accuracy for single N."""

# b batch, t time, n neurons

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rk import Run, UserError
from rk.authoring import evaluating, titles
from rk.sampling import generator
from rk_timescales.layer import Leaky
from rk_timescales.task import WindowTask, right_answers


def task_of(run: Run) -> WindowTask:
    """Returns the data of a run of `n-dms` or `n-parity`.

    Raises:
        UserError: When it was trained on other data.
    """
    if not isinstance(run.data, WindowTask):
        raise UserError(f"{run.folder.label} must be a run on n-dms or n-parity", "choose another run")
    return run.data


def leaky_of(learner: nn.Module, name: str) -> Leaky:
    """Returns the first layer of leaky neurons.

    Raises:
        UserError: When there is none.
    """
    found = next((m for m in learner.modules() if isinstance(m, Leaky)), None)
    if found is None:
        raise UserError(f"{name} has no layer leaky", "lesions need neurons: choose another run")
    return found


def accuracy(learner: nn.Module, task: WindowTask, n: int, examples: int, device: torch.device) -> float:
    """Returns the share of right answers for one N, on sequences that ask it alone."""
    batch = task.examples(range(n, n + 1), examples, generator(task.seed, 3, n))
    fields = {name: value.to(device) for name, value in batch.items() if isinstance(value, Tensor)}
    with evaluating(learner, 0):
        logits = learner.predict(fields)["logits"]  # type: ignore[operator]  # a learner is a module with predict
    return float(right_answers(logits, fields["targets"]).double().mean())


def activity(run: Run, trials: int, steps: int, burn_in: int) -> Float[Tensor, "b t n"]:
    """Returns what the last recurrent layer of a model `sequence` gives at each step of random bits, after `burn_in`.

    Raises:
        UserError: When the run's model is of another kind.
    """
    model: Any = getattr(run.learner, "model", None)  # Any: a model with blocks
    if getattr(model, "blocks", None) is None or not hasattr(model.blocks[-1], "layer"):
        raise UserError(f"{run.folder.label} must have the model sequence", "choose another run")
    device = run.runtime.device
    bits = task_of(run).draw(trials, steps + burn_in, generator(task_of(run).seed, 4)).to(device)
    seen: list[Tensor] = []
    hook = model.blocks[-1].layer.register_forward_hook(lambda layer, inputs, output: seen.append(output.detach()))
    try:
        with evaluating(run.learner, 0):
            model(inputs=bits.unsqueeze(-1).float())
    finally:
        hook.remove()
    return seen[0][:, burn_in:].cpu()


def ablated(learner: nn.Module, neuron: int) -> nn.Module:
    """Returns a copy of a learner without one leaky neuron: nothing goes into it, and nothing comes out."""
    changed = copy.deepcopy(learner)
    layer = leaky_of(changed, "the run")
    with torch.no_grad():
        layer.weight_hh[neuron] = layer.weight_hh[:, neuron] = 0
        kept = torch.ones_like(layer.bias_hh)
        kept[neuron] = 0
        layer.out.register_forward_pre_hook(lambda module, inputs: (inputs[0] * kept,))
    return changed


def perturbed(learner: nn.Module, what: str, strength: float, random: torch.Generator) -> nn.Module:
    """Returns a copy with W or tau moved by ``strength ||X|| / ||R||  R``, R normal; |R| for tau, which then grows."""
    changed = copy.deepcopy(learner)
    layer = leaky_of(changed, "the run")
    moved = layer.weight_hh if what == "weights" else layer.tau
    value = layer.connections if what == "weights" else layer.time_constants
    noise = torch.randn(moved.shape, generator=random).to(moved)
    if what == "weights":
        noise = noise - noise.diag().diag()
    else:
        noise = noise.abs()
    with torch.no_grad():
        moved.copy_(value + strength * value.norm() / noise.norm() * noise)
    return changed


def by_recipe(runs: list[Run]) -> Mapping[str, list[Run]]:
    """Returns the runs of each recipe, by a title for each: runs with other seeds are one curve.

    Raises:
        UserError: When there are none.
    """
    if not runs:
        raise UserError("runs must not be empty", "give at least one run")
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.recipe.name, []).append(run)
    return dict(zip(titles([same[0] for same in found.values()]), found.values(), strict=True))


def means(of_runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Returns the mean of each number over runs."""
    return {name: fmean(one[name] for one in of_runs) for name in of_runs[0]}
