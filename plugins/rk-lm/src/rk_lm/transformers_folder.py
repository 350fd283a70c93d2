"""Exporter `transformers`: a run of `causal-lm` as a folder that the transformers library loads."""

from __future__ import annotations

from pathlib import Path

from rk import LoadedRun, UserError
from rk_lm.causal_lm import CausalLM
from rk_lm.load import quiet, tokenizer
from rk_lm.tiny import byte_tokenizer


class TransformersFolder:
    """The model with its tokenizer, as ``save_pretrained`` writes them: ``AutoModelForCausalLM.from_pretrained``.

    A looped model is untied first (`rk export RUN --to untied`), one with adapters merged (`--to merged`).

    Examples:
        rk export last --to transformers -o my-model
    """

    def export(self, run: LoadedRun, out: Path) -> list[Path]:
        """Writes the folder.

        Raises:
            rk.UserError: When the run's model is not `causal-lm` itself, or has weights that the library does not know.
        """
        model = getattr(run.learner, "model", None)
        if not isinstance(model, CausalLM):
            raise UserError(
                f"{run.folder.label} is not a run of causal-lm alone",
                "a looped model: rk export RUN --to untied first; others: --to safetensors",
            )
        words = byte_tokenizer() if model.random_init else tokenizer(model.name)
        with quiet():
            model.whole().save_pretrained(out)
            words.save_pretrained(out)
        return sorted(path for path in out.rglob("*") if path.is_file())
