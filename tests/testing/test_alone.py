"""What no recipe uses is run beside one, and layered models answer as their blocks do: the kit finds what is wrong."""

from __future__ import annotations

import pytest

from rk.catalog import Catalog
from rk.errors import UserError
from rk.recipe.find import RecipeFile
from rk.testing import checks
from rk.testing.alone import run_alone, unused
from rk.testing.broken import Broken, NotApplicable
from rk.testing.trial import Trial

SOURCE = """
import torch
from rk import hookimpl
from rk.builtin.mlp import MLP
from rk.fields import LogitsOutputs

class Nudge:
    \"\"\"Moves a weight by as many millionths as there were steps.\"\"\"
    def __init__(self):
        self.steps = 0
    @torch.no_grad()
    def after_step(self, fit):
        self.steps += 1
        next(fit.learner.parameters()).flatten()[0] += 1e-6 * self.steps

class Tuned:
    def __init__(self, factor: float): ...
    def after_step(self, fit): ...

class Numbers:
    def __init__(self, run: "rk.Run"):
        self.run = run
    def analyze(self, out):
        assert len(list(self.run.batches("test"))) == 2
        return NUMBERS

class Twice(MLP):
    \"\"\"A perceptron whose forward does what its blocks do not.\"\"\"
    def forward(self, *, inputs) -> LogitsOutputs:
        return {"logits": FACTOR * super().forward(inputs=inputs)["logits"]}
"""
RECIPE = """
rk: 1
model: {name: MODEL, hidden_sizes: [8]}
data: {name: digits, batch_size: 16}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: sgd, lr: 0.1}}
fit: {max_steps: 20, threads: 1}
"""


@pytest.fixture
def bench(workshop, tmp_path):
    """Makes a plugin, and returns its components by name, a recipe's short runs, and the recipe."""

    def call(numbers="{'a': 1.0}", factor=1, model="mlp"):
        source = SOURCE.replace("NUMBERS", numbers).replace("FACTOR", str(factor))
        plugin = workshop.plugin(
            "odd",
            source.replace('"rk.Run"', "Run").replace("import hookimpl", "import Run, hookimpl"),
            callbacks={"nudge": "Nudge", "tuned": "Tuned"},
            analyses={"numbers": "Numbers"},
            models={"twice": "Twice"},
        )
        catalog: Catalog = workshop.catalog(plugin)
        path = tmp_path / "r.yaml"
        path.write_text(RECIPE.replace("MODEL", model))
        file = RecipeFile(path)
        trial = Trial(file, catalog, tmp_path)
        components = {
            c.name: c for c in unused([c for c in catalog.plugins.components if c.plugin == "odd"], [file], catalog)
        }
        return components, trial, file

    return call


def beside(found, name):
    components, trial, file = found
    run_alone(components[name], [file], lambda _: trial, lambda _: trial.run(2))


def test_a_callback_is_put_beside_the_recipe_and_must_resume_bit_equal(bench, monkeypatch):
    seen = []

    def resumes(trial, whole):
        seen.append([spec.component.name for spec in trial.recipe.callbacks])
        raise Broken("it forgets")

    monkeypatch.setattr(checks, "resumes_bit_equal", resumes)
    with pytest.raises(Broken, match="it forgets"):
        beside(bench(), "nudge")
    assert seen == [["nudge"]]


def test_an_analysis_gets_a_run_with_few_batches_and_must_return_numbers(bench):
    beside(bench(), "numbers")
    with pytest.raises(Broken, match="no number"):
        beside(bench(numbers="{}"), "numbers")


def test_parameters_that_the_kit_cannot_give_are_named(bench):
    with pytest.raises(NotApplicable, match="a recipe must give its factor"):
        beside(bench(), "tuned")
    components, *_ = bench()
    with pytest.raises(NotApplicable, match="no recipe to run it with"):
        run_alone(components["nudge"], [], None, None)


def test_a_recipe_that_does_not_fit_is_passed_over(bench):
    components, _, file = bench()

    def fails(_):
        raise UserError("its data are elsewhere")

    with pytest.raises(NotApplicable, match="it takes no recipe of its plugin \\(r: its data are elsewhere\\)"):
        run_alone(components["nudge"], [file], fails, None)


def test_a_layered_model_answers_as_its_blocks_do(bench):
    _, trial, _ = bench(model="twice")
    checks.blocks_are_the_model(trial, trial.run(1))
    _, trial, _ = bench(factor=2, model="twice")
    with pytest.raises(Broken, match="other 'logits'"):
        checks.blocks_are_the_model(trial, trial.run(1))
