"""Relaxed Recursive Transformers: a trained model of many blocks becomes one of few that run several times.

Bae, Fisch, Harutyunyan, Ji, Kim and Schuster, "Relaxed Recursive Transformers: Effective Parameter Sharing with
Layer-wise LoRA", ICLR 2025, arXiv:2410.20672:

    @inproceedings{bae2025relaxed,
      title     = {Relaxed Recursive Transformers: Effective Parameter Sharing with Layer-wise {LoRA}},
      author    = {Bae, Sangmin and Fisch, Adam and Harutyunyan, Hrayr and Ji, Ziwei and Kim, Seungyeon and
                   Schuster, Tal},
      booktitle = {International Conference on Learning Representations},
      year      = {2025}
    }
"""

from rk import hookimpl

_SOURCE = "it is trained as the source of text-quick"
_SMALLER = "the other checks take its steps, at smaller sizes"
_ALIKE = "it differs by numbers from text-quick or lm-tiny, whose steps are taken; it would train its sources first"
_GRID = [f"text-{name}" for name in ("average", "lower", "random", "stepwise")]
_OTHERS = ("text-kd", "text-reduced", "text-reduced-full", "text-uptrained")
_EXITS = ("text-exits", "text-exits-none", "text-exits-targets", "text-exits-weighted")

RK_EXEMPT = {
    "recipe-takes-two-steps:text-vanilla": _SOURCE,
    "recipe-takes-two-steps:text-quick": _SMALLER,
    **{
        f"recipe-takes-two-steps:{name}{by}": _ALIKE
        for name in _GRID
        for by in ("", "-svd", "-zero")
        if name + by != "text-average-svd"
    },
    **{f"recipe-takes-two-steps:{name}": _ALIKE for name in (*_OTHERS, *_EXITS)},
}
_SHORT = (
    "data.batch_size=4",
    "model.source.overrides=['callbacks.0.initials=[average]', 'callbacks.0.ranks=[0]']",
)
RK_TRIAL = {
    "text-quick": _SHORT,
    "text-average": _SHORT,
    "conversion": ("initials=[average]", "ranks=[0, 4]", "limit=1"),
    "depthwise-batching": ("slots=2", "sequences=3", "prompt_length=2", "new_tokens=3"),
}


@hookimpl
def rk_trainers() -> dict[str, str]:
    return {"multi-exit": "rk_relaxed_recursive.multi_exit:MultiExitTrainer"}


@hookimpl
def rk_callbacks() -> dict[str, str]:
    return {
        "conversion-table": "rk_relaxed_recursive.conversion:ConversionTable",
        "exit-stats": "rk_relaxed_recursive.exit_stats:ExitStatsCallback",
    }


@hookimpl
def rk_analyses() -> dict[str, str]:
    return {
        "conversion": "rk_relaxed_recursive.conversion:Conversion",
        "depthwise-batching": "rk_relaxed_recursive.batching:DepthwiseBatching",
        "exit-stats": "rk_relaxed_recursive.exit_stats:ExitStats",
    }


@hookimpl
def rk_exporters() -> dict[str, str]:
    return {
        "tied-safetensors": "rk_relaxed_recursive.tied:TiedSafetensors",
        "untied": "rk_relaxed_recursive.untied:Untied",
    }
