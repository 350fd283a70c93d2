"""Data that change under a run are noticed: `rk.fit.fingerprint`."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from rk.fit import fingerprint
from rk.fit.loaded import LoadedRun
from rk.recipe.model import Recipe

RECIPE = """\
# a text that may change
rk: 1
model: {name: language-model, layer: {name: attention, window: 4}, d_model: 16}
data: {name: text, path: own.txt, length: 8, batch_size: 4, eval_length: 16}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 1e-2}}
fit: {max_steps: 2, seed: 1, threads: 1}
"""


@pytest.fixture
def run(rk_folder):
    (rk_folder.folder / "own.txt").write_text("abc " * 300)
    return rk_folder.train(RECIPE)


def warnings(capsys) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning:")]


def test_a_run_keeps_name_size_and_checksum_of_its_data_and_not_their_place(run):
    expected = {"file": "own.txt", "size": 1200, "sha256": hashlib.sha256(b"abc " * 300).hexdigest()}
    assert run.read()["data_files"] == {"data.path": expected}


@pytest.mark.parametrize(
    ("text", "change"),
    [("abc " * 301, "1200 bytes then, 1204 now"), ("abd " * 300, "another content of the same size")],
    ids=["appended", "edited"],
)
def test_changed_data_are_named_where_they_are_measured_again(rk_folder, run, capsys, text, change):
    assert rk_folder.rk("eval", run.path) == 0
    assert warnings(capsys) == []
    Path("own.txt").write_text(text)
    assert rk_folder.rk("eval", run.path) == 0
    expected = f"data.path: own.txt has changed since the run began ({change}); numbers are not comparable"
    assert warnings(capsys) == [f"warning: {expected}"]


def test_changed_data_are_named_where_a_run_is_resumed_and_what_it_began_with_is_kept(rk_folder, run, capsys):
    began = run.read()["data_files"]
    Path("own.txt").write_text("abd " * 300)
    assert rk_folder.rk("train", "--resume", run.path, "fit.max_steps=3") == 0
    (said,) = warnings(capsys)
    assert "own.txt has changed since the run began" in said
    assert run.read()["data_files"] == began


def test_requested_other_data_and_runs_of_older_versions_do_not_count_as_a_change(rk_folder, run, capsys):
    Path("other.txt").write_text("abc " * 400)
    assert rk_folder.rk("eval", run.path, "data.path=other.txt") == 0
    Path("own.txt").write_text("abd " * 300)
    run.update(data_files=None)
    assert rk_folder.rk("eval", run.path) == 0
    assert warnings(capsys) == []


def test_answering_a_file_does_not_look_at_the_data(run, capsys):
    Path("own.txt").unlink()
    Path("prompt.txt").write_text("abc")
    LoadedRun.open(run.path).predict(Path("prompt.txt"))
    assert warnings(capsys) == []


def test_of_a_folder_the_listing_is_compared(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(b"123")
    recipe = Recipe("x")
    recipe.data = {"train": [tmp_path], "none": tmp_path / "missing"}
    (first,) = fingerprint.fingerprints(recipe).values()
    assert (first["files"], first["size"]) == (1, 3)
    assert fingerprint.fingerprints(recipe) == {"data.train.0": first}
    os.rename(tmp_path / "a" / "1.png", tmp_path / "a" / "2.png")
    (second,) = fingerprint.fingerprints(recipe).values()
    assert second != first


def test_only_the_size_of_a_very_large_file_is_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "MAX_HASHED", 2)
    (tmp_path / "large.csv").write_bytes(b"123")
    recipe = Recipe("x")
    recipe.data = tmp_path / "large.csv"
    assert fingerprint.fingerprints(recipe) == {"data": {"file": "large.csv", "size": 3, "sha256": None}}


def test_files_that_a_component_fetches_are_kept_with_their_checksum(rk_folder, monkeypatch):
    from rk.files import data_folder, fetch, noting

    monkeypatch.setenv("RK_DATA", str(rk_folder.folder))
    (rk_folder.folder / "set").mkdir()
    (rk_folder.folder / "set" / "x.gz").write_bytes(b"abc")
    with noting() as found:
        fetch("set/x.gz", "https://example.org", "md5:0")
    fetch("set/x.gz", "https://example.org", "md5:0")
    assert found == {"set/x.gz": data_folder() / "set" / "x.gz"}
    checksum = hashlib.sha256(b"abc").hexdigest()
    assert fingerprint.of_files(found) == {"set/x.gz": {"file": "x.gz", "size": 3, "sha256": checksum}}


def test_a_run_on_published_images_keeps_their_files(rk_folder, monkeypatch):
    from rk.files import data_folder

    if not (data_folder() / "mnist" / "train-images-idx3-ubyte.gz").is_file():
        pytest.skip("MNIST is not here")
    run = rk_folder.train("noprop/mnist-dt", "fit.max_steps=1", "data.test_limit=10")
    found = run.read()["fetched_files"]
    assert len(found) == 4 and all(name.startswith("mnist/") and len(f["sha256"]) == 64 for name, f in found.items())
