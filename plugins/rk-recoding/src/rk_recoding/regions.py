"""The analysis `region-surprisal`: garden paths region by region, and minimal pairs, with recoding and without."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

from annotated_types import Ge

from rk import Run, UserError
from rk.authoring import evaluating
from rk.reading import read_json, read_json_lines
from rk.writing import write_csv
from rk_recoding.published import PairsName, SuiteName, published_pairs, published_suite
from rk_recoding.reading_text import Reader, surprisals
from rk_recoding.signals import Signal
from rk_recoding.suites import Suite, holds, suite_of
from rk_recoding.sweep import plain_model, recoded

HOWS = ("plain", "recoded")


class RegionSurprisal:
    """Surprisals of the sentences of a test suite by region, and of minimal pairs, of a model as it is and recoded.

    Of a suite it gives the share of the items of which its predictions hold, of pairs the share in which the sentence
    that is right is the likelier one. Words that the model does not know are all one token: their share is reported,
    and they are listed in a table. A suite most of whose words are unknown measures little.

    Args:
        run: A run of a language model that streams, on data `text` by words or characters.
        suite: A published suite of garden paths (SyntaxGym).
        suite_file: A suite of your own in its place, JSON in the same form.
        pairs: Published minimal pairs (BLiMP); null for none.
        pairs_file: Pairs of your own in their place, JSON lines with `sentence_good` and `sentence_bad`.
        signal: What recoding lowers.
        step_size: Its step.
        seed: Seeds dropout samples.

    Examples:
        rk analyze region-surprisal --run last --suite npz_ambig
    """

    def __init__(
        self,
        run: Run,
        suite: SuiteName = "mvrr",
        suite_file: Path | None = None,
        pairs: PairsName | None = "regular_plural_subject_verb_agreement_1",
        pairs_file: Path | None = None,
        signal: Signal = "nll",
        step_size: Annotated[float, Ge(0)] = 0.5,
        seed: int = 0,
    ) -> None:
        self.run = run
        self.suite = suite
        self.suite_file = suite_file
        self.pairs = pairs
        self.pairs_file = pairs_file
        self.signal: Signal = signal
        self.step_size = step_size
        self.seed = seed

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes ``regions.csv``, a figure, ``unknown-words.csv`` and ``pairs.csv``.

        Returns:
            ``prediction-1/plain``, ``prediction-1/recoded`` and so on, ``pairs/plain``, ``pairs/recoded``, and the
            share of words that are unknown.

        Raises:
            UserError: When the model does not stream, its data is not a text, or a file has another form.
        """
        base = plain_model(self.run)
        models = dict(
            zip(HOWS, (base, recoded(self.run, base, signal=self.signal, step_size=self.step_size)), strict=True)
        )
        reader = Reader(self.run)
        if self.suite_file is not None:
            suite = suite_of(read_json(self.suite_file, "a suite in the form of SyntaxGym"), str(self.suite_file))
        else:
            suite = suite_of(published_suite(self.suite), self.suite)
        found = self._regions(suite, reader, models, out)
        found["unknown-words"] = sum(reader.unknown.values()) / max(reader.words, 1)
        if pairs := self._pairs():
            found |= self._judged(pairs, reader, models, out)
        write_csv(out / "unknown-words.csv", ["word", "count"], reader.unknown.most_common())
        return found

    def _read(
        self, models: dict[str, Any], sentences: Sequence[Sequence[int]], line: int
    ) -> dict[str, list[list[float]]]:
        found = {}
        for how, model in models.items():
            with evaluating(model, self.seed):
                found[how] = surprisals(model, sentences, line)
        return found

    def _regions(self, suite: Suite, reader: Reader, models: dict[str, Any], out: Path) -> dict[str, float]:
        from rk_recoding.drawing import draw_regions

        pieces = [
            [(number, reader.tokens(text)) for number, text in regions]
            for item in suite.items
            for regions in item.values()
        ]
        keys = [(i, condition) for i, item in enumerate(suite.items) for condition in item]
        of_token = self._read(models, [[t for _, part in row for t in part] for row in pieces], reader.line)
        values: dict[str, list[dict[tuple[int, str], float]]] = {how: [{} for _ in suite.items] for how in models}
        for how, rows in of_token.items():
            for (i, condition), row, losses in zip(keys, pieces, rows, strict=True):
                start = 0
                for number, part in row:
                    total = sum(losses[start : start + len(part)])
                    values[how][i][number, condition] = total / max(len(part), 1) if suite.mean else total
                    start += len(part)
        numbers = sorted(suite.regions)
        curves = {
            (condition, how): [fmean(item.get((n, condition), 0.0) for item in values[how]) for n in numbers]
            for condition in suite.items[0]
            for how in models
        }
        table = [
            [condition, n, suite.regions[n], *(curves[condition, how][k] for how in models)]
            for condition in suite.items[0]
            for k, n in enumerate(numbers)
        ]
        write_csv(out / "regions.csv", ["condition", "region", "name", *models], table, digits=5)
        draw_regions(suite.name, [suite.regions[n] for n in numbers], curves, out / "regions.png")
        return {
            f"prediction-{k}/{how}": fmean(holds(formula, item) for item in values[how])
            for k, formula in enumerate(suite.predictions, 1)
            for how in models
        }

    def _pairs(self) -> list[tuple[str, str]]:
        if self.pairs_file is not None:
            where: str | Path = self.pairs_file
            lines = list(read_json_lines(self.pairs_file, "a pair in each line"))
        elif self.pairs is not None:
            where = self.pairs
            lines = list(enumerate(published_pairs(self.pairs), 1))
        else:
            return []
        found = []
        for line, pair in lines:
            good, bad = (pair.get(f"sentence_{k}") if isinstance(pair, dict) else None for k in ("good", "bad"))
            if not (isinstance(good, str) and isinstance(bad, str) and good.strip() and bad.strip()):
                raise UserError(f"{where}:{line}: expected sentence_good and sentence_bad, two texts")
            found.append((good, bad))
        if not found:
            raise UserError(f"{where}: the file has no pairs")
        return found

    def _judged(
        self, pairs: Sequence[tuple[str, str]], reader: Reader, models: dict[str, Any], out: Path
    ) -> dict[str, float]:
        """Returns the share of pairs whose right sentence has the smaller surprisal; a tie counts half."""
        sentences = [reader.tokens(text) for pair in pairs for text in pair]
        totals = {how: [sum(row) for row in rows] for how, rows in self._read(models, sentences, reader.line).items()}
        table = [
            [*pair, *(total for how in models for total in totals[how][2 * i : 2 * i + 2])]
            for i, pair in enumerate(pairs)
        ]
        columns = [f"{which} {how}" for how in models for which in ("good", "bad")]
        write_csv(out / "pairs.csv", ["sentence_good", "sentence_bad", *columns], table, digits=5)

        def right(good: float, bad: float) -> float:
            return 0.5 if sentences_tie(good, bad) else float(good < bad)

        return {
            f"pairs/{how}": fmean(right(*total[2 * i : 2 * i + 2]) for i in range(len(pairs)))
            for how, total in totals.items()
        }


def sentences_tie(good: float, bad: float) -> bool:
    """Returns whether two surprisals differ by rounding alone: sentences whose tokens are the same."""
    return abs(good - bad) < 1e-4
