"""Figures of sudokus over the steps of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from rk.charts import chart, save
from rk_rrn.solver import Grid, digits_of, masks_of, solve

MOST_SUDOKUS = 4
MOST_STEPS = 6
INK, RIGHT, WRONG, LINE = "#1f2933", "#0b6fb8", "#c2410c", "#9aa5b1"


def draw_steps(
    givens: Int[Tensor, "sudokus cells"],
    step_logits: Float[Tensor, "sudokus steps cells classes"],
    grid: Grid,
    out: Path,
) -> Path:
    """Draws a row of grids for each sudoku: what the network would fill in after some of its steps.

    Givens are bold. A digit is the fainter, the less probable it is; it is red where the solution has another one.

    Args:
        givens: (sudokus, cells), 0 where a cell is empty; the first four are drawn.
        step_logits: (sudokus, steps, cells, n + 1).
        grid: The kind of sudoku.
        out: The image; a name without the ending of an image gets .png.
    """
    count = min(len(givens), MOST_SUDOKUS)
    shown = chosen_steps(step_logits.shape[1])
    best = step_logits[:count, :, :, 1:].float().softmax(-1).max(-1)
    digits, sure = best.indices.numpy() + 1, best.values.numpy()
    quizzes = givens[:count].numpy().astype(np.uint8)
    found = solve(masks_of(quizzes, grid), grid, limit=2)
    size = 0.27 * grid.n
    with chart(size * len(shown), size * count + 0.3, count, len(shown)) as (figure, *axes):
        for row in range(count):
            solution = digits_of(found[row][0]) if len(found[row]) == 1 else None
            for column, step in enumerate(shown):
                axis = axes[row * len(shown) + column]
                _draw_grid(axis, grid)
                wrong = 0
                for cell in range(grid.cells):
                    given = quizzes[row, cell]
                    digit = given or digits[row, step - 1, cell]
                    right = solution is None or digit == solution[cell]
                    wrong += not right
                    style: dict[str, Any] = {"color": INK, "weight": "bold"}
                    if not given:
                        # from 1/n, which is a guess, to certain
                        strength = max(0.12, (sure[row, step - 1, cell] - 1 / grid.n) / (1 - 1 / grid.n))
                        style = {"color": RIGHT if right else WRONG, "alpha": min(1.0, float(strength))}
                    across, down = cell % grid.n + 0.5, cell // grid.n + 0.53
                    axis.text(across, down, str(digit), ha="center", va="center", fontsize=10, **style)
                verdict = "" if solution is None else f", {wrong} wrong" if wrong else ", solved"
                axis.set_title(f"step {step}{verdict}", fontsize=8)
        return save(figure, out)


def chosen_steps(num_steps: int) -> list[int]:
    """Returns at most six steps, from 1: the first, the last, and between them with growing distance."""
    if num_steps <= MOST_STEPS:
        return list(range(1, num_steps + 1))
    return sorted({round(step) for step in np.geomspace(1, num_steps, MOST_STEPS)})


def _draw_grid(axis: Any, grid: Grid) -> None:
    n = grid.n
    axis.set(xlim=(-0.05, n + 0.05), ylim=(n + 0.05, -0.05), aspect="equal")
    axis.set_axis_off()
    for i in range(n + 1):
        for every, ends in ((grid.box_rows, ([0, n], [i, i])), (grid.box_cols, ([i, i], [0, n]))):
            bold = i % every == 0
            axis.plot(*ends, color=INK if bold else LINE, linewidth=1.1 if bold else 0.4)
