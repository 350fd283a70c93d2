"""The run folder: the only module that knows its layout.

::

    runs/<recipe>/<time>-<id>/
        recipe.yaml         complete: reruns as it is
        run.json            status, versions, host, command, facts, final metrics
        metrics.jsonl       one line per log and per validation
        checkpoints/<step>/ model.safetensors, state.pt; checkpoints/index.json names the last and the best
        model.safetensors   the result
        data.pt             what the data fitted, if anything
        figures/            what the data drew of its tests
        report.html         of `rk report`
        traceback.txt       of a bug that ended the run
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rk.errors import RunFailed, UserError, suggest

RUNS_VARIABLE = "RK_RUNS"


def default_root() -> Path:
    """Returns the folder of all runs: ``RK_RUNS``, else ``./runs``."""
    return Path(os.environ.get(RUNS_VARIABLE) or "runs")


def write_atomic(path: Path, text: str) -> None:
    """Replaces `path` by `text` so that a reader, or a machine that dies, sees the old file or the new one.

    Raises:
        RunFailed: When the disk is full or the folder cannot be written; the old file is untouched.
    """
    beside = path.with_name(f".{path.name}.tmp")
    try:
        with open(beside, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise RunFailed(f"cannot write {path}: {error.strerror}") from None


def json_number(value: float) -> float | None:
    """Returns the number, or None where JSON has none for it (NaN, infinity)."""
    return value if math.isfinite(value) else None


class RunFolder:
    """One run on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def discard(self) -> None:
        """Removes the whole run."""
        import shutil

        shutil.rmtree(self.path, ignore_errors=True)

    # -- files -----------------------------------------------------------------------------------------------------

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def model(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def data_state(self) -> Path:
        return self.path / "data.pt"

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def traceback(self) -> Path:
        return self.path / "traceback.txt"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def label(self) -> str:
        """The path as a user would type it."""
        try:
            return str(self.path.resolve().relative_to(Path.cwd()))
        except ValueError:
            return str(self.path)

    # -- making and finding ----------------------------------------------------------------------------------------

    @classmethod
    def create(cls, root: Path, recipe_name: str) -> RunFolder:
        """Makes a new folder under `root`. Raises `UserError` when it cannot be written."""
        stem = recipe_name.rpartition("/")[2]
        now = time.time()
        fraction = int(now % 1 * 0x10000)  # of the second, so that names sort as they were made
        path = root / stem / f"{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}-{fraction:04x}"
        try:
            path.mkdir(parents=True)
            (path / "checkpoints").mkdir()
        except OSError as error:
            raise UserError(
                f"cannot write runs to {root}: {error.strerror}", "choose another with --runs-dir"
            ) from None
        return cls(path)

    @classmethod
    def begin(cls, root: Path, recipe_name: str, recipe: str) -> RunFolder:
        """Makes the folder of a run that is about to start, with its complete recipe."""
        folder = cls.create(root, recipe_name)
        write_atomic(folder.recipe, recipe)
        folder.update(name=recipe_name, status="starting", started=time.strftime("%Y-%m-%dT%H:%M:%S%z"))
        return folder

    @classmethod
    def find(cls, text: str, root: Path | None = None) -> RunFolder:
        """Returns the run that `text` means: a folder, ``last``, or the end of a run's path under `root`.

        Raises:
            UserError: When there is none, or several.
        """
        root = default_root() if root is None else root
        if (Path(text) / "run.json").is_file():
            return cls(Path(text))
        runs = list(cls.all(root))
        if text == "last" and runs:
            return runs[-1]
        found = [r for r in runs if text in (r.path.name, f"{r.path.parent.name}/{r.path.name}")]
        found = found or [r for r in runs if r.path.name.endswith(f"-{text}")]
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError(f"several runs end in {text!r}", ", ".join(r.label for r in found))
        if Path(text).is_dir():
            raise UserError(f"{text} is no run folder: it has no run.json")
        hint = suggest(text, [f"{r.path.parent.name}/{r.path.name}" for r in runs], "runs") if runs else None
        raise UserError(f"no such run: {text}", hint or f"there are no runs in {root} yet")

    @classmethod
    def find_all(cls, texts: Iterable[str], root: Path | None = None) -> list[RunFolder]:
        """Returns the runs that `texts` mean, each once, in their order. Raises `UserError` as `find` does."""
        found = {str(f.path.resolve()): f for f in (cls.find(text, root) for text in texts)}
        return list(found.values())

    @classmethod
    def all(cls, root: Path) -> Iterator[RunFolder]:
        """Yields the runs under `root`, oldest first."""
        paths = sorted(root.glob("*/*/run.json"), key=lambda p: (p.parent.name, p.parent.parent.name))
        for path in paths:
            yield cls(path.parent)

    # -- run.json --------------------------------------------------------------------------------------------------

    def read(self) -> dict[str, Any]:
        """Returns ``run.json``. Raises `UserError` when it cannot be read."""
        try:
            return json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path / 'run.json'} cannot be read: {error}") from None

    def info(self) -> dict[str, Any]:
        """Returns ``run.json``; of one that cannot be read, only that: one damaged run does not hide the others."""
        try:
            return self.read()
        except UserError:
            return {"status": "unreadable"}

    def update(self, **values: Any) -> None:
        """Sets keys of ``run.json``."""
        current = self.read() if (self.path / "run.json").exists() else {}
        write_atomic(self.path / "run.json", json.dumps(current | values, indent=2, ensure_ascii=False) + "\n")

    # -- metrics.jsonl ---------------------------------------------------------------------------------------------

    def append_metrics(self, record: dict[str, Any]) -> None:
        """Adds one line to ``metrics.jsonl``; numbers that JSON lacks become null."""
        clean = {k: json_number(v) if isinstance(v, float) else v for k, v in record.items()}
        path = self.path / "metrics.jsonl"
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(clean) + "\n")
        except OSError as error:
            kept = self.checkpoint_steps()
            hint = f"the checkpoint of step {kept[-1]} is kept: rk train --resume {self.label}" if kept else None
            raise RunFailed(f"cannot write {path}: {error.strerror}", hint) from None

    def metrics(self) -> Iterator[dict[str, Any]]:
        """Yields the lines of ``metrics.jsonl``; a last line cut short by a kill is left out."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue

    def forget_after(self, step: int) -> None:
        """Drops the metric lines of steps that a resumed run does again."""
        kept = [json.dumps(record) + "\n" for record in self.metrics() if record.get("step", 0) <= step]
        write_atomic(self.path / "metrics.jsonl", "".join(kept))

    # -- checkpoints -----------------------------------------------------------------------------------------------

    def checkpoint_path(self, step: int) -> Path:
        return self.checkpoints / f"{step:08d}"

    def checkpoint_steps(self) -> list[int]:
        """Returns the steps that have a checkpoint, oldest first."""
        if not self.checkpoints.is_dir():
            return []
        return sorted(int(p.name) for p in self.checkpoints.iterdir() if p.name.isdigit())

    def best_step(self) -> int | None:
        """Returns the step of the best checkpoint by `fit.monitor`, if one was kept."""
        try:
            return json.loads((self.checkpoints / "index.json").read_text())["best"]
        except (OSError, ValueError, KeyError):
            return None

    def publish_checkpoint(self, beside: Path, step: int, best: int | None) -> Path:
        """Renames the finished folder `beside` to the checkpoint of `step`; drops all but the last and the best."""
        import shutil

        target = self.checkpoint_path(step)
        if target.exists():
            shutil.rmtree(target)
        os.rename(beside, target)
        _sync_folder(self.checkpoints)
        write_atomic(self.checkpoints / "index.json", json.dumps({"last": step, "best": best}) + "\n")
        for old in self.checkpoint_steps():
            if old not in (step, best):
                shutil.rmtree(self.checkpoint_path(old), ignore_errors=True)
        return target

    def scratch(self) -> Path:
        """Returns a fresh folder in which a checkpoint is written before it is published."""
        import shutil

        for left_over in self.checkpoints.glob(".tmp-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        path = self.checkpoints / f".tmp-{os.getpid()}"
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise RunFailed(f"cannot write a checkpoint to {self.checkpoints}: {error.strerror}") from None
        return path


class Bystander(RunFolder):
    """The run of another process, which writes it: here it is only read."""

    def update(self, **values: Any) -> None:
        pass

    def append_metrics(self, record: dict[str, Any]) -> None:
        pass

    def forget_after(self, step: int) -> None:
        pass

    def discard(self) -> None:
        pass


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
