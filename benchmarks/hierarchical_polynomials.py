"""rk-hierarchical-polynomials: the first stage by sums of products, by all rows at once and by descent; CPU time.

python benchmarks/hierarchical_polynomials.py
"""

from __future__ import annotations

import torch
from paired import interleave, process_seconds, report
from rk_hierarchical_polynomials.data import HierarchicalPolynomial
from rk_hierarchical_polynomials.exact import Products
from rk_hierarchical_polynomials.model import ThreeLayerResNet
from rk_hierarchical_polynomials.naive import descend, ridge_by_lstsq

ROWS, DIM, RIDGE, CHUNK = 4096, 16, 1e-3, 256
STEPS = (30, 300, 1000)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = HierarchicalPolynomial(0, DIM, train_examples=ROWS, val_examples=1, test_examples=1, batch_size=ROWS)
    data.prepare()
    batch, model = data.batch("train", 0), ThreeLayerResNet(num_features=DIM)
    with torch.no_grad():
        size = len(model.u)
        features = ((batch["inputs"] @ model.v.mT + model.s) ** 2 / size**0.5).double()
    wanted = batch["targets"][:, 0].double()

    def chunked() -> torch.Tensor:
        sums = Products()
        for start in range(0, ROWS, CHUNK):
            sums.add(features[start : start + CHUNK], wanted[start : start + CHUNK])
        return sums.solve(RIDGE)

    added = RIDGE * features.square().sum(0).mean()

    def objective(theta: torch.Tensor) -> float:
        return float((features @ theta - wanted).square().sum() + added * theta.square().sum())

    best, start = objective(chunked()), float(wanted.square().sum())
    calls = {"sums of products in chunks, Cholesky": chunked}
    calls |= {"all rows at once, lstsq": lambda: ridge_by_lstsq(features, wanted, RIDGE)}
    calls |= {f"descent at 1/L, {n} steps": (lambda n=n: descend(features, wanted, RIDGE, n)) for n in STEPS}  # type: ignore[misc]
    found = interleave({name: (lambda f=f: process_seconds(f)) for name, f in calls.items()}, 2)  # type: ignore[misc]
    report(f"stage 1, {ROWS} rows of {size} features", found, "sums of products in chunks, Cholesky")
    print(f"\n  memory: {size * size / 1e6:.2f} against {ROWS * size / 1e6:.2f} million numbers")
    for n in STEPS:
        left = (objective(descend(features, wanted, RIDGE, n)) - best) / (start - best)
        print(f"  descent, {n} steps: {left:.2%} of the gap to the minimum is left")


if __name__ == "__main__":
    main()
