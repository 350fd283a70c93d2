"""The policies: which layers stay, and by which factors those that stay shrink."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rk_n2n.architecture import FEATURES


@dataclass(frozen=True)
class Sample:
    """What a policy has chosen for each layer.

    Attributes:
        actions: (layers,) numbers of choices.
        log_prob: Sum of their log-probabilities.
        entropy: Sum of the entropies of the layers' distributions.
        value: What an actor-critic expects; 0 of the other policies.
    """

    actions: Int[Tensor, "layers"]
    log_prob: Tensor
    entropy: Tensor
    value: Tensor


class RemovalPolicy(nn.Module):
    """A bidirectional LSTM over the layers; each is kept or removed by itself (arXiv:1709.06030, Sec. 3.1).

    Args:
        hidden_size: Of each direction.
        num_layers: Of the LSTM.
        critic: Whether it also predicts the reward.
    """

    choices = 2

    def __init__(self, hidden_size: int = 30, num_layers: int = 2, critic: bool = False) -> None:
        super().__init__()
        self.rnn = nn.LSTM(FEATURES, hidden_size, num_layers, bidirectional=True, batch_first=True)
        self.head = nn.Linear(2 * hidden_size, self.choices)
        self.value = nn.Linear(2 * hidden_size, 1) if critic else None

    def forward(self, features: Float[Tensor, "layers features"], random: torch.Generator) -> Sample:
        """Draws whether each layer is kept: 1 keeps it."""
        hidden = self.rnn(features[None])[0][0]
        actions = torch.multinomial(self.head(hidden).softmax(-1), 1, generator=random).squeeze(1)
        return self.judged(features, actions)

    def judged(self, features: Float[Tensor, "layers features"], actions: Int[Tensor, "layers"]) -> Sample:
        """Returns the sample of given actions."""
        hidden = self.rnn(features[None])[0][0]
        logs = self.head(hidden).log_softmax(-1)
        value = torch.zeros(()) if self.value is None else self.value(hidden.mean(0)).squeeze(0)
        return Sample(actions, logs.gather(1, actions[:, None]).sum(), -(logs.exp() * logs).sum(), value)


class ShrinkPolicy(nn.Module):
    """An LSTM that chooses a factor for one layer after the other, and sees what it chose before (Sec. 3.2).

    Args:
        choices: How many factors there are.
        hidden_size: Of the LSTM.
        num_layers: Of the LSTM.
        critic: Whether it also predicts the reward.
    """

    def __init__(self, choices: int, hidden_size: int = 30, num_layers: int = 2, critic: bool = False) -> None:
        super().__init__()
        self.choices = choices
        self.rnn = nn.LSTM(FEATURES + 1, hidden_size, num_layers, batch_first=True)
        self.head = nn.Linear(hidden_size, choices)
        self.value = nn.Linear(hidden_size, 1) if critic else None

    def forward(self, features: Float[Tensor, "layers features"], random: torch.Generator) -> Sample:
        """Draws the number of a factor for each layer."""
        actions: list[Tensor] = []
        state = None
        before = torch.zeros(1)
        for row in features:
            hidden, state = self.rnn(torch.cat([row, before])[None, None], state)
            drawn = torch.multinomial(self.head(hidden[0, 0]).softmax(-1), 1, generator=random)
            actions.append(drawn)
            before = (drawn + 1) / self.choices
        return self.judged(features, torch.cat(actions))

    def judged(self, features: Float[Tensor, "layers features"], actions: Int[Tensor, "layers"]) -> Sample:
        """Returns the sample of given actions."""
        before = torch.cat([torch.zeros(1), (actions[:-1] + 1) / self.choices])
        hidden = self.rnn(torch.cat([features, before[:, None]], 1)[None])[0][0]
        logs = self.head(hidden).log_softmax(-1)
        value = torch.zeros(()) if self.value is None else self.value(hidden.mean(0)).squeeze(0)
        return Sample(actions, logs.gather(1, actions[:, None]).sum(), -(logs.exp() * logs).sum(), value)


Policy = RemovalPolicy | ShrinkPolicy
