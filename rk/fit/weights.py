"""A learner's weights as a safetensors file: tied tensors once, buffers of unknown size from the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from rk.errors import RunFailed
from rk.fit.safetensors_head import ordered
from rk.protocols import State
from rk.values import Plain, PlainDict, Value
from rk.writing import write_atomic

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

EXTRA = "extra_state"
"""In the metadata of a file: what modules keep besides tensors, as JSON."""


def save_weights(
    source: nn.Module | Mapping[str, Tensor],
    path: Path,
    metadata: dict[str, str] | None = None,
    *,
    share: bool = True,
) -> None:
    """Writes a module's state into `path`, synced to disk and put in place by one rename.

    Args:
        source: The module, or its tensors by name.
        path: The file.
        metadata: Notes in the file's head. ``prefix`` is what `load_weights` puts before every name.
        share: Writes tensors that share their memory once; the metadata lists which names are aliases. Files for others
            repeat them.
    """
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    extra: PlainDict = {}
    seen: dict[tuple[object, ...], str] = {}
    for name, tensor in (source.state_dict() if isinstance(source, nn.Module) else source).items():
        if not isinstance(tensor, Tensor):  # of a module's get_extra_state()
            extra[name] = tensor
            continue
        identity = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if share and tensor.numel() and identity in seen:
            aliases[name] = seen[identity]
        else:
            tensors[name] = _own_memory(tensor).clone() if identity in seen else _own_memory(tensor)
            seen[identity] = name
    notes = {**(metadata or {}), **({"aliases": json.dumps(aliases)} if aliases else {})}
    if extra:
        notes[EXTRA] = _as_json(extra)
    write_atomic(path, *ordered(save(tensors, metadata=notes or None)))


def _as_json(extra: PlainDict) -> str:
    """Returns what modules keep besides tensors, as text. Raises `RunFailed` when JSON cannot give it back."""
    for name, value in extra.items():
        try:
            text = json.dumps(value)
        except (TypeError, ValueError) as error:
            raise RunFailed(
                f"{name} cannot be saved: get_extra_state() must return tensors or what JSON can hold ({error})"
            ) from None
        if json.loads(text) != _without_tuples(value):
            raise RunFailed(f"{name} cannot be saved: JSON gives back another value (keys of dicts must be strings)")
    return json.dumps(extra)


def _without_tuples(value: Plain) -> Plain:
    if isinstance(value, dict):
        return {key: _without_tuples(item) for key, item in value.items()}
    return [_without_tuples(item) for item in value] if isinstance(value, list | tuple) else value


def stored_extra(path: Path) -> PlainDict:
    """Returns what the modules in a file of weights keep besides tensors: name -> value of ``get_extra_state()``."""
    with safe_open(path, framework="pt") as file:
        extra: PlainDict = json.loads((file.metadata() or {}).get(EXTRA, "{}"))
        return extra


def _own_memory(tensor: Tensor) -> Tensor:
    """Returns the values in memory of their own on the CPU: a view of a larger tensor may not be written as it is."""
    whole = tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    return tensor.detach().cpu() if whole else tensor.detach().cpu().contiguous().clone()


def read_weights(path: Path) -> State:
    """Returns what a file of weights holds by the learner's names: tensors, and what modules keep besides.

    Raises:
        RunFailed: When the file is cut short, or no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors: State = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            notes = file.metadata() or {}
        aliases, extra = json.loads(notes.get("aliases", "{}")), json.loads(notes.get(EXTRA, "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise RunFailed(f"{path} cannot be read: {error}") from None
    prefix = notes.get("prefix", "")
    tensors = {prefix + name: tensor for name, tensor in tensors.items()}
    tensors |= {prefix + name: value for name, value in extra.items()}
    return tensors | {name: tensors[original] for name, original in aliases.items() if original in tensors}


def load_weights(module: nn.Module, source: Path | Mapping[str, Value]) -> None:
    """Loads weights into `module`, sizing its `lazy_buffers` and `lazy_parameters` from them.

    Args:
        module: All of its state must be there, and nothing else.
        source: A file, or what `read_weights` returns.

    Raises:
        RunFailed: When the file cannot be read, or does not fit the module.
    """
    tensors = read_weights(source) if isinstance(source, Path) else dict(source)
    _size_lazy_tensors(module, tensors)
    if any(is_shared(value) for value in module.state_dict().values()):
        tensors = _shares(module, tensors)
    try:
        module.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        what = source if isinstance(source, Path) else "what was given"
        raise RunFailed(f"{what} does not fit the learner: {' '.join(str(error).split())}") from None


def is_shared(value: object) -> TypeGuard[DTensor]:
    """Returns whether it is a tensor of which each process holds a share (a DTensor, without importing its module)."""
    return isinstance(value, Tensor) and hasattr(value, "device_mesh")


def _shares(module: nn.Module, tensors: State) -> State:
    """Returns each tensor as this process's share of it, where the module is sharded."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    mine = module.state_dict()
    return {
        name: distribute_tensor(tensor.to(mine[name].device), mine[name].device_mesh, mine[name].placements)
        if isinstance(mine.get(name), DTensor) and not isinstance(tensor, DTensor)
        else tensor
        for name, tensor in tensors.items()
    }


def _size_lazy_tensors(module: nn.Module, tensors: Mapping[str, Value]) -> None:
    """Gives buffers and parameters whose shape depends on the data the shape that they have in `tensors`."""
    device = next((t.device for t in module.parameters()), torch.device("cpu"))
    for prefix, part in module.named_modules():
        for name in (*getattr(part, "lazy_buffers", ()), *getattr(part, "lazy_parameters", ())):
            stored = tensors.get(f"{prefix}.{name}" if prefix else name)
            if stored is None:
                continue
            empty = torch.empty_like(stored, device=device)
            if name in getattr(part, "lazy_parameters", ()):
                before = getattr(part, name, None)
                grows = before.requires_grad if isinstance(before, Tensor) else stored.is_floating_point()
                empty = nn.Parameter(empty, requires_grad=grows)
            setattr(part, name, empty)
