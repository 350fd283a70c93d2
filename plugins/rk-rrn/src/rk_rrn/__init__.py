"""Recurrent Relational Networks: messages on a graph, step by step, with a loss after every step.

Palm, Paquet and Winther, "Recurrent Relational Networks", NeurIPS 2018, arXiv:1711.08028:

    @inproceedings{palm2018recurrent,
      title     = {Recurrent Relational Networks},
      author    = {Palm, Rasmus Berg and Paquet, Ulrich and Winther, Ole},
      booktitle = {Advances in Neural Information Processing Systems},
      volume    = {31},
      year      = {2018}
    }
"""

from rk import hookimpl

_FEW_PUZZLES = ("data.num_puzzles=60", "data.batch_size=8", "data.val_examples=16", "data.test_examples=8")
RK_TRIAL = {
    "babi-quick": ("data.batch_size=8", "data.limit=8"),
    "pretty-clevr-jump": ("data.batch_size=8", "data.val_examples=16", "data.test_examples=8"),
    "pretty-clevr-mlp": ("data.batch_size=8", "data.val_examples=16", "data.test_examples=8"),
    "pretty-clevr-quick": ("data.batch_size=8", "data.val_examples=16", "data.test_examples=8"),
    "sudoku4-one-step": _FEW_PUZZLES,
    "sudoku4-quick": _FEW_PUZZLES,
    "sudoku6": _FEW_PUZZLES,
    "sudoku6-one-step": _FEW_PUZZLES,
}


@hookimpl
def rk_models() -> dict[str, str]:
    return {
        "rrn": "rk_rrn.model:RRN",
        "rrn-images": "rk_rrn.image_model:ImageRRN",
        "rrn-text": "rk_rrn.text_model:TextRRN",
    }


@hookimpl
def rk_losses() -> dict[str, str]:
    return {"per-step-cross-entropy": "rk_rrn.loss:PerStepCrossEntropy"}


@hookimpl
def rk_data() -> dict[str, str]:
    return {
        "babi": "rk_rrn.babi:BAbI",
        "pretty-clevr": "rk_rrn.pretty_clevr:PrettyCLEVR",
        "pretty-clevr-images": "rk_rrn.pretty_clevr:PrettyCLEVRImages",
        "sudoku": "rk_rrn.sudoku:Sudoku",
    }


@hookimpl
def rk_callbacks() -> dict[str, str]:
    return {"step-accuracy": "rk_rrn.step_accuracy:StepAccuracy"}
