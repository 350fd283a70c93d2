"""Whether graph tokens distinguish the nodes of a graph: what a question of graph matching needs of them.

    rk train graphgpt/grounding
    python benchmarks/graph_matching.py RUN

Tokens of graphs with four nodes are compared with the four nodes: by the cosine of both encoders of the run, and by a
linear map from tokens to the words of nodes, which is what a projector could learn. It prints how many nodes are found,
one of four being right by chance, and in how many graphs the best order is the right one, one of 24 by chance.
"""

from __future__ import annotations

import itertools
import sys
from typing import Any

import torch
from rk_graphgpt.instructions import GraphInstructions
from rk_graphgpt.text_graph import TextSBM
from torch import Tensor
from torch.nn.functional import normalize

import rk


def main(folder: str) -> None:
    torch.set_num_threads(1)
    graph = TextSBM(seed=1)
    data = GraphInstructions(graph, seed=1, task="matching", max_nodes=4, batch_size=64)
    data.prepare()
    run: Any = rk.load(folder)
    clip = run.learner.model.eval()
    with torch.no_grad():
        train = [each for i in range(20) for each in graphs(clip, data.batch("train", i))]
        test = [each for i in range(data.batches("test") or 0) for each in graphs(clip, data.batch("test", i))]
        tokens, words = torch.cat([token for token, _, _ in train]), torch.cat([x for _, x, _ in train])
        tokens = with_one(tokens)
        ridge = tokens.T @ tokens + torch.eye(tokens.shape[1])
        linear = torch.linalg.solve(ridge, tokens.T @ words)
        report("cosine with the text", [cosine(token, read(clip, graph, texts)) for token, _, texts in test])
        report("linear map to words", [cosine(with_one(token) @ linear, x) for token, x, _ in test])


def graphs(clip: Any, batch: Any) -> list[tuple[Tensor, Tensor, list[str]]]:
    """Returns tokens, features and texts of each graph, all in the order of its nodes."""
    found = []
    start = 0
    for row, (size, asked) in enumerate(zip(batch["graph_sizes"].tolist(), batch["instructions_meta"], strict=True)):
        edges = batch["edge_index"][:, batch["graph_index"][batch["edge_index"][0]] == row] - start
        x = batch["x"][start : start + size]
        listed = asked.prompt.split(" texts ")[1].split(" in the graph ")[0].split(" ; ")
        texts = dict(text.split(" : ") for text in listed)
        found.append((clip.graph_encoder(x, edges), x, [texts[letter] for letter in asked.answer.split()]))
        start += size
    return found


def read(clip: Any, graph: TextSBM, texts: list[str]) -> Tensor:
    words = [graph._vocabulary.encode(text.split()) for text in texts]
    return torch.cat([clip.text_encoder(row[None], torch.tensor([len(row)])) for row in words])


def with_one(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones(len(x), 1)], 1)


def cosine(one: Tensor, other: Tensor) -> Tensor:
    return normalize(one, dim=-1) @ normalize(other, dim=-1).T


def report(what: str, scores: list[Tensor]) -> None:
    """Prints the share of nodes and of whole orders that are found; the right place of row i is i."""
    nodes = torch.cat([score.argmax(1) == torch.arange(len(score)) for score in scores]).float().mean()
    orders = [
        max(itertools.permutations(range(len(score))), key=lambda order: float(score[range(len(order)), order].sum()))
        for score in scores
    ]
    right = sum(order == tuple(range(len(order))) for order in orders) / len(orders)
    print(f"{what:<24} {nodes:6.1%} of nodes, {right:6.1%} of {len(orders)} orders")


if __name__ == "__main__":
    main(sys.argv[1])
