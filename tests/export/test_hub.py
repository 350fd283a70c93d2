"""A hub folder works as a run of rk, and with safetensors and the class alone; it does not identify the machine."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from safetensors.torch import load_file

from rk.errors import RunFailed
from rk.export.hub import Hub
from rk.fit.loaded import LoadedRun


@pytest.fixture
def hub(mlp, tmp_path):
    folder = tmp_path / "hub"
    folder.mkdir()
    Hub().export(mlp, folder)
    return folder


def test_it_has_what_the_hub_expects(mlp, tmp_path):
    written = Hub().export(mlp, tmp_path)
    names = ["README.md", "config.json", "figures/test.png", "model.safetensors", "recipe.yaml", "run.json"]
    assert [str(p.relative_to(tmp_path)) for p in written] == names
    assert "![figures/test.png](figures/test.png)" in (tmp_path / "README.md").read_text()


def test_rk_takes_the_folder_as_a_run(hub, mlp):
    again = LoadedRun.open(hub)
    assert again.evaluate(("test",)) == mlp.evaluate(("test",))
    assert again.recipe.name == "a-recipe"


def test_the_code_in_the_card_gives_the_same_model(hub, mlp, monkeypatch):
    monkeypatch.chdir(hub)
    code = re.search(r"```python\n(.*?)```", (hub / "README.md").read_text(), re.DOTALL)[1]
    names: dict = {}
    exec(code, names)
    (batch,) = mlp.batches("test", 1)
    assert names["model"](inputs=batch["inputs"])["logits"].equal(mlp.learner.predict(batch)["logits"])


def test_weights_have_the_models_own_names(hub, mlp):
    assert load_file(hub / "model.safetensors").keys() == mlp.learner.model.state_dict().keys()


def test_the_card_has_the_results_for_people_and_for_the_hub(hub):
    front, body = (hub / "README.md").read_text().split("---\n", 2)[1:]
    (entry,) = yaml.safe_load(front)["model-index"][0]["results"]
    assert entry["dataset"]["split"] == "test" and {m["type"] for m in entry["metrics"]} == {"loss", "accuracy"}
    assert "| 0.9 | >= 0.5 | own bar only: a note |" in body and "rk/backprop" in body


def test_no_file_identifies_the_machine_or_its_user(hub):
    assert not {"host", "command", "git", "started", "device"} & json.loads((hub / "run.json").read_text()).keys()


def test_a_damaged_result_gives_way_to_the_last_checkpoint(make_run, capsys):
    run = make_run()
    expected = run.evaluate(("test",))
    run.folder.model.write_bytes(b"cut short")
    assert LoadedRun.open(run.folder.path).evaluate(("test",)) == expected
    assert "using a checkpoint" in capsys.readouterr().err
    for state in run.folder.checkpoints.glob("*/state.pt"):
        state.write_bytes(b"")
    with pytest.raises(RunFailed, match="has no checkpoint that can be read"):
        LoadedRun.open(run.folder.path)


def test_text_of_others_stays_text_in_the_card():
    from rk.export.markdown import cell, code, fenced, plain

    evil = "<script>x</script> <img src=x> [a](javascript:b) ![c](http://d) `e`\n# f | g"
    shown = plain(evil)
    assert "<" not in shown and "\n" not in shown
    assert r"\[a\](javascript:b)" in shown and r"\# f \| g" in shown
    assert "<" not in cell(evil) and r"\|" in cell(evil) and "\n" not in cell(evil)
    assert code("a`b``c") == "```a`b``c```" and code("`a`") == "`` `a` ``"
    assert fenced("a\n```\n<b>", "yaml") == "````yaml\na\n```\n<b>\n````"


def test_a_link_in_figures_is_not_copied(make_run, tmp_path):
    run, out = make_run(), tmp_path / "hub"
    out.mkdir()
    (tmp_path / "secret").write_text("a secret")
    (run.folder.figures / "test-b.png").symlink_to(tmp_path / "secret")
    written = Hub().export(run, out)
    assert out / "figures/test.png" in written and out / "figures/test-b.png" not in written
