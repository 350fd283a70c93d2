"""rk ("recursion kit"): papers' methods as plugins, composed by recipes.

What plugin authors and programs import. Importing it imports no torch.
"""

from typing import TYPE_CHECKING

from rk.errors import RkError, UserError
from rk.hookspecs import hookimpl
from rk.version import __version__

if TYPE_CHECKING:
    from rk.api import Answers, Interrupted, StoredRun, evaluate, load, reproduce, train
    from rk.fit.context import FitContext
    from rk.fit.loaded import LoadedRun
    from rk.fit.runtime import Runtime
    from rk.protocols import (
        Aggregator,
        Analysis,
        Batch,
        Callback,
        Data,
        Decode,
        Exporter,
        Factory,
        GraphLayer,
        ImageLayer,
        Layer,
        Layered,
        Learner,
        Loss,
        Metric,
        Model,
        Objective,
        OperatorLayer,
        Optimizer,
        Outputs,
        Run,
        Schedule,
        Search,
        SequenceLayer,
        Share,
        StatefulSequenceLayer,
        Term,
        Trainer,
        Training,
    )

__all__ = [
    "Aggregator",
    "Analysis",
    "Answers",
    "Batch",
    "Callback",
    "Data",
    "Decode",
    "Exporter",
    "Factory",
    "FitContext",
    "GraphLayer",
    "ImageLayer",
    "Interrupted",
    "Layer",
    "Layered",
    "Learner",
    "LoadedRun",
    "Loss",
    "Metric",
    "Model",
    "Objective",
    "OperatorLayer",
    "Optimizer",
    "Outputs",
    "RkError",
    "Run",
    "Runtime",
    "Schedule",
    "Search",
    "SequenceLayer",
    "Share",
    "StatefulSequenceLayer",
    "StoredRun",
    "Term",
    "Trainer",
    "Training",
    "UserError",
    "__version__",
    "evaluate",
    "hookimpl",
    "load",
    "reproduce",
    "train",
]


_CALLED = ("Answers", "Interrupted", "StoredRun", "evaluate", "load", "reproduce", "train")
"""What programs call and get back: in `rk.api`, which is loaded on first use."""
_GIVEN = {"FitContext": "rk.fit.context", "LoadedRun": "rk.fit.loaded", "Runtime": "rk.fit.runtime"}
"""The classes that components are given -> their module, which imports torch and is loaded on first use."""


def __getattr__(name: str) -> object:  # the protocols pull in typing and collections.abc: loaded on first use
    if name in _CALLED:
        import rk.api

        return getattr(rk.api, name)
    if name in _GIVEN:
        import importlib

        return getattr(importlib.import_module(_GIVEN[name]), name)
    if name in __all__:
        import rk.protocols

        return getattr(rk.protocols, name)
    raise AttributeError(f"module 'rk' has no attribute {name!r}")
