"""The hooks of rk: one per kind of component.

Every hook returns ``{name: "package.module:Class"}``. The string is resolved on first use, so the module that holds
the hooks (the plugin's entry point in the group ``rk.plugins``) imports nothing heavy. Names are lower-case words
joined by hyphens.
The host calls each plugin's implementation on its own: a plugin that raises costs only itself.
"""

from __future__ import annotations

from pathlib import Path

import pluggy

hookspec = pluggy.HookspecMarker("rk")
hookimpl = pluggy.HookimplMarker("rk")


@hookspec
def rk_models() -> dict[str, str]:
    """Models: ``nn.Module`` classes whose ``forward`` takes batch fields by keyword (`rk.protocols.Model`)."""


@hookspec
def rk_layers() -> dict[str, str]:
    """Layers: ``nn.Module`` classes for a slot of a model (`rk.protocols.Layer`)."""


@hookspec
def rk_data() -> dict[str, str]:
    """Tasks: indexed batches, facts, metrics, reading and rendering (`rk.protocols.Data`)."""


@hookspec
def rk_losses() -> dict[str, str]:
    """Losses: outputs and batch fields -> ``(total, count)`` (`rk.protocols.Loss`)."""


@hookspec
def rk_metrics() -> dict[str, str]:
    """Metrics that a recipe may add to those of its data (`rk.protocols.Metric`)."""


@hookspec
def rk_optimizers() -> dict[str, str]:
    """Factories of torch optimizers, with their schedule (`rk.protocols.Optimizer`)."""


@hookspec
def rk_schedules() -> dict[str, str]:
    """Learning rates as functions of the step (`rk.protocols.Schedule`)."""


@hookspec
def rk_trainers() -> dict[str, str]:
    """Learning algorithms (`rk.protocols.Trainer`)."""


@hookspec
def rk_callbacks() -> dict[str, str]:
    """Actions at named moments of a run (`rk.protocols.Callback`)."""


@hookspec
def rk_exporters() -> dict[str, str]:
    """Formats that `rk export --to` knows (`rk.protocols.Exporter`)."""


@hookspec
def rk_searches() -> dict[str, str]:
    """What `rk search NAME` knows (`rk.protocols.Search`)."""


@hookspec
def rk_analyses() -> dict[str, str]:
    """What `rk analyze NAME` knows (`rk.protocols.Analysis`)."""


@hookspec
def rk_recipes() -> Path | str:
    """The folder of the plugin's recipes. Without an implementation: ``recipes/`` beside the plugin's module."""


HOOK_OF_KIND = {
    "model": "rk_models",
    "layer": "rk_layers",
    "data": "rk_data",
    "loss": "rk_losses",
    "metric": "rk_metrics",
    "optimizer": "rk_optimizers",
    "schedule": "rk_schedules",
    "trainer": "rk_trainers",
    "callback": "rk_callbacks",
    "exporter": "rk_exporters",
    "search": "rk_searches",
    "analysis": "rk_analyses",
}
"""Kind -> the name of its hook."""
