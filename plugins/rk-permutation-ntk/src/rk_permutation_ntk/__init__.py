"""Permutations of bits from basis vectors, by ensembles of wide networks: the exact limit, and the members it takes.

Giapitzakis, Back de Luca and Fountoulakis, "Exact Learning of Permutations for Nonzero Binary Inputs with Logarithmic
Training Size and Quadratic Ensemble Complexity", 2025, arXiv:2502.16763:

    @article{giapitzakis2025exact,
      title   = {Exact Learning of Permutations for Nonzero Binary Inputs with Logarithmic Training Size and Quadratic
                 Ensemble Complexity},
      author  = {Giapitzakis, George and Back de Luca, Artur and Fountoulakis, Kimon},
      journal = {arXiv preprint arXiv:2502.16763},
      year    = {2025}
    }
"""

from rk import hookimpl

_JOINT = "a draw of the limit is joint: what a member answers to an input depends on what it answers to the others"
RK_EXEMPT = {"answers-do-not-depend-on-the-batch:ten-bits-limit": _JOINT}
RK_TRIAL = {
    "five-bits-quick": ("model.base.hidden_size=16", "model.num_members=64"),
    "five-bits-standard": ("model.base.hidden_size=16", "model.num_members=64"),
    "permutation": ("bits=[5]", "repeats=1"),
}


@hookimpl
def rk_data() -> dict[str, str]:
    return {"permutation": "rk_permutation_ntk.data:Permutation"}


@hookimpl
def rk_metrics() -> dict[str, str]:
    return {
        "exact-bits": "rk_permutation_ntk.metrics:ExactBits",
        "ensemble-match": "rk_permutation_ntk.metrics:EnsembleMatch",
        "bit-accuracy": "rk_permutation_ntk.metrics:BitAccuracy",
        "limit-agreement": "rk_permutation_ntk.metrics:LimitAgreement",
    }


@hookimpl
def rk_trainers() -> dict[str, str]:
    return {"limiting-ensemble": "rk_permutation_ntk.limit:LimitingEnsemble"}


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {
        "permutation": "rk_permutation_ntk.analysis:PermutationAnalysis",
        "members-needed": "rk_permutation_ntk.members:MembersNeeded",
    }
