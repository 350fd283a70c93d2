"""`rk reproduce RUN --locked`: the environment of a run is built again, and the run is repeated in it, bit for bit."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rk.distributions import digest
from rk.errors import ExitCode, RunFailed, UserError
from rk.files import cache_folder
from rk.fit.fingerprint import of_files
from rk.fit.signals import Stopped
from rk.recipe.stored import stored_values
from rk.runs import RunFolder
from rk.values import Plain, PlainDict
from rk.writing import write_atomic

FOLDER = "locked"
"""Of the environments, and of the repeated runs, in the cache folder."""
_COMPLETE = "complete.txt"
_MAX_SHOWN = 3

Say = Callable[[str], None]


@dataclass(frozen=True)
class Repeated:
    """A run and its repetition.

    Attributes:
        run: The run.
        repetition: The run that repeats it.
        differences: Where the two differ; nothing where they are equal, bit for bit.
        machine: What of the machine is another one than the run's.
    """

    run: RunFolder
    repetition: RunFolder
    differences: tuple[str, ...]
    machine: tuple[str, ...]

    @property
    def equal(self) -> bool:
        return not self.differences

    def plain(self) -> PlainDict:
        return {
            "run": self.run.label,
            "repetition": str(self.repetition.path),
            "verdict": "equal" if self.equal else "differs",
            "differences": [*self.differences],
            "machine": [*self.machine],
        }

    def lines(self) -> Iterator[str]:
        """Yields what is printed."""
        if self.equal:
            yield f"{self.run.label}: equal, every weight and every metric, bit for bit"
        else:
            yield f"{self.run.label}: differs"
        yield from (f"  {line}" for line in (*self.differences, *self.machine))
        yield f"  the repetition is in {self.repetition.path}"


def repeat(folder: RunFolder, say: Say) -> Repeated:
    """Builds the environment of a run with uv, trains the run's recipe there, and compares the two.

    Args:
        folder: A finished run.
        say: Prints a line.

    Raises:
        UserError: When the run has not recorded its environment, or a file or an editable distribution is no longer
            what it was.
        RunFailed: When the environment cannot be built, or the training fails in it.
        Stopped: When a signal ends the training.
    """
    info = folder.read()
    if info.get("status") != "done" or not folder.recipe.is_file() or not folder.model.is_file():
        raise UserError(f"{folder.label} is not a finished training: there is nothing to compare with")
    lock = lock_text(folder)
    _refuse_changed_files(folder, info)
    python = environment(lock, str(info["environment"]["python"]), say)
    repetition = train_again(folder, python)
    return compare(folder, repetition)


# -- the lock ----------------------------------------------------------------------------------------------------------


def lock_text(folder: RunFolder) -> str:
    """Returns the distributions of a run as a file of requirements, one exact version each.

    Editable ones that took part are installed from their folder; those that did not are left out.

    Raises:
        UserError: When the run has recorded no environment, or one of its distributions is no longer to be had.
    """
    known = folder.info().get("environment")
    if not isinstance(known, dict) or not known.get("distributions"):
        raise UserError(
            f"{folder.label} has not recorded its environment", "it was trained by an earlier version of rk"
        )
    lines = []
    for name, version in sorted(known["distributions"].items()):
        origin = (known.get("origins") or {}).get(name)
        if origin is None:
            lines.append(f"{name}=={version}")
        elif (line := _from_elsewhere(name, version, origin)) is not None:
            lines.append(line)
    return "\n".join(lines) + "\n"


def _from_elsewhere(name: str, version: str, origin: PlainDict) -> str | None:
    """Returns the requirement of a distribution that no index has; None for one that did not take part."""
    if "commit" in origin:
        return f"{name} @ {origin['vcs']}+{origin['url']}@{origin['commit']}"
    if "url" in origin:
        return f"{name} @ {origin['url']}" + (f"#sha256={origin['sha256']}" if origin.get("sha256") else "")
    if not origin.get("editable"):
        hint = "install it editable (pip install -e), or from an index, and train again"
        raise UserError(f"{name} {version} was installed from a folder: its files are not known", hint)
    if "digest" not in origin:
        return None
    place = Path(origin["folder"])
    if not place.is_dir():
        raise UserError(f"{name} {version} is editable, and its folder is gone: {place}", "put it back there")
    if (now := digest(place)) is None or now != origin["digest"]:
        hint = "check out the state of the run: `git` in its run.json names the commit, if it was one"
        raise UserError(f"{name} {version} is editable, and its files in {place} have changed since the run", hint)
    return f"-e {place.as_uri()}  # sha256 {now}"


def _refuse_changed_files(folder: RunFolder, info: PlainDict) -> None:
    """Raises `UserError` when a file that the recipe's data names is another one than the run's."""
    values = stored_values(folder)
    for key, then in (info.get("data_files") or {}).items():
        named = _value_at(values, key)
        now = of_files({key: Path(named)}).get(key) if isinstance(named, str) else None
        if now != then:
            what = "is gone" if now is None else "has changed since the run"
            raise UserError(
                f"{key}: {then.get('file')} {what}", f"it was at {named}, with SHA-256 {then.get('sha256')}"
            )


def _value_at(values: Plain, key: str) -> Plain:
    for part in key.split("."):
        if isinstance(values, dict):
            values = values.get(part)
        elif isinstance(values, list) and part.isdigit() and int(part) < len(values):
            values = values[int(part)]
        else:
            return None
    return values


# -- the environment ---------------------------------------------------------------------------------------------------


def environment(lock: str, python: str, say: Say) -> Path:
    """Returns the interpreter of an environment with exactly these distributions, built unless it is there.

    uv takes its index, its cache and whether it is offline from the user's settings (``UV_INDEX``, ``UV_OFFLINE``).

    Args:
        lock: What `lock_text` returns.
        python: The version of Python.
        say: Prints a line.

    Raises:
        RunFailed: When it cannot be built; names the distribution, where uv does.
    """
    key = hashlib.sha256(f"{python}\n{lock}".encode()).hexdigest()[:16]
    place = cache_folder() / FOLDER / key
    interpreter = place / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if (place / _COMPLETE).is_file():
        return interpreter
    tool = find_uv()
    shutil.rmtree(place, ignore_errors=True)
    try:
        place.mkdir(parents=True)
        write_atomic(place / "requirements.txt", lock)
    except OSError as error:
        raise RunFailed(f"cannot write {place}: {error.strerror}", "RK_CACHE names the folder") from None
    say(f"building {place / 'venv'}: Python {python}, {lock.count(chr(10))} distributions")
    wanted = sys.executable if python == platform.python_version() else python
    _uv([tool, "venv", "--quiet", "--no-project", "--python", wanted, str(place / "venv")], lock)
    requirements = str(place / "requirements.txt")
    _uv([tool, "pip", "install", "--quiet", "--no-deps", "--python", str(interpreter), "-r", requirements], lock)
    write_atomic(place / _COMPLETE, "")
    return interpreter


def find_uv() -> str:
    """Returns the program uv. Raises `UserError` where there is none."""
    beside = Path(sys.executable).with_name("uv.exe" if os.name == "nt" else "uv")
    found = shutil.which("uv") or (str(beside) if beside.is_file() else None)
    if found is None:
        raise UserError("--locked needs uv, which builds the environment", 'pip install "recursion-kit[locked]"')
    return found


def _uv(command: list[str], lock: str) -> None:
    hidden = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"}
    settings = {key: value for key, value in os.environ.items() if key not in hidden}
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=settings, check=False)
    if done.returncode == 0:
        return
    said = " ".join(done.stderr.split())
    names = [line.partition("==")[0] for line in lock.splitlines() if "==" in line]
    # the first one that uv names: others are named where it says what depends on what
    places = {name: at.start() for name in names if (at := re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", said))}
    guilty = min(places, key=lambda name: places[name], default=None)
    what = "the environment" if guilty is None else guilty
    hint = "UV_INDEX, UV_FIND_LINKS and UV_OFFLINE say where uv finds distributions"
    raise RunFailed(f"{what} cannot be installed: {said[:600] or 'uv failed'}", hint)


# -- the repetition ----------------------------------------------------------------------------------------------------


def train_again(folder: RunFolder, python: Path) -> RunFolder:
    """Trains the recipe of a run with another interpreter; returns the new run.

    It takes the run's variables and its number of threads.
    """
    info = folder.read()
    root = cache_folder() / FOLDER / "runs" / folder.path.resolve().name
    shutil.rmtree(root, ignore_errors=True)
    command = [str(python), "-m", "rk", "train", str(folder.recipe.resolve()), "--runs-dir", str(root)]
    code = _waited(subprocess.Popen(command, env=_variables(info)))
    if code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED, ExitCode.HUNG_UP):
        raise Stopped(ExitCode(code), "stopped while the run was repeated")
    made = next(RunFolder.all(root), None)
    if code or made is None or made.info().get("status") != "done":
        raise RunFailed(f"{folder.label} cannot be repeated: its training ended with exit code {code}")
    return made


def _variables(info: PlainDict) -> dict[str, str]:
    known = info["environment"].get("variables") or {}
    dropped = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "RK_RUNS"}
    found = {key: value for key, value in os.environ.items() if key not in dropped} | known
    if (threads := (info.get("torch") or {}).get("threads")) is not None:
        found["OMP_NUM_THREADS"] = str(threads)
    return found | {"PYTHONSAFEPATH": "1"}


def _waited(process: subprocess.Popen[bytes]) -> int:
    """Waits for the end of a process. Ctrl-C reaches it too, and it ends after its step."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def compare(run: RunFolder, repetition: RunFolder) -> Repeated:
    """Compares the weights of two runs byte by byte, and their metrics."""
    then, now = run.read(), repetition.read()
    differences = [*_weights_that_differ(run.model, repetition.model)]
    metrics: tuple[PlainDict, PlainDict] = (then.get("metrics") or {}, now.get("metrics") or {})
    differences += _some(
        [
            f"{name}: {metrics[0].get(name)!r} then, {metrics[1].get(name)!r} now"
            for name in metrics[0] | metrics[1]
            if metrics[0].get(name) != metrics[1].get(name)
        ],
        "metrics",
    )
    return Repeated(run, repetition, tuple(differences), tuple(_machine(then, now)))


def _weights_that_differ(then: Path, now: Path) -> Iterator[str]:
    import torch
    from safetensors.torch import load_file

    first, second = load_file(then), load_file(now)
    if missing := sorted(first.keys() ^ second.keys()):
        yield f"weights of other names: {', '.join(missing[:_MAX_SHOWN])}"
    found = []
    for name in sorted(first.keys() & second.keys()):
        one, other = first[name], second[name]
        if one.dtype != other.dtype or one.shape != other.shape:
            found.append(f"{name}: {one.dtype} {tuple(one.shape)} then, {other.dtype} {tuple(other.shape)} now")
        elif not torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8)):
            largest = (one.double() - other.double()).abs().max().item()
            found.append(f"{name}: differs by at most {largest:.3g}")
    yield from _some(found, "weights")


def _some(lines: list[str], noun: str) -> list[str]:
    more = len(lines) - _MAX_SHOWN
    return lines if more <= 0 else [*lines[:_MAX_SHOWN], f"and {more} more {noun}"]


def _machine(then: PlainDict, now: PlainDict) -> Iterator[str]:
    """Yields what decides the last bits and is another one than the run's."""
    for part, keys in (("host", ("machine", "processor")), ("torch", ("cpu_capability", "threads", "gpu", "cudnn"))):
        old: Mapping[str, Plain] = then.get(part) or {}
        new: Mapping[str, Plain] = now.get(part) or {}
        for key in keys:
            if old.get(key) != new.get(key):
                yield f"another machine: {key} {old.get(key)} then, {new.get(key)} now"
