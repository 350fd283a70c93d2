"""The built-in components."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from rk.builtin.backprop import Supervised
from rk.builtin.digits import Digits
from rk.builtin.losses import CrossEntropy, MeanSquaredError
from rk.builtin.metrics import Accuracy
from rk.builtin.mlp import MLP
from rk.builtin.optimizers import SGD, Adam, AdamW, RMSprop
from rk.builtin.schedules import Constant, Cosine, Exponential, Linear, Step
from rk.errors import UserError
from rk.sampling import batch_count, generator, rows, with_every_class
from rk.wrappers import LossWrapper


@pytest.mark.parametrize("ignored", [None, -100], ids=["all count", "padding"])
@pytest.mark.parametrize("shape", [(6, 4), (3, 5, 4)], ids=["a class each", "a class per position"])
def test_cross_entropy_over_its_count_is_torchs_mean(ignored, shape):
    torch.manual_seed(0)
    logits, targets = torch.randn(shape), torch.randint(shape[-1], shape[:-1])
    if ignored is not None:
        targets[0] = ignored
    total, count = CrossEntropy(ignore_index=ignored)(logits=logits, targets=targets)
    torch.testing.assert_close(total / count, functional.cross_entropy(logits.flatten(0, -2), targets.flatten()))


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        pytest.param(-100, "loss={name: cross-entropy, ignore_index: -100}", id="undeclared padding"),
        pytest.param(3, "classes are counted from 0", id="one class too many"),
    ],
)
@pytest.mark.parametrize("ignored", [None, -1])
def test_cross_entropy_names_the_target_that_is_not_a_class(target, hint, ignored):
    with pytest.raises(UserError, match=f"a target is {target}, but the model has 3 classes") as caught:
        CrossEntropy(ignored)(logits=torch.randn(2, 3), targets=torch.tensor([0, target]))
    assert hint in caught.value.hint


def test_mean_squared_error_counts_what_the_mask_leaves():
    values, targets = torch.tensor([[1.0, 2.0], [3.0, 9.0]]), torch.zeros(2, 2)
    mask = torch.tensor([[True, True], [True, False]])
    assert [float(x) for x in MeanSquaredError()(values=values, targets=targets)] == [95, 4]
    assert [float(x) for x in MeanSquaredError()(values=values, targets=targets, mask=mask)] == [14, 3]


def test_accuracy_counts_hits_among_the_top_guesses():
    logits, targets = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), torch.tensor([0, 1, -100])
    assert [int(x) for x in Accuracy(ignore_index=-100)(logits=logits, targets=targets)] == [1, 2]
    assert [int(x) for x in Accuracy(top=2, ignore_index=-100)(logits=logits, targets=targets)] == [2, 2]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Constant(), [1, 1, 1, 1, 1]),
        (Constant(warmup_steps=3), [0.25, 0.5, 0.75, 1, 1]),
        (Linear(end=0.2), [1, 0.8, 0.6, 0.4, 0.2]),
        (Cosine(), [1, 0.853553, 0.5, 0.146447, 0]),
        (Exponential(decay=0.5, every=2), [1, 0.707107, 0.5, 0.353553, 0.25]),
        (Step(at=[2, 4], decay=0.1), [1, 1, 0.1, 0.1, 0.01]),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, list) else "",
)
def test_schedules(schedule, expected):
    assert [schedule(1.0, step, 5) for step in range(5)] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("factory", "reference"),
    [
        (SGD(lr=0.1, momentum=0.9, nesterov=True), lambda p: torch.optim.SGD(p, 0.1, 0.9, nesterov=True)),
        (Adam(lr=0.1), lambda p: torch.optim.Adam(p, 0.1)),
        (AdamW(lr=0.1), lambda p: torch.optim.AdamW(p, 0.1)),
        (RMSprop(lr=0.1), lambda p: torch.optim.RMSprop(p, 0.1)),
    ],
    ids=["sgd", "adam", "adamw", "rmsprop"],
)
def test_optimizers_do_what_torchs_own_do(factory, reference):
    weights = []
    for make in (factory, reference):
        torch.manual_seed(0)
        layer = nn.Linear(3, 3)
        optimizer = make(layer.parameters())
        for _ in range(5):
            layer(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        weights.append(layer.weight)
    torch.testing.assert_close(*weights)


@pytest.mark.parametrize(
    "factory", [SGD(lr=0.1), Adam(lr=0.1), AdamW(lr=0.1), RMSprop(lr=0.1)], ids=lambda f: type(f).__name__
)
def test_an_update_changes_the_versions_of_the_weights_that_it_moves_and_of_no_others(factory):
    moved, still = nn.Linear(3, 3), nn.Linear(3, 3)
    optimizer = factory([*moved.parameters(), *still.parameters()])
    moved(torch.ones(2, 3)).square().sum().backward()
    before = moved.weight._version, still.weight._version
    optimizer.step()
    assert moved.weight._version > before[0] and still.weight._version == before[1]


def test_an_epoch_takes_each_row_once_and_each_epoch_in_another_order():
    def epoch(k):
        return torch.cat([rows(10, 3, i, seed=1, shuffle=True) for i in range(4 * k, 4 * k + 4)])

    assert sorted(epoch(0).tolist()) == list(range(10)) == sorted(epoch(1).tolist())
    assert epoch(0).tolist() != epoch(1).tolist()
    assert torch.equal(epoch(0), epoch(0))
    assert not torch.equal(rows(10, 10, 0, seed=2, shuffle=True), rows(10, 10, 0, seed=1, shuffle=True))
    assert rows(10, 4, 2, seed=1, shuffle=False).tolist() == [8, 9]


@pytest.mark.parametrize("batch_size", range(2, 9))
@pytest.mark.parametrize("n_rows", range(2, 30))
def test_no_training_batch_has_one_row_where_an_epoch_has_several(n_rows, batch_size):
    count = batch_count(n_rows, batch_size)
    for epoch in range(2):
        batches = [rows(n_rows, batch_size, epoch * count + i, seed=1, shuffle=True) for i in range(count)]
        assert all(2 <= len(batch) <= batch_size for batch in batches)
        assert set(torch.cat(batches).tolist()) == set(range(n_rows))
        plain = torch.randperm(n_rows, generator=generator(1, epoch))
        if batch_size > 2 or n_rows % 2 == 0:
            assert torch.equal(torch.cat(batches), plain)  # each row once
        if n_rows % batch_size != 1:  # the stream of any earlier run
            assert all(torch.equal(*pair) for pair in zip(batches, plain.split(batch_size), strict=True))


def test_a_batch_of_one_remains_only_where_it_cannot_be_avoided():
    assert rows(1, 4, 0, seed=1, shuffle=True).tolist() == [0]
    assert sorted(int(rows(3, 1, i, seed=1, shuffle=True)) for i in range(3)) == [0, 1, 2]
    assert rows(9, 4, 2, seed=1, shuffle=False).tolist() == [8]  # what is measured stays in order


def test_with_every_class_keeps_rows_of_every_class():
    classes = torch.tensor([0, 0, 0, 0, 1, 2])
    complete = torch.tensor([0, 1, 2, 3, 4, 5])
    assert torch.equal(with_every_class(complete, classes, 2), complete)
    found = with_every_class(torch.tensor([4, 5, 0, 1, 2, 3]), classes, 2)
    assert sorted(found.tolist()) == list(range(6)) and set(classes[found[2:]].tolist()) == {0, 1, 2}
    limited = with_every_class(complete, classes, 1, 4)
    assert sorted(limited.tolist()) == list(range(6)) and set(classes[limited[1:4]].tolist()) == {0, 1, 2}
    few = with_every_class(complete, classes, 0, 2)
    assert sorted(few.tolist()) == list(range(6)) and len(set(classes[few[:2]].tolist())) == 2


def test_generators_of_neighbouring_keys_are_unrelated():
    draws = torch.stack([torch.rand(2000, generator=generator(0, i)) for i in range(4)])
    assert torch.corrcoef(draws).triu(1).abs().max() < 0.1
    assert torch.equal(torch.rand(5, generator=generator(1, 2)), torch.rand(5, generator=generator(1, 2)))
    assert not torch.equal(torch.rand(5, generator=generator(1, 2)), torch.rand(5, generator=generator(2, 1)))


def test_digits_are_split_once_for_all_seeds():
    data = [Digits(seed=s, batch_size=2000) for s in (0, 1)]
    for each in data:
        each.prepare()
    sizes = [len(data[0].batch(split, 0)["targets"]) for split in data[0].splits]
    assert sizes == [1197, 300, 300]
    assert torch.equal(data[0].batch("test", 0)["inputs"], data[1].batch("test", 0)["inputs"])
    assert not torch.equal(data[0].batch("train", 0)["targets"], data[1].batch("train", 0)["targets"])
    everything = torch.cat([data[0].batch(split, 0)["inputs"].flatten(1) for split in data[0].splits])
    assert len(everything) == 1797 and everything.min() == 0 and everything.max() == 1


def test_the_mlp_is_its_blocks_and_its_head():
    model = MLP(num_features=6, num_classes=3, hidden_sizes=(5, 4))
    inputs = torch.randn(2, 2, 3)
    hidden = inputs.flatten(1)
    for block in model.blocks:
        hidden = block(hidden)
    torch.testing.assert_close(model(inputs=inputs)["logits"], model.head(hidden))


def test_ink_on_transparent_paper_is_read_as_ink(tmp_path):
    image = pytest.importorskip("PIL.Image")
    picture = image.new("RGBA", (16, 16), (0, 0, 0, 0))
    picture.paste((0, 0, 0, 255), (6, 2, 10, 14))
    picture.save(tmp_path / "one.png")
    read = Digits(seed=0).read(tmp_path / "one.png")["inputs"][0]
    assert read[4, 3] == 1.0 and read[4, 0] == 0.0


def test_a_sheet_shows_ink_dark_and_colours_as_they_are(tmp_path):
    image = pytest.importorskip("PIL.Image")
    from rk.builtin.pictures import GAP, draw_sheet

    red = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1).expand(3, 4, 4)
    for pictures, color in (
        (torch.ones(1, 4, 4), (0, 0, 0)),
        (torch.ones(1, 1, 4, 4), (0, 0, 0)),
        (red[None], (255, 0, 0)),
    ):
        sheet = image.open(draw_sheet(pictures, ["?"], [None], tmp_path / "sheet"))
        assert sheet.getpixel((GAP + 40, GAP + 40)) == color


def test_digits_give_the_shape_of_their_inputs_as_a_fact():
    data = Digits(seed=0)
    data.prepare()
    assert tuple(data.batch("val", 0)["inputs"].shape[1:]) == data.input_shape


class Penalised(nn.Module):
    """The squared weights of the model beside its output."""

    def watch(self, model: nn.Module) -> None:
        self.weights = [model.scale]

    def forward(self, *, values: torch.Tensor) -> dict[str, tuple[torch.Tensor, int]]:
        return {"fit": (values.sum(), 1), "decay": (self.weights[0].square(), 1)}


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, *, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"values": self.scale * x}


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_loss_that_looks_inside_the_model_is_given_it(wrapped):
    learner = Supervised(Scaled(), LossWrapper(Penalised()) if wrapped else Penalised())
    objective = learner({"x": torch.ones(2)})
    assert {name: float(total.detach()) for name, (total, _) in objective.items()} == {"fit": 6, "decay": 9}
    assert list(learner.state_dict()) == ["model.scale"]
