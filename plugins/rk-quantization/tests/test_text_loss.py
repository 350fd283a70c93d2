"""The loss of a language model on a text, before and after its weights are quantised."""

from __future__ import annotations

import csv
import importlib.util

import pytest
import torch
from rk_quantization.text_loss import TextLoss

from rk import UserError

TEXT = "Four weights are kept, and all others are rounded: what is lost? " * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model of the family of SmolLM2 as save_pretrained writes it, with a token for each byte, and a text."""
    if not all(map(importlib.util.find_spec, ("rk_lm", "transformers"))):
        pytest.skip("rk-lm is not installed")
    from rk_lm.tiny import byte_tokenizer, tiny_model

    path = tmp_path_factory.mktemp("lm")
    tiny_model("llama", seed=5, num_hidden_layers=2, tie_word_embeddings=True).save_pretrained(path / "model")
    byte_tokenizer().save_pretrained(path / "model")
    (path / "text.txt").write_text(TEXT, encoding="utf-8")
    return path


def analysis(folder, **options):
    return TextLoss(str(folder / "model"), folder / "text.txt", length=32, **options)


def test_the_loss_is_that_of_the_model_itself_and_eight_bits_lose_less_than_two(folder, tmp_path):
    from rk_lm.load import load

    lm = load(str(folder / "model"))
    tokens = torch.tensor(lm.tokenizer(TEXT, add_special_tokens=False).input_ids)
    assert len(tokens) == 260, "a token for each byte: eight whole windows and one of four"
    own = [(len(w) - 1, float(lm.layered.model(w[None], labels=w[None]).loss)) for w in tokens.split(32)]
    expected = sum(n * loss for n, loss in own) / sum(n for n, _ in own)
    eight, two = analysis(folder).analyze(tmp_path), analysis(folder, bits=2).analyze(tmp_path)
    assert eight["float"] == two["float"] == pytest.approx(expected, rel=1e-5)
    assert 0 < abs(eight["increase"]) < 0.05 * abs(two["increase"])
    assert eight["quantized"] == pytest.approx(expected + eight["increase"]) and (eight["bits"], two["bits"]) == (8, 2)
    rows = [*csv.DictReader((tmp_path / "layers.csv").open())]
    assert len(rows) == 2 * 7 + 1, "seven matrices of each layer, and the embedding, which is the head too, once"


def test_windows_that_gptq_learns_from_are_not_measured(folder, tmp_path):
    nearest = analysis(folder, bits=3, limit=4, exclude=("embed",)).analyze(tmp_path)
    learned = analysis(folder, bits=3, samples=4, exclude=("embed",), rounding="gptq").analyze(tmp_path)
    assert learned["float"] != nearest["float"], "the last windows, and not the first"
    assert learned["bits"] == 3 and learned["increase"] < nearest["increase"]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"length": 600}, "length must be <= 512"), ({"rounding": "gptq", "samples": 9}, "260 tokens: too few for 10")],
)
def test_what_cannot_be_measured_is_refused(folder, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        TextLoss(str(folder / "model"), folder / "text.txt", **{"length": 32, **options}).analyze(tmp_path)
