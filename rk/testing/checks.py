"""The checks of the contract kit. Each raises `Broken` with one message for the plugin's author, or returns."""

from __future__ import annotations

import inspect
import os
import tempfile
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from rk.blocks import run_blocks
from rk.capabilities import HasBlocks, supports
from rk.catalog import Catalog
from rk.errors import UserError
from rk.export.safetensors import Safetensors
from rk.fit.bind import Bound
from rk.fit.build import Builder
from rk.fit.checkpoint import read_state
from rk.fit.evaluate import evaluating, has_objective, predicted
from rk.fit.firstbatch import check_fields, declared_fields, method_of
from rk.fit.loaded import LoadedRun
from rk.fit.loop import Loop
from rk.fit.weights import stored_extra
from rk.plugins import Component
from rk.protocols import Batch
from rk.recipe.check import read_component
from rk.runs import RunFolder
from rk.static.signature import REQUIRED
from rk.testing.broken import Broken, NotApplicable
from rk.testing.close import assert_close
from rk.testing.rows import Rows, same
from rk.testing.trial import Ended, Trial
from rk.testing.zygote import shared_zygote
from rk.values import Fields, PlainDict

STEPS = 6
CUT = 5
"""A run of `STEPS` steps, with a checkpoint every 2, that loses power after step 5: it must take step 5 again."""
TEACHING = 30
"""Steps on one and the same batch, after which the objective on it must be lower."""
ROWS = 3
"""Examples of a batch that are answered alone."""
ADDED = 8
"""Examples whose objectives are added up one by one."""


# -- one component -----------------------------------------------------------------------------------------------------


def constructor_is_as_its_source_says(component: Component, catalog: Catalog) -> None:
    """What rk has read from the source is what Python has made of it: no decorator or metaclass changed it."""
    cls = catalog.load(component)
    if cls.__init__ is object.__init__ or not catalog.signature(component).params:
        return
    read = {p.name: p for p in catalog.signature(component).params}
    real = _constructor_parameters(cls, read)
    if list(real) != list(read):
        raise Broken(f"Python's constructor takes {', '.join(real)}; from the source, rk reads {', '.join(read)}")
    for name, param in real.items():
        if (param.default is inspect.Parameter.empty) != (read[name].default is REQUIRED):
            raise Broken(f"the default of {name!r} is another one in Python than in the source")


def _constructor_parameters(cls: type, read: Container[str]) -> dict[str, inspect.Parameter]:
    """Returns what Python's constructor takes; behind ``**kwargs``, those of the inherited one that are in `read`."""
    real = dict(inspect.signature(cls).parameters)
    for base in [c for c in cls.__mro__ if "__init__" in vars(c)][1:]:
        *_, last = real.values()
        if last.kind is not last.VAR_KEYWORD:
            break
        del real[last.name]
        inherited = inspect.signature(base).parameters.items()
        real |= {n: p for n, p in inherited if n not in real and (n in read or p.kind is p.VAR_KEYWORD)}
    return real


# -- the two steps that every recipe must be able to take --------------------------------------------------------------


def two_steps(trial: Trial) -> None:
    """Builds the recipe, takes two steps, and looks at the fields of a real batch, real outputs and real answers."""
    loop = trial.build()
    parts, learner = loop.parts, loop.parts.learner
    for i in range(2):
        _step(loop, i)
    split = next((s for s in loop.splits if s.startswith(("val", "test"))), None)
    if split is None or not has_objective(learner):  # one without may need to finish before it answers
        return
    batch = parts.task.batch(split, 0)
    if trial.recipe.data is not None:
        check_fields(batch, method_of(parts.data, "batch"), trial.recipe.data, f"a batch of {split}")
    with evaluating(learner, 0):
        outputs = predicted(learner, batch)
    answers = method_of(learner, "predict")
    check_fields(outputs, answers, trial.recipe.learning, "its answers")
    if trial.recipe.model is not None and declared_fields(answers) is None:
        cls = trial.catalog.load(trial.recipe.model.component)
        check_fields(outputs, getattr(cls, "predict", cls.forward), trial.recipe.model, "its outputs")


def _step(loop: Loop, i: int, batch: Batch | None = None) -> None:
    """Takes one optimizer step, on the micro-batches of step `i` or always on `batch`."""
    runtime, trainer = loop.parts.runtime, loop.parts.trainer
    for micro in range(runtime.accumulate):
        runtime.micro_batch = micro
        if not loop.takes_batch:
            trainer.step()
            continue
        index = i * runtime.accumulate + micro
        taken = batch if batch is not None else loop.parts.task.batch("train", index, getattr(trainer, "stage", 0))
        scalars = trainer.step(taken)
        if scalars is not None and not isinstance(scalars, Mapping):
            raise Broken(f"the trainer's step() returned {type(scalars).__name__}, expected a dict of scalars or None")


# -- data --------------------------------------------------------------------------------------------------------------


def batches_depend_on_their_index_alone(trial: Trial) -> None:
    """The same index gives the same batch, every time and from another object of the class: or no run could resume."""
    loop = trial.build()
    if loop.parts.data is None:
        raise NotApplicable("the recipe has no data")
    data, other = loop.parts.data, trial.build().parts.task
    for split in loop.splits:
        first, second = data.batch(split, 0), data.batch(split, 1)
        for label, again in (
            ("requested twice", data.batch(split, 0)),
            ("made by another object of the class", other.batch(split, 0)),
        ):
            _same(
                again,
                first,
                f"batch 0 of {split}, {label}, is another one: batch(split, i) must be a function of the seed and its "
                "arguments alone",
            )
        _same(data.batch(split, 1), second, f"batch 1 of {split} is another one the second time")


def _same(found: Batch, expected: Batch, message: str) -> None:
    if found.keys() != expected.keys():
        raise Broken(message)
    for name, value in expected.items():
        if not same(found[name], value):
            raise Broken(f"{message} (field {name!r})")


# -- learning ----------------------------------------------------------------------------------------------------------


def loss_falls(trial: Trial) -> None:
    """The learner's objective falls when it is trained on one batch again and again."""
    loop = trial.build(steps=10 * TEACHING)
    learner = loop.parts.learner
    if not has_objective(learner):
        raise NotApplicable("the learner has no objective")
    if not loop.takes_batch:
        raise NotApplicable("the trainer takes no batches")
    batch = loop.parts.task.batch("train", 0)
    before = after = _objective(learner, batch)
    for i in range(TEACHING):
        _step(loop, i, batch)
        if i % 10 == 9 and (after := _objective(learner, batch)) < before:
            return
    raise Broken(f"{TEACHING} steps on one batch took its loss from {before:.6g} to {after:.6g}: it does not fall")


def _objective(learner: nn.Module, batch: Batch, seed: int = 0) -> float:
    shares = _shares(learner, batch, seed).values()
    return sum(weight * total / max(count, 1e-12) for total, count, weight in shares)


def objective_is_drawn(learner: nn.Module, batch: Batch) -> bool:
    """Whether the objective on one and the same batch depends on random numbers, in eval mode too."""
    return has_objective(learner) and _shares(learner, batch) != _shares(learner, batch, seed=1)


def _shares(learner: nn.Module, batch: Batch, seed: int = 0) -> dict[str, tuple[float, float, float]]:
    """Returns the terms of the objective on `batch` as (total, count, weight)."""
    with evaluating(learner, seed):
        objective = learner(batch)
    terms = objective if isinstance(objective, Mapping) else {"loss": objective}
    for name, share in terms.items():
        if not isinstance(share, tuple) or len(share) not in (2, 3):
            raise Broken(
                f"the loss gives {_shown(share)} for {name!r}; expected (total, count), a sum and what it is over"
            )
    weighted = {name: (*share, 1.0) for name, share in terms.items()}
    return {name: (float(total), float(count), float(weight)) for name, (total, count, weight, *_) in weighted.items()}


def _shown(value: object) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)


def blocks_are_the_model(trial: Trial, ended: Ended) -> None:
    """A layered model answers as its blocks do, one after the other: what works on its blocks works on the model."""
    model = ended.parts.model
    is_layered = supports(model, HasBlocks)
    if model is None or not is_layered:
        raise NotApplicable("the model is not a chain of blocks (rk.Layered)")
    batch = _one_batch(ended)
    with evaluating(model, 0):
        whole, parts = Bound(model.forward)(batch), run_blocks(model, batch)
    for name, value in whole.items():
        if not same(value, parts.get(name)):
            raise Broken(f"forward() and the blocks between enter() and leave() give other {name!r}")


# -- one example and its batch -----------------------------------------------------------------------------------------


def loss_shares_add_up(ended: Ended) -> None:
    """The objective of a batch is the sum over its examples, and so is its count: a mean would weigh ragged batches
    wrongly, and accumulation and several devices would train something else."""
    learner, batch = ended.learner, _one_batch(ended)
    if not has_objective(learner):
        raise NotApplicable("the learner has no objective")
    rows_of = Rows(ended.data)
    batch = rows_of.take(batch, slice(0, ADDED))
    if objective_is_drawn(learner, batch):
        raise NotApplicable("the objective is drawn at random")
    whole = _shares(learner, batch)
    rows = [_shares(learner, row) for row in rows_of.each(batch)]
    for name, (total, count, _) in whole.items():
        summed = sum(row[name][0] for row in rows), sum(row[name][1] for row in rows)
        for what, found, expected in (("count", count, summed[1]), ("total", total, summed[0])):
            if abs(found - expected) > 1e-3 * max(abs(expected), 1e-6):
                raise Broken(
                    f"the {what} of the loss term {name!r} is {found:.6g} over {len(rows)} examples, but "
                    f"{expected:.6g} when they are summed up one by one: a loss returns a sum and what it is a sum over"
                )


def answers_do_not_depend_on_the_batch(ended: Ended) -> None:
    """An example is answered the same alone as among others."""
    learner, batch, rows = ended.learner, _one_batch(ended), Rows(ended.data)
    whole = _answers(learner, batch)
    for name, value in _answers(learner, batch, seed=1).items():
        if not same(value, whole[name]):
            raise NotApplicable(f"the answers ({name}) are drawn at random")
    size, compared = rows.size(batch), False
    for i, row in enumerate(rows.each(rows.take(batch, slice(0, ROWS)))):
        for name, value in _answers(learner, row).items():
            if _length(whole[name]) == size and _length(value) == 1:
                compared = True
                _close_row(value[0], whole[name][i], name, i)
    if not compared:
        raise NotApplicable("no answer has one entry per example")


def _length(value: object) -> int | None:
    if isinstance(value, Tensor):
        return len(value) if value.ndim else None
    return len(value) if isinstance(value, list | tuple) else None


def _close_row(alone: Any, among: Any, name: str, i: int) -> None:
    if not isinstance(alone, Tensor):
        if not same(alone, among):
            raise Broken(f"{name!r} of example {i} is another one when it is answered alone: it depends on its batch")
        return
    if alone.shape != among.shape:  # ragged answers may be padded to the longest of a batch
        shared = tuple(slice(0, min(a, b)) for a, b in zip(alone.shape, among.shape, strict=True))
        alone, among = alone[shared], among[shared]
    if among.is_floating_point():
        close = torch.allclose(alone, among, rtol=1e-3, atol=1e-4, equal_nan=True)
        far = float((alone - among).abs().max()) if alone.numel() else 0.0
        if not close:
            raise Broken(
                f"{name!r} of example {i} differs by {far:.3g} when it is answered alone: it depends on its batch"
            )
    elif not torch.equal(alone, among):
        raise Broken(f"{name!r} of example {i} is another one when it is answered alone: it depends on its batch")


def _answers(learner: nn.Module, batch: Batch, seed: int = 0) -> Fields:
    """Returns all that the learner answers: tensors, and plain values such as texts and programs."""
    with evaluating(learner, seed):
        return dict(predicted(learner, batch))


def _one_batch(ended: Ended) -> Batch:
    split = _split(ended)
    if split is None:
        raise NotApplicable("the recipe has no data")
    batch: Batch = ended.data.batch(split, 0)
    return batch


def _split(ended: Ended) -> str | None:
    """Returns the split whose first batch is answered."""
    if ended.data is None:
        return None
    splits: tuple[str, ...] = ended.data.splits
    return next((s for s in splits if s.startswith(("val", "test"))), splits[0])


# -- a run from its folder ---------------------------------------------------------------------------------------------


def resumes_bit_equal(trial: Trial, whole: Ended) -> None:
    """A run that loses power resumes in another process and ends as one that did not: weights, state and answers."""
    cut = trial.run(STEPS, checkpoint_every=2, cut_at=CUT)
    answers = shared_zygote().call(
        "rk.testing.checks:resumed_answers", recipe=trial.place, folder=str(cut.folder.path), split=_split(whole)
    )
    reason = (
        "something that step() changes is neither in the learner's state nor in the trainer's, the data's or a "
        "callback's state_dict()"
    )
    after = f"after a power cut at step {CUT}"
    _equal_weights(cut.folder.model, whole.folder.model, f"{after} the run ends with other weights: {reason}")
    one, other = (read_state(ended.folder, ended.folder.checkpoint_steps()[-1]) for ended in (cut, whole))
    for part in ("trainer", "callbacks"):
        if not same(one[part], other[part]):
            raise Broken(f"{after} the state of the {part} is another one: {reason}")
    if answers is not None:
        batch = _one_batch(whole)
        for name, value in _answers(whole.learner, batch).items():
            if not same(answers.get(name), value):
                raise Broken(f"{after} {name!r} is answered otherwise: {reason}")


def resumed_answers(recipe: PlainDict, folder: str, split: str | None) -> Fields | None:
    """Resumes a run of a trial in this process and returns what its learner then answers: a job of the zygote."""
    trial = Trial.at(**recipe)
    ended = trial.run(STEPS, checkpoint_every=2, resume=RunFolder(Path(folder)))
    return None if split is None else _answers(ended.learner, ended.data.batch(split, 0))


def loaded_answers(folder: str, split: str) -> Fields:
    """Returns what a run answers when it is loaded from its folder in this process: a job of the zygote."""
    loaded = LoadedRun.open(Path(folder))
    loaded.prepare()
    return _answers(loaded.learner, loaded.data.batch(split, 0))


def validation_changes_nothing(trial: Trial, whole: Ended) -> None:
    """A run that validates after each step ends with the weights of one that does not."""
    validated = trial.run(STEPS, checkpoint_every=2, validate_every=1)
    _equal_weights(
        validated.folder.model,
        whole.folder.model,
        "the weights are others when validation runs in between: something in predict(), the objective, a metric or "
        "the data's batches keeps a state, or a buffer is updated in eval mode",
    )


def answers_after_loading_as_before(trial: Trial, whole: Ended) -> None:
    """A run loaded from its folder by another process answers as the learner did that was trained."""
    split = _split(whole)
    if split is None:
        raise NotApplicable("the recipe has no data")
    expected = _answers(whole.learner, _one_batch(whole))
    if not expected:
        raise NotApplicable("the learner answers nothing")
    found = shared_zygote().call("rk.testing.checks:loaded_answers", folder=str(whole.folder.path), split=split)
    for name, value in expected.items():
        if not same(found.get(name), value):
            raise Broken(
                f"{name!r} is another one after the run is loaded by another process: what the learner knows "
                "must be in its parameters and persistent buffers, or in its get_extra_state()"
            )


def exports(trial: Trial, whole: Ended) -> None:
    """The weights come out as safetensors."""
    loaded = LoadedRun.open(whole.folder.path, trial.catalog)
    with tempfile.TemporaryDirectory(dir=trial.scratch) as folder:
        weights, _ = Safetensors().export(loaded, Path(folder))
        stored = load_file(weights)
        assert_close(stored, {k: v for k, v in loaded.learner.state_dict().items() if k in stored}, 0.0, "exported")


def exporter_writes(component: Component, trial: Trial, whole: Ended) -> None:
    """An exporter writes the files that it returns, into the folder that it is given.

    Raises:
        NotApplicable: When it refuses this run, with a `UserError`: its format cannot hold every learner.
    """
    loaded = LoadedRun.open(whole.folder.path, trial.catalog)
    spec = read_component("exporter", component.qualified, (), trial.catalog)
    with tempfile.TemporaryDirectory(dir=trial.scratch) as folder:
        try:
            paths = (
                Builder(loaded.recipe, trial.catalog, LoadedRun.open, loaded.facts)
                .build(spec)
                .export(loaded, Path(folder))
            )
        except UserError as error:
            raise NotApplicable(error.message) from None
        if not paths or not all(Path(p).is_file() for p in paths):
            raise Broken(f"the exporter {component.name} returned {[str(p) for p in paths]}")
        if outside := [str(p) for p in paths if Path(folder).resolve() not in Path(p).resolve().parents]:
            raise Broken(f"the exporter {component.name} wrote outside its folder: {', '.join(outside)}")


def _equal_weights(found: Path, expected: Path, message: str) -> None:
    one, other = load_file(found), load_file(expected)
    if stored_extra(found) != stored_extra(expected):
        raise Broken(f"{message} (differs: get_extra_state())")
    different = sorted({*one, *other} - {k for k in one if k in other and _equal(one[k], other[k])})
    if different:
        raise Broken(f"{message} (differs: {', '.join(different[:3])}{', ...' if len(different) > 3 else ''})")


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)


# -- the rest of the disk ----------------------------------------------------------------------------------------------


def writes_outside(written: list[Path], run: Path) -> list[Path]:
    """Returns what was written elsewhere than in the run, in the data folder, in a cache or in a temporary file."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    allowed = [run.resolve(), home.resolve(), Path("/dev"), Path("/proc")]
    allowed += [
        Path(os.environ[name]).resolve() for name in ("RK_DATA", "RK_CACHE", "MPLCONFIGDIR") if os.environ.get(name)
    ]
    scratch, here = Path(tempfile.gettempdir()).resolve(), Path.cwd().resolve()
    outside = []
    for path in dict.fromkeys(p.resolve() for p in written):
        inside = any(path == a or a in path.parents for a in allowed) or "__pycache__" in path.parts
        # of a temporary file with a name, Python reports the folder too
        temporary = scratch in (path, *path.parents) and here not in (path, *path.parents)
        if not inside and not temporary:
            outside.append(path)
    return outside
