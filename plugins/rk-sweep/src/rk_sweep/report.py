"""The files that a sweep writes after each trial: a table, a figure, and the best recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rk.charts import COLORS, chart, plain, save
from rk.writing import write_atomic, write_csv
from rk_sweep.trial import Trial

Scored = tuple[Trial, float]
"""A trial that did not fail, and its score."""
PANELS = 5
"""Most keys that have a panel in the figure."""


def write_report(out: Path, recipe: str, metric: str, done: Sequence[Trial], higher: bool) -> Trial | None:
    """Writes ``trials.csv``, ``trials.png`` and ``best.yaml`` into `out`.

    Args:
        out: The folder.
        recipe: The swept recipe.
        metric: What is compared.
        done: The trials so far, at least one.
        higher: Whether more of the metric is better.

    Returns:
        The best trial; None where all have failed.
    """
    keys = list(done[0].values)
    rows = (
        [t.number, *(json.dumps(t.values[k]) for k in keys), t.score, " ".join(f"{s:.6g}" for s in t.scores), t.failure]
        for t in done
    )
    write_csv(out / "trials.csv", ("trial", *keys, metric, "seeds", "failure"), rows)
    scored = [(trial, score) for trial in done if (score := trial.score) is not None]
    if not scored:
        return None
    best, reached = (max if higher else min)(scored, key=lambda one: one[1])
    _draw(out / "trials.png", metric, scored, keys, best, higher)
    about = f"# The best of {len(done)} trials by {metric}, {reached:.4g}.\n"
    write_atomic(out / "best.yaml", about + best_recipe(recipe, best.values))
    return best


def best_recipe(recipe: str, values: Mapping[str, Any]) -> str:
    """Returns the text of a recipe that extends another one: dotted keys become mappings."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *above, last = key.split(".")
        inner = tree
        for name in above:
            inner = inner.setdefault(name, {})
        inner[last] = value
    base = str(Path(recipe).resolve()) if recipe.endswith((".yaml", ".yml")) else recipe
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in tree.items()]
    return "\n".join(["rk: 1", f"extends: {json.dumps(base, ensure_ascii=False)}", *lines]) + "\n"


def _draw(path: Path, metric: str, scored: Sequence[Scored], keys: Sequence[str], best: Trial, higher: bool) -> None:
    """Draws the scores by trial, with the best so far, and against the values of each key."""
    from matplotlib.ticker import MaxNLocator

    shown = keys[:PANELS]
    with chart(3.0 * (1 + len(shown)), 2.8, columns=1 + len(shown), sharey=True) as (figure, first, *others):
        numbers, scores = [trial.number for trial, _ in scored], [score for _, score in scored]
        so_far = [(max if higher else min)(scores[: i + 1]) for i in range(len(scores))]
        first.plot(numbers, scores, "o", color=COLORS[0], markersize=4)
        first.step(numbers, so_far, where="post", color=COLORS[1], linewidth=1.4)
        first.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        first.set_xlabel("trial")
        first.set_ylabel(plain(metric))
        for key, axis in zip(shown, others, strict=True):
            _draw_key(axis, key, scored, best)
        save(figure, path)


def _draw_key(axis: Any, key: str, scored: Sequence[Scored], best: Trial) -> None:
    """Draws the scores against the values of one key: numbers to scale, other values side by side."""
    from matplotlib.ticker import MaxNLocator

    values = [trial.values[key] for trial, _ in scored]
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        places: list[Any] = values
        if min(values) > 0 and max(values) / min(values) > 20:
            axis.set_xscale("log")
        else:
            axis.xaxis.set_major_locator(MaxNLocator(4, integer=all(isinstance(v, int) for v in values)))
    else:
        labels = list(dict.fromkeys(map(json.dumps, values)))
        places = [labels.index(json.dumps(v)) for v in values]
        axis.set_xticks(range(len(labels)), [plain(label[:14]) for label in labels])
    axis.plot(places, [score for _, score in scored], "o", color=COLORS[0], markersize=4)
    at = next(i for i, (trial, _) in enumerate(scored) if trial is best)
    axis.plot(places[at], scored[at][1], "o", color=COLORS[1], markersize=6)
    axis.set_xlabel(plain(key))
