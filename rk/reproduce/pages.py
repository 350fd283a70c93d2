"""The ledger as Markdown: one page, or a front page with counts and a page for each plugin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rk.errors import UserError
from rk.report.claims import OTHER_DATA, REACHED
from rk.report.text import duration
from rk.reproduce.ledger import Line
from rk.reproduce.plan import Reproduction
from rk.reproduce.results import Measured
from rk.writing import write_atomic

_ABOUT = (
    "What recipes claim, and what they reached: `rk reproduce ... --stored` wrote this from the `results.json` beside\n"
    "the recipes. `rk reproduce RECIPE` trains one again, with its baselines."
)

_MARK = "`rk reproduce ... --stored` wrote this"
"""The line that marks every written page: only such files are replaced and removed."""


def markdown(items: list[Reproduction], lines: list[Line], results: Mapping[str, Measured]) -> str:
    """Returns the ledger as one page."""
    return _page("Results", _ABOUT, items, lines, results)


def write_pages(folder: Path, items: list[Reproduction], lines: list[Line], results: Mapping[str, Measured]) -> None:
    """Writes a page for each plugin, and ``README.md`` with the counts of all.

    Args:
        folder: Where the pages go; pages of plugins that are gone are removed. Other files stay.
        items: The recipes with claims.
        lines: Their claims.
        results: Recipe name -> what it reached.

    Raises:
        UserError: When the folder cannot be written, or a page would replace another file.
        RunFailed: When the disk is full.
    """
    groups: dict[str, list[Reproduction]] = {}
    for item in items:
        groups.setdefault(_group(item), []).append(item)
    pages = {
        f"{name}.md": _page(name, f"[All results](README.md). {_ABOUT}", group, lines, results)
        for name, group in groups.items()
    }
    pages["README.md"] = _front(groups, lines)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = {path.name: _MARK in path.read_text(encoding="utf-8", errors="replace") for path in folder.glob("*.md")}
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}", "choose another folder with --pages") from None
    if foreign := [name for name in pages if not there.get(name, True)]:
        hint = "choose another folder with --pages"
        raise UserError(f"{folder / foreign[0]} was not written by rk reproduce, and would be replaced", hint)
    for name, text in pages.items():
        write_atomic(folder / name, text)
    for name, own in there.items():
        if own and name not in pages:
            (folder / name).unlink()


def _group(item: Reproduction) -> str:
    """Returns whose page a recipe is on: its plugin's, or its folder's."""
    return item.file.plugin or item.file.path.resolve().parent.name


def _front(groups: Mapping[str, list[Reproduction]], lines: list[Line]) -> str:
    text = ["# Results", "", _ABOUT, ""]
    text += [
        "| | recipes | claims | hold | with the paper's number | of one seed |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    sums = [0] * 5
    for name, items in groups.items():
        own = [line for line in lines if line.recipe in {item.file.name for item in items}]
        counts = [
            len(items),
            len(own),
            sum(line.verdict in (REACHED, "") for line in own),
            sum(bool(line.paper) for line in own),
            sum(line.seeds == "1" for line in own),
        ]
        sums = [a + b for a, b in zip(sums, counts, strict=True)]
        text.append(f"| [{name}]({name}.md) | {' | '.join(map(str, counts))} |")
    text.append(f"| all | {' | '.join(map(str, sums))} |")
    failing = [line for line in lines if line.verdict not in (REACHED, "", OTHER_DATA)]
    text += [
        "",
        *([f"- {line.recipe}: `{line.claim}`: {line.verdict.lower()}" for line in failing] or ["No claim fails."]),
    ]
    return "\n".join(text) + "\n"


def _page(title: str, about: str, items: list[Reproduction], lines: list[Line], results: Mapping[str, Measured]) -> str:
    text = [f"# {title}", "", about]
    for item in items:
        own = [line for line in lines if line.recipe == item.file.name]
        paper = f" ({item.recipe.paper})" if item.recipe.paper else ""
        text += ["", f"## {item.file.name}{paper}", ""]
        text += ["| claim | where | paper | reached | baseline | verdict |", "| --- | --- | --- | --- | --- | --- |"]
        text += [
            f"| {' | '.join((f'`{x.claim}`', x.where, x.paper, x.reached, x.baseline, x.verdict.lower()))} |"
            for x in own
        ]
        names = [item.file.name, *(file.name for file in item.baselines.values())]
        text += ["", *(f"- {_how(name, results[name])}" for name in names if name in results)]
    return "\n".join(text) + "\n"


def _how(name: str, measured: Measured) -> str:
    """Returns how a recipe was run, in one line."""
    values = measured.values
    seconds = values["seconds"]
    seeds = f"{len(measured.seeds)} seeds" if len(measured.seeds) > 1 else f"seed {measured.seeds[0]}"
    where = f"{values['cores']} cores" if values["device"] == "cpu" else values["device"]
    each = " each" if len(seconds) > 1 else ""
    versions = ", ".join(f"{k} {v}" for k, v in values["versions"].items() if k != "python")
    return (
        f"`{name}`: {seeds}, {values['steps']:,} steps in {duration(sum(seconds) / len(seconds))}{each}, "
        f"{values['parameters']:,} parameters, {where}; {versions}; {values['date']}"
    )
