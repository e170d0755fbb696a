"""Real tables of many shapes, from packages that the tests need anyway; and spoilt variants.

Each is a function that returns a frame, beside its target. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

FLIGHTS = Path(__file__).parents[2] / "data" / "flights"


@dataclass(frozen=True)
class DataSet:
    """A table and what is predicted from it."""

    make: Callable[[], pd.DataFrame]
    target: str
    """A column, or an expression over columns."""
    format: str = "csv"
    expected: str = ""
    """The task that has to be found."""

    def write(self, folder: Path) -> Path:
        """Writes the table as the user would have it; returns the file."""
        path = folder / f"data.{self.format}"
        frame = self.make()
        if self.format == "csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path, index=False)
        return path


def _sklearn(name: str, *, names: bool = False) -> pd.DataFrame:
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")(as_frame=True)
    frame = found.frame
    if names:
        frame["target"] = found.target_names[frame["target"]]
    return frame


def _statsmodels(name: str) -> pd.DataFrame:
    import importlib

    return importlib.import_module(f"statsmodels.datasets.{name}").load_pandas().data


def _co2() -> pd.DataFrame:
    return _statsmodels("co2").rename_axis("date").reset_index()


def _planes() -> pd.DataFrame:
    return pd.read_csv(FLIGHTS / "planes.csv")


def _weather() -> pd.DataFrame:
    return pd.read_csv(FLIGHTS / "weather.csv").drop(columns=["dewp"])  # it gives temp away


def _airports() -> pd.DataFrame:
    return pd.read_csv(FLIGHTS / "airports.csv").drop(columns=["tz"])  # it gives tzone away


def _flights() -> pd.DataFrame:
    """20,000 flights, with what is known before departure."""
    late = ["dep_time", "dep_delay", "arr_time", "air_time"]
    frame = pd.read_parquet(FLIGHTS / "flights.parquet").drop(columns=late)
    return frame.sample(20_000, random_state=0).sort_index()


REAL = {
    "iris": DataSet(lambda: _sklearn("iris", names=True), "target", expected="multiclass"),
    "wine": DataSet(lambda: _sklearn("wine"), "target", "parquet", "multiclass"),
    "breast cancer": DataSet(
        lambda: _sklearn("breast_cancer", names=True), "target", expected="binary"
    ),
    "diabetes": DataSet(lambda: _sklearn("diabetes"), "target", "parquet", "regression"),
    "digits": DataSet(lambda: _sklearn("digits"), "target", "parquet", "multiclass"),
    "affairs": DataSet(lambda: _statsmodels("fair"), "affairs > 0", expected="binary"),
    "anes96": DataSet(lambda: _statsmodels("anes96"), "vote", expected="binary"),
    "party": DataSet(lambda: _statsmodels("anes96"), "PID", expected="multiclass"),
    "randhie": DataSet(lambda: _statsmodels("randhie"), "mdvis", "parquet", "regression"),
    "mode choice": DataSet(lambda: _statsmodels("modechoice"), "choice", expected="binary"),
    "star98": DataSet(lambda: _statsmodels("star98"), "NABOVE", expected="regression"),
    "fertility": DataSet(lambda: _statsmodels("fertility"), "`2011`", expected="regression"),
    "grunfeld": DataSet(lambda: _statsmodels("grunfeld"), "invest", "parquet", "regression"),
    "co2": DataSet(_co2, "co2", expected="regression"),
    "planes": DataSet(_planes, "engine", expected="multiclass"),
    "airports": DataSet(_airports, "tzone", expected="multiclass"),
    "weather": DataSet(_weather, "temp", expected="regression"),
    "flights": DataSet(_flights, "arr_delay > 15", "parquet", "binary"),
}


def hgb_input(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The frame as `HistGradientBoosting` can take it, and its text columns.

    Dates become their parts and days since 1970, booleans numbers; text stays for the encoder.
    """
    made: dict[str, pd.Series] = {}
    texts = []
    for name in frame.columns:
        column = frame[name]
        parsed = _as_datetime(column)
        if parsed is not None:
            for part in ("year", "month", "day", "dayofweek", "hour"):
                made[f"{name}__{part}"] = getattr(parsed.dt, part).astype("float64")
            since = parsed - pd.Timestamp("1970-01-01", tz=parsed.dt.tz)
            made[f"{name}__days"] = since.dt.total_seconds() / 86_400
        elif pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            made[name] = column.astype("float64")
        else:
            made[name] = column.astype(object).where(column.notna(), np.nan)
            texts.append(name)
    return pd.DataFrame(made), texts


def _as_datetime(column: pd.Series) -> pd.Series | None:
    if pd.api.types.is_datetime64_any_dtype(column):
        return column
    if pd.api.types.is_numeric_dtype(column) or not column.notna().any():
        return None
    try:
        return pd.to_datetime(column, format="ISO8601", utc=True)
    except (ValueError, TypeError):
        return None
