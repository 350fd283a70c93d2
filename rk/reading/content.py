"""The content of a user's file: bytes within a limit, unpacked, and as text."""

from __future__ import annotations

import codecs
import gzip
import io
import math
import os
import re
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

from rk.errors import UserError, nearest, printable

LIMIT_VARIABLE = "RK_MAX_FILE_MB"
DEFAULT_LIMIT_MB = 256
MB = 1_000_000
_BYTE_ORDER_MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GZIP = b"\x1f\x8b"
_MAGIC = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file"),
    (b"%PDF", "a PDF file"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\x93NUMPY", "a NumPy file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (_GZIP, "a gzip file inside a gzip file"),
)


def size_limit() -> int:
    """Returns the most bytes of one file that are read: `RK_MAX_FILE_MB`, else 256 MB.

    Raises:
        UserError: When the variable is not a positive number.
    """
    text = os.environ.get(LIMIT_VARIABLE) or str(DEFAULT_LIMIT_MB)
    try:
        megabytes = float(text)
    except ValueError:
        megabytes = math.nan
    if not 0 < megabytes < 1e9:
        raise UserError(f"{LIMIT_VARIABLE}: expected a number of megabytes, got {text!r}", f"{LIMIT_VARIABLE}=1024")
    return round(megabytes * MB)


def read_bytes(path: Path, accepted: str | None = None, *, share: int = 1) -> bytes:
    """Returns the content of a file; of a gzip file, what is inside.

    Args:
        path: The file.
        accepted: What the file should be, as a hint.
        share: The file may be this many times smaller than `size_limit`.

    Raises:
        UserError: When it is not there, cannot be read, is too large, or is a damaged gzip file.
    """
    limit = size_limit() // share
    name = printable(str(path))
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            raise UserError(f"{name} is a directory", accepted)
        if not stat.S_ISREG(found.st_mode):  # a pipe would wait for ever, a device never ends
            raise UserError(f"{name} is not a regular file", accepted)
        if found.st_size > limit:
            raise too_large(name, limit, share, f"{found.st_size / MB:.0f} MB")
        with open(path, "rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise UserError(f"{name}: No such file", _neighbour(Path(path)) or accepted) from None
    except (OSError, ValueError) as error:  # a ValueError: a null character in the path
        raise UserError(f"{name}: {getattr(error, 'strerror', None) or error}", accepted) from None
    if content.startswith(_GZIP):
        content = unpacked(content, name, limit, share)
    elif str(path).lower().endswith(".gz"):
        raise UserError(f"{name} is not a gzip file, though its name ends in .gz", "remove .gz from its name")
    if len(content) > limit:
        raise too_large(name, limit, share, "larger")
    return content


def unpacked(content: bytes, name: str, limit: int, share: int = 1) -> bytes:
    """Returns what is inside a gzip file.

    Args:
        content: The gzip file.
        name: What it is called in messages.
        limit: Most bytes that are unpacked.
        share: As in `read_bytes`.

    Raises:
        UserError: When it is damaged, cut short, or holds more than `limit` bytes.
    """
    hint = "copy or download it again; gzip -t FILE checks it"
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            inside = file.read(limit + 1)
    except EOFError:
        raise UserError(f"{name}: the gzip file is damaged: it is cut short", hint) from None
    except (OSError, zlib.error) as error:
        raise UserError(f"{name}: the gzip file is damaged: {error}", hint) from None
    if len(inside) > limit:
        raise too_large(name, limit, share, "larger when it is unpacked")
    return inside


def too_large(name: str, limit: int, share: int, what: str) -> UserError:
    """Returns the error of a file that is larger than `limit` bytes; `what` is how much it is."""
    needed = limit * share // MB * 2
    message = f"{name}: the file is too large: at most {limit / MB:g} MB are read, and it is {what}"
    return UserError(message, f"to read more, set {LIMIT_VARIABLE}={max(1, needed)} or higher")


def _neighbour(path: Path) -> str | None:
    """Returns a hint: the file beside `path` whose name is nearest to it."""
    try:
        names = [entry.name for entry, _ in zip(os.scandir(path.parent), range(1000), strict=False)]
    except (OSError, ValueError):
        return None
    close = nearest(path.name, names)
    return f"did you mean {printable(str(path.parent / close))}?" if close else None


def read_text(path: Path, accepted: str | None = None, *, share: int = 1) -> str:
    """Returns the text of a file in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.

    Args:
        path: The file.
        accepted: What the file should be, as a hint.
        share: As in `read_bytes`.

    Returns:
        The text without a byte order mark, its lines ended by ``\\n``.

    Raises:
        UserError: When the file cannot be read, or is not such a text.
    """
    return text_of(read_bytes(path, accepted, share=share), path, accepted)


def text_of(content: bytes, path: Path | str, accepted: str | None = None) -> str:
    """Returns the text of a file as `read_text` does, from content that has been read.

    Args:
        content: The bytes of the file, as `read_bytes` returns them.
        path: The file that they are from.
        accepted: What the file should be, as a hint.

    Raises:
        UserError: When it is not such a text.
    """
    name = printable(str(path))
    for magic, kind in _MAGIC:
        if content.startswith(magic):
            raise UserError(f"{name} is not a text file: it looks like {kind}", accepted)
    encoding = encoding_of(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise _not_decoded(name, content, encoding, error, accepted) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        half = text[:1000].count("\0") * 3 > len(text[:1000])
        hint = "it looks like UTF-16 without a byte order mark; save it as UTF-8" if half else accepted
        raise UserError(f"{name}:{line}: not a text file: it holds a null character", hint)
    if text.startswith("version https://git-lfs.github.com/"):
        raise UserError(f"{name} is a pointer of Git LFS, not the file itself", "fetch the file: git lfs pull")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def encoding_of(content: bytes) -> str:
    """Returns the name of the encoding that a byte order mark gives, as Python has it; ``utf-8`` without a mark."""
    return next((found for mark, found in _BYTE_ORDER_MARKS if content.startswith(mark)), "utf-8")


def _not_decoded(
    name: str, content: bytes, encoding: str, error: UnicodeDecodeError, accepted: str | None
) -> UserError:
    if not encoding.startswith("utf-8"):
        reason = f"it begins like {encoding.upper()}, but the rest is not"
        return UserError(f"{name} is not a text file: {reason}", accepted)
    if re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", content[:10_000]):
        return UserError(f"{name} is not a text file", accepted)
    before = error.object[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    line, byte = before.count(b"\n") + 1, error.object[error.start]
    return UserError(
        f"{name}:{line}: not a text file in UTF-8: found the byte 0x{byte:02x}",
        "it may be Latin-1 or Windows-1252; convert it: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW",
    )


def lines_of(text: str, *, keep_ends: bool = False) -> Iterator[str]:
    """Yields the lines of a text from `read_text`.

    Args:
        text: Its lines end at ``\\n`` alone.
        keep_ends: Whether the lines keep their ``\\n``.
    """
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield text[start : end + keep_ends]
        start = end + 1
