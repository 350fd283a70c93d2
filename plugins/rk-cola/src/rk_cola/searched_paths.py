"""The data `searched-paths`: the valid paths that a search of `cola` has found, as examples to learn from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Annotated, Any, TypedDict, cast

import torch
from annotated_types import Ge, Gt, Le, Lt
from jaxtyping import Bool, Float, Int
from rk_lm.layered import Path
from torch import Tensor

from rk import LoadedRun, Run, UserError
from rk.fields import IGNORED
from rk.protocols import Batch, Outputs, Share
from rk.sampling import batch_count, generator, rows
from rk_cola.controls import pass_at
from rk_cola.evaluations import Evaluation
from rk_cola.learner import Programs
from rk_cola.paths import path_text
from rk_cola.predictor import read_paths
from rk_cola.programs import Program, parse
from rk_cola.run_paths import RunPaths
from rk_cola.search import Cola

CHUNK = 256
"""Pairs of question and path that are evaluated at once."""


class PathBatch(TypedDict):
    """Questions as a model's early states, each with one valid path as segments and operations."""

    states: Float[Tensor, "batch time state"]
    mask: Bool[Tensor, "batch time"]
    boundaries: Float[Tensor, "batch depth"]
    """1 where a segment begins."""
    operations: Int[Tensor, "batch depth"]
    """0 skip, 1 keep, 2 repeat; -100 where no segment begins."""
    weights: Float[Tensor, "batch"]
    question: Int[Tensor, "batch"]


class SearchedPaths:
    """Questions with the valid paths that a search has found for them; held-out ones to measure a predictor on.

    A question is given as the frozen model's own states of it after a few layers. In ``train``, an example is one of
    its valid paths, as a program of segments (arXiv:2606.06574); paths without such a program are left out. In
    ``test``, each held-out question comes once; its predicted paths are run by the frozen model. Metrics:

    - ``pass-at-1`` and ``pass-at-5``: whether the first, or any of five predicted paths answers right;
    - ``base``: the unmodified model; ``oracle``: any path of the search;
    - ``fixed`` and ``fixed-at-5``: the one path, and the five paths, that answer most training questions;
    - ``sampling-at-1`` and ``sampling-at-5``: as many samples of the unmodified model at temperature 1.

    Args:
        run: A finished search of `cola`.
        seed: Divides the questions, shuffles the examples.
        test_fraction: Share of the questions that is held out.
        max_paths: Most paths of a question that are learned from, drawn at random.
        full_weight: Weight of the full path where a shorter one is valid too.
        states: Layers whose outputs the predictor sees; 0: the embedding.
        num_candidates: Paths among which the fixed ones are chosen.
        shuffle: Control: gives each training question the paths of another one.
        batch_size: Examples of a batch.

    Raises:
        rk.UserError: When the run is not a search of cola, or has found no program for any training question.

    Examples:
        data: {name: searched-paths, run: last}
    """

    splits = ("train", "test")

    def __init__(
        self,
        run: Run,
        seed: int,
        test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.5,
        max_paths: Annotated[int, Ge(1)] = 50,
        full_weight: Annotated[float, Gt(0), Le(1)] = 0.3,
        states: Annotated[int, Ge(0)] = 1,
        num_candidates: Annotated[int, Ge(1)] = 32,
        shuffle: bool = False,
        batch_size: Annotated[int, Ge(1)] = 128,
    ) -> None:
        self.run = cast(LoadedRun, run)
        self.seed = seed
        self.test_fraction = test_fraction
        self.max_paths = max_paths
        self.full_weight = full_weight
        self.layers = states
        self.num_candidates = num_candidates
        self.shuffle = shuffle
        self.batch_size = batch_size
        self._evaluations: dict[tuple[int, Path], Evaluation] = {}
        self._answered: dict[Path, list[bool]] = {}
        self._fixed: list[Path] = []

    @property
    def metrics(self) -> dict[str, Any]:  # Any: functions of different fields
        """The measures of predicted paths, and what they are compared with."""
        return {
            "pass-at-1": self._pass_at_1,
            "pass-at-5": self._pass_at_5,
            "base": self._base,
            "fixed": self._fixed_at_1,
            "fixed-at-5": self._fixed_at_5,
            "sampling-at-1": self._sampling_at_1,
            "sampling-at-5": self._sampling_at_5,
            "oracle": self._oracle,
        }

    def __deepcopy__(self, memo: dict[int, Any]) -> SearchedPaths:  # Any: as `copy.deepcopy` has it
        """Returns itself: metrics are copied, and these are its methods, which change nothing but what is cached."""
        return self

    # -- examples --------------------------------------------------------------------------------------------------

    def _searched(self) -> Programs | RunPaths:
        """Returns the learner of the search; from then on, its subject is known."""
        learner = self.run.learner
        search = self.run.parts.trainer
        if not isinstance(learner, Programs | RunPaths) or not isinstance(search, Cola):
            raise UserError(
                f"{self.run.folder.label} is not a search of cola", "rk search cola finds paths to learn from"
            )
        self.subject = search.subject
        return learner

    def prepare(self) -> None:
        learner = self._searched()
        self.run.prepare()
        self.valid = learner.valid
        count = len(self.valid)
        self.subject.prepare(count)
        if not any(self.valid):
            raise UserError(f"{self.run.folder.label} has no valid path to learn from", "search with a larger budget")
        order = torch.randperm(count, generator=generator(self.seed)).tolist()
        held = max(1, min(count - 1, round(self.test_fraction * count)))
        self.test, self.train = sorted(order[:held]), sorted(order[held:])
        self._states = self.subject.states(range(count), self.layers)
        self._examples = self._made(self._drawn())
        if not self._examples:
            raise UserError(
                f"no valid path of {self.run.folder.label} is a program of segments", "search with --space segments"
            )

    @property
    def depth(self) -> int:
        """Layers of the frozen model."""
        return self.subject.depth

    @property
    def state_size(self) -> int:
        """Width of its states."""
        return self._states[0].shape[-1]

    def _drawn(self) -> dict[int, list[Path]]:
        """Returns the paths that each training question is learned from."""
        owners = [number for number in self.train if self.valid[number]]
        given = owners
        if self.shuffle:
            order = torch.randperm(len(owners), generator=generator(self.seed, 1)).tolist()
            given = [owners[i] for i in order]
        return {number: self.valid[other] for number, other in zip(owners, given, strict=True)}

    def _made(self, paths: dict[int, list[Path]]) -> list[tuple[int, Program, float]]:
        """Returns the examples: a question, a program, and its weight; those of a question add up to one."""
        found = []
        full = tuple(range(self.depth))
        for number, valid in paths.items():
            parsed = [(path, parse(path, self.depth)) for path in valid]
            programs = [(path, program) for path, program in parsed if program is not None]
            keep = torch.randperm(len(programs), generator=generator(self.seed, 2, number))[: self.max_paths].tolist()
            chosen = [programs[i] for i in sorted(keep)]
            shorter = any(len(path) < self.depth for path, _ in chosen)
            weights = [self.full_weight if path == full and shorter else 1.0 for path, _ in chosen]
            found += [(number, p, weight / sum(weights)) for (_, p), weight in zip(chosen, weights, strict=True)]
        return found

    def batches(self, split: str) -> int | None:
        return batch_count(len(self._examples if split == "train" else self.test), self.batch_size)

    def batch(self, split: str, i: int, stage: int = 0) -> PathBatch:
        if split == "train":
            chosen = rows(len(self._examples), self.batch_size, i, seed=self.seed, shuffle=True)
            return self._batch([self._examples[j] for j in chosen.tolist()])
        places = rows(len(self.test), self.batch_size, i, seed=0, shuffle=False)
        return self._batch([self._shortest(self.test[j]) for j in places.tolist()])

    def _shortest(self, number: int) -> tuple[int, Program, float]:
        """Returns a held-out question with its shortest program; the full path without weight where it has none."""
        for path in self.valid[number]:
            if (program := parse(path, self.depth)) is not None:
                return number, program, 1.0
        whole = parse(tuple(range(self.depth)), self.depth)
        assert whole is not None
        return number, whole, 0.0

    def _batch(self, examples: Sequence[tuple[int, Program, float]]) -> PathBatch:
        states, mask = _padded([self._states[number] for number, _, _ in examples])
        boundaries = torch.zeros(len(examples), self.depth)
        operations = torch.full((len(examples), self.depth), IGNORED)
        for row, (_, program, _) in enumerate(examples):
            starts = torch.tensor(program.starts)
            boundaries[row, starts] = 1.0
            operations[row, starts] = torch.tensor(program.operations)
        return {
            "states": states,
            "mask": mask,
            "boundaries": boundaries,
            "operations": operations,
            "weights": torch.tensor([weight for _, _, weight in examples]),
            "question": torch.tensor([number for number, _, _ in examples]),
        }

    # -- a user's own questions ------------------------------------------------------------------------------------

    def read(self, path: FilePath) -> Batch:
        """Reads a file as the data of the search does; its questions need no answers."""
        self._searched()
        if not hasattr(self.run.data, "read"):
            raise UserError(f"{type(self.run.data).__name__}, which was searched, reads no files")
        asked = self.run.data.read(path)
        states = self.subject.states_asked(asked, self.layers)
        padded, mask = _padded(states)
        return {"states": padded, "mask": mask, "asked_meta": asked}

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:  # Any: plain values
        """Returns the first predicted path of each question, and what the frozen model answers along it."""
        paths = [read_paths(row)[0] for row in outputs["paths"]]
        said = self.subject.answers_asked(batch["asked_meta"], paths)
        return [{**words, "path": path_text(path)} for words, path in zip(said, paths, strict=True)]

    # -- running paths ---------------------------------------------------------------------------------------------

    def evaluate(self, pairs: Sequence[tuple[int, Path]]) -> list[Evaluation]:
        """Returns what the frozen model makes of each pair of question and path; each is run once."""
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._evaluations]
        if new:
            numbers = sorted({number for number, _ in new})
            place = {number: i for i, number in enumerate(numbers)}
            scorer = self.subject.scorer(numbers, 1024, 2**28)
            for start in range(0, len(new), CHUNK):
                some = new[start : start + CHUNK]
                scores = scorer.score([(place[number], path) for number, path in some])
                for pair, one in zip(some, scores, strict=True):
                    self._evaluations[pair] = Evaluation(tuple(one.greedy.tolist()), tuple(one.log_probs.tolist()))
        return [self._evaluations[pair] for pair in pairs]

    def right(self, pairs: Sequence[tuple[int, Path]]) -> list[bool]:
        """Returns whether each path answers its question."""
        found = zip(pairs, self.evaluate(pairs), strict=True)
        return [self.subject.targets(number)[0].judge(one).valid for (number, _), one in found]

    @property
    def answered(self) -> dict[Path, list[bool]]:
        """Of the full path and those that are valid most often: whether each training question is answered."""
        if not self._answered:
            full = tuple(range(self.depth))
            counts = Counter(path for number in self.train for path in self.valid[number] if path != full)
            ordered = sorted(counts, key=lambda p: (-counts[p], len(p), p))
            candidates = [full, *ordered[: self.num_candidates - 1]]
            right = self.right([(number, path) for path in candidates for number in self.train])
            n = len(self.train)
            self._answered = {path: right[i * n : (i + 1) * n] for i, path in enumerate(candidates)}
        return self._answered

    @property
    def fixed(self) -> list[Path]:
        """Five paths for all questions: each answers the most training questions that those before it do not answer."""
        if not self._fixed:
            left = [True] * len(self.train)
            for _ in range(min(5, len(self.answered))):
                rest = [path for path in self.answered if path not in self._fixed]
                gains = {p: sum(a and b for a, b in zip(self.answered[p], left, strict=True)) for p in rest}
                best = min(rest, key=lambda p: (-gains[p], -sum(self.answered[p]), len(p), p))
                self._fixed.append(best)
                left = [a and not b for a, b in zip(left, self.answered[best], strict=True)]
        return self._fixed

    # -- metrics ---------------------------------------------------------------------------------------------------

    def _pass_at_1(self, *, paths: Int[Tensor, "batch paths longest"], question: Int[Tensor, "batch"]) -> Share:
        return self._any_of([read_paths(row)[:1] for row in paths], question)

    def _pass_at_5(self, *, paths: Int[Tensor, "batch paths longest"], question: Int[Tensor, "batch"]) -> Share:
        return self._any_of([read_paths(row)[:5] for row in paths], question)

    def _base(self, *, question: Int[Tensor, "batch"]) -> Share:
        return self._any_of([[tuple(range(self.depth))]] * len(question), question)

    def _fixed_at_1(self, *, question: Int[Tensor, "batch"]) -> Share:
        return self._any_of([self.fixed[:1]] * len(question), question)

    def _fixed_at_5(self, *, question: Int[Tensor, "batch"]) -> Share:
        return self._any_of([self.fixed] * len(question), question)

    def _oracle(self, *, question: Int[Tensor, "batch"]) -> Share:
        return _share([bool(self.valid[number]) for number in question.tolist()])

    def _sampling_at_1(self, *, question: Int[Tensor, "batch"]) -> Share:
        return self._sampled(question, 1)

    def _sampling_at_5(self, *, question: Int[Tensor, "batch"]) -> Share:
        return self._sampled(question, 5)

    def _sampled(self, question: Tensor, n: int) -> Share:
        full = tuple(range(self.depth))
        numbers = question.tolist()
        base = self.evaluate([(number, full) for number in numbers])
        found = [pass_at(n, self.subject.targets(number)[0], one) for number, one in zip(numbers, base, strict=True)]
        return torch.tensor(math.fsum(found)), len(found)

    def _any_of(self, paths: Sequence[Sequence[Path]], question: Tensor) -> Share:
        """Returns how many questions any of their paths answers."""
        numbers = question.tolist()
        pairs = [(number, path) for number, own in zip(numbers, paths, strict=True) for path in own]
        answered = {number for (number, _), right in zip(pairs, self.right(pairs), strict=True) if right}
        return _share([number in answered for number in numbers])


def _padded(states: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Returns states of unequal lengths as one tensor, and where they exist."""
    lengths = torch.tensor([len(one) for one in states])
    padded = torch.nn.utils.rnn.pad_sequence([*states], batch_first=True)
    return padded, torch.arange(padded.shape[1]) < lengths.unsqueeze(1)


def _share(flags: Sequence[bool]) -> Share:
    return torch.tensor(float(sum(flags))), len(flags)
