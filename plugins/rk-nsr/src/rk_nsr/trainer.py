"""Trainer `deduction-abduction`: trees that give the answers are looked for, and each module learns from them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol, cast

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor
from torch.nn import functional

from rk import Runtime
from rk.protocols import Data, Model, Optimizer
from rk_nsr.fields import END, AnyBatch, value_of
from rk_nsr.meanings import NOTHING, Inputs, Value
from rk_nsr.model import NSR, Machine
from rk_nsr.parser import FEATURES, Stacks, oracle, parse
from rk_nsr.trees import Module, abduce, deduce, enclosed
from rk_nsr.visual import VisualNSR

Turn = Literal["semantics", "perception", "syntax"]
SEMANTICS: Turn = "semantics"
PERCEPTION: Turn = "perception"
SYNTAX: Turn = "syntax"
Parse = tuple[list[int], list[int], list[int]]
"""Words of a tree, their heads, and the words that say nothing."""
LAST_STAGE = 1_000_000
"""A stage behind all others."""


class Recursive(Model, Protocol):
    """A model with a parser and programs."""

    net: Any
    meanings: Any


class HasLabelled(Data, Protocol):
    """Data with some images of each symbol whose symbol is known."""

    def labelled(self, count: int) -> tuple[Tensor, Tensor]:
        """Returns `count` training images of each symbol, (images, height, width), and the symbols, (images,)."""
        ...


class DeductionAbduction:
    """Deduction-abduction (arXiv:2210.01603, Sec. 3.3): needs sentences and answers alone, no trees and no programs.

    For each sentence a tree is drawn from the parser and its values are computed. Then its most probable edit is
    looked for that gives the answer. Programs, perception where there is one, and parser take turns in learning from
    what is found.

    Args:
        optimizer: The optimizer of parser and perception.
        turn_examples: Sentences of one turn.
        syntax_epochs: Passes over the trees of a turn in which the parser learns.
        syntax_batch: Transitions of one update of the parser.
        perception_epochs: Passes over the images of a turn in which perception learns.
        perception_batch: Images of one update of perception.
        labelled: Images of each symbol that perception learns from before the first step and in each of its turns; the
            only symbols that are given.
        labelled_epochs: Passes over them before the first step.
        confidence: Programs learn from those sentences alone each of whose images is read with at least this
            probability: a misread image gives a wrong example.
        certain: Perception learns from those trees alone all of whose programs have at least this likelihood: a wrong
            program gives wrong symbols.
        rest: Turns of the programs that are left out while all are solved.
        stage_steps: The data moves to its next stage, longer sentences, after so many steps; null: all from the
            first step.
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
        perception_epochs: Annotated[int, Ge(1)] = 2,
        perception_batch: Annotated[int, Ge(1)] = 64,
        labelled: Annotated[int, Ge(1)] = 5,
        labelled_epochs: Annotated[int, Ge(1)] = 60,
        confidence: Annotated[float, Ge(0), Lt(1)] = 0.0,
        certain: Annotated[float, Ge(0), Le(1)] = 0.0,
        rest: Annotated[int, Ge(0)] = 0,
        stage_steps: Annotated[int, Ge(1)] | None = None,
        decay: Annotated[float, Ge(0), Le(1)] = 0.5,
        exploration: Annotated[float, Ge(0), Lt(1)] = 0.1,
        abduction: bool = True,
        stop_at: Annotated[float, Gt(0)] = 1.0,
        stop_after: Annotated[int, Ge(1)] = 3,
    ) -> None:
        self.factory = optimizer
        self.turn_examples, self.decay, self.abduction = turn_examples, decay, abduction
        self.syntax_epochs, self.syntax_batch = syntax_epochs, syntax_batch
        self.perception_epochs, self.perception_batch = perception_epochs, perception_batch
        self.labelled, self.labelled_epochs = labelled, labelled_epochs
        self.confidence, self.certain = confidence, certain
        self.rest, self.rested = rest, 0
        self.stage_steps = stage_steps
        self.exploration = exploration
        self.stop_at, self.stop_after = stop_at, stop_after
        self.turn: Turn = SEMANTICS
        self.seen = self.kept = 0
        self.reached = 0
        self.pairs: dict[tuple[int, Inputs, Value], float] = {}
        self.buffer: list[Parse] = []
        self.images: list[tuple[Tensor, list[int]]] = []
        self.known: tuple[Tensor, Tensor] | None = None

    model: NSR
    runtime: Runtime
    optimizer: torch.optim.Optimizer | None

    def setup(self, *, model: Recursive, runtime: Runtime) -> Machine:
        assert isinstance(model, NSR)
        learner = Machine(model)
        runtime.setup(learner)
        self.model, self.runtime = model, runtime
        weights = [*model.net.parameters(), *(model.perception.parameters() if isinstance(model, VisualNSR) else ())]
        self.optimizer = runtime.optimizer(self.factory, weights)
        return learner

    def begin(self, data: Data, runtime: Runtime) -> None:
        """Trains perception on the few images whose symbols are known."""
        if not isinstance(self.model, VisualNSR):
            return
        self.known = cast(HasLabelled, data).labelled(self.labelled)
        images, symbols = self.known
        perception = self.model.perception
        optimizer = self.factory(perception.parameters())
        self.model.train()
        for _ in range(self.labelled_epochs):
            for rows in torch.randperm(len(images)).split(self.perception_batch):
                optimizer.zero_grad()
                functional.cross_entropy(perception(shifted(images[rows])), symbols[rows]).backward()
                optimizer.step()
        optimizer.zero_grad()

    @property
    def stage(self) -> int:
        """The stage of the data's curriculum, from 0."""
        return LAST_STAGE if self.stage_steps is None else (self.runtime.step or 0) // self.stage_steps

    @property
    def turns(self) -> list[Turn]:
        """What takes turns, in order."""
        return [SEMANTICS, *([PERCEPTION] if isinstance(self.model, VisualNSR) else []), SYNTAX]

    def step(self, batch: AnyBatch) -> dict[str, Tensor] | None:
        """Looks for trees of a batch; at the end of a turn, the module whose turn it is learns from all of them."""
        if self.reached >= self.stop_after:
            return None
        kept = self._gather(batch)
        self.seen += len(batch["lengths"])
        self.kept += kept
        logs = {"kept": torch.tensor(kept / len(batch["lengths"]))}
        if self.seen >= self.turn_examples:
            learn = {
                SEMANTICS: self._learn_semantics,
                PERCEPTION: self._learn_perception,
                SYNTAX: self._learn_syntax,
            }
            logs |= learn[self.turn]()
            self.turn = self._next_turn()
            self.seen = self.kept = 0
        return logs

    def _next_turn(self) -> Turn:
        turns = self.turns
        chosen = turns[(turns.index(self.turn) + 1) % len(turns)]
        meanings = self.model.meanings
        if chosen != SEMANTICS or self.rested == self.rest or min(m.likelihood for m in meanings.of) < meanings.solved:
            self.rested = 0 if chosen == SEMANTICS else self.rested
            return chosen
        self.rested += 1
        return turns[1]

    def validated(self, metrics: Mapping[str, float]) -> None:
        self.reached = self.reached + 1 if metrics.get("val/accuracy", 0.0) >= self.stop_at else 0

    def results(self) -> dict[str, float]:
        """Returns how many symbols have a program that is trusted."""
        meanings = self.model.meanings
        return {"solved": sum(one.likelihood >= meanings.solved for one in meanings.of)}

    # -- deduction and abduction ---------------------------------------------------------------------------------------

    def _gather(self, batch: AnyBatch) -> int:
        """Draws a tree for each sentence, edits it, and keeps what gives the answer; returns how many do."""
        draws = random.Random(int(torch.randint(2**62, ())))
        lengths = batch["lengths"]
        with torch.no_grad():
            seen = self.model.seen(batch)
            tokens = batch["tokens"] if seen is None else self._symbols(seen)
            sure = self._sure(seen, tokens, lengths)
            parsed = parse(self.model.net, tokens, lengths, self.model.arities, self._drawn)
        meanings = self.model.meanings
        probabilities = [None] * len(tokens) if seen is None else seen.tolist()
        kept = 0
        for row, (words, heads, order, n, answer) in enumerate(
            zip(
                tokens.tolist(),
                parsed.heads.tolist(),
                parsed.order.tolist(),
                lengths.tolist(),
                batch["targets"].tolist(),
                strict=True,
            )
        ):
            if self.turn == SEMANTICS and not sure[row]:
                continue
            wanted = value_of(answer[: answer.index(END)], meanings.kind)
            tree = deduce(words[:n], heads[:n], order[:n], meanings, draws.random, probabilities[row])
            if tree.value != wanted:
                if self.turn == SYNTAX or not self.abduction:
                    continue
                module: Module = "perception" if self.turn == PERCEPTION else "semantics"
                edited = abduce(tree, wanted, meanings, draws.randrange, module)
                if edited is None or edited.value != wanted:
                    continue
            if self.turn == SYNTAX:
                plain = enclosed(tree)
                if plain is None:
                    continue
                silent = [node for node, value in enumerate(tree.values) if value == NOTHING]
                self.buffer.append((words[:n], plain, silent))
            elif self.turn == PERCEPTION:
                if min(meanings.of[symbol].likelihood for symbol in tree.symbols) < self.certain:
                    continue
                self.images.append((batch["images"][row, :n], tree.symbols))
            else:
                for example in tree.examples(meanings):
                    self.pairs[example] = self.pairs.get(example, 0.0) + 1
            kept += 1
        return kept

    def _symbols(self, seen: Tensor) -> Tensor:
        """Returns a symbol of each place, (batch, time), drawn from the log-probabilities that perception gives."""
        return torch.multinomial(seen.exp().flatten(0, 1), 1).view(seen.shape[:2])

    def _sure(self, seen: Tensor | None, tokens: Tensor, lengths: Tensor) -> list[bool]:
        """Returns whether each sentence is read with enough confidence for programs to learn from it."""
        if seen is None:
            return [True] * len(tokens)
        read = seen.gather(-1, tokens[:, :, None])[:, :, 0].exp()
        behind = torch.arange(tokens.shape[1]) >= lengths[:, None]
        sure: list[bool] = ((read >= self.confidence) | behind).all(1).tolist()
        return sure

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

    def _learn_perception(self) -> dict[str, Tensor]:
        """Trains perception on the images and symbols of trees, and on the images that are known (App. C)."""
        assert isinstance(self.model, VisualNSR)
        if self.known is None:
            return {}
        images = torch.cat([self.known[0], *(images for images, _ in self.images)])
        symbols = torch.cat([self.known[1], *(torch.tensor(symbols) for _, symbols in self.images)])
        self.images = []
        total, count = 0.0, 0
        for _ in range(self.perception_epochs):
            for rows in torch.randperm(len(images)).split(self.perception_batch):
                scores = self.model.perception(shifted(images[rows]))
                loss = functional.cross_entropy(scores, symbols[rows], reduction="sum")
                self.runtime.backward((loss, len(rows)))
                if self.optimizer is not None:
                    self.runtime.update(self.optimizer, whole=True)
                total, count = total + float(loss.detach()), count + len(rows)
        return {"symbol_loss": torch.tensor(total / count)}

    # -- what survives a kill ------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            "turn": self.turn,
            "seen": self.seen,
            "kept": self.kept,
            "reached": self.reached,
            "rested": self.rested,
            "pairs": [[symbol, inputs, output, count] for (symbol, inputs, output), count in self.pairs.items()],
            "buffer": [list(tree) for tree in self.buffer],
            "images": [[images.clone(), symbols] for images, symbols in self.images],
            "known": None if self.known is None else list(self.known),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.turn, self.seen, self.kept = state["turn"], state["seen"], state["kept"]
        self.reached = state["reached"]
        self.rested = state.get("rested", 0)  # runs of 0.1 have none
        self.pairs = {(symbol, inputs, output): count for symbol, inputs, output, count in state["pairs"]}
        self.buffer = [(tree[0], tree[1], tree[2] if len(tree) > 2 else []) for tree in state["buffer"]]
        self.images = [(images, symbols) for images, symbols in state.get("images", [])]  # runs of 0.1 have none
        known = state.get("known")
        self.known = None if known is None else (known[0], known[1])


def shifted(images: Tensor) -> Tensor:
    """Returns images of (images, height, width), each moved by at most one pixel each way."""
    padded = functional.pad(images, (1, 1, 1, 1))
    height, width = images.shape[1:]
    down, right = torch.randint(3, (2, len(images)))
    rows = (down[:, None] + torch.arange(height))[:, :, None]
    columns = (right[:, None] + torch.arange(width))[:, None, :]
    return padded[torch.arange(len(images))[:, None, None], rows, columns]


def oracle_examples(trees: Sequence[Parse], nothing: int) -> tuple[Tensor, Tensor]:
    """Returns the features, (transitions, 18), and the transitions, (transitions,), that make the trees.

    Args:
        trees: Words of each, their heads, and those that the oracle attaches late.
        nothing: The number that stands for no word.
    """
    lengths = torch.tensor([len(words) for words, _, _ in trees])
    tokens = torch.zeros(len(trees), int(lengths.max()), dtype=torch.long)
    made = torch.full((len(trees), 2 * int(lengths.max()) - 1), -1)
    for row, (words, heads, late) in enumerate(trees):
        tokens[row, : len(words)] = torch.tensor(words)
        made[row, : 2 * len(words) - 1] = torch.tensor(oracle(heads, late))
    stacks = Stacks(tokens, lengths, nothing, None)
    features = []
    for chosen in made.unbind(1):
        features.append(stacks.features())
        stacks.take(chosen)
    counts = made.flatten() >= 0
    return torch.stack(features, 1).view(-1, FEATURES)[counts], made.flatten()[counts]
