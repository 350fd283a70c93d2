"""The data `labelled-text`: where texts and classes are, splits, tokens, a user's files, drafts; and `ngram-linear`."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest
import torch
from rk_sequence.corpora import LABELLED
from rk_sequence.labelled_text import LabelledText
from rk_sequence.ngram_linear import MODULUS, PRIME, NgramLinear

from rk import UserError

GOOD, BAD = "a fine, funny film", "a dull film"


def write_table(path: Path, count: int = 10, head: str = "text,label", extra: str = "") -> Path:
    lines = [f'"{(GOOD, BAD)[i % 2]} no. {i // 2}",{("good", "bad")[i % 2]}{extra}' for i in range(count)]
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return path


def write_folder(folder: Path, *classes: str, count: int = 5) -> Path:
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            (folder / name / f"{i}.txt").write_text(f"{name} text {i}")
    return folder


@pytest.fixture
def table(tmp_path):
    return write_table(tmp_path / "rows.csv")


def prepared(file: Path, **params) -> LabelledText:
    data = LabelledText(**({"file": file, "seed": 0, "min_count": 1} | params))
    data.prepare()
    return data


def texts(data: LabelledText, split: str) -> list[tuple[str, str]]:
    """Returns the tokens and the class of each text of a split."""
    batch = data.batch(split, 0)
    return [
        (" ".join(data._vocabulary.tokens[t] for t in row[kept].tolist()), data.classes[int(label)])
        for row, kept, label in zip(batch["tokens"], batch["mask"], batch["targets"], strict=True)
    ]


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "found"),
    [
        ("text,label", ("text", "label")),
        ("Review,Class", ("Review", "Class")),
        ("what they said,kind", ("what they said", "kind")),
        ("one,y", ("one", "y")),
    ],
)
def test_columns_are_found_by_name_or_by_what_they_hold(tmp_path, head, found):
    data = prepared(write_table(tmp_path / "rows.csv", head=head))
    assert (data.text, data.label) == found and data.classes == ("bad", "good")


def test_columns_may_be_named(tmp_path):
    path = write_table(tmp_path / "rows.csv", head="text,label,other", extra=",x")
    assert prepared(path, label="label").classes == ("bad", "good")
    with pytest.raises(UserError, match=r"rows\.csv: there is no column 'lable'") as error:
        prepared(path, label="lable")
    assert "text, label, other" in str(error.value.hint)


def test_the_same_texts_are_read_from_every_kind_of_file(tmp_path, table):
    rows = [line.rsplit(",", 1) for line in table.read_text().splitlines()[1:]]
    plain = [(text.strip('"'), label) for text, label in rows]
    (tmp_path / "rows.tsv").write_text("text\tlabel\n" + "".join(f"{t}\t{c}\n" for t, c in plain))
    objects = [{"text": t, "label": c} for t, c in plain]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(o) + "\n" for o in objects))
    (tmp_path / "rows.json").write_text(json.dumps(objects))
    expected = texts(prepared(table), "train")
    for ending in ("tsv", "jsonl", "json"):
        assert texts(prepared(tmp_path / f"rows.{ending}"), "train") == expected


def test_a_folder_has_a_folder_of_texts_for_each_class(tmp_path):
    data = prepared(write_folder(tmp_path / "mine", "neg", "pos"))
    assert data.classes == ("neg", "pos")
    assert all(text.startswith(label) for text, label in texts(data, "train"))
    for split in ("train", "test"):
        write_folder(tmp_path / "splits" / split, "neg", "pos", count=3)
    assert len(prepared(tmp_path / "splits")._parts["test"]) == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text,label\n,a\nx,b\n", r"rows.csv:2: column 'text': expected a text, got an empty cell"),
        ("text,label\nx,a\ny, \n", r"rows.csv:3: column 'label': expected a class, got an empty cell"),
        ("text,label\nx,a\ny,b,c\n", r"rows.csv:3: expected 2 cells, as in the first line, got 3"),
        ("text,text\nx,a\n", r"rows.csv:1: the column 'text' is there twice"),
        ("text,label\n", r"rows.csv: there is no example in the file"),
        ("text,label\nx,a\ny,a\n", r"rows.csv: expected at least two classes, got only the class 'a'"),
        ("text\nx\n", r"rows.csv: there is no column of classes"),
        ("text,label\nx,a\ny,b\n", r"2 examples are too few to train, validate and test"),
        ('text,label\n"x,a\n', r"rows.csv:2: a quote is opened and never closed"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path, text, message):
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        prepared(tmp_path / "rows.csv")


def test_json_lines_without_objects_are_named(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": "x", "label": "a"}\n["y", "b"]\n')
    with pytest.raises(UserError, match=r"rows\.jsonl:2: expected an object, got a list"):
        prepared(tmp_path / "rows.jsonl")
    (tmp_path / "rows.jsonl").write_text('{"text": "x", "label": "a"}\n{"text": ["y"], "label": "b"}\n')
    with pytest.raises(UserError, match=r"rows\.jsonl:2: column 'text': expected a text, got a list"):
        prepared(tmp_path / "rows.jsonl")


def test_all_files_of_a_folder_that_cannot_be_read_are_named_at_once(tmp_path):
    folder = write_folder(tmp_path / "mine", "neg", "pos")
    (folder / "neg" / "1.txt").write_bytes(b"caf\xe9")
    (folder / "pos" / "2.txt").write_text(" \n")
    with pytest.raises(UserError, match="2 texts cannot be read") as error:
        prepared(folder)
    assert "neg/1.txt:1: not a text file in UTF-8" in error.value.message and "pos/2.txt" in error.value.message
    write_folder(tmp_path / "mine", "none", count=0)
    with pytest.raises(UserError, match=r"none: no \.txt files"):
        prepared(folder)


# -- splits ------------------------------------------------------------------------------------------------------------


def test_every_class_keeps_training_examples_however_rare(tmp_path):
    rows = [f"text {i},often\n" for i in range(40)] + ["one,rare\n", "two,rare\n"]
    (tmp_path / "rows.csv").write_text("text,label\n" + "".join(rows))
    for limit in (None, 5):
        data = prepared(tmp_path / "rows.csv", val_fraction=0.4, test_fraction=0.4, train_limit=limit)
        assert {e.label for e in data._parts["train"]} == {"often", "rare"}


def test_splits_do_not_depend_on_the_seed_and_files_may_be_given_for_them(tmp_path, table):
    one, other = (prepared(table, seed=seed, batch_size=100) for seed in (1, 2))
    for split in ("val", "test"):
        assert texts(one, split) == texts(other, split)
    assert sorted(texts(one, "train")) == sorted(texts(other, "train"))
    tests = write_table(tmp_path / "tests.csv", count=4)
    data = prepared(table, test=tests)
    assert len(data._parts["test"]) == 4 and len(data._parts["train"]) == 9


def test_a_class_only_in_the_tests_is_named(tmp_path, table):
    (tmp_path / "tests.csv").write_text("text,label\nx,good\ny,odd\n")
    with pytest.raises(UserError, match=r"tests\.csv:3: the class 'odd' has no training examples"):
        prepared(table, test=tmp_path / "tests.csv")


def test_classes_that_are_numbers_are_in_their_order(tmp_path):
    rows = "".join(f"text {i},{n}\n" for i in range(3) for n in (10, 9, 1))
    (tmp_path / "rows.csv").write_text(f"text,stars\n{rows}")
    assert prepared(tmp_path / "rows.csv").labels == ("1", "9", "10")


# -- tokens ------------------------------------------------------------------------------------------------------------


def test_words_are_cut_from_marks_and_what_is_rare_is_unknown(tmp_path):
    (tmp_path / "rows.csv").write_text('text,label\n"Don\'t stop, please!",a\n' + "please stop,b\n" * 5)
    data = prepared(tmp_path / "rows.csv", min_count=2, val_fraction=0.1)
    assert data._tokens("Don't stop, please!") == ["don't", "stop", ",", "please", "!"]
    assert data._vocabulary.tokens == ["<unk>", "please", "stop"]
    assert prepared(tmp_path / "rows.csv", unit="char", lower=False)._tokens(" Ab ") == ["A", "b"]


def test_long_texts_are_cut_and_counted(tmp_path, table, capsys):
    data = prepared(table, max_length=3)
    assert data.batch("train", 0)["tokens"].shape[1] == 3
    assert "8 of 8 training texts have more than data.max_length 3 tokens" in capsys.readouterr().err


# -- a user's file -----------------------------------------------------------------------------------------------------


def test_a_run_answers_without_the_training_texts(table, tmp_path):
    before = prepared(table)
    after = LabelledText(file=table, seed=0)
    after.load_state_dict(before.state_dict())
    (tmp_path / "new.txt").write_text("A FUNNY zebra")
    batch = after.read(tmp_path / "new.txt")
    assert batch["tokens"].tolist() == [[before._vocabulary.tokens.index(t) for t in ("a", "funny", "<unk>")]]
    (answer,) = after.answers(batch, {"logits": torch.tensor([[0.0, math.log(3)]])})
    assert answer == {"class": "good", "probability": 0.75, "probabilities": {"bad": 0.25, "good": 0.75}}


def test_files_to_answer_need_no_labels(table, tmp_path):
    data = prepared(table)
    for name, content in (
        ("a.csv", "id,text\n1,fine\n2,dull film\n"),
        ("b.csv", "text\nfine\ndull, film\n"),
        ("c.jsonl", '{"text": "fine"}\n{"text": "dull film"}\n'),
        ("d.csv", "review\nfine\ndull film\n"),
    ):
        (tmp_path / name).write_text(content)
        assert data.read(tmp_path / name)["mask"].sum(1).tolist() == [1, 3 if name == "b.csv" else 2]
    (tmp_path / "e.csv").write_text("id,kind\n1,2\n")
    with pytest.raises(UserError, match=r"e\.csv: there is no column 'text'"):
        data.read(tmp_path / "e.csv")


def test_of_many_classes_the_likeliest_are_answered(tmp_path):
    rows = "".join(f"text {i},c{n:02}\n" for i in range(3) for n in range(12))
    (tmp_path / "rows.csv").write_text(f"text,label\n{rows}")
    data = prepared(tmp_path / "rows.csv")
    (answer,) = data.answers({}, {"logits": torch.arange(12.0).view(1, 12)})
    assert list(answer["probabilities"]) == ["c11", "c10", "c09", "c08", "c07"]


def test_a_run_answers_a_text_of_the_command_line(table, tmp_path, rk_folder):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "rk: 1\nmodel: {name: ngram-linear, buckets: 8}\nloss: cross-entropy\n"
        f"data: {{name: labelled-text, file: {table}, min_count: 1}}\n"
        "trainer: {name: backprop, optimizer: {name: adam, lr: 0.1}}\nfit: {max_steps: 30, seed: 1}\n"
    )
    run = rk_folder.train(recipe.read_text())
    table.unlink()
    assert rk_folder.rk("predict", run.path, "--text", "dull, dull film", "-o", "answer.json") == 0
    assert json.loads(Path("answer.json").read_text())[0]["class"] == "bad"


# -- drafts ------------------------------------------------------------------------------------------------------------


def test_a_table_with_a_column_of_texts_is_drafted(tmp_path):
    path = write_table(tmp_path / "rows.csv", count=12, head=["id and more", "text,label"][1])
    draft = LabelledText.draft(path, None)
    assert draft is not None and draft.confidence == 0.8
    assert draft.data == {"file": str(path), "text": "text", "label": "label"}
    assert list(draft.choices) == ["network", "linear"]


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n" + "1,2\n" * 9,
        "text,label\n" + "".join(f"a text of words,{i}\n" for i in range(9)),
        "name,label\n" + "Ann,x\nBob,y\n" * 5,
    ],
    ids=["numbers", "no classes", "single words"],
)
def test_other_tables_are_left_to_other_data(tmp_path, text):
    (tmp_path / "rows.csv").write_text(text)
    assert LabelledText.draft(tmp_path / "rows.csv", None) is None


def test_a_name_among_many_columns_is_hardly_a_text(tmp_path):
    rows = "".join(f"Ann Mary Smith {i},{i},{i % 7},{i % 2}\n" for i in range(20))
    (tmp_path / "rows.csv").write_text(f"name,age,room,survived\n{rows}")
    draft = LabelledText.draft(tmp_path / "rows.csv", None)
    assert draft is not None and draft.confidence == 0.3


def test_folders_of_texts_are_drafted_and_others_are_not(tmp_path):
    draft = LabelledText.draft(write_folder(tmp_path / "mine", "neg", "pos"), None)
    assert draft is not None and draft.data == {"file": str(tmp_path / "mine")}
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    assert LabelledText.draft(tmp_path / "photos", None) is None


def test_a_recipe_is_written_and_trains(tmp_path, rk_folder):
    path = write_table(tmp_path / "rows.csv", count=12)
    assert rk_folder.rk("recipes", "init", path, "--data", "labelled-text", "-o", "mine.yaml") == 0
    run = rk_folder.train("mine.yaml", "fit.max_steps=2", "model.d_model=8", "fit.validate_every=2")
    assert "test/accuracy" in run.read()["metrics"]


# -- published texts ---------------------------------------------------------------------------------------------------


def test_a_packed_copy_of_a_published_file_is_taken_when_its_content_is_right(tmp_path, monkeypatch):
    import gzip
    import hashlib

    source = LABELLED["banking77"]["test"]
    monkeypatch.setenv("RK_DATA", str(tmp_path))
    packed = tmp_path / f"{source.name}.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(b"text,category\nx,y\n"))
    with pytest.raises(UserError, match="is not the published file"):
        source.path()
    right = source._replace(
        checksum=f"sha256:{hashlib.sha256(b'text,category' + bytes([10]) + b'x,y' + bytes([10])).hexdigest()}"
    )
    assert right.path() == packed


# -- n-grams -----------------------------------------------------------------------------------------------------------


def test_scores_are_the_sum_over_the_n_grams_over_the_root_of_their_number():
    torch.manual_seed(0)
    model = NgramLinear(vocab_size=7, num_outputs=3, n=3, buckets=50)
    torch.nn.init.normal_(model.weights.weight)
    tokens = [3, 1, 4, 1]
    places = list(tokens)
    for a, b in itertools.pairwise(tokens):
        places.append(7 + (a * PRIME + b + 2) % MODULUS % 50)
    for a, b, c in zip(tokens, tokens[1:], tokens[2:], strict=False):
        places.append(7 + ((a * PRIME + b + 2) % MODULUS * PRIME + c + 3) % MODULUS % 50)
    expected = model.weights.weight[places].sum(0) / math.sqrt(9) + model.bias
    padded = torch.tensor([[*tokens, 0, 0], [2, 5, 0, 0, 0, 0]])
    found = model(tokens=padded, mask=torch.tensor([[True] * 4 + [False] * 2, [True] * 2 + [False] * 4]))["logits"]
    assert torch.allclose(found[0], expected, atol=1e-6)
    assert torch.allclose(found[1], model(tokens=torch.tensor([[2, 5]]))["logits"][0], atol=1e-6)


def test_the_order_of_a_pair_counts():
    model = NgramLinear(vocab_size=7, num_outputs=2)
    places = model.ngrams(torch.tensor([[1, 2], [2, 1]]), torch.ones(2, 2, dtype=torch.bool))[0]
    assert places[0, 2] != places[1, 2]
