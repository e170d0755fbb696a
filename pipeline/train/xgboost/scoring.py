"""The score function of a booster, its device and its importances."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence

import xgboost as xgb

from pipeline.device import Array
from pipeline.errors import DeviceError
from pipeline.matrix import Feature


class BoosterScore:
    """The score function of a booster on one device, which never falls back to the other one.

    XGBoost alone would score a matrix of the other device with a warning, and a build without CUDA
    turns ``cuda`` into ``cpu``. Here either is an error.
    """

    def __init__(self, booster: xgb.Booster, device: str) -> None:
        self.booster, self.device = booster, device
        if device == "gpu":  # a model's file does not hold the device: it starts on the CPU
            booster.set_param({"device": "cuda"})

    def __call__(self, x: Array) -> Array:
        """Return scores as `FittedModel.predict` describes them, float32."""
        given = "gpu" if hasattr(x, "__cuda_array_interface__") else "cpu"
        used = "cpu" if self.device == "cpu" else find_device(self.booster)
        if not self.device == given == used:
            raise DeviceError(
                f"xgboost: asked to score on the {self.device}, but the matrix is on the {given} "
                f"and XGBoost on the {used}",
                fix="see what the GPU lacks with `python -m pipeline doctor`, or use --device cpu",
            )
        return self.booster.inplace_predict(x, validate_features=False)


def find_device(booster: xgb.Booster) -> str:
    """Return the device on which a booster trains and scores; without a GPU always the CPU."""
    used = json.loads(booster.save_config())["learner"]["generic_param"]["device"]
    return "gpu" if str(used).startswith("cuda") else "cpu"


def compute_importances(booster: xgb.Booster, features: Sequence[Feature]) -> dict[str, float]:
    """Compute each feature's share of the total gain of all splits."""
    gains = booster.get_score(importance_type="total_gain")
    by_feature = [float(gains.get(name, 0.0)) for name in make_feature_names(features)]
    total = sum(by_feature)
    return {
        feature.name: gain / total if total else 0.0
        for feature, gain in zip(features, by_feature, strict=True)
    }


def make_feature_names(features: Sequence[Feature]) -> list[str]:
    """Return names that XGBoost accepts: without ``[ ] <``, made distinct by position."""
    names = [re.sub(r"[\[\]<]", "_", f.name) for f in features]
    count = Counter(names)
    return [n if count[n] == 1 else f"{n}__{i}" for i, n in enumerate(names)]
