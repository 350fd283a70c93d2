"""`rk search cola`: a search for paths through a frozen model, question by question."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le
from rk_lm.layered import Path
from rk_lm.load import load
from torch import Tensor, nn

from rk import Run, Runtime, UserError
from rk.protocols import Data, Decode
from rk_cola import controls as checks
from rk_cola.evaluations import Evaluation, Evaluations
from rk_cola.layered_run import Positions, RunSubject
from rk_cola.learner import Programs
from rk_cola.mcts import Method, TreeSearch
from rk_cola.rivals import Beam, RandomPaths, SingleEdits
from rk_cola.run_paths import RunPaths
from rk_cola.sample import PathSearch, Sample
from rk_cola.spaces import Edits, Limits, Segments, Space
from rk_cola.subject import LanguageSubject, Scorer, Subject, asks_questions

EVALUATIONS = "evaluations.jsonl"
CONTROL_CHUNK = 256
"""Evaluations of the controls between two looks at the keyboard."""


class Cola:
    """Chain of layers: searches, for every question, a path through a frozen model that answers it right.

    The model is a pretrained language model, or that of a trained run: any chain of blocks. The questions are then the
    examples of the run's data, answered right where the argmax of the logits is the target. Layers are skipped and
    repeated; shorter paths are preferred. The right answer is the reward, so the accuracy found is an oracle's: it
    knows which path to take. It is reported beside the result of the same search for a wrong answer.

    Args:
        seed: Of the trees, each of which has its own, and of the control's answers.
        model: An alias (gemma, llama, qwen, smollm2, ...), an id on the Hugging Face hub, or a folder.
        run: In place of a model, a trained run whose model is a chain of blocks (`rk.Layered`).
        split: With a run, the split whose examples are searched; null: the first one for tests, else for validation.
        positions: With a run, which targets of an example must be reached: `all`, or the `last` one.
        limit: Takes the first so many questions; null takes all.
        num_simulations: Paths that are evaluated per question, besides the full one.
        method: Tree search, or one of its rivals: random programs, single edits, a beam.
        space: Edits of the sequence, or segments of layers, each skipped, kept or run twice.
        ops: What may be done to a block.
        max_block: Longest block of an action, in layers.
        max_repeats: Most additional copies that an edit inserts. The paper draws up to 4; with that, most draws are far
            longer than the model.
        max_len_ratio: Longest path, in depths of the model.
        protect_first: Layers at the beginning that are left as they are.
        protect_last: Layers at the end that are left as they are.
        c: Weight of exploration in the bound.
        length_penalty: Weight of a path's length, in depths of the model, in the bound.
        epsilon: Probability of trying a new edit where the bound would follow a known one.
        widening_alpha: A program of v visits has up to ceil(alpha v ** beta) successors.
        widening_beta: The exponent.
        visits: Which simulations count as V in the bound: all of the tree, or those of the parent.
        max_edits: Most edits of a random program.
        beam_size: Programs in the beam.
        children: New programs from each one in the beam.
        early_stop: Ends a question's search at its first right path, or at the first that is shorter than the model.
        chat: Puts prompts into the model's chat template.
        controls: Also measures the best fixed path and a vote, on a held-out half of the questions.
        num_candidates: Paths among which the best fixed one is chosen.
        num_votes: Paths that vote.
        max_new_tokens: Most tokens of an answer that `rk predict` writes.
        random_init: Takes a tiny random model of the family: the mechanics only.
        in_flight: Questions that are searched at the same time.
        batch_tokens: Tokens that go through a layer at once.
        cache_mb: Megabytes for the states of prefixes.

    Examples:
        data: {name: arith-levels, num_questions: 20}
        search: {name: cola, model: smollm2, num_simulations: 50, ops: skip}
    """

    renamed = {"n_candidates": "num_candidates", "n_simulations": "num_simulations", "n_votes": "num_votes"}

    defaults = ("data=arith-levels", "fit.log_every=1", "fit.checkpoint_every=10")
    resumable = (
        "num_simulations",
        "limit",
        "early_stop",
        "controls",
        "num_candidates",
        "num_votes",
        "in_flight",
        "batch_tokens",
        "cache_mb",
    )

    def __init__(
        self,
        seed: int,
        model: str | None = None,
        run: Run | None = None,
        split: str | None = None,
        positions: Positions = "all",
        limit: Annotated[int, Ge(1)] | None = None,
        num_simulations: Annotated[int, Ge(1)] = 200,
        method: Literal["mcts", "random", "exhaustive-1", "beam"] = "mcts",
        space: Literal["edits", "segments"] = "edits",
        ops: Literal["skip", "repeat", "both"] = "both",
        max_block: Annotated[int, Ge(1)] = 4,
        max_repeats: Annotated[int, Ge(1)] = 1,
        max_len_ratio: Annotated[float, Ge(1)] = 1.5,
        protect_first: Annotated[int, Ge(0)] = 1,
        protect_last: Annotated[int, Ge(0)] = 0,
        c: Annotated[float, Ge(0)] = 1.414,
        length_penalty: Annotated[float, Ge(0)] = 5.0,
        epsilon: Annotated[float, Ge(0), Le(1)] = 0.1,
        widening_alpha: Annotated[float, Gt(0)] = 2.0,
        widening_beta: Annotated[float, Ge(0), Le(1)] = 0.5,
        visits: Literal["global", "parent"] = "global",
        max_edits: Annotated[int, Ge(1)] = 3,
        beam_size: Annotated[int, Ge(1)] = 8,
        children: Annotated[int, Ge(1)] = 5,
        early_stop: Literal["none", "first-valid", "shorter-valid"] = "none",
        chat: bool = False,
        controls: bool = False,
        num_candidates: Annotated[int, Ge(1)] = 32,
        num_votes: Annotated[int, Ge(1)] = 5,
        max_new_tokens: Decode[int] = 64,
        random_init: bool = False,
        in_flight: Annotated[int, Ge(1)] = 128,
        batch_tokens: Annotated[int, Ge(1)] = 1024,
        cache_mb: Annotated[int, Ge(1)] = 1024,
    ) -> None:
        self.model = model
        self.run = run
        self.split = split
        self.positions = positions
        self.seed = seed
        self.limit = limit
        self.num_simulations = num_simulations
        self.method = method
        self.space = space
        self.ops = ops
        self.max_block = max_block
        self.max_repeats = max_repeats
        self.max_len_ratio = max_len_ratio
        self.protect_first = protect_first
        self.protect_last = protect_last
        self.tree: dict[str, Any] = {  # Any: as the parameters of `TreeSearch`
            "c": c,
            "length_penalty": length_penalty,
            "epsilon": epsilon,
            "widening_alpha": widening_alpha,
            "widening_beta": widening_beta,
            "visits": visits,
        }
        self.max_edits = max_edits
        self.beam_size = beam_size
        self.children = children
        self.early_stop = early_stop
        self.chat = chat
        self.controls = controls
        self.num_candidates = num_candidates
        self.num_votes = num_votes
        self.max_new_tokens = max_new_tokens
        self.random_init = random_init
        self.in_flight = in_flight
        self.batch_tokens = batch_tokens
        self.cache_mb = cache_mb
        self.samples: list[Sample] = []
        self.found: checks.Controls | None = None
        self.seconds = 0.0  # of this process, as is what follows
        self.evaluated_here = 0
        self.evaluations = Evaluations()
        self.rounds = 0
        self._restored_rounds = 0
        self._asked: set[tuple[int, Path]] = set()
        self._work: Iterator[dict[str, Tensor]] | None = None
        if (model is None) == (run is None):
            raise ValueError("give a model, or a run: one of the two")
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be >= 1, got {max_new_tokens}")

    # -- what the loop calls ---------------------------------------------------------------------------------------

    def setup(self, *, data: Data, runtime: Runtime) -> nn.Module:
        self.runtime = runtime
        self.learner = self._of_model(data) if self.run is None else self._of_run(self.run, data)
        depth = self.subject.depth
        limits = Limits(
            depth=depth,
            ops=self.ops,
            max_block=min(self.max_block, depth),
            max_repeats=self.max_repeats,
            max_length=math.ceil(self.max_len_ratio * depth),
            protect_first=self.protect_first,
            protect_last=self.protect_last,
        )
        self.programs: Space = Edits(limits) if self.space == "edits" else Segments(limits)
        return self.learner

    def _of_model(self, data: Data) -> nn.Module:
        """Takes a pretrained language model; returns the learner."""
        if not asks_questions(data):
            raise UserError(
                f"cola needs questions; {type(data).__name__} has none",
                "data: arith-levels, arc, gsm8k, exact-jsonl, mc-jsonl; the examples of any data: --run RUN",
            )
        lm = load(self.model or "", random_init=self.random_init, seed=self.seed, device=self.runtime.device)
        if self.chat:
            lm.check_chat()
        self.subject: Subject = LanguageSubject(lm, data, self.seed, self.chat)
        settings = (self.num_simulations, self.chat, self.limit, self.controls, self.max_new_tokens)
        return Programs(lm, lambda: data.questions_of("test"), self.subject.wrong, *settings)

    def _of_run(self, run: Run, data: Data) -> nn.Module:
        """Takes the model of a run; returns the learner."""
        run.learner.to(self.runtime.device)
        subject = RunSubject(run, data, self.split, self.positions, self.seed, self.limit)
        self.subject = subject
        return RunPaths(run, subject.model, self.controls)

    @property
    def evaluated(self) -> int:
        """Evaluations of the whole search, before a kill too."""
        return len(self.evaluations)

    @property
    def num_questions(self) -> int:
        """Questions that are searched."""
        there = len(self.subject.questions)
        return min(there, self.limit or there)

    @property
    def total_steps(self) -> int:
        """Rounds of the search, and of the controls: an upper bound, as trees may use up their space or end early."""
        rounds = -(-self.num_questions // self.in_flight) * (self.num_simulations + 1)
        if self.controls:
            half = -(-self.num_questions // 2)
            chunks = (-(-half * paths // CONTROL_CHUNK) for paths in (self.num_candidates, self.num_votes))
            rounds += sum(chunks) + self.num_votes
        return rounds

    def step(self) -> dict[str, Tensor] | None:
        """One round: one path for every question that is being searched."""
        if self._work is None:
            self._work = self._rounds()
        started = time.perf_counter()
        numbers = next(self._work, None)
        self.seconds += time.perf_counter() - started
        return numbers

    def finish(self) -> None:
        """Keeps what was found: in the learner, and as tables and figures in the run's folder."""
        done = [s for s in self.samples if s.search.paths]
        if not done:
            return
        self._keep(done)
        if self.runtime.training and self.runtime.folder is not None and self.runtime.is_main:
            from rk_cola.report import write

            self._summary = write(self, self.runtime.folder)

    def _keep(self, done: list[Sample]) -> None:
        full, found = self._full, self.found
        paths = [s.search.best or full for s in done]
        control = [(s.control.best if s.control else None) or full for s in done]
        fixed = found.fixed if found else None
        valid = [s.search.valid for s in done]
        if isinstance(self.learner, RunPaths):
            assert isinstance(self.subject, RunSubject)
            self.learner.keep(self.subject.digests([s.number for s in done]), paths, control, fixed, valid)
        elif isinstance(self.learner, Programs):
            wrong = [self.subject.wrong(s.number) for s in done]
            held_out = found.held_out if found else []
            self.learner.keep([s.question for s in done], wrong, paths, control, fixed, held_out, valid)

    @property
    def _full(self) -> Path:
        """The path of the unmodified model."""
        return tuple(range(self.subject.depth))

    lower_is_better = ("control", "mean-length")

    def results(self) -> dict[str, float]:
        """Returns, for a run, the shares of the summary: the metrics of its data count something else."""
        samples = [s for s in self.samples if s.search.paths]
        if self.run is None or not samples:
            return {}
        from rk_cola.report import numbers_of

        numbers, lengths = numbers_of(self, samples), [len(s.search.best) for s in samples if s.search.best]
        found = {name.replace("_", "-"): numbers.get(name) for name in _RESULTS}
        if numbers["control"] is not None:
            found["oracle-over-control"] = float(numbers["oracle"] or 0) - float(numbers["control"])
        found["right-shorter"] = _ratio(numbers["right_shorter"], numbers["right"])
        found["wrong-fixed"] = _ratio(numbers["wrong_fixed"], numbers["wrong"])
        found["mean-length"] = sum(lengths) / len(lengths) if lengths else None
        return {name: float(value) for name, value in found.items() if value is not None}

    def summary(self) -> str:
        """Returns the table that the command ends with."""
        return getattr(self, "_summary", "")

    def state_dict(self) -> dict[str, Any]:
        return {"rounds": self.rounds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes the rounds back; the trees grow again from the evaluations that are on disk, which costs nothing."""
        self._restored_rounds = state.get("rounds", sys.maxsize)

    # -- the search ------------------------------------------------------------------------------------------------

    def _rounds(self) -> Iterator[dict[str, Tensor]]:
        self._prepare()
        for start in range(0, len(self.samples), self.in_flight):
            yield from self._search(self.samples[start : start + self.in_flight])
        if self.controls:
            yield from self._control()

    def _prepare(self) -> None:
        subject, folder, main = self.subject, self.runtime.folder, self.runtime.is_main
        subject.prepare(self.num_questions)
        if main:
            size = f"{subject.reference.parameters / 1e6:.3g} million parameters in {subject.depth} layers"
            budget = f"questions: {self.num_questions}, paths for each: {self.num_simulations}"
            print(f"{subject.reference.asked}: {size}; {budget}", file=sys.stderr, flush=True)
        file = folder / EVALUATIONS if folder is not None and main else None
        self.evaluations = Evaluations(file, subject.head())
        if not main:  # what the first process has read from before a kill
            self.evaluations.of.update(self.runtime.collect(None)[0])
        elif self.runtime.world > 1:
            self.runtime.collect(dict(self.evaluations.of))
        for number, question in enumerate(subject.questions[: self.num_questions]):
            right, other = subject.targets(number)
            search = PathSearch(right, self._method(number))
            control = None if other is None else PathSearch(other, self._method(number))
            self.samples.append(Sample(number, question, search, control))

    def _method(self, number: int) -> Method:
        """Makes what proposes paths; that of the control has the same seed, so it begins with the same ones."""
        seed = f"{self.seed}/{number}"
        match self.method:
            case "random":
                return RandomPaths(self.programs, seed, self.max_edits)
            case "exhaustive-1":
                return SingleEdits(self.programs, seed)
            case "beam":
                return Beam(self.programs, seed, self.beam_size, self.children)
        return TreeSearch(self.programs, self.subject.depth, seed, **self.tree)

    def _search(self, samples: list[Sample]) -> Iterator[dict[str, Tensor]]:
        """Grows the trees of `samples` together.

        What is on disk is not evaluated again. Rounds before the checkpoint take no step; those that a kill has cut off
        from it take the step that they took before, so that `fit.max_steps` means as many rounds as without the kill.
        """
        scorer, place = self._scorer(samples)
        known = self.evaluations.of
        while True:
            proposed = [
                (s, path_search, path)
                for s in samples
                for path_search in s.searches
                if (path := self._propose(path_search)) is not None
            ]
            if not proposed:
                return
            pairs = dict.fromkeys((s.number, path) for s, _, path in proposed)
            unasked = [pair for pair in pairs if pair not in self._asked]
            self._asked.update(unasked)
            new = [(number, path) for number, path in unasked if path not in known[number]]
            rate = self._evaluated(scorer, place, new) if new else None
            for sample, path_search, path in proposed:
                path_search.observe(path, path_search.target.judge(known[sample.number][path]))
                path_search.over = self._is_over(path_search)
            self.rounds += bool(unasked)
            if new or (unasked and self.rounds > self._restored_rounds):
                yield self._numbers(rate)

    def _evaluated(self, scorer: Scorer, place: dict[int, int], new: list[tuple[int, Path]]) -> float:
        """Evaluates pairs of question and path, and keeps them; returns how many per second.

        Several processes share them by their questions. Each then has all, in the same order, and so the same trees.
        """
        started = time.perf_counter()
        mine = [pair for pair in new if pair[0] % self.runtime.world == self.runtime.rank]
        scores = scorer.score([(place[number], path) for number, path in mine])
        found = {pair: one for part in self.runtime.collect([*zip(mine, scores, strict=True)]) for pair, one in part}
        self.evaluations.add((*pair, found[pair]) for pair in new)
        self.evaluated_here += len(new)
        return len(new) / (time.perf_counter() - started)

    def _scorer(self, samples: list[Sample]) -> tuple[Scorer, dict[int, int]]:
        """Returns what scores the questions of this process among `samples`, and the place of each there."""
        mine = [s.number for s in samples if s.number % self.runtime.world == self.runtime.rank]
        scorer = self.subject.scorer(mine, self.batch_tokens, self.cache_mb * 2**20)
        return scorer, {number: i for i, number in enumerate(mine)}

    def _propose(self, path_search: PathSearch) -> Path | None:
        if path_search.over or len(path_search.paths) > self.num_simulations:  # the full path is beyond the budget
            return None
        path = path_search.method.propose()
        path_search.over = path is None
        return path

    def _is_over(self, path_search: PathSearch) -> bool:
        if self.early_stop == "none" or not path_search.findings[-1].valid:
            return False
        return self.early_stop == "first-valid" or len(path_search.paths[-1]) < self.subject.depth

    def _numbers(self, rate: float | None) -> dict[str, Tensor]:
        """The numbers of the progress bar: evaluations per second, and how many questions are right so far."""
        done = [s for s in self.samples if s.search.paths]
        numbers = {
            **({} if rate is None else {"evaluations/s": rate}),
            "base": sum(s.search.base for s in done) / len(done),
            "oracle": sum(any(f.valid for f in s.search.findings) for s in done) / len(done),
        }
        tried = [s.control for s in done if s.control is not None and s.control.paths]
        if tried:
            numbers["control"] = sum(any(f.valid for f in h.findings) for h in tried) / len(tried)
        return {name: torch.tensor(value) for name, value in numbers.items()}

    # -- controls --------------------------------------------------------------------------------------------------

    def _control(self) -> Iterator[dict[str, Tensor]]:
        samples, known = self.samples, self.evaluations
        held_out = checks.halves(samples)
        train = [s for s, out in zip(samples, held_out, strict=True) if not out]
        test = [s for s, out in zip(samples, held_out, strict=True) if out]
        paths = checks.candidates(samples, held_out, self.num_candidates)
        yield from self._evaluate(paths, train)
        best = checks.ranked(paths, train, known)[: self.num_votes]
        yield from self._evaluate(best, test)
        numbers = [s.number for s in test]
        right = [self.subject.right(number) for number in numbers]
        vote: list[bool] = []
        for answered in checks.majority(best, lambda path: self.subject.answers(path, numbers, known), right):
            if answered is None:
                yield {}
            else:
                vote = answered
        self.found = checks.Controls(
            held_out=held_out,
            fixed=best[0],
            fixed_correct={s.number: s.judge(known.of[s.number][best[0]]) for s in test},
            vote=best,
            vote_correct=dict(zip(numbers, vote, strict=True)),
        )

    def pass_at(self, samples: list[Sample]) -> list[float]:
        """Returns for each sample the probability that one of as many draws from the unmodified model is right."""
        base, n = self._base(samples), self.num_simulations
        return [checks.pass_at(n, s.search.target, e) for s, e in zip(samples, base, strict=True)]

    def wrong_pass_at(self, samples: list[Sample]) -> list[float]:
        """Returns the same for the control's wrong answers; NaN where there is none."""
        searches = [s.control for s in samples]
        found = zip(searches, self._base(samples), strict=True)
        return [math.nan if h is None else checks.pass_at(self.num_simulations, h.target, e) for h, e in found]

    def _base(self, samples: list[Sample]) -> list[Evaluation]:
        return [self.evaluations.of[s.number][self._full] for s in samples]

    def _evaluate(self, paths: list[Path], samples: list[Sample]) -> Iterator[dict[str, Tensor]]:
        """Evaluates all `paths` on all `samples`, as far as that has not been done."""
        requests = checks.missing(paths, samples, self.evaluations)
        scorer, place = self._scorer(samples)
        for start in range(0, len(requests), CONTROL_CHUNK):
            chunk = requests[start : start + CONTROL_CHUNK]
            yield {"evaluations/s": torch.tensor(self._evaluated(scorer, place, chunk))}


_RESULTS = ("base", "oracle", "control", "pass_at_n", "held_out_base", "fixed_path", "vote")


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole
