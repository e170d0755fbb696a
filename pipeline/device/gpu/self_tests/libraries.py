"""A computation of each library on one GPU; the program prints first whose turn it is.

Each library is imported in its turn, because its import may fail too.
"""

import json


def cupy_multiplies() -> None:
    import cupy

    ones = cupy.ones((512, 512), dtype=cupy.float32)
    assert float((ones @ ones).sum()) == 512.0**3, "CuPy multiplies wrongly"


def cudf_adds() -> None:
    import cudf

    frame = cudf.DataFrame({"k": [0, 1, 0, 1], "v": [1.0, 2.0, 3.0, 4.0]})
    sums = frame.groupby("k", sort=True)["v"].sum().to_numpy().tolist()
    assert sums == [4.0, 6.0], "cuDF adds wrongly"


def xgboost_trains() -> None:
    import cupy
    import xgboost

    assert xgboost.build_info()["USE_CUDA"], "this XGBoost is the CPU build"
    x = cupy.arange(400, dtype=cupy.float32).reshape(200, 2)
    y = (x[:, 0] > 200).astype(cupy.float32)
    params = {"device": "cuda", "objective": "binary:logistic", "max_depth": 2}
    booster = xgboost.train(params, xgboost.QuantileDMatrix(x, y), num_boost_round=2)
    used = json.loads(booster.save_config())["learner"]["generic_param"]["device"]
    assert used.startswith("cuda"), "XGBoost trained on " + used


def cuml_trains() -> None:
    import cupy
    from cuml.ensemble import RandomForestClassifier

    x = cupy.arange(400, dtype=cupy.float32).reshape(200, 2)
    y = (x[:, 0] > 200).astype(cupy.int32)
    forest = RandomForestClassifier(n_estimators=2, max_depth=2, n_bins=8, random_state=0)
    right = float((forest.fit(x, y).predict(x) == y).mean())
    assert right > 0.8, "cuML's forest is right for " + str(right) + " of its own rows"


TURNS = {
    "CuPy": cupy_multiplies,
    "cuDF": cudf_adds,
    "XGBoost": xgboost_trains,
    "cuML": cuml_trains,
}

for name, compute in TURNS.items():
    print("turn:" + name, flush=True)
    compute()
print(json.dumps("passed"))
