"""Schedule-free optimizers: the average answers, training continues from where it was, and both survive a kill."""

import pytest
import torch
from rk_optimizers.general import General
from rk_optimizers.schedule_free import ScheduleFreeAdamW, ScheduleFreeSGD
from safetensors.torch import load_file
from torch import nn

from rk import LoadedRun, Runtime
from rk.catalog import Catalog
from rk.recipe.find import RecipeFile
from rk.testing import Trial

RECIPE = """
rk: 1
model: {name: mlp, hidden_sizes: [16], dropout: 0.1}
data: {name: digits, batch_size: 64}
loss: cross-entropy
trainer: {name: backprop, optimizer: OPTIMIZER}
fit: {max_steps: 12, seed: 3, threads: 1, accelerator: cpu}
"""
OPTIMIZERS = {
    "sgd": "{name: schedule-free-sgd, lr: 0.5, warmup_steps: 3}",
    "adamw": "{name: schedule-free-adamw, lr: 1e-2, weight_decay: 0.01}",
    "of pytorch-optimizer": "{name: pytorch-optimizer, algorithm: schedulefreeadamw, lr: 1e-2}",
}


@pytest.fixture(params=OPTIMIZERS.values(), ids=OPTIMIZERS)
def trial(request, tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE.replace("OPTIMIZER", request.param))
    return Trial(RecipeFile(path), Catalog(), tmp_path / "runs")


def train(factory, n):
    """Trains a weight; returns the runtime, the weight and all points ``z``, computed by the paper's equations."""
    weight = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    runtime = Runtime()
    optimizer = runtime.optimizer(factory, [weight])
    for _ in range(n):
        runtime.backward((weight.square().sum() / 2, 1))  # its gradient is the weight
        runtime.update(optimizer)
    return runtime, weight


def test_sgd_is_that_of_the_paper():
    lr, beta, n = 0.3, 0.9, 7
    runtime, weight = train(ScheduleFreeSGD(lr=lr, momentum=beta), n)
    z = x = torch.tensor([1.0, -2.0], dtype=torch.float64)
    for t in range(1, n + 1):
        y = (1 - beta) * z + beta * x  # Eq. 1
        z = z - lr * y  # Eq. 2
        x = (1 - 1 / t) * x + z / t  # Eq. 3
    assert torch.allclose(weight, (1 - beta) * z + beta * x), "while it trains, the weight is y"
    with runtime.answering_weights() as others:
        assert others and torch.allclose(weight, x), "the answer is x"
    assert torch.allclose(weight, (1 - beta) * z + beta * x)


@pytest.mark.parametrize(
    "factory",
    [ScheduleFreeSGD(lr=0.3), ScheduleFreeAdamW(lr=0.1), General("schedulefreesgd", lr=0.3)],
    ids=["sgd", "adamw", "of pytorch-optimizer"],
)
def test_after_an_answer_the_weights_are_bit_equal(factory):
    runtime, weight = train(factory, 5)
    before = weight.detach().clone()
    for _ in range(50):
        with runtime.answering_weights():
            assert not torch.equal(weight, before)
    assert torch.equal(weight, before), "the modes' own arithmetic would have rounded"


def test_before_the_first_step_there_is_nothing_to_average():
    runtime, weight = train(ScheduleFreeAdamW(), 0)
    with runtime.answering_weights():
        assert weight.tolist() == [1.0, -2.0]


def test_validation_does_not_change_training(trial):
    seldom, often = trial.run(12), trial.run(12, validate_every=1)
    a, b = load_file(seldom.folder.model), load_file(often.folder.model)
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_validation_tests_files_and_predictions_are_of_the_average(trial):
    done = trial.run(12, validate_every=4, checkpoint_every=4)
    state = torch.load(done.folder.checkpoint_path(12) / "state.pt")
    answers, trained = load_file(done.folder.checkpoint_path(12) / "model.safetensors"), state["trained"]
    assert answers.keys() == trained.keys() and any(not torch.equal(answers[k], trained[k]) for k in answers)
    final = load_file(done.folder.model)
    assert all(torch.equal(answers[k], final[k]) for k in final)
    run = LoadedRun.open(done.folder.path)
    assert all(torch.equal(final[k], v) for k, v in run.learner.state_dict().items())
    measured = run.evaluate(("val", "test"), limit=2)
    assert measured == {k: pytest.approx(v) for k, v in done.metrics.items()}
    with torch.no_grad():
        for name, value in run.learner.state_dict().items():
            value.copy_(trained[name])
    wrong = run.evaluate(("val",), limit=2)
    assert wrong["val/loss"] != pytest.approx(done.metrics["val/loss"]), "the point at which gradients are taken"


def test_a_run_that_was_cut_off_ends_bit_equal(trial):
    whole = trial.run(12, validate_every=3, checkpoint_every=4)
    cut = trial.run(12, validate_every=3, checkpoint_every=4, cut_at=10)
    again = trial.run(12, validate_every=3, checkpoint_every=4, resume=cut.folder)
    a, b = load_file(whole.folder.model), load_file(again.folder.model)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert whole.metrics == again.metrics
    ends = [torch.load(r.folder.checkpoint_path(12) / "state.pt")["trained"] for r in (whole, again)]
    assert all(torch.equal(ends[0][k], ends[1][k]) for k in ends[0])


def test_a_checkpoint_of_a_run_that_was_cut_off_answers_with_the_average(trial):
    cut = trial.run(12, validate_every=4, checkpoint_every=4, cut_at=10)
    line = next(m for m in cut.logged if m["step"] == 8 and "val/loss" in m)
    assert LoadedRun.open(cut.folder.path).evaluate(("val",), limit=2)["val/loss"] == pytest.approx(line["val/loss"])
