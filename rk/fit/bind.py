"""The old place of `rk.binding.Bound`: the name remains for plugins that import it from here."""

from __future__ import annotations

from rk.binding import Bound

__all__ = ["Bound"]
