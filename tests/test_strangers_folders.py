"""A folder from somebody else: nothing in it runs, and no link in it is followed out of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rk.environment import describe
from rk.inside import lies_within, pictures
from rk.probe import probe
from rk.safepath import safe_interpreters

git_is_here = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed here")


@pytest.fixture
def trap(tmp_path) -> Path:
    """A program that leaves a mark when it runs."""
    program = tmp_path / "trap"
    program.write_text(f"#!/bin/sh\necho \"$0 $@\" >> '{tmp_path}/ran'\ncat\n")
    program.chmod(0o755)
    return program


def git(folder: Path, *arguments: str) -> None:
    settings = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "protocol.file.allow=always")
    subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A repository whose files all look changed: git wants to read them again."""
    folder = tmp_path / "downloaded"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / ".gitattributes").write_text("* filter=odd=name diff=odd\n")
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text("one\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    for path in folder.glob("*.txt"):
        os.utime(path, (1, 1))
    monkeypatch.chdir(folder)
    return folder


@git_is_here
def test_the_state_of_a_repository_is_recorded(repository):
    found = describe(())["git"]
    assert len(found["commit"]) == 40 and found["dirty"] is False
    (repository / "a.txt").write_text("two\n")
    assert describe(())["git"]["dirty"] is True


@git_is_here
@pytest.mark.parametrize(
    "key",
    [
        "core.fsmonitor", "filter.odd=name.clean", "filter.odd=name.process", "filter.odd=name.smudge",
        "diff.odd.textconv", "diff.odd.command", "diff.external", "core.pager", "core.sshCommand", "core.editor",
    ],
)  # fmt: skip
def test_no_program_that_a_repository_names_runs(key, repository, trap):
    git(repository, "config", key, str(trap))
    git(repository, "config", "filter.odd=name.required", "true")
    assert describe(())["git"] is not None
    assert not (trap.parent / "ran").exists()


@git_is_here
def test_no_hook_of_a_repository_runs(repository, trap):
    for name in ("post-index-change", "post-checkout", "pre-commit"):
        shutil.copy(trap, repository / ".git" / "hooks" / name)
    describe(())
    assert not (trap.parent / "ran").exists()


@git_is_here
def test_no_program_that_a_submodule_names_runs(repository, trap, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    (other / "c.txt").write_text("one\n")
    git(other, "add", "-A")
    git(other, "commit", "-qm", "first")
    git(repository, "submodule", "add", "-q", str(other), "inner")
    git(repository, "commit", "-qm", "second")
    git(repository / "inner", "config", "core.fsmonitor", str(trap))
    os.utime(repository / "inner" / "c.txt", (1, 1))
    describe(())
    assert not (trap.parent / "ran").exists()


def test_outside_of_a_repository_nothing_is_recorded_of_git(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert describe(())["git"] is None


@pytest.mark.parametrize("name", ["pluggy", "json", "rk", "importlib"])
def test_the_probe_of_a_plugin_takes_no_module_from_the_working_folder(name, tmp_path, monkeypatch):
    (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    assert probe("rk.builtin")["milliseconds"] is not None
    assert not (tmp_path / "ran").exists()


def test_processes_of_a_run_take_no_module_from_the_working_folder(tmp_path):
    (tmp_path / "multiprocessing.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    main = tmp_path / "elsewhere" / "main.py"
    main.parent.mkdir()
    main.write_text(
        "import multiprocessing as mp, os, sys\n"
        "from rk.safepath import safe_interpreters\n"
        "def work(): print('worked', 'here' in sys.path, flush=True)\n"
        "if __name__ == '__main__':\n"
        "    sys.path.append('here')\n"
        "    with safe_interpreters():\n"
        "        process = mp.get_context('spawn').Process(target=work)\n"
        "        process.start()\n"
        "    process.join()\n"
        "    assert 'PYTHONSAFEPATH' not in os.environ\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, main], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "worked True\n", done.stderr
    assert not (tmp_path / "ran").exists()


def test_earlier_settings_are_restored(monkeypatch):
    monkeypatch.setenv("PYTHONSAFEPATH", "yes")
    with safe_interpreters():
        assert os.environ["PYTHONSAFEPATH"] == "1"
    assert os.environ["PYTHONSAFEPATH"] == "yes"


def test_only_files_of_the_folder_itself_are_taken(tmp_path):
    run, secret = tmp_path / "run", tmp_path / "secret.png"
    figures = run / "figures"
    figures.mkdir(parents=True)
    secret.write_bytes(b"secret")
    (figures / "test.png").write_bytes(b"own")
    (figures / "test-own.png").symlink_to("test.png")
    (figures / "test-out.png").symlink_to(secret)
    (figures / "test-relative.png").symlink_to("../../secret.png")
    (figures / "test-none.png").symlink_to("nowhere")
    (figures / "test-circle.png").symlink_to("test-circle.png")
    (figures / "test-folder.png").mkdir()
    os.mkfifo(figures / "test-fifo.png")
    assert [p.name for p in pictures(run, (".png",), "test*")] == ["test-own.png", "test.png"]
    shortcut = tmp_path / "shortcut"
    shortcut.symlink_to(run)
    assert lies_within(shortcut / "figures" / "test.png", shortcut), "the run itself may be reached by a link"


def test_a_folder_of_figures_outside_the_run_is_not_taken(tmp_path):
    run, other = tmp_path / "run", tmp_path / "other"
    run.mkdir()
    other.mkdir()
    (other / "test.png").write_bytes(b"secret")
    (run / "figures").symlink_to(other)
    assert pictures(run, (".png",)) == []
