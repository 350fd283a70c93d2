"""The sections of a recipe that belong to the host. Their fields are read by the same reader as every component's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from rk.kinds import COMPONENT_KEYS, PLURAL_KEYS
from rk.values import Plain, PlainDict

if TYPE_CHECKING:  # the annotations are read from this source
    from annotated_types import Ge, Gt, Le

    from rk.protocols import Run

MAX_SEED = 18446744073709551615
"""2^64 - 1: what the generators of torch take."""
MAX_THREADS = 4096
MAX_WORKERS = 1024


@dataclass(frozen=True)
class EarlyStopping:
    """When a run ends because its `fit.monitor` no longer improves.

    Args:
        patience: Validations in a row without an improvement after which the run ends.
        min_delta: The change of the monitored metric must be larger than this to count as an improvement.
    """

    patience: Annotated[int, Ge(1)] = 5
    min_delta: Annotated[float, Ge(0)] = 0.0


_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[dhms])+")


def seconds_of(duration: str | float) -> float:
    """Returns the seconds of a duration: a number of them, or a text such as ``10m`` or ``1h30m``.

    Raises:
        ValueError: When the text is not a duration, or the duration is not longer than 0 s.
    """
    if isinstance(duration, str):
        if not _DURATION.fullmatch(duration):
            raise ValueError(f"must be a time such as 90s, 10m or 1h30m, got {duration!r}")
        parts = re.findall(r"([\d.]+)([dhms])", duration)
        duration = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if duration <= 0:
        raise ValueError(f"must be longer than 0 s, got {duration:g} s")
    return duration


@dataclass(frozen=True)
class Fit:
    """Length and settings of training. Counts are optimizer steps, unless stated otherwise.

    Args:
        max_steps: Ends after so many steps.
        max_epochs: Ends after so many passes over the training split.
        max_time: Ends after so much time, validation included and summed over resumes: ``10m``, ``1h30m``, or seconds.
        early_stopping: Ends when `monitor` no longer improves: ``{patience: 5, min_delta: 0.001}``.
        seed: Seeds the weights, the data and everything else that is random.
        validate_every: Validates each time so many steps are done, and at the end. null: at the end, and where the run
            has a known length, finite validation splits and no monitor, up to 20 times before, at most once an epoch.
        validate_batches: The most batches of a validation split to take; null takes all.
        monitor: ``split/metric`` that decides which checkpoint is the best; null keeps the last.
        monitor_mode: Whether less or more is better; auto asks the metric (``loss``: less).
        log_every: Writes the averages of the logged numbers each time so many steps are done.
        checkpoint_every: Writes a checkpoint each time so many steps are done; null: at each validation.
        keep_checkpoints: Checkpoints that are kept: the last so many, and the best by `monitor`.
        gradient_clip: Scales gradients down to this L2 norm over all parameters.
        accumulate: Micro-batches per step.
        freeze: Patterns of the names of weights that stay as they are: ``["blocks.*"]``. Modules that are frozen whole
            stay in eval mode.
        freeze_until: The step from which what is frozen is trained too; null: it never is.
        lr_scale: Pattern of names -> factor of their learning rate: ``{"blocks.*": 0.1}``; the first that matches.
        accumulate_targets: In place of `accumulate`: a step takes micro-batches until its loss has counted so many
            targets (tokens of a language model), over all processes.
        compile: Compiles the objective by `torch.compile`. The names of weights stay; answers are computed without it.
        workers: Processes that make batches ahead; 0 makes them in the training process.
        threads: CPU threads of torch; small models are often faster with 1. null leaves torch's choice.
        accelerator: The device; auto takes a GPU when there is one.
        devices: Processes per node, each with a GPU or a share of the CPU; auto takes all GPUs. Each reads its own
            micro-batches: a step sees `devices * nodes * accumulate` of them.
        nodes: Machines; more than one are started with `torchrun`.
        strategy: How several devices share the work. ddp: each has all weights; fsdp: each has a share of them.
        precision: What forward passes compute in; weights stay in 32 bits. 16-mixed (fp16 with a scaled loss) needs a
            GPU; bf16-mixed needs no scale.
    """

    max_steps: Annotated[int, Ge(1)] | None = None
    max_epochs: Annotated[int, Ge(1)] | None = None
    max_time: str | float | None = None
    early_stopping: EarlyStopping | None = None
    seed: Annotated[int, Ge(0), Le(MAX_SEED)] = 0
    validate_every: Annotated[int, Ge(1)] | None = None
    validate_batches: Annotated[int, Ge(1)] | None = None
    monitor: str | None = None
    monitor_mode: Literal["auto", "min", "max"] = "auto"
    log_every: Annotated[int, Ge(1)] = 50
    checkpoint_every: Annotated[int, Ge(1)] | None = None
    keep_checkpoints: Annotated[int, Ge(1)] = 1
    gradient_clip: Annotated[float, Gt(0)] | None = None
    accumulate: Annotated[int, Ge(1)] = 1
    freeze: list[str] | None = None
    freeze_until: Annotated[int, Ge(1)] | None = None
    lr_scale: dict[str, Annotated[float, Gt(0)]] | None = None
    accumulate_targets: Annotated[int, Ge(1)] | None = None
    compile: bool = False
    workers: Annotated[int, Ge(0), Le(MAX_WORKERS)] = 0
    threads: Annotated[int, Ge(1), Le(MAX_THREADS)] | None = None
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: Annotated[int, Ge(1)] | Literal["auto"] = 1
    nodes: Annotated[int, Ge(1)] = 1
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"

    @property
    def max_seconds(self) -> float | None:
        """`max_time` in seconds."""
        return None if self.max_time is None else seconds_of(self.max_time)


OF_RUN = "run/"
"""Prefix of the names of results: numbers about a whole run, which its components' ``results`` give."""


@dataclass(frozen=True)
class Multiple:
    """A multiple of another metric of the same run.

    Args:
        of: ``split/metric``.
        times: The factor.
    """

    of: str
    times: Annotated[float, Gt(0)] = 1.0

    def value(self, metrics: Mapping[str, float | None]) -> float | None:
        """Returns the multiple; None where the metric was not measured."""
        found = metrics.get(self.of)
        return None if found is None else self.times * found

    def __str__(self) -> str:
        return self.of if self.times == 1 else f"{self.times:g}x {self.of}"


@dataclass(frozen=True)
class Expect:
    """One claim: a metric and the bounds that a recipe must reach.

    Args:
        metric: ``split/metric``, or ``run/name`` for a result of the whole run. ``*`` stands for any text without a
            slash: each metric of such a name must keep the bounds.
        at_least: The number must not be smaller.
        at_most: The number must not be larger.
        at_least_times: The number must not be smaller than a multiple of another metric of the run.
        at_most_times: The number must not be larger than a multiple of another metric of the run.
        paper: The paper's own value.
        differs: What the paper measured otherwise, as other data: its number is then shown, and cannot be reached.
        note: Where in the paper, or under what conditions.
        baseline: The recipe of the method that this one is compared with.
        times_baseline: The number must be at least this multiple of the baseline's; where less is better, at most.
        better_by: The number must be better than the baseline's by so much: larger, or smaller where less is better.
        refuted: Why the paper's claim does not hold here: the cause that is shown with the verdict "refuted here". The
            numbers decide whether it is refuted.
        cost: What a test of the claim takes, where it has not been run. `rk reproduce` trains a recipe whose claims all
            have a cost only where it is named itself.
        other_data: The claim is about other data than this recipe's: it is shown and not judged. Set in a stored recipe
            where the command line, or a file that extends the claim's, changed the data.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    at_least_times: Multiple | None = None
    at_most_times: Multiple | None = None
    paper: float | None = None
    differs: str | None = None
    note: str | None = None
    baseline: str | None = None
    times_baseline: Annotated[float, Gt(0)] | None = None
    better_by: Annotated[float, Gt(0)] | None = None
    refuted: str | None = None
    cost: str | None = None
    other_data: bool | None = None

    @property
    def applies(self) -> bool:
        """Whether the claim is about this recipe's own data."""
        return not self.other_data

    @property
    def compares(self) -> bool:
        """Whether the claim asks for more than the baseline reached."""
        return self.times_baseline is not None or self.better_by is not None

    def margin(self, higher_is_better: bool) -> float:
        """Returns the part of the baseline that is enough, as in ``times_baseline: 0.98``; 1 for all other claims."""
        times = self.times_baseline
        if times is None or self.better_by is not None:
            return 1.0
        return min(1.0, times) if higher_is_better else max(1.0, times)

    def wants_more(self, higher_is_better: bool) -> bool:
        """Returns whether larger numbers are nearer to the claim: its one-sided bound decides, else the metric."""
        low = self.at_least is not None or self.at_least_times is not None
        high = self.at_most is not None or self.at_most_times is not None
        return low if low != high else higher_is_better

    @classmethod
    def from_plain(cls, values: Mapping[str, Plain]) -> Expect:
        """Returns the claim of a stored recipe; keys that another version wrote are left out."""
        known = {k: v for k, v in values.items() if k in cls.__dataclass_fields__}
        for key in ("at_least_times", "at_most_times"):
            if isinstance(found := known.get(key), dict):
                known[key] = Multiple(**found)
        return cls(**known)

    def among(self, names: Iterable[str]) -> list[str]:
        """Returns those of `names` that the claim is about."""
        pattern = re.compile(re.escape(self.metric).replace(r"\*", "[^/]*"))
        return [name for name in names if pattern.fullmatch(name)]

    def met(self, value: float | None, metrics: Mapping[str, float | None]) -> bool | None:
        """Returns whether `value` keeps the bounds of this claim; None when it has none.

        Args:
            value: The number that the claim is about.
            metrics: All metrics of the run, by their names.
        """
        if not self.bound():
            return None
        low = _numbers(self.at_least, self.at_least_times, metrics)
        high = _numbers(self.at_most, self.at_most_times, metrics)
        if value is None or value != value:
            return False
        return all(bound is not None and value >= bound for bound in low) and all(
            bound is not None and value <= bound for bound in high
        )

    def bound(self) -> str:
        """Returns the bounds as text."""
        parts = [f">= {self.at_least:g}" if self.at_least is not None else None]
        parts.append(f"<= {self.at_most:g}" if self.at_most is not None else None)
        parts.append(f">= {self.at_least_times}" if self.at_least_times is not None else None)
        parts.append(f"<= {self.at_most_times}" if self.at_most_times is not None else None)
        return " and ".join(p for p in parts if p)

    def comparison(self, baseline: str = "the baseline") -> str:
        """Returns the comparison with the baseline as text; "" if there is none."""
        parts = [f"{self.times_baseline:g}x {baseline}" if self.times_baseline is not None else None]
        parts.append(f"{self.better_by:g} better than {baseline}" if self.better_by is not None else None)
        return " and ".join(p for p in parts if p)


def _numbers(bound: float | None, multiple: Multiple | None, metrics: Mapping[str, float | None]) -> list[float | None]:
    return [*([] if bound is None else [bound]), *([] if multiple is None else [multiple.value(metrics)])]


@dataclass(frozen=True)
class InitFrom:
    """The initial weights of a new run: those of another run, by their names, where the shapes agree.

    Args:
        run: A run, or ``{recipe: NAME}``: a finished run of that recipe, which is trained first where there is none.
        only: Patterns of the names that are taken, ``encoder.*``; an empty list takes all.
        skip: Patterns of the names that are not taken, ``*head*``.
        rename: The beginning of a name here -> its beginning in the other run.
    """

    run: Run
    only: list[str] = field(default_factory=list)
    skip: list[str] = field(default_factory=list)
    rename: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sections:
    """The keys of a recipe that are neither components nor `fit` and `expect`.

    Args:
        rk: Version of the recipe format; 1.
        paper: The paper, ``arXiv:1506.03134``.
        about: One line on what the recipe shows.
        requires: Distributions of plugins that must be installed, with versions or without: ``rk-pointer-net>=0.1``.
    """

    rk: Literal[1]
    paper: str | None = None
    about: str | None = None
    requires: list[str] | None = None


SECTION_KEYS = ("rk", "paper", "about", "requires", "extends")
ALL_KEYS = (*SECTION_KEYS, *COMPONENT_KEYS, *sorted(PLURAL_KEYS), "init_from", "fit", "expect")


def plain(section: object) -> PlainDict:
    """Returns the fields that are not None, in order, as plain values."""
    return {k: plain(v) if is_dataclass(v) else v for k, v in vars(section).items() if v is not None}
