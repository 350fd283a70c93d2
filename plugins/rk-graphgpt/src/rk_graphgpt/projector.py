"""Exporter: the weights that GraphGPT trains, and what they belong to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from rk import LoadedRun, UserError
from rk_graphgpt.graph_llm import GraphLLM


class Projector:
    """Writes ``projector.safetensors`` with weight and bias of the projector and the two new tokens, and a config.

    ``projector_config.json`` has the sizes, the new tokens, and the language model and encoder that the weights fit.

    Examples:
        rk export last --to projector -o projector
    """

    def export(self, run: LoadedRun, out: Path) -> list[Path]:
        """Writes the two files into `out`.

        Raises:
            rk.UserError: When the run has no model `graph-llm`.
        """
        model: Any = getattr(run.learner, "model", None)
        if not isinstance(model, GraphLLM):
            raise UserError(f"{run.folder.label} has no model graph-llm: there is no projector")
        weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
        config = {
            "embed_dim": model.projector.in_features,
            "d_model": model.projector.out_features,
            "tokens": {"start": "<g_start>", "patch": "<g_patch>", "end": "<g_end>"},
            "llm": model.llm.label,
            "encoder": model.encoder_label,
            "graph_nodes": model.graph_nodes,
        }
        files = out / "projector.safetensors", out / "projector_config.json"
        save_file(weights, files[0], metadata={"config": json.dumps(config)})
        files[1].write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        return list(files)
