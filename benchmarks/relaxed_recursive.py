"""rk-relaxed-recursive: depth-wise batching beside other batching, and the grouped matrices of rows at several loops.

CPU time, one thread. Exits are drawn, so that random weights do: half of all tokens leave after the first of three
loops, a quarter after the second.

python benchmarks/relaxed_recursive.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from paired import interleave, report
from rk_recursion.layouts import Layout
from rk_recursion.relaxation import relax
from rk_relaxed_recursive.depthwise import Batcher, Missing, Order, Request
from rk_relaxed_recursive.grouped import GroupedLowRank, Groups
from rk_relaxed_recursive.naive import concatenated_low_rank
from rk_sequence.attention import Attention
from rk_sequence.language_model import LanguageModel

D, LAYERS, LOOPS, RANK, SLOTS, SEQUENCES = 192, 6, 3, 24, 16, 32


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = LanguageModel(
        vocab_size=64, layer=Attention, d_model=D, num_layers=LAYERS, num_loops=LOOPS, mlp_ratio=4, temperature=0.0
    ).eval()
    model.blocks = relax(model.blocks, model.layout, RANK)
    generation(model)
    grouped()


def generation(model: LanguageModel) -> None:
    random = torch.Generator().manual_seed(1)
    new = torch.randint(12, 37, (SEQUENCES,), generator=random).tolist()
    prompts = torch.randint(64, (SEQUENCES, 16), generator=random).tolist()
    shares = torch.tensor([0.5, 0.25, 0.25])
    exits = [shares.multinomial(count, replacement=True, generator=random).tolist() for count in new]
    early = [Request(*one) for one in zip(prompts, new, exits, strict=True)]
    whole = [Request(*one) for one in zip(prompts, new, strict=True)]

    def plain() -> None:
        for request in whole:
            model.max_new_tokens = request.new_tokens
            model.predict(tokens=torch.tensor([request.prompt]), continue_meta=True)

    def batched(requests: list[Request], slots: int, order: Order = "depth", missing: Missing = "lazy") -> float:
        return cpu(lambda: Batcher(model, slots, order=order, missing=missing).run(requests))

    with torch.inference_mode():
        found = interleave(
            {
                "sequence-wise, no exits": lambda: batched(whole, SLOTS, "sequence"),
                "depth-wise, no exits": lambda: batched(whole, SLOTS),
                "sequence-wise, exits": lambda: batched(early, SLOTS, "sequence"),
                "depth-wise, exits": lambda: batched(early, SLOTS),
                "depth-wise, exits, keys copied": lambda: batched(early, SLOTS, missing="copy"),
                "one at a time, exits": lambda: batched(early, 1),
                "one at a time, no exits (`language-model`)": lambda: cpu(plain),
            },
            2,
        )
    tokens = sum(new)
    report(f"{tokens} tokens of {SEQUENCES} texts, {SLOTS} slots", found, "sequence-wise, no exits")


def cpu(function: Callable[[], object]) -> float:
    """Returns the CPU seconds of one call: other programs of the machine do not count."""
    start = time.process_time()
    function()
    return time.process_time() - start


def grouped() -> None:
    layout = Layout(LOOPS, LOOPS)
    layers = relax(torch.nn.ModuleList([torch.nn.Linear(1024, 1024)] * LOOPS), layout, 128)
    low = GroupedLowRank([layer.relaxation for layer in layers])
    parts = [(layer.relaxation.A.detach(), layer.relaxation.B.detach()) for layer in layers]
    loops = torch.arange(96) * LOOPS // 96
    groups, x = Groups(loops.bincount().tolist()), torch.randn(96, 1, 1024)
    weight = torch.randn(1024, 1024)
    with torch.inference_mode():
        found = interleave(
            {
                "the shared matrix": lambda: cpu(lambda: x @ weight),
                "grouped by loop": lambda: cpu(lambda: low(x, groups)),
                "concatenated and masked": lambda: cpu(lambda: concatenated_low_rank(x, loops, parts)),
            },
            50,
        )
    report("matrices of rank 128 for 96 rows at three loops, width 1024", found, "the shared matrix")


if __name__ == "__main__":
    main()
