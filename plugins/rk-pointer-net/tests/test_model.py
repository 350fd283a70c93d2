"""The model: fast and slow agree, and no answer depends on what else is in the batch."""

import pytest
import torch
from rk_pointer_net import naive
from rk_pointer_net.attention import AdditivePointer
from rk_pointer_net.data import ConvexHull
from rk_pointer_net.model import PointerNet
from torch.nn import functional as F

from rk import UserError

MODES = ["ptr", "attention", "seq2seq"]


def make_model(**params) -> PointerNet:
    torch.manual_seed(0)
    params = {"max_points": 12, "hidden_size": 7, "init_range": 0.5} | params
    return PointerNet(**params).double()


def make_batch(b: int, n: int, seed: int = 0):
    batch = ConvexHull(seed=seed, num_points=(n, n), batch_size=b).batch("train", 0)
    return batch["points"].double(), batch["targets"]


def loss_of(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def assert_same_gradients(fast: PointerNet, loss: torch.Tensor, slow_loss: torch.Tensor) -> None:
    parameters = dict(fast.named_parameters())
    got = torch.autograd.grad(loss, parameters.values())
    wanted = torch.autograd.grad(slow_loss, parameters.values())
    for name, g, w in zip(parameters, got, wanted, strict=True):
        torch.testing.assert_close(g, w, msg=lambda text, name=name: f"gradient of {name}: {text}")
        assert w.abs().max() > 0, name


@pytest.mark.parametrize("embedding_size", [None, 3], ids=["raw", "embedded"])
@pytest.mark.parametrize("n", [3, 5, 11], ids=lambda n: f"n{n}")
@pytest.mark.parametrize("attention", ["additive", "dot"])
@pytest.mark.parametrize("mode", MODES)
def test_teacher_forcing_in_one_go_equals_one_step_at_a_time(mode, attention, n, embedding_size):
    model = make_model(mode=mode, attention=attention, embedding_size=embedding_size)
    points, targets = make_batch(5, n)
    logits = model(points=points, targets=targets)["logits"]
    slow = naive.forced_logits(model, points, targets)
    assert logits.shape == (5, targets.shape[1], n + 1)
    torch.testing.assert_close(logits, slow)
    assert_same_gradients(model, loss_of(logits, targets), loss_of(slow, targets))


MISTAKES = {
    "a step is fed its own answer": (
        "ptr",
        PointerNet,
        "forward",
        "torch.cat([torch.zeros_like(targets[:, :1]), targets[:, :-1].clamp(min=0)], 1)",
        "targets.clamp(min=0)",
    ),
    "no tanh": ("ptr", AdditivePointer, "forward", "2 * scores - self.v.sum()", "scores"),
    "queries are not doubled": ("ptr", AdditivePointer, "forward", "2 * self.query.weight", "self.query.weight"),
    "keys are not doubled": ("attention", AdditivePointer, "keys", "2 * self.key.weight", "self.key.weight"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_noticed(plant, mistake):
    mode, *where = MISTAKES[mistake]
    plant(*where)
    with pytest.raises(AssertionError):
        test_teacher_forcing_in_one_go_equals_one_step_at_a_time(mode, "additive", 5, None)


@pytest.mark.parametrize("chunk_elements", [1, 1000, 2500], ids=lambda c: f"chunk{c}")
def test_chunks_change_neither_outputs_nor_gradients(chunk_elements):
    whole, chunked = make_model(), make_model(chunk_elements=chunk_elements)
    points, targets = make_batch(5, 9)
    logits = whole(points=points, targets=targets)["logits"]
    slices = chunked(points=points, targets=targets)["logits"]
    torch.testing.assert_close(logits, slices)
    wanted = torch.autograd.grad(loss_of(logits, targets), whole.parameters())
    got = torch.autograd.grad(loss_of(slices, targets), chunked.parameters())
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("mode", MODES)
def test_padded_points_do_not_affect_the_answer(mode):
    model = make_model(mode=mode)
    lengths = torch.tensor([4, 7, 3, 9])
    sets = [make_batch(1, int(n), seed=i) for i, n in enumerate(lengths)]
    steps = max(targets.shape[1] for _, targets in sets)
    points = torch.full((4, 9, 2), 7.7, dtype=torch.double)
    targets = torch.full((4, steps), -100)
    for i, (p, t) in enumerate(sets):
        points[i, : p.shape[1]] = p[0]
        targets[i, : t.shape[1]] = t[0]

    logits = model(points=points, targets=targets, lengths=lengths)["logits"]
    slow = [naive.forced_logits(model, p, t) for p, t in sets]
    for i, (logit, alone) in enumerate(zip(logits, slow, strict=True)):
        real = logit[: alone.shape[1]]
        torch.testing.assert_close(real[:, : alone.shape[2]], alone[0])
        assert (real[:, alone.shape[2] :] == -torch.inf).all(), i
    slow_loss = sum(F.cross_entropy(a[0], t[0], reduction="sum") for a, (_, t) in zip(slow, sets, strict=True))
    assert_same_gradients(model, loss_of(logits, targets) * (targets >= 0).sum(), slow_loss)

    answers = model.predict(points=points, lengths=lengths)
    for i, (p, _) in enumerate(sets):
        alone = model.predict(points=p)
        width = alone["pointers"].shape[1]
        assert answers["pointers"][i, :width].tolist() == alone["pointers"][0].tolist()


@pytest.mark.parametrize("beam_size", [1, 3], ids=["greedy", "beam3"])
@pytest.mark.parametrize("mode", MODES)
def test_an_answer_does_not_depend_on_the_batch(mode, beam_size):
    model = make_model(mode=mode, beam_size=beam_size)
    points, _ = make_batch(6, 8)
    together = model.predict(points=points)
    for i in range(6):
        alone = model.predict(points=points[i : i + 1])
        width = alone["pointers"].shape[1]
        assert together["pointers"][i, :width].tolist() == alone["pointers"][0].tolist()
        assert not together["pointers"][i, width:].any()
        torch.testing.assert_close(together["log_probs"][i], alone["log_probs"][0])


def test_logits_see_no_future():
    model = make_model()
    points, targets = make_batch(4, 6)
    logits = model(points=points, targets=targets)["logits"]
    changed = targets.clone()
    changed[:, 2] = 1
    again = model(points=points, targets=changed)["logits"]
    torch.testing.assert_close(again[:, :3], logits[:, :3])
    assert not torch.allclose(again[:, 3], logits[:, 3])


def test_choice_0_is_end_and_choice_j_is_point_j():
    model = make_model()
    points, _ = make_batch(1, 5)
    read = model._read(points, None)
    keys = read.memory
    encoded = model.encoder(points)[0]
    torch.testing.assert_close(keys[0, 0], model.decoder.pointer.keys(model.decoder.end))
    torch.testing.assert_close(keys[0, 1:], model.decoder.pointer.keys(encoded[0]))
    # what is fed after choosing point j is point j, and START before the first choice
    torch.testing.assert_close(read.table[0], torch.cat([model.start[None], points[0]]))


def test_a_decoder_that_never_ends_stops_when_every_point_could_have_been_named():
    model = make_model(mode="seq2seq")
    torch.nn.init.zeros_(model.decoder.dictionary.weight)
    model.decoder.dictionary.bias.data = torch.arange(13.0).double()  # always the last point, never END
    points, _ = make_batch(2, 4)
    assert model.predict(points=points)["pointers"].tolist() == [[4] * 5] * 2
    model.max_answer = 2
    assert model.predict(points=points)["pointers"].tolist() == [[4] * 2] * 2


def test_pointers_take_more_points_than_training_had_and_dictionaries_refuse():
    points, targets = make_batch(2, 13)
    assert make_model()(points=points, targets=targets)["logits"].shape[-1] == 14
    for mode in ("attention", "seq2seq"):
        model = make_model(mode=mode)
        with pytest.raises(UserError, match=r"13 points: this .* model was built for at most 12") as error:
            model.predict(points=points)
        assert "no such limit" in error.value.hint
        with pytest.raises(UserError):
            model(points=points, targets=targets)


def test_every_weight_starts_within_the_range():
    for mode in MODES:
        for parameter in PointerNet(max_points=5, mode=mode, init_range=0.08).parameters():
            assert 0 < parameter.abs().max() <= 0.08
    assert PointerNet(max_points=5, init_range=None, hidden_size=4).encoder.weight_hh_l0.abs().max() > 0.08


@pytest.mark.parametrize("mode", MODES)
def test_the_loss_falls(mode):
    torch.manual_seed(0)
    data = ConvexHull(seed=0, num_points=(5, 5), batch_size=32)
    model = PointerNet(max_points=5, hidden_size=32, embedding_size=16, mode=mode, init_range=None)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for i in range(60):
        batch = data.batch("train", i)
        loss = loss_of(model(**batch)["logits"], batch["targets"])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 < 0.85 * losses[0]
