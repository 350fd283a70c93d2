"""Whole runs: your own samples from the command line, other layers and models, mistakes, weights to begin with."""

from __future__ import annotations

import csv
import json

import pytest
import torch
from rk_single_layer_transformer.table import markdown

CONSTRUCTIVE = """
# samples of my own
rk: 1
model: single-layer-transformer
data: {name: continuous-sequences, file: samples.csv}
trainer: {name: constructive, width: 40}
callbacks: [sup-error]
fit: {seed: 0, threads: 1}
"""
TRAINED = """
# two numbers in order
rk: 1
model: {name: single-layer-transformer, ffn_width: 16, d_model: 8}
data: {name: continuous-sequences, function: sort, train_samples: null, batch_size: 32, val_samples: 20, grid: 5}
loss: mse
trainer: {name: backprop, optimizer: {name: adam, lr: 1e-2}}
callbacks: [sup-error]
fit: {max_steps: 3, seed: 0, threads: 1}
"""


@pytest.fixture
def samples(rk_folder):
    """300 samples of (x1 + x2, x1 x2) on [-1, 3]."""
    x = 4 * torch.rand(300, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    rows = torch.cat([x, x.sum(1, keepdim=True), x.prod(1, keepdim=True)], 1).tolist()
    text = "x1,x2,y1,y2\n" + "".join(",".join(f"{v:.9g}" for v in row) + "\n" for row in rows)
    (rk_folder.folder / "samples.csv").write_text(text)
    return rk_folder


@pytest.mark.parametrize("ffn", ["lstsq", "cosine"])
def test_a_network_is_built_from_your_own_samples_and_answers_others(samples, ffn):
    run = samples.train(CONSTRUCTIVE, f"trainer.ffn={ffn}", "trainer.modes=3")
    metrics = json.loads((run.path / "run.json").read_text())["metrics"]
    assert metrics["test/sup-error"] <= 1.001 * metrics["run/error-bound"]
    assert metrics["test/rmse"] < 0.5  # targets are from -3 to 9
    assert "run/no-positions-bound" not in metrics
    (samples.folder / "new.csv").write_text("x1,x2\n1,2\n0.5,-0.5\n")
    assert samples.rk("predict", run.path, "new.csv", "-o", "answers.json") == 0
    found = [answer["values"] for answer in json.loads((samples.folder / "answers.json").read_text())]
    assert found[0] == pytest.approx([3.0, 2.0], abs=0.8) and found[1] == pytest.approx([0.0, -0.25], abs=0.8)


def test_any_layer_and_any_model_of_sequences_are_measured_alike(rk_folder):
    layer = rk_folder.train(TRAINED, "model.layer={name: attention, num_heads: 2}")
    model = rk_folder.train(TRAINED, "model={name: sequence, layer: attention, d_model: 8}")
    for run in (layer, model):
        metrics = json.loads((run.path / "run.json").read_text())["metrics"]
        assert metrics["run/no-positions-bound"] == 0.5 and metrics["test/sup-error"] > 0
        rows = [*csv.DictReader((run.path / "sup-error.csv").open(newline=""))]
        assert max(float(r["sup error"]) for r in rows) == pytest.approx(metrics["test/sup-error"], rel=1e-4)
        assert (run.path / "figures" / "sup-error.png").stat().st_size > 1000


def test_gradients_begin_with_the_construction(samples):
    built = samples.train(CONSTRUCTIVE, "trainer.width=13")
    before = json.loads((built.path / "run.json").read_text())["metrics"]
    tuned = samples.train(
        TRAINED,
        "model={name: single-layer-transformer, ffn_width: 32}",
        "data={name: continuous-sequences, file: samples.csv}",
        "trainer.optimizer.lr=1e-9",
        f"init_from.run={built.path}",
        "callbacks=[]",
    )
    after = json.loads((tuned.path / "run.json").read_text())["metrics"]
    assert after["test/rmse"] == pytest.approx(before["test/rmse"], rel=0.01)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("model.positions=none",), "constructive needs one-hot positions, got model.positions=none"),
        (("model.positions=learned",), "constructive needs one-hot positions"),
        (("model.residual=false",), "constructive needs the residual"),
        (("model.d_model=5",), "a stream of 6 columns, got model.d_model=5"),
        (("model.num_heads=1",), "constructive needs 2 heads of width 1, got 1 of width 6"),
        (("model.layer={name: attention, num_heads: 1}",), "writes softmax attention, got the layer Attention"),
        (("trainer.ffn=cosine", "model.attention=false"), "a cosine series is of the whole sequence"),
        (("trainer.ffn=cosine", "trainer.modes=400"), "has 320800 ridges, more than 200000"),
        (("trainer.width=-1",), "trainer.width: must be >= 0"),
        (
            ("data={name: continuous-sequences, function: sort, train_samples: null, batch_size: 8}",),
            "the training split has no end",
        ),
    ],
)
def test_what_cannot_be_built_is_refused_in_a_sentence(samples, overrides, message):
    (samples.folder / "mine.yaml").write_text(CONSTRUCTIVE)
    from rk.errors import RkError

    with pytest.raises(RkError, match=message) as error:
        samples.train(CONSTRUCTIVE, *overrides)
    assert error.value.exit_code == 2


def test_other_data_have_no_grid(rk_folder):
    from rk.errors import RkError

    with pytest.raises(RkError, match="sup-error measures on a grid"):
        rk_folder.train(
            "# digits\nrk: 1\nmodel: mlp\ndata: digits\nloss: cross-entropy\ncallbacks: [sup-error]\n"
            "trainer: {name: backprop, optimizer: {name: sgd, lr: 0.1}}\nfit: {max_steps: 1, threads: 1}\n"
        )


def test_numbers_of_others_are_shown_for_their_function_alone():
    rows = [{"row": "lstsq 16", "sup": 0.2, "rmse": 0.03, "hidden-units": 38.0, "error-bound": 0.21}]
    beside = markdown(rows, [], {"lstsq 16": (0.163, 0.0311)})
    assert "| lstsq 16 | 38 | 0.2 | 0.21 | 0.03 | 0.163, 0.0311 |" in beside
    assert "| lstsq 16 | 38 | 0.2 | 0.21 | 0.03 |  |" in markdown(rows, [], {})
