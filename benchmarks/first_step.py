"""From the command to the first step done, against a bare script's first step with torch.optim. Limit: + 0.5 s."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from paired import cpu_seconds, interleave, report

BARE = """
import torch
from torch import nn
from sklearn.datasets import load_digits
inputs, targets = load_digits(return_X_y=True)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
inputs, targets = torch.tensor(inputs[:64], dtype=torch.float32), torch.tensor(targets[:64])
nn.functional.cross_entropy(model(inputs), targets).backward()
optimizer.step()
"""
RECIPE = """
rk: 1
model: {name: mlp, hidden_sizes: [64]}
data: {name: digits, batch_size: 64}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 1e-3}}
callbacks: []
fit: {max_steps: 1000000, threads: 1, accelerator: cpu}
"""
RK = """
import os, sys
import rk.fit.loop
after = rk.fit.loop.Loop._train
def stop_at_once(self, signal):
    self.progress.step = lambda step: os._exit(0)
    after(self, signal)
rk.fit.loop.Loop._train = stop_at_once
sys.argv = ["rk", "train", sys.argv[1], "--runs-dir", sys.argv[2]]
from rk.cli import main
main()
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        recipe = Path(scratch, "bench.yaml")
        recipe.write_text(RECIPE)
        contestants = {
            "bare script": lambda: cpu_seconds([sys.executable, "-c", BARE]),
            "rk train": lambda: cpu_seconds([sys.executable, "-c", RK, str(recipe), scratch]),
        }
        found = interleave(contestants, rounds=5)
        report("CPU time to the first step", found, "bare script")
        extra = found["rk train"] - found["bare script"]
        print(f"  rk takes {extra:+.2f} s; limit +0.50 s: {'kept' if extra <= 0.5 else 'BROKEN'}")


if __name__ == "__main__":
    main()
