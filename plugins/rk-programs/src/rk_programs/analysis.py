"""The analysis `programs`: what a run has learned, as text."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Annotated, cast

from annotated_types import Ge

from rk import Run, UserError
from rk.writing import write_atomic, write_csv
from rk_programs.learned import HoldsPrograms
from rk_programs.library import description_length, learn_library


class ProgramsAnalysis:
    """The programs of a finished run: one line each, and the functions that they have in common.

    Any model may have programs (`rk_programs.learned.HoldsPrograms`).

    Args:
        run: A run whose learner has programs.
        functions: Most functions that are looked for in the programs, to write them with fewer symbols; 0: none.

    Examples:
        rk analyze programs --run last
    """

    def __init__(self, run: Run, functions: Annotated[int, Ge(0)] = 3) -> None:
        self.run = run
        self.functions = functions

    def analyze(self, out: Path) -> dict[str, float]:
        """Prints the programs, writes them to `programs.txt` and `programs.csv`; returns how many there are, and sizes.

        Raises:
            UserError: When no part of the run's learner has programs.
        """
        holders = [cast(HoldsPrograms, one) for one in self.run.learner.modules() if callable(_programs(one))]
        if not holders:
            raise UserError(f"{self.run.folder.label}: its learner has no programs")
        lines, rows, found = [], [], 0
        before = after = 0
        for holder in holders:
            learned = holder.programs()
            width = max((len(str(one)) for one in learned), default=0)
            lines += [f"{one!s:<{width}}  # {one.likelihood:.2f}, {one.examples} examples" for one in learned]
            rows += [[one.name, len(one.takes), str(one.term or ""), one.likelihood, one.examples] for one in learned]
            terms = [one.term for one in learned if one.term is not None]
            found += len(terms)
            library, written = learn_library(copy.deepcopy(holder.dsl), terms, max_functions=self.functions)
            before += description_length(terms)
            after += description_length(written, library)
            if library:
                names = [one.name for one in learned if one.term is not None]
                lines += ["", f"with functions: {description_length(written, library)} symbols, not {before}"]
                lines += [str(one) for one in library]
                changed = [(n, w) for n, t, w in zip(names, terms, written, strict=True) if t != w]
                lines += [f"{name} = {term}" for name, term in changed]
        text = "\n".join(lines)
        print(text)
        write_atomic(out / "programs.txt", text + "\n")
        write_csv(out / "programs.csv", ["name", "arity", "program", "likelihood", "examples"], rows)
        return {"programs": found, "missing": len(rows) - found, "symbols": before, "symbols/with-functions": after}


def _programs(module: object) -> object:
    return getattr(module, "programs", None)
