"""Model files damaged at random: each is refused, or XGBoost and Treelite survive it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

# One process for all of a kind: where a library crashes on one, the process ends by its signal.
CHILD = """
import collections, json, random, resource, signal, sys
sys.path.insert(0, sys.argv[3])
import numpy as np, treelite.sklearn, xgboost
from sklearn.ensemble import RandomForestClassifier
from ubjson_text import dumped
from pipeline.train import model_integrity
from pipeline.train.xgboost import ubjson

name, count = sys.argv[1], int(sys.argv[2])
draw, rng, found = random.Random(name), np.random.default_rng(0), collections.Counter()
x = rng.normal(size=(300, 4)).astype("float32")
x[:, 3] = rng.integers(0, 12, 300)
y = ((x[:, 0] + x[:, 1] > 0) ^ (x[:, 3] % 3 == 0)).astype(int)

if name == "xgboost":
    rows = xgboost.DMatrix(x, y, feature_types=["q", "q", "q", "c"], enable_categorical=True)
    options = {"max_depth": 4, "max_cat_to_onehot": 1, "objective": "binary:logistic", "nthread": 1}
    content = bytes(xgboost.train(options, rows, 4).save_raw("ubj"))
    fault = lambda damaged: model_integrity.find_booster_fault(damaged, 4, 1)
    def use(damaged):
        booster = xgboost.Booster(model_file=bytearray(damaged))
        booster.get_score(importance_type="total_gain")
        booster.inplace_predict(x, validate_features=False)
else:
    trained = RandomForestClassifier(4, max_depth=4, n_jobs=1, random_state=0).fit(x, y)
    content = treelite.sklearn.import_model(trained).serialize_bytes()
    fault = lambda damaged: model_integrity.find_checkpoint_fault(damaged, 4)
    def use(damaged):
        model = treelite.Model.deserialize_bytes(damaged)
        treelite.gtil.predict(model, x, nthread=1)
        treelite.sklearn.export_model(model).predict_proba(x)

def damage():
    how, at = draw.randrange(6 if name == "xgboost" else 4), draw.randrange(len(content) - 16)
    if how == 0:
        return content[:at]
    if how == 1:
        return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]
    if how == 2:
        length = draw.choice([2**63 - 1, 2**30, 0, 2**64 - 1]).to_bytes(8, "little")
        return content[:at] + length + content[at + 8 :]
    if how == 3:
        return content[:at] + draw.randbytes(4) + content[at + 4 :]
    model = ubjson.parse(content)
    tree = draw.choice(model["learner"]["gradient_booster"]["model"]["trees"])
    key = draw.choice([k for k, v in tree.items() if isinstance(v, np.ndarray) and len(v)])
    tree[key] = tree[key].copy()
    value = np.array(draw.choice([-1, 0, 1, 7, 10**6, 2**31 - 1, -(2**31)]))
    tree[key][draw.randrange(len(tree[key]))] = value.astype(tree[key].dtype)
    return dumped(model)

resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
for _ in range(count):
    damaged = damage()
    if fault(damaged):
        found["refused"] += 1
        continue
    signal.alarm(20)
    try:
        use(damaged)
        found["used"] += 1
    except (ValueError, treelite.TreeliteError):  # XGBoostError is a ValueError
        found["refused by the library"] += 1
    signal.alarm(0)
print(json.dumps(found))
"""


def survived(name, count):
    """What became of so many damaged files, if no library crashed or hung on one."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD, name, str(count), str(TESTS)],
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    print(name, done.stdout)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["xgboost", "forest"])
def test_damaged_models_are_refused_or_harmless(name):
    found = survived(name, 200)
    assert sum(found.values()) == 200 and found["refused"] > 60 and found["used"] > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xgboost", "forest"])
def test_thousands_of_damaged_models_are_refused_or_harmless(name):
    assert sum(survived(name, 4000).values()) == 4000
