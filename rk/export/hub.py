"""Exporter: a folder in the layout of the Hugging Face hub, which is a run folder too."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from rk.export.bundle import write_bundle
from rk.export.card import Card
from rk.export.legend import Legend, legend
from rk.export.portable import clean
from rk.fit.loaded import LoadedRun
from rk.inside import pictures
from rk.jsontext import to_json
from rk.recipe.model import Recipe, Spec
from rk.report.page import PICTURES
from rk.runs import RunFolder
from rk.values import Plain, PlainDict


class Hub:
    """Weights, `config.json`, recipe and a model card with the results, ready for `hf upload`.

    `rk eval`, `rk predict` and `rk export` take the folder as a run. Where the learner is one model, the weights have
    the model's own names, and `config.json` names their class and its arguments. Runs that the recipe
    names go with it, in the folder `from`.

    Args:
        license: Of the weights, as the hub calls it: ``apache-2.0``; null: the card states none.

    Examples:
        rk export last --to hub exporter.license=mit -o my-hub-model
    """

    def __init__(self, license: str | None = None) -> None:
        self.license = license

    def export(self, run: LoadedRun, out: Path) -> list[Path]:
        bundle = write_bundle(run, out)
        meaning = legend(run)
        config = _config(run, bundle.recipe, meaning)
        figures = _copy(run.folder, out / "figures")
        card = Card(run, bundle, config, meaning, self.license)
        files = {
            out / "config.json": to_json(config, indent=2) + "\n",
            out / "README.md": card.render([f"figures/{p.name}" for p in figures]),
        }
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
        return sorted([*files, *figures, *bundle.paths])


def _copy(run: RunFolder, target: Path) -> list[Path]:
    """Copies the figures of the tests; not a link that leads out of the run."""
    chosen = pictures(run.path, PICTURES, "test*")
    if chosen:
        target.mkdir(exist_ok=True)
    return [Path(shutil.copyfile(path, target / path.name)) for path in chosen]


def _config(run: LoadedRun, recipe: Recipe, meaning: Legend) -> PlainDict:
    """Returns what is needed to build the model again: its class, the distribution that has it, all its arguments."""
    info = run.folder.read()
    facts = clean(info["facts"])
    config: PlainDict = {"library_name": "recursion-kit", "recipe": run.recipe.name, "facts": facts}
    if (spec := recipe.model) is not None:
        config["architectures"] = [spec.component.target.partition(":")[2]]
        config["class"] = spec.component.target
        config["distribution"] = spec.component.distribution
        config["arguments"] = _arguments(spec, clean(run.facts))
    return {**config, **meaning.config}


def _arguments(spec: Spec, facts: Mapping[str, Plain]) -> PlainDict:
    filled = {param.name: facts[param.name] for param in spec.missing if param.name in facts}
    plain = spec.plain()
    return {**filled, **({} if isinstance(plain, str) else {k: v for k, v in plain.items() if k != "name"})}
