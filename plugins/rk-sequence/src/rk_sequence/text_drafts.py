"""Recipes that `labelled-text` proposes for a user's file: a network, and a linear model over n-grams beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rk.drafting import Draft
from rk_sequence.records import named, read_records
from rk_sequence.text_files import LABEL_NAMES, distinct, find_columns, folders, split_folders, text_files, words

MIN_WORDS = 3.0
"""A column with so many words in the mean is free text."""
MOST_CLASSES = 0.5
"""Most different labels that are classes, as a share of the rows."""
FEW_COLUMNS, LONG_TEXT = 3, 8.0
"""In a table with more columns, a text with fewer words in the mean is one feature of many: a name, an address."""
SURE, UNSURE = 0.8, 0.3
EPOCHS = 10


def draft_table(path: Path, target: str | None) -> Draft | None:
    """Returns the draft for a table; None where it has no column of texts, or its target does not look like classes.

    Args:
        path: The table, or JSON lines.
        target: Name of the column of classes; None: it is guessed.

    Raises:
        UserError: When the file is damaged, or has no such column.
    """
    found = read_records(path, "a table with a column of texts and one of classes")
    if len(found.names) < 2 or len(found.rows) < 4:
        return None
    others = [name for name in found.names if name != target]
    if max(words(found, name) for name in others) < MIN_WORDS:
        return None
    text, label = find_columns(found, None, target)
    classes = distinct(found, label)
    if not 2 <= classes <= MOST_CLASSES * len(found.rows) or words(found, text) < MIN_WORDS:
        return None
    named_so = target is not None or named([label], LABEL_NAMES) is not None
    is_text = len(found.names) <= FEW_COLUMNS or words(found, text) >= LONG_TEXT
    is_class = named_so or classes <= MOST_CLASSES * len(found.rows) / 2
    why = "as --target says" if target is not None else "by its name" if named_so else "the fewest different values"
    return Draft(
        f"the class of {label} ({classes} classes) from the texts in {text}",
        {"file": str(path), "text": text, "label": label},
        _choices(len(found.rows)),
        {"data.text": f"{words(found, text):.0f} words in the mean", "data.label": why, **_comments()},
        confidence=SURE if is_text and is_class else UNSURE,
    )


def draft_text_folder(path: Path) -> Draft | None:
    """Returns the draft for a folder with one folder of .txt files per class; None for any other folder."""
    inside = split_folders(path)
    classes = folders(inside["train"])
    counts = [len(text_files(folder)) for folder in classes]
    if len(classes) < 2 or not all(counts):
        return None
    return Draft(
        f"the class of a text ({len(classes)} classes) from the .txt files in {len(classes)} folders",
        {"file": str(path)},
        _choices(sum(counts)),
        {"data.file": f"folders: {', '.join(inside)}" if len(inside) > 1 else "one folder per class", **_comments()},
        confidence=SURE,
    )


def _choices(count: int) -> dict[str, Any]:
    fit = {"max_epochs": EPOCHS, "seed": 1, "validate_every": max(1, count // 32), "monitor": "val/loss"}
    layer = {"name": "attention", "num_heads": 4}
    network = {"name": "sequence", "layer": layer, "d_model": 64, "num_layers": 1, "mlp_ratio": 2, "dropout": 0.3}
    return {
        "network": _sections(network, "adamw", 2e-3, fit),
        "linear": _sections({"name": "ngram-linear", "n": 2}, "adam", 1e-2, fit),
    }


def _sections(model: dict[str, Any], optimizer: str, lr: float, fit: dict[str, Any]) -> dict[str, Any]:
    schedule = {"name": "cosine", "end": lr / 100}
    trainer = {"name": "backprop", "optimizer": {"name": optimizer, "lr": lr, "schedule": schedule}}
    return {"model": model, "loss": "cross-entropy", "trainer": trainer, "fit": fit}


def _comments() -> dict[str, str]:
    return {
        "model": "rk recipes init --model linear: a linear model over words and pairs of words",
        "fit.monitor": "the best checkpoint by validation is tested and answers",
    }
