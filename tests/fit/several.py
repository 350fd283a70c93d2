"""What the processes of `test_devices` run: functions that they can import by name."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

import torch

from rk.errors import UserError
from rk.fit.loop import Loop
from rk.fit.signals import StopSignal
from rk.recipe import read_recipe
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
        recipe, problems, _ = read_recipe(find_recipe(path, catalog.plugins), overrides, catalog)
        assert not problems, problems
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
    """Lets each process say something else; returns what they agree upon."""
    from rk.fit.fabric import FabricRuntime

    runtime = FabricRuntime(fit)
    learner = torch.nn.BatchNorm1d(3)
    learner.running_mean += runtime.rank + 1.0
    runtime.share_buffers(learner)
    mine = {"loss": 1.0 + runtime.rank, **({"only-here": 5.0} if runtime.is_main else {})}
    collected = runtime.collect(float(learner.running_mean[0]))
    return runtime.mean_of(mine), runtime.agree(runtime.rank), collected, float(runtime.gather(torch.tensor(2.0)))
