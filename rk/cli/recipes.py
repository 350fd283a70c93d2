"""`rk recipes`, `rk recipes show`, `rk recipes copy`."""

from __future__ import annotations

from pathlib import Path

import click

from rk.cli.loading import json_option
from rk.errors import UserError


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def recipes(ctx: click.Context, as_json: bool) -> None:
    """List, show and copy the installed recipes."""
    if ctx.invoked_subcommand is not None:
        return
    from rk.plugins import Plugins
    from rk.recipe.find import packaged

    rows = [(r, *_head(r.path)) for r in packaged(Plugins())]
    if as_json:
        from rk.cli.output import print_json

        print_json(
            [
                {"name": r.name, "about": about, "paper": paper, "distribution": r.distribution, "path": str(r.path)}
                for r, about, paper in rows
            ]
        )
        return
    from rk.cli.output import print_table

    print_table(("recipe", "about", "paper"), [(r.name, about, paper or "") for r, about, paper in rows])


def _head(path: Path) -> tuple[str, str | None]:
    """Returns the first line of the comment that opens a recipe, and its paper; the recipe is not checked."""
    about, paper = "", None
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("#") and not about:
            about = line.lstrip("# ").strip()
        if line.startswith("paper:"):
            paper = line.partition(":")[2].strip()
    return about, paper


@recipes.command()
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--complete", is_flag=True, help="Show it as a run stores it: extended, overridden, with all defaults.")
def show(recipe: str, overrides: tuple[str, ...], complete: bool) -> None:
    """Print a recipe as it was written, or complete."""
    from rk.catalog import Catalog
    from rk.cli.loading import load_recipe
    from rk.recipe.find import find_recipe

    catalog = Catalog()
    if complete or overrides:
        checked, _, _ = load_recipe(recipe, overrides, catalog)
        click.echo(checked.to_yaml(), nl=False)
    else:
        click.echo(find_recipe(recipe, catalog.plugins).path.read_text(encoding="utf-8"), nl=False)


@recipes.command()
@click.argument("recipe")
@click.argument("target", required=False, type=click.Path(path_type=Path))
def copy(recipe: str, target: Path | None) -> None:
    """Copy a recipe to begin one of your own; TARGET is a file or a folder (default: here)."""
    from rk.plugins import Plugins
    from rk.recipe.find import find_recipe

    found = find_recipe(recipe, Plugins())
    path = target or Path(found.path.name)
    path = path / found.path.name if path.is_dir() else path
    if path.suffix not in (".yaml", ".yml"):
        raise UserError(f"{path}: a recipe's name ends in .yaml")
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(_qualified_parent(found))
    except FileExistsError:
        raise UserError(f"{path} is there already", "give another name") from None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    click.echo(f"wrote {path}; train it with: rk train {path}")


def _qualified_parent(found) -> str:
    """Returns the recipe's text; the plugin's own short names in ``extends`` and ``baseline`` become qualified."""
    import re

    text = found.path.read_text(encoding="utf-8")
    if found.plugin is None:
        return text
    siblings = {p.stem for p in found.path.parent.glob("*.yaml")}

    def qualify(match: re.Match) -> str:
        name = match.group(2)
        return f"{match.group(1)}{found.plugin}/{name}" if name in siblings else match.group(0)

    return re.sub(r"((?:^extends|\bbaseline):\s*)([\w-]+)", qualify, text, flags=re.MULTILINE)
