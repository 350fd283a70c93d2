"""The analysis `spectrum`: how the eigenvalues of a run's kernel fall, beside the theory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge
from rk_kernels.classifier import KernelMachine
from rk_kernels.hierarchical_kernel import HierarchicalKernel
from rk_kernels.power_law import fit_power_law
from torch import Tensor, nn

from rk import Run, UserError
from rk.authoring import titles
from rk.charts import COLORS, chart, plain, save
from rk.writing import write_csv
from rk_wide_cnn.image_kernel import ImageHierarchicalKernel
from rk_wide_cnn.theory import spectral_decay


class Spectrum:
    """Eigenvalues of the kernel matrix of a run's training rows, by their number, and the power law through them.

    For hierarchical kernels the theory's decay is beside it: rank^(-1 - 2 nu / d) for the widest sector of functions,
    of dimension d, where the first patches are uniform on spheres. The first eigenvalues have not reached it, and the
    last ones of a finite matrix differ from the kernel's.

    Writes ``spectrum.csv`` and ``spectrum.png``.

    Args:
        runs: Runs with a kernel, each a curve: of `kernel-ridge`, `kernel-regression`, `kernel-curve` or `locality`.
        first: First rank of the fit, from 1.
        last: Last rank of the fit; null: a quarter of the rows.
        limit: Most training rows.

    Examples:
        rk analyze spectrum --runs '[last]' --first 30
    """

    def __init__(
        self,
        runs: list[Run],
        first: Annotated[int, Ge(1)] = 50,
        last: Annotated[int, Ge(2)] | None = None,
        limit: Annotated[int, Ge(8)] = 2000,
    ) -> None:
        self.runs = runs
        self.first = first
        self.last = last
        self.limit = limit

    @torch.no_grad()
    def analyze(self, out: Path) -> dict[str, float]:
        """Returns the fitted and the predicted exponent of each run."""
        names = titles(self.runs)
        found = {name: self._eigenvalues(run) for name, run in zip(names, self.runs, strict=True)}
        rows = [(name, rank + 1, value) for name, values in found.items() for rank, value in enumerate(values.tolist())]
        write_csv(out / "spectrum.csv", ("run", "rank", "eigenvalue"), rows)
        numbers: dict[str, float] = {}
        with chart(5.0, 3.4) as (figure, axis):
            for i, (name, run) in enumerate(zip(names, self.runs, strict=True)):
                values, color = found[name], COLORS[i % len(COLORS)]
                ranks = self._ranks(len(values))
                law = fit_power_law({rank: [float(values[rank - 1])] for rank in ranks})
                axis.plot(range(1, len(values) + 1), values, ".", color=color, markersize=3)
                axis.plot(ranks, [law(r) for r in ranks], "-", color=color, label=f"{plain(name)}: {law.exponent:.2f}")
                numbers[f"{name}/decay"] = law.exponent
                if (decay := predicted(run.learner.get_submodule("kernel"))) is not None:
                    numbers[f"{name}/theory"] = decay
                    line = [2 * law(ranks[0]) * (r / ranks[0]) ** -decay for r in ranks]
                    axis.plot(ranks, line, "--", color=color, alpha=0.6, label=f"theory: {decay:.2f}")
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.set_xlabel("rank")
            axis.set_ylabel("eigenvalue / rows")
            axis.legend()
            save(figure, out / "spectrum.png")
        return numbers

    def _eigenvalues(self, run: Run) -> Tensor:
        """Returns the eigenvalues, from the largest."""
        learner = run.learner
        if not isinstance(learner, KernelMachine):
            raise UserError(f"{run.folder.label} has no kernel", "take a run of kernel-ridge or kernel-curve")
        inputs = learner.inputs[: self.limit]
        return torch.linalg.eigvalsh(learner.kernel(inputs)).flip(0).clamp(min=1e-300).cpu() / len(inputs)

    def _ranks(self, count: int) -> range:
        last = min(self.last or count // 4, count)
        if last <= self.first:
            raise UserError(
                f"the fit must have two ranks at least, got {self.first} to {last} of {count} rows",
                "give --first and --last",
            )
        return range(self.first, last + 1)


def predicted(kernel: nn.Module) -> float | None:
    """Returns the decay that theory predicts of a hierarchical kernel; None for another one."""
    inner = kernel.kernel if isinstance(kernel, ImageHierarchicalKernel) else kernel
    if not isinstance(inner, HierarchicalKernel) or inner.filter_sizes[0] < 2:
        return None
    return spectral_decay(inner.filter_sizes, inner.kind)
