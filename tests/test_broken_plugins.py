"""One broken plugin beside the others: commands that do not need it work, and it is named with what is wrong."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rk.catalog import Catalog
from rk.cli import main
from rk.doctor import _examination
from rk.plugins import installed

RECIPE = "rk: 1\nmodel: mlp\ndata: digits\nloss: cross-entropy\ntrainer: {name: backprop, optimizer: adam}\n"
RECIPE += "fit: {max_steps: 1}\n"
HOOK = "from rk import hookimpl\n@hookimpl\ndef rk_models():\n    return {'odd-net': 'PACKAGE.parts:Net'}\n"
NET = '''
from torch import nn
from jaxtyping import Float
from torch import Tensor
from rk.fields import LogitsOutputs
class Net(nn.Module):
    """A net.

    Args:
        width: Of it.
    """
    def __init__(self, width: int = 1): ...
    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs: ...
'''


class Site:
    """A folder on the path with one installed plugin, ``odd`` of the distribution ``rk-odd``, to be broken."""

    def __init__(self, folder: Path, package: str) -> None:
        self.package = folder / package
        self.info = folder / "rk_odd-1.0.dist-info"
        self.recipes = self.package / "recipes"
        self.recipes.mkdir(parents=True)
        self.info.mkdir()
        self.metadata = self.info / "METADATA"
        self.entry_points = self.info / "entry_points.txt"
        self.metadata.write_text("Metadata-Version: 2.1\nName: rk-odd\nVersion: 1.0\nRequires-Dist: recursion-kit\n")
        self.entry_points.write_text(f"[rk.plugins]\nodd = {package}\n")
        self.hooks(HOOK)
        self.parts(NET)
        (self.recipes / "fine.yaml").write_text("# A fine one.\n" + RECIPE)

    def hooks(self, source: str | bytes) -> None:
        self._write("__init__.py", source)

    def parts(self, source: str | bytes) -> None:
        self._write("parts.py", source)

    def _write(self, name: str, source: str | bytes) -> None:
        content = source.encode() if isinstance(source, str) else source
        (self.package / name).write_bytes(content.replace(b"PACKAGE", self.package.name.encode()))


def hooks(source: str | bytes) -> Callable[[Site], None]:
    return lambda site: site.hooks(source)


def parts(source: str | bytes) -> Callable[[Site], None]:
    return lambda site: site.parts(source)


def answers(text: str) -> Callable[[Site], None]:
    """A hook whose body is `text`."""
    return hooks(f"from rk import hookimpl\n@hookimpl\ndef rk_models():\n    {text}\n")


def in_its_own_place(text: str) -> Callable[[Site], None]:
    return hooks(f"import sys\n{text}\nsys.modules[__name__] = Odd()\n")


BROKEN: dict[str, Callable[[Site], object]] = {
    "raises at import": hooks("1 / 0"),
    "interrupts at import": hooks("raise KeyboardInterrupt"),
    "interrupts with words": hooks("raise KeyboardInterrupt('no')"),
    "exits at import": hooks("import sys; sys.exit(0)"),
    "raises a BaseException": hooks("class Odd(BaseException): ...\nraise Odd('odd')"),
    "ends a generator": hooks("raise GeneratorExit"),
    "runs out of memory": hooks("raise MemoryError"),
    "recurses": hooks("def f(): f()\nf()"),
    "raises what has no text": hooks("class Odd(Exception):\n    def __str__(self): 1 / 0\nraise Odd"),
    "prints escape sequences": hooks("raise ValueError('\\x1b[31mred')"),
    "lacks a module": hooks("import no_such_module_at_all"),
    "lacks its own module": lambda site: site.entry_points.write_text("[rk.plugins]\nodd = no_such_plugin_at_all\n"),
    "names no module": lambda site: site.entry_points.write_text("[rk.plugins]\nodd = ..:x y\n"),
    "is not Python": hooks("def ("),
    "is not UTF-8": hooks(b"x = '\xff\xfe'"),
    "holds zero bytes": hooks(b"x = 1\0"),
    "has a bad entry point": lambda site: site.entry_points.write_text(f"[rk.plugins]\nO dd = {site.package.name}\n"),
    "has an entry point without value": lambda site: site.entry_points.write_text("[rk.plugins]\nodd\n"),
    "has binary entry points": lambda site: site.entry_points.write_bytes(b"[rk.plugins]\n\xff\xfe = \x00\n"),
    "has binary metadata": lambda site: site.metadata.write_bytes(b"\xff\xfe\x00\x01" * 50),
    "requires nonsense": lambda site: site.metadata.write_text("Name: rk-odd\nRequires-Dist: recursion-kit>=three\n"),
    "has another plugin's name": lambda site: site.entry_points.write_text(f"[rk.plugins]\nrk = {site.package.name}\n"),
    "hook raises": answers("raise RuntimeError('no')"),
    "hook interrupts": answers("raise KeyboardInterrupt"),
    "hook returns a list": answers("return ['a:B']"),
    "hook returns a number": answers("return 3"),
    "hook returns many names": answers("return {f'n{i}': 'a:B' for i in range(200_000)}"),
    "hook returns many bad names": answers("return {f'N{i}': 'a:B' for i in range(900)}"),
    "hook returns a long name": answers("return {'n' * 100_000: 'a:B'}"),
    "hook returns long rubbish": answers("return {'n': 'a' * 1_000_000}"),
    "hook returns what has no repr": answers("return {type('O', (), {'__repr__': lambda s: 1 / 0})(): 1}"),
    "hook returns a dict that raises": answers("return type('D', (dict,), {'items': lambda s: 1 / 0})(a=1)"),
    "hook takes arguments": hooks("from rk import hookimpl\n@hookimpl\ndef rk_models(x): ..."),
    "hook is misspelt": hooks(HOOK + "@hookimpl\ndef rk_modles(): ...\n"),
    "module has no namespace": in_its_own_place("class Odd:\n    __slots__ = ()"),
    "module answers anything": in_its_own_place("class Odd:\n    def __getattr__(self, name): 1 / 0"),
    "module has a number for a file": hooks(HOOK + "__file__ = 3\n"),
    "recipes are not a folder": hooks("from rk import hookimpl\n@hookimpl\ndef rk_recipes(): return 'nowhere'"),
    "recipes are a link in a circle": hooks(
        "import os\nfrom rk import hookimpl\n@hookimpl\ndef rk_recipes(): return os.path.dirname(__file__) + '/loop'"
    ),
    "class is missing": parts("x = 1"),
    "class is not a class": parts("Net = 3"),
    "component is not Python": parts("class Net("),
    "component is not UTF-8": parts(b"class Net: '\xff'"),
    "component nests too deeply": parts("Net = " + "(" * 5000),
    "component's base is itself": parts("class Net(Net): ..."),
    "component's module is missing": hooks(HOOK.replace("parts", "elsewhere")),
    "component takes anything": parts("class Net:\n    def __init__(self, *args, **kw): ..."),
    "recipe links to itself": lambda site: (site.recipes / "x.yaml").symlink_to("x.yaml"),
    "recipe links to nothing": lambda site: (site.recipes / "x.yaml").symlink_to("/no/such/file"),
    "recipe is a folder": lambda site: (site.recipes / "x.yaml").mkdir(),
    "recipe is a FIFO": lambda site: os.mkfifo(site.recipes / "x.yaml"),
    "recipe is a device": lambda site: (site.recipes / "x.yaml").symlink_to("/dev/zero"),
    "recipe is binary": lambda site: (site.recipes / "x.yaml").write_bytes(bytes(range(256))),
    "recipe is empty": lambda site: (site.recipes / "x.yaml").write_bytes(b""),
    "recipe is huge": lambda site: (site.recipes / "x.yaml").write_bytes(b"a" * 300_000),
    "recipe contains itself": lambda site: (site.recipes / "x.yaml").write_text("model: &a [*a]\n"),
    "recipe nests too deeply": lambda site: (site.recipes / "x.yaml").write_text("{a: " * 5000),
    "recipe extends itself": lambda site: (site.recipes / "x.yaml").write_text("extends: x\n"),
    "recipe's name is odd": lambda site: (site.recipes / "\x1b[31m\n\udcff.yaml").write_text("extends: x\n"),
}


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs `rk` in this process with the plugin that is broken; returns exit code, output and errors."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rk", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err and "this is a bug" not in printed.err
        assert "\x1b" not in printed.out + printed.err
        return int(ended.value.code or 0), printed.out, printed.err

    return call


@pytest.fixture
def site(tmp_path, monkeypatch, request) -> Site:
    others = {entry.name for entry in installed()}
    monkeypatch.setenv("RK_DISABLE_PLUGINS", ",".join(others))
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(RECIPE)
    made = Site(folder, f"rk_odd_{abs(hash(request.node.name))}")
    yield made
    for name in [n for n in sys.modules if n.partition(".")[0] == made.package.name]:
        del sys.modules[name]


@pytest.mark.parametrize("kind", BROKEN)
def test_commands_that_do_not_need_a_broken_plugin_work_and_it_is_named(kind, site, run):
    BROKEN[kind](site)
    for command in (("list", "optimizer"), ("show", "model", "rk/mlp"), ("validate", "mine.yaml")):
        code, _, err = run(*command)
        assert code == 0, (command, err)
    code, listed, warned = run("recipes")
    assert code == 0, warned
    code, _, errors = run("plugins")
    assert code == 0
    shown = [*warned.splitlines(), *errors.splitlines(), *examined()]
    unreadable = [line for line in listed.splitlines() if "odd/x" in line and "cannot be read" in line]
    assert unreadable or any("rk-odd: " in line for line in shown), "it is named, with what is wrong"
    assert all(len(line) < 3000 for line in shown)


def examined() -> list[str]:
    """What the doctor reports of the plugins, short of importing them in other processes."""
    catalog = Catalog()
    loaded = [plugin for plugin in catalog.plugins if not plugin.disabled]
    return [f"{p.distribution}: {line}" for p in loaded for line in _examination(p, {}, catalog).errors]


@pytest.mark.parametrize("kind", ["has binary metadata", "has binary entry points", "interrupts at import"])
def test_a_broken_plugin_that_is_disabled_costs_nothing(kind, site, run, monkeypatch):
    BROKEN[kind](site)
    monkeypatch.setenv("RK_DISABLE_PLUGINS", "*")
    assert run("validate", "mine.yaml")[0] == 0
    code, _, err = run("plugins")
    assert code == 0 and err == ""


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("print('hello')", id="print"),
        pytest.param("import os; os.write(1, b'hello')", id="os.write"),
        pytest.param("import sys; sys.__stdout__.write('hello')", id="the stream itself"),
        pytest.param(
            "import logging, sys\nh = logging.StreamHandler(sys.stdout)\nl = logging.getLogger('odd')\n"
            "l.addHandler(h)\nl.error('hello')",
            id="logging",
        ),
        pytest.param("import warnings; warnings.warn('hello')", id="warnings"),
        pytest.param("import subprocess; subprocess.run(['echo', 'hello'])", id="another process"),
    ],
)
def test_output_of_a_plugin_while_it_loads_goes_to_standard_error(source, site, rk):
    site.hooks(f"{source}\n{HOOK}")
    done = rk("plugins", "--json", PYTHONPATH=str(site.package.parent))
    assert "odd" in [p["name"] for p in json.loads(done.out)]
    assert "hello" in done.err


def test_output_of_a_component_does_not_spoil_json(site, run):
    site.parts("print('hello')\n" + NET)
    from rk.isolation import divert_for_json

    divert_for_json()
    print("lost")
    code, out, err = run("plugins", "--json")
    assert code == 0 and json.loads(out)
    assert "lost" in err


def test_ctrl_c_names_the_plugin_that_is_being_imported(site, run):
    site.hooks("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)\n")
    code, _, err = run("list")
    assert code == 130
    assert err.lstrip().startswith(f"interrupted while loading rk-odd (import {site.package.name})")
    assert "RK_DISABLE_PLUGINS=NAME leaves a plugin out" in err


def test_ctrl_c_that_a_plugin_swallows_ends_the_command_all_the_same(site, run):
    site.hooks(
        "import os, signal, time\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(30)\nexcept BaseException:\n    pass\n"
    )
    code, _, err = run("list")
    assert code == 130 and "rk-odd" in err


def test_a_long_wait_is_reported_with_the_plugin_that_causes_it(site, run, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr("rk.isolation.PATIENCE", 0.05)
    monkeypatch.setattr("rk.isolation._say", said.append)
    site.hooks("import time\ntime.sleep(0.3)\n")
    assert run("plugins")[0] == 0
    assert said and all(f"still loading rk-odd (import {site.package.name}); Ctrl-C stops it" in line for line in said)


def test_signals_are_as_before_when_plugins_have_been_loaded(site, run):
    import signal

    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGALRM)}
    run("list")
    assert {n: signal.getsignal(n) for n in before} == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
