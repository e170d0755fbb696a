"""cuDF + XGBoost on one GPU: ``python -m benchmarks.peers.cudf_xgboost DATA --out DIR``.

Needs the extra `gpu`. It has not been run on a GPU yet: benchmarks/README.md.
"""

import cudf
import cupy as cp
import numpy as np
import rmm
import xgboost as xgb
from sklearn.metrics import roc_auc_score

from benchmarks.peers import job as j

TEXT = ["carrier", "tailnum", "origin", "dest"]


def read(job: j.Job) -> cudf.DataFrame:
    """Read the used columns of the rows with a target, text as categories."""
    if job.csv:
        types = dict.fromkeys(TEXT, "str") | dict.fromkeys(j.NUMBERS, "int32")
        types |= {"arr_delay": "float32", "time_hour": "str"}
        rows = cudf.read_csv(job.data, usecols=j.COLUMNS, dtype=types)
        rows["time_hour"] = stamps(rows["time_hour"])
    else:
        rows = cudf.read_parquet(job.data, columns=j.COLUMNS)
        rows["time_hour"] = rows["time_hour"].astype("datetime64[ms]")
    rows = rows[rows["arr_delay"].notna()].reset_index(drop=True)
    rows["label"] = (rows["arr_delay"] > 15).astype("int8")
    return rows.drop(columns="arr_delay")


def stamps(text: cudf.Series) -> cudf.Series:
    """Convert times to UTC."""
    times = cudf.to_datetime(text.str.slice(0, 19), format="%Y-%m-%dT%H:%M:%S")
    return times.astype("datetime64[ms]")


def joined(rows: cudf.DataFrame) -> cudf.DataFrame:
    """Join the weather at the origin and the data of the aeroplane."""
    weather = cudf.read_csv(j.SIDE / "weather.csv", usecols=["origin", "time_hour", *j.WEATHER])
    weather["time_hour"] = stamps(weather["time_hour"])
    planes = cudf.read_csv(
        j.SIDE / "planes.csv", usecols=["tailnum", "year", "seats", "manufacturer"]
    ).rename(columns={"year": "planes__year"})
    rows = rows.merge(weather, on=["origin", "time_hour"], how="left")
    return rows.merge(planes, on="tailnum", how="left")


def with_times(rows: cudf.DataFrame) -> cudf.DataFrame:
    """Add the parts of the times."""
    departure = rows["sched_dep_time"].astype("int32")
    rows["minute_of_day"] = departure // 100 * 60 + departure % 100
    local = rows["time_hour"].dt.tz_localize("UTC").dt.tz_convert(j.LOCAL)
    rows["time_hour__day_of_week"] = local.dt.dayofweek
    rows["time_hour__hour"] = local.dt.hour
    return rows


def target_means(
    column: cudf.Series, train: cp.ndarray, fold: cp.ndarray, label: cp.ndarray
) -> cp.ndarray:
    """Smoothed means of the label: out of fold for training rows, over all of them for others."""
    column = column.astype("category")
    codes = column.cat.codes.astype("int64").fillna(-1).to_cupy() + 1  # 0 is missing
    codes = cp.maximum(codes, 0)
    keys, cell = len(column.cat.categories) + 1, codes[train] * j.FOLDS + fold
    counts = cp.bincount(cell, minlength=keys * j.FOLDS).reshape(keys, j.FOLDS)
    sums = cp.bincount(cell, label, minlength=keys * j.FOLDS).reshape(keys, j.FOLDS)

    def means(counts: cp.ndarray, sums: cp.ndarray) -> cp.ndarray:
        prior = sums.sum(axis=0) / counts.sum(axis=0)
        return (sums + j.SMOOTH * prior) / (counts + j.SMOOTH)

    everyone = means(counts.sum(axis=1), sums.sum(axis=1))[codes]
    others = means(
        counts.sum(axis=1, keepdims=True) - counts, sums.sum(axis=1, keepdims=True) - sums
    )
    everyone[train] = others.reshape(-1)[cell]
    return everyone


def category_codes(column: cudf.Series, train: cp.ndarray) -> cp.ndarray:
    """1…k by frequency among the training rows, 0 for rare values, NaN for missing."""
    column = column.astype("category")
    missing = column.isna().to_cupy()
    codes = cp.where(missing, 0, column.cat.codes.fillna(0).to_cupy().astype("int64"))
    counts = cp.bincount(codes[train & ~missing], minlength=len(column.cat.categories))
    rank = cp.empty(len(counts), "float32")
    rank[cp.argsort(-counts)] = cp.arange(1, len(counts) + 1, dtype="float32")
    rank[counts < j.MIN_COUNT] = 0
    return cp.where(missing, cp.float32("nan"), rank[codes])


def matrix(
    rows: cudf.DataFrame, train: cp.ndarray, label: cp.ndarray, seed: int
) -> cp.ndarray:  # fmt: skip
    """float32 (rows, features)."""
    fold = cp.asarray(np.random.default_rng(seed).integers(0, j.FOLDS, int(train.sum())))
    x = cp.empty((len(rows), len(j.FEATURES)), "float32")
    for at, name in enumerate(j.FEATURES):
        if name in j.ENCODED:
            x[:, at] = target_means(rows[name], train, fold, label[train])
        elif name in j.CATEGORIES:
            x[:, at] = category_codes(rows[name], train)
        else:
            values = rows[name].astype("float32")
            median = values[cudf.Series(train)].median()
            x[:, at] = values.fillna(median).to_cupy()
        rows = rows.drop(columns=name)
    return x


def main() -> None:
    """Run the whole job."""
    job = j.Job(__doc__)
    rmm.mr.set_current_device_resource(rmm.mr.CudaAsyncMemoryResource())
    with job.stage("read"):
        rows = read(job)
    with job.stage("features"):
        rows = with_times(joined(rows))  # a merge of cuDF does not keep the order: labels after it
        label = rows["label"].to_cupy().astype("float64")
        times = rows["time_hour"].to_numpy()
        train = cp.asarray(times < j.first_test_time(times))
        x = matrix(rows, train, label, job.seed)
        del rows
    with job.stage("train"):
        dtrain = xgb.QuantileDMatrix(
            x[train], label[train], max_bin=j.PARAMS["max_bin"], feature_names=j.FEATURES,
            feature_types=j.TYPES, enable_categorical=True,
        )  # fmt: skip
        model = xgb.train(job.params | {"device": "cuda"}, dtrain, j.ROUNDS)
    with job.stage("evaluate"):
        score = cp.asnumpy(model.inplace_predict(x[~train], validate_features=False))
        auc = roc_auc_score(cp.asnumpy(label[~train]), score)
    with job.stage("save"):
        model.save_model(job.out / "model.ubj")
        np.save(job.out / "test.npy", score)
    job.done(auc=auc, train=int(train.sum()), test=int((~train).sum()))


if __name__ == "__main__":
    main()
