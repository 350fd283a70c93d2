"""A model's answer to a question when it runs a path: greedy decoding, or the most probable option."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from rk_lm.cached import generate
from rk_lm.engine import Engine
from rk_lm.items import Item, encode_prompt, end_of_turn
from rk_lm.layered import Path
from rk_lm.load import LanguageModel, quiet
from rk_lm.question import Question

BATCH = 32
"""Answers that are generated at the same time."""


def answers(
    lm: LanguageModel, questions: Sequence[Question], paths: Sequence[Path], chat: bool, max_new_tokens: int
) -> list[str]:
    """Returns what the model answers to each question along its path, without what ends the answer.

    Args:
        lm: The model.
        questions: What is asked; answers are not needed.
        paths: The path of each question.
        chat: Puts prompts into the model's chat template.
        max_new_tokens: Most tokens of an answer that has to be produced.
    """
    found = [""] * len(questions)
    choices = [i for i, q in enumerate(questions) if q.options]
    if choices:
        items = [lm.encode(questions[i], questions[i].options, chat) for i in choices]
        lm.check_items(items)
        scores = Engine(lm.layered, items).score([(place, paths[i]) for place, i in enumerate(choices)])
        for i, item, score in zip(choices, items, scores, strict=True):
            lengths = map(len, item.continuations)
            means = [p / n for p, n in zip(score.log_probs.tolist(), lengths, strict=True)]
            found[i] = questions[i].options[means.index(max(means))].strip()
    by_path: dict[Path, list[int]] = defaultdict(list)
    for i, question in enumerate(questions):
        if not question.options:
            by_path[paths[i]].append(i)
    free = [i for group in by_path.values() for i in group]
    prompts = {i: encode_prompt(lm.tokenizer, questions[i].prompt, chat) for i in free}
    lm.check_items([Item(tuple(prompts[i]), ((prompts[i][-1],),)) for i in free])
    for path, group in by_path.items():
        for start in range(0, len(group), BATCH):
            some = group[start : start + BATCH]
            stops = {"" if chat else questions[i].stop for i in some}
            tokens = _generated(lm, path, [prompts[i] for i in some], stops, max_new_tokens)
            for i, own in zip(some, tokens, strict=True):
                found[i] = _text(lm.tokenizer, own, questions[i].stop, chat)
    return found


def _generated(
    lm: LanguageModel, path: Path, prompts: list[list[int]], stops: set[str], max_new_tokens: int
) -> list[list[int]]:
    """Returns the tokens after each prompt, up to the end of the text; those after a stop may be among them."""
    pad = lm.tokenizer.pad_token_id if lm.tokenizer.pad_token_id is not None else 0
    ends = _ends(lm, stops)
    settings: dict[str, Any] = {"max_new_tokens": max_new_tokens, "do_sample": False, "eos_token_id": ends or None}
    if len(stops) == 1 and any(stops):
        settings |= {"stop_strings": [*stops], "tokenizer": lm.tokenizer}
    with quiet():
        rows = generate(lm.layered, path, prompts, pad, **settings).tolist()
    return [row[: min((row.index(end) for end in ends if end in row), default=len(row))] for row in rows]


def _ends(lm: LanguageModel, stops: set[str]) -> list[int]:
    """Returns the tokens that end a text or a turn, or are a stop."""
    own = lm.layered.model.generation_config.eos_token_id
    ends = {*(own if isinstance(own, list) else [own]), lm.tokenizer.eos_token_id}
    if lm.tokenizer.chat_template and (turn := end_of_turn(lm.tokenizer)):
        ends.add(lm.tokenizer.convert_tokens_to_ids(turn))
    ends |= {lm.tokenizer.convert_tokens_to_ids(s) for s in stops if s in lm.tokenizer.all_special_tokens}
    return sorted(end for end in ends if end is not None)


def _text(tokenizer: Any, tokens: list[int], stop: str, chat: bool) -> str:
    """Returns tokens as text, up to `stop`; in a chat, the end of the turn has taken its place."""
    text = tokenizer.decode(tokens, skip_special_tokens=True)
    return (text.partition(stop)[0] if stop and not chat else text).strip()
