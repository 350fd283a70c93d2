"""A small graph of texts, and a model that has trained on nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rk_graphgpt.clip import TextGraphClip
from rk_graphgpt.documents import GraphDocuments
from rk_graphgpt.graph_llm import GraphLLM
from rk_graphgpt.graph_transformer import GraphTransformer
from rk_graphgpt.instructions import GraphInstructions
from rk_graphgpt.text_graph import TextSBM
from rk_sequence.attention import Attention
from rk_sequence.language_model import LanguageModel


def _small_graph(**settings):
    return TextSBM(seed=0, num_nodes=60, num_features=16, max_words=8, degree=6.0, **settings)


def _ready(data):
    data.prepare()
    return data


def _questions(task="node", **settings):
    settings = {"max_nodes": 4 if task == "matching" else 8, "batch_size": 6, **settings}
    return _ready(GraphInstructions(_small_graph(), seed=0, task=task, **settings))


def _as_run(model, data, name):
    """A run, as far as the model looks at it."""
    folder = SimpleNamespace(path=Path(name), label=name)
    return SimpleNamespace(learner=SimpleNamespace(model=model.eval()), data=data, folder=folder)


@pytest.fixture(scope="session", name="small_graph")
def small_graph_function():
    """Makes a small graph of texts."""
    return _small_graph


@pytest.fixture(scope="session", name="ready")
def ready_function():
    """Prepares data."""
    return _ready


@pytest.fixture(scope="session", name="questions")
def questions_function():
    """Makes questions about it."""
    return _questions


@pytest.fixture(scope="session", name="as_run")
def as_run_function():
    """Makes what the model looks at of a run."""
    return _as_run


@pytest.fixture(scope="session")
def runs():
    """An encoder and a language model with random weights, as runs."""
    torch.manual_seed(0)
    graph, documents = _ready(_small_graph()), _ready(GraphDocuments(_small_graph(), seed=0))
    clip = TextGraphClip(
        layer=GraphTransformer, num_features=16, vocab_size=graph.vocab_size, context_length=8, embed_dim=8, d_model=8,
        text_width=8, text_layers=1, text_heads=2,
    )  # fmt: skip
    language = LanguageModel(vocab_size=documents.vocab_size, layer=Attention, d_model=16, num_layers=2, mlp_ratio=2)
    return {"encoder": _as_run(clip, graph, "encoder"), "llm": _as_run(language, documents, "llm")}


@pytest.fixture
def model(runs):
    torch.manual_seed(1)
    return GraphLLM(**runs)
