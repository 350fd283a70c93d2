"""What a search has found, as a learner: programs. The frozen model is referred to, not kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from rk_lm.engine import Engine
from rk_lm.items import encode
from rk_lm.layered import Path, full_path
from rk_lm.load import LanguageModel
from rk_lm.questions import Question, VerdictOutputs
from torch import Tensor, nn

from rk import UserError
from rk.protocols import Batch
from rk_cola.evaluations import Evaluation, Target, targets

NO_LAYER = -1
"""What rows of layer numbers are padded with."""


class Programs(nn.Module):
    """The path of every question, and of the whole data set.

    `predict` answers with the unmodified model. The variants answer with what has been found, by running it again:
    ``oracle`` takes each question's own path, which was chosen by its answer; ``control`` does the same towards a wrong
    answer; ``fixed`` answers the held-out half with the one path that was best on the other half.

    Args:
        lm: The frozen model.
        wrong: The control's answers to given questions.
        chat: Whether prompts are put into the chat template.
    """

    lazy_buffers = ("digest", "paths", "control_paths", "fixed_path", "held_out")

    def __init__(self, lm: LanguageModel, wrong: Callable[[int], str | None], chat: bool = False) -> None:
        super().__init__()
        self._lm = (lm,)  # in a tuple it is no submodule: its weights are not copied into every checkpoint
        self._wrong = wrong
        self._chat = chat
        for name in ("paths", "control_paths"):
            self.register_buffer(name, torch.zeros(0, 0, dtype=torch.int16))
        self.register_buffer("fixed_path", torch.zeros(0, dtype=torch.int16))
        self.register_buffer("held_out", torch.zeros(0, dtype=torch.bool))
        self.register_buffer("digest", _bytes(lm.reference.digest))

    @property
    def lm(self) -> LanguageModel:
        """The frozen model. Raises `rk.UserError` when it is not the one that was searched."""
        lm = self._lm[0]
        if not torch.equal(self.digest.cpu(), _bytes(lm.reference.digest)):
            raise UserError(
                f"{lm.reference.asked} ({lm.reference.source}) has other weights than those that were searched",
                "the paths that were found are of no meaning for it",
            )
        return lm

    def predict(self, batch: Batch) -> VerdictOutputs:
        full, searched = full_path(self.lm.layered), len(self.paths)
        return self._answer(batch, lambda number: None if 0 < searched <= number else full)

    def variants(self) -> dict[str, Callable[[Batch], VerdictOutputs]]:
        """The ways to answer that have been found."""
        found: dict[str, Callable[[Batch], VerdictOutputs]] = {}
        if len(self.paths):
            found["oracle"] = lambda batch: self._answer(batch, lambda n: _row(self.paths, n))
            found["control"] = lambda batch: self._answer(batch, lambda n: _row(self.control_paths, n), control=True)
        if len(self.fixed_path):
            fixed = tuple(self.fixed_path.tolist())
            found["fixed"] = lambda batch: self._answer(batch, lambda n: fixed if self._is_held_out(n) else None)
        return found

    def keep(
        self,
        paths: Sequence[Path],
        control: Sequence[Path],
        fixed: Path | None,
        held_out: Sequence[bool],
    ) -> None:
        """Takes what has been found."""
        self.paths, self.control_paths = _rows(paths), _rows(control)
        self.fixed_path = torch.tensor(fixed or (), dtype=torch.int16)
        self.held_out = torch.tensor(held_out, dtype=torch.bool)

    def _is_held_out(self, number: int) -> bool:
        return 0 <= number < len(self.held_out) and bool(self.held_out[number])

    def _answer(self, batch: Batch, path_of: Callable[[int], Path | None], control: bool = False) -> VerdictOutputs:
        """Returns verdicts on the questions of `batch` for which there is a path."""
        questions: Sequence[Question] = batch["questions_meta"]
        numbers = batch["question"].tolist()
        chosen: list[tuple[int, Path, Target]] = []
        items = []
        for place, (number, question) in enumerate(zip(numbers, questions, strict=True)):
            path, wrong = path_of(number), self._wrong(number) if control else None
            if not path or (control and wrong is None):
                continue
            asked = question.continuations if question.options or wrong is None else (question.answer, wrong)
            item = encode(self.lm.tokenizer, question.prompt, asked, self._chat)
            target = targets(question, wrong, tuple(map(len, item.continuations)))[control]
            chosen.append((place, path, target))
            items.append(item)
        correct, was_asked = torch.zeros(len(questions)), torch.zeros(len(questions))
        if items:
            scores = Engine(self.lm.layered, items).score([(i, path) for i, (_, path, _) in enumerate(chosen)])
            for (place, _, target), found in zip(chosen, scores, strict=True):
                evaluation = Evaluation(tuple(found.greedy.tolist()), tuple(found.log_probs.tolist()))
                correct[place] = float(target.judge(evaluation).valid)
                was_asked[place] = 1.0
        return {"correct": correct, "asked": was_asked}


def _bytes(digest: str) -> Tensor:
    return torch.tensor([*bytes.fromhex(digest)], dtype=torch.uint8)


def _rows(paths: Sequence[Path]) -> Tensor:
    longest = max(map(len, paths), default=0)
    return torch.tensor([[*p, *[NO_LAYER] * (longest - len(p))] for p in paths], dtype=torch.int16)


def _row(paths: Tensor, number: int) -> Path | None:
    """Returns the path of a question; None for one that was not searched."""
    if not 0 <= number < len(paths):
        return None
    return tuple(layer for layer in paths[number].tolist() if layer != NO_LAYER)
