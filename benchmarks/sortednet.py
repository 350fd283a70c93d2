"""rk-sortednet: what sub-networks cost, sliced and masked, and a step of sorted training beside its rivals; one thread.

python benchmarks/sortednet.py
"""

from __future__ import annotations

import torch
from paired import interleave, report, seconds
from rk_sortednet.nested import Nested
from rk_sortednet.residual import ResidualMLP
from rk_sortednet.subnets import Subnet, grid

from rk.builtin.losses import CrossEntropy

SIZE, LAYERS, BATCH = 1024, 6, 64
SUBNETS = grid((0.25, 0.5, 0.75, 1.0), (2, 4, 6))


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    learner = Nested(ResidualMLP(64, 10, SIZE, LAYERS), CrossEntropy(), SUBNETS, ("stem", "blocks.*"), ())
    batch = {"inputs": torch.randn(BATCH, 64), "targets": torch.randint(0, 10, (BATCH,))}
    answers(learner, batch)
    steps(learner, batch)


def answers(learner: Nested, batch: dict[str, torch.Tensor]) -> None:
    def masked(share: float) -> None:
        """The same answer as a quarter of the width, by zeros: all products are made."""
        units = int(share * SIZE)
        hidden = learner.model.stem(batch["inputs"]).relu()
        hidden[:, units:] = 0
        for block in learner.model.blocks:
            hidden = block(hidden)
            hidden[:, units:] = 0
        learner.model.head(hidden)

    def at(subnet: Subnet) -> None:
        with torch.no_grad(), learner.at(subnet):
            learner.predict(batch)

    with torch.no_grad():
        found = interleave(
            {
                "whole": lambda: seconds(lambda: at(SUBNETS[-1])),
                "a quarter of the width, masked": lambda: seconds(lambda: masked(0.25)),
                "a quarter of the width, sliced": lambda: seconds(lambda: at(Subnet(0.25, LAYERS))),
                "half of the width, sliced": lambda: seconds(lambda: at(Subnet(0.5, LAYERS))),
                "half of the width, two of six blocks": lambda: seconds(lambda: at(Subnet(0.5, 2))),
            },
            15,
        )
    report(f"answers of {LAYERS} residual layers of {SIZE} units, batches of {BATCH}", found, "whole")


def steps(learner: Nested, batch: dict[str, torch.Tensor]) -> None:
    def gradients(subnets: list[Subnet]) -> None:
        learner.zero_grad()
        for subnet in subnets:
            with learner.at(subnet):
                total, count = learner(batch)
            (total / count).backward()

    chosen = [SUBNETS[i] for i in torch.randperm(len(SUBNETS)).tolist()]
    found = interleave(
        {
            "the whole network": lambda: seconds(lambda: gradients([SUBNETS[-1]])),
            "sorted: one of 12, on average": lambda: seconds(lambda: [gradients([s]) for s in chosen]) / len(chosen),
            "sandwich: three": lambda: seconds(lambda: gradients([SUBNETS[-1], chosen[0], SUBNETS[0]])),
            "a loop over all 12": lambda: seconds(lambda: gradients(SUBNETS)),
        },
        7,
    )
    report("gradients of one step", found, "the whole network")


if __name__ == "__main__":
    main()
