"""A component that raises, exits or returns a wrong value: the message names plugin, kind, component and method."""

from __future__ import annotations

import sys

import pytest
import torch

from rk.blame import component_of, explain, who
from rk.errors import ExitCode, RunFailed, UserError
from rk.fit import returns

SOURCE = """
import contextlib

class Net:
    def forward(self): return helper()
    def inner(self): return Part()()
    def leave(self, code): import sys; sys.exit(code)
    def need(self): import no_such_module_at_all

class Part:
    def __call__(self): return 1 / 0

def helper():
    raise RuntimeError("two\\nlines \\x1b[31m")
"""


@pytest.fixture
def net(workshop):
    """A model of the plugin ``odd``, imported by the catalog as a run does."""
    catalog = workshop.catalog(workshop.plugin("odd", SOURCE, models={"net": "Net"}))
    return catalog.load(catalog.resolve("model", "net"))()


def explained(function, *args):
    with pytest.raises(BaseException) as caught:
        function(*args)
    return explain(caught.value)


# -- what is raised ----------------------------------------------------------------------------------------------------


def test_a_function_that_a_component_calls_is_named_with_the_component(net):
    error = explained(net.forward)
    assert error.message.startswith("rk-odd: model net: helper() raised RuntimeError: two lines \\x1b[31m\n  at ")
    assert error.message.endswith("parts.py:14")
    assert error.hint.startswith("this is a bug of rk-odd, not your input")
    assert error.exit_code == ExitCode.FAILED


def test_a_part_of_a_component_is_named_with_the_component(net):
    assert explained(net.inner).message.startswith("rk-odd: model net: Part.__call__() raised ZeroDivisionError")


def test_an_error_in_a_library_is_blamed_on_the_plugin_that_called_it(net, workshop):
    module = sys.modules[type(net).__module__]
    module.helper = lambda: torch.zeros(2) @ torch.zeros(3)
    module.helper.__code__ = module.helper.__code__.replace(co_filename=module.__file__)
    assert explained(net.forward).message.startswith("rk-odd: model net: ")


@pytest.mark.parametrize(("code", "shown"), [(0, "0"), (None, ""), (3, "3"), ("bye", "'bye'")])
def test_an_exit_is_a_failure_that_names_the_component(code, shown, net):
    error = explained(net.leave, code)
    assert error.message.startswith(f"rk-odd: model net: leave() called sys.exit({shown})\n  at ")
    assert error.exit_code == ExitCode.FAILED


def test_a_mistake_of_rk_itself_is_not_a_plugins():
    error = explained(lambda: 1 / 0)
    assert error.message.startswith("ZeroDivisionError: division by zero\n  at ")
    assert error.hint.startswith("this is a bug, not your input")


def test_the_command_ends_with_code_1_when_a_component_exits_with_0(net, monkeypatch, capsys, tmp_path):
    import rk.cli

    monkeypatch.setenv("RK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(rk.cli, "cli", lambda **settings: net.leave(0))
    with pytest.raises(SystemExit) as ended:
        rk.cli.main()
    assert ended.value.code == 1
    assert "rk-odd: model net: leave() called sys.exit(0)" in capsys.readouterr().err


# -- what is lacking ---------------------------------------------------------------------------------------------------


def metadata(*lines: str):
    """An installed distribution, as far as its core metadata go."""
    text = "Metadata-Version: 2.1\nName: rk-odd\nVersion: 1.0\n" + "".join(f"Requires-Dist: {line}\n" for line in lines)
    return type("Installed", (), {"read_text": lambda self, name: text})()


@pytest.mark.parametrize(
    ("requires", "hint"),
    [
        pytest.param(["no-such-module-at-all>=2; extra == 'board'"], 'pip install "rk-odd[board]"', id="an extra"),
        pytest.param(["no_such.module_at.all (>=2)"], 'pip install "no_such.module_at.all>=2"', id="required"),
        pytest.param(
            ["other; extra == 'board'"],
            "install what brings no_such_module_at_all; rk-odd has the extras board",
            id="an extra of another module",
        ),
        pytest.param([], "install what brings no_such_module_at_all", id="nothing is declared"),
    ],
)
def test_a_missing_optional_module_is_reported_with_what_to_install(requires, hint, net):
    component_of(net).entry.__dict__["_metadata"] = metadata(*requires)
    component_of(net).entry.__dict__.pop("_core", None)
    error = explained(net.need)
    assert isinstance(error, UserError)
    assert error.message == "rk-odd: model net: need(): needs the module no_such_module_at_all, which is not installed"
    assert error.hint == hint


def test_a_component_with_a_missing_dependency_is_not_a_bug(workshop):
    catalog = workshop.catalog(
        workshop.plugin("odd", "import no_such_module_at_all\nclass Net: ...", models={"net": "Net"})
    )
    with pytest.raises(UserError, match="needs the module no_such_module_at_all, which is not installed") as caught:
        catalog.load(catalog.resolve("model", "net"))
    assert "bug" not in caught.value.render()


def test_a_plugin_that_lacks_a_part_of_itself_is_a_bug_of_the_plugin(workshop):
    catalog = workshop.catalog(workshop.plugin("odd", "import PACKAGE.gone\nclass Net: ...", models={"net": "Net"}))
    with pytest.raises(UserError, match=r"^rk-odd: model net: import .*ModuleNotFoundError") as caught:
        catalog.load(catalog.resolve("model", "net"))
    assert caught.value.hint is None


# -- what is returned --------------------------------------------------------------------------------------------------

TENSOR = torch.zeros(())


WRONG = {
    returns.check_batch: [None, [], "x", 3, {3: TENSOR}, {"inputs": [1.0]}, {"inputs": None}, TENSOR],
    returns.check_outputs: [None, TENSOR, {"a": 1}],
    returns.check_objective: [TENSOR, 1.0, (TENSOR,), (1.0, 2), (torch.zeros(3), 3), {}, {"a": TENSOR}, "x", {1: 2}],
    returns.check_share: [None, 0.5, TENSOR, (TENSOR, None), (0.5, 3), (torch.zeros(2), 2), (TENSOR, 1, 2)],
    returns.check_number: [None, "1", [], torch.zeros(2)],
    returns.check_step: [TENSOR, 1.0, {"a": "b"}, [1], {"a": None}],
    returns.check_answers: [None, {}, [1], "abc", [{1: 2}]],
    returns.check_learner: [None, 3, torch.nn.Linear(1, 1)],
    returns.check_optimizer: [None],
    returns.check_rate: ["x"],
}


@pytest.mark.parametrize(
    ("check", "value"),
    [
        pytest.param(check, value, id=f"{check.__name__.removeprefix('check_')}-{i}")
        for check, values in WRONG.items()
        for i, value in enumerate(values)
    ],
)
def test_a_wrong_value_is_named_with_the_component_that_returned_it(check, value, net):
    with pytest.raises(RunFailed, match=r"^rk-odd: model net: \w+\(\) returned ") as caught:
        check(net, value)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (returns.check_batch, {"inputs": TENSOR, "rows_meta": [1]}),
        (returns.check_batch, {}),
        (returns.check_outputs, {"logits": TENSOR}),
        (returns.check_objective, (TENSOR, 3)),
        (returns.check_objective, {"a": (TENSOR, TENSOR), "b": (TENSOR, 2.0)}),
        (returns.check_objective, None),
        (returns.check_share, (TENSOR, TENSOR)),
        (returns.check_number, TENSOR),
        (returns.check_step, None),
        (returns.check_step, {}),
        (returns.check_step, {"loss": TENSOR, "lr": 0.1}),
        (returns.check_answers, []),
        (returns.check_answers, [{"class": 3}]),
        (returns.check_rate, 0.1),
    ],
)
def test_allowed_return_values_pass(check, value, net):
    check(net, value)


@pytest.mark.parametrize("count", [-1, 1.5, True, "3", [3]])
def test_a_number_of_batches_is_a_number(count, net):
    net.batches = lambda split: count
    with pytest.raises(RunFailed, match=r"^rk-odd: model net: batches\(\) returned "):
        returns.check_batches(net, "train")


@pytest.mark.parametrize("paths", [None, "a.png", 3, [3], ["/no/such/file"]])
def test_files_that_were_written_are_there(paths, net):
    with pytest.raises(RunFailed, match=r"^rk-odd: model net: export\(\) "):
        returns.check_paths(net, paths, "export")


@pytest.mark.parametrize("splits", ["train", None, 3, ["train", 3]])
def test_splits_are_names(splits, net):
    net.splits = splits
    with pytest.raises(RunFailed, match=r"^rk-odd: model net: splits is "):
        returns.check_splits(net)


def test_functions_and_classes_beside_a_component_are_named_by_its_plugin(net):
    module = sys.modules[type(net).__module__]
    assert who(net) == "rk-odd: model net"
    assert who(module.Part()) == "rk-odd: Part"
    assert who(module.helper) == "rk-odd: helper"
    assert who(3) == "builtins.int"
