"""Some classes of published data, and fine-tuning on a folder of images with other classes."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from rk_vision.mnist import MNIST
from rk_vision.published import PublishedPictures
from safetensors.torch import load_file

from rk import LoadedRun
from rk.errors import ExitCode


class Shapes(PublishedPictures):
    """Four images of each of four classes; every pixel is the number of the class."""

    num_features: int = 16
    input_shape: tuple[int, ...] = (1, 4, 4)
    _all_names = ("a", "b", "c", "d")

    def _load_all(self):
        targets = torch.arange(16) % 4
        images = targets.view(-1, 1, 1, 1).expand(-1, 1, 4, 4).byte()
        return (images, targets), (images, targets)

    def _read_picture(self, path):
        raise NotImplementedError


def test_chosen_classes_are_numbered_in_the_order_given_in_all_splits():
    data = Shapes(seed=0, classes=("d", "b"), batch_size=2, val_fraction=0.25)
    data.prepare()
    assert (data.num_classes, data.labels) == (2, ("d", "b"))
    for split in ("train", "val", "test"):
        for i in range(data.batches(split)):
            batch = data.batch(split, i)
            value = (255 * batch["inputs"][:, 0, 0, 0]).round().long()
            assert torch.equal(value, torch.tensor([3, 1])[batch["targets"]])
    assert data.batches("test") == 4


def test_without_a_choice_nothing_changes():
    data = Shapes(seed=0)
    data.prepare()
    assert (data.num_classes, data.labels) == (4, ("a", "b", "c", "d"))


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (("a", "x"), "classes: there is no 'x' .*a, b, c, d"),
        (("a",), "classes must be two or more, each once"),
        (("a", "a"), "classes must be two or more, each once"),
    ],
)
def test_classes_that_are_not_there_or_not_two_are_refused(classes, said):
    with pytest.raises(ValueError, match=said):
        Shapes(seed=0, classes=classes)


def test_digits_are_chosen_by_their_names(published):
    data = published(MNIST(seed=0, classes=("7", "3"), train_limit=100))
    assert sorted(data.batch("test", 0)["targets"].unique().tolist()) == [0, 1]
    assert data.labels == ("7", "3")


TUNED = """
rk: 1
model: {name: conv-net, channels: [4, 8], hidden_sizes: [16]}
data: {name: image-folder, folder: photos, size: [8, 8], channels: 1, batch_size: 8}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 3e-3}}
fit: {max_steps: 10, seed: 1, threads: 1}
"""
FIRST = "data={name: digits, batch_size: 32}"


def write_photos(folder):
    """Thin and thick bars, eight images of each class."""
    draw = torch.Generator().manual_seed(0)
    for name, width in (("thin", 1), ("thick", 4)):
        (folder / name).mkdir(parents=True)
        for i in range(8):
            image = Image.new("L", (8, 8), 255)
            left = int(torch.randint(0, 8 - width, (1,), generator=draw))
            image.paste(0, (left, 0, left + width, 8))
            image.save(folder / name / f"{i}.png")


def test_a_net_is_fine_tuned_on_a_folder_with_other_classes(rk_folder, capsys):
    write_photos(rk_folder.folder / "photos")
    base = rk_folder.train(TUNED, FIRST)
    capsys.readouterr()
    run = rk_folder.train(TUNED, "--from", base.path, "fit.freeze=['blocks.*']")
    said = capsys.readouterr().out
    assert "init_from: 14 of 16 weights are those of recipe" in said
    assert "init_from: model.head.3.weight (2, 16) is newly initialised: the run has (10, 16)" in said
    before, after = load_file(base.model), load_file(run.model)
    trunk = [name for name in before if ".blocks." in name]
    assert trunk and all(torch.equal(before[name], after[name]) for name in trunk)
    assert not torch.equal(before["model.head.1.weight"], after["model.head.1.weight"])
    assert LoadedRun.open(run.path).data.labels == ("thick", "thin")
    assert rk_folder.rk("predict", run.path, "photos/thin/0.png") == ExitCode.OK
    assert "thin" in capsys.readouterr().out
