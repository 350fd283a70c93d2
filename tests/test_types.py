"""What mypy cannot say: capabilities are asked for by their protocols, and what it is not to look at has a reason."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from rk import capabilities

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*ROOT.glob("rk/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")])
HOST = [path for path in SOURCES if path.is_relative_to(ROOT / "rk") and path.name != "capabilities.py"]
PROTOCOLS = [c for c in vars(capabilities).values() if isinstance(c, type) and c.__module__ == capabilities.__name__]
MEMBERS = {name for protocol in PROTOCOLS for name in capabilities.members(protocol)}


def test_the_host_asks_for_capabilities_by_their_protocols():
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"
        for path in HOST
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "hasattr"
        and isinstance(node.args[1], ast.Constant)
        and node.args[1].value in MEMBERS
    ]
    assert found == []


def test_what_the_checker_is_to_ignore_has_a_code_and_a_reason():
    said = re.compile(r"# type: ignore(?!\[[\w-]+(, [\w-]+)*\]  # \w)|^# mypy:|^# type: ignore")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if said.search(line)
    ]
    assert found == []


def test_a_component_is_asked_for_all_members_of_a_protocol():
    class Half:
        def answers(self, batch, outputs):
            return []

    class Metric:
        def update(self, **fields):
            pass

    assert capabilities.supports(Half(), capabilities.SupportsAnswers)
    assert not capabilities.supports(Half(), capabilities.SupportsRead)
    assert not capabilities.supports(Half(), capabilities.HasBlocks)
    assert capabilities.supports(Metric(), capabilities.SupportsUpdate)


def test_a_wrapper_supports_what_it_wraps_supports():
    from rk.wrappers import DataWrapper

    class Data:
        def read(self, path):
            return {}

    assert capabilities.supports(DataWrapper(Data()), capabilities.SupportsRead)
    assert not capabilities.supports(DataWrapper(Data()), capabilities.SupportsAnswers)


def test_what_is_inherited_from_a_protocol_implements_nothing():
    from rk.protocols import Trainer

    class Plain(Trainer):
        pass

    class Solving(Trainer):
        def finish(self):
            pass

    assert not capabilities.implements(Plain(), capabilities.SupportsFinish)
    assert capabilities.implements(Solving(), capabilities.SupportsFinish)
    assert capabilities.supports(Plain(), capabilities.SupportsFinish)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.__name__)
def test_every_protocol_of_a_capability_asks_for_something(protocol):
    assert capabilities.members(protocol)
