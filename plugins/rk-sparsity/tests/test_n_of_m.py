"""N of M weights: learnt by SR-STE as its equation says, and written in the layout of torch's 2:4 kernels."""

from __future__ import annotations

import pytest
import torch
from rk_sparsity import naive
from rk_sparsity.export import read_sparse, write_sparse
from rk_sparsity.groups import keep_n_of_m
from rk_sparsity.n_of_m import NOfM
from rk_sparsity.scores import mean_loss
from rk_sparsity.semi_structured import GROUPS, as_cutlass, compress, decompress, misfit, read_semi_structured
from rk_sparsity.weights import prunable
from safetensors.torch import load_file

from rk import UserError
from rk.catalog import Catalog
from rk.recipe.find import RecipeFile
from rk.testing import Trial

RECIPE = """
rk: 1
model: {name: mlp, hidden_sizes: [64, 32]}
data: {name: digits, batch_size: 16}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: sgd, lr: 0.1, momentum: 0.5, weight_decay: 0.01}}
callbacks: [{name: n-of-m, method: sr-ste, decay: 0.3}]
fit: {max_steps: 7, seed: 1, threads: 1}
"""
DTYPES = [torch.float16, torch.bfloat16, torch.float32]
SHAPES = [(32, 64), (64, 128), (96, 320)]


def trial(tmp_path, *overrides):
    path = tmp_path / "sparse.yaml"
    path.write_text(RECIPE)
    return Trial(RecipeFile(path), Catalog(), tmp_path / "runs", overrides)


def sparse(shape, dtype, share=1.0):
    """Numbers of which N of M are kept, as many as the dtype takes, or fewer."""
    n, m = GROUPS[dtype]
    weight = torch.randn(shape).to(dtype)
    return weight * keep_n_of_m(weight.float().abs(), n, m, "w") * (torch.rand(shape) <= share)


# -- SR-STE ------------------------------------------------------------------------------------------------------------


def by_the_equation(tmp_path, decay=0.3):
    """w <- w - lr (g(m w) + decay (1 - m) w), m the 2 largest of 4 of |w|, with SGD's momentum and weight decay."""
    built = trial(tmp_path, "callbacks=[]").build().parts
    learner = built.learner
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.1, momentum=0.5, weight_decay=0.01)
    weights = prunable(learner)
    dense = {name: w.detach().clone() for name, w in weights.items()}
    for i in range(7):
        masks = {name: naive.n_of_m(w.abs(), 2, 4) for name, w in dense.items()}
        for name, w in weights.items():
            w.data = dense[name] * masks[name]
        optimizer.zero_grad()
        mean_loss(learner(built.data.batch("train", i))).backward()
        for name, w in weights.items():
            w.data = dense[name]
            w.grad += decay * ~masks[name] * dense[name]
        optimizer.step()
        dense = {name: w.detach().clone() for name, w in weights.items()}
    return dense


def test_sr_ste_is_its_equation(tmp_path):
    ended = trial(tmp_path).run(7)
    for name, expected in by_the_equation(tmp_path).items():
        mask = naive.n_of_m(expected.abs(), 2, 4)
        found = dict(ended.learner.named_parameters())[name]
        torch.testing.assert_close(found, expected * mask, rtol=1e-5, atol=1e-7)
        pruned = ended.parts.callbacks[0].state_dict()["pruned"][name]
        torch.testing.assert_close(pruned, expected * ~mask, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("piece", "instead"), [("alpha=self.decay", "alpha=0.0"), ("self.known.weights[name].add_(", "torch.abs(")]
)
def test_an_update_without_decay_or_of_sparse_weights_is_noticed(tmp_path, plant, piece, instead):
    plant(NOfM, "_make_whole", piece, instead)
    with pytest.raises(AssertionError):
        test_sr_ste_is_its_equation(tmp_path)


def test_sr_ste_moves_its_mask_and_magnitude_does_not(tmp_path):
    moved, fixed = (
        trial(tmp_path, f"callbacks.0.method={m}").run(7).parts.callbacks[0].masks for m in ("sr-ste", "magnitude")
    )
    assert moved.density == fixed.density == fixed.explored == 0.5
    assert 0.5 < moved.explored < 1


def test_sr_ste_follows_trainers_that_make_several_updates_in_a_step(tmp_path):
    """Weights are sparse again after each update, whether or not the step has ended."""
    parts = trial(tmp_path).build().parts
    for i in range(7):
        parts.trainer.step(parts.data.batch("train", i))
        assert all((w == 0).float().mean() >= 0.5 for w in parts.callbacks[0].masks.weights.values())
    for name, expected in by_the_equation(tmp_path).items():
        mask = naive.n_of_m(expected.abs(), 2, 4)
        torch.testing.assert_close(dict(parts.learner.named_parameters())[name], expected * mask, rtol=1e-5, atol=1e-7)


# -- the layout of 2:4 kernels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [1.0, 0.5, 0.0])
def test_what_is_packed_comes_back_bit_for_bit(dtype, shape, share):
    weight = sparse(shape, dtype, share)
    packed, meta = compress(weight)
    assert packed.shape == (shape[0], shape[1] // 2) and packed.dtype == dtype
    assert meta.dtype == torch.int16
    assert 16 * meta.numel() == 4 * weight.numel() // GROUPS[dtype][1], "four bits for each group"
    assert torch.equal(decompress(packed, meta), weight)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("share", [1.0, 0.5, 0.0])
def test_the_layout_is_that_of_torch(dtype, share):
    conversions = pytest.importorskip("torch.sparse._semi_structured_conversions")
    weight = sparse((96, 320), dtype, share)
    for found, expected in zip(
        compress(weight), conversions.sparse_semi_structured_from_dense_cutlass(weight), strict=True
    ):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_torch_reads_its_semi_structured_tensor_from_the_file(tmp_path, dtype):
    weight = sparse((64, 128), dtype)
    write_sparse({"w": weight}, tmp_path / "s.safetensors", "semi-structured")
    stored = load_file(tmp_path / "s.safetensors")
    tensor = as_cutlass(stored["w.packed"], stored["w.meta"])
    assert tensor.shape == weight.shape and tensor.dtype == dtype
    assert torch.equal(tensor.to_dense(), weight)
    assert (tmp_path / "s.safetensors").stat().st_size < 0.6 * weight.numel() * weight.element_size() + 500


def test_a_mixed_file_comes_back_exactly(tmp_path):
    weights = {
        "fits": sparse((32, 64), torch.float16),
        "small": sparse((10, 64), torch.float16),
        "dense": torch.randn(32, 64).half(),
        "conv": torch.randn(32, 4, 4, 4).half(),
        "bias": torch.zeros(32).half(),
        "steps": torch.tensor(3),
    }
    write_sparse(weights, tmp_path / "s.safetensors", "semi-structured")
    assert {n for n in load_file(tmp_path / "s.safetensors") if "packed" in n} == {"fits.packed"}
    found = read_sparse(tmp_path / "s.safetensors")
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[n], w) and found[n].dtype == w.dtype for n, w in weights.items())


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.ones(32, 64).half(), "at most 2 of 4 neighbours in a row may be non-zero in float16"),
        (sparse((32, 64), torch.float16).float() + torch.eye(32, 64), "at most 1 of 2 neighbours"),
        (sparse((32, 32), torch.float16), "rows must be a multiple of 32 and columns of 64, got (32, 32)"),
        (torch.ones(32, 64, dtype=torch.double), "got 2 axes of torch.float64"),
        (torch.ones(32, 4, 4, 4).half(), "got 4 axes"),
    ],
)
def test_what_kernels_do_not_take_is_explained(tmp_path, weight, message):
    assert message in misfit(weight)
    with pytest.raises(UserError) as error:
        write_sparse({"w": weight}, tmp_path / "s.safetensors", "semi-structured")
    assert f"w: {misfit(weight)}" in error.value.render() and "n: 2, m: 4" in error.value.render()


def test_a_trained_run_is_exported_for_2_4_kernels_as_it_was_trained(rk_folder):
    run = rk_folder.train(RECIPE.replace("[64, 32]", "[64, 64]"))
    export = ("export", run.path, "--to", "sparse-safetensors", "exporter.layout=semi-structured", "-o", "small")
    with pytest.raises(UserError, match="at most 1 of 2 neighbours in a row may be non-zero in float32"):
        rk_folder.rk(*export)
    assert rk_folder.rk(*export, "exporter.dtype=float16") == 0
    path = rk_folder.folder / "small/model.sparse.safetensors"
    found, trained = read_sparse(path), load_file(run.path / "model.safetensors")
    packed = {name for name in load_file(path) if name.endswith(".packed")}
    assert packed == {f"model.blocks.{i}.0.weight.packed" for i in (0, 1)}
    assert all(torch.equal(found[name], w.half()) for name, w in trained.items())


def test_without_a_gpu_for_them_the_kernels_are_refused_with_what_they_need(tmp_path):
    write_sparse({"w": sparse((32, 64), torch.float16)}, tmp_path / "s.safetensors", "semi-structured")
    with pytest.raises(UserError, match=r"need an NVIDIA GPU of compute capability 8.0 or higher, got cpu") as error:
        read_semi_structured(tmp_path / "s.safetensors", "cpu")
    assert "read_sparse gives dense weights on any device" in error.value.hint


@pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0), reason="needs a GPU of capability 8.0"
)
def test_a_gpu_multiplies_by_what_the_file_holds(tmp_path):
    weight, inputs = sparse((64, 128), torch.float16), torch.randn(32, 128).half()
    write_sparse({"w": weight}, tmp_path / "s.safetensors", "semi-structured")
    found = read_semi_structured(tmp_path / "s.safetensors")["w"]
    product = torch.nn.functional.linear(inputs.cuda(), found).cpu()
    torch.testing.assert_close(product.float(), inputs.float() @ weight.float().T, rtol=1e-2, atol=1e-2)


def test_a_number_that_half_precision_cannot_hold_is_refused(rk_folder):
    run = rk_folder.train(RECIPE, "trainer.optimizer.lr=1e6", "fit.max_steps=1")
    assert any(float(w.abs().max()) > 65504 for w in load_file(run.path / "model.safetensors").values())
    with pytest.raises(UserError, match="has numbers that float16 cannot hold"):
        rk_folder.rk("export", run.path, "--to", "sparse-safetensors", "exporter.dtype=float16", "-o", "small")
