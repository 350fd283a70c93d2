"""Image data: formats, checksums, downloads, splits, and a user's own files."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import io
import os
import struct
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rk_vision import mnist
from rk_vision.cifar import RECORD, parse_records, read_members
from rk_vision.folder import ImageFolder
from rk_vision.idx import parse_idx
from rk_vision.mnist import MNIST, FashionMNIST
from rk_vision.reading import read_colored, read_digit, read_grey
from rk_vision.sources import Source, read_gzip

from rk import UserError
from rk.files import data_folder


def idx(values: np.ndarray) -> bytes:
    return bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


# -- formats -----------------------------------------------------------------------------------------------------------


def test_an_idx_file_is_read_in_row_order():
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert torch.equal(parse_idx(idx(values)), torch.from_numpy(values))


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0\x08", b"\0\0\x0d\1" + bytes(8), idx(np.zeros(5, np.uint8))[:-1], idx(np.zeros(5, np.uint8)) + b"\0"],
    ids=["empty", "cut-header", "floats", "cut", "longer"],
)
def test_anything_else_is_not_an_idx_file(content):
    with pytest.raises(ValueError, match="IDX"):
        parse_idx(content)


def test_a_cifar_record_is_its_class_and_three_planes(tmp_path):
    record = bytes([7]) + bytes([1]) * 1024 + bytes([2]) * 1024 + bytes([3]) * 1024
    archive = tmp_path / "cifar.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin", "readme.html"]:
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(record)
            tar.addfile(info, io.BytesIO(record))
    parts = read_members(archive)
    assert len(parts) == 6
    pictures, targets = parts[0]
    assert targets.tolist() == [7] and pictures[0].amin((1, 2)).tolist() == pictures[0].amax((1, 2)).tolist() == [
        1,
        2,
        3,
    ]


def test_a_cut_cifar_file_is_refused():
    with pytest.raises(ValueError, match="not a whole number"):
        parse_records(bytes(RECORD + 1))


# -- where files come from ---------------------------------------------------------------------------------------------

CONTENT = gzip.compress(b"published")


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A web server with one file, and an empty data folder; counts what is asked for."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "file.gz").write_bytes(CONTENT)
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("RK_DATA", str(tmp_path / "data"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield Source("things", f"http://127.0.0.1:{server.server_port}/file.gz", md5(CONTENT), md5(b"published")), asked
        server.shutdown()


def test_a_file_is_downloaded_once_into_the_data_folder(published, tmp_path):
    source, asked = published
    assert read_gzip(source) == b"published"
    assert source.fetch() == tmp_path / "data" / "things" / "file.gz" and read_gzip(source) == b"published"
    assert len(asked) == 1


def test_a_download_with_another_checksum_is_refused_and_not_kept(published):
    source, _ = published
    other = Source(source.folder, source.url, "0" * 32)
    with pytest.raises(UserError, match="cannot be downloaded"):
        other.fetch()
    assert not (data_folder() / "things" / "file.gz").exists()


def test_a_repacked_copy_is_accepted(published):
    source, asked = published
    path = data_folder() / "things" / "file.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(b"published", compresslevel=1, mtime=7))
    assert read_gzip(source) == b"published" and not asked


@pytest.mark.parametrize(
    "content", [gzip.compress(b"another"), b"no gzip", CONTENT[:-9]], ids=["other", "plain", "cut"]
)
def test_a_damaged_file_is_one_clear_error(published, content):
    source, _ = published
    path = data_folder() / "things" / "file.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not the published file"):
        read_gzip(source)


def test_without_network_the_error_names_where_the_file_belongs(tmp_path, monkeypatch):
    monkeypatch.setenv("RK_DATA", str(tmp_path))
    with pytest.raises(UserError, match="cannot be downloaded") as error:
        Source("things", "http://127.0.0.1:9/file.gz", md5(CONTENT)).fetch()
    assert "RK_DATA" in error.value.hint and str(tmp_path / "things") in error.value.hint


# -- splits and batches ------------------------------------------------------------------------------------------------


@pytest.fixture
def small_mnist(tmp_path, monkeypatch):
    """MNIST's format and folder with 200 + 40 images, each filled with its own number."""
    monkeypatch.setenv("RK_DATA", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    made = []
    for part, count in zip(mnist.PARTS, (200, 200, 40, 40), strict=True):
        numbers = np.arange(count, dtype=np.uint8)
        values = numbers % 10 if "labels" in part else np.broadcast_to(numbers[:, None, None], (count, 28, 28)).copy()
        content = idx(values)
        packed = gzip.compress(content)
        (tmp_path / "mnist" / f"{part}.gz").write_bytes(packed)
        made.append(Source("mnist", f"http://127.0.0.1:9/{part}.gz", md5(packed)))
    monkeypatch.setattr(MNIST, "_sources", tuple(made))

    def make(**params) -> MNIST:
        data = MNIST(**{"seed": 0, "batch_size": 32} | params)
        data.prepare()
        return data

    return make


def everything(data, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    found = [data.batch(split, i) for i in range(data.batches(split))]
    return torch.cat([b["inputs"] for b in found]), torch.cat([b["targets"] for b in found])


def test_every_image_is_in_one_split_with_its_own_class(small_mnist):
    data = small_mnist(val_fraction=0.1)
    numbers = {}
    for split in data.splits:
        inputs, targets = everything(data, split)
        assert inputs.shape[1:] == data.input_shape and data.num_features == inputs[0].numel()
        number = (inputs[:, 0, 0, 0] * 255).round().long()
        assert torch.equal(number % 10, targets)
        numbers[split] = set(number.tolist())
    assert len(numbers["val"]) == 20 and numbers["train"] | numbers["val"] == set(range(200))
    assert numbers["test"] == set(range(40))


def test_the_seed_orders_training_but_chooses_nothing(small_mnist):
    a, b = small_mnist(seed=0, train_limit=50), small_mnist(seed=1, train_limit=50)
    for split in ("val", "test"):
        assert torch.equal(everything(a, split)[0], everything(b, split)[0])
    first, second = (everything(data, "train")[0][:, 0, 0, 0] for data in (a, b))
    assert not torch.equal(first, second) and torch.equal(first.sort().values, second.sort().values)


def test_limits_take_so_many(small_mnist):
    data = small_mnist(train_limit=50, test_limit=7)
    assert len(everything(data, "train")[1]) == 50 and len(everything(data, "test")[1]) == 7


def test_a_split_without_training_images_is_the_recipes_mistake(small_mnist):
    with pytest.raises(ValueError, match="leaves no training images of 200"):
        small_mnist(val_fraction=0.999)


@pytest.mark.skipif(
    not (Path(os.environ.get("RK_DATA", "-")) / "mnist" / f"{mnist.PARTS[2]}.gz").is_file(),
    reason="no MNIST in RK_DATA",
)
def test_the_published_test_digits_are_what_they_are_known_to_be():
    _, _, pictures, targets = MNIST._sources
    assert parse_idx(read_gzip(pictures)).shape == (10000, 28, 28)
    assert torch.bincount(parse_idx(read_gzip(targets))).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip


# -- folders -----------------------------------------------------------------------------------------------------------


def fill(folder: Path, colors: dict[str, tuple[int, int, int]], count: int) -> None:
    for name, color in colors.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (5 + i, 9), color).save(folder / name / f"{i}.png")


COLORS = {"blue": (0, 0, 255), "red": (255, 0, 0)}


def test_class_folders_become_classes(tmp_path):
    fill(tmp_path, COLORS, 10)
    data = ImageFolder(folder=tmp_path, seed=0, size=(4, 6))
    data.prepare()
    assert (data.num_classes, data.input_shape, data.num_features) == (2, (3, 4, 6), 72)
    sizes = []
    for split in data.splits:
        inputs, targets = everything(data, split)
        assert torch.equal(inputs[:, 0, 0, 0], targets.float()) and torch.equal(inputs[:, 2, 3, 5], 1 - targets.float())
        sizes.append(len(targets))
    assert sizes == [16, 2, 2]


def test_folders_train_and_test_are_kept_apart(tmp_path):
    fill(tmp_path / "train", COLORS, 10)
    fill(tmp_path / "test", COLORS, 3)
    data = ImageFolder(folder=tmp_path, seed=0, size=(4, 4))
    data.prepare()
    assert [len(everything(data, split)[1]) for split in data.splits] == [18, 2, 6]


def test_a_run_answers_with_class_names_without_the_folder(tmp_path):
    fill(tmp_path, COLORS, 10)
    data = ImageFolder(folder=tmp_path, seed=0)
    data.prepare()
    again = ImageFolder(folder=tmp_path / "gone", seed=0)
    again.load_state_dict(data.state_dict())
    batch = again.read(tmp_path / "red" / "3.png")
    (answer,) = again.answers(batch, {"logits": torch.tensor([[0.0, 3.0]])})
    assert answer == {"class": "red", "probability": 0.9526, "probabilities": {"blue": 0.0474, "red": 0.9526}}
    assert again.render(batch, {"logits": torch.tensor([[0.0, 3.0]])}, tmp_path / "out") == [tmp_path / "out.png"]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({}, "no folders"),
        ({"cat": 3}, "only the folder cat"),
        ({"cat": 3, "dog": 0}, "dog: no images"),
        ({"train/cat": 3, "train/dog": 3, "test/cat": 1, "test/cow": 1}, "cow: a class that has no training images"),
    ],
    ids=["empty", "one", "none-of-one", "unknown"],
)
def test_a_folder_that_will_not_do_is_one_clear_error(tmp_path, made, message):
    for name, count in made.items():
        fill(tmp_path, {name: (0, 0, 0)}, count)
    with pytest.raises(UserError, match=message):
        ImageFolder(folder=tmp_path, seed=0).prepare()


def test_a_missing_folder_and_a_broken_image_are_named(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        ImageFolder(folder=tmp_path / "gone", seed=0).prepare()
    fill(tmp_path, COLORS, 3)
    (tmp_path / "red" / "1.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"1\.png"):
        ImageFolder(folder=tmp_path, seed=0).prepare()


# -- a user's own images -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dark", [True, False], ids=["dark-on-light", "light-on-dark"])
def test_a_digit_anywhere_on_any_ground_is_centred_like_mnists(tmp_path, dark):
    paper, pen = (255, 0) if dark else (0, 255)
    picture = Image.new("L", (300, 200), paper)
    picture.paste(pen, (30, 20, 50, 100))
    picture.save(tmp_path / "one.png")
    digit = read_digit(tmp_path / "one.png")
    assert digit.shape == (1, 28, 28)
    down, across = (digit[0] > 0.5).nonzero().unbind(1)
    assert (int(down.max() - down.min()), int(across.max() - across.min())) == (19, 4)
    assert abs(float(down.float().mean()) - 13.5) <= 0.5 and abs(float(across.float().mean()) - 13.5) <= 0.5


def test_an_empty_page_has_no_digit(tmp_path):
    Image.new("L", (28, 28), 255).save(tmp_path / "blank.png")
    with pytest.raises(UserError, match="an empty image"):
        read_digit(tmp_path / "blank.png")


def test_colours_keep_their_planes_and_grey_becomes_ink(tmp_path):
    Image.new("RGB", (9, 7), (255, 0, 51)).save(tmp_path / "plain.png")
    picture = read_colored(tmp_path / "plain.png", (4, 6))
    assert picture.shape == (3, 4, 6)
    torch.testing.assert_close(picture[:, 0, 0], torch.tensor([1.0, 0.0, 0.2]))
    spot = Image.new("L", (28, 28), 255)
    spot.paste(0, (10, 10, 18, 18))
    spot.save(tmp_path / "spot.png")
    grey = read_grey(tmp_path / "spot.png", (28, 28))
    assert grey[0, 14, 14] == 1 and grey[0, 0, 0] == 0


def test_a_file_that_is_not_an_image_is_named(tmp_path):
    (tmp_path / "note.txt").write_text("hello")
    with pytest.raises(UserError, match=r"note\.txt"):
        FashionMNIST(seed=0).read(tmp_path / "note.txt")
