"""bAbI: stories, batches, the network that reads them, and a user's own text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rk_rrn.babi import BAbI
from rk_rrn.babi_files import CHECKSUMS, file_names
from rk_rrn.stories import parse_stories
from rk_rrn.text_model import TextRRN, distinct_rows

from rk import UserError
from rk.testing import assert_close

STORY = """1 Mary moved to the bathroom.
2 John went to the hallway.
3 Where is Mary? \tbathroom\t1
4 Mary went to the garden.
5 Where is Mary?\tgarden\t4
1 Daniel took the milk.
2 What is Daniel carrying?\tmilk\t1
"""


def test_questions_have_the_facts_before_them_in_their_story():
    first, second, third = parse_stories(STORY, 20)
    assert first.facts == (("mary", "moved", "to", "the", "bathroom"), ("john", "went", "to", "the", "hallway"))
    assert (first.question, first.answer, first.line) == (("where", "is", "mary"), "bathroom", 3)
    assert [len(question.facts) for question in (first, second, third)] == [2, 3, 1]


def test_of_a_long_story_the_last_facts_are_kept():
    assert parse_stories(STORY, 2)[1].facts[0] == ("john", "went", "to", "the", "hallway")


def test_plain_sentences_are_read_too():
    (question,) = parse_stories("Mary is here.\nWhere is Mary?\n", 20)
    assert question.answer is None and len(question.facts) == 1


def test_each_task_has_three_files_with_checksums():
    names = {name for task in range(1, 21) for name in file_names(task).values()}
    assert names == set(CHECKSUMS) and len(names) == 60


@pytest.fixture
def babi(published: Callable[[Any], Any]) -> BAbI:
    return published(BAbI(seed=1, tasks=[1, 15], batch_size=32, limit=40))


def test_a_batch_has_questions_of_all_tasks_at_random_places(babi: BAbI):
    batch = babi.batch("train", 0)
    assert batch["facts"].shape[:2] == batch["positions"].shape == batch["node_mask"].shape
    assert batch["positions"].max() < babi.max_positions and len(batch["positions"][:, 0].unique()) > 8
    steps = batch["positions"][:, 1:] - batch["positions"][:, :-1]
    assert (steps == 1).all()
    assert torch.equal((batch["facts"] > 0).any(2), batch["node_mask"])
    assert len(batch["targets"].unique()) > 6  # places of task 1, animals of task 15


def test_test_splits_have_one_task_and_places_from_0(babi: BAbI):
    assert babi.splits == ("train", "val", "test-qa1", "test-qa15")
    assert babi.batches("test-qa1") == 2 and babi.batches("val") == 3
    answers = {babi.labels[k] for i in range(2) for k in babi.batch("test-qa1", i)["targets"].tolist()}
    assert answers <= {"bathroom", "bedroom", "garden", "hallway", "kitchen", "office"}
    assert babi.batch("test-qa1", 0)["positions"][:, 0].tolist() == [0] * 32


def test_the_first_training_question_is_that_of_the_file(babi: BAbI):
    row = babi._parts["train"][0]
    words = ["", "?", *babi._words]
    sentence = [words[k] for k in babi._sentences[row.facts[0, 0]].tolist() if k]
    assert " ".join(sentence) == "mary moved to the bathroom" and babi.labels[row.targets[0]] == "bathroom"


def test_a_story_of_a_user_is_read_and_answered(babi: BAbI, tmp_path: Path):
    file = tmp_path / "story.txt"
    file.write_text("Mary went to the garden.\nBob slept.\nWhere is Mary?\n")
    batch = babi.read(file)
    assert batch["facts"].shape[:2] == (1, 2) and "targets" not in batch
    logits = torch.zeros(1, 3, babi.num_classes)
    logits[..., babi.labels.index("garden")] = 9.0
    (answer,) = babi.answers(batch, {"logits": logits[:, -1], "step_logits": logits})
    assert answer["answer"] == "garden" and answer["steps"] == ["garden"] * 3
    assert answer["unknown_words"] == ["bob", "slept"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("Mary is here.\n", "expected a question, got none"), ("Where is Mary?\n", ":1: expected a sentence before")],
)
def test_text_without_question_or_sentence_is_refused(text: str, message: str, tmp_path: Path):
    file = tmp_path / "story.txt"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        BAbI(seed=1).read(file)
    assert message in error.value.message


def test_a_run_answers_without_the_files(babi: BAbI, tmp_path: Path):
    other = BAbI(seed=1, tasks=[1, 15])
    other.load_state_dict(babi.state_dict())
    file = tmp_path / "story.txt"
    file.write_text("Mary went to the garden.\nWhere is Mary?\n")
    assert torch.equal(other.read(file)["facts"], babi.read(file)["facts"])
    assert (other.vocab_size, other.num_classes) == (babi.vocab_size, babi.num_classes)


@pytest.mark.parametrize("tasks", [[], [1, 1]])
def test_tasks_must_differ(tasks: list[int]):
    with pytest.raises(ValueError, match="different numbers"):
        BAbI(seed=1, tasks=tasks)


def test_padding_of_facts_and_words_changes_no_answer():
    torch.manual_seed(0)
    net = TextRRN(vocab_size=9, max_positions=6, num_classes=5, hidden_size=8, num_steps=2).eval()
    facts, query = torch.randint(1, 9, (1, 2, 3)), torch.randint(1, 9, (1, 4))
    mask, places = torch.ones(1, 2, dtype=torch.bool), torch.arange(2).unsqueeze(0)
    alone = net(facts=facts, positions=places, node_mask=mask, query=query)["logits"]
    pad = torch.nn.functional.pad
    padded = net(
        facts=pad(facts, (0, 2, 0, 1)), positions=torch.arange(3).unsqueeze(0), node_mask=pad(mask, (0, 1)),
        query=pad(query, (0, 3)),
    )["logits"]  # fmt: skip
    assert_close(padded, alone)


def test_the_question_changes_the_answer():
    torch.manual_seed(0)
    net = TextRRN(vocab_size=9, max_positions=6, num_classes=5, hidden_size=8, num_steps=2).eval()
    story = {"facts": torch.ones(1, 2, 3, dtype=torch.long), "positions": torch.tensor([[0, 1]])}
    mask = torch.ones(1, 2, dtype=torch.bool)
    one, two = (net(query=torch.tensor([[k]]), node_mask=mask, **story)["logits"] for k in (1, 2))
    assert not torch.allclose(one, two)


def test_readers_forget_little_at_the_start_so_that_the_first_word_reaches_the_end():
    torch.manual_seed(0)
    net = TextRRN(vocab_size=9, max_positions=6, num_classes=5, hidden_size=8, num_steps=2)
    for reader in (net.fact_reader, net.query_reader):
        assert reader.bias_ih_l0[32:64].tolist() == [1.0] * 32 and reader.bias_ih_l0.detach().sum() == 32
        assert not reader.bias_hh_l0.any()
        bound = (6 / (2 * 32 + 4 * 32)) ** 0.5  # Glorot over inputs, state and the four gates
        for weight in (reader.weight_ih_l0, reader.weight_hh_l0):
            assert 0.95 * bound < weight.detach().abs().max() <= bound


def test_distinct_rows_are_those_of_torch():
    torch.manual_seed(0)
    rows = torch.randint(0, 3, (60, 4))
    for found, wanted in zip(distinct_rows(rows, 3), rows.unique(dim=0, return_inverse=True), strict=True):
        assert torch.equal(found, wanted)
