"""rk-gssnn: enumeration of programs, the head of the network, and the population in processes; ratios of one run.

    python benchmarks/gssnn.py                   all parts
    python benchmarks/gssnn.py enumeration head  only these

The plain enumeration executes each program from its beginning, by recursion over the term.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
from pathlib import Path

import torch
from paired import interleave, report, seconds
from rk_gssnn.dsl import GraphDsl
from rk_gssnn.naive import answers
from rk_gssnn.structured import GraphStructured
from rk_programs.chain_enumeration import ChainEnumeration
from rk_programs.naive import all_terms

import rk

SIZE, EVALUATIONS, ROUNDS = 6, 200_000, 5
PROGRAM = "(push (add (connect (next_port (push (add (connect (next_port (pop (connect identity))))))))))"
BASELINE = """
rk: 1
model: {name: pixel-vit, patch_size: 8, d_model: 32, conv_layers: 1, num_layers: 1, head_size: 8, hidden_size: 64}
data: {name: raven-rules, image_size: 48, batch_size: 8, val_examples: 200, test_examples: 8}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 1e-3}}
fit: {max_steps: STEPS, validate_every: STEPS, seed: 1, threads: 1}
"""
STEPS = (200, 1000)
"""Steps of each network of a population: what starting a process costs is made up for by long trainings alone."""


def main() -> None:
    torch.set_num_threads(1)
    parts = {"enumeration": enumeration, "head": head, "population": population}
    for name in sys.argv[1:] or parts:
        parts[name]()


def enumeration() -> None:
    """Prints how fast programs are executed, and what sharing prefixes saves."""
    dsl = GraphDsl()
    begin = time.process_time()
    states, count = set(), 0
    for size in range(1, SIZE + 1):
        for term in all_terms(dsl, (), "chain", size):
            states.add(dsl.alike(dsl.run(term) or dsl.initial()))
            count += 1
    plain = time.process_time() - begin
    begin = time.process_time()
    one = ChainEnumeration(dsl, max_size=SIZE)
    found = {dsl.alike(each.state) for each in one.programs()}
    shared = time.process_time() - begin
    assert found == states, (len(found), len(states))
    print(f"all programs up to size {SIZE}, {len(found)} states that differ:")
    print(f"  plain recursion   {count:>9,} programs  {count / plain:>10,.0f} per s  {plain:.3f} s")
    print(f"  shared prefixes   {one.tried:>9,} prefixes  {one.tried / shared:>10,.0f} per s  {shared:.3f} s")
    print(f"  ratio of times    {plain / shared:.1f}")
    begin = time.process_time()
    longer = ChainEnumeration(dsl)
    sizes = [each.term.size for each in longer.programs(EVALUATIONS)]
    rate = longer.tried / (time.process_time() - begin)
    print(f"  {EVALUATIONS:,} prefixes reach size {max(sizes)}: {rate:,.0f} per s")


def head() -> None:
    """Prints the time of the head by index, and with loops."""
    graph = GraphDsl().graph(PROGRAM)
    torch.manual_seed(0)
    net, x = GraphStructured(graph, 64, 2).eval(), torch.randn(32, 64)
    with torch.no_grad():
        torch.testing.assert_close(net(x), answers(net, graph, x))
        found = interleave(
            {
                "loops": lambda: seconds(lambda: answers(net, graph, x)),
                "index": lambda: seconds(lambda: net(x)),
            },
            ROUNDS,
        )
    report("head on a batch of 32, a triangle", found, "loops")


def population() -> None:
    """Prints the time of eight networks, one after the other and in two processes."""
    for steps in STEPS:
        population_of(steps)


def population_of(steps: int) -> None:
    """Prints it for networks of so many steps."""

    def search(folder: Path, jobs: int) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            rk.train(
                {
                    "rk": 1,
                    "search": {
                        "name": "gssnn",
                        "run": str(baseline),
                        "iterations": 1,
                        "population": 8,
                        "survivors": 4,
                        "proposals": "random",
                        "dim": 64,
                        "jobs": jobs,
                    },
                    "fit": {"seed": 1, "threads": 1, "log_every": 1},
                },
                runs_dir=folder,
            )

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "baseline.yaml").write_text(BASELINE.replace("STEPS", str(steps)))
        with contextlib.redirect_stdout(io.StringIO()):
            baseline = Path(rk.train(folder / "baseline.yaml", runs_dir=folder).path)
        found = interleave(
            {
                "one after the other": lambda: seconds(lambda: search(folder / "one", 1)),
                "two processes": lambda: seconds(lambda: search(folder / "two", 2)),
            },
            1,
        )
    report(f"eight networks, {steps} steps each", found, "one after the other")


if __name__ == "__main__":
    main()
