"""Random generators: seeding all of them, their state, and a side branch that leaves them untouched."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator

import torch

from rk.protocols import State


def seed_all(seed: int) -> None:
    """Seeds Python's, torch's and, where it is loaded, NumPy's global generators."""
    random.seed(seed)
    torch.manual_seed(seed % 2**64)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(seed % 2**32)


def get_state() -> State:
    """Returns the state of all global generators as tensors and plain values."""
    state: State = {"python": random.getstate(), "torch": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    if (numpy := sys.modules.get("numpy")) is not None:
        name, keys, *rest = numpy.random.get_state()
        state["numpy"] = (name, torch.from_numpy(keys.astype("int64")), *rest)
    return state


def set_state(state: State) -> None:
    """Takes `get_state`'s result back."""
    random.setstate(state["python"])
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        _set_cuda(state["cuda"])
    if "numpy" in state:
        import numpy

        name, keys, *rest = state["numpy"]
        numpy.random.set_state((name, keys.numpy().astype("uint32"), *rest))


def _set_cuda(states: list[torch.Tensor]) -> None:
    """Gives each GPU its state; a machine with fewer GPUs takes those that it has."""
    here = torch.cuda.device_count()
    if len(states) > here:
        print(f"warning: the run used {len(states)} GPUs, here are {here}: random numbers may differ", file=sys.stderr)
    for device, one in enumerate(states[:here]):
        torch.cuda.set_rng_state(one, device)


@contextlib.contextmanager
def forked(seed: int) -> Iterator[None]:
    """Seeds everything for the block and restores it afterwards, so that the block changes nothing outside."""
    state = get_state()
    seed_all(seed)
    try:
        yield
    finally:
        set_state(state)
