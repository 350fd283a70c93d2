"""What commands do with a run: predict on several files, compare, report, runs; how training resumes and reports."""

from __future__ import annotations

import csv
import io
import json
import os

import pytest
from click.testing import CliRunner

from rk.cli import cli
from rk.errors import ExitCode, UserError

RECIPE = """
rk: 1
model: {name: mlp, hidden_sizes: [8]}
data: {name: digits, batch_size: 256}
loss: cross-entropy
trainer: {name: backprop, optimizer: adam}
fit: {max_epochs: 12, threads: 1}
expect:
  - {metric: test/accuracy, at_least: 0.0}
"""
ROW = ",".join(["8"] * 64)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with two finished runs, and files to answer."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "r.yaml").write_text(RECIPE)
    (folder / "one.csv").write_text(f"{ROW}\n")
    (folder / "two.csv").write_text(f"{ROW}\n{ROW}\n")
    (folder / "bad.csv").write_text("1,2,3\n")
    for sub in ("a", "b"):
        (folder / "many" / sub).mkdir(parents=True)
        (folder / "many" / sub / "x.csv").write_text(f"{ROW}\n")
    before = os.getcwd()
    os.chdir(folder)
    try:
        for seed in ("0", "1"):
            assert cli(["-q", "train", "r.yaml", f"fit.seed={seed}"], standalone_mode=False) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def rk(home, monkeypatch, capsys):
    """Runs `rk` in that folder; returns what it prints."""
    monkeypatch.chdir(home)

    def call(*arguments: str, code: int = 0) -> str:
        assert (cli(list(arguments), standalone_mode=False) or 0) == code
        return capsys.readouterr().out

    return call


def written(path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


# -- predict -------------------------------------------------------------------------------------------------------


def test_one_file_is_answered_without_a_column_for_it(rk, home):
    rk("predict", "last", "two.csv", "-o", "new/folder/out.csv")
    rows = written(home / "new/folder/out.csv")
    assert len(rows) == 2 and "file" not in rows[0]


def test_several_files_are_one_table_with_a_column_for_the_file(rk, home):
    out = rk("predict", "last", "one.csv", "two.csv", "-o", "out.csv", "-o", "out.json")
    assert [row["file"] for row in written(home / "out.csv")] == ["one.csv", "two.csv", "two.csv"]
    assert [row["file"] for row in json.loads((home / "out.json").read_text())] == ["one.csv", "two.csv", "two.csv"]
    assert out.splitlines()[0].split()[:2] == ["file", "class"]


@pytest.mark.parametrize(
    ("named", "files"),
    [
        (["many/a"], ["x"]),
        (["many/*/*.csv"], ["many/a/x.csv", "many/b/x.csv"]),
        (["many/a", "many/b"], ["many/a/x.csv", "many/b/x.csv"]),
        (["one.csv", "./one.csv"], ["one.csv"]),
    ],
    ids=str,
)
def test_folders_and_patterns_stand_for_their_files(rk, home, named, files):
    rk("predict", "last", *named, "-o", "named.csv")
    rows = written(home / "named.csv")
    assert len(rows) == len(files)
    if len(files) > 1:
        assert [row["file"] for row in rows] == files


def test_each_file_has_its_own_figure(rk, home):
    rk("predict", "last", "many/a", "many/b", "-o", "figures/hull.png")
    assert sorted(p.name for p in (home / "figures").iterdir()) == ["hull-x-2.png", "hull-x.png"]
    rk("predict", "last", "one.csv", "-o", "figures/one.png")
    assert (home / "figures/one.png").is_file()


def test_an_unreadable_file_does_not_affect_the_others(rk, home):
    rk("predict", "last", "one.csv", "bad.csv", "two.csv", "-o", "rest.csv", code=ExitCode.USER_ERROR)
    assert [row["file"] for row in written(home / "rest.csv")] == ["one.csv", "two.csv", "two.csv"]


def test_standard_input_is_read_as_text(home, monkeypatch):
    monkeypatch.chdir(home)
    done = CliRunner().invoke(cli, ["predict", "last", "-", "-o", "in.csv"], input=f"{ROW}\n")
    assert done.exception is None and len(written(home / "in.csv")) == 1
    done = CliRunner().invoke(cli, ["predict", "last", "-"], input="1,2,3\n")
    assert "standard input" in str(done.exception) and "/tmp" not in str(done.exception)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "which file?"),
        (["nothing.csv"], "no such file"),
        (["on.csv"], "no such file"),
        (["no-*.csv"], "no file matches"),
        (["many"], "has no files"),
        (["one.csv", "-o", "x.gif"], "cannot write x.gif"),
    ],
    ids=str,
)
def test_anything_but_an_input_is_refused(rk, inputs, message):
    with pytest.raises(UserError, match=message):
        rk("predict", "last", *inputs)


def test_an_override_is_distinguished_from_a_file(rk, home):
    (home / "x=1.csv").write_text(f"{ROW}\n")
    rk("predict", "last", "x=1.csv", "one.csv", "-o", "eq.csv")
    assert [row["file"] for row in written(home / "eq.csv")] == ["x=1.csv", "one.csv"]


# -- compare, report, runs -----------------------------------------------------------------------------------------


def test_compare_shows_only_the_given_metric_and_refuses_an_unknown_one(rk, home):
    runs = sorted(str(p) for p in (home / "runs/r").iterdir())
    out = rk("compare", *runs, "--metric", "accuracy")
    assert "val/accuracy, best (step)" in out and "loss" not in out
    assert {*json.loads(rk("compare", *runs, "--json", "--metric", "test/loss"))[0]["metrics"]} == {"test/loss"}
    for options in ((), ("--json",), ("-o", "x.svg"), ("--matrix", "fit.seed", "data")):
        with pytest.raises(UserError, match="no run has a metric 'acc'") as error:
            rk("compare", *runs, "--metric", "acc", *options)
        assert "accuracy" in error.value.hint


def test_a_run_that_validates_by_default_has_a_curve(rk, home):
    run = next((home / "runs/r").iterdir())
    steps = [r["step"] for r in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if "val/loss" in r]
    assert steps == [*range(6, 60, 6), 60]
    assert "validate_every" not in (run / "recipe.yaml").read_text()


def test_report_makes_folders(rk, home):
    rk("report", "last", "-o", "pages/of/runs/x.html")
    assert (home / "pages/of/runs/x.html").is_file()


def test_runs_show_prints_how_a_run_ended(rk):
    out = rk("runs", "show", "last")
    assert "status      done" in out and "command     " in out and "test/accuracy" in out
    assert json.loads(rk("runs", "show", "last", "--json"))["status"] == "done"


def test_runs_are_limited_to_the_newest(rk):
    every = json.loads(rk("runs", "--json"))
    assert json.loads(rk("runs", "--json", "--limit", "1")) == every[-1:]


def test_runs_rm_deletes(rk, home):
    rk("-q", "train", "r.yaml", "fit.max_epochs=1", "--runs-dir", "old")
    rk("runs", "rm", "last", "--yes", "--runs-dir", "old")
    assert json.loads(rk("runs", "--runs-dir", "old", "--json")) == []


# -- train ---------------------------------------------------------------------------------------------------------


def test_resume_alone_means_the_last_run(rk):
    assert "is complete" in rk("train", "--resume")
    assert "65 steps" in rk("train", "--resume", "fit.max_steps=65", "fit.max_epochs=99")


def test_quiet_prints_the_table_alone(rk, home):
    out = rk("train", "r.yaml", "--quiet", "--runs-dir", "quiet")
    assert out.splitlines()[0].split() == ["metric", "value", "bar", "verdict", "(single", "seed)"]
    assert all("/" in line.split()[0] for line in out.splitlines()[1:])
