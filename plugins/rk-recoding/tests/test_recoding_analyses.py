"""Garden paths, suites, pairs and the sweep: what is read, measured and refused."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
import torch
from rk_recoding import RK_EXEMPT, RK_TRIAL
from rk_recoding.garden_path import SECOND, WORDS, GardenPath, PeakSurprisal
from rk_recoding.nltk_text import NltkText
from rk_recoding.published import PAIRS, SUITES, published_pairs, published_suite
from rk_recoding.suites import holds, suite_of
from safetensors.torch import load_file

from rk import UserError
from rk.training import train_inside

RK_EXEMPTED = [name.partition(":")[2] for name in RK_EXEMPT]

RECIPE = """
    rk: 1
    model: {name: language-model, layer: lstm, d_model: 8, norm: none, residual: false}
    data: {name: garden-path, batch_size: 4, length: 24, val_examples: 4, test_examples: 8}
    loss: cross-entropy
    trainer: {name: backprop, optimizer: {name: adam, lr: 1e-2}}
    fit: {max_steps: 3, seed: 1, threads: 1}
"""
SUITE = {
    "meta": {"name": "mine", "metric": "sum"},
    "region_meta": {"1": "start", "2": "verb", "3": "end"},
    "predictions": [{"formula": "(2;%a%) > (2;%b%)"}, {"formula": "(*;%a%) > (2;%a%)"}],
    "items": [
        {
            "conditions": [
                {"condition_name": name, "regions": [
                    {"region_number": 1, "content": "The horse"},
                    {"region_number": 2, "content": verb},
                    {"region_number": 3, "content": ""},
                ]}
                for name, verb in (("a", "fell"), ("b", "galloped"))
            ]
        }
    ],
}  # fmt: skip


def numbers_of(folder, name):
    (path,) = folder.glob(f"**/{name}.csv")
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_sentences_have_a_second_verb_with_the_given_probability_and_its_place_is_marked():
    batch = GardenPath(seed=1, length=200, share=0.25, batch_size=64).batch("train", 0)
    second = torch.tensor([word in SECOND for word in WORDS])
    assert torch.equal(batch["peak"], second[batch["targets"]])
    sentences = (batch["targets"] == WORDS.index("<eos>")).sum()
    assert float(batch["peak"].sum() / sentences) == pytest.approx(0.25, abs=0.04)
    assert torch.equal(batch["tokens"][:, 1:], batch["targets"][:, :-1])


def test_a_reader_that_knows_the_grammar_has_the_ideal_surprisal_of_second_verbs():
    batch = GardenPath(seed=1, share=0.1).batch("test", 0)
    ideal = torch.full((*batch["targets"].shape, len(WORDS)), -math.inf)
    ideal[..., [i for i, word in enumerate(WORDS) if word in SECOND]] = math.log(0.1 / 6)
    ideal[..., WORDS.index(".")] = math.log(0.9)
    logits = torch.where(batch["peak"].unsqueeze(-1), ideal, 0.0)
    total, count = PeakSurprisal()(logits=logits, targets=batch["targets"], peak=batch["peak"])
    assert float(total / count) == pytest.approx(math.log(10) + math.log(6), rel=1e-5)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("(1;%a%) > (1;%b%)", True),
        ("[(1;%a%) < (1;%b%)] | [(2;%a%) = (2;%b%)]", True),
        ("[(1;%a%) - (1;%b%)] > [(*;%a%) + (2;%b%)]", False),
        ("[(1;%a%) > (1;%b%)] & [(2;%a%) < (2;%b%)]", False),
    ],
)
def test_predictions_are_judged_by_the_surprisals(formula, expected):
    values = {(1, "a"): 3.0, (1, "b"): 1.0, (2, "a"): 2.0, (2, "b"): 2.0}
    assert holds(formula, values) is expected


@pytest.mark.parametrize("formula", ["(1;%c%) > 2", "__import__('os')", "(1;%a%)(2)", "[(1;%a%) > ", "9**9**9 > 1"])
def test_a_prediction_of_another_form_is_refused(formula):
    with pytest.raises(UserError, match="prediction"):
        holds(formula, {(1, "a"): 1.0})


@pytest.mark.parametrize(
    "value", [[], {"items": []}, {**SUITE, "items": [{"conditions": [{}]}]}, {**SUITE, "items": []}]
)
def test_json_of_another_form_is_not_a_suite(value):
    with pytest.raises(UserError, match=r"mine\.json"):
        suite_of(value, "mine.json")


@pytest.mark.parametrize("name", SUITES)
def test_published_suites_are_read(name, have):
    suite = suite_of(have(published_suite, name), name)
    values = {(n, c): 1.0 for c, regions in suite.items[0].items() for n, _ in regions}
    assert all(holds(formula, values) is False for formula in suite.predictions)


def test_published_pairs_are_read(have):
    name = next(iter(PAIRS))
    assert len(have(published_pairs, name)) == 1000


@pytest.fixture
def have():
    def call(function, *arguments):
        try:
            return function(*arguments)
        except UserError as error:
            if "cannot be downloaded" not in error.message:
                raise
            pytest.skip(error.message[:200])

    return call


def test_a_corpus_of_nltk_is_text_by_words(published):
    data = published(NltkText(seed=1, corpus="sentence-polarity", vocab_limit=500, eval_length=32, eval_limit=4))
    batch = data.batch("train", 0)
    assert batch["tokens"].shape == (32, 64)
    assert data.vocab_size == 500


def test_the_sweep_measures_the_model_and_each_step(rk_folder):
    run = rk_folder.train(RECIPE)
    rk_folder.rk("analyze", "recoding-sweep", "--run", run.path, "--steps", "[0, 0.001]", "--runs-dir", "found")
    plain, zero, small = numbers_of(rk_folder.folder / "found", "recoding-sweep")
    assert float(zero["perplexity"]) == pytest.approx(float(plain["perplexity"]), rel=1e-5)
    assert float(zero["drop"]) == 0
    assert float(small["drop"]) > 0
    assert float(small["falls"]) == 1
    assert list((rk_folder.folder / "found").glob("**/recoding-sweep.png"))


def test_a_suite_and_pairs_of_a_user_are_measured_and_unknown_words_are_listed(rk_folder):
    run = rk_folder.train(RECIPE)
    Path("mine.json").write_text(json.dumps(SUITE))
    pairs = [{"sentence_good": "the horse fell .", "sentence_bad": "the horse fell fell fell fell ."}]
    Path("mine.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    rk_folder.rk("analyze", "region-surprisal", "--run", run.path, "--suite-file", "mine.json",
                 "--pairs-file", "mine.jsonl", "--runs-dir", "found")  # fmt: skip
    regions = numbers_of(rk_folder.folder / "found", "regions")
    assert [row["name"] for row in regions] == ["start", "verb", "end"] * 2
    assert float(regions[2]["plain"]) == 0
    assert [row["word"] for row in numbers_of(rk_folder.folder / "found", "unknown-words")] == ["galloped"]
    (judged,) = numbers_of(rk_folder.folder / "found", "pairs")
    assert float(judged["good plain"]) < float(judged["bad plain"])


def test_pairs_without_two_sentences_are_refused(rk_folder):
    run = rk_folder.train(RECIPE)
    Path("mine.json").write_text(json.dumps(SUITE))
    Path("mine.jsonl").write_text('{"sentence_good": "the horse fell ."}')
    with pytest.raises(UserError, match=r"mine.jsonl:1: expected sentence_good and sentence_bad"):
        rk_folder.rk("analyze", "region-surprisal", "--run", run.path, "--suite-file", "mine.json",
                     "--pairs-file", "mine.jsonl", "--runs-dir", "found")  # fmt: skip


def test_a_trained_model_is_recoded_without_training(rk_folder):
    plain = rk_folder.train(RECIPE)
    recoded = RECIPE.replace("model: {", "model: {name: recoded, step_size: 0.1, base: {").replace("false}", "false}}")
    recoded = recoded.replace("{name: backprop, optimizer: {name: adam, lr: 1e-2}}", "unchanged")
    run = rk_folder.train(recoded + f"    init_from: {{run: {plain.path}}}\n", runs="other")
    metrics = json.loads((run.path / "run.json").read_text())["metrics"]
    before = json.loads((plain.path / "run.json").read_text())["metrics"]
    assert metrics["test/perplexity"] != before["test/perplexity"]
    assert metrics["test/perplexity"] == pytest.approx(before["test/perplexity"], rel=0.05)


@pytest.mark.parametrize("recipe", RK_EXEMPTED)
def test_recipes_that_the_kit_leaves_out_learn_and_answer_in_small(recipe, tmp_path):
    small = (*RK_TRIAL[recipe], "fit.max_epochs=null", "fit.max_steps=2", "fit.validate_every=2")
    found = train_inside(f"recoding/{recipe}", small, name="small", within=tmp_path).metrics
    assert 1 < found["test/perplexity"] < 500  # 50 tokens, hardly trained
    assert found.get("test/signal-falls", 1) > 0.9


def test_training_with_recoding_only_for_answers_is_the_training_of_the_base_bit_for_bit(rk_folder):
    plain = rk_folder.train(RECIPE)
    recoded = RECIPE.replace("model: {", "model: {name: recoded, eval_only: true, base: {").replace("false}", "false}}")
    run = rk_folder.train(recoded, runs="other")
    one, other = (load_file(next(folder.path.glob("model.safetensors"))) for folder in (plain, run))
    assert {name.replace("base.", ""): other[name].tolist() for name in other} == {n: one[n].tolist() for n in one}
