"""Pretrained language models as models of blocks: tied, trained, loaded and exported like any other."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

if find_spec("transformers") is None:
    pytest.skip("transformers is not installed", allow_module_level=True)

TOKENS = torch.randint(250, (2, 11), generator=torch.Generator().manual_seed(0))
RECIPE = """rk: 1
model: {model}
data: {{name: lm-text, model: llama, random_init: true, path: book.txt, length: 16, batch_size: 4, eval_length: 16}}
loss: cross-entropy
trainer: {{name: backprop, optimizer: {{name: adam, lr: 1e-3}}}}
fit: {{max_steps: 3, seed: 0}}
"""
BASE = "{name: causal-lm, model: llama, random_init: true}"


@pytest.fixture
def book(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text("It was the best of times, it was the worst of times.\n" * 40)
    return tmp_path


def causal_lm(model: str = "llama", seed: int = 0):
    from rk_lm.causal_lm import CausalLM

    return CausalLM(seed=seed, model=model, random_init=True).eval()


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_it_answers_as_the_model_of_the_library(family):
    from rk_lm.tiny import tiny_model

    from rk.blocks import run_blocks

    model = causal_lm(family)
    with torch.no_grad():
        expected = tiny_model(family)(input_ids=TOKENS, use_cache=False).logits
        assert torch.equal(model(tokens=TOKENS)["logits"], expected)
        assert torch.equal(run_blocks(model, {"tokens": TOKENS})["logits"], expected)
        assert torch.equal(model.whole()(input_ids=TOKENS).logits, expected)
    assert all(p.requires_grad for p in model.parameters())


def test_models_whose_layers_differ_are_refused():
    from rk import UserError

    with pytest.raises(UserError, match="gemma3_text whose layers are not alike"):
        causal_lm("gemma3_text")


def test_it_is_its_own_source_when_it_is_tied():
    from rk_recursion.recursive import Recursive

    expected = causal_lm()(tokens=TOKENS)["logits"]

    def tied(**settings):
        return Recursive(causal_lm(), seed=0, num_loops=2, initial="average", **settings)

    def error(model):
        return float((model(tokens=TOKENS)["logits"] - expected).abs().max().detach())

    whole = tied(rank=64, tie_norms=False)
    assert error(whole) < 1e-4
    assert error(tied(rank=4)) > 1e-2
    low, high = (sum(p.numel() for p in tied(rank=rank).blocks.parameters()) for rank in (0, 4))
    assert low == sum(p.numel() for p in causal_lm().blocks.parameters()) // 2 < high
    fresh = Recursive(causal_lm(), seed=0, num_loops=2, initial="random")
    assert not torch.equal(fresh.blocks[0].layer.mlp.up_proj.weight, causal_lm().blocks[0].layer.mlp.up_proj.weight)
    assert torch.equal(fresh.head.weight, causal_lm().head.weight)


def test_a_run_is_a_folder_of_the_library(book):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import rk
    from rk import UserError

    (book / "plain.yaml").write_text(RECIPE.format(model=BASE))
    run = rk.train(book / "plain.yaml")
    run.export("transformers", book / "hf")
    read = AutoModelForCausalLM.from_pretrained(book / "hf")
    with torch.no_grad():
        expected = run.learner.predict({"tokens": TOKENS})["logits"]
        assert torch.equal(read(input_ids=TOKENS).logits, expected)
    tokens = AutoTokenizer.from_pretrained(book / "hf")("It", add_special_tokens=False).input_ids
    assert tokens == [ord("I") - 33, ord("t") - 33]
    (book / "lora.yaml").write_text(RECIPE.format(model=f"{{name: lora, base: {BASE}, rank: 2}}"))
    with pytest.raises(UserError, match="is not a run of causal-lm alone"):
        rk.train(book / "lora.yaml").export("transformers", book / "early")


def test_adapters_learn_beside_it():
    from rk_lora.lora import Lora

    model = Lora(causal_lm(), rank=2)
    assert len([name for name, p in model.named_parameters() if p.requires_grad]) == 2 * (7 * 8 + 1)  # and the head
    with torch.no_grad():
        assert torch.equal(model(tokens=TOKENS)["logits"], causal_lm()(tokens=TOKENS)["logits"])


def test_a_text_is_the_tokens_of_the_models_tokenizer(book):
    from rk_lm.text import LMText
    from rk_lm.tiny import byte_tokenizer

    data = LMText(
        model="llama", random_init=True, seed=0, path=book / "book.txt", length=16, batch_size=4, eval_length=16
    )
    data.prepare()
    batch = data.batch("val", 0)
    text = (book / "book.txt").read_text()
    window = byte_tokenizer().decode([*batch["tokens"][0].tolist(), int(batch["targets"][0, -1])])
    assert window in text
    assert torch.equal(batch["tokens"][0, 1:], batch["targets"][0, :-1])
    assert data.vocab_size == 259
    read = data.read(book / "book.txt")["tokens"]
    assert read.shape == (1, len(text))
    (book / "empty.txt").write_text("")
    from rk import UserError

    with pytest.raises(UserError, match="the file is empty"):
        data.read(book / "empty.txt")
