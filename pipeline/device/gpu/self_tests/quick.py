"""A first computation of each library: short, because the choice of the device waits for it."""

import json

import cudf
import cuml
import cupy
import xgboost

assert int(cudf.Series([1, 2]).sum()) == 3, "cuDF adds wrongly"
assert int(cupy.arange(4).sum()) == 6, "CuPy adds wrongly"
assert cuml.__version__, "cuML has no version"  # the import is the test
assert xgboost.build_info()["USE_CUDA"], "this XGBoost is the CPU build"
print(json.dumps("passed"))
