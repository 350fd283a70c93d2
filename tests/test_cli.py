"""Every command once through the installed program, as a user types it; and what scripts rely on."""

from __future__ import annotations

import gc
import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from rk.cli import COMMANDS
from rk.errors import ExitCode
from rk.testing.zygote import shared_zygote

RECIPE = """
# Digits in a second.
rk: 1
model: {name: mlp, hidden_sizes: [32]}
data: {name: digits, batch_size: 64}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 1e-2, schedule: {name: linear, end: 1e-3}}}
fit: {max_steps: 60, seed: 1, validate_every: 30, monitor: val/accuracy, threads: 1}
expect:
  - {metric: test/accuracy, at_least: 0.8, paper: 0.9}
  - {metric: val/accuracy, at_least: 1.01}
"""


@pytest.fixture(scope="module")
def program():
    """The installed `rk`, beside the Python that runs the tests."""
    found = Path(sys.executable).with_name("rk")
    return str(found if found.exists() else shutil.which("rk"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("user")
    (path / "digits.yaml").write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def rk(folder):
    def call(*args, code=0):
        done = shared_zygote().rk(args, folder)
        assert done.code == code, done.out + done.err
        assert "Traceback" not in done.err
        return done.out if code == 0 else done.err

    return call


@pytest.fixture(scope="module")
def trained(program, folder):
    """The output of the installed program; all other calls are forks of one process, which take a tenth of the time."""
    done = subprocess.run([program, "train", "digits.yaml"], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


# -- the life of a recipe ------------------------------------------------------------------------------------------


def test_train_ends_with_metric_value_expectation_and_verdict(trained):
    rows = {line.split()[0]: line for line in trained.splitlines() if "/" in line[:20]}
    assert (
        "paper reached" in rows["test/accuracy"]
        and ">= 0.8" in rows["test/accuracy"]
        and "0.9" in rows["test/accuracy"]
    )
    assert "NOT REACHED" in rows["val/accuracy"]
    assert "the run is in runs/digits/" in trained


def test_train_dry_run_builds_everything_and_keeps_nothing(rk, folder):
    before = sorted(folder.rglob("*"))
    out = rk("train", "digits.yaml", "--dry-run")
    assert "one step loss" in out and "logits: float32 (64, 10)" in out and "(64, 8, 8)" in out
    assert sorted(folder.rglob("*")) == before


def test_resume_of_a_complete_run_reports_it_and_more_steps_continue_it(rk, trained):
    assert "is complete" in rk("train", "--resume", "last")
    assert "90 steps" in rk("train", "--resume", "last", "fit.max_steps=90")


def test_eval_measures_again_and_takes_other_data(rk, trained):
    found = json.loads(rk("eval", "last", "data.batch_size=7", "--split", "test", "--json"))
    assert set(found["metrics"]) == {"test/loss", "test/accuracy"}


def test_eval_refuses_what_would_change_the_weights(rk, trained):
    assert "model.hidden_sizes: can no longer be changed" in rk("eval", "last", "model.hidden_sizes=[3]", code=2)


def test_predict_answers_an_image_and_a_csv(rk, trained, folder):
    image = pytest.importorskip("PIL.Image")
    image.new("L", (28, 28), 255).save(folder / "white.png")
    assert "probability" in rk("predict", "last", "white.png")
    (folder / "two.csv").write_text((",".join(["1"] * 64) + "\n") * 2)
    rk("predict", "last", "two.csv", "-o", "answers.csv")
    assert len((folder / "answers.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", "", "the file is empty"),
        ("short.csv", "1,2,3\n", "short.csv:1: expected 64 numbers, got 3"),
        ("words.csv", "a,b\n", "words.csv:1: expected 64 numbers, got 2"),
        ("nan.csv", ",".join(["nan"] * 64), "column 1: expected a finite number"),
        ("text.png", "no image", "cannot identify"),
    ],
)
def test_predict_reports_what_is_wrong_with_a_file(rk, trained, folder, name, content, message):
    (folder / name).write_text(content)
    assert message in rk("predict", "last", name, code=2)


def test_export_writes_safetensors(rk, trained, folder):
    rk("export", "last", "--to", "safetensors", "-o", "out")
    assert (folder / "out" / "model.safetensors").stat().st_size > 1000


@pytest.mark.parametrize("format_", ["torch-export", "hub"])
def test_export_writes_what_others_load(rk, trained, folder, format_):
    out = rk("export", "last", "--to", format_, "-o", format_)
    assert "wrote" in out and list((folder / format_).iterdir())


def test_export_writes_onnx_that_answers_alike(rk, trained, folder):
    pytest.importorskip("onnxruntime")
    out = rk("export", "last", "--to", "onnx", "-o", "onnx", "exporter.opset=18")
    assert "inputs: inputs (batch, 8, 8); outputs: logits" in out and "logits differs by at most" in out


def test_a_hub_folder_is_a_run(rk, trained, folder):
    rk("export", "last", "--to", "hub", "-o", "my-model")
    found = json.loads(rk("eval", "my-model", "--split", "test", "--json"))["metrics"]
    assert found == json.loads(rk("eval", "last", "--split", "test", "--json"))["metrics"]


def test_an_export_never_writes_over_its_run(rk, trained, folder):
    (run,) = folder.glob("runs/digits/*")
    assert "is the run itself" in rk("export", run, "--to", "safetensors", "-o", run, code=2)


def test_compare_prints_changed_settings_and_draws_curves(rk, trained, folder):
    rk("train", "digits.yaml", "model.hidden_sizes=[8]", "fit.max_steps=90", "--runs-dir", "narrow")
    runs = sorted(map(str, [*folder.glob("narrow/*/*"), *folder.glob("runs/digits/*")]))
    out = rk("compare", *runs, "-o", "curves.svg", "--metric", "accuracy")
    assert "model.hidden_sizes" in out and "val/accuracy, best (step)" in out and "fit.seed" not in out
    assert (folder / "curves.svg").read_text().startswith("<?xml")
    assert [list(run["changed"]) for run in json.loads(rk("compare", *runs, "--json"))] == [["model.hidden_sizes"]] * 2


def test_report_writes_one_page_into_the_run(rk, trained, folder):
    assert "report.html" in rk("report", "last")
    (page,) = folder.glob("runs/digits/*/report.html")
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_reproduce_exits_3_when_a_claim_is_not_reached(rk, folder):
    rk("reproduce", "digits.yaml", "--runs-dir", "claims", code=ExitCode.CLAIM_NOT_REACHED)
    assert json.loads((folder / "results.json").read_text())["results"]["digits"]["seeds"] == [1]
    rk("reproduce", "digits.yaml", "--stored", code=ExitCode.CLAIM_NOT_REACHED)


def test_one_damaged_run_does_not_hide_the_others(rk, trained, folder):
    broken = folder / "damaged" / "digits" / "20260101-000000-0000"
    shutil.copytree(next(iter(folder.glob("runs/digits/*"))), folder / "damaged" / "digits" / "20260101-000000-0001")
    broken.mkdir()
    (broken / "run.json").write_text("{")
    assert [r["status"] for r in json.loads(rk("runs", "--runs-dir", "damaged", "--json"))] == ["unreadable", "done"]
    assert "run.json cannot be read" in rk("report", broken, code=2)


def test_runs_are_listed_filtered_and_deleted(rk, trained):
    rk("train", "digits.yaml", "fit.max_steps=2", "--runs-dir", "others")
    (found,) = json.loads(rk("runs", "--runs-dir", "others", "--status", "done", "--json"))
    assert found["name"] == "digits" and found["step"] == 2 and "test/accuracy" in found["metrics"]
    assert json.loads(rk("runs", "--runs-dir", "others", "--recipe", "no such", "--json")) == []
    assert "test/accuracy" in rk("runs", "--runs-dir", "others")
    rk("runs", "delete", "last", "--runs-dir", "others", "--yes")
    assert json.loads(rk("runs", "--runs-dir", "others", "--json")) == []


# -- looking around ------------------------------------------------------------------------------------------------


def test_validate_prints_what_provides_and_what_reads_each_field(rk):
    out = rk("validate", "digits.yaml")
    assert "Float[batch classes]" in out and "loss cross-entropy, metric accuracy" in out
    assert json.loads(rk("validate", "digits.yaml", "--json"))["metrics"] == ["accuracy"]


def test_schema_is_a_json_schema_that_accepts_good_recipes_and_refuses_bad_ones(rk):
    import yaml

    schema = json.loads(rk("schema"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    good = yaml.safe_load(RECIPE.replace("1e-2", "0.01").replace("1e-3", "0.001"))
    validator.validate(good)
    for wrong in (
        {"model": {"name": "mlp", "hiden_sizes": [3]}},
        {"fit": {"max_step": 3}},
        {"loss": "mst"},
        {"mdoel": 1},
    ):
        assert not validator.is_valid({**good, **wrong}), wrong


@pytest.mark.parametrize("command", ["list", "recipes", "plugins", "runs"])
def test_listings_as_json_are_lists_of_objects_with_name_first(rk, trained, command):
    found = json.loads(rk(command, "--json"))
    assert isinstance(found, list) and all(next(iter(item)) == "name" for item in found)


def test_list_fits_shows_what_can_be_combined(rk):
    names = [c["name"] for c in json.loads(rk("list", "model", "--fits", "data=digits", "--json"))]
    assert "mlp" in names
    assert "cross-entropy" in [c["name"] for c in json.loads(rk("list", "loss", "--fits", "model=mlp", "--json"))]


def test_show_lists_parameters_fields_and_facts(rk):
    out = rk("show", "model", "mlp")
    assert "hidden_sizes" in out and "Width of each hidden layer." in out and "logits" in out
    assert "num_classes (int)" in rk("show", "data", "digits")


def test_recipes_are_copied_to_begin_with(rk, folder):
    name = json.loads(rk("recipes", "--json"))[0]["name"]
    rk("recipes", "copy", name, "mine.yaml")
    assert "mine.yaml exists already" in rk("recipes", "copy", name, "mine.yaml", code=2)
    rk("validate", "mine.yaml")
    assert rk("recipes", "show", name) == Path(json.loads(rk("recipes", "--json"))[0]["path"]).read_text()


@pytest.mark.parametrize("name", ["My Net", "9lives", "a--b", "../x"])
def test_plugins_new_refuses_an_invalid_name(rk, name):
    assert "is not a plugin name" in rk("plugins", "new", name, code=2)


def test_search_and_analyze_list_what_is_installed(rk):
    assert "Installed searches" in rk("search", "--help")
    assert "there is no search 'colla'" in rk("search", "colla", code=2)
    assert "Installed analyses" in rk("analyze", "--help")


# -- the program ---------------------------------------------------------------------------------------------------


def test_the_overview_has_each_commands_own_help():
    for name, (target, text) in COMMANDS.items():
        module, _, attribute = target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert command.get_short_help_str(200) == text, name
        assert command.name == name


def test_a_mistyped_command_gets_the_nearest_one(rk):
    assert "did you mean train?" in rk("trian", code=2)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("train", "nowhere.yaml"), "no such recipe file"),
        (("train", "digit.yaml"), "did you mean digits.yaml?"),
        (("train",), "which recipe?"),
        (("train", "digits.yaml", "fit.max_stepz=3"), "did you mean max_steps?"),
        (("train", "digits.yaml", "--runs-dir", "/proc/x"), "cannot write runs"),
        (("eval", "no-such-run"), "no such run"),
        (("predict", "last", "no-such-file"), "no such file"),
        (("export", "last", "--to", "safetensor"), "did you mean safetensors?"),
        (("list", "modl"), "did you mean model?"),
        (("show", "model", "mpl"), "did you mean mlp?"),
        (("--no-such-option",), "No such option"),
        (("compare", "last"), "there is one run: nothing to compare it with"),
        (("compare", "last", "last", "-o", "x.gif"), "cannot draw into x.gif"),
        (("report", "nothing"), "no such run: nothing"),
        (("export", "last", "--to", "onx"), "did you mean onnx?"),
        (("export", "last", "--to", "onnx", "exporter.opset=3"), "exporter.opset: must be >= 18"),
        (("export", "last", "--to", "hub", "-o", "/proc/x"), "cannot write /proc/x"),
        (("train", "digits.yaml", "--runs-dir", "/proc/x"), "cannot write runs to /proc/x"),
        (("reproduce", "digtis.yaml"), "did you mean digits.yaml?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_users_mistake_gets_one_message_and_exit_code_2(rk, trained, args, message):
    assert message in rk(*args, code=ExitCode.USER_ERROR)


LOOKING_AROUND = [
    ("--help",),
    ("--version",),
    ("list", "--json"),
    ("show", "model", "mlp"),
    ("validate", "digits.yaml"),
    ("schema",),
    ("recipes",),
    ("runs", "--json"),
    ("reproduce", "digits.yaml", "--stored", "--json"),
]


@pytest.mark.parametrize("args", LOOKING_AROUND, ids=" ".join)
def test_looking_around_never_imports_torch(folder, args):
    code = (
        "import sys, atexit; atexit.register(lambda: sys.stderr.write(' '.join("
        "m for m in ('torch', 'lightning', 'numpy', 'sklearn') if m in sys.modules)))\n"
        f"sys.argv = ['rk', *{args!r}]\nfrom rk.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == (ExitCode.CLAIM_NOT_REACHED if "reproduce" in args else ExitCode.OK)
    assert done.stderr == ""


@pytest.mark.parametrize(("command", "collects"), [("list", False), ("schema", False), ("runs", True), ("eval", True)])
def test_garbage_is_collected_in_all_commands_but_the_brief_ones(folder, command, collects, monkeypatch):
    import rk.cli

    seen = []
    monkeypatch.setitem(rk.cli.COMMANDS, command, ("rk.cli.list:list_components", ""))
    monkeypatch.setattr("sys.argv", ["rk", command, "model"])
    monkeypatch.setattr("rk.cli.list.list_components.callback", lambda *_, **__: seen.append(gc.isenabled()))
    with pytest.raises(SystemExit):
        rk.cli.main()
    assert seen == [collects]
    assert gc.isenabled()
