"""Every metric against torchmetrics on all of the data at once; masks, ignored targets, shares of several processes."""

import pickle

import pytest
import torch
import torchmetrics.classification
import torchmetrics.regression
from rk_torchmetrics import named, offered
from rk_torchmetrics.general import General

from rk import UserError
from rk.errors import RecipeError

TASKS = ("binary", "multiclass", "multilabel")
OF_CLASSES = [
    (task, name)
    for task in TASKS
    for name in offered.OF_CLASSES
    if hasattr(torchmetrics.classification, f"{task.capitalize()}{name}") and (name != "EER" or task == "binary")
]
NEEDED = {"FBetaScore": {"beta": 2.0}, "MinkowskiDistance": {"p": 3.0}}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def classified(task, rows=60):
    """Logits and targets of three classes, more often right than not."""
    logits = (
        torch.randn(rows, generator=generator()) if task == "binary" else torch.randn(rows, 3, generator=generator())
    )
    if task == "multiclass":
        targets = (logits + torch.randn(rows, 3, generator=generator(1))).argmax(-1)
    else:
        targets = (logits + torch.randn(logits.shape, generator=generator(1)) > 0).long()
    return logits, targets


def numbers(rows=60):
    values = torch.rand(rows, generator=generator()) + 0.5
    return values, values + 0.1 * torch.randn(rows, generator=generator(1)).abs()


def official(task, name, logits, targets):
    """The metric of torchmetrics over all of it, given probabilities."""
    sizes = {"binary": {}, "multiclass": {"num_classes": 3}, "multilabel": {"num_labels": 3}}[task]
    metric = getattr(torchmetrics.classification, f"{task.capitalize()}{name}")(**sizes, **NEEDED.get(name, {}))
    return float(metric(logits.softmax(-1) if task == "multiclass" else logits.sigmoid(), targets))


def measured(metric, parts):
    for fields in parts:
        metric.update(**fields)
    return metric


def split(fields, sizes):
    return [dict(zip(fields, row, strict=True)) for row in zip(*(v.split(sizes) for v in fields.values()), strict=True)]


# -- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("task", "name"), OF_CLASSES)
def test_a_metric_of_classes_is_that_of_torchmetrics_in_batches_and_in_shares(task, name):
    logits, targets = classified(task)
    expected = official(task, name, logits, targets)
    parts = split({"logits": logits, "targets": targets}, [20, 1, 30, 9])

    def make():
        return General(name, task, options=NEEDED.get(name))

    assert measured(make(), parts).compute() == pytest.approx(expected, abs=1e-5)
    shares = [pickle.loads(pickle.dumps(measured(make(), parts[i::3]))) for i in range(3)]
    shares[0].merge(shares[1])
    shares[0].merge(shares[2])
    assert shares[0].compute() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", offered.OF_NUMBERS)
def test_a_metric_of_numbers_is_that_of_torchmetrics_in_batches_and_in_shares(name):
    values, targets = numbers()
    expected = float(getattr(torchmetrics.regression, name)(**NEEDED.get(name, {}))(values, targets))
    parts = split({"values": values.unsqueeze(1), "targets": targets.unsqueeze(1)}, [20, 2, 30, 8])

    def make():
        return General(name, options=NEEDED.get(name))

    assert measured(make(), parts).compute() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    shares = [measured(make(), parts[i::3]) for i in range(3)]
    shares[0].merge(shares[1])
    shares[0].merge(shares[2])
    assert shares[0].compute() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_small_logits_are_not_taken_for_probabilities():
    logits, targets = torch.tensor([[0.2, 0.9], [0.6, 0.1]]), torch.tensor([1, 0])
    found = measured(named.CalibrationError(), [{"logits": logits, "targets": targets}]).compute()
    assert found == pytest.approx(1 - float(logits.softmax(-1).max(-1).values.mean()), abs=1e-5)


NAMED = [
    (named.F1(), "multiclass", "F1Score"),
    (named.Precision(task="binary"), "binary", "Precision"),
    (named.Recall(task="multilabel"), "multilabel", "Recall"),
    (named.AUROC(task="binary"), "binary", "AUROC"),
    (named.AveragePrecision(), "multiclass", "AveragePrecision"),
    (named.CalibrationError(), "multiclass", "CalibrationError"),
    (named.Matthews(), "multiclass", "MatthewsCorrCoef"),
]


@pytest.mark.parametrize(("metric", "task", "name"), NAMED, ids=lambda x: str(x) if isinstance(x, str) else "")
def test_a_name_is_a_metric_of_torchmetrics(metric, task, name):
    logits, targets = classified(task)
    assert measured(metric, [{"logits": logits, "targets": targets}]).compute() == pytest.approx(
        official(task, name, logits, targets), abs=1e-5
    )


def test_numbers_by_name():
    values, targets = numbers()
    found = {
        cls: measured(cls(), [{"values": values, "targets": targets}]).compute()
        for cls in (named.MeanAbsoluteError, named.RootMeanSquaredError, named.R2, named.Pearson, named.Spearman)
    }
    error = values - targets
    assert found[named.MeanAbsoluteError] == pytest.approx(float(error.abs().mean()))
    assert found[named.RootMeanSquaredError] == pytest.approx(float(error.square().mean().sqrt()))
    explained = 1 - error.square().sum() / (targets - targets.mean()).square().sum()
    assert found[named.R2] == pytest.approx(float(explained), abs=1e-5)
    pearson = torch.corrcoef(torch.stack([values, targets]))[0, 1]
    assert found[named.Pearson] == pytest.approx(float(pearson), abs=1e-5)
    ranks = torch.stack([values.argsort().argsort(), targets.argsort().argsort()]).float()
    assert found[named.Spearman] == pytest.approx(float(torch.corrcoef(ranks)[0, 1]), abs=1e-5)


# -- what counts ---------------------------------------------------------------------------------------------------


def test_what_a_mask_leaves_out_does_not_count():
    logits, targets = torch.randn(4, 5, 3, generator=generator()), torch.randint(3, (4, 5), generator=generator(1))
    mask = torch.rand(4, 5, generator=generator(2)) < 0.6
    found = measured(named.F1(), [{"logits": logits, "targets": targets, "mask": mask}]).compute()
    assert found == pytest.approx(official("multiclass", "F1Score", logits[mask], targets[mask]), abs=1e-5)
    padded = torch.where(mask, targets, -100)
    assert measured(named.F1(ignore_index=-100), [{"logits": logits, "targets": padded}]).compute() == found


def test_masks_of_numbers_and_of_rows_of_labels():
    values, targets = numbers()
    mask = torch.arange(60) % 3 == 0
    found = measured(named.MeanAbsoluteError(), [{"values": values, "targets": targets, "mask": mask}]).compute()
    assert found == pytest.approx(float((values - targets)[mask].abs().mean()))
    logits, labels = classified("multilabel")
    for given in (mask, mask.unsqueeze(1).expand(60, 3)):
        found = measured(named.F1(task="multilabel"), [{"logits": logits, "targets": labels, "mask": given}]).compute()
        assert found == pytest.approx(official("multilabel", "F1Score", logits[mask], labels[mask]), abs=1e-5)


def test_two_classes_may_have_one_logit_or_two():
    logits, targets = classified("binary")
    two = torch.stack([-logits / 2, logits / 2], -1)
    found = [
        measured(named.AUROC(task="binary"), [{"logits": given, "targets": targets}]).compute()
        for given in (logits, logits.unsqueeze(-1), two)
    ]
    assert found == pytest.approx([found[0]] * 3, abs=1e-6)


def test_a_batch_in_which_nothing_counts_changes_nothing_and_nothing_is_nan():
    metric = named.F1()
    empty = {"logits": torch.zeros(2, 3), "targets": torch.zeros(2).long(), "mask": torch.zeros(2).bool()}
    assert measured(metric, [empty]).compute() != metric.compute(), "NaN"
    logits, targets = classified("multiclass")
    assert measured(metric, [{"logits": logits, "targets": targets}, empty]).compute() > 0
    other = named.F1()
    other.merge(metric)
    metric.merge(named.F1())
    assert other.compute() == metric.compute()
    metric.reset()
    assert metric.compute() != metric.compute()


def test_the_direction_is_that_of_the_metric():
    assert General("F1Score").higher_is_better and not General("MeanSquaredError").higher_is_better
    assert not General("EER", "binary").higher_is_better and General("PearsonCorrCoef").higher_is_better


# -- mistakes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "F1Scor"}, "there is no metric 'F1Scor'; did you mean F1Score?"),
        ({"metric": "ROC"}, "there is no metric 'ROC'"),
        ({"metric": "EER"}, "EER is not for task multiclass"),
        ({"metric": "CoverageError"}, "CoverageError is not for task multiclass"),
        ({"metric": "F1Score", "options": {"averge": "micro"}}, "has no option 'averge'; did you mean average?"),
        ({"metric": "F1Score", "options": {"average": "none"}}, "option average must be micro, macro or weighted"),
        ({"metric": "F1Score", "options": {"num_classes": 3}}, "has no option 'num_classes'"),
        ({"metric": "Accuracy", "options": {"multidim_average": "samplewise"}}, "multidim_average must be global"),
    ],
)
def test_a_mistake_is_named(arguments, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        General(**arguments)


def test_fields_that_do_not_fit_are_named():
    with pytest.raises(UserError, match="the metric R2Score needs the field 'values', which nothing provides"):
        General("R2Score").update(targets=torch.zeros(3), logits=torch.zeros(3, 2))
    with pytest.raises(UserError, match=r"of task multilabel takes targets of shape \(4, 3\).* got \(4,\)"):
        named.F1(task="multilabel").update(logits=torch.zeros(4, 3), targets=torch.zeros(4).long())


RECIPE = """
rk: 1
model: {name: mlp, hidden_sizes: [16]}
data: {name: digits, batch_size: 64}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 1e-2}}
metrics: {micro: {name: f1, average: micro}, kappa: {name: torchmetrics, metric: METRIC}}
callbacks: [{name: average, decay: 0.9}]
fit: {max_steps: 20, validate_every: 10, monitor: val/micro, threads: 1, accelerator: cpu}
"""


def test_a_run_measures_them_beside_its_own_and_beside_averages(rk_folder):
    metrics = rk_folder.train(RECIPE.replace("METRIC", "CohenKappa")).read()["metrics"]
    for split_ in ("val", "test"):
        for variant in ("", "@ema"):
            assert metrics[f"{split_}/micro{variant}"] == pytest.approx(metrics[f"{split_}/accuracy{variant}"])
    assert metrics["test/kappa"] != metrics["test/kappa@ema"]


def test_a_misspelt_metric_in_a_recipe_has_file_line_and_key(rk_folder):
    with pytest.raises(RecipeError) as caught:
        rk_folder.train(RECIPE.replace("METRIC", "CohenKapa"))
    (problem,) = caught.value.problems
    assert str(problem.mark).startswith("recipe.yaml:7:") and problem.key == "metrics.kappa"
    assert "did you mean CohenKappa?" in problem.message
