"""The model `rrn-text`: facts are the nodes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import one_hot

from rk_rrn.fields import StepOutputs
from rk_rrn.graph import Edges
from rk_rrn.network import RelationalNetwork
from rk_rrn.start import start_recurrent


class TextRRN(RelationalNetwork):
    """A recurrent relational network over the facts of a story (arXiv:1711.08028, Sec. 3.2).

    An LSTM reads each fact, another one the question. A fact, its place in the story and the question are a node; the
    question is a feature of each edge, too. All facts send messages to all, itself included.

    Args:
        vocab_size: Words; 0 is padding.
        max_positions: Places of facts.
        num_classes: Classes of the answer.
        level: What is answered: the `graph`, that is, the question.
        word_size: Width of a word, and of the LSTMs.

    Examples:
        model: {name: rrn-text, hidden_size: 128, num_steps: 3}

        >>> net = TextRRN(vocab_size=9, max_positions=4, num_classes=5, hidden_size=8, num_steps=2)
        >>> facts, query = torch.ones(3, 2, 6, dtype=torch.long), torch.ones(3, 4, dtype=torch.long)
        >>> story = {"facts": facts, "positions": torch.tensor([[0, 1]] * 3), "query": query}
        >>> net(node_mask=torch.ones(3, 2, dtype=torch.bool), **story)["step_logits"].shape
        torch.Size([3, 2, 5])
    """

    def __init__(
        self,
        *,
        vocab_size: Annotated[int, Ge(1)],
        max_positions: Annotated[int, Ge(1)],
        num_classes: int,
        level: Literal["graph"] = "graph",
        word_size: Annotated[int, Ge(1)] = 32,
        **common: Any,
    ) -> None:
        super().__init__(
            input_size=2 * word_size + max_positions, edge_size=word_size, num_classes=num_classes, level=level,
            **common,
        )  # fmt: skip
        self.max_positions = max_positions
        self.words = nn.Embedding(vocab_size, word_size, padding_idx=0)
        self.fact_reader = nn.LSTM(word_size, word_size, batch_first=True)
        self.query_reader = nn.LSTM(word_size, word_size, batch_first=True)
        start_recurrent(self.fact_reader)
        start_recurrent(self.query_reader)
        self.words.weight.no_weight_decay = True  # type: ignore[attr-defined]  # the paper's L2 is on its MLPs alone

    def forward(
        self,
        *,
        facts: Int[Tensor, "batch nodes words"],
        positions: Int[Tensor, "batch nodes"],
        node_mask: Bool[Tensor, "batch nodes"],
        query: Int[Tensor, "batch time"],
    ) -> StepOutputs:
        """Returns the answers after each step.

        Args:
            facts: (batch, nodes, words) Words of each fact, padded with 0.
            positions: (batch, nodes) The place of each fact, below `max_positions`.
            node_mask: (batch, nodes) True where there is a fact.
            query: (batch, time) Words of the question, padded with 0.
        """
        batch, nodes, _ = facts.shape
        # few different sentences come in a batch: each is read once
        sentences, which = distinct_rows(facts.flatten(0, 1), self.words.num_embeddings)
        read = self._last(self.fact_reader, sentences)[which].view(batch, nodes, -1).transpose(0, 1)
        asked = self._last(self.query_reader, query)
        places = one_hot(positions, self.max_positions).to(read.dtype).transpose(0, 1)
        node = torch.cat([read, places, asked.expand(nodes, -1, -1)], -1)
        return self.answer(node, Edges(None, node_mask.T.unsqueeze(0)), asked.expand(1, 1, -1, -1))

    def _last(self, reader: nn.LSTM, words: Int[Tensor, "rows time"]) -> Float[Tensor, "rows size"]:
        """Returns the output of an LSTM behind the last word of each row."""
        outputs, _ = reader(self.words(words))
        last = ((words > 0).sum(1) - 1).clamp(min=0)
        return outputs[torch.arange(len(words), device=words.device), last]


def distinct_rows(
    rows: Int[Tensor, "rows columns"], limit: int
) -> tuple[Int[Tensor, "distinct columns"], Int[Tensor, "rows"]]:
    """Returns the distinct rows in lexicographic order, and which of them each row is.

    The same as `torch.unique` along the first axis, column by column: numbers are sorted, not rows.

    Args:
        rows: Numbers from 0.
        limit: All numbers are below it.
    """
    which = torch.zeros_like(rows[:, 0])
    for column in rows.unbind(1):
        which = (which * limit + column).unique(return_inverse=True)[1]
    one = torch.empty(int(which.max()) + 1, dtype=which.dtype, device=which.device)
    one[which] = torch.arange(len(rows), device=rows.device)  # any of the rows that are alike
    return rows[one], which
