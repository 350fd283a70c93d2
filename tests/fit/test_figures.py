"""Figures: the data draws what was asked and answered, a learner may draw how it came to that."""

from __future__ import annotations

import pytest

from rk.fit.loaded import LoadedRun

DRAWING = """
from rk.builtin.backprop import Backprop, Supervised
from rk.fit.runtime import Runtime
from rk.protocols import Loss, Model

class Drawing(Supervised):
    def render(self, batch, outputs, out):
        path = out.with_name(f"{out.stem}-way.txt")
        path.write_text(str(tuple(outputs["logits"].shape)))
        return [path]

class DrawingBackprop(Backprop):
    '''Draws.

    Args:
        optimizer: Any.
    '''
    def setup(self, *, model: Model, loss: Loss, runtime: Runtime) -> Drawing:
        learner = Drawing(model, loss)
        self.runtime = runtime
        self.objective = runtime.setup(learner)
        self.optimizer = runtime.optimizer(self.factory, learner.parameters())
        return learner
"""


@pytest.fixture
def catalog(workshop):
    return workshop.catalog(workshop.plugin("draws", DRAWING, trainers={"drawing": "DrawingBackprop"}))


def test_a_learner_draws_beside_the_data(run, catalog, tmp_path):
    done = run("trainer.name=draws/drawing", "trainer.optimizer={name: adam, lr: 1e-3}", "fit.max_steps=2")
    assert sorted(p.name for p in done.folder.figures.iterdir()) == ["test-way.txt", "test.png"]
    assert (done.folder.figures / "test-way.txt").read_text() == "(64, 10)"
    loaded = LoadedRun.open(done.folder.path, catalog)
    (tmp_path / "one.csv").write_text(",".join(["0"] * 64))
    batch, outputs, _ = loaded.predict(tmp_path / "one.csv")
    out = tmp_path / "drawn" / "answer.png"
    assert loaded.render(batch, outputs, out) == [out, out.with_name("answer-way.txt")]


def test_data_alone_draws_as_before(run):
    done = run("fit.max_steps=2")
    assert [p.name for p in done.folder.figures.iterdir()] == ["test.png"]
