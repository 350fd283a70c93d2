"""`rk recipes init` on tables: what is guessed, what is left out and why, and that the recipe trains."""

from __future__ import annotations

import pytest
from rk_tabular.tables import TableClasses, TableNumbers

from rk import UserError


@pytest.fixture
def draft(tmp_path):
    """Writes a table, and returns what both data propose: for a class, and for a number."""

    def write_and_draft(rows, target=None, name="my.csv"):
        path = tmp_path / name
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
        return TableClasses.draft(path, target), TableNumbers.draft(path, target)

    return write_and_draft


def person(i):
    age = "" if i % 9 == 0 else 20 + i % 50
    return f"{i},{age},{'ABC'[i % 3]},2020-01-{1 + i % 28:02d},wrote {i} long free words,{'pf'[i % 2]},1"


PEOPLE = ["id,age,town,joined,note,plan,fixed", *(person(i) for i in range(80))]


def test_the_target_is_the_last_column_that_can_be_one(draft):
    classes, numbers = draft(PEOPLE)
    assert classes.data["target"] == "plan" and numbers is None
    assert classes.comments["data.target"] == "the last column that can be predicted; a class, for it holds words: f, p"
    assert classes.about == "the class plan (2 classes) from 1 number and 1 category and 1 date, 80 rows"


def test_what_is_left_out_is_named_with_its_reason(draft):
    classes, _ = draft(PEOPLE)
    assert classes.data["leave_out"] == ["id", "note", "fixed"]
    why = classes.comments["data.leave_out"]
    assert why == "id: a number for each row; note: free text, 80 different in 80 rows; fixed: the same in each row"
    assert classes.notes[0] == "gaps: age 9; a gap is an input of its own"
    assert any("data.time_column=joined" in note for note in classes.notes)


@pytest.mark.parametrize(
    ("column", "kind", "reason"),
    [
        ([i % 3 for i in range(60)], "class", "a class, for it holds 3 different whole numbers: 0, 1, 2"),
        ([i % 2 + 0.0 for i in range(60)], "class", "a class, for it holds 2 different whole numbers"),
        (["yes", "no"] * 30, "class", "a class, for it holds words: no, yes"),
        ([i / 7 for i in range(60)], "number", "a number, for it has 60 different values"),
        (list(range(60)), "number", "a number, for it has 60 different values"),
        ([i % 30 for i in range(60)], "number", "a number, for it has 30 different values"),
    ],
)
def test_a_class_or_a_number(draft, column, kind, reason):
    rows = ["x,what", *(f"{i * 1.5},{cell}" for i, cell in enumerate(column))]
    classes, numbers = draft(rows)
    found = max((d for d in (classes, numbers) if d), key=lambda d: d.confidence)
    assert found is (classes if kind == "class" else numbers)
    assert reason in found.comments["data.target"]


def test_few_whole_numbers_may_be_asked_for_as_a_number_too(draft):
    classes, numbers = draft(["x,stars", *(f"{i * 1.5},{i % 5}" for i in range(60))])
    assert classes.confidence > numbers.confidence > 0
    assert numbers.comments["data.target"] == "the last column; taken as a number"


def test_a_usual_name_wins_and_a_given_one_above_all(draft):
    rows = ["Label,x,z", *(f"{'ab'[i % 2]},{i * 1.5},{i % 2}" for i in range(60))]
    assert draft(rows)[0].data["target"] == "Label"
    assert draft(rows, target="z")[0].data["target"] == "z"
    assert draft(rows, target="3")[0].data["target"] == "z"
    with pytest.raises(UserError, match="there is no column 'Labels'"):
        draft(rows, target="Labels")
    with pytest.raises(UserError, match="'d' is a date"):
        draft(["d,x", *(f"2020-01-0{1 + i % 9},{i * 1.5}" for i in range(60))], target="d")


def test_copies_mixed_columns_and_a_copy_of_the_target_are_named(draft):
    rows = [
        "x,mixed,copy,y",
        *(f"{i % 40}.5,{'?!' if i == 7 else i * 2},{i % 2},{i % 2}" for i in range(80)),
        "1.5,2,1,1",
    ]
    classes, _ = draft([*rows, rows[-1]])
    why = classes.comments["data.leave_out"]
    assert "my.csv:9: column 'mixed' holds '?!' where the others are numbers" in why
    assert "copy: the same as the target, y" in why
    assert "3 rows have an exact copy" in " ".join(classes.notes)


def test_a_table_of_nothing_to_predict_is_refused(draft):
    with pytest.raises(UserError, match="no column can be predicted: each is constant, empty or free text"):
        draft(["a,b", *("1,same" for _ in range(20))])
    with pytest.raises(UserError, match="no column is left to predict 'y' from"):
        draft(["x,y", *(f"1,{i % 2}" for i in range(20))])


def test_nested_json_lines_and_tables_of_texts_are_left_to_other_data(draft):
    assert draft(["text,label", *(f"{i} is a text of some words,{'ab'[i % 2]}" for i in range(60))]) == (None, None)
    assert draft(['{"messages": [{"role": "user"}]}'], name="my.jsonl") == (None, None)


@pytest.mark.parametrize("choice", ["mlp", "linear", "boosted-trees"])
def test_the_recipe_trains_and_answers_in_two_commands(rk_folder, tmp_path, choice, capsys):
    if choice == "boosted-trees":
        pytest.importorskip("lightgbm")
    (tmp_path / "my.csv").write_text("\n".join(PEOPLE) + "\n")
    assert rk_folder.rk("recipes", "init", "my.csv", "--model", choice) == 0
    run = rk_folder.train(
        "my.yaml", *([] if choice == "boosted-trees" else ["fit.max_steps=3", "fit.validate_every=3"])
    )
    assert rk_folder.rk("predict", run.path, "my.csv", "-o", "answers.csv") == 0
    head, *answers = (tmp_path / "answers.csv").read_text().splitlines()
    assert head.startswith("row,class,probability") and len(answers) == 80


def test_a_file_without_names_gets_a_recipe_by_place(rk_folder, tmp_path):
    (tmp_path / "my.tsv").write_text("".join(f"{i % 9}.5\t{i % 4}.25\t{'ab'[i % 2]}\n" for i in range(60)))
    assert rk_folder.rk("recipes", "init", "my.tsv", "--model", "linear") == 0
    assert "header: false" in (tmp_path / "my.yaml").read_text()
    assert rk_folder.train("my.yaml", "fit.max_steps=2", "fit.validate_every=2").read()["metrics"]["test/accuracy"] >= 0
