"""How students are chosen: by a policy that learns from rewards, at random, or by evolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rk.sampling import generator
from rk_n2n.policies import Policy

Actions = Int[Tensor, "layers"]


class Chooser(Protocol):
    """Proposes actions for all layers, and takes their rewards."""

    def propose(self, count: int) -> list[Actions]:
        """Returns `count` proposals."""
        ...

    def learn(self, proposals: Sequence[Actions], rewards: Sequence[float]) -> None:
        """Takes the rewards of what it has proposed last."""
        ...


class Reinforce:
    """REINFORCE with a moving average of past rewards as baseline (arXiv:1709.06030, Eq. 3).

    Each rollout has its own credit, R_k - b. (The authors' release gives all rollouts of an iteration their mean.)

    Args:
        policy: What learns.
        features: Of the layers, (layers, features).
        seed: Seeds what is drawn.
        lr: Of Adam.
        decay: Of the moving average.
        entropy: Weight of the entropy that is added to the objective.
        critic: Whether the policy's own expectation is the baseline.
    """

    def __init__(
        self,
        policy: Policy,
        features: Float[Tensor, "layers features"],
        seed: int,
        lr: float = 3e-3,
        decay: float = 0.9,
        entropy: float = 0.0,
        critic: bool = False,
    ) -> None:
        self.policy = policy
        self.features = features
        self.random = generator(seed, 0)
        self.optimizer = torch.optim.Adam(policy.parameters(), lr=lr)
        self.decay = decay
        self.entropy = entropy
        self.critic = critic
        self.baseline: float | None = None

    def propose(self, count: int) -> list[Actions]:
        with torch.no_grad():
            return [self.policy(self.features, self.random).actions for _ in range(count)]

    def learn(self, proposals: Sequence[Actions], rewards: Sequence[float]) -> None:
        samples = [self.policy.judged(self.features, actions) for actions in proposals]
        mean = sum(rewards) / len(rewards)
        baseline = mean if self.baseline is None else self.baseline
        loss = torch.zeros(())
        for sample, reward in zip(samples, rewards, strict=True):
            expected = float(sample.value.detach()) if self.critic else baseline
            loss = loss - (reward - expected) * sample.log_prob - self.entropy * sample.entropy
            if self.critic:
                loss = loss + (sample.value - reward).square()
        self.optimizer.zero_grad()
        (loss / len(samples)).backward()
        self.optimizer.step()
        self.baseline = self.decay * baseline + (1 - self.decay) * mean


class Random:
    """Draws every choice with the same probability.

    Args:
        layers: How many there are.
        choices: Of each layer.
        seed: Seeds what is drawn.
    """

    def __init__(self, layers: int, choices: int, seed: int) -> None:
        self.layers = layers
        self.choices = choices
        self.random = generator(seed, 1)

    def propose(self, count: int) -> list[Actions]:
        return [torch.randint(self.choices, (self.layers,), generator=self.random) for _ in range(count)]

    def learn(self, proposals: Sequence[Actions], rewards: Sequence[float]) -> None:
        """Learns nothing."""


class Evolution:
    """Mutates and crosses the best proposals so far; the first ones are random.

    Args:
        layers: How many there are.
        choices: Of each layer.
        seed: Seeds what is drawn.
        population: How many of the best are kept.
        mutation: Probability with which a choice is drawn again.
    """

    def __init__(self, layers: int, choices: int, seed: int, population: int = 10, mutation: float = 0.2) -> None:
        self.first = Random(layers, choices, seed)
        self.random = generator(seed, 2)
        self.choices = choices
        self.population = population
        self.mutation = mutation
        self.best: list[tuple[float, Actions]] = []

    def propose(self, count: int) -> list[Actions]:
        if len(self.best) < 2:
            return self.first.propose(count)
        return [self._child() for _ in range(count)]

    def _child(self) -> Actions:
        parents = torch.randint(len(self.best), (2,), generator=self.random).tolist()
        one, other = (self.best[i][1] for i in parents)
        child = torch.where(torch.rand(len(one), generator=self.random) < 0.5, one, other)
        drawn = torch.randint(self.choices, (len(one),), generator=self.random)
        return torch.where(torch.rand(len(one), generator=self.random) < self.mutation, drawn, child)

    def learn(self, proposals: Sequence[Actions], rewards: Sequence[float]) -> None:
        known = {tuple(actions.tolist()): (reward, actions) for reward, actions in self.best}
        known |= {tuple(a.tolist()): (r, a) for a, r in zip(proposals, rewards, strict=True)}
        self.best = sorted(known.values(), key=lambda pair: -pair[0])[: self.population]
