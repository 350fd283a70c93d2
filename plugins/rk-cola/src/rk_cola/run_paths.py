"""The result of a search over a trained run, as a learner: a path for each example, and a reference to the run."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from rk_lm.layered import Path
from rk_lm.load import digest as digest_of
from torch import Tensor, nn

from rk import UserError
from rk.blocks import run_blocks
from rk.protocols import Batch, Layered, Outputs, Run
from rk_cola.rows import as_bytes, by_owner, of_owners, path_of, rows_of


class RunPaths(nn.Module):
    """The paths that were found for the examples of a run.

    It answers as the run does. The variants answer again with what has been found: ``oracle`` takes each example's own
    path, which was chosen by its answer, ``control`` those that were led to a wrong answer, and ``fixed`` one path
    for all, the best one on half of the examples, with `controls`. An example is known again by a digest of its
    fields; one that was not searched is answered by the unmodified model.

    Args:
        run: The run; its weights stay there.
        model: The model of its learner.
        controls: Whether a best fixed path is looked for.
    """

    lazy_buffers = ("digest", "asked", "paths", "control_paths", "fixed_path", "valid_paths", "valid_of")

    def __init__(self, run: Run, model: Layered, controls: bool) -> None:
        super().__init__()
        self.run = run
        self._model = (model,)  # in a tuple it is not a submodule: its weights are not copied
        self._controls = controls
        self.digest: Tensor
        self._digest = as_bytes(digest_of(cast(nn.Module, model)))
        self.register_buffer("digest", self._digest)
        self.register_buffer("asked", torch.zeros(0, 8, dtype=torch.uint8))
        for name in ("paths", "control_paths", "valid_paths"):
            self.register_buffer(name, torch.zeros(0, 0, dtype=torch.int16))
        self.register_buffer("valid_of", torch.zeros(0, dtype=torch.int32))
        self.register_buffer("fixed_path", torch.zeros(0, dtype=torch.int16))

    @property
    def searched(self) -> nn.Module:
        """The frozen model; it is not called `model`, as the weights of this learner are not its weights."""
        return cast(nn.Module, self._model[0])

    @property
    def depth(self) -> int:
        """The blocks of the model."""
        return len(self._model[0].blocks)

    def keep(
        self,
        asked: Sequence[bytes],
        paths: Sequence[Path],
        control: Sequence[Path],
        fixed: Path | None,
        valid: Sequence[Sequence[Path]],
    ) -> None:
        """Takes what has been found for the examples with the digests `asked`; `valid` are all paths that are right."""
        self.valid_paths, self.valid_of = by_owner(valid)
        self.asked = torch.tensor([[*one] for one in asked], dtype=torch.uint8)
        self.paths, self.control_paths = rows_of(paths), rows_of(control)
        self.fixed_path = torch.tensor(fixed or (), dtype=torch.int16)

    @property
    def valid(self) -> list[list[Path]]:
        """The valid paths of each example that was searched."""
        return of_owners(self.valid_paths, self.valid_of, len(self.asked))

    def predict(self, batch: Batch) -> Outputs:
        answer: Callable[[Batch], Outputs] = self._checked().predict
        return answer(batch)

    def variants(self) -> dict[str, Callable[[Batch], Outputs]]:
        """The ways to answer that will be found, or have been."""
        fixed = {"fixed": self._fixed} if self._controls else {}
        return {"oracle": self._oracle, "control": self._control, **fixed}

    def _checked(self) -> Any:  # Any: a learner of the run's own plugin
        """Returns the run's learner. Raises `rk.UserError` when it is not the one that was searched."""
        if not torch.equal(self.digest.cpu(), self._digest):
            raise UserError(
                "the run has other weights than those that were searched", "the paths that were found mean nothing"
            )
        return self.run.learner

    def _oracle(self, batch: Batch) -> Outputs:
        return self._along(batch, self._own(batch, self.paths))

    def _control(self, batch: Batch) -> Outputs:
        return self._along(batch, self._own(batch, self.control_paths))

    def _fixed(self, batch: Batch) -> Outputs:
        fixed = tuple(self.fixed_path.tolist()) or self._full
        return self._along(batch, [fixed] * len(batch["targets"]))

    @property
    def _full(self) -> Path:
        return tuple(range(self.depth))

    def _own(self, batch: Batch, rows: Tensor) -> list[Path]:
        places = {bytes(one): i for i, one in enumerate(self.asked.tolist())}
        found = []
        for one in example_digests(batch):
            place = places.get(one)
            found.append(self._full if place is None else path_of(rows[place]))
        return found

    def _along(self, batch: Batch, paths: Sequence[Path]) -> Outputs:
        """Answers each example along its path."""
        self._checked()
        groups: dict[Path, list[int]] = defaultdict(list)
        for row, path in enumerate(paths):
            groups[path].append(row)
        found: dict[str, Tensor] = {}
        for path, rows in groups.items():
            index = torch.tensor(rows, device=self.digest.device)
            fields = {n: v.index_select(0, index) for n, v in batch.items() if isinstance(v, Tensor)}
            for name, value in run_blocks(self._model[0], fields, path).items():
                whole = found.setdefault(name, value.new_zeros(len(paths), *value.shape[1:]))
                whole[index] = value
        return found


def example_digests(batch: Batch) -> list[bytes]:
    """Returns eight bytes for each example of a batch, a function of its fields."""
    fields = {name: value.cpu().contiguous() for name, value in sorted(batch.items()) if isinstance(value, Tensor)}
    found = []
    for row in range(len(fields["targets"])):
        one = hashlib.sha256()
        for name, value in fields.items():
            one.update(f"{name} {tuple(value.shape[1:])} {value.dtype}".encode())
            one.update(value[row].numpy().tobytes())
        found.append(one.digest()[:8])
    return found
