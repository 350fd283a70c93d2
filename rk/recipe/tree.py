"""YAML as a tree whose every node knows its place; the traps of YAML 1.1 are settled here.

Built from the parser's events, not by a YAML constructor: nothing is instantiated, depth and size are bounded, and
every mistake of a file is collected. ``1e-3`` is a number; yes/no/on/off, leading zeros, duplicate keys, tags and
aliases are mistakes with a hint.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rk.errors import Mark, Problem, RecipeError

MAX_BYTES = 1_000_000
MAX_DEPTH = 40


@dataclass
class Scalar:
    """A plain value: None, bool, int, float or str; `raw` is how it was written."""

    value: Any
    mark: Mark
    raw: str = ""


@dataclass
class Sequence:
    """A list."""

    items: list[Node]
    mark: Mark


@dataclass
class Mapping:
    """A mapping from strings; `key_marks` says where each key stands."""

    items: dict[str, Node]
    mark: Mark
    key_marks: dict[str, Mark]

    def mark_of(self, key: str) -> Mark:
        return self.key_marks.get(key, self.mark)

    def put(self, key: str, node: Node, mark: Mark | None = None) -> None:
        self.items[key] = node
        self.key_marks[key] = mark or node.mark


Node = Scalar | Sequence | Mapping

_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\d[\d_]*\.\d*|\.\d+|\d[\d_]*)([eE][-+]?\d+)?")
_SPECIAL = {".inf": float("inf"), "-.inf": float("-inf"), "+.inf": float("inf"), ".nan": float("nan")}
_SWITCHES = {"yes": "true", "no": "false", "on": "true", "off": "false", "y": "true", "n": "false"}


def read_tree(path: Path, label: str) -> tuple[Mapping, list[Problem]]:
    """Reads the file `path` as a mapping.

    Args:
        path: The file.
        label: What marks call it.

    Returns:
        The mapping and the problems that leave it readable (a duplicate key, a tag).

    Raises:
        RecipeError: When there is no mapping to read: not a file, too large, binary, broken YAML, nested too deep.
    """
    whole = Mark(label)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise RecipeError([Problem(whole, "", f"{size:,} bytes; a recipe has at most {MAX_BYTES:,}")])
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"not a text file: byte {error.start} is not UTF-8"
        raise RecipeError([Problem(whole, "", message, "a recipe is a YAML file")]) from None
    except OSError as error:
        raise RecipeError([Problem(whole, "", error.strerror or str(error))]) from None
    return parse_tree(text, label)


def parse_tree(text: str, label: str) -> tuple[Mapping, list[Problem]]:
    """Reads `text` as `read_tree` does."""
    builder = _Builder(label)
    node = builder.build(text)
    if node is None:
        raise RecipeError([Problem(Mark(label), "", "the file is empty", "rk recipes copy NAME gives one to begin with")])
    if not isinstance(node, Mapping):
        message = f"a recipe is a mapping of keys, this is {describe(node)}"
        raise RecipeError([*builder.problems, Problem(node.mark, "", message)])
    return node, builder.problems


def parse_value(text: str, source: str) -> tuple[Node, list[Problem]]:
    """Reads the value of a command-line override; every mark is `source`."""
    builder = _Builder(source, fixed=Mark(source))
    node = builder.build(text)
    return (Scalar(None, Mark(source), "") if node is None else node), builder.problems


class _Builder:
    def __init__(self, label: str, fixed: Mark | None = None) -> None:
        self.label = label
        self.fixed = fixed
        self.problems: list[Problem] = []

    def build(self, text: str) -> Node | None:
        import yaml

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            return self._assemble(yaml.parse(text, Loader=loader))
        except yaml.MarkedYAMLError as error:
            place = error.problem_mark or error.context_mark
            mark = self._mark(place) if place else Mark(self.label)
            raise RecipeError([*self.problems, Problem(mark, "", f"not valid YAML: {error.problem}", _yaml_hint(error))])
        except yaml.YAMLError as error:
            reason = str(error).strip().splitlines()[0]
            raise RecipeError([Problem(Mark(self.label), "", f"not valid YAML: {reason}")]) from None

    def _mark(self, at: Any) -> Mark:
        return self.fixed or Mark(self.label, at.line + 1, at.column + 1)

    def _problem(self, mark: Mark, message: str, hint: str | None = None, key: str = "") -> None:
        self.problems.append(Problem(mark, key, message, hint))

    def _assemble(self, events: Any) -> Node | None:
        """Builds the tree without recursion: `open_nodes` holds the unfinished collections, innermost last."""
        import yaml

        root: Node | None = None
        open_nodes: list[tuple[Node, list[Scalar]]] = []  # with the pending key of a mapping, if any

        def place(node: Node) -> None:
            nonlocal root
            if not open_nodes:
                if root is not None:
                    self._problem(node.mark, "a second document begins here", "one recipe per file")
                root = root or node
                return
            parent, pending = open_nodes[-1]
            if isinstance(parent, Sequence):
                parent.items.append(node)
            elif not pending:
                pending.append(self._key(node))
            else:
                self._add(parent, pending.pop(), node)

        for event in events:
            if isinstance(event, yaml.AliasEvent):
                mark = self._mark(event.start_mark)
                self._problem(mark, f"alias *{event.anchor}: aliases are not used in recipes", "use extends, or repeat it")
                place(Scalar(None, mark))
            elif isinstance(event, yaml.ScalarEvent):
                place(self._scalar(event))
            elif isinstance(event, yaml.CollectionStartEvent):
                mark = self._mark(event.start_mark)
                self._refuse_tag(event, mark)
                if len(open_nodes) >= MAX_DEPTH:
                    raise RecipeError([*self.problems, Problem(mark, "", f"nested deeper than {MAX_DEPTH} levels")])
                is_list = isinstance(event, yaml.SequenceStartEvent)
                open_nodes.append((Sequence([], mark) if is_list else Mapping({}, mark, {}), []))
            elif isinstance(event, yaml.CollectionEndEvent):
                node, _ = open_nodes.pop()
                place(node)
        return root

    def _refuse_tag(self, event: Any, mark: Mark) -> None:
        if event.tag is not None and event.tag != "!":
            self._problem(mark, f"tag {event.tag}: tags are not used in recipes", "a recipe never runs code")

    def _key(self, node: Node) -> Scalar:
        if isinstance(node, Scalar) and isinstance(node.value, str):
            return node
        if isinstance(node, Scalar):
            if node.raw != "<<":
                self._problem(node.mark, f"the key {node.raw or 'null'!r} is not a string", "quote it")
            return Scalar(node.raw, node.mark, node.raw)
        self._problem(node.mark, "a key must be a string")
        return Scalar("", node.mark)

    def _add(self, parent: Mapping, key: Scalar, node: Node) -> None:
        if key.value == "<<":
            self._problem(key.mark, "merge keys are not used in recipes", "use extends, or repeat it")
        elif key.value in parent.items:
            first = parent.mark_of(key.value)
            self._problem(key.mark, f"the key is given twice; first at {first}", "keep one of them", key=key.value)
        else:
            parent.put(key.value, node, key.mark)

    def _scalar(self, event: Any) -> Scalar:
        mark, raw = self._mark(event.start_mark), event.value
        self._refuse_tag(event, mark)
        if event.style or not event.implicit[0]:
            return Scalar(raw, mark, raw)
        return Scalar(self._plain(raw, mark), mark, raw)

    def _plain(self, raw: str, mark: Mark) -> Any:
        if raw in ("", "~", "null", "Null", "NULL"):
            return None
        lower = raw.lower()
        if lower in ("true", "false"):
            return lower == "true"
        if lower in _SWITCHES:
            hint = f'write {_SWITCHES[lower]}, or "{raw}" in quotes if you mean the word'
            self._problem(mark, f"{raw} means different things to different YAML readers", hint)
            return _SWITCHES[lower] == "true"
        if _INT.fullmatch(raw):
            return self._integer(raw, mark)
        if re.fullmatch(r"[-+]?0[0-9_]+", raw):
            plain = raw.replace("_", "").lstrip("+0") or "0"
            self._problem(mark, f"{raw} begins with a zero, which some YAML readers take for octal", f"write {plain}")
            return 0
        if lower in _SPECIAL:
            return _SPECIAL[lower]
        if _FLOAT.fullmatch(raw):
            return float(raw.replace("_", ""))
        return raw

    def _integer(self, raw: str, mark: Mark) -> int:
        try:
            return int(raw.replace("_", ""))
        except ValueError:  # thousands of digits: Python refuses to convert them
            self._problem(mark, "a number with too many digits")
            return 0


def _yaml_hint(error: Any) -> str | None:
    problem = error.problem or ""
    if "\\t" in problem or "'\t'" in problem:
        return "indent with spaces, not tabs"
    if "mapping values are not allowed" in problem:
        return "a colon followed by a space begins a value: put the text in quotes"
    return error.context


def describe(node: Node) -> str:
    """Returns what the node is, in a user's words."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    kinds = {bool: "a bool", int: "an int", float: "a float", str: "a string", type(None): "null"}
    return f"{kinds[type(node.value)]} ({node.raw!r})" if node.raw and node.value is not None else kinds[type(node.value)]
