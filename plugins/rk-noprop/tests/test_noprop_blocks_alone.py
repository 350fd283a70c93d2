"""Blocks learn alone: no gradient crosses a block, whatever makes the learning faster."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from rk_noprop import naive
from rk_noprop.chain import NoPropChain
from rk_noprop.continuous import NoPropCT
from rk_noprop.discrete import DTLearner, NoPropDT
from rk_noprop.flow import NoPropFlow
from rk_noprop.matching import NoPropFM
from rk_noprop.paper_block import NoPropBlock
from rk_vision.conv_block import ConvBlock
from rk_vision.mlp_block import MLPBlock
from torch import nn
from torch.nn import functional as F

from rk import Runtime, UserError
from rk.builtin.optimizers import AdamW

BLOCKS = {
    "mlp": partial(MLPBlock, hidden_size=6),
    "glimpse": partial(MLPBlock, hidden_size=6, visible=0.3),
    "conv": partial(ConvBlock, channels=(3,), kernel_size=3, hidden_size=6, batch_norm=False),
    "paper": partial(NoPropBlock, channels=(2, 3, 4), hidden_size=6, dropout=0.0),
}


def make(block: str = "mlp", num_blocks: int = 4, **params) -> DTLearner:
    torch.manual_seed(0)
    given = {"input_shape": (1, 6, 6), "num_classes": 3, "embed_dim": 5, "num_walks": 2} | params
    model = NoPropChain(block=BLOCKS[block], num_blocks=num_blocks, **given).double()
    learner = DTLearner(model, eta=0.1, schedule="cosine", inference="sde")
    learner.abar = learner.abar.double()
    return learner


def draw(n: int = 7):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.rand(n, 1, 6, 6, generator=generator, dtype=torch.double)
    return {"inputs": inputs, "targets": torch.randint(0, 3, (n,), generator=generator)}


def loss_of(learner: DTLearner, block: int | None, seed: int = 3) -> torch.Tensor:
    torch.manual_seed(seed)
    return sum(total for total, _ in learner(draw(), block).values())


@pytest.mark.parametrize("embedding", ["one-hot", "learned"])
@pytest.mark.parametrize("name", BLOCKS)
def test_the_loss_of_a_block_reaches_no_other_block(name, embedding):
    learner = make(name, embedding=embedding)
    for t, block in enumerate(learner.model.label_blocks):
        learner.zero_grad()
        loss_of(learner, t).backward()
        assert all(p.grad is not None for p in block.parameters())
        others = [p for i, other in enumerate(learner.model.label_blocks) if i != t for p in other.parameters()]
        assert others and all(p.grad is None for p in others)


def test_the_loss_of_the_baseline_reaches_all_blocks():
    model = make().model
    F.cross_entropy(model(inputs=draw()["inputs"])["logits"], draw()["targets"]).backward()
    assert all(p.grad.abs().max() > 0 for block in model.label_blocks for p in [*block.parameters()][-1:])


@pytest.mark.parametrize("name", ["mlp", "glimpse", "conv"])
def test_a_block_does_not_depend_on_other_blocks_training(name):
    learner = make(name)
    block = learner.model.label_blocks[1]

    def gradients(of: int | None) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(loss_of(learner, of), [*block.parameters()])

    alone, together = gradients(1), gradients(None)
    with torch.no_grad():
        for i in (0, 2, 3):
            for p in learner.model.label_blocks[i].parameters():
                p.mul_(-3).add_(1)
    for got, wanted in zip((*gradients(1), *gradients(None)), (*alone, *together), strict=True):
        torch.testing.assert_close(got, wanted)  # blocks in one product: equal to rounding


@pytest.mark.parametrize("name", ["mlp", "glimpse", "conv"])
@pytest.mark.parametrize("embedding", ["one-hot", "learned", "prototype"])
def test_all_blocks_at_once_learn_equation_8_as_one_by_one(name, embedding):
    learner = make(name, embedding=embedding)
    torch.manual_seed(3)
    fast = {key: total for key, (total, _) in learner(draw()).items()}
    torch.manual_seed(3)
    slow = naive.dt_terms(learner, draw())
    if embedding == "one-hot":  # a constant, left out
        assert not slow.pop("prior").requires_grad
    torch.testing.assert_close(fast, slow)
    parameters = [*learner.model.label_blocks.parameters(), *learner.model.head.parameters()]
    parameters += [*learner.model.embedding.parameters()]
    got = torch.autograd.grad(sum(fast.values()), parameters)
    wanted = torch.autograd.grad(sum(slow.values()), parameters)
    torch.testing.assert_close(got, wanted)
    assert all(g.abs().max() > 0 for g in wanted)


def test_a_learned_embedding_learns_from_every_term():
    learner = make(embedding="learned")
    torch.manual_seed(3)
    for total, count in learner(draw()).values():
        (gradient,) = torch.autograd.grad(total, learner.model.embedding.weight, retain_graph=True)
        assert count == 7 and gradient.abs().max() > 0


# -- the trainer -------------------------------------------------------------------------------------------------------


class Pictures:
    """Data as far as the trainer sees it."""

    def batches(self, split: str) -> int | None:
        return 3

    def batch(self, split: str, i: int) -> dict[str, torch.Tensor]:
        rows = slice(2 * i, 2 * i + 2)
        return {"inputs": draw()["inputs"][rows], "targets": (torch.arange(6) % 3)[rows]}


def trainer(order: str, data=None, accumulate: int = 1, **params) -> NoPropDT:
    made = NoPropDT(AdamW(lr=1e-2, weight_decay=0.1), seed=0, order=order)
    torch.manual_seed(0)
    model = NoPropChain(input_shape=(1, 6, 6), num_classes=3, block=BLOCKS["mlp"], num_blocks=4, **params)
    made.setup(model=model, data=data or Pictures(), runtime=Runtime(accumulate=accumulate))
    return made


def moved(trainer: NoPropDT, steps: int = 1) -> list[set[int]]:
    """Returns the blocks that each step changes."""
    batch = {"inputs": draw()["inputs"].float(), "targets": draw()["targets"]}
    found = []
    for i in range(steps):
        trainer.runtime.micro_batch = i % trainer.runtime.accumulate
        before = [[p.clone() for p in block.parameters()] for block in trainer.learner.model.label_blocks]
        trainer.step(batch)
        after = [[*block.parameters()] for block in trainer.learner.model.label_blocks]
        pairs = enumerate(zip(before, after, strict=True))
        found.append({t for t, (a, b) in pairs if not all(map(torch.equal, a, b))})
    return found


def test_in_parallel_every_block_moves_at_every_step():
    assert moved(trainer("parallel"), 2) == [{0, 1, 2, 3}] * 2


def test_sampled_blocks_move_alone_and_equally_often():
    found = moved(trainer("sampled"), 16)
    assert all(len(blocks) == 1 for blocks in found)
    rounds = [[next(iter(blocks)) for blocks in found[i : i + 4]] for i in range(0, 16, 4)]
    assert all(sorted(order) == [0, 1, 2, 3] for order in rounds)
    assert len(set(map(tuple, rounds))) > 1


def test_sequential_blocks_take_turns_of_a_whole_pass():
    assert moved(trainer("sequential"), 13) == [{t} for t in (0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 0)]


def test_the_micro_batches_of_a_step_are_the_same_blocks():
    found = moved(trainer("sampled", accumulate=2), 8)
    assert found[::2] == [set()] * 4 and set().union(*found[1::2]) == {0, 1, 2, 3}


def test_a_resumed_trainer_continues_with_the_next_block():
    whole, half = trainer("sampled"), trainer("sampled")
    moved(half, 6)
    again = trainer("sampled")
    again.load_state_dict(half.state_dict())
    assert moved(whole, 9)[6:] == moved(again, 3)


def test_sequential_blocks_need_a_pass_that_ends():
    class Endless(Pictures):
        def batches(self, split: str) -> None:
            return None

    with pytest.raises(UserError, match="no end"):
        moved(trainer("sequential", Endless()))


def test_prototypes_are_chosen_before_the_first_step_and_then_learned():
    made = trainer("parallel", embedding="prototype")
    seen = torch.cat([Pictures().batch("train", i)["inputs"].flatten(1) for i in range(3)]).float()
    moved(made)
    first = made.learner.model.embedding.weight.detach().clone()
    nearest = torch.cdist(first, seen).min(dim=1)
    assert nearest.values.max() < 0.3  # one step away from a training image of its class
    assert (nearest.indices % 3).tolist() == [0, 1, 2]
    moved(made)
    second = made.learner.model.embedding.weight
    assert not torch.equal(first, second) and torch.dist(first, second) < 0.5


# -- any block ---------------------------------------------------------------------------------------------------------


class Plain(nn.Module):
    """A block as another plugin might have it: nothing but ``(z, x[, t]) -> logits``."""

    def __init__(self, x_shape, z_shape, num_classes, timed):
        super().__init__()
        self.out = nn.Linear(36 + 3 + timed, num_classes)

    def forward(self, z, x, t=None):
        time = [] if t is None else [t.expand(len(z)).unsqueeze(1)]
        return self.out(torch.cat([x.flatten(1), z, *time], dim=1))


@pytest.mark.parametrize("make", [NoPropDT, NoPropCT, NoPropFM], ids=["dt", "ct", "fm"])
def test_any_block_learns_and_answers(make):
    torch.manual_seed(0)
    given = {"input_shape": (1, 6, 6), "num_classes": 3, "block": Plain, "num_walks": 2}
    discrete = make is NoPropDT
    model = NoPropChain(num_blocks=4, **given) if discrete else NoPropFlow(**given)
    trainer = make(AdamW(lr=0.05), **({"seed": 0} if discrete else {"inference_steps": 20}))
    learner = trainer.setup(model=model, data=Pictures(), runtime=Runtime())
    targets = torch.arange(90) % 3
    inputs = torch.rand(90, 1, 6, 6) + 2 * (torch.arange(6) // 2 == targets.view(-1, 1, 1, 1))  # a bright stripe
    for _ in range(150):
        trainer.step({"inputs": inputs, "targets": targets})
    with torch.no_grad():
        found = learner.predict({"inputs": inputs})["run_logits"].argmax(-1)
    assert (found == targets.unsqueeze(1)).float().mean() > 0.9
