"""What `rk predict` prints and writes, and JSON that is written for others to read."""

from __future__ import annotations

import csv
import json
import math

import pytest

from rk.cli.answers import print_answers, write_answers
from rk.jsontext import to_json


def strict(text: str):
    """Reads JSON as its standard defines it: without NaN and infinities."""

    def refused(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refused)


@pytest.mark.parametrize("indent", [None, 2])
def test_numbers_that_json_lacks_become_null_at_any_depth(indent):
    value = {"a": math.nan, "b": [1.5, -math.inf, {"c": (math.inf, "NaN")}], "d": True}
    expected = {"a": None, "b": [1.5, None, {"c": [None, "NaN"]}], "d": True}
    assert strict(to_json(value, indent=indent)) == expected


def test_half_of_a_character_is_escaped_and_all_else_stays_readable():
    assert to_json(["é"]) == '["é"]'
    assert json.loads(to_json(["é", "\ud83d"]).encode()) == ["é", "\ud83d"]


def test_answers_with_different_keys_have_all_columns(tmp_path, capsys):
    answers = [{"a": 0.5}, {"b": 2, "a": math.nan}]
    for name in ("a.json", "a.csv"):
        write_answers(answers, tmp_path / name)
    assert strict((tmp_path / "a.json").read_text()) == [{"a": 0.5}, {"b": 2, "a": None}]
    with open(tmp_path / "a.csv", newline="") as file:
        assert list(csv.DictReader(file)) == [{"a": "0.5", "b": ""}, {"a": "nan", "b": "2"}]
    print_answers(answers)
    said = capsys.readouterr()
    assert "b" in said.out and "2" in said.out
    assert said.err == "warning: a of answer 2 is not finite; written as null in JSON\n"


def test_finite_answers_are_printed_without_a_warning(capsys):
    print_answers([{"a": 0.5, "b": [1, 2.0], "c": None}])
    said = capsys.readouterr()
    assert said.out == "a  0.5\nb  1 2\nc  \n"
    assert said.err == ""
