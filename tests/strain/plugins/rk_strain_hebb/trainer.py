from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rk import Runtime
from rk.fields import ClassificationBatch, LogitsOutputs


class HebbLearner(nn.Module):
    """One weight per class and input, and the inputs' running mean."""

    def __init__(self, num_classes: int, num_features: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.zeros(num_classes, num_features))
        self.register_buffer("mean", torch.zeros(num_features))

    def predict(self, batch: ClassificationBatch) -> LogitsOutputs:
        centred = batch["inputs"].flatten(1) - self.mean
        return {"logits": centred @ functional.normalize(self.weights, dim=1).T}


class Hebb:
    """Hebb's rule with decay, dropping random synapses' updates.

    Args:
        num_classes: A fact.
        num_features: A fact.
        rate: Size of one update.
    """

    def __init__(self, num_classes: int, num_features: int, rate: float = 0.05) -> None:
        self.sizes = (num_classes, num_features)
        self.rate = rate

    def setup(self, *, runtime: Runtime) -> HebbLearner:
        self.learner = HebbLearner(*self.sizes)
        return runtime.setup(self.learner)

    def step(self, batch: ClassificationBatch) -> dict[str, Tensor]:
        inputs, learner = batch["inputs"].flatten(1), self.learner
        learner.mean.lerp_(inputs.mean(0), self.rate)
        classes = functional.one_hot(batch["targets"], len(learner.weights)).float()
        change = classes.T @ (inputs - learner.mean) / len(inputs)
        kept = torch.rand_like(change) < 0.9  # random, so that a resume which loses the generator shows
        learner.weights += self.rate * kept * (change - self.rate * learner.weights)
        return {"change": change.norm()}
