"""fp16: the loss is scaled, gradients are not, and the scale survives a resume.

The scaler itself runs on the CPU here; `fit.precision=16-mixed` asks for a GPU.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

if importlib.util.find_spec("lightning") is None:
    pytest.skip("lightning is not installed", allow_module_level=True)

from rk.builtin.backprop import Backprop
from rk.builtin.optimizers import SGD, Adam
from rk.errors import UserError
from rk.fit import fabric
from rk.fit.loop import Loop
from rk.fit.runtime import Runtime
from rk.recipe.sections import Fit
from rk.runs import RunFolder

HALF = Fit(precision="16-mixed", accelerator="cpu")


@pytest.fixture
def half(monkeypatch):
    """Lets fp16 run on the CPU, with a scale of 1024 that doubles after three finite updates."""
    from lightning.fabric.plugins.precision import MixedPrecision

    make = fabric._fabric

    def on_cpu(fit):
        made = make(replace(fit, precision="bf16-mixed"))
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=3)
        made._precision = made._strategy._precision = MixedPrecision("16-mixed", device="cpu", scaler=scaler)
        return made

    monkeypatch.setattr(fabric, "_fabric", on_cpu)


class Learner(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 1)

    def forward(self, x):
        return self.layer(x).square().sum().float(), len(x)


def updated(runtime, factory, batches):
    learner = Learner()
    objective = runtime.setup(learner)
    optimizer = runtime.optimizer(factory, learner.parameters())
    for x in batches:
        runtime.backward(objective(x))
        runtime.update(optimizer)
    return learner


BATCHES = [torch.randn(8, 4, generator=torch.Generator().manual_seed(i)) for i in range(4)]


@pytest.mark.parametrize("factory", [SGD(lr=0.05), Adam(lr=0.05)], ids=["sgd", "adam, fused"])
def test_the_updates_are_those_of_unscaled_gradients(half, factory):
    runtime = fabric.FabricRuntime(HALF, gradient_clip=1.0)
    norms = []
    runtime.before_update.append(
        lambda params: norms.append(float(torch.cat([p.grad.flatten() for p in params]).norm()))
    )
    found = updated(runtime, factory, BATCHES)
    expected = updated(Runtime(gradient_clip=1.0), factory, BATCHES)
    assert max(norms) < 1.001, "clipped at their true size"
    assert torch.allclose(found.layer.weight, expected.layer.weight, atol=5e-3)
    assert runtime.scaler.get_scale() == 2048.0, "three finite updates"


def test_an_update_with_an_infinite_gradient_is_left_out_and_lowers_the_scale(half):
    runtime = fabric.FabricRuntime(HALF)
    before = Learner().layer.weight
    found = updated(runtime, SGD(lr=0.05), [torch.full((8, 4), 1e4)])
    assert torch.equal(found.layer.weight, before)
    assert runtime.scaler.get_scale() == 512.0


def test_an_optimizer_without_gradients_is_stepped_as_without_a_scale(half):
    runtime = fabric.FabricRuntime(HALF)
    optimizer = runtime.optimizer(SGD(lr=0.1), [torch.nn.Parameter(torch.zeros(1))])
    runtime.update(optimizer)
    assert runtime.scaler.get_scale() == 1024.0


def test_the_scale_is_in_the_checkpoint_and_a_run_that_was_cut_off_ends_bit_equal(half, run, monkeypatch, tmp_path):
    """The recipe is in 32 bits, as it would be refused here; the runtime is not."""
    monkeypatch.setattr(Loop, "_make_runtime", lambda self: fabric.FabricRuntime(HALF, accumulate=2))
    arguments = ("fit.checkpoint_every=4", "fit.accumulate=2")
    whole = run(*arguments)
    folder = RunFolder.create(tmp_path / "runs", "cut")
    step = Backprop.step
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(Backprop, "step", lambda self, b: 1 / 0 if self.runtime.step == 10 else step(self, b))
        run(*arguments, folder=folder)
    stored = torch.load(folder.checkpoint_path(8) / "state.pt")["runtime"]["scaler"]
    assert stored["scale"] == 4096.0 and stored["_growth_tracker"] == 2, "eight updates"
    run(*arguments, folder=folder, resume=True)
    expected, found = load_file(whole.folder.model), load_file(folder.model)
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_on_a_cpu_it_is_refused_and_bf16_advised(run):
    with pytest.raises(UserError, match="16-mixed needs a GPU") as caught:
        run("fit.precision=16-mixed", "fit.accelerator=auto")
    assert caught.value.hint == "fit.precision=bf16-mixed"
