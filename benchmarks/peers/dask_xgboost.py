"""Dask DataFrame + xgboost.dask, a worker per core: ``python -m benchmarks.peers.dask_xgboost``."""

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.distributed import Client, LocalCluster
from sklearn.metrics import roc_auc_score
from xgboost import dask as dxgb

from benchmarks.peers import job as j

TEXT = ["carrier", "tailnum", "origin", "dest"]


def read(job: j.Job) -> dd.DataFrame:
    """Read the used columns of the rows with a target, with the label."""
    if job.csv:
        types = dict.fromkeys(TEXT, "string") | dict.fromkeys(j.NUMBERS, "int32")
        rows = dd.read_csv(
            job.data, blocksize="32MB", usecols=j.COLUMNS, dtype=types | {"arr_delay": "float32"},
            parse_dates=["time_hour"], date_format="%Y-%m-%dT%H:%M:%S%z",
        )  # fmt: skip
    else:
        rows = dd.read_parquet(job.data, columns=j.COLUMNS, split_row_groups=True)
    return rows.map_partitions(labelled)


def labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Replace the delay by the label."""
    rows = rows[rows["arr_delay"].notna()]
    label = (rows["arr_delay"] > 15).astype("int8")
    stamps = rows["time_hour"].astype("datetime64[ms, UTC]")
    return rows.drop(columns="arr_delay").assign(label=label, time_hour=stamps)


def side_tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Weather and aeroplanes."""
    weather = pd.read_csv(
        j.SIDE / "weather.csv", usecols=["origin", "time_hour", *j.WEATHER],
        dtype=dict.fromkeys(j.WEATHER, "float32"), parse_dates=["time_hour"],
    )  # fmt: skip
    weather["time_hour"] = weather["time_hour"].astype("datetime64[ms, UTC]")
    planes = pd.read_csv(
        j.SIDE / "planes.csv", usecols=["tailnum", "year", "seats", "manufacturer"],
        dtype={"year": "float32", "seats": "float32"},
    )  # fmt: skip
    return weather, planes.rename(columns={"year": "planes__year"})


def prepared(
    rows: pd.DataFrame, weather: pd.DataFrame, planes: pd.DataFrame, cut: pd.Timestamp,
    *, seed: int, partition_info: dict | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Add joins, parts of times, and ``fold``: -1 for test rows."""
    number = (partition_info or {"number": 0})["number"]
    fold = np.random.default_rng([seed, number]).integers(0, j.FOLDS, len(rows), "int8")
    fold = np.where(rows["time_hour"] < cut, fold, -1).astype("int8")
    rows = rows.assign(fold=fold)
    rows = rows.merge(weather, on=["origin", "time_hour"], how="left")
    rows = rows.merge(planes, on="tailnum", how="left")
    local = rows.pop("time_hour").dt.tz_convert(j.LOCAL)
    minutes = rows["sched_dep_time"] // 100 * 60 + rows["sched_dep_time"] % 100
    return rows.assign(
        minute_of_day=minutes, time_hour__day_of_week=local.dt.dayofweek,
        time_hour__hour=local.dt.hour,
    )  # fmt: skip


def mean_table(sums: pd.DataFrame, name: str) -> tuple[pd.DataFrame, dict[int, float]]:
    """Smoothed means by value and fold (from the other folds), and each fold's prior."""
    tables, priors = [], {}
    for fold in range(-1, j.FOLDS):
        others = sums[sums["fold"] != fold].groupby(name, dropna=False)[["count", "sum"]].sum()
        priors[fold] = others["sum"].sum() / others["count"].sum()
        mean = (others["sum"] + j.SMOOTH * priors[fold]) / (others["count"] + j.SMOOTH)
        tables.append(mean.rename("mean").reset_index().assign(fold=np.int8(fold)))
    return pd.concat(tables, ignore_index=True), priors


def finished(rows: pd.DataFrame, means: dict, codes: dict, medians: dict) -> pd.DataFrame:
    """float32 features, with ``fold`` and ``label``."""
    columns = rows[["fold", "label"]].copy()
    for name in j.FEATURES:
        if name in means:
            table, priors = means[name]
            encoded = rows[[name, "fold"]].merge(table, on=[name, "fold"], how="left")["mean"]
            column = encoded.fillna(rows["fold"].map(priors).reset_index(drop=True)).to_numpy()
        elif name in codes:
            column = rows[name].map(codes[name]).fillna(0).where(rows[name].notna())
        else:
            column = rows[name].fillna(medians[name])
        columns[name] = np.asarray(column, dtype="float32")
    return columns


def fitted(rows: dd.DataFrame) -> tuple[dict, dict, dict]:
    """Target means, codes and medians of the training rows, in one pass."""
    train = rows[rows["fold"] >= 0]
    sums = [
        train.groupby([name, "fold"], dropna=False)["label"].agg(["count", "sum"])
        for name in j.ENCODED
    ]
    counts = [train[name].value_counts() for name in j.CATEGORIES]
    numbers = [name for name in j.FILLED if name not in j.ENCODED]
    medians = train[numbers].quantile(0.5)
    sums, counts, medians = dask.compute(sums, counts, medians)
    means = {
        name: mean_table(s.reset_index(), name) for name, s in zip(j.ENCODED, sums, strict=True)
    }
    codes = {}
    for name, count in zip(j.CATEGORIES, counts, strict=True):
        frequent = count[count >= j.MIN_COUNT].sort_values(ascending=False).index
        codes[name] = {value: code for code, value in enumerate(frequent, 1)}
    return means, codes, medians.to_dict()


def main() -> None:
    """Run the whole job."""
    job = j.Job(__doc__)
    with job.stage("cluster"):
        cluster = LocalCluster(
            n_workers=j.CORES, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        )
        client = Client(cluster)
    with job.stage("read"):
        rows = read(job).persist()
        times = rows["time_hour"].compute().dt.tz_localize(None).to_numpy()
    with job.stage("features"):
        cut = pd.Timestamp(j.first_test_time(times), tz="UTC")
        meta = prepared(rows._meta, *side_tables(), cut, seed=job.seed)
        rows = rows.map_partitions(
            prepared, *side_tables(), cut, seed=job.seed, meta=meta
        ).persist()
        means, codes, medians = fitted(rows)
        meta = finished(meta, means, codes, medians)
        rows = rows.map_partitions(finished, means, codes, medians, meta=meta).persist()
        train, test = rows[rows["fold"] >= 0].persist(), rows[rows["fold"] < 0].persist()
        sizes = {"train": len(train), "test": len(test)}
        del rows
    with job.stage("train"):
        dtrain = dxgb.DaskQuantileDMatrix(
            client, train[j.FEATURES], train["label"], max_bin=j.PARAMS["max_bin"],
            feature_types=j.TYPES, enable_categorical=True,
        )  # fmt: skip
        model = dxgb.train(client, job.params, dtrain, j.ROUNDS)["booster"]
    with job.stage("evaluate"):
        score = dxgb.inplace_predict(client, model, test[j.FEATURES], validate_features=False)
        score, label = dask.compute(score, test["label"])
        auc = roc_auc_score(label, score)
    with job.stage("save"):
        model.save_model(job.out / "model.ubj")
        np.save(job.out / "test.npy", np.asarray(score))
    job.done(auc=auc, **sizes)
    client.close()
    cluster.close()


if __name__ == "__main__":
    main()
