"""Gradient noise: annealed Gaussian noise on every gradient, and the very deep networks that it was made for.

Neelakantan, Vilnis, Le, Sutskever, Kaiser, Kurach and Martens, "Adding Gradient Noise Improves Learning for Very Deep
Networks", 2015, arXiv:1511.06807:

    @article{neelakantan2015adding,
      title   = {Adding Gradient Noise Improves Learning for Very Deep Networks},
      author  = {Neelakantan, Arvind and Vilnis, Luke and Le, Quoc V. and Sutskever, Ilya and Kaiser, Lukasz and
                 Kurach, Karol and Martens, James},
      journal = {arXiv preprint arXiv:1511.06807},
      year    = {2015}
    }
"""

from rk import hookimpl


@hookimpl
def rk_callbacks() -> dict[str, str]:
    return {
        "gradient-noise": "rk_gradient_noise.callback:GradientNoise",
        "clip-members": "rk_gradient_noise.clipping:ClipMembers",
        "member-curves": "rk_gradient_noise.curves:MemberCurves",
    }


@hookimpl
def rk_models() -> dict[str, str]:
    return {
        "deep-mlp": "rk_gradient_noise.model:DeepMLP",
        "deep-mlp-ensemble": "rk_gradient_noise.ensemble:DeepMLPEnsemble",
    }


@hookimpl
def rk_losses() -> dict[str, str]:
    return {"member-cross-entropy": "rk_gradient_noise.loss:MemberCrossEntropy"}


@hookimpl
def rk_metrics() -> dict[str, str]:
    return {
        "member-accuracy": "rk_gradient_noise.metrics:MemberAccuracy",
        "success-rate": "rk_gradient_noise.metrics:SuccessRate",
    }


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {"member-curves": "rk_gradient_noise.analysis:MemberCurvesAnalysis"}
