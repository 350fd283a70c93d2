"""Weights that no run of rk holds: a safetensors file, a folder with one, a repository of the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from rk.errors import UserError
from rk.recipe.model import WeightsRef
from rk.recipe.walk import INITIAL
from rk.runs.files_of_weights import ENDING, is_whole, weights_in
from rk.runs.kept import RUNS, place_of

HUB = "hf://"
PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".tar")
"""Endings of files that torch pickles."""
HINT = "a run, a folder with weights, a .safetensors file, or hf://owner/name"
_ADDRESS = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w.-]+))?(?:/(?P<file>[^@\s]+))?")


def hub_address(text: str) -> tuple[str, str | None, str | None]:
    """Returns repository, revision and file of ``hf://owner/name[@revision][/file]``.

    Raises:
        UserError: When it is not such an address, or its file is not a safetensors file.
    """
    found = _ADDRESS.fullmatch(text.removeprefix(HUB))
    if found is None:
        raise UserError(f"{text} must be an address on the hub", "hf://owner/name, or hf://owner/name@revision/file")
    file = found["file"]
    if file is not None and not file.endswith(ENDING):
        raise _no_weights(Path(file))
    return found["repo"], found["revision"], file


def find_weights(text: str, places: tuple[Path, ...]) -> WeightsRef | None:
    """Returns the weights that `text` names; None where it can only name a run.

    Args:
        text: What the user wrote.
        places: The folders in which it is looked for, in their order.

    Raises:
        UserError: When it names a file or an address that cannot be taken. The hub is not asked.
    """
    if text.startswith(HUB):
        hub_address(text)
        return WeightsRef(None, source=text)
    path = next((found for place in places if (found := place / Path(text).expanduser()).exists()), None)
    if path is None:
        if text.endswith((ENDING, *PICKLES)):
            raise UserError(f"there is no file {text}", HINT)
        return None
    if (path / "run.json").is_file():
        return None
    if path.is_dir():
        files = weights_in(path)
        if not files:
            return None
    elif path.suffix == ENDING:
        files = [path]
    else:
        raise _no_weights(path)
    if broken := next((file for file in files if file.suffix == ENDING and not is_whole(file)), None):
        raise UserError(f"{broken} cannot be read: the file is cut short, or not a safetensors file", "copy it again")
    return WeightsRef(path.resolve(), source=text)


def kept_weights(text: str, run: Path) -> WeightsRef | None:
    """Returns the weights that a stored recipe names, which may be gone; None where it names a run.

    Args:
        text: What is stored.
        run: The folder of the run that began with them.
    """
    kept = run / RUNS / place_of(INITIAL)
    if text.startswith(HUB):
        return WeightsRef(kept if kept.is_dir() else None, source=text)
    if (kept / "run.json").is_file() or not (kept.is_dir() or text.endswith(ENDING)):
        return None
    return WeightsRef(kept if kept.is_dir() else None, said=text, source=text)


def _no_weights(path: Path) -> UserError:
    if path.suffix in PICKLES:
        return UserError(
            f"{path} is a pickle, which can run code while it is read: weights must be a {ENDING} file",
            "if you trust it: safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'weights.safetensors')",
        )
    return UserError(f"{path} must be a {ENDING} file", HINT)
