"""Weights that a new run begins with: of runs, of folders, of other people's files, of the Hugging Face hub."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from rk.errors import ExitCode, RecipeError, RkError, UserError
from rk.fit.loaded import LoadedRun
from rk.recipe.foreign import hub_address
from rk.runs import RunFolder

RECIPE = """
rk: 1
model: {name: mlp, hidden_sizes: [16, 16]}
data: {name: digits, batch_size: 32}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: sgd, lr: 1e-12}}
fit: {max_steps: 1, seed: 0, threads: 1}
"""
"""A run at a rate so small that its last weights are its first ones."""


@pytest.fixture
def begin(rk_folder, capsys):
    """Trains `RECIPE`; returns its weights and what was printed."""

    def call(*words: object):
        (rk_folder.folder / "recipe.yaml").write_text(RECIPE)
        capsys.readouterr()
        assert rk_folder.rk("train", "recipe.yaml", *map(str, words)) == ExitCode.OK
        return load_file(newest().model), capsys.readouterr().out

    return call


def newest() -> RunFolder:
    return [*RunFolder.all(Path("runs"))][-1]


def of_others(**more: torch.Tensor) -> dict[str, torch.Tensor]:
    """Weights of a perceptron that others have trained, by their names: of images of 8 x 8 and three classes."""
    draw = torch.Generator().manual_seed(5)
    shapes = {
        "backbone.0.0.weight": (16, 64), "backbone.0.0.bias": (16,), "backbone.1.0.weight": (16, 16),
        "backbone.1.0.bias": (16,), "fc.weight": (3, 16), "fc.bias": (3,),
    }  # fmt: skip
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()} | more


def test_from_is_the_override_of_init_from(begin):
    first, _ = begin("fit.seed=1")
    again, said = begin("--from", "last", "fit.seed=2")
    assert "init_from: 6 of 6 weights are those of recipe" in said
    torch.testing.assert_close(first, again)
    assert newest().read()["overrides"] == ["fit.seed=2", "init_from.run=last"]


def test_from_keeps_the_patterns_of_the_recipe(begin):
    first, _ = begin("fit.seed=1")
    again, said = begin("fit.seed=2", "init_from={run: nowhere, skip: ['head.*']}", "--from", "last")
    assert "model.head.weight (10, 16) is newly initialised, as the recipe says" in said
    assert not torch.equal(first["model.head.weight"], again["model.head.weight"])


@pytest.mark.parametrize("text", ["123", "a: b", "#1", "null", "[x"])
def test_the_name_of_a_run_is_a_text_whatever_yaml_would_make_of_it(begin, text):
    begin()
    newest().path.rename(text)
    assert "6 of 6 weights" in begin("--from", text)[1]


def test_from_and_resume_exclude_each_other(rk_folder):
    with pytest.raises(UserError, match="--resume and --from exclude each other"):
        rk_folder.rk("train", "--resume", "last", "--from", "last")


def test_a_hub_folder_that_rk_wrote_is_a_run(begin, rk_folder):
    first, _ = begin("fit.seed=1")
    rk_folder.rk("export", "last", "--to", "hub", "-o", "shared")
    again, said = begin("--from", "shared", "fit.seed=2")
    assert "6 of 6 weights are those of recipe" in said
    torch.testing.assert_close(first, again)


def test_a_file_of_others_is_taken_by_renamed_names_and_every_misfit_is_listed(begin):
    theirs = of_others(**{"ema.decay": torch.ones(1)})
    save_file(theirs, "theirs.safetensors")
    mine, said = begin("--from", "theirs.safetensors", 'init_from.rename={"blocks.": "backbone.", head: fc}')
    assert said.count("init_from:") == 4
    assert "init_from: 4 of 6 weights are those of theirs.safetensors" in said
    assert "init_from: model.head.weight (10, 16) is newly initialised: the file has (3, 16)" in said
    assert "init_from: 1 weight of theirs.safetensors not used: ema.decay" in said
    assert torch.equal(mine["model.blocks.1.0.weight"], theirs["backbone.1.0.weight"])


def test_weights_of_half_precision_become_those_of_the_model(begin):
    theirs = {name: value.bfloat16() for name, value in of_others().items()}
    save_file(theirs, "theirs.safetensors")
    mine, _ = begin("--from", "theirs.safetensors", 'init_from.rename={"blocks.": "backbone."}')
    assert mine["model.blocks.0.0.weight"].dtype == torch.float32
    assert torch.equal(mine["model.blocks.0.0.weight"], theirs["backbone.0.0.weight"].float())


def test_the_source_and_the_digest_are_recorded_and_the_weights_kept(begin, rk_folder):
    import hashlib

    save_file(of_others(), "theirs.safetensors")
    digest = hashlib.sha256(Path("theirs.safetensors").read_bytes()).hexdigest()
    begin("--from", "theirs.safetensors", 'init_from.rename={"blocks.": "backbone."}')
    run = newest()
    assert run.read()["init_from"] == {"source": "theirs.safetensors", "sha256": {"theirs.safetensors": digest}}
    Path("theirs.safetensors").unlink()
    stored = LoadedRun.open(run.path).recipe.init_from
    assert stored.run.folder == run.path / "from/init_from.run"
    assert (stored.run.folder / "theirs.safetensors").is_file()
    assert rk_folder.rk("train", "--resume", run.path, "fit.max_steps=2") == ExitCode.OK
    assert rk_folder.rk("export", run.path, "--to", "hub", "-o", "hub") == ExitCode.OK
    assert rk_folder.rk("eval", "hub") == ExitCode.OK
    assert json.loads(Path("hub/run.json").read_text())["init_from"]["sha256"] == {"theirs.safetensors": digest}


def test_the_source_of_a_run_is_recorded_by_its_folder_and_its_recipe(begin):
    begin("fit.seed=1")
    first = newest()
    begin("--from", "last")
    found = newest().read()["init_from"]
    assert (found["source"], found["recipe"], list(found["sha256"])) == (first.label, "recipe", ["model.safetensors"])


def test_weights_in_several_files_are_read_by_their_index(begin):
    theirs = of_others()
    names, folder = list(theirs), Path("sharded")
    folder.mkdir()
    parts = {"model-1.safetensors": names[:3], "model-2.safetensors": names[3:]}
    for file, own in parts.items():
        save_file({name: theirs[name] for name in own}, folder / file)
    index = {"weight_map": {name: file for file, own in parts.items() for name in own}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    mine, said = begin("--from", "sharded", 'init_from.rename={"blocks.": "backbone."}')
    assert "4 of 6 weights" in said and "2 weights of sharded not used: fc.bias, fc.weight" in said
    assert torch.equal(mine["model.blocks.1.0.bias"], theirs["backbone.1.0.bias"])
    (folder / "model-2.safetensors").unlink()
    with pytest.raises(RecipeError, match=r"names files that are not beside it: model-2\.safetensors"):
        begin("--from", "sharded")


# -- mistakes ----------------------------------------------------------------------------------------------------------


def test_where_nothing_fits_the_change_of_names_that_would_fit_most_is_proposed(begin):
    save_file(of_others(), "theirs.safetensors")
    with pytest.raises(RecipeError) as error:
        begin("--from", "theirs.safetensors")
    message = error.value.message
    assert "no weight of theirs.safetensors fits: it has backbone.0.0.bias," in message
    assert 'with init_from.rename={"blocks.": "backbone."}, 4 would fit' in message
    assert "4 of 6 weights" in begin("--from", "theirs.safetensors", 'init_from.rename={"blocks.": "backbone."}')[1]


def test_names_below_another_one_are_proposed_with_an_empty_beginning(begin):
    mine, _ = begin()
    save_file({f"net.{n.removeprefix('model.')}": value for n, value in mine.items()}, "theirs.safetensors")
    with pytest.raises(RecipeError, match=r'with init_from\.rename=\{"": "net\."\}, 6 would fit'):
        begin("--from", "theirs.safetensors")
    assert "6 of 6" in begin("--from", "theirs.safetensors", 'init_from.rename={"": "net."}')[1]


def test_where_no_change_of_names_helps_the_nearest_names_are_shown(begin):
    save_file({"model.head.weights": torch.zeros(2)}, "theirs.safetensors")
    with pytest.raises(RecipeError, match=r"nearest names: model\.head\.weight here, model\.head\.weights there"):
        begin("--from", "theirs.safetensors")


@pytest.mark.parametrize("ending", ["pt", "pth", "bin", "ckpt", "pkl"])
def test_a_pickle_is_refused_unread_with_what_to_do(begin, ending):
    Path(f"theirs.{ending}").write_bytes(b"never read")
    with pytest.raises(RecipeError) as error:
        begin("--from", f"theirs.{ending}")
    assert f"theirs.{ending} is a pickle, which can run code while it is read" in error.value.message
    assert "safetensors.torch.save_file" in error.value.message


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("gone.safetensors", "there is no file gone.safetensors"),
        ("nowhere", "no such run: nowhere"),
        ("recipe.yaml", r"recipe\.yaml must be a \.safetensors file"),
        ("empty", "empty is not a run folder: it has no run.json"),
        ("two", "two has several files of weights"),
        ("cut.safetensors", r"cut\.safetensors cannot be read: the file is cut short"),
        ("hf://owner", "hf://owner must be an address on the hub"),
        ("hf://owner/name/model.bin", "model.bin is a pickle"),
    ],
)
def test_what_holds_no_weights_is_a_mistake_of_the_key(begin, source, said):
    Path("empty").mkdir()
    Path("two").mkdir()
    for name in ("a", "b"):
        save_file({"x": torch.zeros(1)}, f"two/{name}.safetensors")
    save_file(of_others(), "cut.safetensors")
    Path("cut.safetensors").write_bytes(Path("cut.safetensors").read_bytes()[:-1])
    with pytest.raises(RecipeError, match=f"init_from.run: {said}") as error:
        begin("--from", source)
    assert error.value.exit_code == ExitCode.USER_ERROR and not Path("runs").exists()


def test_a_run_that_has_no_weights_is_refused(begin):
    begin()
    run = newest()
    run.model.unlink()
    shutil.rmtree(run.checkpoints)
    with pytest.raises(RecipeError, match=r"init_from\.run: .* has lost its weights"):
        begin("--from", run.path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(begin, value):
    theirs = of_others()
    theirs["backbone.1.0.bias"][3] = value
    save_file(theirs, "theirs.safetensors")
    with pytest.raises(RecipeError, match=r"the weight model\.blocks\.1\.0\.bias of theirs\.safetensors is not finite"):
        begin("--from", "theirs.safetensors", 'init_from.rename={"blocks.": "backbone."}')


def test_patterns_that_match_no_weight_are_refused(begin):
    begin()
    with pytest.raises(RecipeError) as error:
        begin("--from", "last", "init_from.only=['bloks.*']", "init_from.skip=['hed*']")
    assert "init_from.only.0: 'bloks.*' matches no weight" in error.value.message
    assert "init_from.skip.0: 'hed*' matches no weight" in error.value.message


# -- the hub, whose client is replaced ---------------------------------------------------------------------------------

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub of one repository; returns its folder and the calls of the client."""
    folder = tmp_path / "cache/models--owner--name/snapshots" / COMMIT
    folder.mkdir(parents=True)
    calls = []

    def one(repo, file, *, revision=None):
        calls.append((repo, file, revision))
        return str(folder / file)

    def all_of(repo, *, revision=None, allow_patterns, ignore_patterns):
        calls.append((repo, None, revision))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", one)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", all_of)
    return folder, calls


@pytest.mark.parametrize(
    ("address", "call"),
    [
        ("hf://owner/name", ("owner/name", None, None)),
        ("hf://owner/name@v2", ("owner/name", None, "v2")),
        ("hf://owner/name/theirs.safetensors", ("owner/name", "theirs.safetensors", None)),
        ("hf://owner/name@main/theirs.safetensors", ("owner/name", "theirs.safetensors", "main")),
    ],
)
def test_weights_on_the_hub_are_fetched_and_kept_with_their_commit(begin, hub, address, call):
    folder, calls = hub
    save_file(of_others(), folder / "theirs.safetensors")
    _, said = begin("--from", address, 'init_from.rename={"blocks.": "backbone."}')
    assert calls == [call] and f"4 of 6 weights are those of {address}" in said
    run = newest()
    shutil.rmtree(folder)
    assert run.read()["init_from"]["revision"] == COMMIT
    assert LoadedRun.open(run.path).recipe.init_from.run.plain() == address, "the stored recipe runs elsewhere too"
    assert (run.path / "from/init_from.run/theirs.safetensors").is_file()


def test_a_run_on_the_hub_is_taken_as_a_run(begin, rk_folder, hub):
    folder, _ = hub
    first, _ = begin("fit.seed=1")
    rk_folder.rk("export", "last", "--to", "hub", "-o", "shared")
    shutil.copytree("shared", folder, dirs_exist_ok=True)
    again, said = begin("--from", "hf://owner/name", "fit.seed=2")
    assert "6 of 6 weights are those of" in said
    torch.testing.assert_close(first, again)
    assert rk_folder.rk("eval", "last") == ExitCode.OK


def test_a_repository_without_safetensors_is_refused(begin, hub):
    with pytest.raises(UserError, match="hf://owner/name has no safetensors file"):
        begin("--from", "hf://owner/name")


def test_without_a_network_the_message_says_what_to_do(begin, monkeypatch):
    def offline(*given, **more):
        raise OSError("We couldn't connect\nto the hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(UserError, match="hf://owner/name cannot be fetched: We couldn't connect") as error:
        begin("--from", "hf://owner/name")
    assert "name the folder or the .safetensors file" in error.value.hint
    assert not Path("runs").exists()


def test_without_the_client_the_message_names_the_package(begin, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(UserError, match="hf://owner/name needs huggingface_hub") as error:
        begin("--from", "hf://owner/name")
    assert error.value.hint == 'pip install "recursion-kit[hub]"'


def test_a_recipe_that_names_the_hub_is_checked_without_it(begin, rk_folder, hub):
    begin()
    assert rk_folder.rk("validate", "recipe.yaml", "init_from.run=hf://owner/name") == ExitCode.OK
    assert hub[1] == []


@pytest.mark.parametrize("text", ["hf://", "hf://a", "hf://a/b@", "hf://a/b c", "hf://a/b/", "hf:///b"])
def test_an_address_has_an_owner_and_a_name(text):
    with pytest.raises(RkError, match="must be an address on the hub"):
        hub_address(text)
