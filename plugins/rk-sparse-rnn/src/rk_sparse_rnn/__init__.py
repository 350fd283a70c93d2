"""Sparse recurrent networks: pruned ones and the epochs they need to recover, and ones that random graphs wire.

Darji, "Investigating Sparsity in Recurrent Neural Networks", master's thesis, Universitaet Passau, 2021,
arXiv:2407.20601:

    @mastersthesis{darji2021investigating,
      title  = {Investigating Sparsity in Recurrent Neural Networks},
      author = {Darji, Harshil Jagadishbhai},
      school = {Universitaet Passau},
      year   = {2021},
      note   = {arXiv:2407.20601}
    }
"""

from rk import hookimpl

_SMALL = ("data.train_limit=400", "model.layer.nodes=10")
RK_TRIAL = {"ws-gru": _SMALL, "ba-gru": _SMALL}
RK_EXEMPT = {
    f"recipe-takes-two-steps:{recipe}": "a step is a whole training; the plugin's tests take small ones"
    for recipe in ("sweep-gru", "sweep-tanh", "zoo-gru")
}


@hookimpl
def rk_layers() -> dict[str, str]:
    return {"graph-rnn": "rk_sparse_rnn.layer:GraphRNN"}


@hookimpl
def rk_data() -> dict[str, str]:
    return {"labelled-strings": "rk_sparse_rnn.strings:LabelledStrings"}


@hookimpl
def rk_callbacks() -> dict[str, str]:
    return {"prune-and-regain": "rk_sparse_rnn.regain:PruneAndRegain"}


@hookimpl
def rk_searches() -> dict[str, str]:
    return {"prune-sweep": "rk_sparse_rnn.sweep:PruneSweep", "graph-zoo": "rk_sparse_rnn.zoo:GraphZoo"}


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {"wiring": "rk_sparse_rnn.analysis:WiringAnalysis"}
