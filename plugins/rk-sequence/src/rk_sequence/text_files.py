"""Where texts and their classes are: columns of a table, or folders of .txt files."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

from rk import UserError
from rk.reading import read_text
from rk_sequence.labelled import Example
from rk_sequence.records import Records, named

TEXT_NAMES = (
    "text", "texts", "sentence", "review", "comment", "message", "content", "body", "question", "tweet", "utterance",
    "query", "document", "abstract", "description", "headline", "title",
)  # fmt: skip
LABEL_NAMES = ("label", "labels", "class", "category", "target", "intent", "sentiment", "topic", "tag", "stars", "y")
SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
ENDING = ".txt"
LISTED = 20
"""Most broken files that are named at once."""


def find_columns(found: Records, text: str | None, label: str | None) -> tuple[str, str]:
    """Returns the columns of texts and of classes: those that are named, those with usual names, or the best guesses.

    Raises:
        UserError: When there is no such column, or none is left to guess.
    """
    if text is not None:
        found.need(text, "data.text")
    if label is not None:
        found.need(label, "data.label")
    rest = [name for name in found.names if name not in (text, label)]
    if label is None:
        label = named([name for name in rest if name.lower() not in TEXT_NAMES[:2]], LABEL_NAMES)
    rest = [name for name in rest if name != label]
    if text is None:
        text = named(rest, TEXT_NAMES) or max(rest, key=lambda name: words(found, name), default=None)
    rest = [name for name in rest if name != text]
    if label is None:
        label = min(rest, key=lambda name: distinct(found, name), default=None)
    if text is None or label is None:
        what = "texts" if text is None else "classes"
        raise UserError(f"{found.path}: there is no column of {what}", f"its columns: {', '.join(found.names[:10])}")
    return text, label


def words(found: Records, name: str) -> float:
    """Returns the mean number of words in the cells of a column."""
    return fmean(len(str("" if cell is None else cell).split()) for cell in found.column(name))


def distinct(found: Records, name: str) -> int:
    """Returns the number of different cells in a column."""
    return len({str(cell) for cell in found.column(name)})


def split_folders(folder: Path) -> dict[str, Path]:
    """Returns the folders for the splits in a folder; only ``train``, the folder itself, where it has none."""
    inside = {path.name.lower(): path for path in folders(folder)}
    found = {split: inside[name] for split, names in SPLIT_NAMES.items() for name in names if name in inside}
    nested = "train" in found and bool(folders(found["train"]))
    return found if nested else {"train": folder}


def folders(folder: Path) -> list[Path]:
    """Returns the folders in a folder, in order. Raises `UserError` when it cannot be read."""
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror or error}") from None


def text_files(folder: Path) -> list[Path]:
    """Returns the .txt files in a folder, in order."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() == ENDING and not p.name.startswith("."))


def read_folder(folder: Path) -> dict[str, list[Example]]:
    """Returns the texts of folders with one folder of .txt files per class, by split.

    Raises:
        UserError: When a class has no texts, or with every file that cannot be read.
    """
    parts: dict[str, list[Example]] = {}
    wrong: list[UserError] = []
    for split, inside in split_folders(folder).items():
        parts[split] = []
        for each in folders(inside):
            paths = text_files(each)
            if not paths and split == "train":
                raise UserError(f"{each}: no {ENDING} files", "there must be one folder of .txt files for each class")
            for path in paths:
                try:
                    text = read_text(path)
                except UserError as error:
                    wrong.append(error)
                    continue
                if text.strip():
                    parts[split].append(Example(text, each.name, str(path)))
                else:
                    wrong.append(UserError(f"{path}: the file is empty"))
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        lines = [error.message for error in wrong[:LISTED]]
        lines += [f"and {len(wrong) - LISTED} more"] if len(wrong) > LISTED else []
        raise UserError("\n  ".join([f"{len(wrong)} texts cannot be read:", *lines]), "fix or remove them")
    if not parts["train"]:
        raise UserError(f"{folder}: no folders", "there must be one folder of .txt files for each class")
    return parts
