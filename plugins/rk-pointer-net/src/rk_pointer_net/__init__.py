"""Pointer Networks: an LSTM whose attention over the input is its output distribution.

Vinyals, Fortunato and Jaitly, "Pointer Networks", NIPS 2015, arXiv:1506.03134:

    @inproceedings{vinyals2015pointer,
      title     = {Pointer Networks},
      author    = {Vinyals, Oriol and Fortunato, Meire and Jaitly, Navdeep},
      booktitle = {Advances in Neural Information Processing Systems},
      volume    = {28},
      year      = {2015}
    }
"""

from rk import hookimpl

RK_TRIAL = {"tsp-quick": ("data.batch_size=16",)}


@hookimpl
def rk_models() -> dict[str, str]:
    return {"pointer-net": "rk_pointer_net.model:PointerNet"}


@hookimpl
def rk_data() -> dict[str, str]:
    return {
        "convex-hull": "rk_pointer_net.data:ConvexHull",
        "delaunay": "rk_pointer_net.delaunay:Delaunay",
        "tsp": "rk_pointer_net.tsp:TSP",
    }
