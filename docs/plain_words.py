"""Lists phrases that the project does not use, by the table in docs/glossary.md.

    python docs/plain_words.py          lists each phrase with file, line and replacement; exits with 1 if there are any

It reads Markdown, templates, comments, docstrings, strings of several words and the names of tests. It leaves out code:
names, paths and text between backticks. A quotation is marked on its line, with the reason:

    # words: title of a paper            in Python, YAML and TOML
    <!-- words: title of a paper -->     in Markdown
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GLOSSARY = ROOT / "docs" / "glossary.md"
HEADING = "## Phrases that are not used"
SUFFIXES = (".md", ".py", ".yaml", ".toml", ".j2")
LEFT_OUT = {"docs/glossary.md", "docs/plain_words.py", "docs/reference.md", "tests/test_plain_words.py"}
"""The table itself, what reads it, and the page that `docs/generate.py` writes."""

ESCAPE = re.compile(r"(?:#|<!--) words: \S")
RELEASED = re.compile(r"^## \[\d", re.MULTILINE)
BREAK = r"""(?:[ ]|[ ]?"?\s*\n\s*(?:\#[:!]?[ ]|>[ ]|[rf]?")?)"""
"""One space, or a line break within a paragraph, a comment or a string."""

BEFORE = r"(?<![\w./\\'`$-])"
AFTER = r"(?:(?<=\s)|(?![\w/\\(=-]|\.\w|'(?!s\b)))"
"""What must not be beside a phrase: it would be a part of an identifier, a path or a call."""


@dataclass(frozen=True)
class Phrase:
    """A row of the table."""

    pattern: re.Pattern[str]
    instead: str


def phrases(page: str) -> list[Phrase]:
    """Returns the rows of the table in a glossary.

    Args:
        page: Markdown. The first column has regular expressions between backticks, the second their replacement.

    Raises:
        ValueError: When the page has no such table.
    """
    found = []
    for row in page.partition(HEADING)[2].splitlines():
        if row.startswith("| `"):
            left, _, instead = row.strip("| ").partition(" | ")
            found += [Phrase(whole_words(text), instead) for text in re.findall(r"`([^`]+)`", left)]
    if not found:
        raise ValueError(f"no table under the heading {HEADING!r}")
    return found


def whole_words(pattern: str) -> re.Pattern[str]:
    """Returns an expression for `pattern` in any case and across line breaks, but not within a name or a path."""
    return re.compile(rf"{BEFORE}{pattern.replace(' ', BREAK)}{AFTER}", re.IGNORECASE)


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
    """Yields the spans of comments, of strings with a space in them, and of the names of tests."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        begin, end = starts[token.start[0] - 1] + token.start[1], starts[token.end[0] - 1] + token.end[1]
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and " " in token.string):
            yield begin, end


def test_names(path: str, text: str) -> Iterator[tuple[int, str]]:
    """Yields the place of each test's name, and the name in words."""
    if path.endswith(".py"):
        for match in re.finditer(r"def test_(\w+)", text):
            yield match.start(), match[1].replace("_", " ")


def occurrences(path: str, text: str, table: Iterable[Phrase]) -> list[tuple[int, str, str]]:
    """Returns line, phrase and replacement of all that a file has of the table.

    Args:
        path: The file's path within the repository.
        text: What it holds.
        table: From `phrases`.
    """
    lines, plain, found = text.splitlines(), prose(path, text), []
    for phrase in table:
        for match in phrase.pattern.finditer(plain):
            found.append((text.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), phrase.instead))
        for place, name in test_names(path, text):
            found += [(text.count("\n", 0, place) + 1, m[0], phrase.instead) for m in phrase.pattern.finditer(name)]
    return sorted(row for row in found if not ESCAPE.search(lines[row[0] - 1]))


def tracked() -> list[str]:
    """Returns the repository's text files."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [path for path in listed if path.endswith(SUFFIXES) and path not in LEFT_OUT and (ROOT / path).is_file()]


def main() -> int:
    """Prints all occurrences; returns the exit code."""
    table = phrases(GLOSSARY.read_text(encoding="utf-8"))
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
