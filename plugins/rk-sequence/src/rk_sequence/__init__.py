"""Sequences: a model with a slot for any layer, tasks that tell layers apart, text, and truncated backpropagation."""

from rk import hookimpl


@hookimpl
def rk_models() -> dict[str, str]:
    return {"sequence": "rk_sequence.model:SequenceModel"}


@hookimpl
def rk_layers() -> dict[str, str]:
    return {"attention": "rk_sequence.attention:Attention"}


@hookimpl
def rk_data() -> dict[str, str]:
    return {
        "adding": "rk_sequence.adding:Adding",
        "group-words": "rk_sequence.group_words:GroupWords",
        "parity": "rk_sequence.parity:Parity",
    }
