"""The toolkit of analyses and recording callbacks: the answers that were measured, titles, tables and records."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rk import LoadedRun, UserError
from rk.authoring import Record, answers, evaluating, title, titles
from rk.catalog import Catalog
from rk.fit.train import train
from rk.recipe.stored import read_stored
from rk.writing import write_csv

SOURCE = '''
import torch
from torch import nn
from rk.authoring import Recorder, answers
from rk.fields import ClassificationBatch, LogitsOutputs
from jaxtyping import Float
from torch import Tensor


class Guess(nn.Module):
    """Draws when it answers."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.scores = nn.Linear(num_features, 10)

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs:
        scores = self.scores(inputs.flatten(1))
        return {"logits": scores + (0 if self.training else torch.randn_like(scores))}


class Hits(Recorder):
    """The share of right answers of each validation, twice."""

    name = "hits"
    stem = "right"
    column = "share"

    def measure(self, fit):
        hits = [(o["logits"].argmax(-1) == b["targets"]).float() for b, o in answers(fit, self.split)]
        share = float(torch.cat(hits).mean())
        return share, share

    def draw(self, fit, path):
        path.write_text(f"{len(self.record.steps)} measurements of {fit.recipe.name}")
'''
TEXT = """
rk: 1
model: guess
data: {name: digits, batch_size: 64}
loss: cross-entropy
trainer: {name: backprop, optimizer: adam}
callbacks: [hits]
fit: {max_steps: 8, seed: 3, validate_every: 2, threads: 1, accelerator: cpu}
"""


@pytest.fixture
def catalog(workshop) -> Catalog:
    return workshop.catalog(workshop.plugin("toy", SOURCE, models={"guess": "Guess"}, callbacks={"hits": "Hits"}))


def test_the_answers_of_a_run_are_those_that_were_measured(run, catalog):
    done = run(text=TEXT)
    loaded = LoadedRun.open(done.folder.path, catalog)
    before = torch.get_rng_state()
    hits = [(o["logits"].argmax(-1) == b["targets"]).float() for b, o in answers(loaded, "test")]
    assert float(torch.cat(hits).mean()) == pytest.approx(done.metrics["test/accuracy"], abs=1e-6)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_recorder_measures_what_validation_does_and_continues_after_a_resume(run, catalog):
    whole = run(text=TEXT)
    cut = run("fit.max_steps=4", text=TEXT)
    longer = read_stored(cut.folder, ("fit.max_steps=8",), catalog, resuming=True)
    assert train(longer, catalog, cut.folder, resume=True, extend=True).steps == 8
    table = (whole.folder.path / "right.csv").read_bytes()
    assert (cut.folder.path / "right.csv").read_bytes() == table
    with (whole.folder.path / "right.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["step", "share 0", "share 1"] and [int(row[0]) for row in rows] == [2, 4, 6, 8]
    assert float(rows[-1][1]) == pytest.approx(whole.metrics["val/accuracy"], abs=1e-6)
    assert (whole.folder.figures / "right.png").read_text() == "4 measurements of recipe"


def test_a_recorder_names_a_split_that_the_data_lacks(run):
    with pytest.raises(UserError, match="hits: the data has no split 'vla'") as error:
        run("callbacks=[{name: hits, split: vla}]", text=TEXT)
    assert "did you mean val?" in error.value.hint


def test_batches_differ_in_what_is_drawn_and_a_seed_repeats_it(run, catalog):
    loaded = LoadedRun.open(run(text=TEXT).folder.path, catalog)

    def logits(seed: int | None = None, limit: int = 2) -> list[torch.Tensor]:
        return [outputs["logits"] for _, outputs in answers(loaded, "test", limit, seed=seed)]

    assert torch.equal(torch.cat(logits()), torch.cat(logits(seed=3)))
    assert not torch.equal(logits(seed=4)[0], logits(seed=3)[0])
    (first,) = logits(limit=1)
    assert torch.equal(first, logits()[0])


def test_the_learner_is_left_as_it_was_between_two_batches():
    learner = torch.nn.Dropout()
    learner.predict = lambda batch: {"on": torch.tensor(learner.training or torch.is_grad_enabled())}
    context = SimpleNamespace(autocast=lambda: evaluating(learner, 0))
    run = SimpleNamespace(
        learner=learner,
        runtime=context,
        recipe=SimpleNamespace(name="toy/dropout", fit=SimpleNamespace(seed=0)),
        folder=None,
        batches=lambda split, limit: iter([{}, {}]),
    )
    for _, outputs in answers(run, "test"):
        assert not outputs["on"] and learner.training and torch.is_grad_enabled()
    with pytest.raises(UserError, match=r"^toy/dropout gives no path$") as error:
        list(answers(run, "test", needs=("on", "path"), hint="for chains"))
    assert error.value.hint == "for chains"


def test_a_split_that_is_not_there_is_named_for_runs_and_for_callbacks(run, catalog):
    loaded = LoadedRun.open(run(text=TEXT).folder.path, catalog)
    with pytest.raises(UserError, match="unknown split 'tset'"):
        list(answers(loaded, "tset"))


def test_titles_are_names_of_recipes_and_no_two_are_the_same():
    def named(name: str, folder: str = "runs/adding/a") -> SimpleNamespace:
        return SimpleNamespace(recipe=SimpleNamespace(name=name), folder=SimpleNamespace(path=Path(folder)))

    adding, other = named("sequence/adding"), named("adding", "runs/adding/b")
    assert title(adding) == title(other) == "adding"
    assert titles([adding, named("rnn/parity")]) == ["adding", "parity"]
    assert titles([adding, other], ("run", "baseline")) == ["adding", "adding (baseline)"]
    assert titles([adding, other, other]) == ["adding", "adding (b)", "adding (b, 3)"]


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = Record()
    record.add(0, (0.1, 1e-300))
    record.add(5, [float("nan"), 3])
    record.write(tmp_path / "r.csv", "lag")
    assert (tmp_path / "r.csv").read_bytes().splitlines()[0] == b"step,lag 0,lag 1"
    again = Record.read(tmp_path / "r.csv")
    assert again.steps == [0, 5] and str(again.rows) == "[[0.1, 1e-300], [nan, 3.0]]"


@pytest.mark.parametrize("text", ["", "step,lag 0\n1,high\n", "step,lag 0\n\n"])
def test_a_file_that_holds_no_record_is_named(text, tmp_path):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(UserError, match=r"r\.csv cannot be read"):
        Record.read(tmp_path / "r.csv")


def test_a_table_is_written_whole_with_its_texts_quoted(tmp_path):
    path = tmp_path / "t.csv"
    write_csv(path, ("name", "share"), [('a,"b"', 1 / 3), ("é", None)], digits=3)
    assert path.read_bytes().decode() == 'name,share\r\n"a,""b""",0.333\r\né,\r\n'
    with pytest.raises(ZeroDivisionError):
        write_csv(path, ("x",), ([1 / (2 - i)] for i in range(3)))
    assert path.read_bytes().startswith(b"name") and list(tmp_path.iterdir()) == [path]
