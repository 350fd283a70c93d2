"""rk's recipes as scikit-learn estimators: `RkClassifier` and `RkRegressor`, and data from arrays."""

from typing import TYPE_CHECKING

from rk import hookimpl

if TYPE_CHECKING:
    from rk_sklearn.estimators import RkClassifier, RkRegressor

__all__ = ["RkClassifier", "RkRegressor"]


@hookimpl
def rk_data() -> dict[str, str]:
    return {"arrays": "rk_sklearn.arrays:LabelledArrays", "number-arrays": "rk_sklearn.arrays:NumberArrays"}


@hookimpl
def rk_models() -> dict[str, str]:
    return {"mlp-regressor": "rk_sklearn.mlp:MLPRegressor"}


def __getattr__(name: str) -> object:  # scikit-learn takes a second to import: listings do not need it
    if name in __all__:
        import rk_sklearn.estimators

        return getattr(rk_sklearn.estimators, name)
    raise AttributeError(f"module 'rk_sklearn' has no attribute {name!r}")
