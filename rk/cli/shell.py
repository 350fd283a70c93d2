"""What a shell's completion script and `rk` agree on."""

from __future__ import annotations

COMPLETE_VARIABLE = "_RK_COMPLETE"
"""Set by a shell that asks for completions at the cursor."""
