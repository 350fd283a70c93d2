"""Several processes for one run: started here, or found running under ``torchrun``.

The process that the user started watches over them. It passes on Ctrl-C and SIGTERM, and ends them all when one fails:
the others would wait for it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from rk.blame import explain
from rk.catalog import Catalog
from rk.errors import ExitCode, RkError, RunFailed, UserError
from rk.fit.runtime import choose_device
from rk.plugins import BUILTIN, PluginEntry, Plugins
from rk.recipe.model import Recipe
from rk.recipe.sections import Fit
from rk.safepath import safe_interpreters

T = TypeVar("T")

START_METHOD = "spawn"
"""The start method of processes. Forked ones (tests) would share the threads and the devices of this one."""
GRACE_SECONDS = 10
"""Seconds that the other processes have to end when one has failed; then they are killed."""


def device_count(fit: Fit) -> int:
    """Returns the processes of one node. Raises `UserError` when there are not so many GPUs."""
    gpus = torch.cuda.device_count() if choose_device(fit.accelerator).type == "cuda" else 0
    if fit.devices == "auto":
        return max(1, gpus)
    if gpus and fit.devices > gpus:
        raise UserError(f"fit.devices is {fit.devices}, but there are {gpus} GPUs", "fit.accelerator=cpu, or fewer")
    return fit.devices


def join_torchrun(recipe: Recipe) -> int:
    """Joins the processes that `torchrun` has started, whose number becomes the recipe's; returns this one's."""
    here, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    recipe.fit = replace(recipe.fit, devices=here, nodes=world // here)
    if world > 1:
        _join(recipe.fit)
    return int(os.environ["RANK"])


def shared(make: Callable[[], T]) -> T:
    """Returns what `make` returns in the first process, in all of them."""
    if not dist.is_initialized():
        return make()
    found: list[Any] = [make() if dist.get_rank() == 0 else None]  # Any: what is pickled loses its type
    dist.broadcast_object_list(found)
    made: T = found[0]
    return made


def leave(together: bool) -> None:
    """Leaves the processes that torchrun has started; `together` waits for those that still write."""
    if dist.is_initialized():
        if together:
            dist.barrier()
        dist.destroy_process_group()  # or its threads may end the process with an abort


def _join(fit: Fit) -> None:
    on_gpu = fit.accelerator != "cpu" and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cuda:nccl,cpu:gloo" if on_gpu else "gloo")


def run_processes(fit: Fit, work: Callable[..., T], catalog: Catalog, folder: Path, *args: object) -> T:
    """Runs `work(fit, catalog, folder, *args)` in `fit.devices` processes; returns what the first one returns.

    Raises:
        RkError: As a process raised it.
        RunFailed: When one exited without an error message (killed, out of memory).
    """
    import torch.multiprocessing as mp

    with safe_interpreters():
        return _run_processes(mp, fit, work, catalog, folder, *args)


def _run_processes(mp: Any, fit: Fit, work: Callable[..., T], catalog: Catalog, folder: Path, *args: Any) -> T:
    count = fit.devices
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # or each process explains find_unused_parameters
    answers = mp.get_context(START_METHOD).SimpleQueue()
    entries = packed(catalog)
    context = mp.start_processes(
        _process,
        (count, _free_port(), fit, work, entries, folder, args, answers),
        nprocs=count,
        join=False,
        start_method=START_METHOD,
    )
    said: list[tuple[str, Any]] = []  # read while they run: a long answer does not fit into a pipe
    with Forwarding(context.pids()) as forwarding:
        try:
            while not context.join(timeout=0.2, grace_period=GRACE_SECONDS):
                _listen(answers, said)
        except mp.ProcessExitedException as error:
            _listen(answers, said)
            if not said and not forwarding.caught:
                code = error.signal_name or f"exit code {error.exit_code}"
                message = f"process {error.error_index} of {count} exited without an error message: {code}"
                raise RunFailed(message) from None
    _listen(answers, said)
    if not said:
        raise KeyboardInterrupt
    kind, value = said[0]
    if kind == "error":
        message, hint, code = value
        if code == ExitCode.INTERRUPTED:
            raise KeyboardInterrupt
        raise (UserError if code == ExitCode.USER_ERROR else RunFailed)(message, hint)
    result: T = value
    return result


Packed = list[tuple[str, str, str | None, str | None, str | None]]
"""The plugins of a catalog, as another process takes them."""


def packed(catalog: Catalog) -> Packed:
    """Returns the plugins of a catalog, which another process unpacks."""
    entries = (plugin.entry for plugin in catalog.plugins)
    return [(o.name, o.module, o.distribution, o.version, o.host) for o in entries if o.name != BUILTIN]


def unpacked(entries: Packed) -> Catalog:
    """Returns the catalog with these plugins."""
    return Catalog(Plugins(entries=[PluginEntry(*entry) for entry in entries]))


def _listen(answers: Any, said: list[tuple[str, Any]]) -> None:
    while not answers.empty():
        said.append(answers.get())


def _process(
    rank: int, count: int, port: int, fit: Fit, work: Any, entries: Any, folder: Path, args: Any, answers: Any
) -> None:
    """One of the processes. It takes no Ctrl-C from the terminal: the one that the user started passes it on."""
    os.setpgrp()
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
    os.environ |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_PORT": str(port)}
    try:
        _join(fit)
        result = work(fit, unpacked(entries), folder, *args)
    except RkError as error:
        answers.put(("error", (error.message, error.hint, int(error.exit_code))))
        sys.exit(int(error.exit_code))
    except KeyboardInterrupt:
        answers.put(("error", ("interrupted", None, int(ExitCode.INTERRUPTED))))
        sys.exit(int(ExitCode.INTERRUPTED))
    except BaseException as error:
        found = explain(error)
        is_bug = found.exit_code == ExitCode.FAILED
        hint = f"{folder / 'traceback.txt'} has all of it" if is_bug else found.hint
        answers.put(("error", (f"process {rank} of {count}: {found.message}", hint, int(found.exit_code))))
        sys.exit(int(found.exit_code))
    if rank == 0:
        answers.put(("done", result))
    leave(together=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Forwarding:
    """Hands SIGINT and SIGTERM on to the processes; a second one ends them at once, whatever they wait for."""

    def __init__(self, pids: list[int]) -> None:
        self.pids = pids
        self.caught = 0

    def __enter__(self) -> Forwarding:
        self.before = {n: signal.signal(n, self._hand_on) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _hand_on(self, number: int, frame: object) -> None:
        self.caught += 1
        for pid in self.pids:
            try:
                os.kill(pid, number if self.caught == 1 else signal.SIGKILL)
            except ProcessLookupError:
                continue
