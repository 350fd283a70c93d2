"""The tests stay short: what they cost is measured against a budget, and collecting the light ones needs no torch."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from rk.testing.libraries import use_first

pytest_plugins = ("pytester",)
ROOT = Path(__file__).parent.parent.parent
LIGHT = ("cli", "report", "static/test_static.py", "test_c*.py", "test_f*.py", "test_p*.py", "test_r*.py", "test_s*.py")
NEEDS_TORCH = {"test_reading_fuzz.py", "test_sheets.py", "test_schedules.py"}
COLLECT = """
import sys
sys.modules["torch"] = None  # any import of it fails from here on
import pytest
sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "--assert=plain", *sys.argv[1:]]))
"""


@pytest.fixture(autouse=True)
def _no_first_uses(monkeypatch):
    """A pytest within this process forgets the modules that it has imported, and torch cannot be imported twice."""
    monkeypatch.setattr("rk.testing.times.use_first", lambda: None)


def test_collecting_the_light_tests_of_the_host_imports_no_torch():
    found = [path for pattern in LIGHT for path in (ROOT / "tests").glob(pattern) if path.name not in NEEDS_TORCH]
    assert len(found) > 20
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, *found], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "tests collected" in done.stdout


@pytest.fixture(scope="module")
def suite():
    spec = importlib.util.spec_from_file_location("suite_benchmark", ROOT / "benchmarks" / "suite.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measured(suite, folder, monkeypatch, capsys, **seconds: float) -> tuple[int, list[str]]:
    """Returns the exit code and the lines of the benchmark for tests of `rk-rnn`, of the kit on it, and of the host."""
    tests = {
        "plugins/rk-rnn/tests/test_rnn_cells.py::test_one": seconds.get("own", 1.0),
        "plugins/rk-rnn/tests/test_contract.py::TestContract::test_loss_falls[quick]": seconds.get("kit", 1.0),
        "tests/fit/test_loop.py::test_one": seconds.get("host", 1.0),
        "collection": 2.0,
    }
    for worker in ("gw0", "gw1"):
        lines = (f"{name}\t{cost / 2}\n" for name, cost in tests.items())
        (folder / f"{worker}.tsv").write_text("".join(lines), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["suite.py", str(folder)])
    with pytest.raises(SystemExit) as ended:
        suite.main()
    return int(ended.value.code), capsys.readouterr().out.splitlines()


def test_within_the_budgets_it_prints_the_table_by_plugin(suite, tmp_path, monkeypatch, capsys):
    code, lines = measured(suite, tmp_path, monkeypatch, capsys, own=4.0, kit=3.0)
    assert code == 0
    table = [line.split() for line in lines[: lines.index("")]]
    assert table[:4] == [["rk-rnn", "7.0"], ["collection", "2.0"], ["host:", "fit", "1.0"], ["all", "10.0"]]


def test_a_plugin_pays_for_its_share_of_the_kit(suite, tmp_path, monkeypatch, capsys):
    code, lines = measured(suite, tmp_path, monkeypatch, capsys, own=8.0, kit=8.0)
    assert code == 1 and any(line.startswith("rk-rnn") and line.endswith("over its budget") for line in lines)


def test_all_tests_together_have_a_budget(suite, tmp_path, monkeypatch, capsys):
    code, lines = measured(suite, tmp_path, monkeypatch, capsys, host=1440.0)
    assert code == 1 and any(line.startswith("all") and line.endswith("over its budget") for line in lines)
    code, _ = measured(suite, tmp_path, monkeypatch, capsys, host=1430.0)
    assert code == 0


def test_the_times_of_a_run_are_written_into_a_folder_that_need_not_be_there(pytester, tmp_path):
    pytester.makepyfile(test_two="def test_one(): pass\ndef test_two(): pass")
    pytester.runpytest_inprocess(f"--rk-times={tmp_path / 'new'}", "-q", "-p", "no:xdist")
    (file,) = (tmp_path / "new").iterdir()
    assert [line.split("\t")[0] for line in file.read_text().splitlines()] == [
        "collection",
        "test_two.py::test_one",
        "test_two.py::test_two",
        "imports",
    ]


SLEEPY_IMPORT = """
import importlib, sys, time
from pathlib import Path

def test_first():
    package = Path("onnx")
    package.mkdir()
    (package / "__init__.py").write_text(f"import time\\nwhile time.process_time() < {time.process_time() + 0.3}: pass")
    sys.path.insert(0, "")
    sys.modules.pop("onnx", None)
    importlib.import_module("onnx")
"""


def test_the_cost_of_importing_a_large_library_is_not_counted_for_a_test(pytester, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "onnx"]:
        monkeypatch.delitem(sys.modules, name)
    pytester.makepyfile(test_import=SLEEPY_IMPORT)
    pytester.runpytest_inprocess(f"--rk-times={tmp_path}", "-q", "-p", "no:xdist").assert_outcomes(passed=1)
    costs = dict(line.split("\t") for line in (tmp_path / "main.tsv").read_text().splitlines())
    assert float(costs["imports"]) >= 0.25  # 0.3 seconds are spent; clocks of processes tick in hundredths
    assert float(costs["test_import.py::test_first"]) < 0.2


def test_imports_are_the_hosts(suite, tmp_path, monkeypatch, capsys):
    (tmp_path / "gw2.tsv").write_text("imports\t8.0\n")
    _, lines = measured(suite, tmp_path, monkeypatch, capsys)
    assert "host: imports" in lines[0] and lines[0].endswith(" 8.0")


def test_first_uses_trace_a_graph_and_draw_a_figure(monkeypatch):
    drawn = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda self, *args, **options: drawn.append(self))
    use_first()
    assert len(drawn) == 1 and "torch.export" in sys.modules
