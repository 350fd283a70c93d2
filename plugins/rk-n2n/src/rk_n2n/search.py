"""The analysis `n2n`: a smaller student of a trained network, found by policies that remove and shrink layers."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le
from safetensors.torch import load_file, save_file
from torch import Tensor

from rk import UserError
from rk.training import InnerRun, settings, train_inside
from rk_n2n.architecture import Architecture
from rk_n2n.choosers import Chooser, Evolution, Random, Reinforce
from rk_n2n.policies import Policy, RemovalPolicy, ShrinkPolicy
from rk_n2n.report import Student, write_report
from rk_n2n.reward import WORST, constrained, reward

Stage = Literal["removal", "shrinkage"]


class N2N:
    """Network to network compression (arXiv:1709.06030): REINFORCE over students of a teacher.

    The teacher is trained by its recipe. In the first stage a policy removes layers, in the second one another policy
    shrinks those that the best student has left. Each student is trained briefly to match the teacher's logits; its
    reward is C (2 - C) A / A_teacher, with its compression C and its accuracy A on the validation split. The best
    student is then trained for longer. Students are runs within the folder, cached by their sizes. A stopped search is
    resumed with ``rk analyze n2n --resume last``, and trains nothing twice.

    It writes ``students.csv``, ``rewards.png``, ``pareto.png``, ``best.yaml`` (a recipe that extends the teacher's),
    and the policies as ``policy-STAGE.safetensors``, with which a search on another teacher may begin.

    Args:
        recipe: Name or path of the teacher's recipe.
        sizes: Keys of the recipe with the lists of sizes that are searched: ``[model.hidden_sizes]``.
        stage: Which stages.
        method: What chooses: `reinforce`, `actor-critic` (the policy's own expectation is its baseline), or, at the
            same number of evaluations, `random` or `evolution`.
        iterations: Of each stage.
        rollouts: Students per iteration.
        student_steps: Steps of the brief training of a student.
        final_steps: Steps of the last training of the best student; 0: none.
        student_lr: Learning rate of students, by Adam.
        hard_weight: Weight of the recipe's own loss in the last training.
        final_matching: How the last training matches the teacher; see the trainer `distill`.
        metric: The accuracy, ``val/accuracy``.
        factors: What a size may be multiplied by.
        min_size: Sizes are not made smaller than this.
        lr: Learning rate of the policies.
        entropy: Weight of the policies' entropy.
        max_parameters: Students must not be larger; null: no constraint.
        min_score: Students must not be worse; null: no constraint.
        policy: Folder of another search, whose policies this one begins with; null: new ones.
        seed: Seeds the policies and what they draw. Students have the recipe's own seed.

    Examples:
        rk analyze n2n --recipe n2n/digits-teacher --sizes '[model.hidden_sizes]'
    """

    def __init__(
        self,
        recipe: str,
        sizes: tuple[str, ...] = ("model.hidden_sizes",),
        stage: Literal["removal", "shrinkage", "both"] = "both",
        method: Literal["reinforce", "actor-critic", "random", "evolution"] = "reinforce",
        iterations: Annotated[int, Ge(1)] = 22,
        rollouts: Annotated[int, Ge(1)] = 5,
        student_steps: Annotated[int, Ge(1)] = 230,
        final_steps: Annotated[int, Ge(0)] = 1000,
        student_lr: Annotated[float, Gt(0)] = 4e-3,
        hard_weight: Annotated[float, Ge(0)] = 1.0,
        final_matching: Literal["mse", "kl"] = "kl",
        metric: str = "val/accuracy",
        factors: tuple[Annotated[float, Gt(0), Le(1)], ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
        min_size: Annotated[int, Ge(1)] = 4,
        lr: Annotated[float, Gt(0)] = 3e-3,
        entropy: Annotated[float, Ge(0)] = 0.0,
        max_parameters: Annotated[int, Ge(1)] | None = None,
        min_score: float | None = None,
        policy: Path | None = None,
        seed: int = 0,
    ) -> None:
        if not sizes or not factors:
            raise ValueError("sizes and factors must not be empty")
        self.recipe = recipe
        self.keys = sizes
        self.stages: list[Stage] = ["removal", "shrinkage"] if stage == "both" else [stage]
        self.method = method
        self.iterations = iterations
        self.rollouts = rollouts
        self.student_steps = student_steps
        self.final_steps = final_steps
        self.student_lr = student_lr
        self.hard_weight = hard_weight
        self.final_matching = final_matching
        self.metric = metric
        self.factors = factors
        self.min_size = min_size
        self.lr = lr
        self.entropy = entropy
        self.max_parameters = max_parameters
        self.min_score = min_score
        self.policy = policy
        self.seed = seed

    def analyze(self, out: Path) -> dict[str, float]:
        """Searches; returns the best reward and its student's compression and accuracy, beside the teacher's.

        Raises:
            rk.UserError: When the recipe has no such list or metric.
        """
        architecture = self._teacher_sizes()
        self.out = out
        self.teacher = train_inside(self.recipe, (), name="teacher", within=out)
        self.teacher_score, self.teacher_parameters = self._score(self.teacher), _parameters(self.teacher)
        print(f"teacher: {self.metric} {self.teacher_score:.4g}, {self.teacher_parameters} parameters")
        self.students: list[Student] = []
        for stage in self.stages:
            architecture = self._search(stage, architecture)
        best = max(self.students, key=lambda s: s.reward)
        found = {
            "reward": best.reward,
            "compression": 1 - best.parameters / self.teacher_parameters,
            "score": best.score,
            "teacher": self.teacher_score,
            "evaluations": float(len({s.architecture for s in self.students})),
        }
        for stage in self.stages:
            last = [s.reward for s in self.students if s.stage == stage and s.iteration >= self.iterations - 5]
            found[f"{stage}-mean-reward"] = statistics.fmean(last)
        if self.final_steps:
            run = self._trained(best.architecture, "final", self.final_steps, final=True)
            print(f"final: {self.metric} {self._score(run):.4g}, {best.parameters} parameters; {run.folder}")
            found["final"] = self._score(run)
            found |= {
                f"final-{k}": v for k, v in run.metrics.items() if k.startswith("test/accuracy") and v is not None
            }
        return found

    def _teacher_sizes(self) -> Architecture:
        plain = settings(self.recipe)
        found: dict[str, list[int]] = {}
        for key in self.keys:
            value: Any = plain
            for part in key.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if not isinstance(value, list) or not value or not all(type(v) is int for v in value):
                raise UserError(f"{key} of {self.recipe} is not a list of sizes", "--sizes '[model.hidden_sizes]'")
            found[key] = value
        return Architecture.of(found)

    def _search(self, stage: Stage, start: Architecture) -> Architecture:
        """Runs one stage; returns the best student's architecture."""
        choices = 2 if stage == "removal" else len(self.factors)
        policy = self._policy(stage)
        chooser = self._chooser(policy, start, choices)
        for iteration in range(self.iterations):
            proposals = chooser.propose(self.rollouts)
            rewards = [self._evaluate(stage, iteration, self._student(stage, start, actions)) for actions in proposals]
            chooser.learn(proposals, rewards)
            best = max(self.students, key=lambda s: s.reward)
            print(
                f"{stage} {iteration}: mean reward {statistics.fmean(rewards):.3f}, best {best.reward:.3f} {best.name}"
            )
            write_report(self.out, self.recipe, self.students, self.teacher_parameters, self.metric)
        save_file({n: t.contiguous() for n, t in policy.state_dict().items()}, self.out / f"policy-{stage}.safetensors")
        return max(self.students, key=lambda s: s.reward).architecture

    def _policy(self, stage: Stage) -> Policy:
        critic = self.method == "actor-critic"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            policy = (
                RemovalPolicy(critic=critic) if stage == "removal" else ShrinkPolicy(len(self.factors), critic=critic)
            )
        if self.policy is not None:
            file = self.policy / f"policy-{stage}.safetensors"
            if not file.is_file():
                raise UserError(f"there is no {file}", "--policy takes the folder of another search")
            try:
                policy.load_state_dict(load_file(file))
            except RuntimeError:
                raise UserError(
                    f"{file} is a policy of another kind", "its factors and method must be the same"
                ) from None
        return policy

    def _chooser(self, policy: Policy, start: Architecture, choices: int) -> Chooser:
        if self.method == "random":
            return Random(len(start), choices, self.seed)
        if self.method == "evolution":
            return Evolution(len(start), choices, self.seed)
        critic = self.method == "actor-critic"
        return Reinforce(policy, start.features(), self.seed, self.lr, entropy=self.entropy, critic=critic)

    def _student(self, stage: Stage, start: Architecture, actions: Tensor) -> Architecture:
        if stage == "removal":
            return start.without([bool(action) for action in actions])
        return start.shrunk([self.factors[action] for action in actions.tolist()], self.min_size)

    def _evaluate(self, stage: Stage, iteration: int, architecture: Architecture) -> float:
        """Trains a student, unless it was trained before; returns its reward."""
        known = next((s for s in self.students if s.architecture == architecture), None)
        if known is not None:
            parameters, score = known.parameters, known.score
        else:
            run = self._trained(architecture, "student", self.student_steps)
            parameters, score = _parameters(run), self._score(run)
        value = reward(parameters, self.teacher_parameters, score, self.teacher_score)
        allowed = (self.max_parameters is None or parameters <= self.max_parameters) and (
            self.min_score is None or score >= self.min_score
        )
        value = max(WORST, constrained(value, allowed, iteration))
        self.students.append(Student(stage, iteration, architecture, parameters, score, value))
        return value

    def _trained(self, architecture: Architecture, kind: str, steps: int, final: bool = False) -> InnerRun:
        trainer = {
            "name": "n2n/distill",
            "teacher": str(self.teacher.folder.resolve()),
            "optimizer": {"name": "adam", "lr": self.student_lr, "schedule": "cosine"},
            "hard_weight": self.hard_weight if final else 0.0,
            "matching": self.final_matching if final else "mse",
        }
        changes = [
            *architecture.overrides(),
            f"trainer={json.dumps(trainer)}",
            f"fit.max_steps={steps}",
            f"fit.validate_every={steps}",
            "expect=[]",
        ]
        return train_inside(self.recipe, changes, name=f"{kind}-{architecture.name}", within=self.out)

    def _score(self, run: InnerRun) -> float:
        value = run.metrics.get(self.metric)
        if value is None or not math.isfinite(value):
            raise UserError(f"{self.recipe} measures no {self.metric!r}", f"--metric takes: {', '.join(run.metrics)}")
        return value


def _parameters(run: InnerRun) -> int:
    return sum(p.numel() for p in run.learner.parameters())
