"""What leaves a run names files by their names alone, and takes along the runs that its recipe names."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
import yaml

from rk.errors import UserError
from rk.export.hub import Hub
from rk.export.portable import clean, run_name
from rk.export.safetensors import Safetensors
from rk.export.torch_export import TorchExport
from rk.fit.loaded import LoadedRun

PARTS = '''
from pathlib import Path
from rk.builtin.backprop import Backprop
from rk.builtin.digits import Digits
from rk.protocols import Optimizer, Run

class Named(Digits):
    """Digits that name a file.

    Args:
        seed: Orders the batches.
        file: A file.
        batch_size: Images per batch.
    """
    def __init__(self, seed: int, file: Path, batch_size: int = 64) -> None:
        super().__init__(seed, batch_size)
        self.file = file

class Distilled(Backprop):
    """Learns from data, with a teacher at hand.

    Args:
        optimizer: The optimizer.
        teacher: A run.
    """
    def __init__(self, optimizer: Optimizer, teacher: Run) -> None:
        super().__init__(optimizer)
        self.teacher = teacher
'''
RECIPE = """
rk: 1
about: From ABOUT, see https://example.org/a/b, 3 and/or 4
model: {name: mlp, hidden_sizes: [4]}
data: DATA
loss: cross-entropy
trainer: TRAINER
fit: {max_steps: 2, seed: 1, threads: 1, accelerator: cpu}
"""
ADAM = "{name: adam, lr: 1e-3}"


@pytest.fixture
def catalog(workshop):
    plugin = workshop.plugin("named", PARTS, data={"named": "Named"}, trainers={"distilled": "Distilled"})
    return workshop.catalog(plugin)


def text(tmp_path, data="digits", trainer=f"{{name: backprop, optimizer: {ADAM}}}"):
    return RECIPE.replace("ABOUT", str(tmp_path / "a.txt")).replace("DATA", data).replace("TRAINER", trainer)


def everything(folder: Path):
    """Yields the bytes of every file, and of every file in an archive."""
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            yield path, content
            if zipfile.is_zipfile(io.BytesIO(content)):
                archive = zipfile.ZipFile(io.BytesIO(content))
                yield from ((f"{path}:{name}", archive.read(name)) for name in archive.namelist())


def exporters():
    yield Hub
    yield Safetensors
    yield TorchExport


def test_no_path_of_the_machine_is_in_any_format(make_run, catalog, tmp_path):
    pytest.importorskip("onnxruntime")
    from rk.export.onnx import ONNX

    secret = tmp_path / "secret" / "book.txt"
    run = make_run(text(tmp_path, f"{{name: named, file: {secret}}}"), catalog)
    for exporter in (*exporters(), ONNX):
        out = tmp_path / "out" / exporter.__name__
        out.mkdir(parents=True)
        exporter().export(run, out)
    home = str(Path(__file__).parents[2]).encode()
    for path, content in everything(tmp_path / "out"):
        for leak in (b"secret", bytes(tmp_path), bytes(Path.home()) + b"/", home, b"site-packages"):
            assert leak not in content, (path, leak)
    recipe = yaml.safe_load((tmp_path / "out" / "Hub" / "recipe.yaml").read_text())
    assert recipe["data"]["file"] == "book.txt"
    assert recipe["about"] == "From a.txt, see https://example.org/a/b, 3 and/or 4"
    card = (tmp_path / "out" / "Hub" / "README.md").read_text()
    assert "- `data.file=book.txt`" in card


def test_a_run_that_the_recipe_names_goes_with_it(make_run, catalog, tmp_path):
    teacher = make_run(text(tmp_path), catalog)
    trainer = f"{{name: distilled, optimizer: {ADAM}, teacher: {teacher.folder.path}}}"
    run = make_run(text(tmp_path, trainer=trainer), catalog)
    measured = run.evaluate(("test",))
    hub = tmp_path / "hub"
    hub.mkdir()
    written = Hub().export(run, hub)
    assert hub / "from" / "trainer.teacher" / "model.safetensors" in written
    assert yaml.safe_load((hub / "recipe.yaml").read_text())["trainer"]["teacher"] == "from/trainer.teacher"

    kept = tmp_path / "elsewhere"
    shutil.copytree(teacher.folder.path, kept)
    shutil.rmtree(teacher.folder.path)
    shutil.move(hub, tmp_path / "moved")
    again = LoadedRun.open(tmp_path / "moved", catalog)
    assert again.evaluate(("test",)) == measured
    weights = again.parts.trainer.teacher.learner.state_dict()
    assert all(v.equal(weights[k]) for k, v in teacher.learner.state_dict().items())

    with pytest.raises(UserError, match=r"trainer\.teacher names the run .*cannot be loaded"):
        Hub().export(run, tmp_path)


def test_weights_alone_name_a_run_as_the_folder_of_all_runs_does(make_run, catalog, tmp_path):
    teacher = make_run(text(tmp_path), catalog)
    trainer = f"{{name: distilled, optimizer: {ADAM}, teacher: {teacher.folder.path}}}"
    Safetensors().export(make_run(text(tmp_path, trainer=trainer), catalog), tmp_path)
    named = yaml.safe_load((tmp_path / "recipe.yaml").read_text())["trainer"]["teacher"]
    assert named == run_name(teacher.folder.path) == f"a-recipe/{teacher.folder.path.name}"


def test_a_card_has_no_code_for_a_model_whose_shapes_have_changed(make_run, catalog, tmp_path):
    run = make_run(text(tmp_path), catalog)
    Hub().export(run, tmp_path)
    assert "```python" in (tmp_path / "README.md").read_text()
    last = [m for m in run.learner.model.modules() if isinstance(m, torch.nn.Linear)][-1]
    last.weight = torch.nn.Parameter(torch.cat([last.weight, last.weight]))  # as growing or pruning does
    Hub().export(run, tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "```python" not in card and "other tensors, or other shapes, than the class makes" in card


def test_the_card_shows_text_as_text(make_run, catalog, tmp_path):
    about = "<script>alert(1)</script> ![x](https://example.org/x.png)\\n```\\n# not a heading"
    recipe = text(tmp_path).replace(f"From {tmp_path / 'a.txt'}, see https://example.org/a/b, 3 and/or 4", f'"{about}"')
    Hub("cc-by-4.0").export(make_run(recipe, catalog), tmp_path)
    front, body = (tmp_path / "README.md").read_text().split("---\n", 2)[1:]
    prose_part = body.split("## Results")[0]
    assert "<script>" not in prose_part and "&lt;script&gt;" in prose_part and "![x]" not in prose_part
    assert "\n# not" not in prose_part and "````yaml" in body
    assert yaml.safe_load(front)["license"] == "cc-by-4.0" and "Weights: cc-by-4.0." in body


def test_the_card_and_the_configuration_name_the_classes(mlp, tmp_path):
    Hub().export(mlp, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["id2label"]["7"] == "7" and config["label2id"]["7"] == 7
    assert config["preprocessing"] == mlp.data.preprocessing()
    card = (tmp_path / "README.md").read_text()
    assert "## Classes\n\n0: 0, 1: 1" in card and '"resample": "box"' in card
    assert "Weights: no license is stated. Code: recursion-kit (Apache-2.0)." in card


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/home/ada/data/book.txt", "book.txt"),
        ("~/data/my book.txt", "my book.txt"),
        ("read /home/ada/x.csv, then go", "read x.csv, then go"),
        (r"C:\Users\ada\x.csv", "x.csv"),
        (Path("/home/ada/x.csv"), "x.csv"),
        ({"a": ["/home/ada/x", 1]}, {"a": ["x", 1]}),
        ("https://example.org/home/x", "https://example.org/home/x"),
        ("tokens/s and/or 3/4", "tokens/s and/or 3/4"),
        ("org/model", "org/model"),
        ("/", "/"),
        ("/nosuchfolder/x", "/nosuchfolder/x"),
    ],
)
def test_an_absolute_path_becomes_a_name_and_nothing_else_does(given, expected):
    assert clean(given) == expected
