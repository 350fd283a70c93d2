"""YAML as a tree whose every node knows its place; the traps of YAML 1.1 are settled here.

Built from the parser's events, not by a YAML constructor: nothing is instantiated, depth and size are bounded, and
every mistake of a file is collected. ``1e-3`` is a number; yes/no/on/off, leading zeros, duplicate keys, tags and
aliases are mistakes with a hint.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rk.errors import Mark, Problem, RecipeError
from rk.reads import note
from rk.record import record
from rk.values import Plain, Value

if TYPE_CHECKING:  # a tree that is kept is read without it
    import yaml

MAX_BYTES = 200_000
MAX_DEPTH = 40
MAX_SHOWN = 60
"""Characters of a value that a message repeats."""


class _Broken:
    """The value of a scalar whose mistake has been reported: nothing that follows from it is."""


BROKEN: object = _Broken()


@record
class Scalar:
    """A plain value: None, bool, int, float, str or `BROKEN`; `raw` is how it was written, less the quotes."""

    value: Value
    mark: Mark
    raw: str = ""
    quoted: bool = False


@record
class Sequence:
    """A list."""

    items: list[Node]
    mark: Mark


@record
class Mapping:
    """A mapping from strings; `key_marks` has the place of each key."""

    items: dict[str, Node]
    mark: Mark
    key_marks: dict[str, Mark]

    def mark_of(self, key: str) -> Mark:
        return self.key_marks.get(key, self.mark)

    def put(self, key: str, node: Node, mark: Mark | None = None) -> None:
        self.items[key] = node
        self.key_marks[key] = mark or node.mark


Node = Scalar | Sequence | Mapping

_UNPRINTABLE = "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
"""Characters that YAML 1.1 does not allow."""
_LAYOUT = dict.fromkeys(map(ord, "\t\n\r"))
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_PADDED = re.compile(r"([-+]?)0[0-9_]+")
_FLOAT = re.compile(r"[-+]?([0-9][0-9_]*\.[0-9]*|\.[0-9]+|[0-9][0-9_]*)([eE][-+]?[0-9]+)?")
_SPECIAL = {".inf": float("inf"), "-.inf": float("-inf"), "+.inf": float("inf"), ".nan": float("nan")}
_SWITCHES = {"yes": "true", "no": "false", "on": "true", "off": "false"}


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
    note(file=path)
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
        hint = "rk recipes copy NAME gives one to begin with"
        raise RecipeError([Problem(Mark(label), "", "the file is empty", hint)])
    if isinstance(node, Scalar) and node.value is BROKEN:
        raise RecipeError(builder.problems)
    if not isinstance(node, Mapping):
        message = f"a recipe is a mapping of keys, this is {describe(node)}"
        raise RecipeError([*builder.problems, Problem(node.mark, "", message, "begin with the line rk: 1")])
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

        text = text.removeprefix("\ufeff")
        # The pattern takes 10 ms to compile: nearly every recipe is printable by Python's own, stricter notion.
        doubtful = not text.translate(_LAYOUT).isprintable()
        if doubtful and (found := re.search(_UNPRINTABLE, text)) is not None:
            line, column = text.count("\n", 0, found.start()) + 1, found.start() - text.rfind("\n", 0, found.start())
            message = f"not valid YAML: the character {found[0]!r} is not allowed"
            raise RecipeError([Problem(self.fixed or Mark(self.label, line, column), "", message)])
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            return self._assemble(yaml.parse(text, Loader=loader))
        except yaml.MarkedYAMLError as error:
            place = error.problem_mark or error.context_mark
            mark = self._mark(place) if place else self.fixed or Mark(self.label)
            problem = Problem(mark, "", f"not valid YAML: {error.problem}", _yaml_hint(error, text))
            raise RecipeError([*self.problems, problem]) from None

    def _mark(self, at: Any) -> Mark:  # Any: the mark of a reader in Python or in C
        return self.fixed or Mark(self.label, at.line + 1, at.column + 1)

    def _problem(self, mark: Mark, message: str, hint: str | None = None, key: str = "") -> None:
        self.problems.append(Problem(mark, key, message, hint))

    def _assemble(self, events: Iterable[yaml.Event]) -> Node | None:
        """Builds the tree without recursion: `open_nodes` holds the unfinished collections, innermost last."""
        import yaml

        root: Node | None = None
        open_nodes: list[tuple[Mapping | Sequence, list[Scalar]]] = []  # with the pending key of a mapping, if any
        tagged: list[Node] = []

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
                if not (open_nodes and any(key.raw == "<<" for key in open_nodes[-1][1])):  # << is a mistake already
                    message = f"alias *{event.anchor}: aliases are not used in recipes"
                    self._problem(mark, message, "use extends, or repeat it")
                place(Scalar(BROKEN, mark))
            elif isinstance(event, yaml.ScalarEvent):
                place(self._scalar(event))
            elif isinstance(event, yaml.CollectionStartEvent):
                mark = self._mark(event.start_mark)
                if len(open_nodes) >= MAX_DEPTH:
                    raise RecipeError([*self.problems, Problem(mark, "", f"nested deeper than {MAX_DEPTH} levels")])
                is_list = isinstance(event, yaml.SequenceStartEvent)
                open_nodes.append((Sequence([], mark) if is_list else Mapping({}, mark, {}), []))
                if self._refuse_tag(event, mark):
                    tagged.append(open_nodes[-1][0])
            elif isinstance(event, yaml.CollectionEndEvent):
                node, _ = open_nodes.pop()
                place(Scalar(BROKEN, node.mark) if any(node is t for t in tagged) else node)
        return root

    def _refuse_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, mark: Mark) -> bool:
        if event.tag is None:
            return False
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        self._problem(mark, f"tag {tag}: tags are not used in recipes", "a recipe never runs code")
        return True

    def _key(self, node: Node) -> Scalar:
        if not isinstance(node, Scalar):
            self._problem(node.mark, f"a key must be a string, this is {describe(node)}")
            return Scalar(BROKEN, node.mark)
        if node.raw == "<<" and not node.quoted:
            self._problem(node.mark, "merge keys are not used in recipes", "use extends, or repeat it")
        elif node.value is not BROKEN and not isinstance(node.value, str):
            message = f"a key must be a string, this is {describe(node)}"
            self._problem(node.mark, message, f'write "{node.raw}" in quotes')
        else:
            return node
        return Scalar(BROKEN, node.mark, node.raw)

    def _add(self, parent: Mapping, key: Scalar, node: Node) -> None:
        if key.value is BROKEN:
            return
        if key.value in parent.items:
            first = parent.mark_of(key.value)
            self._problem(key.mark, f"the key is given twice; first at {first}", "keep one of them", key=key.value)
        else:
            parent.put(key.value, node, key.mark)

    def _scalar(self, event: Any) -> Scalar:
        mark, raw = self._mark(event.start_mark), event.value
        if self._refuse_tag(event, mark):
            return Scalar(BROKEN, mark, raw)
        if event.style:
            return Scalar(raw, mark, raw, quoted=True)
        return Scalar(self._plain(raw, mark), mark, raw)

    def _plain(self, raw: str, mark: Mark) -> Value:
        if raw in ("", "~", "null", "Null", "NULL"):
            return None
        lower = raw.lower()
        if lower in ("true", "false"):
            return lower == "true"
        if lower in _SWITCHES:
            hint = f'write {_SWITCHES[lower]}, or "{raw}" in quotes if you mean the word'
            self._problem(mark, f"{raw} has different meanings in different YAML readers", hint)
            return BROKEN
        if _INT.fullmatch(raw):
            return self._integer(raw, mark)
        if (padded := _PADDED.fullmatch(raw)) is not None:
            plain = padded[1].rstrip("+") + (raw.replace("_", "").lstrip("-+0") or "0")
            self._problem(mark, f"{raw} begins with a zero, which some YAML readers take for octal", f"write {plain}")
            return BROKEN
        if lower in _SPECIAL:
            return _SPECIAL[lower]
        if not _FLOAT.fullmatch(raw):
            return raw
        value = float(raw.replace("_", ""))
        if value in _SPECIAL.values():
            self._problem(mark, f"{raw} is too large for a float", "write .inf for infinity")
            return BROKEN
        return value

    def _integer(self, raw: str, mark: Mark) -> Plain:
        try:
            return int(raw.replace("_", ""))
        except ValueError:  # thousands of digits: Python refuses to convert them
            self._problem(mark, "a number with too many digits")
            return BROKEN


def _yaml_hint(error: yaml.MarkedYAMLError, text: str) -> str | None:
    """Returns a hint that adds to the message of the YAML reader."""
    at = error.problem_mark
    lines = text.splitlines()
    rest = lines[at.line][at.column :] if at is not None and at.line < len(lines) else ""
    if rest.startswith("\t"):
        return "indent with spaces, not tabs"
    problem = error.problem or ""
    if "cannot start any token" in problem:
        return f"put a text that begins with {rest[:1]} in quotes"
    if "mapping values are not allowed" in problem:
        return "a colon followed by a space begins a value: put the text in quotes"
    begin = error.context_mark
    if begin is None:
        context: str | None = error.context
        return context
    return f"{error.context} that begins at line {begin.line + 1}, column {begin.column + 1}"


def plain_value(node: Node) -> Plain:
    """Returns the plain value of a node, without its places."""
    if isinstance(node, Mapping):
        return {k: plain_value(v) for k, v in node.items.items()}
    if isinstance(node, Sequence):
        return [plain_value(v) for v in node.items]
    return node.value


def is_number(text: str) -> bool:
    """Whether `text`, written without quotes, is a number."""
    return bool(_INT.fullmatch(text) or _FLOAT.fullmatch(text) or text in _SPECIAL)


def describe(node: Node) -> str:
    """Returns what the node is, in a user's words."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    if node.value is None:
        return "null"
    kinds = {bool: "a bool", int: "an int", float: "a float", str: "a string"}
    shown = node.raw if len(node.raw) <= MAX_SHOWN else f"{node.raw[:MAX_SHOWN]}..."
    return f"{kinds.get(type(node.value), 'a value')} ({shown!r})"
