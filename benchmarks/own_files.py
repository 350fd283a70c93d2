"""Your own files without code: `rk recipes init`, then `rk train` of each model that it proposes, on real files.

    RK_DATA=... python benchmarks/own_files.py                    all files
    RK_DATA=... python benchmarks/own_files.py gunpoint vowels    some
    RK_DATA=... python benchmarks/own_files.py --write            puts the stored numbers into the READMEs

The numbers are kept in benchmarks/own_files.json; the READMEs of rk-sequence and rk-vision have them between comments.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
STORED = Path(__file__).with_suffix(".json")
RK = Path(sys.executable).with_name("rk")
METRICS = ("test/mean-iou", "test/accuracy")
"""What is shown: the first of them that a run has."""


class Case(NamedTuple):
    """A file as a user has it.

    Attributes:
        what: For the table.
        plugin: Whose README has the row.
        make: Writes the file into a folder, and returns it.
        overrides: What is changed of the drafted recipes.
    """

    what: str
    plugin: str
    make: Callable[[Path], Path]
    overrides: tuple[str, ...] = ()


def data() -> Path:
    """Returns the folder of data sets."""
    return Path(os.environ["RK_DATA"])


def banking(folder: Path) -> Path:
    """A table: text, category; 10003 rows, 77 classes."""
    path = folder / "banking.csv"
    path.write_bytes(gzip.decompress((data() / "banking77/train.csv.gz").read_bytes()))
    return path


def polarity(folder: Path) -> Path:
    """Sentences of film reviews: a table, as the archive has a file per class."""
    path = folder / "polarity.tsv"
    with zipfile.ZipFile(data() / "nltk-corpora/sentence_polarity.zip") as archive, path.open("w") as table:
        table.write("text\tlabel\n")
        for label in ("neg", "pos"):
            name = next(n for n in archive.namelist() if n.endswith(f"rt-polarity.{label}"))
            for line in archive.read(name).decode("latin-1").splitlines():
                text = line.strip().replace("\t", " ").replace('"', "''")
                table.write(f"{text}\t{label}\n")
    return path


def reviews(folder: Path) -> Path:
    """Film reviews: folders of .txt files."""
    with zipfile.ZipFile(data() / "nltk-corpora/movie_reviews.zip") as archive:
        for name in archive.namelist():
            if name.endswith(".txt"):
                path = folder / "reviews" / Path(name).parent.name / Path(name).name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(archive.read(name).decode("latin-1"))
    return folder / "reviews"


def series(name: str) -> Callable[[Path], Path]:
    """Returns what unpacks the files of a set of the UCR and UEA archives."""

    def make(folder: Path) -> Path:
        for split in ("TRAIN", "TEST"):
            packed = data() / f"ucr-uea/{name}_{split}.ts.gz"
            (folder / f"{name}_{split}.ts").write_bytes(gzip.decompress(packed.read_bytes()))
        return folder / f"{name}_TRAIN.ts"

    return make


def digits(folder: Path) -> Path:
    """Handwritten digits as a folder of PNG files per class: those that scikit-learn ships."""
    from PIL import Image
    from sklearn.datasets import load_digits

    images, targets = load_digits(return_X_y=True)
    for i, (image, target) in enumerate(zip(images, targets, strict=True)):
        path = folder / "digits" / str(target) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image.reshape(8, 8) * 255 / 16).astype("uint8")).resize((16, 16)).save(path)
    return folder / "digits"


def vessels(folder: Path) -> Path:
    """Fundus photographs with masks of their vessels: 0 none, 1 arteries, 2 veins, 3 uncertain."""
    for part in ("images", "masks"):
        (folder / "fundus" / part).mkdir(parents=True)
    for mask in (data() / "hrf-av").glob("*_av.png"):
        stem = mask.name.removesuffix("_av.png")
        shutil.copy(mask, folder / "fundus/masks" / f"{stem}.png")
        shutil.copy(mask.with_name(f"{stem}.jpg"), folder / "fundus/images")
    return folder / "fundus"


SEQUENCE, VISION = "rk-sequence", "rk-vision"
CASES = {
    "gunpoint": Case("GunPoint, `.ts`: 50 series of 150 steps, 2 classes", SEQUENCE, series("GunPoint")),
    "vowels": Case(
        "JapaneseVowels, `.ts`: 270 series, 12 channels, 7 to 29 steps, 9 classes", SEQUENCE, series("JapaneseVowels")
    ),
    "motions": Case(
        "BasicMotions, `.ts`: 40 series of 100 steps, 6 channels, 4 classes", SEQUENCE, series("BasicMotions")
    ),
    "banking": Case("banking77, `.csv`: 10003 questions, 77 classes", SEQUENCE, banking),
    "polarity": Case("sentence polarity, `.tsv`: 10662 sentences, 2 classes", SEQUENCE, polarity),
    "reviews": Case("movie reviews: 2000 `.txt` files in 2 folders", SEQUENCE, reviews),
    "digits": Case("digits: 1797 PNG files in 10 folders, 16 x 16", VISION, digits),
    "vessels": Case(
        "fundus photographs with masks of arteries and veins: 45, at 128 x 192",
        VISION,
        vessels,
        ("data.size=[128,192]", "data.void=3"),
    ),
}


def rk(folder: Path, *arguments: object) -> None:
    """Runs `rk` in a folder."""
    subprocess.run([RK, *map(str, arguments)], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def measure(case: Case) -> dict[str, object]:
    """Returns the metric of both models that the draft proposes for a file."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        file = case.make(folder)
        found: dict[str, object] = {}
        for model in ("network", "linear"):
            rk(folder, "recipes", "init", file.name, "--model", model, "-o", f"{model}.yaml")
            rk(folder, "train", f"{model}.yaml", *case.overrides)
            (run,) = (folder / "runs" / model).iterdir()
            info = json.loads((run / "run.json").read_text())
            metric = next(name for name in METRICS if name in info["metrics"])
            found |= {"metric": metric, model: info["metrics"][metric]}
        return found


def table(plugin: str, results: dict[str, dict[str, object]]) -> str:
    """Returns the rows of a plugin as Markdown."""
    lines = ["| your file | measured | network | linear |", "| --- | --- | --- | --- |"]
    for name, case in CASES.items():
        if case.plugin == plugin and name in results:
            found = results[name]
            shown = [f"{found[model]:.1%}" for model in ("network", "linear")]
            lines.append(f"| {case.what} | {str(found['metric']).removeprefix('test/')} | {' | '.join(shown)} |")
    return "\n".join(lines)


def write(results: dict[str, dict[str, object]]) -> None:
    """Puts the tables between the markers of the READMEs."""
    for plugin in (SEQUENCE, VISION):
        path = ROOT / "plugins" / plugin / "README.md"
        text = path.read_text()
        before, rest = text.split("<!-- own-files -->", 1)
        after = rest.split("<!-- /own-files -->", 1)[1]
        path.write_text(f"{before}<!-- own-files -->\n\n{table(plugin, results)}\n\n<!-- /own-files -->{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="FILE", help=", ".join(CASES))
    parser.add_argument("--write", action="store_true", help="put the stored numbers into the READMEs")
    arguments = parser.parse_args()
    results = json.loads(STORED.read_text()) if STORED.exists() else {}
    for name in arguments.cases or ([] if arguments.write else CASES):
        found = measure(CASES[name])
        print(name, found, flush=True)
        results = (json.loads(STORED.read_text()) if STORED.exists() else {}) | {name: found}
        STORED.write_text(json.dumps(results, indent=1) + "\n")
    for plugin in (SEQUENCE, VISION):
        print(table(plugin, results))
    if arguments.write:
        write(results)


if __name__ == "__main__":
    main()
