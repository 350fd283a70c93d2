"""Short names of models, which plugins may add to."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

import pluggy

hookspec = pluggy.HookspecMarker("rk_lm")
hookimpl = pluggy.HookimplMarker("rk_lm")


@dataclass(frozen=True)
class Alias:
    """The model behind a short name.

    Attributes:
        hub: Its id on the Hugging Face hub.
        family: The ``model_type`` of its configuration.
        gated: Whether its licence must be accepted before it can be downloaded.
    """

    hub: str
    family: str
    gated: bool = False


ALIASES = {
    "gemma": Alias("google/gemma-3-1b-pt", "gemma3_text", gated=True),
    "gemma-2": Alias("google/gemma-2-2b", "gemma2", gated=True),
    "llama": Alias("meta-llama/Llama-3.2-1B", "llama", gated=True),
    "olmoe": Alias("allenai/OLMoE-1B-7B-0924", "olmoe"),
    "qwen": Alias("Qwen/Qwen3-0.6B-Base", "qwen3"),
    "qwen-2": Alias("Qwen/Qwen2.5-0.5B", "qwen2"),
    "smollm2": Alias("HuggingFaceTB/SmolLM2-135M-Instruct", "llama"),
    "smollm3": Alias("HuggingFaceTB/SmolLM3-3B-Base", "smollm3"),
}
"""The aliases that come with rk-lm."""


class Hooks:
    """The hooks that a plugin may implement, in a module that an entry point of the group ``rk_lm`` names."""

    @hookspec
    def rk_lm_aliases(self) -> dict[str, Alias]:
        """Returns short names of models; a name that rk-lm has itself keeps its meaning."""
        raise NotImplementedError  # pluggy calls the plugins' functions of this name


def all_aliases() -> dict[str, Alias]:
    """Returns the aliases of rk-lm and of every plugin that adds some; a plugin that fails adds none."""
    manager = pluggy.PluginManager("rk_lm")
    manager.add_hookspecs(Hooks)
    found: dict[str, Alias] = {}
    for point in entry_points(group="rk_lm"):
        try:
            name = manager.register(point.load(), name=point.name)
            for implementation in manager.hook.rk_lm_aliases.get_hookimpls():
                if implementation.plugin_name == name:
                    given: Any = implementation.function()  # Any: a plugin may return anything
                    found |= given
        except Exception as error:  # a plugin may do anything, and is not what the user has asked for
            import sys

            print(f"warning: the aliases of {point.value} are left out: {error}", file=sys.stderr)
    return found | ALIASES
