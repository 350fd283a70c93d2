"""Sheets of images with captions."""

from __future__ import annotations

import pytest
import torch

from rk.errors import UserError
from rk.sheets import GAP, SIDE, WIDEST, draw_sheet, grid

pil = pytest.importorskip("PIL.Image")


@pytest.mark.parametrize(
    ("count", "shape"), [(1, (1, 1)), (7, (1, 7)), (8, (1, 8)), (9, (2, 5)), (16, (2, 8)), (17, (3, 6)), (0, (0, 0))]
)
def test_rows_are_about_the_same_length(count, shape):
    assert grid(count) == shape


def test_a_long_caption_is_cut_short_and_keeps_its_probability(tmp_path):
    import numpy

    images = torch.zeros(1, 4, 4)
    file = draw_sheet(images, [f"{'a very long name ' * 9}  98%"], [True], tmp_path / "sheet")
    sheet = numpy.asarray(pil.open(file).convert("L"))
    assert SIDE < sheet.shape[1] <= WIDEST + 2 * GAP
    assert (sheet[:, : GAP // 2] == 255).all() and (sheet[:, -GAP // 2 :] == 255).all()  # nothing reaches the edge


def test_images_keep_their_shape(tmp_path):
    sheet = pil.open(draw_sheet(torch.ones(1, 10, 40), ["?"], [None], tmp_path / "sheet"))
    column = [sheet.getpixel((GAP + SIDE // 2, GAP + y)) for y in range(SIDE)]
    assert column.count((0, 0, 0)) == pytest.approx(SIDE / 4, abs=3)


@pytest.mark.parametrize("name", ["sheet.PNG", "sheet.pdf", "run.v2"])
def test_the_file_has_the_format_of_its_ending(tmp_path, name):
    file = draw_sheet(torch.zeros(1, 4, 4), ["?"], [None], tmp_path / name)
    assert file.name == (f"{name}.png" if name == "run.v2" else name) and file.is_file()


def test_another_ending_and_a_missing_folder_are_the_users_mistake(tmp_path):
    with pytest.raises(UserError, match=r"\.png or \.pdf"):
        draw_sheet(torch.zeros(1, 4, 4), ["?"], [None], tmp_path / "sheet.svg")
    with pytest.raises(UserError, match="cannot write"):
        draw_sheet(torch.zeros(1, 4, 4), ["?"], [None], tmp_path / "gone" / "sheet.png")
