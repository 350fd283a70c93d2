"""rk-structural-recursion: batches against plain Python, and cached decoding against reading the answer again.

Times are of the processor. Plain Python makes the same padded tensors; it does not look up which split an example is
in, which the batches of the data do.

python benchmarks/structural_recursion.py
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from paired import interleave, report
from rk_sequence.pairs import padded_answers, padded_inputs
from rk_sequence.seq2seq import greedy
from rk_sequence.seq2seq_transformer import Seq2SeqTransformer
from rk_structural_recursion import naive
from rk_structural_recursion.forest import WORDS, Forest
from rk_structural_recursion.shapes import uniform_shapes
from rk_structural_recursion.successor import BinarySuccessor
from rk_structural_recursion.traversal import TreeTraversal


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    numbers()
    trees()
    states()
    decoding()


def seconds(function: Callable[[], object]) -> float:
    """Returns the processor's seconds of one call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def padded(pairs: Sequence[tuple[Sequence[str], Sequence[str]]], words: Sequence[str]) -> object:
    """Returns pairs of texts as the fields of a batch."""
    number = {word: i for i, word in enumerate(words)}
    inputs = padded_inputs([[number[word] for word in words] for words, _ in pairs])
    return inputs, padded_answers([[number[word] + 1 for word in answer] for _, answer in pairs])


def numbers() -> None:
    """512 numbers of up to 20 digits with their successors."""
    data = BinarySuccessor(seed=0, max_length=20, batch_size=512)
    data.prepare()

    def one_by_one() -> object:
        found = []
        for _ in range(512):
            lowest = 2 ** random.randrange(20)
            term = naive.term(random.randrange(lowest, 2 * lowest))
            found.append((term, naive.successor(term)))
        return padded(found, data.source_words)

    timed = {"one by one": one_by_one, "all at once": partial(data.batch, "train", 3)}
    report("512 numbers", interleave({k: partial(seconds, f) for k, f in timed.items()}, 10), "one by one")


def drawn(nodes: int) -> naive.Tree:
    """Returns a random tree in plain Python: the size of the left subtree is drawn at each node."""
    if not nodes:
        return None
    left = random.randrange(nodes)
    return naive.Node(str(random.randrange(10)), drawn(left), drawn(nodes - 1 - left))


def trees() -> None:
    """512 trees of up to 8 nodes with their labels in in-order."""
    data = TreeTraversal(seed=0, order="in", max_nodes=8, batch_size=512)
    data.prepare()

    def one_by_one() -> object:
        made = [drawn(random.randint(1, 8)) for _ in range(512)]
        pairs = [(naive.serialised(tree), naive.traversal(tree, "in")) for tree in made]
        return padded(pairs, data.source_words)

    timed = {"one by one": one_by_one, "all at once": partial(data.batch, "train", 3)}
    report("512 trees", interleave({k: partial(seconds, f) for k, f in timed.items()}, 10), "one by one")


def states() -> None:
    """512 states of the reduction of trees of 8 nodes, each after some steps."""
    generator = torch.Generator().manual_seed(0)
    items = uniform_shapes(torch.full((512,), 8), generator)
    labels = torch.randint(10, items.shape, generator=generator)
    steps = torch.randint(17, (512,), generator=generator)
    made = [drawn(8) for _ in range(512)]

    words = [*WORDS, *(str(label) for label in range(10))]

    def one_by_one() -> object:
        found = []
        for tree, count in zip(made, steps.tolist(), strict=True):
            reduction = naive.reduced(tree, "in")
            for _ in range(count):
                next(reduction)
            found.append((naive.state_words(next(reduction)), ()))
        return padded(found, words)

    timed = {"step by step": one_by_one, "from the number of steps": lambda: Forest(items, labels).states(steps, "in")}
    report("512 states", interleave({k: partial(seconds, f) for k, f in timed.items()}, 10), "step by step")


def decoding() -> None:
    """Answers of 64 tokens to 64 inputs of 32: from the cache of keys and values, against all tokens again at each."""
    model = Seq2SeqTransformer(vocab_size=10, num_outputs=10, d_model=64, max_answer=64).eval()
    model.head.bias.data[0] = -100.0  # no answer ends
    tokens = torch.randint(10, (64, 32))

    def again() -> torch.Tensor:
        def step(last: torch.Tensor, answer: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            answer = torch.cat([answer, last], 1)
            targets = torch.nn.functional.pad(answer[:, 1:], (0, 1))
            return model(tokens=tokens, targets=targets)["logits"][:, -1:], answer

        return greedy(step, torch.zeros(64, 0, dtype=torch.long), 64, 64)

    with torch.no_grad():
        assert torch.equal(again(), model.predict(tokens=tokens)["decoded"])
        timed = {"all tokens again": again, "cached": lambda: model.predict(tokens=tokens)}
        report(
            "64 answers of 64 tokens",
            interleave({k: partial(seconds, f) for k, f in timed.items()}, 3),
            "all tokens again",
        )


if __name__ == "__main__":
    main()
