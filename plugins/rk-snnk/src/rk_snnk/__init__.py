"""Scalable neural network kernels: layers in which inputs and weights meet in one dot product of random features.

Sehanobish, Choromanski, Zhao, Dubey and Likhosherstov, "Scalable Neural Network Kernels", ICLR 2024, arXiv:2310.13225:

    @inproceedings{sehanobish2024scalable,
      title     = {Scalable Neural Network Kernels},
      author    = {Sehanobish, Arijit and Choromanski, Krzysztof Marcin and Zhao, Yunfan and Dubey, Kumar Avinava and
                   Likhosherstov, Valerii},
      booktitle = {International Conference on Learning Representations},
      year      = {2024}
    }
"""

from rk import hookimpl

_ADAPTED = ("smollm2-snnk", "smollm2-bottleneck-8", "smollm2-bottleneck-25")
_TINY = ("data.model=llama", "data.random_init=true", "data.length=8", "data.eval_length=8", "data.train_limit=2000")
_INSIDE = ("model.base.model=llama", "model.base.random_init=true", "model.targets=['*.o_proj']")

RK_EXEMPT = {
    f"recipe-takes-two-steps:{name}": "it needs the weights of SmolLM2, 93 MB to download"
    for name in (*_ADAPTED, "smollm2-as-is")
}
RK_TRIAL = {
    **dict.fromkeys(_ADAPTED, (*_TINY, *_INSIDE)),
    "smollm2-as-is": (*_TINY, "model.model=llama", "model.random_init=true"),
}


@hookimpl
def rk_models() -> dict[str, str]:
    return {
        "snnk-mlp": "rk_snnk.model:SnnkMLP",
        "snnk-replace": "rk_snnk.replace:SnnkReplace",
        "snnk-adapter": "rk_snnk.adapters:SnnkAdapter",
        "bottleneck-adapter": "rk_snnk.adapters:BottleneckAdapter",
    }


@hookimpl
def rk_layers() -> dict[str, str]:
    return {
        "relu-features": "rk_snnk.features:ReluFeatures",
        "trig-features": "rk_snnk.features:TrigFeatures",
    }


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {"snnk-error": "rk_snnk.estimation:SnnkError"}
