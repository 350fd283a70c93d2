"""`rk recipes`, `rk recipes show`, `rk recipes copy`, `rk recipes init`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rk.cli.complete import complete_any_component, complete_data, complete_override, complete_recipe
from rk.cli.listing import grouped, limit_option, pager_option, plugin_option, say_empty, show_paged
from rk.cli.options import json_option
from rk.cli.output import echo
from rk.cli.outputs import make_parents
from rk.errors import UserError, printable, suggest

if TYPE_CHECKING:
    from rk.recipe.digest import Digest
    from rk.recipe.find import RecipeFile


@click.group(invoke_without_command=True)
@click.option("--paper", metavar="ID", help="Only those of this paper: its arXiv number, or words of its key `paper`.")
@click.option("--task", metavar="DATA", shell_complete=complete_data, help="Only those on this data.")
@click.option(
    "--uses",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_any_component,
    help="Only those with this component, of any kind; may be repeated.",
)
@plugin_option
@limit_option
@pager_option
@json_option
@click.pass_context
def recipes(
    ctx: click.Context,
    paper: str | None,
    task: str | None,
    uses: tuple[str, ...],
    plugin: str | None,
    limit: int | None,
    no_pager: bool,
    as_json: bool,
) -> None:
    """List, show and copy the installed recipes; write one for your own file.

    \b
    rk recipes --paper 1506.03134
    rk recipes --task digits --uses mlp
    rk recipes --plugin vision
    rk recipes init my.csv
    """
    if ctx.invoked_subcommand is not None:
        return
    from rk.catalog import Catalog
    from rk.recipe.digest import digests
    from rk.recipe.find import sorted_out
    from rk.snapshot import listed

    plugins = listed()
    files, odd = sorted_out(plugins)
    for recipe, what in odd:
        click.echo(printable(f"warning: {recipe.distribution}: {recipe.path} is {what}, not a recipe file"), err=True)
    catalog = Catalog(plugins) if uses else None
    every = digests(plugins, files, catalog)
    known = {name for c in plugins.components for name in (c.name, c.qualified)}
    for name in (*uses, *([task] if task is not None else [])):
        if name not in known:
            raise UserError(f"there is no component {name!r}", suggest(name, known, "installed"))
    owner = None if plugin is None else plugins.find(plugin).name
    rows = [d for d in every if _is_asked_for(d, paper, task, uses, owner)]
    found = rows[:limit]
    if as_json:
        from rk.cli.output import print_json

        print_json([d.plain() for d in found])
    elif not found:
        _say_none(every, paper, task, uses, owner)
    else:
        _print_recipes(found, len(rows), no_pager)


def _is_asked_for(
    digest: Digest, paper: str | None, task: str | None, uses: tuple[str, ...], plugin: str | None
) -> bool:
    return (
        (paper is None or digest.is_of(paper))
        and (task is None or (digest.task or "").rpartition("/")[2] == task.rpartition("/")[2])
        and all(name.rpartition("/")[2] in digest.names for name in uses)
        and plugin in (None, digest.file.plugin)
    )


def _print_recipes(found: list[Digest], total: int, no_pager: bool) -> None:
    from rk.cli.output import plain_columns, terminal_width

    width = terminal_width()
    if width is None:
        rows = [
            ("recipe", "about", "task", "paper"),
            *((d.file.name, d.about, d.task or "", d.paper or "") for d in found),
        ]
        echo(plain_columns(rows))
        return
    groups: dict[str, list[list[str]]] = {}
    papers: dict[str, set[str]] = {}
    for d in found:
        papers.setdefault(_owner(d), set()).add(d.paper or "")
    for d in found:
        owner = _owner(d)
        said = papers[owner] - {""}
        heading = f"{owner}: {', '.join(sorted(said))}" if said else owner
        groups.setdefault(heading, []).append([d.file.name, d.task or "", d.about])
    more = f"\n\n{len(found)} of {total}" if len(found) < total else ""
    show_paged(grouped(groups, width) + more, no_pager)


def _owner(digest: Digest) -> str:
    """Returns the plugin that ships a recipe; only such recipes are listed."""
    return digest.file.plugin or "?"


def _say_none(
    every: list[Digest], paper: str | None, task: str | None, uses: tuple[str, ...], plugin: str | None
) -> None:
    """Prints what no recipe matches, and which recipes there are."""
    asked = [f"of the paper {paper!r}"] if paper is not None else []
    asked += [f"on the data {task}"] if task is not None else []
    asked += [f"with {' and '.join(uses)}"] if uses else []
    asked += [f"of the plugin {plugin}"] if plugin is not None else []
    if not every:
        say_empty("no plugin with recipes is installed", "try", ["pip install rk-pointer-net"])
        return
    there_are, choices = "plugins with recipes", {_owner(d) for d in every}
    if paper is not None:
        there_are, choices = "papers", {d.paper for d in every if d.paper}
    elif task is not None:
        there_are, choices = "there are recipes on", {d.task for d in every if d.task}
    say_empty(f"no recipe {' '.join(asked)}", there_are, sorted(choices))


@recipes.command()
@click.argument("recipe", shell_complete=complete_recipe)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=complete_override)
@click.option("--complete", is_flag=True, help="Show it as a run stores it: extended, overridden, with all defaults.")
def show(recipe: str, overrides: tuple[str, ...], complete: bool) -> None:
    """Print a recipe, as it was written or complete.

    \b
    rk recipes show pointer-net/convex-hull-quick
    rk recipes show pointer-net/convex-hull-quick --complete fit.max_steps=100
    """
    from rk.catalog import Catalog
    from rk.recipe.find import find_recipe
    from rk.snapshot import listed

    catalog = Catalog(listed())
    if complete or overrides:
        from rk.cli.loading import load_recipe

        echo(load_recipe(recipe, overrides, catalog).recipe.to_yaml(), nl=False)
    else:
        echo(text_of(find_recipe(recipe, catalog.plugins)), nl=False)


@recipes.command()
@click.argument("recipe", shell_complete=complete_recipe)
@click.argument("target", required=False, type=click.Path(path_type=Path))
def copy(recipe: str, target: Path | None) -> None:
    """Copy a recipe, to begin one of your own.

    TARGET is a file or a folder; by default, it goes here under its own name.

    \b
    rk recipes copy pointer-net/convex-hull-quick mine.yaml
    """
    from rk.recipe.find import find_recipe
    from rk.snapshot import listed

    found = find_recipe(recipe, listed())
    path = target or Path(found.path.name)
    path = path / found.path.name if path.is_dir() else path
    _write_new(path, _qualified_parent(found))
    echo(f"wrote {path}; train it with: rk train {path}")


@recipes.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--target", metavar="COLUMN", help="What is to be predicted; by default, the data guesses it.")
@click.option("--model", metavar="NAME", help="One of the choices that the data proposes, or any installed model.")
@click.option(
    "--data", metavar="NAME", shell_complete=complete_data, help="The data that reads FILE; by default, the surest."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The recipe; by default FILE's name with .yaml.")
def init(file: Path, target: str | None, model: str | None, data: str | None, output: Path | None) -> None:
    """Write a recipe for a file of your own.

    FILE is a table (CSV, TSV, Parquet, JSON lines), a folder of images, or whatever else installed data takes. The
    recipe has a comment for each guess, and nothing is trained yet.

    \b
    rk recipes init my.csv
    rk recipes init my.csv --target price --model boosted-trees -o prices.yaml
    rk recipes init photos/
    """
    from rk.catalog import Catalog
    from rk.errors import RecipeError
    from rk.scaffold.recipe import propose

    catalog = Catalog()
    path = output or Path(f"{file.resolve().name.removesuffix('.gz').partition('.')[0]}.yaml")
    proposal = propose(file, catalog, target=target, data=data, model=model)
    if problems := proposal.problems(catalog, path):
        choices = ", ".join(proposal.draft.choices)
        raise UserError(
            f"{proposal.choice} does not fit {file}: {RecipeError(problems).problems[0].message}",
            f"--model takes {choices}, or a model for such data",
        )
    _write_new(path, proposal.text(path))
    draft = proposal.draft
    echo(f"{draft.about}, by {proposal.choice}")
    for line in (*(f"{key}: {text}" for key, text in draft.comments.items()), *draft.notes):
        echo(f"  {line}")
    if proposal.others:
        echo(f"  read as {proposal.data.name}; --data also takes {', '.join(proposal.others)}")
    echo(f"wrote {path}; train it with: rk train {path}")


def _write_new(path: Path, text: str) -> None:
    """Writes a recipe that does not exist yet. Raises `UserError`."""
    if path.suffix not in (".yaml", ".yml"):
        raise UserError(f"{path}: a recipe's name ends in .yaml")
    make_parents(path)
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UserError(f"{path} exists already", "give another name") from None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def text_of(found: RecipeFile) -> str:
    """Returns a recipe as it was written. Raises `UserError` when it cannot be read."""
    try:
        return found.path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{found.label}: not a text file: byte {error.start} is not UTF-8") from None
    except OSError as error:
        raise UserError(f"{found.label}: {error.strerror}") from None


def _qualified_parent(found: RecipeFile) -> str:
    """Returns the recipe's text; the plugin's own short names in ``extends`` and ``baseline`` become qualified."""
    import os

    text = text_of(found)
    if found.plugin is None:
        return text
    siblings = {Path(name).stem for name in os.listdir(found.path.parent) if name.endswith(".yaml")}

    def qualify(match: re.Match[str]) -> str:
        name = match.group(2)
        return f"{match.group(1)}{found.plugin}/{name}" if name in siblings else match.group(0)

    return re.sub(r"((?:^extends|\bbaseline):\s*)([\w-]+)", qualify, text, flags=re.MULTILINE)
