"""Exporter: the learner's weights, and the recipe that gives them meaning."""

from __future__ import annotations

from pathlib import Path

from rk.export.legend import legend
from rk.export.portable import portable
from rk.fit.loaded import LoadedRun
from rk.fit.weights import save_weights


class Safetensors:
    """Weights as `model.safetensors`, beside the complete `recipe.yaml`.

    The head of the file has the recipe's name and, if the data declares them, the names of the classes and how a file
    becomes the inputs.

    Examples:
        rk export last --to safetensors -o my-model
    """

    def export(self, run: LoadedRun, out: Path) -> list[Path]:
        weights, recipe = out / "model.safetensors", out / "recipe.yaml"
        save_weights(run.learner, weights, {"recipe": run.recipe.name, "format": "rk 1", **legend(run).texts})
        recipe.write_text(portable(run.recipe).to_yaml(), encoding="utf-8")
        return [weights, recipe]
