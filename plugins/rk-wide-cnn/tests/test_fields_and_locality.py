"""Gaussian fields, the spectra of runs, and the search for locality."""

from __future__ import annotations

import csv

import pytest
import torch
import yaml
from rk_kernels.hierarchical_kernel import HierarchicalKernel
from rk_wide_cnn.field import MultisphereField
from rk_wide_cnn.theory import learning_exponent

from rk.errors import UserError
from rk.runs import RunFolder


def field(seed=0, **settings):
    data = MultisphereField(seed, **settings)
    data.prepare()
    return data


def test_patches_of_the_inputs_are_unit_and_their_moments_those_of_a_sphere():
    inputs = field(size=6, patch_size=3, teacher=(3, 2), train_examples=1500).batch("train", 0)["inputs"]
    patches = inputs.view(-1, 3)
    torch.testing.assert_close(patches.norm(dim=1), torch.ones(len(patches)))
    torch.testing.assert_close(patches.T @ patches / len(patches), torch.eye(3) / 3, atol=0.03, rtol=0)


def test_more_training_rows_keep_the_tests_and_the_first_rows():
    few, many = field(train_examples=20), field(train_examples=50)
    for name in ("inputs", "targets"):
        assert torch.equal(few.batch("test", 0)[name], many.batch("test", 0)[name])
        assert torch.equal(few._rows["train"][name == "targets"], many._rows["train"][name == "targets"][:20])


def test_fields_have_the_covariance_of_the_teacher():
    data = field(teacher=(2, 2), train_examples=5, test_examples=5, num_fields=20000)
    batch = data.batch("test", 0)
    found = batch["targets"] @ batch["targets"].T / 20000
    torch.testing.assert_close(found.double(), HierarchicalKernel((2, 2), 8)(batch["inputs"]), atol=0.15, rtol=0)


def test_noise_is_in_the_training_targets_alone():
    plain, noisy = field(train_examples=400), field(train_examples=400, noise=0.5)
    assert torch.equal(plain._rows["test"][1], noisy._rows["test"][1])
    assert float((plain._rows["train"][1] - noisy._rows["train"][1]).std()) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("settings", "message"), [({"patch_size": 3}, "patch_size"), ({"teacher": (3,)}, "divide")])
def test_patches_and_teachers_must_divide_the_inputs(settings, message):
    with pytest.raises(ValueError, match=message):
        MultisphereField(0, size=8, **settings)


@pytest.mark.parametrize("name", ["local", "local-shallow", "middle", "whole"])
def test_recipes_name_the_exponent_of_the_theory(rk_folder, name):
    recipe = yaml.safe_load((rk_folder.train(f"wide-cnn/{name}", *SMALL).path / "recipe.yaml").read_text())
    teacher, student = recipe["data"]["teacher"], recipe["search"]["kernel"]["filter_sizes"]
    assert recipe["search"]["expected"] == pytest.approx(learning_exponent(student, teacher), abs=1e-4)


SMALL = ("data.train_examples=32", "data.test_examples=32", "search.sizes=[16,32]")


def test_the_spectrum_of_a_run_is_beside_the_theory(rk_folder):
    run = rk_folder.train("wide-cnn/local-shallow", "data.train_examples=400", "search.sizes=[100,400]").path
    assert rk_folder.rk("analyze", "spectrum", "--runs", f"[{run}]", "--first", "40", "--runs-dir", "looks") == 0
    look = next(RunFolder.all(rk_folder.folder / "looks"))
    numbers = look.read()["metrics"]
    assert numbers["local-shallow/theory"] == 2
    assert numbers["local-shallow/decay"] == pytest.approx(2, abs=0.4)
    assert (look.figures / "spectrum.png").stat().st_size > 5000
    with pytest.raises(UserError, match="two ranks at least"):
        rk_folder.rk("analyze", "spectrum", "--runs", f"[{run}]", "--first", "100")


def test_the_search_finds_the_filters_of_a_teacher_and_answers_with_them(rk_folder):
    run = rk_folder.train("wide-cnn/locality-field", "data.train_examples=120", "search.limit=120", "search.depth=2")
    metrics = run.read()["metrics"]
    assert metrics["run/over-full"] > 0.03 < metrics["run/over-shuffled"]
    with (run.path / "locality.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["filters"] == "2x4"
    assert {row["filters"] for row in rows} >= {"full", "2", "4x4", "8x2"}
    assert rk_folder.rk("eval", run.path, "--split", "test") == 0  # the hierarchy is read back with the weights


def test_a_user_names_the_candidates(rk_folder):
    chosen = ("search.limit=60", "search.candidates=[[0,1],[2,4],[4,2]]")
    run = rk_folder.train("wide-cnn/locality-digits", *chosen)
    assert len((run.path / "locality.csv").read_text().splitlines()) == 4
    assert run.read()["metrics"]["test/accuracy"] > 0.6
    for wrong in ("[[3]]", "[[2,0]]"):
        with pytest.raises(UserError, match=r"search.candidates: filter_sizes must divide images of 8 x 8"):
            rk_folder.rk("train", "wide-cnn/locality-digits", f"search.candidates={wrong}")
