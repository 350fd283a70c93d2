"""Torch's error for a training batch that is too small, in the user's terms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rk.errors import UserError
from rk.recipe.model import Spec

SAID = "Expected more than 1 value per channel when training"
"""The error of torch's batch normalisation for a batch of one example, which has no variance."""


@contextmanager
def small_batches_explained(data: Spec | None) -> Iterator[None]:
    """Turns batch normalisation's refusal of a batch of one example into the user's error.

    Args:
        data: The data of the recipe, whose `batch_size` is named.

    Raises:
        UserError: In place of the `ValueError`; every other error is left alone.
    """
    try:
        yield
    except ValueError as error:
        if SAID not in str(error):
            raise
        size = None if data is None else data.params.get("batch_size")
        named = "data.batch_size is 1" if size == 1 else "a training batch has one example"
        raise UserError(
            f"batch normalisation cannot train on a batch of one example, and {named}",
            "set data.batch_size to 2 or more, give more training examples, or leave out batch normalisation",
        ) from error
