"""A third party's LightningModule in rk's loop: it learns what it would learn in Lightning's own Trainer."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from rk.builtin.digits import Digits
from rk.errors import UserError
from rk.fit.loaded import LoadedRun
from rk.fit.train import train
from rk.recipe import check_recipe
from rk.recipe.find import RecipeFile
from rk.recipe.stored import read_stored
from rk.runs import RunFolder

if importlib.util.find_spec("lightning") is None:  # found, not imported: that takes seconds of every collection
    pytest.skip("lightning is not installed", allow_module_level=True)

MODULE = '''
import lightning
import torch
from torch import nn
from torch.nn import functional

class Lit(lightning.LightningModule):
    """As people write them.

    Args:
        width: Of the hidden layer.
        how: Which form of configure_optimizers.
    """
    def __init__(self, width: int = 16, how: str = "step") -> None:
        super().__init__()
        self.save_hyperparameters()
        self.how = how
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    def forward(self, x):
        return self.net(x)
    def training_step(self, batch, batch_idx):
        x, y = batch
        logits = self(x)
        self.log("train_acc", (logits.argmax(1) == y).float().mean(), prog_bar=True)
        return functional.cross_entropy(logits, y)
    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_loss", functional.cross_entropy(self(x), y))
    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.5)
        if self.how == "plain":
            return optimizer
        if self.how == "plateau":
            return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)}
        if self.how == "epoch":
            return [optimizer], [scheduler]
        if self.how == "two":
            return [optimizer, optimizer]
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

class ByHand(Lit):
    """Optimizes by hand."""
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

class Bare(nn.Module):
    """No LightningModule."""
    def forward(self, x):
        return x
'''
RECIPE = """
rk: 1
model: {name: lit}
data: {name: digits, batch_size: 64}
trainer: lightning-module
fit: {max_steps: 30, seed: 3, validate_every: 10, monitor: val/accuracy, threads: 1, accelerator: cpu}
"""


@pytest.fixture
def lit(workshop, tmp_path, monkeypatch):
    """Trains with overrides; returns the run and its outcome."""
    monkeypatch.chdir(tmp_path)
    plugin = workshop.plugin("lit", MODULE, models={"lit": "Lit", "by-hand": "ByHand", "bare": "Bare"})
    catalog = workshop.catalog(plugin)
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)

    def call(*overrides):
        recipe = check_recipe(RecipeFile(path), overrides, catalog).valid()
        folder = RunFolder.begin(tmp_path / "runs", recipe.name, recipe.to_yaml())
        outcome = train(recipe, catalog, folder)
        return LoadedRun.open(folder.path, catalog), outcome

    call.catalog = catalog
    threads = torch.get_num_threads()
    yield call
    torch.set_num_threads(threads)


def test_it_ends_with_the_weights_of_lightnings_own_trainer(lit):
    run, _ = lit("fit.validate_every=null", "fit.monitor=null")
    data = Digits(seed=3, batch_size=64)
    data.prepare()
    batches = [(b["inputs"], b["targets"]) for b in (data.batch("train", i) for i in range(30))]
    torch.manual_seed(3)
    module = type(run.learner.module)()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    import lightning

    trainer = lightning.Trainer(max_steps=30, max_epochs=1, accelerator="cpu", **quiet)
    trainer.fit(module, torch.utils.data.DataLoader(batches, batch_size=None))
    for name, weight in module.state_dict().items():
        torch.testing.assert_close(run.learner.module.state_dict()[name], weight, rtol=1e-5, atol=1e-6)


def test_its_logs_and_rks_metrics_are_in_the_run(lit):
    run, outcome = lit()
    assert outcome.metrics["test/accuracy"] > 0.5 and outcome.metrics["val/loss"] > 0
    logged = {name for line in run.folder.metrics() for name in line}
    assert {"train/train_acc", "train/loss", "val/accuracy"} <= logged


def test_a_loaded_run_answers_as_it_did(lit):
    run, outcome = lit()
    assert run.evaluate(("test",))["test/accuracy"] == outcome.metrics["test/accuracy"]


def test_a_stopped_run_resumes_bit_equal_with_its_schedule(lit, tmp_path):
    whole, _ = lit()
    part, _ = lit("fit.max_steps=17")
    recipe = read_stored(part.folder, ("fit.max_steps=30",), lit.catalog, resuming=True)
    train(recipe, lit.catalog, part.folder, resume=True, extend=True)
    weights = LoadedRun.open(part.folder.path, lit.catalog).learner.state_dict()
    assert all(torch.equal(v, whole.learner.state_dict()[k]) for k, v in weights.items())


def test_plain_optimizers_are_taken_too(lit):
    _, outcome = lit("model.how=plain")
    assert outcome.metrics["test/accuracy"] > 0.5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.how=plateau", "returns a ReduceLROnPlateau"),
        ("model.how=epoch", "steps once an epoch; rk counts steps"),
        ("model.how=two", "returns 2 optimizers"),
        ("model=by-hand", "uses manual optimization"),
        ("model=bare", "lightning-module needs a model with"),
        ("loss=mse", "takes no loss"),
    ],
)
def test_a_module_that_it_cannot_run_is_refused(lit, override, message):
    with pytest.raises(UserError, match=message):
        lit(override)


def test_it_exports_as_one_graph(lit, tmp_path):
    from rk.export.torch_export import TorchExport

    run, _ = lit()
    out = tmp_path / "out"
    out.mkdir()
    (path,) = TorchExport().export(run, out)
    inputs = torch.rand(5, 8, 8)
    found = torch.export.load(path).module()({"inputs": inputs})["logits"]
    torch.testing.assert_close(found, run.learner.predict({"inputs": inputs})["logits"])


METRICS = """
import torchmetrics

class Measuring(Lit):
    \"\"\"Logs metric objects, as people do.\"\"\"
    def __init__(self) -> None:
        super().__init__()
        self.train_acc = torchmetrics.Accuracy("multiclass", num_classes=10)
        self.acc = torchmetrics.Accuracy("multiclass", num_classes=10)
        self.f1 = torchmetrics.F1Score("multiclass", num_classes=10, average="macro")
    def training_step(self, batch, batch_idx):
        x, y = batch
        logits = self(x)
        self.train_acc(logits, y)
        self.log("train_acc", self.train_acc, on_step=True, on_epoch=True)
        return functional.cross_entropy(logits, y)
    def validation_step(self, batch, batch_idx):
        x, y = batch
        logits = self(x)
        self.acc.update(logits, y)
        self.f1(logits, y)
        self.log_dict({"val_acc": self.acc, "val_f1": self.f1})
        self.log("val_loss", functional.cross_entropy(logits, y))
        self.log("val_rows", float(len(x)))
"""


def test_metric_objects_that_it_logs_are_computed_over_the_split(lit, workshop):
    pytest.importorskip("torchmetrics")
    lit.catalog = workshop.catalog(workshop.plugin("measuring", MODULE + METRICS, models={"lit": "Measuring"}))
    path = workshop.folder.parent / "recipe.yaml"
    recipe = check_recipe(RecipeFile(path), ("fit.max_steps=20", "fit.log_every=1"), lit.catalog).valid()
    folder = RunFolder.begin(workshop.folder.parent / "runs", recipe.name, recipe.to_yaml())
    metrics = train(recipe, lit.catalog, folder).metrics
    assert metrics["test/acc"] == pytest.approx(metrics["test/accuracy"])
    assert metrics["val/acc"] == pytest.approx(metrics["val/accuracy"]), "objects are reset between the splits"
    assert 0 < metrics["test/f1"] < 1 and metrics["test/f1"] != metrics["test/acc"]
    rows = [64, 64, 64, 64, 44]  # a mean over the rows, not over the batches
    assert metrics["test/rows"] == pytest.approx(sum(n * n for n in rows) / 300)
    logged = [line["train/train_acc"] for line in folder.metrics() if "train/train_acc" in line]
    whole = [any(round(value * rows, 3) % 1 == 0 for rows in (64, 45)) for value in logged]
    assert len(whole) == 20 and all(whole), "of one batch each"
