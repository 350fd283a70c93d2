"""The components that every user expects, registered through the same hooks as any plugin's."""

from rk.hookspecs import hookimpl


@hookimpl
def rk_models():
    return {"mlp": "rk.builtin.mlp:MLP"}


@hookimpl
def rk_data():
    return {"digits": "rk.builtin.digits:Digits"}


@hookimpl
def rk_losses():
    return {"cross-entropy": "rk.builtin.losses:CrossEntropy", "mse": "rk.builtin.losses:MeanSquaredError"}


@hookimpl
def rk_metrics():
    return {"accuracy": "rk.builtin.metrics:Accuracy"}


@hookimpl
def rk_optimizers():
    return {
        "sgd": "rk.builtin.optimizers:SGD",
        "adam": "rk.builtin.optimizers:Adam",
        "adamw": "rk.builtin.optimizers:AdamW",
        "adagrad": "rk.builtin.optimizers:Adagrad",
        "sparse-adam": "rk.builtin.optimizers:SparseAdam",
        "rmsprop": "rk.builtin.optimizers:RMSprop",
    }


@hookimpl
def rk_schedules():
    return {
        "linear": "rk.builtin.schedules:Linear",
        "cosine": "rk.builtin.schedules:Cosine",
        "exponential": "rk.builtin.schedules:Exponential",
        "step": "rk.builtin.schedules:Step",
        "constant": "rk.builtin.schedules:Constant",
    }


@hookimpl
def rk_trainers():
    return {
        "backprop": "rk.builtin.backprop:Backprop",
        "lightning-module": "rk.builtin.lightning_module:LightningTrainer",
    }


@hookimpl
def rk_exporters():
    return {
        "safetensors": "rk.export.safetensors:Safetensors",
        "onnx": "rk.export.onnx:ONNX",
        "torch-export": "rk.export.torch_export:TorchExport",
        "hub": "rk.export.hub:Hub",
    }
