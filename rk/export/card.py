"""The model card of a hub folder: results, use, classes, recipe and licenses, in Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata

import torch
from safetensors.torch import load_file

from rk.export.bundle import Bundle
from rk.export.legend import Legend
from rk.export.markdown import cell, code, fenced, plain
from rk.export.portable import clean, named_files
from rk.fit.loaded import LoadedRun
from rk.recipe.model import EnumRef, Spec
from rk.recipe.sections import Expect
from rk.report.claims import judge
from rk.report.summary import RunSummary
from rk.report.text import duration
from rk.values import PlainDict

SHOWN_LABELS = 100
SHOWN_PREPROCESSING = 1500
"""Characters of the preprocessing that the card repeats; `config.json` has all of it."""


class Card:
    """The card of one bundle.

    Args:
        run: The run.
        bundle: What was written of it.
        config: The content of ``config.json``.
        meaning: Names of the classes, and how a file becomes the inputs.
        license: Of the weights; None: the card states none.
    """

    def __init__(self, run: LoadedRun, bundle: Bundle, config: PlainDict, meaning: Legend, license: str | None) -> None:
        self.run = run
        self.bundle = bundle
        self.config = config
        self.meaning = meaning
        self.license = license
        self.summary = RunSummary(run.folder)

    def render(self, figures: list[str]) -> str:
        """Returns the text, with images of `figures`, paths relative to the card."""
        import yaml
        from jinja2 import Environment, PackageLoader

        environment = Environment(loader=PackageLoader("rk.export", "."), keep_trailing_newline=True)  # not HTML
        environment.filters |= {"plain": plain, "cell": cell, "code": code, "fenced": fenced}
        summary, recipe = self.summary, self.bundle.recipe
        versions = summary.info.get("versions") or {}
        reason = self.why_not_plain()
        return environment.get_template("card.md.j2").render(
            front=yaml.safe_dump(self._front(), sort_keys=False, allow_unicode=True),
            name=summary.name,
            about=self._about(),
            paper=recipe.paper,
            facts=", ".join(self._facts()),
            judged=judge(summary.metrics, self._claims(), summary.info.get("higher_is_better")),
            figures=figures,
            requirements=[_pin(n, versions) for n in sorted(self._distributions())],
            plain=None if reason else _snippet(self.config),
            why_not_plain=reason,
            files=named_files(self.run.recipe),
            labels=(self.meaning.labels or ())[:SHOWN_LABELS],
            more_labels=max(0, len(self.meaning.labels or ()) - SHOWN_LABELS),
            preprocessing=self._preprocessing(),
            recipe=recipe.to_yaml(),
            license=self.license,
            code_licenses=", ".join(_code_license(n) for n in sorted(self._distributions())),
            environment=", ".join(f"{name} {version}" for name, version in versions.items()),
        )

    def why_not_plain(self) -> str | None:
        """Returns why the class and the weights are not enough without rk; None when they are, which is tried."""
        spec = self.run.recipe.model
        if spec is None or not self.bundle.whole:
            return "What was learned is more than one model: rk puts it together from the recipe."
        if len(list(spec.nested())) > 1:
            return "The model takes other components: rk builds them from the recipe."
        if any(getattr(part, "lazy_buffers", ()) for part in self.run.learner.modules()):
            return "Some of its buffers take their size from the file: rk loads them."
        if any(isinstance(value, EnumRef) for value in spec.params.values()):
            return "Some of its arguments are not plain values: rk builds them from the recipe."
        if not self._class_takes_weights(spec):
            return "The file has other tensors, or other shapes, than the class makes: rk loads them."
        return None

    def _class_takes_weights(self, spec: Spec) -> bool:
        """Whether the card's own code works: the class with the arguments takes the weights."""
        arguments = json.loads(json.dumps(self.config["arguments"]))
        try:
            with torch.random.fork_rng(devices=[]):
                made = self.run.catalog.load(spec.component)(**arguments)
            made.load_state_dict(load_file(self.bundle.weights))
        except Exception:  # whatever a class does with arguments or weights that it does not take
            return False
        return True

    def _front(self) -> PlainDict:
        """Returns the metadata of the card, as the hub reads it."""
        recipe, summary = self.bundle.recipe, self.summary
        task = recipe.data.component.name if recipe.data else "none"
        splits: dict[str, list[PlainDict]] = {}
        for metric, value in summary.metrics.items():
            split, _, name = metric.partition("/")
            if value is not None and split.startswith("test"):
                splits.setdefault(split, []).append({"type": name, "name": metric, "value": round(value, 6)})
        plugins = {s.component.plugin for s in recipe.specs()} - {"rk"}
        paper = [recipe.paper.lower()] if recipe.paper and recipe.paper.startswith("arXiv:") else []
        return {
            "library_name": "recursion-kit",
            **({"license": self.license} if self.license else {}),
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

    def _about(self) -> str:
        owner = getattr(self.run.learner, "model", None)
        text = self.bundle.recipe.about or (type(owner).__doc__ if owner is not None else "") or ""
        return text.strip().split("\n\n")[0].replace("\n    ", " ")

    def _claims(self) -> list[Expect]:
        return [replace(claim, note=clean(claim.note)) for claim in self.summary.expect]

    def _facts(self) -> list[str]:
        counts = (("steps", self.summary.step), ("parameters", self.summary.info.get("parameters")))
        facts = [*(f"{n:,} {what}" for what, n in counts if n is not None), duration(self.summary.seconds)]
        return [fact for fact in facts if fact]

    def _preprocessing(self) -> str | None:
        if self.meaning.preprocessing is None:
            return None
        text = json.dumps(self.meaning.preprocessing, indent=2, ensure_ascii=False)
        return text if len(text) <= SHOWN_PREPROCESSING else ""

    def _distributions(self) -> set[str]:
        return {"recursion-kit", *(spec.component.distribution for spec in self.run.recipe.specs())}


def _pin(distribution: str, versions: Mapping[str, str]) -> str:
    return f"{distribution}=={versions[distribution]}" if distribution in versions else distribution


def _code_license(distribution: str) -> str:
    try:
        found = metadata.metadata(distribution)
    except metadata.PackageNotFoundError:
        return distribution
    said = next((found[name] for name in ("License-Expression", "License") if found[name]), "")
    return f"{distribution} ({said.splitlines()[0]})" if said.strip() else distribution


def _snippet(config: PlainDict) -> str:
    module, _, cls = config["class"].partition(":")
    return (
        "import json\n"
        "from safetensors.torch import load_file\n"
        f"from {module} import {cls}\n\n"
        'config = json.load(open("config.json", encoding="utf-8"))\n'
        f'model = {cls}(**config["arguments"])\n'
        'model.load_state_dict(load_file("model.safetensors"))\n'
        "model.eval()\n"
    )
