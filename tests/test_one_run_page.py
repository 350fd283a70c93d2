"""docs/one-run.md: the functions that it names are called by a real run, in the order in which it names them."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from rk.cli import cli

ROOT = Path(__file__).parent.parent
ROW = re.compile(r"^\| `([\w.]+)` in \[[^\]]+\]\(\.\./(rk/[\w/]+\.py)\) \|", re.MULTILINE)
RECIPE = """
rk: 1
model: {name: mlp, hidden_sizes: [8]}
data: {name: digits, batch_size: 32}
loss: cross-entropy
trainer: {name: backprop, optimizer: adam}
fit: {max_steps: 2, validate_every: 1, validate_batches: 1, seed: 0, threads: 1}
"""


def test_the_functions_of_the_page_are_called_in_its_order(tmp_path, monkeypatch):
    for large in ("torch._dynamo", "sklearn.datasets", "PIL.Image", "matplotlib.figure"):
        importlib.import_module(large)  # traced, they would take ten times as long
    named = ROW.findall((ROOT / "docs" / "one-run.md").read_text(encoding="utf-8"))
    assert len(named) > 30
    monkeypatch.chdir(tmp_path)
    Path("recipe.yaml").write_text(RECIPE)
    called: dict[tuple[str, str], None] = {}

    def note(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(f"{ROOT}/rk/"):
            called.setdefault((code.co_qualname, code.co_filename[len(str(ROOT)) + 1 :]))

    sys.setprofile(note)
    try:
        cli(["train", "recipe.yaml", "--runs-dir", "runs"], standalone_mode=False)
    finally:
        sys.setprofile(None)
    order = list(called)
    assert not [entry for entry in named if entry not in called], "these are never called"
    assert named == sorted(named, key=order.index)
