"""rk-permutation-ntk: the closed form against general kernels, and members side by side against one by one; one thread.

python benchmarks/permutation_ntk.py
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from paired import interleave, process_seconds, report
from rk_kernels.ensemble import Ensemble
from rk_kernels.ntk_mlp import NTKMLP
from rk_kernels.per_member import PerMember
from rk_permutation_ntk.analysis import of_networks
from rk_permutation_ntk.data import Permutation
from rk_permutation_ntk.limit import drawn
from rk_permutation_ntk.theory import limit
from torch import Tensor, nn

from rk.builtin.losses import MeanSquaredError


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    closed_form(30)
    for width in (64, 1024):
        members(5, width=width, count=64, steps=20)
    drawn_or_trained(5, width=1024, count=64, steps=100)


def compared(title: str, contestants: dict[str, Callable[[], object]], baseline: str, rounds: int) -> None:
    found = interleave({name: (lambda f=f: process_seconds(f)) for name, f in contestants.items()}, rounds)  # type: ignore[misc]
    report(title, found, baseline)


def closed_form(bits: int) -> None:
    """Two numbers for all vectors with two ones, against the kernels of every pair of vectors."""
    data = Permutation(0, bits)
    data.prepare()
    train, test = data.batch("train", 0), data.batch("test-2", 0)

    def general() -> Tensor:
        return of_networks(train["inputs"], train["targets"], test["inputs"], "ntk").mean

    theory = limit(bits, 2)
    expected = torch.where(test["targets"] > 0, theory.mean_1, theory.mean_0).double()
    torch.testing.assert_close(general(), expected, atol=1e-7, rtol=0)
    timed: dict[str, Callable[[], object]] = {
        "kernels of all pairs": general,
        "closed form, a thousand times": lambda: [limit(bits, 2) for _ in range(1000)],
    }
    compared(
        f"{len(expected)} vectors of {bits} bits; the second row is of 1000 calls", timed, "kernels of all pairs", 5
    )


def steps_of(networks: list[nn.Module], loss: Callable[..., tuple[Tensor, Tensor]], count: int, lr: float) -> None:
    """Descends on the basis vectors, network by network."""
    for network in networks:
        optimizer = torch.optim.SGD(network.parameters(), lr=lr)
        x = torch.eye(next(network.parameters()).shape[-1])
        for _ in range(count):
            total, numbers = loss(**network(inputs=x), targets=x)
            optimizer.zero_grad()
            (total / numbers).backward()
            optimizer.step()


def members(bits: int, width: int, count: int, steps: int) -> None:
    """All members in one product, against each alone."""
    ensemble, loss = (
        Ensemble(lambda: NTKMLP(bits, bits, hidden_size=width), num_members=count),
        PerMember(MeanSquaredError()),
    )
    loss.watch(ensemble)
    alone = [ensemble.member(k) for k in range(count)]
    lr = bits**2 / 2

    def single(*, values: Tensor, targets: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        return MeanSquaredError()(values=values, targets=targets)  # type: ignore[return-value]  # a count

    steps_of([ensemble], loss, steps, lr)  # type: ignore[arg-type]  # its objective is one term
    steps_of(alone, single, steps, lr)
    torch.testing.assert_close(ensemble.base.weights[0][3], alone[3].weights[0], atol=1e-4, rtol=0)
    timed: dict[str, Callable[[], object]] = {
        "one by one": lambda: steps_of(alone, single, steps, lr),
        "side by side": lambda: steps_of([ensemble], loss, steps, lr),  # type: ignore[arg-type]  # as above
    }
    compared(f"{steps} steps of {count} members of width {width}", timed, "one by one", 3)


def drawn_or_trained(bits: int, width: int, count: int, steps: int) -> None:
    """Members of the exact limit, against members that are trained."""
    data = Permutation(0, bits)
    data.prepare()
    train, test = data.batch("train", 0), data.batch("test-2", 0)
    loss, random = PerMember(MeanSquaredError()), torch.Generator()

    def trained() -> None:
        ensemble = Ensemble(lambda: NTKMLP(bits, bits, hidden_size=width), num_members=count)
        loss.watch(ensemble)
        steps_of([ensemble], loss, steps, bits**2 / 2)  # type: ignore[arg-type]  # as above

    timed: dict[str, Callable[[], object]] = {
        "trained": trained,
        "drawn": lambda: drawn(of_networks(train["inputs"], train["targets"], test["inputs"], "ntk"), count, random),
    }
    compared(f"{count} members of width {width}, {steps} steps", timed, "trained", 3)


if __name__ == "__main__":
    main()
