"""`rk reproduce --jobs`: several trainings at once, in real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import pytest

from rk.errors import ExitCode, RunFailed
from rk.fit import launch
from rk.plugins import DISABLE_VARIABLE
from rk.reproduce.plan import plan
from rk.reproduce.runner import Runner
from rk.reproduce.workers import Task, Workers, hand_out
from rk.runs import RunFolder

RK = [sys.executable, "-m", "rk", "reproduce", "short.yaml", "net.yaml", "--seeds", "2", "--jobs", "2"]


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setenv(DISABLE_VARIABLE, "*")
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def runs():
    return [folder.read() for folder in RunFolder.all(Path("runs"))]


@pytest.fixture
def forked(monkeypatch):
    """Workers begin as forks: they need not import torch again."""
    monkeypatch.setattr(launch, "START_METHOD", "fork")


def test_it_reaches_what_one_after_the_other_reaches(recipes, catalog, forked):
    (item,) = plan(("net.yaml",), catalog)
    said, found = [], []
    runner = Runner(catalog, Path("runs"), 2, False, said.append)
    Workers(runner, 3).run(item.files, lambda file, seed, folder: found.append((file.name, seed, folder)))
    assert sorted(one[:2] for one in found) == [("linear", 4), ("linear", 5), ("net", 4), ("net", 5)]
    assert len([text for text in said if "->" in text]) == 4
    for file in item.files:
        alone = Runner(catalog, Path("alone"), 2, False, lambda text: None).measure(file)
        folders = {seed: folder for name, seed, folder in sorted(found, key=lambda one: one[1]) if name == file.name}
        assert runner.measured(file, folders).values["metrics"] == alone.values["metrics"]


def test_finished_runs_are_taken(recipes, catalog, forked):
    (item,) = plan(("net.yaml",), catalog)
    for _ in range(2):
        said = []
        Workers(Runner(catalog, Path("runs"), 2, True, said.append), 2).run([item.file], lambda *found: None)
    assert sorted(text.partition(" from")[0] for text in said) == ["net, seed 4: taken", "net, seed 5: taken"]
    assert len(runs()) == 2


def test_ctrl_c_ends_all_and_what_is_done_is_kept(recipes, environment):
    Path("net.yaml").write_text(Path("net.yaml").read_text().replace("max_steps: 60", "max_steps: 1000000"))
    Path("short.yaml").write_text(Path("linear.yaml").read_text())
    Path("net.yaml").write_text(
        Path("net.yaml").read_text().replace("expect:\n", "expect:\n  - {metric: test/loss, baseline: short.yaml}\n", 1)
    )
    Path("short.yaml").write_text(Path("short.yaml").read_text().replace("expect: []", "expect: [{metric: test/loss}]"))
    process = subprocess.Popen(RK, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 120
    while sum(1 for info in runs() if info["name"] == "net" and info.get("status") == "running") < 2:
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.2)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED, errors
    assert "Traceback" not in errors and "--jobs 2" in out + errors
    states = {(info["name"], info["status"]) for info in runs()}
    assert states == {("short", "done"), ("net", "interrupted")}
    assert list(json.loads(Path("results.json").read_text())["results"]) == ["short"], "stored when its last seed ended"
    assert all(folder.checkpoint_steps() for folder in RunFolder.all(Path("runs")))
    owners = [info.get("owner") for info in runs()]
    assert owners == [None] * len(owners), "no process is left"


def test_a_run_that_fails_stops_the_others_and_is_named(recipes, catalog, forked):
    text = Path("net.yaml").read_text().replace("lr: 1e-2", "lr: 1e38")
    Path("net.yaml").write_text(text.replace("name: adam", "name: sgd"))
    (item,) = plan(("net.yaml",), catalog)
    with pytest.raises(RunFailed, match=r"net, seed \d: .*"):
        Workers(Runner(catalog, Path("runs"), 2, False, lambda text: None), 2).run([item.file], lambda *found: None)
    assert "done" not in {info["status"] for info in runs()}


def test_a_process_that_is_killed_is_reported(recipes, catalog, forked):
    Path("net.yaml").write_text(Path("net.yaml").read_text().replace("max_steps: 60", "max_steps: 1000000"))
    (item,) = plan(("net.yaml",), catalog)
    killed = []

    def kill(text):
        if not killed and "->" in text:
            owner = RunFolder.find(text.rpartition(" ")[2]).read()["owner"]
            killed.append(owner["pid"])
            os.kill(owner["pid"], signal.SIGKILL)

    with pytest.raises(RunFailed, match="the process exited without an error message: SIGKILL"):
        Workers(Runner(catalog, Path("runs"), 2, False, kill), 2).run([item.file], lambda *found: None)
    assert len(killed) == 1


def test_of_runs_that_may_train_another_first_one_begins_at_a_time(recipes, catalog):
    (item,) = plan(("net.yaml",), catalog)
    workers = [
        SimpleNamespace(task=None, supplying=False, process=SimpleNamespace(is_alive=lambda: True)) for _ in "abc"
    ]
    for worker in workers:
        worker.give = lambda task, own=worker: vars(own).update(task=task, supplying=task.supplies)
    first, second, other = (Task(item.file, seed, supplies) for seed, supplies in ((1, True), (2, True), (3, False)))
    tasks = deque([first, second, other])
    hand_out(tasks, workers)
    assert [worker.task for worker in workers] == [first, other, None] and list(tasks) == [second]
    workers[0].supplying = False  # what it begins from is trained
    hand_out(tasks, workers)
    assert workers[2].task == second and not tasks
