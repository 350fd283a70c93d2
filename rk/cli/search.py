"""`rk search NAME` and `rk analyze NAME`: the component's parameters are the command's options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from rk.cli.loading import resumed_run
from rk.cli.options import run_options
from rk.errors import ExitCode, UserError, suggest
from rk.values import PlainDict

if TYPE_CHECKING:
    from rk.catalog import Catalog
    from rk.recipe.model import Recipe
    from rk.runs import RunFolder


class ComponentGroup(click.Group):
    """One command per component of a kind, its options read from the constructor.

    Args:
        kind: The kind whose components are the commands.
    """

    def __init__(self, kind: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.kind = kind

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(c.name for c in _catalog(ctx).of_kind(self.kind))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        catalog = _catalog(ctx)
        names = [c.name for c in catalog.of_kind(self.kind)] + [c.qualified for c in catalog.of_kind(self.kind)]
        if name not in names:
            raise UserError(
                f"there is no {self.kind} {name!r}", suggest(name, names, "installed") or "none is installed"
            )
        return _command(self.kind, name, catalog)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        from rk.cli.complete import components_of

        return [CompletionItem(n, help=help_) for n, help_ in components_of(self.kind) if n.startswith(incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from rk.catalog import plural
        from rk.static.docstring import summary

        catalog = _catalog(ctx)
        rows = [(c.name, summary(catalog.info(c))) for c in catalog.of_kind(self.kind)]
        with formatter.section(f"Installed {plural(self.kind)}"):
            formatter.write_dl(sorted(rows)) if rows else formatter.write_text("none")


def _catalog(ctx: click.Context) -> Catalog:
    from rk.catalog import Catalog

    root = ctx.find_root()
    if root.obj is None:
        root.obj = Catalog()
    catalog: Catalog = root.obj
    return catalog


def _command(kind: str, name: str, catalog: Catalog) -> click.Command:
    from rk.static.docstring import describe
    from rk.static.types import BOOL

    component = catalog.resolve(kind, name)
    info, signature = catalog.info(component), catalog.signature(component)
    text, help_of = describe(info)
    params: list[click.Parameter] = [click.Argument(["overrides"], nargs=-1, metavar="[fit.KEY=VALUE]...")]
    for param in signature.params:
        if param.type == BOOL and param.default is False:
            dashed = param.name.replace("_", "-")
            names = [f"--{dashed}/--no-{dashed}", f"option_{param.name}"]
            params.append(click.Option(names, default=None, help=help_of.get(param.name, "")))
            continue
        needed = "  [required]" if param.required and param.name != "seed" else ""
        default = "" if param.required or param.default is None else f"  [default: {param.default}]"
        params.append(
            click.Option(
                [f"--{param.name.replace('_', '-')}", f"option_{param.name}"],
                metavar=str(param.type).upper() if len(str(param.type)) < 20 else "VALUE",
                help=f"{help_of.get(param.name, '')}{default}{needed}",
            )
        )
    if "data" not in signature:
        params.append(
            click.Option(["--data", "top_data"], help="The data, where it is not the run's: a name or {name: ...}.")
        )
    params += run_options()

    def call(**values: Any) -> int:
        given = {k.removeprefix("option_"): v for k, v in values.items() if k.startswith("option_") and v is not None}
        options = {k: str(v).lower() if isinstance(v, bool) else v for k, v in given.items()}
        return _run(kind, name, options, values, catalog)

    return click.Command(name, params=params, callback=call, help=text)


def _run(kind: str, name: str, options: dict[str, str], values: PlainDict, catalog: Catalog) -> int:
    from rk.cli.loading import run_finder
    from rk.cli.train import _resume, run
    from rk.recipe import check_search
    from rk.runs import RunFolder, default_root

    root: Path = values["runs_dir"] or default_root()
    overrides = tuple(values["overrides"])
    folder = None
    if values["resume"] is not None and kind == "analysis":
        resume, given = resumed_run(values["resume"], tuple(f"{key}={text}" for key, text in options.items()))
        if given or overrides:
            raise UserError(
                "an analysis is resumed without other options", f"write: rk analyze {name} --resume {resume}"
            )
        folder = RunFolder.find(resume, root, last="any")
        options = _stored_options(folder, name)
    elif values["resume"] is not None:
        changed = tuple(f"search.{key}={text}" for key, text in options.items())
        resume, given = resumed_run(values["resume"], (*changed, *overrides))
        return _resume(RunFolder.find(resume, root, last="recipe"), given)
    if values.get("top_data") is not None:
        overrides = (f"data={values['top_data']}", *overrides)
    recipe = check_search(kind, name, options, overrides, catalog, run_finder(root)).valid()
    return run(recipe, catalog, root) if kind == "search" else _analyze(recipe, catalog, root, folder)


def _stored_options(folder: RunFolder, name: str) -> dict[str, str]:
    """Returns the options that an interrupted analysis was given, as texts."""
    info = folder.read()
    if info.get("name") != name.replace("/", "-") or "options" not in info:
        raise UserError(f"{folder.label} is not a result of the analysis {name}", f"it is of {info.get('name')}")
    if info.get("status") == "done":
        raise UserError(f"{folder.label} is complete: there is nothing to resume")
    folder.refuse_if_active()
    found = info["options"]
    return {} if isinstance(found, str) else {k: json.dumps(v) for k, v in found.items() if k != "name"}


def _analyze(recipe: Recipe, catalog: Catalog, root: Path, folder: RunFolder | None) -> int:
    from rk.cli.output import echo, number, print_table
    from rk.fit.build import Builder
    from rk.fit.loaded import LoadedRun
    from rk.fit.returns import check_numbers
    from rk.fit.signals import Stopped
    from rk.runs import RunFolder, json_number

    asked = recipe.learning
    analysis = Builder(recipe, catalog, LoadedRun.open).build(asked)
    new = folder is None
    folder = folder or RunFolder.create(root, recipe.name)
    folder.update(name=recipe.name, status="running", options=asked.plain(), error=None)
    folder.figures.mkdir(exist_ok=True)
    with folder.owned():
        try:
            results = check_numbers(analysis, analysis.analyze(folder.figures), "analyze")
        except KeyboardInterrupt as error:
            folder.update(status="interrupted")
            resume = f"resume with: rk analyze {recipe.name} --resume {folder.label}"
            raise Stopped(
                getattr(error, "exit_code", ExitCode.INTERRUPTED), f"{error or 'interrupted'}; {resume}"
            ) from None
        except BaseException as error:
            folder.update(status="failed", error=f"{type(error).__name__}: {error}")
            if new and isinstance(error, UserError) and not any(folder.figures.iterdir()):
                folder.discard()  # a mistake in the options, found before anything was made
            raise
    folder.update(status="done", metrics={k: json_number(v) for k, v in results.items()})
    print_table(("result", "value"), [(k, number(v)) for k, v in results.items()])
    echo(f"tables and figures are in {folder.label}")
    return ExitCode.OK


search = ComponentGroup("search", name="search", help="Search for a structure, a path or a program.")
analyze = ComponentGroup("analysis", name="analyze", help="Compute tables and figures.")
