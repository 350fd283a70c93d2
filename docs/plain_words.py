"""Lists phrases that the project does not use, by the table in docs/glossary.md.

    python docs/plain_words.py          lists each phrase with file, line and replacement; exits with 1 if there are any

It reads Markdown, templates, comments, docstrings, strings of several words and the names of tests. It leaves out code:
names, paths and text between backticks. A quotation is marked on its line, with the reason:

    # words: title of a paper            in Python, YAML and TOML
    <!-- words: title of a paper -->     in Markdown
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GLOSSARY = ROOT / "docs" / "glossary.md"
HEADING = "## Phrases that are not used"
SUFFIXES = (".md", ".py", ".yaml", ".toml", ".j2")
LEFT_OUT = {"docs/glossary.md", "docs/plain_words.py", "docs/reference.md", "tests/test_plain_words.py"}
"""The table itself, what reads it, and the page that `docs/generate.py` writes."""

ESCAPE = re.compile(r"(?:#|<!--) words: (?!-->)\S")
PYTHON = re.compile(r'"{3}(?:\\.|[^\\])*?"{3}|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|#[^\n]*', re.DOTALL)
"""A string or a comment of Python's."""

RELEASED = re.compile(r"^## \[\d", re.MULTILINE)
BREAK = r"""(?:[ ]|[ ]?"?\s*\n\s*(?:\#[:!]?[ ]|>[ ]|[rf]?")?)"""
"""One space, or a line break within a paragraph, a comment or a string."""

BEFORE = r"(?<![\w./\\'`$-])"
AFTER = r"(?:(?<=\s)|(?![\w/\\(=-]|\.\w|'(?!s\b)))"
"""What must not be beside a phrase: it would be a part of an identifier, a path or a call."""


@dataclass(frozen=True)
class Table:
    """The phrases that are not used, as one expression with a group for each, and their replacements."""

    pattern: re.Pattern[str]
    instead: tuple[str, ...]


def read_table(page: str) -> Table:
    """Reads the table in a glossary.

    Args:
        page: Markdown. The first column has regular expressions between backticks, the second their replacement.

    Raises:
        ValueError: When the page has no such table.
    """
    rows = [row.strip("| ").split(" | ") for row in page.partition(HEADING)[2].splitlines() if row.startswith("| `")]
    phrases = [(text, instead) for left, instead in rows for text in re.findall(r"`([^`]+)`", left)]
    if not phrases:
        raise ValueError(f"no table under the heading {HEADING!r}")
    groups = "|".join(f"({text.replace(' ', BREAK)})" for text, _ in phrases)
    pattern = re.compile(f"{BEFORE}(?:{groups}){AFTER}", re.IGNORECASE)
    return Table(pattern, tuple(instead for _, instead in phrases))


def prose(path: str, text: str) -> str:
    """Returns `text` with all but prose blotted out; every place stays the same."""
    if path.endswith(".py"):
        text = re.sub(r"\{[^{}\n]*\}", lambda m: "_" * len(m[0]), only(text, python_prose(text)))
    elif path.endswith((".yaml", ".toml")):
        text = only(text, (m.span() for m in re.finditer(r"#.*|\"[^\"\n]* [^\"\n]*\"|description: .*", text)))
    elif path == "CHANGELOG.md" and (released := RELEASED.search(text)):
        text = text[: released.start()]
    if path.endswith(".j2"):
        text = re.sub(r'="[^"]*"', lambda m: " " * len(m[0]), text)
    for code in (r"``[^`]+``", r"`[^`\n]+(?:\n[^`\n]+)?`", r"\]\([^)\s]*\)", r"https?://\S+", r"<!-- result:.*?-->"):
        text = re.sub(code, lambda m: re.sub(r"[^\n]", "_", m[0]), text)
    return text


def only(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Returns `text` with all words outside of `spans` blotted out."""
    kept = list(re.sub(r"\S", "_", text))
    for start, end in spans:
        kept[start:end] = text[start:end]
    return "".join(kept)


def python_prose(source: str) -> Iterator[tuple[int, int]]:
    """Yields the spans of comments, and of strings with a space in them."""
    return (m.span() for m in PYTHON.finditer(source) if " " in m[0])


def test_names(path: str, text: str) -> Iterator[tuple[int, str]]:
    """Yields the place of each test's name, and the name in words."""
    if path.endswith(".py"):
        for match in re.finditer(r"def test_(\w+)", text):
            yield match.start(), match[1].replace("_", " ")


def occurrences(path: str, text: str, table: Table) -> list[tuple[int, str, str]]:
    """Returns line, phrase and replacement of all that a file has of the table.

    Args:
        path: The file's path within the repository.
        text: Its content.
        table: From `read_table`.
    """
    lines, plain = text.splitlines(), prose(path, text)
    matches = [(m.start(), m) for m in table.pattern.finditer(plain)]
    matches += [(place, m) for place, name in test_names(path, text) for m in table.pattern.finditer(name)]
    rows = [(text.count("\n", 0, place), m[0], table.instead[m.lastindex - 1]) for place, m in matches]
    return sorted((n + 1, " ".join(used.split()), to) for n, used, to in rows if not ESCAPE.search(lines[n]))


def tracked() -> list[str]:
    """Returns the repository's text files."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [path for path in listed if path.endswith(SUFFIXES) and path not in LEFT_OUT and (ROOT / path).is_file()]


def main() -> int:
    """Prints all occurrences; returns the exit code."""
    table = read_table(GLOSSARY.read_text(encoding="utf-8"))
    count = 0
    for path in tracked():
        for line, phrase, instead in occurrences(path, (ROOT / path).read_text(encoding="utf-8"), table):
            print(f"{path}:{line}: {phrase!r}: {instead}")
            count += 1
    if count:
        print(f"{count} phrases; docs/glossary.md has the table", file=sys.stderr)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
