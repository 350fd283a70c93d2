"""The paper's figures: what becomes of the questions, how deep valid paths are, which layers they use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path as FilePath

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from rk_lm.layered import Path

from rk_cola.sample import Sample, best_of, by_level

INK = {"kept": "#9aa5b1", "shorter": "#2f6db3", "fixed": "#2e9e6b", "fixed shorter": "#146c46", "wrong": "#e3e6ea"}


def draw(samples: Sequence[Sample], depth: int, folder: FilePath) -> list[FilePath]:
    """Draws the figures of a search into `folder` and returns their files."""
    return [
        _outcomes(samples, depth, folder / "outcomes.png"),
        _lengths(samples, depth, folder / "lengths.png"),
        _use(samples, depth, folder / "layer-use.png"),
    ]


def outcome(sample: Sample, depth: int) -> str:
    """Returns what the search has made of a question: a key of `INK`."""
    best = sample.search.best
    if best is None:
        return "wrong"
    shorter = len(best) < depth
    if sample.search.base:
        return "shorter" if shorter else "kept"
    return "fixed shorter" if shorter else "fixed"


def _outcomes(samples: Sequence[Sample], depth: int, file: FilePath) -> FilePath:
    """Stacked shares of what became of the questions, by level, beside what the control reached."""
    levels = by_level(samples)
    groups = [("all", samples), *(levels.items() if len(levels) > 1 else ())]
    figure, axes = plt.subplots(figsize=(1.2 + 1.05 * len(groups), 3.4), layout="constrained")
    for place, (_, group) in enumerate(groups):
        found = Counter(outcome(s, depth) for s in group)
        bottom = 0.0
        for name, colour in INK.items():
            share = found[name] / len(group)
            axes.bar(place - 0.16, share, 0.4, bottom=bottom, color=colour, label=_NAMES[name] if not place else None)
            bottom += share
        tried = [s for s in group if s.control is not None]
        if tried:
            hit = sum(bool(s.control.valid) for s in tried) / len(tried)
            axes.bar(
                place + 0.22, hit, 0.22, color="#d9822b", label=None if place else "control: a wrong answer reached"
            )
    axes.set_xticks(range(len(groups)), [name for name, _ in groups])
    axes.set_ylabel("share of questions")
    axes.set_ylim(0, 1)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, fontsize=7, frameon=False)
    return _save(figure, file)


_NAMES = {
    "kept": "right, no shorter path",
    "shorter": "right, by a shorter path",
    "fixed": "fixed",
    "fixed shorter": "fixed by a shorter path",
    "wrong": "never right",
}


def _lengths(samples: Sequence[Sample], depth: int, file: FilePath) -> FilePath:
    """Lengths of the shortest valid path of each question."""
    figure, axes = plt.subplots(figsize=(5.2, 2.8), layout="constrained")
    right = [len(best) for best in best_of(s.search for s in samples if s.search.base)]
    fixed = [len(best) for best in best_of(s.search for s in samples if not s.search.base)]
    lengths = [*right, *fixed, depth]
    bins = [x - 0.5 for x in range(min(lengths), max(lengths) + 2)]
    axes.hist(
        [right, fixed], bins=bins, stacked=True, color=[INK["shorter"], INK["fixed"]], label=["right before", "fixed"]
    )
    axes.axvline(depth, color="black", linewidth=0.8, linestyle=":")
    axes.annotate("the model", (depth, axes.get_ylim()[1]), ha="center", va="bottom", fontsize=7)
    axes.set_xlabel("layers on the shortest valid path")
    axes.set_ylabel("questions")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return _save(figure, file)


def _use(samples: Sequence[Sample], depth: int, file: FilePath) -> FilePath:
    """A map of how often the shortest valid paths use each layer: below 1 it is skipped, above it is repeated."""
    rows: list[tuple[str, list[Path]]] = [
        ("right before", best_of(s.search for s in samples if s.search.base)),
        ("fixed", best_of(s.search for s in samples if not s.search.base)),
        ("control", best_of(s.control for s in samples if s.control is not None)),
    ]
    rows = [(f"{name} ({len(paths)})", paths) for name, paths in rows if paths]
    figure, axes = plt.subplots(figsize=(6.4, 0.9 + 0.42 * max(1, len(rows))), layout="constrained")
    use = [[sum(p.count(layer) for p in paths) / len(paths) for layer in range(depth)] for _, paths in rows]
    picture = axes.imshow(use or [[1.0] * depth], cmap="RdBu", vmin=0, vmax=2, aspect="auto")
    axes.set_yticks(range(max(1, len(rows))), [name for name, _ in rows] or ["no valid path"])
    axes.set_xlabel("layer")
    figure.colorbar(picture, ax=axes, label="uses per path", ticks=[0, 1, 2])
    return _save(figure, file)


def _save(figure: Figure, file: FilePath) -> FilePath:
    figure.savefig(file, dpi=110)
    plt.close(figure)
    return file
