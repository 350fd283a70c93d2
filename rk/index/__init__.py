"""The cache of listings and checks between commands: fifty plugins are not loaded and read each time.

The index is in the cache folder, one folder for each environment. It answers only for what is unchanged, by the
stamps of all files that were read for an answer; a part of it that is damaged or cannot be written costs time alone.
"""

from rk.index.snapshot import installed_names, listed

__all__ = ["installed_names", "listed"]
