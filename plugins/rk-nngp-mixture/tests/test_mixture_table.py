"""Hyperparameters off a grid and the table of sets, splits and methods."""

from __future__ import annotations

import csv

import pytest
import torch
from rk_kernels.linalg import cholesky, log_determinant, whiten, with_ridge
from rk_kernels.mlp_kernel import MLPKernel
from rk_kernels.process import ExactProcess
from rk_kernels.spectrum import Spectrum
from rk_kernels.uci import UCI
from rk_nngp_mixture.selection import METHODS, Grid, answer, select
from rk_nngp_mixture.table import differences, markdown, shown

from rk.runs import RunFolder

SMALL = Grid(w_stds=(1.0, 2.0), b_stds=(0.3,), noises=(1e-3, 1e-1), depth=2)


def table(n=30):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(n, 3, generator=random)
    return x, (x[:, 0].sin() + 0.1 * torch.randn(n, generator=random)).double()


def test_a_spectrum_gives_what_a_factor_for_each_noise_gives():
    x, y = table()
    gram, noises = MLPKernel(2, learned=False)(x), torch.tensor([1e-3, 0.1, 10.0]).double()
    spectrum = Spectrum(gram, y)
    for i, noise in enumerate(noises):
        factor = cholesky(with_ridge(gram, noise))
        assert float(spectrum.log_determinant(noises)[i]) == pytest.approx(float(log_determinant(factor)))
        quadratic = whiten(factor, y.unsqueeze(1)).square().sum()
        assert float(spectrum.quadratic(noises)[i]) == pytest.approx(float(quadratic))


@pytest.mark.parametrize("method", METHODS)
def test_the_selected_process_answers_like_one_with_these_hyperparameters(method):
    x, y = table()
    mean, deviation = y[:20].mean(), y[:20].std(correction=0)
    chosen = select(x[:20].double(), (y[:20] - mean) / deviation, SMALL, [method])[method]
    process = ExactProcess(chosen.kernel, chosen.scale, chosen.noise, learn_noise=False)
    process.observe(x[:20], y[:20].unsqueeze(1))
    expected = process(inputs=x[20:])
    found = answer(chosen, x[:20].double(), x[20:].double(), mean, deviation)
    for name in ("values", "scales", "log_weights", "degrees"):
        torch.testing.assert_close(found[name], expected[name].detach(), rtol=1e-6, atol=1e-8)
    evidence = process.log_evidence().item() + 20 * deviation.log().item()
    assert chosen.evidence == pytest.approx(evidence, abs=1e-6)


def test_no_other_point_of_the_grid_has_more_evidence():
    x, y = table()
    y = (y - y.mean()) / y.std(correction=0)
    best = select(x.double(), y, SMALL)
    for w in SMALL.w_stds:
        narrow = Grid(w_stds=(w,), b_stds=SMALL.b_stds, noises=SMALL.noises, depth=2)
        for method, chosen in select(x.double(), y, narrow).items():
            assert best[method].evidence >= chosen.evidence


def test_the_table_has_a_line_for_each_set_and_differences_are_paired(rk_folder, published):
    published(UCI("servo", seed=0))
    assert rk_folder.rk(
        "analyze", "mixture-table", "--datasets", "[servo]", "--num-splits", "2", "--train-limit", "40",
        "--runs-dir", "looks",
    ) == 0  # fmt: skip
    look = next(RunFolder.all(rk_folder.folder / "looks"))
    with open(look.figures / "splits.csv", newline="") as file:
        rows = [{**r, "nll": float(r["nll"]), "rmse": float(r["rmse"])} for r in csv.DictReader(file)]
    assert len(rows) == 2 * 3
    by_hand = [
        next(r["nll"] for r in rows if (r["split"], r["method"]) == (s, "burr"))
        - next(r["nll"] for r in rows if (r["split"], r["method"]) == (s, "gp"))
        for s in "01"
    ]
    assert differences(rows, "servo", "burr") == pytest.approx(by_hand)
    assert look.read()["metrics"]["servo/burr"] == pytest.approx(sum(by_hand) / 2, abs=1e-5)
    assert len(markdown(rows, ["servo"]).splitlines()) == 3
    assert (look.figures / "calibration.png").stat().st_size > 5000


def test_a_mean_comes_with_its_standard_error():
    assert shown([1.0, 3.0]) == "2.000 ± 1.000"
