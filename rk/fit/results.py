"""Results: numbers about a whole run that its components give at its end; and which way of a number is better."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rk.blame import who
from rk.capabilities import SupportsResults, supports
from rk.errors import RunFailed
from rk.fit.evaluate import higher_is_better
from rk.fit.returns import check_numbers
from rk.recipe.sections import OF_RUN
from rk.values import Part


def results_of(component: Part, taken: Mapping[str, float]) -> dict[str, float]:
    """Returns what ``results()`` of a trainer, search or callback gives, named ``run/NAME``; {} if it has no such
    method.

    Args:
        component: The component.
        taken: The numbers that there are already.

    Raises:
        RunFailed: When it gives anything but numbers, or a name that another component has given.
    """
    if not supports(component, SupportsResults):
        return {}
    found = check_numbers(component, component.results(), "results")
    found = {f"{OF_RUN}{name}": value for name, value in found.items()}
    if twice := found.keys() & taken.keys():
        raise RunFailed(f"{who(component)}: results() returned {min(twice)}, which another component has given")
    return found


def directions(metrics: Mapping[str, Part], components: Iterable[Part]) -> dict[str, bool]:
    """Returns, by the names of metrics and results, whether more is better."""
    found = {"loss": False, **{name: higher_is_better(metric) for name, metric in metrics.items()}}
    for component in components:
        found |= dict.fromkeys(getattr(component, "lower_is_better", ()), False)
    return found
