"""What a target means, and which claims hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from rk.errors import RecipeError, UserError
from rk.recipe import check_recipe
from rk.reproduce.ledger import ledger
from rk.reproduce.pages import markdown, notes, summary, write_pages
from rk.reproduce.plan import logged_claims, plan, to_train
from rk.reproduce.results import (
    Measured,
    Store,
    add_results,
    described,
    differences,
    digest,
    read_results,
    results_path,
    settings,
)
from rk.reproduce.runner import Runner


def measured(accuracy, loss=(0.005,), **more):
    values = {
        "digest": "",
        "defaults": {},
        "defaults_digest": "",
        "seeds": list(range(len(accuracy))),
        "metrics": {"test/accuracy": list(accuracy), "test/loss": list(loss) * (len(accuracy) // len(loss))},
        "higher_is_better": {"accuracy": True, "loss": False},
        "steps": 60,
        "parameters": 10,
        "seconds": [1.0] * len(accuracy),
        "device": "cpu",
        "cores": 2,
        "versions": {"python": "3.11", "torch": "2.13"},
        "date": "2026-01-02",
    }
    return Measured(values | more)


@pytest.fixture
def lines(recipes, catalog):
    """Judges given results of the recipe and its baseline: one line per claim."""

    def call(own, baseline=None, current=None):
        (item,) = plan(("net.yaml",), catalog)
        results = {k: v for k, v in (("net", own), ("linear", baseline)) if v is not None}
        return ledger(item, results, current or dict.fromkeys(results, True))

    return call


def test_a_recipe_comes_with_the_baselines_that_its_claims_name(recipes, catalog):
    (item,) = plan(("net.yaml", "net.yaml"), catalog)
    assert item.recipe.name == "net" and [f.name for f in item.baselines.values()] == ["linear"]


def test_a_plugin_stands_for_its_recipes_with_claims(workshop):
    plugin = workshop.entry("toy", "")
    folder = workshop.folder / plugin.module / "recipes"
    folder.mkdir()
    text = "rk: 1\nmodel: mlp\ndata: digits\nloss: cross-entropy\ntrainer: {name: backprop, optimizer: adam}\n"
    for name, expect in (("a", "[{metric: test/loss, at_most: 3}]"), ("b", "[]"), ("c", "[{metric: test/loss}]")):
        (folder / f"{name}.yaml").write_text(f"{text}fit: {{max_steps: 1}}\nexpect: {expect}\n")
    catalog = workshop.catalog(plugin)
    assert [item.file.name for item in plan(("toy",), catalog)] == ["toy/a", "toy/c"]
    assert [item.file.name for item in plan(("all", "toy/a"), catalog)] == ["toy/a", "toy/c"]
    with pytest.raises(UserError, match="toy/b: nothing is claimed"):
        plan(("toy/b",), catalog)
    with pytest.raises(UserError, match="unknown recipe or plugin 'toi'") as caught:
        plan(("toi",), catalog)
    assert "did you mean toy?" in caught.value.hint


def test_a_broken_recipe_is_found_before_anything_is_trained(recipes, catalog):
    Path("net.yaml").write_text(Path("net.yaml").read_text().replace("hidden_sizes", "hidden_size"))
    with pytest.raises(RecipeError, match="hidden_size: unknown parameter"):
        plan(("net.yaml",), catalog)


@pytest.mark.parametrize(
    ("own", "baseline", "verdict"),
    [
        pytest.param([0.9], [0.5], "own bar only", id="both"),
        pytest.param([0.9], [0.7], "NOT REACHED", id="too good a baseline"),
        pytest.param([0.4], [0.1], "NOT REACHED", id="below the bound"),
        pytest.param([0.9], [0.0], "own bar only", id="a baseline of nothing"),
        pytest.param([0.9], [None], "own bar only", id="a baseline without a number"),
        pytest.param([None], [0.1], "NOT REACHED", id="no number"),
        pytest.param([0.6, 0.4, 0.8], [0.1], "own bar only", id="the mean counts"),
    ],
)
def test_a_claim_holds_when_its_bound_and_its_ratio_do(lines, own, baseline, verdict):
    assert lines(measured(own), measured(baseline))[0].verdict == verdict


@pytest.mark.parametrize(
    ("claimed", "own", "baseline", "verdict"),
    [
        pytest.param("times_baseline: 0.5", 0.4, 1.0, "own bar only", id="of what should be small, a part"),
        pytest.param("times_baseline: 0.5", 0.6, 1.0, "NOT REACHED", id="not small enough a part"),
        pytest.param("better_by: 0.3", -0.6, -0.2, "own bar only", id="a difference, where numbers are below 0"),
        pytest.param("better_by: 0.3", -0.4, -0.2, "NOT REACHED", id="not far enough below"),
        pytest.param("times_baseline: 0.5, better_by: 0.3", 0.4, 0.9, "own bar only", id="both"),
        pytest.param("times_baseline: 0.5, better_by: 0.3", 0.2, 0.4, "NOT REACHED", id="one of both"),
    ],
)
def test_a_metric_where_less_is_better_is_compared_with_the_baseline(claimed, own, baseline, verdict, recipes, catalog):
    text = Path("net.yaml").read_text()
    claim = f"expect: [{{metric: test/loss, baseline: linear.yaml, {claimed}}}]"
    Path("net.yaml").write_text(text[: text.index("expect:")] + claim)
    (item,) = plan(("net.yaml",), catalog)
    results = {"net": measured([1.0], [own]), "linear": measured([1.0], [baseline])}
    assert ledger(item, results, dict.fromkeys(results, True))[0].verdict == verdict


def test_a_difference_is_named_in_the_claim(recipes, catalog):
    text = Path("net.yaml").read_text()
    claim = "expect: [{metric: test/loss, at_most: 2, baseline: linear.yaml, better_by: 0.3}]"
    Path("net.yaml").write_text(text[: text.index("expect:")] + claim)
    (item,) = plan(("net.yaml",), catalog)
    assert ledger(item, {}, {})[0].claim == "test/loss <= 2 and 0.3 better than the baseline"


def test_a_claim_on_several_metrics_holds_when_each_does_and_shows_the_worst(recipes, catalog):
    text = Path("net.yaml").read_text()
    claim = "expect: [{metric: '*/accuracy', at_least: 0.5, at_least_times: {of: test/loss, times: 2}}]"
    Path("net.yaml").write_text(text[: text.index("expect:")] + claim)
    (item,) = plan(("net.yaml",), catalog)

    def line(val, test, loss):
        own = measured([test], [loss])
        own.values["metrics"]["val/accuracy"] = [val]
        (found,) = ledger(item, {"net": own}, {"net": True})
        return found.claim, found.reached, found.verdict

    said = "*/accuracy >= 0.5 and >= 2x test/loss"
    assert line(0.9, 0.8, 0.4) == (said, "0.8 (test)", "own bar only")
    assert line(0.4, 0.8, 0.1) == (said, "0.4 (val)", "NOT REACHED")
    assert line(0.9, 0.8, 0.41) == (said, "0.8 (test)", "NOT REACHED")
    assert line(0.9, None, 0.4) == (said, "FAIL (test)", "NOT REACHED")


def test_a_baseline_that_never_measured_it_is_not_beaten(lines):
    baseline = measured([0.1])
    del baseline.values["metrics"]["test/accuracy"]
    assert lines(measured([0.9]), baseline)[0].verdict == "NOT REACHED"


def test_two_recipes_of_one_name_are_not_confused(recipes, catalog):
    Path("other").mkdir()
    for name in ("net.yaml", "linear.yaml"):
        Path("other", name).write_text(Path(name).read_text())
    with pytest.raises(UserError, match="two recipes are called net"):
        plan(("net.yaml", "other"), catalog)


def test_a_line_has_claim_paper_reached_and_baseline(lines):
    line, other = lines(measured([0.6, 0.8]), measured([0.1]))
    assert line.claim == "test/accuracy >= 0.5 and 1.5x the baseline"
    assert (line.where, line.paper, line.reached, line.seeds) == ("Table 1", "0.97", "0.7 ± 0.14", "2")
    assert (line.metric, line.bar) == ("test/accuracy", ">= 0.5 and 1.5x the baseline")
    assert line.shown == "0.7 ± 0.14 (2 seeds)" and line.interval == "-0.5706 to 1.971"  # 0.7 ± 12.706 x 0.1
    assert line.baseline == "0.1 (linear)" and line.holds
    assert line.difference == "fewer than two seeds in common"
    assert next(iter(line.plain())) == "name"
    assert other.claim == "test/loss <= 0.01" and other.baseline == ""


def test_claims_not_run_or_of_an_older_recipe_do_not_hold(lines):
    assert [x.verdict for x in lines(None)] == ["NOT RUN", "NOT RUN"]
    assert [x.verdict for x in lines(measured([0.9]))] == ["NOT RUN", "own bar only"]
    stale = lines(measured([0.9]), measured([0.1]), {"net": True, "linear": False})
    assert [(x.verdict, x.holds) for x in stale] == [("OLDER RECIPE", False), ("own bar only", True)]


def test_results_are_of_what_the_recipe_trains(recipes, catalog):
    (item,) = plan(("net.yaml",), catalog)
    entry = measured([0.9], **described(item.recipe))
    then = settings(item.recipe)
    earlier = measured([0.9], digest=digest(then), settings=then)

    def is_of(*overrides):
        found = entry.is_of(check_recipe(item.file, overrides, catalog).valid())
        assert earlier.is_of(check_recipe(item.file, overrides, catalog).valid()) == found, (
            "of an earlier version of rk"
        )
        return found

    assert is_of() and is_of("expect=[]", "about=x") and is_of("fit.log_every=50") and is_of("model.dropout=0.0")
    assert not is_of("fit.max_steps=61") and not is_of("model.dropout=0.1") and not is_of("data.batch_size=65")
    assert not is_of("model.hidden_sizes=[16, 16]") and not is_of("~fit.threads")


def test_a_parameter_added_later_is_not_a_change_but_another_default_is(recipes, catalog):
    (item,) = plan(("net.yaml",), catalog)
    entry = described(item.recipe)
    less = {**entry["defaults"], "model": entry["defaults"]["model"].replace(" dropout", "")}
    _, default = differences(item.recipe)
    fewer = digest({k: v for k, v in default.items() if k != "model.dropout"})
    came_later = measured([0.9], digest=entry["digest"], defaults=less, defaults_digest=fewer)
    assert came_later.is_of(item.recipe)
    assert not came_later.is_of(check_recipe(item.file, ("model.dropout=0.1",), catalog).valid())
    assert not measured([0.9], **{**entry, "defaults_digest": digest({})}).is_of(item.recipe), "another default"
    gone = {**entry["defaults"], "model": "activation dropout gone"}
    assert not measured([0.9], **{**entry, "defaults": gone}).is_of(item.recipe)


def test_a_parameter_added_later_to_a_run_that_is_trained_first_is_not_a_change_either(recipes, catalog):
    tuned = "rk: 1\nextends: net.yaml\ninit_from: {run: {recipe: net.yaml}}\n"
    (recipes / "tuned.yaml").write_text(tuned)
    (item,) = plan(("tuned.yaml",), catalog)
    entry = described(item.recipe)
    name = next(owner for owner in entry["defaults"] if owner.endswith("settings.model"))
    less = {**entry["defaults"], name: entry["defaults"][name].replace(" dropout", "")}
    _, default = differences(item.recipe)
    fewer = digest({k: v for k, v in default.items() if k != f"{name}.dropout"})
    assert measured([0.9], digest=entry["digest"], defaults=less, defaults_digest=fewer).is_of(item.recipe)
    changed = ("init_from.run.overrides=[model.dropout=0.1]",)
    assert not measured([0.9], **entry).is_of(check_recipe(item.file, changed, catalog).valid())


def test_results_do_not_depend_on_where_the_recipe_of_a_run_that_is_trained_first_is(recipes, catalog):
    entries = []
    for folder in (recipes / "here", recipes / "there"):
        folder.mkdir()
        for name in ("net.yaml", "linear.yaml"):
            (folder / name).write_text((recipes / name).read_text())
        (folder / "tuned.yaml").write_text("rk: 1\nextends: net.yaml\ninit_from: {run: {recipe: net.yaml}}\n")
        (item,) = plan((str(folder / "tuned.yaml"),), catalog)
        entries.append(described(item.recipe))
    assert entries[0] == entries[1]


def test_entries_of_earlier_versions_are_judged_by_their_settings(recipes, catalog):
    (item,) = plan(("net.yaml",), catalog)
    then = settings(item.recipe)
    earlier = {k: v for k, v in then.items() if k != "model.dropout"}
    assert measured([0.9], digest=digest(earlier), settings=earlier).is_of(item.recipe)
    assert not measured([0.9], digest=digest(earlier), settings=earlier).is_of(
        check_recipe(item.file, ("model.dropout=0.1",), catalog).valid()
    )
    other = {**then, "model.activation": "tanh"}
    assert not measured([0.9], digest=digest(other), settings=other).is_of(item.recipe)
    gone = {**then, "model.gone": 1}
    assert not measured([0.9], digest=digest(gone), settings=gone).is_of(item.recipe)


def test_the_page_has_a_table_for_each_recipe(recipes, catalog, lines):
    items = plan(("net.yaml",), catalog)
    results = {"net": measured([0.6, 0.8]), "linear": measured([0.1])}
    page = markdown(items, lines(results["net"], results["linear"]), results)
    assert "## net (arXiv:1506.03134)" in page
    assert (
        "| `test/accuracy` | 0.97 | `>= 0.5 and 1.5x the baseline` | 0.7 ± 0.14 (2 seeds) | -0.5706 to 1.971 "
        "| 0.1 (linear) | fewer than two seeds in common | own bar only | Table 1 |"
    ) in page
    assert "- `net`: 2 seeds, 60 steps in 1 s each, 10 parameters, 2 cores; torch 2.13; 2026-01-02" in page


def test_there_is_a_page_for_each_plugin_and_a_front_page_with_counts(recipes, catalog, lines, tmp_path):
    items = plan(("net.yaml",), catalog)
    results = {"net": measured([0.6]), "linear": measured([0.1])}
    found = lines(results["net"], results["linear"])
    (tmp_path / "pages").mkdir()
    write_pages(tmp_path / "pages", items, found, results)
    name = tmp_path.name
    (tmp_path / f"pages/{name}.md").rename(tmp_path / "pages/gone.md")
    (tmp_path / "pages/notes.md").write_text("what somebody else has written")
    write_pages(tmp_path / "pages", items, found, results)
    assert {p.name for p in (tmp_path / "pages").iterdir()} == {"README.md", f"{name}.md", "notes.md"}
    front = (tmp_path / "pages/README.md").read_text()
    counts = f"| [{name}]({name}.md) | 1 | 0 | 0 | 1 | 0 | 0 | 0 | 1 |"
    assert (
        counts in front.partition("## Other claims")[0]
        and f"| [{name}]({name}.md) | 1 |" in front.partition("Other")[2]
    )
    assert (
        "Of 1 claim of a published number 0 are reached, 0 in order, 1 on the recipe's own bar only, 0 refuted" in front
    )
    assert "- net: `test/accuracy >= 0.5 and 1.5x the baseline` (paper: 0.97): own bar only; 0.6 (single seed)" in front
    assert "## Failing\n\nNone.\n" in front
    assert "## net (arXiv:1506.03134)" in (tmp_path / f"pages/{name}.md").read_text()


def test_pages_replace_no_file_of_others(recipes, catalog, lines, tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/README.md").write_text("# My project")
    with pytest.raises(UserError, match=r"README\.md was not written by rk reproduce, and would be replaced"):
        write_pages(tmp_path / "pages", plan(("net.yaml",), catalog), lines(measured([0.6])), {"net": measured([0.6])})
    assert [(p.name, p.read_text()) for p in (tmp_path / "pages").iterdir()] == [("README.md", "# My project")]


def test_a_folder_of_pages_that_cannot_be_made_is_the_users_mistake(recipes, catalog, lines, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*: ") as error:
        write_pages(
            tmp_path / "file/pages", plan(("net.yaml",), catalog), lines(measured([0.6])), {"net": measured([0.6])}
        )
    assert error.value.hint == "choose another folder with --pages"


def test_results_are_added_beside_older_ones(tmp_path):
    path = tmp_path / "deep" / "results.json"
    assert read_results(path) == {}
    add_results(path, {"b": measured([0.1])})
    add_results(path, {"a": measured([0.5]), "b": measured([0.2])})
    assert {k: m.mean("test/accuracy") for k, m in read_results(path).items()} == {"a": 0.5, "b": 0.2}
    assert '"test/accuracy": [0.5]' in path.read_text()
    path.write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        read_results(path)


def test_results_are_stored_beside_user_recipes_and_never_in_an_installed_package(tmp_path):
    import sysconfig

    from rk.recipe.find import RecipeFile

    runs = tmp_path / "runs"
    own, installed = tmp_path / "my.yaml", Path(sysconfig.get_path("purelib"), "x", "recipes", "a.yaml")
    assert results_path(RecipeFile(own), runs) == tmp_path / "results.json"
    assert results_path(RecipeFile(installed, "x"), runs) == runs / "results.json"


def test_a_plugins_results_go_beside_its_recipes_only_in_its_checkout(tmp_path, monkeypatch):
    from rk.recipe.find import RecipeFile

    runs, file = tmp_path / "runs", RecipeFile(tmp_path / "plugin" / "recipes" / "a.yaml", "toy")
    file.path.parent.mkdir(parents=True)
    beside = file.path.parent / "results.json"
    monkeypatch.chdir(tmp_path / "plugin")
    assert results_path(file, runs) == beside
    assert results_path(file, runs, elsewhere=True) == runs / "results.json"
    assert results_path(file, runs, elsewhere=True, beside=True) == beside
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert results_path(file, runs) == runs / "results.json"
    assert results_path(file, runs, beside=True) == beside


def test_an_installed_package_is_not_written_to_even_on_request(tmp_path):
    import sysconfig

    from rk.recipe.find import RecipeFile

    installed = RecipeFile(Path(sysconfig.get_path("purelib"), "x", "recipes", "a.yaml"), "x")
    with pytest.raises(UserError, match="an installed package is never written to"):
        results_path(installed, tmp_path, beside=True)


def test_a_plugins_recipe_named_by_its_path_is_still_the_plugins(tmp_path, monkeypatch):
    from rk.recipe.find import RecipeFile

    monkeypatch.chdir(tmp_path)
    file, runs = RecipeFile(tmp_path / "recipes" / "a.yaml"), tmp_path / "runs"
    assert results_path(file, runs, elsewhere=True) == tmp_path / "recipes" / "results.json"
    assert results_path(file, runs, elsewhere=True, shipped={tmp_path / "recipes"}) == runs / "results.json"


def test_results_in_the_folder_of_the_runs_come_before_those_that_are_shipped(tmp_path):
    from rk.recipe.find import RecipeFile

    file = RecipeFile(tmp_path / "recipes" / "a.yaml", "toy")
    add_results(tmp_path / "recipes" / "results.json", {"toy/a": measured([0.1]), "toy/b": measured([0.3])})
    add_results(tmp_path / "runs" / "results.json", {"toy/a": measured([0.2]), "toy/b": measured([0.4])})

    def stored(**settings):
        found = Store(tmp_path / "runs", **settings).read([file])
        return {name: one.mean("test/accuracy") for name, one in found.items()}

    assert stored(elsewhere=True) == {"toy/a": 0.2, "toy/b": 0.3}
    assert stored(beside=True) == {"toy/a": 0.1, "toy/b": 0.3}


def test_two_that_store_at_once_lose_nothing(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    path = tmp_path / "results.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: add_results(path, {f"r{i}": measured([i / 100])}), range(40)))
    assert {k: m.mean("test/accuracy") for k, m in read_results(path).items()} == {f"r{i}": i / 100 for i in range(40)}
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_two_processes_that_store_at_once_lose_nothing(tmp_path):
    import multiprocessing

    spawn = multiprocessing.get_context("fork")
    workers = [spawn.Process(target=_store_ten, args=(tmp_path / "results.json", n)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(read_results(tmp_path / "results.json")) == 30


def _store_ten(path, n):
    for i in range(10):
        add_results(path, {f"r{n}-{i}": measured([0.1])})


def test_unmeasured_claims_are_not_reached(lines):
    own = measured([0.9])
    del own.values["metrics"]["test/accuracy"]
    line = lines(own, measured([0.1]))[0]
    assert (line.reached, line.verdict, line.holds) == ("not measured", "NOT REACHED", False)


def test_claims_about_other_data_are_neither_run_nor_judged(recipes, workshop):
    source = Path("net.yaml").read_text()
    Path("mine.yaml").write_text("rk: 1\nextends: net.yaml\ndata: {batch_size: 3}\n")
    catalog = workshop.catalog(workshop.plugin("toy", OTHER, data={"other": "Other"}))
    (item,) = plan(("mine.yaml",), catalog)
    assert all(claim.applies for claim in item.recipe.expect), "another batch size is not other data"
    Path("mine.yaml").write_text("rk: 1\nextends: net.yaml\ndata: other\n")
    with pytest.raises(UserError, match="nothing is claimed"):
        plan(("mine.yaml",), catalog)
    Path("net.yaml").write_text(f"{source}  - {{metric: test/loss, other_data: true, baseline: gone.yaml}}\n")
    (item,) = plan(("net.yaml",), catalog)
    line = ledger(item, {"net": measured([0.9])}, {"net": True})[2]
    assert (line.verdict, line.holds) == ("not applicable: other data", True)


def test_claims_on_logged_metrics_apply_to_the_baseline_too(recipes, catalog):
    text = Path("net.yaml").read_text()
    claim = "{metric: train/loss, baseline: linear.yaml, better_by: 0.3}"
    Path("net.yaml").write_text(f"{text[: text.index('expect:')]}expect: [{claim}]")
    items = plan(("net.yaml",), catalog)
    assert logged_claims(items) == ["train/loss"]
    runner = Runner(catalog, Path("runs"), 1, False, lambda text: None)
    results = {
        file.name: runner.measure(file, ["train/loss"]) for file in (items[0].file, *items[0].baselines.values())
    }
    assert all(len(found.values["metrics"]["train/loss"]) == 1 for found in results.values())
    assert ledger(items[0], results, dict.fromkeys(results, True))[0].verdict == "own bar only"


# -- verdicts in the ledger --------------------------------------------------------------------------------------------


@pytest.fixture
def claiming(recipes, catalog):
    """Puts claims into the recipe, and returns their lines for given results."""

    def call(expect, **results):
        text = Path("net.yaml").read_text()
        Path("net.yaml").write_text(f"{text[: text.index('expect:')]}expect: [{expect}]\n")
        (item,) = plan(("net.yaml",), catalog)
        return ledger(item, results, dict.fromkeys(results, True))

    return call


def test_a_claim_that_is_costly_to_test_says_what_it_takes(claiming):
    expect = "{metric: test/accuracy, paper: 0.9, cost: 3 days on a GPU}"
    (line,) = claiming(expect)
    assert (line.verdict, line.why, line.holds) == ("not testable here", "3 days on a GPU", True)
    assert claiming(expect, net=measured([0.91, 0.92]))[0].verdict == "paper reached", "once it was run"
    assert claiming(expect.replace(", cost: 3 days on a GPU", ""))[0].verdict == "NOT RUN"


def test_a_refuted_claim_holds_its_cause_and_does_not_fail(claiming):
    expect = "{metric: test/accuracy, at_least: 0.8, refuted: the width is too small}"
    (line,) = claiming(expect, net=measured([0.5, 0.6]))
    assert (line.verdict, line.why, line.holds) == ("refuted here", "the width is too small", True)


def test_a_claim_that_numbers_refute_asks_for_its_cause(claiming):
    expect = "{metric: test/accuracy, baseline: linear.yaml}"
    (line,) = claiming(expect, net=measured([0.50, 0.51, 0.52]), linear=measured([0.90, 0.91, 0.92]))
    assert (line.verdict, line.why) == ("refuted here", "no cause is written: give the claim `refuted`")
    assert line.difference == "-0.4 (no spread), p 1" and line.pairs == 3


def test_a_cause_that_the_numbers_do_not_bear_out_is_reported(claiming):
    (line,) = claiming("{metric: test/accuracy, at_least: 0.8, refuted: x}", net=measured([0.9, 0.91]))
    assert line.verdict == "own bar only" and "the numbers do not refute it" in line.why


def test_a_number_of_other_conditions_counts_as_no_published_one(claiming):
    (line,) = claiming("{metric: test/accuracy, at_least: 0.5, paper: 0.9, differs: MNIST}", net=measured([0.95, 0.96]))
    assert (line.paper, line.verdict, line.is_published) == ("0.9", "own bar only", False)
    assert summary([line]).startswith("Of 0 claims of a published number 0 are reached")


def test_an_accuracy_of_a_seventh_of_the_papers_is_not_called_reached(claiming):
    expect = "{metric: test/accuracy, at_least: 0.07, paper: 0.807, baseline: linear.yaml, times_baseline: 10}"
    (line,) = claiming(expect, net=measured([0.11, 0.12, 0.13]), linear=measured([0.01, 0.01, 0.011]))
    assert line.verdict == "in order" and "reached" not in line.verdict
    assert notes([line]) == ["3 seeds cannot show p < 0.05: the least p of a sign-flip test over them is 0.125"]


def test_no_worse_than_a_part_of_the_baseline_shows_that_part(claiming):
    expect = "{metric: test/accuracy, at_least: 0.5, baseline: linear.yaml, times_baseline: 0.9}"
    (line,) = claiming(expect, net=measured([0.80, 0.81, 0.82]), linear=measured([0.80, 0.81, 0.82]))
    assert line.verdict == "in order" and line.difference.endswith("p 0.125, to 0.9x")


def test_the_front_page_counts_the_verdicts_on_published_numbers(claiming, catalog, tmp_path):
    expect = (
        "{metric: test/accuracy, paper: 0.9}, {metric: test/accuracy, paper: 0.99, at_least: 0.5}, "
        "{metric: test/accuracy, paper: 0.99, baseline: linear.yaml}, {metric: test/accuracy, paper: 0.99},"
        "{metric: test/accuracy, paper: 0.99, refuted: small}, {metric: val/loss, paper: 0.9, cost: a week},"
        "{metric: test/accuracy, at_least: 0.5}"
    )
    results = {"net": measured([0.91, 0.92, 0.93]), "linear": measured([0.5, 0.51, 0.52])}
    lines = claiming(expect, **results)
    items = plan(("net.yaml",), catalog)
    assert [line.verdict for line in lines] == [
        "paper reached",
        "own bar only",
        "in order",
        "not shown",
        "refuted here",
        "not testable here",
        "own bar only",
    ]
    assert summary(lines) == (
        "Of 6 claims of a published number 1 is reached, 1 in order, 1 on the recipe's own bar only, 1 refuted, "
        "1 not testable here, 1 not shown."
    )
    write_pages(tmp_path / "pages", items, lines, results)
    front = (tmp_path / "pages/README.md").read_text()
    assert f"**{summary(lines)}**" in front
    assert "| all | 6 | 1 | 1 | 1 | 1 | 1 | 1 | 0 |" in front and "| all | 1 | 0 | 1 | 0 | 0 | 0 | 0 |" in front
    assert "- net: val/loss (paper: 0.9): not testable here: a week" in front


def test_a_costly_recipe_is_trained_only_when_it_is_named(recipes, catalog):
    Path("net.yaml").write_text(Path("net.yaml").read_text().replace("at_least: 0.5,", "at_least: 0.5, cost: a week,"))
    files, left_out = to_train(plan((".",), catalog))
    assert [file.name for file in files] == ["net", "linear"] and left_out == [], "one claim of two has no cost"
    text = Path("net.yaml").read_text().replace("at_most: 0.01", "at_most: 0.01, cost: a week")
    Path("net.yaml").write_text(text)
    Path("own.yaml").write_text("rk: 1\nextends: net.yaml\nexpect: [{metric: test/loss, at_most: 9}]\n")
    files, left_out = to_train(plan((".",), catalog))
    assert [file.name for file in files] == ["own"] and left_out == ["net"]
    files, left_out = to_train(plan((".", "net.yaml"), catalog))
    assert [file.name for file in files] == ["net", "linear", "own"] and left_out == []


OTHER = '''
"""Digits under another name."""
from rk.builtin.digits import Digits


class Other(Digits):
    """Digits under another name.

    Args:
        seed: Orders the batches.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
'''
