"""Long timescales by curriculum: leaky RNNs with trainable time constants on memory tasks that grow.

Khajehabdollahi, Zeraati, Giannakakis, Schäfer, Martius and Levina, "Emergent mechanisms for long timescales depend on
training curriculum and affect performance in memory tasks", ICLR 2024, arXiv:2309.12927:

    @inproceedings{khajehabdollahi2024emergent,
      title     = {Emergent mechanisms for long timescales depend on training curriculum and affect performance in
                   memory tasks},
      author    = {Khajehabdollahi, Sina and Zeraati, Roxana and Giannakakis, Emmanouil and Sch{\\"a}fer, Tim Jakob and
                   Martius, Georg and Levina, Anna},
      booktitle = {International Conference on Learning Representations},
      year      = {2024}
    }
"""

from rk import hookimpl

RK_TRIAL = {"dms-quick": ("data.batch_size=8", "data.test_n=[2, 3]", "model.d_model=16")}


@hookimpl
def rk_layers() -> dict[str, str]:
    return {"leaky": "rk_timescales.layer:Leaky"}


@hookimpl
def rk_data() -> dict[str, str]:
    return {"n-dms": "rk_timescales.dms:NDMS", "n-parity": "rk_timescales.parity:NParity"}


@hookimpl
def rk_losses() -> dict[str, str]:
    return {"head-cross-entropy": "rk_timescales.loss:HeadCrossEntropy"}


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {
        "forgetting": "rk_timescales.forgetting:Forgetting",
        "lesions": "rk_timescales.lesions:Lesions",
        "timescales": "rk_timescales.timescales:Timescales",
    }
