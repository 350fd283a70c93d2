"""The exporter `path`: one path of a search as a model of its own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path as FilePath
from typing import Literal, cast

import torch
from rk_lm.layered import Path
from rk_lm.load import LanguageModel, quiet
from rk_lm.restack import restacked
from torch import Tensor, nn

from rk import LoadedRun, UserError
from rk_cola.learner import Programs
from rk_cola.paths import path_text, read_path
from rk_cola.run_paths import RunPaths


class PathExporter:
    """One path of a search of `cola` as a model that needs neither rk-cola nor the path.

    Of a pretrained language model it is a folder for the transformers library: weights, configuration, tokenizer. Each
    layer of the path is a layer of its own there, so a repeated one takes its space twice. Of a trained run it is a
    run whose model has as many layers as the path: for `rk eval`, `rk predict` and recipes that begin from it.

    Args:
        path: The path, as ascending runs of layers: "0-11 13-29". By default the best fixed path of the search, where
            it has looked for one (`controls`); else the path that is valid for most questions.
        dtype: Of the weights of a language model.

    Examples:
        rk export last --to path exporter.path="0-11 13-29" -o shorter
    """

    def __init__(
        self, path: str | int | None = None, dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    ) -> None:
        try:
            self.path = None if path is None else read_path(str(path))
        except ValueError:
            raise ValueError(f'path must be runs of layers such as "0-11 13-29", got {path!r}') from None
        self.dtype = dtype

    def export(self, run: LoadedRun, out: FilePath) -> list[FilePath]:
        """Writes the model into `out`, an empty folder.

        Raises:
            rk.UserError: When the run is not a search of cola, has found no path and none is given, or when a model
                with the layers of the path is not defined.
        """
        learner = run.learner
        if isinstance(learner, Programs):
            return self._model(learner.lm, self._chosen(learner, learner.lm.layered.depth), out)
        if isinstance(learner, RunPaths):
            return self._run(learner, out)
        raise UserError(f"{run.folder.label} is not a search of cola", "rk search cola finds paths")

    def _chosen(self, learner: Programs | RunPaths, depth: int) -> Path:
        """Returns the path that is asked for, else the best fixed one, else the one that most questions have."""
        path = self.path or tuple(learner.fixed_path.tolist())
        if not path:
            counts = Counter(path for own in learner.valid for path in own)
            path = min(counts, key=lambda p: (-counts[p], len(p), p), default=())
        if not path:
            raise UserError("the search has found no path", 'give one: exporter.path="0-11 13-29"')
        if strange := [i for i in path if not 0 <= i < depth]:
            raise UserError(f"exporter.path: there is no layer {strange[0]}: the model has {depth}, counted from 0")
        return path

    def _model(self, lm: LanguageModel, path: Path, out: FilePath) -> list[FilePath]:
        model = restacked(lm.layered, path).to(getattr(torch, self.dtype))
        model.config.rk_path = path_text(path)
        with quiet():
            model.save_pretrained(out)
            lm.tokenizer.save_pretrained(out)
        return _files(out)

    def _run(self, learner: RunPaths, out: FilePath) -> list[FilePath]:
        inner = cast(LoadedRun, learner.run)
        path = self._chosen(learner, learner.depth)
        spec = inner.recipe.model
        known = {} if spec is None else {**spec.defaults, **spec.params}
        if "num_layers" not in known:
            raise UserError(
                f"the model of the run {inner.recipe.name} has no parameter num_layers, which a path changes",
                "a model with num_layers can be written: sequence, language-model",
            )
        loops = {"model.num_loops": 1} if "num_loops" in known else {}  # each layer then has weights of its own
        changes = {"model.num_layers": len(path), **loops}
        inner.derive(changes, _stacked(inner.learner, learner.searched, path), out)
        return _files(out)


def _stacked(learner: nn.Module, model: nn.Module, path: Path) -> dict[str, Tensor]:
    """Returns the weights of a learner whose model's blocks are those of a path."""
    blocks = model.get_submodule("blocks")
    (prefix,) = (f"{name}." for name, module in learner.named_modules() if module is blocks)
    state = learner.state_dict()
    found = {name: value for name, value in state.items() if not name.startswith(prefix)}
    for place, i in enumerate(path):
        old = f"{prefix}{i}."
        found |= {f"{prefix}{place}.{n.removeprefix(old)}": v for n, v in state.items() if n.startswith(old)}
    return found


def _files(out: FilePath) -> list[FilePath]:
    return sorted(path for path in out.rglob("*") if path.is_file())
