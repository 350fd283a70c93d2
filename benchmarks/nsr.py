"""rk-nsr against its naive forms, by the CPU seconds of one thread; ratios of one run.

    python benchmarks/nsr.py                    both parts
    python benchmarks/nsr.py parser             only this one

The parser in lock-step and the plain one make the same trees of commands of SCAN. Abduction and the plain search for an
edit, which tries every value ever seen at every node, are given the same trees with an answer that is not theirs.
"""

from __future__ import annotations

import random
import sys
from typing import Any

import torch
from paired import interleave, process_seconds, report
from rk_nsr.fields import END, value_of
from rk_nsr.meanings import Meanings
from rk_nsr.naive import edits, parse_one
from rk_nsr.parser import TransitionNet, parse
from rk_nsr.scan import Scan
from rk_nsr.trees import abduce, deduce
from rk_programs.list_dsl import ListDsl
from rk_programs.terms import parse as program
from torch import Tensor

SENTENCES, ROUNDS = 100, 5
Case = tuple[list[int], list[int], list[int], Any]
"""Words, heads, nodes from the leaves up, and the answer."""
PROGRAMS = {
    "left": "(cons 5 x0)",
    "right": "(cons 6 x0)",
    "opposite": "(cons (car x0) x0)",
    "around": "(++ x0 (++ x0 (++ x0 x0)))",
    "twice": "(++ x0 x0)",
    "and": "(++ x0 x1)",
    "after": "(++ x1 x0)",
    "turn": "empty",
}
"""What is known; `thrice` is not, and remembers some examples."""


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    parts = {"parser": parser, "abduction": abduction}
    for name in sys.argv[1:] or parts:
        parts[name]()


def _data() -> Scan:
    data = Scan(seed=0, split="length", num_examples=1000, batch_size=SENTENCES)
    data.prepare()
    return data


def parser() -> None:
    """Prints the time of the trees of a batch, all at once and one after the other."""
    data = _data()
    batch, arities = data.batch("test", 0), torch.tensor(data.arities)
    net = TransitionNet(data.vocab_size, 50, 200, 0.5).eval()
    rows = [row[:n] for row, n in zip(batch["tokens"].tolist(), batch["lengths"].tolist(), strict=True)]
    with torch.no_grad():
        together = parse(net, batch["tokens"], batch["lengths"], arities).heads.tolist()
        for row, heads in zip(rows, together, strict=True):
            assert parse_one(net, row, data.arities) == heads[: len(row)]
        found = interleave(
            {
                "one after the other": lambda: process_seconds(lambda: [parse_one(net, r, data.arities) for r in rows]),
                "in lock-step": lambda: process_seconds(lambda: parse(net, batch["tokens"], batch["lengths"], arities)),
            },
            ROUNDS,
        )
    report(f"{SENTENCES} commands of SCAN", found, "in lock-step")


def abduction() -> None:
    """Prints the time of edits that give the answer: by the queue from the root, and by trying everything."""
    data = _data()
    meanings = _meanings(data)
    cases = _cases(data, meanings)

    def queue() -> None:
        for words, heads, order, answer in cases:
            abduce(deduce(words, heads, order, meanings), answer, meanings)

    def everything() -> None:
        for words, heads, order, answer in cases:
            edits(words, heads, order, answer, meanings)

    found = interleave(
        {
            "every value at every node": lambda: process_seconds(everything),
            "queue from the root": lambda: process_seconds(queue),
        },
        ROUNDS,
    )
    report(f"edits of {len(cases)} trees of SCAN", found, "queue from the root")


def _cases(data: Scan, meanings: Meanings) -> list[Case]:
    """Returns random trees of training commands that give the answer by an edit alone, and the answers."""
    net = TransitionNet(data.vocab_size, 50, 200, 0.5).eval()
    cases: list[Case] = []
    i = 0
    while len(cases) < SENTENCES:
        batch = data.batch("train", i)
        i += 1
        with torch.no_grad():
            parsed = parse(net, batch["tokens"], batch["lengths"], torch.tensor(data.arities), _drawn)
        for words, heads, order, n, answer in zip(
            batch["tokens"].tolist(),
            parsed.heads.tolist(),
            parsed.order.tolist(),
            batch["lengths"].tolist(),
            batch["targets"].tolist(),
            strict=True,
        ):
            case = words[:n], heads[:n], order[:n], value_of(answer[: answer.index(END)], "list")
            tree = deduce(*case[:3], meanings)
            if tree.value == case[3] or abduce(tree, case[3], meanings) is None or tree.edited is None:
                continue
            assert (tree.edited, tree.values[tree.edited]) in edits(*case, meanings)
            cases.append(case)
    return cases[:SENTENCES]


def _drawn(log_probabilities: Tensor) -> Tensor:
    return torch.multinomial(log_probabilities.exp(), 1)[:, 0]


def _meanings(data: Scan) -> Meanings:
    meanings = Meanings(ListDsl(), data.arities, "list")
    draws = random.Random(0)
    words = {word: symbol for symbol, word in enumerate(data.symbols)}
    verbs = {verb: f"(singleton {action})" for action, verb in enumerate(("walk", "look", "run", "jump"), 1)}
    for word, text in (PROGRAMS | verbs).items():
        one = meanings.of[words[word]]
        one.term, one.likelihood = program(text), 1.0
    lists = [tuple(draws.choices(range(1, 7), k=draws.randint(1, 8))) for _ in range(60)]
    meanings.of[words["thrice"]].examples = {(x,): {x * 3: 2.0} for x in lists}
    pairs = [(x, y) for x in lists[:20] for y in lists[:20]]
    meanings.of[words["and"]].examples = {(x, y): {x + y: 2.0} for x, y in pairs}
    meanings.of[words["after"]].examples = {(x, y): {y + x: 2.0} for x, y in pairs}
    for meaning in meanings.of:
        meaning.refresh()
    return meanings


if __name__ == "__main__":
    main()
