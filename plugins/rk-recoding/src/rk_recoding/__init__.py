"""Recoding: gradient steps on the activations of a language model while it reads.

Ulmer, "Recoding latent sentence representations -- Dynamic gradient-based activation modification in RNNs", master's
thesis, Universiteit van Amsterdam, 2019, arXiv:2101.00674:

    @mastersthesis{ulmer2019recoding,
      title  = {Recoding latent sentence representations -- Dynamic gradient-based activation modification in {RNN}s},
      author = {Ulmer, Dennis},
      school = {Universiteit van Amsterdam},
      year   = {2019}
    }
"""

from rk import hookimpl

_SMALL = ("data.batch_size=4", "data.length=8", "data.train_limit=3000", "data.eval_limit=4", "data.eval_length=16")
RK_TRIAL = dict.fromkeys(
    (
        "dynamic", "ensemble-entropy", "ensemble-plain", "mc-entropy", "recoded-learned", "recoded-quick",
        "recoded-trained", "reviews", "wikitext-quick",
    ),
    (*_SMALL, "data.vocab_limit=50"),
)  # fmt: skip
RK_EXEMPT = {
    f"recipe-takes-two-steps:{recipe}": "reads 32 windows of 256 words one by one; the plugin's tests run it in small"
    for recipe in ("dynamic", "ensemble-entropy")
}


@hookimpl
def rk_models() -> dict[str, str]:
    return {
        "recoded": "rk_recoding.model:Recoded",
        "anchored-ensemble": "rk_recoding.ensemble:AnchoredEnsemble",
        "dynamic-evaluation": "rk_recoding.dynamic:DynamicEvaluation",
    }


@hookimpl
def rk_losses() -> dict[str, str]:
    return {"anchored": "rk_recoding.anchored:Anchored"}


@hookimpl
def rk_metrics() -> dict[str, str]:
    return {
        "signal-drop": "rk_recoding.metrics:SignalDrop",
        "signal-falls": "rk_recoding.metrics:SignalFalls",
    }


@hookimpl
def rk_trainers() -> dict[str, str]:
    return {"unchanged": "rk_recoding.unchanged:Unchanged"}


@hookimpl
def rk_data() -> dict[str, str]:
    return {
        "garden-path": "rk_recoding.garden_path:GardenPath",
        "nltk-text": "rk_recoding.nltk_text:NltkText",
    }


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {
        "recoding-sweep": "rk_recoding.sweep:RecodingSweep",
        "region-surprisal": "rk_recoding.regions:RegionSurprisal",
    }
