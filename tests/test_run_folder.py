"""The run folder: its owner, the meaning of `last`, and damaged or hostile folders."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time

import pytest

from rk.errors import RunFailed, UserError
from rk.runs import RunBusy, RunFolder, lock
from rk.writing import sync_folder, write_atomic

HOLD = """
import sys, pathlib
from rk.runs import RunFolder
with RunFolder(pathlib.Path(sys.argv[1])).owned():
    print("owned", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path):
    folder = RunFolder.begin(tmp_path / "runs", "plugin/name", "rk: 1\n")
    folder.update(status="running")
    return folder


@pytest.fixture
def other(run):
    """Another process that trains the run."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, run.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "owned\n"
    yield process
    process.kill()
    process.wait()


# -- one owner -----------------------------------------------------------------------------------------------------


def test_a_run_that_another_process_trains_is_refused_and_left_alone(run, other):
    before = sorted(p.name for p in run.path.iterdir())
    assert run.is_active() and run.state() == "running"
    with pytest.raises(RunBusy, match="is being trained by process"), run.owned():
        pytest.fail("two processes own the run")
    with pytest.raises(RunBusy):
        run.delete()
    assert sorted(p.name for p in run.path.iterdir()) == before


def test_a_killed_process_leaves_no_lock_and_its_run_is_called_stopped(run, other):
    other.kill()
    other.wait()
    assert not run.is_active() and run.state() == "stopped"
    with run.owned():
        assert run.is_active() and run.state() == "running"
    assert not run.is_active()


def test_a_process_does_not_train_the_same_run_twice_at_once(run):
    with run.owned():
        with pytest.raises(RunBusy), RunFolder(run.path).owned():
            pytest.fail("the run is owned twice")
        assert run.is_active(), "asking and failing did not release the lock"


@pytest.mark.parametrize("owner, busy", [({"pid": 1}, True), ({"pid": 2**22 + 1}, False), (None, False)])
def test_without_locks_the_process_named_in_the_run_is_looked_up(run, monkeypatch, owner, busy):
    def unsupported(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    (run.path / ".lock").touch()
    monkeypatch.setattr(lock.fcntl, "lockf", unsupported)
    run.update(owner=owner and {**lock.this_process(), **owner})
    assert run.is_active() is busy
    if busy:
        with pytest.raises(RunBusy), run.owned():
            pytest.fail("the owner is alive")
    else:
        with run.owned():
            pass


# -- last ----------------------------------------------------------------------------------------------------------


def make(root, name, *, weights=False, recipe=True):
    path = root / "r" / name
    path.mkdir(parents=True)
    (path / "run.json").write_text("{}")
    if recipe:
        (path / "recipe.yaml").write_text("rk: 1")
    if weights:
        (path / "model.safetensors").write_text("")
    return path


def test_last_is_the_last_run_that_can_be_used(tmp_path):
    make(tmp_path, "20260101-000000-0000", weights=True)
    weights = make(tmp_path, "20260102-000000-0000", weights=True)
    failed = make(tmp_path, "20260103-000000-0000")
    assert RunFolder.find("last", tmp_path).path == weights
    assert RunFolder.find("last", tmp_path, last="recipe").path == failed
    analysis = make(tmp_path, "20260104-000000-0000", recipe=False)
    assert RunFolder.find("last", tmp_path, last="recipe").path == failed
    assert RunFolder.find("last", tmp_path, last="any").path == analysis


def test_the_names_of_runs_sort_by_the_time_of_no_zone(tmp_path, monkeypatch):
    names = []
    for zone in ("Pacific/Auckland", "America/Los_Angeles", "UTC"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        names.append(RunFolder.create(tmp_path, "x").path.name)
    monkeypatch.undo()
    time.tzset()
    assert names == sorted(names)


@pytest.mark.parametrize("name", ["...", "..", ".", "x" * 400, "a/.hidden"])
def test_every_name_of_a_recipe_gives_a_folder_within_the_runs(tmp_path, name):
    run = RunFolder.create(tmp_path, name)
    assert run.path.resolve().parent.parent == tmp_path.resolve()
    assert not run.path.parent.name.startswith(".")


# -- deleting ------------------------------------------------------------------------------------------------------


def test_deleting_removes_the_run_and_the_empty_folder_of_its_recipe(run):
    run.update(status="done")
    run.delete()
    assert not run.path.parent.exists()


def test_a_run_that_cannot_be_deleted_is_reported_to_remain(run, monkeypatch):
    def read_only(*args, **options):
        raise OSError(errno.EROFS, "Read-only file system", str(run.path))

    monkeypatch.setattr(os, "unlink", read_only)
    with pytest.raises(RunFailed, match=r"cannot delete .*: Read-only file system"):
        run.delete()


# -- damaged and hostile folders -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["[]", "3", "{", "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), "[" * 9999]
)
def test_a_damaged_run_json_hides_no_other_run(run, text):
    (run.path / "run.json").write_text(text, encoding="latin-1")
    assert run.info() == {"status": "unreadable"}
    with pytest.raises(UserError, match="cannot be read"):
        run.read()


def test_damaged_lines_of_metrics_are_left_out(run):
    good = json.dumps({"step": 1, "val/loss": 0.5}).encode()
    (run.path / "metrics.jsonl").write_bytes(good + b'\n\xff\xfe\n[1]\n"x"\n{"no": 1}\n{"step": "2"}\n{"step": 3, "val')
    assert list(run.metrics()) == [{"step": 1, "val/loss": 0.5}]


@pytest.mark.parametrize("name", ["checkpoints", "metrics.jsonl", "figures", "run.json"])
def test_a_run_whose_files_are_links_is_not_trained(run, tmp_path, name):
    (tmp_path / "outside").mkdir()
    target = run.path / name
    if target.is_dir():
        target.rmdir()
    target.unlink(missing_ok=True) if target.is_file() else None
    target.symlink_to(tmp_path / "outside")
    with pytest.raises(UserError, match=f"{name} is a link"), run.owned():
        pytest.fail("its files are outside")


def test_a_file_is_written_beside_under_a_name_that_no_link_waits_at(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / ".report.html.tmp").symlink_to(precious)
    write_atomic(tmp_path / "report.html", "page")
    assert precious.read_text() == "mine" and (tmp_path / "report.html").read_text() == "page"


def test_half_written_files_of_a_kill_are_removed_by_the_next_owner(run):
    left_over = [run.path / ".run.json.0a1b2c3d.tmp", run.checkpoints / ".index.json.0a1b2c3d.tmp"]
    for path in left_over:
        path.write_text("half")
    with run.owned():
        assert not any(path.exists() for path in left_over)


def test_lines_written_after_a_checkpoint_are_dropped_by_size_even_of_the_same_step(run):
    run.append_metrics({"step": 4, "val/loss": 1.0})
    size = run.metrics_size()
    run.append_metrics({"step": 4, "test/loss": 2.0})
    run.cut_metrics(size, 4)
    assert list(run.metrics()) == [{"step": 4, "val/loss": 1.0}]


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_folders_is_not_an_error(tmp_path, monkeypatch, code):
    def refuse(handle):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    sync_folder(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
    with pytest.raises(OSError, match="I/O error"):
        sync_folder(tmp_path)
