"""Two processes learn what one would: real processes, real DDP, on the CPU."""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

if importlib.util.find_spec("lightning") is None:  # found, not imported: that takes seconds of every collection
    pytest.skip("lightning is not installed", allow_module_level=True)

from rk.catalog import Catalog
from rk.errors import ExitCode, RunFailed, UserError
from rk.fit import launch
from rk.fit.launch import run_processes
from rk.fit.loaded import LoadedRun
from rk.fit.loop import Loop
from rk.recipe import check_recipe
from rk.recipe.model import RunRef
from rk.recipe.sections import Fit
from rk.runs import RunFolder
from rk.testing import Trial
from rk.testing.checks import objective_is_drawn
from rk.testing.contract import recipes_of, samples_of
from rk.testing.kills import RUN
from rk.testing.zygote import shared_zygote

TASK = '''
from typing import TypedDict
import torch
from jaxtyping import Float
from torch import Tensor, nn
from rk.sampling import generator

class Batch(TypedDict):
    x: Float[Tensor, "batch 5"]
    y: Float[Tensor, "batch"]
    weights: Float[Tensor, "batch"]

class Outputs(TypedDict):
    values: Float[Tensor, "batch"]

class Ragged:
    """Batches of 3 to 40 rows, some of which count for nothing."""
    splits = ("train",)
    def batches(self, split: str) -> int:
        return 1000
    def batch(self, split: str, i: int, stage: int = 0) -> Batch:
        random = generator(1, i)
        x = torch.randn(3 + 37 * (i % 2), 5, generator=random)
        return {"x": x, "y": x.sum(1) + i % 2, "weights": (torch.rand(len(x), generator=random) < 0.7).float()}

class Net(nn.Module):
    """A hidden layer, and one that is never used."""
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))
        self.unused = nn.Linear(3, 3)
    def forward(self, *, x: Float[Tensor, "batch 5"]) -> Outputs:
        return {"values": self.layers(x).squeeze(1)}

class Squares:
    """The weighted squared error.

    Args:
        way: `terms` adds the absolute error, over all rows; `means` is what one must not return.
    """
    def __init__(self, way: str = "sum") -> None:
        self.way = way
    def __call__(self, *, values: Float[Tensor, "batch"], y: Float[Tensor, "batch"], weights: Float[Tensor, "batch"]):
        squared = ((values - y).square() * weights).sum()
        if self.way == "means":
            return squared / weights.sum().clamp(min=1), 1
        if self.way == "terms":
            return {"squared": (squared, weights.sum()), "absolute": ((values - y).abs().sum(), len(y))}
        return squared, weights.sum()
'''
RECIPE = """
rk: 1
model: net
data: ragged
loss: {name: squares, way: WAY}
trainer: {name: backprop, optimizer: {name: sgd, lr: 0.1}}
fit: {max_steps: 12, seed: 1, threads: 1, accelerator: cpu, gradient_clip: 1.0}
"""


@pytest.fixture(scope="module", autouse=True)
def zygote():
    """Runs `rk` in forks, which fork the processes of their runs, as this process does: all that they need is imported
    once here and once in the zygote."""
    for name in ("lightning.fabric", "torch._dynamo", "sklearn.datasets"):
        importlib.import_module(name)
    shared_zygote().call("os:getpid")
    return shared_zygote()


@pytest.fixture(autouse=True)
def several(monkeypatch):
    """What the processes run, importable by name in them. They are forked; the one that torchrun starts is not."""
    torch.set_num_threads(1)  # a forked process cannot use the threads of this one
    monkeypatch.setattr(launch, "START_METHOD", "fork")
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("several")


@pytest.fixture
def ragged(workshop, tmp_path):
    plugin = workshop.plugin(
        "ragged", TASK, data={"ragged": "Ragged"}, models={"net": "Net"}, losses={"squares": "Squares"}
    )
    paths = {}
    for way in ("sum", "terms", "means"):
        paths[way] = tmp_path / f"{way}.yaml"
        paths[way].write_text(RECIPE.replace("WAY", way))
    return workshop.catalog(plugin), paths


def far(some, others):
    """Returns the largest difference of two sets of weights.

    The statistics of batch norm are left out: each process has those of its own batches.
    """
    names = [k for k in others if not k.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    return max(float((torch.as_tensor(some[k]) - torch.as_tensor(others[k])).abs().max()) for k in names)


def test_two_processes_reach_the_weights_of_one_with_twice_the_micro_batches(several, ragged, tmp_path):
    catalog, paths = ragged
    jobs = [(str(paths[way]), (f"fit.accumulate={n}",)) for way in ("sum", "terms") for n in (1, 2, 3)]
    jobs.append((str(paths["means"]), ("fit.accumulate=1",)))
    found_by_two = run_processes(Fit(devices=2, accelerator="cpu"), several.many, catalog, tmp_path, jobs)
    alone = several.many(
        Fit(), catalog, tmp_path, [(path, (f"fit.accumulate={2 * int(o[0][-1])}",)) for path, o in jobs]
    )
    for found, expected in zip(found_by_two[: len(jobs) - 1], alone[:-1], strict=True):
        assert far(found, expected) < 2e-5
    assert far(found_by_two[len(jobs) - 1], alone[0]) > 1e-2  # a mean of means is another objective
    for found, expected in zip(found_by_two[len(jobs) :], alone, strict=False):  # each holding half of the weights
        assert far(found, expected) < 2e-5


def test_processes_agree_though_one_has_more_batches(several, tmp_path, catalog):
    means, largest, buffers, total = run_processes(Fit(devices=2, accelerator="cpu"), several.agreed, catalog, tmp_path)
    assert means == {"loss": 1.5, "only-here": 5.0}
    assert (largest, buffers, total) == (1, [1.0, 1.0], 4.0)


def shared(catalog, scratch):
    """Yields one recipe of every plugin that has one which processes can share.

    That is one for `backprop`: other trainers may have reasons to refuse. And its objective is not drawn at random, by
    dropout either, as each process draws numbers of its own. It begins from no other run, which would be trained first.
    """
    for plugin in catalog.plugins:
        for file in samples_of(recipes_of(plugin, catalog), catalog):
            recipe = check_recipe(file, (), catalog).valid()
            if recipe.trainer is None or recipe.trainer.component.qualified != "rk/backprop":
                continue
            if any(isinstance(value, RunRef) for spec in recipe.specs() for value in spec.params.values()):
                continue
            try:
                parts = Trial(file, catalog, scratch).build().parts
            except UserError as error:
                if "cannot be downloaded" in error.message:  # no network, and the data set is not here
                    continue
                raise
            batch = parts.data.batch("train", 0)
            if not objective_is_drawn(parts.learner, batch) and not is_drawn_in_training(parts.learner, batch):
                yield file
                break


def is_drawn_in_training(learner, batch):
    learner.train()
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        objective = learner(batch)
        found.append([float(term[0]) for term in (objective.values() if isinstance(objective, dict) else [objective])])
    return found[0] != found[1]


def test_a_recipe_of_every_plugin_learns_the_same_in_two_processes(several, tmp_path):
    catalog = Catalog()
    short = ("fit.max_steps=3", "fit.threads=1", "fit.workers=0", "fit.monitor=null", "expect=[]")
    # Adam's first steps have the size of the rate, whatever is left of a gradient: it would show rounding at full size
    plainly = "trainer={name: backprop, optimizer: {name: sgd, lr: 0.1}}"
    jobs = [(str(file.path), (*short, plainly)) for file in shared(catalog, tmp_path)]
    assert jobs
    found_by_two = run_processes(Fit(devices=2, accelerator="cpu"), several.many, catalog, tmp_path, jobs)
    alone = several.many(Fit(), catalog, tmp_path, [(f, (*overrides, "fit.accumulate=2")) for f, overrides in jobs])
    for (name, _), found, expected in zip(jobs, found_by_two, alone, strict=True):
        assert far(found, expected) < 1e-5, name


def test_fabric_on_one_device_is_bit_equal_to_the_plain_runtime(several, ragged, tmp_path, monkeypatch):
    from rk.fit.fabric import FabricRuntime

    catalog, paths = ragged
    jobs = [(str(paths["terms"]), ("fit.accumulate=2",)), (str(paths["sum"]), ())]
    plain = several.many(Fit(), catalog, tmp_path, jobs)
    monkeypatch.setattr(
        Loop, "_make_runtime", lambda self: FabricRuntime(self.fit, accumulate=self.fit.accumulate, gradient_clip=1.0)
    )
    for found, expected in zip(several.many(Fit(), catalog, tmp_path, jobs), plain, strict=True):
        assert far(found, expected) == 0.0


def test_bf16_computes_in_16_bits_and_keeps_weights_in_32(several, ragged, tmp_path):
    catalog, paths = ragged
    (full,), (half,) = (
        several.many(Fit(), catalog, tmp_path, [(str(paths["sum"]), (f"fit.precision={p}",))])
        for p in ("32-true", "bf16-mixed")
    )
    assert all(v.dtype == "float32" for v in half.values())
    assert 0 < far(half, full) < 0.1


MLP = """
rk: 1
model: {name: mlp, hidden_sizes: [16], dropout: 0.2}
data: {name: digits, batch_size: 32}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 3e-3}}
fit: {max_steps: 300, seed: 5, devices: 2, accelerator: cpu, threads: 1, validate_every: 100, monitor: val/accuracy}
"""


def test_a_run_in_two_processes_stopped_by_ctrl_c_resumes_bit_equal(zygote, tmp_path):
    from safetensors.torch import load_file

    (tmp_path / "digits.yaml").write_text(MLP)
    whole = zygote.rk(["train", "digits.yaml", "--runs-dir", "a"], tmp_path)
    assert whole.code == 0, whole.err
    assert "test/accuracy" in whole.out and whole.out.count("step 100 ") == 1
    zygote.start(RUN, command=["train", str(tmp_path / "digits.yaml"), "--runs-dir", str(tmp_path / "b")])
    while not any(m["step"] >= 100 for run in RunFolder.all(tmp_path / "b") for m in run.metrics()):
        assert zygote.running()
        time.sleep(0.01)
    assert zygote.kill(signal.SIGINT) == ExitCode.INTERRUPTED
    (stopped,) = RunFolder.all(tmp_path / "b")
    assert stopped.read()["status"] == "interrupted" and 100 <= stopped.read()["step"] < 300
    again = zygote.rk(["train", "--resume", stopped.path], tmp_path)
    assert again.code == 0, again.err
    (first,) = RunFolder.all(tmp_path / "a")
    one, other = load_file(first.model), load_file(stopped.model)
    assert all(torch.equal(one[k], other[k]) for k in one)
    assert first.read()["metrics"] == stopped.read()["metrics"] and first.read()["processes"] == 2


def test_a_sharded_run_resumes_bit_equal_from_whole_tensors(zygote, tmp_path):
    from safetensors.torch import load_file

    (tmp_path / "digits.yaml").write_text(MLP.replace("max_steps: 300", "max_steps: 40, strategy: fsdp"))

    def rk(*args):
        done = zygote.rk(args, tmp_path)
        assert done.code == 0, done.err

    rk("train", "digits.yaml", "--runs-dir", "a")
    rk("train", "digits.yaml", "--runs-dir", "b", "fit.max_steps=20")
    rk("train", "--resume", "last", "--runs-dir", "b", "fit.max_steps=40")
    (whole,), (parts,) = RunFolder.all(tmp_path / "a"), RunFolder.all(tmp_path / "b")
    one, other = load_file(whole.model), load_file(parts.model)
    assert one["model.head.weight"].shape == (10, 16) and all(torch.equal(one[k], other[k]) for k in one)
    assert LoadedRun.open(parts.path).evaluate(("test",)).keys() == {"test/loss", "test/accuracy"}


def test_a_step_by_targets_is_the_same_in_two_processes(several, ragged, tmp_path):
    """Two micro-batches have 20 to 40 targets here: with 42, each step takes four, two in each process."""
    catalog, paths = ragged
    by_targets = [(), ("fit.strategy=fsdp",)]
    jobs = [(str(paths["sum"]), ("fit.accumulate_targets=42", *more)) for more in by_targets]
    found = run_processes(Fit(devices=2, accelerator="cpu"), several.many, catalog, tmp_path, jobs)
    (alone,) = several.many(Fit(), catalog, tmp_path, [(str(paths["sum"]), ("fit.accumulate=4",))])
    assert all(far(weights, alone) < 2e-5 for weights in found)


def test_averages_early_stopping_and_plateaus_agree_in_two_processes(zygote, tmp_path):
    (tmp_path / "digits.yaml").write_text(
        MLP.replace("lr: 3e-3", "lr: 3e-2, schedule: {name: plateau, patience: 1, factor: 0.5}").replace(
            "validate_every: 100", "validate_every: 10, early_stopping: {patience: 4}, max_time: 1h"
        )
        + "callbacks: [{name: average, decay: 0.8, use: true}, {name: average, kind: swa, start: 0.01}]\n"
    )
    done = zygote.rk(["train", "digits.yaml", "--runs-dir", "a"], tmp_path)
    assert done.code == 0, done.err
    (run,) = RunFolder.all(tmp_path / "a")
    info = run.read()
    assert info["processes"] == 2 and "has not improved for 4 validations" in info["stop_reason"]
    alone = LoadedRun.open(run.path).evaluate()
    assert {k: pytest.approx(v, abs=1e-6) for k, v in alone.items()} == {
        k: v for k, v in info["metrics"].items() if "@" not in k
    }
    assert "test/accuracy@swa" in info["metrics"]


def test_averages_of_sharded_weights_are_refused(zygote, tmp_path):
    (tmp_path / "digits.yaml").write_text(
        MLP.replace("devices: 2", "devices: 2, strategy: fsdp") + "callbacks: [average]\n"
    )
    done = zygote.rk(["train", "digits.yaml", "--runs-dir", "a"], tmp_path)
    assert done.code == 2 and "average cannot be used with fit.strategy fsdp" in done.err


def test_torchrun_starts_the_processes_of_one_run(tmp_path):
    """With data of its own: digits would import scikit-learn in each process."""
    site = installed(tmp_path, "ragged", "ragged_parts")
    hooks = {"data": ("ragged", "Ragged"), "models": ("net", "Net"), "losses": ("squares", "Squares")}
    lines = ["from rk import hookimpl"]
    for hook, (name, cls) in hooks.items():
        lines += ["@hookimpl", f"def rk_{hook}():", f"    return {{{name!r}: 'ragged_parts.parts:{cls}'}}"]
    (site / "ragged_parts").mkdir()
    (site / "ragged_parts" / "__init__.py").write_text("\n".join(lines))
    (site / "ragged_parts" / "parts.py").write_text(TASK)
    (tmp_path / "ragged.yaml").write_text(RECIPE.replace("WAY", "sum"))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "rk", "train"]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run([*command, "ragged.yaml"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (run,) = RunFolder.all(tmp_path / "runs")
    assert run.read()["processes"] == 2 and done.stdout.count("the run is in") == 1
    assert "devices: 2" in run.recipe.read_text()


def installed(folder, name, module):
    """Makes Python find the plugin `name` where the returned folder is on its path."""
    info = folder / "site" / f"rk_{name.replace('-', '_')}-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: rk-{name}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[rk.plugins]\n{name} = {module}\n")
    return folder / "site"


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("bug", RunFailed, "process 1 of 2: ZeroDivisionError: the bug"),
        ("mistake", UserError, "a mistake"),
        ("killed", RunFailed, "process 1 of 2 exited without an error message: SIGKILL"),
    ],
)
def test_when_one_process_fails_all_end_and_the_reason_is_shown(
    several, tmp_path, catalog, how, error, message, monkeypatch
):
    monkeypatch.setattr("rk.fit.launch.GRACE_SECONDS", 1)
    start = time.monotonic()
    with pytest.raises(error) as caught:
        run_processes(Fit(devices=2, accelerator="cpu"), several.fails, catalog, tmp_path, how)
    assert caught.value.message.startswith(message) and time.monotonic() - start < 50


def test_a_rule_that_shares_nothing_is_refused(tmp_path, strain_hebb):
    done = strain_hebb("fit.devices=2")
    assert done.code == ExitCode.USER_ERROR
    assert "hebb cannot learn on several devices" in done.err
    (run,) = RunFolder.all(tmp_path / "runs")
    assert run.read()["status"] == "failed" and run.checkpoint_steps() == []


def test_two_processes_handle_rare_updates_sparse_embeddings_and_variants(several, tmp_path, catalog):
    found = run_processes(Fit(devices=2, accelerator="cpu"), several.scenarios, catalog, tmp_path)
    assert found["updates"] is True and found["never"] is False, "rare updates are allowed"
    for how in ("keeps", "finish"):
        assert "rare cannot learn on several devices" in found[how], "the processes have come to differ"
    for frozen in (True, "later", False):
        for accumulate in (1, 2):
            alone = several.embedded(Fit(), catalog, tmp_path, frozen, 2 * accumulate)
            assert far(found[frozen, accumulate], alone) < 1e-6, "a sparse embedding, frozen or not"
    alone = several.measured_in_variants(Fit(), catalog, tmp_path)
    assert found["variants"] == pytest.approx(alone), "a sharded learner in variants"


@pytest.fixture
def strain_hebb(zygote, tmp_path):
    plugins = Path(__file__).parent.parent / "strain" / "plugins"
    site = installed(tmp_path, "strain-hebb", "rk_strain_hebb")
    (tmp_path / "hebb.yaml").write_text("rk: 1\ndata: digits\ntrainer: hebb\nfit: {max_steps: 5, threads: 1}\n")
    path = os.pathsep.join(map(str, (plugins, site)))
    return lambda *overrides: zygote.rk(["train", "hebb.yaml", *overrides], tmp_path, {"PYTHONPATH": path})


def test_more_nodes_are_started_with_torchrun(run):
    with pytest.raises(UserError) as caught:
        run("fit.nodes=2")
    assert "torchrun" in caught.value.hint


def test_without_lightning_the_error_names_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning.fabric", None)
    with pytest.raises(UserError) as caught:
        run("fit.precision=bf16-mixed")
    assert caught.value.hint == 'pip install "recursion-kit[lightning]"'
