"""`rk plugins doctor`: what each plugin costs, what is broken, what clashes."""

from __future__ import annotations

import json
import re

import pytest

from rk.catalog import Catalog
from rk.doctor import Examination, examine
from rk.plugins import PluginEntry, Plugins
from rk.probe import probe

HOOKS = "from rk import hookimpl\n@hookimpl\ndef rk_models():\n    return {'toy': 'PACKAGE.parts:Toy'}\n"
TOY = '''
from jaxtyping import Float
from torch import Tensor, nn
from rk.fields import LogitsOutputs
class Toy(nn.Module):
    """A toy.

    Args:
        width: How wide.
    """
    def __init__(self, width: int = 1): ...
    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs: ...
'''


@pytest.fixture
def doctor(workshop, monkeypatch):
    """Examines plugins by their entries; their modules can be imported by other processes too."""
    monkeypatch.setenv("PYTHONPATH", str(workshop.folder))

    def call(*entries: PluginEntry) -> list[Examination]:
        return examine(Catalog(Plugins(entries)))

    return call


@pytest.fixture
def examined(doctor, workshop):
    def call(source: str = HOOKS, parts: str = TOY, host: str | None = ">=0") -> Examination:
        (found,) = doctor(PluginEntry("odd", workshop.package(source, parts=parts), "rk-odd", "1.0", host))
        return found

    return call


def test_a_plugin_without_fault_is_healthy(examined):
    found = examined()
    assert (found.verdict, found.errors, found.warnings) == ("healthy", [], [])
    assert found.hooks() == ["rk_models"]
    assert 0 < found.milliseconds < 5000


@pytest.mark.parametrize(
    ("line", "module"),
    [
        ("from rk.fit.evaluate import evaluating", "rk.fit.evaluate"),
        ("import rk.runs.folder", "rk.runs.folder"),
        ("from rk import runs", "rk.runs"),
        ("from rk.reading.tables import read_rows", "rk.reading.tables"),
    ],
)
def test_an_import_of_what_is_not_public_is_a_warning(line, module, examined):
    found = examined(parts=f"import math\n{line}\n{TOY}")
    assert found.verdict == "to fix"
    (warning,) = found.warnings
    assert re.fullmatch(rf"throwaway_\d+/parts\.py:2 imports {re.escape(module)}, which is not public: .*", warning)


@pytest.mark.parametrize("line", ["from rk import files, Runtime", "import rk.reading", "from . import rk"])
def test_public_modules_and_a_plugins_own_are_not(line, examined):
    assert examined(parts=f"{line}\n{TOY}").warnings == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param("1 / 0", "ZeroDivisionError: division by zero", id="does not import"),
        pytest.param(HOOKS + "@hookimpl\ndef rk_data(): 1 / 0", "rk_data(): ZeroDivisionError", id="a hook raises"),
    ],
)
def test_a_broken_plugin_is_reported_with_its_traceback(source, said, examined):
    found = examined(source)
    assert found.verdict == "broken"
    assert any(said in error for error in found.errors)
    assert "Traceback" in found.traceback() and "ZeroDivisionError" in found.traceback()


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        pytest.param("x = 1", "model toy: ", id="no such class"),
        pytest.param(TOY.replace("forward", "fordward"), "model toy: has no method forward()", id="no forward"),
        pytest.param(
            TOY.replace("-> LogitsOutputs", ""),
            "model toy: forward() has no TypedDict as return annotation",
            id="fields undeclared",
        ),
        pytest.param(
            TOY.replace("width: int = 1", "width: Tensor"),
            "model toy: the parameter 'width' takes Tensor, which no recipe can give, and has no default",
            id="a parameter that no recipe can give",
        ),
        pytest.param(TOY.replace("width: int = 1", "**width"), "takes *args or **kwargs", id="hidden parameters"),
    ],
)
def test_a_component_that_cannot_work_makes_its_plugin_broken(parts, said, examined):
    found = examined(parts=parts)
    assert found.verdict == "broken" and any(said in error for error in found.errors)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        pytest.param(TOY.replace("width: int", "width"), "the parameter 'width' has no type", id="untyped"),
        pytest.param(TOY.replace("width: How wide.", ""), "'width' is not in the docstring's Args:", id="undocumented"),
        pytest.param(TOY.replace("width: How", "length: How"), "documents 'length', not a parameter", id="renamed"),
        pytest.param(TOY.replace('"""A toy.', '""').replace('    """', ""), "Toy has no docstring", id="no docstring"),
    ],
)
def test_an_undocumented_component_is_to_be_fixed(parts, said, examined):
    if "Toy has no docstring" in said:
        head, _, rest = TOY.partition('    """A toy.')
        parts = head + rest.partition('"""')[2]
    found = examined(parts=parts)
    assert (found.verdict, found.errors) == ("to fix", [])
    assert any(said in warning for warning in found.warnings)


def test_a_heavy_import_is_seen_where_it_happens_and_not_in_the_plugin_after(doctor, workshop):
    heavy = workshop.entry("heavy", "import numpy\n" + HOOKS, parts=TOY)
    later = workshop.entry("later", HOOKS, parts=TOY)
    first, second = doctor(heavy, later)
    assert first.heavy == ["numpy"] and "import them in the components' modules" in "".join(first.warnings)
    assert second.heavy == []


@pytest.mark.parametrize("source", ["import os; os._exit(3)", "import sys; sys.exit(0)", "def (", "print('{}')"])
def test_the_probe_survives_any_module(source, workshop, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(workshop.folder))
    assert probe(workshop.package(source)).keys() >= {"milliseconds", "heavy"}


def test_a_name_that_two_plugins_offer_is_a_clash_that_recipes_can_settle(doctor, workshop):
    one, two = doctor(*(workshop.entry(name, HOOKS, parts=TOY) for name in ("one", "two")))
    assert "model toy is offered by rk-two too: recipes must write one/toy" in one.warnings
    assert "model toy is offered by rk-one too: recipes must write two/toy" in two.warnings


def test_a_plugin_for_another_host_and_one_that_names_none_are_reported(examined):
    assert "made for recursion-kit>=9" in examined(host=">=9").errors[0]
    assert "does not require recursion-kit" in "".join(examined(host=None).warnings)


def test_a_plugin_that_offers_nothing_is_reported(examined):
    assert "it offers nothing" in "".join(examined("x = 1").warnings)


def test_a_disabled_plugin_is_not_imported(doctor, workshop, monkeypatch):
    monkeypatch.setenv("RK_DISABLE_PLUGINS", "odd")
    (found,) = doctor(workshop.entry("odd", "1 / 0"))
    assert (found.verdict, found.milliseconds, found.errors) == ("disabled", None, [])


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Installs a healthy and a broken plugin, in the eyes of Python."""
    folder = tmp_path / "site"
    for name, source in {"fine": HOOKS.replace("PACKAGE", "rk_fine"), "odd": "1 / 0"}.items():
        package, info = folder / f"rk_{name}", folder / f"rk_{name}-1.0.dist-info"
        package.mkdir(parents=True)
        info.mkdir()
        (package / "__init__.py").write_text(source)
        (package / "parts.py").write_text(TOY)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: rk-{name}\nVersion: 1.0\nRequires-Dist: recursion-kit>=0.1\n"
        )
        (info / "entry_points.txt").write_text(f"[rk.plugins]\n{name} = rk_{name}\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_the_command_prints_a_table_and_fails_when_one_is_broken(site, rk):
    done = rk("plugins", "doctor", "fine", "rk-odd")
    assert done.code == 1
    assert "rk-odd: error: import rk_odd: ZeroDivisionError: division by zero" in done.out
    assert "Traceback" not in done.out and "--traceback shows where" in done.out
    assert "Traceback" in rk("plugins", "doctor", "odd", "--traceback").out
    assert rk("plugins", "doctor", "fine").code == 0


def test_json_has_all_findings(site, rk):
    found = {e["name"]: e for e in json.loads(rk("plugins", "doctor", "fine", "odd", "--json").out)}
    assert found["fine"]["verdict"] == "healthy" and found["fine"]["requires_host"] == ">=0.1"
    assert found["fine"]["components"] == [{"kind": "model", "name": "toy", "target": "rk_fine.parts:Toy"}]
    assert found["odd"]["verdict"] == "broken" and "ZeroDivisionError" in found["odd"]["traceback"]


def test_an_unknown_plugin_is_a_mistake_with_the_nearest_right_name(site, rk):
    done = rk("plugins", "doctor", "fin")
    assert done.code == 2 and "did you mean fine?" in done.err


@pytest.mark.parametrize(
    "source", ["print('hello')", "import sys; sys.stderr.write('hello')", "import os; os.write(1, b'hello')"]
)
def test_a_plugin_that_prints_when_it_loads_is_to_be_fixed(source, examined):
    found = examined(f"{source}\n{HOOKS}")
    assert found.verdict == "to fix"
    assert any("prints 'hello': every command would show it" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import os, sys\nif 'rk.probe' in sys.orig_argv: os._exit(3)\n", "code 3"),
        ("import sys\nif 'rk.probe' in sys.orig_argv: raise KeyboardInterrupt\n", "KeyboardInterrupt"),
    ],
    ids=["ends the interpreter", "raises"],
)
def test_a_plugin_that_fails_in_a_fresh_interpreter_is_broken(source, said, examined):
    found = examined(source + HOOKS)
    assert found.verdict == "broken"
    assert any("fails in a fresh interpreter" in error and said in error for error in found.errors)
