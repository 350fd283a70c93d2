"""The contract kit finds the mistakes that plugins make, each with a message that names the fix.

One plugin per mistake, written by `rk plugins new` and then spoilt; `rk plugins test` is run on all of them.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from rk.scaffold import new_plugin
from rk.testing.zygote import shared_zygote

HOST = "recursion-kit>=0"


@dataclass
class Mistake:
    """What is spoilt, and the message that the kit must give.

    Attributes:
        file: The file, in the package.
        old: The text to replace.
        new: What the mistake makes of it.
        check: The check that must fail.
        said: A part of the expected message.
        host: What the distribution requires of rk.
    """

    file: str
    old: str
    new: str
    check: str
    said: str
    host: str = HOST

    @property
    def only(self) -> str:
        """The check's name, as ``--only`` takes it."""
        return self.check.partition(":")[0].replace(" ", "-")


HEAD = 'return {"logits": self.head(hidden.relu())}'
MISTAKES = {
    "heavy-hooks": Mistake(
        "__init__.py",
        "from rk import hookimpl",
        "import torch\nfrom rk import hookimpl",
        "hooks import nothing heavy",
        "importing rk_heavy_hooks imports ",
    ),
    "untyped-parameter": Mistake(
        "model.py",
        "hidden_size: Annotated[int, Ge(1)] = 64",
        "hidden_size=64",
        "component is typed and documented: model",
        "the parameter 'hidden_size' has no type",
    ),
    "undocumented-parameter": Mistake(
        "model.py",
        "        num_layers: Residual layers.\n",
        "",
        "component is typed and documented: model",
        "'num_layers' is not in the docstring's Args:",
    ),
    "fields-undeclared": Mistake(
        "model.py",
        ") -> LogitsOutputs:",
        "):",
        "component is typed and documented: model",
        "forward() has no TypedDict as return annotation",
    ),
    "broken-recipe": Mistake(
        "recipes/quick.yaml",
        "hidden_size: 64",
        "hiden_size: 64",
        "recipe is valid: quick",
        "did you mean hidden_size?",
    ),
    "another-output": Mistake(
        "model.py",
        HEAD,
        'return {"logits": self.head(hidden.relu()), "hidden": hidden}',
        "recipe takes two steps: quick",
        "has hidden, which it does not declare",
    ),
    "restless-batches": Mistake(
        "data.py",
        'return {"inputs": inputs[chosen]',
        'return {"inputs": inputs[chosen] + 0.01 * torch.randn(len(chosen), 2)',
        "batches depend on their index alone: quick",
        "must be a function of the seed and its arguments alone",
    ),
    "climbs": Mistake(
        "trainer.py",
        'logs = self.runtime.backward(self.objective({**batch, "inputs": inputs}))',
        "total, count = self.objective({**batch, 'inputs': inputs})\n"
        "        logs = self.runtime.backward((-total, count))",
        "loss falls: quick",
        "it does not fall",
    ),
    "mean-loss": Mistake(
        "loss.py",
        "return loss.sum(), len(targets)",
        "return loss.mean(), 1",
        "loss shares add up: quick",
        "a loss returns a sum and what it is a sum over",
    ),
    "looks-at-the-batch": Mistake(
        "model.py",
        HEAD,
        "hidden = hidden - hidden.mean(0)\n        " + HEAD,
        "answers do not depend on the batch: quick",
        "it depends on its batch",
    ),
    "forgotten-state": Mistake(
        "trainer.py",
        'inputs = batch["inputs"] + self.noise',
        'self.noise = 0.5 * self.noise\n        inputs = batch["inputs"] + self.noise',
        "resumes bit equal: quick",
        "something that step() changes is neither in the learner's state nor in the trainer's",
    ),
    "learns-in-validation": Mistake(
        "model.py",
        HEAD,
        "with torch.no_grad():\n            self.head.bias += 0.01\n        " + HEAD,
        "validation changes nothing: quick",
        "the weights are others when validation runs in between",
    ),
    "lost-after-loading": Mistake(
        "model.py",
        HEAD,
        "if self.training:\n            self.scale = 0.9 * getattr(self, 'scale', 1.0)\n"
        "        hidden = hidden * getattr(self, 'scale', 1.0)\n        " + HEAD,
        "answers after loading as before: quick",
        "must be in its parameters and persistent buffers",
    ),
    "lost-with-the-process": Mistake(
        "model.py",
        HEAD,
        "if self.training:\n            type(self).scale = 0.9 * getattr(type(self), 'scale', 1.0)\n"
        "        hidden = hidden * getattr(type(self), 'scale', 1.0)\n        " + HEAD,
        "answers after loading as before: quick",
        "is another one after the run is loaded by another process",
    ),
    "lost-buffer": Mistake(
        "model.py",
        HEAD,
        "if not hasattr(self, 'seen'):\n            self.register_buffer('seen', torch.zeros(()), persistent=False)\n"
        "        if self.training:\n            self.seen += 1\n        hidden = hidden + self.seen\n        " + HEAD,
        "answers after loading as before: quick",
        "must be in its parameters and persistent buffers",
    ),
    "random-plain-targets": Mistake(
        "data.py",
        'return {"inputs": inputs[chosen]',
        'return {"labels_meta": torch.rand(len(chosen)).tolist(), "inputs": inputs[chosen]',
        "batches depend on their index alone: quick",
        "(field 'labels_meta')",
    ),
    "programs-in-an-attribute": Mistake(
        "trainer.py",
        'inputs = batch["inputs"] + self.noise',
        "self.seen = getattr(self, 'seen', 0) + 1\n        inputs = batch[\"inputs\"] + self.noise * (self.seen > 3)",
        "resumes bit equal: quick",
        "something that step() changes is neither in the learner's state nor in the trainer's",
    ),
    "empty-export": Mistake(
        "exporter.py", "return [path]", 'return [out / "weights.npz"]', "exports: quick", "returned ["
    ),
    "refuses-everything": Mistake(
        "exporter.py",
        "return [path]",
        'raise __import__("rk").UserError("this format holds nothing")',
        "exporter takes a run",
        "refuses every recipe of its plugin",
    ),
    "stray-file": Mistake(
        "model.py",
        HEAD,
        "open('debug.log', 'a').close()\n        " + HEAD,
        "writes only into the run: quick",
        "debug.log, which is outside its folder",
    ),
    "sizes-of-no-recipe": Mistake(
        "__init__.py",
        "from rk import hookimpl",
        "from rk import hookimpl\nRK_TRIAL = {'quik': ()}",
        "plugin loads",
        "RK_TRIAL has sizes for 'quik', which is neither a recipe nor a component",
    ),
    "broken-sizes": Mistake(
        "__init__.py",
        "from rk import hookimpl",
        "from rk import hookimpl\nRK_TRIAL = {'quick': 'data.batch_sise=8'}",
        "batches depend on their index alone: quick",
        "did you mean batch_size?",
    ),
    "renamed-function": Mistake(
        "loss.py",
        "def __call__(self, *, logits",
        "def total(self, *, logits",
        "equations are in the code",
        "src/rk_renamed_function/loss.py has no 'RenamedFunctionLoss.__call__'",
    ),
    "for-a-later-host": Mistake(
        "__init__.py",
        "hookimpl",
        "hookimpl",
        "plugin loads",
        "made for recursion-kit>=99, and this is",
        host="recursion-kit>=99",
    ),
}
KINDS = ("model", "data", "loss", "trainer", "exporter")


def install(name: str, site: Path, edit: Mistake | None) -> str:
    """Writes the plugin `name` and makes Python find it below `site`; returns its folder of sources."""
    new_plugin(name, site, KINDS)
    source = site / f"rk-{name}" / "src"
    package = f"rk_{name.replace('-', '_')}"
    if edit is not None:
        file = source / package / edit.file
        text = file.read_text()
        assert edit.old in text, f"{name}: {edit.file} has changed"
        text = text.replace(edit.old, edit.new)
        file.write_text(text.replace("from torch import Tensor, nn", "import torch\nfrom torch import Tensor, nn"))
    info = source / f"{package}-0.1.0.dist-info"
    info.mkdir()
    requires = edit.host if edit is not None else HOST
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: rk-{name}\nVersion: 0.1.0\nRequires-Dist: {requires}\n"
    )
    (info / "entry_points.txt").write_text(f"[rk.plugins]\n{name} = {package}\n")
    return str(source)


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> dict[str, dict]:
    """Returns the kit's messages for each spoilt plugin, and for one that is not."""
    site = tmp_path_factory.mktemp("site")
    sources = [install("sound", site, None), *(install(name, site, edit) for name, edit in MISTAKES.items())]
    checks = {"sound": None} | {name: edit.only for name, edit in MISTAKES.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sources, str(Path(__file__).parent), *sys.path])
        patch.setenv("PYTHONPATH", os.pathsep.join(sources))
        patch.chdir(tmp_path_factory.mktemp("work"))
        return shared_zygote().call("kits:found", wanted=checks)


def test_a_sound_plugin_passes(said):
    assert said["sound"]["code"] == 0, said["sound"]["lines"]
    assert "0 failed" in said["sound"]["lines"]


@pytest.mark.parametrize("name", MISTAKES)
def test_the_mistake_is_found_and_reported(name, said):
    mistake, lines = MISTAKES[name], said[name]["lines"]
    assert said[name]["code"] == 1
    blocks = [block for block in lines.split("\nFAILED ") if mistake.check in block.splitlines()[0]]
    assert any(mistake.said in block for block in blocks), lines
