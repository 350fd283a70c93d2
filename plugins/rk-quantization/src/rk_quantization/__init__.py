"""Quantised networks: few bits for the weights and activations of any learner."""

from rk import hookimpl


@hookimpl
def rk_searches() -> dict[str, str]:
    return {
        "quantize": "rk_quantization.search:Quantize",
        "mixed-precision": "rk_quantization.mixed:MixedPrecision",
    }


@hookimpl
def rk_callbacks() -> dict[str, str]:
    return {"qat": "rk_quantization.qat:QAT", "quantized-score": "rk_quantization.score:QuantizedScore"}


@hookimpl
def rk_exporters() -> dict[str, str]:
    return {
        "int-safetensors": "rk_quantization.export:IntSafetensors",
        "onnx-qdq": "rk_quantization.onnx_qdq:ONNXQDQ",
    }
