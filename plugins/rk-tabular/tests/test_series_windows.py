"""Tables of dates become windows: series, gaps, splits, scaling, and nothing of the future."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from rk_tabular.series import TimeSeries
from rk_tabular.series_windows import Windows

from rk import UserError

FIRST = date(2024, 1, 1)


def day(i: int) -> str:
    return (FIRST + timedelta(days=i)).isoformat()


def table(folder: Path, rows: list[tuple], head: str = "day,y") -> Path:
    path = folder / "rows.csv"
    path.write_text("\n".join([head, *(",".join("" if c is None else str(c) for c in row) for row in rows)]) + "\n")
    return path


def series(path: Path, **settings) -> TimeSeries:
    chosen = {"time": "day", "target": "y", "window": 4, "horizon": 2, "seed": 0, "batch_size": 1000, **settings}
    data = TimeSeries(file=path, **chosen)
    data.prepare()
    return data


def plain(data: TimeSeries, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The windows of a split and what follows them, in the unit of the file, in the order of time."""
    batch = data.batch(split, 0)
    order = np.argsort(batch["origin_meta"], kind="stable")
    back = batch["spread"][:, None], batch["center"][:, None]
    windows = batch["inputs"][..., 0] * back[0] + back[1]
    return windows.numpy()[order].round(3), (batch["targets"] * back[0] + back[1]).numpy()[order].round(3)


def test_a_window_is_followed_by_its_targets_and_spans_follow_each_other(tmp_path):
    path = table(tmp_path, [(day(i), i) for i in range(20)])
    data = series(path, val_length=3, test_length=5)
    windows, targets = plain(data, "train")
    assert (windows[0] == [0, 1, 2, 3]).all() and (targets[0] == [4, 5]).all()
    assert (targets[-1] == [10, 11]).all(), "training ends where validation begins"
    windows, targets = plain(data, "val")
    assert targets.tolist() == [[12, 13], [13, 14]] and (windows[0] == [8, 9, 10, 11]).all()
    assert plain(data, "test")[1].tolist() == [[15, 16], [16, 17], [17, 18], [18, 19]], "an origin each day"


def test_strides_keep_the_newest_window(tmp_path):
    path = table(tmp_path, [(day(i), i) for i in range(20)])
    data = series(path, val_length=4, test_length=5, stride=3, eval_stride=2)
    assert plain(data, "train")[1][:, 0].tolist() == [6, 9] and plain(data, "test")[1][:, 0].tolist() == [16, 18]


def test_the_order_of_rows_does_not_matter_and_long_is_wide(tmp_path):
    rows = [(day(i), i, 100 - i * i) for i in range(20)]
    wide = series(table(tmp_path, rows[::-1], "day,a,b"), target=["a", "b"])
    long = [(d, name, y) for d, a, b in rows for name, y in (("b", b), ("a", a))]
    other = series(table(tmp_path, long, "day,shop,y"), series=["shop"])
    for split in wide.splits:
        one, two = wide.batch(split, 0), other.batch(split, 0)
        assert one["series_meta"] == two["series_meta"] and set(one["series_meta"]) == {"a", "b"}
        assert torch.equal(one["inputs"], two["inputs"]) and torch.equal(one["targets"], two["targets"])


def test_scaling_is_that_of_the_training_span_alone(tmp_path):
    values = [float(i % 5) for i in range(20)]
    data = series(table(tmp_path, [(day(i), y) for i, y in enumerate(values)]), val_length=3, test_length=5, season=5)
    batch = data.batch("train", 0)
    train = np.array(values[:12])
    assert torch.allclose(batch["spread"], torch.tensor(train.std(), dtype=torch.float32))
    assert torch.allclose(batch["center"], torch.tensor(train.mean(), dtype=torch.float32))
    later = [y if i < 12 else 1000 * y for i, y in enumerate(values)]
    changed = series(table(tmp_path, [(day(i), y) for i, y in enumerate(later)]), val_length=3, test_length=5, season=5)
    for name, value in changed.batch("train", 0).items():
        same = torch.equal(value, batch[name]) if isinstance(value, torch.Tensor) else value == batch[name]
        assert same, f"{name} of training depends on what comes after it"


def test_values_may_be_relative_to_the_last_one_or_to_the_last_season(tmp_path):
    path = table(tmp_path, [(day(i), i) for i in range(20)])
    last = series(path, level="last").batch("test", 0)
    assert last["inputs"][0, -1, 0] == 0 and last["center"][0] == last["origin_meta"][0] - 1
    season = series(path, level="season", season=3).batch("test", 0)
    assert torch.allclose(season["center"][0], torch.tensor(season["origin_meta"][0] - 2.0))
    assert plain(series(path, level="season"), "val")[1].tolist() == plain(series(path), "val")[1].tolist()


# -- nothing of the future ---------------------------------------------------------------------------------------------

GAPS = {5, 9, 10, 14, 20, 21}


def covariates(folder: Path, change_from: int | None = None) -> TimeSeries:
    """A series with gaps and a past covariate, which both are other numbers from some day on."""
    random = np.random.default_rng(3)
    rows = []
    for i in range(30):
        y, x = random.normal(), random.normal()
        if change_from is not None and i >= change_from:
            y, x = y + 50, x - 70
        rows.append((day(i), None if i in GAPS else y, x, i % 3))
    path = table(folder, rows, "day,y,x,k")
    return series(path, past=["x"], known=["k"], gaps="interpolate", val_length=8, test_length=8)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_no_window_depends_on_what_comes_at_its_origin_or_later(tmp_path, split):
    check_that_windows_end_at_their_origin(tmp_path, split)


def check_that_windows_end_at_their_origin(folder: Path, split: str) -> None:
    before = covariates(folder)
    batch = before.batch(split, 0)
    for origin in sorted(set(batch["origin_meta"])):
        after = covariates(folder, change_from=origin)
        after._scalings = before._scalings  # how values are scaled is another test
        after._windows = after._cut(after._windows.series, after._scalings)
        changed = after.batch(split, 0)
        row = batch["origin_meta"].index(origin)
        assert torch.equal(batch["inputs"][row], changed["inputs"][row]), f"the window at {origin} sees the future"


@pytest.mark.parametrize(
    ("method", "old", "new"),
    [
        ("cut", "torch.arange(-self.window, 0)", "torch.arange(1 - self.window, 1)"),
        ("cut", "self._past[seen]", "self._past[seen + 1]"),
        ("cut", "self._until(seen, at - 1)", "self._until(seen, at + 1)"),
    ],
)
def test_a_leak_is_noticed(tmp_path, plant, method, old, new):
    plant(Windows, method, old, new)
    with pytest.raises(AssertionError, match="sees the future"):
        for split in ("train", "val", "test"):
            check_that_windows_end_at_their_origin(tmp_path, split)


def test_targets_of_training_are_not_interpolated_with_validated_values(tmp_path):
    rows = [(day(i), None if i in (10, 11) else (100 if i >= 12 else i)) for i in range(20)]
    data = series(table(tmp_path, rows), gaps="interpolate", val_length=3, test_length=5)
    assert plain(data, "train")[1][-1].tolist() == [9, 9], "the value before, not halfway to 100"


def test_known_covariates_of_the_future_are_in_the_last_steps(tmp_path):
    path = table(tmp_path, [(day(i), i % 4, i * i) for i in range(20)], "day,y,k")
    data = series(path, known=["k"], calendar=[])
    batch = data.batch("test", 0)
    assert (data.num_features, data.num_known) == (3, 1)
    scaling = data._scalings[""]
    known = batch["inputs"][0] * scaling.covariate_deviation[0] + scaling.covariate_mean[0]
    origin = batch["origin_meta"][0]
    assert known[:, 1].round().tolist() == [float(i * i) for i in range(origin - 4, origin)]
    assert known[-2:, 2].round().tolist() == [float(i * i) for i in range(origin, origin + 2)]


# -- gaps and duplicates -----------------------------------------------------------------------------------------------


def test_gaps_are_refused_unless_it_is_stated_how_they_are_filled(tmp_path, capsys):
    rows = [(day(i), None if i == 6 else i) for i in range(20) if i != 3]
    path = table(tmp_path, rows)
    with pytest.raises(UserError, match="2 of 20 values are missing: 2024-01-04, 2024-01-07") as error:
        series(path)
    assert error.value.hint == "data.gaps=interpolate, previous or zero fills them"
    for gaps, expected in (("interpolate", 3), ("previous", 2), ("zero", 0)):
        windows, _ = plain(series(path, gaps=gaps), "train")
        assert windows[0, 3] == windows[2, 1] == expected or windows[0, 3] == 2, "the first window ends in the gap"
        assert windows[2, 1] == expected
        assert "2 of 20 values are missing" in capsys.readouterr().err


def test_errors_are_not_measured_on_filled_gaps(tmp_path):
    rows = [(day(i), None if i == 17 else i) for i in range(20)]
    batch = series(table(tmp_path, rows), gaps="zero", val_length=3, test_length=5).batch("test", 0)
    assert batch["observed"].sum(1).tolist() == [2, 1, 1, 2]
    for metric in TimeSeries.metrics.values():
        judged = metric()
        fields = {n: batch[n] for n in ("targets", "spread", "center", "seasonal_error", "observed")}
        values = batch["targets"].where(batch["observed"], 1e6)
        error = measured(judged, values=values, **fields)
        assert error == 0, f"{metric.__name__} counts a gap"


def measured(metric, **fields) -> float:
    import inspect

    call = metric.update if hasattr(metric, "update") else metric
    found = call(**{name: fields[name] for name in inspect.signature(call).parameters})
    return metric.compute() if found is None else float(found[0] / found[1])


def test_a_date_that_comes_twice_is_refused_with_its_lines(tmp_path):
    rows = [(day(i), i) for i in range(20)]
    path = table(tmp_path, [*rows, (day(4), 7.5)])
    with pytest.raises(UserError, match=r"rows.csv:22: the date 2024-01-05 comes twice, first in line 6"):
        series(path)
    assert plain(series(path, duplicates="sum"), "train")[0][0, :].tolist() == [0, 1, 2, 3]
    assert plain(series(path, duplicates="sum"), "train")[1][0, 0] == 11.5
    assert plain(series(path, duplicates="mean"), "train")[1][0, 0] == 5.75


def test_dates_off_the_stated_grid_are_refused(tmp_path):
    path = table(tmp_path, [(day(i), i) for i in range(20)])
    with pytest.raises(UserError, match=r"rows.csv:3: 2024-01-02.* is not a date of steps that are weekly"):
        series(path, frequency="weekly")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 30}, "20 days are too few: of them 14 are left to train on, a window with its horizon has 32"),
        ({"target": "z"}, "there is no column 'z'"),
        ({"time": "y", "target": "day"}, "expected a date, got '0'"),
        ({"past": ["y"]}, "the column 'y' is used twice"),
        ({"test_length": 1}, "data.test_length must be >= data.horizon"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, settings, message):
    with pytest.raises(UserError, match=message):
        series(table(tmp_path, [(day(i), i) for i in range(20)]), **settings)


def test_a_window_below_the_horizon_and_an_unknown_time_zone_are_mistakes_of_the_recipe(tmp_path):
    with pytest.raises(ValueError, match="window must be >= horizon, got 1 and 2"):
        series(tmp_path, window=1)
    with pytest.raises(ValueError, match="there is no time zone 'Mars/North'"):
        series(tmp_path, time_zone="Mars/North")


def test_series_that_are_constant_or_late_are_named(tmp_path, capsys):
    rows = [(day(i), name, y) for i in range(20) for name, y in (("a", i), ("b", 7))]
    rows += [(day(i), "late", i) for i in range(16, 20)]
    series(table(tmp_path, rows, "day,shop,y"), series=["shop"])
    warned = capsys.readouterr().err
    assert "1 series begin after the training span and are left out: late" in warned
    assert "1 series repeat their season in training: mase leaves them out: b" in warned
