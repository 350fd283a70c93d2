"""`rk reproduce RUN --locked`: the lock, the environment, the repetition, the comparison."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import rk as kit
from rk import distributions
from rk.errors import RunFailed, UserError
from rk.reproduce import locked
from rk.runs import RunFolder

RECIPE = """
rk: 1
data: {name: digits, batch_size: 32}
model: {name: mlp, hidden_sizes: [8]}
loss: cross-entropy
trainer: {name: backprop, optimizer: adam}
fit: {max_steps: 4}
"""


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("locked")
    (folder / "mine.yaml").write_text(RECIPE)
    return kit.train(folder / "mine.yaml", runs_dir=folder / "runs", progress=False).path


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy of a finished run, in a folder of its own; caches are in the test's folder."""
    monkeypatch.setenv("RK_CACHE", str(tmp_path / "cache"))
    shutil.copytree(trained, tmp_path / "runs" / "mine" / trained.name)
    return RunFolder(tmp_path / "runs" / "mine" / trained.name)


def record(run: RunFolder, **environment: object) -> None:
    run.update(environment={**run.read()["environment"], **environment})


# -- the lock ------------------------------------------------------------------------------------------------------


def test_the_lock_has_each_distribution_from_where_it_was(run, tmp_path, monkeypatch):
    monkeypatch.setattr(locked, "digest", lambda folder: "d1")
    (tmp_path / "net").mkdir()
    origins = {
        "from-git": {"url": "https://host.org/r.git", "vcs": "git", "commit": "abc"},
        "from-file": {"url": "https://host.org/r.whl", "sha256": "12"},
        "my-net": {"folder": str(tmp_path / "net"), "editable": True, "digest": "d1"},
        "unused": {"folder": "/nowhere", "editable": True},
    }
    versions = dict.fromkeys(["torch", "from-git", "from-file", "my-net", "unused"], "1.0")
    record(run, distributions=versions, origins=origins)
    assert locked.lock_text(run).splitlines() == [
        "from-file @ https://host.org/r.whl#sha256=12",
        "from-git @ git+https://host.org/r.git@abc",
        f"-e {(tmp_path / 'net').as_uri()}  # sha256 d1",
        "torch==1.0",
    ]


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ({"folder": "/nowhere", "editable": True, "digest": "d1"}, "its folder is gone: /nowhere"),
        ({"folder": ".", "editable": True, "digest": "d1"}, "have changed since the run"),
        ({"folder": ".", "editable": True, "digest": None}, "have changed since the run"),
        ({"folder": ".", "editable": False}, "was installed from a folder"),
    ],
)
def test_a_distribution_that_is_no_longer_what_it_was_is_named(run, origin, said):
    record(run, distributions={"my-net": "1.0"}, origins={"my-net": origin})
    with pytest.raises(UserError, match=f"my-net 1.0 .*{said}"):
        locked.lock_text(run)


def test_a_run_without_an_environment_or_an_end_cannot_be_repeated(run):
    run.update(environment=None)
    with pytest.raises(UserError, match="has not recorded its environment"):
        locked.repeat(run, print)
    run.update(status="interrupted")
    with pytest.raises(UserError, match="finished training"):
        locked.repeat(run, print)


def test_a_data_file_that_has_changed_is_named_before_anything_is_built(run, tmp_path):
    text = run.recipe.read_text().replace("data:", f"data:\n  path: {tmp_path / 'own.csv'}", 1)
    run.recipe.write_text(text)
    (tmp_path / "own.csv").write_text("1,2\n")
    run.update(data_files={"data.path": {"file": "own.csv", "size": 4, "sha256": "another"}})
    with pytest.raises(UserError, match=r"data\.path: own\.csv has changed since the run"):
        locked.repeat(run, print)
    (tmp_path / "own.csv").unlink()
    with pytest.raises(UserError, match=r"data\.path: own\.csv is gone"):
        locked.repeat(run, print)


# -- the environment -----------------------------------------------------------------------------------------------


@pytest.fixture
def offline(monkeypatch):
    pytest.importorskip("uv")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_NO_CONFIG", "1")


def test_an_environment_is_built_once_and_has_the_interpreter_of_that_version(offline, run):
    said: list[str] = []
    version = ".".join(map(str, sys.version_info[:3]))
    first = locked.environment("", version, said.append)
    assert first.is_file() and locked.environment("", version, said.append) == first
    assert len(said) == 1 and f"Python {version}, 0 distributions" in said[0]


def test_a_distribution_that_cannot_be_had_is_named(offline, run):
    version = ".".join(map(str, sys.version_info[:3]))
    with pytest.raises(RunFailed, match=r"^rk-no-such-plugin cannot be installed: ") as raised:
        locked.environment("rk-no-such-plugin==1.0\n", version, print)
    assert "UV_INDEX" in raised.value.hint
    assert not any((Path(locked.cache_folder()) / "locked").glob("*/complete.txt"))


def test_without_uv_a_message_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="--locked needs uv") as raised:
        locked.find_uv()
    assert raised.value.hint == 'pip install "recursion-kit[locked]"'


# -- the repetition ------------------------------------------------------------------------------------------------


def test_a_repetition_in_the_same_environment_is_equal_bit_for_bit(run, rk_folder, monkeypatch, capsys):
    """The environment is this one: building another takes minutes. benchmarks/locked.py builds one."""
    asked = []
    monkeypatch.setattr(locked, "environment", lambda *given: asked.append(given) or Path(sys.executable))
    run.update(torch={**run.read()["torch"], "threads": 1})
    assert rk_folder.rk("reproduce", run.path, "--locked", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "equal" and found["differences"] == [] and found["machine"] == []
    assert f"torch=={distributions.all_versions()['torch']}\n" in asked[0][0]
    assert RunFolder(Path(found["repetition"])).read()["metrics"] == run.read()["metrics"]


def test_a_training_that_fails_there_is_reported(run, monkeypatch, tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 7\n")
    broken.chmod(0o755)
    with pytest.raises(RunFailed, match="its training ended with exit code 7"):
        locked.train_again(run, broken)


@pytest.fixture
def other(run, tmp_path):
    """Another run with the same results."""
    shutil.copytree(run.path, tmp_path / "other")
    return RunFolder(tmp_path / "other")


def test_runs_with_the_same_bits_are_equal(run, other):
    found = locked.compare(run, other)
    assert found.equal and next(found.lines()).endswith("equal, every weight and every metric, bit for bit")


def test_one_bit_of_one_weight_is_a_difference(run, other):
    weights = load_file(other.model)
    weights["model.head.bias"].view(torch.int32)[3] ^= 1
    save_file(weights, other.model)
    found = locked.compare(run, other)
    assert not found.equal and len(found.differences) == 1
    assert found.differences[0].startswith("model.head.bias: differs by at most ")


def test_the_sign_of_a_zero_is_a_difference(run, other):
    for folder, zero in ((run, 0.0), (other, -0.0)):
        save_file(load_file(run.model) | {"model.head.bias": torch.full((10,), zero)}, folder.model)
    assert locked.compare(run, other).differences == ("model.head.bias: differs by at most 0",)


def test_other_names_shapes_metrics_and_machines_are_shown(run, other):
    weights = load_file(other.model)
    weights["more"] = weights.pop("model.head.bias")
    weights["model.head.weight"] = weights["model.head.weight"][:1]
    save_file({name: value.contiguous() for name, value in weights.items()}, other.model)
    other.update(metrics={**other.read()["metrics"], "test/accuracy": 0.5}, torch={"threads": 64})
    lines = [*locked.compare(run, other).lines()]
    assert lines[0].endswith(": differs")
    assert any("weights of other names: model.head.bias, more" in line for line in lines)
    assert any("model.head.weight: torch.float32 (10, 8) then, torch.float32 (1, 8) now" in line for line in lines)
    assert any("test/accuracy: " in line and "0.5 now" in line for line in lines)
    assert any("another machine: threads " in line and "64 now" in line for line in lines)


def test_locked_goes_with_nothing_that_reproduces_recipes(run, rk_folder):
    with pytest.raises(UserError, match="--locked repeats runs as they were"):
        rk_folder.rk("reproduce", run.path, "--locked", "--seeds", "2")
