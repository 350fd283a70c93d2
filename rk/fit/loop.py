"""The loop: steps, validation, checkpoints, the end. Nothing assumes a gradient, an optimizer, a loss or an epoch."""

from __future__ import annotations

import gc
import inspect
import math
import sys
import time
from collections.abc import Callable, KeysView, Mapping
from dataclasses import dataclass

import torch

from rk.capabilities import (
    HasBatches,
    SupportsBegin,
    SupportsFinish,
    SupportsSummary,
    SupportsValidated,
    SupportsVariants,
    defines,
    implements,
    supports,
)
from rk.catalog import Catalog
from rk.environment import describe, versions
from rk.errors import ExitCode, RunFailed, UserError, suggest
from rk.files import noting
from rk.fit.build import Builder, prepare, save_data_state
from rk.fit.checkpoint import all_finite, read_checkpoint, read_last_checkpoint, write_checkpoint
from rk.fit.context import FitContext
from rk.fit.counters import Counters
from rk.fit.evaluate import Each, evaluate, has_objective, higher_is_better, refuse_empty_splits
from rk.fit.failures import first_batch_error, is_of_compiler, is_out_of_memory, not_compiled, out_of_memory
from rk.fit.final_tests import FinalTests, TestsStopped
from rk.fit.fingerprint import began_with, of_files
from rk.fit.firstbatch import check_fields, method_of
from rk.fit.initial import take_weights
from rk.fit.loaded import LoadedRun
from rk.fit.logs import RunningMeans, not_finite
from rk.fit.machine import torch_build
from rk.fit.patience import Patience
from rk.fit.plain_state import load_state, state_of
from rk.fit.progress import Progress, Silence, show
from rk.fit.rehearsal import Rehearsal
from rk.fit.results import directions, results_of
from rk.fit.resuming import changed_versions, jumping_rates
from rk.fit.returns import check_batch, check_batches, check_splits, check_step
from rk.fit.rhythm import usual_interval
from rk.fit.rng import get_state, seed_all, set_state
from rk.fit.runtime import Runtime, Settings, choose_device, processes_here
from rk.fit.shown import make_progress
from rk.fit.signals import StoppedInside, StopSignal
from rk.fit.smallbatch import small_batches_explained
from rk.fit.stream import Stream, WorkerDied
from rk.fit.targets import check_targets, is_gpu_assert, stopped_gpu
from rk.fit.trained import copied, load_trained, trained_weights
from rk.fit.weights import save_weights
from rk.protocols import Batch, Outputs, State
from rk.recipe.model import Recipe
from rk.recipe.sections import OF_RUN
from rk.runs import RunFolder, json_number
from rk.runs.lock import this_process
from rk.values import Fields, Part
from rk.writing import write_atomic

_DEFAULT_THREADS = torch.get_num_threads()
"""Torch's own choice: another run in this process may have set its own."""
_OUT_OF_TIME = "fit.max_time is over"
_LATE = 2
"""What processes agree on when the time of one is over."""
_CALLBACK_METHODS = ("fit_start", "before_clip", "before_update", "after_step", "validated", "checkpoint", "fit_end")


@dataclass
class Outcome:
    """The result of a run."""

    folder: RunFolder
    metrics: dict[str, float]
    exit_code: ExitCode = ExitCode.OK
    steps: int = 0
    summary: str = ""
    """The algorithm's results of the whole run."""


class Loop:
    """One run.

    Args:
        recipe: What is run.
        catalog: The installed components.
        folder: Where the run is kept.
        text: The recipe as it is stored; by default, that of `recipe`.
        inner: Whether it is trained within another run, which is the one that is shown.

    Attributes:
        at: How far it has come.
        progress: What the user sees; nothing until everything is built.
        began: Whether a step has been taken: from then on, there is something to keep.
    """

    began = False
    draws = True
    """Whether the final tests draw figures."""

    def __init__(
        self, recipe: Recipe, catalog: Catalog, folder: RunFolder, text: str | None = None, *, inner: bool = False
    ) -> None:
        self.recipe = recipe
        self.inner = inner
        self.signal: StopSignal | None = None
        self.progress: Progress = Silence(recipe.name, None)
        self.recipe_text = recipe.to_yaml() if text is None else text
        self.fit = recipe.fit
        self.catalog = catalog
        self.folder = folder
        self.at = Counters()
        self.read_back = False
        stopping = self.fit.early_stopping
        self.patience = None if stopping is None else Patience(stopping.patience, stopping.min_delta)
        self.logs = RunningMeans()
        self.seen: Fields = {}
        """The fields of the first batch, for the message when it does not fit."""

    # -- the whole -------------------------------------------------------------------------------------------------

    def run(self, signal: StopSignal, resume: bool, extend: bool) -> Outcome:
        self.signal = signal
        try:
            return self._run(signal, resume, extend)
        except StoppedInside as stop:
            return self._interrupted_inside(stop)

    def _run(self, signal: StopSignal, resume: bool, extend: bool) -> Outcome:
        self.build()
        self._start(resume, extend)
        signal.waits = True
        if not self.at.finished:
            if not self.inner:
                gc.freeze()  # what importing and building made lives on: the collector need not walk it at every turn
            try:
                with small_batches_explained(self.recipe.data):
                    self._train(signal)
            finally:
                if not self.inner:
                    gc.unfreeze()
        if stopped := self.runtime.agree(signal.caught or 0):
            return self._interrupted(ExitCode(stopped))
        self._finish()
        metrics = self._conclude(signal)
        if metrics is None:
            return self._interrupted(ExitCode(self.runtime.agree(signal.caught or 0)))
        trainer = self.parts.trainer
        summary = trainer.summary() if supports(trainer, SupportsSummary) else ""
        return Outcome(self.folder, metrics, steps=self.at.step, summary=summary)

    def _start(self, resume: bool, extend: bool) -> None:
        """Begins the run, or takes it up where it stopped; then it is shown and its callbacks are called."""
        goes_on = resume and self._has_checkpoint()
        said: list[str] = []
        if goes_on:
            self._restore(extend)
        else:
            said += self.begin()
            if resume:
                self.folder.cut_metrics(0, -1)
            else:
                self._rehearse()
        self._announce(resume)
        total = self.total_steps if self.total_steps is not None else getattr(self.parts.trainer, "total_steps", None)
        shown = self.runtime.is_main and not self.inner
        self.progress = make_progress(self.recipe.name, total, shown, self.logs.peek)
        self.progress.start(self.at.step)
        for line in said:
            self.progress.line(line)
        names = self.parts.learner.state_dict().keys()
        for callback in self.hooks["fit_start"]:
            callback(self.context)
            self._check_names(names, callback)
        if self.runtime.rank and not resume:
            seed_all(self.fit.seed + 1_000_003 * self.runtime.rank)  # the weights are made: dropout may differ

    def explained(self, error: BaseException, resume: bool) -> BaseException:
        """Returns the error in the user's terms, where there are such."""
        if is_out_of_memory(error):
            kept = self.folder.checkpoint_steps()
            text = f"the checkpoint of step {kept[-1]} is kept: rk train --resume {self.folder.label}" if kept else None
            explained: BaseException = out_of_memory(error, self.began or resume, text)
        elif is_gpu_assert(error):
            since = self.at.logged_at * self.fit.accumulate if self.takes_batch else self.at.micro_batches + 1
            explained = stopped_gpu(self.parts, range(since, self.at.micro_batches + 1), self.recipe)
        elif self.fit.compile and is_of_compiler(error):
            explained = not_compiled(error)
        elif not self.began and not resume:
            explained = first_batch_error(error, self.recipe, self.seen)
        else:
            return error
        if explained is not error:
            explained.__cause__ = error
        return explained

    # -- building --------------------------------------------------------------------------------------------------

    def build(self) -> None:
        """Builds everything; the files that its components fetch are noted."""
        with noting() as self.fetched:
            self._build()

    def _build(self) -> None:
        self.at.started = time.perf_counter()
        self.runtime = runtime = self._make_runtime()
        runtime.catalog, runtime.signal = self.catalog, self.signal
        torch.set_num_threads(
            self.fit.threads or max(1, _DEFAULT_THREADS // min(runtime.world, processes_here(self.fit)))
        )
        builder = Builder(self.recipe, self.catalog, LoadedRun.open)
        data = builder.data()
        if not runtime.is_main:  # what one process has downloaded is there for all
            runtime.barrier()
        prepare(data, self.recipe.data)
        if runtime.is_main:
            runtime.barrier()
        if data is not None:
            builder.learn_facts(data)
        runtime.total_steps = self.total_steps = self._total_steps(data)
        self.parts = builder.parts(data, runtime)
        parts = self.parts
        self.takes_batch = bool(inspect.signature(parts.trainer.step).parameters)
        self.metrics = parts.all_metrics()
        self.splits = check_splits(parts.data) if parts.data is not None else ()
        self._check_splits()
        self.context = FitContext(self.recipe, self.folder.path, parts.data, parts.learner, parts.trainer, runtime)
        thaws = parts.freezing is not None and parts.freezing.until is not None
        watching = [parts.freezing, *parts.callbacks] if thaws else parts.callbacks
        self.hooks: dict[str, list[Callable[..., None]]] = {
            name: [getattr(c, name) for c in watching if defines(c, name)] for name in _CALLBACK_METHODS
        }
        runtime.before_clip += self.hooks["before_clip"]
        runtime.before_update += self.hooks["before_update"]
        if runtime.before_clip:
            runtime.names = {id(p): name for name, p in parts.learner.named_parameters()}
        if parts.data is not None and runtime.is_main:
            save_data_state(parts.data, self.folder.data_state)
        if self.takes_batch:
            self._check_first_batch()

    def _make_runtime(self) -> Runtime:
        settings = Settings(
            accumulate=self.fit.accumulate,
            accumulate_targets=self.fit.accumulate_targets,
            gradient_clip=self.fit.gradient_clip,
            folder=self.folder.path,
            compiled=self.fit.compile,
        )
        if torch.distributed.is_initialized() or self.fit.precision != "32-true":
            if self.fit.strategy == "fsdp" and torch.distributed.is_initialized():
                from rk.fit.sharded import ShardedRuntime

                return ShardedRuntime(self.fit, **settings)
            from rk.fit.fabric import FabricRuntime

            return FabricRuntime(self.fit, **settings)
        return Runtime(choose_device(self.fit.accelerator), **settings)

    def _total_steps(self, data: HasBatches | None) -> int | None:
        limits = [] if self.fit.max_steps is None else [self.fit.max_steps]
        if self.fit.max_epochs is not None:
            batches = check_batches(data, "train") if data is not None else None
            if batches is None:
                raise UserError("fit.max_epochs: the training data has no end", "give fit.max_steps")
            limits.append(math.ceil(self.fit.max_epochs * batches / (self.fit.accumulate * self.runtime.world)))
        return min(limits, default=None)

    def _check_splits(self) -> None:
        if self.takes_batch and "train" not in self.splits:
            raise UserError(f"the data has no split 'train'; it has {', '.join(self.splits) or 'none'}")
        if self.parts.data is not None:
            refuse_empty_splits(self.parts.data)

    def _check_first_batch(self) -> None:
        self.seen = dict(check_batch(self.parts.data, self.parts.task.batch("train", 0)))
        spec = self.recipe.data
        if spec is not None:
            check_fields(self.seen, method_of(self.parts.data, "batch"), spec, "the first batch")
            check_targets(self.seen, self.recipe, self.parts.facts)

    def begin(self) -> list[str]:
        """Gives a new run its first weights and lets its components look at the data; returns lines for the user."""
        parts = self.parts
        said = list(take_weights(parts.learner, self.recipe))
        offered = {"data": parts.data, "runtime": self.runtime}
        for component in (parts.model, parts.loss, parts.trainer):
            if supports(component, SupportsBegin) and component.begin is not None:
                wanted = inspect.signature(component.begin).parameters
                component.begin(**{name: value for name, value in offered.items() if name in wanted})
        return said

    def _rehearse(self) -> None:
        """Shows one batch of validation to learner and metrics, then checks what is claimed of what is measured.

        A learner that only `finish` completes, or that has no objective, need not be able to answer yet.
        """
        parts = self.parts
        rehearsal = Rehearsal(parts.learner, self.metrics)
        beside = {f"{metric}@{variant}" for metric in self.metrics for variant in self._variants()}
        split = next((s for s in self.splits if s.startswith("val")), None)
        split = split or next((s for s in self.splits if s.startswith("test")), None)
        complete = has_objective(parts.learner) and not implements(parts.trainer, SupportsFinish)
        if self.takes_batch and split is not None and complete:
            rehearsal.run(parts.task, split, self.runtime, self.fit.seed)
            self.seen = rehearsal.fields
        known = {f"{s}/{m}" for s in self.splits for m in rehearsal.metrics | beside}
        for claim in self.recipe.expect:
            later = claim.metric.startswith(("train/", OF_RUN))  # known when it is logged, and at the end
            if claim.applies and not later and not claim.among(known):
                raise UserError(f"expect: there is no {claim.metric!r}", suggest(claim.metric, known, "there are"))
        if self.fit.monitor and self.fit.monitor not in known:
            raise UserError(
                f"fit.monitor: there is no {self.fit.monitor!r}", suggest(self.fit.monitor, known, "there are")
            )

    def _check_names(self, before: KeysView[str], callback: Callable[..., None]) -> None:
        """A run whose weights have other names than those that the recipe builds could never be loaded."""
        changed = before ^ self.parts.learner.state_dict().keys()
        if changed:
            raise UserError(
                f"{type(callback).__name__}.fit_start() renames weights ({', '.join(sorted(changed)[:4])}): "
                "the run could not be loaded",
                "change the learner in a model or a trainer's setup(), which run whenever the run is loaded",
            )

    def _announce(self, resume: bool) -> None:
        parameters = sum(p.numel() for p in self.parts.learner.parameters())
        distributions = {s.component.distribution for s in self.recipe.specs()}
        if self.runtime.is_main:
            self.folder.traceback.unlink(missing_ok=True)  # of an earlier try
            if resume:
                before = self.folder.info().get("versions")
                self._warn(*changed_versions(before, versions(distributions)))
                write_atomic(self.folder.recipe, self.recipe_text)
        self.folder.update(
            status="running",
            owner=this_process(),
            error=None,
            metrics=None,
            step=None,
            data_files=began_with(self.folder, self.recipe),
            fetched_files=of_files(self.fetched) if self.runtime.is_main else {},
            facts={k: v for k, v in self.parts.facts.items() if k != "seed"},
            parameters=parameters,
            higher_is_better=directions(self.metrics, (self.parts.trainer, *self.parts.callbacks)),
            device=str(self.runtime.device),
            processes=self.runtime.world,
            torch=torch_build(self.runtime.device),
            **describe(distributions),
        )

    def _warn(self, *warnings: str) -> None:
        for warning in warnings if self.runtime.is_main else ():
            print(f"warning: {warning}", file=sys.stderr)

    # -- steps -----------------------------------------------------------------------------------------------------

    def _train(self, signal: StopSignal) -> None:
        fit, parts, runtime = self.fit, self.parts, self.parts.runtime
        trainer, take = parts.trainer, parts.trainer.step
        stream = None
        if self.takes_batch:
            first = self.at.micro_batches * runtime.world + runtime.rank
            stream = Stream(parts.task, first, fit.workers, runtime.device, runtime.world)
        after_step, log = self.hooks["after_step"], self.logs
        watched = (
            self.hooks["validated"] or implements(trainer, SupportsValidated) or implements(trainer, SupportsFinish)
        )
        splits = () if stream is None or watched else self.splits
        validate_every = fit.validate_every or usual_interval(fit, parts.data, splits, self.total_steps, runtime.world)
        checkpoint_every = fit.checkpoint_every or fit.validate_every or 0
        total = self.total_steps if self.total_steps is not None else math.inf
        micro_batches, log_every, several, fresh = runtime.micro_batches, fit.log_every, runtime.world > 1, True
        longest = math.inf if fit.max_seconds is None else fit.max_seconds
        if runtime.agree(self.at.seconds >= longest):
            self.context.stop(_OUT_OF_TIME)
        while self.at.step < total and self.context.stop_reason is None:
            runtime.step = self.at.step
            for runtime.micro_batch in micro_batches():
                try:
                    batch = stream.next(getattr(trainer, "stage", 0)) if stream is not None else None
                    scalars = take(batch) if stream is not None else take()
                except WorkerDied:
                    if self._stops_without_workers(signal):
                        return
                    raise
                ended = runtime.agree(scalars is None) if several else scalars is None
                if ended or scalars is None:
                    return
                self.at.micro_batches += 1
                if fresh:
                    fresh = check_step(trainer, scalars)
                log.add(scalars)
            self.at.step += 1
            self.began = True
            if after_step:
                self.context.batch, self.context.scalars = batch, scalars or {}
                self._after_step(after_step)
            if self.at.step % log_every == 0:
                self._log()
            if validate_every and self.at.step % validate_every == 0:
                self._validate()
            if (checkpoint_every and self.at.step % checkpoint_every == 0) or runtime.trained_inside:
                self._checkpoint()  # a step that trains another run takes long: it is not repeated
            self.progress.step(self.at.step)
            stopping: int = signal.caught is not None or self.context.stop_reason is not None
            if self.at.seconds >= longest:
                stopping = _LATE
            if several:  # all of them after the same step
                runtime.check_step(self.recipe.learning.component.name)
                stopping = runtime.agree(stopping)
            if stopping == _LATE and self.context.stop_reason is None:
                self.context.stop(_OUT_OF_TIME)
            if stopping:
                return

    def _stops_without_workers(self, signal: StopSignal) -> bool:
        """Keeps the steps so far when a worker has died; returns whether the run was to stop anyway."""
        if self.runtime.world == 1 and self.runtime.micro_batch == 0 and self.began:
            self._checkpoint()
        return signal.caught is not None

    def _after_step(self, callbacks: list[Callable[..., None]]) -> None:
        self.context.step = self.at.step
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
        self.at.logged_at = self.at.step
        if means:
            record = {f"train/{k}": v for k, v in means.items()}
            self.folder.append_metrics({"step": self.at.step, **record, **rates, "seconds": round(self.at.seconds, 3)})
            self.progress.numbers(self.at.step, means)

    def _check_finite(self, means: dict[str, float]) -> None:
        name = not_finite(means)
        if name is None:
            return
        kept = self.folder.checkpoint_steps()
        hint = "a lower learning rate or fit.gradient_clip often helps"
        if kept:
            hint += f"; the last good checkpoint, of step {kept[-1]}, is kept in {self.folder.label}"
        raise RunFailed(f"{name} became {means[name]} between steps {self.at.logged_at} and {self.at.step}", hint)

    # -- validation and checkpoints --------------------------------------------------------------------------------

    def _validate(self) -> None:
        if self.at.validated_at == self.at.step:
            return
        self.at.validated_at = self.at.step
        found: dict[str, float] = {}
        self.runtime.share_buffers(self.parts.learner)
        with self.runtime.answering_weights():
            for split in self.splits:
                if split.startswith("val"):
                    found |= self._evaluate(split, self.fit.validate_batches)
        found = self.runtime.collect(found)[0]  # what is decided by them is decided alike in all processes
        if not found:
            return
        self.context.metrics = found
        self.context.step = self.at.step
        self.folder.append_metrics({"step": self.at.step, **found})
        self.progress.line(f"step {self.at.step}  {show(found)}")
        trainer = self.parts.trainer
        if implements(trainer, SupportsValidated):
            trainer.validated(found)
        for callback in self.hooks["validated"]:
            callback(self.context, found)
        if self.fit.monitor is not None:
            value, more = self._monitored(self.fit.monitor, found), monitor_maximises(self.recipe, self.metrics)
            self.runtime.monitored(value, more)
            if self.patience is not None and self.patience.runs_out(value, more) and not self.at.finished:
                self.context.stop(f"{self.fit.monitor} has not improved for {self.patience.waited} validations")
            if self.at.is_best(value, more):
                self.at.best_step = self.at.step
                self._checkpoint()

    def _evaluate(self, split: str, limit: int | None, each: Each | None = None) -> dict[str, float]:
        parts = self.parts
        return evaluate(
            parts.learner,
            parts.task,
            split,
            self.metrics,
            parts.runtime,
            seed=self.fit.seed,
            limit=limit,
            each=each,
            variants=self._variants(),
        )

    def _variants(self) -> dict[str, Callable[[Batch], Outputs]]:
        """Returns what callbacks measure beside the learner: averages of its weights."""
        offering = [c for c in self.parts.callbacks if supports(c, SupportsVariants)]
        return {name: predict for callback in offering for name, predict in callback.variants().items()}

    def _monitored(self, monitor: str, found: dict[str, float]) -> float:
        try:
            return found[monitor]
        except KeyError:
            raise UserError(f"fit.monitor: there is no {monitor!r}", suggest(monitor, found, "there are")) from None

    def _checkpoint(self) -> None:
        if self.at.checkpoint_at == (self.at.step, self.at.finished):
            return
        self._check_finite(self.logs.peek())
        if not all_finite(self.parts.learner):
            hint = "a lower learning rate or fit.gradient_clip often helps"
            raise RunFailed(f"a weight is not finite at step {self.at.step}", hint)
        self.runtime.check_equal(self.parts.learner)
        self.runtime.share_buffers(self.parts.learner)
        with self.runtime.answering_weights() as others:
            weights = self.runtime.weights(self.parts.learner)
            weights = copied(weights) if others else weights
        state = self._state()
        if others:
            state["trained"] = trained_weights(self.parts.learner)
        self.at.checkpoint_at = (self.at.step, self.at.finished)
        self.context.step = self.at.step
        if self.runtime.is_main:
            first, self.read_back = not self.read_back, True
            keep = self.fit.keep_checkpoints
            best = self.at.best_step
            path = write_checkpoint(self.folder, self.at.step, weights, state, best, read_back=first, keep=keep)
            for callback in self.hooks["checkpoint"]:
                callback(self.context, path)
        self.runtime.barrier()

    def _state(self) -> State:
        return {
            **self.at.state(self.runtime.world),
            "total_steps": self.total_steps,
            "metrics_size": self.folder.metrics_size() if self.runtime.is_main else 0,
            "logs": self.logs.state_dict(),
            "stop_reason": self.context.stop_reason,
            "patience": None if self.patience is None else self.patience.state_dict(),
            "runtime": self.runtime.state_dict(),
            "trainer": state_of(self.parts.trainer, self.recipe.learning),
            "callbacks": [state_of(c, s) for c, s in zip(self.parts.callbacks, self.recipe.callbacks, strict=True)],
            "rng": self.runtime.collect(get_state()),
        }

    def _has_checkpoint(self) -> bool:
        if self.folder.checkpoint_steps():
            return True
        if self.runtime.is_main:
            print(f"{self.folder.label} was stopped before its first checkpoint: it begins again", file=sys.stderr)
        return False

    def _restore(self, extend: bool) -> None:
        self.at.step, state = read_last_checkpoint(self.folder, self.parts.learner)
        try:
            self._take(state)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise RunFailed(
                f"the checkpoint of step {self.at.step} cannot be used: {type(error).__name__}: {error}",
                "it is damaged, or of another version of rk or of the plugin",
            ) from error
        if self.total_steps is not None and self.total_steps < self.at.step:
            raise UserError(
                f"the run has done {self.at.step} steps: it cannot end at {self.total_steps}", "give a larger number"
            )
        self.at.finished = self.at.finished and not extend
        if extend:
            self.context.stop_reason = None
            if self.patience is not None:
                self.patience.waited = 0
            self._warn(*jumping_rates(self.runtime, state.get("total_steps"), self.at.step))
        self.context.step = self.at.step
        set_state(state["rng"][self.runtime.rank])

    def _take(self, state: State) -> None:
        if len(state["rng"]) != self.runtime.world:
            raise UserError(
                f"the run used {len(state['rng'])} processes, not {self.runtime.world}",
                "resume with the same number: fit.devices",
            )
        self.at.take(state, self.runtime.world, self.fit.log_every)
        self.logs.load_state_dict(state["logs"])
        self.context.stop_reason = state.get("stop_reason")
        if self.patience is not None and state.get("patience") is not None:
            self.patience.load_state_dict(state["patience"])
        if "trained" in state:
            load_trained(self.parts.learner, state["trained"])
        self.runtime.load_state_dict(state["runtime"])
        load_state(self.parts.trainer, state["trainer"])
        for callback, stored in zip(self.parts.callbacks, state["callbacks"], strict=True):
            load_state(callback, stored)
        self.folder.cut_metrics(state.get("metrics_size"), self.at.step)

    # -- the end ---------------------------------------------------------------------------------------------------

    def _interrupted(self, code: ExitCode) -> Outcome:
        self._checkpoint()
        self.folder.update(status="interrupted", step=self.at.step, owner=None)
        self.progress.line(f"stopped after step {self.at.step}; resume with: rk train --resume {self.folder.label}")
        return Outcome(self.folder, self.context.metrics, code, self.at.step)

    def _interrupted_inside(self, stop: StoppedInside) -> Outcome:
        """A signal came during a step: the last checkpoint remains, and the inner run has its own."""
        kept = self.folder.checkpoint_steps()
        self.folder.update(status="interrupted", step=kept[-1] if kept else 0, owner=None)
        self.progress.line(f"stopped within {stop.name}; resume with: rk train --resume {self.folder.label}")
        return Outcome(self.folder, {}, stop.exit_code, self.at.step)

    def _finish(self) -> None:
        if self.at.finished:
            return
        if self.at.step % self.fit.log_every:
            self._log()
        trainer = self.parts.trainer
        if implements(trainer, SupportsFinish):
            trainer.finish()
            self.at.validated_at = None  # whatever was measured before has changed
        self.at.finished = True
        self._validate()
        self._checkpoint()
        if self.context.stop_reason is not None:
            self.progress.line(f"stopped at step {self.at.step}: {self.context.stop_reason}")

    def _conclude(self, signal: StopSignal) -> dict[str, float] | None:
        """Tests the best checkpoint, saves the result, draws the figures; None when a signal stops the tests."""
        if self.at.best_step is not None and self.at.best_step != self.at.step:
            state = read_checkpoint(self.folder, self.at.best_step, self.parts.learner)
            for callback, stored in zip(self.parts.callbacks, state["callbacks"], strict=True):
                if supports(callback, SupportsVariants):  # it measures what it has averaged by then
                    load_state(callback, stored)
        else:
            self.runtime.put_answers()  # for good: they are the result
        try:
            metrics = self._final_metrics(signal)
        except TestsStopped:
            return None
        weights = self.runtime.weights(self.parts.learner)
        if self.runtime.is_main:
            save_weights(weights, self.folder.model, {"format": "rk 1", "recipe": self.recipe.name})
        metrics |= self._results_of(self.parts.trainer, metrics)
        self.context.metrics = metrics
        for callback in self.hooks["fit_end"]:
            callback(self.context)
        for callback in self.parts.callbacks:
            metrics |= self._results_of(callback, metrics)
        self.folder.update(
            status="done",
            owner=None,
            stop_reason=self.context.stop_reason,
            step=self.at.step,
            best_step=self.at.best_step,
            seconds=round(self.at.seconds, 3),
            metrics={k: json_number(v) for k, v in metrics.items()},
        )
        return metrics

    def _results_of(self, component: Part, metrics: Mapping[str, float]) -> dict[str, float]:
        found = results_of(component, metrics)
        if found:
            self.folder.append_metrics({"step": self.at.step, **found})
        return found

    def _final_metrics(self, signal: StopSignal) -> dict[str, float]:
        tests = FinalTests(
            self.parts,
            self.splits,
            self.folder,
            lambda split, each: self._evaluate(split, None, each),
            self.progress.line,
            self.draws,
        )
        return tests.run(self.at.best_step if self.at.best_step is not None else self.at.step, signal)


def monitor_maximises(recipe: Recipe, metrics: Mapping[str, Part]) -> bool:
    """Whether more of the monitored metric is better."""
    mode = recipe.fit.monitor_mode
    if mode != "auto":
        return mode == "max"
    name = (recipe.fit.monitor or "").partition("/")[2].partition("@")[0]
    return name in metrics and higher_is_better(metrics[name])
