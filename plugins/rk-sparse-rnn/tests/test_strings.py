"""Labelled strings: read-out, buckets, look-ups, the thesis's Reber files, and a file of strings."""

from __future__ import annotations

import pytest
import torch
from rk_sparse_rnn.lookup import NgramLookup
from rk_sparse_rnn.strings import LabelledStrings

from rk import UserError


def naive_lookup(strings, labels, n, asked):
    """Goes string by string and n-gram by n-gram."""
    seen = {
        c: {s[i : i + n] for s, t in zip(strings, labels, strict=True) if t == c for i in range(len(s) - n + 1)}
        for c in set(labels)
    }
    order = sorted(seen, key=lambda c: len(seen[c]))
    return [
        next((c for c in order if all(s[i : i + n] in seen[c] for i in range(len(s) - n + 1))), order[-1])
        for s in asked
    ]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "strings.csv"
    rows = [("ab" * (1 + i % 5), 1) if i % 2 else ("ba" * (1 + i % 4) + "c", 0) for i in range(60)]
    path.write_text("string,label\n" + "".join(f"{s},{t}\n" for s, t in rows))
    return path


def prepared(file, **changes):
    data = LabelledStrings(file=file, seed=0, **{"batch_size": 4, **changes})
    data.prepare()
    return data


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_look_up_is_its_naive_twin(n):
    random = torch.Generator().manual_seed(n)

    def strings(count):
        lengths = torch.randint(n, 7, (count,), generator=random).tolist()
        return ["".join("abc"[int(k)] for k in torch.randint(3, (length,), generator=random)) for length in lengths]

    def padded(texts):
        rows = [torch.tensor(["_abc".index(c) for c in text]) for text in texts]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)

    known, labels = strings(6), [0, 1] * 3
    by_class = [padded([s for s, t in zip(known, labels, strict=True) if t == c]) for c in (0, 1)]
    asked = strings(50)
    found = NgramLookup.of(n, 4, by_class).classify(padded(asked))
    assert found.tolist() == naive_lookup(known, labels, n, asked)
    assert n == 1 or 0 < found.float().mean() < 1


def test_look_ups_of_the_published_strings_score_what_was_measured_on_them(published):
    data = published(LabelledStrings(corpus="reber", seed=0, val_fraction=0.001))
    metrics = data.metrics
    shares = {name: [0, 0] for name in ("bigram", "trigram")}
    for i in range(data.batches("test")):
        batch = data.batch("test", i)
        for name, share in shares.items():
            hits, count = metrics[name](tokens=batch["tokens"], targets=batch["targets"])
            share[0], share[1] = share[0] + int(hits), share[1] + count
    assert shares["bigram"][1] == 6250
    assert {name: hits / count for name, (hits, count) in shares.items()} == pytest.approx(
        {"bigram": 0.9368, "trigram": 1.0}, abs=1e-4
    )


def test_batches_of_an_epoch_have_every_string_once_with_others_of_its_length(file):
    data = prepared(file)
    count = data.batches("train")
    epochs = [[data.batch("train", i)["mask"].sum(1) for i in range(e * count, (e + 1) * count)] for e in (0, 1)]
    for lengths in epochs:
        assert sorted(torch.cat(lengths).tolist()) == sorted(len(e.content) for e in data._parts["train"])
        assert sum(int(one.max() - one.min()) for one in lengths) <= len(lengths) * 3
    assert [one.tolist() for one in epochs[0]] != [one.tolist() for one in epochs[1]]
    again = prepared(file)
    assert torch.equal(again.batch("train", count + 2)["tokens"], data.batch("train", count + 2)["tokens"])


def test_with_the_padded_read_out_there_is_no_mask(file):
    batch = prepared(file, padded=True).batch("test", 0)
    assert "mask" not in batch
    assert (batch["tokens"] == 0).any()


def test_a_run_answers_strings_of_a_text_file_without_the_training_strings(file, tmp_path):
    data = prepared(file)
    other = LabelledStrings(file=file, seed=0)
    other.load_state_dict(data.state_dict())
    path = tmp_path / "asked.txt"
    path.write_text("abab\n\nbac\n")
    assert torch.equal(other.read(path)["tokens"], data.read(path)["tokens"])
    assert other.read(path)["mask"].sum(1).tolist() == [4, 3]
    batch = data.batch("test", 0)
    given = {"tokens": batch["tokens"], "targets": batch["targets"]}
    assert other.metrics["bigram"](**given)[0] == data.metrics["bigram"](**given)[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("string,label\nab,1\nba,1\n", "expected at least two classes"),
        ("string,label\nab,1\n,0\n", "expected a string, got an empty cell"),
        ("string,label\nab,1,2\n", "expected 2 cells"),
    ],
)
def test_a_damaged_file_is_one_message(tmp_path, text, message):
    path = tmp_path / "strings.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        prepared(path)


def test_a_column_that_is_missing_is_named(file):
    with pytest.raises(UserError, match="there is no column 'text'") as error:
        prepared(file, string="text")
    assert error.value.hint == "data.string: string, label"
