"""Point sets out of a user's own file: CSV, JSON, or the lines of the paper's data sets."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from rk import UserError
from rk.reading import column_place, describe, is_number, lines_of, named_rows, number, parse_json, read_text, unequal

AXES = [("x", "y"), ("longitude", "latitude"), ("lon", "lat"), ("lng", "lat"), ("long", "lat")]
LABELS = ["name", "label", "city", "place", "id"]
MOST = torch.finfo(torch.float32).max
MOST_POINTS = 2000
"""Beyond this, n^2 slopes per set and a decoder that has seen tens of points make no sense."""

ACCEPTED = "CSV with columns x,y or longitude,latitude (and name); a JSON list of [x, y]; lines 'x1 y1 ... output ...'"


@dataclass(frozen=True)
class PointSet:
    """Points as the user wrote them."""

    coordinates: Float[Tensor, "n 2"]
    labels: list[str] | None = None
    axes: tuple[str, str] = ("x", "y")

    def in_unit_square(self, keep_shape: bool = False) -> Float[Tensor, "n 2"]:
        """Stretches each axis over [0, 1], as float32; without extent, to 0.5.

        Scaling the axes apart moves no point on or off the hull, and a network that was trained on the whole square
        finds more hulls so (61% in place of 42% of 20 points in a strip 0.4 high).

        Args:
            keep_shape: Scales both axes alike, so that the longer one spans [0, 1] and lengths keep their proportions.
        """
        low, high = self.coordinates.amin(0), self.coordinates.amax(0)
        extent = (high - low).amax() if keep_shape else high - low
        extent = torch.where(extent > 0, extent, 1.0)
        return ((self.coordinates - (low + high) / 2) / extent + 0.5).float()


def read_point_sets(path: Path, needs: str = "a convex hull needs at least 3") -> list[PointSet]:
    """Returns the point sets of a file: one per file of CSV or JSON, one per line of the paper's format.

    Args:
        path: The file.
        needs: The error for a set with less than 3 points.

    Raises:
        rk.UserError: When the file cannot be read as points, or a set has less than 3 points or far too many.
    """
    text = read_text(path, ACCEPTED)
    if not text.strip():
        raise UserError(f"{path}: the file is empty", hint=ACCEPTED)
    if path.suffix.lower() == ".json" or text.lstrip()[0] in "[{":
        sets = [_from_json(path, text)]
    elif "output" in text.split("\n", 1)[0].split():
        sets = [_from_line(f"{path}:{i}", line) for i, line in enumerate(lines_of(text), 1) if line.strip()]
    else:
        sets = [_from_csv(path, text)]
    for points in sets:
        _check_size(path, len(points.coordinates), needs)
    return sets


def _check_size(path: Path, n: int, needs: str) -> None:
    if n < 3:
        count = "1 point" if n == 1 else f"{n} points"
        raise UserError(f"{path}: {count}: {needs}")
    if n > MOST_POINTS:
        raise UserError(f"{path}: more than {MOST_POINTS} points are too many for one set", hint="take fewer")


def _from_csv(path: Path, text: str) -> PointSet:
    found = named_rows(text, path, ACCEPTED, ";\t, ", equal=False)
    header = None if found.names is None else [name.lower() for name in found.names]
    rows = [(line, [cell.strip() for cell in row]) for line, row in itertools.islice(found.rows, MOST_POINTS + 1)]
    columns = range(min(len(row) for _, row in rows))
    numeric = [c for c in columns if all(_is_written_as_number(row[c]) for _, row in rows)]

    axes = _axes(header or [])
    if axes and header:
        across, up = header.index(axes[0]), header.index(axes[1])
    elif len(numeric) >= 2:
        across, up = numeric[:2]
    else:
        raise UserError(f"{path}: no two columns of numbers", hint=ACCEPTED)

    names = tuple(header) if header else None
    coordinates = []
    for line, row in rows:
        if len(row) <= max(across, up):
            raise unequal(path, line, max(across, up) + 1, len(row))
        coordinates.append([_coordinate(row[c], column_place(path, line, c, names)) for c in (across, up)])
    named = [header.index(name) for name in LABELS if header and name in header]
    texts = named or [c for c in columns if c not in numeric and c not in (across, up)]
    labels = [row[texts[0]] for _, row in rows] if texts and texts[0] in columns else None
    return _point_set(coordinates, labels, axes)


def _from_json(path: Path, text: str) -> PointSet:
    value = parse_json(text, path, accepted=ACCEPTED)
    if not isinstance(value, list):
        raise UserError(f"{path}: expected a list of points, got {describe(value)}", hint=ACCEPTED)
    if not value:
        raise UserError(f"{path}: the list is empty", hint=ACCEPTED)
    axes, label = None, None
    if isinstance(value[0], dict):
        axes = _axes([*value[0]])
        label = next((name for name in LABELS if name in value[0]), None)
        if axes is None:
            raise UserError(f"{path}: point 1 has neither x and y nor longitude and latitude", hint=ACCEPTED)
    coordinates, labels = [], []
    for i, item in enumerate(value, 1):
        place = f"{path}: point {i}"
        if axes and isinstance(item, dict):
            pair = [item.get(name) for name in axes]
            labels.append(_label(item.get(label), place))
        elif not axes and isinstance(item, list) and len(item) == 2:
            pair = item
        else:
            wanted = f"an object with {axes[0]} and {axes[1]}" if axes else "a pair [x, y]"
            raise UserError(f"{place} is not {wanted}", hint=ACCEPTED)
        names = axes or ("x", "y")
        coordinates.append([_coordinate(cell, f"{place}: {name}") for cell, name in zip(pair, names, strict=True)])
    return _point_set(coordinates, labels if label else None, axes)


def _label(value: object, place: str) -> str:
    if value is None:
        return ""
    if isinstance(value, list | dict | bool):
        raise UserError(f"{place}: expected a text as its label, got {describe(value)}", hint=ACCEPTED)
    return str(value)


def _from_line(place: str, line: str) -> PointSet:
    """Reads the authors' "x1 y1 x2 y2 ... output i1 i2 ..."; the hull behind ``output`` is recomputed."""
    cells = line.split()
    if "output" not in cells:
        raise UserError(f"{place}: no 'output' in this line", hint="x1 y1 x2 y2 ... output i1 i2 ...")
    cells = cells[: cells.index("output")]
    if len(cells) % 2:
        raise UserError(f"{place}: {len(cells)} numbers before 'output'; points have two each")
    numbers = [_coordinate(cell, place) for cell in cells]
    return _point_set(list(zip(numbers[::2], numbers[1::2], strict=True)))


def _point_set(
    coordinates: Sequence[Sequence[float]], labels: list[str] | None = None, axes: tuple[str, str] | None = None
) -> PointSet:
    return PointSet(torch.tensor(coordinates, dtype=torch.float64).reshape(-1, 2), labels, axes or ("x", "y"))


def _axes(names: Sequence[str]) -> tuple[str, str] | None:
    return next((axes for axes in AXES if axes[0] in names and axes[1] in names), None)


def _coordinate(cell: object, place: str) -> float:
    value = number(cell, place)
    if abs(value) > MOST:
        hint = "scale the coordinates to between -3.4e38 and 3.4e38"
        raise UserError(f"{place}: {value:g} is beyond float32", hint)
    return value


def _is_written_as_number(cell: str) -> bool:
    """Whether a cell is a number or one of ``nan`` and ``inf``: its column is one of numbers, with a mistake in it."""
    return is_number(cell) or cell.lower().lstrip("+-") in ("nan", "inf", "infinity")
