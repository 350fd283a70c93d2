"""A path as a model of its own gives the logits of the path, in plain transformers."""

import pytest
import torch
from rk_lm.layered import run_path
from rk_lm.load import load
from rk_lm.pretrained import FAMILIES, Layered
from rk_lm.restack import restacked
from rk_lm.tiny import byte_tokenizer, tiny_model

from rk import UserError

PATH = (0, 2, 3, 2, 3, 3, 6, 1)
LONGER = (0, 1, 2, 1, 2, 3, 4, 4, 5, 6, 7)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_folder_gives_the_logits_of_the_path_and_generates_along_it(family, tmp_path):
    """Tokens beyond a window of 4, so that the type of each layer's attention shows."""
    from transformers import AutoModelForCausalLM

    path = LONGER if family == "llama" else PATH
    layered = Layered(tiny_model(family, seed=4))
    restacked(layered, path).save_pretrained(tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    tokens = torch.randint(250, (2, 13), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(plain(tokens).logits, run_path(layered, tokens, path))
        grown = plain.generate(tokens[:1], max_new_tokens=5, do_sample=False, eos_token_id=None, pad_token_id=0)
        expected = tokens[:1]
        for _ in range(5):
            best = run_path(layered, expected, path)[:, -1:].argmax(-1)
            expected = torch.cat([expected, best], 1)
    assert torch.equal(grown, expected), "with a cache of keys and values, one slot per step"


def test_a_tied_head_stays_tied_and_the_model_is_left_as_it_was(tmp_path):
    layered = Layered(tiny_model("llama", tie_word_embeddings=True))
    before = {name: value.clone() for name, value in layered.model.state_dict().items()}
    new = restacked(layered, LONGER)
    assert new.lm_head.weight is new.model.embed_tokens.weight
    assert (layered.config.num_hidden_layers, new.config.num_hidden_layers) == (8, 11)
    with torch.no_grad():
        new.model.layers[1].mlp.up_proj.weight.zero_()
    assert torch.equal(new.model.layers[3].mlp.up_proj.weight, before["model.layers.1.mlp.up_proj.weight"])
    assert all(torch.equal(value, before[name]) for name, value in layered.model.state_dict().items())


def test_the_folder_is_a_model_of_rk_lm_too(tmp_path):
    layered = Layered(tiny_model("qwen3"))
    restacked(layered, (0, 3, 3)).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    assert load(str(tmp_path)).layered.depth == 3


@pytest.mark.parametrize("path", [(), (0, 8), (-1,)])
def test_a_path_of_no_layer_or_of_others_is_refused(path):
    with pytest.raises(UserError, match="layers from 0 to 7"):
        restacked(Layered(tiny_model("llama")), path)


def test_what_depends_on_the_place_of_a_layer_is_refused():
    """A family that would scale its layers by their number, say."""
    layered = Layered(tiny_model("llama"))
    layered.decoder_layers[2].mlp.register_forward_hook(lambda mlp, inputs, out: 2 * out)
    with pytest.raises(UserError, match="gives other logits than the path"):
        restacked(layered, (0, 2))
