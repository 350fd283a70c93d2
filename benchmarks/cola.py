"""The engine of rk-lm against running one path after the other, on SmolLM2; and the share of each of its ideas.

python benchmarks/cola.py [threads]        one thread by default; the weights of smollm2; five minutes
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable

import torch
from paired import interleave, report, seconds
from rk_cola.mcts import Finding, TreeSearch
from rk_cola.spaces import Edits, Limits
from rk_lm import naive
from rk_lm.arith import ArithLevels
from rk_lm.cached import generate
from rk_lm.engine import Engine
from rk_lm.items import Item, encode
from rk_lm.layered import Path, full_path
from rk_lm.load import load
from rk_lm.pretrained import Layered
from torch.nn import functional as F

ITEMS, ROUNDS_OF_SEARCH = 100, 2
FEW = 12
"""Pairs that the slow contestants run: their time is per pair."""

Pair = tuple[int, Path]


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    lm = load("smollm2")
    data = ArithLevels(seed=0, num_questions=ITEMS, levels=[3])
    data.prepare()
    items = [encode(lm.tokenizer, q.prompt, q.continuations) for q in data.questions]
    rounds = searched(lm.layered, items)
    verdicts(lm.layered, items, rounds)
    paths(lm.layered, items, rounds, lm.tokenizer.pad_token_id)
    layers(lm.layered, items)


def searched(model: Layered, items: list[Item]) -> list[list[Pair]]:
    """Returns the pairs that the trees of all questions ask for in their first rounds, the one of full paths first."""
    space = Edits(Limits(depth=model.depth, max_length=45))
    trees = [TreeSearch(space, model.depth, str(i)) for i in range(len(items))]
    engine, rounds = fresh(model, items), []
    for _ in range(1 + ROUNDS_OF_SEARCH):
        pairs = [(i, tree.propose()) for i, tree in enumerate(trees)]
        for tree, scores in zip(trees, engine.score(pairs), strict=True):
            tree.observe(Finding(bool(scores.greedy[0]), float(scores.log_probs[0])))
        rounds.append(pairs)
    length = max(len(item.tokens) for item in items)
    count, steps = engine.counts, sum(len(p) for pairs in rounds[1:] for _, p in pairs)
    print(
        f"\n{ITEMS} questions of level 3, {length} tokens; {ROUNDS_OF_SEARCH} rounds of the search after the full paths"
    )
    rows = count.layer_rows - ITEMS * model.depth
    batch = count.layer_rows / count.layer_calls
    print(f"  layers on these paths: {steps}, run: {rows} ({rows / steps:.0%}), in batches of {batch:.1f}")
    return rounds


def fresh(model: Layered, items: list[Item], **settings: bool) -> Engine:
    engine = Engine(model, items, **settings)
    engine.pin(full_path(model))
    return engine


def verdicts(model: Layered, items: list[Item], rounds: list[list[Pair]]) -> None:
    """Counts the verdicts in which the engine differs from one forward pass per pair."""
    engine = fresh(model, items)
    found = [(pair, scores) for pairs in rounds for pair, scores in zip(pairs, engine.score(pairs), strict=True)]
    chosen = random.Random(0).sample(found, 100)
    differ, apart = 0, 0.0
    for (item, path), scores in chosen:
        expected = naive.score(model, items[item], path)
        differ += expected.greedy.tolist() != scores.greedy.tolist()
        apart = max(apart, float((expected.log_probs - scores.log_probs).abs().max()))
    print(f"\nVerdicts that differ from one forward pass per pair: {differ} of {len(chosen)}")
    print(f"  largest difference of a log-probability: {apart:.1e}")


def paths(model: Layered, items: list[Item], rounds: list[list[Pair]], pad: int) -> None:
    """Seconds per pair, the full paths being known."""
    few = random.Random(1).sample([pair for pairs in rounds[1:] for pair in pairs], FEW)

    def engine(**settings: bool) -> Callable[[], float]:
        def run() -> float:
            made = fresh(model, items, **settings)
            made.score(rounds[0])
            return seconds(lambda: [made.score(pairs) for pairs in rounds[1:]]) / sum(map(len, rounds[1:]))

        return run

    def few_with(**settings: bool) -> float:
        made = fresh(model, items, **settings)
        made.score([(i, full_path(model)) for i in {i for i, _ in few}])
        return seconds(lambda: made.score(few)) / FEW

    def one_by_one() -> float:
        return seconds(lambda: [naive.score(model, items[i], path) for i, path in few]) / FEW

    def generated() -> float:
        settings = {"max_new_tokens": 50, "do_sample": False, "eos_token_id": None}
        (i, path), *_ = few
        return seconds(lambda: generate(model, path, [list(items[i].prompt)], pad, **settings))

    contestants = {
        "generate, 50 new tokens, one by one": generated,
        "one forward pass per pair": one_by_one,
        "  + head at the answer alone": lambda: few_with(reuse=False, depth_first=True),
        "  + prefixes": lambda: few_with(depth_first=True),
        "  + batches by depth, no prefixes": engine(reuse=False),
        "the engine: both": engine(),
    }
    found = interleave(contestants, rounds=3)
    report("A path of a question", found, baseline="one forward pass per pair")
    best = found["the engine: both"]
    ratios = {name: found[name] / best for name in ("one forward pass per pair", "generate, 50 new tokens, one by one")}
    for name, ratio, bar in zip(ratios, ratios.values(), (4, 50), strict=True):
        print(f"  the engine is {ratio:.1f} times as fast as {name.strip()} (bar: {bar})")


@torch.inference_mode()
def layers(model: Layered, items: list[Item]) -> None:
    """A layer in batches, against its matrix products alone: what the machine has to give."""
    length = max(len(item.tokens) for item in items)
    weights = [m.weight for m in model.decoder_layers[0].modules() if isinstance(m, torch.nn.Linear)]
    for size in (1, 16, 64):
        tokens = torch.randint(1000, (size, length))
        branches = torch.zeros_like(tokens)
        context, hidden = model.context(tokens, branches), model.embed(tokens)
        inputs = [torch.randn(size * length, w.shape[1]) for w in weights]
        found = interleave(
            {
                "its seven matrix products": lambda inputs=inputs: seconds(
                    lambda: [F.linear(x, w) for x, w in zip(inputs, weights, strict=True)]
                ),
                "the layer": lambda hidden=hidden, context=context: seconds(lambda: model.layer(0, hidden, context)),
            },
            rounds=30 if size < 64 else 10,
        )
        report(f"A layer over {size} states of {length} tokens", found, baseline="its seven matrix products")
        flops = 2 * size * length * sum(w.numel() for w in weights)
        rates = {name: flops / value / 1e9 for name, value in found.items()}
        print("  " + ", ".join(f"{name}: {rate:.0f} GFLOP/s" for name, rate in rates.items()), end="")
        print(f"; {found['the layer'] / size * 1e3:.2f} ms per state")


if __name__ == "__main__":
    main()
