"""Settings of `fit` that need each other, or that exclude each other."""

from __future__ import annotations

from rk.errors import Problem
from rk.recipe.findings import Part
from rk.recipe.model import Spec
from rk.static import method


class Settings(Part):
    """Checks the values of `fit` against each other and against what the components ask for."""

    def check(self) -> None:
        if "fit" in self.recipe.broken:
            return
        fit = self.recipe.fit
        if fit.early_stopping is not None:
            self._needs_validation("fit.early_stopping", "fit.early_stopping")
        for spec in self.recipe.specs():
            if spec.component.kind == "schedule" and method(self.info(spec), "monitored") is not None:
                self._needs_validation(self.who(spec), spec.key, spec)
        if fit.accumulate_targets is not None:
            if fit.accumulate != 1:
                self._at("fit.accumulate", "fit.accumulate_targets is given too: a step has one length", "give one")
            if fit.max_epochs is not None:
                message = "fit.accumulate_targets makes steps of unequal length: the steps of an epoch are not known"
                self._at("fit.max_epochs", message, "give fit.max_steps")
        if fit.precision == "16-mixed" and fit.accelerator == "cpu":
            self._at("fit.precision", "16-mixed needs a GPU, fit.accelerator is cpu", "fit.precision=bf16-mixed")
        if fit.strategy == "fsdp" and (fit.devices, fit.nodes) != (1, 1):
            if fit.precision == "16-mixed":
                message = "16-mixed cannot be used with fit.strategy fsdp: the scale of the loss is not shared"
                self._at("fit.precision", message, "fit.precision=bf16-mixed")
            if fit.compile:
                self._at("fit.compile", "cannot be used with fit.strategy fsdp", "fit.strategy=ddp")

    def _needs_validation(self, who: str, key: str, spec: Spec | None = None) -> None:
        """Reports that the monitored metric, or how often it is measured, is not given."""
        fit = self.recipe.fit
        lacking = "fit.monitor" if fit.monitor is None else "fit.validate_every" if fit.validate_every is None else None
        if lacking is None:
            return
        example = "fit.monitor=val/loss" if fit.monitor is None else "fit.validate_every=100"
        message = f"{who} needs {lacking}"
        if spec is not None:
            self.report(spec, key, message, example)
        else:
            self._at(key, message, example)

    def _at(self, key: str, message: str, hint: str) -> None:
        mark = self.recipe.marks.get(key, self.recipe.marks.get("fit", self.recipe.marks[""]))
        self.problems.append(Problem(mark, key, message, hint))
