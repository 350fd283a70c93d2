"""The trainer `boosted-trees`: gradient-boosted decision trees, by LightGBM."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from jaxtyping import Float
from torch import Tensor, nn

from rk import Runtime, UserError
from rk.protocols import Batch, Data
from rk_tabular.model import TableOutputs


def lightgbm() -> ModuleType:
    """Returns the module of LightGBM. Raises `rk.UserError` where it is not installed."""
    try:
        import lightgbm
    except (ImportError, OSError) as error:  # an OSError: the system has no OpenMP
        why = "" if isinstance(error, ImportError) else f" ({error})"
        raise UserError(f"boosted-trees needs LightGBM{why}", 'pip install "rk-tabular[lightgbm]"') from None
    found: ModuleType = lightgbm
    return found


class Forest(nn.Module):
    """Boosted trees, kept as the bytes of LightGBM's text format.

    Args:
        num_outputs: Classes, or 1 for a number.
        num_classes: Classes; None for a number.
    """

    lazy_buffers = ("booster",)
    booster: Tensor

    def __init__(self, num_outputs: int, num_classes: int | None) -> None:
        super().__init__()
        self.num_outputs = num_outputs
        self.num_classes = num_classes
        self.register_buffer("booster", torch.empty(0, dtype=torch.uint8))
        self._loaded: tuple[bytes, Any] | None = None  # Any: LightGBM's Booster has no types

    def predict(self, batch: Batch) -> TableOutputs:
        """Returns log-odds of classes, or values: (batch, outputs) in float64; 0 before the trees are grown."""
        inputs: Float[Tensor, "batch features"] = batch["inputs"]
        if not self.booster.numel():
            empty = torch.zeros(len(inputs), self.num_outputs, dtype=torch.float64, device=inputs.device)
            return {"logits": empty, "values": empty}
        raw = self._trees().predict(inputs.cpu().double().numpy(), raw_score=True, num_threads=torch.get_num_threads())
        scores = torch.from_numpy(np.asarray(raw, np.float64)).view(len(inputs), -1)
        if self.num_classes == 2:  # one score: the log-odds of the second class
            scores = torch.cat([torch.zeros_like(scores), scores], 1)
        scores = scores.to(inputs.device)
        return {"logits": scores, "values": scores}

    def _trees(self) -> Any:
        """Returns LightGBM's booster, always from the text, so that a loaded run answers bit-equal."""
        content = self.booster.cpu().numpy().tobytes()
        if self._loaded is None or self._loaded[0] != content:
            self._loaded = (content, lightgbm().Booster(model_str=content.decode()))
        return self._loaded[1]


class BoostedTrees:
    """Gradient-boosted decision trees (LightGBM), grown in one step until the validation split no longer improves.

    Ke et al. 2017, "LightGBM: A Highly Efficient Gradient Boosting Decision Tree". Takes any data with `inputs` and
    `targets`; a table with `encoding: codes` gives categories as such and gaps as NaN, which LightGBM handles itself.

    Args:
        num_outputs: Classes, or 1 for a number; a fact of the data.
        num_classes: Classes, null for a number; a fact of the data.
        category_sizes: Codes of each category; the last inputs are these. A fact of the data.
        seed: Of the shares of rows and columns; `fit.seed`.
        num_trees: Most trees; of several classes, each tree is one per class.
        lr: Share of each tree that is added.
        num_leaves: Most leaves of a tree.
        min_rows: Fewest training rows of a leaf.
        row_share: Share of the rows that each tree sees.
        column_share: Share of the columns that each tree sees.
        l2: Pull of leaf values towards zero.
        patience: Trees without a lower validation loss before growing ends; the best number is kept.

    Examples:
        trainer: {name: boosted-trees, lr: 0.05, num_leaves: 31}
    """

    def __init__(
        self,
        num_outputs: int,
        num_classes: int | None,
        category_sizes: tuple[int, ...],
        seed: int,
        num_trees: Annotated[int, Ge(1)] = 1000,
        lr: Annotated[float, Gt(0)] = 0.05,
        num_leaves: Annotated[int, Ge(2)] = 31,
        min_rows: Annotated[int, Ge(1)] = 20,
        row_share: Annotated[float, Gt(0), Le(1)] = 1.0,
        column_share: Annotated[float, Gt(0), Le(1)] = 1.0,
        l2: Annotated[float, Ge(0)] = 0.0,
        patience: Annotated[int, Ge(1)] = 50,
    ) -> None:
        self.num_outputs = num_outputs
        self.num_classes = num_classes
        self.category_sizes = category_sizes
        self.num_trees = num_trees
        self.patience = patience
        self.settings: dict[str, Any] = {
            "learning_rate": lr,
            "num_leaves": num_leaves,
            "min_data_in_leaf": min_rows,
            "bagging_fraction": row_share,
            "bagging_freq": int(row_share < 1),
            "feature_fraction": column_share,
            "lambda_l2": l2,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,  # LightGBM's choice between the two layouts depends on timings
            "verbosity": -1,
        }
        if num_classes is None:
            self.settings |= {"objective": "regression", "metric": "l2"}
        elif num_classes == 2:
            self.settings |= {"objective": "binary", "metric": "binary_logloss"}
        else:
            self.settings |= {"objective": "multiclass", "metric": "multi_logloss", "num_class": num_classes}
        self.numbers: dict[str, float] = {}

    def setup(self, *, data: Data, runtime: Runtime) -> Forest:
        if runtime.world > 1:
            raise UserError("boosted-trees grows all trees in one process", "fit.devices=1")
        self.data, self.runtime = data, runtime
        self.learner = Forest(self.num_outputs, self.num_classes)
        runtime.setup(self.learner)
        return self.learner

    def step(self) -> dict[str, Any] | None:
        """Grows all trees; None when that is done."""
        if self.learner.booster.numel():
            return None
        library = lightgbm()
        settings = {**self.settings, "num_threads": torch.get_num_threads()}
        train = self._rows("train", library, settings)
        best: dict[str, dict[str, list[float]]] = {}
        booster = library.train(
            settings,
            train,
            self.num_trees,
            valid_sets=[self._rows("val", library, settings, train)],
            valid_names=["val"],
            callbacks=[library.early_stopping(self.patience, verbose=False), library.record_evaluation(best)],
        )
        text = booster.model_to_string(num_iteration=booster.best_iteration)
        content = np.frombuffer(text.encode(), np.uint8).copy()
        self.learner.booster = torch.from_numpy(content).to(self.runtime.device)
        self.numbers = {"trees": float(booster.best_iteration)}
        loss = next(iter(best["val"].values()))[booster.best_iteration - 1]
        return {**self.numbers, "val-loss": loss}

    def _rows(self, split: str, library: ModuleType, settings: dict[str, Any], like: Any = None) -> Any:
        """Returns all rows of a split as LightGBM's Dataset."""
        batches = [(b["inputs"].cpu(), b["targets"].cpu()) for b in self.runtime.batches(self.data, split)]
        inputs = torch.cat([rows for rows, _ in batches]).flatten(1)
        targets = torch.cat([targets.flatten() for _, targets in batches])
        count = inputs.shape[1]
        return library.Dataset(
            inputs.double().numpy(),
            targets.numpy(),
            reference=like,
            categorical_feature=list(range(count - len(self.category_sizes), count)),
            params=settings,
        )

    def results(self) -> Mapping[str, float]:
        """Returns how many trees were kept: those up to the lowest validation loss."""
        return self.numbers

    def state_dict(self) -> dict[str, Any]:
        return {"numbers": self.numbers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.numbers = dict(state["numbers"])
