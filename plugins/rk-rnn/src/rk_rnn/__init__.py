"""Recurrent layers: the cells that a review of the field goes through, behind one interface.

Lipton, Berkowitz and Elkan, "A Critical Review of Recurrent Neural Networks for Sequence Learning", 2015,
arXiv:1506.00019:

    @article{lipton2015critical,
      title   = {A Critical Review of Recurrent Neural Networks for Sequence Learning},
      author  = {Lipton, Zachary C. and Berkowitz, John and Elkan, Charles},
      journal = {arXiv preprint arXiv:1506.00019},
      year    = {2015}
    }
"""

from rk import hookimpl


@hookimpl
def rk_layers() -> dict[str, str]:
    return {
        "elman": "rk_rnn.elman:Elman",
        "irnn": "rk_rnn.irnn:IRNN",
        "jordan": "rk_rnn.jordan:Jordan",
        "lstm": "rk_rnn.lstm:LSTM",
        "gru": "rk_rnn.gru:GRU",
        "bidirectional": "rk_rnn.bidirectional:Bidirectional",
    }


@hookimpl
def rk_callbacks() -> dict[str, str]:
    return {"gradient-flow": "rk_rnn.gradient_flow:GradientFlow"}


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {"gradient-flow": "rk_rnn.analysis:GradientFlowAnalysis"}
