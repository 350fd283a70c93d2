"""The plugins here are alike, as `rk plugins new` makes them; what differs is named by file and key."""

from __future__ import annotations

import runpy
import shutil
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALIKE = runpy.run_path(str(ROOT / "docs" / "plugins_alike.py"))
KEPT = ("README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml")


def test_the_plugins_are_alike(capsys):
    assert ALIKE["main"](write=False) == 0, capsys.readouterr().out + "run: python docs/plugins_alike.py --write"


@pytest.fixture
def copy(tmp_path):
    """Returns a repository of the host's files, of the template, and of one plugin, without its modules."""
    for name in (*KEPT, "CITATION.cff", "plugins/shared.toml"):
        target = tmp_path / name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, target)
    plugin = tmp_path / "plugins" / "rk-lm"
    (plugin / "src" / "rk_lm").mkdir(parents=True)
    (plugin / "tests").mkdir()
    for name in (*KEPT, "src/rk_lm/py.typed", "tests/test_contract.py"):
        shutil.copy(ROOT / "plugins" / "rk-lm" / name, plugin / name)
    template = ALIKE["TEMPLATES"].relative_to(ALIKE["ROOT"]) / "pyproject.toml.j2"
    (tmp_path / template).parent.mkdir(parents=True)
    shutil.copy(ROOT / template, tmp_path / template)
    page = "# Title\n\n[elsewhere](https://example.org) and [here][LICENSE].\n\n"
    for readme in (tmp_path, plugin):  # the real ones lead to pages that are not copied
        (readme / "README.md").write_text(f"{page}[LICENSE]: {ALIKE['Repository']().address}/blob/main/LICENSE\n")
    return tmp_path


def check(copy: Path, capsys, write: bool = False) -> list[str]:
    """Returns the script's output for a repository."""
    capsys.readouterr()
    code = ALIKE["main"](write, copy)
    lines = capsys.readouterr().out.splitlines()
    assert code == bool([line for line in lines if not line.endswith(" written")])
    return lines


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_repository_in_order_is_left_as_it_is(copy, capsys):
    assert check(copy, capsys) == check(copy, capsys, write=True) == []


PYPROJECT = "plugins/rk-lm/pyproject.toml"


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (PYPROJECT, 'license = "Apache-2.0"', 'license = "MIT"', "project.license: must be 'Apache-2.0', got 'MIT'"),
        (PYPROJECT, 'license-files = ["LICENSE"]\n', "", "project.license-files: must be ['LICENSE'], got None"),
        (PYPROJECT, "/issues", "/bugs", "project.urls.Issues: must be"),
        (PYPROJECT, '  "Typing :: Typed",\n', "", "project.classifiers: must be"),
        (PYPROJECT, '"torch>=2', '"torch>=1', "project.dependencies: must have 'torch>="),
        (
            PYPROJECT,
            "kit>=0.1,<0.2",
            "kit>=0.1,<2",
            "must have 'recursion-kit>=0.1,<0.2' as the others have, got 'recursion-kit>=0.1,<2'",
        ),
        (PYPROJECT, "[project.urls]", "[tool.ruff]\nline-length = 80\n\n[project.urls]", "tool.ruff: must not be here"),
        ("plugins/rk-lm/LICENSE", "Apache", "A patchy", "must be as in every plugin"),
        ("plugins/rk-lm/tests/test_contract.py", '"lm"', '"vision"', "must be as in every plugin"),
        ("plugins/rk-lm/CHANGELOG.md", "All notable", "Some", "must begin as in every plugin"),
        ("plugins/rk-lm/README.md", "[here][LICENSE]", "[here](LICENSE)", "LICENSE: must be an absolute address"),
        ("plugins/rk-lm/README.md", "com/recursion-kit/", "com/somebody/", "must be https://github.com/"),
        ("README.md", "[here][LICENSE]", "[here](plugins/rk-lm)", "plugins/rk-lm: must be an absolute address"),
        ("CITATION.cff", "version: 0", "version: 7", "version: must be"),
    ],
)
def test_what_differs_is_named_and_put_right(file, old, new, said, copy, capsys):
    before = {path: path.read_text(encoding="utf-8") for path in copy.rglob("*") if path.is_file()}
    change(copy / file, old, new)
    lines = check(copy, capsys)
    assert lines and all(line.startswith(f"{file}: ") for line in lines) and said in "\n".join(lines)
    assert check(copy, capsys, write=True) == [f"{file} written"]
    if "absolute" not in said:  # a link is defined again; all else is unchanged
        assert {path: path.read_text(encoding="utf-8") for path in before} == before


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (PYPROJECT, '"rk-plugin"', '"rk plugin"', "project.keywords: must have 'rk-plugin'"),
        ("plugins/rk-lm/README.md", "blob/main/LICENSE", "blob/main/LICENCE", "LICENCE: an address leads to it"),
        ("pyproject.toml", '  "Typing :: Typed",\n', "", "project.classifiers: must have 'Typing :: Typed'"),
    ],
)
def test_what_only_a_person_can_put_right_is_named(file, old, new, said, copy, capsys):
    change(copy / file, old, new)
    assert any(line.startswith(f"{file}: ") and said in line for line in check(copy, capsys, write=True))


def test_addresses_at_the_end_of_a_readme_are_sorted_so_that_branches_add_theirs_in_different_places(copy, capsys):
    page = copy / "plugins" / "rk-lm" / "README.md"
    right = page.read_text(encoding="utf-8") + "[zoo]: https://example.org\n"
    page.write_text(right, encoding="utf-8")
    assert check(copy, capsys) == []
    *text, first, second = right.splitlines(keepends=True)
    page.write_text("".join((*text, second, first)), encoding="utf-8")
    assert check(copy, capsys) == ["plugins/rk-lm/README.md: the addresses at the end must be sorted"]
    check(copy, capsys, write=True)
    assert page.read_text(encoding="utf-8") == right


def test_a_plugin_that_lacks_files_is_given_them(copy, capsys):
    plugin = copy / "plugins" / "rk-lm"
    gone = ("LICENSE", "CHANGELOG.md", "src/rk_lm/py.typed", "tests/test_contract.py")
    for name in gone:
        (plugin / name).unlink()
    assert sorted(check(copy, capsys)) == sorted(f"plugins/rk-lm/{name}: is missing" for name in gone)
    check(copy, capsys, write=True)
    assert all((plugin / name).is_file() for name in gone)
    assert check(copy, capsys) == []


def test_the_template_of_new_plugins_says_the_same(copy, capsys):
    change(copy / "plugins" / "shared.toml", 'requires-python = ">=3.11"', 'requires-python = ">=3.12"')
    assert any(
        line.startswith("rk/scaffold/plugin/pyproject.toml.j2: project.requires-python: must be '>=3.12', got '>=3.11'")
        for line in check(copy, capsys)
    )


def test_files_that_the_repository_has_for_all_are_named(copy, capsys):
    (copy / "plugins" / "rk-lm" / ".gitignore").write_text("dist/\n")
    (line,) = check(copy, capsys, write=True)
    assert line.startswith("plugins/rk-lm/.gitignore: must not be here")


def test_a_new_plugin_is_made_alike_except_for_files_that_a_person_should_remove(copy, capsys):
    ALIKE["new_plugin"]("brand-new", copy / "plugins", ("trainer", "callback"))
    left = [line for line in check(copy, capsys, write=True) if not line.endswith(" written")]
    folder = "plugins/rk-brand-new"
    assert [line.split(":")[0] for line in left] == [f"{folder}/.github", f"{folder}/.gitignore"]
    made = (copy / folder / "pyproject.toml").read_text(encoding="utf-8")
    known = (copy / PYPROJECT).read_text(encoding="utf-8")
    tables = [line for line in made.splitlines() if line.startswith("[")]
    assert tables == [line for line in known.splitlines() if line.startswith("[")]
    assert tomllib.loads(made)["tool"].keys() == {"hatch"} and "lint.ignore" not in made


def test_a_link_or_an_image_without_an_address_gets_one(copy, capsys):
    page = copy / "plugins" / "rk-lm" / "README.md"
    right = page.read_text(encoding="utf-8")
    page.write_text(
        right.replace("elsewhere", "").replace("# Title", "# Title\n\n[CHANGELOG.md], ![a][pyproject.toml]")
    )
    assert check(copy, capsys) == [
        "plugins/rk-lm/README.md: [CHANGELOG.md]: the page has no address for it",
        "plugins/rk-lm/README.md: [pyproject.toml]: the page has no address for it",
    ]
    assert check(copy, capsys, write=True) == ["plugins/rk-lm/README.md written"]
    written = page.read_text(encoding="utf-8")
    assert "/blob/main/plugins/rk-lm/CHANGELOG.md\n" in written
    assert "raw.githubusercontent" in written and "/main/plugins/rk-lm/pyproject.toml\n" in written
