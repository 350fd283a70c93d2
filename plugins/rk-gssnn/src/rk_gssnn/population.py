"""The programs that a search has judged, and how they are judged."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch.multiprocessing as mp

from rk import LoadedRun, Run, Runtime, UserError
from rk.training import train_inside

SEEDS = 1000
"""So far apart are the seeds of two searches: their networks have no seed in common."""


@dataclass(frozen=True)
class Member:
    """A program of the population.

    Attributes:
        iteration: The one that has found it, from 0.
        number: Within the iteration, from 0.
        program: Its text, with functions of the library.
        plain: Its text without them, as the network takes it.
        nodes: Of its graph.
        edges: Of its graph.
        train: Accuracy on the training images; what it is selected by.
        val: Accuracy on the validation images.
        kept: Whether it is in the population still.
    """

    iteration: int
    number: int
    program: str
    plain: str
    nodes: int
    edges: int
    train: float = 0.0
    val: float = 0.0
    kept: bool = True

    @property
    def name(self) -> str:
        """What its inner run is called."""
        return f"network-{self.iteration}-{self.number:03}"

    def row(self) -> list[Any]:
        """Returns it as plain values, for checkpoints and tables."""
        return list(vars(self).values())


class Networks:
    """Trains a network for each program: the recipe of a run, with its model as the encoder.

    Args:
        run: The baseline: a run whose model classifies images.
        head: Parameters of the model `gssnn` besides encoder and program.
        metric: The accuracy, without its split.
        seed: Seeds the networks. Their images are those of the run.
        jobs: How many are trained at once: one in this process, each other in a process of its own.
        runtime: That of the search.
    """

    def __init__(self, run: Run, head: Mapping[str, Any], metric: str, seed: int, jobs: int, runtime: Runtime) -> None:
        self.recipe = Path(run.folder.path) / "recipe.yaml"
        plain = run.recipe.plain()
        self.encoder: Any = plain["model"]
        self.data_seed = int(plain["fit"]["seed"])
        self.seed = SEEDS * seed
        self.head = dict(head)
        self.metric = metric
        self.jobs = jobs
        self.runtime = runtime
        code = type(run.data).__init__.__code__
        self.seeded = "seed" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

    def judged(self, members: Sequence[Member]) -> list[Member]:
        """Returns members with their accuracies. Each is trained once, whatever stops the search in between."""
        given = [(member.name, self._model(member.plain), self.seed) for member in members]
        return [
            replace(member, train=train, val=val)
            for member, (train, val) in zip(members, self._trained(given), strict=True)
        ]

    def baselines(self, count: int) -> list[float]:
        """Returns the validation accuracy of the run's own recipe with so many other seeds."""
        given = [(f"baseline-{i}", None, self.seed + i) for i in range(1, count + 1)]
        return [val for _, val in self._trained(given)]

    def repeats(self, member: Member, count: int) -> list[float]:
        """Returns the validation accuracy of one program with so many other seeds."""
        given = [(f"repeat-{i}", self._model(member.plain), self.seed + i) for i in range(1, count + 1)]
        return [val for _, val in self._trained(given)]

    def measured(self, folder: Path) -> tuple[float, float]:
        """Returns the accuracy of a run on its training and on its validation images."""
        found = LoadedRun.open(folder).evaluate(("train", "val"))
        names = [name.removeprefix("val/") for name in found if name.startswith("val/")]
        if self.metric not in names:
            raise UserError(f"the baseline measures no {self.metric!r}", f"search.metric takes: {', '.join(names)}")
        return found[f"train/{self.metric}"], found[f"val/{self.metric}"]

    def _model(self, program: str) -> dict[str, Any]:
        return {"name": "gssnn/gssnn", **self.head, "program": program, "encoder": self.encoder}

    def _trained(self, given: Sequence[tuple[str, dict[str, Any] | None, int]]) -> list[tuple[float, float]]:
        work = [(name, self._overrides(model, seed)) for name, model, seed in given]
        with self._others(work):
            for name, overrides in work[:: self.jobs]:
                train_inside(self.recipe, overrides, name=name, within=self.runtime)
        found = []
        for name, overrides in work:  # what a process has finished is only read, and what it has not is trained here
            run = train_inside(self.recipe, overrides, name=name, within=self.runtime)
            found.append(self.measured(run.folder))
        return found

    def _overrides(self, model: dict[str, Any] | None, seed: int) -> list[str]:
        overrides = [f"fit.seed={seed}", "callbacks=[]", "expect=[]"]
        if model is not None:
            overrides.append(f"model={json.dumps(model)}")
        if self.seeded:
            overrides.append(f"data.seed={self.data_seed}")  # other weights, the same images
        return overrides

    @contextlib.contextmanager
    def _others(self, work: Sequence[tuple[str, list[str]]]) -> Iterator[None]:
        """Trains in `jobs` - 1 processes, each its share, while the block trains the first share.

        The block is followed by a wait for them. Where it ends by an error or a signal, so do they, with checkpoints.
        """
        context: Any = mp.get_context("spawn")  # its stub has no Process
        shares = [list(work[i :: self.jobs]) for i in range(1, min(self.jobs, len(work)))]
        folder = str(self.runtime.folder)
        processes = [
            context.Process(target=_train, args=(str(self.recipe), share, folder), daemon=True) for share in shares
        ]
        for process in processes:
            process.start()
        try:
            yield
        except BaseException:
            for process in processes:
                process.terminate()
            raise
        finally:
            for process in processes:
                process.join()


def _train(recipe: str, work: Sequence[tuple[str, list[str]]], folder: str) -> None:
    """Trains networks, in a process by itself. Its errors are raised where they are trained again."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes: the search ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(Exception, KeyboardInterrupt):
        for name, overrides in work:
            train_inside(recipe, overrides, name=name, within=Path(folder))


def _end_with_parent() -> None:
    """Ends this process when the search is gone, so that nothing else writes into the folder of one that resumes."""
    parent = mp.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
