"""`rk predict` on large files and many of them: in pieces, as the answers come, and what Ctrl-C leaves."""

import csv
import json
import os
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import rk.cli.predict
from rk import UserError
from rk.builtin.digits import Digits
from rk.cli import cli
from rk.cli.answers import AnswerFile
from rk.errors import ExitCode
from rk.fit.loaded import LoadedRun
from rk.fit.pieces import divided
from rk.writing import Replacement

ROW = ",".join(["0", "8", "16", "4"] * 16)


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    """A run that answers rows of 64 numbers."""
    folder = tmp_path_factory.mktemp("digits")
    recipe = folder / "digits.yaml"
    recipe.write_text(
        "rk: 1\nmodel: {name: mlp, hidden_sizes: [8]}\ndata: digits\nloss: cross-entropy\n"
        "trainer: {name: backprop, optimizer: {name: adam, lr: 1e-3}}\nfit: {max_steps: 2, seed: 1, threads: 1}\n"
    )
    done = CliRunner().invoke(cli, ["train", str(recipe), "--runs-dir", str(folder / "runs")])
    assert done.exit_code == 0, done.output
    return next((folder / "runs" / "digits").iterdir())


@pytest.fixture
def predict(digits_run, tmp_path, monkeypatch):
    """Runs `rk predict` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, ["predict", str(digits_run), *arguments], standalone_mode=False)


# -- pieces ------------------------------------------------------------------------------------------------------------


def batch_of(rows):
    return {"inputs": torch.arange(rows * 64.0).view(rows, 8, 8), "names_meta": [str(i) for i in range(rows)]}


def test_pieces_are_the_whole_batch_in_order():
    pieces = list(divided(Digits(seed=0), batch_of(10), 4))
    assert [len(piece["inputs"]) for piece in pieces] == [4, 4, 2]
    assert torch.equal(torch.cat([piece["inputs"] for piece in pieces]), batch_of(10)["inputs"])
    assert [name for piece in pieces for name in piece["names_meta"]] == batch_of(10)["names_meta"]


def test_a_batch_that_fits_or_cannot_be_divided_stays_whole():
    data = Digits(seed=0)
    graphs = {"x": torch.zeros(10, 2), "edge_index": torch.zeros(2, 10)}
    for batch, most in ((batch_of(4), 4), (batch_of(9), None), (graphs, 4)):
        (piece,) = divided(data, batch, most)
        assert piece is batch


def test_a_file_in_pieces_is_answered_as_at_once(predict, monkeypatch):
    Path("rows.csv").write_text("".join(f"{(i % 17)},{ROW[2:]}\n" for i in range(50)))
    for name in ("whole.json", "pieces.json"):
        assert predict("rows.csv", "-o", name).exit_code == 0
        monkeypatch.setattr(rk.cli.predict, "PIECE", 7)
    whole, pieces = (json.loads(Path(name).read_text()) for name in ("whole.json", "pieces.json"))
    assert len(pieces) == 50 and [a["class"] for a in pieces] == [a["class"] for a in whole]
    for one, other in zip(whole, pieces, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=2e-4)


def test_memory_holds_the_outputs_of_one_piece(digits_run, tmp_path):
    (tmp_path / "rows.csv").write_text(f"{ROW}\n" * 100)
    loaded = LoadedRun.open(digits_run)
    parts = [(len(batch["inputs"]), len(rows)) for batch, _, rows in loaded.answer_pieces(tmp_path / "rows.csv", 30)]
    assert parts == [(30, 30), (30, 30), (30, 30), (10, 10)]
    assert len(loaded.predict(tmp_path / "rows.csv")[2]) == 100


def test_of_many_answers_that_a_file_has_the_first_are_printed(predict, monkeypatch):
    monkeypatch.setattr(rk.cli.predict, "MOST_SHOWN", 3)
    Path("rows.csv").write_text(f"{ROW}\n" * 5)
    assert "... and 2 more answers in all.csv" in predict("rows.csv", "-o", "all.csv").output
    assert "more answers" not in predict("rows.csv").output


# -- files of answers --------------------------------------------------------------------------------------------------


def test_json_lines_have_an_answer_each(predict):
    Path("rows.csv").write_text(f"{ROW}\n" * 3)
    assert predict("rows.csv", "-o", "a.jsonl", "-o", "a.json").exit_code == 0
    lines = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]
    assert lines == json.loads(Path("a.json").read_text()) and len(lines) == 3


@pytest.mark.parametrize("ending", [".json", ".jsonl", ".csv"])
def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    path.write_text("old")
    file = AnswerFile.of(path)
    file.add([{"a": 1}, {"b": "x, y"}])
    assert path.read_text() == "old"
    file.drop()
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    file = AnswerFile.of(path)
    file.add([{"a": 1}])
    file.add([{"b": 'say "x", y', "c": "two\nlines"}])
    file.close()
    assert list(tmp_path.iterdir()) == [path]
    if ending == ".csv":
        with open(path, newline="") as found:
            assert list(csv.reader(found)) == [["a", "b", "c"], ["1", "", ""], ["", 'say "x", y', "two\nlines"]]


def test_json_in_pieces_is_the_json_of_all(tmp_path):
    answers = [{"a": [1, {"b": "x\ny"}], "c": None}, {"a": []}]
    for path, parts in ((tmp_path / "one.json", [answers]), (tmp_path / "two.json", [answers[:1], answers[1:]])):
        file = AnswerFile.of(path)
        for part in parts:
            file.add(part)
        file.close()
        assert path.read_text() == json.dumps(answers, indent=2) + "\n"
    empty = AnswerFile.of(tmp_path / "none.json")
    empty.close()
    assert json.loads((tmp_path / "none.json").read_text()) == []


def test_a_link_keeps_pointing_to_the_file_that_is_replaced(tmp_path):
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    file = AnswerFile.of(tmp_path / "link.csv")
    file.add([{"a": 1}])
    file.close()
    assert (tmp_path / "link.csv").is_symlink() and (tmp_path / "real.csv").read_bytes() == b"a\r\n1\r\n"


def test_a_full_disk_is_one_message_and_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("old")
    file = AnswerFile.of(tmp_path / "a.csv")
    file.add([{"a": 1}])
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UserError, match=r"cannot write .*a\.csv: No space left"):
        file.close()
    assert (tmp_path / "a.csv").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_a_replacement_that_is_dropped_leaves_nothing(tmp_path):
    new = Replacement(tmp_path / "a.txt")
    new.write("half")
    new.drop()
    assert not list(tmp_path.iterdir())


# -- many files --------------------------------------------------------------------------------------------------------


def test_ctrl_c_keeps_what_is_answered(predict, monkeypatch):
    for name in "abc":
        Path(f"{name}.csv").write_text(f"{ROW}\n")
    read = Digits.read

    def interrupted(self, path):
        if path.name == "c.csv":
            raise KeyboardInterrupt
        return read(self, path)

    monkeypatch.setattr(Digits, "read", interrupted)
    done = predict("a.csv", "b.csv", "c.csv", "-o", "all.csv", "-o", "all.jsonl")
    assert done.exit_code
    with open("all.csv", newline="") as found:
        assert [row["file"] for row in csv.DictReader(found)] == ["a.csv", "b.csv"]
    assert len(Path("all.jsonl").read_text().splitlines()) == 2


def test_ctrl_c_before_the_first_answer_leaves_the_old_file(predict, monkeypatch):
    Path("a.csv").write_text(f"{ROW}\n")
    Path("all.csv").write_text("old")

    def interrupted(self, path):
        raise KeyboardInterrupt

    monkeypatch.setattr(Digits, "read", interrupted)
    assert predict("a.csv", "-o", "all.csv").exit_code
    assert Path("all.csv").read_text() == "old" and sorted(os.listdir()) == ["a.csv", "all.csv"]


def test_a_broken_file_costs_the_others_nothing(predict):
    for name, text in (("a", ROW), ("b", "1,2"), ("c", ROW)):
        Path(f"{name}.csv").write_text(f"{text}\n")
    done = predict("a.csv", "b.csv", "c.csv", "-o", "all.jsonl")
    assert done.return_value == ExitCode.USER_ERROR and "b.csv:1: expected 64 numbers, got 2" in done.output
    assert [json.loads(line)["file"] for line in Path("all.jsonl").read_text().splitlines()] == ["a.csv", "c.csv"]


def test_a_figure_that_cannot_be_drawn_costs_no_answers(predict):
    Path("a.csv").write_text(f"{ROW}\n")
    done = predict("a.csv", "-o", "a.json", "-o", "a.svg")
    assert isinstance(done.exception, UserError) and "images are drawn as .png or .pdf" in str(done.exception)
    assert len(json.loads(Path("a.json").read_text())) == 1


def test_progress_is_shown_on_a_terminal_alone(monkeypatch, capsys):
    from rk.fit import progress

    for terminal in (False, True):
        monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal)
        with progress.Counter("files", 4) as counter:
            counter._started -= 2
            counter.show(1, 30)
        said = capsys.readouterr().err
        assert ("1/4 files, 30 answers, 0:02 elapsed, 0:06 left" in said) is terminal
