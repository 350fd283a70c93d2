"""On a GPU, a recipe of each plugin trains, resumes, and answers on the CPU what it answers on the GPU.

These tests need a GPU that torch can use. Elsewhere they are not collected: the contract kit runs the same recipes on
the CPU.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rk.catalog import Catalog
from rk.errors import UserError
from rk.fit.loaded import LoadedRun
from rk.plugins import Plugins
from rk.recipe.find import RecipeFile
from rk.testing import assert_close
from rk.testing.contract import recipes_of, samples_of, trial_sizes
from rk.testing.trial import Ended, Trial

if not torch.cuda.is_available():
    pytest.skip("torch finds no GPU", allow_module_level=True)

CATALOG = Catalog(Plugins())


def samples() -> list[tuple[RecipeFile, tuple[str, ...]]]:
    """Returns one recipe of each plugin for each set of components, with the sizes of its short runs."""
    return [
        (file, tuple(trial_sizes(plugin).get(file.path.stem, ())))
        for plugin in Plugins()
        for file in samples_of(recipes_of(plugin, CATALOG), CATALOG)
    ]


@pytest.fixture(scope="module", params=samples(), ids=lambda sample: sample[0].name)
def on_gpu(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    file, sizes = request.param
    return Trial(file, CATALOG, tmp_path_factory.mktemp("runs"), sizes, accelerator="auto")


@pytest.fixture(scope="module")
def whole(on_gpu: Trial) -> Ended:
    """Four steps, with a checkpoint after two."""
    try:
        return on_gpu.run(4, checkpoint_every=2)
    except UserError as error:
        if "cannot be downloaded" in error.message or "pip install" in (error.hint or ""):
            pytest.skip(error.message[:200])
        raise


def losses(run: Ended) -> list[float]:
    """Returns all losses that were measured; other metrics need not exist after four steps."""
    rows = [run.metrics, *run.logged]
    return [value for row in rows for name, value in row.items() if name.endswith("/loss")]


def test_the_weights_are_on_the_gpu_and_every_loss_is_finite(whole: Ended) -> None:
    assert {value.device.type for value in whole.learner.parameters()} <= {"cuda"}
    assert all(math.isfinite(loss) for loss in losses(whole))


def test_a_resumed_run_ends_where_the_whole_one_does(on_gpu: Trial, whole: Ended) -> None:
    cut = on_gpu.run(4, checkpoint_every=2, cut_at=2)
    resumed = on_gpu.run(4, checkpoint_every=2, resume=cut.folder)
    assert_close(resumed.learner.state_dict(), whole.learner.state_dict(), 1e-3, "resumed")


def test_the_cpu_answers_like_the_gpu(whole: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpu = LoadedRun.open(whole.folder.path, CATALOG)
    monkeypatch.setattr("rk.fit.loaded.choose_device", lambda accelerator: torch.device("cpu"))
    on_cpu = LoadedRun.open(whole.folder.path, CATALOG)
    assert_close(
        {name: value.cpu() for name, value in on_gpu.learner.state_dict().items()}, on_cpu.learner.state_dict(), 0.0
    )
    if on_cpu.data is None:
        return
    split = next(name for name in on_cpu.data.splits if name.startswith(("val", "test")))
    there, here = on_gpu.evaluate((split,), limit=1), on_cpu.evaluate((split,), limit=1)
    assert there.keys() == here.keys()
    if (loss := f"{split}/loss") in here:
        on_cpu.recipe.fit = replace(on_cpu.recipe.fit, seed=on_cpu.recipe.fit.seed + 1)
        draws = on_cpu.evaluate((split,), limit=1)[loss] != here[loss]  # a GPU draws other numbers from the same seed
        assert there[loss] == pytest.approx(here[loss], rel=0.5 if draws else 1e-2, abs=1e-4)


def test_forward_passes_in_16_bits_train_too(on_gpu: Trial, whole: Ended, tmp_path: Path) -> None:
    half = Trial(on_gpu.file, CATALOG, tmp_path, on_gpu.overrides, accelerator="auto", precision="bf16-mixed").run(2)
    assert all(value.dtype != torch.bfloat16 for value in half.learner.parameters())
    assert all(math.isfinite(loss) for loss in losses(half))
