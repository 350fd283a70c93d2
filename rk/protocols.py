"""The protocol of each kind of component, for plugin authors.

A component is a class that fits one of these protocols. Inheriting from the protocol is allowed and brings the
default bodies below; it is not required. Nothing here imports torch at run time.

Three rules hold for every kind:

* **The annotated constructor is the schema.** Names, types, defaults and the docstring's ``Args:`` are the
  component's recipe parameters, its help and its JSON Schema. They are read from the source, without importing it.
* **Fields bind by name.** What ``forward``, ``predict`` and a loss take by keyword are fields of the batch or of the
  outputs; what they return is declared by a ``TypedDict`` in the return annotation.
* **Facts fill gaps.** A constructor parameter without default that the recipe leaves out is filled by the fact of the
  same name: an annotated attribute or property of the data (``num_classes: int``), or ``seed`` from ``fit.seed``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

from rk.kinds import KINDS as _TABLE

__all__ = [
    "KINDS",
    "Aggregator",
    "Analysis",
    "Batch",
    "Callback",
    "Data",
    "Decode",
    "Exporter",
    "Factory",
    "GraphLayer",
    "ImageLayer",
    "Layer",
    "Layered",
    "Learner",
    "Loss",
    "Metric",
    "Model",
    "Objective",
    "OperatorLayer",
    "Optimizer",
    "Outputs",
    "Run",
    "Schedule",
    "Search",
    "SequenceLayer",
    "Share",
    "StatefulSequenceLayer",
    "Term",
    "Trainer",
    "Training",
]

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Self

    import torch
    from torch import Tensor, nn
    from torch.optim.optimizer import ParamsT

    from rk.drafting import Draft

T = TypeVar("T")

Batch = Mapping[str, Any]
"""Field name -> tensor. A name that ends in ``_meta`` holds a plain Python value that never leaves the host."""

Outputs = Mapping[str, Any]
"""Output name -> tensor; no name that the batch has too."""

Share = tuple["Tensor", "Tensor | int"]
"""``(total, count)``: a sum and what it is a sum over. Never a mean: the runtime divides by the global count."""

Term = Share | tuple["Tensor", "Tensor | int", "float | Tensor"]
"""A share with, or without, its weight in the sum of several: ``(total, count, 0.1)``. Logs show it unweighted."""

Objective = Term | dict[str, Term]
"""The objective: one term, or named terms that are each divided by their own count, weighted and then added."""

Scalars = Mapping[str, Any]
"""What a step returns to be logged: name -> tensor of one element, or number."""

State = dict[str, Any]
"""What a checkpoint holds of an object: tensors and plain values, by name."""


class _DecodeMarker:
    """Marks a constructor parameter that has no effect on weights."""


Decode = Annotated[T, _DecodeMarker()]
"""``Decode[int]``: a parameter that only changes how an answer is read out; `rk eval` and `rk predict` may set it."""


class _TrainingMarker:
    """Marks a constructor parameter that is given only while a run trains."""


Training = Annotated[T, _TrainingMarker()]
"""``teacher: Training[Run]``: what only training needs. It is None when a trained run is loaded, so that the run also
answers where the teacher is gone."""

Factory = Callable[..., T]
"""``Factory[SequenceLayer]``: builds one component per call. The caller passes what the protocol's constructor names
(``layer(d_model=64)``), the recipe gives the rest."""


class Metric(Protocol):
    """A callable like a loss, or an object with ``update``, ``compute``, ``merge`` and ``reset``.

    A callable takes fields of the batch and of `predict`'s outputs by keyword and returns ``(total, count)``.
    An object's ``update`` takes the fields, ``compute`` returns a number; torchmetrics objects fit as they are
    (their ``update`` then needs keyword names that are fields). ``higher_is_better`` (default: yes) is what
    `fit.monitor` goes by.
    """

    def __call__(self, **fields: Tensor) -> Share: ...


class Data(Protocol):
    """The task: indexed batches, facts, metrics, and the reading and rendering of raw files.

    The constructor does no I/O. Class-level annotations and properties without underscore are facts.

    Attributes:
        splits: Names of the splits. ``train`` is trained on, ``val*`` are validated at `fit.validate_every`, ``test*``
            are tested once at the end.
        metrics: Metric name -> function, class without required parameters, or object. A dict display in the class
            body is read statically.
    """

    splits: tuple[str, ...]
    metrics: Mapping[str, Any]

    def prepare(self) -> None:
        """Does all I/O: downloads, reads, fits vocabularies. Called once, before the facts are read."""

    def batches(self, split: str) -> int | None:
        """Returns the number of batches of one pass over `split`, or None when it has no end."""
        ...

    def batch(self, split: str, i: int, stage: int = 0) -> Batch:
        """Returns batch `i`, which depends on the seed and these arguments alone.

        For ``train``, `i` counts on through the epochs (`rk.sampling.rows` reshuffles in each). So workers, ranks
        and a resumed run all see the same stream.

        Args:
            split: One of `splits`.
            i: Index of the batch, from 0.
            stage: The trainer's ``stage`` (curricula); 0 if the trainer has none.
        """
        ...

    def read(self, path: Path) -> Batch:
        """Reads a user's own file for `rk predict`. Raises `rk.UserError` for a file that it cannot take."""
        ...

    drafts: tuple[str, ...]
    """Optional: endings of the files that `draft` takes, ``(".csv", ".tsv")``, a literal in the class body; ``"/"``
    stands for folders."""

    @classmethod
    def draft(cls, path: Path, target: str | None) -> Draft | None:
        """Returns the recipe that fits a user's file, None where other data should read it: `rk recipes init`.

        Optional. Raises `rk.UserError` for a file of its kind that is damaged, or has no column `target`.
        """
        ...

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns one JSON-able dict per example: what `rk predict` prints and writes."""
        ...

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws the batch and its outputs into files whose names begin with `out`; returns their paths."""
        ...

    writes: tuple[str, ...]
    """Optional: endings of the files that `write` makes, ``(".wav", ".npz")``, a literal in the class body."""

    def write(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Writes the answer to one file in the user's own kind of file, by the ending of `out`; returns the paths.

        Optional: what `rk predict -o answer.wav` calls.
        """
        ...

    labels: tuple[str, ...]
    """Optional: the name of each class, in the order of the class numbers. Known once `prepare` or `load_state_dict`
    was called; exporters write it beside the weights."""

    def preprocessing(self) -> dict[str, Any]:
        """Returns how a user's file becomes the inputs, as plain JSON: what `read` does, for a program without rk.

        Optional; known once `prepare` or `load_state_dict` was called. docs/contract.md lists the keys.
        """
        ...

    def state_dict(self) -> State:
        """Returns what `prepare` fitted (tensors and plain values), so that a run answers without the raw data."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Takes `state_dict`'s result in place of `prepare`."""


class Model(Protocol):
    """An ``nn.Module`` whose ``forward`` takes batch fields by keyword and returns outputs.

    A second method ``predict(*, ...)`` answers where that differs from training (decoding); it may leave out
    training-only fields. Without one, ``forward`` answers.
    """

    def forward(self, **fields: Tensor) -> Outputs: ...

    if TYPE_CHECKING:  # nn.Module has these: bodies here would hide them

        def __call__(self, **fields: Tensor) -> Outputs: ...

        def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...

    def begin(self, *, data: Data, runtime: Runtime) -> None:
        """Looks at the data once, before the first step of a new run: normalisers, document frequencies, a first SVD.

        Optional, for losses and trainers too; leave out a parameter that is not used. What it finds must be in the
        learner's state, or in the trainer's ``state_dict``: it is called neither when a run is resumed nor when it is
        loaded. `Runtime.batches` gives the batches of a split. In several processes, each calls it, with the same data.
        """


class Layered(Model, Protocol):
    """A model that is a chain of blocks: what skips, repeats, prunes, quantizes or trains single blocks asks for it.

    ``forward(**fields)`` is the same as ``hidden, context = enter(**fields)``, ``hidden = block(hidden, *context)`` for
    each block, and ``leave(hidden, **fields)``; `rk.blocks.run_blocks` does so, in any order of blocks.

    Attributes:
        blocks: The blocks, in order. The first axis of what they take and give is the batch.
        keeps_shape: Whether every block gives the shape that it takes: then blocks can be skipped and repeated.
    """

    blocks: nn.ModuleList
    keeps_shape: bool

    def enter(self, **fields: Tensor) -> tuple[Tensor, tuple[Any, ...]]:
        """Returns what the first block takes, of (batch, ...), and what every block takes besides, such as a mask."""
        ...

    def leave(self, hidden: Tensor, **fields: Tensor) -> Outputs:
        """Returns the outputs from what the last block gave."""
        ...


class Layer(Protocol):
    """An ``nn.Module`` for a slot of a model. Each slot has its own sub-protocol, like `SequenceLayer`."""

    if TYPE_CHECKING:  # nn.Module has these: bodies here would hide them

        def __call__(self, *inputs: Any, **more: Any) -> Any: ...  # Any: as the slot's own `forward` says

        def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...

        def requires_grad_(self, requires_grad: bool = True) -> Self: ...


class ImageLayer(Layer, Protocol):
    """Maps (batch, in_channels, height, width) to (batch, out_channels, height / stride, width / stride)."""

    def __init__(self, *, in_channels: int, out_channels: int, stride: int = 1) -> None: ...

    def forward(self, x: Tensor) -> Tensor:
        """Maps `x` of (batch, in_channels, height, width); odd sizes are rounded up."""
        ...


class GraphLayer(Layer, Protocol):
    """Maps the nodes of a flat batch of graphs, (nodes, in_channels), to (nodes, out_channels)."""

    def __init__(self, *, in_channels: int, out_channels: int) -> None: ...

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor | None = None) -> Tensor:
        """Maps `x`.

        Args:
            x: (nodes, in_channels).
            edge_index: (2, edges): from node, to node.
            edge_attr: (edges, features), where edges have features.
        """
        ...


class Aggregator(Layer, Protocol):
    """Puts items in groups into one row each, whatever their order: messages to a node, nodes of a graph."""

    def __init__(self, *, d_model: int) -> None: ...

    def forward(self, x: Tensor, index: Tensor, num_groups: int) -> Tensor:
        """Returns (num_groups, d_model); a group without items gives zeros or what the aggregator has learned.

        Args:
            x: (items, d_model).
            index: (items,): the group of each item.
            num_groups: How many groups there are.
        """
        ...


class OperatorLayer(Layer, Protocol):
    """Maps functions on a grid, (batch, width, *grid), to the same shape; the grid's size is free from call to call."""

    def __init__(self, *, width: int, n_dims: int) -> None: ...

    def forward(self, x: Tensor) -> Tensor:
        """Maps `x` of (batch, width, *grid), with `n_dims` axes of the grid."""
        ...


class SequenceLayer(Layer, Protocol):
    """Maps (batch, time, d_model) to the same shape."""

    def __init__(self, *, d_model: int) -> None: ...

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Maps `x` of (batch, time, d_model) to the same shape; `mask` of (batch, time) is True where a step exists."""
        ...


class StatefulSequenceLayer(SequenceLayer, Protocol):
    """A causal `SequenceLayer` that can stop at any step and continue from there.

    Truncated backpropagation carries its state from chunk to chunk, streaming from step to step. A state is a tensor,
    or tuples, lists and dicts of them; every tensor has the batch as its first dimension, so that rows can be reset,
    reordered and dropped without knowing what they hold.
    """

    def initial_state(self, batch_size: int) -> Any:
        """Returns the state before the first step, on the device of the parameters, in their dtype or a wider one."""
        ...

    def scan(self, x: Tensor, state: Any, mask: Tensor | None = None) -> tuple[Tensor, Any]:
        """Maps a further piece, of any length from 1; ``forward(x)`` is ``scan`` from the initial state.

        Args:
            x: (batch, time, d_model).
            state: What `initial_state` or the last call returned; it is not changed.
            mask: (batch, time), True where a step exists; a step that does not leaves the row's state as it is.

        Returns:
            The output, of `x`'s shape, and the state after the last step.
        """
        ...


class Loss(Protocol):
    """Outputs and batch fields by keyword -> ``(total, count)`` or ``{term: (total, count, weight)}``, never a mean.

    A loss may have a method ``watch(model)``: it is called once, when the learner is built, in runs that are resumed or
    loaded too. A loss on what is inside the model keeps a reference to parts of it, outside of its own modules.
    """

    def __call__(self, **fields: Tensor) -> Objective: ...


class Schedule(Protocol):
    """The learning rate as a function of the step, and of the monitored metric where it takes it.

    Optional members:

    * ``monitored(value: float, maximise: bool)``: takes the value of `fit.monitor` of each validation, and whether more
      of it is better. A recipe with such a schedule must have `fit.monitor` and `fit.validate_every`.
    * ``state_dict() -> State`` and ``load_state_dict(state)``: what it has seen, where it takes the metric.
    """

    def __call__(self, lr: float, step: int, total_steps: int | None) -> float:
        """Returns the rate of update number `step` (from 0).

        Args:
            lr: The parameter group's own rate.
            step: Updates done so far.
            total_steps: Updates of the whole run; None when it is not known.
        """
        ...


class Optimizer(Protocol):
    """A factory over parameters or parameter groups, with its schedule.

    The optimizer that it makes may have the methods ``train()`` and ``eval()``, as schedule-free ones do: then
    validation, tests and what files hold are of the weights in the mode of ``eval()``, and training continues bit-equal
    from those of ``train()``.

    Attributes:
        schedule: How the learning rate goes; None keeps it.
    """

    schedule: Schedule | None

    def __call__(self, params: ParamsT) -> torch.optim.Optimizer:
        """Returns a torch optimizer over `params` (tensors, or dicts of a parameter group)."""
        ...


class Learner(Protocol):
    """ONE ``nn.Module`` that holds everything learned; a trainer's ``setup`` returns it.

    ``model.safetensors``, `rk eval`, `rk predict` and `rk export` are the learner's. Optional members:

    * ``forward(batch) -> Objective``: what is minimised; gives ``split/loss``. A learner without an objective has none.
    * ``evaluate(batch) -> (Objective, Outputs)``: both at once, where that is cheaper.
    * ``variants() -> {name: predict}``: sub-models, measured as ``split/metric@name``.
    * ``render(batch, outputs, out) -> [paths]``: draws how it came to its answer, into files whose names begin with the
      stem of `out` and continue: `out` itself is drawn by the data.
    * ``lazy_buffers: tuple[str, ...]``: this module's buffers whose shape depends on the data, sized from the file.

    When ``predict``'s return annotation is a TypedDict, the learner declares its own outputs: metrics see those and
    the model's own ``forward`` is not bound.
    """

    def predict(self, batch: Batch) -> Outputs: ...


class Trainer(Protocol):
    """The learning algorithm: how the parameters are found. Constructor parameters are its recipe parameters.

    The signature of ``setup`` declares what is needed: leave out ``model`` or ``loss`` and a recipe that has one is
    refused; annotate ``loss: Loss | None = None`` and it is allowed; annotate ``model: MyProtocol`` (a Protocol with
    extra members, like ``blocks``) and only models that have these members fit. A ``step`` that takes no batch needs
    no training split; one annotated with a TypedDict declares which fields it reads; one that may return None ends
    by itself.
    """

    def setup(self, *, model: Model, data: Data, runtime: Runtime, loss: Loss | None = None) -> Learner:
        """Builds the learner. Called for training and whenever a run is loaded again: reads facts, never batches."""
        ...

    def step(self, batch: Batch) -> dict[str, Tensor] | None:
        """Learns from one micro-batch; returns scalars to log, or None when there is nothing left to learn."""
        ...

    def validated(self, metrics: Mapping[str, float]) -> None:
        """Takes the numbers of each validation, after its step: for plateaus, growth, or an early end.

        Optional. Several processes get the same numbers. What it changes must survive a kill by `state_dict`.
        """

    def finish(self) -> None:
        """Called once after the last step, before the final validation (closed-form solutions belong here)."""

    def results(self) -> Mapping[str, float]:
        """Returns numbers about the whole run, read once after the tests: metrics called ``run/NAME``.

        Optional. A literal tuple ``lower_is_better`` of the class names those of which less is better.
        """
        return {}

    def state_dict(self) -> State:
        """Returns what must survive a kill besides the learner, the optimizers and the random generators."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Takes `state_dict`'s result back."""


class Search(Protocol):
    """Looks for a structure, a path or a program: a trainer whose ``step`` takes no batch, run as `rk search NAME`.

    Constructor parameters annotated `rk.Run` take a run folder, those annotated with a kind take a component. A
    `setup` that asks for ``data`` gets the one named by ``--data``, else that of its run. A trainer may have the
    optional members too:

    * ``defaults: tuple[str, ...]``, a literal in the class body: overrides of the recipe that `rk search NAME` begins
      with, ``("data=arith-levels", "fit.log_every=1")``. Recipes in files have none.
    * ``resumable: tuple[str, ...]``, a literal too: parameters that may be changed when a run is resumed, ended or not;
    a
      budget, say.
    * ``total_steps: int``, known after ``setup``: the length of the progress bar, if `fit` does not give it.
    * ``summary() -> str``: printed when the run has ended.
    """

    def setup(self, *, data: Data, runtime: Runtime) -> Learner: ...

    def step(self) -> dict[str, Tensor] | None:
        """Tries one candidate; returns numbers to log, or None when the search is over."""
        ...

    def finish(self) -> None: ...

    def state_dict(self) -> State:
        return {}

    def load_state_dict(self, state: State) -> None: ...


class Analysis(Protocol):
    """Computes tables and figures; run as `rk analyze NAME`. Constructor as in `Search`."""

    def analyze(self, out: Path) -> Mapping[str, float]:
        """Writes figures and tables into the folder `out` and returns the numbers worth a line."""
        ...


class Callback(Protocol):
    """Acts at named moments of a run. Every method is optional; those left out cost nothing.

    Validation and checkpoints never change the weights that training ends with, and neither may a callback outside
    ``before_clip``, ``before_update`` and ``after_step``.
    """

    def fit_start(self, fit: FitContext) -> None:
        """Before the first step, learner and optimizers built (and restored, on resume)."""

    def before_clip(self, named: Mapping[str, Tensor]) -> None:
        """After normalising, before clipping: the learner's names -> parameters; gradients may be changed in place.

        Masks belong here: what is set to zero does not count for the norm.
        """

    def before_update(self, params: list[Tensor]) -> None:
        """After normalising and clipping, before the optimizer's step; gradients may be changed in place."""

    def after_step(self, fit: FitContext) -> None:
        """After each step."""

    def validated(self, fit: FitContext, metrics: Mapping[str, float]) -> None:
        """After each validation, with its ``split/metric`` numbers."""

    def checkpoint(self, fit: FitContext, folder: Path) -> None:
        """After a checkpoint has been written into `folder`."""

    def variants(self) -> Mapping[str, Callable[[Batch], Outputs]]:
        """Returns what is measured beside the learner, as ``split/metric@name``: an average of its weights.

        The names are asked for before `fit_start`, and must not change.
        """
        return {}

    def fit_end(self, fit: FitContext) -> None:
        """After the tests, when the final metrics are known."""

    def results(self) -> Mapping[str, float]:
        """Returns numbers about the whole run, read after `fit_end`: metrics ``run/NAME``, as of a `Trainer`."""
        return {}

    def state_dict(self) -> State:
        return {}

    def load_state_dict(self, state: State) -> None: ...


class Exporter(Protocol):
    """A run -> files for the outside world."""

    def export(self, run: Run, out: Path) -> list[Path]:
        """Writes `run`'s learner into the folder `out` and returns the files; a `rk.LoadedRun` is what arrives.

        Raises:
            rk.UserError: When the format cannot hold this learner; the message says why.
        """
        ...


class Runtime(Protocol):
    """Devices, gradients and updates, as a trainer sees them. `rk.Runtime` is what arrives; it says more of each."""

    @property
    def device(self) -> torch.device: ...

    @property
    def training(self) -> bool: ...

    @property
    def rank(self) -> int: ...

    @property
    def world(self) -> int: ...

    @property
    def is_main(self) -> bool: ...

    @property
    def step(self) -> int | None: ...

    @property
    def folder(self) -> Path | None: ...

    def setup(self, module: nn.Module) -> nn.Module:
        """Moves `module` to the device and returns what to call in its place for an objective."""
        ...

    def optimizer(
        self, factory: Optimizer, params: Iterable[Any], name: str | None = None, updates: int | None = None
    ) -> torch.optim.Optimizer | None:
        """Builds an optimizer over `params`; None when nothing is trained."""
        ...

    def optimizers(self, factories: Mapping[str, Optimizer], module: nn.Module) -> list[torch.optim.Optimizer]:
        """Makes an optimizer for each pattern of names."""
        ...

    def backward(self, objective: Objective) -> dict[str, Tensor]:
        """Adds the gradient of the objective, each term a mean over its global count."""
        ...

    def update(self, *optimizers: torch.optim.Optimizer, whole: bool = False) -> None:
        """Ends a micro-batch; at the last one, the optimizers make their step."""

    def batches(self, data: Any, split: str, limit: int | None = None) -> Iterator[Batch]:
        """Yields the batches of one pass over a split, on the device."""
        ...

    def autocast(self) -> AbstractContextManager[object]:
        """Returns the context of the precision in which answers are computed."""
        ...

    def gather(self, value: Tensor) -> Tensor:
        """Returns the sum of `value` over all processes."""
        ...


class FitContext(Protocol):
    """The run, as a callback sees it. `rk.FitContext` is what arrives; it has the recipe too."""

    recipe: Any  # Any: an `rk.recipe.Recipe`, whose module reads this one
    folder: Path
    data: Any  # Any: the data class of the recipe's own plugin
    learner: nn.Module
    trainer: Any  # Any: the trainer class of the recipe's own plugin
    step: int
    metrics: dict[str, float]
    batch: Batch | None
    scalars: Scalars

    @property
    def runtime(self) -> Runtime: ...

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]: ...

    def batches(self, split: str, limit: int | None = None) -> Iterator[Batch]:
        """Yields the batches of `split`, on the learner's device."""
        ...

    def stop(self, reason: str) -> None:
        """Ends the run after this step."""

    def log(self, numbers: Scalars) -> None:
        """Adds scalars to the averages that are logged."""


class Folder(Protocol):
    """The folder of a finished run.

    Attributes:
        path: Where it is.
        label: What a user may type for it.
    """

    @property
    def path(self) -> Path: ...

    @property
    def label(self) -> str: ...


class Run(Protocol):
    """A finished run, as a parameter of a search or an analysis: ``run: Run`` takes a run folder.

    `rk.fit.loaded.LoadedRun` is what arrives: the learner with its weights, the data, the recipe.
    """

    learner: nn.Module
    data: Any  # Any: the data class of the run's own plugin, with whatever it has besides `Data`
    recipe: Any  # Any: an `rk.recipe.Recipe`, whose module reads this one

    @property
    def folder(self) -> Folder: ...

    @property
    def runtime(self) -> Runtime: ...

    def batches(self, split: str, limit: int | None = None) -> Iterator[Batch]: ...


KINDS: dict[str, type] = {kind.name: globals()[kind.protocol] for kind in _TABLE.values()}
"""Every kind of component and its protocol, in the order of `rk list` (`rk.kinds`)."""
