"""Class embeddings, heads, the paper's blocks, and its two baselines."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from rk_noprop import naive
from rk_noprop.chain import NoPropChain
from rk_noprop.embedding import ClassEmbedding, prototype
from rk_noprop.flow import NoPropFlow
from rk_noprop.heads import RadialHead
from rk_noprop.paper_block import NoPropBlock
from rk_vision.conv_block import ConvBlock
from rk_vision.mlp_block import MLPBlock
from torch import nn
from torch.nn import functional as F

MLP = partial(MLPBlock, hidden_size=6)


# -- embeddings and heads ----------------------------------------------------------------------------------------------


def test_one_hot_embeddings_are_not_trained():
    embedding = ClassEmbedding("one-hot", 4, 20, (1, 6, 6))
    assert torch.equal(embedding(torch.tensor([2, 0])), torch.eye(4)[[2, 0]])
    assert not [*embedding.parameters()] and embedding.shape == (4,)


@pytest.mark.parametrize("size", [3, 4, 20])
def test_learned_embeddings_begin_orthogonal_as_far_as_they_can(size):
    weight = ClassEmbedding("learned", 4, size, (1, 6, 6)).weight
    gram = weight @ weight.T if size >= 4 else weight.T @ weight
    torch.testing.assert_close(gram, torch.eye(min(size, 4)))


def test_a_prototype_has_the_smallest_median_distance():
    torch.manual_seed(0)
    x = torch.randn(9, 3)
    medians = [sorted(float((a - b).norm()) for b in x)[4] for a in x]
    assert torch.equal(prototype(x), x[min(range(9), key=medians.__getitem__)])
    embedding = ClassEmbedding("prototype", 2, 20, (1, 3))
    embedding.set_prototypes([(x[:4], torch.zeros(4).long()), (x[4:], torch.ones(5).long())])
    assert torch.equal(embedding.weight[0], prototype(x[:4])) and torch.equal(embedding.weight[1], prototype(x[4:]))


def test_mixtures_lie_between_class_embeddings():
    embedding = ClassEmbedding("learned", 3, 5, (2,))
    logits = torch.tensor([[0.0, 0.0, 0.0], [99.0, 0.0, 0.0]])
    wanted = torch.stack([embedding.weight.mean(0), embedding.weight[0]])
    torch.testing.assert_close(embedding.mix(logits), wanted)


def test_distances_are_euclidean_with_a_gradient_everywhere():
    embedding = ClassEmbedding("learned", 3, 5, (2,)).double()
    z = torch.randn(4, 5, dtype=torch.double)
    torch.testing.assert_close(embedding.distances(z), torch.cdist(z, embedding.weight).square())
    at_zero = embedding.weight.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(embedding.distances(at_zero).sum(), at_zero)
    assert gradient.isfinite().all()


def test_the_radial_head_is_a_gaussian_around_each_class():
    embedding, head = ClassEmbedding("learned", 3, 5, (2,)), RadialHead(5, 3)
    with torch.no_grad():
        head.log_sigma.fill_(0.3)
    z = torch.randn(4, 5)
    guess = head.mixture(z).softmax(-1) @ embedding.weight
    sigma = torch.tensor(0.3).exp()
    densities = [torch.distributions.Normal(u, sigma).log_prob(guess).sum(-1) for u in embedding.weight]
    torch.testing.assert_close(head(z, embedding).softmax(-1), torch.stack(densities, -1).softmax(-1))


@pytest.mark.parametrize("head", ["linear", "radial"])
@pytest.mark.parametrize("embedding", ["one-hot", "learned"])
def test_an_aligned_head_begins_right_about_every_class(head, embedding):
    model = NoPropChain(
        input_shape=(1, 6, 6), num_classes=3, block=MLP, embedding=embedding, head=head, head_start="aligned"
    )
    assert model.head(model.embedding.weight, model.embedding).argmax(-1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("head", ["linear", "radial"])
def test_a_head_learns_to_classify_noised_labels(head):
    torch.manual_seed(0)
    model = NoPropChain(input_shape=(1, 6, 6), num_classes=3, block=MLP, num_blocks=1, embedding="learned", head=head)
    optimizer = torch.optim.Adam(model.head.parameters(), lr=0.1)
    targets = torch.arange(3).repeat(40)
    z = model.embedding(targets).detach() + 0.1 * torch.randn(120, 20)
    for _ in range(60):
        loss = F.cross_entropy(model.head(z, model.embedding), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (model.head(z, model.embedding).argmax(-1) == targets).float().mean() > 0.98


# -- the paper's blocks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("z_shape", [(10,), (1, 28, 28)], ids=["vector", "picture"])
@pytest.mark.parametrize("timed", [False, True], ids=["chain", "timed"])
def test_the_papers_block_is_that_of_figure_6(timed, z_shape):
    block = NoPropBlock((1, 28, 28), z_shape, 10, timed)
    channels = [m.out_channels for m in block.image.modules() if isinstance(m, nn.Conv2d)]
    assert channels == [32, 64, 128]
    wide = [m for m in block.image.modules() if isinstance(m, nn.Linear)]
    assert (wide[0].in_features, wide[0].out_features) == (128 * 7 * 7, 256)
    norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm1d)]
    assert len(norms) == (0 if timed else 6)
    assert block.fuse.in_features == (768 if timed else 512)
    size = torch.Size(z_shape).numel()
    t = torch.rand(3) if timed else None
    assert block(torch.randn(3, size), torch.rand(3, 1, 28, 28), t).shape == (3, 10)


@pytest.mark.parametrize("timed", [False, True], ids=["chain", "timed"])
def test_the_papers_paths_meet_in_a_concatenation(timed):
    block = NoPropBlock((2, 7, 5), (4,), 3, timed, channels=(2, 3, 4), hidden_size=6).double().eval()
    z, x = torch.randn(5, 4).double(), torch.rand(5, 2, 7, 5).double()
    t = torch.rand(5).double() if timed else None
    label = block.label(z)
    label = label if timed else label + block.label_residual(label)
    parts = [block.image(x), label, *([block.time(t)] if timed else [])]
    torch.testing.assert_close(block(z, x, t), block.out(block.fuse(torch.cat(parts, dim=1))))


# -- baselines ---------------------------------------------------------------------------------------------------------


def flow(block, steps: int) -> NoPropFlow:
    torch.manual_seed(0)
    return NoPropFlow(
        input_shape=(1, 6, 6),
        num_classes=3,
        block=block,
        embedding="learned",
        embed_dim=5,
        ode_steps=steps,
        num_walks=2,
    ).double()


def by_hand(model: NoPropFlow, x: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(7)
    return naive.flow_logits(model, x)


CONV = partial(ConvBlock, channels=(3,), kernel_size=3, hidden_size=6, batch_norm=False)


@pytest.mark.parametrize("block", [MLP, CONV], ids=["mlp", "conv"])
def test_the_adjoint_method_gives_the_gradient_of_the_ode(block):
    x, targets = torch.rand(4, 1, 6, 6, dtype=torch.double), torch.tensor([0, 1, 2, 0])
    errors = []
    for steps in (5, 40):
        model = flow(block, steps)
        torch.manual_seed(7)
        logits = model(inputs=x)["logits"]
        torch.testing.assert_close(logits, by_hand(model, x))
        got, wanted = (
            torch.cat([g.flatten() for g in torch.autograd.grad(F.cross_entropy(y, targets), [*model.parameters()])])
            for y in (logits, by_hand(model, x))
        )
        errors.append(float((got - wanted).norm() / wanted.norm()))
    coarse, fine = errors
    assert fine < coarse / 5 and fine < 0.05  # the solver of the adjoint is of first order: an eighth of the step


@pytest.mark.parametrize("steps", [4, 25])
def test_a_solution_is_kept_at_some_times(steps):
    model, x = flow(MLP, steps), torch.rand(4, 1, 6, 6, dtype=torch.double)
    with torch.no_grad():
        found = model.predict(inputs=x)
    states = min(steps, 10) + 1
    assert found["path"].shape == (4, states, 5) and found["guesses"].shape == (4, states - 1, 3)
    assert found["run_logits"].shape == (4, 2, 3)
    torch.testing.assert_close(found["guesses"][:, -1], found["logits"].softmax(-1))
