"""The base of the three variants: a learner that answers by walks, and a trainer that steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn
from torch.nn import functional as F

from rk import Runtime, UserError
from rk.fields import ClassificationBatch
from rk.protocols import Batch, Data, Model, Objective, Optimizer, Outputs, Share
from rk_noprop.embedding import ClassEmbedding
from rk_noprop.noise import prior_divergence
from rk_noprop.paths import PathOutputs


class DenoisingModel(Model, Protocol):
    """A model with class embeddings, a read-out, and the number of walks with which it answers."""

    embedding: ClassEmbedding
    head: nn.Module
    num_walks: int


class DenoisingLearner(nn.Module, ABC):
    """A model whose blocks denoise labels.

    Args:
        model: With class embeddings, a read-out, and the number of walks with which it answers.
    """

    model: DenoisingModel

    def __init__(self, model: DenoisingModel) -> None:
        super().__init__()
        self.model = model

    @abstractmethod
    def settle(self, x: Tensor) -> Any:
        """Returns the model's blocks for the inputs `x`, whose features are then computed once."""

    @abstractmethod
    def objective(self, targets: Tensor, settled: Any) -> Objective:
        """Returns the terms of the variant's loss."""

    @abstractmethod
    def walk(self, x: Tensor, settled: Any) -> PathOutputs:
        """Returns what the chain answers."""

    def forward(self, batch: ClassificationBatch) -> Objective:
        return self.objective(batch["targets"], self.settle(batch["inputs"]))

    def predict(self, batch: Batch) -> PathOutputs:
        return self.walk(batch["inputs"], self.settle(batch["inputs"]))

    def evaluate(self, batch: ClassificationBatch) -> tuple[Objective, PathOutputs]:
        """Returns both; the features of the inputs are computed once."""
        settled = self.settle(batch["inputs"])
        return self.objective(batch["targets"], settled), self.walk(batch["inputs"], settled)

    def read_out(self, z: Tensor) -> Tensor:
        """Returns logits for last states."""
        logits: Tensor = self.model.head(z, self.model.embedding)
        return logits

    def read_out_loss(self, z: Tensor, targets: Tensor) -> Share:
        """Returns -log p_out(y | z)."""
        return F.cross_entropy(self.read_out(z), targets, reduction="sum"), len(targets)

    def prior_loss(self, u: Tensor, abar: Tensor) -> Share:
        """Returns KL(q(z_0 | y) || N(0, I))."""
        return prior_divergence(u, abar).sum(), len(u)

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws how the first examples of a batch went from noise to a class."""
        from rk_noprop.drawing import draw_paths  # matplotlib: loaded only to draw

        return [draw_paths(batch["inputs"], outputs, self.model.embedding.shape, out)]


class NoPropTrainer:
    """Gradient descent on a learner's objective, in which no gradient crosses a block.

    Args:
        optimizer: One for all that is learned, or several by patterns of names: ``{"label_blocks.*": adam, "*": sgd}``.
            What a step leaves alone has no gradient, so it does not move.
    """

    def __init__(self, optimizer: Optimizer | dict[str, Optimizer]) -> None:
        self.factory = optimizer
        self.n_updates = 0

    def take(self, learner: DenoisingLearner, data: Data, runtime: Runtime) -> None:
        """Takes what `setup` has been given."""
        self.learner: DenoisingLearner = learner
        self.data = data
        self.runtime = runtime
        self.call = runtime.setup(learner)
        self.optimizers = runtime.optimizers(self.factory, learner)

    def step(self, batch: ClassificationBatch) -> dict[str, Tensor]:
        embedding = self.learner.model.embedding
        if self.n_updates == 0 and embedding.wants_prototypes and self.runtime.micro_batch == 0:
            embedding.set_prototypes(self._training_pictures(embedding.weight))
        logs = self.runtime.backward(self.forward(batch))
        self.runtime.update(*self.optimizers)
        if self.runtime.micro_batch == self.runtime.accumulate - 1:
            self.n_updates += 1
        return logs

    def forward(self, batch: ClassificationBatch) -> Objective:
        """Returns the objective of this step."""
        return self.call(batch)

    def state_dict(self) -> dict[str, Any]:
        return {"n_updates": self.n_updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.n_updates = state["n_updates"]

    def batches_per_epoch(self, why: str) -> int:
        """Returns the batches of a pass over the training split. Raises `UserError`, with `why`, if it has no end."""
        found = self.data.batches("train")
        if found is None:
            raise UserError(f"{why}, but the training split has no end")
        return found

    def _training_pictures(self, like: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for i in range(self.batches_per_epoch("prototypes are chosen among all training inputs")):
            batch = self.data.batch("train", i)
            yield batch["inputs"].to(like), batch["targets"]
