"""A model with its tokenizer: by alias, by its id on the hub, or out of a folder. Code in it is never run."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from rk import UserError
from rk.errors import nearest
from rk_lm import smollm2
from rk_lm.aliases import Alias, all_aliases
from rk_lm.items import Item, check_items, encode
from rk_lm.pretrained import FAMILIES, Layered, check_family
from rk_lm.question import Question
from rk_lm.tiny import byte_tokenizer, tiny_model

CONNECT_SECONDS = 5.0
SAMPLES_PER_TENSOR = 256


@dataclass(frozen=True)
class Reference:
    """A reference to frozen weights, which a run keeps in place of a copy.

    Attributes:
        asked: The name or path that the user gave.
        source: The hub id or the folder that it means.
        revision: The hub's commit, where it is known.
        digest: SHA-256 over the configuration's sizes and a sample of every weight tensor.
        parameters: How many there are.
        random: Whether the weights are random.
    """

    asked: str
    source: str
    revision: str | None
    digest: str
    parameters: int
    random: bool

    def plain(self) -> dict[str, Any]:
        """Returns it as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class LanguageModel:
    """A frozen model, layer by layer, with its tokenizer and a reference to its weights."""

    layered: Layered
    tokenizer: Any
    reference: Reference
    warned: set[str] = field(default_factory=set, repr=False, compare=False)

    def encode(self, question: Question, continuations: Sequence[str], chat: bool = False) -> Item:
        """Returns a question with what may follow it, as tokens."""
        return encode(self.tokenizer, question.prompt, continuations, chat, question.stop)

    def check_items(self, items: Sequence[Item]) -> None:
        """Warns, once, of items longer than the model's context; refuses tokens that the model does not have."""
        layered = self.layered
        warning = check_items(items, self.reference.asked, layered.context_length, layered.n_tokens)
        if warning and not self.warned:
            self.warned.add(warning)
            say(f"warning: {warning}")

    def check_chat(self) -> None:
        """Raises `rk.UserError` when prompts cannot be put into a chat template."""
        try:
            self.tokenizer.get_chat_template()
        except ValueError:  # none, or several of which none is the default
            raise UserError(
                f"{self.reference.asked} has no chat template", "leave chat out, or take a model that was tuned for it"
            ) from None


def load(name: str, *, random_init: bool = False, seed: int = 0, device: str | torch.device = "cpu") -> LanguageModel:
    """Loads a causal language model in 32 bits, frozen and in eval mode.

    Args:
        name: An alias (`rk_lm.aliases`), an id on the Hugging Face hub (``org/model``), or a folder.
        random_init: Takes a tiny random model of the same family instead; it has bytes for tokens.
        seed: Of the random weights.
        device: Where the model is put.

    Raises:
        rk.UserError: When there is no such model, its weights are not to be had, or its family is not known.
    """
    alias = all_aliases().get(name)
    with quiet():
        if random_init:
            family = _family(name, alias)
            model, tokenizer, source = tiny_model(family, seed), byte_tokenizer(), f"tiny random {family}"
            say(f"{name}: RANDOM weights, a tiny {FAMILIES[family]}: this shows the mechanics, and nothing of {name}")
        else:
            source, model, tokenizer = _load(name, _source(name, alias), alias)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    reference = Reference(
        asked=name,
        source=source,
        revision=getattr(model.config, "_commit_hash", None),
        digest=digest(model),
        parameters=sum(p.numel() for p in model.parameters()),
        random=random_init,
    )
    return LanguageModel(Layered(model.to(device)), tokenizer, reference)


def configuration(name: str) -> Any:
    """Returns the configuration of a model, for which its weights are not read. Raises `rk.UserError`."""
    from transformers import AutoConfig

    config = _part(name, AutoConfig)
    check_family(config.get_text_config(decoder=True))
    return config


def tokenizer(name: str) -> Any:
    """Returns the tokenizer of a model, for which its weights are not read. Raises `rk.UserError`."""
    from transformers import AutoTokenizer

    return _part(name, AutoTokenizer)


def _part(name: str, auto: Any) -> Any:
    """Reads the configuration or the tokenizer of a model, out of a folder, the local cache or the hub."""
    source = _source(name, all_aliases().get(name))
    if name == "smollm2":
        with contextlib.suppress(smollm2.NoPackage):
            source = str(smollm2.converted())
    with quiet():
        try:
            return auto.from_pretrained(source, local_files_only=Path(source).is_dir(), trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise _not_loaded(source, error) from error


def digest(model: torch.nn.Module) -> str:
    """Returns a SHA-256 over names, shapes and up to 256 evenly spaced values of every parameter.

    A sample distinguishes any two trainings, at once; a digest of everything would take as long as loading.
    """
    found = hashlib.sha256()
    for name, tensor in model.named_parameters():
        flat = tensor.detach().flatten()
        sample = flat[:: max(1, -(-flat.numel() // SAMPLES_PER_TENSOR))]
        found.update(f"{name} {tuple(tensor.shape)}".encode())
        found.update(sample.float().cpu().numpy().tobytes())
    return found.hexdigest()


def _source(name: str, alias: Alias | None) -> str:
    """Returns the folder or the hub id that `name` means."""
    if alias is not None:
        return alias.hub
    path = Path(name).expanduser()
    if name and path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(
                f"{name}: the folder has no config.json", "give the folder that save_pretrained has written"
            )
        return str(path)
    if name and path.is_file():
        kind = "a GGUF file" if path.suffix == ".gguf" else "a file"
        raise UserError(
            f"{name} is {kind}; a model is a folder",
            "convert it: AutoModelForCausalLM.from_pretrained(folder, gguf_file=...).save_pretrained(...), the "
            "tokenizer too"
            if path.suffix == ".gguf"
            else "give the folder that save_pretrained has written",
        )
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return name
    names = sorted(all_aliases())
    close = nearest(name, names)
    raise UserError(
        f"there is no model {name!r}",
        (f"did you mean {close}? " if close else "")
        + f"an alias ({', '.join(names)}), a hub id (org/model), or a folder",
    )


def _family(name: str, alias: Alias | None) -> str:
    """Returns the ``model_type`` that a random model is to have."""
    if alias is not None:
        return alias.family
    if name in FAMILIES:
        return name
    if Path(name).is_dir():
        from transformers import AutoConfig

        try:
            config = AutoConfig.from_pretrained(name, trust_remote_code=False).get_text_config(decoder=True)
        except Exception as error:  # what is in the file may lead to anything
            raise UserError(f"{name}/config.json cannot be read: {_in_one_line(error)}") from error
        check_family(config)
        return config.model_type
    raise UserError(
        f"there is no random model for {name!r}",
        f"an alias ({', '.join(all_aliases())}) or a family ({', '.join(FAMILIES)})",
    )


def _load(name: str, source: str, alias: Alias | None) -> tuple[str, Any, Any]:
    """Loads from a folder or from the hub's local cache; only then asks the hub, or the package index.

    Returns:
        Where it came from, the model and the tokenizer.
    """
    if Path(source).expanduser().is_dir():
        return source, *_from_folder(source)
    if name == "smollm2" and (installed := smollm2.known()) is not None:
        return str(installed), *_from_folder(str(installed))
    with contextlib.suppress(OSError, ValueError):  # it is not in the local cache, or not whole
        return source, *_from_pretrained(source, local=True)
    reasons, hints = [], []
    if name == "smollm2":
        try:
            folder = str(smollm2.converted())
            return folder, *_from_folder(folder)
        except smollm2.NoPackage as error:
            reasons.append(str(error))
            hints.append(error.hint)
    no_hub = _why_no_hub()
    if no_hub is None:
        say(f"downloading {source}")
        try:
            return source, *_from_pretrained(source, local=False)
        except (OSError, ValueError) as error:
            no_hub = _said_by_hub(error)
    reasons.append(no_hub)
    hints.append(_what_to_do(name, source, alias))
    raise UserError(_no_weights(name, source, "; and ".join(reasons)), "; or ".join(hints))


def _from_folder(folder: str) -> tuple[Any, Any]:
    """Loads a model out of a folder. Raises `rk.UserError` with what is wrong with it."""
    try:
        return _from_pretrained(folder, local=True)
    except (OSError, ValueError) as error:
        raise _not_loaded(folder, error) from error


def _from_pretrained(source: str, local: bool) -> tuple[Any, Any]:
    try:
        return _model_and_tokenizer(source, {"local_files_only": local, "trust_remote_code": False})
    except UserError as error:
        raise UserError(f"{source}: {error.message}", error.hint) from None
    except (OSError, ValueError, MemoryError):
        raise
    except Exception as error:  # a damaged file leads the libraries to raise anything
        raise _not_loaded(source, error) from error


def _not_loaded(source: str, error: BaseException) -> UserError:
    hint = "give the folder that save_pretrained has written, whole" if Path(source).is_dir() else None
    return UserError(f"{source} cannot be loaded: {_in_one_line(error)}", hint)


def _model_and_tokenizer(source: str, settings: dict[str, bool]) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    config = AutoConfig.from_pretrained(source, **settings)
    check_family(config.get_text_config(decoder=True))  # before gigabytes are read
    tokenizer = _tokenizer(AutoTokenizer, source, settings)
    read: Any = AutoModelForCausalLM.from_pretrained  # Any: with `output_loading_info` it returns a pair
    model, info = read(source, dtype=torch.float32, output_loading_info=True, **settings)
    if missing := sorted(info["missing_keys"]):
        raise UserError(
            f"the weights are not whole: {len(missing)} tensors are missing, {missing[0]} for one",
            "transformers would fill them with random numbers; give a folder whose weights belong to its config.json",
        )
    return model, tokenizer


def _tokenizer(auto: Any, source: str, settings: dict[str, bool]) -> Any:
    folder = Path(source).expanduser()
    files = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")
    if folder.is_dir() and not any((folder / name).is_file() for name in files):
        raise UserError("there is no tokenizer (tokenizer.json)", "write it there too: tokenizer.save_pretrained")
    return auto.from_pretrained(source, **settings)


def _no_weights(name: str, source: str, reason: str) -> str:
    which = name if name == source else f"{name} ({source})"
    return f"the weights of {which} are not on this machine, and {reason}"


def _what_to_do(name: str, source: str, alias: Alias | None) -> str:
    log_in = f"accept its licence at https://huggingface.co/{source}, `hf auth login`, and run this again online"
    online = log_in if alias is None or alias.gated else "run this again online"
    other = "" if name == "smollm2" else "or take a model that needs no hub: --model smollm2; "
    return (
        f"{online}; or give a folder that has them: --model PATH; {other}or try the mechanics on random weights: "
        "--random-init"
    )


def _why_no_hub() -> str | None:
    """Returns why the hub cannot be asked, or None; its own client would find out after half a minute of retries."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return "HF_HUB_OFFLINE forbids to download them"
    if urllib.request.getproxies():
        return None  # only the client knows its way
    where = urllib.parse.urlparse(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    try:
        socket.create_connection((where.hostname, where.port or 443), CONNECT_SECONDS).close()
    except OSError:
        return f"{where.hostname} cannot be reached"
    return None


def _said_by_hub(error: BaseException) -> str:
    """Returns in a few words what the hub's client has raised, through however many wrappers."""
    kinds = set()
    cause: BaseException | None = error
    while cause is not None:
        kinds.add(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    if "GatedRepoError" in kinds:
        return "the hub requires a login and an accepted licence for them"
    if "RepositoryNotFoundError" in kinds:
        return "the hub has no such model, or requires a login for it"
    return f"the download failed: {_in_one_line(error)}"


def _in_one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def say(text: str) -> None:
    """Prints a line that is not a result."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps transformers' own bars and advice off the screen."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
