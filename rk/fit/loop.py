"""The loop: steps, validation, checkpoints, the end. Nothing assumes a gradient, an optimizer, a loss or an epoch."""

from __future__ import annotations

import contextlib
import gc
import inspect
import math
import os
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import torch

from rk.catalog import Catalog
from rk.environment import describe
from rk.errors import ExitCode, RkError, RunFailed, UserError, suggest
from rk.fit.build import Builder, Parts, prepare, save_data_state
from rk.fit.checkpoint import all_finite, read_checkpoint, read_last_checkpoint, write_checkpoint
from rk.fit.context import FitContext
from rk.fit.evaluate import evaluate, higher_is_better
from rk.fit.figures import artists, draw
from rk.fit.firstbatch import check_fields
from rk.fit.logs import RunningMeans, not_finite
from rk.fit.progress import Progress, make_progress, show
from rk.fit.rng import get_state, seed_all, set_state
from rk.fit.runtime import Runtime, choose_device
from rk.fit.signals import StopSignal
from rk.fit.stream import Stream
from rk.fit.weights import save_weights
from rk.recipe.model import Recipe
from rk.recipe.sections import Fit
from rk.recipe.stored import read_stored
from rk.runs import Bystander, RunFolder, json_number

_DEFAULT_THREADS = torch.get_num_threads()
"""Torch's own choice: another run in this process may have set its own."""
_CALLBACK_METHODS = ("fit_start", "before_update", "after_step", "validated", "checkpoint", "fit_end")


@dataclass
class Outcome:
    """How a run ended."""

    folder: RunFolder
    metrics: dict[str, float]
    exit_code: ExitCode = ExitCode.OK
    steps: int = 0
    summary: str = ""
    """What the algorithm says of the whole run."""


def train(
    recipe: Recipe, catalog: Catalog, folder: RunFolder, *, resume: bool = False, extend: bool = False
) -> Outcome:
    """Runs `recipe` in `folder`, from the start or from its last checkpoint.

    Args:
        recipe: What to run.
        catalog: The installed components.
        folder: Where the run is kept.
        resume: Goes on from the last checkpoint.
        extend: Goes on although the run had ended: it has been given more steps.

    Raises:
        UserError: When the input turns out to be wrong (a claim on an unknown metric, a missing file).
        RunFailed: When the run went wrong; the folder says so and keeps its last good checkpoint.
    """
    if (recipe.fit.devices, recipe.fit.nodes) != (1, 1) and not torch.distributed.is_initialized():
        from rk.fit.launch import device_count, run_processes

        recipe.fit = replace(recipe.fit, devices=device_count(recipe.fit))
        if recipe.fit.nodes > 1:
            raise UserError(
                f"fit.nodes is {recipe.fit.nodes}", "on each machine: torchrun --nnodes ... -m rk train ..."
            )
        if recipe.fit.devices > 1:
            try:
                found = run_processes(recipe.fit, _one_of_several, catalog, folder.path, resume, extend)
            except (RkError, KeyboardInterrupt) as error:
                return _failed(folder, error, begun=resume or folder.info().get("status") != "starting")
            return Outcome(folder, found.metrics, found.exit_code, found.steps)
    loop = Loop(recipe, catalog, folder)
    try:
        with StopSignal() as signal:
            return loop.run(signal, resume, extend)
    except BaseException as error:
        return _failed(folder, error, begun=resume or loop.progress is not None)
    finally:
        if loop.progress is not None:
            loop.progress.stop()


def _one_of_several(fit: Fit, catalog: Catalog, path: Path, resume: bool, extend: bool) -> Outcome:
    """Runs the recipe in the folder `path` as one of several processes, which have their process group."""
    folder = RunFolder(path) if torch.distributed.get_rank() == 0 else Bystander(path)
    recipe = read_stored(folder, (), catalog)
    recipe.fit = fit
    return train(recipe, catalog, folder, resume=resume, extend=extend)


def _failed(folder: RunFolder, error: BaseException, begun: bool) -> NoReturn:
    """Notes in the run how it ended and raises `error` again; of a run that never began, nothing stays."""
    watched = torch.distributed.is_initialized() and "TORCHELASTIC_RUN_ID" not in os.environ
    if isinstance(error, UserError) and not begun:
        if not watched:  # else the process that started this one sees to it
            folder.discard()
        raise error
    _note_failure(folder, error)
    raise error


def _note_failure(folder: RunFolder, error: BaseException) -> None:
    """Writes into the run how it ended, as far as the disk allows: what went wrong is not to be hidden by it."""
    with contextlib.suppress(RunFailed, OSError):
        if isinstance(error, KeyboardInterrupt):
            folder.update(status="interrupted")
        else:
            folder.update(status="failed", error=f"{type(error).__name__}: {error}")
        bug = isinstance(error, Exception) and not isinstance(error, RkError)  # of a plugin or of rk
        if bug and not folder.traceback.exists():  # of several processes, the others fail because the first one did
            folder.traceback.write_text(traceback.format_exc(), encoding="utf-8")


class Loop:
    progress: Progress | None = None

    def __init__(self, recipe: Recipe, catalog: Catalog, folder: RunFolder) -> None:
        self.recipe = recipe
        self.fit = recipe.fit
        self.catalog = catalog
        self.folder = folder
        self.step = 0
        self.micro_batches = 0
        self.finished = False
        self.best_step: int | None = None
        self.best_value: float | None = None
        self.validated_at: int | None = None
        self.checkpoint_at: tuple[int, bool] | None = None
        self.logged_at = 0
        self.seconds_before = 0.0
        self.logs = RunningMeans()

    # -- the whole -------------------------------------------------------------------------------------------------

    def run(self, signal: StopSignal, resume: bool, extend: bool) -> Outcome:
        self.build()
        if resume:
            self._restore()
            self.finished = self.finished and not extend
        self._announce()
        total = self.total_steps if self.total_steps is not None else getattr(self.parts.trainer, "total_steps", None)
        self.progress = make_progress(self.recipe.name, total, self.runtime.is_main)
        self.progress.start(self.step)
        for callback in self.hooks["fit_start"]:
            callback(self.context)
        if self.runtime.rank and not resume:
            seed_all(self.fit.seed + 1_000_003 * self.runtime.rank)  # the weights are made: dropout may differ
        if not self.finished:
            gc.freeze()  # what importing and building made lives on: the collector need not walk it at every turn
            try:
                self._train(signal)
            finally:
                gc.unfreeze()
        if stopped := self.runtime.agree(signal.caught or 0):
            return self._interrupted(ExitCode(stopped))
        self._finish()
        metrics = self._conclude()
        summary = self.parts.trainer.summary() if hasattr(self.parts.trainer, "summary") else ""
        return Outcome(self.folder, metrics, steps=self.step, summary=summary)

    # -- building --------------------------------------------------------------------------------------------------

    def build(self) -> None:
        self.started = time.perf_counter()
        self.runtime = runtime = self._make_runtime()
        torch.set_num_threads(self.fit.threads or max(1, _DEFAULT_THREADS // min(runtime.world, self.fit.devices)))
        builder = Builder(self.recipe, self.catalog)
        data = builder.data()
        if not runtime.is_main:  # what one process has downloaded is there for all
            runtime.barrier()
        prepare(data, self.recipe.data)
        if runtime.is_main:
            runtime.barrier()
        if data is not None:
            builder.learn_facts(data)
        runtime.total_steps = self.total_steps = self._total_steps(data)
        self.parts: Parts = builder.parts(data, runtime)
        parts = self.parts
        self.takes_batch = bool(inspect.signature(parts.trainer.step).parameters)
        self.metrics = metrics_of(parts)
        self.splits = tuple(getattr(parts.data, "splits", ()))
        self._check_claims()
        self.context = FitContext(self.recipe, self.folder.path, parts.data, parts.learner, parts.trainer, runtime)
        self.hooks = {
            name: [getattr(c, name) for c in parts.callbacks if _implements(c, name)] for name in _CALLBACK_METHODS
        }
        runtime.before_update += self.hooks["before_update"]
        if parts.data is not None and runtime.is_main:
            save_data_state(parts.data, self.folder.data_state)
        if self.takes_batch:
            self._check_first_batch()

    def _make_runtime(self) -> Runtime:
        settings = {
            "accumulate": self.fit.accumulate,
            "gradient_clip": self.fit.gradient_clip,
            "folder": self.folder.path,
        }
        if torch.distributed.is_initialized() or self.fit.precision != "32-true":
            if self.fit.strategy == "fsdp" and torch.distributed.is_initialized():
                from rk.fit.sharded import ShardedRuntime

                return ShardedRuntime(self.fit, **settings)
            from rk.fit.fabric import FabricRuntime

            return FabricRuntime(self.fit, **settings)
        return Runtime(choose_device(self.fit.accelerator), **settings)

    def _total_steps(self, data: Any) -> int | None:
        limits = [] if self.fit.max_steps is None else [self.fit.max_steps]
        if self.fit.max_epochs is not None:
            batches = data.batches("train") if data is not None else None
            if batches is None:
                raise UserError("fit.max_epochs: the training data has no end", "give fit.max_steps")
            limits.append(math.ceil(self.fit.max_epochs * batches / (self.fit.accumulate * self.runtime.world)))
        return min(limits, default=None)

    def _check_claims(self) -> None:
        """`fit.monitor` and `expect` must name what there is: known for certain only now."""
        known = {f"{s}/{m}" for s in self.splits for m in (*self.metrics, "loss")}
        wanted = [("expect", c.metric) for c in self.recipe.expect]
        wanted += [("fit.monitor", self.fit.monitor)] if self.fit.monitor else []
        for key, metric in wanted:
            if metric.partition("@")[0] not in known:
                raise UserError(f"{key}: there is no {metric!r}", suggest(metric, known, "there are"))
        if self.takes_batch and "train" not in self.splits:
            raise UserError(f"the data has no split 'train'; it has {', '.join(self.splits) or 'none'}")

    def _check_first_batch(self) -> None:
        spec = self.recipe.data
        if spec is not None:
            check_fields(self.parts.data.batch("train", 0), type(self.parts.data).batch, spec, "the first batch")

    def _announce(self) -> None:
        parameters = sum(p.numel() for p in self.parts.learner.parameters())
        distributions = {s.component.distribution for s in self.recipe.specs()}
        if self.runtime.is_main:
            self.folder.traceback.unlink(missing_ok=True)  # of an earlier try
        self.folder.update(
            status="running",
            error=None,
            metrics=None,
            step=None,
            facts={k: v for k, v in self.parts.facts.items() if k != "seed"},
            parameters=parameters,
            higher_is_better={"loss": False, **{name: higher_is_better(m) for name, m in self.metrics.items()}},
            device=str(self.runtime.device),
            processes=self.runtime.world,
            **describe(distributions),
        )

    # -- steps -----------------------------------------------------------------------------------------------------

    def _train(self, signal: StopSignal) -> None:
        fit, parts, runtime = self.fit, self.parts, self.parts.runtime
        trainer, take = parts.trainer, parts.trainer.step
        stream = None
        if self.takes_batch:
            first = self.micro_batches * runtime.world + runtime.rank
            stream = Stream(parts.data, first, fit.workers, runtime.device, runtime.world)
        after_step, log = self.hooks["after_step"], self.logs
        validate_every = fit.validate_every or 0
        checkpoint_every = fit.checkpoint_every or fit.validate_every or 0
        total = self.total_steps if self.total_steps is not None else math.inf
        accumulate, log_every, several = fit.accumulate, fit.log_every, runtime.world > 1
        while self.step < total:
            for runtime.micro_batch in range(accumulate):
                scalars = take(stream.next(getattr(trainer, "stage", 0))) if stream is not None else take()
                ended = scalars is None
                if several:
                    ended = runtime.agree(ended)
                if ended:
                    return
                self.micro_batches += 1
                log.add(scalars)
            self.step += 1
            if after_step:
                self._after_step(after_step)
            if self.step % log_every == 0:
                self._log()
            if validate_every and self.step % validate_every == 0:
                self._validate()
            if checkpoint_every and self.step % checkpoint_every == 0:
                self._checkpoint()
            self.progress.step(self.step)
            stopping = signal.caught is not None or self.context.stop_reason is not None
            if several:  # all of them after the same step
                runtime.check_step(self.recipe.algorithm.component.name)
                stopping = runtime.agree(stopping)
            if stopping:
                return

    def _after_step(self, callbacks: list[Any]) -> None:
        self.context.step = self.step
        for callback in callbacks:
            callback(self.context)
        if self.context.logged:
            self.logs.add(self.context.logged)
            self.context.logged = {}

    def _log(self) -> None:
        """Writes the averages since the last line: the one place where a step waits for the device."""
        rates = self.runtime.rates()
        self._check_finite(self.logs.peek())
        means = self.runtime.mean_of(self.logs.flush())
        self.logged_at = self.step
        if means:
            seconds = self.seconds_before + time.perf_counter() - self.started
            record = {f"train/{k}": v for k, v in means.items()}
            self.folder.append_metrics({"step": self.step, **record, **rates, "seconds": round(seconds, 3)})
            self.progress.numbers(self.step, means)

    def _check_finite(self, means: dict[str, float]) -> None:
        name = not_finite(means)
        if name is None:
            return
        kept = self.folder.checkpoint_steps()
        hint = "a lower learning rate or fit.gradient_clip often helps"
        if kept:
            hint += f"; the last good checkpoint, of step {kept[-1]}, is kept in {self.folder.label}"
        raise RunFailed(f"{name} became {means[name]} between steps {self.logged_at} and {self.step}", hint)

    # -- validation and checkpoints --------------------------------------------------------------------------------

    def _validate(self) -> None:
        if self.validated_at == self.step:
            return
        self.validated_at = self.step
        found: dict[str, float] = {}
        self.runtime.share_buffers(self.parts.learner)
        for split in self.splits:
            if split.startswith("val"):
                found |= self._evaluate(split, self.fit.validate_batches)
        found = self.runtime.collect(found)[0]  # what is decided by them is decided alike in all processes
        if not found:
            return
        self.context.metrics = found
        self.context.step = self.step
        self.folder.append_metrics({"step": self.step, **found})
        self.progress.line(f"step {self.step}  {show(found)}")
        for callback in self.hooks["validated"]:
            callback(self.context, found)
        if self.fit.monitor is not None and self._is_best(found[self.fit.monitor]):
            self.best_step = self.step
            self._checkpoint()

    def _evaluate(self, split: str, limit: int | None, each: Any = None) -> dict[str, float]:
        parts = self.parts
        return evaluate(
            parts.learner,
            parts.data,
            split,
            self.metrics,
            parts.runtime,
            seed=self.fit.seed,
            limit=limit,
            each=each,
        )

    def _is_best(self, value: float) -> bool:
        if math.isnan(value):
            return False
        more = monitor_maximises(self.recipe, self.metrics)
        if self.best_value is None or (value > self.best_value if more else value < self.best_value):
            self.best_value = value
            return True
        return False

    def _checkpoint(self) -> None:
        if self.checkpoint_at == (self.step, self.finished):
            return
        self._check_finite(self.logs.peek())
        if not all_finite(self.parts.learner):
            raise RunFailed(
                f"a weight is not finite at step {self.step}", "a lower learning rate or fit.gradient_clip often helps"
            )
        self.runtime.check_equal(self.parts.learner)
        self.runtime.share_buffers(self.parts.learner)
        weights, state = self.runtime.weights(self.parts.learner), self._state()
        self.checkpoint_at = (self.step, self.finished)
        self.context.step = self.step
        if self.runtime.is_main:
            path = write_checkpoint(self.folder, self.step, weights, state, self.best_step)
            for callback in self.hooks["checkpoint"]:
                callback(self.context, path)
        self.runtime.barrier()

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "micro_batches": self.micro_batches * self.runtime.world,
            "finished": self.finished,
            "best": (self.best_step, self.best_value),
            "validated_at": self.validated_at,
            "seconds": self.seconds_before + time.perf_counter() - self.started,
            "logs": self.logs.state_dict(),
            "runtime": self.runtime.state_dict(),
            "trainer": _state_of(self.parts.trainer),
            "callbacks": [_state_of(c) for c in self.parts.callbacks],
            "rng": self.runtime.collect(get_state()),
        }

    def _restore(self) -> None:
        self.step, state = read_last_checkpoint(self.folder, self.parts.learner)
        if len(state["rng"]) != self.runtime.world:
            raise UserError(
                f"{self.folder.label} was trained by {len(state['rng'])} processes, not by {self.runtime.world}",
                "go on with as many",
            )
        self.micro_batches = state["micro_batches"] // self.runtime.world
        self.finished = state["finished"]
        self.best_step, self.best_value = state["best"]
        self.validated_at = state["validated_at"]
        self.seconds_before = state["seconds"]
        self.checkpoint_at = (self.step, self.finished)
        self.logs.load_state_dict(state["logs"])
        self.runtime.load_state_dict(state["runtime"])
        _load_state(self.parts.trainer, state["trainer"])
        for callback, stored in zip(self.parts.callbacks, state["callbacks"], strict=True):
            _load_state(callback, stored)
        self.folder.forget_after(self.step)
        self.logged_at = self.step - self.step % self.fit.log_every
        self.context.step = self.step
        set_state(state["rng"][self.runtime.rank])

    # -- the end ---------------------------------------------------------------------------------------------------

    def _interrupted(self, code: ExitCode) -> Outcome:
        self._checkpoint()
        self.folder.update(status="interrupted", step=self.step)
        self.progress.line(f"stopped after step {self.step}; go on with: rk train --resume {self.folder.label}")
        return Outcome(self.folder, self.context.metrics, code, self.step)

    def _finish(self) -> None:
        if self.finished:
            return
        if self.step % self.fit.log_every:
            self._log()
        if _implements(self.parts.trainer, "finish"):
            self.parts.trainer.finish()
            self.validated_at = None  # whatever was measured before has changed
        self.finished = True
        self._validate()
        self._checkpoint()
        if self.context.stop_reason is not None:
            self.progress.line(f"stopped at step {self.step}: {self.context.stop_reason}")

    def _conclude(self) -> dict[str, float]:
        """Tests the best checkpoint, saves the result, draws the figures."""
        if self.best_step is not None and self.best_step != self.step:
            read_checkpoint(self.folder, self.best_step, self.parts.learner)
        metrics = self._final_metrics()
        weights = self.runtime.weights(self.parts.learner)
        if self.runtime.is_main:
            save_weights(weights, self.folder.model, {"format": "rk 1", "recipe": self.recipe.name})
        self.context.metrics = metrics
        for callback in self.hooks["fit_end"]:
            callback(self.context)
        self.folder.update(
            status="done",
            step=self.step,
            best_step=self.best_step,
            seconds=round(self.seconds_before + time.perf_counter() - self.started, 3),
            metrics={k: json_number(v) for k, v in metrics.items()},
        )
        return metrics

    def _final_metrics(self) -> dict[str, float]:
        source = self.best_step if self.best_step is not None else self.step
        metrics: dict[str, float] = {}
        for record in self.folder.metrics():  # the validation of the step that is kept
            if record["step"] == source:
                metrics |= {k: math.nan if v is None else v for k, v in record.items() if k.startswith("val")}
        for split in self.splits:
            if split.startswith("test"):
                metrics |= self._evaluate(split, None, each=self._draw(split))
        self.folder.append_metrics({"step": source, **{k: v for k, v in metrics.items() if k.startswith("test")}})
        return metrics

    def _draw(self, split: str) -> Any:
        def first_batch(i: int, batch: Any, outputs: Any) -> None:
            if i == 0 and self.runtime.is_main and artists(self.parts.data, self.parts.learner):
                self.folder.figures.mkdir(exist_ok=True)
                try:
                    draw(self.parts.data, self.parts.learner, batch, outputs, self.folder.figures / split)
                except Exception as error:  # a figure is never worth the run
                    self.progress.line(f"warning: the figure of {split} could not be drawn: {error}")

        return first_batch


def metrics_of(parts: Parts) -> dict[str, Any]:
    """Returns the metrics of the data and those that the recipe adds."""
    return {**dict(getattr(parts.data, "metrics", None) or {}), **parts.metrics}


def monitor_maximises(recipe: Recipe, metrics: dict[str, Any]) -> bool:
    """Whether more of the monitored metric is better."""
    mode = recipe.fit.monitor_mode
    if mode != "auto":
        return mode == "max"
    name = recipe.fit.monitor.partition("/")[2].partition("@")[0]
    return name in metrics and higher_is_better(metrics[name])


def _implements(component: Any, name: str) -> bool:
    """Whether a component defines `name` itself, not by inheriting a protocol's empty body."""
    found = getattr(type(component), name, None)
    return found is not None and getattr(found, "__module__", "") != "rk.protocols"


def _state_of(component: Any) -> dict[str, Any]:
    return component.state_dict() if hasattr(component, "state_dict") else {}


def _load_state(component: Any, state: dict[str, Any]) -> None:
    if hasattr(component, "load_state_dict"):
        component.load_state_dict(state)
