"""The callback `prune-and-regain`: what pruning costs a trained network at once, and how many epochs bring it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from annotated_types import Ge
from rk_sparsity.prune import Prune

from rk import FitContext, UserError
from rk.writing import write_csv


class PruneAndRegain(Prune):
    """Prunes a trained network once, then trains it until its accuracy is back (arXiv:2407.20601, Sec. 5.2).

    The run begins with trained weights (``init_from``). The accuracy is measured before pruning, at once behind it, and
    after each epoch; the masks are those of rk-sparsity's `prune`. The run reports ``base``, ``at-once``, ``last`` (the
    accuracy after the last epoch), ``regained`` (1 or 0), and ``epochs-to-regain`` where it has regained: 0 where
    pruning alone costs nothing. ``regain.csv`` has every epoch.

    A layer may lose all of its weights here: it then answers with a constant, as a control.

    Args:
        split: The split that is measured.
        tolerance: How far below the accuracy before pruning still counts as regained.
        stop: Whether the run ends once it has regained.

    Examples:
        callbacks: [{name: prune-and-regain, density: 0.2, target: recurrent}]
    """

    def __init__(
        self, split: str = "test", tolerance: Annotated[float, Ge(0)] = 0.002, stop: bool = True, **common: Any
    ) -> None:
        super().__init__(at=0.0, keep_least=0, allow_empty=True, **common)
        self.split = split
        self.tolerance = tolerance
        self.stop = stop
        self.base = 0.0
        self.curve: list[float] = []

    def fit_start(self, fit: FitContext) -> None:
        steps = fit.data.batches("train")
        if steps is None:
            raise UserError("prune-and-regain counts epochs, and the training split has no end", "use other data")
        self.steps_per_epoch = steps
        if self.curve:  # resumed
            super().fit_start(fit)
            return
        self.base = self._accuracy(fit)
        super().fit_start(fit)
        self.curve = [self._accuracy(fit)]

    def after_step(self, fit: FitContext) -> None:
        super().after_step(fit)
        if fit.step % self.steps_per_epoch == 0:
            self.curve.append(self._accuracy(fit))
        if self.stop and self.epochs is not None:
            fit.stop(f"the accuracy of {self.base:.4f} is regained")

    @property
    def epochs(self) -> int | None:
        """Epochs until the accuracy was back; None: it is not."""
        back = (epoch for epoch, accuracy in enumerate(self.curve) if accuracy >= self.base - self.tolerance)
        return next(back, None)

    @torch.no_grad()
    def _accuracy(self, fit: FitContext) -> float:
        hits, total, training = 0, 0, fit.learner.training
        fit.learner.eval()
        for batch in fit.batches(self.split):
            outputs: Mapping[str, Any] = fit.learner.predict(batch)  # type: ignore[operator]  # of a learner
            if "logits" not in outputs or "targets" not in batch:
                raise UserError(
                    "prune-and-regain measures an accuracy: it needs logits and targets", "use a classifier"
                )
            right = outputs["logits"].argmax(-1) == batch["targets"]
            hits, total = hits + int(right.sum()), total + right.numel()
        fit.learner.train(training)
        return hits / total

    def fit_end(self, fit: FitContext) -> None:
        """Writes the table into the run's folder."""
        if fit.runtime.is_main:
            rows = [("base", self.base), *enumerate(self.curve)]
            write_csv(fit.folder / "regain.csv", ["epoch", f"{self.split} accuracy"], rows)

    def results(self) -> dict[str, float]:
        """Returns the accuracies and the epochs to regain, beside what `prune` reports."""
        found = {"base": self.base, "at-once": self.curve[0], "last": self.curve[-1]}
        if self.epochs is not None:
            found["epochs-to-regain"] = self.epochs
        return {**super().results(), **found, "regained": float(self.epochs is not None)}

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "base": self.base, "curve": [*self.curve]} if self.curve else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        if state:
            self.base, self.curve = float(state["base"]), [*state["curve"]]
