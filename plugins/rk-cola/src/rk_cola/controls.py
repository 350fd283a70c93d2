"""Controls for an oracle's accuracy: guessing as often, and methods that need no answer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from rk_lm.layered import Path

from rk_cola.evaluations import Evaluation, Evaluations, Target
from rk_cola.sample import Sample

Request = tuple[int, Path]


@dataclass
class Controls:
    """The results of the controls on a held-out half.

    Attributes:
        held_out: Whether each question belongs to the half that is only answered.
        fixed: The path that is best on the other half.
        fixed_correct: Its verdict on each held-out question.
        vote: The paths that vote.
        vote_correct: The verdict of the majority on each held-out question.
    """

    held_out: list[bool]
    fixed: Path
    fixed_correct: dict[int, bool]
    vote: list[Path]
    vote_correct: dict[int, bool]


def pass_at(n: int, target: Target, base: Evaluation) -> float:
    """Returns the probability that at least one of `n` independent samples hits the target.

    The samples are drawn from the unmodified model at temperature 1: the probability p of one hit is that of the
    target's tokens, known from one forward pass, and 1 - (1 - p)^n is exactly what sampling estimates. A multiple
    choice is not sampled: an option is drawn from the softmax of the options' log-probabilities per token.
    """
    if target.lengths is None:
        p = math.exp(base.log_probs[target.number])
    else:
        means = base.mean_log_probs(target.lengths)
        top = max(means)
        p = math.exp(means[target.number] - top) / sum(math.exp(mean - top) for mean in means)
    return -math.expm1(n * math.log1p(-min(p, 1 - 1e-12)))


def halves(samples: Sequence[Sample]) -> list[bool]:
    """Returns for each sample whether it is held out: every second one of its level."""
    seen: Counter[str] = Counter()
    found = []
    for sample in samples:
        found.append(seen[sample.question.level] % 2 == 1)
        seen[sample.question.level] += 1
    return found


def candidates(samples: Sequence[Sample], held_out: Sequence[bool], most: int) -> list[Path]:
    """Returns paths that answered a question of the first half right: those of most questions, then the shorter ones.

    The full path is always among them.
    """
    known = [s for s, out in zip(samples, held_out, strict=True) if not out]
    votes = Counter(path for sample in known for path in sample.search.valid)
    ordered = sorted(votes, key=lambda p: (-votes[p], len(p), p))
    full = samples[0].search.paths[0]
    return [full, *[path for path in ordered if path != full][: most - 1]]


def ranked(paths: Sequence[Path], samples: Sequence[Sample], evaluations: Evaluations) -> list[Path]:
    """Returns `paths`, those that answer most of `samples` first; among equals, the shorter ones."""
    right = {p: sum(s.judge(evaluations.of[s.number][p]) for s in samples) for p in paths}
    return sorted(paths, key=lambda p: (-right[p], len(p), p))


def missing(paths: Sequence[Path], samples: Sequence[Sample], evaluations: Evaluations) -> list[Request]:
    """Returns what has to be evaluated before all `paths` can be judged on all `samples`."""
    return [(s.number, p) for s in samples for p in paths if p not in evaluations.of[s.number]]


def majority(
    paths: Sequence[Path], answers: Callable[[Path], Sequence[Hashable]], right: Sequence[Hashable]
) -> Iterator[list[bool] | None]:
    """Yields None after each path that has answered, at last whether each question's most frequent answer is right.

    Of equally frequent answers that of the better path counts.

    Args:
        paths: The paths that vote, the best one first.
        answers: Returns the answers to all questions along a path.
        right: The right ones.
    """
    found: list[list[Hashable]] = [[] for _ in right]
    for path in paths:
        for votes, answer in zip(found, answers(path), strict=True):
            votes.append(answer)
        yield None
    yield [Counter(votes).most_common(1)[0][0] == answer for votes, answer in zip(found, right, strict=True)]
