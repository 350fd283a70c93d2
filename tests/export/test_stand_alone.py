"""An ONNX file needs nothing else: by its metadata, with Pillow and numpy, a script answers as `rk predict` does."""

from __future__ import annotations

import json
import textwrap

import pytest
import torch

from rk.export.legend import legend
from rk.export.onnx import ONNX
from rk.export.torch_export import TorchExport

SCRIPT = """
    import json
    import numpy, onnxruntime
    from PIL import Image

    session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    notes = session.get_modelmeta().custom_metadata_map
    labels, steps = json.loads(notes["labels"]), json.loads(notes["preprocessing"])
    assert steps["from"] == "image"

    image = Image.open(FILE).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, steps["background"]), image).convert("RGB")
    image = image.convert(steps["mode"])
    image = image.resize(steps["size"][::-1], Image.Resampling[steps["resample"].upper()])
    x = numpy.asarray(image, "float32") * steps["scale"]
    x = (x - numpy.array(steps["mean"])) / numpy.array(steps["std"])
    if steps["ground"] == 0:
        border = numpy.concatenate([x[0], x[-1], x[:, 0], x[:, -1]])
        x = 1 - x if border.mean() > 0.5 else x
    x = x[None] if steps["layout"] == "CHW" and x.ndim == 2 else x
    x = x[None].astype("float32")

    (logits,) = session.run(["logits"], {steps["field"]: x})
    shares = numpy.exp(logits[0] - logits[0].max())
    shares /= shares.sum()
    answer = {"class": labels[shares.argmax()], "shares": shares}
"""


@pytest.fixture(scope="module")
def onnx_file(mlp, tmp_path_factory):
    pytest.importorskip("onnxruntime")
    (path,) = ONNX().export(mlp, tmp_path_factory.mktemp("onnx"))
    return path


@pytest.mark.parametrize("ground", ["white", "black"])
def test_a_plain_script_answers_as_rk_predict_does(mlp, onnx_file, tmp_path, ground):
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (40, 56), ground)
    ImageDraw.Draw(image).ellipse((8, 6, 30, 48), outline="gray", width=6)
    file = tmp_path / "digit.png"
    image.save(file)
    names = {"MODEL": str(onnx_file), "FILE": str(file)}
    exec(textwrap.dedent(SCRIPT), names)

    _, outputs, (answer,) = mlp.predict(file)
    assert names["answer"]["class"] == str(answer["class"])
    torch.testing.assert_close(
        torch.from_numpy(names["answer"]["shares"]), outputs["logits"].softmax(-1)[0], atol=1e-5, rtol=1e-5
    )


def test_the_metadata_has_class_names_both_as_a_list_and_by_number(onnx_file):
    import onnxruntime

    notes = onnxruntime.InferenceSession(str(onnx_file)).get_modelmeta().custom_metadata_map
    assert json.loads(notes["labels"]) == [str(i) for i in range(10)]
    assert json.loads(notes["id2label"])["3"] == "3"
    assert notes["recipe"] == "a-recipe"


def test_a_pt2_archive_has_the_same_notes(mlp, tmp_path):
    (path,) = TorchExport().export(mlp, tmp_path)
    notes = {"labels.json": "", "preprocessing.json": ""}
    torch.export.load(path, extra_files=notes)
    assert json.loads(notes["labels.json"]) == list(mlp.data.labels)
    assert json.loads(notes["preprocessing.json"]) == mlp.data.preprocessing()


def test_data_without_labels_gives_no_metadata():
    class Silent:
        splits = ("train",)

    class Run:
        data = Silent()

    assert legend(Run()).texts == {}
