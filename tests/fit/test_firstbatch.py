"""The first real batch against what was declared."""

from __future__ import annotations

from types import SimpleNamespace
from typing import NotRequired, TypedDict

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rk.errors import RunFailed
from rk.fit.firstbatch import check_fields

SPEC = SimpleNamespace(component=SimpleNamespace(distribution="rk-x", kind="data", name="x"))


class Sometimes(TypedDict):
    """Annotations are strings here, as in most modules."""

    inputs: Float[Tensor, "batch size"]
    lengths: NotRequired[Int[Tensor, "batch"]]


def batch() -> Sometimes: ...


def test_a_field_that_is_there_only_sometimes_may_be_missing():
    check_fields({"inputs": torch.zeros(2, 3)}, batch, SPEC, "the first batch")


def test_an_optional_field_is_checked_when_present():
    with pytest.raises(RunFailed, match=r"lengths is declared Int\[batch\]"):
        check_fields({"inputs": torch.zeros(2, 3), "lengths": torch.zeros(3).int()}, batch, SPEC, "the first batch")


def test_a_required_field_must_be_there():
    with pytest.raises(RunFailed, match="the first batch lacks inputs"):
        check_fields({"lengths": torch.zeros(3).int()}, batch, SPEC, "the first batch")
