"""Errors and hints: in one form, wrapped to the terminal, red only where there is colour, and with the right advice."""

from __future__ import annotations

import pytest

from rk.cli import cli, main
from rk.cli.messages import laid_out
from rk.errors import UserError, by_relevance, counted, nearest, suggest

LONG = (
    "error: unknown recipe 'digits-quick'\n  hint: installed recipes: noprop/digits-ct, noprop/digits, "
    "noprop/digits-backprop, noprop/digits-dt, pointer-net/convex-hull-quick-attention, ... (81 in all)"
)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_hint_is_wrapped_between_words_below_its_text(width):
    lines = laid_out(LONG, width, colored=False).splitlines()
    assert all(len(line) <= width for line in lines)
    assert " ".join(" ".join(lines).split()) == " ".join(LONG.split())
    assert "pointer-net/convex-hull-quick-attention," in [line.split()[0] for line in lines] + LONG.split()
    assert all(line.startswith("        ") for line in lines[2:])


def test_only_the_label_has_a_colour():
    first, hint = laid_out("error: no\n  hint: yes", 80, colored=True).splitlines()
    assert first == "\x1b[31m\x1b[1merror:\x1b[0m no" and hint.startswith("  \x1b[36m") and hint.endswith(" yes")
    assert "\x1b" not in laid_out("error: no\n  hint: yes", 80, colored=False)


@pytest.mark.parametrize(
    ("terminal", "no_color", "colored"), [(True, "", True), (True, "1", False), (False, "", False)]
)
def test_colour_is_for_terminals_and_no_color_is_respected(monkeypatch, capsys, terminal, no_color, colored):
    monkeypatch.setattr("sys.argv", ["rk", "trian"])
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    with pytest.raises(SystemExit):
        main()
    assert ("\x1b[31m" in capsys.readouterr().err) is colored


# -- the nearest name ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "choices", "meant"),
    [
        ("digits-quick", ["tsp-quick", "adding-quick", "mnist-quick"], None),
        ("convex-hul", ["convex-hull", "concave-hull-quick"], "convex-hull"),
        ("hull-quick", ["convex-hull-quick", "tsp-quick"], "convex-hull-quick"),
        ("mpl", ["mlp", "sequence"], "mlp"),
        ("acc", ["loss", "accuracy"], "accuracy"),
        ("n_point", ["num_points", "num_layers"], "num_points"),
        ("x" * 5000, ["xx"], None),
    ],
)
def test_words_that_both_names_share_do_not_make_them_near(word, choices, meant):
    assert nearest(word, choices) == meant


def test_a_long_list_begins_with_what_shares_a_word():
    names = [f"a{i}-quick" for i in range(20)] + ["digits-dt", "digits"]
    assert by_relevance("digits-quick", names)[:2] == ["digits-dt", "digits"]
    assert "digits-dt, digits" in suggest("digits-quick", names)


def test_a_count_agrees_with_its_noun():
    assert [counted(n, "plugin") for n in (0, 1, 2, 1000)] == ["0 plugins", "1 plugin", "2 plugins", "1,000 plugins"]


# -- what a user types ---------------------------------------------------------------------------------------------

RECIPE = """
rk: 1
model: mlp
data: digits
loss: cross-entropy
trainer: {name: backprop, optimizer: adam}
fit: {max_steps: 3}
"""


@pytest.fixture
def refused(rk_folder, capsys):
    """Runs `rk` on a mistake; returns the message."""
    (rk_folder.folder / "r.yaml").write_text(RECIPE)
    (rk_folder.folder / "m1").mkdir()

    def call(*arguments: str) -> str:
        with pytest.raises(UserError) as error:
            rk_folder.rk(*arguments)
        return error.value.render()

    return call


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ("train r.yaml fit.accelerator=gpu", "did you mean cuda?"),
        ("train r.yaml fit.accelerator=cuda:0", "did you mean cuda?"),
        ("train r.yaml fit.device=cuda", "fit.devices is how many there are"),
        ("train r.yaml fit.precision=bf16", "did you mean bf16-mixed?"),
        ("train r.yaml lr=0.1", "did you mean trainer.optimizer.lr?"),
        ("train r.yaml optimizer=sgd", "did you mean trainer.optimizer?"),
        ("train r.yaml trainer.lr=0.1", "did you mean trainer.optimizer.lr?"),
        ("train r.yaml fit.batch_size=8", "did you mean data.batch_size?"),
        ("train r.yaml epochs=3", "did you mean fit.max_epochs?"),
        ("train r.yaml model.hidden_sizes=64", "write model.hidden_sizes=[64]"),
        ("train r.yaml trainer.optimizer.betas=0.9", "write trainer.optimizer.betas=[0.9,0.9]"),
        ("train r.yaml trainer.optimizer.betas=x", "write trainer.optimizer.betas=[...,...]"),
        ("train r.yaml zzz=1", "a recipe has: model, data, loss, trainer, fit"),
        ("train ./m1", "a recipe is a file that ends in .yaml"),
        ("train m1", "m1 is a folder, not a recipe file"),
        ("train ./r", "did you mean r.yaml?"),
        ("train r.yaml --resume last", "write: rk train --resume last"),
        ("train --resume r.yaml", "no such run: r.yaml"),
        ("init", "rk recipes copy RECIPE FILE begins a recipe"),
        ("show loss", "cross-entropy"),
        ("show digitss", "did you mean digits?"),
        ("list modle", "did you mean model?"),
        ("export last", "give --to with one of: "),
        ("report last -o x.pdf", "choose a name that ends in .html"),
        ("runs show nothing", "no such run: nothing"),
    ],
)
def test_a_mistake_gets_the_advice_that_helps(refused, arguments, hint):
    message = refused(*arguments.split())
    assert hint in message
    assert "pip install rk-." not in message


def test_the_parts_of_a_wrong_choice_are_reported_once(refused):
    """A trainer that asks for no optimizer by default: one problem, with what can be given."""
    message = refused("validate", "r.yaml", "~trainer.optimizer")
    assert message.endswith("error: 1 problem found; nothing was run")
    assert (
        "missing: optimizer (an optimizer | mapping to an optimizer)" in message
        and "give trainer.optimizer, one of sgd, adam" in message
    )


@pytest.mark.parametrize("name", ["show adam", "show optimizers adam", "show optimizer rk/adam"])
def test_a_component_is_shown_without_its_kind_or_with_the_plural(rk_folder, capsys, name):
    assert rk_folder.rk(*name.split()) == 0
    assert "optimizer rk/adam" in capsys.readouterr().out


def test_a_name_of_several_kinds_asks_which(workshop, capsys, monkeypatch):
    catalog = workshop.catalog(
        workshop.plugin("two", "class A: ...\n", models={"same": "A"}, layers={"same": "A"}),
    )
    monkeypatch.setattr("rk.catalog.Catalog", lambda *_: catalog)
    with pytest.raises(UserError, match="several kinds have a 'same'") as error:
        cli(["show", "same"], standalone_mode=False)
    assert error.value.hint == "rk show model same or rk show layer same"


# -- quiet and verbose ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("-q", "validate", "r.yaml"), ("validate", "r.yaml", "--quiet")])
def test_quiet_leaves_warnings_out(rk_folder, capsys, arguments):
    (rk_folder.folder / "r.yaml").write_text(RECIPE)
    assert rk_folder.rk(*arguments) == 0
    assert capsys.readouterr().err == ""


def test_verbose_prints_versions_plugins_and_the_time(rk_folder, capsys):
    rk_folder.rk("list", "exporter", "--verbose")
    said = capsys.readouterr().err
    assert "Python 3." in said and "click " in said and "plugins:" in said and "took " in said


def test_a_search_keeps_its_own_option_of_that_name():
    from rk.cli import _flags_first

    assert _flags_first(["train", "r", "--quiet"]) == ["--quiet", "train", "r"]
    assert _flags_first(["search", "x", "--verbose"]) == ["search", "x", "--verbose"]
    assert _flags_first(["predict", "last", "--", "--quiet"]) == ["predict", "last", "--", "--quiet"]


def test_the_version_has_a_short_option(capsys):
    cli(["-V"], standalone_mode=False)
    assert capsys.readouterr().out.startswith("rk ")
