"""Prompts: what is asked about nodes, in words, with a mark where graph tokens come."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Literal

GRAPH = "<graph>"
"""The mark in a template where the tokens of one graph come."""

START, PATCH, END = -1, -2, -3
"""Numbers of the new tokens: before the nodes of a graph, in place of each node, and behind them."""

LETTERS = tuple("abcdefgh")
"""Names of the texts in a question of the task `matching`."""

Task = Literal["node", "link", "matching", "text"]

TEMPLATES: dict[Task, str] = {
    "node": (
        "user : the first node of the graph <graph> has the text : {text} . which class is it of : {classes} ? "
        "assistant :"
    ),
    "link": (
        "user : the first node of the graph <graph> has the text : {text} . the first node of the graph <graph> has "
        "the text : {other} . are they linked ? assistant :"
    ),
    "matching": "user : in which order are the texts {texts} in the graph <graph> ? assistant :",
    "text": "user : which text has the first node of the graph <graph> ? assistant :",
}
"""Task -> the human turn, with the mark of each graph, and the beginning of the assistant's turn."""

NEEDED: dict[Task, tuple[str, ...]] = {
    "node": ("{text}", "{classes}"), "link": ("{text}", "{other}"), "matching": ("{texts}",), "text": (),
}  # fmt: skip
GRAPHS: dict[Task, int] = {"node": 1, "link": 2, "matching": 1, "text": 1}
"""Task -> how many graphs a question is about."""

LINK_ANSWERS = ("no", "yes")


@dataclass(frozen=True)
class Instruction:
    """One question and its answer.

    Attributes:
        prompt: The human turn, with `GRAPH` where graph tokens come.
        nodes: The number of nodes of each of these graphs.
        answer: The assistant's turn.
        choices: The possible answers, in an order that does not depend on the question.
    """

    prompt: str
    nodes: tuple[int, ...]
    answer: str
    choices: tuple[str, ...]


def check_template(template: str, task: Task) -> None:
    """Raises `ValueError` unless `template` has the marks and the fields of the task, and nothing else in braces."""
    if (found := template.split().count(GRAPH)) != GRAPHS[task]:
        raise ValueError(f"template must have {GRAPH} {GRAPHS[task]} times, as a word, got {found}")
    for field in NEEDED[task]:
        if field not in template:
            raise ValueError(f"template must have {field} for the task {task}")
    try:
        template.format(**{field.strip("{}"): "" for field in NEEDED[task]})
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"template must have braces around fields of the task {task} alone: {error}") from None


def without_graphs(template: str) -> str:
    """Returns a template of a prompt of text alone."""
    return " ".join(word for word in template.split() if word != GRAPH)


def listed(texts: list[str]) -> str:
    """Returns texts with the letter of each: ``a : the first ; b : the second``."""
    return " ; ".join(f"{letter} : {text}" for letter, text in zip(LETTERS, texts, strict=False))


def orders(count: int) -> tuple[str, ...]:
    """Returns every order of so many letters: the possible answers of the task `matching`."""
    return tuple(" ".join(order) for order in permutations(LETTERS[:count]))
