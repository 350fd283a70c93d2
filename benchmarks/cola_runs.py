"""Paths through a trained run: the sweep of `rk search cola --run` against one pass per pair; and parsing paths.

python benchmarks/cola_runs.py        one thread; half a minute
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import torch
from paired import interleave, report, seconds
from rk_cola.layered_run import BlockRows, BlockSweep
from rk_cola.mcts import Finding, TreeSearch
from rk_cola.programs import Program, parse, preference
from rk_cola.spaces import Edits, Limits, Segments
from rk_sequence.attention import Attention
from rk_sequence.model import SequenceModel

from rk.blocks import run_blocks

EXAMPLES, ROUNDS, DEPTH, STEPS = 100, 4, 8, 16
FEW = 40
"""Pairs that the slow contestant runs: its time is per pair."""
LAYERS = 6
"""Of the paths that are parsed: enumerating the programs of more takes too long."""

Pair = tuple[int, tuple[int, ...]]


def main() -> None:
    torch.set_num_threads(1)
    sweeping()
    parsing()


def sweeping() -> None:
    torch.manual_seed(0)
    sizes = {"d_model": 64, "num_layers": DEPTH, "mlp_ratio": 4}
    model = SequenceModel(
        layer=Attention, vocab_size=9, num_features=None, num_outputs=9, readout="step", **sizes
    ).eval()
    batch = {"tokens": torch.randint(9, (EXAMPLES, STEPS))}
    wanted = [torch.randint(9, (1, STEPS)) for _ in range(EXAMPLES)]

    def fresh() -> BlockSweep:
        with torch.inference_mode():
            made = BlockSweep(
                [BlockRows(model, batch, [*range(EXAMPLES)])], wanted, batch_tokens=1024, cache_bytes=2**28
            )
        made.pin(tuple(range(DEPTH)))
        return made

    rounds, trees = [], [TreeSearch(Edits(Limits(DEPTH, max_length=12)), DEPTH, str(i)) for i in range(EXAMPLES)]
    first = fresh()
    for _ in range(1 + ROUNDS):
        pairs = [(i, tree.propose()) for i, tree in enumerate(trees)]
        for tree, scores in zip(trees, first.score(pairs), strict=True):
            tree.observe(Finding(bool(scores.greedy[0]), float(scores.log_probs[0])))
        rounds.append(pairs)
    few: list[Pair] = random.Random(0).sample([pair for pairs in rounds[1:] for pair in pairs], FEW)

    def sweep() -> float:
        made = fresh()
        made.score(rounds[0])
        return seconds(lambda: [made.score(pairs) for pairs in rounds[1:]]) / (EXAMPLES * ROUNDS)

    @torch.inference_mode()
    def one_by_one() -> float:
        rows = [({"tokens": batch["tokens"][i : i + 1]}, path) for i, path in few]
        return (
            seconds(lambda: [run_blocks(model, fields, path)["logits"].log_softmax(-1) for fields, path in rows]) / FEW
        )

    found = interleave({"run_blocks, one by one": one_by_one, "the sweep": sweep}, rounds=5)
    report("A path of an example", found, baseline="run_blocks, one by one")
    print(f"  the sweep is {found['run_blocks, one by one'] / found['the sweep']:.1f} times as fast")


def parsing() -> None:
    space = Segments(Limits(LAYERS, max_length=2 * LAYERS))
    draw, state, paths = random.Random(0), space.root, []
    for _ in range(4):
        state = space.edit(state, draw) or space.root
        paths.append(space.path(state))

    def enumerated(path: tuple[int, ...]) -> Program:
        lengths = [
            c for n in range(1, LAYERS + 1) for c in itertools.product((1, 2, 3, 4), repeat=n) if sum(c) == LAYERS
        ]
        programs = (Program(c, ops) for c in lengths for ops in itertools.product(range(3), repeat=len(c)))
        return min((program for program in programs if program.path == path), key=preference)

    assert all(parse(path, LAYERS) == enumerated(path) for path in paths)

    def timed(function: Callable[[tuple[int, ...]], object]) -> Callable[[], float]:
        return lambda: seconds(lambda: [function(path) for path in paths]) / len(paths)

    contestants = {"every program": timed(enumerated), "parse": timed(lambda path: parse.__wrapped__(path, LAYERS))}
    report(f"The program of a path of {LAYERS} layers", interleave(contestants, rounds=5), baseline="every program")


if __name__ == "__main__":
    main()
