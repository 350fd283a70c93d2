"""The search `n2n`: a smaller student of a trained network, found by policies that remove and shrink layers."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from rk import LoadedRun, Run, Runtime, Training, UserError
from rk_n2n.architecture import Architecture
from rk_n2n.choosers import Chooser, Evolution, Random, Reinforce
from rk_n2n.compressed import Compressed
from rk_n2n.evaluators import Brief, Evaluator, Supernet, Teacher, Trained
from rk_n2n.policies import Policy, RemovalPolicy, ShrinkPolicy
from rk_n2n.ranks import spearman
from rk_n2n.report import Student, draw_report, write_report
from rk_n2n.reward import WORST, constrained, reward

Stage = Literal["removal", "shrinkage"]


class N2N:
    """Network to network compression (arXiv:1709.06030): REINFORCE over students of a teacher.

    In the first stage a policy removes layers, in the second one another policy shrinks those that the best student has
    left. Each student is trained briefly to match the teacher's logits; its reward is C (2 - C) A / A_teacher, with its
    compression C and its accuracy A on the validation split. The best student is then trained for longer, and the run
    answers as it does. A step of the search is one iteration. Students of the same sizes are judged once.

    It writes ``students.csv`` and ``best.yaml``, a recipe that extends the teacher's, after each step, and at the end
    ``rewards.png`` and ``pareto.png``.
    The policies are the weights of the run, with which a search on another teacher may begin.

    Its results, ``run/NAME``: the best student's `reward`, `compression`, `parameters` and `score`; `evaluations`;
    `removal-mean-reward` and `shrinkage-mean-reward` over the last iterations; `removal-iterations` and
    `shrinkage-iterations`, after which the mean reward reached `target`; `lost`, the teacher's accuracy less that of
    the best student after its last training, on the test split where there is one; and `rank-correlation`.

    Args:
        run: The teacher.
        seed: Seeds the policies and what they draw. Students have the teacher's own seed.
        sizes: Keys of the teacher's recipe with the lists of sizes that are searched: ``[model.hidden_sizes]``. A list
            of lists is as many lists.
        stage: Which stages.
        method: What chooses: `reinforce`, `actor-critic` (the policy's own expectation is its baseline), or, at the
            same number of evaluations, `random` or `evolution`.
        iterations: Of each stage.
        rollouts: Students per iteration.
        evaluator: `train`: each student is trained. `supernet`: in the second stage, students are cut out of one
            network that is trained once (SortedNet, arXiv:2309.00255).
        student_steps: Steps of the brief training of a student.
        final_steps: Steps of the last training of the best student; 0: none, and the run answers as the teacher.
        student_lr: Learning rate of students, by Adam.
        student_matching: How a student matches the teacher in its brief training; see the trainer `distill`.
        hard_weight: Weight of the recipe's own loss in the last training.
        final_matching: How the last training matches the teacher.
        together: Whether the students of an iteration are trained at once, where only the model's sizes differ.
        supernet_layers: Patterns of the names of the layers that the supernet narrows.
        supernet_steps: Steps of the training of the supernet.
        compared: At the end, so many students of the second stage are judged by the other evaluator too, and the rank
            correlation of both is a result.
        metric: The accuracy, ``val/accuracy``.
        factors: What a size may be multiplied by.
        min_size: Sizes are not made smaller than this.
        lr: Learning rate of the policies.
        entropy: Weight of the policies' entropy.
        max_parameters: Students of the last stage must not be larger; null: no constraint.
        min_score: Students of the last stage must not be worse; null: no constraint.
        policy: Another search, whose policies this one begins with; null: new ones.
        target: The mean reward of an iteration that `removal-iterations` waits for.
        last: Iterations over which the last mean reward is measured.

    Examples:
        search: {name: n2n, run: {recipe: n2n/digits-teacher}, sizes: [model.hidden_sizes]}
    """

    defaults = ("fit.log_every=1",)
    lower_is_better = ("parameters", "removal-iterations", "shrinkage-iterations", "lost", "evaluations")

    def __init__(
        self,
        run: Run,
        seed: int,
        sizes: tuple[str, ...] = ("model.hidden_sizes",),
        stage: Literal["removal", "shrinkage", "both"] = "both",
        method: Literal["reinforce", "actor-critic", "random", "evolution"] = "reinforce",
        iterations: Annotated[int, Ge(1)] = 22,
        rollouts: Annotated[int, Ge(1)] = 5,
        evaluator: Literal["train", "supernet"] = "train",
        student_steps: Annotated[int, Ge(1)] = 230,
        final_steps: Annotated[int, Ge(0)] = 1000,
        student_lr: Annotated[float, Gt(0)] = 4e-3,
        student_matching: Literal["standardized", "mse", "kl"] = "standardized",
        hard_weight: Annotated[float, Ge(0)] = 1.0,
        final_matching: Literal["mse", "standardized", "kl"] = "kl",
        together: bool = True,
        supernet_layers: tuple[str, ...] = ("blocks.*",),
        supernet_steps: Annotated[int, Ge(1)] = 1000,
        compared: Annotated[int, Ge(0)] = 0,
        metric: str = "val/accuracy",
        factors: tuple[Annotated[float, Gt(0), Le(1)], ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
        min_size: Annotated[int, Ge(1)] = 4,
        lr: Annotated[float, Gt(0)] = 3e-3,
        entropy: Annotated[float, Ge(0)] = 0.0,
        max_parameters: Annotated[int, Ge(1)] | None = None,
        min_score: float | None = None,
        policy: Training[Run] | None = None,
        target: float = 0.85,
        last: Annotated[int, Ge(1)] = 5,
    ) -> None:
        if not sizes or not factors:
            raise ValueError("sizes and factors must not be empty")
        if stage == "removal" and (evaluator == "supernet" or compared):
            raise ValueError("a supernet has the students of the second stage: stage must be shrinkage or both")
        self.run = run
        self.seed = seed
        self.keys = sizes
        self.stages: list[Stage] = ["removal", "shrinkage"] if stage == "both" else [stage]
        self.method = method
        self.iterations = iterations
        self.rollouts = rollouts
        self.evaluator = evaluator
        self.brief = Brief(student_steps, student_lr, student_matching)
        self.final = Brief(final_steps, student_lr, final_matching, hard_weight)
        self.together = together and all(key.startswith("model.") for key in sizes)
        self.supernet_layers = supernet_layers
        self.supernet_steps = supernet_steps
        self.compared = compared
        self.metric = metric
        self.factors = factors
        self.min_size = min_size
        self.lr = lr
        self.entropy = entropy
        self.max_parameters = max_parameters
        self.min_score = min_score
        self.policy = policy
        self.target = target
        self.last = last
        self.students: list[Student] = []
        self.teacher_score: float | None = None
        self.found: dict[str, float] = {}
        self.total_steps = len(self.stages) * iterations

    # -- what the loop calls ---------------------------------------------------------------------------------------

    def setup(self, *, runtime: Runtime) -> Compressed:
        """Returns the learner: the policies, and what answers.

        Raises:
            rk.UserError: When the teacher's recipe has no such list of sizes.
        """
        self.runtime = runtime
        self.teacher = Teacher(self.run, self.keys, self.metric)
        self.learner = Compressed({s: self._new_policy(s) for s in self.stages}, self.run.learner, runtime.folder)
        return self.learner

    def step(self) -> dict[str, Tensor] | None:
        """Judges the students of one iteration; returns their mean reward, the best so far, and how many were new."""
        number = len(self.students) // self.rollouts
        if number == self.total_steps:
            return None
        if self.teacher_score is None:
            self.teacher_score = self.teacher.measured()
        stage, iteration = self._enter(number)
        proposals = self.chooser.propose(self.rollouts)
        students = [self._student(stage, actions) for actions in proposals]
        known = {s.architecture: (s.parameters, s.score) for s in self.students}
        new = [s for s in dict.fromkeys(students) if s not in known]
        if new:
            judged = self._evaluator(stage).judge(f"students-{stage}-{iteration:03}", new)
            known |= dict(zip(new, judged, strict=True))
        rewards = []
        for student in students:
            parameters, score = known[student]
            rewards.append(self._reward(stage, parameters, score, iteration))
            self.students.append(Student(stage, iteration, student, parameters, score, rewards[-1]))
        self.chooser.learn(proposals, rewards)
        self._report()
        numbers = {"reward": statistics.fmean(rewards), "best-reward": self.best.reward, "new": float(len(new))}
        return {name: torch.tensor(number) for name, number in numbers.items()}

    def finish(self) -> None:
        """Trains the best student for longer, and compares the two evaluators where that is asked for."""
        if not self.students:
            return
        draw_report(self._folder, self.students, self.teacher.parameters, self.metric)
        if self.final.steps:
            self.teacher.distilled("final", [self.best.architecture], self.final, self.runtime)
            self.learner.student = "final"
            self.found["lost"] = self._lost()
        if self.compared:
            self.found["rank-correlation"] = self._correlation()

    def results(self) -> Mapping[str, float]:
        """Returns the numbers that the class names."""
        if not self.students:
            return {}
        best = self.best
        found = {
            "reward": best.reward,
            "compression": 1 - best.parameters / self.teacher.parameters,
            "parameters": float(best.parameters),
            "score": best.score,
            "evaluations": float(len({s.architecture for s in self.students})),
        }
        for stage in self.stages:
            means = self._means(stage)
            if means:
                found[f"{stage}-mean-reward"] = statistics.fmean(means[-self.last :])
                found[f"{stage}-iterations"] = float(
                    next((i for i, mean in enumerate(means) if mean >= self.target), len(means))
                )
        return found | self.found

    def summary(self) -> str:
        """Returns the best student, in a line."""
        if not self.students:
            return "no student was judged"
        best, share = self.best, self.best.parameters / self.teacher.parameters
        return f"best student: {best.name}, {best.parameters} parameters ({share:.1%} of the teacher's)"

    def state_dict(self) -> dict[str, Any]:
        """Returns what was judged. Policies and generators are where these rewards bring them again."""
        return {
            "teacher": -1.0 if self.teacher_score is None else self.teacher_score,
            "students": [s.plain() for s in self.students],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.teacher_score = state["teacher"] if state["students"] else None
        self.students = []
        judged = [Student.of_plain(plain) for plain in state["students"]]
        for number in range(len(judged) // self.rollouts):
            self._enter(number)
            some = judged[number * self.rollouts : (number + 1) * self.rollouts]
            self.chooser.learn(self.chooser.propose(self.rollouts), [s.reward for s in some])
            self.students += some

    # -- one stage -------------------------------------------------------------------------------------------------

    def _enter(self, number: int) -> tuple[Stage, int]:
        """Returns the stage and the iteration of a step; the first of a stage has a new chooser."""
        stage, iteration = self.stages[number // self.iterations], number % self.iterations
        if iteration == 0:
            before = max(self.students, key=lambda s: s.reward, default=None)
            self.start = self.teacher.sizes if before is None else before.architecture
            policy = self.learner.policies[stage]
            policy.load_state_dict(self._new_policy(stage).state_dict())
            self.chooser = self._chooser(policy, 2 if stage == "removal" else len(self.factors))
        return stage, iteration

    def _new_policy(self, stage: Stage) -> Policy:
        critic = self.method == "actor-critic"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            policy = (
                RemovalPolicy(critic=critic) if stage == "removal" else ShrinkPolicy(len(self.factors), critic=critic)
            )
        if self.policy is not None:
            other = self.policy.learner
            if not isinstance(other, Compressed) or stage not in other.policies:
                raise UserError(f"{self.policy.folder.label} has no policy for {stage}", "policy takes another search")
            try:
                policy.load_state_dict(other.policies[stage].state_dict())
            except RuntimeError:
                text = f"{self.policy.folder.label} has a policy of another kind"
                raise UserError(text, "its factors and method must be the same") from None
        return policy

    def _chooser(self, policy: Any, choices: int) -> Chooser:
        layers = len(self.start)
        if self.method == "random":
            return Random(layers, choices, self.seed)
        if self.method == "evolution":
            return Evolution(layers, choices, self.seed)
        critic = self.method == "actor-critic"
        return Reinforce(policy, self.start.features(), self.seed, self.lr, entropy=self.entropy, critic=critic)

    def _student(self, stage: Stage, actions: Tensor) -> Architecture:
        if stage == "removal":
            return self.start.without([bool(action) for action in actions])
        return self.start.shrunk([self.factors[action] for action in actions.tolist()], self.min_size)

    def _reward(self, stage: Stage, parameters: int, score: float, iteration: int) -> float:
        value = reward(parameters, self.teacher.parameters, score, self.teacher_score or 1.0)
        allowed = stage != self.stages[-1] or self._allowed(parameters, score)
        return max(WORST, constrained(value, allowed, iteration))

    def _allowed(self, parameters: int, score: float) -> bool:
        return (self.max_parameters is None or parameters <= self.max_parameters) and (
            self.min_score is None or score >= self.min_score
        )

    # -- judging ---------------------------------------------------------------------------------------------------

    def _evaluator(self, stage: Stage) -> Evaluator:
        return self._supernet if self.evaluator == "supernet" and stage == "shrinkage" else self._trained

    @property
    def _trained(self) -> Trained:
        return Trained(self.teacher, self.brief, self.together, self.runtime)

    @functools.cached_property
    def _supernet(self) -> Supernet:
        run = self.teacher.nested(
            "supernet", self.start, self.supernet_layers, self.factors, self.supernet_steps, self.runtime
        )
        return Supernet(self.teacher, run, self._folder / "cut")

    def _correlation(self) -> float:
        """Returns the rank correlation of both evaluators' scores, over the first students of the second stage."""
        judged = {s.architecture: s.score for s in self.students if s.stage == "shrinkage"}
        some = [*judged][: self.compared]
        if len(some) < 2:
            return 0.0
        other: Evaluator = self._trained if self.evaluator == "supernet" else self._supernet
        scores = [
            score
            for i in range(0, len(some), self.rollouts)
            for _, score in other.judge(f"compared-{i:03}", some[i : i + self.rollouts])
        ]
        return spearman([judged[s] for s in some], scores)

    def _lost(self) -> float:
        """Returns the teacher's accuracy less that of the run's answers, on the test split where there is one."""
        name = self.metric.partition("/")[2]
        split = "test" if "test" in self.run.data.splits else self.metric.partition("/")[0]
        final = LoadedRun.open(self.learner.inside("final")).evaluate((split,))
        teacher = LoadedRun.open(self.teacher.folder).evaluate((split,))
        return teacher[f"{split}/{name}"] - final[f"{split}/{name}"]

    # -- what is shown ---------------------------------------------------------------------------------------------

    @property
    def best(self) -> Student:
        """The student with the highest reward, of those that keep the constraints where there are some."""
        return max(self.students, key=lambda s: (self._allowed(s.parameters, s.score), s.reward))

    @property
    def _folder(self) -> Path:
        if self.runtime.folder is None:
            raise UserError("a search needs a folder for its students", "leave out --no-save")
        return self.runtime.folder

    def _means(self, stage: Stage) -> list[float]:
        rewards = [s.reward for s in self.students if s.stage == stage]
        return [statistics.fmean(rewards[i : i + self.rollouts]) for i in range(0, len(rewards), self.rollouts)]

    def _report(self) -> None:
        recipe = str(self.teacher.folder.resolve() / "recipe.yaml")
        best = self.best.architecture.applied(self.teacher.plain)
        changed = {key: best[key] for key in dict.fromkeys(key.partition(".")[0] for key in self.keys)}
        write_report(self._folder, recipe, changed, self.students, self.teacher.parameters, self.metric)
