"""The ledger as Markdown: one page, or a front page with counts and a page for each plugin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rk.errors import UserError, counted
from rk.report.claims import OTHER_DATA
from rk.report.seeds import too_few
from rk.report.text import duration
from rk.report.verdicts import MEANINGS, NOT_REACHED, NOT_SHOWN, ORDER, OWN_BAR, PAPER, REFUTED, UNTESTABLE
from rk.reproduce.ledger import FAILING, Line
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


_COLUMNS = {
    "paper reached": (PAPER,),
    "in order": (ORDER,),
    "own bar only": (OWN_BAR,),
    "refuted": (REFUTED,),
    "not testable": (UNTESTABLE,),
    "not shown": (NOT_SHOWN, *FAILING),
}
"""Head of a column of the front page -> the verdicts that it counts."""


def _front(groups: Mapping[str, list[Reproduction]], lines: list[Line]) -> str:
    judged = [line for line in lines if line.verdict not in ("", OTHER_DATA)]
    published = [line for line in judged if line.is_published]
    others = [line for line in judged if not line.is_published]
    text = ["# Results", "", _ABOUT, "", f"**{summary(lines)}**", ""]
    text += [f"- {name}: {meaning}" for name, meaning in MEANINGS.items() if name != NOT_REACHED]
    text += ["", "[How they are decided](../runs.md#verdicts).", "", "## Published numbers", ""]
    text += _counts(groups, published, [*_COLUMNS])
    text += ["", "## Other claims", ""]
    text += ["The paper has no number for these, or one of other data. The order is that of the claim's baseline.", ""]
    text += _counts(groups, others, [name for name in _COLUMNS if name != "paper reached"])
    for title, chosen in (
        ("Refuted", [line for line in judged if line.verdict == REFUTED]),
        ("Single seeds", [line for line in judged if line.is_single]),
        ("Failing", [line for line in judged if not line.holds]),
    ):
        text += ["", f"## {title}", "", *([_item(line) for line in chosen] or ["None."])]
    untestable = [line for line in judged if line.verdict == UNTESTABLE]
    text += ["", "## Not testable", "", *([f"- {cause}" for cause in causes(untestable)] or ["None."])]
    return "\n".join(text) + "\n"


def causes(lines: list[Line]) -> list[str]:
    """Returns why claims have their verdicts: one text for all the claims of a recipe that share it."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for line in lines:
        if line.why:
            claim = f"{line.claim} (paper: {line.paper})" if line.paper else line.claim
            found.setdefault((line.recipe, line.verdict, line.why), []).append(claim)
    return [f"{recipe}: {', '.join(claims)}: {verdict}: {why}" for (recipe, verdict, why), claims in found.items()]


def summary(lines: list[Line]) -> str:
    """Returns how many published numbers have which verdict, in one sentence."""
    published = [line for line in lines if line.is_published and line.verdict not in ("", OTHER_DATA)]

    def count(head: str) -> int:
        return sum(line.verdict in _COLUMNS[head] for line in published)

    return (
        f"Of {counted(len(published), 'claim')} of a published number {count('paper reached')} "
        f"{'is' if count('paper reached') == 1 else 'are'} reached, {count('in order')} in order, "
        f"{count('own bar only')} on the recipe's own bar only, {count('refuted')} refuted, "
        f"{count('not testable')} not testable here, {count('not shown')} not shown."
    )


def _counts(groups: Mapping[str, list[Reproduction]], lines: list[Line], heads: list[str]) -> list[str]:
    """Returns a table with a row for each plugin and one for all."""
    rows = [["", "claims", *heads, "of a single seed"]]
    for name, items in groups.items():
        recipes = {item.file.name for item in items}
        own = [line for line in lines if line.recipe in recipes]
        rows += [_row(f"[{name}]({name}.md)", own, heads)] if own else []
    rows.append(_row("all", lines, heads))
    return [f"| {' | '.join(row)} |" for row in (rows[0], ["---"] * len(rows[0]), *rows[1:])]


def _row(name: str, lines: list[Line], heads: list[str]) -> list[str]:
    found = [len(lines), *(sum(line.verdict in _COLUMNS[head] for line in lines) for head in heads)]
    return [name, *map(str, [*found, sum(line.is_single for line in lines)])]


def _item(line: Line) -> str:
    """Returns a claim as an item of a list: the recipe, what was claimed, what became of it, and why."""
    paper = f" (paper: {line.paper})" if line.paper else ""
    said = "; ".join(part for part in (line.shown, line.difference, line.why) if part)
    return f"- {line.recipe}: `{line.claim}`{paper}: {line.verdict.lower()}" + (f"; {said}" if said else "")


_HEADS = ("metric", "paper", "own bar", "reached", "95 % interval", "baseline", "better by", "verdict", "remarks")


def _page(title: str, about: str, items: list[Reproduction], lines: list[Line], results: Mapping[str, Measured]) -> str:
    text = [f"# {title}", "", about]
    for item in items:
        own = [line for line in lines if line.recipe == item.file.name]
        paper = f" ({item.recipe.paper})" if item.recipe.paper else ""
        text += ["", f"## {item.file.name}{paper}", ""]
        text += [f"| {' | '.join(row)} |" for row in (_HEADS, ["---"] * len(_HEADS), *map(_cells, own))]
        names = [item.file.name, *(file.name for file in item.baselines.values())]
        text += ["", *(f"- {_how(name, results[name])}" for name in names if name in results)]
        text += [f"- {note}." for note in notes(own)]
        while not text[-1]:
            text.pop()
    return "\n".join(text) + "\n"


def _cells(line: Line) -> tuple[str, ...]:
    differs = f"not comparable: {line.differs}" if line.differs else ""
    remarks = "; ".join(part for part in (line.where, differs, line.why) if part)
    bar = f"`{line.bar}`" if line.bar else ""
    verdict = line.verdict.lower()
    return (
        f"`{line.metric}`",
        line.paper,
        bar,
        line.shown,
        line.interval,
        line.baseline,
        line.difference,
        verdict,
        remarks.replace("|", "\\|"),
    )


def notes(lines: list[Line]) -> list[str]:
    """Returns what the numbers of seeds cannot show, each once."""
    return [note for pairs in sorted({line.pairs for line in lines if line.pairs}) if (note := too_few(pairs))]


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
