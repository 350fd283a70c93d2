"""What data proposes for a file of the user's: the draft of a recipe, which `rk recipes init` writes."""

from __future__ import annotations

from rk.record import made, record
from rk.values import PlainDict

__all__ = ["Draft"]


@record
class Draft:
    """The recipe that data proposes for a file.

    Data drafts when it has two members: ``drafts``, a literal tuple of what it takes (endings such as ``".csv"``, and
    ``"/"`` for folders), and the class method ``draft(path, target)``, which returns a draft, or None for a file that
    other data should read. It raises `rk.UserError` for a file that is its kind, but damaged.

    Attributes:
        about: What is to be learned, in one line: ``"the class of species (3 classes) from 4 columns"``.
        data: The parameters of the data component, without its name.
        choices: Name -> the other sections of the recipe (``model``, ``loss``, ``trainer``, ``fit``, ...) as plain
            values. The first is the default; ``rk recipes init --model NAME`` takes another one.
        comments: Key of the recipe (``data.target``) -> what was guessed and why. The comments are written above their
            keys, and are printed.
        notes: What else the user should know, one line each: columns that are left out, rows without a target.
        confidence: From 0 to 1: how sure it is that the file is meant for this data. The highest draft is taken.

    Examples:
        >>> draft = Draft("the class of y", {"file": "my.csv"}, {"mlp": {"model": "mlp", "loss": "cross-entropy"}})
        >>> draft.confidence
        0.5
    """

    about: str
    data: PlainDict
    choices: dict[str, PlainDict]
    comments: dict[str, str] = made(default_factory=dict)
    notes: tuple[str, ...] = ()
    confidence: float = 0.5
