"""What a run answers: plain rows, and the tensors behind them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rk.api.figures import Figures
from rk.api.html import display, table
from rk.errors import UserError
from rk.values import PlainDict

if TYPE_CHECKING:
    from torch import Tensor

    from rk.protocols import Batch, Outputs


@dataclass(frozen=True)
class Part:
    """One input and its answers.

    Attributes:
        name: The file's name, or ``fields``.
        batch: The fields that were answered, on the learner's device.
        outputs: The learner's outputs.
        rows: One plain dict per example.
    """

    name: str
    batch: Batch
    outputs: Outputs
    rows: list[PlainDict]


class Answers(list[PlainDict]):
    """One plain dict per example, as `rk predict` writes them into JSON; of several files, each has a key ``file``.

    Attributes:
        parts: The inputs, in their order, with their tensors.
    """

    def __init__(self, parts: Iterable[Part], draw: Callable[[Part, Path], list[Path]]) -> None:
        self.parts = list(parts)
        self._draw = draw
        several = len(self.parts) > 1
        super().__init__({"file": p.name, **row} if several else row for p in self.parts for row in p.rows)

    @property
    def outputs(self) -> Outputs:
        """The learner's outputs, by name. Raises `UserError` for several files: each has its own, in ``parts``."""
        if len(self.parts) != 1:
            raise UserError(f"there are the outputs of {len(self.parts)} inputs", "for part in answers.parts: ...")
        return self.parts[0].outputs

    def figures(self, folder: str | Path | None = None) -> Figures:
        """Draws each input with its answer; a notebook shows the result.

        Args:
            folder: Where the files are written; by default, a new temporary folder.

        Raises:
            UserError: When neither the run's data nor its model draws figures, or the folder cannot be written.
        """
        try:
            into = Path(tempfile.mkdtemp(prefix="rk-figures-")) if folder is None else Path(folder)
            into.mkdir(parents=True, exist_ok=True)
            return Figures(
                path for i, part in enumerate(self.parts) for path in self._draw(part, into / _stem(i, part.name))
            )
        except OSError as error:
            raise UserError(f"cannot write figures to {folder}: {error.strerror or error}") from None

    def show(self) -> None:
        """Shows the answers in a notebook as a table; elsewhere, prints them."""
        display(self)

    def _repr_html_(self) -> str:
        heads = list(dict.fromkeys(key for row in self for key in row))
        return table(heads, [[_cell(row.get(key)) for key in heads] for row in self])


def _stem(number: int, name: str) -> str:
    return f"{number + 1:03}-{Path(name).stem}"


def _cell(value: Any) -> str:  # Any: a plain value
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return " ".join(map(_cell, value))
    return "" if value is None else str(value)


def tensors(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns fields as tensors: floating numbers in 32 bits, whole ones in 64, as those of batches are.

    Args:
        fields: Name of a field -> tensor, array, or nested lists of numbers. A value under a name that ends in
            ``_meta`` is left as it is.

    Raises:
        UserError: When a value is none of these.
    """
    return {name: value if name.endswith("_meta") else _tensor(name, value) for name, value in fields.items()}


def _tensor(name: str, value: Any) -> Tensor:
    import torch

    if not isinstance(name, str):
        raise UserError(f"the name of a field must be a text, got {name!r}")
    try:
        found = value.detach() if isinstance(value, torch.Tensor) else torch.tensor(_native(value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"the field {name} must be an array or a tensor of numbers: {error}") from None
    if found.is_floating_point():
        return found.float()
    return found if found.dtype is torch.bool or found.is_complex() else found.long()


def _native(value: Any) -> Any:
    """Returns an array in this machine's byte order: torch takes no other."""
    kind: Any = getattr(value, "dtype", None)
    return value.astype(kind.newbyteorder("=")) if getattr(kind, "byteorder", "=") in ("<", ">") else value
