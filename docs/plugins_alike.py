"""Keeps equal what the plugins of this repository have in common, and what `rk plugins new` writes.

    python docs/plugins_alike.py             lists what differs, by file and key, and exits with 1 if anything does
    python docs/plugins_alike.py --write     puts right what follows from one of the sources, and lists the rest

The sources, each of them the only one:

- `plugins/shared.toml`: what every plugin's `pyproject.toml` has; the template of `rk plugins new` must say the same.
- the host's `pyproject.toml`: the repository's address, ranges of versions, and the versions of Python.
- the template of `rk plugins new`: the test that runs the contract kit, and the head of a changelog.
- `LICENSE`: the licence of the plugins too.

READMEs are what a package index shows: their links and images are absolute.
"""

from __future__ import annotations

import posixpath
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rk.scaffold import TEMPLATES, new_plugin  # noqa: E402  the tree of this file is the one that is checked

OWN_LICENCE = {("project", "license"), ("project.urls", "*")}
"""What the author of another plugin decides: the template of `rk plugins new` need not have it."""
OF_THE_REPOSITORY = (".github", ".gitignore")
"""What a plugin has alone, and the repository has once for all."""
SAMPLES = (
    "    samples = 1  # one recipe takes all checks; `rk plugins test NAME` takes one for each set of components\n"
)
ADDRESS = re.compile(r"https://(?:github|raw\.githubusercontent)\.com/[\w.-]+/recursion-kit\b(?!\.)")
ADDRESSED = ("README.md", "CITATION.cff", "docs/**/*.md", "plugins/*/*.md", ".github/**/*.*")
LINK = re.compile(r"(?P<image>!?)(?P<text>\[[^\]]*\])\((?!https?:|mailto:|#)(?P<target>[^)\s]+)\)")
NAMED = re.compile(r"(!?)\[(?:[^\[\]]+\]\[)?([\w./#-]+)\](?![\[(:])")
"""A link in brackets: with its target behind its text, or its target alone."""
DEFINED = re.compile(r"^\[[^\]]+\]: (?P<address>\S+)$", re.MULTILINE)

Key = tuple[str, str]


@dataclass
class File:
    """A file as it should be.

    Attributes:
        path: Where it lies.
        wanted: Its right text, as far as it follows from something else.
        faults: What is wrong, as ``key: what was expected`` or a sentence.
    """

    path: Path
    wanted: str
    faults: list[str] = field(default_factory=list)

    def text(self) -> str | None:
        """Returns what the file has now; None where it is not there."""
        return self.path.read_text(encoding="utf-8") if self.path.is_file() else None


# -- TOML, keeping comments and layout ---------------------------------------------------------------------------------


def statements(text: str) -> tuple[dict[Key, tuple[int, int]], dict[str, tuple[int, int]]]:
    """Returns the lines, as (first, one past the last), of each ``key = value`` and of each table of a TOML text.

    Args:
        text: Tables in brackets, keys at the beginning of a line, further lines of a value indented.
    """
    keys: dict[Key, tuple[int, int]] = {}
    tables: dict[str, tuple[int, int]] = {}
    table, key = "", None
    for number, line in enumerate(text.splitlines()):
        if match := re.match(r"\[([^\[\]]+)\]", line):
            table, key = match[1], None
            tables[table] = (number, number + 1)
        elif match := re.match(r'([\w.-]+|"[^"]+")\s*=', line):
            key = (table, match[1].strip('"'))
            keys[key] = (number, number + 1)
        elif key and line[:1] in (" ", "]", "}"):
            keys[key] = (keys[key][0], number + 1)
        else:
            continue
        if table:
            tables[table] = (tables[table][0], number + 1)
    return keys, tables


def value(tree: dict[str, Any], key: Key) -> Any:
    """Returns the value of a key in a parsed TOML text; None where it has none."""
    inner: Any = tomllib.loads(f"[{key[0]}]")
    while inner:
        (name, inner), *_ = inner.items()
        tree = tree.get(name, {})
    return tree.get(key[1])


def put(text: str, key: Key, source: str) -> str:
    """Returns `text` with the statement that `source` has for `key`, in the place that `source` gives it."""
    lines, (keys, tables) = text.splitlines(), statements(text)
    from_keys, from_tables = statements(source)
    new = source.splitlines()[slice(*from_keys[key])]
    if key in keys:
        lines[slice(*keys[key])] = new
    elif key[0] in tables:
        before = [keys[k][1] for k in [*from_keys][: [*from_keys].index(key)] if k[0] == key[0] and k in keys]
        lines[(at := max(before, default=tables[key[0]][1])) : at] = new
    else:
        before = [tables[t][1] for t in [*from_tables][: [*from_tables].index(key[0])] if t in tables]
        lines[(at := max(before, default=len(lines))) : at] = ["", f"[{key[0]}]", *new]
    return "\n".join(lines) + "\n"


def without(text: str, table: str) -> str:
    """Returns `text` without a table."""
    lines, (first, end) = text.splitlines(), statements(text)[1][table]
    while first and not lines[first - 1].strip():
        first -= 1
    del lines[first:end]
    return "\n".join(lines) + "\n"


# -- one plugin --------------------------------------------------------------------------------------------------------


class Repository:
    """The sources, read once.

    Args:
        root: The repository's folder.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.host = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
        self.address: str = self.host["project"]["urls"]["Source"]
        self.raw = self.address.replace("//github.com/", "//raw.githubusercontent.com/")
        self.licence = (root / "LICENSE").read_text(encoding="utf-8")
        self.shared = (root / "plugins" / "shared.toml").read_text(encoding="utf-8")
        self.folders = sorted(path.parent for path in (root / "plugins").glob("*/pyproject.toml"))
        self.projects = {path: tomllib.loads((path / "pyproject.toml").read_text("utf-8")) for path in self.folders}
        self.ranges = dict(self._ranges())

    def _ranges(self) -> Iterator[tuple[str, str]]:
        """Yields the range of versions of everything that the host requires, of the host, and of each plugin."""
        project = self.host["project"]
        for text in (*project["dependencies"], *(t for e in project["optional-dependencies"].values() for t in e)):
            yield (found := Requirement(text)).name, str(found.specifier)
        for tree in (self.host, *self.projects.values()):
            major, minor, *_ = tree["project"]["version"].split(".")
            yield tree["project"]["name"], f">={major}.{minor},<{major}.{int(minor) + 1}"

    def statements_for(self, name: str) -> str:
        """Returns what `plugins/shared.toml` says for the plugin rk-`name`."""
        package = f"rk_{name.replace('-', '_')}"
        found = self.shared.replace("REPOSITORY", self.address).replace("PACKAGE", package).replace("NAME", name)
        return re.sub(r"\A(#.*\n)+\n", "", found)

    def files(self) -> Iterator[File]:
        """Yields every file that follows from a source, as it should be."""
        with tempfile.TemporaryDirectory() as scratch:
            new_plugin(example := "a-new-one", Path(scratch))
            new = Path(scratch) / f"rk-{example}"
            yield self._template(new, example)
            head = (new / "CHANGELOG.md").read_text(encoding="utf-8").partition("## ")[0]
            contract = (new / "tests" / "test_contract.py").read_text(encoding="utf-8")
        for folder in self.folders:
            yield from self._plugin(folder, contract.replace(example, folder.name.removeprefix("rk-")), head)
        yield self._host()
        yield self._citation()
        for path in sorted({path for pattern in ADDRESSED for path in self.root.glob(pattern)}):
            yield self._page(path)

    def _plugin(self, folder: Path, contract: str, head: str) -> Iterator[File]:
        name = folder.name.removeprefix("rk-")
        yield self._pyproject(folder, name)
        package = folder / "src" / f"rk_{name.replace('-', '_')}"
        for path, wanted in {
            folder / "LICENSE": self.licence,
            folder / "tests" / "test_contract.py": contract + SAMPLES,
            package / "py.typed": "",
        }.items():
            file = File(path, wanted)
            if (text := file.text()) != wanted:
                file.faults.append("must be as in every plugin" if text is not None else "is missing")
            yield file
        log = File(folder / "CHANGELOG.md", f"{head}## [Unreleased]\n")
        if (text := log.text()) is None:
            log.faults.append("is missing")
        else:
            log.wanted = head + "## " + text.partition("## ")[2]
            log.faults += ["must begin as in every plugin"] if text != log.wanted else []
        yield log
        for other in OF_THE_REPOSITORY:
            if (folder / other).exists():
                yield File(folder / other, "", [f"must not be here: the repository has one {other} for all"])

    def _pyproject(self, folder: Path, name: str) -> File:
        file = File(folder / "pyproject.toml", (folder / "pyproject.toml").read_text(encoding="utf-8"))
        source = self.statements_for(name)
        wanted, found = tomllib.loads(source), self.projects[folder]
        keys, tables = statements(source)
        for key in keys:
            if value(found, key) != value(wanted, key):
                file.faults.append(f"{shown(key)}: must be {value(wanted, key)!r}, got {value(found, key)!r}")
                file.wanted = put(file.wanted, key, source)
        for table in statements(file.wanted)[1]:
            if table not in tables and not table.startswith("project."):
                file.faults.append(
                    f"{table}: must not be here: the repository's pyproject.toml says it for all plugins"
                )
                file.wanted = without(file.wanted, table)
        if "rk-plugin" not in found["project"].get("keywords", []):
            file.faults.append("project.keywords: must have 'rk-plugin', by which plugins are found")
        self._compare_ranges(file, found)
        return file

    def _compare_ranges(self, file: File, tree: dict[str, Any]) -> None:
        """A distribution that several require is required alike. The first that requires it is followed."""
        for text in tree["project"].get("dependencies", []):
            required = Requirement(text)
            wanted = self.ranges.setdefault(required.name, str(required.specifier))
            if required.specifier != Requirement(f"x{wanted}").specifier:
                extras = f"[{','.join(sorted(required.extras))}]" if required.extras else ""
                right = f"{required.name}{extras}{wanted}"
                file.faults.append(f"project.dependencies: must have {right!r} as the others have, got {text!r}")
                file.wanted = file.wanted.replace(f'"{text}"', f'"{right}"')

    # -- the template, the host, the pages -----------------------------------------------------------------------------

    def _template(self, new: Path, name: str) -> File:
        path = self.root / TEMPLATES.relative_to(ROOT) / "pyproject.toml.j2"
        file = File(path, path.read_text(encoding="utf-8"))
        found = tomllib.loads((new / "pyproject.toml").read_text(encoding="utf-8"))
        wanted = tomllib.loads(source := self.statements_for(name))
        for key in statements(source)[0]:
            if {key, (key[0], "*")} & OWN_LICENCE:
                continue
            if value(found, key) != value(wanted, key):
                file.faults.append(f"{shown(key)}: must be {value(wanted, key)!r}, got {value(found, key)!r}")
        for needed in ("LICENSE", "README.md", f"src/rk_{name.replace('-', '_')}/py.typed"):
            if not (new / needed).is_file():
                file.faults.append(f"{needed}: is not among what `rk plugins new` writes")
        self._compare_ranges(file, found)
        return file

    def _host(self) -> File:
        file = File(self.root / "pyproject.toml", (self.root / "pyproject.toml").read_text(encoding="utf-8"))
        wanted = tomllib.loads(self.statements_for("x"))
        for key in (("project", name) for name in ("license", "license-files", "requires-python")):
            if value(self.host, key) != value(wanted, key):
                file.faults.append(f"{shown(key)}: must be {value(wanted, key)!r} as in plugins/shared.toml")
        for classifier in wanted["project"]["classifiers"]:
            if classifier not in self.host["project"]["classifiers"]:
                file.faults.append(f"project.classifiers: must have {classifier!r} as plugins/shared.toml has")
        return file

    def _citation(self) -> File:
        path, version = self.root / "CITATION.cff", self.host["project"]["version"]
        file = File(path, path.read_text(encoding="utf-8"))
        file.wanted = re.sub(r"^version: .*$", f"version: {version}", file.wanted, flags=re.MULTILINE)
        file.faults += [f"version: must be {version}"] if file.text() != file.wanted else []
        return file

    def _page(self, path: Path) -> File:
        file = File(path, path.read_text(encoding="utf-8"))
        for found in {*ADDRESS.findall(file.wanted)} - {self.address, self.raw}:
            right = self.raw if "raw." in found else self.address
            file.faults.append(f"{found}: must be {right}, the address in pyproject.toml")
            file.wanted = re.sub(re.escape(found) + r"\b", right, file.wanted)
        if path.name == "README.md" and path.parent in (self.root, *self.folders):
            for match in LINK.finditer(file.wanted):
                file.faults.append(f"{match['target']}: must be an absolute address, as a package index shows the page")
            file.wanted, given = self._absolute(file.wanted, path.parent), file.wanted
            if not LINK.search(given) and file.wanted != given:
                file.faults.append("the addresses at the end must be sorted")
            for image, target in self._without_address(file.wanted, path.parent):
                file.faults.append(f"[{target}]: the page has no address for it")
                line = self._defined(target, path.parent, image=bool(image))
                file.wanted = self._absolute(f"{file.wanted}{line}\n", path.parent)
        file.faults += [
            f"{target}: an address leads to it, and it is not in the repository" for target in self.dead(file.wanted)
        ]
        return file

    def _absolute(self, page: str, folder: Path) -> str:
        """Returns a page whose relative links name addresses that its end defines, so that its lines stay short."""
        text, rest = page.rstrip("\n"), []
        while DEFINED.fullmatch(last := text.rpartition("\n")[2]):
            rest.append(last)
            text = text.removesuffix(last).rstrip("\n")
        for link in LINK.finditer(text):
            rest.append(self._defined(link["target"], folder, image=bool(link["image"])))
        text = LINK.sub(named, text)
        return "\n".join([text, "", *sorted({*rest}, key=str.casefold), ""]) if rest else page

    def _defined(self, target: str, folder: Path, image: bool = False) -> str:
        """Returns the line that defines the address of a relative link."""
        name, hash_, anchor = target.partition("#")
        inside = posixpath.normpath(posixpath.join(folder.relative_to(self.root).as_posix(), name))
        kind = "tree" if (self.root / inside).is_dir() else "blob"
        start = self.raw if image else f"{self.address}/{kind}"
        return f"[{target}]: {start}/main/{inside}{hash_}{anchor}"

    def _without_address(self, page: str, folder: Path) -> list[tuple[str, str]]:
        """Returns the files that links in brackets name without an address in the page, each after "!" for an image."""
        defined = {line.partition("]: ")[0][1:] for line in page.splitlines() if DEFINED.fullmatch(line)}
        lacking = {(image, target) for image, target in NAMED.findall(page) if target not in defined}
        return sorted(link for link in lacking if (folder / link[1].partition("#")[0]).exists())

    def dead(self, page: str) -> list[str]:
        """Returns what addresses in a page name and this repository does not have: files, or headings in them."""
        starts = "|".join(
            map(re.escape, (f"{self.raw}/main/", f"{self.address}/blob/main/", f"{self.address}/tree/main/"))
        )
        return [
            f"{path}{anchor}"
            for path, anchor in re.findall(rf"(?:{starts})([^\s)#\"'`]+)(#[\w-]+)?", page)
            if not (self.root / path).exists() or (anchor and anchor[1:] not in anchors(self.root / path))
        ]


def named(link: re.Match[str]) -> str:
    """Returns a link that names its target in brackets, as Markdown's links to defined addresses do."""
    return link["image"] + link["text"] + ("" if link["text"] == f"[{link['target']}]" else f"[{link['target']}]")


def anchors(page: Path) -> set[str]:
    """Returns the names of a page's headings in links, as GitHub makes them."""
    text = page.read_text(encoding="utf-8") if page.suffix == ".md" else ""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {"readme", *(re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings)}


def shown(key: Key) -> str:
    """Returns a key as one writes it: ``project.license``."""
    return f"{key[0]}.{key[1]}"


def main(write: bool, root: Path = ROOT) -> int:
    """Lists what differs, after writing what can be written. Returns the exit code."""
    if write:
        for _ in range(2):  # a page may need two changes, of which the second follows from the first
            for file in Repository(root).files():
                if file.faults and file.wanted != file.text() and file.path.name not in OF_THE_REPOSITORY:
                    file.path.parent.mkdir(parents=True, exist_ok=True)
                    file.path.write_text(file.wanted, encoding="utf-8")
                    print(f"{file.path.relative_to(root)} written")
    found = [f"{file.path.relative_to(root)}: {fault}" for file in Repository(root).files() for fault in file.faults]
    for line in found:
        print(line)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv))
