"""Keeps the numbers in READMEs and recipe headers equal to those in `results.json`.

    python docs/fill_numbers.py             lists the numbers that differ, and exits with 1 if there are any
    python docs/fill_numbers.py --write     puts the stored numbers in

In a Markdown file, a number is written between two comments, which a rendered page does not show:

    <!-- result: rnn/reber-quick test/accuracy -->0.519<!-- /result -->

The first comment names the number: the recipe, the metric, and options. It is the mean over the seeds. The text
between the comments decides how it is written: with as many decimals as are there, as a share of 100 where it ends with
`%`, and with the standard deviation over the seeds where it has `±`.

    A test/x - B test/x     the difference of two recipes, seed by seed
    seed=2                  one seed alone, not the mean
    min, max                the smallest and the largest over the seeds
    se                      `±` is the standard error of the mean
    x100                    in hundredths, without a `%`
    A seeds                 how many seeds were run; `A seconds`: how long one run took

In a recipe's header the line `# reached: ...` is written whole: the numbers of the metrics that the recipe claims, or
that a recipe claims whose baseline it is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from statistics import fmean, stdev

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rk.catalog import Catalog  # noqa: E402  the tree of this file is the one that is checked
from rk.recipe.compose import compose  # noqa: E402
from rk.recipe.find import RecipeFile, find_recipe  # noqa: E402
from rk.recipe.sections import Expect  # noqa: E402
from rk.recipe.tree import plain_value  # noqa: E402
from rk.report.text import number  # noqa: E402
from rk.reproduce.results import FILE, Measured, read_results  # noqa: E402

PAGES = ("README.md", "docs/**/*.md", "recipes/**/*.md", "plugins/*/README.md")
RECIPES = ("plugins/*/src/*/recipes", "recipes", "recipes/*")
MARKED = re.compile(r"<!-- result: (?P<what>[^>]*?) -->(?P<text>.*?)<!-- /result -->")
OPENED = re.compile(r"<!-- result:")
WRITTEN = re.compile(r"(?P<value>-?\d+(?:\.\d+)?)(?P<percent>%?)(?: ± (?P<spread>\d+(?:\.\d+)?)%?)?")
WIDTH = 120

Results = Mapping[str, Measured]


class Unknown(ValueError):
    """A marker that names no stored number."""


# -- Markdown ----------------------------------------------------------------------------------------------------------


def filled(page: str, results: Results) -> str:
    """Returns `page` with the stored number in each marker.

    Args:
        page: Markdown.
        results: Recipe name -> what it reached.

    Raises:
        Unknown: A marker names no stored result, or its text is not a number.
    """
    if len(OPENED.findall(page)) != len(MARKED.findall(page)):
        raise Unknown("a marker '<!-- result: ... -->' has no '<!-- /result -->' in its line")
    return MARKED.sub(
        lambda m: f"<!-- result: {m['what']} -->{shown(m['what'], m['text'], results)}<!-- /result -->", page
    )


def shown(what: str, text: str, results: Results) -> str:
    """Returns the number that `what` names, written as `text` is.

    Raises:
        Unknown: `what` names no stored result, or `text` is not a number.
    """
    written = WRITTEN.fullmatch(text.strip())
    if written is None:
        raise Unknown(f"{what}: {text!r} must be a number, with '%' or '± a number' behind it at most")
    words = what.split()
    options = {w for w in words if w in ("se", "x100", "min", "max") or w.startswith("seed=")}
    values = numbers([w for w in words if w not in options], options, results)
    factor = 100 if written["percent"] or "x100" in options else 1
    pick = min if "min" in options else max if "max" in options else fmean
    out = f"{factor * pick(values):.{decimals(written['value'])}f}"
    if float(out) == 0:
        out = out.removeprefix("-")
    out += written["percent"]
    if written["spread"]:
        if len(values) < 2:
            return out  # one seed has no spread
        spread = stdev(values) / (len(values) ** 0.5 if "se" in options else 1)
        out += f" ± {factor * spread:.{decimals(written['spread'])}f}{written['percent']}"
    return out


def numbers(words: list[str], options: Iterable[str], results: Results) -> list[float]:
    """Returns one number per seed of ``RECIPE METRIC`` or ``RECIPE METRIC - RECIPE METRIC``."""
    seed = next((int(o.partition("=")[2]) for o in options if o.startswith("seed=")), None)
    if len(words) == 2:
        found = _by_seed(*words, results)
    elif len(words) == 5 and words[2] == "-":
        first, second = _by_seed(*words[:2], results), _by_seed(*words[3:], results)
        found = {s: first[s] - second[s] for s in first if s in second}
    else:
        raise Unknown(f"{' '.join(words)}: must be 'RECIPE METRIC' or 'RECIPE METRIC - RECIPE METRIC'")
    if seed is not None:
        found = {s: v for s, v in found.items() if s == seed}
    if not found:
        raise Unknown(f"{' '.join(words)}: no such seed is stored")
    return [*found.values()]


def _by_seed(recipe: str, metric: str, results: Results) -> dict[int, float]:
    if recipe not in results:
        raise Unknown(f"{recipe}: no result is stored (rk reproduce {recipe})")
    measured = results[recipe]
    if metric == "seeds":
        return {0: len(measured.seeds)}
    values = measured.values["seconds"] if metric == "seconds" else measured.numbers(metric)
    if values is None:
        raise Unknown(f"{recipe}: no {metric} is stored for every seed")
    return dict(zip(measured.seeds, values, strict=True))


def decimals(text: str) -> int:
    """Returns how many decimals a number is written with."""
    return len(text.partition(".")[2])


# -- recipes -----------------------------------------------------------------------------------------------------------


def with_reached(recipe: str, line: str | None) -> str:
    """Returns the text of a recipe whose header has `line` as its last one, in place of an older one.

    Args:
        recipe: The file's text.
        line: What was reached; None removes the line.
    """
    head = re.match(r"(?:#.*\n)*", recipe)[0]
    body = recipe[len(head) :]
    head = re.sub(r"(?:#\n)?# reached:.*\n(?:#   .*\n)*", "", head)
    return f"{head}#\n{line}\n{body}" if line else head + body


def reached(measured: Measured, metrics: Iterable[str]) -> str:
    """Returns the line of a header, ``# reached: test/accuracy 0.93 ± 0.01 (3 seeds)``; several if it is long."""
    parts = []
    for metric in metrics:
        spread = measured.spread(metric)
        parts.append(f"{metric} {number(measured.mean(metric))}" + (f" ± {spread:.2g}" if spread else ""))
    seeds = f"{len(measured.seeds)} seeds" if len(measured.seeds) > 1 else f"seed {measured.seeds[0]}"
    lines = ["# reached:"]
    for part in f"{', '.join(parts)} ({seeds})".replace(", ", ",\n").split("\n"):
        if len(lines[-1]) + len(part) + 1 > WIDTH:
            lines.append("#  ")
        lines[-1] += f" {part}"
    return "\n".join(lines)


def metrics_of(name: str, claimed: Mapping[str, list[tuple[str, str | None]]], measured: Measured) -> list[str]:
    """Returns the metrics that the header of recipe `name` shows.

    Args:
        name: The recipe.
        claimed: Recipe name -> (metric, full name of the baseline) of its claims.
        measured: What it reached.
    """
    own = [metric for metric, _ in claimed[name]]
    named = [metric for claims in claimed.values() for metric, baseline in claims if baseline == name]
    known = measured.values["metrics"]
    other = [m for m in known if m.startswith("test") and not m.endswith("/loss")]
    found = [metric for pattern in dict.fromkeys([*own, *named]) for metric in Expect(pattern).among(known)]
    return [*dict.fromkeys(found)] or other[:3]


# -- the repository ----------------------------------------------------------------------------------------------------


def stored() -> dict[str, Measured]:
    """Returns recipe name -> what it reached, of all recipes of the repository."""
    found: dict[str, Measured] = {}
    for pattern in RECIPES:
        for path in sorted(ROOT.glob(f"{pattern}/{FILE}")):
            found |= read_results(path)
    return found


def changed() -> Iterator[tuple[Path, str, str]]:
    """Yields (path, text, right text) of each page and recipe whose numbers are not the stored ones.

    Raises:
        Unknown: A marker names no stored result.
    """
    results = stored()
    for pattern in PAGES:
        for path in sorted(ROOT.glob(pattern)):
            yield from _changed(path, lambda text: filled(text, results))
    catalog = Catalog()
    paths = sorted({path for pattern in RECIPES for path in ROOT.glob(f"{pattern}/*.yaml")})
    files = {path: find_recipe(str(path), catalog.plugins) for path in paths}
    claimed = {file.name: claims(file, catalog) for file in files.values()}
    for path, file in files.items():
        measured = results.get(file.name)
        line = reached(measured, metrics_of(file.name, claimed, measured)) if measured else None
        yield from _changed(path, lambda text, line=line: with_reached(text, line))


def claims(file: RecipeFile, catalog: Catalog) -> list[tuple[str, str | None]]:
    """Returns (metric, full name of the baseline) of each claim of a recipe."""
    tree, _ = compose(file, (), catalog.plugins)
    found = plain_value(tree.items["expect"]) if "expect" in tree.items else []
    return [
        (c["metric"], find_recipe(c["baseline"], catalog.plugins, beside=file).name if "baseline" in c else None)
        for c in found
    ]


def _changed(path: Path, right) -> Iterator[tuple[Path, str, str]]:
    text = path.read_text(encoding="utf-8")
    try:
        wanted = right(text)
    except Unknown as error:
        raise Unknown(f"{path.relative_to(ROOT)}: {error}") from None
    if wanted != text:
        yield path, text, wanted


def differences(text: str, wanted: str) -> list[str]:
    """Returns the lines of `wanted` that `text` does not have."""
    known = {*text.splitlines()}
    return [line for line in wanted.splitlines() if line not in known]


def main(write: bool) -> int:
    """Lists what differs, or writes it. Returns the exit code."""
    try:
        found = [*changed()]
    except Unknown as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for path, text, wanted in found:
        print(f"{path.relative_to(ROOT)}" + (" written" if write else ""))
        for line in differences(text, wanted):
            print(f"    {line}")
        if write:
            path.write_text(wanted, encoding="utf-8")
    return int(bool(found) and not write)


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv))
