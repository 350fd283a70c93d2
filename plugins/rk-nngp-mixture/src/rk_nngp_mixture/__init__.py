"""Scale mixtures of neural network Gaussian processes: a prior on the variance of a wide network's last layer.

Lee, Yun, Yang and Lee, "Scale Mixtures of Neural Network Gaussian Processes", ICLR 2022, arXiv:2107.01408:

    @inproceedings{lee2022scale,
      title     = {Scale Mixtures of Neural Network Gaussian Processes},
      author    = {Lee, Hyungi and Yun, Eunggu and Yang, Hongseok and Lee, Juho},
      booktitle = {International Conference on Learning Representations},
      year      = {2022}
    }
"""

from rk import hookimpl

RK_EXEMPT = {
    "runs-beside-a-recipe:mixture-table": "its grid takes 18 s on the smallest set; tests/test_mixture_table.py runs it"
}


@hookimpl
def rk_layers() -> dict[str, str]:
    return {
        "inverse-gamma": "rk_nngp_mixture.inverse_gamma:InverseGamma",
        "burr": "rk_nngp_mixture.burr:Burr",
        "half-cauchy": "rk_nngp_mixture.burr:HalfCauchy",
    }


@hookimpl
def rk_models() -> dict[str, str]:
    return {
        "scale-mixture-process": "rk_nngp_mixture.process:ScaleMixtureProcess",
        "sparse-process": "rk_nngp_mixture.sparse:SparseProcess",
    }


@hookimpl
def rk_losses() -> dict[str, str]:
    return {"elbo": "rk_nngp_mixture.elbo:ELBO"}


@hookimpl
def rk_callbacks() -> dict[str, str]:
    return {"inducing-rows": "rk_nngp_mixture.inducing:InducingRows"}


@hookimpl
def rk_metrics() -> dict[str, str]:
    return {
        "class-nll": "rk_nngp_mixture.class_metrics:ClassNLL",
        "ece": "rk_nngp_mixture.class_metrics:ExpectedCalibrationError",
        "confidence": "rk_nngp_mixture.class_metrics:Confidence",
    }


@hookimpl
def rk_data() -> dict[str, str]:
    return {"scale-problems": "rk_nngp_mixture.problems:ScaleProblems", "shifted": "rk_nngp_mixture.shifted:Shifted"}


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {"mixture-table": "rk_nngp_mixture.table:MixtureTable"}
