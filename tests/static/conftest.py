"""Classes to read: each is in a module with the usual imports."""

from __future__ import annotations

import textwrap

import pytest

from rk.static import ClassInfo, load_class

HEAD = """
from __future__ import annotations
import enum
import dataclasses
import pathlib
import typing as t
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, List, Literal, Optional, TypeAlias, Union
from annotated_types import Ge, Gt, Interval, Le, Len, Lt, MaxLen, MinLen, MultipleOf
import annotated_types as at
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
import torch
import rk
from rk import Decode, Factory, Loss, Model, Schedule, SequenceLayer
"""


@pytest.fixture
def read(workshop):
    """Reads a class, ``C`` by default, of a module that begins with `HEAD`."""

    def call(source: str, name: str = "C", **modules: str) -> ClassInfo:
        package = workshop.package(HEAD + textwrap.dedent(source), **modules)
        return load_class(f"{package}:{name}")

    return call
