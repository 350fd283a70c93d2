"""Exporter `tied-safetensors`: each shared tensor once, and which layers share it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rk_recursion.layouts import Layout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from rk import LoadedRun, UserError

FORMAT = "rk-relaxed-recursive 1"


class TiedSafetensors:
    """A looped model as ``model.safetensors``: each shared tensor once, under the name of its first layer.

    The head of the file has as JSON: ``layout``, the number of layers and loops, the sharing and the block of each
    layer; ``tied``, every other name of a tensor and the name that it is stored under. `read_tied` gives all back.

    Examples:
        rk export last --to tied-safetensors -o small
    """

    def export(self, run: LoadedRun, out: Path) -> list[Path]:
        """Writes the file into `out`.

        Raises:
            rk.UserError: When the run's model has no loops.
        """
        model = getattr(run.learner, "model", None)
        layout = getattr(model, "layout", None)
        if not isinstance(model, nn.Module) or not isinstance(layout, Layout) or layout.num_loops == 1:
            raise UserError(f"{run.folder.label} has no model whose blocks run in loops", "--to safetensors")
        path = out / "model.safetensors"
        write_tied(model, layout, path)
        return [path]


def write_tied(model: nn.Module, layout: Layout, path: Path) -> None:
    """Writes a looped model's weights; see `TiedSafetensors`."""
    kept: dict[str, Tensor] = {}
    names: dict[tuple[Any, ...], str] = {}
    tied: dict[str, str] = {}
    for name, tensor in model.state_dict().items():
        place = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tuple(tensor.shape), tensor.stride())
        if tensor.numel() and place in names:
            tied[name] = names[place]
        else:
            names[place] = name
            kept[name] = tensor.detach().cpu().contiguous()
    said = {
        "num_layers": layout.num_layers,
        "num_loops": layout.num_loops,
        "sharing": layout.sharing,
        "blocks": list(layout.blocks),
    }
    save_file(kept, path, {"format": FORMAT, "layout": json.dumps(said), "tied": json.dumps(tied)})


def read_tied(path: Path) -> tuple[dict[str, Tensor], Layout]:
    """Returns the weights by all their names, of which those that are tied are one tensor, and the layout.

    Raises:
        rk.UserError: When the file is not one of `write_tied`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            head = file.metadata() or {}
            if head.get("format") != FORMAT:
                raise UserError(f"{path} is not a file of tied weights", "rk export RUN --to tied-safetensors")
            found: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    said = json.loads(head["layout"])
    found |= {name: found[other] for name, other in json.loads(head["tied"]).items()}
    return found, Layout(said["num_layers"], said["num_loops"], said["sharing"])
