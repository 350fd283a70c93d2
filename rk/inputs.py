"""The files that a user names: single ones, folders, patterns, standard input."""

from __future__ import annotations

import contextlib
import glob
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rk.errors import UserError, printable
from rk.record import record

STANDARD_INPUT = "-"
MAX_TYPED = 40
"""Characters of a text on the command line that messages repeat."""


@record
class Input:
    """One input file.

    Attributes:
        path: Where it is.
        name: What the answers call it.
        stem: What its figure is called after; no two inputs have the same.
        typed: Whether the command line holds the text itself, and the file only while it is answered.
    """

    path: Path
    name: str
    stem: str
    typed: bool = False

    @property
    def shown(self) -> str:
        """Its name in messages."""
        if self.typed:
            return (
                "--text"
                if self.name.isspace() or not self.name
                else f"--text {shlex.quote(printable(self.name, MAX_TYPED))}"
            )
        return "standard input" if self.name == STANDARD_INPUT else str(self.path)


@contextlib.contextmanager
def find_inputs(texts: list[str], literal: Sequence[str] = (), ending: str | None = None) -> Iterator[list[Input]]:
    """Yields the files that `texts` name, each once, in their order; standard input is a file while they are used.

    Args:
        texts: Files, folders, patterns, or ``-``.
        literal: Texts that are answered themselves: each is a file while they are used.
        ending: Of these files; None: it is guessed from the text.

    Raises:
        UserError: When no file is named, or a named file does not exist.
    """
    if not texts and not literal:
        raise UserError(
            "which file?", "give a file, a folder, a pattern such as 'scans/*.png', or - for standard input"
        )
    with contextlib.ExitStack() as stack:
        paths: dict[Path, str] = {}
        for text in texts:
            if text == STANDARD_INPUT:
                paths[_standard_input(stack)] = STANDARD_INPUT
            else:
                paths |= {path: str(path) for path in _named(text)}
        for number, text in enumerate(literal, 1):
            paths[_as_file(stack, text, "text" if len(literal) == 1 else f"text-{number}", ending)] = text
        yield _with_stems(paths, len(literal))


def _named(text: str) -> list[Path]:
    path = Path(text)
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        if not found:
            raise UserError(f"the folder {path} has no files", f"give a pattern for the folders below it: '{path}/*/*'")
        return found
    found = sorted(p for p in map(Path, glob.glob(text, recursive=True)) if p.is_file())
    if found:
        return found
    if glob.has_magic(text):
        raise UserError(f"no file matches {text}")
    raise UserError(
        f"no such file: {text}", _nearby(path) or (f"--text {text!r} answers the text" if " " in text else None)
    )


def _nearby(path: Path) -> str | None:
    from rk.errors import nearest

    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    close = nearest(path.name, [p.name for p in path.parent.iterdir()])
    return f"did you mean {path.with_name(close)}?" if close else None


def _standard_input(stack: contextlib.ExitStack) -> Path:
    """Writes standard input into a file that lives as long as `stack`: data read files."""
    try:
        text = sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError:
        raise UserError("standard input is not text", "give the file's name") from None
    if not text.strip():
        raise UserError("standard input is empty", "as in: rk predict RUN - < points.csv")
    return _as_file(stack, text, "standard-input")


def _as_file(stack: contextlib.ExitStack, text: str, stem: str, ending: str | None = None) -> Path:
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="rk-"))
    path = Path(folder, f"{stem}{ending or _ending(text)}")
    try:
        path.write_text(text, encoding="utf-8")
    except UnicodeEncodeError:
        raise UserError("the text cannot be read: it must be UTF-8") from None
    return path


def _ending(text: str) -> str:
    """Returns a file ending for this text, by which data distinguish CSV, JSON and prose."""
    import json

    try:
        json.loads(text)
    except ValueError:
        pass
    else:
        if text.lstrip()[:1] in ("[", "{"):
            return ".json"
    if _is_object(text.lstrip().split("\n", 1)[0]):
        return ".jsonl"
    return ".csv" if "," in (text.splitlines() or [""])[0] or _is_number(text) else ".txt"


def _is_object(line: str) -> bool:
    """Whether a line is a JSON object: the text is then JSON lines."""
    import json

    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _is_number(text: str) -> bool:
    with contextlib.suppress(ValueError):
        float((text.split() or ["-"])[0])
        return True
    return False


def _with_stems(paths: dict[Path, str], typed: int) -> list[Input]:
    """Gives each file its own stem: two of the same name in different folders are numbered.

    Args:
        paths: File -> what the answers call it.
        typed: How many of them, the last ones, are texts of the command line.
    """
    taken: set[str] = set()
    found: list[Input] = []
    for path, name in paths.items():
        stem, number = path.stem, 1
        while stem in taken:
            number += 1
            stem = f"{path.stem}-{number}"
        taken.add(stem)
        found.append(Input(path, name, stem, len(found) >= len(paths) - typed))
    return found
