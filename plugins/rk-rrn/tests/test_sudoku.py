"""Sudokus: the solver, minimal puzzles, splits, examples, and a user's own."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from rk_rrn.puzzles import canonical, generate, kept, minimal_puzzles, random_grids
from rk_rrn.solver import Grid, digits_of, masks_of, neighbours, solve
from rk_rrn.sudoku import Sudoku, digit_accuracy, puzzle_accuracy
from rk_rrn.sudoku_text import answered, is_valid, read_sudokus

from rk import UserError

SMALL, MIDDLE, LARGE = Grid(2, 2), Grid(2, 3), Grid(3, 3)
HARD = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RK_CACHE", str(tmp_path / "cache"))


def digits(text: str) -> np.ndarray:
    return np.array([[int(c) if c != "." else 0 for c in text]], dtype=np.uint8)


def test_neighbours_share_a_row_a_column_or_a_box():
    assert [len(row) for row in neighbours(LARGE)] == [20] * 81
    assert [len(row) for row in neighbours(MIDDLE)] == [12] * 36
    assert neighbours(SMALL)[0] == [1, 2, 3, 4, 5, 8, 12]


def test_a_sudoku_that_needs_search_is_solved():
    (found,) = solve(masks_of(digits(HARD), LARGE), LARGE, limit=2)
    assert len(found) == 1
    solution = digits_of(found[0])
    assert is_valid(solution, LARGE)
    assert (solution == digits(HARD)[0])[digits(HARD)[0] > 0].all()


def test_all_small_sudokus_are_counted():
    (found,) = solve(masks_of(digits("." * 16), SMALL), SMALL, limit=1000)
    grids = digits_of(np.stack(found))
    assert len(np.unique(grids, axis=0)) == len(grids) == 288
    assert all(is_valid(grid, SMALL) for grid in grids)
    assert len(np.unique(canonical(grids, SMALL), axis=0)) == 12


def test_random_grids_are_of_all_kinds():
    grids = random_grids(600, SMALL, np.random.default_rng(0))
    _, counts = np.unique(canonical(grids, SMALL), axis=0, return_counts=True)
    assert len(counts) == 12 and counts.min() >= 20  # 50 of each on average


def test_a_contradiction_has_no_solution():
    assert solve(masks_of(digits("1234.1.........."), SMALL), SMALL) == [[]]


@pytest.mark.parametrize("grid", [SMALL, MIDDLE, LARGE])
def test_puzzles_have_one_solution_and_without_any_of_their_givens_several(grid: Grid):
    random = np.random.default_rng(0)
    solutions = random_grids(4, grid, random)
    puzzles = minimal_puzzles(solutions, grid, random)
    assert all(is_valid(solution, grid) for solution in solutions)
    for puzzle, solution in zip(puzzles, solutions, strict=True):
        (found,) = solve(masks_of(puzzle[None], grid), grid, limit=2)
        assert [digits_of(board).tolist() for board in found] == [solution.tolist()]
        fewer = np.repeat(puzzle[None], (puzzle > 0).sum(), 0)
        fewer[np.arange(len(fewer)), np.flatnonzero(puzzle)] = 0
        assert {len(boards) for boards in solve(masks_of(fewer, grid), grid, limit=2)} == {2}


def test_generated_puzzles_are_kept_and_a_damaged_file_is_made_again(tmp_path: Path):
    first = generate(20, SMALL, 3)
    (file,) = (tmp_path / "cache" / "sudoku").glob("*.npz")
    again = kept(file.stem, lambda: pytest.fail("it was not kept"))
    assert (again.givens == first.givens).all()
    file.write_bytes(file.read_bytes()[:100])
    assert (generate(20, SMALL, 3).solutions == first.solutions).all()


def sudoku(**settings: object) -> Sudoku:
    data = Sudoku(**{"seed": 1, "box_rows": 2, "box_cols": 3, "num_puzzles": 60, "max_extra_givens": 8} | settings)
    data.prepare()
    return data


def test_no_solution_of_a_split_is_a_renaming_of_one_of_another():
    data = sudoku(box_cols=2, num_puzzles=200)
    seen = {name: {row.tobytes() for row in canonical(pool.solutions, SMALL)} for name, pool in data._pools.items()}
    assert not seen["train"] & (seen["val"] | seen["test"]) and not seen["val"] & seen["test"]
    assert sum(map(len, seen.values())) == 12


def test_an_example_is_a_sudoku_with_one_solution():
    batch = sudoku().batch("train", 0)
    quiz, solution = batch["attributes"][..., 0].numpy(), batch["targets"].numpy()
    found = solve(masks_of(quiz, MIDDLE), MIDDLE, limit=2)
    assert [[digits_of(board).tolist() for board in boards] for boards in found] == [[row.tolist()] for row in solution]


def test_digits_are_renamed_and_up_to_eight_more_cells_are_given():
    data = sudoku(batch_size=400)
    pool = data._pools["train"]
    batch = data.batch("train", 0)
    quiz = batch["attributes"][..., 0]
    counts = (quiz > 0).sum(1)
    lowest, highest = (pool.givens > 0).sum(1).min(), (pool.givens > 0).sum(1).max()
    assert counts.min() >= lowest and lowest + 7 <= counts.max() <= highest + 8
    assert len(np.unique(batch["targets"].numpy(), axis=0)) > 300
    plain = sudoku(rename_digits=False, batch_size=50).batch("train", 0)["targets"].numpy()
    assert {row.tobytes() for row in plain.astype(np.uint8)} <= {row.tobytes() for row in pool.solutions}


def test_test_splits_have_the_givens_of_their_names():
    data = sudoku(test_givens=[(13, 14), (18, 18)], test_examples=20)
    assert data.splits == ("train", "val", "test-13-14", "test-18")
    assert set(data.buckets(data.batch("test-13-14", 0)).tolist()) == {13, 14}
    assert set(data.buckets(data.batch("test-18", 0)).tolist()) == {18}


def test_givens_that_descend_are_refused():
    with pytest.raises(ValueError, match=r"ascending numbers up to 36, got \[20, 10\]"):
        sudoku(test_givens=[(20, 10)])


def test_digits_count_in_empty_cells_and_puzzles_as_a_whole():
    attributes = torch.tensor([[[1, 0, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 1]]])
    targets = torch.tensor([[1, 2], [1, 2]])
    logits = torch.nn.functional.one_hot(torch.tensor([[1, 2], [1, 1]]), 3).float()
    assert [int(x) for x in digit_accuracy(logits=logits, attributes=attributes, targets=targets)] == [2, 3]
    assert [int(x) for x in puzzle_accuracy(logits=logits, targets=targets)] == [1, 2]


def test_the_puzzles_of_royle_are_read_and_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from rk_rrn.royle import royle_puzzles

    try:
        puzzles = royle_puzzles()
    except UserError as error:
        pytest.skip(error.message[:200])
    assert puzzles.shape == (49151, 81)
    assert set((puzzles > 0).sum(1)) == {17}
    monkeypatch.setenv("RK_DATA", str(tmp_path))
    (tmp_path / "sudoku17").mkdir()
    (tmp_path / "sudoku17" / "sudoku17.txt.gz").write_bytes(gzip.compress(b"0" * 81 + b"\n"))
    with pytest.raises(UserError, match="not the published file"):
        royle_puzzles()


# -- a user's own ----------------------------------------------------------------------------------------------------

FORMS = {
    "a line": "1.3..2......4.2.\n",
    "zeros": "1030020000004020",
    "a line for each row": "1.3.\n.2..\n....\n4.2.\n",
    "boxes": "1 . | 3 .\n. 2 | . .\n----+----\n. . | . .\n4 . | 2 .\n",
    "quiz,solution": "1.3..2......4.2.,1234123412341234",
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_text_is_read_in_several_forms(text: str, tmp_path: Path):
    file = tmp_path / "mine.txt"
    file.write_text(text)
    assert "".join(map(str, read_sudokus(file, SMALL)[0].tolist())) == "1030020000004020"


def test_several_sudokus_are_read_from_one_file(tmp_path: Path):
    file = tmp_path / "mine.txt"
    file.write_text("1.3.\n.2..\n....\n4.2.\n\n1...............\n")
    assert read_sudokus(file, SMALL).shape == (2, 16)


WRONG = {
    "": "expected a sudoku, got nothing to read",
    "1.3..2\n": ":1: expected 16 or 4 cells, got 6: this model solves 4x4 sudokus",
    "1.3.\n.2..\n": ":1: expected 4 rows, got 2",
    "1.3.\n.25.\n....\n4.2.\n": ":2: expected a digit from 1 to 4 or a dot, got '5'",
    "1.1.............": ":1: row 1 has the digit 1 more than once",
    "1...1...........": ":1: column 1 has the digit 1 more than once",
    "2....2..........": ":1: box 1 has the digit 2 more than once",
    "12...3.4........": "no solution",
}


@pytest.mark.parametrize(("text", "message"), WRONG.items())
def test_a_mistake_in_the_text_is_named_with_its_line(text: str, message: str, tmp_path: Path):
    file = tmp_path / "mine.txt"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        read_sudokus(file, SMALL)
    assert message in error.value.message


def test_an_answer_keeps_the_givens_and_is_compared_with_the_solution():
    (found,) = solve(masks_of(digits("1.3..2.12...4.2."), SMALL), SMALL, limit=2)
    solution = torch.from_numpy(digits_of(found[0]).astype(np.int64))
    right = 9.0 * torch.nn.functional.one_hot(solution, 5).float()
    wrong = right.clone()
    wrong[0], wrong[1] = right[1], right[0]  # cell 0 is given: it stays
    quiz = np.repeat(digits("1.3..2.12...4.2."), 2, 0)
    first, second = answered(quiz, torch.stack([right, wrong]), SMALL)
    assert first["valid"] and first["answer"] == first["solution"] and first["wrong_cells"] == 0
    assert not second["valid"] and second["wrong_cells"] == 1 and second["answer"][0][0] == "1"
    assert first["puzzle"] == ["1.3.", ".2.1", "2...", "4.2."] and first["confidence"] > 0.99


def test_steps_are_drawn(tmp_path: Path):
    data = sudoku(box_cols=2, num_puzzles=200, batch_size=3)
    batch = data.batch("val", 0)
    (file,) = data.render(batch, {"step_logits": torch.randn(3, 16, 16, 5)}, tmp_path / "steps")
    assert file.suffix == ".png" and file.stat().st_size > 5000
