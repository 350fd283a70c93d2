"""How students are judged: each after a brief training of its own, or cut out of one network that is trained once."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rk_sortednet.heads import fused_parts
from rk_sortednet.slicing import leading
from torch import Tensor, nn

from rk import LoadedRun, Run, Runtime, UserError
from rk.training import InnerRun, train_inside
from rk_n2n.architecture import Architecture

Judged = tuple[int, float]
"""The parameters of a student, and its accuracy."""


class Evaluator(Protocol):
    """Judges students that were not judged before."""

    def judge(self, name: str, students: Sequence[Architecture]) -> list[Judged]:
        """Returns the parameters and the accuracy of each; `name` is what their inner run is called."""
        ...


@dataclass(frozen=True)
class Brief:
    """A brief training.

    Attributes:
        steps: Of the training.
        lr: Learning rate of Adam, which falls to 0.
        matching: How the teacher's answers are matched; see the trainer `distill`.
        hard_weight: Weight of the recipe's own loss.
    """

    steps: int
    lr: float
    matching: str
    hard_weight: float = 0.0


class Teacher:
    """The run that is compressed, and trainings of its recipe with other sizes.

    Args:
        run: The teacher.
        keys: Keys of its recipe with lists of sizes.
        metric: The accuracy.

    Attributes:
        sizes: What the teacher has.
        parameters: How many it has.
        score: Its accuracy.

    Raises:
        rk.UserError: When the recipe has no such lists, or the run no such metric.
    """

    def __init__(self, run: Run, keys: Sequence[str], metric: str) -> None:
        self.run = run
        self.metric = metric
        self.folder = Path(run.folder.path)
        self.plain: dict[str, Any] = run.recipe.plain()
        try:
            self.sizes = Architecture.found(self.plain, keys)
        except KeyError as error:
            text = f"{error.args[0]} of the teacher's recipe is not a list of sizes"
            raise UserError(text, "sizes=[model.hidden_sizes]") from None
        self.parameters = sum(p.numel() for p in run.learner.parameters())

    def measured(self) -> float:
        """Returns the teacher's accuracy."""
        return self.number(LoadedRun.open(self.folder).evaluate((self.metric.partition("/")[0],)))

    def number(self, metrics: Any, variant: str = "") -> float:
        """Returns the accuracy among the metrics of a run."""
        value = metrics.get(f"{self.metric}@{variant}" if variant else self.metric)
        if value is None or not math.isfinite(value):
            raise UserError(f"the teacher measures no {self.metric!r}", f"metric takes: {', '.join(metrics)}")
        return float(value)

    def distilled(
        self, name: str, students: Sequence[Architecture], training: Brief, within: Runtime | Path
    ) -> tuple[InnerRun, list[Judged]]:
        """Trains students at once, as one inner run; returns it, and their parameters and accuracies."""
        models = [student.applied(self.plain)["model"] for student in students]
        trainer = {
            "name": "n2n/distill",
            "teacher": str(self.folder.resolve()),
            "optimizer": {"name": "adam", "lr": training.lr, "schedule": "cosine"},
            "hard_weight": training.hard_weight,
            "matching": training.matching,
        }
        if len(models) > 1:
            trainer["others"] = {f"s{i}": model for i, model in enumerate(models) if i}
        clip = ["fit.gradient_clip=null"] * (len(models) > 1)  # a norm over all would tie the students
        run = self._trained(name, [*students[0].overrides(), *clip], trainer, training.steps, within)
        learner: Any = run.learner
        modules = [learner.model, *(learner.others[f"s{i}"] for i in range(1, len(models)))]
        scores = [self.number(run.metrics, f"s{i}" if i else "") for i in range(len(models))]
        return run, [(sum(p.numel() for p in m.parameters()), s) for m, s in zip(modules, scores, strict=True)]

    def nested(
        self,
        name: str,
        start: Architecture,
        layers: Sequence[str],
        shares: Sequence[float],
        steps: int,
        within: Runtime | Path,
    ) -> InnerRun:
        """Trains one network whose layers are all narrowed, each by itself: the supernet of SortedNet."""
        optimizer = self.plain.get("trainer", {}).get("optimizer") or "adam"
        trainer = {
            "name": "sortednet/sorted",
            "optimizer": optimizer,
            "layers": list(layers),
            "widths": sorted({*shares, 1.0}),
            "per_layer": True,
            "measured": "corners",
        }
        return self._trained(name, start.overrides(), trainer, steps, within)

    def _trained(self, name: str, changes: list[str], trainer: Any, steps: int, within: Runtime | Path) -> InnerRun:
        overrides = [
            *changes,
            f"trainer={json.dumps(trainer)}",
            f"fit.max_steps={steps}",
            f"fit.validate_every={steps}",
            "callbacks=[]",
            "expect=[]",
        ]
        return train_inside(self.folder / "recipe.yaml", overrides, name=name, within=within)


class Trained:
    """Trains each student briefly towards the teacher's logits (arXiv:1709.06030, Sec. 3.4).

    Args:
        teacher: The teacher.
        training: The brief training.
        together: Whether the students of an iteration are trained at once.
        within: The search.
    """

    def __init__(self, teacher: Teacher, training: Brief, together: bool, within: Runtime | Path) -> None:
        self.teacher = teacher
        self.training = training
        self.together = together
        self.within = within

    def judge(self, name: str, students: Sequence[Architecture]) -> list[Judged]:
        if self.together:
            return self.teacher.distilled(name, students, self.training, self.within)[1]
        return [
            self.teacher.distilled(f"{name}-{i}", [student], self.training, self.within)[1][0]
            for i, student in enumerate(students)
        ]


class Supernet:
    """Cuts students out of one network that is trained once, layer by layer of random width (arXiv:2309.00255).

    Args:
        teacher: The teacher.
        run: The trained network, as large as the largest student.
        scratch: A folder for students while they are measured.
    """

    def __init__(self, teacher: Teacher, run: InnerRun, scratch: Path) -> None:
        self.teacher = teacher
        self.run = run
        self.scratch = scratch
        self.weights = {n: t for n, t in run.learner.state_dict().items() if isinstance(t, Tensor)}
        self.parts = fused_parts(run.learner)

    def judge(self, name: str, students: Sequence[Architecture]) -> list[Judged]:
        return [self._judged(student) for student in students]

    def _judged(self, student: Architecture) -> Judged:
        shutil.rmtree(self.scratch, ignore_errors=True)
        changes = {"trainer": {"name": "backprop", "optimizer": "adam"}, **dict(student.sizes)}
        folder = self.run.run.derive({k: _plain(v) for k, v in changes.items()}, self._cut, self.scratch)
        found = LoadedRun.open(folder.path)
        metrics = found.evaluate((self.teacher.metric.partition("/")[0],))
        shutil.rmtree(self.scratch, ignore_errors=True)
        return sum(p.numel() for p in found.learner.parameters()), self.teacher.number(metrics)

    def _cut(self, small: nn.Module) -> dict[str, Tensor]:
        shapes = {n: t.shape for n, t in small.state_dict().items() if isinstance(t, Tensor)}
        return leading(self.weights, shapes, self.parts)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
