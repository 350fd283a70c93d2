"""Model `ngram-linear`: a linear classifier over hashed n-grams, the baseline of every network that reads tokens."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Bool, Int
from torch import Tensor, nn

from rk.fields import LogitsOutputs

PRIME = 1_000_003
MODULUS = 2**31 - 1


class NgramLinear(nn.Module):
    """Scores of a text: the sum of one weight per n-gram and class, over the root of the number of n-grams.

    A bag of words (n = 1) or of short runs of tokens, with no network behind it (Wang and Manning, 2012; n-grams are
    hashed as in arXiv:1607.01759, Sec. 2.2). Single tokens have their own weights; longer n-grams share `buckets`.

    Args:
        vocab_size: Tokens.
        num_outputs: Classes.
        n: Longest n-gram: 1 counts tokens alone.
        buckets: Weights, for each class, that the n-grams longer than 1 share.

    Examples:
        model: {name: ngram-linear, n: 2}

        >>> model = NgramLinear(vocab_size=5, num_outputs=3)
        >>> model(tokens=torch.tensor([[0, 1, 2, 3]]))["logits"].shape
        torch.Size([1, 3])
    """

    def __init__(
        self,
        vocab_size: int,
        num_outputs: int,
        n: Annotated[int, Ge(1)] = 2,
        buckets: Annotated[int, Ge(1)] = 2**16,
    ) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.n = n
        self.buckets = buckets if n > 1 else 0
        self.weights = nn.Embedding(vocab_size + self.buckets, num_outputs)
        nn.init.zeros_(self.weights.weight)
        self.bias = nn.Parameter(torch.zeros(num_outputs))

    def forward(
        self, *, tokens: Int[Tensor, "batch time"], mask: Bool[Tensor, "batch time"] | None = None
    ) -> LogitsOutputs:
        """Returns logits of (batch, classes); `mask` is True where a token exists."""
        exists = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask
        numbers, counts = self.ngrams(tokens, exists)
        summed = nn.functional.embedding_bag(
            numbers, self.weights.weight, per_sample_weights=counts.to(self.weights.weight.dtype), mode="sum"
        )
        return {"logits": summed / counts.sum(1, keepdim=True).clamp(min=1).sqrt() + self.bias}

    def ngrams(
        self, tokens: Int[Tensor, "batch time"], exists: Bool[Tensor, "batch time"]
    ) -> tuple[Int[Tensor, "batch grams"], Bool[Tensor, "batch grams"]]:
        """Returns the place of the weights of each n-gram, and whether all its tokens exist."""
        places, all_exist = [tokens], [exists]
        hashed, there = tokens, exists
        for length in range(2, min(self.n, tokens.shape[1]) + 1):
            # Horner's rule over the tokens: the order of a pair counts; products stay below 2**63
            hashed = (hashed[:, :-1] * PRIME + tokens[:, length - 1 :] + length) % MODULUS
            there = there[:, :-1] & exists[:, length - 1 :]
            places.append(self.vocab_size + hashed % self.buckets)
            all_exist.append(there)
        return torch.cat(places, 1), torch.cat(all_exist, 1)
