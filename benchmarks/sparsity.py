"""rk-sparsity against torch.nn.utils.prune, sorting, torch's own 2:4 packing, and dense products; one thread.

python benchmarks/sparsity.py
"""

from __future__ import annotations

import copy

import torch
from paired import interleave, report, seconds
from rk_sparsity import naive, scores
from rk_sparsity.groups import keep_n_of_m
from rk_sparsity.growth import replace
from rk_sparsity.masks import Masks
from rk_sparsity.semi_structured import compress
from rk_sparsity.topk import highest, keep
from rk_sparsity.weights import prunable
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune
from torch.sparse._semi_structured_conversions import sparse_semi_structured_from_dense_cutlass as torch_compress

WIDTH, LAYERS, BATCH, DENSITY = 128, 12, 16, 0.1


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(m for _ in range(LAYERS) for m in (nn.Linear(WIDTH, WIDTH), nn.ReLU())))


def main() -> None:
    torch.set_num_threads(1)
    steps()
    recurrent_steps()
    selection()
    groups()
    for size in (512, 2048):
        products(size)


def steps() -> None:
    """A step of training: no masks, masks in place, torch's masks in the graph."""
    inputs, targets = torch.randn(BATCH, WIDTH), torch.randint(0, WIDTH, (BATCH,))
    dense, ours, theirs = network(), network(), network()
    masks = Masks({n: p for n, p in ours.named_parameters() if p.dim() == 2})
    masks.set(keep(scores.magnitude(masks.weights), DENSITY, "uniform"))
    masks.apply()
    for module in theirs:
        if isinstance(module, nn.Linear):
            prune.l1_unstructured(module, "weight", amount=1 - DENSITY)

    def step(model: nn.Module, optimizer: torch.optim.Optimizer, masks: Masks | None = None) -> None:
        for _ in range(20):
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs), targets).backward()
            if masks is not None:
                masks.mask_gradients(model.parameters())
            optimizer.step()
            if masks is not None:
                masks.apply()

    optimizers = {id(m): torch.optim.SGD(m.parameters(), lr=0.01, momentum=0.9) for m in (dense, ours, theirs)}
    found = interleave(
        {
            "dense": lambda: seconds(lambda: step(dense, optimizers[id(dense)])),
            "masks in place (rk-sparsity)": lambda: seconds(lambda: step(ours, optimizers[id(ours)], masks)),
            "torch.nn.utils.prune": lambda: seconds(lambda: step(theirs, optimizers[id(theirs)])),
        },
        15,
    )
    report(f"20 steps of {LAYERS} layers of {WIDTH} x {WIDTH}, batches of {BATCH}", found, "dense")


def recurrent_steps() -> None:
    """A step of a fused LSTM. torch's pruning replaces its weights by products of weight and mask."""
    inputs, targets = torch.randn(BATCH, 32, WIDTH), torch.randn(BATCH, 32, WIDTH)
    torch.manual_seed(0)
    dense = nn.LSTM(WIDTH, WIDTH, batch_first=True)
    ours, theirs = copy.deepcopy(dense), copy.deepcopy(dense)
    masks = Masks(prunable(ours, target="recurrent"))
    masks.set(keep(scores.magnitude(masks.weights), DENSITY, "uniform"))
    masks.apply()
    for name in ("weight_ih_l0", "weight_hh_l0"):
        prune.l1_unstructured(theirs, name, amount=1 - DENSITY)

    def step(model: nn.LSTM, optimizer: torch.optim.Optimizer, masks: Masks | None = None) -> None:
        optimizer.zero_grad()
        functional.mse_loss(model(inputs)[0], targets).backward()
        if masks is not None:
            masks.mask_gradients(model.parameters())
        optimizer.step()
        if masks is not None:
            masks.apply()

    optimizers = {id(m): torch.optim.SGD(m.parameters(), lr=0.01, momentum=0.9) for m in (dense, ours, theirs)}
    found = interleave(
        {
            "dense": lambda: seconds(lambda: step(dense, optimizers[id(dense)])),
            "masks in place (rk-sparsity)": lambda: seconds(lambda: step(ours, optimizers[id(ours)], masks)),
            "torch.nn.utils.prune": lambda: seconds(lambda: step(theirs, optimizers[id(theirs)])),
        },
        15,
    )
    report(f"a step of an LSTM of {WIDTH} over 32 steps, batches of {BATCH}", found, "dense")


def groups() -> None:
    """2 of 4: the choice, and packing for sparse tensor cores against torch's own conversion on the CPU."""
    weight = torch.randn(1024, 2048)

    def by_sorting() -> torch.Tensor:
        order = weight.abs().unflatten(1, (-1, 4)).argsort(dim=-1, descending=True, stable=True)[..., :2]
        return torch.zeros(1024, 512, 4, dtype=torch.bool).scatter(-1, order, True).flatten(1)

    kept = keep_n_of_m(weight.abs(), 2, 4, "w")
    assert torch.equal(kept, by_sorting())
    found = interleave(
        {
            "stable sort of each group": lambda: seconds(by_sorting),
            "keep_n_of_m (rk-sparsity)": lambda: seconds(lambda: keep_n_of_m(weight.abs(), 2, 4, "w")),
        },
        9,
    )
    report("2 of 4 of 2 million weights", found, "stable sort of each group")
    half = (weight * kept).half()
    packed, expected = compress(half), torch_compress(half)
    assert all(torch.equal(a, b) for a, b in zip(packed, expected, strict=True))
    found = interleave(
        {
            "torch's conversion": lambda: seconds(lambda: torch_compress(half)),
            "compress (rk-sparsity)": lambda: seconds(lambda: compress(half)),
        },
        9,
    )
    report("packing 2:4 of 2 million float16 weights", found, "torch's conversion")


def selection() -> None:
    """The mask of the highest scores, and one change of a dynamic mask."""
    score = torch.rand(2_000_000)
    k = 200_000
    assert torch.equal(highest(score[:2000], 200), torch.tensor(naive.highest(score[:2000].tolist(), 200)))

    def by_sorting() -> torch.Tensor:
        kept = torch.zeros_like(score, dtype=torch.bool)
        kept[score.argsort(descending=True, stable=True)[:k]] = True
        return kept

    assert torch.equal(by_sorting(), highest(score, k))
    found = interleave(
        {
            "stable sort": lambda: seconds(by_sorting),
            "highest (rk-sparsity)": lambda: seconds(lambda: highest(score, k)),
        },
        9,
    )
    report("the 10 % highest of 2 million scores, exactly", found, "stable sort")
    kept, weight, growth = highest(score, k).view(1000, 2000), torch.randn(1000, 2000), torch.rand(1000, 2000)
    small = [t[:40, :40] for t in (kept, weight, growth)]
    assert torch.equal(replace(*small, 0.3), naive.replace(*small, 0.3))
    found = interleave(
        {
            "weight by weight, a 1250th of them, times 1250": lambda: (
                1250 * seconds(lambda: naive.replace(*small, 0.3))
            ),
            "replace (rk-sparsity)": lambda: seconds(lambda: replace(kept, weight, growth, 0.3)),
        },
        5,
    )
    report("one change of the mask of 2 million weights", found, "weight by weight, a 1250th of them, times 1250")


def products(size: int) -> None:
    """Where a product with a CSR matrix is faster than a dense one on this machine."""
    torch.manual_seed(0)
    weight, inputs = torch.randn(size, size), torch.randn(size, 64)
    contestants = {"dense": lambda: seconds(lambda: weight @ inputs)}
    for density in (0.5, 0.2, 0.1, 0.05, 0.01):
        masked = weight * highest(torch.rand(size * size), round(density * size * size)).view(size, size)
        sparse = copy.deepcopy(masked).to_sparse_csr()
        torch.testing.assert_close(sparse @ inputs, masked @ inputs, rtol=1e-3, atol=1e-3)
        contestants[f"CSR at a density of {density:g}"] = lambda sparse=sparse: seconds(lambda: sparse @ inputs)
    report(f"{size} x {size} times 64 columns", interleave(contestants, 9), "dense")


if __name__ == "__main__":
    main()
