"""The data `text`: streams, windows, vocabularies, and a user's own files."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from rk_sequence.corpora import CORPORA, Source
from rk_sequence.text import BitsPerByte, Perplexity, Text
from rk_sequence.vocabulary import Vocabulary, join_tokens, split_text

from rk import UserError

LINES = "".join(f"line {i} of the text\n" for i in range(200))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text(LINES, encoding="utf-8")
    return path


@pytest.fixture
def text(file):
    """Returns a function that makes and prepares a text."""

    def make(**settings) -> Text:
        data = Text(seed=1, path=file, **({"length": 8, "batch_size": 3, "eval_length": 16} | settings))
        data.prepare()
        return data

    return make


def test_targets_are_the_next_tokens(text):
    data = text()
    for split in data.splits:
        batch = data.batch(split, 0)
        assert torch.equal(batch["tokens"][:, 1:], batch["targets"][:, :-1])


def test_a_row_continues_where_it_ended_until_the_end_of_the_epoch(text):
    data = text()
    pieces = data.batches("train")
    for i in range(2 * pieces - 1):
        batch, following = data.batch("train", i), data.batch("train", i + 1)
        anew = i + 1 == pieces
        assert following["starts_meta"].tolist() == [anew] * 3
        if not anew:
            assert torch.equal(batch["targets"][:, -1], following["tokens"][:, 0])
    assert data.batch("train", 0)["starts_meta"].all()


def test_an_epoch_goes_once_through_the_text_except_for_a_remainder(text):
    data = text()
    streams = torch.cat([data.batch("train", i)["tokens"] for i in range(data.batches("train"))], 1)
    read = data._vocabulary.decode(streams.flatten().tolist())
    assert read in LINES
    assert len(LINES) * 0.9 - len(read) < 3 * 8 + 2


def test_each_epoch_begins_elsewhere(text):
    data = text(train_limit=1000, batch_size=8, length=15)  # 960 of 999: 40 places to begin
    first = [data.batch("train", epoch * data.batches("train"))["tokens"] for epoch in range(4)]
    assert len({row.numpy().tobytes() for row in first}) > 1


def test_held_out_text_is_the_end_and_is_read_once(text):
    data = text(held_out=0.1)
    read = [
        data._vocabulary.decode(
            torch.cat([data.batch(s, i)["tokens"] for i in range(data.batches(s))]).flatten().tolist()
        )
        for s in ("val", "test")
    ]
    size = round(0.1 * len(LINES))
    assert LINES[-2 * size : -size].startswith(read[0])
    assert LINES[-size:].startswith(read[1])
    assert all(size - len(part) <= 16 for part in read)


def test_words_are_what_white_space_separates_and_lines_end():
    assert split_text("two  words\n\nmore", "word") == ["two", "words", "<eos>", "<eos>", "more", "<eos>"]
    assert join_tokens(["two", "words", "<eos>", "more"], "word") == "two words\nmore"


def test_a_line_of_words_ends_at_a_line_feed_alone():
    assert split_text("one\u2028two\x85three\nfour\n", "word") == ["one", "two", "three", "<eos>", "four", "<eos>"]


@pytest.mark.parametrize(
    "text", ["a b\nc\n", "\na b\n\n\nc\n", "a\n \nb\n"], ids=["lines", "blank lines", "white lines"]
)
def test_lines_of_words_come_back(text):
    assert join_tokens(split_text(text, "word"), "word") == text.replace(" \n", "\n")


def test_characters_come_back_as_they_were():
    tokens = split_text(LINES, "char")
    vocabulary = Vocabulary.of(tokens, "char", None)
    assert vocabulary.decode(vocabulary.encode(tokens).tolist()) == LINES


def test_bytes_come_back_and_are_all_known():
    given = "naïve – \n" + LINES
    tokens = split_text(given, "byte")
    assert len(tokens) == len(given.encode())
    vocabulary = Vocabulary.of(tokens, "byte", None)
    assert (len(vocabulary), vocabulary.decode(vocabulary.encode(tokens).tolist())) == (257, given)
    assert join_tokens(tokens[:3], "byte") == "na\ufffd"  # half of a character


def test_a_limited_vocabulary_has_the_most_frequent_tokens():
    vocabulary = Vocabulary.of(["a", "b", "b", "c", "c", "c", "<unk>"], "word", 3)
    assert vocabulary.tokens == ["<unk>", "c", "b"]
    assert vocabulary.encode(["a", "b", "<unk>"]).tolist() == [0, 2, 0]


def test_the_vocabulary_is_that_of_the_training_text(text):
    data = text(train_limit=100)
    assert set(data._vocabulary.tokens[1:]) == set(LINES[:100])
    assert data.vocab_size == data.num_outputs == len(set(LINES[:100])) + 1


def test_a_stored_vocabulary_reads_prompts_without_the_text(text, tmp_path):
    trained, loaded = text(), Text(seed=1, path=tmp_path / "gone.txt")
    loaded.load_state_dict(trained.state_dict())
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("line 7", encoding="utf-8")
    batch = loaded.read(prompt)
    assert torch.equal(batch["tokens"], trained.read(prompt)["tokens"])
    assert loaded._vocabulary.decode(batch["tokens"][0].tolist()) == "line 7"


def test_an_unfinished_line_is_continued(text, tmp_path):
    data, prompt = text(unit="word"), tmp_path / "prompt.txt"
    for written, expected in (("line of", ["line", "of"]), ("line of\n", ["line", "of", "<eos>"])):
        prompt.write_text(written, encoding="utf-8")
        assert [data._vocabulary.tokens[i] for i in data.read(prompt)["tokens"][0]] == expected


def test_bits_per_byte_are_the_mean_loss_in_bits_and_measure_bytes_alone(text):
    assert "bits-per-byte" in text(unit="byte").metrics
    assert "bits-per-byte" not in text().metrics
    metric = BitsPerByte()
    metric.update(logits=torch.zeros(2, 3, 8), targets=torch.tensor([[1, 2, 3], [4, -100, -100]]))
    assert metric.compute() == pytest.approx(3)


def test_perplexity_is_the_exponential_of_the_mean_loss():
    logits, targets = torch.randn(2, 5, 7), torch.randint(7, (2, 5))
    targets[0, :2] = -100
    whole, parts = Perplexity(), (Perplexity(), Perplexity())
    whole.update(logits=logits, targets=targets)
    for part, row in zip(parts, range(2), strict=True):
        part.update(logits=logits[row : row + 1], targets=targets[row : row + 1])
    parts[0].merge(parts[1])
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).exp()
    assert whole.compute() == pytest.approx(float(expected), rel=1e-6)
    assert parts[0].compute() == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"batch_size": 4000}, "4000 streams of 8 need"), ({"eval_length": 5000}, "a window of 5000 needs one more")],
)
def test_a_text_that_is_too_short_is_refused(text, settings, message):
    with pytest.raises(UserError, match=message):
        text(**settings)


def test_a_file_that_is_not_text_is_refused(text, tmp_path):
    picture, empty, data = tmp_path / "picture.png", tmp_path / "empty.txt", text()
    picture.write_bytes(b"\x89PNG\xff\xfe")
    empty.write_text("")
    latin = tmp_path / "latin.txt"
    latin.write_bytes("line 1\nça va\n".encode("latin-1"))
    for path, message in (
        (picture, "it looks like a PNG image"),
        (latin, "latin.txt:2: not a text file in UTF-8: found the byte 0xe7"),
        (empty, "is empty"),
        (tmp_path / "no.txt", "No such file"),
    ):
        with pytest.raises(UserError, match=message):
            data.read(path)


def test_a_published_text_is_taken_only_as_it_was_published(tmp_path, monkeypatch):
    monkeypatch.setenv("RK_DATA", str(tmp_path))
    (tmp_path / "a.txt").write_text("published")
    checksum = f"sha256:{hashlib.sha256(b'published').hexdigest()}"
    monkeypatch.setitem(CORPORA, "tiny-shakespeare", (Source("a.txt", "https://nowhere.invalid/a.txt", checksum), None))
    assert CORPORA["tiny-shakespeare"][0].read() == "published"
    (tmp_path / "a.txt").write_text("another")
    with pytest.raises(UserError, match="not the published file"):
        Text(seed=1).prepare()


def test_a_corpus_with_a_separate_held_out_text_is_not_split(tmp_path, monkeypatch):
    monkeypatch.setenv("RK_DATA", str(tmp_path))
    sources = []
    for name, content in (("train.txt", "abcdefgh" * 10), ("valid.txt", "hgfedcba" * 8)):
        (tmp_path / name).write_text(content)
        sources.append(Source(name, "", f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"))
    monkeypatch.setitem(CORPORA, "wikitext-2", tuple(sources))
    data = Text(seed=1, corpus="wikitext-2", length=79, batch_size=1, eval_length=31)
    data.prepare()
    assert data._vocabulary.decode(data.batch("train", 0)["tokens"][0].tolist()) == ("abcdefgh" * 10)[:79]
    assert data._vocabulary.decode(data.batch("val", 0)["tokens"][0].tolist()) == ("hgfedcba" * 8)[:31]
    assert data._vocabulary.decode(data.batch("test", 0)["tokens"][0].tolist()) == ("hgfedcba" * 8)[32:63]


def encode_plainly(content: bytes, steps: dict) -> list[int]:
    """Follows the table of docs/contract.md."""
    text = content.decode(steps["encoding"])
    tokens = list(text)
    if steps["unit"] == "byte":
        tokens = [chr(byte) for byte in content]
    if steps["unit"] == "word":
        tokens = [word for line in text.split("\n") for word in (*line.split(), steps["line"])][:-1]
    numbers = {token: i for i, token in enumerate(steps["vocabulary"])}
    return [numbers.get(token, steps["unknown"]) for token in tokens]


@pytest.mark.parametrize("settings", [{}, {"unit": "byte"}, {"unit": "word"}, {"unit": "word", "vocab_limit": 5}])
@pytest.mark.parametrize("content", ["line 3 of", "the \u00e9 text\nline", "of the text\n"])
def test_the_stated_steps_turn_a_file_into_tokens(text, tmp_path, settings, content):
    data = text(**settings)
    again = Text(seed=1, **({"unit": settings["unit"]} if "unit" in settings else {}))
    again.load_state_dict(data.state_dict())  # as a run that is loaded: nothing was prepared
    path = tmp_path / "more.txt"
    path.write_text(content, encoding="utf-8")
    steps = json.loads(json.dumps(again.preprocessing()))
    assert encode_plainly(path.read_bytes(), steps) == data.read(path)["tokens"][0].tolist()
