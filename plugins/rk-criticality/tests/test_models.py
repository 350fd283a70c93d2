"""Measurements and critical weights in real networks: perceptrons, convolutions, recurrences, attention, pointers."""

from __future__ import annotations

import json
import math

import pytest
import torch
from rk_criticality.analysis import Criticality
from rk_criticality.callbacks import CriticalInit
from rk_criticality.initial import from_data, from_theory
from rk_criticality.learners import initial_learners
from rk_criticality.measure import measured
from rk_criticality.probes import passed, steps
from rk_criticality.sine_classes import SineClasses
from torch import nn
from torch.nn import functional as F

from rk import UserError
from rk.training import train_inside

RECIPE = """
rk: 1
model: {name: mlp, hidden_sizes: [32, 32, 32], activation: relu}
data: {name: sine-classes, train_size: 60, test_size: 20}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: sgd, lr: 0.1}}
callbacks: [critical-init, criticality-monitor]
fit: {max_steps: 4, validate_every: 2, seed: 3, threads: 1}
"""


class Learner(nn.Module):
    """A network with a squared objective."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, batch):
        y = self.net(batch["inputs"])
        return y.square().sum(), y.numel()


def perceptron(activation, depth=5, width=64):
    hidden = [part for _ in range(depth - 2) for part in (nn.Linear(width, width), activation())]
    return Learner(nn.Sequential(nn.Linear(20, width), activation(), *hidden, nn.Linear(width, 10)))


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(*shape):
    return {"inputs": torch.randn(*shape, generator=random())}


def seeded(make, count):
    for seed in range(count):
        torch.manual_seed(seed)
        yield make()


def test_vectors_in_place_of_the_whole_jacobian_give_its_norm():
    torch.manual_seed(0)
    learner = perceptron(nn.Tanh, depth=4, width=12)
    with passed(learner, batch(3, 20)) as run:
        found = steps(run.probes, 100, random())
        z, parent, first = run.probes[2].z, run.probes[1].z, run.probes[0].z
        for source, value in ((parent, found[2].chi_perp), (first, found[2].from_first)):
            rows = [torch.autograd.grad(unit, source, retain_graph=True)[0] for unit in z.flatten()]
            assert value == pytest.approx(float(sum(r.square().sum() for r in rows)) / z.numel(), rel=0.1)
    assert [s.parent for s in found] == [None, 0, 1, 2] and found[1].activation == "tanh"


def test_measurements_of_real_networks_are_beside_what_the_recursions_predict():
    def make():
        learner = perceptron(nn.GELU)
        from_theory(learner, examples, draws)
        return learner

    examples, draws = batch(8, 20), random(1)
    rows = measured(seeded(make, 24), examples, 2, random())
    assert [row.verdict for row in rows] == ["first", "critical", "critical", "critical", "last"]
    for row in rows[1:]:
        assert row.k == pytest.approx(row.k_predicted, rel=0.3)  # the mean of 24 networks varies by a tenth
        assert row.chi_perp == pytest.approx(row.chi_perp_predicted, rel=0.06)
        assert row.chi_par == pytest.approx(row.chi_par_predicted, rel=0.2)
        assert row.cosine == pytest.approx(row.cosine_predicted, abs=0.1)
    assert [row.v for row in rows[1:4]] == pytest.approx([row.v_predicted for row in rows[1:4]], abs=0.12)
    assert rows[0].k == pytest.approx(3.56, rel=0.1)


def test_the_estimate_of_the_four_point_vertex_has_no_bias_from_the_units_own_variance():
    rows = measured(seeded(lambda: perceptron(nn.ReLU, depth=3, width=16), 150), batch(8, 20), 1, random())
    assert rows[0].v == pytest.approx(0.0, abs=0.02)  # independent units; without the correction 2 / 16
    assert rows[1].v > 0.05


def test_torchs_default_weights_are_ordered_and_the_advice_is_the_critical_point():
    row = measured([perceptron(nn.Tanh)], batch(8, 20), 4, random())[2]
    assert row.verdict == "ordered" and row.advice == "C_W 1, C_b 0 (tanh)"
    assert row.c_w == pytest.approx(1 / 3, rel=0.1)


def test_a_pass_leaves_the_learner_as_it_was():
    net = Learner(nn.Sequential(nn.Linear(20, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Linear(8, 2))).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    rows = measured([net], batch(6, 20), 1, random())
    assert len(rows) == 2 and rows[1].activation is None
    assert net.training and net.net[1].training and not net.net[0]._forward_hooks
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_critical_weights_have_the_variances_of_the_theory():
    learner = perceptron(nn.GELU, width=128)
    assert from_theory(learner, batch(16, 20), random()) == (5, 5)
    weight = learner.net[2].weight
    assert float(weight.detach().var()) * 128 == pytest.approx(1.98305826, rel=0.05)
    assert float(learner.net[2].bias.detach().var()) == pytest.approx(0.17292239, rel=0.4)
    assert float(learner.net[-1].weight.detach().var()) * 128 == pytest.approx(1.0, rel=0.15)


def test_where_the_theory_does_not_apply_weights_stay_and_mode_data_rescales_them():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(a, 8, 3, padding=1) for a in (1, 8, 8))
            self.out = nn.Linear(8, 3)

        def forward(self, x):
            for conv in self.convs:
                x = F.avg_pool2d(torch.sigmoid(conv(x)), 2)
            return self.out(x.mean((2, 3)))

    learner, images = Learner(Pooled()), batch(4, 1, 16, 16)
    before = learner.net.convs[1].weight.clone()
    with pytest.raises(UserError, match="only 1 of 4 layers"):
        CriticalInit(0).apply(learner, images)
    assert torch.equal(learner.net.convs[1].weight, before)
    assert from_data(learner, images, random()) < 0.1
    rows = measured([learner], images, 16, random())
    assert [row.verdict for row in rows][1:3] == ["critical", "critical"]
    assert not torch.equal(learner.net.convs[1].weight, before)


def test_both_ends_of_a_branch_beside_a_skip_are_named():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(20, 16)
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16)) for _ in range(2)
            )
            self.out = nn.Linear(16, 2)

        def forward(self, x):
            x = self.first(x)
            for block in self.blocks:
                x = x + block(x)
            return self.out(x)

    rows = measured([Learner(Residual())], batch(8, 20), 8, random())
    assert [row.name for row in rows if row.verdict == "branch"] == [
        "net.blocks.0.2",
        "net.blocks.1.0",
        "net.blocks.1.2",
        "net.out",
    ]
    assert rows[-1].from_first > 0.1  # through the skips


def test_states_of_a_recurrence_and_layers_that_are_used_without_a_call_are_seen():
    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.LSTM(3, 8, batch_first=True)
            self.decoder = nn.LSTM(3, 8, batch_first=True)
            self.head = nn.ModuleDict({"key": nn.Linear(8, 4)})
            self.head.forward = lambda x: F.linear(x, self.head["key"].weight)

        def forward(self, x):
            _, state = self.encoder(x)
            return self.head(self.decoder(torch.zeros_like(x), state)[0])

    rows = measured([Learner(Decoder())], batch(2, 5, 3), 2, random())
    assert [row.name for row in rows] == ["net.encoder", "net.decoder", "net.head"]
    assert [row.parent for row in rows] == [None, 0, 1] and rows[1].chi_perp > 0


@pytest.mark.parametrize("kind", ["conv-net", "elman", "attention", "pointer-net"])
def test_models_of_other_plugins_are_measured_and_rescaled(kind):
    torch.manual_seed(0)
    if kind == "conv-net":
        model = pytest.importorskip("rk_vision.conv_net").ConvNet((12, 12), 3, (4, 4), (16, 16), batch_norm=False)
        fields = {"inputs": torch.rand(4, 12, 12)}
    elif kind == "pointer-net":
        model = pytest.importorskip("rk_pointer_net.model").PointerNet(input_size=2, hidden_size=8, max_points=5)
        points = torch.rand(4, 5, 2)
        fields = {"points": points, "targets": torch.tensor([[1, 2, 3, 0]] * 4)}
    else:
        layer = pytest.importorskip("rk_rnn.elman" if kind == "elman" else "rk_sequence.attention")
        make = layer.Elman if kind == "elman" else layer.Attention
        stack = nn.Sequential(nn.Linear(3, 8), make(d_model=8), make(d_model=8), nn.Linear(8, 2))
        model, fields = stack, {"input": torch.randn(4, 6, 3)}

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, batch):
            out = self.model(**batch)
            y = next(iter(out.values())) if isinstance(out, dict) else out
            return y[y.isfinite()].square().sum(), y.numel()

    learner = Wrapped()
    rows = measured([learner], fields, 2, random())
    assert len(rows) >= 3 and all(math.isfinite(row.k) for row in rows)
    assert sum(row.chi_perp is not None for row in rows) >= 2
    if kind in ("conv-net", "attention"):
        assert from_data(learner, fields, random()) < 0.2


def test_the_generated_classes_do_not_depend_on_the_seed_of_the_run():
    one, other = SineClasses(0), SineClasses(1)
    one.prepare()
    other.prepare()
    assert torch.equal(one.batch("test", 0)["targets"], other.batch("test", 0)["targets"])
    assert not torch.equal(one.batch("train", 0)["inputs"], other.batch("train", 0)["inputs"])
    counts = torch.bincount(one._rows["test"][1], minlength=10)
    assert counts.min() > 0 and int(counts.max()) == 274


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"activation": "sigmoid"}, "no critical point"),
        ({"mode": "data", "c_w": 1.0}, "for mode theory, got mode data"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        CriticalInit(0, **given)


def test_an_analysis_needs_a_run_or_a_recipe():
    with pytest.raises(ValueError, match="give run or recipe"):
        Criticality()


def test_the_analysis_of_a_run_and_the_monitor_of_its_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text(RECIPE)
    inner = train_inside("net.yaml", name="net", within=tmp_path)
    table = (inner.folder / "criticality.csv").read_text().splitlines()
    assert table[0] == "step,layer,k,chi_perp,gradient" and len(table) == 1 + 3 * 4  # at steps 0, 2 and 4
    assert (inner.folder / "figures" / "criticality.png").is_file()
    out = tmp_path / "out"
    out.mkdir()
    found = Criticality(run=inner.run, inits=3, draws=1).analyze(out)
    assert found["critical"] == 2 and 0.7 < found["growth"] < 1.4
    layers = json.loads((out / "criticality.json").read_text())["layers"]
    assert [row["activation"] for row in layers] == [None, "relu", "relu", "relu"]
    assert (out / "trained.csv").is_file() and (out / "criticality.png").stat().st_size > 1000
    assert "model.blocks.1.0  K " in capsys.readouterr().out
    examples = next(iter(inner.run.batches("train", 1)))
    first, second = initial_learners(inner.run, 2, examples)
    weights = [dict(learner.named_parameters())["model.blocks.1.0.weight"] for learner in (first, second)]
    assert not torch.equal(*weights)
    assert float(weights[0].detach().var()) * 32 == pytest.approx(
        2.0, rel=0.15
    )  # critical-init of the recipe acts on each
