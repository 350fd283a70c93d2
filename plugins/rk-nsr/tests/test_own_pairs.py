"""A user's own pairs are learned as SCAN is, and answers of the run are explained."""

import json

import pytest
from rk_nsr.own_pairs import SentencePairs

import rk
from rk import UserError

VERBS = {"walk": "W", "run": "R", "jump": "J"}


def _file(folder):
    """Writes all sentences of a verb, with or without `left` and `twice`, and pairs of these with `and`."""
    pairs = list(VERBS.items())
    pairs += [(f"{words} left", f"L {answer}") for words, answer in pairs]
    pairs += [(f"{words} twice", f"{answer} {answer}") for words, answer in pairs]
    both = [(f"{a} and {b}", f"{x} {y}") for a, x in pairs for b, y in pairs]
    path = folder / "pairs.tsv"
    path.write_text("".join(f"{words}\t{answer}\n" for words, answer in [("input", "output"), *pairs, *both]))
    return path


RECIPE = {
    "rk": 1,
    "model": {"name": "nsr", "dsl": "list-dsl"},
    "data": {"name": "sentence-pairs", "unary": ["left", "twice"], "binary": ["and"], "batch_size": 60},
    "trainer": {
        "name": "deduction-abduction",
        "optimizer": {"name": "adam", "lr": 5e-3},
        "turn_examples": 120,
        "stop_after": 1,
    },
    "fit": {"max_steps": 60, "seed": 1, "validate_every": 8, "threads": 1},
}


def test_a_users_own_language_is_learned_from_a_file_of_pairs(tmp_path, capsys):
    data = RECIPE["data"] | {"file": str(_file(tmp_path))}
    run = rk.train(RECIPE | {"data": data}, runs_dir=tmp_path / "runs")
    assert run.metrics["test/accuracy"] == 1
    path = tmp_path / "lines.txt"
    path.write_text("jump left and walk\n")
    capsys.readouterr()
    [row] = run.predict(path)
    assert json.loads(json.dumps(row))["answer"] == "L J W"
    assert row["tree"] == "(and (left jump) walk)"


def _pairs(tmp_path, **changes):
    data = SentencePairs(seed=0, file=_file(tmp_path), **({"unary": ("left", "twice"), "binary": ("and",)} | changes))
    data.prepare()
    return data


def test_words_have_the_arguments_that_are_given_and_are_all_seen_alone(tmp_path):
    data = _pairs(tmp_path)
    given = dict(zip(data.symbols, data.arities, strict=True))
    assert given == {"and": 2, "left": 1, "twice": 1, "walk": 0, "run": 0, "jump": 0}
    alone = {data.symbols[words[0]] for words, _, _ in data._parts["train"] if len(words) == 1}
    assert alone == set(VERBS)
    assert all(len(words) > 1 for split in ("val", "test") for words, _, _ in data._parts[split])


def test_words_without_a_place_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"'right' of data\.unary or data\.binary is in no sentence"):
        _pairs(tmp_path, unary=("right",))
    with pytest.raises(ValueError, match="'and' must be in one of unary and binary, got both"):
        _pairs(tmp_path, unary=("and",))
    short = tmp_path / "short.tsv"
    short.write_text("input\toutput\n" + "".join(f"w{i}\tA\n" for i in range(9)))
    with pytest.raises(UserError, match="too few sentences of several words"):
        SentencePairs(seed=0, file=short).prepare()
