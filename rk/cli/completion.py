"""`rk completion`: the script that teaches a shell to complete `rk`'s commands, recipes, components and keys."""

from __future__ import annotations

import contextlib
import os
import shlex

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ShellComplete, ZshComplete

from rk.cli import COMPLETE_VARIABLE


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    eval "$(rk completion bash)"          in ~/.bashrc
    eval "$(rk completion zsh)"           in ~/.zshrc, after compinit
    rk completion fish | source           in ~/.config/fish/config.fish
    """
    click.echo(SHELLS[shell](click.Command("rk"), {}, "rk", COMPLETE_VARIABLE).source())


class Bash(BashComplete):
    """Asks with the line itself: bash breaks words at ``=``, and the keys of recipes are written ``key=value``."""

    name = "bash"
    source_template = """\
%(complete_func)s() {
    local IFS=$'\\n' reply
    COMPREPLY=()
    for reply in $(COMP_WORDS="${COMP_LINE:0:COMP_POINT}" %(complete_var)s=bash_complete "$1"); do
        COMPREPLY+=("$reply")
    done
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=/] ]]; then
        compopt -o nospace
    fi
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def source(self) -> str:  # click's own asks bash for its version first
        return ShellComplete.source(self)

    def get_completion_args(self) -> tuple[list[str], str]:
        words = split(os.environ["COMP_WORDS"])
        self.broken_off = words[-1].rpartition("=")[0]
        return words[1:-1], words[-1]

    def format_completion(self, item: CompletionItem) -> str:
        # what stands before the `=` is another word to bash, and is not replaced
        return item.value[len(self.broken_off) + 1 :] if self.broken_off else item.value


class Zsh(ZshComplete):
    """Without a space after ``key=`` and ``folder/``."""

    name = "zsh"
    source_template = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a open plain described response
    local kind key help
    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) %(complete_var)s=zsh_complete \
%(prog_name)s)}")
    for kind key help in ${response}; do
        if [[ "$key" == *[=/] ]]; then
            open+=("$key")
        elif [[ "$help" == "_" ]]; then
            plain+=("$key")
        else
            described+=("$key":"$help")
        fi
    done
    [[ -n "$described" ]] && _describe -V unsorted described -U
    [[ -n "$plain" ]] && compadd -U -V unsorted -a plain
    [[ -n "$open" ]] && compadd -U -S '' -V unsorted -a open
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""


class Fish(FishComplete):
    """As click's, but with all of a help that has commas; fish itself leaves out the space after ``=`` and ``/``."""

    name = "fish"
    source_template = FishComplete.source_template.replace('string split ","', 'string split -m 1 ","')


SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": Zsh, "fish": Fish}


def split(line: str) -> list[str]:
    """Splits a line as a shell does, an unfinished one too; the last item is the word at its end."""
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words = []
    try:
        words.extend(lexer)
    except ValueError:  # an open quote: what stands in it is the word
        words.append(lexer.token)
    return [*words, ""] if not line or line[-1].isspace() else words


def answer(cli: click.Command) -> None:
    """Prints the completions that a shell's script has asked for. Prints nothing where something is wrong."""
    shell = os.environ[COMPLETE_VARIABLE].removesuffix("_complete")
    with contextlib.suppress(Exception):
        text = SHELLS[shell](cli, {}, "rk", COMPLETE_VARIABLE).complete()
        if text:
            click.echo(text)
