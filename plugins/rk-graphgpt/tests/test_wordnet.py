"""Synsets of WordNet as a graph of texts."""

from __future__ import annotations

import gzip

import pytest
from rk_graphgpt import wordnet
from rk_graphgpt.wordnet import WordNet, read_synsets

from rk import UserError

LINE = (
    "00002452 03 n 02 object 0 Some_Object 0 003 @ 00001930 n 0000 ~ 04347225 n 0000 @i 00001740 n 0000 | a separate "
    'and self-contained entity; "it is an object"  \n'
)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two small files in place of the published ones."""
    monkeypatch.setenv("RK_DATA", str(tmp_path))
    (tmp_path / "wordnet").mkdir()
    for part, number, classes in (("noun", 5, 2), ("verb", 30, 2)):
        lines = ["  1 a licence  \n"]
        for i in range(60):
            above = f"001 @ {i // 2:08d} {part[0]} 0000" if i else "000"
            lines.append(f"{i:08d} {number + i % classes:02d} n 01 word{i} 0 {above} | gloss of {i}\n")
        (tmp_path / f"wordnet/data.{part}.gz").write_bytes(gzip.compress("".join(lines).encode()))
    monkeypatch.setattr(wordnet, "is_intact", lambda *_: True)
    return tmp_path


def test_a_line_is_a_synset_with_its_first_word_its_gloss_and_what_is_above():
    found = wordnet._synset(LINE)
    assert (found.offset, found.file, found.hypernyms) == (2452, 3, (1930, 1740))
    assert found.text == "object a separate and self contained entity"


def test_nouns_are_seen_and_verbs_are_not(files):
    data = WordNet(seed=0, nouns=("animal", "artifact"), verbs=("change", "cognition"), limit=20)
    data.prepare()
    graph = data.text_graph()
    assert graph.labels == ("noun.animal", "noun.artifact", "verb.change", "verb.cognition") and graph.seen == 2
    assert graph.num_nodes == 80 and graph.targets.bincount().tolist() == [20] * 4
    for one, other in graph.edge_index.T.tolist():
        assert (one < 40) == (other < 40) and max(one, other) % 40 // 2 == min(one, other) % 40


def test_classes_that_there_are_not_and_missing_files_are_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="nouns: there is no class 'animals'"):
        WordNet(seed=0, nouns=("animals", "act"))
    monkeypatch.setenv("RK_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"data\.noun\.gz is not there"):
        read_synsets("noun", [3], 5)


def test_another_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("RK_DATA", str(tmp_path))
    (tmp_path / "wordnet").mkdir()
    (tmp_path / "wordnet/data.noun.gz").write_bytes(gzip.compress(b"another"))
    with pytest.raises(UserError, match="is not the published file"):
        read_synsets("noun", [3], 5)
