"""Looped models: a stack in which few blocks run many times, for any model that is a chain of blocks.

The layouts, initialisations and layer-wise LoRA of Bae et al., "Relaxed Recursive Transformers", ICLR 2025,
arXiv:2410.20672, and of Bae et al., "Mixture-of-Recursions", NeurIPS 2025, arXiv:2507.10524. A library for other
plugins (`rk_recursion.layouts`, `rk_recursion.stack`, `rk_recursion.relaxation`) and the model that needs only it.
"""

from rk import hookimpl


@hookimpl
def rk_models() -> dict[str, str]:
    return {"recursive": "rk_recursion.recursive:Recursive"}
