"""A search in two processes finds what one finds: questions are shared, results are merged."""

import importlib
import json
from pathlib import Path

import pytest
import torch
from rk_lm.tiny import byte_tokenizer, tiny_model

from rk.cli import cli
from rk.fit import launch
from rk.runs import RunFolder

pytest.importorskip("lightning", reason="several processes need lightning")


@pytest.fixture(autouse=True)
def forks(tmp_path, monkeypatch):
    """Forks, which have imported what they need, in place of new interpreters."""
    for name in ("lightning.fabric", "torch._dynamo"):
        importlib.import_module(name)
    torch.set_num_threads(1)  # a forked process cannot use the threads of this one
    monkeypatch.setattr(launch, "START_METHOD", "fork")
    monkeypatch.setattr("rk_cola.drawing.draw", lambda samples, depth, folder: [])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


def test_two_processes_write_the_files_of_one():
    """An odd number of questions, of unequal lengths, two at a time; searches that end early; the controls."""
    tiny_model("llama", seed=2).save_pretrained("model")
    byte_tokenizer().save_pretrained("model")
    rows = [{"prompt": "ab" * i + "=", "answer": "abcdefg"[i], "level": str(i % 2)} for i in range(5)]
    Path("asked.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = []
    for processes in (1, 2):
        options = {"num-simulations": 8, "early-stop": "shorter-valid", "in-flight": 2, "num-candidates": 3}
        command = ["search", "cola", "--model", "model", "--data", "{name: exact-jsonl, file: asked.jsonl, stop: ''}"]
        command += [text for name, value in options.items() for text in (f"--{name}", str(value))]
        settings = [f"fit.devices={processes}", "fit.accelerator=cpu", "fit.threads=1", "--runs-dir", str(processes)]
        assert cli([*command, "--controls", *settings], standalone_mode=False) == 0
        (run,) = RunFolder.all(Path(str(processes)))
        assert run.read()["processes"] == processes
        found.append(
            (
                [
                    line.partition('"log_probs"')[0]
                    for line in (run.path / "evaluations.jsonl").read_text().splitlines()
                ],
                [json.loads(line)["pareto"] for line in (run.path / "samples.jsonl").read_text().splitlines()],
                json.loads((run.path / "summary.json").read_text())["all"],
                run.read()["metrics"],
            )
        )
    one, two = found
    assert one[:2] == two[:2], "the same paths in the same order, to the same verdicts"
    assert one[2] == pytest.approx(two[2], abs=1e-5) and one[3] == pytest.approx(two[3], abs=1e-5)
