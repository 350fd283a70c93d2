"""Quantised networks: few bits for the weights and activations of any learner."""

from rk import hookimpl

_SCORE = "{name: quantized-score, label: w8a8, activations: 8, samples: 1}"

RK_TRIAL = {
    "digits-float": (f"callbacks=[{_SCORE}]",),
    "digits-w8a8": ("search.samples=1",),
    "mixed-precision": ("probes=1", "samples=1"),
    **dict.fromkeys(
        [f"{net}-w4-{by}" for net in ("conv", "deep") for by in ("hessian", "reversed", "uniform")],
        ("callbacks.0.samples=1",),
    ),
}


@hookimpl
def rk_searches() -> dict[str, str]:
    return {
        "quantize": "rk_quantization.search:Quantize",
        "mixed-precision": "rk_quantization.mixed:MixedPrecision",
    }


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {"text-loss": "rk_quantization.text_loss:TextLoss"}


@hookimpl
def rk_callbacks() -> dict[str, str]:
    return {"qat": "rk_quantization.qat:QAT", "quantized-score": "rk_quantization.score:QuantizedScore"}


@hookimpl
def rk_exporters() -> dict[str, str]:
    return {
        "int-safetensors": "rk_quantization.export:IntSafetensors",
        "int-torch-export": "rk_quantization.int_torch_export:IntTorchExport",
        "onnx-qdq": "rk_quantization.onnx_qdq:ONNXQDQ",
    }


@hookimpl
def rk_models() -> dict[str, str]:
    return {"quantized": "rk_quantization.pact:Quantized"}
