"""Criticality of deep networks: predicted and measured signals of any model, and weights that let it train.

Roberts, Yaida and Hanin, "The Principles of Deep Learning Theory", Cambridge University Press 2022, arXiv:2106.10165:

    @book{roberts2022principles,
      title     = {The Principles of Deep Learning Theory},
      author    = {Roberts, Daniel A. and Yaida, Sho and Hanin, Boris},
      publisher = {Cambridge University Press},
      year      = {2022}
    }
"""

from rk import hookimpl

RK_TRIAL = {"activation": ("width=20", "depth=3", "inits=200", "tangents=5")}


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {
        "activation": "rk_criticality.ledger:Activation",
        "aspect-ratio": "rk_criticality.aspect_ratio:AspectRatio",
        "criticality": "rk_criticality.analysis:Criticality",
    }


@hookimpl
def rk_callbacks() -> dict[str, str]:
    return {
        "critical-init": "rk_criticality.callbacks:CriticalInit",
        "criticality-monitor": "rk_criticality.monitor:CriticalityMonitor",
    }


@hookimpl
def rk_data() -> dict[str, str]:
    return {"sine-classes": "rk_criticality.sine_classes:SineClasses"}


@hookimpl
def rk_optimizers() -> dict[str, str]:
    return {"layer-rates": "rk_criticality.layer_rates:LayerRates"}
