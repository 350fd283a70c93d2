"""Folders of images: how they may be laid out, what is ignored, what is refused, and which split each class gets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from rk_vision.folder import ImageFolder
from rk_vision.layout import read_layout

from rk import UserError
from rk.sampling import rows


def fill(folder, count, *classes):
    """Writes so many images of each class; the first class is black, the next one lighter."""
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.new("L", (4, 4), 100 * label + i).save(folder / name / f"{i}.png")


def prepared(folder, **params):
    data = ImageFolder(**{"folder": folder, "seed": 0, "size": (2, 2), "channels": 3} | params)
    data.prepare()
    return data


def sizes(data):
    return [len(data._splits[split][1]) for split in data.splits]


# -- layout ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev", "Val"])
def test_a_folder_for_validation_is_validated(tmp_path, name):
    for part, count in (("train", 5), (name, 2), ("test", 3)):
        fill(tmp_path / part, count, "cat", "dog")
    data = prepared(tmp_path)
    assert sizes(data) == [10, 4, 6]
    levels = (255 * data.batch("val", 0)["inputs"][:, 0, 0, 0]).round()
    assert levels.tolist() == [0, 1, 100, 101] and data.batch("val", 0)["targets"].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"train": 10, "val": 2}, [18, 4, 2]),
        ({"train": 10, "test": 2}, [18, 2, 4]),
        ({"training": 10}, [16, 2, 2]),
        ({"": 10}, [16, 2, 2]),
    ],
    ids=["no test", "no val", "train alone", "classes alone"],
)
def test_splits_without_a_folder_are_taken_from_the_training_images(tmp_path, parts, expected):
    for part, count in parts.items():
        fill(tmp_path / part, count, "cat", "dog")
    assert sizes(prepared(tmp_path)) == expected


def test_a_class_may_be_called_train(tmp_path):
    fill(tmp_path, 5, "bus", "train")
    assert prepared(tmp_path).classes == ["bus", "train"]


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ([("val", "a", "b"), ("test", "a", "b")], "no folder train"),
        ([("train", "a", "b"), ("val", "a", "b"), ("valid", "a", "b")], "val and valid are both folders"),
        ([("train",), ("test",)], "train: no folders"),
        ([("train", "a", "b"), ("val", "a", "c")], "c: a class that has no training images"),
    ],
)
def test_an_unclear_layout_is_refused(tmp_path, folders, message):
    for part, *classes in folders:
        fill(tmp_path / part, 3, *classes)
        (tmp_path / part).mkdir(exist_ok=True)
        if not classes:
            Image.new("L", (4, 4)).save(tmp_path / part / "0.png")
    with pytest.raises(UserError, match=message):
        read_layout(tmp_path)


def test_a_split_without_images_is_refused(tmp_path):
    fill(tmp_path / "train", 5, "cat", "dog")
    fill(tmp_path / "val", 0, "cat", "dog")
    with pytest.raises(UserError, match="val: no images"):
        prepared(tmp_path)


def test_all_ignored_files_are_reported_in_one_line(tmp_path, capsys):
    fill(tmp_path / "train", 5, "cat", "dog")
    fill(tmp_path / "test", 2, "cat")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "raw").mkdir()
    (tmp_path / "train" / "list.csv").touch()
    (tmp_path / "train" / "cat" / "0.json").touch()
    (tmp_path / "train" / "cat" / "more").mkdir()
    for name in (".DS_Store", "Thumbs.db", "._0.png"):
        (tmp_path / "train" / "dog" / name).touch()
    data = prepared(tmp_path)
    assert sizes(data) == [9, 1, 2]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {tmp_path}: ignored: notes.txt (not in a class folder)")
    for said in (
        "raw (not a folder of a split)",
        "train/list.csv (not in a class folder)",
        "train/cat/0.json (not the ending of an image)",
        "train/cat/more (a folder in a class folder)",
        "3 hidden or system files",
    ):
        assert said in line


def test_nothing_is_printed_where_nothing_is_ignored(tmp_path, capsys):
    fill(tmp_path, 5, "cat", "dog")
    Image.new("L", (4, 4)).save(tmp_path / "cat" / "UPPER.PNG")
    assert sum(sizes(prepared(tmp_path))) == 11
    assert not capsys.readouterr().err


# -- files -------------------------------------------------------------------------------------------------------------


def test_broken_files_are_named_one_by_one(tmp_path):
    fill(tmp_path, 5, "cat", "dog")
    (tmp_path / "cat" / "1.png").write_bytes(b"no image")
    (tmp_path / "cat" / "2.png").write_bytes((tmp_path / "cat" / "2.png").read_bytes()[:-30])
    (tmp_path / "dog" / "9.jpg").symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(UserError, match="3 images cannot be read") as caught:
        prepared(tmp_path)
    for name, reason in (("cat/1.png", "cannot identify"), ("cat/2.png", "decoded"), ("dog/9.jpg", "a link to a file")):
        assert any(name in line and reason in line for line in caught.value.message.splitlines())


def test_16_bit_images_train_as_their_8_bit_copies(tmp_path):
    for name, scale, kind in (("plain", 1, "uint8"), ("deep", 257, "uint16")):
        for label in ("a", "b"):
            (tmp_path / name / label).mkdir(parents=True)
            for i in range(4):
                values = np.random.default_rng(i).integers(0, 256, (6, 6)) * scale
                Image.fromarray(values.astype(kind)).save(tmp_path / name / label / f"{i}.png")
    plain, deep = (prepared(tmp_path / name) for name in ("plain", "deep"))
    for split in plain.splits:
        gap = plain.batch(split, 0)["inputs"] - deep.batch(split, 0)["inputs"]
        assert gap.abs().max() <= 1.01 / 255


# -- classes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("many", range(6, 30, 3))
def test_every_class_is_trained_however_rare(tmp_path, many):
    fill(tmp_path, many, "a")
    fill(tmp_path, 1, "b", "c")
    data = prepared(tmp_path, val_fraction=0.3, test_fraction=0.3)
    assert set(data._splits["train"][1].tolist()) == {0, 1, 2}
    assert sum(sizes(data)) == many + 2


def test_a_class_that_cannot_have_training_images_is_named(tmp_path):
    fill(tmp_path, 2, "a")
    fill(tmp_path, 1, "b")
    with pytest.raises(ValueError, match="the class a has no training images"):
        prepared(tmp_path)


def test_a_limit_keeps_every_class_or_names_those_that_it_leaves_out(tmp_path, capsys):
    fill(tmp_path, 30, "a")
    fill(tmp_path, 2, "b", "c")
    assert set(prepared(tmp_path, train_limit=3)._splits["train"][1].tolist()) == {0, 1, 2}
    assert not capsys.readouterr().err
    prepared(tmp_path, train_limit=1)
    assert "data.train_limit 1: the classes" in capsys.readouterr().err


def test_a_split_that_had_every_class_is_what_it_was(tmp_path):
    fill(tmp_path, 10, "a", "b")
    data = prepared(tmp_path)
    levels = torch.tensor([100 * label + i for label in range(2) for i in range(10)])
    order = rows(20, 20, 0, seed=0, shuffle=True)
    tested, rest = levels[order[:2]], levels[order[2:]]
    again = rows(18, 18, 0, seed=0, shuffle=True)
    found = [data._splits[split][0][:, 0, 0, 0].tolist() for split in ("test", "val", "train")]
    assert found == [tested.tolist(), rest[again[:2]].tolist(), rest[again[2:]].tolist()]
