"""Published test suites and minimal pairs, downloaded if missing."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path
from typing import Any, Literal

from rk.files import content, damaged, data_folder, fetch
from rk.reading import parse_json, text_of

SuiteName = Literal["mvrr", "npz_ambig", "npz_obj", "nn-nv-rpl"]
PairsName = Literal[
    "regular_plural_subject_verb_agreement_1",
    "irregular_plural_subject_verb_agreement_1",
    "anaphor_number_agreement",
    "determiner_noun_agreement_1",
    "wh_vs_that_no_gap",
]

_SYNTAXGYM = "https://raw.githubusercontent.com/cpllab/syntactic-generalization/43f1f86/test_suites/json"
_BLIMP = "https://raw.githubusercontent.com/alexwarstadt/blimp/3e56b06/data"
SUITES = {
    "mvrr": "5201adc7f9019caffc0bc54ca2d71db601f187d5a0dce55df0e90fd5592b2581",
    "npz_ambig": "2b46dd51f5985e62527e59e7f536656e28f462e33de9e3459cd635f73d5ca5e3",
    "npz_obj": "6852eddee888fce984dbe7734f90bfccd185e8b4d11affb8141434d5362b5cb6",
    "nn-nv-rpl": "7b06181fe8aa7cc6d3c3a224485b3023be2be638ca2ae16ef2dc1ee2c74d4dec",
}
"""Garden paths of SyntaxGym (MIT): name -> SHA-256 of the file."""
PAIRS = {
    "regular_plural_subject_verb_agreement_1": "1a18d94062c8e792c0a200a3b00dff0e051a92bb084c05e9b5e5c73bee32a620",
    "irregular_plural_subject_verb_agreement_1": "0066174143671bffa54232d89254d14221afab666273edfefdfb625fbb75e226",
    "anaphor_number_agreement": "05c16b8bfe4feb5b3552dc2c53d1742ce0c91d9a1c896684335bdddd4373cc9b",
    "determiner_noun_agreement_1": "f48065fd760d0fd1a895012860d38bdf3c2ac115cd221e521684cc430c0f1855",
    "wh_vs_that_no_gap": "6a25d0d1499e9f522696a62ce9dba8c49f58c5446fddc6d852bf562d1016163c",
}
"""Minimal pairs of BLiMP (CC BY 4.0): name -> SHA-256 of the file."""


def published_suite(name: str) -> Any:
    """Returns a suite of SyntaxGym as JSON has it. Raises `rk.UserError`."""
    file = f"{name}.json"
    packed = "syntaxgym/test_suites_json.tar.gz"
    return parse_json(_text(packed, f"syntaxgym/{file}", f"{_SYNTAXGYM}/{file}", SUITES[name]), file)


def published_pairs(name: str) -> list[Any]:
    """Returns the minimal pairs of a file of BLiMP as JSON has them. Raises `rk.UserError`."""
    file = f"{name}.jsonl"
    text = _text("blimp/blimp_jsonl.tar.gz", f"blimp/{file}", f"{_BLIMP}/{file}", PAIRS[name])
    return [parse_json(line, file, i) for i, line in enumerate(text.splitlines(), 1) if line.strip()]


def _text(packed: str, name: str, url: str, checksum: str) -> str:
    """Returns the text of a file, which may be packed with others of its kind in the data folder."""
    archive = data_folder() / packed
    path, found = (archive, _member(archive, Path(name).name)) if archive.is_file() else (archive, None)
    if found is None:
        path = fetch(name, url, f"sha256:{checksum}")
        found = content(path)
    if hashlib.sha256(found).hexdigest() != checksum:
        raise damaged(path)
    return text_of(found, path)


def _member(archive: Path, name: str) -> bytes | None:
    try:
        with tarfile.open(archive) as tar:
            inside = tar.extractfile(name)
            return None if inside is None else inside.read()
    except KeyError:
        return None
    except (OSError, EOFError, tarfile.TarError):
        raise damaged(archive, "it cannot be unpacked") from None
