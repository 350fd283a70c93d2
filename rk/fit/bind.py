"""The old home of `rk.binding.Bound`: the name stays for plugins that import it from here."""

from __future__ import annotations

from rk.binding import Bound

__all__ = ["Bound"]
