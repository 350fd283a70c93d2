"""`rk show KIND NAME`."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING

import click

from rk.cli.complete import complete_component, complete_kind_or_name
from rk.cli.kinds import find_kind, known_kind
from rk.cli.options import json_option
from rk.errors import UserError, suggest
from rk.jsontext import to_json
from rk.values import PlainDict

if TYPE_CHECKING:
    from rk.catalog import Catalog
    from rk.plugins import Component
    from rk.static import ClassInfo

LISTS = ("facts", "splits", "metrics", "needs")
"""Parts that are printed on one line each."""
HEADS = {"recipe": "in a recipe", "command": "as a command", "python": "in Python"}
"""The line above each example."""

_MARKS = {"decode": " (decoding: may be changed on a trained run)", "training": " (only for training)"}


@click.command()
@click.argument("kind", metavar="[KIND]", shell_complete=complete_kind_or_name)
@click.argument("name", metavar="NAME", required=False, shell_complete=complete_component)
@json_option
def show(kind: str, name: str | None, as_json: bool) -> None:
    """Show a component: its parameters, and the fields and facts that it needs and gives.

    KIND is needed where components of several kinds have the same name.

    \b
    rk show mlp
    rk show model mlp
    """
    from rk.catalog import Catalog
    from rk.snapshot import listed

    catalog = Catalog(listed())
    component = _by_name(kind, catalog) if name is None else catalog.resolve(find_kind(kind), name)
    found = _description(catalog, component)
    if as_json:
        from rk.cli.output import print_json

        for parameter in found["parameters"]:
            del parameter["shown"]
        print_json(found)
        return
    from rk.cli.output import echo, print_prose, print_table

    echo(f"{found['kind']} {found['plugin']}/{found['name']}  ({found['distribution']})\n")
    print_prose(found["text"])
    if found["parameters"]:
        click.echo()
        rows = [(p["name"], p["type"], p["shown"], p["help"]) for p in found["parameters"]]
        print_table(("parameter", "type", "default", "meaning"), rows)
    for title, fields in found["fields"].items():
        click.echo()
        print_table((title, "shape", ""), [(f["name"], f["type"], "" if f["required"] else "optional") for f in fields])
    for title, lines in found["example"].items():
        if lines:
            echo(f"\n{HEADS[title]}\n{textwrap.indent(lines, '  ')}")
    if any(found.get(title) for title in LISTS):
        click.echo()
    for title in LISTS:
        if found.get(title):
            values = found[title]
            text = ", ".join(f"{k} ({v})" for k, v in values.items()) if isinstance(values, dict) else ", ".join(values)
            print_prose(f"{title}: {text}", indent=2)


def _by_name(name: str, catalog: Catalog) -> Component:
    """Returns the component of any kind that is called `name`. Raises `UserError` with what could be meant."""
    every = catalog.plugins.components
    kinds = list(dict.fromkeys(c.kind for c in every if name in (c.name, c.qualified)))
    if len(kinds) == 1:
        return catalog.resolve(kinds[0], name)
    if kinds:
        raise UserError(f"several kinds have a {name!r}", " or ".join(f"rk show {kind} {name}" for kind in kinds))
    if (kind := known_kind(name)) is not None:
        names = sorted(c.name for c in catalog.of_kind(kind))
        raise UserError(f"which {kind}?", suggest("", names, "installed") or "none is installed")
    if any(name == plugin.name for plugin in catalog.plugins):
        raise UserError(f"{name} is a plugin, not a component", f"rk list --plugin {name}")
    from rk.recipe.find import packaged

    recipe = next((r for r in packaged(catalog.plugins) if name in (r.name, r.stem)), None)
    if recipe is not None:
        raise UserError(f"{name} is a recipe, not a component", f"rk recipes show {recipe.name}")
    known = {c.qualified if "/" in name else c.name for c in every}
    raise UserError(f"there is no component {name!r}", suggest(name, known, "installed"))


def _description(catalog: Catalog, component: Component) -> PlainDict:
    """Returns `describe_component` as plain JSON, and how the default of each parameter is shown."""
    from rk.index.answers import Answers

    def read() -> PlainDict:
        found = describe_component(catalog, component)
        for parameter in found["parameters"]:
            parameter["shown"] = _default(parameter)
        return {key: value for key, value in json.loads(to_json(found, default=str)).items() if key not in names}

    names = {key: getattr(component, key) for key in ("name", "kind", "plugin", "distribution", "target")}
    alive = {f"{c.kind} {c.target}" for c in catalog.plugins.components}
    with Answers(catalog.plugins.index, "descriptions", alive=alive) as answers:
        return names | answers.answer(f"{component.kind} {component.target}", read)


def _default(param: PlainDict) -> str:
    if param["required"]:
        return "(required, or a fact)"
    return "null" if param["default"] is None else str(param["default"])


def describe_component(catalog: Catalog, component: Component) -> PlainDict:
    """Returns what the source declares of a component, as plain values."""
    from rk.static.docstring import describe, examples

    info, signature = catalog.info(component), catalog.signature(component)
    text, help_of = describe(info)
    recipe, python = examples(info)
    parameters = [
        {
            "name": p.name,
            "type": str(p.type),
            "required": p.required,
            "default": None if p.required else p.default,
            "decode": p.decode,
            "help": help_of.get(p.name, "") + _MARKS.get(p.mark, ""),
        }
        for p in signature.params
    ]
    result = {
        "name": component.name,
        "kind": component.kind,
        "plugin": component.plugin,
        "distribution": component.distribution,
        "target": component.target,
        "text": text,
        "parameters": parameters,
        "fields": _fields(component.kind, info),
        "example": {"command" if recipe.startswith("rk ") else "recipe": recipe, "python": _python(component, python)},
    }
    if component.kind == "data":
        from rk.static.fields import facts

        result["facts"] = {k: str(v) for k, v in facts(info).items()}
        result |= {key: names for key in ("splits", "metrics") if (names := _names(info, key))}
    if component.kind in ("trainer", "search"):
        from rk.static import method

        setup = method(info, "setup")
        result["needs"] = [p.name + (" (or none)" if p.optional else "") for p in setup.params] if setup else []
    return result


def _python(component: Component, doctest: str) -> str:
    """Returns a doctest with the imports that it takes for granted: torch, and the component itself."""
    if not doctest:
        return ""
    module, _, name = component.target.partition(":")
    torch = [">>> import torch"] if "torch." in doctest else []
    return "\n".join([*torch, f">>> from {module} import {name}", doctest])


def _fields(kind: str, info: ClassInfo) -> dict[str, list[PlainDict]]:
    """Returns what the component's methods take and give, by a title for each."""
    from rk.kinds import KINDS
    from rk.static import method

    found: dict[str, list[PlainDict]] = {}
    for name, takes, gives in KINDS[kind].fields:
        signature = method(info, name)
        if signature is None:
            continue
        if takes:
            found[takes] = [{"name": p.name, "type": str(p.type), "required": p.required} for p in signature.params]
        returned = signature.returns()
        if gives and returned:
            found[gives] = [{"name": n, "type": str(f.type), "required": f.required} for n, f in returned.items()]
    return found


def _names(info: ClassInfo, attribute: str) -> list[str]:
    """Returns the names in a class-level tuple of strings or dict display; empty where they are computed."""
    import ast

    assigned = info.assigned(attribute)
    items = getattr(assigned[1], "keys", None) or getattr(assigned[1], "elts", []) if assigned else []
    return [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)]
