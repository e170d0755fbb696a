"""pandas + scikit-learn + XGBoost: ``python -m benchmarks.peers.pandas_xgboost DATA --out DIR``.

Written with care: only the used columns, text as categories from the start, joins of categories,
target means from counts over codes.
"""

import numpy as np
import pandas as pd
import xgboost as xgb
from sklearn.metrics import roc_auc_score

from benchmarks.peers import job as j


def read(job: j.Job) -> pd.DataFrame:
    """Read the used columns of the rows with a target."""
    text = ["carrier", "tailnum", "origin", "dest"]
    if job.csv:
        types = dict.fromkeys(text, "category") | dict.fromkeys(j.NUMBERS, "int32")
        rows = pd.read_csv(
            job.data, usecols=j.COLUMNS, dtype=types | {"arr_delay": "float32"},
            parse_dates=["time_hour"], date_format="%Y-%m-%dT%H:%M:%SZ",
        )  # fmt: skip
        if rows["time_hour"].dt.tz is None:
            rows["time_hour"] = rows["time_hour"].dt.tz_localize("UTC")
    else:
        rows = pd.read_parquet(job.data, columns=j.COLUMNS)
        rows = rows.astype(dict.fromkeys(text, "category"))
    rows = rows[rows["arr_delay"].notna()].reset_index(drop=True)
    rows["label"] = (rows.pop("arr_delay") > 15).astype("int8")
    return rows


def joined(rows: pd.DataFrame) -> pd.DataFrame:
    """Join the weather at the origin and the data of the aeroplane."""
    weather = pd.read_csv(
        j.SIDE / "weather.csv", usecols=["origin", "time_hour", *j.WEATHER],
        dtype=dict.fromkeys(j.WEATHER, "float32"), parse_dates=["time_hour"],
    )  # fmt: skip
    weather["origin"] = weather["origin"].astype(rows["origin"].dtype)
    weather["time_hour"] = weather["time_hour"].astype(rows["time_hour"].dtype)
    planes = pd.read_csv(
        j.SIDE / "planes.csv", usecols=["tailnum", "year", "seats", "manufacturer"],
        dtype={"year": "float32", "seats": "float32", "manufacturer": "category"},
    )  # fmt: skip
    planes = planes[planes["tailnum"].isin(rows["tailnum"].cat.categories)]
    planes["tailnum"] = planes["tailnum"].astype(rows["tailnum"].dtype)
    planes = planes.rename(columns={"year": "planes__year"})
    rows = rows.merge(weather, on=["origin", "time_hour"], how="left")
    return rows.merge(planes, on="tailnum", how="left")


def with_times(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the parts of the times."""
    minutes = rows["sched_dep_time"] // 100 * 60 + rows["sched_dep_time"] % 100
    local = rows["time_hour"].dt.tz_convert(j.LOCAL)
    return rows.assign(
        minute_of_day=minutes, time_hour__day_of_week=local.dt.dayofweek,
        time_hour__hour=local.dt.hour,
    )  # fmt: skip


def target_means(column: pd.Series, train: np.ndarray, fold: np.ndarray, label: np.ndarray):
    """Smoothed means of the label: out of fold for training rows, over all of them for others."""
    codes = column.cat.codes.to_numpy("int64") + 1  # 0 is missing
    keys, cell = len(column.cat.categories) + 1, codes[train] * j.FOLDS + fold
    counts = np.bincount(cell, minlength=keys * j.FOLDS).reshape(keys, j.FOLDS)
    sums = np.bincount(cell, label, minlength=keys * j.FOLDS).reshape(keys, j.FOLDS)

    def means(counts: np.ndarray, sums: np.ndarray) -> np.ndarray:
        prior = sums.sum(axis=0) / counts.sum(axis=0)
        return (sums + j.SMOOTH * prior) / (counts + j.SMOOTH)

    everyone = means(counts.sum(axis=1), sums.sum(axis=1))[codes]
    others = means(
        counts.sum(axis=1, keepdims=True) - counts, sums.sum(axis=1, keepdims=True) - sums
    )
    everyone[train] = others.reshape(-1)[cell]
    return everyone


def category_codes(column: pd.Series, train: np.ndarray) -> np.ndarray:
    """1…k by frequency among the training rows, 0 for rare values, NaN for missing."""
    column = column.astype("category")
    codes = column.cat.codes.to_numpy()
    counts = np.bincount(codes[train & (codes >= 0)], minlength=len(column.cat.categories))
    rank = np.empty(len(counts) + 1, "float32")
    rank[np.argsort(-counts, kind="stable")] = np.arange(1, len(counts) + 1)
    rank[:-1][counts < j.MIN_COUNT] = 0
    rank[-1] = np.nan
    return rank[codes]


def matrix(
    rows: pd.DataFrame, train: np.ndarray, label: np.ndarray, seed: int
) -> np.ndarray:  # fmt: skip
    """float32 (rows, features)."""
    fold = np.random.default_rng(seed).integers(0, j.FOLDS, int(train.sum()))
    x = np.empty((len(rows), len(j.FEATURES)), "float32")
    for at, name in enumerate(j.FEATURES):
        if name in j.ENCODED:
            x[:, at] = target_means(rows[name], train, fold, label[train])
        elif name in j.CATEGORIES:
            x[:, at] = category_codes(rows[name], train)
        else:
            x[:, at] = rows[name].to_numpy()
            missing = np.isnan(x[:, at])
            if missing.any():
                x[missing, at] = np.nanmedian(x[train, at])
        del rows[name]
    return x


def main() -> None:
    """Run the whole job."""
    job = j.Job(__doc__)
    with job.stage("read"):
        rows = read(job)
    with job.stage("features"):
        label = rows["label"].to_numpy()
        times = rows["time_hour"].dt.tz_localize(None).to_numpy()
        train = times < j.first_test_time(times)
        x = matrix(with_times(joined(rows)), train, label, job.seed)
        del rows, times
    train_and_score(
        job, x, label, train,
        feature_names=j.FEATURES, feature_types=j.TYPES, enable_categorical=True,
    )  # fmt: skip


def train_and_score(
    job: j.Job, x: np.ndarray, label: np.ndarray, train: np.ndarray, **columns: object
) -> None:
    """Train on the chosen rows, score the others, and save the model and the scores.

    Args:
        job: the command.
        x: float32 (rows, features).
        label: int8 (rows,).
        train: bool (rows,).
        columns: names and types of the features for XGBoost's matrix.
    """
    with job.stage("train"):
        dtrain = xgb.QuantileDMatrix(x[train], label[train], max_bin=j.PARAMS["max_bin"], **columns)
        model = xgb.train(job.params, dtrain, j.ROUNDS)
    with job.stage("evaluate"):
        score = model.inplace_predict(x[~train], validate_features=False)
        auc = roc_auc_score(label[~train], score)
    with job.stage("save"):
        model.save_model(job.out / "model.ubj")
        np.save(job.out / "test.npy", score)
    job.done(auc=auc, train=int(train.sum()), test=int((~train).sum()))


if __name__ == "__main__":
    main()
