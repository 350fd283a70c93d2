"""rk-criticality against the plain ways: networks without weight matrices against networks with them, and products of
vectors with the Jacobian against the whole Jacobian; one thread.

python benchmarks/criticality.py
"""

from __future__ import annotations

import torch
from paired import interleave, process_seconds, report
from rk_criticality.probes import passed, steps
from rk_criticality.simulate import Network, units, with_weights
from torch import nn

DRAWS = 8


def main() -> None:
    torch.set_num_threads(1)
    for width in (64, 256, 1024):
        networks(width, inits=max(4, 20000 // width))
    jacobian(256)


def networks(width: int, inits: int) -> None:
    net = Network("tanh", 0.0, 1.0, width, 10)
    one = torch.ones(1, 1, dtype=torch.float64)

    def without() -> None:
        for _ in units(net, one, inits, torch.Generator().manual_seed(0)):
            pass

    contestants = {
        "without weight matrices": lambda: process_seconds(without),
        "with them": lambda: (
            process_seconds(lambda: with_weights(net, 1.0, 4, torch.Generator().manual_seed(0))) * (inits / 4)
        ),
    }
    report(f"{inits} networks of 10 layers of width {width}", interleave(contestants, 5), "with them")


def jacobian(width: int) -> None:
    class Learner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width))

        def forward(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, int]:
            return self.net(batch["inputs"]).square().sum(), 1

    torch.manual_seed(0)
    learner, batch = Learner(), {"inputs": torch.randn(1, width)}
    found = {}

    def hutchinson() -> None:
        with passed(learner, batch) as run:
            found["vectors"] = steps(run.probes, DRAWS, torch.Generator().manual_seed(0), whole=False)[1].chi_perp

    def whole() -> None:
        with passed(learner, batch) as run:
            z, parent = run.probes[1].z, run.probes[0].z
            rows = [torch.autograd.grad(unit, parent, retain_graph=True)[0] for unit in z.flatten()]
            found["whole"] = float(torch.stack(rows).square().sum()) / z.numel()

    contestants = {
        f"{DRAWS} vectors": lambda: process_seconds(hutchinson),
        "the whole Jacobian": lambda: process_seconds(whole),
    }
    times = interleave(contestants, 5)
    assert abs(found["vectors"] / found["whole"] - 1) < 0.2
    report(f"chi_perp of a layer of width {width}", times, "the whole Jacobian")


if __name__ == "__main__":
    main()
