"""Matrices of three by three panels: rules along the rows, and the values that follow them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Target = Literal["constant_color", "correctness", "all_patterns"]

RULES = ("constant", "progression", "arithmetic", "distribute-three")
COLORS, SIDES, NUMBERS = 10, 5, 4
"""Colours 0 (light) to 9 (dark); shapes of 3 to 7 sides; 1 to 4 shapes in a grid."""
LAYOUTS = ("one", "grid", "left-right", "up-down", "in-out")
WEIGHTS = (0.2, 0.35, 0.15, 0.15, 0.15)
"""How frequent each layout is. Of the paper's two grids there is one."""
ATTRIBUTES = ("number", "sides", "color")
NUM_PATTERNS = 2 + 2 * len(ATTRIBUTES) * len(RULES)


@dataclass(frozen=True)
class Component:
    """One of the one or two parts of a matrix: its rules, and its values in each panel.

    Attributes:
        rules: Attribute -> rule. Only a grid has a rule for `number`.
        number: (3, 3), shapes in the panel.
        sides: (3, 3), from 0.
        color: (3, 3), from 0.
        turn: Angle of its shapes, in radians.
    """

    rules: dict[str, str]
    number: Any
    sides: Any
    color: Any
    turn: float


@dataclass(frozen=True)
class Matrix:
    """A matrix.

    Attributes:
        layout: One of `LAYOUTS`.
        components: One, or two in the layouts with two parts.
        correct: Whether the last panel follows the rules.
        background: Grey of the background, from 0 to 255.
    """

    layout: str
    components: tuple[Component, ...]
    correct: bool
    background: int


def draw_matrix(random: np.random.Generator, target: Target) -> Matrix:
    """Draws a matrix. Both classes of a target of two classes are equally frequent.

    Args:
        random: What is drawn with.
        target: What is asked. Only `correctness` and `all_patterns` have matrices with a wrong last panel.
    """
    wanted = bool(random.integers(2))
    while True:
        layout = str(random.choice(LAYOUTS, p=WEIGHTS))
        components = tuple(_component(random, layout) for _ in range(1 if layout in ("one", "grid") else 2))
        if target != "constant_color" or wanted == is_constant(components):
            break
    correct = target == "constant_color" or wanted
    if not correct:
        chosen = int(random.integers(len(components)))
        wrong = _spoiled(random, components[chosen])
        components = tuple(wrong if i == chosen else one for i, one in enumerate(components))
    return Matrix(layout, components, correct, 28 * int(random.integers(1, 9)))


def is_constant(components: tuple[Component, ...]) -> bool:
    """Whether the colour of any component is constant in each row: the paper's target."""
    return any(one.rules["color"] == "constant" for one in components)


def classes(matrix: Matrix, target: Target) -> int | list[int]:
    """Returns the class of a matrix; for `all_patterns` 26 times 0 or 1.

    These are: correct, two components, and for each of two components, attribute and rule whether it holds.
    """
    if target == "constant_color":
        return int(is_constant(matrix.components))
    if target == "correctness":
        return int(matrix.correct)
    found = [int(matrix.correct), int(len(matrix.components) == 2)]
    for i in range(2):
        rules = matrix.components[i].rules if i < len(matrix.components) else {}
        found += [int(rules.get(attribute) == rule) for attribute in ATTRIBUTES for rule in RULES]
    return found


def table(random: np.random.Generator, rule: str, count: int) -> Any:
    """Returns values from 0 to `count` - 1 that follow a rule along each row, (3, 3).

    `constant`: a value per row. `progression`: plus the same step, in all rows. `arithmetic`: the third value plus one
    is the sum of the other two plus one each, or their difference. `distribute-three`: the same three values in each
    row, in another order.
    """
    if rule == "constant":
        return np.repeat(random.integers(count, size=(3, 1)), 3, axis=1)
    if rule == "progression":
        step = int(random.choice([s for s in (-2, -1, 1, 2) if 2 * abs(s) < count]))
        low = max(0, -2 * step)
        starts = random.integers(low, min(count, count - 2 * step), size=(3, 1))
        return starts + step * np.arange(3)
    if rule == "arithmetic":
        rows = []
        add = bool(random.integers(2))
        for _ in range(3):
            total = int(random.integers(2, count + 1))
            one = int(random.integers(1, total))
            rows.append((one, total - one, total) if add else (total, one, total - one))
        return np.array(rows) - 1
    values = random.permutation(count)[:3]
    step = int(random.choice([1, 2]))
    return np.stack([np.roll(values, row * step) for row in range(3)])


def _component(random: np.random.Generator, layout: str) -> Component:
    rules = {"sides": str(random.choice([RULES[0], RULES[1], RULES[3]])), "color": str(random.choice(RULES))}
    number = np.ones((3, 3), dtype=np.int64)
    if layout == "grid":
        rules["number"] = str(random.choice(RULES))
        number = 1 + table(random, rules["number"], NUMBERS)
    sides = table(random, rules["sides"], SIDES)
    return Component(rules, number, sides, table(random, rules["color"], COLORS), float(random.random() * 2 * np.pi))


def _spoiled(random: np.random.Generator, component: Component) -> Component:
    """Returns a component whose last panel has another value of one attribute."""
    name, count = (("sides", SIDES), ("color", COLORS))[int(random.integers(2))]
    values = getattr(component, name).copy()
    values[2, 2] = (values[2, 2] + random.integers(1, count)) % count
    return Component(**{**vars(component), name: values})
