"""Exporter: the learner's weights, and the recipe that gives them meaning."""

from __future__ import annotations

from pathlib import Path

from rk.fit.loaded import LoadedRun
from rk.fit.weights import save_weights


class Safetensors:
    """Weights as `model.safetensors`, beside the complete `recipe.yaml`."""

    def export(self, run: LoadedRun, out: Path) -> list[Path]:
        weights, recipe = out / "model.safetensors", out / "recipe.yaml"
        save_weights(run.learner, weights, {"recipe": run.recipe.name, "format": "rk 1"})
        recipe.write_text(run.recipe.to_yaml(), encoding="utf-8")
        return [weights, recipe]
