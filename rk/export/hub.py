"""Exporter: a folder in the layout of the Hugging Face hub, which is a run folder too."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from rk.export.markdown import cell, code, fenced, plain
from rk.fit.loaded import LoadedRun
from rk.fit.weights import save_weights
from rk.inside import lies_within, pictures
from rk.jsontext import to_json
from rk.recipe.model import Spec
from rk.report.claims import judge
from rk.report.page import PICTURES
from rk.report.summary import RunSummary
from rk.report.text import duration
from rk.runs import RunFolder

KEPT = (
    "name",
    "status",
    "step",
    "best_step",
    "seconds",
    "facts",
    "parameters",
    "metrics",
    "higher_is_better",
    "versions",
)
"""Of `run.json`: nothing that tells of the machine or of whoever trained it."""
MODEL = "model."
"""Where a supervised learner keeps its model."""


class Hub:
    """Weights, `config.json`, recipe and a model card with the results, ready for `hf upload`.

    `rk eval`, `rk predict` and `rk export` take the folder as a run. Where the learner is one model, the weights have
    the model's own names, and `config.json` says which class takes them, with which arguments.
    """

    def export(self, run: LoadedRun, out: Path) -> list[Path]:
        folder, summary = RunFolder(out), RunSummary(run.folder)
        names = run.learner.state_dict().keys()
        whole = bool(names) and hasattr(run.learner, "model") and all(name.startswith(MODEL) for name in names)
        notes = {"format": "pt", **({"prefix": MODEL} if whole else {})}
        save_weights(run.learner.model if whole else run.learner, folder.model, notes, share=False)
        config = _config(run, summary)
        files = {
            out / "config.json": to_json(config, indent=2) + "\n",
            folder.recipe: run.recipe.to_yaml(),
            out / "run.json": to_json({k: v for k, v in summary.info.items() if k in KEPT}, indent=2) + "\n",
        }
        copied = _copy(run.folder, folder.figures)
        files[out / "README.md"] = _card(run, summary, config, whole, [f"figures/{p.name}" for p in copied])
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
        if lies_within(run.folder.data_state, run.folder.path):
            shutil.copyfile(run.folder.data_state, folder.data_state)
        return sorted(p for p in out.rglob("*") if p in (*files, *copied, folder.model, folder.data_state))


def _copy(run: RunFolder, target: Path) -> list[Path]:
    chosen = pictures(run.path, PICTURES, "test*")
    if chosen:
        target.mkdir(exist_ok=True)
    return [Path(shutil.copyfile(path, target / path.name)) for path in chosen]


def _config(run: LoadedRun, summary: RunSummary) -> dict[str, Any]:
    """Returns what is needed to build the model again: its class, the distribution that has it, all its arguments."""
    config: dict[str, Any] = {"library_name": "recursion-kit", "recipe": summary.name, "facts": summary.info["facts"]}
    if (spec := run.recipe.model) is not None:
        config["architectures"] = [spec.component.target.partition(":")[2]]
        config["class"] = spec.component.target
        config["distribution"] = spec.component.distribution
        config["arguments"] = _arguments(spec, run.facts)
    return config


def _arguments(spec: Spec, facts: Mapping[str, Any]) -> dict[str, Any]:
    filled = {param.name: facts[param.name] for param in spec.missing if param.name in facts}
    plain = spec.plain()
    return {**filled, **({} if isinstance(plain, str) else {k: v for k, v in plain.items() if k != "name"})}


def _card(run: LoadedRun, summary: RunSummary, config: dict[str, Any], whole: bool, figures: list[str]) -> str:
    import yaml
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("rk.export", "."), keep_trailing_newline=True)  # Markdown, not HTML
    environment.filters |= {"plain": plain, "cell": cell, "code": code, "fenced": fenced}
    versions = summary.info.get("versions") or {}
    info = summary.info
    counts = (("steps", summary.step), ("parameters", info.get("parameters")))
    facts = [*(f"{n:,} {what}" for what, n in counts if n is not None), duration(summary.seconds)]
    reason = _why_not_plain(run, whole)
    return environment.get_template("card.md.j2").render(
        front=yaml.safe_dump(_front(run, summary), sort_keys=False, allow_unicode=True),
        name=summary.name,
        about=_about(run),
        paper=run.recipe.paper,
        facts=", ".join(filter(None, facts)),
        judged=judge(summary.metrics, summary.expect),
        figures=figures,
        requirements=[_pin(n, versions) for n in sorted(_distributions(run))],
        plain=None if reason else _snippet(config),
        why_not_plain=reason,
        recipe=run.recipe.to_yaml(),
        environment=", ".join(f"{name} {version}" for name, version in versions.items()),
    )


def _distributions(run: LoadedRun) -> set[str]:
    return {"recursion-kit", *(spec.component.distribution for spec in run.recipe.specs())}


def _pin(distribution: str, versions: Mapping[str, str]) -> str:
    return f"{distribution}=={versions[distribution]}" if distribution in versions else distribution


def _front(run: LoadedRun, summary: RunSummary) -> dict[str, Any]:
    """Returns the metadata of the card, as the hub reads it."""
    task = run.recipe.data.component.name if run.recipe.data else "none"
    splits: dict[str, list[dict[str, Any]]] = {}
    for metric, value in summary.metrics.items():
        split, _, name = metric.partition("/")
        if value is not None and split.startswith("test"):
            splits.setdefault(split, []).append({"type": name, "name": metric, "value": round(value, 6)})
    plugins = {s.component.plugin for s in run.recipe.specs()} - {"rk"}
    paper = [run.recipe.paper.lower()] if run.recipe.paper and run.recipe.paper.startswith("arXiv:") else []
    return {
        "library_name": "recursion-kit",
        "tags": ["rk", "pytorch", "safetensors", *sorted(plugins), *paper],
        "model-index": [
            {
                "name": summary.name,
                "results": [
                    {
                        "task": {"type": "other", "name": task},
                        "dataset": {"type": task, "name": task, "split": split},
                        "metrics": metrics,
                    }
                    for split, metrics in splits.items()
                ],
            }
        ],
    }


def _about(run: LoadedRun) -> str:
    owner = getattr(run.learner, "model", None)
    text = run.recipe.about or (type(owner).__doc__ if owner is not None else "") or ""
    return text.strip().split("\n\n")[0].replace("\n    ", " ")


def _why_not_plain(run: LoadedRun, whole: bool) -> str | None:
    """Returns why the class and the weights are not enough without rk; None when they are."""
    spec = run.recipe.model
    if spec is None or not whole:
        return "What was learned is more than one model: rk puts it together from the recipe."
    if len(list(spec.nested())) > 1:
        return "The model takes other components: rk builds them from the recipe."
    if any(getattr(part, "lazy_buffers", ()) for part in _parts(run.learner)):
        return "Some of its buffers take their size from the file: rk loads them."
    return None


def _parts(module: nn.Module) -> list[nn.Module]:
    return list(module.modules())


def _snippet(config: dict[str, Any]) -> str:
    module, _, cls = config["class"].partition(":")
    return (
        "import json\n"
        "from safetensors.torch import load_file\n"
        f"from {module} import {cls}\n\n"
        'config = json.load(open("config.json"))\n'
        f'model = {cls}(**config["arguments"])\n'
        'model.load_state_dict(load_file("model.safetensors"))\n'
        "model.eval()\n"
    )
