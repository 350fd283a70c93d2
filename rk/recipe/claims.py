"""Checks what a recipe claims and monitors: the splits and metrics that it names."""

from __future__ import annotations

import fnmatch

from rk.errors import Problem, suggest
from rk.recipe.findings import Part
from rk.static.literals import literal


class Claims(Part):
    """Checks `fit.monitor` and `expect` against the splits and metrics that are known from the source."""

    def check(self) -> None:
        """Reports each name of a split or metric that is not there."""
        data = self.recipe.data
        if data is None:
            return
        assigned = self.having(data, "splits").assigned("splits")
        found = literal(assigned[0].module, assigned[1]) if assigned is not None else None
        splits = self.binding.splits = tuple(found) if isinstance(found, list | tuple) else None
        if self.recipe.fit.monitor is not None:
            self._claim(self.recipe.fit.monitor, "fit.monitor", splits)
        for i, claim in enumerate(self.recipe.expect):
            if claim.applies:
                self._claim(claim.metric, f"expect.{i}.metric", splits)
                for bound in ("at_least_times", "at_most_times"):
                    if (multiple := getattr(claim, bound)) is not None:
                        self._claim(multiple.of, f"expect.{i}.{bound}", splits)

    def _claim(self, metric: str, key: str, splits: tuple[str, ...] | None) -> None:
        problem = self._misclaim(metric, key, splits)
        if problem is not None:
            self.problems.append(Problem(self.recipe.marks[key], key, *problem))

    def _misclaim(self, metric: str, key: str, splits: tuple[str, ...] | None) -> tuple[str, str | None] | None:
        """Returns what is wrong with the name of a metric, and a hint; None if it is valid, as far as is known."""
        split, _, name = metric.partition("/")
        name = name.partition("@")[0]
        known = None
        if self.binding.metrics is not None and self.binding.answers is not None:
            known = [*self.binding.metrics, "loss"]
        if not name:
            return (
                f"{metric!r} does not name a split",
                f"as in val/{metric}" if key == "fit.monitor" else f"as in test/{metric}",
            )
        if split == "run" and key != "fit.monitor":
            return self._misclaimed_result(metric)
        if "*" in metric and (key == "fit.monitor" or not key.endswith(".metric") or split == "train"):
            return f"{metric!r} matches several metrics: name one", None
        if splits is not None and not fnmatch.filter(splits, split):
            return f"unknown split {split!r}", suggest(split, splits, "splits")
        if key == "fit.monitor" and not split.startswith("val"):
            return f"{split!r} is not validated", "monitor a split that begins with val"
        # what a step logs is known only when it does
        if split != "train" and known is not None and not fnmatch.filter(known, name):
            return f"unknown metric {name!r}", suggest(name, known, "metrics")
        return None

    def _misclaimed_result(self, metric: str) -> tuple[str, str] | None:
        """A result is named by a component's ``results`` when the run ends; before, only that there is one is known."""
        specs = [spec for spec in (self.recipe.algorithm, *self.recipe.callbacks) if spec is not None]
        if {"search" if "search" in self.recipe.broken else "trainer", "callbacks"} & self.recipe.broken:
            return None
        if any("results" in self.info(spec).members() or self.info(spec).opaque_bases() for spec in specs):
            return None
        return f"nothing gives {metric!r}", "a result comes from a trainer, search or callback with a method results()"
