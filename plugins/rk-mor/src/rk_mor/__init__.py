"""Mixture-of-Recursions: a shared stack of layers that each token runs through as often as a router says.

Bae et al., "Mixture-of-Recursions: Learning Dynamic Recursive Depths for Adaptive Token-Level Computation", NeurIPS
2025, arXiv:2507.10524:

    @inproceedings{bae2025mixture,
      title     = {Mixture-of-Recursions: Learning Dynamic Recursive Depths for Adaptive Token-Level Computation},
      author    = {Bae, Sangmin and Kim, Yujin and Bayat, Reza and Kim, Sungnyun and Ha, Jiyoun and Schuster, Tal and
                   Fisch, Adam and Harutyunyan, Hrayr and Ji, Ziwei and Courville, Aaron and Yun, Se-Young},
      booktitle = {Advances in Neural Information Processing Systems},
      year      = {2025}
    }
"""

from rk import hookimpl

_HOPS = ("model.d_model=8", "data.batch_size=4", "data.val_examples=8", "data.test_examples=8")
RK_TRIAL = {
    "quick": _HOPS,
    "quick-no-hold": _HOPS,
    "quick-random": _HOPS,
    "quick-recursive": _HOPS,
    "quick-token": _HOPS,
}


@hookimpl
def rk_models() -> dict[str, str]:
    return {"mor": "rk_mor.model:MoR"}


@hookimpl
def rk_losses() -> dict[str, str]:
    return {"mor-router": "rk_mor.loss:RouterLoss"}


@hookimpl
def rk_callbacks() -> dict[str, str]:
    return {
        "capacity-warmup": "rk_mor.capacity:CapacityWarmup",
        "loss-free-balance": "rk_mor.balance:LossFreeBalance",
        "router-stats": "rk_mor.stats:RouterStats",
    }
