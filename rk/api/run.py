"""A run as an object: what it reached, and what can be done with it."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rk.api.answers import Answers, Part, tensors
from rk.api.figures import Figures
from rk.api.html import display, paragraph, table
from rk.catalog import Catalog
from rk.errors import UserError, with_hints
from rk.fit.signals import Stopped
from rk.recipe.given import override_texts, placed_marks
from rk.recipe.stored import stored_values
from rk.runs import RunFolder
from rk.values import PlainDict

if TYPE_CHECKING:
    from torch import nn

    from rk.errors import ExitCode
    from rk.fit.loaded import LoadedRun

Inputs = str | Path | Sequence[str | Path] | Mapping[str, Any]
"""What a run answers: files, or fields by name."""


class Interrupted(Stopped):
    """A signal, such as Ctrl-C, ended a training after a step. It has a checkpoint: ``error.run.resume()``.

    Attributes:
        run: The run.
        exit_code: The exit code of that signal.
    """

    def __init__(self, run: StoredRun, exit_code: ExitCode) -> None:
        super().__init__(exit_code, f"stopped after step {run.info.get('step')}; resume with run.resume() ({run.path})")
        self.run = run


class StoredRun:
    """A run in its folder. `rk.train` and `rk.load` return it; a notebook shows its table of results.

    Args:
        path: The folder. Raises `UserError` when it holds no `run.json`.
    """

    def __init__(self, path: str | Path) -> None:
        self._folder = RunFolder(Path(path).absolute())
        self._folder.read()

    # -- what is stored --------------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """Its folder."""
        return self._folder.path

    @property
    def info(self) -> PlainDict:
        """What ``run.json`` says now: status, versions, facts, machine."""
        return self._folder.read()

    @property
    def name(self) -> str:
        """The name of its recipe."""
        return str(self.info.get("name") or self.path.name)

    @property
    def status(self) -> str:
        """``done``, ``interrupted``, ``failed``, ``running`` or ``stopped``, which is one that was killed."""
        return self._folder.state()

    @property
    def metrics(self) -> dict[str, float | None]:
        """Final ``split/metric`` -> number, None for one that is not finite; {} while it has not ended."""
        return dict(self.info.get("metrics") or {})

    @property
    def history(self) -> list[PlainDict]:
        """What was logged and validated: one dict per line, with its ``step``."""
        return list(self._folder.metrics())

    @property
    def recipe(self) -> PlainDict:
        """The complete recipe, with all defaults, as plain values: `rk.train` takes it, whole or changed."""
        return stored_values(self._folder)

    @property
    def figures(self) -> Figures:
        """The figures of its tests; a notebook draws them."""
        folder = self._folder.figures
        return Figures(sorted(folder.iterdir()) if folder.is_dir() else ())

    # -- what can be done with it ----------------------------------------------------------------------------------

    @property
    def learner(self) -> nn.Module:
        """The learner with its weights, in eval mode: a torch module."""
        return self._loaded.learner

    def predict(self, inputs: Inputs | None = None, *, text: str | Iterable[str] = (), **overrides: Any) -> Answers:
        """Answers files, texts, or fields.

        Args:
            inputs: A file, a folder, a pattern such as ``scans/*.png``, or a list of them: the run's data read them, as
                in `rk predict`. Or a mapping, field -> array or tensor with the examples along its first axis. A data
                frame of polars or pandas is read as its CSV file would be.
            text: A text, or several, that are answered themselves.
            overrides: ``data`` and parameters for decoding, as in `train`: ``model={"beam_size": 3}``.

        Returns:
            One plain dict per example, with ``.outputs``.

        Raises:
            UserError: When an input cannot be read, or the fields do not fit the run.
        """
        with with_hints():
            loaded = self._loaded if not overrides else self._open(overrides)
            from rk.fit.unchanged import unchanged

            with unchanged():
                parts = list(_parts(loaded, inputs, [text] if isinstance(text, str) else list(text)))
            return Answers(parts, lambda part, out: loaded.render(part.batch, part.outputs, out))

    def evaluate(
        self, splits: str | Sequence[str] = (), *, limit: int | None = None, **overrides: Any
    ) -> dict[str, float]:
        """Measures the run again, on other data or with other decoding.

        Args:
            splits: The splits; by default all that are validated or tested.
            limit: The most batches to take of each split.
            overrides: ``data`` and parameters for decoding: ``data={"test_sizes": [50]}``.

        Returns:
            ``split/metric`` -> number.

        Raises:
            UserError: When there is no such split, or an override would change the weights.
        """
        with with_hints():
            loaded = self._loaded if not overrides else self._open(overrides)
            from rk.fit.unchanged import unchanged

            with unchanged():
                return loaded.evaluate((splits,) if isinstance(splits, str) else tuple(splits), limit)

    def export(self, to: str, out: str | Path | None = None, *, force: bool = False, **overrides: Any) -> list[Path]:
        """Writes the run for the outside world.

        Args:
            to: An exporter: ``onnx``, ``torch-export``, ``hub``, ``safetensors``.
            out: The folder to write; by default ``RUN/export/FORMAT``.
            force: Replaces files that no earlier export wrote.
            overrides: ``exporter={"opset": 20}``, and parameters for decoding.

        Returns:
            The files.

        Raises:
            RkError: When the run cannot be exported.
        """
        from rk.export.of_run import export_run
        from rk.fit.unchanged import unchanged

        with with_hints(), unchanged(), placed_marks():
            where = None if out is None else Path(out)
            return export_run(self._folder, to, override_texts(overrides), Catalog(), out=where, force=force)

    def resume(self, *, progress: bool = True, **overrides: Any) -> StoredRun:
        """Continues a run that was stopped, or one that is given more steps; returns it.

        Args:
            progress: Whether progress is shown.
            overrides: What may change: ``fit={"max_steps": 20000}``, paths of the data.

        Raises:
            UserError: When an override could change what was learned.
            RunBusy: When another process trains it.
            Interrupted: When a signal stops it again.
        """
        from rk.api.training import continued

        self.__dict__.pop("_loaded", None)
        return ended(self, continued(self._folder, progress, overrides))

    @functools.cached_property
    def _loaded(self) -> LoadedRun:
        return self._open({})

    def _open(self, overrides: Mapping[str, Any]) -> LoadedRun:
        from rk.fit.loaded import LoadedRun
        from rk.fit.unchanged import unchanged

        with with_hints(), unchanged(), placed_marks():
            return LoadedRun.open(self.path, Catalog(), override_texts(overrides))

    # -- how it is shown -------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"StoredRun({str(self.path)!r}, name={self.name!r}, status={self.status!r})"

    def __getstate__(self) -> PlainDict:
        return {"_folder": self._folder}  # what is loaded is loaded again

    def _repr_html_(self) -> str:
        from rk.report.claims import results_table
        from rk.report.summary import RunSummary

        summary = RunSummary(self._folder)
        steps = "" if summary.step is None else f", {summary.step} steps"
        head = f"{summary.title}: {self.status}{steps}; {self._folder.label}"
        return paragraph(head) + (table(*results_table(summary.judged)) if summary.judged else "")

    def show(self) -> None:
        """Shows the results and the figures in a notebook; elsewhere, prints their place."""
        display(self)
        if self.figures:
            self.figures.show()


def ended(run: StoredRun, code: ExitCode) -> StoredRun:
    """Returns a run that has ended. Raises `Interrupted` where a signal stopped it."""
    if code:
        raise Interrupted(run, code)
    return run


def _parts(loaded: LoadedRun, inputs: Any, texts: list[str]) -> Iterable[Part]:  # Any: what a program gives
    if inputs is None and not texts:
        raise UserError("which inputs?", 'give files, as in run.predict("scans/*.png"), or fields by name')
    if isinstance(inputs, Mapping):
        yield _of_fields(loaded, inputs)
        inputs = ()
    elif (written := _frame_writer(inputs)) is not None:
        with tempfile.TemporaryDirectory(prefix="rk-") as folder:
            path = Path(folder, "frame.csv")
            written(path)
            yield _of_file(loaded, path, "frame", "the data frame")
        inputs = ()
    elif inputs is None:
        inputs = ()
    elif isinstance(inputs, str | os.PathLike):
        inputs = (inputs,)
    elif not isinstance(inputs, Iterable) or not all(isinstance(one, str | os.PathLike) for one in _short(inputs)):
        raise UserError(
            f"expected files, or fields by name, got {type(inputs).__name__}",
            'fields are a mapping, as in run.predict({"inputs": array})',
        )
    files = [os.fspath(one) for one in inputs]
    if files or texts:
        from rk.inputs import find_inputs

        with find_inputs(files, texts) as found:
            for item in found:
                yield _of_file(loaded, item.path, item.name, item.shown)


def _short(inputs: Iterable[Any]) -> Iterable[Any]:
    """Returns the items of what may be an array: each of its items would be one, too."""
    return inputs if isinstance(inputs, list | tuple | set | frozenset) else [None]


def _frame_writer(inputs: Any) -> Any:
    """Returns what writes a data frame as CSV: pandas and polars name it differently."""
    if (write := getattr(inputs, "write_csv", None)) is not None:
        return write
    write = getattr(inputs, "to_csv", None)
    return None if write is None else functools.partial(write, index=False)


def _of_file(loaded: LoadedRun, path: Path, name: str, shown: str) -> Part:
    try:
        batch, outputs, rows = loaded.predict(path)
    except UserError as error:
        raise UserError(error.message.replace(str(path), shown), error.hint) from None
    return Part(name, batch, outputs, rows)


def _of_fields(loaded: LoadedRun, fields: Mapping[str, Any]) -> Part:
    from rk.fit.failures import misfit

    batch = tensors(fields)
    try:
        return Part("fields", *loaded.answer(batch))
    except Exception as error:
        explained = misfit(error, batch)
        if explained is error:
            raise
        raise explained from error


def load(run: str | Path | StoredRun = "last", *, runs_dir: str | Path | None = None) -> StoredRun:
    """Returns a stored run.

    Args:
        run: Its folder, its name, the end of its id, or ``last``, the newest one with weights.
        runs_dir: The folder of all runs; by default `RK_RUNS`, else ``./runs``.

    Raises:
        UserError: When there is no such run, or several.
    """
    if isinstance(run, StoredRun):
        return run
    with with_hints():
        return StoredRun(RunFolder.find(os.fspath(run), None if runs_dir is None else Path(runs_dir)).path)


def evaluate(
    run: str | Path | StoredRun = "last",
    splits: str | Sequence[str] = (),
    *,
    limit: int | None = None,
    runs_dir: str | Path | None = None,
    **overrides: Any,
) -> dict[str, float]:
    """Measures a run again: `load`, then `StoredRun.evaluate`.

    Args:
        run: As for `load`.
        splits: The splits; by default all that are validated or tested.
        limit: The most batches to take of each split.
        runs_dir: The folder of all runs.
        overrides: ``data`` and parameters for decoding.

    Returns:
        ``split/metric`` -> number.

    Raises:
        UserError: When there is no such run or split, or an override would change the weights.
    """
    return load(run, runs_dir=runs_dir).evaluate(splits, limit=limit, **overrides)
