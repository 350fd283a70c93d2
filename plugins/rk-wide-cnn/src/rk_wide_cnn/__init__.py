"""Wide convolutional networks whose patches do not overlap: their kernels, and how fast they learn local functions.

Cagnetta, Favero and Wyart, "What Can Be Learnt With Wide Convolutional Neural Networks?", ICML 2023, arXiv:2208.01003:

    @inproceedings{cagnetta2023what,
      title     = {What Can Be Learnt With Wide Convolutional Neural Networks?},
      author    = {Cagnetta, Francesco and Favero, Alessandro and Wyart, Matthieu},
      booktitle = {International Conference on Machine Learning},
      year      = {2023}
    }
"""

from rk import hookimpl


@hookimpl
def rk_layers() -> dict[str, str]:
    return {"image-hierarchical-kernel": "rk_wide_cnn.image_kernel:ImageHierarchicalKernel"}


@hookimpl
def rk_models() -> dict[str, str]:
    return {"lcn": "rk_wide_cnn.lcn:LCN", "image-lcn": "rk_wide_cnn.lcn:ImageLCN"}


@hookimpl
def rk_data() -> dict[str, str]:
    return {"multisphere-field": "rk_wide_cnn.field:MultisphereField"}


@hookimpl
def rk_searches() -> dict[str, str]:
    return {"locality": "rk_wide_cnn.locality:Locality"}


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {"spectrum": "rk_wide_cnn.decay:Spectrum"}
