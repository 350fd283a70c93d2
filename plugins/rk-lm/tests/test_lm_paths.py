"""Layers in any order: the full path is the model itself, every other one is its plain composition."""

import pytest
import torch
from rk_lm.cached import generate, installed
from rk_lm.items import Item, pack
from rk_lm.layered import branch_mask, full_path, positions_of, run_path
from rk_lm.pretrained import FAMILIES, Layered, check_family
from rk_lm.tiny import N_BYTES, tiny_model
from transformers import AutoConfig, AutoModelForCausalLM

from rk import UserError

T = 11  # well beyond the sliding window of 4
PATHS = {
    "full": tuple(range(8)),
    "skip": (0, 1, 4, 5, 6, 7),
    "skip-first": (1, 2, 3, 4, 5, 6, 7),
    "repeat": (0, 1, 2, 2, 2, 3, 4, 5, 6, 7),
    "loop": (0, 1, 2, 4, 5, 4, 5, 6, 7),
    "longer-than-the-model": (*range(8), 3, 4, 5, 6),
    "shuffled": (3, 1, 0, 6),
}


@pytest.fixture(scope="module", params=FAMILIES)
def layered(request):
    return Layered(tiny_model(request.param))


@pytest.fixture(scope="module")
def tokens():
    return torch.randint(N_BYTES, (3, T), generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_the_full_path_is_the_model_itself(layered, tokens):
    assert torch.equal(run_path(layered, tokens, full_path(layered)), layered.model(tokens).logits)


def composed(layered, tokens, path):
    """The path in the most naive way: a model whose list of layers is rewritten, one deep copy per step."""
    import copy

    config = copy.deepcopy(layered.model.config)
    config.num_hidden_layers = len(path)
    for name in ("layer_types", "no_rope_layers"):
        if getattr(config, name, None) is not None:
            setattr(config, name, [getattr(config, name)[i] for i in path])
    model = AutoModelForCausalLM.from_config(config).eval()
    own = layered.model.state_dict()
    state = {name: value for name, value in own.items() if ".layers." not in name}
    for place, i in enumerate(path):
        here, there = f"model.layers.{i}.", f"model.layers.{place}."
        state |= {name.replace(here, there): value for name, value in own.items() if name.startswith(here)}
    model.load_state_dict(state)
    return model


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@torch.inference_mode()
def test_every_path_is_the_model_that_has_these_layers(layered, tokens, path):
    expected = composed(layered, tokens, path)(tokens, use_cache=False).logits
    assert torch.equal(run_path(layered, tokens, path), expected)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@torch.inference_mode()
def test_with_a_cache_the_same_tokens_follow(layered, tokens, path):
    found = generate(layered, path, tokens.tolist(), N_BYTES, max_new_tokens=6, do_sample=False, eos_token_id=None)
    longer = tokens
    for _ in range(6):
        longer = torch.cat([longer, run_path(layered, longer, path)[:, -1:].argmax(-1)], 1)
    assert torch.equal(found, longer[:, T:])


@torch.inference_mode()
def test_prompts_of_several_lengths_generate_what_each_does_alone(layered, tokens):
    prompts = [tokens[0].tolist(), tokens[1, :5].tolist()]
    path, settings = PATHS["loop"], {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None}
    together = generate(layered, path, prompts, N_BYTES, **settings)
    alone = [generate(layered, path, [p], N_BYTES, **settings)[0] for p in prompts]
    assert torch.equal(together, torch.stack(alone))


def test_the_model_is_as_it_was_after_an_error(layered, tokens):
    before = list(layered.model.get_decoder().layers)
    with pytest.raises(ZeroDivisionError), installed(layered, (0, 3)):
        assert len(layered.model.get_decoder().layers) == 2
        raise ZeroDivisionError
    assert list(layered.model.get_decoder().layers) == before
    assert layered.config.num_hidden_layers == 8
    assert [layer.self_attn.layer_idx for layer in before] == [*range(8)]
    with torch.inference_mode():
        assert torch.equal(run_path(layered, tokens, full_path(layered)), layered.model(tokens).logits)


def test_a_type_of_attention_belongs_to_the_layer_not_to_its_place():
    layered = Layered(tiny_model("gemma3_text"))
    tokens = torch.randint(N_BYTES, (1, T), generator=torch.Generator().manual_seed(1))
    context = layered.context(tokens)
    assert layered.layer_types[2] == "full_attention" and layered.layer_types[3] == "sliding_attention"
    with torch.inference_mode():
        hidden = layered.layer(3, layered.embed(tokens), context)
        changed = tokens.clone()
        changed[0, 0] = (tokens[0, 0] + 1) % N_BYTES
        other = layered.layer(3, layered.embed(changed), context)
        assert torch.equal(hidden[0, 4:], other[0, 4:]), "a window of 4 ends before the first token"
        full = layered.layer(2, layered.embed(tokens), context)
        assert not torch.equal(full[0, -1], layered.layer(2, layered.embed(changed), context)[0, -1])


@torch.inference_mode()
def test_continuations_in_one_sequence_are_as_if_alone(layered):
    item = Item((5, 6, 7, 8, 9, 10), ((1, 2, 3, 4, 5), (9, 8, 7), (30,), (11, 12, 13, 14, 15, 16)))
    tokens, branches = pack([item], 24)
    context = layered.context(tokens, branches)
    hidden = layered.embed(tokens)
    for i in PATHS["loop"]:
        hidden = layered.layer(i, hidden, context)
    logits = layered.head(hidden[0, item.read_at]).split([len(c) for c in item.continuations])
    for found, continuation in zip(logits, item.continuations, strict=True):
        alone = torch.tensor([[*item.prompt, *continuation]])
        expected = run_path(layered, alone, PATHS["loop"])[0, len(item.prompt) - 1 : -1]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_positions_continue_after_the_prompt_in_every_continuation():
    branches = torch.tensor([[0, 0, 0, 1, 1, 3, 3, 3, -1], [0, 0, 1, 2, 4, -1, -1, -1, -1]])
    assert positions_of(branches).tolist() == [[0, 1, 2, 3, 4, 3, 4, 5, 3], [0, 1, 2, 2, 2, 2, 3, 4, 5]]


def test_a_token_sees_the_prompt_and_its_own_continuation_within_the_window():
    branches = torch.tensor([[0, 0, 1, 1, 2]])
    seen = branch_mask(branches, torch.float32) == 0
    assert seen[0, 0].long().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]
    narrow = branch_mask(branches, torch.float32, window=2) == 0
    assert narrow[0, 0, 3].long().tolist() == [0, 0, 1, 1, 0]
    assert narrow[0, 0, 4].long().tolist() == [0, 1, 0, 0, 1]


@pytest.mark.parametrize("family", ["gemma3n_text", "gemma4_text"])
def test_a_family_with_keys_and_values_shared_between_layers_is_refused(family):
    config = AutoConfig.for_model(family, num_hidden_layers=10, num_kv_shared_layers=4)
    with pytest.raises(UserError, match=f"{family}: its last 4 layers read keys and values that an earlier layer"):
        check_family(config)


def test_an_untested_family_is_refused():
    model = tiny_model("llama")
    model.config.model_type = "mamba"
    with pytest.raises(UserError, match="type mamba are not known") as error:
        Layered(model)
    assert "Gemma 3" in error.value.hint


def test_weights_are_registered_once():
    layered = Layered(tiny_model("llama"))
    assert sum(p.numel() for p in layered.parameters()) == sum(p.numel() for p in layered.model.parameters())
