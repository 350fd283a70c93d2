"""The published files of SCAN (BSD licence)."""

from __future__ import annotations

from rk_nsr.published import read_published
from rk_nsr.scan_grammar import Pair

HOME = "https://raw.githubusercontent.com/brendenlake/SCAN/master"
FOLDERS = {
    "simple": ("simple_split", "simple"),
    "length": ("length_split", "length"),
    "addprim-jump": ("add_prim_split", "addprim_jump"),
    "addprim-turn-left": ("add_prim_split", "addprim_turn_left"),
    "around-right": ("template_split", "template_around_right"),
}
"""Split -> folder, and what the names of its files end in."""
SHA256 = {
    "tasks": "d824c7d9e9149ba497e25f701981dac79954e04bf670d22e5c209f076ac6c89f",
    "tasks_test_addprim_jump": "8147ae2651422c701162e174d9d66158daa57858a26b30317ac61797118ac7a5",
    "tasks_test_addprim_turn_left": "15a82c2d25ac7c3c1fff7e18051fb085974ef3617de895c520d02144396a10e2",
    "tasks_test_length": "0760752ed34a75116ae11dcc1ee17526b7500060da1366540730fa24894d7db3",
    "tasks_test_simple": "1fe1c8f5a19d0dc40e41bab94278f45f66f3dc415a978bd29855a23440610fc6",
    "tasks_test_template_around_right": "fc78a5d1077dc2c206d6c42ed89fb9022867618c3f331179bafd3ec1ca699474",
    "tasks_train_addprim_jump": "e3c78485692e028eed4205e1b8b3fd0e785ef2c12d45b5b89204dadf5b239e23",
    "tasks_train_addprim_turn_left": "1b3fed86055dd7689d217f1b90cc8960aeb1cf200f4f209dc47935761b05304c",
    "tasks_train_length": "b034212dc7cf87ce62f3a067dd6ad49c4d5cd18d51d615d13825516bcb1ebbc2",
    "tasks_train_simple": "941bb8a088c5f53ceff12fde902dc008933cf0c4203cc672c47b5f79d73262dd",
    "tasks_train_template_around_right": "d5d35d174d557645fc61f289424afa0d95fde21422c59a9819e2d0fcfa9d419f",
}
"""File -> checksum of its text."""


def read_tasks() -> list[Pair]:
    """Returns all commands, as published. Raises `rk.UserError`."""
    return _pairs("tasks", f"{HOME}/tasks.txt")


def read_split(split: str) -> tuple[list[Pair], list[Pair]]:
    """Returns the commands that are trained on, each once, and those that are tested. Raises `rk.UserError`."""
    folder, name = FOLDERS[split]
    train, test = (
        _pairs(f"tasks_{part}_{name}", f"{HOME}/{folder}/tasks_{part}_{name}.txt") for part in ("train", "test")
    )
    return list(dict.fromkeys(train)), test


def _pairs(name: str, url: str) -> list[Pair]:
    found = []
    for line in read_published(f"scan/{name}.txt", url, SHA256[name]):
        command, _, actions = line.removeprefix("IN: ").partition(" OUT: ")
        found.append((tuple(command.split()), tuple(actions.split())))
    return found
