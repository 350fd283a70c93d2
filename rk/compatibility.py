"""Versions: whether a plugin was made for this host, and whether what a recipe requires is installed."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from rk.record import record

HOST = "recursion-kit"
"""The distribution of rk itself, as plugins require it."""

_REQUIREMENT = re.compile(
    r"\s*(?P<name>[A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*\(?(?P<range>[^;)]*)\)?\s*(?P<marker>;.*)?"
)
_PLAIN = re.compile(r"(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)*)")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


@record
class Requirement:
    """A distribution and the versions of it that will do, ``rk-noprop>=0.2,<0.3``; an empty range takes any."""

    name: str
    range: str = ""

    def __str__(self) -> str:
        return f"{self.name}{self.range}"

    def allows(self, version: str) -> bool:
        """Returns whether `version` is in the range. Raises `ValueError` for an invalid version or range (PEP 440)."""
        return allows(self.range, version)


def parse_requirement(text: str) -> Requirement:
    """Reads ``name`` or ``name>=1.2,<2``; extras and environment markers are passed over.

    Raises:
        ValueError: When it is not a requirement.
    """
    found = _REQUIREMENT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a requirement")
    requirement = Requirement(found["name"], "".join(found["range"].split()))
    requirement.allows("0")  # raises for an invalid range
    return requirement


def allows(range_: str, version: str) -> bool:
    """Returns whether `version` is in `range_`, both as PEP 440 has them.

    Ranges of plain numbers, which nearly all are, are compared here: loading `packaging` costs every command more than
    loading forty plugins.

    Raises:
        ValueError: For an invalid range or version.
    """
    clauses = [clause.strip() for clause in range_.split(",") if clause.strip()]
    plain = [_PLAIN.fullmatch(clause) for clause in clauses]
    if all(plain) and re.fullmatch(r"\d+(\.\d+)*", version):
        return all(_COMPARE[m[1]](*_same_length(_numbers(version), _numbers(m[2]))) for m in plain if m)
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(range_).contains(version, prereleases=True)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _same_length(one: list[int], other: list[int]) -> tuple[list[int], list[int]]:
    """Fills up with zeros: 1.2 is 1.2.0."""
    length = max(len(one), len(other))
    return one + [0] * (length - len(one)), other + [0] * (length - len(other))


def host_range(metadata: str) -> str | None:
    """Returns the range of `HOST` in the text of a distribution's core metadata; None where it does not require it."""
    for line in metadata.splitlines():
        if not line:  # the headers end here, the description begins
            break
        if line.startswith("Requires-Dist:"):
            found = _REQUIREMENT.fullmatch(line.removeprefix("Requires-Dist:").strip())
            # an extra's requirement does not count for the plugin
            if found and normalized(found["name"]) == HOST and "extra" not in (found["marker"] or ""):
                return "".join(found["range"].split())
    return None


def header(key: str, metadata: str) -> str | None:
    """Returns the value of a header in the text of a distribution's core metadata; None where it has none."""
    found = re.search(rf"^{key}:[ \t]*(\S.*?)\s*$", metadata.partition("\n\n")[0], re.MULTILINE)
    return found and found[1]


def normalized(name: str) -> str:
    """Returns a distribution's name in the one form that the package index compares: ``RK_NoProp`` is ``rk-noprop``."""
    return re.sub(r"[-_.]+", "-", name).lower()


def too_new(range_: str, version: str) -> bool:
    """Whether `version` is above the range: its upper bound is what keeps it out."""
    clauses = [clause.strip() for clause in range_.split(",")]
    return any(clause.startswith("<") and not allows(clause, version) for clause in clauses)
