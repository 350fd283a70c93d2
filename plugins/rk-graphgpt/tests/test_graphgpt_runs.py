"""A run from nothing: encoder, language model, projector; controls, files and exports."""

from __future__ import annotations

import json

import pytest
from safetensors.torch import load_file

from rk.errors import ExitCode

SHORT = ("fit.max_steps=2", "fit.validate_every=null")
SMALL = (*SHORT, "data.graph.num_nodes=60", "data.max_nodes=6", "data.batch_size=8")


@pytest.fixture
def run(rk_folder):
    """A run whose encoder and language model have taken two steps."""
    for recipe in ("grounding", "language-node"):
        rk_folder.train(f"graphgpt/{recipe}", *SHORT)
    runs = [str(path) for name in ("grounding", "language-node") for path in rk_folder.folder.glob(f"runs/{name}/*")]
    return rk_folder.train("graphgpt/node-quick", *SMALL, f"model.encoder={runs[0]}", f"model.llm={runs[1]}")


def test_a_run_has_its_controls_answers_a_users_graph_and_exports_the_projector(rk_folder, run):
    names = {name for line in run.metrics() for name in line}
    assert {"test/accuracy", "test/accuracy@shuffled", "test/accuracy@text-only", "test-unseen/accuracy"} <= names
    assert set(load_file(run.model)) == {f"model.{n}" for n in ("projector.weight", "projector.bias", "start", "end")}

    mine = rk_folder.folder / "mine.json"
    mine.write_text(json.dumps({"texts": ["bababa", "bababe"], "edges": [[0, 1]], "classes": ["topic-1", "topic-3"]}))
    assert rk_folder.rk("predict", run.path, mine, "-o", "answer.json") == ExitCode.OK
    answer = json.loads((rk_folder.folder / "answer.json").read_text())
    assert "topic-1" in json.dumps(answer) or "topic-3" in json.dumps(answer)

    assert rk_folder.rk("export", run.path, "--to", "projector", "-o", "projector") == ExitCode.OK
    weights = load_file("projector/projector.safetensors")
    config = json.loads((rk_folder.folder / "projector/projector_config.json").read_text())
    assert weights["projector.weight"].shape == (config["d_model"], config["embed_dim"]) == (64, 64)

    assert rk_folder.rk("eval", run.path, "data.graph_tokens=none") == ExitCode.OK
