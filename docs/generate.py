"""Writes docs/reference.md from the code: commands, recipe keys, hooks, protocols, environment variables.

It also writes the table of kinds in docs/contract.md and that of public modules in docs/stability.md, between comments.

    python docs/generate.py            writes the page and the tables
    python docs/generate.py --print    prints the page

It does not depend on installed plugins: only the built-in components are read. `tests/test_docs.py` fails when the page
and the code disagree.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rk import hookspecs  # noqa: E402  the tree of this file is the one that is described
from rk.catalog import Catalog  # noqa: E402
from rk.cli import COMMANDS, cli  # noqa: E402
from rk.errors import ExitCode  # noqa: E402
from rk.kinds import KINDS  # noqa: E402
from rk.plugins import Plugins  # noqa: E402
from rk.public import MODULES  # noqa: E402
from rk.static import constructor, load_class  # noqa: E402
from rk.static.docstring import describe  # noqa: E402

PAGE = ROOT / "docs" / "reference.md"
WIDTH = 100
"""Columns of the help texts."""

VARIABLES = {
    "RK_RUNS": "Folder of all runs; by default, `./runs`. `--runs-dir` takes precedence.",
    "RK_DISABLE_PLUGINS": "Plugins or distributions that are not loaded, comma-separated; `*`: none is loaded. "
    "`rk --no-plugins` sets it to `*`.",
    "RK_TRACEBACK": "Set to anything: a bug ends with its traceback, not with one line.",
    "RK_VERBOSITY": "`quiet` or `verbose`; `rk --quiet` and `rk --verbose` set it.",
    "RK_PAGER": "The program that shows long listings on a terminal; `PAGER` without it. Empty: none.",
    "PAGER": "The same, for all programs.",
    "LESS": "Options of `less`; `-FRX` where there are none.",
    "NO_COLOR": "Set to anything: messages have no colour.",
    "RK_DATA": "Folder of data sets; by default, `data` in the folder `RK_CACHE`.",
    "RK_CACHE": "Folder of downloads and of other costly files; by default, `rk` in `XDG_CACHE_HOME`.",
    "RK_NO_INDEX": "Set to anything: every command loads all plugins and reads all sources; nothing is taken from "
    "the index in the folder that `RK_CACHE` names, nor kept there.",
    "RK_MAX_FILE_MB": "Megabytes of the largest text file, table or gzip content that is read; by default, 256. A JSON "
    "document may have a quarter of it.",
    "XDG_CACHE_HOME": "Folder of all programs' caches; `~/.cache` without it.",
    "MPLCONFIGDIR": "Matplotlib's own folder. The contract kit lets a run write there.",
    "PYTHONSAFEPATH": "Python's own; set for interpreters that rk starts: none imports from the working folder.",
    "_RK_COMPLETE": "Set by a shell's completion script (`rk completion`); not for people.",
    "COMP_WORDS": "The same.",
    "TORCHELASTIC_RUN_ID": "Set by `torchrun`: `rk train` then is one of its processes and starts none.",
    "RANK": "Set by `torchrun`, and by rk for the processes that it starts.",
    "LOCAL_RANK": "The same.",
    "WORLD_SIZE": "The same.",
    "LOCAL_WORLD_SIZE": "The same.",
}
"""Environment variable -> what it does; those that the code reads (a test finds them)."""

RUNTIME = ("setup", "optimizer", "backward", "update", "gather")
"""Methods of the runtime that are for trainers; the others are the loop's."""


def page() -> str:
    """Returns the whole page."""
    parts = [
        "# Reference",
        "Written by `docs/generate.py` from the code (`make docs`); change the docstrings, not this page.",
        "- [Commands](#commands)\n- [Exit codes](#exit-codes)\n- [Environment variables](#environment-variables)\n"
        "- [Recipes](#recipes)\n- [Hooks](#hooks)\n- [Protocols](#protocols)\n- [What components are given]"
        "(#what-components-are-given)\n- [From Python](#from-python)\n- [Sampling](#sampling)\n- [Files](#files)\n"
        "- [Reading](#reading)\n"
        "- [Writing](#writing)\n- [Images](#images)\n- [Charts](#charts)\n- [Authoring](#authoring)\n"
        "- [States](#states)\n- [Binding](#binding)\n- [Fields](#fields)",
        *commands(),
        *exit_codes(),
        *variables(),
        *recipes(),
        *hooks(),
        *protocols(),
        *given(),
        *functions("From Python", "rk as a library; `rk` has the same names.", "rk.api", "rk/reproduce/rows.py"),
        *functions("Sampling", "What batches are made of.", "rk.sampling"),
        *functions("Files", "Where data and caches are kept, and how files get there.", "rk.files"),
        *functions("Reading", "Users' text files: all raise `UserError`, and nothing else.", "rk.reading"),
        *functions("Writing", "Files that are replaced whole.", "rk.writing"),
        *functions("Images", "How images are read and drawn. They need Pillow.", "rk.images"),
        *functions("Charts", "The style of all charts. They need matplotlib.", "rk.charts"),
        *functions("Authoring", "What analyses and recording callbacks have in common.", "rk.authoring"),
        *functions("States", "States of layers that stream: nested tensors.", "rk.states"),
        *functions("Binding", "Calling by field name.", "rk.binding"),
        *fields(),
    ]
    return "\n\n".join(parts) + "\n"


# -- commands ----------------------------------------------------------------------------------------------------------


def commands() -> Iterator[str]:
    yield "## Commands"
    yield (
        "`rk --no-plugins COMMAND` runs with the built-in components alone; `rk --quiet COMMAND` prints results and "
        "errors alone, `rk --verbose COMMAND` versions, plugins and times too; `rk --version` or `-V` the version."
    )
    root = click.Context(cli, info_name="rk", **{**cli.context_settings, "max_content_width": WIDTH})
    root.obj = Catalog(Plugins(entries=[]))  # what `rk search` and `rk analyze` list
    for name in COMMANDS:
        yield from _command(name, cli.get_command(root, name), root)


def _command(name: str, command: click.Command, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, parent, info_name=name, terminal_width=WIDTH)
    text = command.get_help(context).partition("\nInstalled ")[0]
    yield f"### {context.command_path}"
    yield _fenced("\n".join(line.rstrip() for line in text.splitlines()).strip(), "text")
    if isinstance(command, click.Group) and type(command) is click.Group:
        for child in command.list_commands(context):
            yield from _command(child, command.get_command(context, child), context)


def exit_codes() -> Iterator[str]:
    yield "## Exit codes"
    said = dict(_after_assignments(_class(ROOT / "rk/errors.py", "ExitCode")))
    rows = [(str(int(code)), said.get(code.name, "Done.")) for code in ExitCode]
    yield _table(("code", ""), rows)


def variables() -> Iterator[str]:
    yield "## Environment variables"
    yield _table(("variable", ""), [(f"`{name}`", text) for name, text in VARIABLES.items()])


# -- recipes -----------------------------------------------------------------------------------------------------------


def recipes() -> Iterator[str]:
    yield "## Recipes"
    yield (
        "A recipe is a mapping in YAML. Beside the keys below it has `extends` (a recipe that this one changes), the "
        "components `model`, `data`, `loss`, `trainer` or `search`, `callbacks` (a list) and `metrics` (name: "
        "component). A component is its name, or a mapping with `name` and its parameters. `rk schema` prints all of "
        "it as JSON Schema, with the parameters of every installed component."
    )
    for title, name in (("At the top", "Sections"), ("`fit`", "Fit"), ("`expect`, a list of", "Expect")):
        info = load_class(f"rk.recipe.sections:{name}")
        help_of = describe(info)[1]
        yield f"### {title}"
        rows = [
            (
                f"`{p.name}`",
                f"{p.type}".replace("|", "\\|"),
                "" if p.required else _shown(p.default),
                _inline(help_of[p.name]),
            )
            for p in constructor(info).params
        ]
        yield _table(("key", "type", "default", ""), rows)


def _shown(value: object) -> str:
    return "null" if value is None else f"`{value}`"


# -- hooks and protocols -----------------------------------------------------------------------------------------------


def hooks() -> Iterator[str]:
    yield "## Hooks"
    yield (
        "A plugin's entry point in the group `rk.plugins` names a module. Its functions of these names, marked with "
        '`@rk.hookimpl`, return what the plugin entries: `{"name": "package.module:Class"}`.'
    )
    kind_of = {kind.hook: kind.name for kind in KINDS.values()}
    found = [name for name in vars(hookspecs) if name.startswith("rk_")]
    yield _table(
        ("hook", "kind", ""),
        [(f"`{name}`", kind_of.get(name, ""), _inline(getattr(hookspecs, name).__doc__)) for name in found],
    )


def kinds_table() -> str:
    """Returns the table of kinds in docs/contract.md."""
    head = ("kind", "hook", "what the class must have", "what it may have")
    return _table(head, [(kind.name, f"`{kind.hook}`", kind.must, kind.may) for kind in KINDS.values()])


def modules_table() -> str:
    """Returns the table of public modules in docs/stability.md."""
    return _table(("module", ""), [(f"`{module}`", about) for module, about in MODULES.items()])


TABLES = {"contract.md": ("kinds", kinds_table), "stability.md": ("modules", modules_table)}
"""Document -> the comment before its generated table, and what makes the table."""


def with_table(document: str) -> str:
    """Returns a document with its table as the code has it."""
    comment, table = TABLES[document]
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    before, begin, rest = text.partition(f"<!-- {comment} -->\n")
    return f"{before}{begin}\n{table()}\n\n{rest[rest.index(f'<!-- /{comment} -->') :]}"


def protocols() -> Iterator[str]:
    path = ROOT / "rk/protocols.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    yield "## Protocols"
    yield "A component fits one of these; it need not inherit from it. `from rk import Model` brings any of them."
    yield "### Names of types"
    rows = [(f"`{name}`", said) for name, said in _after_assignments(tree) if name[0].isupper() and not name.isupper()]
    yield _table(("name", ""), rows)
    public = public_names(path)  # what components are given has a part of its own
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name in public:
            yield from _described(node)


def given() -> Iterator[str]:
    yield "## What components are given"
    yield "A trainer's `setup` gets a `Runtime`, a callback a `FitContext`, an exporter or an analysis a `LoadedRun`."
    runtime = _class(ROOT / "rk/fit/runtime.py", "Runtime")
    said, *members = runtime.body
    runtime.body = [said, *(n for n in members if isinstance(n, ast.FunctionDef) and n.name in RUNTIME)]
    yield from _described(runtime)
    yield from _described(_class(ROOT / "rk/fit/context.py", "FitContext"))
    yield from _described(_class(ROOT / "rk/fit/loaded.py", "LoadedRun"))


def functions(title: str, about: str, module: str, *elsewhere: str) -> Iterator[str]:
    """Yields the section of a public module.

    Args:
        title: Of the section.
        about: What the module is for.
        module: Its name.
        elsewhere: Further files, for names that the module has from outside of its folder.
    """
    found = sorted(
        _members(module, *elsewhere), key=lambda node: isinstance(node, ast.ClassDef)
    )  # functions come first
    yield f"## {title}"
    yield f"{about} `from {module} import {', '.join(node.name for node in found)}`"
    for node in found:
        if isinstance(node, ast.ClassDef):
            yield from _described(node, constructed=True)
            continue
        yield _signature(node)
        yield prose(ast.get_docstring(node) or "")


def _members(module: str, *elsewhere: str) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Yields the functions and classes in the ``__all__`` of a module or a package, in the order of the source."""
    path = ROOT / module.replace(".", "/")
    files = sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    public = public_names(path / "__init__.py" if path.is_dir() else files[0])
    for file in (*files, *(ROOT / name for name in elsewhere)):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in public:
                yield node


def public_names(path: Path) -> list[str]:
    """Returns the ``__all__`` of a source file, which is not imported."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return ast.literal_eval(node.value)
    raise LookupError(f"{path} has no __all__")


def fields() -> Iterator[str]:
    tree = ast.parse((ROOT / "rk/fields.py").read_text(encoding="utf-8"))
    yield "## Fields"
    yield "TypedDicts that several plugins share, in `rk.fields`; [contract.md](contract.md) has the glossary of names."
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    said = [(c, "<br>".join(f"`{ast.unparse(m)}`" for m in c.body if isinstance(m, ast.AnnAssign))) for c in classes]
    yield _table(("name", "fields", ""), [(f"`{c.name}`", text, _inline(ast.get_docstring(c))) for c, text in said])


def _described(node: ast.ClassDef, constructed: bool = False) -> Iterator[str]:
    """Yields a class: its docstring, then each public member with its own; Args too if authors make objects of it."""
    yield f"### {node.name}"
    bases = [ast.unparse(base) for base in node.bases if ast.unparse(base) != "Protocol"]
    if bases:
        yield f"Is a {', '.join(f'`{base}`' for base in bases)}."
    said = ast.get_docstring(node) or ""
    if not constructed:
        said = re.sub(r"Args:\n(    .*\n)+\n?", "", said)
    yield prose(said)
    for member in node.body:
        if isinstance(member, ast.AnnAssign) and member.value is None and f"    {member.target.id}:" not in said:
            yield f"**`{ast.unparse(member)}`**"
        if isinstance(member, ast.FunctionDef) and (
            not member.name.startswith("_") or member.name == "__call__" or "Protocol" in map(ast.unparse, node.bases)
        ):
            yield _signature(member)
            if text := ast.get_docstring(member):
                yield prose(text)


def _signature(node: ast.FunctionDef) -> str:
    arguments = ast.unparse(node.args)
    arguments = re.sub(r"^(self|cls)(, )?", "", arguments)
    return f"**`{node.name}({arguments}) -> {ast.unparse(node.returns)}`**"


def _class(path: Path, name: str) -> ast.ClassDef:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)


def _after_assignments(node: ast.Module | ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Yields (name, text) of the assignments that a string describes in the line after."""
    for statement, after in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(statement, ast.Assign)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            yield statement.targets[0].id, _inline(after.value.value)


# -- Markdown ----------------------------------------------------------------------------------------------------------


def prose(docstring: str) -> str:
    """Returns a Google-style docstring as Markdown: its sections as lists."""
    out: list[str] = []
    section = None
    for line in docstring.replace("``", "`").splitlines():
        if re.fullmatch(r"(Args|Attributes|Returns|Raises):", line):
            section = line.removesuffix(":")
            out += [f"*{section}:*", ""]
        elif section and line.startswith("    ") and not line.startswith("     "):
            entry = line.strip()
            named = re.match(r"([\w.]+): (.*)", entry)
            out.append(f"- `{named[1]}`: {named[2]}" if named and section != "Returns" else f"- {entry}")
        elif section and line.strip():
            out.append(f"  {line.strip()}")
        else:
            section = None if line.strip() else section
            out.append(line.strip() if not line.startswith("  ") else line)
    return "\n".join(out).strip()


def _inline(text: str) -> str:
    return " ".join(text.replace("``", "`").split()).replace("|", "\\|")


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{text}\n```"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |".replace("  |", " |") for cells in lines)


if __name__ == "__main__":
    if "--print" in sys.argv:
        sys.stdout.write(page())
    else:
        PAGE.write_text(page(), encoding="utf-8")
        for name in TABLES:
            (ROOT / "docs" / name).write_text(with_table(name), encoding="utf-8")
        print(f"wrote {PAGE} and the tables in {', '.join(TABLES)}")
