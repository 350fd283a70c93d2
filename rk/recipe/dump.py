"""Recipes as text."""

from __future__ import annotations

import functools
import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from rk.values import Plain, PlainDict

if TYPE_CHECKING:
    import yaml

WIDTH = 110
"""Characters of a line."""


def dump(values: PlainDict, comments: Mapping[str, str] | None = None) -> str:
    """Returns plain values as YAML that rk reads back unchanged.

    Args:
        values: What is written, in this order.
        comments: Key -> a comment above it, wrapped where it is long; keys of mappings within mappings have dots.
    """
    import yaml

    text = yaml.dump(values, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=WIDTH)
    return "".join(_with_comments(text, comments)) if comments else text


def comment(text: str, indent: int = 0) -> str:
    """Returns `text` as lines of a comment that end with a line feed."""
    start = f"{' ' * indent}# "
    return textwrap.fill(text, WIDTH, initial_indent=start, subsequent_indent=start, break_on_hyphens=False) + "\n"


def _with_comments(text: str, comments: Mapping[str, str]) -> Iterator[str]:
    path: list[str] = []
    for line in text.splitlines(keepends=True):
        indent = len(line) - len(line.lstrip(" "))
        name, colon, _ = line.strip().partition(":")
        if colon and not name.startswith(("-", "#", '"', "'")):
            path = [*path[: indent // 2], name]
            if (said := comments.get(".".join(path))) is not None:
                yield comment(said, indent)
        yield line


@functools.cache
def _dumper() -> type[yaml.SafeDumper]:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes lists of plain values in one line, and quotes what rk's own reader would take for something else."""

        def represent_sequence(
            self, tag: str, sequence: Iterable[Plain], flow_style: bool | None = None
        ) -> yaml.SequenceNode:
            flat = all(not isinstance(x, list | dict) for x in sequence)
            return super().represent_sequence(tag, sequence, flow_style=flat)

        def ignore_aliases(self, data: Plain) -> bool:
            return True

    def text(dumper: Dumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if _reads_back(value) else '"')

    def number(dumper: Dumper, value: float) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:float", _float_text(value))

    Dumper.add_representer(str, text)
    Dumper.add_representer(float, number)
    return Dumper


def in_override(value: str) -> str:
    """Returns a text as an override writes it: in quotes, where YAML would take it for something else."""
    return value if _reads_back(value) else json.dumps(value, ensure_ascii=False)


def _reads_back(value: str) -> bool:
    """Whether `value`, written without quotes, is the same text to rk's own reader."""
    from rk.errors import RecipeError
    from rk.recipe.tree import Scalar, parse_value

    try:
        node, problems = parse_value(value, "")
    except RecipeError:
        return False
    return not problems and isinstance(node, Scalar) and node.value == value


def _float_text(value: float) -> str:
    if value != value:
        return ".nan"
    if value in (float("inf"), float("-inf")):
        return ".inf" if value > 0 else "-.inf"
    text = repr(value)
    return text.replace("e", ".0e") if "e" in text and "." not in text else text  # YAML 1.1 asks for the point
