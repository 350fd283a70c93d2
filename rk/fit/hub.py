"""Weights from the Hugging Face hub, by its own client, which keeps what it has fetched."""

from __future__ import annotations

import re
from pathlib import Path

from rk.errors import UserError
from rk.recipe.foreign import hub_address
from rk.runs.files_of_weights import weights_in

FETCHED = ("*.safetensors", "*.safetensors.index.json", "run.json", "recipe.yaml")
"""What is fetched of a repository: weights, and what makes it a run. Code and pickles are not."""


def fetch(address: str) -> Path:
    """Returns the file or the folder of ``hf://owner/name[@revision][/file]`` on this machine, fetched where needed.

    Raises:
        UserError: When the client is not installed, or the hub does not give it: offline, no such repository, a licence
            that is to be accepted.
    """
    repo, revision, file = hub_address(address)
    try:
        import huggingface_hub
    except ImportError:
        raise UserError(f"{address} needs huggingface_hub", 'pip install "recursion-kit[hub]"') from None
    try:
        if file is not None:
            return Path(huggingface_hub.hf_hub_download(repo, file, revision=revision))
        patterns = list(FETCHED)
        found = Path(
            huggingface_hub.snapshot_download(repo, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*"])
        )
    except Exception as error:  # of the client, of its HTTP library, of the file system
        raise UserError(f"{address} cannot be fetched: {_reason(error)}", _hint(error, repo)) from error
    if not (found / "run.json").is_file() and not weights_in(found):
        raise UserError(f"{address} has no safetensors file", "weights that are pickled are not read")
    return found


def commit_of(path: Path) -> str | None:
    """Returns the commit of what `fetch` returned, which the client names its folders by; None where it does not."""
    return next((part for part in reversed(path.parts) if re.fullmatch(r"[0-9a-f]{40}", part)), None)


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


def _hint(error: Exception, repo: str) -> str:
    kinds = {cls.__name__ for cls in type(error).__mro__}
    if "GatedRepoError" in kinds:
        return f"accept its licence at https://huggingface.co/{repo}, then: hf auth login"
    missing = kinds & {"RepositoryNotFoundError", "EntryNotFoundError", "RevisionNotFoundError"}
    if missing and "LocalEntryNotFoundError" not in kinds:  # that one is of a machine without a network
        return "check owner, name, revision and file; a private repository needs: hf auth login"
    return f"without a network: `hf download {repo}` on another machine, and name the folder or the .safetensors file"
