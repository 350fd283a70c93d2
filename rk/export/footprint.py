"""The analysis `footprint`: what runs cost and reach, in one table."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rk.charts import chart, plain, save
from rk.errors import RkError, UserError, suggest
from rk.export.of_run import export_run
from rk.protocols import Batch, Run
from rk.runs import RunFolder
from rk.writing import write_csv

MODEL = "model.onnx"


class Footprint:
    """Compares runs of any plugins: weights, bytes in each format, operations, latency, and a metric.

    Sizes are those of files, not of parameter counts. The operations are the matrix products and convolutions of one
    example, as torch counts them: zeros and few bits do not lower them. The latency is that of a batch in torch, and
    in onnxruntime where a format writes a graph for it; the median of some repetitions, on the machine and the number
    of threads that the analysis has.

    The analysis writes ``footprint.csv`` and ``footprint.png``.

    Args:
        runs: The runs.
        metric: ``split/metric`` that is evaluated for each run.
        formats: Exporters whose files are measured; a run that one refuses has no number there.
        batch_size: Examples of the batch that is timed, at most.
        repeats: Times that the batch is answered.

    Examples:
        rk analyze footprint --runs '[runs/a, runs/b]' --formats '[safetensors, onnx]'
    """

    def __init__(
        self,
        runs: tuple[Run, ...],
        metric: str = "test/accuracy",
        formats: tuple[str, ...] = ("safetensors",),
        batch_size: Annotated[int, Ge(1)] = 32,
        repeats: Annotated[int, Ge(1)] = 20,
    ) -> None:
        if not runs:
            raise ValueError("runs must not be empty")
        self.runs: tuple[Any, ...] = runs  # Any: they are loaded runs, with more than what plugins are promised
        self.metric = metric
        self.formats = formats
        self.batch_size = batch_size
        self.repeats = repeats

    def analyze(self, out: Path) -> dict[str, float]:
        """Measures all runs; returns the number of runs, and of the smallest file the bytes.

        Raises:
            RkError: When a run cannot be loaded, or does not measure the metric.
        """
        for name in self.formats:  # a misspelt format is a mistake, not a run that cannot be written
            self.runs[0].catalog.resolve("exporter", name)
        rows = [self._row(run) for run in self.runs]
        columns = list(dict.fromkeys(key for row in rows for key in row))
        write_csv(out / "footprint.csv", columns, ([row.get(key) for key in columns] for row in rows))
        for row in rows:
            print("  ".join(f"{key} {_text(value)}" for key, value in row.items()))
        _draw(rows, self.metric, out / "footprint.png")
        sizes = [value for row in rows for key, value in row.items() if key.startswith("bytes ") and value is not None]
        return {"runs": float(len(rows)), **({"smallest": float(min(sizes))} if sizes else {})}

    def _row(self, run: Any) -> dict[str, Any]:
        metrics = run.evaluate()
        if self.metric not in metrics:
            hint = suggest(self.metric, list(metrics), "--metric takes")
            raise UserError(f"{run.folder.label} measures no {self.metric!r}", hint)
        batch = self._batch(run)
        learner: nn.Module = run.learner
        parameters = [p for p in learner.parameters() if p.is_floating_point()]
        answer = run.learner.predict
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            answer(batch)
        row: dict[str, Any] = {
            "run": run.recipe.name,
            self.metric: metrics[self.metric],
            "parameters": sum(p.numel() for p in parameters),
            "not zero": sum(int(p.count_nonzero()) for p in parameters),
            "flops": counter.get_total_flops() // _examples(batch),
            "ms torch": _median_ms(lambda: answer(batch), self.repeats),
        }
        return row | self._files(run, batch)

    def _batch(self, run: Run) -> Batch:
        split = self.metric.partition("/")[0]
        whole = next(run.batches(split, 1))
        count = min(_examples(whole), self.batch_size)
        return {k: v[:count] if isinstance(v, Tensor) and v.dim() else v for k, v in whole.items()}

    def _files(self, run: Any, batch: Batch) -> dict[str, Any]:
        """Exports the run in each format; returns the bytes of the files, and onnxruntime's latency."""
        found: dict[str, Any] = {}
        for name in self.formats:
            with tempfile.TemporaryDirectory(prefix="rk-") as scratch:
                try:
                    paths = export_run(RunFolder(run.folder.path), name, (), run.catalog, out=Path(scratch, "export"))
                except RkError as error:
                    print(f"{run.recipe.name}: no {name}: {error.message.splitlines()[0]}")
                    found[f"bytes {name}"] = None
                    continue
                weights = [p for p in paths if p.suffix not in (".yaml", ".json", ".md")]
                found[f"bytes {name}"] = sum(p.stat().st_size for p in weights)
                model = next((p for p in paths if p.name == MODEL), None)
                if model is not None:
                    found[f"ms {name}"] = _onnx_ms(model, batch, self.repeats)
        return found


def _examples(batch: Batch) -> int:
    return max(len(v) for v in batch.values() if isinstance(v, Tensor) and v.dim())


@torch.no_grad()
def _median_ms(answer: Callable[[], object], repeats: int) -> float:
    answer()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        answer()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def _onnx_ms(model: Path, batch: Batch, repeats: int) -> float | None:
    """Returns the latency of the graph in onnxruntime, on as many threads as torch has; None without onnxruntime."""
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    inputs = {i.name: batch[i.name].numpy() for i in session.get_inputs() if i.name in batch}
    if len(inputs) < len(session.get_inputs()):
        return None
    return _median_ms(lambda: session.run(None, inputs), repeats)


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _draw(rows: Sequence[Mapping[str, Any]], metric: str, path: Path) -> None:
    """Draws the metric of each run over the bytes of its smallest file."""
    with chart(5.2, 3.2) as (figure, axis):
        for row in rows:
            sizes = [value for key, value in row.items() if key.startswith("bytes ") and value is not None]
            if sizes:
                axis.plot([min(sizes) / 1024], [row[metric]], "o", label=plain(str(row["run"])))
        axis.set_xscale("log")
        axis.set_xlabel("smallest file, KiB")
        axis.set_ylabel(plain(metric))
        axis.legend()
        save(figure, path)
