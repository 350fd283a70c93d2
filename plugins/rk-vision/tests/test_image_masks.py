"""Images with masks: how masks are written, read and refused; overlap; the U-Net; what a run writes; drafts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rk_vision.augmented import Augmented
from rk_vision.drawn_shapes import DrawnShapes
from rk_vision.folder import ImageFolder
from rk_vision.mask_folder import ImageMasks
from rk_vision.overlap import Dice, MeanIoU
from rk_vision.unet import PatchLinear, UNet

from rk import UserError
from rk.images import read_mask


def halves(left, right, size=(8, 6)):
    """Returns a mask of (height, width): its left half has one value, its right half another."""
    width, height = size
    mask = np.empty((height, width, *np.shape(left)), dtype=np.uint8)
    mask[:, : width // 2], mask[:, width // 2 :] = left, right
    return mask


def fill(folder: Path, masks, size=(8, 6), suffix="") -> Path:
    """Writes an image for each mask, and the mask."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for i, mask in enumerate(masks):
        Image.new("RGB", size, (20 * i, 0, 0)).save(folder / "images" / f"{i}.png")
        image = mask if isinstance(mask, Image.Image) else Image.fromarray(np.asarray(mask))
        image.save(folder / "masks" / f"{i}{suffix}.png")
    return folder


def prepared(folder: Path, **params) -> ImageMasks:
    data = ImageMasks(**({"folder": folder, "seed": 0, "size": (6, 8), "batch_size": 20} | params))
    data.prepare()
    return data


# -- how masks are written ---------------------------------------------------------------------------------------------


def palette(left, right):
    """Returns a mask whose pixels are places in a palette."""
    paletted = Image.fromarray(halves(left, right))
    paletted.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    return paletted


@pytest.mark.parametrize(
    ("mask", "names"),
    [
        (halves(0, 255), ["0", "255"]),
        (Image.fromarray(halves(0, 255)).convert("1"), ["0", "255"]),
        (halves(1, 2), ["1", "2"]),
        (palette(1, 3), ["1", "3"]),
        (Image.fromarray(halves(1, 2).astype("uint16") * 1000), ["1000", "2000"]),
        (halves((0, 0, 0), (255, 0, 16)), ["#000000", "#ff0010"]),
        (Image.fromarray(halves((0, 0, 0), (255, 0, 16))).convert("RGBA"), ["#000000", "#ff0010"]),
    ],
    ids=["0 and 255", "one bit", "numbers", "palette", "16 bits", "colours", "colours with alpha"],
)
def test_every_value_of_the_training_masks_is_a_class(tmp_path, mask, names):
    data = prepared(fill(tmp_path, [mask] * 6))
    assert data.names == names
    targets = data.batch("train", 0)["targets"]
    assert targets.shape[1:] == (6, 8) and targets[:, :, :4].eq(0).all() and targets[:, :, 4:].eq(1).all()


def test_masks_are_scaled_by_the_nearest_pixel_and_images_are_not(tmp_path):
    folder = fill(tmp_path, [halves(3, 9, (80, 60))] * 6, (80, 60), suffix="_mask")
    data = prepared(folder, size=(3, 4), names=["sky", "sea"])
    assert set(data.batch("train", 0)["targets"].unique().tolist()) == {0, 1} and data.labels == ("sky", "sea")


def test_void_pixels_count_for_nothing(tmp_path):
    masks = [halves(0, 1) for _ in range(6)]
    for mask in masks:
        mask[0] = 255
    targets = prepared(fill(tmp_path, masks), void=255).batch("train", 0)["targets"]
    assert targets[:, 0].eq(-100).all() and targets[:, 1:].ge(0).all()


# -- orientation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_is_turned_with_its_photograph(tmp_path, orientation):
    stored = np.arange(48).reshape(6, 8).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).convert("RGB").save(tmp_path / "photo.jpg", exif=exif)
    Image.fromarray(stored).save(tmp_path / "photo.tif", exif=exif)
    upright = read_mask(tmp_path / "photo.tif", tmp_path / "photo.jpg")
    assert upright.shape == ((8, 6) if orientation > 4 else (6, 8))
    if orientation > 4:  # a mask of the stored pixels, without an orientation
        Image.fromarray(stored).save(tmp_path / "mask.png")
        assert torch.equal(read_mask(tmp_path / "mask.png", tmp_path / "photo.jpg"), upright)
    Image.fromarray(upright.numpy().astype(np.uint8)).save(tmp_path / "shown.png")
    assert torch.equal(read_mask(tmp_path / "shown.png", tmp_path / "photo.jpg"), upright)


# -- mistakes ----------------------------------------------------------------------------------------------------------


def test_all_pairs_that_cannot_be_used_are_named_at_once(tmp_path):
    folder = fill(tmp_path, [halves(0, 1)] * 8)
    (folder / "images" / "1.png").write_bytes(b"no image")
    Image.fromarray(halves(0, 1, (4, 4))).save(folder / "masks" / "2.png")
    (folder / "masks" / "3.png").write_bytes((folder / "masks" / "3.png").read_bytes()[:40])
    with pytest.raises(UserError, match="3 images cannot be used") as error:
        prepared(folder)
    for said in (
        "images/1.png: cannot identify",
        "masks/2.png: the mask has 4 x 4 pixels, but the image",
        "masks/3.png",
    ):
        assert said in error.value.message


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ([halves(0, 1)] * 5 + [halves((0, 0, 0), (1, 1, 1))] * 5, "a mask of colours, but .* is one of numbers"),
        ([halves(0, 1)] * 5 + [halves(0, 255)] * 5, "a mask of 0 and 255, but others have 0 and 1"),
        ([halves(0, 0)] * 5, "expected masks of at least two classes, got 0"),
        ([np.arange(80 * 60).reshape(60, 80).astype(np.uint8)] * 5, "got more than 64 different values"),
        ([halves(0, 1)] * 2, "2 images are too few to train, validate and test"),
    ],
)
def test_masks_that_make_no_sense_are_refused(tmp_path, masks, message):
    size = (80, 60) if masks[0].shape[0] == 60 else (8, 6)
    with pytest.raises(UserError, match=message):
        prepared(fill(tmp_path, masks, size), size=(60, 80))


def test_images_without_a_mask_are_named_and_masks_without_an_image_are_ignored(tmp_path, capsys):
    folder = fill(tmp_path, [halves(0, 1)] * 6)
    Image.new("L", (8, 6)).save(folder / "masks" / "more.png")
    prepared(folder)
    assert "ignored: masks/more.png (no image)" in capsys.readouterr().err
    (folder / "masks" / "2.png").unlink()
    (folder / "masks" / "4.png").unlink()
    with pytest.raises(UserError, match=r"2 images have no mask in .*masks: 2\.png, 4\.png"):
        prepared(folder)


def test_a_class_only_in_the_tests_is_named(tmp_path):
    for split, mask in (("train", halves(0, 1)), ("test", halves(0, 7))):
        fill(tmp_path / split, [mask] * 3)
    with pytest.raises(UserError, match=r"test/masks/0\.png: the class 7 is in no training mask"):
        prepared(tmp_path)


def test_masks_do_not_stay_behind_when_images_are_changed():
    data = Augmented(base=DrawnShapes(seed=0, size=(8, 8), batch_size=2), seed=0, shift=1)
    with pytest.raises(UserError, match="targets are masks"):
        data.batch("train", 0)


# -- metrics -----------------------------------------------------------------------------------------------------------


def test_overlap_is_over_all_images_and_the_classes_that_are_there():
    found = torch.tensor([[[0, 0, 1, 1]], [[1, 1, 1, 0]]])
    true = torch.tensor([[[0, 1, 1, 1]], [[1, 0, 1, -100]]])
    logits = torch.nn.functional.one_hot(found, 4).float()
    for metric, expected in ((MeanIoU, (1 / 3 + 4 / 6) / 2), (Dice, (2 / 4 + 8 / 10) / 2)):
        whole, first, second = metric(), metric(), metric()
        assert math.isnan(whole.compute())
        whole.update(logits=logits, targets=true)
        first.update(logits=logits[:1], targets=true[:1])
        second.update(logits=logits[1:], targets=true[1:])
        first.merge(second)
        assert whole.compute() == first.compute() == pytest.approx(expected)


# -- models ------------------------------------------------------------------------------------------------------------


def test_a_pixel_of_the_u_net_sees_far_and_that_of_the_baseline_its_patch():
    torch.manual_seed(0)
    for model, least, most in (
        (UNet(input_shape=(3, 33, 30), num_classes=2, channels=(4, 4, 4)), 20, 33),
        (PatchLinear(input_shape=(3, 33, 30), num_classes=2, side=5), 5, 5),
    ):
        image = torch.randn(2, 3, 33, 30, requires_grad=True)
        logits = model.eval()(inputs=image)["logits"]
        assert logits.shape == (2, 33, 30, 2)
        logits[0, 16, 15, 0].backward()
        seen = image.grad.abs().sum(1)
        rows = seen[0].sum(1).nonzero().flatten()
        assert seen[1].eq(0).all() and least <= int(rows[-1] - rows[0]) + 1 <= most


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: UNet(input_shape=(3, 2, 8), num_classes=2), "3 stages need images of 4 pixels a side"),
        (lambda: UNet(input_shape=(3, 8, 8), num_classes=2, channels=()), "at least one stage"),
        (lambda: PatchLinear(input_shape=(3, 8, 8), num_classes=2, side=4), "side must be odd, got 4"),
    ],
)
def test_a_model_that_cannot_be_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


# -- generated shapes --------------------------------------------------------------------------------------------------


def test_shapes_cover_the_same_area_and_are_what_they_are_called():
    data = DrawnShapes(seed=0, size=(64, 64), shapes=1, noise=0.0, batch_size=200, turned=True)
    targets = data.batch("test", 0)["targets"]
    areas = [[int((m == c).sum()) for m in targets if (m == c).any() and not _cut(m)] for c in (1, 2, 3)]
    means = [sum(a) / len(a) for a in areas]
    assert max(means) < 1.25 * min(means)
    for mask in targets:
        if not _cut(mask) and (mask == 1).any():
            rows, columns = (mask > 0).any(1).sum(), (mask > 0).any(0).sum()
            assert abs(int(rows) - int(columns)) <= 2
            assert int((mask > 0).sum()) == pytest.approx(math.pi / 4 * int(rows) * int(columns), rel=0.12)


def _cut(mask) -> bool:
    return bool((mask[0] + mask[-1]).any() or (mask[:, 0] + mask[:, -1]).any())


# -- a user's image ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("left", "right"), [(0, 255), ((0, 0, 0), (255, 0, 16))], ids=["numbers", "colours"])
def test_a_run_writes_masks_as_the_trained_ones_are_written(tmp_path, left, right, rk_folder):
    folder = fill(tmp_path / "mine", [halves(left, right)] * 6)
    run = rk_folder.train(
        f"rk: 1\ndata: {{name: image-masks, folder: {folder}, size: [6, 8], batch_size: 4}}\n"
        "model: {name: patch-linear, side: 1}\nloss: {name: cross-entropy, ignore_index: -100}\n"
        "trainer: {name: backprop, optimizer: {name: adam, lr: 0.1}}\nfit: {max_steps: 2, seed: 1}\n"
    )
    for name in ("a", "b"):
        Image.new("RGB", (20, 30), "red").save(f"{name}.jpg")
    assert rk_folder.rk("predict", run.path, "a.jpg", "b.jpg", "-o", "out/mask.png", "-o", "all.jsonl") == 0
    for name in ("a", "b"):
        written = np.asarray(Image.open(f"out/mask-{name}.png"))
        assert written.shape[:2] == (30, 20)
        values = {tuple(v) if np.ndim(v) else int(v) for v in written.reshape(-1, *written.shape[2:])}
        assert values <= {left, right}
    assert Path("all.jsonl").read_text().count('"shares"') == 2
    assert rk_folder.rk("predict", run.path, "a.jpg") == 0
    assert list(Path(run.path, "figures").rglob("*.png"))


# -- drafts ------------------------------------------------------------------------------------------------------------


def test_folders_are_drafted_by_their_layout(tmp_path):
    masks = fill(tmp_path / "cells", [halves(0, 1, (70, 70))] * 6, (70, 70))
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (40, 50)).save(tmp_path / "pets" / name / f"{i}.png")
    (tmp_path / "texts" / "a").mkdir(parents=True)
    found = ImageMasks.draft(masks, None)
    assert found is not None and found.data == {"folder": str(masks), "size": [64, 64], "batch_size": 8}
    assert ImageFolder.draft(masks, None) is None
    found = ImageFolder.draft(tmp_path / "pets", None)
    assert found is not None and found.data["size"] == [32, 32] and found.about.startswith("the class (2 classes)")
    assert ImageMasks.draft(tmp_path / "pets", None) is None
    assert ImageFolder.draft(tmp_path / "texts", None) is None


@pytest.mark.parametrize("kind", ["masks", "classes"])
@pytest.mark.parametrize("model", ["network", "linear"])
def test_a_recipe_is_written_and_trains(tmp_path, rk_folder, kind, model):
    folder = tmp_path / "mine"
    if kind == "masks":
        fill(folder, [halves(0, 1, (20, 20))] * 6, (20, 20))
    else:
        for c, name in enumerate(("cat", "dog")):
            (folder / name).mkdir(parents=True)
            for i in range(6):
                Image.new("RGB", (20, 20), (200 * c, 0, i)).save(folder / name / f"{i}.png")
    assert rk_folder.rk("recipes", "init", folder, "--model", model, "-o", "mine.yaml") == 0
    run = rk_folder.train("mine.yaml", "fit.max_steps=2", "fit.validate_every=1")
    assert "test/accuracy" in run.read()["metrics"]
