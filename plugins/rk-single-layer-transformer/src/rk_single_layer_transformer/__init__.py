"""A single-layer Transformer approximates any continuous map of sequences: built without gradients, and trained.

Gumaan, "Universal Approximation Theorem for a Single-Layer Transformer", 2025, arXiv:2507.10581:

    @article{gumaan2025universal,
      title   = {Universal Approximation Theorem for a Single-Layer Transformer},
      author  = {Gumaan, Esmail},
      journal = {arXiv preprint arXiv:2507.10581},
      year    = {2025}
    }

Equations in docstrings have the numbers of this plugin's EQUATIONS.md, not the paper's.
"""

from rk import hookimpl

RK_TRIAL = {
    "max-sin-quick": ("trainer.width=16", "data.train_samples=200", "data.val_samples=50", "data.grid=5"),
    "approximation-table": ("widths=[8]", "betas=[6]", "modes=[2]", "seeds=1", "train_samples=200", "grid=9"),
}


@hookimpl
def rk_models() -> dict[str, str]:
    return {"single-layer-transformer": "rk_single_layer_transformer.model:SingleLayerTransformer"}


@hookimpl
def rk_data() -> dict[str, str]:
    return {"continuous-sequences": "rk_single_layer_transformer.sequences:ContinuousSequences"}


@hookimpl
def rk_trainers() -> dict[str, str]:
    return {"constructive": "rk_single_layer_transformer.constructive:Constructive"}


@hookimpl
def rk_callbacks() -> dict[str, str]:
    return {"sup-error": "rk_single_layer_transformer.sup_error:SupErrorReport"}


@hookimpl
def rk_metrics() -> dict[str, str]:
    return {
        "sequence-rmse": "rk_single_layer_transformer.metrics:RootMeanSquaredError",
        "sup-error": "rk_single_layer_transformer.metrics:SupError",
    }


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {"approximation-table": "rk_single_layer_transformer.table:ApproximationTable"}
