"""Pretrained causal language models: a library that other plugins build on, with its own question data.

`rk_lm.load.load` brings a model by alias, hub id or folder; `rk_lm.layered.Layered` takes it apart into layers that can
be called in any order; `rk_lm.engine.Engine` runs many such orders at once; `rk_lm.questions` has the questions.
"""

from rk import hookimpl


@hookimpl
def rk_data() -> dict[str, str]:
    return {
        "arith-levels": "rk_lm.arith:ArithLevels",
        "exact-jsonl": "rk_lm.jsonl:ExactJsonl",
        "mc-jsonl": "rk_lm.jsonl:MultipleChoiceJsonl",
        "arc": "rk_lm.arc:Arc",
        "gsm8k": "rk_lm.gsm8k:Gsm8k",
        "lm-text": "rk_lm.text:LMText",
    }


@hookimpl
def rk_models() -> dict[str, str]:
    return {"causal-lm": "rk_lm.causal_lm:CausalLM"}


@hookimpl
def rk_exporters() -> dict[str, str]:
    return {"transformers": "rk_lm.transformers_folder:TransformersFolder"}
