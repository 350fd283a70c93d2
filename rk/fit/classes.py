"""The error for a target that is not a class."""

from __future__ import annotations

from torch import Tensor

from rk.errors import UserError
from rk.fields import IGNORED


def no_class(targets: Tensor, classes: int, ignored: int | None) -> UserError:
    """Returns the error that names the first target that is not a class."""
    strange = targets[((targets < 0) | (targets >= classes)) & (targets != ignored)][0].item()
    if strange == IGNORED:
        hint = f"this data marks ignored targets so: give loss={{name: cross-entropy, ignore_index: {IGNORED}}}"
    else:
        hint = "classes are counted from 0; the model has one output for each"
    return UserError(f"cross-entropy: a target is {strange}, but the model has {classes} classes", hint)
