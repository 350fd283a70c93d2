"""The kinds of components: one table that hooks, protocols, checks, commands and documents follow.

A new kind is one entry here and one protocol in `rk.protocols`. With an `example` it also needs the template of that
name in ``rk/scaffold/plugin``. Nothing heavy is imported: every command reads this table.
"""

from __future__ import annotations

from rk.record import record


@record
class Kind:
    """One kind of component.

    Attributes:
        name: The kind, in the singular: what `rk list` and `rk show` take.
        hook: The hook by which a plugin offers components of it, ``rk_`` and the plural.
        protocol: Name of its class in `rk.protocols`.
        help: One line: what a component of it is.
        methods: The methods that a component must have; of those in one tuple, any one will do.
        must: The same with signatures, for docs/contract.md (Markdown).
        may: What a component may have besides (Markdown).
        key: Its key in a recipe: its own name for one component, the plural for several; None
            where only other components and commands name it.
        fields: What it declares: methods with what `rk show` calls the fields that they take and give. Those that give
            some have a TypedDict as return annotation.
        example: What the component does that `rk plugins new` writes; None where it writes none.
    """

    name: str
    hook: str
    protocol: str
    help: str
    methods: tuple[tuple[str, ...], ...]
    must: str
    may: str = ""
    key: str | None = None
    fields: tuple[tuple[str, str | None, str | None], ...] = ()
    example: str | None = None

    @property
    def plural(self) -> str:
        """The word for several components of it."""
        return self.hook.removeprefix("rk_")

    @property
    def declaring(self) -> tuple[str, ...]:
        """The methods whose return annotation is a TypedDict of fields."""
        return tuple(name for name, _, gives in self.fields if gives)


_TABLE = (
    Kind(
        "model",
        "rk_models",
        "Model",
        "Models: ``nn.Module`` classes whose ``forward`` takes batch fields by keyword",
        methods=(("forward",),),
        must="`forward(*, fields) -> TypedDict`",
        may="`predict(*, fields) -> TypedDict`, `begin`, any capability (`blocks`, ...)",
        key="model",
        fields=(("forward", "takes", "gives"), ("predict", "takes to answer", "answers")),
        example="Residual layers over flattened inputs.",
    ),
    Kind(
        "layer",
        "rk_layers",
        "Layer",
        "Layers: ``nn.Module`` classes for a slot of a model",
        methods=(("forward",),),
        must="`forward`, and the members of the slot's protocol (`SequenceLayer`)",
        may="`initial_state`, `scan` (`StatefulSequenceLayer`)",
        example="Mixes each step with the mean of all steps up to it.",
    ),
    Kind(
        "data",
        "rk_data",
        "Data",
        "Tasks: indexed batches, facts, metrics, reading and rendering",
        methods=(("batches",), ("batch",)),
        must="`splits`, `batches(split)`, `batch(split, i, stage=0) -> TypedDict`",
        may="`prepare`, facts, `metrics`, `read`, `answers`, `render`, `state_dict`, `labels`, `preprocessing`, "
        "`drafts` and `draft`, "
        "`writes` and `write`, `text_ending`",
        key="data",
        fields=(("batch", None, "batch"),),
        example="Points in the plane on three noisy rings.",
    ),
    Kind(
        "loss",
        "rk_losses",
        "Loss",
        "Losses: outputs and batch fields -> ``(total, count)``",
        methods=(("__call__", "forward"),),
        must="`__call__(*, fields) -> (total, count)` or `{term: (total, count)}`; `forward` in an `nn.Module`",
        may="`begin`, `watch`, its own weights (an `nn.Module`)",
        key="loss",
        fields=(("__call__", "takes", None), ("forward", "takes", None)),
        example="The focal loss.",
    ),
    Kind(
        "metric",
        "rk_metrics",
        "Metric",
        "Metrics that a recipe may add to those of its data",
        methods=(("__call__", "update"),),
        must="`__call__(*, fields) -> (total, count)`, or `update`, `compute`",
        may="`reset`, `merge`, `higher_is_better`",
        key="metrics",
        fields=(("__call__", "takes", None), ("update", "takes", None)),
        example="The share of examples whose class is among the few most probable ones.",
    ),
    Kind(
        "optimizer",
        "rk_optimizers",
        "Optimizer",
        "Factories of torch optimizers, with their schedule",
        methods=(("__call__",),),
        must="`__call__(params) -> torch.optim.Optimizer`, `schedule`",
        example="NAdam as a factory with its schedule.",
    ),
    Kind(
        "schedule",
        "rk_schedules",
        "Schedule",
        "Learning rates as functions of the step",
        methods=(("__call__",),),
        must="`__call__(lr, step, total_steps) -> float`",
        may="`monitored(value, maximise)`, `state_dict`, `load_state_dict`",
        example="Linear warm-up, then the inverse square root of the step.",
    ),
    Kind(
        "trainer",
        "rk_trainers",
        "Trainer",
        "Learning algorithms",
        methods=(("setup",), ("step",)),
        must="`setup(...) -> learner`, `step(batch)`",
        may="`begin`, `validated`, `finish`, `results`, `state_dict`, `load_state_dict`, `stage`",
        key="trainer",
        example="Backpropagation on inputs with fresh noise at every step.",
    ),
    Kind(
        "callback",
        "rk_callbacks",
        "Callback",
        "Actions at named moments of a run",
        methods=(
            (
                "fit_start",
                "before_clip",
                "before_update",
                "after_step",
                "validated",
                "checkpoint",
                "fit_end",
                "results",
            ),
        ),
        must="one of `fit_start`, `before_clip`, `before_update`, `after_step`, `validated`, `checkpoint`, `fit_end`, "
        "`results`",
        may="the others, `variants`, `state_dict`, `load_state_dict`",
        key="callbacks",
        example="Keeps each entry of each gradient within bounds.",
    ),
    Kind(
        "exporter",
        "rk_exporters",
        "Exporter",
        "Formats that `rk export --to` knows",
        methods=(("export",),),
        must="`export(run, out) -> [paths]`",
        example="Weights as one NumPy file.",
    ),
    Kind(
        "search",
        "rk_searches",
        "Search",
        "What `rk search NAME` knows",
        methods=(("setup",), ("step",)),
        must="`setup(...) -> learner`, `step()`",
        may="as a trainer, `defaults`, `resumable`, `total_steps`, `summary`",
        key="search",
        example="Climbs to a linear classifier without gradients.",
    ),
    Kind(
        "analysis",
        "rk_analyses",
        "Analysis",
        "What `rk analyze NAME` knows",
        methods=(("analyze",),),
        must="`analyze(out) -> {name: number}`",
        example="The confusion matrix of a classifier.",
    ),
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in _TABLE}
"""Every kind by its name, in the order of `rk list`."""

COMPONENT_KEYS = {kind.name: kind.name for kind in _TABLE if kind.key == kind.name}
"""Top-level key of a recipe -> kind of the one component under it."""

PLURAL_KEYS = {kind.key: kind.name for kind in _TABLE if kind.key is not None and kind.key != kind.name}
"""Top-level key of a recipe -> kind of the several components under it."""

EXAMPLES = {kind.name: kind.example for kind in _TABLE if kind.example is not None}
"""Kind -> what the component does that `rk plugins new` writes as an example of it."""
