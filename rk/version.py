"""The version of the host, for what cannot import the package's own front: that would be a circle."""

from __future__ import annotations

__version__ = "0.1.0"
