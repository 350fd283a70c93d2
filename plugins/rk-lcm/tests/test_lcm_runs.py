"""From a recipe to answers, figures and tables, through the commands that users have."""

from __future__ import annotations

import csv
import json

SMALL = (
    "model.d_model=8",
    "data.test_sizes=[4, 8]",
    "data.batch_size=8",
    "data.val_examples=8",
    "data.test_examples=16",
    "fit.max_steps=4",
    "fit.validate_every=2",
)


def test_a_run_answers_sets_in_a_file_and_has_a_curve_over_sizes(rk, tmp_path):
    done = rk("train", "lcm/mod-sum-associative", *SMALL, "--runs-dir", tmp_path)
    assert done.code == 0, done.err
    (run,) = (tmp_path / "mod-sum-associative").iterdir()
    (tmp_path / "sets.csv").write_text("1,2\n3\n")
    done = rk("predict", run, "sets.csv", "-o", "answers.jsonl")
    assert done.code == 0, done.err
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [a["right"] for a in answers] == [3, 3] and all(0 <= a["answer"] < 4 for a in answers)

    metrics = json.loads((run / "run.json").read_text())["metrics"]
    with (run / "monoid-probe.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert float(rows[-1]["associativity-defect"]) == metrics["run/associativity-defect"] > 0
    assert float(rows[-1]["commutativity-defect"]) < 1e-5
    assert (run / "figures" / "monoid-probe.png").stat().st_size > 5000

    done = rk("analyze", "size-curve", "--runs", f"[{run}, {run}]")
    assert done.code == 0, done.err
    (table,) = tmp_path.rglob("size-curve.csv")
    assert table.with_suffix(".png").stat().st_size > 5000
    with table.open() as file:
        curve = {int(row["size"]): float(row["exact-match"]) for row in csv.DictReader(file)}
    assert curve == {n: metrics[f"test-{n}/exact-match"] for n in (4, 8)}

    done = rk("analyze", "size-curve", "--runs", f"[{run}]", "--metric", "accuracy")
    assert done.code == 2 and "has no test-N/accuracy" in done.err


def test_a_wrong_cell_is_refused_with_its_line(rk, tmp_path):
    done = rk("train", "lcm/quick", *SMALL, "--runs-dir", tmp_path)
    assert done.code == 0, done.err
    (run,) = (tmp_path / "quick").iterdir()
    (tmp_path / "sets.csv").write_text("1,2\n64,3\n")
    done = rk("predict", run, "sets.csv")
    assert done.code == 2 and "sets.csv:2: must be an integer from 0 to 63, got '64'" in done.err


def test_a_model_without_a_binary_operator_is_refused_before_the_first_step(rk, tmp_path):
    done = rk("train", "lcm/mod-sum-associative", *SMALL, "model.aggregator=sum-aggregator", "--runs-dir", tmp_path)
    assert done.code == 2 and "no aggregator with a binary_op" in done.err
