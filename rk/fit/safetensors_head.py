"""The head of a safetensors file in one fixed order, so that equal weights give equal bytes."""

from __future__ import annotations

import json

METADATA = "__metadata__"
LENGTH = 8
"""Bytes of the number with the length of the head, little-endian."""


def ordered(content: bytes) -> tuple[bytes, memoryview]:
    """Orders the notes in the head of a safetensors file by name.

    safetensors keeps the notes in a hash map, whose order differs from one process to the next. Tensors have a fixed
    order already: by type, then by name.

    Args:
        content: The file.

    Returns:
        The head with its length in front, and the tensors' bytes, which are not copied.
    """
    end = LENGTH + int.from_bytes(content[:LENGTH], "little")
    head = json.loads(content[LENGTH:end])
    if METADATA in head:
        head = {METADATA: dict(sorted(head[METADATA].items())), **{k: v for k, v in head.items() if k != METADATA}}
    text = json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % LENGTH)
    return len(text).to_bytes(LENGTH, "little") + text, memoryview(content)[end:]
