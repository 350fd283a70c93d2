"""`requires`: the plugins that a recipe needs. If one is missing, only the install command is shown."""

from __future__ import annotations

from rk.compatibility import Requirement, normalized, parse_requirement
from rk.errors import Problem
from rk.plugins import DISABLE_VARIABLE, Plugin, Plugins
from rk.reads import note
from rk.recipe.tree import Mapping, Scalar, Sequence


def unmet(tree: Mapping, plugins: Plugins) -> list[Problem]:
    """Returns what is wrong with the plugins that the recipe `tree` requires.

    Anything but a list of strings is left to the reader of sections, which reports it.
    """
    listed = tree.items.get("requires")
    if not isinstance(listed, Sequence):
        return []
    note(installed=True)
    problems = []
    for number, node in enumerate(listed.items):
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            continue
        key = f"requires.{number}"
        try:
            requirement = parse_requirement(node.value)
        except ValueError:
            hint = "a distribution, with versions or without: rk-pointer-net>=0.1"
            problems.append(Problem(node.mark, key, f"{node.value!r} is not a requirement", hint))
            continue
        if (said := _lacking(requirement, plugins)) is not None:
            problems.append(Problem(node.mark, key, *said))
    return problems


def _lacking(requirement: Requirement, plugins: Plugins) -> tuple[str, str] | None:
    """Returns the message and the hint for a requirement that is not met."""
    name = normalized(requirement.name)
    found: Plugin | None = next((p for p in plugins if normalized(p.distribution) == name), None)
    install = f"pip install {requirement.name}" if not requirement.range else f"pip install '{requirement}'"
    if found is None:
        return f"{requirement.name} is not installed", install
    if found.disabled:
        return f"{requirement.name} is disabled", f"by {DISABLE_VARIABLE} or --no-plugins"
    if found.state == "failed":
        return f"{requirement.name} is installed but not loaded: {found.errors[0]}", "see rk plugins doctor"
    try:
        met = requirement.allows(found.version)
    except ValueError:  # an invalid version is accepted
        met = True
    return None if met else (f"the recipe needs {requirement}, installed is {found.version}", install)
