"""Pretty-CLEVR: scenes, walks, questions, images, and a user's own scene."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from rk_rrn.pretty_clevr import PrettyCLEVR, PrettyCLEVRImages, SceneTask, answers_of, state
from rk_rrn.scene_files import read_scene
from rk_rrn.scene_images import draw_images
from rk_rrn.scenes import LABELS, Scenes, augmented, draw_scenes, questions, walks

from rk import UserError
from rk.sampling import generator
from rk.testing import assert_close

LINE = torch.tensor([[[0.0, 0.0], [0.25, 0.0], [0.4, 0.0], [0.9, 0.0]]])


def test_no_two_objects_are_near_each_other_or_look_alike():
    scenes = draw_scenes(200, 8, generator(0))
    distances = torch.cdist(scenes.places, scenes.places) + torch.eye(8)
    assert distances.min() > 0.1
    assert scenes.places.min() >= 0 and scenes.places.max() <= 1
    for names in (scenes.colours, scenes.markers):
        assert (names.sort(1).values == torch.arange(8)).all()


def test_a_walk_goes_to_the_nearest_object_that_was_not_visited():
    assert walks(LINE.expand(2, 4, 2), torch.tensor([1, 3])).tolist() == [[1, 2, 0, 3], [3, 2, 1, 0]]


def test_a_colour_asks_for_a_marker_and_a_marker_for_a_colour():
    scenes = Scenes(LINE.expand(2, 4, 2), torch.tensor([[0, 1, 2, 3]] * 2), torch.tensor([[7, 6, 5, 4]] * 2))
    asked = questions(scenes, torch.tensor([1, 1]), torch.tensor([False, True]), torch.tensor([2, 2]))
    assert [LABELS[x] for x in asked.anchors] == ["green", "P"]
    assert [LABELS[x] for x in asked.targets] == ["X", "blue"]
    assert answers_of(scenes, asked.anchors, asked.jumps).tolist() == asked.targets.tolist()


def test_augmenting_keeps_all_answers():
    scenes = draw_scenes(64, 8, generator(1))
    other = augmented(scenes, generator(2))
    assert not torch.allclose(other.places, scenes.places)
    start = torch.arange(64) % 8
    assert torch.equal(walks(other.places, start), walks(scenes.places, start))
    scale = other.places.norm(dim=-1) / scenes.places.norm(dim=-1)
    assert (scale >= 0.5 - 1e-4).all() and (scale <= 2 + 1e-4).all()
    assert_close(scale, scale[:, :1].expand_as(scale))  # about the origin: all places alike


def test_the_rows_of_a_scene_have_places_colours_markers_and_the_question():
    scenes = Scenes(LINE, torch.tensor([[0, 1, 2, 3]]), torch.tensor([[7, 6, 5, 4]]))
    rows = state(scenes, questions(scenes, torch.tensor([2]), torch.tensor([True]), torch.tensor([3])))
    assert rows.shape == (1, 4, 42)
    assert_close(rows[0, :, :2], LINE[0])
    assert rows[0, :, 2:10].argmax(1).tolist() == [0, 1, 2, 3]
    assert rows[0, :, 10:18].argmax(1).tolist() == [7, 6, 5, 4]
    assert rows[0, :, 18:34].argmax(1).tolist() == [8 + 5] * 4
    assert rows[0, :, 34:].argmax(1).tolist() == [3] * 4


def test_test_splits_have_the_jumps_of_their_names():
    data = PrettyCLEVR(seed=1, max_jumps=2, test_examples=10)
    assert data.splits == ("train", "val", "test-0", "test-1", "test-2")
    assert data.buckets(data.batch("test-2", 0)).tolist() == [2] * 10
    assert set(data.buckets(data.batch("val", 0)).tolist()) == {0, 1, 2}


def test_images_have_the_colours_of_the_objects_at_their_places():
    scenes = Scenes(torch.tensor([[[0.1, 0.9], [0.6, 0.4]]]), torch.tensor([[2, 0]]), torch.tensor([[0, 5]]))
    image = draw_images(scenes, 120)[0]  # 100 pixels are 1
    assert_close(image[:, 20 - 1, 20], torch.tensor([1.0, 0.0, 0.0]))  # red, above
    assert_close(image[:, 70 - 1, 70], torch.tensor([0.0, 0.0, 1.0]))
    assert image[:, 100, 20].tolist() == [1.0, 1.0, 1.0]


def test_markers_differ_in_their_shapes():
    scenes = Scenes(torch.full((8, 1, 2), 0.5), torch.full((8, 1), 6), torch.arange(8).unsqueeze(1))
    images = draw_images(scenes)
    for a in range(8):
        for b in range(a):
            assert (images[a] - images[b]).abs().sum() > 20
    area = (1 - images[0, 0]).sum()
    assert abs(float(area) - math.pi * 16) < 2  # the disc, of radius 4


def test_images_show_the_scenes_of_the_state():
    images, rows = PrettyCLEVRImages(seed=1, batch_size=4), PrettyCLEVR(seed=1, batch_size=4)
    batch, state_batch = images.batch("val", 0), rows.batch("val", 0)
    assert torch.equal(batch["targets"], state_batch["targets"])
    assert_close(batch["question"], state_batch["inputs"][:, 0, 18:])


@pytest.mark.parametrize("kind", [PrettyCLEVR, PrettyCLEVRImages])
def test_a_batch_has_the_fields_that_a_model_reads_and_the_answers(kind: type):
    data = kind(seed=1, batch_size=3)
    batch, scenes = data.batch("train", 0), data.draw("train", 0)
    targets = batch.pop("targets")
    assert torch.equal(targets, scenes[1].targets)
    assert_close(batch, data.shown(*scenes))
    assert torch.equal(data.buckets(batch), scenes[1].jumps)


def test_scenes_alone_cannot_be_used_as_data():
    with pytest.raises(TypeError, match="abstract"):
        SceneTask(seed=1)


def test_the_scenes_of_a_batch_are_read_back_from_its_rows():
    data = PrettyCLEVR(seed=1, batch_size=8)
    (scenes, asked), (wanted, questions_) = data.asked_in(data.batch("val", 0)), data.draw("val", 0)
    assert all(torch.equal(a, b) for a, b in zip((*scenes, *asked), (*wanted, *questions_), strict=True))


@pytest.mark.parametrize("kind", [PrettyCLEVR, PrettyCLEVRImages])
def test_answers_are_drawn(kind: type, tmp_path: Path):
    data = kind(seed=1, batch_size=3)
    (file,) = data.render(data.batch("val", 0), {"logits": torch.randn(3, 16)}, tmp_path / "scenes")
    assert file.suffix == ".png" and file.stat().st_size > 5000


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="below num_objects, 4, got 7"):
        PrettyCLEVR(seed=1, num_objects=4)
    with pytest.raises(ValueError, match="out of the image"):
        PrettyCLEVRImages(seed=1, augment=True)


# -- a user's own scene ----------------------------------------------------------------------------------------------


def scene() -> dict[str, list[dict[str, object]]]:
    looks = [("blue", "o"), ("green", "v"), ("red", "s"), ("cyan", "X")]
    objects = [
        {"x": x, "y": y, "color": c, "marker": m} for (x, y), (c, m) in zip(LINE[0].tolist(), looks, strict=True)
    ]
    return {"objects": objects, "questions": [{"from": "green", "jumps": 2}, {"from": "X", "jumps": 1}]}


def test_a_scene_is_read_and_answered_with_the_way(tmp_path: Path):
    file = tmp_path / "scene.json"
    file.write_text(json.dumps(scene()))
    data = PrettyCLEVR(seed=1, num_objects=4, max_jumps=3)
    batch = data.read(file)
    logits = torch.zeros(2, 16)
    logits[0, LABELS.index("o")] = 9.0
    first, second = data.answers(batch, {"logits": logits})
    assert first["answer"] == first["right"] == "o"
    assert first["way"] == ["green v", "red s", "blue o"]
    assert second["right"] == "red"


MISTAKES = [
    (("objects", 0, "color", "pink"), "object 1: color must be one of blue, green"),
    (("objects", 1, "x", "far"), "object 2: x: expected a number"),
    (("objects", 1, "color", "blue"), "a color of its own for each object"),
    (("questions", 0, "from", "gray"), "question 1: no object is 'gray'"),
    (("questions", 0, "jumps", 4), "question 1: jumps must be from 0 to 3, got 4"),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES)
def test_a_mistake_in_a_scene_is_named_with_its_place(change: tuple, message: str, tmp_path: Path):
    value = scene()
    kind, row, name, new = change
    value[kind][row][name] = new
    file = tmp_path / "scene.json"
    file.write_text(json.dumps(value))
    with pytest.raises(UserError) as error:
        read_scene(file, 4)
    assert message in error.value.message


def test_a_scene_must_have_the_number_of_objects_of_the_training(tmp_path: Path):
    file = tmp_path / "scene.json"
    file.write_text(json.dumps(scene()))
    with pytest.raises(UserError, match="expected 8 objects, got 4"):
        read_scene(file, 8)
