"""The methods: what views a layer gets of a batch, its objective, and how it scores classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from rk.fields import IGNORED
from rk.protocols import Batch, Layered, Share
from rk.sampling import generator
from rk_forwardgnn.losses import GoodnessBCE, PrototypeCrossEntropy, goodness
from rk_forwardgnn.views import Views, label_views, plain_view, prototype_views


@dataclass(frozen=True)
class Settings:
    """The parameters of the trainer that methods read; see `ForwardLocal`."""

    num_classes: int
    threshold: float = 2.0
    temperature: float = 1.0
    num_negatives: int = 100
    both_ways: bool = True
    seed: int = 0


class Method(ABC):
    """What a layer learns from.

    Args:
        settings: What the trainer was given.

    Attributes:
        wants_graph: Whether it needs edges.
        wants_links: Whether it scores links; otherwise each item.
        same_views: Whether a layer answers from the views that it learns from.
    """

    wants_graph = False
    wants_links = False
    same_views = False

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.num_classes = settings.num_classes
        self.goodness_loss = GoodnessBCE(settings.threshold)
        self.prototype_loss = PrototypeCrossEntropy(settings.temperature)

    @abstractmethod
    def training(self, model: Layered, batch: Batch, known: Int[Tensor, "items"], prototypes: Tensor) -> Views:
        """Returns the views from which layers learn.

        Args:
            model: The model.
            batch: The items; those with a target are learned from.
            known: The labels that may be used; `IGNORED` where there is none.
            prototypes: Features of the prototype of each class.
        """

    def answering(self, model: Layered, batch: Batch, known: Int[Tensor, "items"], prototypes: Tensor) -> Views:
        """Returns the views by which layers answer; targets of the batch are not looked at."""
        return self.training(model, batch, known, prototypes)

    @abstractmethod
    def share(self, hidden: Tensor, views: Views, batch: Batch) -> Share:
        """Returns the layer's objective for the targets of the batch, of what its block gave."""

    @abstractmethod
    def readout(self, hidden: Tensor, views: Views) -> Tensor:
        """Returns what `scores` needs of what a layer gave, which is kept while the layers above learn."""

    def scores(self, kept: Tensor, batch: Batch) -> Float[Tensor, "items classes"]:
        """Returns the layer's own answer: logarithms of probabilities, unless `joined` says otherwise."""
        return kept

    def joined(self, scores: Float[Tensor, "items depth classes"]) -> Float[Tensor, "items depth classes"]:
        """Returns the logarithm of the mean probability over the layers up to each (the sum over layers of SF)."""
        depth = torch.arange(1, scores.shape[1] + 1, device=scores.device, dtype=scores.dtype)
        return scores.logcumsumexp(1) - depth.log().view(1, -1, 1)


def asked(batch: Batch) -> Bool[Tensor, "items"]:
    """Returns which items have a target."""
    return batch["targets"] != IGNORED


def wrong_classes(
    targets: Int[Tensor, "items"], num_classes: int, count: int, random: torch.Generator | None
) -> Int[Tensor, "views items"]:
    """Returns `count` wrong classes of each item, each once, in a random order; `IGNORED` stays.

    Args:
        targets: The right classes.
        num_classes: Classes.
        count: At most `num_classes` - 1.
        random: Draws the orders; None takes torch's own generator.
    """
    keys = torch.rand(len(targets), num_classes - 1, generator=random).to(targets.device)
    steps = 1 + keys.argsort(1)[:, :count].T
    return torch.where(targets == IGNORED, targets, (targets + steps) % num_classes)


class ForwardForward(Method):
    """FF: an item with its true label is to have a high goodness, with each wrong one a low goodness."""

    def labels(self, batch: Batch, known: Int[Tensor, "items"]) -> Int[Tensor, "views items"]:
        """Returns the true labels, then wrong ones, a view for each."""
        true = torch.where(asked(batch), batch["targets"], known)
        count = min(self.settings.num_negatives, self.num_classes - 1)
        # The views of a graph are the same in every step; every batch of others is new
        random = generator(self.settings.seed, "wrong classes") if "edge_index" in batch else None
        return torch.cat([true.unsqueeze(0), wrong_classes(true, self.num_classes, count, random)])

    def supposed(self, batch: Batch, known: Int[Tensor, "items"]) -> Int[Tensor, "classes items"]:
        """Returns a view for each class, which all items without a known label then have."""
        classes = torch.arange(self.num_classes, device=known.device).unsqueeze(1)
        return torch.where(known == IGNORED, classes, known)

    def share(self, hidden: Tensor, views: Views, batch: Batch) -> Share:
        """Returns the loss of FF: of the true view, and the mean over the others."""
        items = asked(batch)
        values = goodness(views.apart(hidden)[:, : views.items][:, items])
        true = self.goodness_loss.of_goodness(values[0], torch.ones_like(values[0]).bool())
        false = self.goodness_loss.of_goodness(values[1:], torch.zeros_like(values[1:]).bool())
        return true + false / (views.count - 1), int(items.sum())

    def readout(self, hidden: Tensor, views: Views) -> Float[Tensor, "items classes"]:
        """Returns how far the mean of squares is above the threshold: not the sum, as in the loss."""
        given = views.apart(hidden)[:, : views.items]
        return (goodness(given) / given.shape[-1] - self.settings.threshold).T

    def joined(self, scores: Float[Tensor, "items depth classes"]) -> Float[Tensor, "items depth classes"]:
        """Returns the sum over the layers up to each."""
        return scores.cumsum(1)


class LabelAppending(ForwardForward):
    """FF-LA: labels are numbers among the features."""

    def training(self, model: Layered, batch: Batch, known: Tensor, prototypes: Tensor) -> Views:
        return label_views(model, batch, self.labels(batch, known), self.num_classes)

    def answering(self, model: Layered, batch: Batch, known: Tensor, prototypes: Tensor) -> Views:
        return label_views(model, batch, self.supposed(batch, known), self.num_classes)


class VirtualNodes(ForwardForward):
    """FF-VN: labels are edges to virtual nodes. In training, layers above take the nodes of the true view."""

    wants_graph = True

    def training(self, model: Layered, batch: Batch, known: Tensor, prototypes: Tensor) -> Views:
        both = self.settings.both_ways
        return prototype_views(model, batch, self.labels(batch, known), prototypes, both, shared=True)

    def answering(self, model: Layered, batch: Batch, known: Tensor, prototypes: Tensor) -> Views:
        return prototype_views(model, batch, self.supposed(batch, known), prototypes, self.settings.both_ways)


class SingleForward(Method):
    """SF: one view, in which an item is to be close to what the layer makes of the prototype of its class."""

    same_views = True

    def training(self, model: Layered, batch: Batch, known: Tensor, prototypes: Tensor) -> Views:
        return prototype_views(model, batch, known.unsqueeze(0), prototypes, self.settings.both_ways)

    def share(self, hidden: Tensor, views: Views, batch: Batch) -> Share:
        """Returns the loss of SF."""
        given, items = views.apart(hidden)[0], asked(batch)
        found, prototypes = given[: views.items][items], given[views.items :]
        return self.prototype_loss(hidden=found, prototypes=prototypes, targets=batch["targets"][items])

    def readout(self, hidden: Tensor, views: Views) -> Float[Tensor, "items classes"]:
        """Returns the logarithms of the probabilities of SF."""
        given = views.apart(hidden)[0]
        return self.prototype_loss.logits(given[: views.items], given[views.items :]).log_softmax(-1)


class LinkForward(Method):
    """FL: the product of two nodes' hidden states, unit by unit, adds up to the logit of their link."""

    wants_graph = True
    wants_links = True
    same_views = True

    def training(self, model: Layered, batch: Batch, known: Tensor, prototypes: Tensor) -> Views:
        return plain_view(model, batch)

    def logit(self, hidden: Tensor, batch: Batch) -> Float[Tensor, "links"]:
        """Returns the logit of each link that is asked about."""
        source, target = hidden[batch["link_index"]]
        return torch.linalg.vecdot(source, target)

    def share(self, hidden: Tensor, views: Views, batch: Batch) -> Share:
        logit = self.logit(hidden, batch)
        targets = batch["targets"].to(logit.dtype)
        return F.binary_cross_entropy_with_logits(logit, targets, reduction="sum"), len(logit)

    def readout(self, hidden: Tensor, views: Views) -> Float[Tensor, "nodes width"]:
        """Returns the nodes: which links are asked about changes from batch to batch."""
        return hidden

    def scores(self, kept: Tensor, batch: Batch) -> Float[Tensor, "links two"]:
        """Returns the logarithms of the probabilities that there is no link, and that there is one."""
        logit = self.logit(kept, batch)
        return F.logsigmoid(torch.stack([-logit, logit], 1))


class LinkForwardForward(LinkForward):
    """FF on links: the product of two nodes that are linked is to have a high goodness."""

    def logit(self, hidden: Tensor, batch: Batch) -> Float[Tensor, "links"]:
        source, target = hidden[batch["link_index"]]
        return goodness(source * target) - self.settings.threshold


METHODS: dict[str, type[Method]] = {
    "ff-label": LabelAppending,
    "ff-virtual": VirtualNodes,
    "single-forward": SingleForward,
    "sf-top-input": SingleForward,
    "sf-top-loss": SingleForward,
    "fl-link": LinkForward,
    "ff-link": LinkForwardForward,
}
"""Name of a method -> what its layers learn from."""
