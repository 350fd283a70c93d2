"""The components that every user expects, registered through the same hooks as any plugin's."""

from rk.hookspecs import hookimpl


@hookimpl
def rk_models() -> dict[str, str]:
    return {"mlp": "rk.builtin.mlp:MLP"}


@hookimpl
def rk_data() -> dict[str, str]:
    return {"digits": "rk.builtin.digits:Digits"}


@hookimpl
def rk_losses() -> dict[str, str]:
    return {"cross-entropy": "rk.builtin.losses:CrossEntropy", "mse": "rk.builtin.losses:MeanSquaredError"}


@hookimpl
def rk_metrics() -> dict[str, str]:
    return {"accuracy": "rk.builtin.metrics:Accuracy"}


@hookimpl
def rk_optimizers() -> dict[str, str]:
    return {
        "sgd": "rk.builtin.optimizers:SGD",
        "adam": "rk.builtin.optimizers:Adam",
        "adamw": "rk.builtin.optimizers:AdamW",
        "adagrad": "rk.builtin.optimizers:Adagrad",
        "sparse-adam": "rk.builtin.optimizers:SparseAdam",
        "rmsprop": "rk.builtin.optimizers:RMSprop",
    }


@hookimpl
def rk_schedules() -> dict[str, str]:
    return {
        "linear": "rk.builtin.schedules:Linear",
        "cosine": "rk.builtin.schedules:Cosine",
        "exponential": "rk.builtin.schedules:Exponential",
        "step": "rk.builtin.schedules:Step",
        "constant": "rk.builtin.schedules:Constant",
        "wsd": "rk.builtin.schedules:WarmupStableDecay",
        "one-cycle": "rk.builtin.schedules:OneCycle",
        "plateau": "rk.builtin.plateau:Plateau",
    }


@hookimpl
def rk_callbacks() -> dict[str, str]:
    return {"average": "rk.builtin.average:Average"}


@hookimpl
def rk_trainers() -> dict[str, str]:
    return {
        "backprop": "rk.builtin.backprop:Backprop",
        "lightning-module": "rk.builtin.lightning_module:LightningTrainer",
    }


@hookimpl
def rk_exporters() -> dict[str, str]:
    return {
        "safetensors": "rk.export.safetensors:Safetensors",
        "onnx": "rk.export.onnx:ONNX",
        "torch-export": "rk.export.torch_export:TorchExport",
        "hub": "rk.export.hub:Hub",
    }


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {"footprint": "rk.export.footprint:Footprint"}
