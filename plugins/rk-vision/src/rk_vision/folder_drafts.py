"""Recipes that `image-folder` and `image-masks` propose for a user's folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rk import UserError
from rk.drafting import Draft
from rk.images import ENDINGS, read_image
from rk_vision.layout import read_layout
from rk_vision.mask_layout import part_folders, read_pairs

SURE = 0.9
SIDES = (16, 32, 64, 128)
"""Sides to which images are scaled."""
SAMPLED = 8
"""Images that are looked at for their size."""


def draft_classes(path: Path) -> Draft | None:
    """Returns the draft for a folder of class folders of images; None for any other folder.

    Raises:
        UserError: When images are there, but a class has none.
    """
    if not any(p.suffix.lower() in ENDINGS for p in [*path.glob("*/*"), *path.glob("*/*/*")]) or part_folders(path):
        return None
    layout = read_layout(path)
    train = layout.splits["train"]
    side = _side([file for file, _ in train], 64)
    channels = [32] * min(2, side // 16) + [64] * (side >= 64)
    model = {"name": "conv-net", "channels": channels or [16], "hidden_sizes": [64], "dropout": 0.2}
    return Draft(
        f"the class ({len(layout.classes)} classes) of images in {len(train)} files",
        {"folder": str(path), "size": [side, side], "batch_size": 32},
        _choices(model, {"name": "mlp", "hidden_sizes": []}, "cross-entropy", len(train), 32, "val/loss"),
        {"data.size": "images are scaled to it", "model": _other("a linear model over the pixels")},
        () if layout.summary() is None else (f"{layout.summary()}",),
        confidence=SURE,
    )


def draft_masks(path: Path) -> Draft | None:
    """Returns the draft for a folder of images and masks; None for any other folder."""
    if not part_folders(path):
        return None
    pairs = read_pairs(path)
    train = pairs.splits["train"]
    side = _side([image for image, _ in train], 128)
    loss = {"name": "cross-entropy", "ignore_index": -100}
    return Draft(
        f"the class of each pixel from {len(train)} images with masks",
        {"folder": str(path), "size": [side, side], "batch_size": 8},
        _choices({"name": "unet"}, {"name": "patch-linear"}, loss, len(train), 8, "val/mean-iou"),
        {
            "data.size": "images are scaled to it, masks by the nearest pixel",
            "model": _other("scores that are linear in the pixels around a pixel"),
        },
        tuple(f"ignored: {name}" for name in pairs.ignored[:5]),
        confidence=SURE,
    )


def _other(what: str) -> str:
    return f"rk recipes init --model linear: {what}"


def _choices(
    network: dict[str, Any], linear: dict[str, Any], loss: Any, count: int, batch: int, monitor: str
) -> dict[str, Any]:
    steps = min(1500, max(200, 20 * count // batch))
    fit = {"max_steps": steps, "seed": 1, "validate_every": max(1, steps // 10), "monitor": monitor}
    optimizer = {"name": "adamw", "lr": 2e-3, "schedule": {"name": "cosine", "warmup_steps": 20, "end": 1e-5}}
    rest = {"loss": loss, "trainer": {"name": "backprop", "optimizer": optimizer}, "fit": fit}
    return {"network": {"model": network, **rest}, "linear": {"model": linear, **rest}}


def _side(files: list[Path], most: int) -> int:
    """Returns the side to which images are scaled: the largest that most of them reach, at most `most`."""
    sides = []
    for file in files[:: max(1, len(files) // SAMPLED)][:SAMPLED]:
        try:
            sides.append(min(read_image(file, 3).shape[1:]))
        except UserError as error:  # training names all of them
            print(f"warning: {error.message}", file=sys.stderr)
    middle = sorted(sides)[len(sides) // 2] if sides else most
    return max((side for side in SIDES if side <= min(middle, most)), default=SIDES[0])
