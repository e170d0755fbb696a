"""pandas + XGBoost on complete flights: ``python -m benchmarks.peers.pandas_dense DATA --out DIR``.

The script at its best: Arrow's reader, only the used columns, text as categories from the start,
float32 written once into one matrix in the order of XGBoost's reads, no missing values, and the
fewest copies.
"""

import numpy as np
import pandas as pd
import xgboost as xgb
from sklearn.metrics import roc_auc_score

from benchmarks.peers import dense_job as d
from benchmarks.peers import job as j
from benchmarks.peers.pandas_xgboost import category_codes, target_means


def read(job: j.Job) -> pd.DataFrame:
    """Read the used columns."""
    if job.csv:
        rows = pd.read_csv(
            job.data,
            usecols=d.COLUMNS,
            dtype=dict.fromkeys(d.TEXT, "category") | dict.fromkeys(d.NUMBERS, "int16"),
            parse_dates=["time_hour"],
            date_format="%Y-%m-%dT%H:%M:%SZ",
        )
    else:
        rows = pd.read_parquet(job.data, columns=d.COLUMNS)
        rows = rows.astype(dict.fromkeys(d.TEXT, "category"))
    return rows


def build_matrix(rows: pd.DataFrame, train: np.ndarray, label: np.ndarray, seed: int) -> np.ndarray:
    """Return the features as float32 (rows, features)."""
    fold = np.random.default_rng(seed + 1).integers(0, j.FOLDS, int(train.sum()))
    rows["weekday"] = rows.pop("time_hour").dt.dayofweek
    x = np.empty((len(rows), len(d.FEATURES)), "float32")
    for at, name in enumerate(d.FEATURES):
        if name in d.ENCODED:
            x[:, at] = target_means(rows[name].astype("category"), train, fold, label[train])
        elif name in d.CODED:
            x[:, at] = category_codes(rows[name], train)
        else:
            x[:, at] = rows[name].to_numpy()
    return x


def main() -> None:
    """Run the whole job."""
    job = j.Job(__doc__)
    with job.stage("read"):
        rows = read(job)
    with job.stage("features"):
        label = (rows.pop("arr_delay") > 15).to_numpy("int8")
        train = np.random.default_rng(job.seed).random(len(rows)) >= j.TEST
        x = build_matrix(rows, train, label, job.seed)
        del rows
    with job.stage("train"):
        dtrain = xgb.QuantileDMatrix(
            x[train], label[train], max_bin=j.PARAMS["max_bin"], feature_names=d.FEATURES
        )
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
