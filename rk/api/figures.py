"""Figures of a run: paths, which a notebook shows."""

from __future__ import annotations

from pathlib import Path

from rk.api.html import display, image, paragraph


class Figures(list[Path]):
    """Files with figures. A notebook draws them, where they are PNG or SVG; elsewhere it is a list of paths."""

    def _repr_html_(self) -> str:
        return "".join(map(image, self)) or paragraph("no figures")

    def show(self) -> None:
        """Draws them in a notebook; elsewhere, prints their paths."""
        display(self)
