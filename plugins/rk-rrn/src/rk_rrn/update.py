"""What a node makes of the messages that arrived: LSTM, GRU or MLP."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from rk_rrn.mlp import MLP
from rk_rrn.start import start_recurrent

NodeUpdate = Literal["lstm", "gru", "mlp"]
State = tuple[Tensor, ...]
"""The memory of all nodes between steps: of an LSTM its output and its cell, of a GRU its output."""


class Update(nn.Module):
    """h_j, s_j = G(m_j, x_j, s_j) (arXiv:1711.08028, Eq. 3): a recurrent cell behind an MLP `post` of [m_j; x_j].

    The memory of the cell starts at zero, also its output: the first messages are of x, and the cell never reads x as
    its own output. ``mlp`` is G([x_j; h_j; m_j]) without memory, as in the paper's code for Pretty-CLEVR.

    Args:
        hidden_size: Width.
        num_layers: Hidden layers of the MLP.
        kind: The cell.
    """

    def __init__(self, hidden_size: int, num_layers: int, kind: NodeUpdate) -> None:
        super().__init__()
        self.kind = kind
        parts = 3 if kind == "mlp" else 2  # x, m, and h where no cell has it
        self.post = MLP((hidden_size,) * parts, hidden_size, hidden_size, num_layers)
        self.cell: nn.LSTMCell | nn.GRUCell | None = None
        if kind != "mlp":
            self.cell = _cell(hidden_size, kind)

    def begin(self, x: Float[Tensor, "v b d"]) -> tuple[Tensor, State]:
        """Returns what x adds to the first layer of `post`, the same in all steps, and the memory before them."""
        zeros = x.new_zeros(x.shape[0] * x.shape[1], x.shape[2])
        memory = {"lstm": (zeros, zeros), "gru": (zeros,), "mlp": ()}[self.kind]
        return self.post.share(0, x) + self.post.first.bias, memory

    def forward(
        self,
        arrived: Float[Tensor, "v b d"],
        hidden: Float[Tensor, "v b d"],
        share: Float[Tensor, "v b d"],
        memory: State,
    ) -> tuple[Float[Tensor, "v b d"], State]:
        """Returns the nodes after the step, and the memory.

        Args:
            arrived: (v, b, d) The aggregated messages.
            hidden: (v, b, d) The nodes before the step.
            share: (v, b, d) The first result of `begin`.
            memory: (v * b, d) each.
        """
        first = share + self.post.share(1, arrived)
        if self.kind == "mlp":
            first += self.post.share(2, hidden)
        post = self.post.last(self.post.rest(first))
        if self.cell is None:
            return post, ()
        rows = post.flatten(0, 1)
        if isinstance(self.cell, nn.LSTMCell):
            memory = self.cell(rows, memory)
        else:
            memory = (self.cell(rows, memory[0]),)
        return memory[0].view_as(post), memory


def _cell(hidden_size: int, kind: NodeUpdate) -> nn.LSTMCell | nn.GRUCell:
    cell: nn.LSTMCell | nn.GRUCell = (nn.LSTMCell if kind == "lstm" else nn.GRUCell)(hidden_size, hidden_size)
    start_recurrent(cell)
    return cell
