"""The results of a search as tables: for people, as text; for programs, as JSON."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path as FilePath
from typing import Any, Protocol

from rk.jsontext import finite, to_json
from rk.writing import write_atomic
from rk_cola.controls import Controls
from rk_cola.paths import layer_entropy, pareto, path_text
from rk_cola.sample import Sample, best_of, by_level
from rk_cola.subject import Subject


class Searched(Protocol):
    """The members of a search that tables report: `rk_cola.search.Cola`."""

    subject: Subject
    num_simulations: int
    samples: list[Sample]
    found: Controls | None
    seconds: float
    evaluated_here: int

    @property
    def method(self) -> str: ...

    @property
    def space(self) -> str: ...

    @property
    def ops(self) -> str: ...

    @property
    def evaluated(self) -> int: ...

    def pass_at(self, samples: list[Sample]) -> list[float]: ...

    def wrong_pass_at(self, samples: list[Sample]) -> list[float]: ...


Row = tuple[str, list[str]]


def write(search: Searched, folder: FilePath) -> str:
    """Writes ``samples.jsonl``, ``summary.json``, ``summary.md`` and figures; returns the summary as text."""
    from rk_cola.drawing import draw  # matplotlib: loaded only to draw

    samples = [s for s in search.samples if s.search.paths]
    lines = [to_json(sample_record(s)) for s in samples]
    write_atomic(folder / "samples.jsonl", "\n".join(lines) + "\n")
    text = summary_text(search, samples)
    write_atomic(folder / "summary.md", text)
    write_atomic(folder / "summary.json", to_json(summary_record(search, samples), indent=2) + "\n")
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    draw(samples, search.subject.depth, figures)
    return text


def sample_record(sample: Sample) -> dict[str, Any]:
    """Returns one question's line of ``samples.jsonl``; every path that was tried is in ``evaluations.jsonl``."""
    path_search = sample.search
    tried = list(zip(path_search.paths, path_search.findings, strict=True))
    return {
        "id": sample.number,
        "level": sample.question.level,
        "prompt": sample.question.prompt,
        "answer": sample.question.answer,
        "base_correct": path_search.base,
        "n_evals": len(tried),
        "paths": [
            {"path": path_text(p), "len": len(p), "unique": len(set(p)), "valid": True, "score": f.score}
            for p, f in sorted(tried, key=lambda one: (len(one[0]), one[0]))
            if f.valid
        ],
        "pareto": [
            {"path": path_text(p), "len": len(p), "valid": valid} for p, valid in pareto((p, f.valid) for p, f in tried)
        ],
        "control_found": None if sample.control is None else bool(sample.control.valid),
    }


def summary_record(search: Searched, samples: Sequence[Sample]) -> dict[str, Any]:
    """Returns the numbers of the summary, for all questions and for each level."""
    depth = search.subject.depth
    return {
        "model": search.subject.reference.plain(),
        "depth": depth,
        "method": search.method,
        "num_simulations": search.num_simulations,
        "questions": len(samples),
        "paths_tried": _tried(samples),
        "evaluations": search.evaluated,
        "seconds_since_resumed": round(search.seconds, 1),
        "all": numbers_of(search, samples),
        "levels": {level: numbers_of(search, group) for level, group in by_level(samples).items()},
        "depths": _depths(samples, depth),
        **({} if search.found is None else {"fixed_path": path_text(search.found.fixed)}),
    }


def numbers_of(search: Searched, samples: Sequence[Sample]) -> dict[str, float | int | None]:
    """Returns the counts and shares of point: base, oracle, control, and what `--controls` adds."""
    right = [s for s in samples if s.search.base]
    wrong = [s for s in samples if not s.search.base]
    depth = search.subject.depth
    controls = [(s, s.control) for s in samples if s.control is not None and s.control.paths]
    n = len(samples)
    numbers: dict[str, float | int | None] = {
        "questions": n,
        "base": len(right) / n,
        "oracle": sum(bool(s.search.valid) for s in samples) / n,
        "right": len(right),
        "right_shorter": sum(len(best) < depth for best in best_of(s.search for s in right)),
        "wrong": len(wrong),
        "wrong_fixed": sum(bool(s.search.valid) for s in wrong),
        "wrong_fixed_shorter": sum(len(best) < depth for best in best_of(s.search for s in wrong)),
        "control": _share([bool(control.valid) for _, control in controls]),
        "control_of_wrong": _share([bool(control.valid) for s, control in controls if not s.search.base]),
        "pass_at_n": _mean(search.pass_at(list(samples))),
        "pass_at_n_control": _mean(search.wrong_pass_at([s for s, _ in controls])),
    }
    found = search.found
    if found is not None:
        place = {s.number: i for i, s in enumerate(search.samples)}
        held = [s for s in samples if found.held_out[place[s.number]]]
        numbers |= {
            "held_out": len(held),
            "held_out_base": _share([s.search.base for s in held]),
            "held_out_oracle": _share([bool(s.search.valid) for s in held]),
            "fixed_path": _share([found.fixed_correct[s.number] for s in held]),
            "vote": _share([found.vote_correct[s.number] for s in held]),
        }
    return finite(numbers)


def _depths(samples: Sequence[Sample], depth: int) -> dict[str, dict[str, float | int | None]]:
    """Returns statistics of the shortest valid path of each question: of those right before, and of those fixed."""
    found = {
        "right before": best_of(s.search for s in samples if s.search.base),
        "fixed": best_of(s.search for s in samples if not s.search.base),
    }
    valid = sorted(len(p) for s in samples for p in s.search.valid)
    twentieth = valid[: max(1, len(valid) // 20)]
    result: dict[str, dict[str, float | int | None]] = {}
    for name, paths in found.items():
        lengths = sorted(map(len, paths))
        result[name] = {
            "paths": len(paths),
            "mean_length": finite(_mean(lengths)),
            "shortest": lengths[0] if lengths else None,
            "longest": lengths[-1] if lengths else None,
            "layer_entropy": finite(layer_entropy(paths)),
        }
    result["all valid"] = {
        "paths": len(valid),
        "mean_length": finite(_mean(valid)),
        "shortest": valid[0] if valid else None,
        "longest": valid[-1] if valid else None,
        "shortest_5_percent_to": twentieth[-1] if twentieth and valid else None,
        "full_entropy": math.log(depth),
    }
    return result


def summary_text(search: Searched, samples: Sequence[Sample]) -> str:
    """Returns the summary as Markdown that reads as plain text."""
    levels = by_level(samples)
    groups = {"all": samples, **(levels if len(levels) > 1 else {})}
    numbers = {name: numbers_of(search, group) for name, group in groups.items()}
    reference, depth = search.subject.reference, search.subject.depth

    def cells(text: Callable[[dict[str, Any]], str]) -> list[str]:
        return [text(one) for one in numbers.values()]

    rows: list[Row] = [
        ("questions", cells(lambda v: str(v["questions"]))),
        ("base: the unmodified model", cells(lambda v: _percent(v["base"]))),
        (f"oracle: any of {_paths(search.num_simulations)}", cells(lambda v: _percent(v["oracle"]))),
        ("control: the same, to a wrong answer", cells(lambda v: _percent(v["control"]))),
        ("right before, shorter now", cells(lambda v: _of(v["right_shorter"], v["right"]))),
        ("wrong before, right now", cells(lambda v: _of(v["wrong_fixed"], v["wrong"]))),
        ("... by a shorter path", cells(lambda v: _of(v["wrong_fixed_shorter"], v["wrong"]))),
        ("... control: to a wrong answer", cells(lambda v: _percent(v["control_of_wrong"]))),
        (f"pass@{search.num_simulations}: {_sampled(samples)}", cells(lambda v: _percent(v["pass_at_n"]))),
        ("... control: of the wrong answer", cells(lambda v: _percent(v["pass_at_n_control"]))),
    ]
    if search.found is not None:
        rows += [
            ("held-out half: base", cells(lambda v: _percent(v["held_out_base"]))),
            ("held-out half: best fixed path", cells(lambda v: _percent(v["fixed_path"]))),
            (f"held-out half: vote of {_paths(len(search.found.vote))}", cells(lambda v: _percent(v["vote"]))),
        ]
    notice = (
        f"RANDOM WEIGHTS: these numbers are of the mechanics, not of {reference.asked}.\n\n" if reference.random else ""
    )
    what = f"{reference.asked}, {depth} layers, {search.method} in the space of {search.space}, {search.ops}"
    rate = f", {search.evaluated_here / search.seconds:.1f} evaluations/s" if search.seconds else ""
    text = f"{notice}{what}: {_paths(_tried(samples))} tried, {search.evaluated} evaluated{rate}\n\n"
    text += _table(["", *groups], rows)
    text += "\nPaths by length (layers, of the shortest valid path of each question):\n\n" + _depth_table(
        samples, depth
    )
    if search.found is not None:
        text += f"\nBest fixed path: {path_text(search.found.fixed)}\n"
    return (
        text
        + "\nThe oracle knows the answer. What it is worth shows against the control, which is led to a wrong one, and "
        + "against pass@N, which needs no search.\n"
    )


def _depth_table(samples: Sequence[Sample], depth: int) -> str:
    rows: list[Row] = []
    for name, one in _depths(samples, depth).items():
        entropy = one.get("layer_entropy")
        span = "-" if one["shortest"] is None else f"{one['shortest']} to {one['longest']}"
        rows.append(
            (
                name,
                [
                    str(one["paths"]),
                    "-" if one["mean_length"] is None else f"{one['mean_length']:.1f}",
                    span,
                    "-" if entropy is None else f"{entropy:.2f}",
                ],
            )
        )
    return _table(["", "paths", "mean", "range", f"entropy (full: {math.log(depth):.2f})"], rows)


def _table(head: list[str], rows: list[Row]) -> str:
    """Returns a Markdown table whose columns are aligned."""
    lines = [head, *([name, *cells] for name, cells in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    shown = [
        "| " + " | ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))) + " |"
        for line in lines
    ]
    rule = "| " + " | ".join("-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)) + " |"
    return "\n".join([shown[0], rule, *shown[1:]]) + "\n"


def _sampled(samples: Sequence[Sample]) -> str:
    """Returns the note on pass@N: draws of whole answers, or of one of the options."""
    choices = sum(bool(s.question.options) for s in samples)
    draws = "draws by the options' softmax" if choices else "as many samples"
    return draws if choices in (0, len(samples)) else "as many samples, or draws of options"


def _paths(n: int) -> str:
    return f"{n} path" if n == 1 else f"{n} paths"


def _tried(samples: Sequence[Sample]) -> int:
    """Returns how many paths all searches have tried, those of the control too."""
    return sum(len(path_search.paths) for sample in samples for path_search in sample.searches)


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else math.nan


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else math.nan


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}" if value in (0, 1) else f"{100 * value:.1f}%"


def _of(part: int, whole: int) -> str:
    return f"{part} of {whole}"
