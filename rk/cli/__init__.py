"""The command line: one module per command, loaded when it is called. Commands parse and print, nothing else."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from rk.cli.shell import COMPLETE_VARIABLE
from rk.cli.streams import BRIEF, LONG, make_lasting, open_missing, silence
from rk.errors import ExitCode, RkError
from rk.version import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("rk.cli.train:train", "Train a recipe."),
    "eval": ("rk.cli.eval:evaluate", "Measure a trained run, on other data or with other decoding."),
    "predict": ("rk.cli.predict:predict", "Answer files of your own with a trained run."),
    "export": ("rk.cli.export:export", "Write a trained run for the outside world."),
    "compare": ("rk.cli.compare:compare", "Compare runs: changed settings, metrics, time, curves."),
    "report": ("rk.cli.report:report", "Write runs as one HTML page: results, curves, figures, recipe."),
    "reproduce": (
        "rk.cli.reproduce:reproduce",
        "Train recipes and their baselines, and check what they claim.",
    ),
    "runs": ("rk.cli.runs:runs", "List the runs, oldest first; show or delete some."),
    "search": ("rk.cli.search:search", "Search for a structure, a path or a program."),
    "analyze": ("rk.cli.search:analyze", "Compute tables and figures."),
    "recipes": ("rk.cli.recipes:recipes", "List, show and copy the installed recipes; write one for your own file."),
    "list": ("rk.cli.list:list_components", "List the installed components."),
    "show": ("rk.cli.show:show", "Show a component: its parameters, and the fields and facts that it needs and gives."),
    "validate": ("rk.cli.validate:validate", "Check a recipe and print how its parts fit."),
    "schema": ("rk.cli.schema:schema", "Print the JSON Schema of recipes with the installed components, for editors."),
    "completion": ("rk.cli.completion:completion", "Print the completion script of a shell."),
    "bug": ("rk.cli.bug:bug", "Print the report of the last unexpected error."),
    "plugins": ("rk.cli.plugins:plugins", "List, examine and test the installed plugins; begin a new one."),
}
"""Command -> where it is, and its help in the overview: `rk --help` loads none of them (a test keeps both equal)."""

TRACEBACK_VARIABLE = "RK_TRACEBACK"
OTHER_COMMANDS = {
    "copy": "rk recipes copy RECIPE FILE",
    "delete": "rk runs delete RUN",
    "doctor": "rk plugins doctor",
    "evaluate": "rk eval RUN",
    "help": "rk --help, or rk COMMAND --help",
    "init": "rk recipes copy RECIPE FILE begins a recipe, rk plugins new NAME a plugin",
    "install": "a plugin is a Python package: pip install rk-NAME",
    "ls": "rk list for components, rk recipes for recipes, rk runs for runs",
    "new": "rk plugins new NAME begins a plugin, rk recipes copy RECIPE FILE a recipe",
    "resume": "rk train --resume RUN",
    "rm": "rk runs rm RUN",
    "run": "rk train RECIPE",
    "test": "rk plugins test NAME checks a plugin, rk eval RUN measures a run",
    "version": "rk --version",
}
"""Commands of other programs -> the command here."""

GLOBAL_FLAGS = ("--no-plugins", "--quiet", "--verbose")
"""Options of `rk` that may also follow the command."""


class Formatter(click.HelpFormatter):
    """Breaks lines of help between words alone: names have hyphens, and are to be copied."""

    _HYPHEN = "\ue000"
    """Replaces hyphens while lines are wrapped: a character that no help text has."""

    def write_text(self, text: str) -> None:
        super().write_text(text.replace("-", self._HYPHEN))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        super().write_dl([(a, b.replace("-", self._HYPHEN)) for a, b in rows], col_max, col_spacing)

    def getvalue(self) -> str:
        return super().getvalue().replace(self._HYPHEN, "-")


click.Context.formatter_class = Formatter


class LazyGroup(click.Group):
    """Commands that are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _flags_first(args))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from rk.errors import UserError, suggest

            hint = OTHER_COMMANDS.get(args[0].lower()) or suggest(args[0], COMMANDS, "commands")
            raise UserError(f"there is no command {args[0]!r}", hint)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        from click.shell_completion import CompletionItem

        return [CompletionItem(n, help=help_) for n, (_, help_) in COMMANDS.items() if n.startswith(incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_) for name, (_, help_) in COMMANDS.items()])
        from rk.snapshot import installed_names

        names = installed_names()
        with formatter.section("Plugins"):
            formatter.write_text(", ".join(names) or "none; try: pip install rk-pointer-net")


def _flags_first(args: list[str]) -> list[str]:
    """Moves `GLOBAL_FLAGS` from behind the command to before it; a search's own options stay where they are."""
    if {"search", "analyze"} & set(args):
        return args
    end = args.index("--") if "--" in args else len(args)
    flags = [arg for arg in args[:end] if arg in GLOBAL_FLAGS]
    return [*flags, *(arg for arg in args[:end] if arg not in GLOBAL_FLAGS), *args[end:]]


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, "-V", "--version", prog_name="rk", message="%(prog)s %(version)s")
@click.option("--no-plugins", is_flag=True, help="Load no plugins: only the built-in components.")
@click.option("-q", "--quiet", is_flag=True, help="Print only results and errors.")
@click.option("-v", "--verbose", is_flag=True, help="Also print versions, plugins and times.")
@click.pass_context
def cli(ctx: click.Context, no_plugins: bool, quiet: bool, verbose: bool) -> None:
    """rk, the recursion kit: papers' methods as plugins, composed by recipes.

    \b
    rk recipes                                    what can be trained
    rk train pointer-net/convex-hull-quick        train it
    rk predict last my-points.csv                 use it

    --quiet, --verbose and --no-plugins may also follow the command.

    Exit codes: 0 done, 1 the run failed, 2 the input is wrong, 3 a claim was not reached (rk reproduce), 129,
    130 and 143 interrupted.
    """
    if ctx.invoked_subcommand not in BRIEF:
        gc.enable()
    if ctx.invoked_subcommand in LONG:
        make_lasting()
    if no_plugins:
        from rk.plugins import DISABLE_VARIABLE

        os.environ[DISABLE_VARIABLE] = "*"  # for the processes that a command starts, too
    if quiet or verbose:
        from rk.verbosity import QUIET, VARIABLE, VERBOSE

        if quiet and verbose:
            raise click.UsageError("--quiet and --verbose exclude each other")
        os.environ[VARIABLE] = QUIET if quiet else VERBOSE
        ctx.call_on_close(lambda: os.environ.pop(VARIABLE, None))
    if verbose:
        from rk.cli.about import print_about, print_time

        print_about()
        ctx.call_on_close(print_time)


def main() -> None:
    """Runs `rk`; every error ends in one message and an exit code."""
    gc.disable()  # a brief command imports and reads what lives to its end: looking through it is a tenth of its time
    try:
        _main()
    finally:
        gc.freeze()
        gc.enable()


def _main() -> None:
    open_missing()
    if COMPLETE_VARIABLE in os.environ:
        from rk.cli.completion import answer

        return answer(cli)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal has no letters for
    try:
        code = cli(standalone_mode=False)
        sys.stdout.flush()
    except RkError as error:
        if error.__cause__ is not None and os.environ.get(TRACEBACK_VARIABLE):
            import traceback

            traceback.print_exception(error.__cause__)
        _fail(error.render(), error.exit_code)
    except click.exceptions.Abort as error:  # click's word for Ctrl-C
        _fail(str(error.__cause__ or "") or "interrupted", getattr(error.__cause__, "exit_code", ExitCode.INTERRUPTED))
    except click.ClickException as error:
        _fail(_usage(error), ExitCode.USER_ERROR)
    except KeyboardInterrupt as error:
        _fail(str(error) or "interrupted", getattr(error, "exit_code", ExitCode.INTERRUPTED))
    except BrokenPipeError:  # the reader of our output has gone: `rk list | head`
        silence(sys.stdout)
        sys.exit(ExitCode.OK)
    except OSError as error:
        if error.filename is not None or not _is_stdout_broken():
            _unexpected(error)
        silence(sys.stdout)
        _fail(f"error: cannot write to standard output: {error.strerror}", ExitCode.FAILED)
    except BaseException as error:  # an exit too: rk itself leaves only below
        _unexpected(error)
    else:
        sys.exit(code if isinstance(code, int) else ExitCode.OK)


def _is_stdout_broken() -> bool:
    try:
        sys.stdout.flush()
        os.write(sys.stdout.fileno(), b"")
        return False
    except (OSError, ValueError):
        return True


def _restore_stdout() -> None:
    if "rk.isolation" in sys.modules:
        sys.modules["rk.isolation"].restore_for_json()


def _fail(message: str, code: int) -> None:
    from rk.cli.messages import show

    _restore_stdout()
    with contextlib.suppress(OSError):
        show(message)
    sys.exit(int(code))


def _usage(error: click.ClickException) -> str:
    """Returns click's own errors in the form of all others."""
    text = f"error: {error.format_message()}"
    context = getattr(error, "ctx", None)
    return f"{text}\n  hint: {context.command_path} --help shows what it takes" if context is not None else text


def _unexpected(error: BaseException) -> None:
    """A bug, of rk or of a plugin: one line with its place, and how to see the traceback."""
    import traceback

    from rk.blame import explain

    _restore_stdout()
    if os.environ.get(TRACEBACK_VARIABLE):
        traceback.print_exception(error)
        sys.exit(ExitCode.FAILED)
    found = explain(error)
    if found.exit_code == ExitCode.FAILED:
        from rk.bugs import keep_report

        if keep_report(error):
            found = explain(error, "rk bug prints the report to send")
    _fail(found.render(), found.exit_code)
