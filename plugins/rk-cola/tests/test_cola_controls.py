"""The controls, each compared with the method itself."""

import math
import random

import pytest
import torch
from rk_cola.controls import candidates, halves, majority, pass_at, ranked
from rk_cola.evaluations import Evaluation, Evaluations, Target
from rk_cola.mcts import Finding
from rk_cola.sample import PathSearch, Sample
from rk_cola.subject import LanguageSubject
from rk_lm.items import Item, encode
from rk_lm.layered import run_path
from rk_lm.load import load
from rk_lm.questions import Question

FULL, SHORT, LONG = (0, 1, 2), (0, 2), (0, 1, 1, 2)


def test_pass_at_n_is_what_sampling_finds():
    """The closed form against answers drawn token by token from the model itself."""
    lm = load("llama", random_init=True)
    prompt = "1+1="
    ids = lm.tokenizer(prompt).input_ids
    draw = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        first = lm.layered.model(torch.tensor([ids])).logits[0, -1].softmax(-1)
        likely = int(first.argmax())
        second = lm.layered.model(torch.tensor([[*ids, likely]])).logits[0, -1].softmax(-1)
    target = (likely, int(second.topk(2).indices[1]))
    item = Item(tuple(ids), (target,))
    logits = run_path(lm.layered, torch.tensor([[*ids, *target]]), tuple(range(8)))[0, len(ids) - 1 : -1]
    log_prob = logits.log_softmax(-1).gather(1, torch.tensor(target).unsqueeze(1)).sum().item()
    n, rounds = 5, 20_000
    a = torch.multinomial(first, n * rounds, replacement=True, generator=draw)
    b = torch.multinomial(second, n * rounds, replacement=True, generator=draw)  # read only where the first is right
    hits = ((a == target[0]) & (b == target[1])).view(rounds, n).any(1).float().mean().item()
    assert item.continuations == (target,)
    assert pass_at(n, Target(0), Evaluation((False,), (log_prob,))) == pytest.approx(hits, abs=0.012)


def test_pass_at_n_of_a_choice_draws_options_by_their_mean():
    target = Target(1, (1, 2))
    p = 1 / (1 + math.exp(1.0))
    assert pass_at(1, target, Evaluation((False, False), (-1.0, -4.0))) == pytest.approx(p)
    assert pass_at(3, target, Evaluation((False, False), (-1.0, -4.0))) == pytest.approx(1 - (1 - p) ** 3)


@pytest.mark.parametrize(("log_prob", "expected"), [(-800.0, 0.0), (0.0, 1.0), (-1e-9, 1.0)])
def test_pass_at_n_is_stable_at_its_ends(log_prob, expected):
    assert pass_at(200, Target(0), Evaluation((True,), (log_prob,))) == pytest.approx(expected, abs=1e-6)


def sample(number: int, findings: dict, level: str = "") -> Sample:
    path_search = PathSearch(Target(0), method=None)
    path_search.paths, path_search.findings = list(findings), [Finding(valid, 0.0) for valid in findings.values()]
    return Sample(number, Question("?", "x", level=level), path_search, None)


def test_every_second_question_of_a_level_is_held_out():
    samples = [sample(i, {FULL: True}, level) for i, level in enumerate("aabab")]
    assert halves(samples) == [False, True, False, False, True]


def test_candidates_come_from_the_first_half_the_most_useful_first():
    samples = [
        sample(0, {FULL: False, SHORT: True, LONG: True}),
        sample(1, {FULL: True, (0,): True}),
        sample(2, {FULL: False, LONG: True}),
    ]
    found = candidates(samples, [False, True, False], most=5)
    assert found == [FULL, LONG, SHORT], "the full path always, and nothing that only the held-out half knows"
    assert candidates(samples, [False, True, False], most=2) == [FULL, LONG]


def table(verdicts: dict[tuple, list[bool]]) -> Evaluations:
    found = Evaluations()
    for path, column in verdicts.items():
        for number, right in enumerate(column):
            found.of[number][path] = Evaluation((right,), (0.0,))
    return found


def test_paths_are_ranked_by_what_they_answer_and_then_by_length():
    samples = [sample(i, {FULL: True}) for i in range(3)]
    known = table({FULL: [True, True, False], SHORT: [True, False, True], LONG: [True, True, True]})
    assert ranked([FULL, SHORT, LONG], samples, known) == [LONG, SHORT, FULL]


class Asked:
    """Data of given questions."""

    def __init__(self, *questions):
        self.questions = list(questions)

    def questions_of(self, split):
        return self.questions


def voted(subject: LanguageSubject, paths: list, known: Evaluations) -> bool:
    *_, (verdict,) = majority(paths, lambda path: subject.answers(path, [0], known), [subject.right(0)])
    return verdict


def test_the_majority_of_generated_answers_counts():
    lm = load("llama", random_init=True)
    paths = [tuple(range(8)), (0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 3, 4, 5, 6, 7, 7)]
    for prompt in ("a", "12+3=", "xyz"):
        ids = lm.tokenizer(prompt).input_ids
        with torch.inference_mode():
            answers = [int(run_path(lm.layered, torch.tensor([ids]), p)[0, -1].argmax()) for p in paths]
        winner = max(answers, key=lambda a: (answers.count(a), -answers.index(a)))
        for gold in {*answers, (winner + 1) % 200}:
            subject = LanguageSubject(lm, Asked(Question(prompt, "-")), 0, chat=False)
            subject.prepare(1)
            subject._items = [Item(tuple(ids), ((gold,),))]
            assert voted(subject, paths, Evaluations()) == (gold == winner)


def test_the_majority_of_choices_counts():
    draw = random.Random(0)
    subject = LanguageSubject(
        load("llama", random_init=True), Asked(Question("?", " b", (" a", " b", " c"))), 0, chat=False
    )
    subject.prepare(1)
    known = Evaluations()
    for path, best in ((FULL, 1), (SHORT, 0), (LONG, 1)):
        logs = [-30.0 - draw.random() for _ in range(3)]
        logs[best] = -1.0
        known.of[0][path] = Evaluation((False,) * 3, tuple(logs))
    assert voted(subject, [FULL, SHORT, LONG], known)
    assert not voted(subject, [SHORT, FULL], known), "of a tie, the better path's answer"


def test_a_prompt_is_put_into_the_chat_template_when_asked(tmp_path):
    lm = load("llama", random_init=True)
    lm.tokenizer.chat_template = "{% for m in messages %}[{{ m.content }}]{% endfor %}>"
    item = encode(lm.tokenizer, "hi", ["x"], chat=True)
    assert lm.tokenizer.decode(item.prompt) == "[hi]>"
