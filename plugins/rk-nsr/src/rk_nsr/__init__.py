"""The Neural-Symbolic Recursive Machine: perception, a transition parser and program induction, trained together.

Li, Zhu, Liang, Wu, Zhu and Huang, "Neural-Symbolic Recursive Machine for Systematic Generalization", ICLR 2024,
arXiv:2210.01603:

    @inproceedings{li2024neural,
      title     = {Neural-Symbolic Recursive Machine for Systematic Generalization},
      author    = {Li, Qing and Zhu, Yixin and Liang, Yitao and Wu, Ying Nian and Zhu, Song-Chun and Huang, Siyuan},
      booktitle = {International Conference on Learning Representations},
      year      = {2024}
    }
"""

from rk import hookimpl

_FEW = ("data.num_examples=30", "data.num_val=10", "data.limit=20")
_HINT = ("data.num_examples=60", "data.num_val=10", "data.limit=10", "data.batch_size=10")
_SCAN = ("scan-jump", "scan-length", "scan-around-right")

RK_TRIAL = {
    **dict.fromkeys(
        (*_SCAN, "pcfg-quick"),
        (*_FEW, "data.batch_size=10", "trainer.turn_examples=10", "model.max_terms=300"),
    ),
    "pcfg-files": (*_FEW, "data.files=false", "data.batch_size=10", "trainer.turn_examples=10", "model.max_terms=300"),
    **{f"{name}-{baseline}": _FEW for name in _SCAN for baseline in ("lstm", "transformer")},
    **dict.fromkeys(("pcfg-lstm", "pcfg-transformer"), (*_FEW, "model.max_answer=10")),
    "translation-quick": (*_FEW, "data.batch_size=10", "trainer.turn_examples=10"),
    "translation-files": (*_FEW, "data.batch_size=10", "trainer.turn_examples=10", "data.source=generated"),
    **{f"translation-{baseline}": _FEW for baseline in ("lstm", "transformer")},
    **{f"translation-files-{baseline}": (*_FEW, "data.source=generated") for baseline in ("lstm", "transformer")},
    "hint-quick": (*_HINT, "trainer.turn_examples=10", "model.max_terms=300"),
    "hint-images": (*_HINT, "trainer.turn_examples=10", "model.max_terms=300", "trainer.labelled_epochs=2"),
    **dict.fromkeys(("hint-lstm", "hint-transformer"), _HINT),
}


@hookimpl
def rk_models() -> dict[str, str]:
    return {
        "nsr": "rk_nsr.model:NSR",
        "nsr-images": "rk_nsr.visual:VisualNSR",
        "lstm-seq2seq": "rk_nsr.seq2seq:LstmSeq2Seq",
    }


@hookimpl
def rk_layers() -> dict[str, str]:
    return {"symbol-cnn": "rk_nsr.perception:SymbolCnn"}


@hookimpl
def rk_data() -> dict[str, str]:
    return {
        "scan": "rk_nsr.scan:Scan",
        "pcfg-set": "rk_nsr.pcfg:PcfgSet",
        "hint": "rk_nsr.hint:Hint",
        "hint-images": "rk_nsr.hint:HintImages",
        "translation": "rk_nsr.translation:Translation",
        "sentence-pairs": "rk_nsr.own_pairs:SentencePairs",
    }


@hookimpl
def rk_trainers() -> dict[str, str]:
    return {"deduction-abduction": "rk_nsr.trainer:DeductionAbduction"}
