"""The cost of starting, listing and completing with 50 plugins and 500 recipes, against importing click and pluggy.

    python benchmarks/startup.py                    with the index of plugins, and without it
    python benchmarks/startup.py --rivals VENV      llm and datasette beside it

VENV is a folder that is made like this:

    python3.11 -m venv VENV && VENV/bin/pip install llm datasette

Each command runs in a process of its own and in turn with all others; the medians of CPU time are compared. Byte code
is kept in a scratch folder, as it is where rk was installed by pip. What must not be imported is printed at the end.
"""

from __future__ import annotations

import argparse
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
RECIPES = ("quick", "default", "paper", "ablation", "small", "large", "deep", "wide", "cpu", "gpu")
"""The recipes of each plugin."""
PLUGINS = 50
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
        for name in RECIPES:
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


def commands(recipe: Path) -> dict[str, list[str]]:
    """Returns name -> arguments of `rk` of all commands that are measured."""
    return {
        "rk --version": ["--version"],
        "rk --help": ["--help"],
        "rk list": ["list"],
        "rk list --json": ["list", "--json"],
        "rk recipes": ["recipes"],
        "rk plugins": ["plugins"],
        "rk show model net-1": ["show", "model", "net-1"],
        "rk schema": ["schema"],
        "rk validate bench-7/quick": ["validate", "bench-7/quick"],
        "rk validate (a bad recipe)": ["validate", str(recipe)],
        "rk train --help": ["train", "--help"],
    }


LIMIT = 2.5
"""Times `import click, pluggy` that a listing or a check of an unchanged environment may take."""
UNLIMITED = ("rk --version", "rk train --help")


def measure(environment: dict[str, str], recipe: Path, rounds: int) -> None:
    """Prints what the commands and completions cost, with the index and without it."""
    rk = [sys.executable, "-m", "rk"]
    baseline = 'python -c "import click, pluggy"'
    contestants = {baseline: lambda: cpu_seconds([sys.executable, "-c", "import click, pluggy"], env=environment)}
    asked = {name: (arguments, {}) for name, arguments in commands(recipe).items()}
    for line in COMPLETED:
        asked[f"{line}<TAB>"] = [], {"_RK_COMPLETE": "bash_complete", "COMP_WORDS": line}
    limits = {}
    for name, (arguments, variables) in asked.items():
        for title, index in ((name, {}), (f"{name}, no index", {"RK_NO_INDEX": "1"})):
            whole = {**environment, **variables, **index}
            contestants[title] = lambda a=arguments, e=whole: cpu_seconds([*rk, *a], env=e)
        if name not in UNLIMITED:
            limits[name] = LIMIT
    for _ in range(2):  # what is kept is made by the first, and settled by the second
        for name in asked:
            contestants[name]()
    title = f"CPU time of a command, {PLUGINS} generated plugins with {PLUGINS * len(RECIPES)} recipes installed"
    report(title, interleave(contestants, rounds), baseline, limits)


def measure_rivals(venv: Path, environment: dict[str, str], rounds: int) -> None:
    """Prints what programs with plugins cost whose command line is click's and whose hooks are pluggy's."""
    programs = venv / "bin"
    baseline = 'python -c "import click, pluggy"'
    contestants = {baseline: lambda: cpu_seconds([programs / "python", "-c", "import click, pluggy"], env=environment)}
    for program in ("llm", "datasette"):
        for argument in ("--help", "plugins"):
            command = [programs / program, argument]
            contestants[f"{program} {argument}"] = lambda c=command: cpu_seconds(c, env=environment)
    report("CPU time of programs in VENV, which has no further plugins", interleave(contestants, rounds), baseline)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rivals", type=Path, metavar="VENV", help="measure llm and datasette in this venv too")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        site = Path(scratch, "site")
        install_plugins(site, PLUGINS)
        recipe = Path(scratch, "bad.yaml")
        recipe.write_text(BAD_RECIPE)
        folders = {"PYTHONPATH": "site", "RK_CACHE": "cache", "PYTHONPYCACHEPREFIX": "bytecode"}
        environment = {**os.environ, **{name: str(Path(scratch, folder)) for name, folder in folders.items()}}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        measure(environment, recipe, options.rounds)
        print(
            "\nmodules that must not be imported:",
            ", ".join(FORBIDDEN[:4]),
            "(and rich, griffe where nothing needs them)",
        )
        for arguments in (["--help"], ["list", "--json"], ["show", "model", "net-1"], ["validate", str(recipe)]):
            print(f"  rk {' '.join(arguments[:1])}: {', '.join(imported(arguments, environment)) or 'none'}")
        if options.rivals is not None:
            del environment["PYTHONPATH"]
            measure_rivals(options.rivals, environment, options.rounds)


if __name__ == "__main__":
    main()
