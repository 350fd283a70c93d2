"""Linear state-space layers: one layer as a recurrence, a convolution and a differential equation.

Gu, Johnson, Goel, Saab, Dao, Rudra and Re, "Combining Recurrent, Convolutional, and Continuous-time Models with Linear
State-Space Layers", NeurIPS 2021, arXiv:2110.13985:

    @inproceedings{gu2021lssl,
      title     = {Combining Recurrent, Convolutional, and Continuous-time Models with Linear State-Space Layers},
      author    = {Gu, Albert and Johnson, Isys and Goel, Karan and Saab, Khaled and Dao, Tri and Rudra, Atri and
                   R{\\'e}, Christopher},
      booktitle = {Advances in Neural Information Processing Systems},
      year      = {2021}
    }
"""

from rk import hookimpl

RK_TRIAL = {
    "smnist-quick": ("data.batch_size=8", "data.train_limit=200", "data.shrink=7", "model.layer.order=4"),
    "gunpoint-linear": ("model.num_kernels=20",),
    "gunpoint-quick": ("data.batch_size=8", "model.layer.order=4", "model.d_model=8"),
    "speech-quick": ("data.batch_size=8", "data.train_limit=200", "data.rate=200", "model.layer.order=4"),
}


@hookimpl
def rk_layers() -> dict[str, str]:
    return {"lssl": "rk_lssl.layer:LSSL"}


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {
        "memory-probe": "rk_lssl.memory_probe:MemoryProbe",
        "resampling": "rk_lssl.resampling:Resampling",
    }


@hookimpl
def rk_exporters() -> dict[str, str]:
    return {"recurrence": "rk_lssl.recurrence:Recurrence"}
