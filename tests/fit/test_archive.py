"""Files of `torch.save` from anywhere: read as they are, refused where they would fill the memory."""

from __future__ import annotations

import zipfile

import pytest
import torch

from rk.errors import UserError
from rk.fit.archive import SLACK, read_archive
from rk.fit.build import load_data_state


class Data:
    def load_state_dict(self, state):
        self.state = state


def packed(source, target):
    """Writes the parts of a file compressed, as an attacker would."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            new.writestr(part.filename, old.read(part))


def test_saved_values_are_read_back(tmp_path):
    state = {"mean": torch.arange(3.0), "names": ("a", "b"), "view": torch.zeros(1).expand(1000, 1000)}
    torch.save(state, tmp_path / "data.pt")
    read = read_archive(tmp_path / "data.pt")
    assert (
        torch.equal(read["mean"], state["mean"]) and read["names"] == ("a", "b") and read["view"].shape == (1000, 1000)
    )


def test_a_file_that_declares_more_than_it_has_is_refused(tmp_path):
    torch.save({"zeros": torch.zeros(SLACK)}, tmp_path / "plain.pt")
    packed(tmp_path / "plain.pt", tmp_path / "data.pt")
    assert (tmp_path / "data.pt").stat().st_size < SLACK / 10
    with pytest.raises(UserError, match=r"data\.pt cannot be read: it has \d+ bytes and declares \d+"):
        load_data_state(Data(), tmp_path / "data.pt")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + bytes(18)], ids=["empty", "text", "no parts"])
def test_anything_else_is_one_clear_error(tmp_path, content):
    (tmp_path / "data.pt").write_bytes(content)
    with pytest.raises(UserError, match=r"data\.pt cannot be read"):
        load_data_state(Data(), tmp_path / "data.pt")
