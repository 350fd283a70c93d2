"""Matrices follow their rules, and ARC's tasks keep their rules to one split."""

import io
import json
import tarfile

import numpy as np
import pytest
import torch
from rk_gssnn.arc import ArcRules, altered
from rk_gssnn.drawing import draw
from rk_gssnn.raven import PATTERNS, RavenRules
from rk_gssnn.rules import RULES, classes, draw_matrix, is_constant, table

from rk.errors import UserError


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("count", [4, 5, 10])
def test_values_follow_their_rule_in_each_row(rule, count):
    random = np.random.default_rng(0)
    for _ in range(60):
        values = table(random, rule, count)
        assert values.shape == (3, 3) and values.min() >= 0 and values.max() < count
        one, two, three = values.T
        if rule == "constant":
            assert (one == two).all() and (two == three).all()
        elif rule == "progression":
            steps = {*(two - one).tolist(), *(three - two).tolist()}
            assert len(steps) == 1 and steps <= {-2, -1, 1, 2}
        elif rule == "arithmetic":
            assert (three + 1 == one + two + 2).all() or (three + 1 == one - two).all()
        else:
            assert len({tuple(sorted(row)) for row in values.tolist()}) == 1 and len(set(values[0].tolist())) == 3
            assert len({tuple(row) for row in values.tolist()}) == 3


def test_targets_say_what_the_matrices_are_and_both_classes_are_frequent():
    random = np.random.default_rng(1)
    some = [draw_matrix(random, "constant_color") for _ in range(200)]
    assert all(classes(m, "constant_color") == int(is_constant(m.components)) and m.correct for m in some)
    assert 70 < sum(classes(m, "constant_color") for m in some) < 130
    judged = [draw_matrix(random, "correctness") for _ in range(200)]
    assert 70 < sum(classes(m, "correctness") for m in judged) < 130
    for matrix in judged[:40]:
        patterns = classes(matrix, "all_patterns")
        named = {name for name, there in zip(PATTERNS, patterns, strict=True) if there}
        rules = [
            f"{part} {a} {r}"
            for part, c in zip(("first", "second"), matrix.components, strict=False)
            for a, r in c.rules.items()
        ]
        expected = {*rules, *(["correct"] if matrix.correct else [])}
        assert named == expected | ({"two components"} if len(matrix.components) == 2 else set())


def test_a_wrong_panel_breaks_exactly_one_attribute_of_the_last_panel():
    wrong = [m for m in (draw_matrix(np.random.default_rng(i), "correctness") for i in range(60)) if not m.correct]
    for matrix in wrong:
        broken = 0
        for part in matrix.components:
            for name in ("sides", "color"):
                values, rule = getattr(part, name), part.rules[name]
                last = values[2].tolist()
                ok = {
                    "constant": last[0] == last[2],
                    "progression": last[2] - last[1] == last[1] - last[0],
                    "arithmetic": last[2] + 1 in (last[0] + last[1] + 2, last[0] - last[1]),
                    "distribute-three": sorted(last) == sorted(values[0].tolist()),
                }[rule]
                broken += not ok
        assert broken <= 1
    assert len(wrong) > 15


def test_darker_colours_are_drawn_darker_and_panels_have_lines():
    matrix = next(
        m for m in (draw_matrix(np.random.default_rng(i), "constant_color") for i in range(99)) if m.layout == "one"
    )
    image = draw([matrix], 48)[0, 0]
    assert image.shape == (48, 48) and (image[16] == -1).all() and (image[:, 32] == -1).all()
    centres = image[[8, 8, 8, 24, 24, 24, 40, 40, 40], [8, 24, 40] * 3].view(3, 3)
    colours = torch.from_numpy(matrix.components[0].color)
    expected = (255 - 28.4 * colours).clamp(min=0) / 127.5 - 1
    torch.testing.assert_close(centres, expected.float())


def test_all_patterns_has_an_answer_for_each():
    data = RavenRules(seed=0, target="all_patterns", image_size=24, train_examples=8)
    batch = data.batch("train", 0)
    assert batch["targets"].shape == (8, len(PATTERNS)) == (8, 26)
    answers = data.answers(batch, {"logits": torch.nn.functional.one_hot(batch["targets"], 2).float() * 9})
    assert all("patterns" in answer for answer in answers)


# -- ARC ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """An archive with six training and three evaluation tasks, and one that is too large."""
    folder = tmp_path / "arc-agi"
    folder.mkdir()
    random = np.random.default_rng(0)

    def task(side):
        grids = [random.integers(10, size=(side, side)) for _ in range(4)]
        pairs = [{"input": g.tolist(), "output": g.T.tolist()} for g in grids]
        return {"train": pairs[:3], "test": pairs[3:]}

    with tarfile.open(folder / "arc-agi-1.tar.gz", "w:gz") as file:
        sides = {f"training/{i}.json": 4 for i in range(6)} | {f"evaluation/{i}.json": 5 for i in range(3)}
        for name, side in (sides | {"training/large.json": 12}).items():
            content = json.dumps(task(side)).encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    monkeypatch.setenv("RK_DATA", str(tmp_path))
    return tmp_path


def test_tasks_of_one_split_are_in_no_other(archive):
    data = ArcRules(seed=0, max_side=8, val_tasks=2, batch_size=4)
    data.prepare()
    assert [len(data._tasks[split]) for split in data.splits] == [4, 2, 3]
    assert data.input_shape == (10, 36, 24) and data.batch("val", 0)["inputs"].shape == (4, 10, 36, 24)
    again = ArcRules(seed=0, max_side=8, val_tasks=2, batch_size=4)
    again.load_state_dict(data.state_dict())
    assert torch.equal(again.batch("test", 1)["inputs"], data.batch("test", 1)["inputs"])


def test_an_output_that_follows_the_rule_is_shown_as_it_is(archive):
    data = ArcRules(seed=0, max_side=8, val_tasks=2, batch_size=8)
    data.prepare()
    batch = data.batch("train", 0)
    grids = batch["inputs"].argmax(1)
    shown = batch["inputs"].sum(1) > 0
    for grid, mask, target in zip(grids, shown, batch["targets"], strict=True):
        last, right = grid[25:29, 1:5], grid[25:29, 13:17]  # four cells a side, each with a margin of one
        assert mask[25:29, 1:5].all() and torch.equal(last.T, right) == bool(target)
    assert 0 < int(batch["targets"].sum()) < 8


def test_what_is_altered_is_never_the_same():
    random = np.random.default_rng(0)
    for grid in (np.zeros((3, 3), int), np.eye(3, dtype=int), np.array([[1, 2, 1]]), np.array([[5]])):
        for _ in range(20):
            assert not np.array_equal(altered(grid, random), grid)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "expected an object"),
        ('{"train": [], "test": []}', "two pairs in train"),
        ('{"train": [{"input": [[1]], "output": [[1, 2], [3]]}]}', "train 1: output must be a list of lines"),
        ('{"train": [{"input": [[11]], "output": [[1]]}]}', "train 1: input: cells must be numbers from 0 to 9"),
        ('{"train": [{"input": [[0,0,0,0,0,0,0,0,0]], "output": [[1]]}]}', "sides must be at most 8, got 1 x 9"),
    ],
)
def test_a_file_without_a_task_is_refused_with_its_place(tmp_path, text, message):
    path = tmp_path / "task.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        ArcRules(seed=0, max_side=8).read(path)


def test_a_users_task_has_an_answer_for_each_output(tmp_path):
    pair = {"input": [[1, 0]], "output": [[0, 1]]}
    path = tmp_path / "task.json"
    path.write_text(json.dumps({"train": [pair, pair], "test": [pair, pair]}))
    assert ArcRules(seed=0, max_side=8).read(path)["inputs"].shape == (2, 10, 36, 24)


def test_a_missing_archive_names_the_file_and_its_source(tmp_path, monkeypatch):
    monkeypatch.setenv("RK_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"arc-agi-1\.tar\.gz: no such file") as error:
        ArcRules(seed=0).prepare()
    assert "fchollet/ARC-AGI" in error.value.hint
