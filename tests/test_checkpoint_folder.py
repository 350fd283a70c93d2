"""The folder of checkpoints, with the power cut before each operation on files."""

from __future__ import annotations

import contextlib
import os
import shutil

import pytest

from rk.errors import RunFailed
from rk.runs import checkpoints


class PowerCut(BaseException):
    """Nothing handles it, as nothing handles SIGKILL."""


def write(folder, step, text):
    """Writes a checkpoint as a run does and publishes it."""
    beside = checkpoints.scratch(folder, step)
    for name in checkpoints.FILES:
        (beside / name).write_text(text)
    checkpoints.publish(folder, beside, step, None)


def content(folder, step):
    return (checkpoints.path_of(folder, step) / "state.pt").read_text()


@pytest.fixture
def cut_before(monkeypatch):
    """Returns a function that cuts the power before the n-th operation from then on; None never does."""
    due: list[int | None] = [None]

    def counted(original):
        def call(*args, **options):
            if due[0] is not None:
                due[0] -= 1
                if due[0] < 0:
                    raise PowerCut
            return original(*args, **options)

        return call

    for name in ("rename", "replace", "fsync", "rmdir", "unlink", "mkdir"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    return lambda count: due.__setitem__(0, count)


@pytest.mark.parametrize("count", range(24))
@pytest.mark.parametrize("again", [400, 500], ids=["the same step twice", "the next step"])
def test_a_power_cut_never_leaves_a_run_without_a_checkpoint(tmp_path, cut_before, count, again):
    write(tmp_path, 400, "first")
    cut_before(count)
    with contextlib.suppress(PowerCut):
        write(tmp_path, again, "second")
    cut_before(None)
    found = checkpoints.published(tmp_path)
    assert found, "a checkpoint is left"
    assert content(tmp_path, max(found)) in ("first", "second")
    checkpoints.settle(tmp_path)
    assert checkpoints.published(tmp_path).keys() == found.keys()
    assert all(path.name == f"{step:08d}" for step, path in checkpoints.published(tmp_path).items())
    write(tmp_path, 600, "third")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00000600", "index.json"], "nothing is left over"


def test_a_complete_checkpoint_that_was_never_published_is_found_and_gets_its_name(tmp_path):
    beside = checkpoints.scratch(tmp_path, 40)
    for name in checkpoints.FILES:
        (beside / name).write_text("whole")
    assert list(checkpoints.published(tmp_path)) == [40]
    checkpoints.settle(tmp_path)
    assert content(tmp_path, 40) == "whole" and (tmp_path / "00000040").is_dir()


def test_a_checkpoint_that_was_half_written_does_not_count(tmp_path):
    (checkpoints.scratch(tmp_path, 40) / "model.safetensors").write_text("half")
    assert checkpoints.published(tmp_path) == {}
    checkpoints.settle(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_not_a_checkpoint_and_is_never_removed(tmp_path):
    outside, folder = tmp_path / "outside", tmp_path / "checkpoints"
    outside.mkdir()
    (outside / "precious").write_text("x")
    folder.mkdir()
    (folder / "00000001").symlink_to(outside)
    write(folder, 2, "x")
    assert (outside / "precious").exists() and list(checkpoints.published(folder)) == [2]


def test_a_run_that_was_deleted_does_not_come_back(tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(RunFailed, match="cannot write a checkpoint"):
        checkpoints.scratch(folder, 1)
    assert not (tmp_path / "run").exists()
