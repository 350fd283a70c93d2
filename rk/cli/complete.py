"""Completions at TAB: names of recipes, components, plugins and runs, and the keys of a recipe.

Nothing here imports torch. A completion that fails offers nothing; the command itself reports the mistake.
"""

from __future__ import annotations

import functools
import glob
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from rk.catalog import Catalog
    from rk.recipe.model import Recipe
    from rk.static.types import Type

Completer = Callable[[click.Context, click.Parameter | None, str], list[CompletionItem]]
"""What click asks. No completion of rk depends on the parameter."""

Suggestion = str | tuple[str, str | None]
"""A word, or a word and its help."""


def _completer(suggest: Callable[[click.Context, str], Iterable[Suggestion]]) -> Completer:
    """Makes a function that yields words, or (word, help), into one that click can ask."""

    @functools.wraps(suggest)
    def complete(ctx: click.Context, param: click.Parameter | None, incomplete: str) -> list[CompletionItem]:
        try:
            found = [o if isinstance(o, tuple) else (o, None) for o in suggest(ctx, incomplete)]
        except Exception:  # a broken plugin or recipe must not print into the user's prompt
            return []
        return [CompletionItem(word, help=help_) for word, help_ in found if word.startswith(incomplete)]

    return complete


@_completer
def complete_recipe(ctx: click.Context, incomplete: str) -> Iterator[Suggestion]:
    """Packaged recipes, and the recipe files and folders whose path begins with the word so far."""
    from rk.recipe.digest import kept_headings
    from rk.recipe.find import heading, packaged
    from rk.snapshot import listed

    plugins = listed()
    asked = [recipe for recipe in packaged(plugins) if recipe.name.startswith(incomplete)]
    kept = kept_headings(plugins, asked)
    for recipe in asked:
        yield recipe.name, kept.get(recipe.text) or heading(recipe.path)
    for path in sorted(glob.glob(f"{glob.escape(incomplete)}*")):
        if os.path.isdir(path):
            yield f"{path}/"
        elif path.endswith((".yaml", ".yml")):
            yield path


@_completer
def complete_override(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """The keys of the recipe that is already on the line, and the values of those that have few."""
    from rk.catalog import Catalog
    from rk.cli.loading import run_finder
    from rk.recipe.check import read_recipe
    from rk.recipe.find import find_recipe
    from rk.snapshot import listed
    from rk.static.source import outlines_in

    catalog = Catalog(listed())
    with outlines_in(catalog.plugins.index):
        recipe, _ = read_recipe(
            find_recipe(ctx.params["recipe"], catalog.plugins),
            (),
            catalog,
            run_finder=run_finder(ctx.params.get("runs_dir")),
        )
        yield from list(_keys(recipe, catalog, incomplete))


@_completer
def complete_decoding(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """The keys that may be changed on the run that is already on the line."""
    from rk.catalog import Catalog
    from rk.recipe.stored import is_harmless, read_stored
    from rk.runs import RunFolder
    from rk.snapshot import listed

    catalog = Catalog(listed())
    recipe = read_stored(RunFolder.find(ctx.params["run"], ctx.params.get("runs_dir")), (), catalog)
    yield from (key for key in _keys(recipe, catalog, incomplete) if is_harmless(key.partition("=")[0], recipe))


@_completer
def complete_input(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """The files and folders where the word so far points, and the keys that may be changed on the run."""
    for path in sorted(glob.glob(f"{glob.escape(incomplete)}*")):
        yield f"{path}/" if os.path.isdir(path) else path
    if incomplete.partition("=")[0].replace(".", "").replace("_", "").isalnum() or not incomplete:
        yield from (item.value for item in complete_decoding(ctx, None, incomplete))


def _keys(recipe: Recipe, catalog: Catalog, incomplete: str) -> Iterator[str]:
    """Yields ``key=`` for each key of the recipe, or ``key=value`` for the values of the key that is written out."""
    from rk.static import constructor, load_class

    key, equals, _ = incomplete.partition("=")
    sections = [(spec.key, catalog.signature(spec.component)) for spec in recipe.specs()]
    sections.append(("fit", constructor(load_class("rk.recipe.sections:Fit"))))
    for prefix, signature in sections:
        for param in signature.params:
            if not equals:
                yield f"{prefix}.{param.name}="
            elif key == f"{prefix}.{param.name}":
                yield from (f"{key}={value}" for value in _values(param.type, catalog))


def _values(type_: Type, catalog: Catalog) -> Iterator[str]:
    from rk.static import types

    match type_:
        case types.BOOL:
            yield from ("true", "false")
        case types.NONE:
            yield "null"
        case types.LiteralType(values=values):
            yield from map(types.word, values)
        case types.EnumType(members=members):
            yield from (key for key, _ in members)
        case types.ComponentType(kind=kind):
            yield from (c.name for c in catalog.of_kind(kind))
        case types.UnionType(options=options):
            for option in options:
                yield from _values(option, catalog)
        case types.MarkedType(base=base) | types.BoundedType(base=base):
            yield from _values(base, catalog)


@_completer
def complete_kind(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """The kinds of components."""
    from rk.kinds import KINDS

    yield from KINDS


@_completer
def complete_kind_or_name(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """The kinds, then the names of all components: `rk show` takes either first."""
    from rk.kinds import KINDS
    from rk.snapshot import listed

    yield from KINDS
    yield from sorted({c.name for c in listed().components} - set(KINDS))


@_completer
def complete_kinds(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """Kinds that `rk plugins new` has an example of, with commas between them."""
    from rk.kinds import EXAMPLES

    before = incomplete.rpartition(",")[0]
    given = before.split(",")
    yield from (f"{before},{kind}" if before else kind for kind in EXAMPLES if kind not in given)


@_completer
def complete_component(ctx: click.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """The components of the kind that is already on the line; whole names once a plugin's is begun."""
    from rk.cli.kinds import find_kind

    yield from components_of(find_kind(ctx.params["kind"]), qualified="/" in incomplete)


@_completer
def complete_exporter(ctx: click.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """The formats that runs can be exported to."""
    yield from components_of("exporter")


@_completer
def complete_data(ctx: click.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """The tasks."""
    yield from components_of("data")


@_completer
def complete_any_component(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """The names of all components."""
    from rk.snapshot import listed

    yield from sorted({c.name for c in listed().components})


@_completer
def complete_fits(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """``KIND=NAME`` for what `rk list --fits` can hold fast."""
    from rk.kinds import COMPONENT_KEYS
    from rk.snapshot import listed

    yield from (f"{c.kind}={c.name}" for c in listed().components if c.kind in COMPONENT_KEYS)


def components_of(kind: str, qualified: bool = False) -> Iterator[tuple[str, str]]:
    """Yields the name and the summary of each component of `kind`."""
    from rk.catalog import Catalog
    from rk.snapshot import listed

    catalog = Catalog(listed())
    found = catalog.of_kind(kind)
    for component, text in zip(found, catalog.summaries(found), strict=True):
        yield component.qualified if qualified else component.name, text


@_completer
def complete_plugin(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """The installed plugins."""
    from rk.snapshot import installed_names

    yield from installed_names()


@_completer
def complete_target(ctx: click.Context, incomplete: str) -> Iterator[Suggestion]:
    """The targets of `rk reproduce`: recipes, plugins, folders, all."""
    yield from ("all", *(item.value for item in complete_plugin(ctx, None, incomplete)))
    yield from ((item.value, item.help) for item in complete_recipe(ctx, None, incomplete))


@_completer
def complete_run(ctx: click.Context, incomplete: str) -> Iterator[Suggestion]:
    """The runs, the newest first."""
    from rk.runs import RunFolder, default_root

    yield "last"
    folders = list(RunFolder.all(ctx.params.get("runs_dir") or default_root()))
    for folder in reversed(folders):
        info = folder.info()
        yield folder.label, f"{info.get('name', '?')}: {info.get('status', '?')}"
