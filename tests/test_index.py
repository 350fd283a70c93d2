"""The index of installed plugins: the same answers as without it, whatever happens to it or to the plugins."""

from __future__ import annotations

import importlib
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import pytest

from rk import cli
from rk.index import answers
from rk.plugins import installed

RECIPE = "# A toy on digits.\nrk: 1\npaper: arXiv:2401.00001\nmodel: toy\ndata: digits\nloss: cross-entropy\n"
RECIPE += "trainer: {name: backprop, optimizer: adam}\nfit: {max_steps: 1}\n"
HOOKS = "from rk import hookimpl\n@hookimpl\ndef rk_models():\n    return {'toy': 'PACKAGE.parts:Toy'}\n"
BASE = '''
class Base:
    """What toys share."""
    def __init__(self, depth: int = 2): ...
'''
PARTS = '''
from jaxtyping import Float
from torch import Tensor, nn
from rk.fields import LogitsOutputs
from PACKAGE.base import Base


class Toy(Base, nn.Module):
    """A toy.

    Args:
        width: How wide.
        sizes: How large.
    """

    def __init__(self, width: float = float("inf"), sizes: tuple[int, ...] = (1, 2), **common):
        super().__init__(**common)

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs: ...
'''
LISTINGS = [
    ("list", "--json"),
    ("list", "model", "--plugin", "toys"),
    ("list", "--fits", "data=digits"),
    ("recipes", "--json"),
    ("recipes", "--uses", "adam", "--json"),
    ("recipes", "show", "toys/quick"),
    ("recipes", "show", "toys/longer", "--complete"),
    ("plugins", "--json"),
    ("show", "toy"),
    ("show", "model", "toys/toy", "--json"),
    ("show", "optimizer", "adam", "--json"),
    ("schema",),
    ("validate", "toys/quick"),
    ("validate", "toys/longer", "model.width=3", "--json"),
    ("validate", "toys/broken"),
    ("show", "ty"),
    ("--help",),
]
COMPLETED = ["rk train toys/", "rk train toys/quick model.", "rk show model t", "rk show ", "rk list --fits model="]


class Site:
    """A folder on Python's path with the plugin ``toys``, and a cache folder; both are one test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "site"
        self.cache = folder / "cache"
        self.home = folder / "home"
        self.home.mkdir()
        self.install("toys", "0.1")

    def install(self, name: str, version: str, hooks: str = HOOKS) -> Path:
        package = self.folder / f"rk_{name}"
        info = self.folder / f"rk_{name}-{version}.dist-info"
        (package / "recipes").mkdir(parents=True, exist_ok=True)
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: rk-{name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[rk.plugins]\n{name} = rk_{name}\n")
        for file, text in (("__init__", hooks), ("parts", PARTS), ("base", BASE)):
            (package / f"{file}.py").write_text(text.replace("PACKAGE", package.name))
        (package / "recipes" / "quick.yaml").write_text(RECIPE)
        (package / "recipes" / "longer.yaml").write_text("# Longer.\nextends: quick\nfit: {max_steps: 9}\n")
        (package / "recipes" / "broken.yaml").write_text("# Broken.\nrk: 1\nmodle: toy\nfit: {max_step: yes}\n")
        rest()
        return package

    @property
    def package(self) -> Path:
        return self.folder / "rk_toys"

    def write(self, name: str, text: str) -> None:
        (self.package / name).write_text(text.replace("PACKAGE", "rk_toys"))

    def start(self, *args: str, **variables: str) -> Run:
        """Starts `rk` in a process forked from this one, which takes a tenth of the time of a new one."""
        variables = {"RK_DISABLE_PLUGINS": OTHERS, "RK_CACHE": str(self.cache), **variables}
        return Run(args, variables, str(self.folder), self.home)

    def rk(self, *args: str, **variables: str) -> tuple[int, str, str]:
        """Returns the exit code of `rk` and what it printed."""
        return self.start(*args, **variables).wait()

    def without_index(self, *args: str, **variables: str) -> tuple[int, str, str]:
        return self.rk(*args, RK_NO_INDEX="1", **variables)

    def files(self, name: str = "*") -> list[Path]:
        return sorted(self.cache.glob(f"index/*/{name}.json"))

    def models(self, **variables: str) -> list[tuple[str, str, str]]:
        """Returns name, distribution and summary of the plugins' models, as `rk list` has them."""
        code, out, err = self.rk("list", "model", "--json", **variables)
        assert (code, err) == (0, "")
        return [(m["name"], m["distribution"], m["summary"]) for m in json.loads(out) if m["plugin"] != "rk"]


OTHERS = ",".join(entry.name for entry in installed())
"""The plugins that are installed beside: each test is about its own."""


class Run:
    """A command in a forked process."""

    def __init__(self, args: tuple[str, ...], variables: dict[str, str], path: str, folder: Path) -> None:
        self._out, self._err = (tempfile.TemporaryFile("w+") for _ in range(2))  # noqa: SIM115 closed by `wait`
        self._pid = os.fork()
        if self._pid == 0:
            code = 70
            try:
                code = self._command(args, variables, path, folder)
            finally:
                os._exit(code)

    def _command(self, args: tuple[str, ...], variables: dict[str, str], path: str, folder: Path) -> int:
        for number, file in ((1, self._out), (2, self._err)):
            os.dup2(file.fileno(), number)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, "rw"[n > 0], closefd=False) for n in range(3))
        importlib.reload(warnings)  # pytest keeps warnings and log records for itself
        logging.root.handlers.clear()
        sys.path.insert(0, path)
        sys.dont_write_bytecode = True
        os.environ.update(variables)
        os.chdir(folder)
        answers.BEGAN = time.time_ns()
        sys.argv = ["rk", *args]
        try:
            cli.main()
        except SystemExit as end:
            return int(end.code or 0)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
        return 0

    def wait(self) -> tuple[int, str, str]:
        """Returns the exit code, standard output and standard error."""
        _, status = os.waitpid(self._pid, 0)
        texts = []
        for file in (self._out, self._err):
            file.seek(0)
            texts.append(file.read())
            file.close()
        return os.waitstatus_to_exitcode(status), *texts


def rest() -> None:
    """Waits until files have rested for so long that their stamps are trusted."""
    time.sleep(0.12)


@pytest.fixture
def site(tmp_path) -> Site:
    return Site(tmp_path)


# -- the same answers ----------------------------------------------------------------------------------------------


def test_every_listing_is_the_same_with_and_without_the_index(tmp_path):
    site = Site(tmp_path)
    calls = [
        *((args, {}) for args in LISTINGS),
        *(((), {"_RK_COMPLETE": "bash_complete", "COMP_WORDS": line}) for line in COMPLETED),
    ]
    for args, variables in calls:
        expected = site.without_index(*args, **variables)
        assert expected[1] or expected[2], args
        built, kept = site.rk(*args, **variables), site.rk(*args, **variables)
        assert (built, kept) == (expected, expected), (args, variables)
    assert {path.stem for path in site.files()} == {
        "plugins",
        "summaries",
        "recipes",
        "descriptions",
        "schema",
        "sources",
        "trees",
    }


def test_an_unchanged_plugin_is_neither_imported_nor_parsed(site):
    code = (
        "import sys; sys.argv = ['rk', 'list']\nfrom rk.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([m for m in ('rk_toys', 'rk.static.source', 'importlib.metadata', 'yaml') if m in sys.modules])"
    )
    variables = {"PYTHONPATH": str(site.folder), "RK_CACHE": str(site.cache), "RK_DISABLE_PLUGINS": OTHERS}

    def call() -> str:
        return subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **variables},
            cwd=site.home,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()[-1]

    call()
    rest()
    call()  # byte code that the first one wrote has changed the folder
    assert call() == "[]"


def test_without_the_index_nothing_is_kept(site):
    site.without_index("list")
    assert site.files() == []


def test_the_doctor_loads_for_real(site):
    site.rk("plugins")
    site.write("__init__.py", "1 / 0")
    assert "ZeroDivisionError" in site.rk("plugins", "doctor", "toys")[1]


# -- what has changed is seen --------------------------------------------------------------------------------------


def edit_summary(site):
    site.write("parts.py", PARTS.replace("A toy.", "A new toy."))
    return [("toy", "rk-toys", "A new toy.")]


def edit_hooks(site):
    site.write("__init__.py", HOOKS.replace("'toy'", "'train'"))
    return [("train", "rk-toys", "A toy.")]


def edit_to_the_same_size_and_time(site):
    path = site.package / "parts.py"
    before = path.stat()
    site.write("parts.py", PARTS.replace("A toy.", "A top."))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return [("toy", "rk-toys", "A top.")]


def install_another(site):
    site.install("other", "2.0")
    return [("toy", "rk-other", "A toy."), ("toy", "rk-toys", "A toy.")]


def remove(site):
    shutil.rmtree(site.folder / "rk_toys-0.1.dist-info")
    return []


def replace_by_a_package(site):
    (site.package / "parts").mkdir()
    site.write("parts/__init__.py", PARTS.replace("A toy.", "A toy of a package."))
    return [("toy", "rk-toys", "A toy of a package.")]


def rename_in_the_metadata(site):
    (site.folder / "rk_toys-0.1.dist-info" / "METADATA").write_text("Name: rk-renamed\nVersion: 0.1\n")
    return [("toy", "rk-renamed", "A toy.")]


def read_the_names_from_a_file(site):
    """The hook reads a file beside it, which then changes."""
    site.write("__init__.py", HOOKS.replace("return ", "return __import__('json').load(open(NAMES)) or ") + FROM_FILE)
    site.write("names.json", '{"first": "PACKAGE.parts:Toy"}')
    rest()
    assert [m[0] for m in site.models()] == ["first"] and [m[0] for m in site.models()] == ["first"]
    site.write("names.json", '{"other": "PACKAGE.parts:Toy"}')
    return [("other", "rk-toys", "A toy.")]


FROM_FILE = "from pathlib import Path\nNAMES = Path(__file__).with_name('names.json')\n"


@pytest.mark.parametrize(
    "change",
    [
        edit_summary,
        edit_hooks,
        edit_to_the_same_size_and_time,
        install_another,
        remove,
        replace_by_a_package,
        rename_in_the_metadata,
        read_the_names_from_a_file,
    ],
)
def test_a_change_is_seen_at_once(site, change):
    assert site.models() == site.models() == [("toy", "rk-toys", "A toy.")]
    expected = change(site)
    assert site.models() == expected
    rest()
    assert site.models() == site.models() == expected


def test_a_change_in_a_base_class_of_another_module_is_seen(site):
    assert "depth" in site.rk("show", "toy")[1] and "depth" in site.rk("show", "toy")[1]
    site.write("base.py", BASE.replace("depth", "height"))
    out = site.rk("show", "toy")[1]
    assert "height" in out and "depth" not in out


def test_changes_of_recipes_are_seen_in_what_extends_them_too(site):
    def tasks() -> dict[str, tuple[str, str]]:
        found = json.loads(site.rk("recipes", "--json")[1])
        return {r["name"]: (r["task"], r["about"]) for r in found if r["name"].startswith("toys/")}

    assert tasks() == tasks()
    assert tasks()["toys/longer"] == ("digits", "Longer.")
    recipes = site.package / "recipes"
    (recipes / "quick.yaml").write_text(RECIPE.replace("data: digits", "data: tabular").replace("A toy", "Another"))
    assert tasks()["toys/quick"] == ("tabular", "Another on digits.") and tasks()["toys/longer"][0] == "tabular"
    (recipes / "new.yaml").write_text(RECIPE)
    (recipes / "broken.yaml").unlink()
    assert set(tasks()) == {"toys/quick", "toys/longer", "toys/new"}


def test_validate_sees_an_edited_recipe_and_an_edited_component(site):
    assert site.rk("validate", "toys/quick", "model.width=1")[0] == site.rk("validate", "toys/quick")[0] == 0
    path = site.package / "recipes" / "quick.yaml"
    path.write_text(RECIPE.replace("model: toy", "model: {name: toy, widht: 2}"))
    assert "did you mean width?" in site.rk("validate", "toys/quick")[2]
    site.write("parts.py", PARTS.replace("width", "widht"))
    assert site.rk("validate", "toys/quick")[0] == 0


def test_disabled_plugins_and_environment_variables_count(site):
    hooks = "import os\n" + HOOKS.replace("'toy'", "os.environ.get('TOY_NAME', 'toy')")
    site.write("__init__.py", hooks)
    rest()
    for _ in range(2):
        assert site.models() == [("toy", "rk-toys", "A toy.")]
        assert site.models(TOY_NAME="train") == [("train", "rk-toys", "A toy.")]
        assert site.models(RK_DISABLE_PLUGINS=f"{OTHERS},toys") == []


def test_the_value_of_a_variable_is_not_written_down(site):
    site.write("__init__.py", "import os\nos.environ.get('SECRET')\n" + HOOKS)
    rest()
    site.models(SECRET="do-not-tell")
    assert site.files("plugins") and not any("do-not-tell" in path.read_text() for path in site.files())


# -- plugins with faults -------------------------------------------------------------------------------------------


FAULTS = {
    "raises": "1 / 0\n",
    "prints": "print('hello')\n",
    "writes past Python": "import os; os.write(1, b'hello\\n')\n",
    "runs a program": "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1)'])\n",
    "warns": "import warnings; warnings.warn('old')\n",
    "logs": "import logging; logging.warning('careful')\n",
    "misspells a hook": "from rk import hookimpl\n@hookimpl\ndef rk_modles(): ...\n",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_plugin_that_fails_or_prints_does_so_every_time(site, fault):
    site.install("odd", "1.0", FAULTS[fault] + HOOKS)
    expected = [site.without_index(*args) for args in (("plugins", "--json"), ("list",))]
    assert expected[0][2] or '"errors": [\n' in expected[0][1]
    for _ in range(3):
        assert [site.rk(*args) for args in (("plugins", "--json"), ("list",))] == expected
    (kept,) = (json.loads(path.read_text().partition("\n")[2]) for path in site.files("plugins"))
    assert sum("unknown" in record for record in kept["plugins"]) == 1, "the others are kept"


def test_a_component_that_cannot_be_read_is_reported_every_time(site):
    site.write("parts.py", "class Toy(")
    for _ in range(3):
        assert next(summary for _, _, summary in site.models()).startswith("cannot be read:")


# -- the index itself ----------------------------------------------------------------------------------------------


DAMAGES = {
    "empty": lambda text: "",
    "cut off": lambda text: text[: len(text) // 2],
    "one letter changed": lambda text: text.replace("toy", "tox", 1),
    "a list": lambda text: "[]",
    "not text": lambda text: "\udcff\udcfe",
    "foreign": lambda text: '{"version": 3}\n',
    "nested too deep": lambda text: "[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_index_costs_time_alone(site, damage):
    calls = [("list",), ("recipes",), ("show", "toy"), ("validate", "toys/quick")]
    expected = [site.rk(*args) for args in calls]
    for path in site.files():
        text = DAMAGES[damage](path.read_text(encoding="ascii"))
        path.write_bytes(text.encode(errors="surrogateescape"))
    assert [site.rk(*args) for args in calls] == expected


def test_an_index_with_a_right_digest_but_a_wrong_form_is_rebuilt(site):
    from rk.index.kept import read, write

    expected = site.rk("list"), site.rk("recipes")
    for path in site.files():
        kept = read(path)
        for key in set(kept) - {"key", "code", "paths"}:
            kept[key] = [3]
        write(path, kept)
    assert (site.rk("list"), site.rk("recipes")) == expected


@pytest.mark.parametrize("place", ["a file", "a folder that cannot be written to", "a device", "a loop"])
def test_a_cache_that_cannot_be_written_costs_time_alone(site, place, tmp_path):
    expected = site.without_index("list")
    if place == "a file":
        site.cache.write_text("no folder")
    elif place == "a folder that cannot be written to":
        site.cache.mkdir(mode=0o500)
    elif place == "a device":
        site.cache = Path("/dev/null/cache")
    else:
        site.cache.symlink_to(site.cache)
    assert site.rk("list") == site.rk("list") == expected


def test_a_kept_index_answers_from_a_cache_that_is_read_only(site):
    expected = site.rk("list"), site.rk("recipes")
    folders = [site.cache, *site.cache.rglob("*")]
    for path in folders:
        path.chmod(0o500 if path.is_dir() else 0o400)
    site.write("parts.py", PARTS.replace("A toy.", "A new toy."))
    try:
        assert site.rk("recipes") == expected[1]
        assert "A new toy." in site.rk("list")[1]
    finally:
        for path in folders:
            path.chmod(0o700)


def test_processes_that_race_all_answer_rightly(site):
    expected = site.without_index("list")
    for _ in range(2):
        shutil.rmtree(site.cache, ignore_errors=True)
        started = [site.start("list") for _ in range(4)]
        assert {run.wait() for run in started} == {expected}
    assert site.rk("list") == expected
    assert not list(site.cache.rglob("*.tmp"))


def test_old_indexes_are_removed(tmp_path, monkeypatch):
    from rk.index import kept

    monkeypatch.setattr(kept, "MAX_ENVIRONMENTS", 3)
    for number in range(6):
        kept.write(tmp_path / str(number) / "plugins.json", {"number": number})
        os.utime(tmp_path / str(number), (number, number))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3", "4", "5"]


# -- stamps --------------------------------------------------------------------------------------------------------


def test_a_file_that_was_just_written_is_not_trusted(tmp_path):
    from rk.index.stamps import Stamps

    path = tmp_path / "now.py"
    path.write_text("x = 1")
    assert not Stamps({}, {}).take([str(path)], (), time.time_ns())
    rest()
    assert Stamps({}, {}).take([str(path)], (), time.time_ns())


def test_a_watch_passes_on_output_in_its_order(capfd, monkeypatch):
    from rk.watch import Watch

    monkeypatch.setattr(sys, "stderr", os.fdopen(2, "w", closefd=False))
    with Watch() as watch:
        watch.call("speaking", print, "one")
        assert watch.spoke() and not watch.spoke()
        watch.call("speaking", os.write, 1, b"two\n")
        watch.call("reading", os.environ.get, "SOME_VARIABLE")
    assert capfd.readouterr() == ("", "one\ntwo\n")
    assert "SOME_VARIABLE" in watch.variables


def test_nothing_is_kept_where_the_output_of_plugins_cannot_be_captured(monkeypatch, tmp_path):
    from rk.snapshot import listed

    monkeypatch.setenv("RK_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert "rk" in [plugin.name for plugin in listed()]
    assert list(tmp_path.iterdir()) == []
