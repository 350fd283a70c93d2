"""The callback that begins a sparse process at training rows."""

from __future__ import annotations

import torch

from rk import FitContext
from rk.sampling import generator


class InducingRows:
    """Puts the inducing inputs of a `sparse-process` onto training rows, before the first step.

    Rows are taken from each class in turn, so that all classes have their share.

    Examples:
        callbacks: [inducing-rows]
    """

    @torch.no_grad()
    def fit_start(self, fit: FitContext) -> None:
        if fit.step:  # resumed: they have been learned since
            return
        inducing = fit.learner.get_parameter("model.inducing")
        inputs, targets = [], []
        for i in range(fit.data.batches("train")):
            batch = fit.data.batch("train", i)
            inputs.append(batch["inputs"].flatten(1))
            targets.append(batch["targets"])
        rows, classes = torch.cat(inputs), torch.cat(targets)
        order = torch.randperm(len(rows), generator=generator(fit.recipe.fit.seed))
        # The k-th row of every class comes before the k+1-th of any
        turn = torch.empty(len(rows), dtype=torch.long)
        for number in classes.unique():
            mine = order[classes[order] == number]
            turn[mine] = torch.arange(len(mine))
        chosen = order[turn[order].argsort(stable=True)][: len(inducing)]
        inducing[: len(chosen)] = rows[chosen].to(inducing)
