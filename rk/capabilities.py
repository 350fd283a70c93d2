"""What a component may have besides what its kind demands, one protocol for each: `supports` asks for it.

The names of members are those of `rk.protocols` and docs/contract.md. A wrapper has the capabilities of what it wraps
(`rk.wrappers`): it finds them by ``__getattr__``. Hence `supports`, which looks as an attribute access does;
``isinstance`` with a runtime-checkable protocol looks past ``__getattr__`` since Python 3.12.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from rk.protocols import Batch, Objective, Outputs, Runtime, Scalars, State

C = TypeVar("C")


# -- what every one has: the rest of its protocol in `rk.protocols` may be missing -------------------------------------


class HasBatches(Protocol):
    """Any data."""

    @property
    def splits(self) -> tuple[str, ...]: ...

    def batches(self, split: str) -> int | None: ...

    def batch(self, split: str, i: int, stage: int = 0) -> Batch: ...


class Algorithm(Protocol):
    """Any trainer or search. What `setup` is given, and whether `step` takes a batch, their signatures say."""

    @property
    def setup(self) -> Callable[..., Any]: ...  # Any: whatever a plugin returns; `rk.fit.returns.check_learner` looks

    @property
    def step(self) -> Callable[..., Scalars | None]: ...


# -- of several kinds --------------------------------------------------------------------------------------------------


class SupportsStateDict(Protocol):
    """Has something to keep in a checkpoint."""

    def state_dict(self) -> State: ...


class SupportsLoadStateDict(Protocol):
    """Takes back what `SupportsStateDict` has kept."""

    def load_state_dict(self, state: State) -> None: ...


class SupportsBegin(Protocol):
    """Looks at the data before the first step of a new run; of ``data`` and ``runtime`` it names what it wants."""

    @property
    def begin(self) -> Callable[..., None]: ...


class SupportsResults(Protocol):
    """Gives numbers about the whole run."""

    def results(self) -> Mapping[str, float]: ...


class SupportsRender(Protocol):
    """Draws a batch and its outputs."""

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]: ...


# -- of data -----------------------------------------------------------------------------------------------------------


class SupportsPrepare(Protocol):
    """Has I/O to do before its facts are read."""

    def prepare(self) -> None: ...


class SupportsRead(Protocol):
    """Reads a user's own file."""

    def read(self, path: Path) -> Batch: ...


class SupportsAnswers(Protocol):
    """Says an answer in plain values, one dict per example."""

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]: ...  # Any: what JSON can hold


class SupportsWrite(Protocol):
    """Writes an answer into a file of the user's own kind."""

    def write(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]: ...


class SupportsMetrics(Protocol):
    """Brings metrics of its own."""

    @property
    def metrics(self) -> Mapping[str, Any]: ...  # Any: a function, a class or an object of a library


class SupportsPreprocessing(Protocol):
    """Says how a user's file becomes the inputs."""

    def preprocessing(self) -> dict[str, Any]: ...  # Any: what JSON can hold


# -- of learners and models --------------------------------------------------------------------------------------------


class SupportsPredict(Protocol):
    """Answers a batch."""

    def predict(self, batch: Batch) -> Outputs: ...


class SupportsPredictFields(Protocol):
    """A model whose answer differs from what it gives in training."""

    @property
    def predict(self) -> Callable[..., Outputs]: ...


class SupportsEvaluate(Protocol):
    """Gives the objective and the answer at once."""

    def evaluate(self, batch: Batch) -> tuple[Objective, Outputs]: ...


class SupportsVariants(Protocol):
    """Has sub-models that are measured beside it."""

    def variants(self) -> Mapping[str, Callable[[Batch], Outputs]]: ...


class SupportsTakeMeasured(Protocol):
    """A learner that measures by itself."""

    def take_measured(self, runtime: Runtime, shared: bool) -> Mapping[str, float]: ...


class HasModel(Protocol):
    """A learner around one model."""

    @property
    def model(self) -> Any: ...  # Any: whatever module the learner keeps under that name


class HasBlocks(Protocol):
    """A model that is a chain of blocks: the members of `rk.protocols.Layered` by which it is known."""

    @property
    def blocks(self) -> Any: ...  # Any: an nn.ModuleList; torch is not imported for it

    @property
    def keeps_shape(self) -> bool: ...

    @property
    def enter(self) -> Callable[..., Any]: ...  # Any: the hidden tensor and the context of the blocks

    @property
    def leave(self) -> Callable[..., Outputs]: ...


class SupportsInitialState(Protocol):
    """A layer that can stop at any step and continue from there: `rk.protocols.StatefulSequenceLayer`."""

    @property
    def initial_state(self) -> Callable[[int], Any]: ...  # Any: the layer's own state


# -- of losses ---------------------------------------------------------------------------------------------------------


class SupportsWatch(Protocol):
    """A loss that looks inside the model."""

    @property
    def watch(self) -> Callable[[Any], None]: ...  # Any: the model


# -- of optimizers and schedules ---------------------------------------------------------------------------------------


class SupportsModes(Protocol):
    """An optimizer that trains other weights than those that answer, as schedule-free ones do."""

    def train(self) -> None: ...

    def eval(self) -> None: ...


class SupportsMonitored(Protocol):
    """A schedule that follows the monitored metric."""

    def monitored(self, value: float, maximise: bool) -> None: ...


# -- of algorithms -----------------------------------------------------------------------------------------------------


class SupportsFinish(Protocol):
    """Completes the learner after the last step."""

    def finish(self) -> None: ...


class SupportsValidated(Protocol):
    """Takes the numbers of each validation."""

    def validated(self, metrics: Mapping[str, float]) -> None: ...


class SupportsSummary(Protocol):
    """Says at the end what was found."""

    def summary(self) -> str: ...


# -- of metrics --------------------------------------------------------------------------------------------------------


class SupportsUpdate(Protocol):
    """A metric that is an object: it is updated with fields."""

    @property
    def update(self) -> Callable[..., None]: ...


class SupportsCompute(Protocol):
    """A metric that is an object: it computes at the end."""

    def compute(self) -> float: ...


class SupportsReset(Protocol):
    """Can be reset."""

    def reset(self) -> None: ...


class SupportsMerge(Protocol):
    """Can take in what another process has measured."""

    def merge(self, other: Any) -> None: ...  # Any: an object of the same class


class SupportsTo(Protocol):
    """Can be moved to a device; what is returned, if anything, takes its place."""

    @property
    def to(self) -> Callable[..., Any]: ...  # Any: itself, or None where it moves in place


# -- asking ------------------------------------------------------------------------------------------------------------


def supports(component: object, capability: type[C]) -> TypeIs[C]:
    """Returns whether `component` has all members of the protocol `capability`, of its own or of what it wraps."""
    return all(hasattr(component, name) for name in members(capability))


def implements(component: object, capability: type[C]) -> TypeIs[C]:
    """Returns whether the class of `component` defines all members itself: a protocol's empty bodies do not count."""
    return all(defines(component, name) for name in members(capability))


def defines(component: object, name: str) -> bool:
    """Returns whether the class of `component` defines `name` itself, not by inheriting a protocol's empty body."""
    found = getattr(type(component), name, None)
    return found is not None and getattr(found, "__module__", "") != "rk.protocols"


_MEMBERS: dict[type, tuple[str, ...]] = {}


def members(capability: type) -> tuple[str, ...]:
    """Returns the names of the members of a protocol of this module."""
    found = _MEMBERS.get(capability)
    if found is None:
        found = _MEMBERS[capability] = tuple(name for name in vars(capability) if not name.startswith("_"))
    return found
