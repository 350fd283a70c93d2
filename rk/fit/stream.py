"""The training stream: micro-batch after micro-batch, made here or ahead in worker processes."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator

import torch
from torch import Tensor

from rk.capabilities import HasBatches
from rk.errors import RunFailed
from rk.protocols import Batch
from rk.safepath import safe_interpreters


class WorkerDied(RunFailed):
    """A process that made batches ahead has ended: killed by a signal, or for want of memory."""


class Stream:
    """Micro-batches of the split ``train``, by index, so that any place can be gone back to.

    Args:
        data: The data with the batches.
        start: Index of the first micro-batch.
        workers: Processes that make batches ahead; 0 makes them here.
        device: Where tensors go.
        stride: From one micro-batch to the next: as many as there are processes.
    """

    def __init__(self, data: HasBatches, start: int, workers: int, device: torch.device, stride: int = 1) -> None:
        self.data = data
        self.index = start
        self.stride = stride
        self.workers = workers
        self.device = device
        self.stage = 0
        self._ahead: Iterator[Batch] | None = None

    def next(self, stage: int) -> Batch:
        """Returns the next micro-batch of curriculum stage `stage`."""
        if self.workers == 0:
            batch = self.data.batch("train", self.index, stage)
        else:
            if self._ahead is None or stage != self.stage:
                self._ahead, self.stage = self._loader(stage), stage
            batch = self._from_worker(self._ahead)
        self.index += self.stride
        return to_device(batch, self.device)

    @staticmethod
    def _from_worker(ahead: Iterator[Batch]) -> Batch:
        try:
            return next(ahead)
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker (pid"):
                raise
            reason = " ".join(str(error).split()).removesuffix(".")
            raise WorkerDied(
                f"a worker process ended: {reason}", "often memory runs out: set fit.workers=0, or fewer"
            ) from error

    def _loader(self, stage: int) -> Iterator[Batch]:
        from torch.utils.data import DataLoader

        before = signal.getsignal(signal.SIGCHLD)

        loader = DataLoader(
            _Indexed(self.data, stage),
            batch_size=None,
            sampler=_From(self.index, self.stride),
            num_workers=self.workers,
            generator=torch.Generator(),  # its seed for the workers must not come from the global generator
            multiprocessing_context="forkserver" if torch.cuda.is_available() else None,
            worker_init_fn=_leave_the_group,
        )
        with safe_interpreters():
            ahead = iter(loader)
        if before is not None and signal.getsignal(signal.SIGCHLD) != before:
            # Torch's handler raises wherever the main thread happens to be, in the middle of an update too. Without it
            # a dead worker is found when its next batch is needed.
            signal.signal(signal.SIGCHLD, before)
        return ahead


def _leave_the_group(worker: int) -> None:
    """Leaves the process group: signals to the group reach the main process alone, which ends its workers."""
    os.setpgrp()


class _Indexed(torch.utils.data.Dataset[Batch]):
    def __init__(self, data: HasBatches, stage: int) -> None:
        self.data = data
        self.stage = stage

    def __getitem__(self, index: int) -> Batch:
        return self.data.batch("train", index, self.stage)


class _From(torch.utils.data.Sampler[int]):
    def __init__(self, start: int, stride: int) -> None:
        self.start = start
        self.stride = stride

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.start, self.stride)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Moves the tensors of `batch`; entries that end in ``_meta`` stay on the host."""
    if device.type == "cpu":
        return batch
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, Tensor) and not name.endswith("_meta") else value
        for name, value in batch.items()
    }
