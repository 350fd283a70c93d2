"""The documents cannot drift from the code unnoticed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_type_hints

import pytest

import rk.fields
from rk import hookspecs
from rk.cli import COMMANDS
from rk.hookspecs import HOOK_OF_KIND
from rk.protocols import KINDS

ROOT = Path(__file__).parent.parent
CONTRACT = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_kind_has_a_protocol_and_a_hook():
    assert KINDS.keys() == HOOK_OF_KIND.keys()
    hooks = {name for name in vars(hookspecs) if name.startswith("rk_")}
    assert hooks == {*HOOK_OF_KIND.values(), "rk_recipes"}


@pytest.mark.parametrize("kind", HOOK_OF_KIND)
def test_the_contract_lists_each_kind_with_its_hook(kind):
    assert f"| {kind} | `{HOOK_OF_KIND[kind]}` |" in CONTRACT


@pytest.mark.parametrize("kind", KINDS)
def test_each_protocol_and_each_of_its_methods_is_documented(kind):
    protocol = KINDS[kind]
    assert protocol.__doc__
    public = [m for name, m in vars(protocol).items() if callable(m) and not name.startswith("_")]
    named = [m.__name__ for m in public if not m.__doc__ and m.__name__ not in protocol.__doc__]
    inherited = {"forward", "setup", "finish", "state_dict", "load_state_dict", "predict", "batches", "update"}
    assert set(named) <= inherited, "a method without docstring must be one that every trainer has"


def test_every_shared_field_is_in_the_glossary():
    names = {
        field
        for cls in vars(rk.fields).values()
        if isinstance(cls, type) and cls.__module__ == "rk.fields"
        for field in get_type_hints(cls)
    }
    assert names and all(f"| `{name}` |" in CONTRACT for name in names)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_mentions_each_command(command):
    assert f"rk {command}" in README


def test_links_in_the_documents_lead_somewhere():
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *ROOT.glob("plugins/*/README.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
