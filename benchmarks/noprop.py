"""rk-noprop: blocks at once against one by one, features kept against computed again, and what a step has to remember.

python benchmarks/noprop.py
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from paired import interleave, report, seconds
from rk_noprop import naive
from rk_noprop.chain import NoPropChain
from rk_noprop.continuous import CTLearner
from rk_noprop.discrete import DTLearner
from rk_noprop.flow import NoPropFlow
from rk_noprop.matching import FMLearner
from rk_noprop.noise import MonotoneNet
from rk_noprop.paper_block import NoPropBlock
from rk_vision.conv_block import ConvBlock
from rk_vision.mlp_block import MLPBlock
from torch import Tensor, nn
from torch.nn import functional as F

DIGITS, MNIST = (8, 8), (1, 28, 28)
N_BLOCKS = 10


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for hidden_size, batch in ((64, 128), (64, 32), (16, 32)):
        blocks_at_once(hidden_size, batch)
    for runs in (1, 5):
        chains(runs)
    for variant in ("ct", "fm"):
        walks(variant, n_steps=50)
    for name, block in (("conv-block", ConvBlock), ("noprop-block", NoPropBlock)):
        memory(name, block)


def dt(block: Callable[..., nn.Module], shape: tuple[int, ...], runs: int = 1) -> DTLearner:
    model = NoPropChain(input_shape=shape, num_classes=10, block=block, num_blocks=N_BLOCKS, num_walks=runs)
    return DTLearner(model, eta=0.1, schedule="cosine", inference="sde")


def blocks_at_once(hidden_size: int, batch: int) -> None:
    """Forward and backward pass of all MLP blocks on a batch."""
    learner = dt(partial(MLPBlock, hidden_size=hidden_size), DIGITS)
    x, y = torch.rand(batch, *DIGITS), torch.randint(0, 10, (batch,))
    parameters = [*learner.model.label_blocks.parameters()]

    def gradients(terms: dict) -> tuple[Tensor, ...]:
        return torch.autograd.grad(terms["denoise"][0], parameters)

    def together() -> tuple[Tensor, ...]:
        return gradients(learner({"inputs": x, "targets": y}))

    def one_by_one() -> tuple[Tensor, ...]:
        loops = [lambda z, block=block: block(z, x) for block in learner.model.label_blocks]
        return gradients(learner.objective(y, loops))

    agree(together, one_by_one)
    title = f"Training step of {N_BLOCKS} MLP blocks, {hidden_size} units, batch {batch}"
    compare(title, {"one by one": one_by_one, "together": together}, rounds=30)


@torch.no_grad()
def chains(runs: int) -> None:
    """Answers of a chain of conv blocks."""
    learner = dt(ConvBlock, MNIST, runs).eval()
    x = torch.rand(64, *MNIST)
    again, kept = (lambda: naive.dt_walk(learner, x)), (lambda: learner.predict({"inputs": x})["run_logits"])
    agree(kept, again)
    title = f"Answers of {N_BLOCKS} conv blocks to 64 images, {runs} run{'s' * (runs > 1)} each"
    compare(title, {"the block sees the image in each run": again, "features computed once": kept}, rounds=5)


@torch.no_grad()
def walks(variant: str, n_steps: int) -> None:
    """Answers of one timed conv block, in many steps."""
    model = NoPropFlow(input_shape=MNIST, num_classes=10, block=ConvBlock, num_walks=1)
    learner = (
        CTLearner(model, 1.0, MonotoneNet(), "sde", n_steps) if variant == "ct" else FMLearner(model, 0.0, n_steps)
    )
    learner.eval()
    slow = {"ct": naive.ct_walk, "fm": naive.fm_walk}[variant]
    x = torch.rand(64, *MNIST)
    again, kept = (lambda: slow(learner, x)), (lambda: learner.predict({"inputs": x})["run_logits"])
    agree(kept, again)
    title = f"Answers of noprop-{variant} to 64 images in {n_steps} steps (the paper has 1000)"
    compare(title, {"the block sees the image in each step": again, "features computed once": kept}, rounds=3)


def memory(name: str, block: Callable[..., nn.Module]) -> None:
    """The memory that autograd keeps for the backward pass of one training step."""
    learner = dt(block, MNIST)
    x, y = torch.rand(128, *MNIST), torch.randint(0, 10, (128,))
    found = {
        "backpropagation through all blocks": kept_bytes(learner, lambda: end_to_end(learner.model, x, y)),
        "one block (sampled, sequential)": kept_bytes(learner, lambda: learner({"inputs": x, "targets": y}, 3)),
        "all blocks on one batch (parallel)": kept_bytes(learner, lambda: learner({"inputs": x, "targets": y})),
    }
    print(f"\nKept for the backward pass, {N_BLOCKS} blocks ({name}), 128 images; the paper: 0.49 GB of 0.87")
    for what, size in found.items():
        ratio = size / found["backpropagation through all blocks"]
        print(f"  {what:<44} {size / 2**20:10.1f} MiB  {ratio:6.2f}x")


def end_to_end(model: NoPropChain, x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(model(inputs=x)["logits"], y)


def kept_bytes(learner: nn.Module, forward: Callable[[], object]) -> int:
    """Returns the bytes of all storages that autograd saves during `forward`, parameters not counted."""
    own = {p.untyped_storage().data_ptr() for p in learner.parameters()}
    sizes: dict[int, int] = {}
    held = []  # alive until the end: no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
            held.append(storage)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()
    del result
    return sum(sizes.values())


def agree(fast: Callable[[], object], slow: Callable[[], object]) -> None:
    """Sees that both give the same, from the same noise."""
    found = []
    for each in (fast, slow):
        torch.manual_seed(1)
        found.append(each())
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-4)


def compare(title: str, contestants: dict[str, Callable[[], object]], rounds: int) -> None:
    """Times the contestants against the first of them."""
    timed = {name: partial(seconds, function) for name, function in contestants.items()}
    report(title, interleave(timed, rounds), next(iter(contestants)))


if __name__ == "__main__":
    main()
