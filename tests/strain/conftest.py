"""The strain-test plugins, installed in the eyes of Python: packages and dist-info on the path."""

from __future__ import annotations

from pathlib import Path

import pytest

PLUGINS = Path(__file__).parent / "plugins"
NAMES = {path.name.removeprefix("rk_strain_"): path.name for path in sorted(PLUGINS.glob("rk_strain_*"))}


@pytest.fixture
def strain(tmp_path, monkeypatch):
    """Installs the plugins for this process and works in an empty folder; returns a caller of `rk`."""
    site = tmp_path / "site"
    for name, package in NAMES.items():
        info = site / f"{package}-0.1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: rk-strain-{name}\nVersion: 0.1\n")
        (info / "entry_points.txt").write_text(f"[rk.plugins]\nstrain-{name} = {package}\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.syspath_prepend(str(PLUGINS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RK_TEST_INTERRUPT", raising=False)
    from rk.cli import cli

    def call(*args: str) -> int:
        return cli([str(a) for a in args], standalone_mode=False) or 0

    return call
