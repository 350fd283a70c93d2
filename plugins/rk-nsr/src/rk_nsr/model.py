"""Model `nsr`: a parser and a program for each symbol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Int
from rk_programs.dsl import Dsl
from rk_programs.learned import LearnedProgram
from rk_programs.types import INT, LIST
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from rk.fields import IGNORED
from rk.protocols import Outputs
from rk_nsr.fields import END, AnyBatch, Explained, written
from rk_nsr.meanings import TRUSTED, Meanings, Value
from rk_nsr.parser import TransitionNet, parse
from rk_nsr.trees import Tree, deduce


class NSR(nn.Module):
    """The Neural-Symbolic Recursive Machine (arXiv:2210.01603): a tree is parsed, and programs compute its values.

    The words of a sentence are its symbols. The likeliest tree is built, each symbol's program is run on the values of
    its children, and the root's value is the answer. Train it with `deduction-abduction`.

    Args:
        vocab_size: Symbols; a fact of the data.
        arities: Arguments of each symbol; a fact of the data.
        symbols: What each symbol is called; a fact of the data.
        dsl: The language of programs.
        embed_dim: Width of the parser's embeddings.
        hidden_size: Width of the parser's hidden layer.
        dropout: Share of the hidden layer that is dropped in training, when trees are drawn too.
        use_arity: Whether the parser knows the arities.
        prior: A program's likelihood is divided by ``prior * arity / examples`` if that is above 1; the paper has 10.
        max_size: Largest size of programs.
        max_terms: Most terms of one search for a program.
        trusted: A program with a larger likelihood is run; below, remembered examples answer. Near 1, words with a rule
            that has exceptions are remembered: the paper has 0.5.
        parts: Whether every part of a wanted list is tried as the value of a child, besides those of examples. A word
            that is never the last to be applied can be learned then; answers should be short.

    Examples:
        model: {name: nsr, dsl: list-dsl}

        >>> from rk_programs.list_dsl import ListDsl
        >>> model = NSR(vocab_size=2, arities=[0, 1], symbols=["a", "b"], dsl=ListDsl())
        >>> model(tokens=torch.tensor([[1, 0]]), lengths=torch.tensor([2]))["decoded"]  # nothing is learned yet
        tensor([[0]])
    """

    def __init__(
        self,
        vocab_size: int,
        arities: list[int],
        symbols: list[str],
        dsl: Dsl,
        embed_dim: Annotated[int, Ge(1)] = 50,
        hidden_size: Annotated[int, Ge(1)] = 200,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.5,
        use_arity: bool = True,
        prior: Annotated[float, Gt(0)] = 3.0,
        max_size: Annotated[int, Ge(1)] = 9,
        max_terms: Annotated[int, Ge(1)] = 4000,
        trusted: Annotated[float, Ge(0), Lt(1)] = TRUSTED,
        parts: bool = False,
    ) -> None:
        super().__init__()
        self.dsl = dsl
        self.symbols = tuple(symbols)
        self.net = TransitionNet(vocab_size, embed_dim, hidden_size, dropout)
        kind = LIST.name if LIST.name in dsl.types else INT.name
        self.meanings = Meanings(
            dsl, arities, kind, prior, max_size, max_terms, names=symbols, trusted=trusted, parts=parts
        )
        self.arities = torch.tensor(arities) if use_arity else None

    def forward(self, *, tokens: Int[Tensor, "batch time"], lengths: Int[Tensor, "batch"]) -> Explained:
        """Returns the answers, and the likeliest trees; ``values_meta`` has the values of all nodes."""
        return self.answered(tokens, lengths)

    def answered(self, tokens: Tensor, lengths: Tensor) -> Explained:
        """Returns the answers for symbols of (batch, time), as `forward` does."""
        heads, trees = self.trees(tokens, lengths)
        answers = [torch.tensor([*written(tree.value), END]) for tree in trees]
        outputs: Any = {
            "decoded": pad_sequence(answers, batch_first=True, padding_value=IGNORED),
            "heads": heads,
            "perceived": tokens,
            "values_meta": [[self._shown(tree, node) for node in range(len(tree.values))] for tree in trees],
        }
        return outputs

    def trees(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, list[Tree]]:
        """Returns the heads of (batch, time) and the trees with their values."""
        with torch.no_grad():
            parsed = parse(self.net, tokens, lengths, self.arities)
        rows = zip(tokens.tolist(), parsed.heads.tolist(), parsed.order.tolist(), lengths.tolist(), strict=True)
        return parsed.heads, [deduce(words[:n], heads[:n], order[:n], self.meanings) for words, heads, order, n in rows]

    def seen(self, batch: AnyBatch) -> Tensor | None:
        """Returns the log-probability of each symbol at each place, (batch, time, symbols); None: symbols are given."""
        return None

    def programs(self) -> Sequence[LearnedProgram]:
        """Returns the program of each symbol."""
        return self.meanings.learned(self.symbols)

    def _shown(self, tree: Tree, node: int) -> tuple[Value, str | None]:
        term = self.meanings.program(tree.symbols[node])
        return tree.values[node], None if term is None else str(term)

    def get_extra_state(self) -> list[dict[str, Any]]:
        return self.meanings.state()

    def set_extra_state(self, state: list[dict[str, Any]]) -> None:
        self.meanings.load(state)


class Machine(nn.Module):
    """The learner of `deduction-abduction`: an NSR that answers.

    Args:
        model: The model.
    """

    def __init__(self, model: NSR) -> None:
        super().__init__()
        self.model = model

    def predict(self, batch: Outputs) -> Explained:
        names = [name for name in ("tokens", "images", "lengths") if name in batch]
        found: Explained = self.model(**{name: batch[name] for name in names})
        return found
