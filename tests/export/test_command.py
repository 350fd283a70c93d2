"""`rk export` and `rk predict` at the command line: where files go, and one message for each mistake."""

from __future__ import annotations

import shutil
import sys

import pytest

from rk.errors import RkError, UserError
from rk.export.folder import MANIFEST

RECIPE = """
    rk: 1
    model: {name: mlp, hidden_sizes: [4]}
    data: digits
    loss: cross-entropy
    trainer: {name: backprop, optimizer: {name: adam, lr: 1e-3}}
    fit: {max_steps: 2, seed: 1, threads: 1, accelerator: cpu}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from rk.testing.folder import Folder

    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return Folder(folder).train(RECIPE).path


@pytest.fixture
def run(trained, rk_folder):
    """A run in the working folder."""
    return shutil.copytree(trained, rk_folder.folder / "run")


@pytest.fixture
def digit(rk_folder):
    from PIL import Image, ImageDraw

    image = Image.new("L", (20, 20), "white")
    ImageDraw.Draw(image).line((10, 2, 10, 18), width=3)
    image.save("digit.png")
    return rk_folder.folder / "digit.png"


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_without_a_format_it_lists_them(run, rk_folder):
    with pytest.raises(UserError, match="which format") as caught:
        rk_folder.rk("export", run)
    assert all(name in caught.value.hint for name in ("hub", "onnx", "safetensors", "torch-export"))


def test_a_format_that_there_is_not_is_named_with_the_nearest(run, rk_folder):
    with pytest.raises(RkError, match=r"unknown exporter 'onx'[\s\S]*did you mean onnx\?"):
        rk_folder.rk("export", run, "--to", "onx")
    assert not (run / "export").exists()


def test_a_library_that_is_missing_is_named_and_no_folder_stays(run, rk_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="onnx needs onnxruntime") as caught:
        rk_folder.rk("export", run, "--to", "onnx")
    assert caught.value.hint == 'pip install "recursion-kit[onnx]"'
    assert not (run / "export").exists()


def test_a_run_without_weights_is_reported_and_no_folder_stays(run, rk_folder):
    (run / "model.safetensors").unlink()
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(RkError, match="no checkpoint"):
        rk_folder.rk("export", run, "--to", "safetensors", "-o", "out")
    assert not (rk_folder.folder / "out").exists()


def test_a_file_in_the_way_is_kept_unless_it_is_forced(run, rk_folder):
    out = rk_folder.folder / "out"
    out.mkdir()
    (out / "README.md").write_text("mine")
    with pytest.raises(UserError, match=r"out/README\.md exists"):
        rk_folder.rk("export", run, "--to", "hub", "-o", "out")
    assert files(out).keys() == {(out / "README.md").relative_to(out)}
    rk_folder.rk("export", run, "--to", "hub", "-o", "out", "--force")
    rk_folder.rk("export", run, "--to", "hub", "-o", "out")
    assert "# recipe" in (out / "README.md").read_text()


def test_nothing_is_written_into_a_hub_folder(run, rk_folder, digit):
    rk_folder.rk("export", run, "--to", "hub", "-o", "hub")
    before = files(rk_folder.folder / "hub")
    rk_folder.rk("predict", "hub", digit)
    rk_folder.rk("export", "hub", "--to", "safetensors")
    assert files(rk_folder.folder / "hub") == before
    assert (rk_folder.folder / "digit-answer.png").is_file()
    assert (rk_folder.folder / "hub-safetensors" / "model.safetensors").is_file()


def test_equal_runs_give_equal_files(run, rk_folder):
    for name in ("one", "two"):
        rk_folder.rk("export", run, "--to", "hub", "-o", name)
    one, two = (files(rk_folder.folder / name) for name in ("one", "two"))
    assert one == two and any(path.name == MANIFEST for path in one)


def test_figures_go_into_the_run_or_the_working_folder_where_that_is_read_only(run, rk_folder, digit, monkeypatch):
    rk_folder.rk("predict", run, digit)
    assert (run / "figures" / "digit.png").is_file()
    monkeypatch.setattr("rk.export.folder.takes_files", lambda folder: False)
    rk_folder.rk("predict", run, digit)
    assert (rk_folder.folder / "digit-answer.png").is_file()


def test_a_figure_that_cannot_be_written_is_reported(run, rk_folder, digit):
    shutil.rmtree(run / "figures")
    (run / "figures").write_text("no folder")
    with pytest.raises(UserError, match=r"cannot write a figure to .*figures") as caught:
        rk_folder.rk("predict", run, digit)
    assert "-o answer.png" in caught.value.hint


def test_the_input_is_never_written_over(run, rk_folder, digit):
    before = digit.read_bytes()
    with pytest.raises(UserError, match="is the input itself"):
        rk_folder.rk("predict", run, digit, "-o", "digit.png")
    assert digit.read_bytes() == before
