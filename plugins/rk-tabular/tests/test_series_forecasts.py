"""Forecasts: metrics and baselines as their formulas, recipes for a user's file, and the dates after its end."""

import json
import math
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from rk_tabular.series import TimeSeries
from rk_tabular.series_baselines import RidgeLags, SeasonalNaive
from rk_tabular.series_draft import draft_series
from rk_tabular.series_generated import SeasonalSeries
from rk_tabular.series_loss import ForecastError
from rk_tabular.series_metrics import MAE, MAPE, MASE, RMSE, SMAPE
from rk_tabular.series_model import ForecastMLP

from rk import UserError
from rk.catalog import Catalog
from rk.recipe import check_recipe
from rk.recipe.find import RecipeFile, find_recipe

FIRST = date(2023, 1, 2)
GRU = "model={name: sequence, layer: gru, d_model: 8}"


def rows_file(path: Path, count: int = 120, head: str = "day,sold", step: int = 1, names: tuple[str, ...] = ()) -> Path:
    """A file of dates with a pattern that repeats after seven rows, for each name."""
    lines = [head]
    for i in range(count):
        when = (FIRST + timedelta(days=step * i)).isoformat()
        lines += [f"{when},{n},{10 * k + i % 7 + i / 50}" for k, n in enumerate(names)] or [f"{when},{i % 7 + i / 50}"]
    path.write_text("\n".join(lines) + "\n")
    return path


# -- metrics -----------------------------------------------------------------------------------------------------------


def batch_of_forecasts() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    fields = {name: torch.randn(5, 3, generator=random) for name in ("values", "targets")}
    fields |= {"center": torch.tensor([0.0, 5, -3, 100, 1]), "spread": torch.tensor([1.0, 2, 3, 0.5, 1])}
    fields["targets"][0, 1] = 0.0  # a truth of 0, as center and target are 0
    fields["values"][4], fields["targets"][4] = -1.0, -1.0  # truth and forecast are 0
    fields["seasonal_error"] = torch.tensor([0.5, 1, 0, 2, 3])
    fields["observed"] = torch.tensor([[1, 1, 1], [1, 0, 1], [1, 1, 1], [0, 0, 1], [1, 1, 1]], dtype=torch.bool)
    return fields


def naive(name: str, f: dict[str, torch.Tensor]) -> float:
    """The metric by its formula, forecast by forecast."""
    terms = []
    for b in range(5):
        for h in range(3):
            y = float(f["center"][b] + f["spread"][b] * f["targets"][b, h])
            found = float(f["center"][b] + f["spread"][b] * f["values"][b, h])
            if not f["observed"][b, h]:
                continue
            if name == "rmse":
                terms.append((y - found) ** 2)
            elif name == "mae":
                terms.append(abs(y - found))
            elif name == "mape" and y != 0:
                terms.append(100 * abs(y - found) / abs(y))
            elif name == "smape":
                terms.append(200 * abs(y - found) / (abs(y) + abs(found)) if y or found else 0.0)
            elif name == "mase" and f["seasonal_error"][b] > 0:
                terms.append(abs(y - found) / float(f["seasonal_error"][b]))
    mean = sum(terms) / len(terms)
    return math.sqrt(mean) if name == "rmse" else mean


@pytest.mark.parametrize(("name", "metric"), [("mae", MAE), ("mape", MAPE), ("smape", SMAPE), ("mase", MASE)])
def test_a_metric_is_its_formula_in_the_unit_of_the_file(name, metric):
    f = batch_of_forecasts()
    fields = {k: f[k] for k in metric.__call__.__annotations__ if k in f}
    total, count = metric()(**fields)
    assert float(total / count) == pytest.approx(naive(name, f), rel=1e-5)


def test_the_root_is_of_the_mean_over_all_batches():
    f = batch_of_forecasts()
    chosen = ("values", "targets", "spread", "observed")
    parts = RMSE(), RMSE()
    for part, where in zip(parts, (slice(0, 2), slice(2, 5)), strict=True):
        part.update(**{k: f[k][where] for k in chosen})
    parts[0].merge(parts[1])
    assert parts[0].compute() == pytest.approx(naive("rmse", f), rel=1e-5)
    assert math.isnan(RMSE().compute())


def test_mape_of_zeros_alone_counts_nothing():
    zero, one = torch.zeros(1, 2), torch.ones(1)
    fields = {"targets": zero, "center": 0 * one, "spread": one, "observed": torch.ones(1, 2, dtype=torch.bool)}
    assert MAPE()(values=zero + 1, **fields) == (0, 0)
    assert SMAPE()(values=zero + 1, **fields) == (400, 2), "200 each: one of the two is 0"


@pytest.mark.parametrize(("kind", "expected"), [("squared", 4 + 9), ("absolute", 2 + 3)])
def test_the_loss_leaves_filled_gaps_out(kind, expected):
    seen = torch.tensor([[True, False, True]])
    values, targets = torch.tensor([[2.0, 70, 1]]), torch.tensor([[0.0, 0, 4]])
    assert ForecastError(kind)(values=values, targets=targets, observed=seen) == (expected, 2)


# -- baselines ---------------------------------------------------------------------------------------------------------


class OneProcess:
    """The runtime of a test."""

    world = 1

    def setup(self, module):
        return module


def test_seasonal_naive_repeats_the_last_season():
    learner = SeasonalNaive(horizon=5, window=8, season=3).setup(runtime=OneProcess())
    history = torch.arange(8.0)
    values = learner.predict({"inputs": history.view(1, 8, 1)})["values"][0]
    whole = history.tolist()
    for h in range(5):  # y[t + h] is y[t + h - season]
        whole.append(whole[8 + h - 3])
    assert values.tolist() == whole[8:]
    with pytest.raises(ValueError, match=r"data\.window must be >= 9, got 8"):
        SeasonalNaive(horizon=2, window=8, season=9)


def test_seasonal_naive_on_the_training_span_has_a_mase_of_one():
    """What MASE divides by is the error that it measures, where the horizon is a season."""
    data = SeasonalSeries(seed=0, steps=400, num_series=2, window=7, horizon=7, batch_size=10**6)
    data.prepare()
    learner = SeasonalNaive(7, 7, 7).setup(runtime=OneProcess())
    batch = data.batch("train", 0)
    fields = {k: batch[k] for k in ("targets", "spread", "seasonal_error", "observed")}
    total, count = MASE()(**learner.predict(batch), **fields)
    assert float(total / count) == pytest.approx(1, abs=0.02)  # windows count values at the edges less often


def test_ridge_is_the_solution_of_its_normal_equations():
    data = SeasonalSeries(seed=0, steps=150, num_series=2, window=9, horizon=4, batch_size=50, calendar=["weekday"])
    data.prepare()
    trainer = RidgeLags(9, 4, data.num_features, data.num_known, alpha=2.5)
    learner = trainer.setup(data=data, runtime=OneProcess())
    batches = [data.batch("train", i) for i in range(data.batches("train"))]
    for batch in batches:
        assert trainer.step(batch) == {}
    assert trainer.step(batches[0]) is None, "the pass is over"
    trainer.finish()
    inputs, targets = (torch.cat([b[k] for b in batches]).double().numpy() for k in ("inputs", "targets"))
    for h in range(4):
        x = np.concatenate([inputs[:, :, 0], inputs[:, 9 - 4 + h, -data.num_known :]], 1)
        middle, y = x - x.mean(0), targets[:, h] - targets[:, h].mean()  # centring leaves the intercept unshrunk
        weights = np.linalg.solve(middle.T @ middle + 2.5 * np.eye(x.shape[1]), middle.T @ y)
        assert np.allclose(learner.weights[h, :-1].numpy(), weights, rtol=1e-8, atol=1e-10)
        expected = targets[:, h].mean() + middle @ weights
        assert np.allclose(learner.predict({"inputs": torch.from_numpy(inputs)})["values"][:, h], expected)


def test_without_hidden_layers_the_network_is_linear_and_its_level_shifts():
    model = ForecastMLP(window=6, horizon=2, num_features=5, num_known=2, hidden_sizes=())
    a, b = torch.randn(2, 3, 6, 5)
    forecast = [model(inputs=x)["values"] for x in (a, b, a + b, 0 * a)]
    assert torch.allclose(forecast[2] - forecast[3], forecast[0] + forecast[1] - 2 * forecast[3], atol=1e-5)
    ignored = a.clone()
    ignored[:, :4, 1:] = 7  # of known features, only those of the horizon count
    assert torch.equal(model(inputs=ignored)["values"], forecast[0])


# -- the user's file ---------------------------------------------------------------------------------------------------


def test_a_regular_column_of_dates_drafts_a_forecast(tmp_path):
    draft = draft_series(rows_file(tmp_path / "sales.csv", 400), None)
    assert draft.about == "the next 14 days of sold, from 28 before" and draft.confidence > 0.8
    assert (draft.data["time"], draft.data["target"]) == ("day", "sold") and "series" not in draft.data
    assert draft.comments["data.time"] == "dates are daily, from 2023-01-02 to 2024-02-05"
    assert list(draft.choices)[:4] == ["forecast-mlp", "linear", "ridge-lags", "seasonal-naive"]


def test_columns_that_distinguish_series_are_found(tmp_path):
    draft = draft_series(rows_file(tmp_path / "a.csv", 200, "day,shop,sold", names=("x", "y")), "sold")
    assert draft.data["series"] == ["shop"] and "of 2 series" in draft.about


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2\n3,4\n",
        "day,y\n2024-01-01,1\n2024-01-01,2\n2024-01-02,3\n" + "2024-01-03,4\n" * 40,
        "day,y\n" + "".join(f"{FIRST + timedelta(days=i * i)},{i}\n" for i in range(50)),
        "day,y\n" + "".join(f"{FIRST + timedelta(days=i)},{i}\n" for i in range(9)),
        "day,y\n" + "".join(f"{FIRST + timedelta(days=i)},word\n" for i in range(50)),
    ],
    ids=["no dates", "dates come twice", "irregular", "too few", "no numbers"],
)
def test_other_tables_are_left_to_other_data(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    assert draft_series(tmp_path / "t.csv", None) is None


def test_months_written_day_or_month_first_are_read_so_that_they_are_regular(tmp_path):
    months = [f"01/{1 + i % 12:02d}/{2019 + i // 12}" for i in range(60)]
    (tmp_path / "m.csv").write_text("month,y\n" + "".join(f"{m},{i}\n" for i, m in enumerate(months)))
    draft = draft_series(tmp_path / "m.csv", None)
    assert draft.data["day_first"] is True and draft.data["horizon"] == 12
    assert draft.comments["data.time"].startswith("dates are monthly")


def test_init_train_and_predict_answer_the_dates_after_the_end(rk_folder):
    rows_file(Path("sales.csv"), 300)
    assert rk_folder.rk("recipes", "init", "sales.csv", "--target", "sold") == 0
    assert "name: timeseries" in Path("sales.yaml").read_text(), "a forecast is surer than a table"
    assert not check_recipe(RecipeFile(Path("sales.yaml")), (), Catalog()).warnings
    run = rk_folder.train("sales.yaml", "fit.max_steps=30", "fit.validate_every=30", "data.level=season")
    assert run.info()["metrics"]["test/mase"] > 0
    rows_file(Path("new.csv"), 320)
    assert rk_folder.rk("predict", run.path, "new.csv", "-o", "a.json", "-o", "a.png") == 0
    answers = json.loads(Path("a.json").read_text())
    assert [a["date"] for a in answers] == [(FIRST + timedelta(days=320 + h)).isoformat() for h in range(14)]
    assert Path("a.png").stat().st_size > 5000
    rows_file(Path("short.csv"), 6)
    with pytest.raises(UserError, match=r"short\.csv: a forecast needs 7 days or more, got 6"):
        rk_folder.rk("predict", run.path, "short.csv")


def test_a_series_shorter_than_a_window_is_forecast_from_what_it_has(tmp_path, capsys):
    path = rows_file(tmp_path / "a.csv", 60, "day,shop,sold", names=("x", "y"))
    settings = {"time": "day", "target": "sold", "series": ["shop"], "window": 14, "level": "season", "seed": 0}
    data = TimeSeries(file=path, **settings)
    data.prepare()
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*(n for n in lines if ",y," not in n), *(n for n in lines[-18:] if ",y," in n)]) + "\n")
    whole, short = data.read(path)["inputs"]
    batch = data.read(path)
    assert (
        "1 series are shorter than the window of 14: what is before counts as their level: y" in capsys.readouterr().err
    )
    assert batch["mask"].tolist() == [[True] * 14, [False] * 5 + [True] * 9]
    assert torch.allclose(short[5:, :1], whole[5:, :1], atol=1e-5), "the two shops differ by a constant"
    assert torch.equal(short[-7:, 1:], whole[-7:, 1:]) and not short[:5, :7].any()
    model = ForecastMLP(14, 7, data.num_features, data.num_known)
    alone = data.answers(batch, model(inputs=batch["inputs"], mask=batch["mask"]))
    assert [a["series"] for a in alone] == ["x"] * 7 + ["y"] * 7 and alone[0]["date"] == alone[7]["date"]


def test_known_covariates_are_asked_for_up_to_the_last_date(tmp_path):
    path = tmp_path / "k.csv"
    lines = [f"{FIRST + timedelta(days=i)},{i % 5},{i % 3}" for i in range(60)]
    path.write_text("\n".join(["day,y,promo", *lines]) + "\n")
    settings = {"time": "day", "target": "y", "known": ["promo"], "window": 6, "horizon": 2, "seed": 0}
    data = TimeSeries(file=path, **settings)
    data.prepare()
    with pytest.raises(UserError, match="promo must be known up to 2023-03-04"):
        data.read(path)
    ahead = [f"{FIRST + timedelta(days=60 + h)},,{h}" for h in range(2)]
    path.write_text("\n".join(["day,y,promo", *lines, *ahead]) + "\n")
    batch = data.read(path)
    scaling = data._scalings[""]
    known = batch["inputs"][0, :, 8] * scaling.covariate_deviation[0] + scaling.covariate_mean[0]
    assert known[-2:].round().tolist() == [0, 1] and batch["origin_meta"] == [60]


def test_hours_are_answered_on_the_local_clock(tmp_path):
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    zone, begin = ZoneInfo("Europe/Zurich"), datetime(2024, 3, 28, tzinfo=UTC)
    hours = [(begin + timedelta(hours=i)).astimezone(zone) for i in range(80)]  # clocks change on 31 March
    path = tmp_path / "h.csv"
    path.write_text("at,y\n" + "".join(f"{h.isoformat()},{h.hour}\n" for h in hours))
    data = TimeSeries(file=path, time="at", target="y", time_zone="Europe/Zurich", window=4, horizon=2, seed=0)
    data.prepare()
    batch = data.read(path)
    answers = data.answers(batch, {"values": torch.zeros(1, 2)})
    assert [a["date"] for a in answers] == [f"2024-03-31T{h}:00:00+02:00" for h in (10, 11)]
    assert data._frequency.name == "hourly" and data.season == 24


def test_a_run_reads_dates_as_its_training_file_has_shown(tmp_path):
    days = [FIRST + timedelta(days=i) for i in range(40)]
    path = tmp_path / "d.csv"
    path.write_text("day,y\n" + "".join(f"{d.day:02d}/{d.month:02d}/{d.year},{i}\n" for i, d in enumerate(days)))
    settings = {"file": path, "time": "day", "target": "y", "window": 7, "seed": 0}
    one, two = TimeSeries(**settings), TimeSeries(**settings)
    one.prepare()
    two.load_state_dict(one.state_dict())
    path.write_text("day,y\n" + "".join(f"0{i}/02/2023,{i}\n" for i in range(1, 9)))
    assert two.read(path)["origin_meta"] == [(date(2023, 2, 9) - FIRST).days]
    with pytest.raises(UserError, match="does the day come first, or the month"):
        TimeSeries(**settings).prepare()


def test_a_loaded_run_scales_as_the_trained_one(tmp_path):
    path = rows_file(tmp_path / "a.csv", 100, "day,shop,sold", names=("x", "y"))
    settings = {"file": path, "time": "day", "target": "sold", "series": ["shop"], "window": 14, "seed": 0}
    one, two = TimeSeries(**settings), TimeSeries(**settings)
    one.prepare()
    two.load_state_dict(one.state_dict())
    assert torch.equal(one.read(path)["inputs"], two.read(path)["inputs"])
    assert two.preprocessing() == one.preprocessing() and two.preprocessing()["features"][0] == "value"


# -- with the rest of rk -----------------------------------------------------------------------------------------------


def test_any_recurrent_layer_forecasts(rk_folder):
    pytest.importorskip("rk_sequence")
    pytest.importorskip("rk_rnn")
    problems = check_recipe(find_recipe("tabular/series-quick", Catalog().plugins), (GRU,), Catalog())
    assert not problems.problems and not problems.warnings
    run = rk_folder.train(
        "tabular/series-quick",
        GRU,
        "data.num_series=1",
        "data.steps=300",
        "fit.max_steps=8",
        "fit.validate_every=8",
    )
    assert 0 < run.info()["metrics"]["test/mase"] < 20


def test_the_best_error_of_the_generated_series_is_their_noise():
    data = SeasonalSeries(seed=3, steps=2000, num_series=1, noise=0.5, window=14, horizon=7)
    data.prepare()
    one = data._windows.series[0]
    t = np.arange(2000)
    columns = [np.ones(2000), t, *(t % 7 == k for k in range(6))]
    columns += [f(2 * np.pi * t / 365.25) for f in (np.sin, np.cos)]
    x = np.stack(columns, 1).astype(float)
    rest = one.values - x @ np.linalg.lstsq(x, one.values, rcond=None)[0]
    assert rest.std() == pytest.approx(0.5, rel=0.05) and abs(np.corrcoef(rest[1:], rest[:-1])[0, 1]) < 0.07


def test_the_passengers_of_hong_kong_are_series_of_days(tmp_path):
    import gzip

    from rk_tabular.series_traffic import NAME

    from rk.files import data_folder

    packed = data_folder() / f"{NAME}.gz"
    if not packed.is_file():
        pytest.skip("the file is not in the data folder")
    with gzip.open(packed, "rt", encoding="utf-8", newline="") as file:
        (tmp_path / "traffic.csv").write_text("".join(next(file) for _ in range(6000)), encoding="utf-8", newline="")
    draft = draft_series(tmp_path / "traffic.csv", "Total")
    assert draft.data["series"] == ["Control Point", "Arrival / Departure"] and draft.data["day_first"] is True
    assert "of 32 series" in draft.about and draft.comments["data.time"].startswith("dates are daily, from 2021-01-01")
