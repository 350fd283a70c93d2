"""A new kind is one entry in the table and one protocol; hooks, commands, scaffold and documents follow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rk.kinds import COMPONENT_KEYS, KINDS, PLURAL_KEYS

ROOT = Path(__file__).parent.parent
ENTRY = """    Kind(
        "probe",
        "rk_probes",
        "Probe",
        "Probes: what a layer knows",
        methods=(("look",), ("note", "say")),
        must="`look(x)`, `note()` or `say()`",
        may="`rest`",
        fields=(("look", "takes", None),),
        example="Looks at one layer.",
    ),
)

KINDS:"""
PROTOCOL = '''class Probe(Protocol):
    """Looks at a layer."""

    def look(self, x: Tensor) -> None: ...


KINDS:'''
TEMPLATE = '''class {{ classes["probe"] }}:
    """Looks at one layer."""

    def look(self, x: float) -> None: ...
'''
ASK = """
import importlib, json, runpy, sys
from pathlib import Path
import rk.hookspecs, rk.protocols
from rk.catalog import Catalog
from rk.cli.plugins import new
from rk.plugins import Plugins
from rk.review import faults
from rk.scaffold import new_plugin

root = Path(sys.argv[1])
written = new_plugin("looker", root, ("probe",))
info = root / "rk_looker-0.1.0.dist-info"
info.mkdir()
(info / "METADATA").write_text("Metadata-Version: 2.1\\nName: rk-looker\\nVersion: 0.1.0\\n")
(info / "entry_points.txt").write_text("[rk.plugins]\\nlooker = rk_looker\\n")
importlib.invalidate_caches()  # a folder of this path has been looked through already
catalog = Catalog(Plugins())
(probe,) = catalog.of_kind("probe")
generate = runpy.run_path(str(root / "docs" / "generate.py"))
print(json.dumps({
    "host": rk.__file__,
    "hook": rk.hookspecs.rk_probes.__doc__,
    "protocol": rk.protocols.KINDS["probe"].__name__,
    "choices": next(p.help for p in new.params if p.name == "kinds"),
    "written": sorted(p.name for p in written if "probe" in p.name),
    "faults": faults(probe, catalog),
    "contract": generate["kinds_table"](),
    "reference": "".join(generate["hooks"]()),
}))
"""


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Path:
    """A copy of the host with one more kind."""
    root = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "rk", root / "rk", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "generate.py", root / "docs")
    for name, old, new in (("kinds.py", ")\n\nKINDS:", ENTRY), ("protocols.py", "KINDS:", PROTOCOL)):
        source = (root / "rk" / name).read_text(encoding="utf-8")
        assert source.count(old) == 1
        (root / "rk" / name).write_text(source.replace(old, new), encoding="utf-8")
    (root / "rk/scaffold/plugin/src/PACKAGE/probe.py.j2").write_text(TEMPLATE, encoding="utf-8")
    return root


def run(root: Path, *command: str) -> str:
    places = os.pathsep.join((str(root), str(root / "rk-looker" / "src")))
    environment = {**os.environ, "PYTHONPATH": places, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, *command], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_everything_follows_from_one_entry_and_one_protocol(extended):
    said = json.loads(run(extended, "-c", ASK, str(extended)))
    assert said["host"] == str(extended / "rk" / "__init__.py")
    assert said["hook"] == "Probes: what a layer knows (`rk.protocols.Probe`)."
    assert said["protocol"] == "Probe"
    assert said["choices"].endswith("analysis, probe.")
    assert said["written"] == ["probe.py"]
    assert said["faults"] == ["has no method note() or say()"]
    assert said["contract"].endswith("\n| probe | `rk_probes` | `look(x)`, `note()` or `say()` | `rest` |")
    assert "| `rk_probes` | probe | Probes: what a layer knows (`rk.protocols.Probe`). |" in said["reference"]
    (row,) = json.loads(run(extended, "-m", "rk", "list", "probes", "--json"))
    assert (row["kind"], row["name"], row["plugin"]) == ("probe", "looker", "looker")
    assert "takes shape x float" in " ".join(run(extended, "-m", "rk", "show", "probe", "looker").split())


def test_the_keys_of_a_recipe_are_those_of_the_table():
    assert list(COMPONENT_KEYS) == ["model", "data", "loss", "trainer", "search"]
    assert PLURAL_KEYS == {"metrics": "metric", "callbacks": "callback"}


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_declared_methods_of_a_kind_are_required_or_optional(kind):
    said = kind.must + kind.may
    assert all(f"`{name}" in said for name, _, _ in kind.fields)
    assert kind.key in (None, kind.name, kind.plural)
