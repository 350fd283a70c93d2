"""`rk recipes` finds recipes by paper, by task and by the components that they use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rk.catalog import Catalog
from rk.plugins import Plugins
from rk.recipe.digest import Digest, digest
from rk.recipe.find import RecipeFile

BASE = """# What it is for.
rk: 1
paper: arXiv:1506.03134v2
model: {name: toys/net, layer: {name: gru, inner: [one, {name: two}]}}
data: digits
trainer: {name: backprop, optimizer: adam}
callbacks: [noise, {name: toys/stop}]
metrics: {top: {name: top-k}}
"""


@pytest.fixture
def digested(tmp_path):
    def call(text: str, name: str = "mine") -> Digest:
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        return digest(RecipeFile(path), Plugins(entries=[]))

    return call


def test_it_knows_heading_paper_task_and_every_component(digested):
    found = digested(BASE)
    assert (found.about, found.paper, found.task) == ("What it is for.", "arXiv:1506.03134v2", "digits")
    assert found.names == {"net", "gru", "two", "digits", "backprop", "noise", "stop", "top-k"}
    assert {"model: toys/net", "data: digits", "callbacks: noise"} <= found.parts


def test_components_of_an_extended_recipe_count(digested, tmp_path):
    digested(BASE, "base")
    found = digested("# Another.\nrk: 1\nextends: base.yaml\nmodel: {name: mlp}\n")
    assert (found.about, found.paper, found.task) == ("Another.", "arXiv:1506.03134v2", "digits")
    assert "mlp" in found.names and "net" not in found.names


@pytest.mark.parametrize(
    "asked", ["1506.03134", "arXiv:1506.03134", "https://arxiv.org/abs/1506.03134v1", "ARXIV:1506.03134"]
)
def test_a_paper_is_found_by_its_number_in_any_form(asked, digested):
    assert digested(BASE).is_of(asked)


@pytest.mark.parametrize("asked", ["1506.03135", "2401.00001", "Vinyals"])
def test_another_paper_is_not(asked, digested):
    assert not digested(BASE).is_of(asked)
    assert not digested(BASE.replace("paper: arXiv:1506.03134v2\n", "")).is_of("1506.03134")


def test_a_paper_without_a_number_is_found_by_its_words(digested):
    text = BASE.replace("arXiv:1506.03134v2", "Hochreiter and Schmidhuber, Long Short-Term Memory, 1997")
    assert digested(text).is_of("long short-term") and not digested(text).is_of("gru")


def test_of_a_broken_recipe_the_heading_is_known(digested):
    found = digested("# Broken.\nrk: [\n")
    assert (found.about, found.task, found.names) == ("Broken.", None, set())


def test_the_command_filters_and_its_json_has_the_reasons(rk):
    everything = json.loads(rk("recipes", "--json").out)
    of_paper = json.loads(rk("recipes", "--paper", "1506.03134", "--task", "delaunay", "--json").out)
    assert 0 < len(of_paper) < len(everything)
    assert all(r["task"].endswith("delaunay") and Path(r["path"]).is_file() for r in of_paper)
    seq2seq = json.loads(rk("recipes", "--uses", "pointer-net", "--uses", "convex-hull", "--json").out)
    assert seq2seq and all({"model: pointer-net", "data: convex-hull"} <= set(r["components"]) for r in seq2seq)


@pytest.mark.parametrize("option", ["--task", "--uses"])
def test_an_unknown_component_is_refused_with_the_nearest_name(option, rk):
    done = rk("recipes", option, "delauney")
    assert done.code == 2 and "did you mean delaunay?" in done.err


def test_a_bare_name_is_a_component_where_the_parameter_takes_one(tmp_path):
    plugins = Plugins(entries=[])
    path = tmp_path / "mine.yaml"
    path.write_text(
        "# For it.\nrk: 1\nmodel: {name: mlp, activation: tanh}\ndata: digits\nloss: cross-entropy\n"
        "trainer: {name: backprop, optimizer: {name: adam, schedule: cosine}}\n"
    )
    found = digest(RecipeFile(path), plugins, Catalog(plugins))
    assert found.names == {"mlp", "digits", "cross-entropy", "backprop", "adam", "cosine"}
    assert "cosine" not in digest(RecipeFile(path), plugins).names
