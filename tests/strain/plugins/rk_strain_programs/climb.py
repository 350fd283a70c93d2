from __future__ import annotations

import random
from typing import Annotated, Any, TypedDict

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

from rk import Runtime
from rk.protocols import Data

OPERATIONS = "abc+*12"
CHANGES = 20


class Values(TypedDict):
    values: Float[Tensor, "batch"]


class Program(nn.Module):
    """A text in reverse Polish: a and b are the inputs, c is 3; what lacks an argument is left out."""

    def __init__(self) -> None:
        super().__init__()
        self.text = "a"

    def get_extra_state(self) -> dict[str, str]:
        return {"text": self.text}

    def set_extra_state(self, state: dict[str, str]) -> None:
        self.text = state["text"]

    def predict(self, batch: dict[str, Any]) -> Values:
        stack: list[Tensor] = []
        known = {"a": batch["inputs"][:, 0], "b": batch["inputs"][:, 1]}
        for letter in self.text:
            if letter in "+*":
                if len(stack) > 1:
                    one, other = stack.pop(), stack.pop()
                    stack.append(one + other if letter == "+" else one * other)
            else:
                number = {"c": 3.0, "1": 1.0, "2": 2.0}.get(letter)
                stack.append(known[letter] if number is None else torch.full_like(known["a"], number))
        return {"values": stack[-1]}


class Climb:
    """Changes the program at random and keeps changes that are not worse.

    Args:
        n_trials: Steps, of 20 changes each.
    """

    resumable = ("n_trials",)

    def __init__(self, n_trials: Annotated[int, Ge(1)] = 400) -> None:
        self.n_trials = n_trials
        self.tried, self.loss = 0, float("inf")

    def setup(self, *, data: Data, runtime: Runtime) -> Program:
        self.data = data
        self.learner = Program()
        self.total_steps = self.n_trials
        return self.learner

    def step(self) -> dict[str, Tensor] | None:
        if self.tried == self.n_trials:
            return None
        self.tried += 1
        for _ in range(CHANGES):
            self._change()
        return {"loss": torch.tensor(min(self.loss, 1e6))}

    def _change(self) -> None:
        before = self.learner.text
        text, at = list(before), random.randrange(len(before) + 1)
        text[at : at + random.randrange(2)] = random.choices(OPERATIONS, k=int(torch.randint(0, 4, ())))
        self.learner.text = "".join(text)[:12] or "a"
        loss = self._loss() if set(self.learner.text) & set("abc12") else float("inf")
        if loss <= self.loss:
            self.loss = loss
        else:
            self.learner.text = before

    def _loss(self) -> float:
        batch = self.data.batch("val", 0)
        return float((self.learner.predict(batch)["values"] - batch["targets"]).abs().sum())

    def results(self) -> dict[str, float]:
        return {"length": len(self.learner.text)}

    def summary(self) -> str:
        return f"the program is {self.learner.text}"

    def state_dict(self) -> dict[str, Any]:
        return {"tried": self.tried, "loss": self.loss}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.tried, self.loss = state["tried"], state["loss"]
