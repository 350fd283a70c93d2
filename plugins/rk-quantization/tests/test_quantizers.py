"""Quantisers, observers and packing follow their definitions, and equal their naive twins."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rk_quantization import naive
from rk_quantization.grids import codebook, fit, powers_of_two, ternary, uniform
from rk_quantization.int_torch_export import Codes
from rk_quantization.packing import pack, unpack
from rk_quantization.ranges import Histogram
from rk_quantization.recover import recover
from rk_quantization.scheme import Layout, Scheme

from rk import UserError

FLOATS = st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=20)
GAUSS = torch.randn(1, 200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def rows_of(values):
    return torch.tensor([values], dtype=torch.float64)


# -- levels ------------------------------------------------------------------------------------------------------------


@given(FLOATS, st.integers(2, 8))
@settings(max_examples=60, deadline=None)
def test_affine_codes_are_those_of_the_naive_twin(values, bits):
    rows, scheme = rows_of(values), Scheme(bits, "affine", "tensor")
    grid = uniform(rows.amin(1, keepdim=True), rows.amax(1, keepdim=True), scheme)
    codes, zero, scale = naive.affine(values, min(values), max(values), bits)
    assert grid.encode(rows)[0].tolist() == codes
    assert int(grid.zero) == zero and float(grid.scale) == scale
    assert float(grid.snap(torch.zeros(1, 1, dtype=torch.float64))) == 0, "padding and ReLU stay exact"


def test_halves_are_rounded_to_even_as_in_onnx():
    grid = uniform(torch.tensor([[-7.0]]), torch.tensor([[7.0]]), Scheme(4, "narrow", "tensor"))
    assert grid.encode(torch.tensor([[0.5, 1.5, 2.5, -0.5, -1.5, 8.0]]))[0].tolist() == [0, 2, 2, 0, -2, 7]
    assert [naive.round_half_even(x) for x in (0.5, 1.5, 2.5, -0.5, -1.5)] == [0, 2, 2, 0, -2]


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("levels", ["narrow", "symmetric", "affine"])
def test_uniform_levels_have_the_published_scales_and_the_smallest_error(bits, levels):
    rows, scheme = GAUSS[:, :999], Scheme(bits, levels, "tensor")
    grid, largest = fit(rows, scheme), float(rows.abs().max())
    expected = {
        "narrow": largest / (2 ** (bits - 1) - 1),
        "symmetric": 2 * largest / (2**bits - 1),
        "affine": float(rows.max() - rows.min()) / (2**bits - 1),
    }[levels]
    assert float(grid.scale) == pytest.approx(expected, rel=1e-12)
    error = (grid.snap(rows) - rows).abs()[grid.inside(rows)]
    assert float(error.max()) <= float(grid.scale) / 2 * (1 + 1e-9)
    assert len(grid.encode(rows).unique()) <= 2**bits - (levels == "narrow")
    assert torch.equal(grid.snap(rows), grid.decode(grid.encode(rows)))


@pytest.mark.parametrize(("bits", "clip", "mse"), [(2, 1.22, 0.1902), (3, 1.95, 0.0469), (4, 2.47, 0.01289)])
def test_the_clipping_with_the_lowest_error_is_the_gaussian_optimum(bits, clip, mse):
    scheme = Scheme(bits, "narrow", "tensor", clip="mse")
    grid = fit(GAUSS, scheme)
    assert float(grid.scale) * grid.high == pytest.approx(clip, rel=0.04)
    assert float((grid.snap(GAUSS) - GAUSS).square().mean()) == pytest.approx(mse, rel=0.02)


@pytest.mark.parametrize(("size", "levels", "mse"), [(2, [0.7979], 0.3634), (4, [0.4528, 1.510], 0.1175)])
def test_k_means_of_a_gaussian_are_the_levels_of_lloyd_and_max(size, levels, mse):
    grid = codebook(GAUSS, size)
    assert grid.levels[0, size // 2 :].tolist() == pytest.approx(levels, abs=0.02)
    assert float((grid.snap(GAUSS) - GAUSS).square().mean()) == pytest.approx(mse, rel=0.02)
    codes = grid.encode(GAUSS)[0]
    means = [float(GAUSS[0][codes == i].mean()) for i in range(size)]
    assert grid.levels[0].tolist() == pytest.approx(means, abs=1e-2), "each centre is the mean of its members"


def test_binary_and_ternary_weights_of_a_gaussian_have_their_published_errors():
    both = {levels: fit(GAUSS, Scheme(bits, levels, "tensor")) for levels, bits in (("binary", 1), ("ternary", 2))}
    error = {k: float((g.snap(GAUSS) - GAUSS).square().mean()) for k, g in both.items()}
    assert error["binary"] == pytest.approx(1 - 2 / math.pi, rel=0.01)
    delta = 0.7 * math.sqrt(2 / math.pi)
    tail = math.erfc(delta / math.sqrt(2))
    a = math.sqrt(2 / math.pi) * math.exp(-(delta**2) / 2) / tail
    assert float(both["ternary"].levels[0, 2]) == pytest.approx(a, rel=0.01)
    assert error["ternary"] == pytest.approx(1 - a * a * tail, rel=0.02)
    assert fit(torch.tensor([[-3.0, 0.0, 1.0]]), Scheme(1, "binary")).snap(torch.zeros(1, 1)).item() > 0, "sign(0) is 1"


def test_ternary_weights_follow_their_definition():
    rows = torch.tensor([[0.1, -0.2, 2.0, -1.0]])
    kept = [w for w in rows[0].tolist() if abs(w) > 0.7 * 3.3 / 4]
    a = sum(map(abs, kept)) / len(kept)
    torch.testing.assert_close(ternary(rows).snap(rows), torch.tensor([[0.0, 0.0, a, -a]]))


@given(FLOATS, st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_powers_of_two_and_codebooks_take_the_nearest_level(values, bits):
    rows = rows_of(values)
    for grid in (powers_of_two(rows, bits), codebook(rows, 2**bits)):
        levels = grid.levels[0].tolist()
        found, expected = grid.snap(rows)[0].tolist(), [naive.nearest(v, levels) for v in values]
        distance = [abs(f - v) for f, v in zip(found, values, strict=True)]
        assert distance == pytest.approx([abs(e - v) for e, v in zip(expected, values, strict=True)], abs=1e-12)
    positive = [level for level in powers_of_two(rows, bits).levels[0].tolist() if level > 0]
    assert all(math.log2(level).is_integer() for level in positive) and len(positive) == 2 ** (bits - 1) - 1


# -- rows --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("granularity", ["tensor", "channel", "group"])
def test_rows_and_back_is_the_weight(axis, granularity):
    weight = torch.randn(6, 4, 3)
    layout = Layout((6, 4, 3), axis, granularity, 3)
    rows = layout.rows(weight)
    assert torch.equal(layout.weight(rows), weight)
    if granularity == "channel":
        assert torch.equal(rows[1], weight.select(axis, 1).flatten())


def test_zero_and_constant_rows_are_exact_or_nearly_so():
    rows = torch.tensor([[0.0, 0.0], [3.0, 3.0], [-2.0, -2.0]])
    for levels in ("narrow", "affine", "power-of-two", "codebook", "ternary"):
        found = fit(rows, Scheme(2 if levels == "ternary" else 4, levels)).snap(rows)
        assert torch.isfinite(found).all() and not found[0].any()
        if levels != "power-of-two":
            torch.testing.assert_close(found, rows, rtol=1e-5, atol=0)


def test_finer_granularity_never_has_a_larger_error():
    weight = torch.randn(16, 64) * torch.logspace(-2, 0, 16)[:, None]
    errors = []
    for granularity in ("tensor", "channel", "group"):
        layout = Layout((16, 64), 0, granularity, 16)
        rows = layout.rows(weight)
        errors.append(float((fit(rows, Scheme(4, "narrow", granularity, 16)).snap(rows) - rows).square().mean()))
    assert errors[0] > errors[1] > errors[2]


# -- packing -----------------------------------------------------------------------------------------------------------


@given(st.integers(1, 8), st.lists(st.integers(0, 255), max_size=33))
@settings(max_examples=80, deadline=None)
def test_codes_are_packed_as_the_naive_twin_does_and_come_back(bits, codes):
    codes = [code % 2**bits for code in codes]
    packed = pack(torch.tensor(codes, dtype=torch.int16), bits)
    assert bytes(packed.tolist()) == naive.pack(codes, bits)
    assert unpack(packed, bits, len(codes)).tolist() == codes


@pytest.mark.parametrize("granularity", ["tensor", "channel", "group"])
@pytest.mark.parametrize(
    ("levels", "bits"), [("narrow", 8), ("affine", 3), ("symmetric", 4), ("ternary", 2), ("binary", 1)]
)
def test_codes_of_a_graph_are_the_weight_bit_by_bit(levels, bits, granularity):
    layout = Layout((32, 96), 0, granularity, 24)
    rows = layout.rows(torch.randn(32, 96, generator=torch.Generator().manual_seed(0)))
    weight = layout.weight(fit(rows, Scheme(bits, levels, granularity, 24)).snap(rows)).contiguous()
    found = recover(weight)
    assert found.bits == bits or (levels, granularity) == ("binary", "group")
    for packed in (True, False):
        codes = Codes(found, packed)
        assert torch.equal(codes(), weight)
        assert codes.codes.numel() == (3072 * {3: 4}.get(found.bits, found.bits) // 8 if packed else 3072)


def test_a_code_that_needs_more_bits_is_refused():
    with pytest.raises(ValueError, match="codes must be 0 to 7, got 0 to 8"):
        pack(torch.tensor([0, 8]), 3)


# -- observers ---------------------------------------------------------------------------------------------------------


def test_a_histogram_that_grows_counts_as_one_that_knew_the_range():
    seen = Histogram(64)
    values = [torch.rand(500) * scale - scale / 3 for scale in (1.0, 3.0, 40.0)]
    for value in values:
        seen.add(value)
    whole = torch.cat(values).double()
    edges = seen.low + torch.arange(65, dtype=torch.float64) * seen.width
    expected = torch.histogram(whole, edges).hist
    assert float((seen.counts - expected).abs().sum()) <= 4, "rounding at edges alone"
    assert (seen.least, seen.most) == (float(whole.min()), float(whole.max()))


def test_observers_choose_the_range_by_their_definitions():
    seen, scheme = Histogram(), Scheme(4, "affine", "tensor")
    batches = GAUSS.view(10, -1)
    for batch in batches:
        seen.add(batch)
    assert seen.range("min-max", scheme) == (float(GAUSS.min()), float(GAUSS.max()))
    low, high = seen.range("percentile", scheme, 99.9)
    assert [low, high] == pytest.approx([-3.09, 3.09], abs=0.06)
    assert seen.range("mse", scheme)[1] == pytest.approx(2.5, abs=0.35), "16 levels of a Gaussian"
    average = float(batches[0].max())
    for batch in batches[1:]:
        average += 0.01 * (float(batch.max()) - average)
    assert seen.range("moving-average", scheme)[1] == pytest.approx(average)
    assert 1.5 < seen.range("entropy", scheme)[1] < float(GAUSS.max())


def test_entropy_cuts_an_outlier_that_min_max_keeps():
    seen, scheme = Histogram(), Scheme(8, "affine", "tensor")
    seen.add(torch.cat([GAUSS[0].abs(), torch.tensor([60.0])]))
    assert seen.range("min-max", scheme)[1] == pytest.approx(60)
    assert seen.range("entropy", scheme)[1] < 20


# -- what cannot be ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bits": 9}, "bits must be 1 to 8, got 9"),
        ({"bits": 4, "levels": "ternary"}, "levels=ternary has 2 bits"),
        ({"bits": 2, "levels": "binary"}, "levels=binary has 1 bit"),
        ({"bits": 1}, "levels=narrow needs at least 2 bits"),
        ({"group_size": 0}, "group_size must be >= 1"),
        ({"percentile": 30}, "percentile must be above 50"),
    ],
)
def test_schemes_that_contradict_themselves_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Scheme(**values)


def test_groups_that_do_not_divide_a_channel_are_refused_with_sizes_that_do():
    with pytest.raises(UserError) as error:
        Layout((8, 30), 0, "group", 7).check("head.weight")
    assert "7 does not divide the 30 weights of a channel of head.weight" in error.value.message
    assert "15, 30" in error.value.hint
