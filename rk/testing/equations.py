"""A plugin's EQUATIONS.md against its sources: each function and test that it names exists. Read with `ast` alone.

The file is beside ``pyproject.toml``. Each of its tables with these four columns is checked::

    | Paper | What it says | Code | Test |
    | --- | --- | --- | --- |
    | Eq. 4 | the focal loss | `MyLoss.__call__` in `src/rk_my_net/loss.py` | `tests/test_loss.py::test_focal` |
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from rk.errors import nearest
from rk.plugins import Plugin
from rk.sources import find_source
from rk.testing.broken import Broken, NotApplicable

NAME = "EQUATIONS.md"
HEAD = ("paper", "what it says", "code", "test")
EQUATION = re.compile(r"\bEq\. [A-Z]?\d+(?:\.\d+)*")
"""The form of a citation of an equation, in the table and in docstrings: a single spelling can be searched for."""
_MISSPELT = re.compile(r"\b(?:Eqs?|eqs?|[Ee]quations?)\b\.? *\(?[A-Z]?\d+")
_CELL = re.compile(r"(?<!\\)\|")

Places = dict[str, str]
"""Name of a function, a method, a class or a constant -> its docstring."""


def check(plugin: Plugin) -> None:
    """Compares the plugin's EQUATIONS.md with its sources and tests.

    Raises:
        NotApplicable: When there is none: the plugin follows no paper, or a wheel of it is installed.
        Broken: With one line for each mistake: file, line and what was expected.
    """
    root = checkout(plugin)
    if root is None or not (root / NAME).is_file():
        raise NotApplicable(f"there is no {NAME} beside a pyproject.toml of the plugin")
    if said := list(mistakes(root)):
        raise Broken("\n".join(said))


def checkout(plugin: Plugin) -> Path | None:
    """Returns the folder of the plugin's ``pyproject.toml``; None for a plugin whose sources are not checked out."""
    source = find_source(plugin.entry.module)
    if source is None:
        return None
    depth = plugin.entry.module.count(".") + (source.name == "__init__.py")
    above = [source.resolve().parents[depth], source.resolve().parents[depth].parent]  # of a flat layout, and of src/
    return next((folder for folder in above if (folder / "pyproject.toml").is_file()), None)


def mistakes(root: Path) -> Iterator[str]:
    """Yields what is wrong in ``root/EQUATIONS.md``, one line each."""
    found = False
    for line, cells in _rows(root / NAME):
        found = True
        for said in _of_row(root, cells):
            yield f"{NAME}:{line}: {said}"
    if not found:
        yield f"{NAME}: there is no row in a table with the columns {_titles()}"


def _titles() -> str:
    return " | ".join(title.capitalize() for title in HEAD)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields the number and the cells of each row below a heading of the right columns."""
    inside = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.startswith("|"):
            inside = False
            continue
        cells = [cell.strip() for cell in _CELL.split(line.strip().removeprefix("|").removesuffix("|"))]
        if tuple(cell.lower() for cell in cells) == HEAD:
            inside = True
        elif inside and not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
            yield number, cells


def _of_row(root: Path, cells: list[str]) -> Iterator[str]:
    if len(cells) != len(HEAD):
        yield f"expected {len(HEAD)} cells ({_titles()}), got {len(cells)}; write \\| within a cell"
        return
    paper, meaning, code, tests = cells
    for title, cell in (("Paper", paper), ("What it says", meaning)):
        if not cell:
            yield f"the cell under {title} is empty"
    if odd := _MISSPELT.search(EQUATION.sub("", paper)):
        yield f"{odd[0]!r} must be written as 'Eq. 3': docstrings are searched for it"
    yield from _of_code(root, set(EQUATION.findall(paper)), code)
    yield from _of_tests(root, tests)


def _of_code(root: Path, equations: set[str], cell: str) -> Iterator[str]:
    expected = "expected `function` or `Class.method`, then in `src/package/file.py`"
    names: list[str] = []
    cited: set[str] = set()
    found_file = found_name = False
    for text in re.findall(r"`([^`]+)`", cell):
        if not text.endswith(".py"):
            names.append(text)
            continue
        if not names:
            yield f"no function is named before `{text}`; {expected}"
        known = _definitions(root / text)
        found_file = True
        if isinstance(known, str):
            yield f"{text} {known}"
            known, names = {}, []
        for name in names:
            plain = name.removeprefix(f"{Path(text).stem}.").removesuffix("()")
            if plain not in known:
                yield f"{text} has no {plain!r}{_meant(plain, known)}"
                continue
            found_name = True
            here = set(EQUATION.findall(known[plain] + "\n" + known.get(plain.rpartition(".")[0], "")))
            cited |= here
            if equations and not equations & here:
                yield f"the docstring of {plain} in {text} does not cite {' or '.join(sorted(equations))}"
        names = []
    if names:
        yield f"no file is named after `{names[0]}`; {expected}"
    elif not found_file:
        yield f"no function is named; {expected}"
    elif found_name:
        for equation in sorted(equations - cited):
            yield f"no docstring of this row's functions cites {equation}"


def _of_tests(root: Path, cell: str) -> Iterator[str]:
    if not (root / "tests").is_dir():
        return
    named = re.findall(r"`([^`]+)`", cell)
    if not named:
        yield "no test is named; expected `tests/test_file.py::test_name`"
    for text in named:
        file, separator, name = text.partition("::")
        if not separator or not name or not file.endswith(".py"):
            yield f"`{text}` is not a test; expected `tests/test_file.py::test_name`"
            continue
        known = _definitions(root / file)
        if isinstance(known, str):
            yield f"{file} {known}"
            continue
        tested = {each for each in known if each.rpartition(".")[2].startswith("test")}
        if (plain := name.replace("::", ".")) not in tested:
            yield f"{file} has no test {plain!r}{_meant(plain, tested)}"


def _meant(name: str, known: Iterable[str]) -> str:
    close = nearest(name, known)
    return f"; did you mean {close}?" if close else ""


def _definitions(path: Path) -> Places | str:
    """Returns what a source defines, with docstrings; or what is wrong with the file."""
    if not path.is_file():
        return "does not exist"
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        return f"cannot be parsed: line {error.lineno}: {error.msg}"
    return dict(_within(tree.body, ""))


def _within(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, str]]:
    for place, node in enumerate(body):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield f"{prefix}{node.name}", ast.get_docstring(node) or ""
            case ast.ClassDef():
                yield f"{prefix}{node.name}", ast.get_docstring(node) or ""
                yield from _within(node.body, f"{prefix}{node.name}.")
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield f"{prefix}{name}", _string(body[place + 1 : place + 2])
            case ast.If():
                yield from _within([*node.body, *node.orelse], prefix)


def _string(body: list[ast.stmt]) -> str:
    """Returns the string that describes an assignment in the line after it."""
    match body:
        case [ast.Expr(value=ast.Constant(value=str(text)))]:
            return text
    return ""
