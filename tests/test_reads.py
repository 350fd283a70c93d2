"""What an answer depends on is noted each time that it is asked for, also where it is kept."""

from __future__ import annotations

import pytest

from rk.reads import note, noted, once


def test_an_answer_is_computed_once_and_what_it_has_read_is_noted_each_time(tmp_path):
    asked = []

    @once
    def answer(name: str) -> str:
        asked.append(name)
        note(file=tmp_path / name, package="rk_odd", installed=True)
        return name.upper()

    for _ in range(2):
        with noted() as reads:
            assert answer("a") == "A"
        assert reads.files == {str(tmp_path / "a")} and reads.packages == {"rk_odd"} and reads.installed
    assert answer("b") == "B" and asked == ["a", "b"]


def test_what_is_raised_is_not_kept():
    times = []

    @once
    def answer(name: str) -> str:
        times.append(name)
        raise ValueError(name)

    for _ in range(2):
        with pytest.raises(ValueError, match="odd"):
            answer("odd")
    assert times == ["odd", "odd"]
