"""rk-mor against plain and looped models, gathered tokens against masked ones, packed rows against a loop, and caches.

python benchmarks/mor.py [--quick]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from lcm import seconds
from paired import interleave, report
from rk_mor.model import MoR
from rk_sequence.attention import Attention
from torch import Tensor

from rk.states import tensors_of

FACTS = {"vocab_size": 256, "num_features": None, "num_outputs": 256, "readout": "step"}
QUICK = "--quick" in sys.argv
WIDTH, LENGTH, ROWS = (64, 128, 4) if QUICK else (128, 256, 4)
ROUNDS = 3


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    training_steps()
    gathering()
    rows_of_tokens()
    decoding()
    caches()


def make(**settings: Any) -> MoR:
    torch.manual_seed(0)
    layer = partial(Attention, num_heads=4)
    common = {"num_layers": 8, "num_recursions": 3, "d_model": WIDTH, "mlp_ratio": 4.0}
    return MoR(layer=layer, **FACTS | common | settings)


def step(model: MoR, tokens: Tensor) -> Callable[[], object]:
    """Returns a function of a forward and a backward pass."""
    model.train()

    def run() -> None:
        model.zero_grad()
        model(tokens=tokens)["logits"].square().mean().backward()

    return run


Runs = dict[str, Callable[[], object]]


def timed(title: str, runs: Runs, tokens: int, limits: dict[str, float] | None = None) -> None:
    """Takes turns and reports medians; the first contestant is the baseline."""
    found = interleave({name: partial(seconds, run) for name, run in runs.items()}, ROUNDS)
    report(title, found, baseline=next(iter(runs)), limits=limits)
    print("  tokens a second: " + ", ".join(f"{name} {tokens / value:,.0f}" for name, value in found.items()))


def training_steps() -> None:
    """Eight layers, of which the middle six are two that run three times; capacities 1, 2/3, 1/3."""
    tokens = torch.randint(0, 256, (ROWS, LENGTH))
    models = {
        "plain, eight layers": make(num_recursions=1),
        "looped, four": make(router="none"),
        "mor, caches of each recursion": make(),
        "mor, shared keys": make(kv="share"),
        "mor, hybrid": make(kv="hybrid"),
        "mor, tokens choose": make(router="token"),
    }
    runs = {name: step(model, tokens) for name, model in models.items()}
    title = f"a training step, {ROWS} rows of {LENGTH} tokens, width {WIDTH}"
    timed(title, runs, tokens.numel(), {"mor, caches of each recursion": 0.9})
    for name, model in models.items():
        print(f"  {name:<44} {sum(p.numel() for p in model.parameters()):>10,} weights")


def gathering() -> None:
    """The same answers, with the tokens that do not run left out, or masked."""
    tokens = torch.randint(0, 256, (ROWS, LENGTH))
    for kv in ("recursion", "share"):
        gathered, masked = make(kv=kv), make(kv=kv)
        masked.rules.in_place = True
        runs = {"masked": step(masked, tokens), "gathered": step(gathered, tokens)}
        timed(f"gathered against masked, kv: {kv}", runs, tokens.numel(), {"gathered": 0.9})


def rows_of_tokens() -> None:
    """Tokens that choose: all rows as one short sequence, against a loop over the rows of the batch."""
    tokens = torch.randint(0, 256, (4 * ROWS, LENGTH // 4))
    model = make(router="token")
    model.train()

    def looped() -> None:
        model.zero_grad()
        found = [model(tokens=row.unsqueeze(0))["logits"] for row in tokens]
        torch.cat(found).square().mean().backward()

    runs = {"a loop over rows": looped, "packed": step(model, tokens)}
    timed(f"tokens choose, {len(tokens)} rows of {tokens.shape[1]}", runs, tokens.numel(), {"packed": 0.9})


def decoding() -> None:
    """New tokens behind a prompt, from the caches. Routers that have not learned halve the tokens each time."""
    new = 16 if QUICK else 32
    for rows in (1, 32):
        prompt = torch.randint(0, 256, (rows, LENGTH // 2))
        runs: Runs = {}
        for name, settings in {
            "plain, eight layers": {"num_recursions": 1},
            "looped, four": {"router": "none"},
            "looped, shared keys": {"router": "none", "kv": "share"},
            "mor, caches of each recursion": {},
            "mor, shared keys": {"kv": "share"},
        }.items():
            model = make(**settings, max_new_tokens=new, temperature=0.0).eval()

            def run(model: MoR = model, prompt: Tensor = prompt) -> None:
                with torch.no_grad():
                    model.predict(tokens=prompt, continue_meta=True)

            runs[name] = run
        timed(f"{new} new tokens behind {LENGTH // 2}, {rows} rows", runs, rows * new)


def caches() -> None:
    """Numbers kept for a text, relative to the plain model."""
    tokens = torch.randint(0, 256, (1, LENGTH))
    base = 0
    print(f"\nnumbers kept for {LENGTH} tokens")
    for name, settings in {
        "plain, eight layers": {"num_recursions": 1},
        "looped, four": {"router": "none"},
        "mor, caches of each recursion": {},
        "mor, shared keys": {"kv": "share"},
        "mor, hybrid": {"kv": "hybrid"},
    }.items():
        model = make(**settings).eval()
        with torch.no_grad():
            outputs, state = model.scan(state=model.initial_state(1), tokens=tokens)
        kept = sum(t.numel() for t in tensors_of(state["blocks"]) if t.is_floating_point())
        base = base or kept
        depth = float(outputs["depths"].float().mean())
        print(f"  {name:<44} {kept:>10,}   {kept / base:6.2f}x   mean depth {depth:.2f}")


if __name__ == "__main__":
    main()
