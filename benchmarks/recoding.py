"""rk-recoding: a batch recoded at once against one sentence at a time, and the cost beside no recoding; by CPU time.

python benchmarks/recoding.py
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from paired import interleave, process_seconds, report
from rk_recoding.dynamic import DynamicEvaluation
from rk_recoding.model import Recoded
from rk_recoding.naive import recode_sentence
from rk_rnn.lstm import LSTM
from rk_sequence.language_model import LanguageModel

ROWS, TIME, TOKENS, WIDTH = 32, 24, 1500, 96


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    base = LanguageModel(vocab_size=TOKENS, layer=LSTM, d_model=WIDTH, num_layers=2, norm="none", residual=False).eval()
    text = torch.randint(TOKENS, (ROWS, TIME + 1))
    tokens, gold = text[:, :-1], text[:, 1:]
    for signal, step in (("nll", 0.5), ("mc-entropy", 0.1)):
        model = Recoded(base, signal=signal, step_size=step).eval()

        def batched(model: Recoded = model) -> None:
            model.loop(model.initial_state(ROWS), tokens, targets=gold)

        def one_by_one(signal: str = signal, step: float = step) -> None:
            for row, answers in zip(tokens, gold, strict=True):
                recode_sentence(base, row, answers, signal, step, redecode=signal == "mc-entropy")

        compare(
            f"{signal}, {ROWS} sentences of {TIME} tokens", {"batched": batched, "one by one": one_by_one}, "batched"
        )

    def by_tokens() -> None:
        state = base.initial_state(ROWS)
        for t in range(TIME):
            _, state = base.scan(state=state, tokens=tokens[:, t : t + 1])

    answers = {
        "no recoding, whole sentences": lambda: base(tokens=tokens),
        "no recoding, token by token": by_tokens,
        "recoded by nll": lambda: Recoded(base, step_size=0.5).eval()(tokens=tokens, targets=gold),
        "recoded by mc-entropy, 8 samples": lambda: Recoded(base, signal="mc-entropy").eval()(tokens=tokens),
        "dynamic evaluation, segments of 8": lambda: DynamicEvaluation(base, segment=8).eval()(tokens=tokens),
    }
    compare("answers", answers, "no recoding, token by token")


def compare(title: str, contestants: dict[str, Callable[[], object]], baseline: str) -> None:
    """Prints the times of functions without gradients, and their ratios."""

    def timed(function: Callable[[], object]) -> Callable[[], float]:
        def call() -> float:
            with torch.no_grad():
                return process_seconds(function)

        return call

    report(title, interleave({name: timed(function) for name, function in contestants.items()}, 5), baseline)


if __name__ == "__main__":
    main()
