"""TCNCA: temporal convolutions with chunked attention, and the damped EMA of MEGA in their place as the baseline.

Terzic, Hersche, Karunaratne, Benini, Sebastian and Rahimi, "TCNCA: Temporal Convolution Network with Chunked Attention
for Scalable Sequence Processing", 2023, arXiv:2312.05605; MEGA is Ma et al., ICLR 2023, arXiv:2209.10655:

    @article{terzic2023tcnca,
      title   = {{TCNCA}: Temporal Convolution Network with Chunked Attention for Scalable Sequence Processing},
      author  = {Terzic, Aleksandar and Hersche, Michael and Karunaratne, Geethan and Benini, Luca and Sebastian, Abu
                 and Rahimi, Abbas},
      journal = {arXiv preprint arXiv:2312.05605},
      year    = {2023}
    }
"""

from rk import hookimpl

RK_TRIAL = {
    "recall-quick": ("data.batch_size=8", "data.num_pairs=3"),
    "listops-quick": ("data.batch_size=8", "data.length=12", "data.max_depth=2", "model.d_model=16"),
    "text-quick": (
        "data.batch_size=4",
        "data.length=32",
        "data.corpus=tiny-shakespeare",
        "data.train_limit=20000",
        "data.eval_limit=4",
        "data.eval_length=32",
        "model.d_model=16",
    ),
}


@hookimpl
def rk_layers() -> dict[str, str]:
    return {"tcnca": "rk_tcnca.layer:TCNCA"}
