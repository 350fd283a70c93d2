"""The result of a search as a learner: programs, and a reference to the frozen model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from rk_lm.answer import answers
from rk_lm.engine import Engine
from rk_lm.items import Item
from rk_lm.layered import Path, full_path
from rk_lm.load import LanguageModel
from rk_lm.question import Question
from rk_lm.questions import VerdictOutputs
from torch import Tensor, nn

from rk import UserError
from rk.protocols import Batch
from rk_cola.controls import pass_at
from rk_cola.evaluations import Evaluation, Target, targets
from rk_cola.paths import path_text
from rk_cola.rows import PADDING, as_bytes, by_owner, of_owners, path_of, rows_of


class Programs(nn.Module):
    """The path of every question that was searched, and one for all questions.

    A path belongs to its question, which is known again by a digest, never by its place in a file. `predict` answers
    with the unmodified model; questions of a user's own file along the path of the question, where it has been
    searched. The variants answer again with what has been found:

    - ``oracle`` takes each question's own path, which was chosen by its answer;
    - ``control`` takes the paths that were led to a wrong answer, and looks for that;
    - ``oracle-over-control`` is the difference of the two;
    - ``pass-at-n`` is the probability that one of as many samples of the unmodified model is right;
    - ``held-out`` is the unmodified model on the questions by which the best fixed path was not chosen, and
      ``held-out-fixed`` that path, on the same questions.

    A question that has not been searched is answered by the unmodified model in each of them; with a warning.

    Args:
        lm: The frozen model.
        questions: Returns the questions that are measured.
        wrong: The control's answers to given questions.
        n: Paths per question, and samples of ``pass-at-n``.
        chat: Whether prompts are put into the chat template.
        limit: Questions that are measured; None: all.
        controls: Whether a best fixed path is looked for.
        max_new_tokens: Most tokens of an answer to a user's own question.
    """

    lazy_buffers = (
        "digest",
        "asked",
        "answers",
        "wrong",
        "paths",
        "control_paths",
        "fixed_path",
        "held_out",
        "valid_paths",
        "valid_of",
    )

    def __init__(
        self,
        lm: LanguageModel,
        questions: Callable[[], Sequence[Question]],
        wrong: Callable[[int], str | None],
        n: int,
        chat: bool = False,
        limit: int | None = None,
        controls: bool = False,
        max_new_tokens: int = 64,
    ) -> None:
        super().__init__()
        self._lm = (lm,)  # in a tuple it is not a submodule: its weights are not copied into every checkpoint
        self._questions = questions
        self._wrong = wrong
        self._n = n
        self._chat = chat
        self._limit = limit
        self._controls = controls
        self._max_new_tokens = max_new_tokens
        self._warned = False
        self._scored: dict[tuple[Item, Path], Evaluation] = {}  # of the batch that `predict` has got last
        for name in ("paths", "control_paths", "wrong", "valid_paths"):
            self.register_buffer(name, torch.zeros(0, 0, dtype=torch.int16))
        for name in ("asked", "answers"):
            self.register_buffer(name, torch.zeros(0, 8, dtype=torch.uint8))
        self.register_buffer("valid_of", torch.zeros(0, dtype=torch.int32))
        self.register_buffer("fixed_path", torch.zeros(0, dtype=torch.int16))
        self.register_buffer("held_out", torch.zeros(0, dtype=torch.bool))
        self.digest: Tensor
        self.register_buffer("digest", as_bytes(lm.reference.digest))

    @property
    def lm(self) -> LanguageModel:
        """The frozen model. Raises `rk.UserError` when it is not the one that was searched."""
        lm = self._lm[0]
        if not torch.equal(self.digest.cpu(), as_bytes(lm.reference.digest)):
            raise UserError(
                f"{lm.reference.asked} ({lm.reference.source}) has other weights than those that were searched",
                "the paths that were found are of no meaning for it",
            )
        return lm

    def keep(
        self,
        questions: Sequence[Question],
        wrong: Sequence[str | None],
        paths: Sequence[Path],
        control: Sequence[Path],
        fixed: Path | None,
        held_out: Sequence[bool],
        valid: Sequence[Sequence[Path]],
    ) -> None:
        """Takes what has been found for `questions`, whose control was led to the answers `wrong`.

        `valid` are all paths that answer each question right, the shortest first.
        """
        self.valid_paths, self.valid_of = by_owner(valid)
        self.asked = torch.tensor([[*q.asked_digest] for q in questions], dtype=torch.uint8)
        self.answers = torch.tensor([[*q.answer_digest] for q in questions], dtype=torch.uint8)
        self.wrong = rows_of([tuple((text or "").encode()) for text in wrong])
        self.paths, self.control_paths = rows_of(paths), rows_of(control)
        self.fixed_path = torch.tensor(fixed or (), dtype=torch.int16)
        self.held_out = torch.tensor(held_out, dtype=torch.bool)

    @property
    def valid(self) -> list[list[Path]]:
        """The valid paths of each question that was searched; none in a run of before they were kept."""
        return of_owners(self.valid_paths, self.valid_of, len(self.asked))

    # -- answering -------------------------------------------------------------------------------------------------

    def predict(self, batch: Batch) -> VerdictOutputs:
        if batch.get("answers_wanted_meta"):
            return self._predict_own(batch)  # type: ignore[return-value]  # entries in _meta are not declared
        self._scored.clear()
        return self._verdicts(batch, lambda place, full: full)

    def variants(self) -> dict[str, Callable[[Batch], VerdictOutputs]]:
        """The ways to answer that will be found, or have been."""
        if len(self.paths):
            self._warn_of_unknown()
        found: dict[str, Callable[[Batch], VerdictOutputs]] = {"oracle": self._oracle}
        if self.wrong.numel() or self._wrong(0) is not None:
            found |= {"control": self._control, "oracle-over-control": self._over_control}
        found["pass-at-n"] = self._pass_at_n
        if self._controls:
            found |= {"held-out": self._held_out, "held-out-fixed": self._held_out_fixed}
        return found

    def _oracle(self, batch: Batch) -> VerdictOutputs:
        return self._verdicts(batch, lambda place, full: self._path(self.paths, place) or full)

    def _control(self, batch: Batch) -> VerdictOutputs:
        return self._verdicts(batch, lambda p, full: self._path(self.control_paths, p) or full, control=True)

    def _over_control(self, batch: Batch) -> VerdictOutputs:
        oracle, control = self._oracle(batch), self._control(batch)
        both = oracle["asked"] * control["asked"]
        return {"correct": (oracle["correct"] - control["correct"]) * both, "asked": both}

    def _pass_at_n(self, batch: Batch) -> VerdictOutputs:
        return self._verdicts(batch, lambda place, full: full, judge=lambda t, e: pass_at(self._n, t, e))

    def _held_out(self, batch: Batch) -> VerdictOutputs:
        return self._verdicts(batch, lambda place, full: full if self._is_out(place) else None)

    def _held_out_fixed(self, batch: Batch) -> VerdictOutputs:
        fixed = tuple(self.fixed_path.tolist())
        return self._verdicts(batch, lambda place, full: fixed if self._is_out(place) else None)

    def _is_out(self, place: int | None) -> bool:
        """Whether the best fixed path was not chosen by this question: others chose it, or another data set."""
        if not len(self.fixed_path) or not len(self.asked):
            return False  # no path was chosen, or only by unknown questions
        return place is None or bool(self.held_out[place])

    def _verdicts(
        self,
        batch: Batch,
        path_of: Callable[[int | None, Path], Path | None],
        control: bool = False,
        judge: Callable[[Target, Evaluation], float] = lambda target, found: float(target.judge(found).valid),
    ) -> VerdictOutputs:
        """Returns verdicts on the questions of `batch`.

        Args:
            batch: The questions.
            path_of: Takes the place of a question among those that were searched (None: it is none of them) and the
                full path; returns the path that answers, or None for a question that is not asked.
            control: Looks for the control's answer.
            judge: Makes a number of what a path gave.
        """
        lm, questions = self.lm, batch["questions_meta"]
        full, places = full_path(lm.layered), self._places(batch)
        chosen: list[tuple[int, Path, Target]] = []
        items = []
        for row, (number, question) in enumerate(zip(batch["question"].tolist(), questions, strict=True)):
            path, wrong = path_of(places[row], full), self._wrong_answer(places[row], number) if control else None
            beyond = self._limit is not None and number >= self._limit
            if not path or beyond or question.answer is None or (control and wrong is None):
                continue
            asked = question.continuations if question.options or wrong is None else (question.answer, wrong)
            item = lm.encode(question, asked, self._chat)
            target = targets(question, wrong, tuple(map(len, item.continuations)))[control]
            if target is None:  # a control without a wrong answer was left out above
                continue
            chosen.append((row, path, target))
            items.append(item)
        correct, was_asked = torch.zeros(len(questions)), torch.zeros(len(questions))
        found = self._score(items, [path for _, path, _ in chosen])
        for (row, _, target), evaluation in zip(chosen, found, strict=True):
            correct[row] = judge(target, evaluation)
            was_asked[row] = 1.0
        return {"correct": correct, "asked": was_asked}

    def _score(self, items: Sequence[Item], paths: Sequence[Path]) -> list[Evaluation]:
        """Returns what each path makes of its item; what a variant needs that another has needed is run once."""
        pairs = [*zip(items, paths, strict=True)]
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._scored]
        if new:
            self.lm.check_items([item for item, _ in new])
            engine = Engine(self.lm.layered, [item for item, _ in new])
            scores = engine.score([(i, path) for i, (_, path) in enumerate(new)])
            for pair, one in zip(new, scores, strict=True):
                self._scored[pair] = Evaluation(tuple(one.greedy.tolist()), tuple(one.log_probs.tolist()))
        return [self._scored[pair] for pair in pairs]

    def _predict_own(self, batch: Batch) -> dict[str, Any]:
        """Answers a user's own questions: in words, and with a verdict where the right answer is known."""
        lm, questions, chat = self.lm, batch["questions_meta"], self._chat
        full, places = full_path(lm.layered), self._places(batch)
        paths = [self._path(self.paths, place) or full for place in places]
        ways: dict[str, list[Path]] = {"answer": paths}
        if any(path != full for path in paths):
            ways["unmodified"] = [full] * len(questions)
        if len(self.fixed_path):
            ways["best_fixed_path"] = [tuple(self.fixed_path.tolist())] * len(questions)
        said = {name: answers(lm, questions, way, chat, self._max_new_tokens) for name, way in ways.items()}
        words = []
        for i, place in enumerate(places):
            row: dict[str, Any] = {name: texts[i] for name, texts in said.items()}
            row["searched"] = place is not None
            row["path"] = path_text(paths[i])
            words.append(row)
        self._scored.clear()
        verdicts = self._verdicts(batch, lambda place, base: self._path(self.paths, place) or base)
        return {**verdicts, "answers_meta": words}

    # -- which question is which -----------------------------------------------------------------------------------

    def _places(self, batch: Batch) -> list[int | None]:
        """Returns for each question of `batch` its place among those that were searched, or None."""
        return self._find(batch["questions_meta"], batch["question"].tolist())

    def _find(self, questions: Sequence[Question], numbers: Sequence[int]) -> list[int | None]:
        asked = [*map(bytes, self.asked.tolist())]
        answers = [*map(bytes, self.answers.tolist())]
        first = {pair: i for i, pair in reversed([*enumerate(zip(asked, answers, strict=True))])}
        unanswered: Mapping[bytes, int] = {one: i for i, one in reversed([*enumerate(asked)])}
        found: list[int | None] = []
        for question, number in zip(questions, numbers, strict=True):
            if question.answer is None:
                found.append(unanswered.get(question.asked_digest))
                continue
            pair = (question.asked_digest, question.answer_digest)
            own = 0 <= number < len(asked) and (asked[number], answers[number]) == pair  # of two that are the same
            found.append(number if own else first.get(pair))
        return found

    def _path(self, rows: Tensor, place: int | None) -> Path | None:
        """Returns the path of the question at `place`; None for one that was not searched."""
        return None if place is None else path_of(rows[place])

    def _wrong_answer(self, place: int | None, number: int) -> str | None:
        """Returns what the control looks for: what it was led to, where the question was searched."""
        if place is None or not len(self.wrong):
            return self._wrong(number)
        return bytes(byte for byte in self.wrong[place].tolist() if byte != PADDING).decode() or None

    def _warn_of_unknown(self) -> None:
        questions = self._questions()[: self._limit]
        unknown = sum(place is None for place in self._find(questions, range(len(questions))))
        if unknown and not self._warned:
            self._warned = True
            print(
                f"warning: {unknown} of {len(questions)} questions have not been searched: oracle and control answer "
                "them with the unmodified model",
                file=sys.stderr,
                flush=True,
            )

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        # A run of rk-cola before it knew questions again, or kept all valid paths: none is known
        for name in ("asked", "answers", "wrong", "valid_paths", "valid_of"):
            state.setdefault(prefix + name, getattr(self, name))
        super()._load_from_state_dict(state, prefix, *rest)
