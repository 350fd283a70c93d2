"""What the processes of `test_devices` run: functions that they can import by name."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

import torch

from rk.errors import UserError
from rk.fit.loop import Loop
from rk.fit.runtime import Runtime
from rk.fit.signals import StopSignal
from rk.recipe import check_recipe
from rk.recipe.find import find_recipe
from rk.runs import RunFolder


def weights_of(recipe, catalog, folder):
    """Takes the steps of a recipe, short of tests and files; returns the weights."""
    loop = Loop(recipe, catalog, folder)
    loop.build()
    loop.context.step = 0
    loop.progress = type("Quiet", (), {"__getattr__": lambda self, name: lambda *args: None})()
    loop._log = lambda: None
    loop._validate = loop._checkpoint = lambda: None
    for callback in loop.hooks["fit_start"]:
        callback(loop.context)
    loop._train(StopSignal())
    return {k: v.clone() for k, v in loop.runtime.weights(loop.parts.learner).items()}


def many(fit, catalog, folder, jobs):
    """Runs several recipes in the same processes; each job is a file and its overrides."""
    found = []
    for path, overrides in jobs:
        recipe = check_recipe(find_recipe(path, catalog.plugins), overrides, catalog).valid()
        recipe.fit = replace(recipe.fit, devices=fit.devices)
        found.append(weights_of(recipe, catalog, RunFolder(folder)))
    return [{k: v.numpy() for k, v in weights.items()} for weights in found]


def fails(fit, catalog, folder, how):
    if torch.distributed.get_rank() == 1:
        if how == "bug":
            raise ZeroDivisionError("the bug")
        if how == "mistake":
            raise UserError("a mistake", "a hint")
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def agreed(fit, catalog, folder):
    """Lets each process send another value; returns what they agree upon."""
    from rk.fit.fabric import FabricRuntime

    runtime = FabricRuntime(fit)
    learner = torch.nn.BatchNorm1d(3)
    learner.running_mean += runtime.rank + 1.0
    learner.register_buffer("codes", (torch.arange(6, dtype=torch.int16).view(2, 3) * (1 - runtime.rank)).t())
    runtime.share_buffers(learner)
    assert learner.codes.tolist() == [[0, 3], [1, 4], [2, 5]]  # of a dtype that gloo does not know, not contiguous
    mine = {"loss": 1.0 + runtime.rank, **({"only-here": 5.0} if runtime.is_main else {})}
    collected = runtime.collect(float(learner.running_mean[0]))
    return runtime.mean_of(mine), runtime.agree(runtime.rank), collected, float(runtime.gather(torch.tensor(2.0)))


class Rare:
    """A trainer that updates every third step, or never, or keeps what it learns to itself."""

    def __init__(self, how, runtime):
        from rk.builtin.optimizers import SGD

        torch.manual_seed(0)
        self.how, self.runtime = how, runtime
        self.learner = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.BatchNorm1d(1))
        self.learner.register_buffer("memory", torch.zeros(1))
        self.objective = runtime.setup(self.learner)
        self.optimizer = runtime.optimizer(SGD(lr=0.1), self.learner.parameters())

    def step(self, i):
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(10 * i + self.runtime.rank))
        if self.how == "updates":
            self.runtime.backward((self.objective(x).square().sum(), 4))
            if i % 3 == 2:
                self.runtime.update(self.optimizer)
        elif self.how == "keeps" and i == 2:
            self.learner.memory += x.mean().detach()
        self.runtime.check_step("rare")


def rarely(fit, catalog, folder, how):
    """Takes six steps; returns the message of a refusal, or whether the weights have moved."""
    from rk.fit.fabric import FabricRuntime

    trainer = Rare(how, FabricRuntime(fit))
    before = trainer.learner[0].weight.detach().clone()
    try:
        for i in range(6):
            trainer.step(i)
        if how == "finish":
            trainer.learner.memory += trainer.runtime.rank
        trainer.runtime.share_buffers(trainer.learner)
    except UserError as error:
        return error.message
    trainer.runtime.check_equal(trainer.learner)
    return not torch.equal(before, trainer.learner[0].weight)


class Embedded(torch.nn.Module):
    """A layer over a sparse embedding."""

    def __init__(self, frozen):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = torch.nn.Embedding(10, 3, sparse=True)
        self.embedding.weight.requires_grad = not frozen
        self.head = torch.nn.Linear(3, 1)

    def forward(self, tokens):
        return self.head(self.embedding(tokens))


def embedded(fit, catalog, folder, frozen, accumulate):
    """Takes three steps over a sparse embedding; returns the weights."""
    from rk.builtin.optimizers import SGD
    from rk.fit.fabric import FabricRuntime

    runtime = FabricRuntime(fit, accumulate=accumulate) if fit.devices > 1 else Runtime(accumulate=accumulate)
    module = Embedded(frozen is True)
    objective = runtime.setup(module)
    if frozen == "later":
        module.embedding.weight.requires_grad = False
    optimizer = runtime.optimizer(SGD(lr=0.1), module.parameters())
    for step in range(3):
        for runtime.micro_batch in range(accumulate):
            k = step * accumulate * runtime.world + runtime.micro_batch * runtime.world + runtime.rank
            runtime.backward((objective(torch.tensor([k % 10, 2])).square().sum(), 2))
            runtime.update(optimizer)
    return {name: value.numpy() for name, value in module.state_dict().items()}


class Variable(torch.nn.Module):
    """Answers in two ways; one uses its weights directly, as no forward pass would."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.ModuleList([torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)])
        self.scale = torch.nn.Parameter(torch.ones(4))

    def forward(self, batch):
        return self.predict(batch)["values"].square().sum(), len(batch["x"])

    def predict(self, batch, depth=2):
        x = batch["x"] * self.scale
        for layer in self.layers[:depth]:
            x = layer(x)
        return {"values": x}

    def variants(self):
        return {"shallow": lambda batch: self.predict(batch, 1)}


class Ones:
    def batches(self, split):
        return 1

    def batch(self, split, i):
        return {"x": torch.arange(8.0).view(2, 4)}


def mean(*, values):
    return values.sum(), values.numel()


def measured_in_variants(fit, catalog, folder):
    """Returns what a sharded learner, or one in a single process, measures in its variants."""
    from rk.fit.evaluate import evaluate

    if fit.devices > 1:
        from rk.fit.sharded import ShardedRuntime

        runtime = ShardedRuntime(fit)
    else:
        runtime = Runtime()
    learner = Variable()
    runtime.setup(learner)
    return evaluate(learner, Ones(), "test", {"mean": mean}, runtime)


def scenarios(fit, catalog, folder):
    """Runs all of the above in the same processes: to start some takes longer than all that they do."""
    found = {how: rarely(fit, catalog, folder, how) for how in ("updates", "never", "keeps", "finish")}
    for frozen in (True, "later", False):
        for accumulate in (1, 2):
            found[frozen, accumulate] = embedded(fit, catalog, folder, frozen, accumulate)
    found["variants"] = measured_in_variants(fit, catalog, folder)
    return found
