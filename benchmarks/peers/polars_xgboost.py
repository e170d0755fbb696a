"""polars + XGBoost: ``python -m benchmarks.peers.polars_xgboost DATA --out DIR``."""

import numpy as np
import polars as pl
import xgboost as xgb
from sklearn.metrics import roc_auc_score

from benchmarks.peers import job as j

TEXT = ["carrier", "tailnum", "origin", "dest"]
UTC = pl.Datetime("ms", "UTC")


def scanned(job: j.Job) -> pl.LazyFrame:
    """Read the rows with a target, joined, with the parts of the times and the label."""
    if job.csv:
        types = dict.fromkeys(j.NUMBERS, pl.Int32) | dict.fromkeys(TEXT, pl.Categorical)
        rows = pl.scan_csv(
            job.data, schema_overrides=types | {"arr_delay": pl.Float32, "time_hour": pl.String}
        ).with_columns(pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="ms"))
        rows = rows.with_columns(pl.col("time_hour").dt.replace_time_zone("UTC"))
    else:
        rows = pl.scan_parquet(job.data).with_columns(pl.col(TEXT).cast(pl.Categorical))
    local = pl.col("time_hour").dt.convert_time_zone(j.LOCAL)
    return (
        rows.select(j.COLUMNS)
        .filter(pl.col("arr_delay").is_not_null())
        .join(weather(), on=["origin", "time_hour"], how="left")
        .join(planes(), on="tailnum", how="left")
        .with_columns(
            label=(pl.col("arr_delay") > 15).cast(pl.Int8),
            minute_of_day=pl.col("sched_dep_time") // 100 * 60 + pl.col("sched_dep_time") % 100,
            time_hour__day_of_week=local.dt.weekday() - 1,
            time_hour__hour=local.dt.hour(),
        )
        .drop("arr_delay")
    )


def weather() -> pl.LazyFrame:
    """Read the weather by airport and hour."""
    types = dict.fromkeys(j.WEATHER, pl.Float32) | {"origin": pl.Categorical}
    table = pl.scan_csv(j.SIDE / "weather.csv", try_parse_dates=True, schema_overrides=types)
    return table.select("origin", pl.col("time_hour").cast(UTC), *j.WEATHER)


def planes() -> pl.LazyFrame:
    """Read the aeroplanes."""
    types = {"tailnum": pl.Categorical, "manufacturer": pl.Categorical}
    table = pl.scan_csv(j.SIDE / "planes.csv", schema_overrides=types)
    return table.select("tailnum", "seats", "manufacturer", planes__year="year")


def encoded(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """Encode the column as smoothed means: out of fold for training rows, fold -1 else."""
    sums = (
        rows.lazy()
        .filter(pl.col("fold") >= 0)
        .group_by(name, "fold")
        .agg(n=pl.len().cast(pl.Int64), s=pl.col("label").sum().cast(pl.Int64))
        .collect()
    )
    tables, priors = [], {}
    for fold in range(-1, j.FOLDS):
        others = sums.filter(pl.col("fold") != fold)
        priors[fold] = others["s"].sum() / others["n"].sum()
        mean = (pl.col("s") + j.SMOOTH * priors[fold]) / (pl.col("n") + j.SMOOTH)
        tables.append(
            others.group_by(name)
            .agg(pl.col("n", "s").sum())
            .select(name, pl.lit(fold, pl.Int8).alias("fold"), mean.cast(pl.Float32).alias("mean"))
        )
    joined = rows.lazy().join(pl.concat(tables).lazy(), on=[name, "fold"], how="left",
                             nulls_equal=True)  # fmt: skip
    unseen = pl.col("fold").replace_strict(priors, return_dtype=pl.Float32)
    return joined.drop(name).rename({"mean": name}).with_columns(
        pl.col(name).fill_null(unseen)
    ).collect()  # fmt: skip


def coded(rows: pl.DataFrame, name: str) -> pl.Expr:
    """1…k by frequency among the training rows, 0 for rare values."""
    frequent = (
        rows.lazy()
        .filter(pl.col("fold") >= 0, pl.col(name).is_not_null())
        .group_by(name)
        .len()
        .filter(pl.col("len") >= j.MIN_COUNT)
        .sort("len", descending=True)
        .collect()[name]
        .cast(pl.String)
    )
    codes = {value: code for code, value in enumerate(frequent, 1)}
    coded_values = (
        pl.col(name).cast(pl.String).replace_strict(codes, default=0, return_dtype=pl.Float32)
    )
    return pl.when(pl.col(name).is_not_null()).then(coded_values).alias(name)


def featured(rows: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Convert the rows to numbers, with ``fold`` and ``label``."""
    cut = j.first_test_time(rows["time_hour"].dt.replace_time_zone(None).to_numpy())
    fold = pl.Series("fold", np.random.default_rng(seed).integers(0, j.FOLDS, len(rows), "int8"))
    train = pl.col("time_hour").dt.replace_time_zone(None) < pl.lit(cut)
    rows = rows.with_columns(fold=pl.when(train).then(fold).otherwise(-1).cast(pl.Int8))
    rows = rows.drop("time_hour").with_columns(coded(rows, name) for name in j.CATEGORIES)
    for name in j.ENCODED:
        rows = encoded(rows, name)
    medians = rows.filter(pl.col("fold") >= 0).select(pl.col(j.FILLED).median()).row(0, named=True)
    filled = [pl.col(name).fill_null(medians[name]) for name in j.FILLED]
    return rows.with_columns(filled).with_columns(pl.col(j.FEATURES).cast(pl.Float32))


def main() -> None:
    """Run the whole job."""
    job = j.Job(__doc__)
    with job.stage("read"):
        rows = scanned(job).collect(engine="streaming")
    with job.stage("features"):
        rows = featured(rows, job.seed)
        train, test = rows.filter(pl.col("fold") >= 0), rows.filter(pl.col("fold") < 0)
        del rows
    with job.stage("train"):
        dtrain = xgb.QuantileDMatrix(
            train.select(j.FEATURES), train["label"].to_numpy(), max_bin=j.PARAMS["max_bin"],
            feature_types=j.TYPES, enable_categorical=True,
        )  # fmt: skip
        rows = {"train": len(train), "test": len(test)}
        del train
        model = xgb.train(job.params, dtrain, j.ROUNDS)
    with job.stage("evaluate"):
        x = test.select(j.FEATURES).to_numpy()
        score = model.inplace_predict(x, validate_features=False)
        auc = roc_auc_score(test["label"].to_numpy(), score)
    with job.stage("save"):
        model.save_model(job.out / "model.ubj")
        np.save(job.out / "test.npy", score)
    job.done(auc=auc, **rows)


if __name__ == "__main__":
    main()
