"""Damaged and hostile files: every reader of users' text files returns, or raises a `UserError`, and nothing else."""

from __future__ import annotations

import gzip
import io
import os
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rk_kernels.tables import read_table
from rk_kernels.tabular import Tabular
from rk_lm.jsonl import MultipleChoiceJsonl
from rk_lm.question_lines import read_questions
from rk_pointer_net.data import ConvexHull
from rk_pointer_net.reading import read_point_sets
from rk_sequence.text import Text
from rk_vision.cifar import MEMBERS, RECORD, read_members
from rk_vision.idx import parse_idx

from rk import UserError
from rk.builtin.digits import Digits
from rk.reading import read_json, read_json_lines, read_rows, read_text

ROUNDS = int(os.environ.get("RK_FUZZ_ROUNDS") or 60)
"""Files that each reader is given."""

TABLE = b'weight,"name, long",price,age\n1.5,a,2,-3e4\n2,"b\nc",5,6\n3,,7,8\n'
POINTS = b"name,x,y\na,1,2\nb,3,4.5\nc,-1e3,0\n"
LINES = (
    b'{"question": "Who?", "answer": "me", "level": 1}\n'
    b'{"question": "Which?", "choices": {"text": ["an ant", "a bee"], "label": ["A", "B"]}, "answerKey": "B"}\n'
    b'{"prompt": "1+1=", "options": ["2", "3"], "answer": 0}\n'
)
SEEDS = {
    "table": [TABLE, TABLE.replace(b",", b";"), TABLE.replace(b"\n", b"\r")],
    "points": [POINTS, b"0 0 1 0 0 1 output 1 2 3\n0 0 1 1 2 2 output 1", b'[{"x": 1, "y": 2, "name": "a"}, [3, 4]]'],
    "json": [b"[[1, 2], [3, 4.5], [-1e3, 0]]", b'{"a": [1, {"b": "\\u00e9"}], "c": null}', *LINES.split(b"\n")[:2]],
    "lines": [LINES],
    "text": ["one line\nzwei Größen\n\nend".encode()],
    "digits": [b",".join([b"8"] * 64) + b"\n"],
    "idx": [bytes((0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2)) + bytes(8)],
}
TOKENS = [
    b"\0", b'"', b"'", b"\r", b"\n", b"\t", b",", b";", b" ", b"\xff", b"\xe2\x80\xa8", b"\xc2\x85", b"\xef\xbb\xbf",
    b"\xff\xfe", b"\xed\xa0\xbd", b"NaN", b"-Infinity", b"1e999", b"1e308", b"-1e308", b"9" * 400, b"9" * 5000,
    b"1_0", b"0x10", b"[" * 300, b"{" * 300, b"]", b"}", b"[", b"{", b":", b"[" * 3000 + b"]" * 3000, b"\\ud83d",
    b"\\ude00", b"\\u0000", b"null", b"true", b"output", b"x" * 140_000, b'"' + b"y\n" * 70_000, b"\x1f\x8b\x08",
    b"label", b"name", b"longitude", b"1,2,3\n", b"\xd9\xa1",
]  # fmt: skip


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Returns the content after a few random changes; now and then encoded otherwise, packed, or cut after that."""
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(content) + 1)
        end = min(len(content), start + chance.choice((0, 0, 1, 2, 10, 1000)))
        noise = chance.randbytes(chance.randint(0, 4))
        new = chance.choice((chance.choice(TOKENS), noise, content[start:end] * 2, b""))
        content = content[:start] + new + content[end:]
    way = chance.random()
    if way < 0.1:
        content = content.decode("latin-1").encode(chance.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig")))
    elif way < 0.25:
        packed = bytearray(gzip.compress(content, mtime=0))
        if chance.random() < 0.7:
            packed[chance.randrange(len(packed))] ^= 1 << chance.randrange(8)
        content = bytes(packed[: chance.choice((len(packed), chance.randrange(len(packed) + 1)))])
    return content


def read_idx(path: Path) -> None:
    try:
        parse_idx(path.read_bytes())
    except ValueError as error:  # its caller makes a `UserError` of it
        raise UserError(str(error)) from None


def archive() -> bytes:
    """Returns a small archive of the form of CIFAR-10's."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in MEMBERS:
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = RECORD
            tar.addfile(info, io.BytesIO(bytes(RECORD)))
    return buffer.getvalue()


def tabular() -> Tabular:
    data = Tabular(Path("unused.csv"), seed=0, target="price")
    state = {"mean": torch.zeros(2).double(), "deviation": torch.ones(2).double()}
    data.load_state_dict({**state, "names": ("weight", "age"), "target": "price", "place": 2})
    return data


def text(unit: str) -> Text:
    data = Text(seed=0, path=Path("unused.txt"), unit=unit)
    data.load_state_dict({"tokens": ["o", "n", "e"]})
    return data


READERS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "text": ("text", read_text, ".txt"),
    "rows": ("table", lambda path: list(read_rows(path)), ".csv"),
    "json": ("json", read_json, ".json"),
    "json lines": ("lines", lambda path: list(read_json_lines(path)), ".jsonl"),
    "table": ("table", lambda path: read_table(path).values, ".csv"),
    "packed table": ("table", lambda path: read_table(path).values, ".csv.gz"),
    "rows of a run": ("table", lambda path: tabular().read(path), ".csv"),
    "training rows": ("table", lambda path: Tabular(path, seed=0, target="price")._load(), ".csv"),
    "points": ("points", read_point_sets, ".txt"),
    "points in json": ("json", read_point_sets, ".json"),
    "hulls": ("points", lambda path: ConvexHull(seed=0).read(path), ".csv"),
    "questions": ("lines", read_questions, ".jsonl"),
    "choices": ("lines", lambda path: MultipleChoiceJsonl(path, style="letter").prepare(), ".jsonl"),
    "characters": ("text", lambda path: text("char").read(path), ".txt"),
    "words": ("text", lambda path: text("word").read(path), ".txt"),
    "digits": ("digits", lambda path: Digits(seed=0).read(path), ".csv"),
    "idx": ("idx", read_idx, ""),
}


@pytest.mark.parametrize("name", READERS)
def test_a_reader_returns_or_raises_a_user_error(tmp_path, name, capsys):
    seeds, read, ending = READERS[name]
    chance = random.Random(name)
    path = tmp_path / f"file{ending}"
    read_well = 0
    for _ in range(ROUNDS):
        content = damaged(chance.choice(SEEDS[seeds]), chance)
        path.write_bytes(content)
        try:
            read(path)
            read_well += 1
        except UserError as error:
            assert error.message
            str(error.message).encode()
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error} for {content[:500]!r}") from error
    assert read_well < ROUNDS


def test_a_damaged_archive_is_called_one(tmp_path):
    chance, whole, path = random.Random(0), archive(), tmp_path / "cifar.tar.gz"
    path.write_bytes(whole)
    assert len(read_members(path)) == 6
    for i in range(ROUNDS):
        content = damaged(whole if i % 2 else gzip.decompress(whole), chance)
        path.write_bytes(content if i % 2 else gzip.compress(content, 1))
        try:
            read_members(path)
        except UserError as error:
            assert "is not the published file" in error.message
