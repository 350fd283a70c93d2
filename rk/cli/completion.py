"""`rk completion`: the script with which a shell completes `rk`'s commands, recipes, components and keys."""

from __future__ import annotations

import contextlib
import os
import re
import shlex

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ShellComplete, ZshComplete

from rk.cli.shell import COMPLETE_VARIABLE
from rk.errors import printable
from rk.isolation import Diversion

MAX_HELP = 200
"""Characters of a help that are shown."""


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


class _Clean(ShellComplete):
    """Offers no word that could not be typed, and helps in one line: names of files and plugins' texts may be anything.

    A line break in either would look like another word to the shell, an escape sequence would reach the terminal.
    """

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        found = [item for item in super().get_completions(args, incomplete) if item.value.isprintable()]
        for item in found:
            item.help = printable(item.help, MAX_HELP) if item.help else None
        return found


class Bash(_Clean, BashComplete):
    """Asks with the line itself: bash breaks words at ``=``, and the keys of recipes are written ``key=value``.

    Bash inserts a word unchanged, so it is quoted here in the same way as the word being typed.
    """

    name = "bash"
    source_template = """\
%(complete_func)s() {
    local reply
    COMPREPLY=()
    while IFS= read -r reply; do
        COMPREPLY+=("$reply")
    done < <(COMP_WORDS="${COMP_LINE:0:COMP_POINT}" %(complete_var)s=bash_complete "$1")
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=/] ]]; then
        compopt -o nospace
    fi
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def source(self) -> str:  # click's own asks bash for its version first
        return ShellComplete.source(self)

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_WORDS"]
        words = split(line)
        self.quote = open_quote(line)
        self.broken_off = "" if self.quote else words[-1].rpartition("=")[0]
        return words[1:-1], words[-1]

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        return [item for item in super().get_completions(args, incomplete) if can_stand_in(self.quote, item.value)]

    def format_completion(self, item: CompletionItem) -> str:
        # to bash, the part before the `=` is another word, which is not replaced
        return quoted(item.value[len(self.broken_off) + 1 :] if self.broken_off else item.value, self.quote)


class Zsh(_Clean, ZshComplete):
    """Without a space after ``key=`` and ``folder/``; `compadd` quotes what it inserts."""

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
        elif [[ "$help" == "_" || "$key" == *[:\\\\]* ]]; then
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


class Fish(_Clean, FishComplete):
    """As click's, but with all of a help that has commas.

    Fish itself quotes what it inserts, and leaves out the space after ``=`` and ``/``.
    """

    name = "fish"
    source_template = FishComplete.source_template.replace('string split ","', 'string split -m 1 ","')


SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": Zsh, "fish": Fish}


def split(line: str) -> list[str]:
    """Splits a line as a shell does, an unfinished one too; the last item is the word at its end."""
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    try:
        words.extend(lexer)
    except ValueError:  # an open quote: the word is what follows it
        words.append(lexer.token)
    return [*words, ""] if not line or line[-1].isspace() else words


def open_quote(line: str) -> str:
    """Returns the quotation mark that is open at the end of a line, ``'`` or ``"``; empty if there is none."""
    quote, escaped = "", False
    for character in line:
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif character in ("'", '"') and quote in ("", character):
            quote = "" if quote else character
    return quote


def can_stand_in(quote: str, word: str) -> bool:
    """Whether bash takes `word` as it is between such quotation marks: it may look for its history at a ``!``."""
    return not (quote == '"' and "!" in word)


def quoted(word: str, quote: str = "") -> str:
    """Returns `word` so that bash takes it for one word and expands nothing in it.

    Args:
        word: What is to be inserted.
        quote: The quotation mark that is open before it, if any.
    """
    if quote == "'":
        return word.replace("'", "'\\''")
    if quote == '"':
        return re.sub(r'([\\"$`])', r"\\\1", word)
    return "".join(c if c.isalnum() or c in "_./:=@%+,-" else f"\\{c}" for c in word)


def answer(cli: click.Command) -> None:
    """Prints the completions that a shell's script requests. Prints nothing on an error."""
    shell = os.environ[COMPLETE_VARIABLE].removesuffix("_complete")
    text = ""
    with contextlib.suppress(Exception, KeyboardInterrupt), Diversion(silent=True):  # plugins may print, too
        text = SHELLS[shell](cli, {}, "rk", COMPLETE_VARIABLE).complete()
    if text:
        click.echo(text)
