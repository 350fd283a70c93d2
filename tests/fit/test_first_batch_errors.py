"""What does not fit is the recipe's mistake: it is found before the first step, and named in the user's terms."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from rk.builtin.backprop import Backprop
from rk.builtin.digits import Digits
from rk.builtin.mlp import MLP
from rk.errors import RunFailed, UserError
from rk.fit.failures import FirstBatchError
from rk.fit.loop import Loop
from rk.fit.rehearsal import Rehearsal
from rk.runs import RunFolder


def runs():
    return list(RunFolder.all(Path("runs")))


def test_shapes_that_do_not_fit_name_the_component_the_line_and_the_fields(run, monkeypatch):
    monkeypatch.setattr(MLP, "forward", lambda self, *, inputs: {"logits": inputs.view(-1, 7) @ torch.ones(3, 2)})
    with pytest.raises(FirstBatchError) as caught:
        run()
    assert "the first batch fails in" in caught.value.message and "RuntimeError" in caught.value.message
    assert "inputs float32 (64, 8, 8), targets int64 (64,)" in caught.value.message
    assert "bug" not in caught.value.render()
    assert runs() == [], "nothing was learned, so nothing is left"


def test_a_metric_that_does_not_fit_is_found_before_the_first_step(run, monkeypatch):
    monkeypatch.setattr(Loop, "_train", lambda self, signal: pytest.fail("it trained"))

    def wrong(*, logits, targets):
        raise IndexError("too many indices")

    monkeypatch.setattr(Digits, "metrics", {"accuracy": wrong})
    with pytest.raises(FirstBatchError, match="IndexError: too many indices"):
        run()


def test_a_loss_without_gradient_names_the_command_that_lists_what_fits(run, monkeypatch):
    forward = MLP.forward
    monkeypatch.setattr(
        MLP, "forward", lambda self, *, inputs: {"logits": forward(self, inputs=inputs)["logits"].detach()}
    )
    with pytest.raises(FirstBatchError, match="does not require grad") as caught:
        run()
    assert "rk list trainer --fits model=mlp" in caught.value.hint


def test_an_error_after_the_first_step_is_a_bug_and_leaves_its_traceback(run, monkeypatch):
    step, count = Backprop.step, [0]

    def second_fails(self, batch):
        count[0] += 1
        if count[0] > 1:
            raise RuntimeError("of the plugin")
        return step(self, batch)

    monkeypatch.setattr(Backprop, "step", second_fails)
    with pytest.raises(RuntimeError, match="of the plugin"):
        run()
    assert "of the plugin" in runs()[0].traceback.read_text()


@pytest.mark.parametrize(
    "error",
    [MemoryError("std::bad_alloc"), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9")],
    ids=["host", "torch"],
)
@pytest.mark.parametrize("at, kind", [(1, UserError), (9, RunFailed)], ids=["first step", "later"])
def test_running_out_of_memory_is_reported_with_a_hint_and_what_is_kept(run, monkeypatch, error, at, kind):
    step, count = Backprop.step, [0]

    def out(self, batch):
        count[0] += 1
        if count[0] == at:
            raise error
        return step(self, batch)

    monkeypatch.setattr(Backprop, "step", out)
    with pytest.raises(kind, match="out of memory") as caught:
        run("fit.checkpoint_every=4")
    assert "a smaller data.batch_size" in caught.value.hint
    assert ("the checkpoint of step 8 is kept" in caught.value.hint) is (at == 9)


def test_a_monitored_variant_that_no_learner_has_is_refused_before_the_first_step(run, monkeypatch):
    monkeypatch.setattr(Loop, "_train", lambda self, signal: pytest.fail("it trained"))
    with pytest.raises(UserError, match=r"fit.monitor: there is no .val/accuracy@best.") as caught:
        run("fit.monitor=val/accuracy@best")
    assert "did you mean val/accuracy?" in caught.value.hint
    assert runs() == []


def test_a_learner_without_an_objective_has_no_loss_to_monitor():
    assert Rehearsal(nn.Linear(2, 2), {}).metrics == {"loss"}
    assert Rehearsal(nn.ParameterList(), {"accuracy": None}).metrics == {"accuracy"}


def test_the_rehearsal_leaves_no_trace(run, monkeypatch):
    from safetensors.torch import load_file

    from rk.fit import loop

    with_it = load_file(run().folder.model)
    monkeypatch.setattr(loop.Rehearsal, "run", lambda self, *args: None)
    without = load_file(run().folder.model)
    assert all(torch.equal(with_it[name], without[name]) for name in without)
