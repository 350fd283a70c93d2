"""From a recipe to an answer: what fits what, and runs of a few steps through the commands that users have."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from scipy import stats

from rk.catalog import Catalog
from rk.recipe import check_recipe
from rk.recipe.find import RecipeFile
from rk.runs import RunFolder

CHAIN = "{name: noprop-chain, num_blocks: 3, block: {name: mlp-block, hidden_size: 8}}"
FLOW = "{name: noprop-flow, ode_steps: 5, block: {name: mlp-block, hidden_size: 8}}"
ADAM = "optimizer: {name: adam, lr: 1e-2}"
RECIPE = """
rk: 1
model: {model}
data: {{name: digits, batch_size: 64}}
trainer: {{name: {trainer}, {optimizer}}}
metrics: {{run-accuracy: run-accuracy, last: guess-accuracy}}
fit: {{max_steps: 12, seed: 3, threads: 1}}
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Writes a recipe over digits and returns its path."""
    monkeypatch.chdir(tmp_path)

    def call(trainer: str, model: str, more: str = ""):
        path = tmp_path / "recipe.yaml"
        path.write_text(RECIPE.format(trainer=trainer, model=model, optimizer=ADAM) + more)
        return path

    return call


def complaints(path) -> list[str]:
    catalog = Catalog()
    return [str(p) for p in check_recipe(RecipeFile(path), (), catalog).problems]


def rk(*args: object) -> None:
    from rk.cli import cli

    assert not cli([str(a) for a in args], standalone_mode=False)


# -- what fits what ----------------------------------------------------------------------------------------------------


def test_noprop_over_a_pointer_network_is_refused_with_what_it_lacks(recipe):
    found = complaints(recipe("noprop-dt", "{name: pointer-net, hidden_size: 8, max_points: 5}"))
    (reason,) = [text for text in found if "noprop-dt needs" in text]
    assert "noprop-dt needs a model with `head` and `label_blocks` and `num_walks`; pointer-net has none" in reason
    assert "models that have: noprop-chain" in reason


@pytest.mark.parametrize(
    ("trainer", "model", "lacks", "fits"),
    [
        ("noprop-ct", CHAIN, "`timed_block`; noprop-chain has none", "noprop-flow"),
        ("noprop-fm", CHAIN, "`timed_block`; noprop-chain has none", "noprop-flow"),
        ("noprop-dt", FLOW, "`label_blocks`; noprop-flow has none", "noprop-chain"),
        ("noprop-dt", "{name: conv-net}", "conv-net has none", "noprop-chain"),
    ],
    ids=["ct", "fm", "dt", "conv-net"],
)
def test_a_model_of_another_kind_is_refused_and_one_that_fits_named(recipe, trainer, model, lacks, fits):
    (reason,) = [text for text in complaints(recipe(trainer, model)) if "needs a model" in text]
    assert lacks in reason and f"models that have: {fits}" in reason


def test_a_layer_that_is_not_a_block_is_refused(recipe):
    found = complaints(recipe("noprop-dt", "{name: noprop-chain, block: {name: mlp-block, hidden_size: 8, depth: 3}}"))
    assert any("depth" in text for text in found)


def test_a_loss_is_refused_as_the_variants_have_their_own(recipe):
    found = complaints(recipe("noprop-dt", CHAIN, "loss: cross-entropy\n"))
    assert any("noprop-dt takes no loss" in text for text in found)


# -- runs --------------------------------------------------------------------------------------------------------------

LEARNERS = {
    "dt": ("noprop-dt", CHAIN, ""),
    "dt-prototype": (
        "noprop-dt",
        CHAIN.replace("num_blocks: 3", "num_blocks: 3, embedding: prototype, head: radial"),
        "",
    ),
    "ct": ("noprop-ct", FLOW, ", inference_steps: 12"),
    "fm-learned": ("noprop-fm", FLOW.replace("ode_steps: 5", "embedding: learned"), ", inference_steps: 12"),
    "backprop": ("backprop", CHAIN, ""),
    "adjoint": ("backprop", FLOW, ""),
}


def trained(recipe, which: str, *more: str) -> RunFolder:
    trainer, model, extra = LEARNERS[which]
    path = recipe(trainer, model, "loss: cross-entropy\n" if trainer == "backprop" else "")
    path.write_text(path.read_text().replace(ADAM, ADAM + extra))
    rk("train", path, *more)
    return RunFolder(sorted(path.parent.glob("runs/recipe/*"))[-1])


@pytest.mark.parametrize("which", LEARNERS)
def test_it_trains_predicts_an_image_and_draws_its_path(recipe, which, tmp_path, capsys):
    folder = trained(recipe, which)
    metrics = folder.read()["metrics"]
    assert {"test/accuracy", "test/run-accuracy", "test/last"} <= {*metrics}
    assert (folder.figures / "test-path.png").is_file() == (which not in ("backprop", "adjoint"))
    Image.new("L", (40, 60), 200).save(tmp_path / "digit.png")
    capsys.readouterr()
    rk("predict", folder.path, tmp_path / "digit.png", "-o", "answer.json", "-o", "answer.png")
    (answer,) = json.loads((tmp_path / "answer.json").read_text())
    assert answer["class"] in range(10) and sum(answer["probabilities"]) == pytest.approx(1, abs=1e-3)
    drawn = ["answer.png"] + ["answer-path.png"] * (which not in ("backprop", "adjoint"))
    assert all(f"wrote {name}" in capsys.readouterr().out or (tmp_path / name).is_file() for name in drawn)


def test_eval_can_request_other_walks_of_the_same_run(recipe):
    folder = trained(recipe, "ct")
    rk("eval", folder.path, "trainer.inference=ode", "trainer.inference_steps=3", "model.num_walks=2")


def test_the_file_of_weights_has_every_block_by_its_number(recipe):
    weights = load_file(trained(recipe, "dt").model)
    assert {f"model.label_blocks.{t}.fuse.weight" for t in range(3)} <= {*weights}
    assert {"model.embedding.weight", "model.head.out.weight", "abar"} <= {*weights}
    assert not [name for name in weights if "label_blocks.3" in name]


def test_a_run_that_was_stopped_ends_with_the_same_weights(recipe, tmp_path):
    order = ("trainer.order=sampled", "fit.checkpoint_every=5")
    whole = load_file(trained(recipe, "dt", *order).model)
    half = trained(recipe, "dt", *order, "fit.max_steps=5")
    rk("train", "--resume", half.path, "fit.max_steps=12")
    again = load_file(half.model)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_the_accuracy_of_every_block_is_a_table_and_a_figure(recipe, tmp_path):
    folder = trained(recipe, "dt")
    rk("analyze", "block-accuracy", "--run", folder.path)
    (drawn,) = tmp_path.glob("runs/block-accuracy/*/figures/block-accuracy.png")
    lines = drawn.with_suffix(".csv").read_text().split()
    assert lines[0] == "step,accuracy" and len(lines) == 4
    numbers = json.loads((drawn.parent.parent / "run.json").read_text())["metrics"]
    assert numbers["answer"] == pytest.approx(folder.read()["metrics"]["test/accuracy"], abs=0.1)


def test_the_readmes_statement_about_the_chain_agrees_with_a_paired_test_over_seeds():
    recipes = resources.files("rk_noprop") / "recipes"
    results = json.loads((recipes / "results.json").read_text(encoding="utf-8"))["results"]
    chain, single = (results[f"noprop/digits-dt-glimpse{name}"] for name in ("", "-single"))
    assert chain["seeds"] == single["seeds"] and len(chain["seeds"]) >= 10
    metric = "test/run-accuracy"
    found = stats.ttest_rel(chain["metrics"][metric], single["metrics"][metric])
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    said = re.search(r"a paired t-test has p = (0\.\d+)", readme)
    assert float(said[1]) == pytest.approx(found.pvalue, abs=0.005)
    assert ("the result is inconclusive" in readme) == (found.pvalue > 0.05)
