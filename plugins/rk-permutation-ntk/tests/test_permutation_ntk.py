"""Permutations from basis vectors: the closed forms against general kernels, the draws against the closed forms."""

from __future__ import annotations

import math
from itertools import permutations
from pathlib import Path

import pytest
import torch
from rk_kernels.linalg import kernel_regression
from rk_kernels.mlp_kernel import MLPKernel
from rk_permutation_ntk.analysis import PermutationAnalysis, of_networks
from rk_permutation_ntk.data import Permutation, unit
from rk_permutation_ntk.limit import drawn
from rk_permutation_ntk.members import Theory, measured
from rk_permutation_ntk.metrics import BitAccuracy, EnsembleMatch, ExactBits, LimitAgreement
from rk_permutation_ntk.theory import exact_match, limit, members_for_all, members_needed

from rk import UserError

PAPER = [  # bits, ones, mean-1, mean-0, deviation, members for 90%, in the parametrisation of the tangent kernel
    (5, 2, 0.56063, -0.01464, 0.11504, 205),
    (10, 3, 0.42156, -0.02155, 0.09564, 93),
    (20, 2, 0.56932, -0.00595, 0.05678, 579),
    (30, 15, 0.12759, -0.04505, 0.07659, 18),
]


def whole(**settings):
    data = Permutation(seed=3, **settings)
    data.prepare()
    return data


@pytest.mark.parametrize("kind", ["ntk", "standard"])
@pytest.mark.parametrize("bits", [2, 5, 8])
def test_the_closed_form_is_that_of_general_kernels(bits, kind):
    data = whole(bits=bits, ones="all")
    train, test = data.batch("train", 0), data.batch("test", 0)
    found = of_networks(train["inputs"], train["targets"], test["inputs"], kind)
    kernel = MLPKernel(depth=1, kind="ntk" if kind == "ntk" else "nngp", w_std=1.0, b_std=0.0, learned=False)
    coefficients = kernel_regression(kernel(train["inputs"]), train["targets"].double())
    regressed = kernel(test["inputs"], train["inputs"]) @ coefficients
    for row, mean, own, variance in zip(
        test["targets"], found.mean, regressed, found.covariance.diagonal(), strict=True
    ):
        theory = limit(bits, int((row > 0).sum()), kind)
        expected = torch.where(row > 0, theory.mean_1, theory.mean_0).double()
        torch.testing.assert_close(mean, expected, atol=1e-7, rtol=0)
        torch.testing.assert_close(own, expected, atol=1e-7, rtol=0)
        assert float(variance) == pytest.approx(theory.variance, abs=1e-7)


@pytest.mark.parametrize(("bits", "ones", "mean_1", "mean_0", "std", "members"), PAPER)
def test_the_limit_has_the_numbers_that_were_worked_out_by_hand(bits, ones, mean_1, mean_0, std, members):
    found = limit(bits, ones)
    assert (found.mean_1, found.mean_0) == pytest.approx((mean_1, mean_0), abs=1e-5)
    assert math.sqrt(found.variance) == pytest.approx(std, abs=1e-5)
    assert members_needed(bits, ones) == members


def test_signs_are_right_on_average_for_every_input():
    for bits in range(2, 20):
        assert limit(bits, 1).mean_1 == pytest.approx(1)
        assert limit(bits, 1).variance == pytest.approx(0, abs=1e-12)
        for ones in range(2, bits + 1):
            found = limit(bits, ones)
            assert found.mean_1 > 0 > found.mean_0


def test_fewer_members_than_needed_are_too_few():
    needed = members_needed(12, 2, 0.99)
    assert exact_match(12, 2, needed) >= 0.99 > exact_match(12, 2, needed - 1)
    assert members_for_all(12, 0.99) > needed


def test_the_probability_of_exact_signs_is_that_of_draws():
    data = whole(bits=5)
    train, test = data.batch("train", 0), data.batch("test-2", 0)
    found = of_networks(train["inputs"], train["targets"], test["inputs"], "ntk")
    members = drawn(found, 64 * 1000, torch.Generator().manual_seed(0))
    right, count = EnsembleMatch(64)(member_values=members, targets=test["targets"])
    assert count == 10 * 1000
    assert float(right) / count == pytest.approx(exact_match(5, 2, 64), abs=0.03)


def test_draws_are_joint_over_the_batch():
    data = whole(bits=4)
    train, test = data.batch("train", 0), data.batch("test-2", 0)
    found = of_networks(train["inputs"], train["targets"], test["inputs"], "standard")
    members = drawn(found, 20_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(members.mean(1), found.mean, atol=4e-3, rtol=0)
    for output in range(4):
        torch.testing.assert_close(torch.cov(members[..., output]), found.covariance, atol=1e-3, rtol=0)


def test_members_answer_training_inputs_as_they_were_trained():
    train = whole(bits=6).batch("train", 0)
    for kind in ("ntk", "standard"):
        found = of_networks(train["inputs"], train["targets"], train["inputs"], kind)
        members = drawn(found, 3, torch.Generator().manual_seed(0))
        torch.testing.assert_close(members, train["targets"].double().unsqueeze(1).expand(6, 3, 6), atol=1e-6, rtol=0)


def test_training_is_on_the_basis_vectors_alone():
    data = whole(bits=4, permutation=(2, 0, 3, 1))
    batch = data.batch("train", 7)
    assert torch.equal(batch["inputs"], torch.eye(4))
    assert batch["targets"].argmax(1).tolist() == [2, 0, 3, 1]


def test_every_vector_is_tested_once():
    batch = whole(bits=6, ones="all").batch("test", 0)
    rows = {tuple(row) for row in (batch["inputs"] > 0).tolist()}
    assert len(rows) == len(batch["inputs"]) == 2**6 - 1
    torch.testing.assert_close(batch["inputs"].norm(dim=1), torch.ones(63))


def test_vectors_that_are_too_many_are_drawn():
    data = whole(bits=12, ones=(2, 6), num_tests=100, batch_size=30)
    assert len(data.batch("test-2", 0)["inputs"]) == 30
    assert [data.batches(split) for split in data.splits] == [1, 3, 4]  # 66 vectors have two ones, 924 have six
    assert ((data.batch("test-6", 3)["inputs"] > 0).sum(1) == 6).all()
    uniform = whole(bits=3, ones="uniform", num_tests=500).batch("test", 0)["inputs"] > 0
    assert uniform.any(1).all()
    assert len(uniform.unique(dim=0)) == 7


def test_the_permutation_depends_on_the_seed():
    found = {tuple(Permutation(seed, 3)._places.tolist()) for seed in range(60)}
    assert found == set(permutations(range(3)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"permutation": (0, 0, 1, 2, 3)}, "each of 0 to 4 once"),
        ({"ones": (2, 6)}, "up to bits, which is 5"),
        ({"ones": ()}, "different numbers"),
        ({"bits": 15, "ones": "all"}, "must be <= 14"),
    ],
)
def test_data_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Permutation(0, **settings)


def test_lines_of_bits_are_read_and_answered(tmp_path):
    data, path = whole(bits=4, permutation=(1, 2, 3, 0)), tmp_path / "vectors.txt"
    path.write_text("0110\n\n1000\n")
    batch = data.read(path)
    torch.testing.assert_close(batch["inputs"], unit(torch.tensor([[0, 1, 1, 0], [1, 0, 0, 0]])))
    answers = data.answers(batch, {"values": data._permuted(batch["inputs"]) - 0.1})
    assert [answer["bits"] for answer in answers] == ["0011", "0100"]
    assert answers[1]["margin"] == pytest.approx(0.1)


@pytest.mark.parametrize("text", ["", "011\n", "0120\n", "0000\n"])
def test_lines_that_are_not_such_vectors_are_refused(tmp_path, text):
    path = tmp_path / "vectors.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=r"must be 4 bits|is empty"):
        whole(bits=4).read(path)


def test_a_zero_within_rounding_is_a_zero():
    values, targets = torch.tensor([[0.6, 1e-6], [0.4, 0.2]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert float(ExactBits()(values=values, targets=targets)[0]) == 1
    assert float(BitAccuracy()(values=values, targets=targets)[0]) == 3
    assert float(BitAccuracy(0.5)(values=values, targets=targets)[0]) == 3
    assert float(ExactBits(0.5)(values=values, targets=targets)[0]) == 1


def agreement(statistic, members, **settings):
    data = whole(bits=6, ones=(2, 3))
    train = data.batch("train", 0)
    random = torch.Generator().manual_seed(1)
    metrics = [LimitAgreement(statistic, **settings) for _ in range(2)]
    for metric, split in zip(metrics, ("test-3", "test-2"), strict=True):
        batch = data.batch(split, 0)
        found = of_networks(train["inputs"], train["targets"], batch["inputs"], "ntk")
        metric.update(member_values=drawn(found, members, random), **batch)
    metrics[0].merge(metrics[1])
    return metrics[0].compute()


def test_members_of_the_limit_agree_with_it_and_others_do_not():
    assert agreement("error-1", 500) < 3.5
    assert agreement("error-0", 500) < 3.5
    assert agreement("std-ratio", 500) == pytest.approx(1, abs=0.05)
    assert agreement("mean-1", 500, ones=3) == pytest.approx(limit(6, 3).mean_1, abs=0.02)
    assert agreement("error-1", 500, parametrization="standard") > 5


def test_metrics_of_members_ask_for_an_ensemble():
    targets = torch.eye(3)
    with pytest.raises(UserError, match="does not answer with those of members"):
        EnsembleMatch(2)(targets=targets)
    with pytest.raises(UserError, match="must be <= 4, those of the ensemble, got 5"):
        EnsembleMatch(5)(targets=targets, member_values=torch.zeros(3, 4, 3))


def test_members_decide_as_normal_theory_says():
    torch.manual_seed(0)
    gaps = 0.15 + torch.randn(400, 512, 3) + torch.randn(400, 512, 1)
    theory = Theory(gaps)
    for members in (1, 16, 64):
        assert measured(gaps, members) == pytest.approx(theory.share(members, whole=512), abs=0.02)
    assert theory.share(64) < theory.share(64, whole=512)
    one = gaps.clone()
    one[:, :, 1:] = 0
    assert Theory(one).share(64) > theory.share(64)
    assert measured(one, 64) > measured(gaps, 64)


def test_independent_decisions_are_right_with_the_product_of_their_probabilities():
    gaps = 0.2 + torch.randn(200, 512, 4, generator=torch.Generator().manual_seed(0))
    product = torch.special.ndtr(gaps.mean(1) * 4 / gaps.std(1)).prod(1).mean()
    assert Theory(gaps).share(16) == pytest.approx(float(product), abs=0.02)


@pytest.mark.parametrize(("kind", "least", "most"), [("ntk", 60, 400), ("standard", 8, 60)])
def test_the_experiment_stops_near_the_formula(kind, least, most):
    stops = [PermutationAnalysis((5,))._stop(5, kind, seed) for seed in range(5)]
    assert least < sum(stops) / 5 < most


def test_bits_without_that_many_ones_are_refused():
    with pytest.raises(ValueError, match="at least 4"):
        PermutationAnalysis((3, 8), ones=4)


RECIPE = """
rk: 1
data: {name: permutation, bits: 4, ones: uniform, num_tests: 20}
trainer:
  name: limiting-ensemble
  nngp: {name: mlp-kernel, depth: 3, activation: erf}
  tangent: {name: rbf-kernel, length: 2.0}
  num_members: 8
fit: {seed: 1, threads: 1}
"""


def test_the_limit_is_drawn_for_any_kernels(rk_folder):
    metrics = rk_folder.train(RECIPE).read()["metrics"]
    assert metrics["test/bit-accuracy"] > 0.5


CLASSES = """
rk: 1
model: {name: ensemble, base: {name: mlp, hidden_sizes: [16]}, num_members: 16}
data: digits
loss: {name: per-member, base: cross-entropy}
trainer: {name: backprop, optimizer: {name: sgd, lr: 0.5}}
fit: {max_steps: 60, seed: 1, threads: 1}
"""


def test_members_are_counted_for_any_classifier(rk_folder):
    run = rk_folder.train(CLASSES)
    assert rk_folder.rk("analyze", "members-needed", "--run", run.path) == 0
    table = next(Path("runs/members-needed").glob("*/figures/members-needed.csv")).read_text().splitlines()
    shares = [[float(cell) for cell in line.split(",")] for line in table[1:]]
    assert [row[0] for row in shares] == [1, 2, 3, 4, 6, 8]
    assert shares[0][3] < shares[-1][3] <= 1
    assert all(abs(row[2] - row[3]) < 0.15 for row in shares)
