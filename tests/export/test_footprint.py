"""`rk analyze footprint`: one table of runs, with sizes of real files."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from rk import UserError
from rk.cli import cli
from rk.runs import RunFolder

RECIPE = """
rk: 1
model: {{name: mlp, hidden_sizes: [{width}]}}
data: {{name: digits, batch_size: 16}}
loss: cross-entropy
trainer: {{name: backprop, optimizer: {{name: adam, lr: 1e-2}}}}
fit: {{max_steps: 3, seed: 1, threads: 1}}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("footprint")
    for width in (4, 16):
        (folder / f"w{width}.yaml").write_text(RECIPE.format(width=width))
        command = ["train", str(folder / f"w{width}.yaml"), "--runs-dir", str(folder / "runs")]
        assert not cli(command, standalone_mode=False)
    return {run.read()["name"]: run for run in RunFolder.all(folder / "runs")}


def footprint(runs, *options):
    paths = ", ".join(str(runs[name].path) for name in ("w4", "w16"))
    command = ["analyze", "footprint", "--runs", f"[{paths}]", "--repeats", "2", "--runs-dir", "out", *options]
    assert not cli(command, standalone_mode=False)
    with open(next(Path("out").rglob("footprint.csv")), encoding="utf-8") as file:
        return {row["run"]: row for row in csv.DictReader(file)}


def test_one_table_has_weights_operations_files_and_metrics(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = footprint(runs, "--formats", "[safetensors, onnx]")
    for name, width in (("w4", 4), ("w16", 16)):
        row = rows[name]
        assert int(row["parameters"]) == int(row["not zero"]) == 64 * width + width + width * 10 + 10
        assert int(row["flops"]) == 2 * (64 * width + width * 10)
        assert float(row["test/accuracy"]) == pytest.approx(runs[name].read()["metrics"]["test/accuracy"])
        assert int(row["bytes safetensors"]) > 4 * int(row["parameters"])
        assert float(row["ms torch"]) > 0 and float(row["ms onnx"]) > 0
    assert (next(Path("out").rglob("footprint.png"))).stat().st_size > 5000


def test_a_format_that_a_run_cannot_have_is_empty_and_one_that_does_not_exist_is_an_error(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rk.export.onnx.ONNX.export", _refuse)
    rows = footprint(runs, "--formats", "[safetensors, onnx]")
    assert rows["w4"]["bytes onnx"] == "" and int(rows["w4"]["bytes safetensors"]) > 0
    with pytest.raises(UserError, match="unknown exporter 'onx'"):
        footprint(runs, "--formats", "[onx]")
    before = {*Path("out").rglob("run.json")}
    with pytest.raises(UserError, match="measures no 'test/f1'"):
        footprint(runs, "--metric", "test/f1")
    assert {*Path("out").rglob("run.json")} == before, "of a mistake, no folder is left"


def _refuse(self, run, out):
    raise UserError("it cannot be written as a graph")
