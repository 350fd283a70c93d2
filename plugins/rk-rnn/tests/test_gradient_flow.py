"""How much gradient is left so many steps back: against autograd, through masks, and in whole runs."""

import csv
from types import SimpleNamespace

import pytest
import torch
from rk_rnn import naive
from rk_rnn.bidirectional import Bidirectional
from rk_rnn.flow import gradient_by_lag
from rk_rnn.gradient_flow import GradientFlow
from rk_rnn.gru import GRU
from rk_rnn.irnn import IRNN
from rk_rnn.lstm import LSTM
from rk_sequence.model import SequenceModel
from torch import Tensor, nn

from rk import UserError
from rk.authoring import Record
from rk.builtin.backprop import Supervised
from rk.builtin.losses import CrossEntropy

D = 5


class Learner(nn.Module):
    """A layer and the sum of what it gives at the last step."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer.double()

    def forward(self, batch):
        y = self.layer(batch["inputs"], batch.get("mask"))
        last = -1 if "mask" not in batch else batch["mask"].sum(1) - 1
        return y[torch.arange(len(y)), last].sum(), len(y)


def plainly(layer: LSTM, x: Tensor) -> list[float]:
    """dL/dS from a loop that keeps every state."""
    state, states = layer.initial_state(len(x)), []
    for t in range(x.shape[1]):
        y, state = naive.lstm(layer, x[:, t : t + 1], state)
        state = tuple(s.clone() for s in state)  # as the next step sees it: h is no longer a function of s
        states.append(state)
    gradients = torch.autograd.grad(y.sum(), [s for state in states[:-1] for s in state])
    pairs = zip(gradients[::2], gradients[1::2], strict=True)
    return [float((h.square().sum(1) + s.square().sum(1)).sqrt().mean()) for h, s in pairs][::-1]


def test_the_norms_are_those_of_autograd_and_the_layer_is_left_as_it_was():
    torch.manual_seed(0)
    learner, x = Learner(LSTM(d_model=D, hidden_size=7)), torch.randn(4, 9, D).double()
    assert gradient_by_lag(learner, {"inputs": x}) == pytest.approx(plainly(learner.layer, x))
    assert "forward" not in vars(learner.layer)
    assert all(p.grad is None for p in learner.parameters())


def test_lags_are_counted_from_each_row_s_own_last_step():
    torch.manual_seed(0)
    learner, x = Learner(LSTM(d_model=D)), torch.randn(2, 9, D).double()
    long, short = plainly(learner.layer, x[:1]), plainly(learner.layer, x[1:, :4])
    mask = torch.arange(9) < torch.tensor([[9], [4]])
    found = gradient_by_lag(learner, {"inputs": x, "mask": mask})
    assert found == pytest.approx([(a + b) / 2 for a, b in zip(long, short, strict=False)] + long[3:])


def test_an_irnn_without_input_passes_all_of_it_on():
    learner = Learner(IRNN(d_model=D))
    nn.init.ones_(learner.layer.bias_ih)  # every unit is active
    found = gradient_by_lag(learner, {"inputs": torch.zeros(2, 30, D).double()})
    assert found == pytest.approx([D**0.5] * 29)


class Tagger(nn.Module):
    """A layer with a class for each step."""

    def __init__(self, loss) -> None:
        super().__init__()
        self.layer = GRU(d_model=D)
        self.loss = loss

    def forward(self, batch):
        return self.loss(logits=self.layer(batch["inputs"]), targets=batch["targets"])


def test_of_targets_for_each_step_the_last_one_counts():
    learner = Tagger(CrossEntropy(ignore_index=-100))
    x, targets = torch.randn(3, 6, D), torch.randint(D, (3, 6))
    other = torch.randint(D, (3, 6))
    other[:, -1] = targets[:, -1]
    found = gradient_by_lag(learner, {"inputs": x, "targets": targets})
    assert found == gradient_by_lag(learner, {"inputs": x, "targets": other}) and min(found) > 0
    with pytest.raises(UserError, match="last one alone"):
        gradient_by_lag(Tagger(CrossEntropy()), {"inputs": x, "targets": targets})


def test_lags_are_counted_from_each_row_s_last_target():
    learner = Tagger(CrossEntropy(ignore_index=-100))
    x, targets = torch.randn(2, 6, D), torch.randint(D, (2, 6))
    targets[0, 5], targets[1, 3:] = -100, -100
    ends = ((slice(0, 1), slice(5)), (slice(1, 2), slice(3)))
    cut = [gradient_by_lag(learner, {"inputs": x[at], "targets": targets[at]}) for at in ends]
    both = gradient_by_lag(learner, {"inputs": x, "targets": targets})
    assert both == pytest.approx([(a + b) / 2 for a, b in zip(*cut, strict=False)] + cut[0][2:])


def test_the_halves_of_a_bidirectional_layer_are_not_followed():
    model = SequenceModel(
        layer=lambda d_model: Bidirectional(d_model=d_model, layer=GRU),
        vocab_size=None,
        num_features=D,
        num_outputs=2,
        readout="step",
    )
    with pytest.raises(UserError, match="no layer of this model keeps a state"):
        gradient_by_lag(Supervised(model, CrossEntropy(ignore_index=-100)), {})


@pytest.mark.parametrize(
    "learner, layer, message",
    [
        (Learner(nn.Linear(D, D)), 0, "no layer of this model keeps a state"),
        (Learner(LSTM(d_model=D)), 1, "no layer 1"),
        (nn.Module(), 0, "no loss"),
    ],
    ids=["no-state", "no-such-layer", "no-loss"],
)
def test_a_learner_that_cannot_be_followed_is_refused(learner, layer, message):
    with pytest.raises(UserError, match=message):
        gradient_by_lag(learner, {"inputs": torch.randn(2, 3, D).double()}, layer)


RECIPE = """
rk: 1
model: {name: sequence, layer: {name: NAME}, d_model: 8, norm: none, residual: false}
data: {name: adding, length: 12, batch_size: 16, val_examples: 32, test_examples: 32}
loss: mse
trainer: {name: backprop, optimizer: adam}
callbacks: [gradient-flow]
fit: {max_steps: 4, seed: 1, validate_every: 2, threads: 1}
"""


def run(*args: object) -> None:
    """Runs `rk` in this process."""
    from rk.cli import cli

    assert not cli([str(a) for a in args], standalone_mode=False)


def test_a_run_has_a_table_and_a_figure_and_two_runs_are_drawn_together(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("elman", "lstm"):
        (tmp_path / f"{name}.yaml").write_text(RECIPE.replace("NAME", name))
        run("train", f"{name}.yaml", "--runs-dir", "runs")
    runs = {name: next((tmp_path / "runs" / name).iterdir()) for name in ("elman", "lstm")}
    with (runs["lstm"] / "gradient-flow.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["lag", "step 0", "step 2", "step 4"]
    assert [int(row[0]) for row in rows] == list(range(1, 12)) and all(float(x) > 0 for row in rows for x in row)
    assert (runs["lstm"] / "figures" / "gradient-flow.png").stat().st_size > 1000

    capsys.readouterr()
    run("analyze", "gradient-flow", "--run", runs["lstm"], "--baseline", runs["elman"], "--runs-dir", "analyses")
    printed = capsys.readouterr().out
    assert "run/left" in printed and "baseline/lag-11" in printed
    assert len(list((tmp_path / "analyses").rglob("gradient-flow.png"))) == 1


def test_a_split_that_is_not_there_is_named():
    class Task:
        splits = ("train", "val")

    with pytest.raises(UserError, match="no split 'vall'") as error:
        GradientFlow(split="vall").fit_start(SimpleNamespace(data=Task(), step=0))
    assert "val" in error.value.hint


def test_a_resumed_run_continues_its_curves():
    callback, again = GradientFlow(), GradientFlow()
    callback.record = Record([0, 10], [[1.0, 0.5], [2.0, 1.5]])
    again.load_state_dict(callback.state_dict())
    assert again.record == callback.record and again.record.rows is not callback.record.rows
