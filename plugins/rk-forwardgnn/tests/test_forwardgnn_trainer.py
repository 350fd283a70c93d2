"""Layers end one after the other, get back their best weights, and resume anywhere; hidden labels stay hidden."""

from __future__ import annotations

import copy

import pytest
import torch
from forwardgnn_small import CLASSES, FEATURES, NODES, graph, learner, links, stack
from rk_forwardgnn.chain import LabelChain
from rk_forwardgnn.trainer import ForwardLocal
from rk_vision.conv_net import ConvNet
from rk_vision.mlp_block import MLPBlock

from rk import Runtime, UserError
from rk.builtin.mlp import MLP
from rk.builtin.optimizers import Adam
from rk.fields import IGNORED
from rk.testing import assert_close

METHODS = ["ff-label", "ff-virtual", "single-forward", "sf-top-input", "sf-top-loss"]


class Small:
    """The small graph as data."""

    splits = ("train", "val")
    level = "node"
    num_classes = CLASSES

    def __init__(self, batch=None):
        self.given = graph() if batch is None else batch

    def batches(self, split):
        return 1

    def batch(self, split, i, stage=0):
        return copy.deepcopy(self.given)


def made(method="single-forward", model=None, data=None, state=None, **settings):
    """Returns a trainer of a small stack; with a state, one that resumes."""
    data = data or Small()
    reads = {"sf-top-input": "above", "ff-label": "label"}.get(method, "features")
    trainer = ForwardLocal(Adam(lr=0.02), 0, CLASSES, method, **settings)
    runtime = Runtime()
    trainer.setup(model=model or stack(reads=reads), data=data, runtime=runtime)
    if state is None:
        trainer.begin(data, runtime)
    else:
        weights, of_runtime, of_trainer = state
        for name in ("known", "prototypes"):
            setattr(trainer.learner, name, weights[name].clone())
        trainer.learner.load_state_dict(weights)
        runtime.load_state_dict(of_runtime)
        trainer.load_state_dict(of_trainer)
    return trainer


def take(trainer, steps, values=()):
    """Takes steps, each followed by a validation of the given value; returns how many were taken."""
    for i in range(steps):
        trainer.runtime.step = i
        if trainer.step(trainer.data.batch("train", i)) is None:
            return i
        if i < len(values):
            trainer.validated({"val/accuracy": values[i]})
    return steps


def weights(trainer):
    return copy.deepcopy(trainer.learner.model.blocks.state_dict())


# -- one layer after the other -----------------------------------------------------------------------------------------


def test_layers_learn_in_their_order_and_the_run_ends_with_the_last():
    trainer = made(layer_steps=4)
    for layer in range(3):
        before = weights(trainer)
        take(trainer, 4)
        moved = {name[0] for name, value in weights(trainer).items() if not torch.equal(value, before[name])}
        assert moved == {str(layer)} and trainer.learner.depth == layer + 1
    assert take(trainer, 1) == 0 and trainer.results() == {"layers": 3}


def test_no_gradient_crosses_layers():
    mine = learner("single-forward")
    mine(graph(), 2)[0].backward()
    for layer, block in enumerate(mine.model.blocks):
        assert all((p.grad is None) == (layer != 2) for p in block.parameters())


def test_a_layer_ends_when_the_answer_no_longer_improves():
    trainer = made(patience=2, layer_steps=100)
    take(trainer, 5, [0.1, 0.3, 0.2, 0.3])
    assert trainer.layer == 1 and trainer.updates == 1


def test_a_layer_gets_back_the_weights_of_its_best_validation():
    trainer = made(patience=2, layer_steps=100)
    take(trainer, 2, [0.1, 0.3])
    best = {n: v for n, v in weights(trainer).items() if n.startswith("0.")}
    take(trainer, 2, [0.2, 0.3])
    assert not all(torch.equal(weights(trainer)[n], v) for n, v in best.items())
    take(trainer, 1)
    assert all(torch.equal(weights(trainer)[n], v) for n, v in best.items())


def test_of_a_monitored_loss_less_is_better():
    trainer = made(monitor="val/loss", patience=1)
    take(trainer, 1)
    trainer.validated({"val/loss": 2.0})
    take(trainer, 1)
    trainer.validated({"val/loss": 1.0})
    assert trainer.waited == 0
    trainer.validated({"val/loss": 1.5})
    assert trainer.ends


def test_without_a_monitor_a_layer_keeps_its_last_weights():
    trainer = made(monitor=None, layer_steps=3)
    take(trainer, 3, [0.9, 0.1, 0.1])
    last = weights(trainer)
    take(trainer, 1)
    assert all(torch.equal(weights(trainer)[n], v) for n, v in last.items() if n.startswith("0."))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cut", [2, 5, 8])
def test_a_run_resumes_bit_equal_in_a_layer_and_between_two(method, cut):
    """Validations choose weights and end layers on the way; the cuts are within and after the first layer."""
    values = [0.1, 0.4, 0.3, 0.2, 0.5, 0.1, 0.6, 0.2, 0.2, 0.1, 0.1, 0.1]
    whole, half = made(method, layer_steps=5, patience=3), made(method, layer_steps=5, patience=3)
    taken = take(whole, 12, values)
    take(half, cut, values)
    state = [copy.deepcopy(s.state_dict()) for s in (half.learner, half.runtime, half)]
    resumed = made(method, layer_steps=5, patience=3, state=state)
    assert take(resumed, 12 - cut, values[cut:]) == max(taken - cut, 0)
    found = resumed.learner.state_dict()
    for name, value in whole.learner.state_dict().items():
        assert value == found[name] if isinstance(value, dict) else torch.equal(value, found[name]), name
    assert_close(resumed.learner.predict(graph())["logits"], whole.learner.predict(graph())["logits"], 0.0)


def test_a_run_that_loses_power_in_the_second_layer_ends_as_one_that_does_not(tmp_path):
    """The real loop, with validations that choose weights: the kit's own check is without them."""
    from rk.catalog import Catalog
    from rk.recipe.find import find_recipe
    from rk.testing import Trial

    catalog = Catalog()
    small = ("data.num_nodes=120", "model.d_model=8", "trainer.layer_steps=4")
    trial = Trial(find_recipe("forwardgnn/block-model-quick", catalog.plugins), catalog, tmp_path, small)
    whole = trial.run(9, validate_every=1, checkpoint_every=2)
    cut = trial.run(9, validate_every=1, checkpoint_every=2, cut_at=7)
    resumed = trial.run(9, validate_every=1, checkpoint_every=2, resume=cut.folder)
    assert whole.metrics["run/layers"] == 2 and resumed.metrics == whole.metrics
    for one, other in zip(whole.learner.parameters(), resumed.learner.parameters(), strict=True):
        assert torch.equal(one, other)


# -- all layers at once ------------------------------------------------------------------------------------------------


def test_with_signals_from_above_all_layers_learn_in_each_step():
    for method in ("sf-top-input", "sf-top-loss"):
        trainer = made(method, layer_steps=3)
        before = weights(trainer)
        take(trainer, 1)
        assert all(not torch.equal(v, before[n]) for n, v in weights(trainer).items() if n.endswith("weight"))
        assert take(trainer, 5) == 2 and trainer.results() == {"layers": 3}


def test_even_layers_are_updated_before_odd_ones():
    """The middle layer reads what its neighbours have become in this step, not what they were."""
    trainer, other = made("sf-top-input"), made("sf-top-input", alternating_update=False)
    for each in (trainer, other):
        take(each, 1)
    first = [torch.equal(a, b) for a, b in zip(trainer.states, other.states, strict=True)]
    assert first == [True, False, True]


def test_a_label_reaches_the_layers_from_above():
    mine, batch = learner("sf-top-input"), graph()
    before = mine.bottom_up(batch)
    one = mine.given(batch, 2, before)
    mine.known[0] = 2
    assert not torch.equal(mine.given(batch, 2, before)[0], one[0])


# -- which labels are seen ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_answers_read_no_target_of_the_batch(method):
    mine, batch = learner(method), graph(asked=slice(8, None))
    mine.depth = 3
    other = batch | {"targets": (batch["targets"] + 1) % CLASSES}
    with torch.no_grad():
        answer = mine.predict(batch)["logits"]
        assert torch.equal(answer, mine.predict(other)["logits"])
        without = {name: value for name, value in batch.items() if name != "targets"}
        assert torch.equal(answer, mine.predict(without)["logits"])


def test_only_training_nodes_have_virtual_edges():
    mine = learner("single-forward")
    for batch in (graph(), graph(asked=slice(8, None))):
        edges = mine.stage(batch, 0, "answering").views.context[0]
        virtual = edges[:, (edges >= NODES).any(0)]
        assert sorted(virtual[virtual < NODES].unique().tolist()) == list(range(8))
        assert virtual.shape[1] == 2 * 8


def test_edges_may_lead_to_virtual_nodes_alone():
    mine = learner("single-forward", both_ways=False)
    edges = mine.stage(graph(), 0, "answering").views.context[0]
    assert int((edges[1] >= NODES).sum()) == 8 and not (edges[0] >= NODES).any()


def test_wrong_views_have_the_hidden_nodes_of_the_true_one():
    batch, mine = graph(), learner("ff-virtual")
    stage = mine.stage(batch, 1, "training")
    rows = stage.views.apart(stage.views.handed_on(torch.rand(stage.views.count * (NODES + CLASSES), 6)).dense())
    assert all(torch.equal(view, rows[0]) for view in rows)


def test_another_graph_is_answered_without_labels():
    mine, batch = learner("single-forward"), graph()
    part = batch | {"x": batch["x"][:6], "edge_index": batch["edge_index"][:, (batch["edge_index"] < 6).all(0)]}
    assert mine.labels_of(part).tolist() == [IGNORED] * 6
    assert mine.predict(part)["logits"].shape == (6, CLASSES)


def test_prototypes_are_drawn_once_by_the_seed():
    assert torch.equal(learner("single-forward").prototypes, learner("ff-virtual").prototypes)
    assert not torch.equal(learner("single-forward").prototypes, learner("single-forward", seed=1).prototypes)
    assert learner("single-forward").prototypes.shape == (CLASSES, FEATURES)


# -- images ------------------------------------------------------------------------------------------------------------


def images(n=12):
    """Returns images with a bright band, whose place is the class."""
    random = torch.Generator().manual_seed(0)
    targets = torch.arange(n) % CLASSES
    inputs = 0.2 * torch.rand(n, 8, 8, generator=random)
    for image, target in zip(inputs, targets.tolist(), strict=True):
        image[2 + 2 * target : 4 + 2 * target] += 0.8
    return {"inputs": inputs, "targets": targets}


class Images(Small):
    level = None

    def __init__(self):
        super().__init__(images())


IMAGE_MODELS = {
    "mlp": lambda: MLP(num_features=64, num_classes=CLASSES, hidden_sizes=(12, 12)),
    "conv-net": lambda: ConvNet(input_shape=(8, 8), num_classes=CLASSES, channels=(6, 8)),
    "label-chain": lambda: LabelChain(
        block=MLPBlock, input_shape=(8, 8), num_classes=CLASSES, d_model=16, num_layers=2
    ),
}


@pytest.mark.parametrize("method", ["single-forward", "ff-label"])
@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_blocks_of_images_learn_alone(name, method):
    torch.manual_seed(0)
    trainer = made(method, IMAGE_MODELS[name](), Images(), layer_steps=60, monitor=None)
    batch = trainer.data.batch("train", 0)
    for layer in range(2):
        before = float(trainer.learner.eval()(batch, layer)[0].detach())
        trainer.learner.train()
        take(trainer, 60)
        assert float(trainer.learner.eval()(batch, layer)[0].detach()) < before
        trainer.learner.train()
    answer = trainer.learner.eval().predict(batch)
    assert answer["depth_logits"].shape == (12, 2, CLASSES)
    if method == "single-forward":  # convolutions do not see a label in a corner everywhere
        assert (answer["logits"].argmax(-1) == batch["targets"]).all()


def test_layers_below_keep_their_statistics_while_others_learn():
    torch.manual_seed(0)
    trainer = made("single-forward", IMAGE_MODELS["conv-net"](), Images(), layer_steps=3)
    take(trainer, 3)
    norm = trainer.learner.model.blocks[0][1]
    mean = norm.running_mean.clone()
    take(trainer, 2)
    assert torch.equal(norm.running_mean, mean) and norm.training
    assert int(trainer.learner.model.blocks[1][1].num_batches_tracked) == 2


# -- messages ----------------------------------------------------------------------------------------------------------


class Links(Small):
    level = "link"

    def __init__(self):
        super().__init__(links())


class Parts(Small):
    def batches(self, split):
        return 2


REFUSED = [
    ({"method": "single-forward", "data": Links()}, "the method single-forward does not fit"),
    ({"method": "fl-link"}, "the method fl-link does not fit"),
    ({"method": "ff-virtual", "data": Images()}, "needs a graph"),
    ({"method": "sf-top-input", "model": stack()}, "needs blocks that read from above"),
    ({"data": Parts()}, "needs the whole graph in each batch"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED)
def test_what_does_not_fit_is_refused(given, message):
    with pytest.raises(UserError, match=message) as caught:
        made(**given)
    assert caught.value.hint


def test_layers_of_different_widths_have_no_mean():
    from functools import partial

    from rk_graphs.layers import GCN
    from rk_graphs.model import GNN

    model = partial(GNN, layer=GCN, num_features=FEATURES, num_outputs=CLASSES, level="node", d_model=6)
    trainer = made("sf-top-loss", model().double())
    with pytest.raises(UserError, match="layers of one width"):
        take(trainer, 1)


def test_too_few_features_for_a_label_are_refused():
    narrow = graph() | {"x": graph()["x"][:, :2]}
    with pytest.raises(UserError, match="there are only 2"):
        learner("ff-label", stack(num_features=2), narrow)(narrow, 0)


def test_an_unknown_monitor_is_named():
    trainer = made(monitor="val/acuracy")
    with pytest.raises(UserError, match="there is no 'val/acuracy'"):
        take(trainer, 1, [0.5])
