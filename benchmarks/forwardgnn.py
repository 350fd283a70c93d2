"""rk-forwardgnn: what layers gather kept against gathered in each step, and all classes of FF at once against a loop.

python benchmarks/forwardgnn.py
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import torch
from paired import interleave, report, seconds
from rk_forwardgnn.learner import ForwardLearner
from rk_forwardgnn.memory import backward_bytes, forward_bytes
from rk_forwardgnn.methods import METHODS, Settings
from rk_forwardgnn.mixed import normalise
from rk_forwardgnn.model import GNNStack
from rk_forwardgnn.views import prototype_views
from rk_graphs.block_model import BlockModel
from rk_graphs.layers import GAT, GCN, GIN, SAGE
from torch import Tensor, nn

LAYERS = {"gcn": GCN, "sage": SAGE, "gin": GIN, "gat": GAT}
CLASSES, WIDTH, WORDS = 5, 128, 200


def main() -> None:
    torch.set_num_threads(1)
    data = BlockModel(seed=0, num_nodes=2000, within=0.01, across=0.002)
    data.prepare()
    batch = data.batch("train", 0)
    for layer in ("gcn", "sage", "gin"):
        for number in (0, 1):
            kept(batch, layer, number)
    for layer in ("gcn", "gat"):
        classes_at_once(batch, layer)
    memory(batch)


def learner(method: str, layer: str, batch: dict[str, Tensor]) -> ForwardLearner:
    torch.manual_seed(0)
    model = GNNStack(
        layer=LAYERS[layer], num_features=WORDS, num_outputs=CLASSES, level="node", d_model=WIDTH, num_layers=2
    )
    found = ForwardLearner(model, METHODS[method](Settings(CLASSES)))
    found.look([batch])
    return found


def gradients(loss: Tensor, block: nn.Module) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, list(block.parameters()))


def kept(batch: dict[str, Tensor], layer: str, number: int) -> None:
    """A training step of one layer of SF: with its input kept, and with all that is below it computed again."""
    fast = learner("single-forward", layer, batch)
    slow = copy.deepcopy(fast)
    slow.cached = False

    def step(one: ForwardLearner) -> tuple[Tensor, ...]:
        return gradients(one(batch, number)[0], one.model.blocks[number])

    agree(partial(step, fast), partial(step, slow))
    title = f"Training step of layer {number + 1} ({layer}), {len(batch['x'])} nodes"
    compare(title, {"gathered in each step": partial(step, slow), "kept": partial(step, fast)}, rounds=10)


def classes_at_once(batch: dict[str, Tensor], layer: str) -> None:
    """A training step of FF with virtual nodes: views in one call of the layer, or one after the other."""
    mine = learner("ff-virtual", layer, batch)
    block, method = mine.model.blocks[0], mine.method
    labels = method.labels(batch, mine.known)
    one_by_one = [prototype_views(mine.model, batch, row.unsqueeze(0), mine.prototypes) for row in labels]

    def loop() -> tuple[Tensor, ...]:
        given = [block(normalise(view.hidden.dense()), *view.context) for view in one_by_one]
        views = mine.stage(batch, 0, "training").views
        return gradients(method.share(torch.cat(given), views, batch)[0], block)

    def at_once() -> tuple[Tensor, ...]:
        return gradients(mine(batch, 0)[0], block)

    agree(at_once, loop)
    title = f"Training step of FF with {CLASSES} views of {len(batch['x'])} nodes ({layer})"
    compare(title, {"view by view": loop, "all at once": at_once}, rounds=5)

    mine.depth = 1
    with torch.no_grad():
        supposed = method.supposed(batch, mine.known)
        apart = [prototype_views(mine.model, batch, row.unsqueeze(0), mine.prototypes) for row in supposed]

        def answers_by_class() -> Tensor:
            given = [block(normalise(view.hidden.dense()), *view.context) for view in apart]
            return method.readout(torch.cat(given), mine.stage(batch, 0, "answering").views)

        def answers_at_once() -> Tensor:
            return mine.predict(batch)["logits"]

        agree(answers_at_once, answers_by_class)
        title = f"Answers of FF for {CLASSES} classes ({layer})"
        compare(title, {"class by class": answers_by_class, "all at once": answers_at_once}, rounds=5)


def memory(batch: dict[str, Tensor]) -> None:
    """What autograd keeps for the backward pass of a step, by depth."""
    print(f"\nKept for the backward pass (torch's saved_tensors_hooks), gcn of width {WIDTH}, {len(batch['x'])} nodes")
    for depth in (1, 2, 4, 8):
        forward, backward = (f(batch, CLASSES, depth, WIDTH) / 2**20 for f in (forward_bytes, backward_bytes))
        print(f"  {depth} layers: forward learning {forward:6.1f} MiB   back-propagation {backward:6.1f} MiB")


def agree(fast: Callable[[], object], slow: Callable[[], object]) -> None:
    """Sees that both give the same."""
    torch.testing.assert_close(fast(), slow(), rtol=1e-3, atol=1e-3)


def compare(title: str, contestants: dict[str, Callable[[], object]], rounds: int) -> None:
    """Times the contestants against the first of them."""
    timed = {name: partial(seconds, function) for name, function in contestants.items()}
    report(title, interleave(timed, rounds), next(iter(contestants)))


if __name__ == "__main__":
    main()
