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
