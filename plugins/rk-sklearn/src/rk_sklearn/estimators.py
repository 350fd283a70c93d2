"""The estimators. Each `fit` is a run of rk: a recipe, its weights, what it was trained with."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

import rk
from rk.writing import write_atomic

Array = np.ndarray[Any, Any]

KEPT = ("recipe.yaml", "run.json", "model.safetensors", "data.pt")
"""The files of a run that answers need."""
ROWS = 128
"""Rows that are answered at once: always as many, so that an answer does not depend on the rows beside it."""


class _Estimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What both estimators have in common."""

    _data: str
    _model: str
    _loss: str
    _output: str

    def __init__(
        self,
        hidden_sizes: Sequence[int] = (64,),
        *,
        model: str | Mapping[str, Any] | None = None,
        optimizer: str = "adam",
        lr: float = 0.01,
        max_steps: int = 200,
        batch_size: int = 64,
        standardize: bool = True,
        recipe: Mapping[str, Any] | None = None,
        random_state: Any = None,
        runs_dir: str | Path | None = None,
        progress: bool = False,
    ) -> None:
        self.hidden_sizes = hidden_sizes
        self.model = model
        self.optimizer = optimizer
        self.lr = lr
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.standardize = standardize
        self.recipe = recipe
        self.random_state = random_state
        self.runs_dir = runs_dir
        self.progress = progress

    @property
    def run_(self) -> rk.StoredRun:
        """The run in its folder. Only with ``runs_dir``; else its folder was a temporary one."""
        check_is_fitted(self)
        if self.run_path_ is None:
            raise AttributeError("the run was kept in memory alone: give runs_dir")
        return rk.load(self.run_path_)

    def _recipe(self, path: Path) -> dict[str, Any]:
        model = self.model if self.model is not None else {"name": self._model, "hidden_sizes": [*self.hidden_sizes]}
        return {
            "rk": 1,
            "data": {
                "name": self._data,
                "path": str(path.resolve()),
                "batch_size": self.batch_size,
                "standardize": self.standardize,
            },
            "model": dict(model) if isinstance(model, Mapping) else model,
            "loss": self._loss,
            "trainer": {"name": "backprop", "optimizer": {"name": self.optimizer, "lr": self.lr}},
            "fit": {"max_steps": self.max_steps, "seed": _seed(self.random_state)},
        }

    def _train(self, x: Array, y: Array) -> None:
        """Trains on the arrays and keeps what answers need."""
        with tempfile.TemporaryDirectory(prefix="rk-sklearn-") as scratch:
            root = Path(scratch if self.runs_dir is None else self.runs_dir)
            recipe = self._recipe(_written(root / "arrays", x, y))
            name = type(self).__name__.lower()
            run = rk.train(recipe, runs_dir=root, name=name, progress=self.progress, **(self.recipe or {}))
            self.run_path_ = None if self.runs_dir is None else str(run.path)
            files = ((file, run.path / file) for file in KEPT)
            self.run_files_ = {file: path.read_bytes() for file, path in files if path.is_file()}
        self._loaded: rk.StoredRun | None = _loaded(self.run_files_)

    def _rows(self, x: Any) -> tuple[Array, Any]:
        """Returns the outputs, (rows, outputs), and the answers, for checked rows."""
        check_is_fitted(self)
        x = validate_data(self, x, reset=False, dtype=np.float64)
        if self._loaded is None:  # it was sent here from another process
            self._loaded = _loaded(self.run_files_)
        outputs, answers = [], []
        with tempfile.TemporaryDirectory(prefix="rk-sklearn-") as folder:
            path = Path(folder, "rows.npy")  # the data read files, and scale them as what was trained on
            for first in range(0, len(x), ROWS):
                chunk = x[first : first + ROWS]
                np.save(path, np.pad(chunk, ((0, ROWS - len(chunk)), (0, 0))))
                found = self._loaded.predict(path)
                outputs.append(found.outputs[self._output][: len(chunk)].double().cpu().numpy())
                answers += found[: len(chunk)]
        return np.concatenate(outputs), answers

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {**state, "_loaded": None} if "_loaded" in state else state


class RkClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]  # scikit-learn has no types
    """A classifier that an rk recipe trains.

    Args:
        hidden_sizes: Widths of the hidden layers of the model ``mlp``.
        model: Another model: its name, or a dict of its name and parameters. It takes ``inputs``, (batch, features),
            and returns ``logits``.
        optimizer: An optimizer of rk.
        lr: Its learning rate.
        max_steps: Steps, of one batch each.
        batch_size: Rows per batch.
        standardize: Centres and scales the features by the rows that are trained on.
        recipe: What else is changed of the recipe, as in `rk.train`: ``{"fit": {"gradient_clip": 1.0}}``.
        random_state: Seeds weights and batches; None draws a seed.
        runs_dir: Where the run is kept, and the arrays beside it; None keeps what answers need in memory.
        progress: Whether progress is shown.

    Attributes:
        classes_: The classes, sorted.
        n_features_in_: Features.
        run_files_: The recipe, the weights and what else the run is, as bytes: pickles carry them.
        run_path_: The run's folder, or None.
    """

    _data, _model, _loss, _output = "sklearn/arrays", "rk/mlp", "cross-entropy", "logits"

    def fit(self, X: Any, y: Any) -> RkClassifier:
        """Trains on the rows of `X`, (rows, features), with the classes `y`, (rows,)."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        self._train(X, numbers)
        return self

    def predict_proba(self, X: Any) -> Array:
        """Returns the probability of each class, (rows, classes), in the order of ``classes_``."""
        logits, _ = self._rows(X)
        shares = np.exp(logits - logits.max(1, keepdims=True))
        return shares / shares.sum(1, keepdims=True)

    def predict(self, X: Any) -> Array:
        """Returns the most probable class of each row."""
        best = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[best])


class RkRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]  # scikit-learn has no types
    """A regressor that an rk recipe trains, for one target or several.

    The arguments and the other attributes are those of `RkClassifier`; the model is ``mlp-regressor``, or any that
    takes ``inputs`` and returns ``values``. Targets are centred and scaled, too, with ``standardize``.
    """

    _data, _model, _loss, _output = "sklearn/number-arrays", "sklearn/mlp-regressor", "mse", "values"

    def fit(self, X: Any, y: Any) -> RkRegressor:
        """Trains on the rows of `X`, (rows, features), with the targets `y`, (rows,) or (rows, targets)."""
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        self._flat = y.ndim == 1
        self._train(X, np.asarray(y, dtype=np.float64))
        return self

    def predict(self, X: Any) -> Array:
        """Returns the targets of each row, of the shape that `fit` was given."""
        _, answers = self._rows(X)
        values = np.array([row["values"] for row in answers])
        return values[:, 0] if self._flat else values

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _seed(random_state: Any) -> int:
    """Returns a seed for rk; a generator of NumPy gives its next number."""
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def _written(folder: Path, x: Array, y: Array) -> Path:
    """Writes arrays into a file that is named by its content, unless it is there: runs on the same arrays share it."""
    content = io.BytesIO()
    np.savez(content, X=x, y=y)
    path = folder / f"{hashlib.sha256(content.getvalue()).hexdigest()[:16]}.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content.getvalue())
    return path


def _loaded(files: Mapping[str, bytes]) -> rk.StoredRun:
    """Returns a run with its learner in memory; its folder is gone again."""
    with tempfile.TemporaryDirectory(prefix="rk-sklearn-") as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        run = rk.load(folder)
        _ = run.learner
        return run
