"""`fit.compile`: the objective is compiled; weights, their names and answers stay as they are."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file

from rk.builtin.backprop import Backprop
from rk.errors import UserError
from rk.fit.loaded import LoadedRun
from rk.fit.runtime import Runtime
from rk.runs import RunFolder

NO_DROPOUT = ("model.dropout=0.0", "fit.max_steps=10", "trainer.optimizer.schedule=constant")


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture
def eagerly(monkeypatch):
    """Traces as torch.compile does, and runs what was traced without a C++ compiler."""
    compiled = torch.nn.Module.compile
    seen = []
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda self: seen.append(type(self).__name__) or compiled(self, backend="aot_eager")
    )
    return seen


def test_it_learns_what_it_learns_without(run, eagerly):
    plain, compiled = run(*NO_DROPOUT), run(*NO_DROPOUT, "fit.compile=true")
    assert eagerly == ["Supervised"]
    expected, found = load_file(plain.folder.model), load_file(compiled.folder.model)
    assert expected.keys() == found.keys()
    assert all(torch.allclose(value, found[name], atol=1e-5) for name, value in expected.items())


def test_its_run_loads_and_answers_without_it(run, eagerly, catalog):
    compiled = run(*NO_DROPOUT, "fit.compile=true")
    eagerly.clear()
    assert LoadedRun.open(compiled.folder.path, catalog).evaluate() == compiled.metrics and not eagerly


def test_a_run_that_was_cut_off_ends_bit_equal(run, eagerly, monkeypatch, tmp_path):
    arguments = (*NO_DROPOUT, "fit.compile=true", "fit.checkpoint_every=4")
    whole = run(*arguments)
    folder = RunFolder.create(tmp_path / "runs", "cut")
    step = Backprop.step
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(Backprop, "step", lambda self, b: 1 / 0 if self.runtime.step == 6 else step(self, b))
        run(*arguments, folder=folder)
    run(*arguments, folder=folder, resume=True)
    expected, found = load_file(whole.folder.model), load_file(folder.model)
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
def test_the_usual_backend_compiles_an_objective(monkeypatch):
    class Learner(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 2)

        def forward(self, batch):
            return self.layer(batch["x"]).square().sum(), len(batch["x"])

    learner = Learner()
    objective = Runtime(compiled=True).setup(learner)
    total, count = objective({"x": torch.ones(3, 4)})
    assert count == 3 and total.item() == pytest.approx(learner.forward({"x": torch.ones(3, 4)})[0].item(), rel=1e-5)
    assert list(learner.state_dict()) == ["layer.weight", "layer.bias"]


def test_a_compiler_that_fails_is_reported_without_a_traceback(run, monkeypatch):
    def fails(self):
        def call(*args, **kwargs):
            raise torch._dynamo.exc.InternalTorchDynamoError("no compiler here")

        self._compiled_call_impl = call

    monkeypatch.setattr(torch.nn.Module, "compile", fails)
    with pytest.raises(UserError, match=r"fit\.compile: torch\.compile failed: no compiler here") as caught:
        run("fit.compile=true")
    assert caught.value.hint == "fit.compile=false"
