"""The multilayer perceptron, the loss, the metrics, and boosted trees."""

from __future__ import annotations

import importlib.util
import json
import math
import sys

import pytest
import torch
from rk_tabular.loss import NumberLoss
from rk_tabular.metrics import AbsoluteError, AreaUnderCurve, BalancedAccuracy, LogLoss, RootMeanSquare, RSquared
from rk_tabular.model import TableMLP
from rk_tabular.trees import Forest, lightgbm
from safetensors.torch import load_file

from rk import UserError
from rk.catalog import Catalog
from rk.recipe.find import RecipeFile
from rk.testing import Trial, assert_close

needs_lightgbm = pytest.mark.skipif(importlib.util.find_spec("lightgbm") is None, reason="needs LightGBM")

# -- the model ---------------------------------------------------------------------------------------------------------


def test_without_hidden_layers_the_model_is_linear():
    model = TableMLP(num_features=3, num_outputs=2, category_sizes=(), hidden_sizes=())
    a, b = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    f = lambda x: model(inputs=x)["values"]  # noqa: E731  a short name for a formula
    assert_close(f(a + b), f(a) + f(b) - model.head.bias.expand(5, 2))


def test_a_gap_is_a_number_that_is_learned_and_an_unknown_category_says_nothing():
    model = TableMLP(num_features=3, num_outputs=1, category_sizes=(3, 4))
    gap = torch.tensor([[math.nan, 0.0, 1.0]])
    filled = gap.nan_to_num(0.5)
    with torch.no_grad():
        model.gap.fill_(0.5)
    assert torch.equal(model(inputs=gap)["values"], model(inputs=filled)["values"])
    hidden, _ = model.enter(inputs=gap)
    assert hidden.shape == (1, 1 + 3 + 3) and not hidden[0, 1:4].any(), "the code 0 is embedded as zeros"
    model(inputs=gap)["values"].sum().backward()
    assert model.gap.grad is not None and model.gap.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", ["squared", "absolute", "huber"])
def test_the_loss_is_its_formula(kind):
    values, targets = torch.tensor([[0.5], [-3.0]]), torch.tensor([[0.0], [1.0]])
    error = (values - targets).abs()
    wanted = {"squared": error**2, "absolute": error, "huber": torch.tensor([[0.125], [4.0 - 0.5]])}[kind]
    total, count = NumberLoss(kind)(values=values, targets=targets)
    assert float(total) == pytest.approx(float(wanted.sum())) and count == 2


# -- metrics -----------------------------------------------------------------------------------------------------------


def pieces(metric, size, **fields):
    """Returns what a metric computes from pieces, some of them measured by another object and merged."""
    first, second = type(metric)(), type(metric)()
    count = len(fields["targets"])
    for i, start in enumerate(range(0, count, size)):
        (second if i % 2 else first).update(**{name: value[start : start + size] for name, value in fields.items()})
    first.merge(second)
    return first.compute()


def test_class_metrics_are_those_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    source = torch.Generator().manual_seed(0)
    for classes in (2, 4):
        logits = torch.randn(50, classes, generator=source) * 2
        logits = logits.round() if classes == 2 else logits  # with ties, where rounding cannot break them
        targets = torch.randint(classes, (50,), generator=source)
        shares = logits.double().softmax(1).numpy()
        total, count = LogLoss()(logits=logits, targets=targets)
        assert float(total) / count == pytest.approx(sklearn.log_loss(targets.numpy(), shares))
        found = pieces(BalancedAccuracy(), 7, logits=logits, targets=targets)
        assert found == pytest.approx(sklearn.balanced_accuracy_score(targets.numpy(), logits.argmax(1).numpy()))
        wanted = sklearn.roc_auc_score(
            targets.numpy(), shares[:, 1] if classes == 2 else shares, multi_class="ovr", average="macro"
        )
        assert pieces(AreaUnderCurve(), 7, logits=logits, targets=targets) == pytest.approx(wanted)


def test_an_area_of_one_class_does_not_exist():
    assert math.isnan(pieces(AreaUnderCurve(), 2, logits=torch.randn(4, 2), targets=torch.ones(4, dtype=torch.int64)))


def test_number_metrics_are_their_formulas():
    source = torch.Generator().manual_seed(0)
    targets, values = torch.randn(2, 20, 1, generator=source)
    scale = torch.full((20,), 3.0)
    error = 3 * (values - targets)
    found = pieces(RootMeanSquare(), 6, values=values, targets=targets, target_scale=scale)
    assert found == pytest.approx(float(error.square().mean().sqrt()), rel=1e-5)
    total, count = AbsoluteError()(values=values, targets=targets, target_scale=scale)
    assert float(total) / count == pytest.approx(float(error.abs().mean()), rel=1e-5)
    wanted = 1 - float((values - targets).square().sum() / (targets - targets.mean()).square().sum())
    assert pieces(RSquared(), 6, values=values, targets=targets) == pytest.approx(wanted, rel=1e-5)


# -- trees -------------------------------------------------------------------------------------------------------------

RECIPE = """
# Trees.
rk: 1
data: {{name: {data}, file: rows.csv, encoding: codes, batch_size: 32}}
trainer: {{name: boosted-trees, min_rows: 2, num_trees: 40, lr: 0.2, patience: 5, row_share: 0.8, column_share: 0.9}}
fit: {{threads: 1}}
"""


@pytest.fixture
def rows(tmp_path):
    """A table with gaps and categories, whose target follows from both."""
    lines = [f"{'' if i % 7 == 0 else i % 11},{'abc'[i % 3]},{i % 11 + 20 * (i % 3)}" for i in range(150)]
    (tmp_path / "rows.csv").write_text("\n".join(["x,c,y", *lines]) + "\n")
    (tmp_path / "classes.csv").write_text(
        "\n".join(["x,c,y", *(ln.rpartition(",")[0] + f",{ln[-1] > '4'}" for ln in lines)])
    )
    return tmp_path


@needs_lightgbm
def test_trees_learn_numbers_and_answer_bit_equal_from_the_folder_alone(rk_folder, rows):
    (rows / "trees.yaml").write_text(RECIPE.format(data="table-numbers"))
    run, again = rk_folder.train("trees.yaml"), rk_folder.train("trees.yaml")
    metrics = run.read()["metrics"]
    assert metrics["test/r2"] > 0.9 and metrics["run/trees"] >= 5
    assert rk_folder.rk("predict", run.path, "rows.csv", "-o", "a.json") == 0
    assert torch.equal(load_file(run.model)["booster"], load_file(again.model)["booster"]), "one seed, other trees"
    (rows / "rows.csv").rename(rows / "new.csv")
    assert rk_folder.rk("predict", run.path, "new.csv", "-o", "b.json") == 0
    assert json.loads((rows / "a.json").read_text()) == json.loads((rows / "b.json").read_text())


@needs_lightgbm
def test_a_forest_answers_as_the_one_whose_bytes_it_has(rows, tmp_path):
    catalog = Catalog()
    (tmp_path / "trees.yaml").write_text(
        RECIPE.format(data="table-numbers").replace("rows.csv", str(rows / "rows.csv"))
    )
    ended = Trial(RecipeFile(tmp_path / "trees.yaml"), catalog, tmp_path / "runs").run(2)
    batch = ended.data.batch("test", 0)
    other = Forest(1, None)
    assert not other.predict(batch)["values"].any(), "before the trees are grown, the answer is the mean"
    other.booster = ended.learner.booster.clone()
    assert torch.equal(other.predict(batch)["values"], ended.learner.predict(batch)["values"])


@needs_lightgbm
@pytest.mark.parametrize(("file", "classes"), [("classes.csv", 2), ("rows.csv", 3)])
def test_trees_learn_two_classes_and_several(rk_folder, rows, file, classes):
    (rows / "trees.yaml").write_text(RECIPE.format(data="table-classes").replace("rows.csv", file))
    run = rk_folder.train("trees.yaml", *(() if classes == 2 else ("data.target=c",)))
    assert run.read()["metrics"]["test/log-loss"] < 0.7
    assert rk_folder.rk("predict", run.path, file, "-o", "a.json") == 0
    first = json.loads((rows / "a.json").read_text())[0]
    assert len(first["probabilities"]) == classes and sum(first["probabilities"].values()) == pytest.approx(1, abs=1e-3)


def test_without_lightgbm_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(UserError, match="boosted-trees needs LightGBM") as error:
        lightgbm()
    assert error.value.hint == 'pip install "rk-tabular[lightgbm]"'
