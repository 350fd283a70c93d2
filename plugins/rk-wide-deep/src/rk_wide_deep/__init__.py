"""Infinitely wide and deep classifiers: what depth makes of an activation, and the activations that it makes optimal.

Radhakrishnan, Belkin and Uhler, "Wide and Deep Neural Networks Achieve Optimality for Classification", PNAS 2023,
arXiv:2204.14126:

    @article{radhakrishnan2023wide,
      title   = {Wide and Deep Neural Networks Achieve Optimality for Classification},
      author  = {Radhakrishnan, Adityanarayanan and Belkin, Mikhail and Uhler, Caroline},
      journal = {Proceedings of the National Academy of Sciences},
      volume  = {120},
      number  = {14},
      year    = {2023}
    }
"""

from rk import hookimpl


@hookimpl
def rk_layers() -> dict[str, str]:
    return {
        "deep-kernel": "rk_wide_deep.kernel:DeepKernel",
        "hilbert-kernel": "rk_wide_deep.smoothers:HilbertKernel",
        "nearest-kernel": "rk_wide_deep.smoothers:NearestKernel",
        "majority-kernel": "rk_wide_deep.smoothers:MajorityKernel",
    }


@hookimpl
def rk_data() -> dict[str, str]:
    return {"dirichlet-sphere": "rk_wide_deep.data:DirichletSphere"}


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {"depth-limit": "rk_wide_deep.analysis:DepthLimit"}
