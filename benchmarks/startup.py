"""What starting and completing cost with 43 plugins installed, against importing click; what must not be imported."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from paired import cpu_seconds, interleave, report

MODEL = '''
from typing import Annotated, Literal
import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn
from rk.fields import LogitsOutputs


class Net(nn.Module):
    """A net.

    Args:
        num_features: Inputs.
        hidden_size: Width.
        mode: How.
    """

    def __init__(self, num_features: int, hidden_size: Annotated[int, Ge(1)] = 64, mode: Literal["a", "b"] = "a"):
        super().__init__()

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs: ...
'''
HOOKS = """
from rk import hookimpl


@hookimpl
def rk_models():
    return {{"net-{i}": "rk_bench_{i}.model:Net"}}
"""
BAD_RECIPE = """
rk: 1
model: {name: net-7, hiden_size: 3, mode: c}
data: digits
loss: cross-entropi
trainer: {name: backprop, optimizer: {name: adam, lr: fast}}
fit: {max_step: 10}
"""
RECIPE = """# A net on digits. rk train bench-{i}/quick
rk: 1
paper: arXiv:2401.{i:05}
model: net-{i}
data: digits
loss: cross-entropy
trainer: {{name: backprop, optimizer: adam}}
fit: {{max_steps: 10}}
"""
COMPLETED = ("rk ", "rk train bench-7/", "rk train bench-7/quick model.", "rk show model net-1")
"""Lines at whose end TAB is pressed."""
FORBIDDEN = ("torch", "lightning", "numpy", "sklearn", "griffe", "rich")


def install_plugins(site: Path, count: int) -> None:
    """Writes `count` plugins as an installer would: a package, and metadata with an entry point."""
    for i in range(count):
        package = site / f"rk_bench_{i}"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(HOOKS.format(i=i))
        (package / "model.py").write_text(MODEL)
        (package / "recipes").mkdir()
        for name in ("quick", "default", "paper", "ablation"):
            (package / "recipes" / f"{name}.yaml").write_text(RECIPE.format(i=i))
        info = site / f"rk_bench_{i}-0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: rk-bench-{i}\nVersion: 0.1\nRequires-Dist: recursion-kit<1,>=0.1\n"
        )
        (info / "entry_points.txt").write_text(f"[rk.plugins]\nbench-{i} = rk_bench_{i}\n")


def imported(arguments: list[str], environment: dict[str, str]) -> list[str]:
    """Returns which forbidden modules a command has imported when it ends."""
    code = (
        "import sys, atexit\n"
        f"say = lambda: print('IMPORTED', *[m for m in {FORBIDDEN!r} if m in sys.modules], file=sys.stderr)\n"
        "atexit.register(say)\n"
        f"sys.argv = ['rk', *{arguments!r}]\n"
        "from rk.cli import main\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    return next(line for line in done.stderr.splitlines() if line.startswith("IMPORTED")).split()[1:]


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        site = Path(scratch, "site")
        install_plugins(site, 43)
        recipe = Path(scratch, "bad.yaml")
        recipe.write_text(BAD_RECIPE)
        environment = {**os.environ, "PYTHONPATH": str(site)}
        rk = [sys.executable, "-m", "rk"]
        commands = {
            'python -c "import click, pluggy"': [sys.executable, "-c", "import click, pluggy"],
            "rk --version": [*rk, "--version"],
            "rk --help": [*rk, "--help"],
            "rk list --json": [*rk, "list", "--json"],
            "rk list": [*rk, "list"],
            "rk validate (a bad recipe)": [*rk, "validate", str(recipe)],
            "rk recipes": [*rk, "recipes"],
            "rk train --help": [*rk, "train", "--help"],
        }
        contestants = {name: lambda c=command: cpu_seconds(c, env=environment) for name, command in commands.items()}
        for line in COMPLETED:
            asked = {**environment, "_RK_COMPLETE": "bash_complete", "COMP_WORDS": line}
            contestants[f"{line}<TAB>"] = lambda e=asked: cpu_seconds(rk, env=e)
        found = interleave(contestants, rounds=15)
        limits = {"rk --help": 2.5, "rk validate (a bad recipe)": 4.0}
        report(
            "CPU time of a command, 43 generated plugins with 172 recipes installed",
            found,
            next(iter(commands)),
            limits,
        )
        print(
            "\nmodules that must not be imported:",
            ", ".join(FORBIDDEN[:4]),
            "(and rich, griffe where nothing needs them)",
        )
        for arguments in (["--help"], ["list", "--json"], ["validate", str(recipe)]):
            print(f"  rk {' '.join(arguments[:1])}: {', '.join(imported(arguments, environment)) or 'none'}")


if __name__ == "__main__":
    main()
