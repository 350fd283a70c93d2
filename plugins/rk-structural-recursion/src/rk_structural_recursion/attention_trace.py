"""The analysis `attention-trace`: where each head looks while the recursion goes down, and after it has ended."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Bool, Float, Int
from safetensors.torch import save_file
from torch import Tensor

from rk import Run, UserError
from rk.authoring import evaluating
from rk.charts import chart, save
from rk.writing import write_csv

HINT = "it is made for seq2seq-transformer and seq2seq-lstm on binary-successor"


def recursion_scores(
    weights: Float[Tensor, "batch layers heads target_time time"],
    aligned: Int[Tensor, "batch target_time"],
    carry: Bool[Tensor, "batch target_time"],
    copy: Bool[Tensor, "batch target_time"],
) -> tuple[Float[Tensor, "layers heads"], Float[Tensor, "layers heads"]]:
    """Returns the mean weight of each head on the digit that an answer's token is made of, by the machine's mode.

    Their difference is the recursion-head score: 0 for a head that looks at the same place in both modes, 1 for one
    that reads along while the machine carries and looks elsewhere while it copies, -1 the other way round.

    Args:
        weights: Of the attention of the answer to the input.
        aligned: The place of that digit.
        carry: Tokens that are written in the mode carry.
        copy: Tokens that are written in the mode copy.
    """
    place = aligned[:, None, None, :, None].expand(*weights.shape[:-1], 1)
    mass = weights.gather(-1, place).squeeze(-1)

    def mean(which: Bool[Tensor, "batch target_time"]) -> Float[Tensor, "layers heads"]:
        chosen = which[:, None, None]
        return (mass * chosen).sum((0, 3)) / chosen.sum().clamp(min=1)

    return mean(carry), mean(copy)


class AttentionTrace:
    """Saves where the answers of a run look, head by head, and how that changes when the recursion ends.

    Takes runs of a model with attention of the answer to the input on data that knows the mode of the machine, such as
    binary-successor. `attention-trace.safetensors` has the weights of each batch, ``weights-I`` of (batch, layers,
    heads, target_time, time), with its ``tokens-I``, ``targets-I`` and ``depth-I``. The recursion-head score of a head
    is the mean weight on the digit that is being changed while the machine carries, minus that on the digit that is
    being copied while it copies.

    Args:
        run: The run.
        split: The split of the examples.
        limit: The most batches to take; null takes all.
        example: Number of the example in the figure, among those of the first batch; null: the one with the most
            digits in both modes.

    Examples:
        rk analyze attention-trace --run last --split test-depth
    """

    def __init__(
        self,
        run: Run,
        split: str = "test-depth",
        limit: Annotated[int, Ge(1)] | None = 4,
        example: Annotated[int, Ge(0)] | None = None,
    ) -> None:
        self.run = run
        self.split = split
        self.limit = limit
        self.example = example

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes weights, a table of scores and a figure into `out`; returns each head's score, and the highest."""
        model = getattr(self.run.learner, "model", None)
        if model is None or not hasattr(model, "cross_attention"):
            raise UserError("the run's model has no attention of answers to inputs", HINT)
        if not hasattr(self.run.data, "phases"):
            raise UserError("the run's data does not know the mode of the machine", HINT)
        saved: dict[str, Tensor] = {}
        totals: list[tuple[Tensor, Tensor, int, int]] = []
        for i, batch in enumerate(self.run.batches(self.split, self.limit)):
            with evaluating(self.run.learner, 0):
                weights = model.cross_attention(
                    tokens=batch["tokens"], targets=batch["targets"], lengths=batch["lengths"]
                ).cpu()
            aligned, carry, copy = self.run.data.phases(batch)
            if not i:
                both = torch.minimum(carry.sum(1), copy.sum(1))
            totals.append((*recursion_scores(weights, aligned, carry, copy), int(carry.sum()), int(copy.sum())))
            saved[f"weights-{i}"] = weights.contiguous()
            saved |= {f"{name}-{i}": batch[name].cpu().contiguous() for name in ("tokens", "targets", "depth")}
        save_file(saved, out / "attention-trace.safetensors")
        carried = _weighted([(mean, count) for mean, _, count, _ in totals])
        copied = _weighted([(mean, count) for _, mean, _, count in totals])
        scores = carried - copied
        heads = [(layer, head) for layer in range(scores.shape[0]) for head in range(scores.shape[1])]
        write_csv(
            out / "attention-trace.csv",
            ("layer", "head", "carrying", "copying", "score"),
            [(k, h, carried[k, h].item(), copied[k, h].item(), scores[k, h].item()) for k, h in heads],
        )
        chosen = int(both.argmax()) if self.example is None else self.example
        self._draw(saved, scores, chosen, out / "attention-trace.png")
        found = {f"layer-{k}/head-{h}": scores[k, h].item() for k, h in heads}
        return {**found, "recursion-head": max(found.values(), key=abs)}

    def _draw(self, saved: dict[str, Tensor], scores: Float[Tensor, "layers heads"], row: int, path: Path) -> None:
        if row >= len(saved["depth-0"]):
            raise UserError(f"example must be < {len(saved['depth-0'])}, the examples of the first batch, got {row}")
        tokens, targets, weights = saved["tokens-0"][row], saved["targets-0"][row], saved["weights-0"][row]
        written = targets[targets >= 0].tolist()
        source, answer = self.run.data.source_words, self.run.data.answer_words
        read = [source[token] for token in tokens.tolist()][: int(weights[0, 0, 0].count_nonzero())]
        layers, heads = scores.shape
        shown = weights[:, :, : len(written), : len(read)].double().numpy()
        with chart(1.9 * heads + 0.4, 2.3 * layers, layers, heads, sharex=True, sharey=True) as (figure, *axes):
            for k in range(layers):
                for h in range(heads):
                    axis = axes[k * heads + h]
                    axis.imshow(shown[k, h], cmap="Blues", vmin=0, vmax=1, aspect="auto")
                    axis.set_title(f"layer {k}, head {h}: {scores[k, h]:+.2f}", fontsize=8)
                    axis.set_xticks(range(len(read)), read, rotation=90, fontsize=6)
                    axis.set_yticks(range(len(written)), [answer[token] for token in written], fontsize=6)
                    axis.grid(False)
            save(figure, path)


def _weighted(means: list[tuple[Tensor, int]]) -> Tensor:
    total = torch.stack([mean * count for mean, count in means]).sum(0)
    return total / max(sum(count for _, count in means), 1)
