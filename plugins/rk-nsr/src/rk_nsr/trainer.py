"""Trainer `deduction-abduction`: trees that give the answers are looked for, and each module learns from them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor
from torch.nn import functional

from rk import Runtime
from rk.protocols import Model, Optimizer
from rk_nsr.fields import END, SentenceBatch
from rk_nsr.meanings import Inputs, Value
from rk_nsr.model import NSR, Machine
from rk_nsr.parser import FEATURES, Stacks, oracle, parse
from rk_nsr.trees import abduce, deduce

Turn = Literal["semantics", "syntax"]
SEMANTICS: Turn = "semantics"
SYNTAX: Turn = "syntax"


class Recursive(Model, Protocol):
    """A model with a parser and programs."""

    net: Any
    meanings: Any


class DeductionAbduction:
    """Deduction-abduction (arXiv:2210.01603, Sec. 3.3): needs sentences and answers alone, no trees and no programs.

    For each sentence a tree is drawn from the parser and its values are computed. Then its most probable edit is
    looked for that gives the answer. Programs and parser take turns in learning from what is found.

    Args:
        optimizer: The parser's optimizer.
        turn_examples: Sentences of one turn.
        syntax_epochs: Passes over the trees of a turn in which the parser learns.
        syntax_batch: Transitions of one update of the parser.
        decay: What the weight of remembered examples is multiplied by at each turn of the programs.
        exploration: Share of transitions that are drawn with equal chances while trees are looked for. The paper has 0
            and relies on dropout; then a parser may settle on one side for some seeds.
        abduction: Whether edits are looked for; without, only trees count that give the answer as they are.
        stop_at: An accuracy of validations that is high enough.
        stop_after: The run ends with so many validations in a row that reach it.

    Examples:
        trainer: {name: deduction-abduction, optimizer: {name: adam, lr: 5e-4}}
    """

    def __init__(
        self,
        optimizer: Optimizer,
        turn_examples: Annotated[int, Ge(1)] = 1500,
        syntax_epochs: Annotated[int, Ge(1)] = 5,
        syntax_batch: Annotated[int, Ge(1)] = 128,
        decay: Annotated[float, Ge(0), Le(1)] = 0.5,
        exploration: Annotated[float, Ge(0), Lt(1)] = 0.1,
        abduction: bool = True,
        stop_at: Annotated[float, Gt(0)] = 1.0,
        stop_after: Annotated[int, Ge(1)] = 3,
    ) -> None:
        self.factory = optimizer
        self.turn_examples, self.decay, self.abduction = turn_examples, decay, abduction
        self.syntax_epochs, self.syntax_batch = syntax_epochs, syntax_batch
        self.exploration = exploration
        self.stop_at, self.stop_after = stop_at, stop_after
        self.turn: Turn = SEMANTICS
        self.seen = self.kept = 0
        self.reached = 0
        self.pairs: dict[tuple[int, Inputs, Value], float] = {}
        self.buffer: list[tuple[list[int], list[int]]] = []

    model: NSR
    runtime: Runtime
    optimizer: torch.optim.Optimizer | None

    def setup(self, *, model: Recursive, runtime: Runtime) -> Machine:
        assert isinstance(model, NSR)
        learner = Machine(model)
        runtime.setup(learner)
        self.model, self.runtime = model, runtime
        self.optimizer = runtime.optimizer(self.factory, model.net.parameters())
        return learner

    def step(self, batch: SentenceBatch) -> dict[str, Tensor] | None:
        """Looks for trees of a batch; at the end of a turn, the module whose turn it is learns from all of them."""
        if self.reached >= self.stop_after:
            return None
        kept = self._gather(batch)
        self.seen += len(batch["tokens"])
        self.kept += kept
        logs = {"kept": torch.tensor(kept / len(batch["tokens"]))}
        if self.seen >= self.turn_examples:
            logs |= self._learn_semantics() if self.turn == SEMANTICS else self._learn_syntax()
            self.turn = SYNTAX if self.turn == SEMANTICS else SEMANTICS
            self.seen = self.kept = 0
        return logs

    def validated(self, metrics: Mapping[str, float]) -> None:
        self.reached = self.reached + 1 if metrics.get("val/accuracy", 0.0) >= self.stop_at else 0

    def results(self) -> dict[str, float]:
        """Returns how many symbols have a program that is trusted."""
        meanings = self.model.meanings
        return {"solved": sum(one.likelihood >= meanings.solved for one in meanings.of)}

    # -- deduction and abduction ---------------------------------------------------------------------------------------

    def _gather(self, batch: SentenceBatch) -> int:
        """Draws a tree for each sentence, edits it, and keeps what gives the answer; returns how many do."""
        draws = random.Random(int(torch.randint(2**62, ())))
        tokens, lengths = batch["tokens"], batch["lengths"]
        with torch.no_grad():
            parsed = parse(self.model.net, tokens, lengths, self.model.arities, self._drawn)
        kept = 0
        for words, heads, order, n, answer in zip(
            tokens.tolist(),
            parsed.heads.tolist(),
            parsed.order.tolist(),
            lengths.tolist(),
            batch["targets"].tolist(),
            strict=True,
        ):
            wanted = tuple(answer[: answer.index(END)])
            tree = deduce(words[:n], heads[:n], order[:n], self.model.meanings, draws.random)
            if tree.value != wanted:
                if self.turn == SYNTAX or not self.abduction:
                    continue
                edited = abduce(tree, wanted, self.model.meanings, draws.randrange)
                if edited is None or edited.value != wanted:
                    continue
            kept += 1
            if self.turn == SYNTAX:
                self.buffer.append((words[:n], heads[:n]))
            else:
                for example in tree.examples(self.model.meanings):
                    self.pairs[example] = self.pairs.get(example, 0.0) + 1
        return kept

    def _drawn(self, log_probabilities: Tensor) -> Tensor:
        """Returns a transition of each row, (batch,), drawn from its probabilities, some from equal ones."""
        chances = log_probabilities.exp()
        legal = (chances > 0).float()
        mixed = (1 - self.exploration) * chances + self.exploration * legal / legal.sum(-1, keepdim=True)
        return torch.multinomial(mixed, 1)[:, 0]

    # -- learning ------------------------------------------------------------------------------------------------------

    def _learn_semantics(self) -> dict[str, Tensor]:
        """Takes the examples of all nodes and searches programs (App. A)."""
        self.model.meanings.remember(((*example, count) for example, count in self.pairs.items()), self.decay)
        self.model.meanings.induce()
        self.pairs = {}
        trusted = [one.likelihood for one in self.model.meanings.of]
        return {"solved": torch.tensor(float(sum(one >= self.model.meanings.solved for one in trusted)))}

    def _learn_syntax(self) -> dict[str, Tensor]:
        """Trains the parser on the oracle's transitions of the trees (Sec. 3.3): cross-entropy."""
        trees, self.buffer = [tree for tree in self.buffer if len(tree[0]) > 1], []
        if not trees:
            return {}
        features, transitions = oracle_examples(trees, self.model.net.embedding.num_embeddings - 1)
        total, count = 0.0, 0
        for _ in range(self.syntax_epochs):
            for rows in torch.randperm(len(features)).split(self.syntax_batch):
                scores = self.model.net(features[rows])
                loss = functional.cross_entropy(scores, transitions[rows], reduction="sum")
                self.runtime.backward((loss, len(rows)))
                if self.optimizer is not None:
                    self.runtime.update(self.optimizer, whole=True)
                total, count = total + float(loss.detach()), count + len(rows)
        return {"transition_loss": torch.tensor(total / count)}

    # -- what survives a kill ------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            "turn": self.turn,
            "seen": self.seen,
            "kept": self.kept,
            "reached": self.reached,
            "pairs": [[symbol, inputs, output, count] for (symbol, inputs, output), count in self.pairs.items()],
            "buffer": [[words, heads] for words, heads in self.buffer],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.turn, self.seen, self.kept = state["turn"], state["seen"], state["kept"]
        self.reached = state["reached"]
        self.pairs = {(symbol, inputs, output): count for symbol, inputs, output, count in state["pairs"]}
        self.buffer = [(words, heads) for words, heads in state["buffer"]]


def oracle_examples(trees: list[tuple[list[int], list[int]]], nothing: int) -> tuple[Tensor, Tensor]:
    """Returns the features, (transitions, 18), and the transitions, (transitions,), that make the trees.

    Args:
        trees: Words and heads of each.
        nothing: The number that stands for no word.
    """
    lengths = torch.tensor([len(words) for words, _ in trees])
    tokens = torch.zeros(len(trees), int(lengths.max()), dtype=torch.long)
    made = torch.full((len(trees), 2 * int(lengths.max()) - 1), -1)
    for row, (words, heads) in enumerate(trees):
        tokens[row, : len(words)] = torch.tensor(words)
        made[row, : 2 * len(words) - 1] = torch.tensor(oracle(heads))
    stacks = Stacks(tokens, lengths, nothing, None)
    features = []
    for chosen in made.unbind(1):
        features.append(stacks.features())
        stacks.take(chosen)
    counts = made.flatten() >= 0
    return torch.stack(features, 1).view(-1, FEATURES)[counts], made.flatten()[counts]
