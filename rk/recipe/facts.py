"""Facts: which parameters need one, and which component provides it."""

from __future__ import annotations

from rk.errors import Problem, UserError, nearest
from rk.plugins import Component
from rk.recipe.findings import BoundFact, Findings, Part
from rk.recipe.hints import missing
from rk.recipe.model import Spec
from rk.static import Param
from rk.static.compare import assignable
from rk.static.fields import facts
from rk.static.types import INT, RunType, Type

HOST_FACTS: dict[str, Type] = {"seed": INT}
"""Facts that the host provides: `fit.seed`."""


class Facts(Part):
    """Binds the parameters that a recipe leaves out to facts."""

    def __init__(self, found: Findings) -> None:
        super().__init__(found)
        self._lacking: list[tuple[Spec, Param, Problem]] = []
        """Missing parameters that other data could give: reported only of components that fit the data."""

    def bind(self) -> None:
        """Takes each fact that is there, and reports what is missing."""
        data = self.recipe.data
        of_data = self._facts_of(data) if data is not None else {}
        for spec in self.recipe.specs():
            is_data = data is not None and any(spec is s for s in data.nested())
            available = HOST_FACTS if is_data else {**of_data, **HOST_FACTS}
            for param in spec.missing:
                if param.name in available:
                    self._take_fact(spec, param, available[param.name], "fit" if param.name in HOST_FACTS else "data")
                # Without data its facts are not known (a search takes the data of its run); but they are plain values.
                elif data is not None or param.component() or isinstance(param.type, RunType):
                    self._missing(spec, param, available)

    def report_lacking(self) -> None:
        """Reports what other data could give; called when it is known which components fit the data."""
        for spec, _, problem in self._lacking:
            if spec.key.partition(".")[0] not in self.misfits:
                self.problems.append(problem)

    def _facts_of(self, data: Spec) -> dict[str, Type]:
        inner = self._facts_of(data.base) if data.base is not None else {}
        return {**inner, **facts(self.info(data))}

    def _take_fact(self, spec: Spec, param: Param, fact: Type, source: str) -> None:
        if not assignable(fact, param.type):
            name = spec.component.name
            whose = f"fit.{param.name}" if source == "fit" else f"the data's fact {param.name}"
            message = f"{name} takes {param.type}, but {whose} is {fact}"
            self.report(spec, f"{spec.key}.{param.name}", message, "give the parameter in the recipe")
        self.binding.facts.append(BoundFact(spec, param.name, source))

    def _missing(self, spec: Spec, param: Param, available: dict[str, Type]) -> None:
        key = f"{spec.key}.{param.name}"
        option = spec.key == "search" and not spec.mark.line  # of `rk search NAME`, not of a recipe
        hint = f"give --{param.name.replace('_', '-')}" if option else f"give {key}"
        if (inner := param.component()) is not None and (names := [c.name for c in self.catalog.of_kind(inner.kind)]):
            hint += f", one of {', '.join(names[:6])}" + (", ..." if len(names) > 6 else "")
        other = [] if option or spec is self.recipe.data else self._data_with(param.name)
        if not option and spec is not self.recipe.data and self.recipe.data is not None:
            data = self.recipe.data.component.name
            if (close := nearest(param.name, available)) is not None:
                hint += f"; the data {data} gives {close}, not {param.name}"
            elif other:
                hint += f", or take data that gives it: {', '.join(other[:6])}"
        problem = Problem(spec.mark, key, missing(param), hint)
        if other:
            self._lacking.append((spec, param, problem))
        else:
            self.problems.append(problem)

    def _data_with(self, fact: str) -> list[str]:
        """Returns the installed data that have a fact of this name."""
        return [c.name for c in self.catalog.of_kind("data") if self._has_fact(c, fact)]

    def _has_fact(self, data: Component, fact: str) -> bool:
        try:
            return fact in facts(self.catalog.info(data))
        except UserError:  # some other plugin's mistake
            return False
