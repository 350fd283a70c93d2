"""rk-graphs: PyTorch Geometric's own GCN beside ours, the growth of a step, and the memory of sampled batches.

python benchmarks/graphs.py            # needs Cora: RK_DATA, or a network
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from paired import interleave, report, seconds
from rk_graphs.layers import GCN
from rk_graphs.model import GNN
from rk_graphs.neighbours import Neighbours
from rk_graphs.planetoid import Planetoid
from torch import nn
from torch.nn import functional as F
from torch_geometric.nn import GCNConv

SEEDS = 5
STEPS = 200


class Example(nn.Module):
    """The GCN of PyTorch Geometric's example: two convolutions, ReLU, dropout."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.first = GCNConv(num_features, 16)
        self.second = GCNConv(16, num_classes)

    def forward(self, *, x, edge_index):
        hidden = F.dropout(x, 0.5, self.training)
        hidden = F.dropout(self.first(hidden, edge_index).relu(), 0.5, self.training)
        return {"logits": self.second(hidden, edge_index)}


def main() -> None:
    torch.set_num_threads(1)
    cora()
    growth()
    memory()


def cora() -> None:
    """Accuracy and time of 200 epochs on Cora's published split; all weights decay in ours, the first layer's there."""
    data = Planetoid(seed=0)
    data.prepare()
    graph, parts = data.graph(), data.parts
    train, test = parts["train"], parts["test"]

    def trained(make, decayed, seed: int) -> float:
        torch.manual_seed(seed)
        model = make()
        optimizer = torch.optim.Adam(decayed(model), lr=0.01)
        for _ in range(STEPS):
            model.train()
            optimizer.zero_grad()
            logits = model(x=graph.x, edge_index=graph.edge_index)["logits"]
            F.cross_entropy(logits[train], graph.targets[train]).backward()
            optimizer.step()
        model.eval()
        answered = model(x=graph.x, edge_index=graph.edge_index)["logits"].argmax(1)
        return float((answered == graph.targets)[test].float().mean())

    contestants = {
        "PyTorch Geometric's example": (
            partial(Example, 1433, 7),
            lambda m: [
                {"params": m.first.parameters(), "weight_decay": 5e-4},
                {"params": m.second.parameters(), "weight_decay": 0.0},
            ],
        ),
        "gnn with gcn": (
            partial(GNN, layer=GCN, num_features=1433, num_outputs=7, level="node", d_model=16, dropout=0.5),
            lambda m: [{"params": m.parameters(), "weight_decay": 5e-4}],
        ),
    }
    print(f"Cora, published split, {SEEDS} seeds")
    for name, (make, decayed) in contestants.items():
        found = torch.tensor([trained(make, decayed, seed) for seed in range(SEEDS)])
        print(f"  {name:<44} accuracy {found.mean():.4f} ± {found.std():.4f}")
    timed = {name: partial(seconds, partial(trained, *both, 0)) for name, both in contestants.items()}
    report(f"{STEPS} epochs on Cora", interleave(timed, 3), "PyTorch Geometric's example")


def growth() -> None:
    """Time of a training step while nodes grow at the same degree, and edges grow at the same number of nodes."""
    for what, sizes in (
        ("nodes, 10 edges each", [(n, 10 * n) for n in (1_000, 4_000, 16_000, 64_000)]),
        ("edges of 8 000 nodes", [(8_000, e) for e in (20_000, 80_000, 320_000, 1_280_000)]),
    ):
        times = []
        for nodes, edges in sizes:
            x = torch.rand(nodes, 64)
            edge_index = torch.randint(nodes, (2, edges))
            targets = torch.randint(5, (nodes,))
            model = GNN(layer=GCN, num_features=64, num_outputs=5, level="node")

            def step(model=model, x=x, edge_index=edge_index, targets=targets):
                F.cross_entropy(model(x=x, edge_index=edge_index)["logits"], targets).backward()

            times.append(interleave({"step": partial(seconds, step)}, 5)["step"])
        amounts = [size[0] if what.startswith("nodes") else size[1] for size in sizes]
        slope = np.polyfit(np.log(amounts), np.log(times), 1)[0]
        print(f"\nA step against {what}: exponent {slope:.2f}")
        for amount, time in zip(amounts, times, strict=True):
            print(f"  {amount:>10,} {time * 1e3:10.1f} ms")


MEASURED = """
import json, sys
from pathlib import Path
import torch
from rk_graphs.arrays import GraphArrays

def own():  # in KiB: without pages of mapped files, which the system takes back when it needs them
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon"))

before = own()
data = GraphArrays(folder=Path(sys.argv[1]), seed=0, batch_size=512, fanouts=(10, 10), test_fanouts=(10, 10))
data.prepare()
for i in range(20):
    data.batch("train", i)
after = own()
print(json.dumps([before, after]))
"""


def memory() -> None:
    """Memory after 20 sampled batches of a graph whose features are on the disk (Linux), and the time to draw one."""
    nodes, width, degree = 500_000, 256, 10
    with tempfile.TemporaryDirectory() as folder:
        features = np.lib.format.open_memmap(
            Path(folder) / "features.npy", mode="w+", dtype=np.float32, shape=(nodes, width)
        )
        for start in range(0, nodes, 100_000):
            features[start : start + 100_000] = 1.0
        features.flush()
        del features
        rng = np.random.default_rng(0)
        np.save(Path(folder) / "edges.npy", rng.integers(0, nodes, (2, degree * nodes)))
        np.save(Path(folder) / "targets.npy", rng.integers(0, 10, nodes))
        out = subprocess.run([sys.executable, "-c", MEASURED, folder], capture_output=True, text=True, check=True)
        before, after = json.loads(out.stdout.splitlines()[-1])
        size = nodes * width * 4 / 2**20
        print(f"\nHalf a million nodes: features {size:,.0f} MiB on the disk; 20 sampled batches of 512 nodes")
        print(f"  memory beside the imports and mapped files: {(after - before) / 1024:,.0f} MiB, edges included")
        edges = torch.from_numpy(np.load(Path(folder) / "edges.npy"))
    neighbours = Neighbours(edges, nodes)
    seeds = torch.randperm(nodes)[:512]

    def one_by_one() -> None:
        """The same draw as loops over nodes, with Python's own sets."""
        import random

        frontier, seen = seeds.tolist(), set(seeds.tolist())
        for fanout in (10, 10):
            new = []
            for node in frontier:
                start, stop = neighbours._starts[node], neighbours._starts[node + 1]
                around = neighbours._sources[start:stop].tolist()
                for other in random.sample(around, min(fanout, len(around))):
                    if other not in seen:
                        seen.add(other)
                        new.append(other)
            frontier = new

    def vectorised() -> None:
        neighbours.around(seeds, [10, 10], torch.Generator())

    timed = {"a loop over nodes": partial(seconds, one_by_one), "rk_graphs.neighbours": partial(seconds, vectorised)}
    report("Drawing 10 and 10 neighbours around 512 nodes", interleave(timed, 5), "a loop over nodes")


if __name__ == "__main__":
    main()
