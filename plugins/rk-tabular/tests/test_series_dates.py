"""Dates in a column, the grid that they are on, and their calendar features."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rk_tabular.series_calendar import calendar_features, calendar_names, usual_cycles
from rk_tabular.series_dates import AmbiguousDates, parse_dates
from rk_tabular.series_frequency import DAY, HOUR, Frequency, detect_frequency, stated_frequency

from rk import UserError


def parsed(*cells, **settings) -> list[str]:
    """The dates of a column as ISO texts, without seconds that are 0."""
    found = parse_dates(cells, lambda row: f"rows.csv:{row + 2}", **settings)
    return [str(stamp.astype("datetime64[m]")) for stamp in found.stamps]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2024-01-31", "2024-01-31T00:00"),
        (" 2024/1/31 ", "2024-01-31T00:00"),
        ("20240131", "2024-01-31T00:00"),
        ("31-01-2024", "2024-01-31T00:00"),
        ("31.01.2024", "2024-01-31T00:00"),
        ("1/31/2024", "2024-01-31T00:00"),
        ("31 Jan 2024", "2024-01-31T00:00"),
        ("31-January-2024", "2024-01-31T00:00"),
        ("Jan 31, 2024", "2024-01-31T00:00"),
        ("2024-02", "2024-02-01T00:00"),
        ("2/2024", "2024-02-01T00:00"),
        ("February 2024", "2024-02-01T00:00"),
        ("2024-Q3", "2024-07-01T00:00"),
        ("2024", "2024-01-01T00:00"),
        ("2024-01-31T14:30:59.25", "2024-01-31T14:30"),
        ("1/31/2024 2:30 PM", "2024-01-31T14:30"),
        ("2024-01-31 12:05 am", "2024-01-31T00:05"),
        ("2024-01-31 24:00", "2024-02-01T00:00"),
    ],
)
def test_a_date_may_be_written_in_many_ways(cell, expected):
    assert parsed(cell) == [expected]


def test_one_date_of_the_column_shows_whether_days_come_first():
    assert parsed("01/02/2024", "13/02/2024")[0] == "2024-02-01T00:00"
    assert parsed("01/02/2024", "02/13/2024")[0] == "2024-01-02T00:00"
    assert parsed("01/02/2024", day_first=False) == ["2024-01-02T00:00"]
    assert parsed("02/02/2024") == ["2024-02-02T00:00"], "both readings are the same date"


def test_a_column_without_such_a_date_is_refused():
    with pytest.raises(AmbiguousDates, match=r"rows\.csv:3: '01/02/2024': does the day come first") as error:
        parsed("02/02/2024", "01/02/2024")
    assert error.value.hint == "data.day_first=true or data.day_first=false"


def test_a_column_with_both_orders_is_refused_with_both_lines():
    with pytest.raises(UserError, match=r"rows.csv:3: '01/13/2024' has the month first, but .* \(rows.csv:2\)"):
        parsed("13/01/2024", "01/13/2024")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("soon", "rows.csv:2: expected a date, got 'soon'"),
        (None, "rows.csv:2: expected a date, got an empty cell"),
        ("2024-02-30", "'2024-02-30' is not a date: day is out of range"),
        ("2024-01-01 25:00", "has no such time of day"),
        ("31 Foo 2024", "'Foo' is not a month in English"),
        ("31.01.24", "expected a date, got '31.01.24'"),
    ],
)
def test_what_is_not_a_date_is_refused_with_its_line(cell, message):
    with pytest.raises(UserError, match=message):
        parsed(cell)


def test_a_stated_order_that_does_not_fit_is_refused():
    with pytest.raises(UserError, match="'01/13/2024' is not a date with the day first"):
        parsed("01/13/2024", day_first=True)


def test_offsets_become_utc_and_midnights_stay_days():
    assert parsed("2024-03-31T01:00+01:00", "2024-03-31T03:00+02:00") == ["2024-03-31T00:00", "2024-03-31T01:00"]
    assert parsed("2024-03-31T00:00+01:00", "2024-04-01T00:00+02:00") == ["2024-03-31T00:00", "2024-04-01T00:00"]
    utc_of_midnights = ("2024-03-30T23:00Z", "2024-03-31T22:00Z")
    assert parsed(*utc_of_midnights, zone=ZoneInfo("Europe/Zurich")) == ["2024-03-31T00:00", "2024-04-01T00:00"]
    with pytest.raises(UserError, match=r"rows\.csv:3: '2024-03-31 03:00' has no offset from UTC, other rows have one"):
        parsed("2024-03-31 01:00+01:00", "2024-03-31 03:00")


def test_the_hour_that_comes_twice_is_two_hours():
    zone = ZoneInfo("Europe/Zurich")
    hours = ["2024-10-27 01:00", "2024-10-27 02:00", "2024-10-27 02:00", "2024-10-27 03:00"]
    assert parsed(*hours, zone=zone) == [
        f"2024-10-{d}T{h}:00" for d, h in ((26, 23), (27, "00"), (27, "01"), (27, "02"))
    ]
    with pytest.raises(UserError, match="'2024-03-31 02:30' does not exist in Europe/Zurich"):
        parsed("2024-03-31 02:30", "2024-03-31 03:30", zone=zone)


@settings(max_examples=150, deadline=None)
@given(st.text("0123456789-/.: TZQqJanFebpm+", max_size=24) | st.dates().map(lambda d: d.strftime("%d/%m/%Y %H:%M")))
def test_any_text_is_a_date_or_refused(text):
    try:
        found = parse_dates([text], str)
    except UserError:
        return
    assert found.stamps.dtype == "datetime64[us]" and 1500 < found.stamps[0].item().year < 9001


# -- frequencies -------------------------------------------------------------------------------------------------------


def found(*stamps: str) -> Frequency:
    return detect_frequency([np.array(stamps, "datetime64[us]")], lambda stamp: f"the date {stamp}")


@pytest.mark.parametrize(
    ("stamps", "name", "season"),
    [
        (("2024-01-01T00:00", "2024-01-01T01:00", "2024-01-01T02:00"), "hourly", 24),
        (("2024-01-01T00:00", "2024-01-01T00:15", "2024-01-01T00:30"), "every 15 minutes", 96),
        (("2024-01-06", "2024-01-07", "2024-01-08"), "daily", 7),
        (("2024-01-03", "2024-01-10", "2024-01-17"), "weekly", 52),
        (("2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09"), "business-days", 5),
        (("2024-01-01", "2024-02-01", "2024-03-01"), "monthly", 12),
        (("2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"), "monthly", 12),
        (("2024-01-30", "2024-02-29", "2024-03-30"), "monthly", 12),
        (("2023-03-31", "2023-06-30", "2023-09-30"), "quarterly", 4),
        (("2022-01-01", "2023-01-01", "2024-01-01", "2025-01-01"), "yearly", 1),
        (("2024-01-01", "2024-01-02", "2024-01-04", "2024-01-06"), "daily", 7),
    ],
)
def test_the_grid_with_the_fewest_gaps_is_found(stamps, name, season):
    frequency = found(*stamps)
    assert (frequency.name, frequency.season) == (name, season)
    steps, on_grid = frequency.steps(np.array(stamps, "datetime64[us]"))
    assert on_grid.all() and (frequency.stamps(steps) == np.array(stamps, "datetime64[us]")).all()


def test_dates_beyond_those_of_the_file_are_on_the_same_grid():
    months = found("2024-01-31", "2024-02-29", "2024-03-31")
    assert [months.written(step) for step in (-2, 3, 13)] == ["2023-11-30", "2024-04-30", "2025-02-28"]
    working = found("2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09")
    assert [working.written(step) for step in (-1, 4, 7)] == ["2024-01-03", "2024-01-10", "2024-01-15"]
    assert found("2024-01-01T06:00", "2024-01-02T06:00", "2024-01-03T06:00").written(3, "+00:00") == (
        "2024-01-04T06:00:00+00:00"
    )


def test_dates_that_are_on_no_grid_are_refused_with_the_first_odd_one():
    with pytest.raises(
        UserError, match="the dates are not regular: 7 minutes after the one before, most are 1 day apart"
    ):
        found("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-03T00:07", "2024-01-09")
    with pytest.raises(UserError, match="expected at least 3 dates"):
        found("2024-01-01", "2024-01-02")


def test_a_stated_frequency_begins_with_the_first_date():
    every = np.array(["2024-01-01", "2024-01-15"], "datetime64[us]")
    assert stated_frequency("weekly", every).steps(every)[0].tolist() == [0, 2]
    assert not stated_frequency("monthly", every).steps(every)[1].all()


# -- the calendar ------------------------------------------------------------------------------------------------------


def test_days_of_the_week_repeat_after_seven_and_are_distinguished():
    first = date(2024, 1, 1)
    days = np.array([first + timedelta(days=i) for i in range(14)], "datetime64[us]")
    features = calendar_features(days, ("weekday",))
    assert np.allclose(features[:7], features[7:]) and len(calendar_names(("weekday",))) == features.shape[1] == 6
    assert np.linalg.matrix_rank(np.c_[features[:7], np.ones(7)]) == 7, "any pattern of a week is linear in them"


def test_usual_features_are_longer_than_a_step_and_a_year_is_seen_twice():
    assert usual_cycles(Frequency("fixed", HOUR, 0), 1000) == ("hour", "weekday")
    assert usual_cycles(Frequency("fixed", DAY, 0), 729) == ("weekday",)
    assert usual_cycles(Frequency("fixed", DAY, 0), 731) == ("weekday", "month")
    assert usual_cycles(Frequency("months", 1, 0, 1), 24) == ("month",)
    assert usual_cycles(Frequency("months", 12, 0, 1), 24) == ()
