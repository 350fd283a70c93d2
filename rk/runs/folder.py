"""The run folder.

::

    runs/<recipe>/<time>-<id>/
        recipe.yaml         complete: reruns as it is
        run.json            status, versions, host, command, facts, final metrics
        metrics.jsonl       one line per log and per validation
        checkpoints/        see `rk.runs.checkpoints`
        model.safetensors   the result
        data.pt             what the data fitted, if anything
        figures/            what the data drew of its tests
        report.html         of `rk report`
        traceback.txt       of a bug that ended the run
        .lock               locked while a process trains the run, see `rk.runs.lock`
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from rk.errors import RunFailed, UserError, suggest
from rk.jsontext import to_json
from rk.runs import checkpoints as ckpt
from rk.runs import lock
from rk.values import PlainDict
from rk.writing import remove_half_written, write_atomic

RUNS_VARIABLE = "RK_RUNS"
ACTIVE = ("starting", "running")
"""Stored states of a run that a process works on. When that process was killed, the state stays."""
STOPPED = "stopped"
"""The state of such a run."""
MAX_NAME = 100
"""Characters of a recipe's name in the name of a folder."""
_ENTRIES = ("recipe.yaml", "run.json", "metrics.jsonl", "checkpoints", "data.pt", "figures", "export", "traceback.txt")

Wanted = Literal["weights", "recipe", "any"]


class RunBusy(UserError):
    """Another process trains the run."""


def default_root() -> Path:
    """Returns the folder of all runs: ``RK_RUNS``, else ``./runs``."""
    return Path(os.environ.get(RUNS_VARIABLE) or "runs")


def json_number(value: float) -> float | None:
    """Returns the number, or None where JSON has none for it (NaN, infinity)."""
    return value if math.isfinite(value) else None


class RunFolder:
    """One run on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

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
        except (ValueError, OSError):
            return str(self.path)

    # -- making and finding ----------------------------------------------------------------------------------------

    @classmethod
    def create(cls, root: Path, recipe_name: str) -> RunFolder:
        """Makes a new folder under `root`. Raises `UserError` when it cannot be written."""
        stem = recipe_name.rpartition("/")[2].strip(". ")[:MAX_NAME] or "run"
        for _ in range(100):
            path = root / stem / _folder_name(time.time())
            try:
                path.mkdir(parents=True)
                (path / "checkpoints").mkdir()
            except FileExistsError:  # two runs began within 15 microseconds
                time.sleep(0.0001)
                continue
            except OSError as error:
                raise UserError(
                    f"cannot write runs to {root}: {error.strerror}", "choose another folder with --runs-dir"
                ) from None
            return cls(path)
        raise UserError(f"cannot write runs to {root}: a file has the name {stem!r}")

    @classmethod
    def begin(cls, root: Path, recipe_name: str, recipe: str, at: Path | None = None) -> RunFolder:
        """Makes the folder of a run that is about to start, with its complete recipe: below `root`, or `at` a place."""
        if at is None:
            folder = cls.create(root, recipe_name)
        else:
            folder = cls(at)
            try:
                folder.checkpoints.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise RunFailed(f"cannot write {at}: {error.strerror}") from None
        write_atomic(folder.recipe, recipe)
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        folder.update(name=recipe_name, status="starting", started=started, owner=lock.this_process())
        return folder

    @classmethod
    def find(cls, text: str, root: Path | None = None, *, last: Wanted = "weights") -> RunFolder:
        """Returns the run that `text` means: a folder, ``last``, or the end of a run's path under `root`.

        Args:
            text: What the user typed.
            root: The folder of all runs.
            last: Which runs ``last`` chooses from: those with weights (or of an analysis), those with a recipe, which
                can be resumed, or all.

        Raises:
            UserError: When there is none, or several.
        """
        root = default_root() if root is None else root
        if (Path(text) / "run.json").is_file():
            return cls(Path(text))
        runs = list(cls.all(root))
        if text == "last" and runs:
            return next((run for run in reversed(runs) if run._offers(last)), runs[-1])
        found = [r for r in runs if text in (r.path.name, f"{r.path.parent.name}/{r.path.name}")]
        found = found or [r for r in runs if r.path.name.endswith(f"-{text}")]
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError(f"several runs end in {text!r}", ", ".join(r.label for r in found))
        if Path(text).is_dir():
            raise UserError(f"{text} is not a run folder: it has no run.json")
        hint = suggest(text, [f"{r.path.parent.name}/{r.path.name}" for r in runs], "runs") if runs else None
        raise UserError(f"no such run: {text}", hint or f"there are no runs in {root} yet")

    def _offers(self, wanted: Wanted) -> bool:
        if wanted == "weights":
            return self.model.is_file() or bool(self.checkpoint_steps()) or not self.recipe.is_file()
        return wanted == "any" or self.recipe.is_file()

    @classmethod
    def find_all(cls, texts: Iterable[str], root: Path | None = None, *, last: Wanted = "weights") -> list[RunFolder]:
        """Returns the runs that `texts` mean, each once, in their order. Raises `UserError` as `find` does."""
        found = {str(f.path.resolve()): f for f in (cls.find(text, root, last=last) for text in texts)}
        return list(found.values())

    @classmethod
    def all(cls, root: Path) -> Iterator[RunFolder]:
        """Yields the runs under `root`, oldest first: their names begin with the time, in UTC."""
        paths = sorted(root.glob("*/*/run.json"), key=lambda p: (p.parent.name, p.parent.parent.name))
        for path in paths:
            yield cls(path.parent)

    # -- owning and deleting ---------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def owned(self) -> Iterator[None]:
        """Makes this process the only one that trains the run, for the block.

        Raises:
            RunBusy: When another process trains it.
            UserError: When the folder holds a link in place of a file: its target may be outside of the run.
        """
        self._refuse_links()
        file, handle = self.path / ".lock", None
        try:
            handle = lock.acquire(file)
        except lock.Unsupported:
            if self._owner_seems_alive():
                raise self._busy() from None
        else:
            if handle is None:
                raise self._busy()
        try:
            remove_half_written(self.path)
            if self.checkpoints.is_dir():
                ckpt.settle(self.checkpoints)
            yield
        finally:
            if handle is not None:
                lock.release(file, handle)

    def is_active(self) -> bool:
        """Whether a living process trains the run."""
        try:
            return lock.is_locked(self.path / ".lock")
        except lock.Unsupported:
            return self._owner_seems_alive()

    def refuse_if_active(self) -> None:
        """Raises `RunBusy` when a living process trains the run."""
        if self.is_active():
            raise self._busy()

    def _owner_seems_alive(self) -> bool:
        info = self.info()
        return info.get("status") in ACTIVE and lock.seems_alive(info.get("owner"))

    def _busy(self) -> RunBusy:
        owner = self.info().get("owner")
        who = f"process {owner.get('pid')} on {owner.get('host')}" if isinstance(owner, dict) else "another process"
        return RunBusy(f"{self.label} is being trained by {who}", "wait for it, or stop it with Ctrl-C or SIGTERM")

    def _refuse_links(self) -> None:
        link = next((name for name in _ENTRIES if (self.path / name).is_symlink()), None)
        if link is not None:
            raise UserError(
                f"{self.path / link} is a link; the files of a run must be in its folder",
                "replace it by what it names",
            )

    def delete(self) -> None:
        """Removes the whole run.

        Raises:
            RunBusy: When a process trains it.
            RunFailed: When the folder cannot be removed; some of its files may be gone.
        """
        import shutil

        self.refuse_if_active()
        try:
            shutil.rmtree(self.path)
        except OSError as error:
            raise RunFailed(f"cannot delete {error.filename or self.path}: {error.strerror or error}") from None
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()  # of the last run of a recipe

    def discard(self) -> None:
        """Removes the folder of a run that took no step, as far as that is possible."""
        import shutil

        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()

    # -- run.json --------------------------------------------------------------------------------------------------

    def read(self) -> PlainDict:
        """Returns ``run.json``. Raises `UserError` when it cannot be read."""
        path = self.path / "run.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{path} cannot be read: {error}") from None
        if not isinstance(found, dict):
            raise UserError(f"{path} cannot be read: it must hold an object, got {type(found).__name__}")
        return found

    def info(self) -> PlainDict:
        """Returns ``run.json``; of one that cannot be read, only that: one damaged run does not hide the others."""
        try:
            return self.read()
        except UserError:
            return {"status": "unreadable"}

    def state(self, info: PlainDict | None = None) -> str:
        """Returns the status; `STOPPED` where the run is recorded as active but no process trains it."""
        status = (self.info() if info is None else info).get("status")
        return STOPPED if status in ACTIVE and not self.is_active() else str(status or "")

    def update(self, **values: Any) -> None:
        """Sets keys of ``run.json``. Raises `RunFailed` when it cannot be written."""
        try:
            current = self.read() if (self.path / "run.json").exists() else {}
        except UserError as error:
            raise RunFailed(error.message) from None
        write_atomic(self.path / "run.json", to_json(current | values, indent=2) + "\n")

    # -- metrics.jsonl ---------------------------------------------------------------------------------------------

    @property
    def _metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def append_metrics(self, record: PlainDict) -> None:
        """Adds one line to ``metrics.jsonl``; numbers that JSON lacks become null."""
        clean = {k: json_number(v) if isinstance(v, float) else v for k, v in record.items()}
        try:
            with open(self._metrics, "a", encoding="utf-8") as file:
                file.write(json.dumps(clean) + "\n")
        except OSError as error:
            kept = self.checkpoint_steps()
            hint = f"the checkpoint of step {kept[-1]} is kept: rk train --resume {self.label}" if kept else None
            raise RunFailed(f"cannot write {self._metrics}: {error.strerror}", hint) from None

    def metrics(self) -> Iterator[PlainDict]:
        """Yields the lines of ``metrics.jsonl`` as dicts with a step; damaged lines are left out."""
        try:
            text = self._metrics.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        for line in text.split("\n"):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict) and isinstance(record.get("step"), int):
                yield record

    def metrics_size(self) -> int:
        """Returns the bytes of ``metrics.jsonl``, all of which the disk then has: a checkpoint remembers them."""
        try:
            with open(self._metrics, "rb") as file:
                os.fsync(file.fileno())
                return os.fstat(file.fileno()).st_size
        except OSError:
            return 0

    def cut_metrics(self, size: int | None, step: int) -> None:
        """Drops the lines that were written after a checkpoint: a resumed run writes them again.

        Args:
            size: What `metrics_size` was at the checkpoint; None in checkpoints of older versions.
            step: The step of the checkpoint.
        """
        try:
            content = self._metrics.read_bytes()
        except OSError:
            return
        if size is not None:
            write_atomic(self._metrics, content[:size])
            return
        kept = [json.dumps(record) + "\n" for record in self.metrics() if record["step"] <= step]
        write_atomic(self._metrics, "".join(kept))

    # -- checkpoints -----------------------------------------------------------------------------------------------

    def checkpoint_path(self, step: int) -> Path:
        """Returns where the checkpoint of `step` is, or would be."""
        return ckpt.path_of(self.checkpoints, step)

    def checkpoint_steps(self) -> list[int]:
        """Returns the steps that have a complete checkpoint, oldest first."""
        return list(ckpt.published(self.checkpoints))

    def best_step(self) -> int | None:
        """Returns the step of the best checkpoint by `fit.monitor`, if one was kept."""
        return ckpt.best_step(self.checkpoints)

    def scratch(self, step: int) -> Path:
        """Returns an empty folder in which the checkpoint of `step` is written before it is published."""
        if not self.path.is_dir():
            raise RunFailed(f"{self.label} is gone: somebody deleted the run while it was trained")
        return ckpt.scratch(self.checkpoints, step)

    def publish_checkpoint(self, beside: Path, step: int, best: int | None, keep: int = 1) -> Path:
        """Gives the finished folder `beside` the name of its step; drops all but the last `keep` and the best."""
        return ckpt.publish(self.checkpoints, beside, step, best, keep)


class Bystander(RunFolder):
    """The run of another process, which writes it: here it is only read."""

    @contextlib.contextmanager
    def owned(self) -> Iterator[None]:
        yield

    def update(self, **values: Any) -> None:
        pass

    def append_metrics(self, record: PlainDict) -> None:
        pass

    def cut_metrics(self, size: int | None, step: int) -> None:
        pass

    def discard(self) -> None:
        pass


def _folder_name(now: float) -> str:
    """Returns the name of a run that begins now: names sort as they were made, on machines of any time zone."""
    fraction = int(now % 1 * 0x10000)
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{fraction:04x}"
