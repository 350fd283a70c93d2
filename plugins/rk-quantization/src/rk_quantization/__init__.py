"""Quantised networks: few bits for the weights and activations of any learner."""

from rk import hookimpl


@hookimpl
def rk_searches() -> dict[str, str]:
    return {"quantize": "rk_quantization.search:Quantize"}


@hookimpl
def rk_callbacks() -> dict[str, str]:
    return {"qat": "rk_quantization.qat:QAT"}
