"""`rk reproduce --jobs`: several trainings at once, in real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rk.errors import ExitCode, RunFailed
from rk.plugins import DISABLE_VARIABLE
from rk.reproduce.plan import plan
from rk.reproduce.runner import Runner
from rk.reproduce.workers import Workers
from rk.runs import RunFolder

RK = [sys.executable, "-m", "rk", "reproduce", "net.yaml", "--seeds", "2", "--jobs", "2"]


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setenv(DISABLE_VARIABLE, "*")
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def runs():
    return [folder.read() for folder in RunFolder.all(Path("runs"))]


def test_it_reaches_what_one_after_the_other_reaches(recipes, catalog, environment):
    done = subprocess.run(RK, capture_output=True, text=True, env=environment)
    assert done.returncode == ExitCode.CLAIM_NOT_REACHED, done.stderr
    assert "net, seed 5: done" in done.stdout and "(4 of 4)" in done.stdout
    at_once = json.loads(Path("results.json").read_text())["results"]
    (item,) = plan(("net.yaml",), catalog)
    for file in item.files:
        alone = Runner(catalog, Path("alone"), 2, False, lambda text: None).measure(file)
        assert at_once[file.name]["metrics"] == alone.values["metrics"]
        assert at_once[file.name]["seeds"] == [4, 5]


def test_ctrl_c_ends_all_and_what_is_done_is_kept(recipes, environment):
    Path("net.yaml").write_text(Path("net.yaml").read_text().replace("max_steps: 60", "max_steps: 1000000"))
    Path("short.yaml").write_text(Path("linear.yaml").read_text())
    Path("net.yaml").write_text(
        Path("net.yaml").read_text().replace("expect:\n", "expect:\n  - {metric: test/loss, baseline: short.yaml}\n", 1)
    )
    Path("short.yaml").write_text(Path("short.yaml").read_text().replace("expect: []", "expect: [{metric: test/loss}]"))
    command = [RK[0], *RK[1:4], "short.yaml", *RK[4:]]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
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


def test_a_run_that_fails_stops_the_others_and_is_named(recipes, catalog, environment):
    text = Path("net.yaml").read_text().replace("lr: 1e-2", "lr: 1e38")
    Path("net.yaml").write_text(text.replace("name: adam", "name: sgd"))
    (item,) = plan(("net.yaml",), catalog)
    with pytest.raises(RunFailed, match=r"net, seed \d: .*"):
        Workers(Runner(catalog, Path("runs"), 2, False, lambda text: None), 2).run([item.file], lambda *found: None)
    assert "done" not in {info["status"] for info in runs()}


def test_a_process_that_is_killed_is_reported(recipes, catalog, environment):
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
