"""rk-sequence: its batches against plain loops, and continuing a text from a state against reading it all again.

python benchmarks/sequence.py
"""

from __future__ import annotations

import random
from functools import partial

import torch
from paired import interleave, report, seconds
from rk_sequence.attention import Attention
from rk_sequence.group_words import GroupWords
from rk_sequence.groups import group
from rk_sequence.language_model import LanguageModel
from rk_sequence.reber import EDGES
from rk_sequence.reber_next import Reber


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    words()
    strings()
    continuations()


def words() -> None:
    """128 words of S5 with 512 factors, against the product of one factor after the other."""
    data = GroupWords(seed=0, group="S5", length=512, batch_size=128)
    table = group("S5").table

    def one_by_one() -> list[list[int]]:
        rows = table.tolist()
        found = []
        for _ in range(data.batch_size):
            product, word = 0, []
            for _ in range(512):
                product = rows[product][random.randrange(120)]
                word.append(product)
            found.append(word)
        return found

    timed = {"one factor after the other": one_by_one, "all at once": partial(data.batch, "train", 3)}
    found = interleave({k: partial(seconds, f) for k, f in timed.items()}, 10)
    report("128 words of S5, 512 factors", found, "one factor after the other")


def strings() -> None:
    """512 Reber strings of at least 11 symbols, against walks one by one."""
    data = Reber(seed=0, min_length=11, batch_size=512)
    leaving = [[edge for edge in EDGES if edge[0] == state] for state in range(7)]

    def one_by_one() -> list[str]:
        found: list[str] = []
        while len(found) < 512:
            state, string = 0, ""
            while state < 7:
                _, symbol, state = random.choice(leaving[state])
                string += symbol
            if 11 <= len(string) <= 50:
                found.append(string)
        return found

    timed = {"one by one": one_by_one, "all at once, with what may come": partial(data.batch, "train", 3)}
    report("512 Reber strings", interleave({k: partial(seconds, f) for k, f in timed.items()}, 10), "one by one")


def continuations() -> None:
    """64 characters behind 256, from state to state, against reading the whole text again for each."""
    model = LanguageModel(
        layer=Attention, vocab_size=65, num_layers=2, mlp_ratio=4, temperature=0.0, max_new_tokens=64
    ).eval()
    prompt = torch.randint(65, (1, 256))

    def again() -> torch.Tensor:
        tokens = prompt
        for _ in range(64):
            tokens = torch.cat([tokens, model(tokens=tokens)["logits"][:, -1].argmax(-1, keepdim=True)], 1)
        return tokens[:, 256:]

    def streamed() -> torch.Tensor:
        return model.predict(tokens=prompt, continue_meta=True)["continuation"]

    with torch.no_grad():
        assert torch.equal(again(), streamed())
        timed = {"reading all again": again, "from state to state": streamed}
        found = interleave({k: partial(seconds, f) for k, f in timed.items()}, 5)
    report("64 characters that continue 256, attention", found, "reading all again")


if __name__ == "__main__":
    main()
