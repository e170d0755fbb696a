"""skrub + HistGradientBoosting: ``python -m benchmarks.peers.skrub_boosting DATA --out DIR``.

Reads and joins as the pandas script; the encodings and the model are skrub's and scikit-learn's.
"""

import pickle

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import TargetEncoder
from skrub import ApplyToCols, ToCategorical

from benchmarks.peers import job as j
from benchmarks.peers.pandas_xgboost import joined, read, with_times


def pipeline(seed: int):
    """Build encodings and model as one estimator."""
    folds = StratifiedKFold(j.FOLDS, shuffle=True, random_state=seed)
    encoder = TargetEncoder(cv=folds, smooth=j.SMOOTH)
    model = HistGradientBoostingClassifier(
        max_iter=j.ROUNDS, max_depth=j.PARAMS["max_depth"], max_leaf_nodes=None,
        learning_rate=j.PARAMS["learning_rate"], max_bins=255, l2_regularization=1.0,
        categorical_features="from_dtype", early_stopping=False, random_state=seed,
    )  # fmt: skip
    numbers = [name for name in j.FILLED if name not in j.ENCODED]
    return make_pipeline(
        ApplyToCols(encoder, cols=j.ENCODED),
        ApplyToCols(ToCategorical(), cols=j.CATEGORIES),
        ApplyToCols(SimpleImputer(strategy="median"), cols=numbers),
        model,
    )


def main() -> None:
    """Run the whole job."""
    job = j.Job(__doc__)
    with job.stage("read"):
        rows = read(job)
    with job.stage("features"):
        label = rows["label"].to_numpy()
        times = rows["time_hour"].dt.tz_localize(None).to_numpy()
        train = times < j.first_test_time(times)
        rows = with_times(joined(rows))[j.FEATURES]
        rows = rows.astype(dict.fromkeys(j.ENCODED, "str"))
        rows_train, rows_test = rows[train], rows[~train]
        del rows
    with job.stage("train"):
        model = pipeline(job.seed).fit(rows_train, label[train])
    with job.stage("evaluate"):
        score = model.predict_proba(rows_test)[:, 1]
        auc = roc_auc_score(label[~train], score)
    with job.stage("save"):
        (job.out / "model.pkl").write_bytes(pickle.dumps(model))
        np.save(job.out / "test.npy", score)
    job.done(auc=auc, train=int(train.sum()), test=int((~train).sum()))


if __name__ == "__main__":
    main()
