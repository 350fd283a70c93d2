"""What the shells offer at TAB."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rk.cli import main
from rk.cli.completion import split

RECIPE = "rk: 1\nmodel: mlp\ndata: digits\nloss: cross-entropy\ntrainer: {name: backprop, optimizer: adam}\n"
RECIPE += "fit: {max_steps: 1}\n"


@pytest.fixture
def offered(tmp_path, monkeypatch, capsys):
    """Returns what is offered at the end of a line, in a folder with ``mine.yaml``."""
    (tmp_path / "mine.yaml").write_text(RECIPE)
    (tmp_path / "broken.yaml").write_text("rk: [")
    (tmp_path / "more").mkdir()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("_RK_COMPLETE", "bash_complete")

    def call(line: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", line)
        main()
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out.splitlines()

    return call


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rk tr", ["train"]),
        ("rk recipes ", ["copy", "show"]),
        ("rk plugins d", ["doctor"]),
        ("rk train mi", ["mine.yaml"]),
        ("rk train mo", ["more/"]),
        ("rk train pointer-net/convex-hull-q", None),
        ("rk train mine.yaml model.dr", ["model.dropout="]),
        ("rk train mine.yaml fit.max_steps=3 model.hi", ["model.hidden_sizes="]),
        ("rk train mine.yaml trainer.optimizer.l", ["trainer.optimizer.lr="]),
        ("rk train mine.yaml fit.strategy=f", ["fsdp"]),
        ("rk train mine.yaml trainer.optimizer=adamw", ["adamw"]),
        ("rk train --res", ["--resume"]),
        ("rk list tra", ["trainer"]),
        ("rk list --fits model=m", ["mlp"]),
        ("rk show model ml", ["mlp"]),
        ("rk show model rk/ml", ["rk/mlp"]),
        ("rk export last --to safe", ["safetensors"]),
        ("rk eval la", ["last"]),
        ("rk reproduce al", ["all"]),
        ("rk completion z", ["zsh"]),
    ],
)
def test_it_offers_what_fits_at_the_cursor(line, words, offered):
    found = offered(line)
    if words is None:
        assert found and all(word.startswith(line.split()[-1]) for word in found)
    else:
        assert [word for word in found if word in words] == words
        last = line.split(" ")[-1].rpartition("=")[2]
        assert all(word.startswith(last) for word in found)


@pytest.mark.parametrize(
    "line",
    [
        "rk trian ",
        "rk train no/such model.",
        "rk train broken.yaml model.",
        "rk show tea ",
        "rk eval nothing data.",
        "rk 'tr",
    ],
)
def test_a_failing_completion_offers_nothing_and_prints_nothing(line, offered):
    assert [word for word in offered(line) if word != "train"] == []


def test_the_decoding_and_data_of_a_run_can_be_changed_and_nothing_else(offered, tmp_path):
    run = tmp_path / "runs" / "mine" / "20260101-000000-abcd"
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text(RECIPE)
    (run / "run.json").write_text('{"name": "mine", "status": "done"}')
    assert offered("rk eval runs/mi") == ["runs/mine/20260101-000000-abcd"]
    found = offered("rk eval last ")
    assert "data.batch_size=" in found and not any(word.startswith("model.") for word in found)


def test_a_line_is_split_as_a_shell_does():
    assert split("rk train x ") == ["rk", "train", "x", ""]
    assert split("rk train x") == ["rk", "train", "x"]
    assert split("rk train 'my rec") == ["rk", "train", "my rec"]
    assert split("rk train 'my recipe.yaml' model.a=1") == ["rk", "train", "my recipe.yaml", "model.a=1"]


def test_the_commands_and_plugins_are_completed_without_torch(tmp_path):
    code = (
        "import sys, rk.cli; rk.cli.main(); bad = {'torch', 'numpy', 'rich'} & sys.modules.keys(); assert not bad, bad"
    )
    for line in ("rk ", "rk train ", "rk plugins doctor "):
        environment = {**os.environ, "_RK_COMPLETE": "bash_complete", "COMP_WORDS": line}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True, cwd=tmp_path, capture_output=True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_accepts_its_script(shell, rk, tmp_path):
    done = rk("completion", shell)
    assert done.code == 0
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")
    script = tmp_path / "script"
    script.write_text(done.out)
    subprocess.run([shell, "-n", str(script)], check=True, timeout=60)


def path_with_rk() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def test_bash_replaces_only_the_text_after_the_equals_sign(tmp_path):
    (tmp_path / "mine.yaml").write_text(RECIPE)
    line = "rk train mine.yaml fit.precision=bf"
    script = f'eval "$(rk completion bash)"; COMP_LINE="{line}"; COMP_POINT={len(line)}; _rk_completion rk 2>/dev/null;'
    script += 'printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=path_with_rk(), capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "bf16-mixed\n"


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed here")
def test_fish_offers_words_with_their_help():
    script = 'rk completion fish | source; complete -C"rk tra"'
    done = subprocess.run(["fish", "-c", script], env=path_with_rk(), capture_output=True, text=True, timeout=60)
    assert done.stdout == "train\tTrain a recipe.\n"


NAMES = ("$(touch ran).yaml", "a b.yaml", "it's.yaml", 'q"`touch ran`.yaml', "*.yaml", "!x.yaml", "~h.yaml", "#c.yaml")
NAMES += ("a;touch ran.yaml", "{p,q}.yaml", "a\\b.yaml", "ü.yaml", "-n.yaml", "a&touch ran.yaml", "<a>.yaml")


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_bash_takes_each_name_as_one_word_and_runs_nothing(quote, tmp_path):
    names = [name for name in NAMES if not (quote == '"' and "!" in name)]  # no quoting keeps a ! there
    for name in NAMES:
        (tmp_path / name).write_text(RECIPE)
    line = f"rk train {quote}"
    script = (
        'eval "$(rk completion bash)"; COMP_LINE=$1; COMP_POINT=${#1}; _rk_completion rk 2>/dev/null;'
        'for word in "${COMPREPLY[@]}"; do eval "printf \'%s\\n\' $2$word$2"; done'
    )
    done = subprocess.run(
        ["bash", "-c", script, "bash", line, quote],
        cwd=tmp_path,
        env={**path_with_rk(), "RK_DISABLE_PLUGINS": "*"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert sorted(done.stdout.splitlines()) == sorted(names), done.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_name_or_a_help_that_would_change_the_terminal_is_not_offered(shell, tmp_path, monkeypatch, capsys):
    for name in ("new\nline.yaml", "esc\x1b[31m.yaml", "tab\there.yaml", "fine.yaml"):
        (tmp_path / name).write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("_RK_COMPLETE", f"{shell}_complete")
    monkeypatch.setenv("COMP_WORDS", "rk train ")
    monkeypatch.setenv("COMP_CWORD", "" if shell == "fish" else "2")
    monkeypatch.setattr("rk.recipe.find.heading", lambda path: "one\ntwo \x1b[31m red")
    main()
    out = capsys.readouterr().out
    assert "fine.yaml" in out and "\x1b" not in out
    assert not {"line.yaml", "here.yaml", "two"} & set(out.replace("\t", "\n").splitlines())
