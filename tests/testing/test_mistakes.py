"""The fixture `plant`: a piece of a function's source is replaced while a test lasts."""

from __future__ import annotations

import pytest

from rk.testing.mistakes import with_mistake

FACTOR = 2


def scaled(x: float) -> float:
    return FACTOR * x + 1


class Loss:
    def __call__(self, x: float) -> float:
        return 0.5 * self.square(x)

    @staticmethod
    def square(x: float) -> float:
        return x * x


def test_the_mistake_is_planted_and_the_function_object_stays():
    wrong = with_mistake(scaled, "+ 1", "- 1")
    assert (wrong(3), scaled(3)) == (5, 7)


def test_a_function_with_a_mistake_still_sees_its_module(monkeypatch):
    wrong = with_mistake(scaled, "+ 1", "- 1")
    monkeypatch.setitem(globals(), "FACTOR", 10)
    assert wrong(3) == 29


def test_methods_and_static_methods_are_replaced(plant):
    plant(Loss, "__call__", "0.5 * ", "")
    plant(Loss, "square", "x * x", "x")
    assert Loss()(3.0) == 3.0


def test_the_next_test_has_the_original_function():
    assert Loss()(3.0) == 4.5


@pytest.mark.parametrize("right", ["+ 2", "x"], ids=["absent", "twice"])
def test_text_that_is_not_there_once_is_refused(right):
    with pytest.raises(ValueError, match=r"must occur once, got \d"):
        with_mistake(scaled, right, "")


def test_a_closure_is_refused():
    shift = 3

    def shifted(x: float) -> float:
        return x + shift

    with pytest.raises(ValueError, match="closure"):
        with_mistake(shifted, "x + shift", "x")


@pytest.mark.parametrize("name", ["RK_RUNS", "RK_TRACEBACK", "NO_COLOR", "COLUMNS"])
def test_variables_of_the_user_do_not_reach_a_test(request, monkeypatch, tmp_path, name):
    monkeypatch.setenv(name, str(tmp_path / "other"))
    done = request.getfixturevalue("rk")("train", "gone/gone")
    assert done.code == 2 and "Traceback" not in done.err
    assert not (tmp_path / "other").exists()


def test_each_test_folder_has_its_own_runs(monkeypatch, request, tmp_path):
    monkeypatch.setenv("RK_RUNS", str(tmp_path / "of-the-user"))
    request.getfixturevalue("rk_folder")
    from rk.runs import default_root

    assert str(default_root()) == "runs"
