"""`rk.reproduce`: the verdicts of `rk reproduce` as plain rows."""

from __future__ import annotations

import importlib

import pytest

import rk as kit
from rk.errors import UserError


@pytest.fixture
def claiming(recipe, folder):
    """A recipe with a claim that holds and one that does not."""
    claims = [{"metric": "test/accuracy", "at_least": 0.3}, {"metric": "test/loss", "at_most": 0.0}]
    (folder / "mine.yaml").write_text(str(recipe | {"expect": claims}).replace("'", '"'))
    return "mine.yaml"


def test_each_claim_has_a_row_with_its_verdict(claiming, folder, capsys):
    rows = kit.reproduce(claiming, seeds=2, progress=False)
    assert [(row["name"], row["verdict"]) for row in rows] == [("mine", "own bar only"), ("mine", "NOT REACHED")]
    assert rows[0]["seeds"] == "2" and capsys.readouterr().out == ""
    assert kit.reproduce([claiming], stored=True) == rows
    assert len([*(folder / "runs" / "mine").iterdir()]) == 2


def test_rows_are_those_of_the_command_line(claiming, rk_folder, capsys):
    import json

    rows = kit.reproduce(claiming, progress=False)
    assert rk_folder.rk("reproduce", claiming, "--stored", "--json") == 3
    assert json.loads(capsys.readouterr().out) == rows


def test_the_package_of_that_name_can_be_called(claiming):
    importlib.import_module("rk.reproduce.plan")
    assert callable(kit.reproduce) and kit.reproduce(claiming, progress=False)


def test_a_recipe_that_claims_nothing_is_refused(recipe, folder):
    (folder / "mine.yaml").write_text(str(recipe).replace("'", '"'))
    with pytest.raises(UserError, match=r"mine\.yaml: nothing is claimed") as raised:
        kit.reproduce("mine.yaml")
    assert raised.value.__notes__
