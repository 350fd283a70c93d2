"""The way from noise to a class as a figure, drawn with matplotlib's object API: no pyplot, so no global state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from rk.protocols import Outputs

INK, QUIET = "#1f2933", "#7b8794"
MOST_EXAMPLES = 3
ROW = 2.4
"""Inches per example."""
NAMED = 20
"""With more numbers than this, a state's rows are not numbered."""


def draw_paths(inputs: Tensor, outputs: Outputs, shape: Sequence[int], out: Path) -> Path:
    """Draws, for up to 3 examples, the input, the states z_0 ... z_T and what the blocks guessed on the way.

    Args:
        inputs: (batch, *x_shape); inputs that are not images are left out.
        outputs: `path` and `guesses`.
        shape: Shape of a label embedding: states that are images are drawn as images.
        out: The data's figure; this one has ``-path`` behind its stem.

    Returns:
        The file.
    """
    count = min(MOST_EXAMPLES, len(outputs["path"]))
    height = ROW * count + 0.9
    figure = Figure(figsize=(10, height))  # laid out by hand: the solver takes longer than the drawing
    FigureCanvasAgg(figure)
    margins = {"left": 0.01, "right": 0.99, "bottom": 0.5 / height, "top": 1 - 0.4 / height}
    rows = figure.subplots(count, 3, squeeze=False, width_ratios=[1, 2.2, 2.2])
    figure.subplots_adjust(**margins, wspace=0.2, hspace=0.25)
    for i, (picture, states, guesses) in enumerate(rows):
        first, last = i == 0, i == count - 1
        _draw_input(picture, inputs[i].cpu().float())
        _draw_states(states, outputs["path"][i].cpu().float(), shape, first, last)
        _draw_guesses(guesses, outputs["guesses"][i].cpu().float(), first, last)
    path = out.with_name(f"{out.stem}-path{out.suffix if out.suffix in ('.png', '.svg', '.pdf') else '.png'}")
    figure.savefig(path, dpi=110)
    return path


def _draw_input(panel: Axes, x: Tensor) -> None:
    panel.set_axis_off()
    if x.ndim == 3 and len(x) in (1, 3):
        x = x.movedim(0, -1).squeeze(-1)
    if x.ndim == 2 or (x.ndim == 3 and x.shape[-1] == 3):
        panel.imshow(x.clamp(0, 1).numpy(), cmap="gray_r", vmin=0, vmax=1)


def _draw_states(panel: Axes, path: Tensor, shape: Sequence[int], first: bool, last: bool) -> None:
    if len(shape) == 3:
        panel.imshow(_film(path, shape), cmap="gray_r", vmin=0, vmax=1)
        panel.set_axis_off()
    else:
        reach = float(path.abs().max())
        panel.imshow(path.T.numpy(), cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto", interpolation="nearest")
        panel.set_xlabel("state" if last else "", color=QUIET)
        panel.set_ylabel("dimension of $z$", color=QUIET)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.set_yticks(range(path.shape[1]) if path.shape[1] <= NAMED else [])
        panel.tick_params(colors=QUIET, labelsize=8)
    if first:
        panel.set_title("from noise $z_0$ to the label $z_T$", color=INK, fontsize=10)


def _film(path: Tensor, shape: Sequence[int]) -> np.ndarray:
    """Returns states that are images side by side, six in a row."""
    frames = path.view(len(path), *shape).movedim(1, -1).clamp(0, 1).numpy()
    columns = 6
    missing = -len(frames) % columns
    frames = np.concatenate([frames, np.ones((missing, *frames.shape[1:]), frames.dtype)])
    bands = [np.concatenate(list(frames[i : i + columns]), axis=1) for i in range(0, len(frames), columns)]
    return np.concatenate(bands).squeeze()


def _draw_guesses(panel: Axes, guesses: Tensor, first: bool, last: bool) -> None:
    panel.imshow(guesses.T.numpy(), cmap="Greys", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    panel.set_xticks(range(len(guesses)), [str(i + 1) for i in range(len(guesses))])
    panel.set_yticks(range(guesses.shape[1]) if guesses.shape[1] <= NAMED else [])
    panel.set_xlabel("step" if last else "", color=QUIET)
    panel.set_ylabel("class", color=QUIET)
    panel.tick_params(colors=QUIET, labelsize=8)
    if first:
        panel.set_title("what each step guesses", color=INK, fontsize=10)
