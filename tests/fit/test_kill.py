"""A run survives SIGKILL at any moment: real processes, killed at random."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from rk.runs import RunFolder

KILLS = 20
STEPS = 4000
RECIPE = f"""
rk: 1
model: {{name: mlp, hidden_sizes: [32], dropout: 0.1}}
data: {{name: digits, batch_size: 64}}
loss: cross-entropy
trainer: {{name: backprop, optimizer: {{name: adam, lr: 1e-3, schedule: cosine}}}}
fit: {{max_steps: {STEPS}, seed: 2, validate_every: 150, monitor: val/accuracy, checkpoint_every: 40, threads: 1}}
"""


ZYGOTE = """
import os, sys
import sklearn.datasets, torch
import rk.fit.loop, rk.builtin.backprop
torch.set_num_threads(1)
torch.optim.Adam([torch.zeros(1, requires_grad=True)], fused=True)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        os.setsid()
        sys.argv = ["rk", *line.split()]
        sys.stdout = sys.stderr = open(os.devnull, "w")
        from rk.cli import main
        main()
    print(pid, flush=True)
    _, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""
"""Imports torch once and then forks a process per line: twenty processes without twenty times three seconds."""


class Processes:
    """Real processes, one at a time."""

    def __init__(self, folder):
        self.zygote = subprocess.Popen(
            [sys.executable, "-c", ZYGOTE], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, *args):
        self.zygote.stdin.write(" ".join(map(str, args)) + "\n")
        self.zygote.stdin.flush()
        self.pid = int(self.zygote.stdout.readline())

    def running(self):
        return not select.select([self.zygote.stdout], [], [], 0)[0]

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self):
        return int(self.zygote.stdout.readline())


@pytest.fixture
def processes(tmp_path):
    found = Processes(tmp_path)
    yield found
    found.zygote.kill()
    found.zygote.wait()


def newest(root):
    return next(RunFolder.all(root), None)


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.005)
    pytest.fail("waited too long")


def test_a_run_killed_twenty_times_at_random_moments_ends_bit_equal(tmp_path, processes):
    (tmp_path / "long.yaml").write_text(RECIPE)
    processes.start("train", "long.yaml", "--runs-dir", "whole")
    assert processes.wait() == 0
    root = tmp_path / "killed"
    moment = random.Random(0)
    processes.start("train", "long.yaml", "--runs-dir", root)
    wait_until(lambda: newest(root) and newest(root).checkpoint_steps())
    run = newest(root)
    for kill in range(KILLS):
        reached = run.checkpoint_steps()[-1]
        # After the first checkpoint of this process, at any moment of its work: steps, validation, half a checkpoint
        wait_until(lambda at=reached: not processes.running() or run.checkpoint_steps()[-1] > at)
        time.sleep(moment.random() * 0.1)
        assert processes.running(), f"the run was over before kill {kill}"
        assert processes.kill() == -signal.SIGKILL
        processes.start("train", "--resume", run.path)
    assert processes.wait() == 0
    expected, found = load_file(newest(tmp_path / "whole").model), load_file(run.model)
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
    assert run.read()["metrics"] == newest(tmp_path / "whole").read()["metrics"]
    lines = [[m["step"] for m in each.metrics()] for each in (newest(tmp_path / "whole"), run)]
    assert lines[0] == lines[1], "no metric line is lost or written twice"
