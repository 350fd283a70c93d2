"""Splicing graph tokens by one index copy, and the encoder's kept answers: ratios of CPU time in one run.

python benchmarks/graphgpt.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from rk_graphgpt.clip import TextGraphClip
from rk_graphgpt.documents import GraphDocuments
from rk_graphgpt.graph_llm import GraphLLM, PromptGraphs
from rk_graphgpt.graph_transformer import GraphTransformer
from rk_graphgpt.instructions import GraphInstructions
from rk_graphgpt.naive import naive_graph_transformer, naive_splice
from rk_graphgpt.prompts import END, PATCH, START
from rk_graphgpt.splice import splice
from rk_graphgpt.text_graph import TextSBM
from rk_sequence.attention import Attention
from rk_sequence.language_model import LanguageModel

TURNS = 7


def seconds(*calls: Callable[[], object]) -> list[float]:
    """Returns the median CPU time of each call, in turns, so that all meet the same machine."""
    found: list[list[float]] = [[] for _ in calls]
    for _ in range(TURNS):
        for call, times in zip(calls, found, strict=True):
            start = time.process_time()
            call()
            times.append(time.process_time() - start)
    return [statistics.median(times) for times in found]


def line(what: str, slow: float, fast: float) -> None:
    print(f"{what:<72} {1e3 * slow:9.2f} ms {1e3 * fast:9.2f} ms {slow / fast:7.1f}x")


def splicing(batch: int, text: int, nodes: int, width: int) -> None:
    table = torch.randn(500, width)
    row = torch.cat([torch.tensor([START]), torch.full((nodes,), PATCH), torch.tensor([END]), torch.arange(text) % 500])
    tokens = row.repeat(batch, 1)
    graph, start, end = torch.randn(batch * nodes, width), torch.randn(width), torch.randn(width)

    def fast() -> torch.Tensor:
        return splice(table[tokens.clamp(min=0)], tokens, graph, start, end)

    def slow() -> torch.Tensor:
        return naive_splice(table, tokens, graph, start, end)

    assert torch.equal(fast(), slow())
    times = seconds(slow, fast)
    line(f"splice: {batch} prompts of {text} words and {nodes} nodes, width {width}", *times)


def layer(nodes: int, degree: int) -> None:
    torch.manual_seed(0)
    built = GraphTransformer(in_channels=64, out_channels=64, num_heads=4)
    x, edges = torch.randn(nodes, 64), torch.randint(nodes, (2, nodes * degree))
    torch.testing.assert_close(built(x, edges), naive_graph_transformer(built, x, edges), rtol=1e-4, atol=1e-4)
    line(
        f"graph transformer: {nodes} nodes, {degree} neighbours",
        *seconds(lambda: naive_graph_transformer(built, x, edges), lambda: built(x, edges)),
    )


def as_run(model: torch.nn.Module, data: Any) -> Any:
    folder = SimpleNamespace(path=Path("none"), label="none")
    return SimpleNamespace(learner=SimpleNamespace(model=model.eval()), data=data, folder=folder)


def encoder() -> None:
    graph = TextSBM(seed=0, max_words=8)
    documents = GraphDocuments(graph, seed=0)
    data = GraphInstructions(graph, seed=0, max_nodes=16)
    for each in (documents, data):
        each.prepare()
    sizes = {"vocab_size": graph.vocab_size, "context_length": 8, "embed_dim": 64, "d_model": 64, "text_layers": 1}
    clip = TextGraphClip(layer=GraphTransformer, num_features=128, **sizes)
    language = LanguageModel(vocab_size=documents.vocab_size, layer=Attention, d_model=64, num_layers=2, mlp_ratio=3)
    runs = {"encoder": as_run(clip, graph), "llm": as_run(language, documents)}
    models = [GraphLLM(**runs, kept_megabytes=size) for size in (0, 256)]
    fields = {name: v for name, v in data.batch("test", 0).items() if name not in ("targets", "place_meta")}

    def step(model: GraphLLM) -> Callable[[], None]:
        def call() -> None:
            out = model(**fields)
            torch.nn.functional.cross_entropy(out["token_logits"], out["token_targets"]).backward()

        return call

    graphs = PromptGraphs(*(fields[name] for name in PromptGraphs._fields))
    line("encoder: 32 graphs of up to 16 nodes", *seconds(*(lambda m=m: m.encode(graphs) for m in models)))
    line("forward and backward of such a batch, 2 layers of width 64", *seconds(*map(step, models)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(f"{'':<72} {'naive':>12} {'here':>12}")
    splicing(batch=32, text=60, nodes=16, width=64)
    splicing(batch=32, text=250, nodes=64, width=1024)
    layer(nodes=60, degree=8)
    encoder()
