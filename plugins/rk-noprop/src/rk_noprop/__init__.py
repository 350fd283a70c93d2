"""NoProp: every block of a network learns alone to denoise a noised label; at inference they are chained from noise.

Li, Teh and Pascanu, "NoProp: Training Neural Networks without Back-propagation or Forward-propagation", 2025,
arXiv:2503.24322:

    @article{li2025noprop,
      title   = {{NoProp}: Training Neural Networks without Back-propagation or Forward-propagation},
      author  = {Li, Qinyu and Teh, Yee Whye and Pascanu, Razvan},
      journal = {arXiv preprint arXiv:2503.24322},
      year    = {2025}
    }
"""

from rk import hookimpl

RK_TRIAL = {
    "mnist-dt": (
        *("data.batch_size=16", "data.train_limit=1000", "model.num_blocks=4"),
        *("model.block.channels=[4, 8]", "model.block.hidden_size=16"),
    )
}


@hookimpl
def rk_trainers() -> dict[str, str]:
    return {
        "noprop-dt": "rk_noprop.discrete:NoPropDT",
        "noprop-ct": "rk_noprop.continuous:NoPropCT",
        "noprop-fm": "rk_noprop.matching:NoPropFM",
    }


@hookimpl
def rk_models() -> dict[str, str]:
    return {"noprop-chain": "rk_noprop.chain:NoPropChain", "noprop-flow": "rk_noprop.flow:NoPropFlow"}


@hookimpl
def rk_layers() -> dict[str, str]:
    return {"noprop-block": "rk_noprop.paper_block:NoPropBlock"}


@hookimpl
def rk_metrics() -> dict[str, str]:
    return {"run-accuracy": "rk_noprop.metrics:RunAccuracy", "guess-accuracy": "rk_noprop.metrics:GuessAccuracy"}


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {"block-accuracy": "rk_noprop.analysis:BlockAccuracy"}
