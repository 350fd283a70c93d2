"""The data `hong-kong-traffic`: passengers at the control points of Hong Kong, day by day."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from rk import files
from rk_tabular.series_data import Loaded, SeriesData, load_file
from rk_tabular.series_table import Columns

NAME = "hk-passenger-traffic/statistics_on_daily_passenger_traffic.csv"
COMMIT = "8873cbb6e52d2c8f576653c1577ba53f40b5813b"
HOME = f"https://raw.githubusercontent.com/vila-c/hk-passenger-traffic-analysis/{COMMIT}/{Path(NAME).name}"
CHECKSUM = "sha256:3f84b4ac5cdf8540a2a8a51440c37c384fab91748252b1d216f8bb93ba5ce18d"


class HongKongTraffic(SeriesData):
    """Daily passengers at the control points of Hong Kong, arrivals and departures.

    Counted by the Immigration Department (data.gov.hk, free with attribution): 34 series of up to 1893 days, from
    1 January 2021 to 8 March 2026. The borders were all but closed until early 2023. The file, of which a copy is
    downloaded from GitHub, has dates such as 31-01-2021, a byte order mark, a comma behind each row, and a control
    point that is renamed near its end.

    Args:
        target: Which passengers.

    Examples:
        data: {name: hong-kong-traffic, window: 28, horizon: 14}
    """

    _day_first = True

    def __init__(
        self,
        *,
        target: Literal["Total", "Hong Kong Residents", "Mainland Visitors", "Other Visitors"] = "Total",
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._columns = Columns("Date", (target,), ("Control Point", "Arrival / Departure"))

    def _load(self) -> Loaded:
        packed = files.data_folder() / f"{NAME}.gz"
        path = packed if packed.is_file() else files.fetch(NAME, HOME, CHECKSUM)
        return load_file(path, self._columns, "error", "daily", True, None)
