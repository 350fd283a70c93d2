"""What a piece of code writes is seen, whichever way it does it; what it reads is not."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from pathlib import Path

import pytest

from rk.testing import watched_writes
from rk.testing.checks import writes_outside


def _rename(path: Path) -> None:
    (path.parent / "old").write_text("")
    os.rename(path.parent / "old", path)


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda p: p.write_text("x"), id="written"),
        pytest.param(lambda p: open(p, "ab").close(), id="appended to"),
        pytest.param(lambda p: os.close(os.open(p, os.O_CREAT | os.O_WRONLY)), id="opened by number"),
        pytest.param(lambda p: p.mkdir(), id="a folder"),
        pytest.param(lambda p: os.symlink("/nowhere", p), id="a link"),
        pytest.param(_rename, id="renamed into place"),
    ],
)
def test_created_paths_are_seen(write, tmp_path):
    with watched_writes() as written:
        write(tmp_path / "new")
    assert tmp_path / "new" in written


def test_deleted_paths_are_seen(tmp_path):
    (tmp_path / "old").write_text("")
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    with watched_writes() as written:
        (tmp_path / "old").unlink()
        shutil.rmtree(tmp_path / "folder")
    assert {tmp_path / "old", tmp_path / "folder"} <= set(written)


def test_reading_is_not_writing_and_nothing_is_seen_afterwards(tmp_path):
    (tmp_path / "file").write_text("x")
    with watched_writes() as written:
        (tmp_path / "file").read_text()
        list(tmp_path.iterdir())
    (tmp_path / "later").write_text("x")
    assert written == []


def test_other_threads_are_not_watched(tmp_path):
    with watched_writes() as written:
        thread = threading.Thread(target=(tmp_path / "theirs").write_text, args=("x",))
        thread.start()
        thread.join()
    assert written == []


def test_the_run_the_data_the_caches_and_temporary_files_are_allowed_places(tmp_path, monkeypatch):
    here, run, data = tmp_path / "here", tmp_path / "here" / "runs" / "one", tmp_path / "data"
    for folder in (here, run, data):
        folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(here)
    monkeypatch.setenv("RK_DATA", str(data))
    fine = [run / "model.safetensors", data / "mnist.gz", Path.home() / ".cache" / "x", Path("/dev/null")]
    fine += [here / "__pycache__" / "a.pyc", tmp_path / "elsewhere-in-tmp"]
    assert writes_outside([*fine, here / "debug.log"], run) == [here / "debug.log"]


def test_a_named_temporary_file_is_not_a_write_outside(tmp_path):
    with watched_writes() as written, tempfile.NamedTemporaryFile("w") as file:
        file.write("x")
    assert written
    assert writes_outside(written, tmp_path / "runs" / "a") == []
