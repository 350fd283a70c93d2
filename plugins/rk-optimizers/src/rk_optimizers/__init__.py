"""More optimizers: well-known ones with parameters of their own, all of pytorch-optimizer, and schedule-free ones.

The optimizers are those of the packages pytorch-optimizer and schedulefree. This plugin gives them names, checks what a
recipe sets, and sees to it that validation, checkpoints and resumed runs use the right weights.
"""

from rk import hookimpl


@hookimpl
def rk_optimizers() -> dict[str, str]:
    known = {
        "adabelief": "AdaBelief",
        "adafactor": "Adafactor",
        "adan": "Adan",
        "ademamix": "AdEMAMix",
        "lamb": "LAMB",
        "lars": "LARS",
        "lion": "Lion",
        "muon": "Muon",
        "prodigy": "Prodigy",
        "shampoo": "Shampoo",
        "soap": "SOAP",
    }
    return {
        **{name: f"rk_optimizers.known:{cls}" for name, cls in known.items()},
        "pytorch-optimizer": "rk_optimizers.general:General",
        "schedule-free-sgd": "rk_optimizers.schedule_free:ScheduleFreeSGD",
        "schedule-free-adamw": "rk_optimizers.schedule_free:ScheduleFreeAdamW",
    }
