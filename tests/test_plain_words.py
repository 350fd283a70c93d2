"""The phrases in docs/glossary.md are not used, and `docs/plain_words.py` finds them where they are."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
SCRIPT = runpy.run_path(str(DOCS / "plain_words.py"))
TABLE = SCRIPT["read_table"]((DOCS / "glossary.md").read_text(encoding="utf-8"))


def found(path: str, text: str) -> list[tuple[int, str]]:
    """Returns line and phrase of all that is found in a file."""
    return [(line, phrase) for line, phrase, _ in SCRIPT["occurrences"](path, text, TABLE)]


def test_the_repository_has_none(capsys):
    code = SCRIPT["main"]()
    assert code == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        pytest.param("page.md", "One line.\nA picture of it.\n", [(2, "picture")], id="Markdown"),
        pytest.param("page.md", "The run goes\non from there.\n", [(1, "goes on")], id="across a line break"),
        pytest.param("code.py", "x = 1  # nobody reads it\n", [(1, "nobody")], id="a comment"),
        pytest.param("code.py", '"""Returns two\n\nthings."""\n', [(3, "things")], id="a docstring"),
        pytest.param("code.py", 'f("it goes "\n  "on there")\n', [(1, 'goes " "on')], id="a string in two pieces"),
        pytest.param("code.py", 'f"{x} is no number"\n', [(1, "is no")], id="a message"),
        pytest.param("code.py", "def test_a_run_goes_on(): ...\n", [(1, "goes on")], id="the name of a test"),
        pytest.param("recipe.yaml", "# For nobody.\nname: nobody\n", [(1, "nobody")], id="a recipe's comment"),
        pytest.param(
            "CHANGELOG.md", "## [Unreleased]\nA thing.\n\n## [0.1.0]\nA thing.\n", [(2, "thing")], id="changes"
        ),
    ],
)
def test_a_phrase_in_prose_is_found_with_its_line(path, text, expected):
    assert found(path, text) == expected


@pytest.mark.parametrize(
    ("path", "text"),
    [
        pytest.param("page.md", "See `pictures` and [a](pictures/a.png).\n", id="code and links"),
        pytest.param("code.py", "pictures = picture(things)\n", id="identifiers"),
        pytest.param("code.py", 'path = "pictures"\n', id="a string of one word"),
        pytest.param("code.py", 'f"a {pictures} b"\n', id="an expression in a string"),
        pytest.param("page.md", "There is no image, and it is no longer there.\n", id="there is no, no longer"),
        pytest.param("code.py", "x = 1  # a picture  # words: title of a paper\n", id="a marked quotation"),
        pytest.param("page.md", "A picture. <!-- words: title of a paper -->\n", id="a marked quotation on a page"),
    ],
)
def test_names_code_and_marked_quotations_are_left_out(path, text):
    assert found(path, text) == []


def test_a_mark_without_a_reason_does_not_count():
    assert found("page.md", "A picture. <!-- words: -->\n") == [(1, "picture")]


def test_every_phrase_has_a_replacement():
    assert len(TABLE.instead) > 40
    assert all(re.search(r"\w", instead) for instead in TABLE.instead)


def test_a_glossary_without_a_table_is_an_error():
    with pytest.raises(ValueError, match="no table under the heading"):
        SCRIPT["read_table"]("# Glossary\n")
