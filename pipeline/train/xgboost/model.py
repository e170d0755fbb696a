"""XGBoost as a model of the pipeline: see `pipeline.train.model.ModelImplementation`."""

from __future__ import annotations

import json
from pathlib import Path

import xgboost as xgb

from pipeline.config.stored import misfit_error
from pipeline.device.choose import frames_of
from pipeline.train import model_integrity
from pipeline.train.fitted_model import FittedModel, SidecarJson, fields_of_sidecar
from pipeline.train.model import damaged_model_error
from pipeline.train.xgboost.scoring import BoosterScore, compute_importances
from pipeline.train.xgboost.train import OBJECTIVES, train

__all__ = ["can_load", "find_fault", "is_beginning", "load", "to_bytes", "train"]


def to_bytes(fitted: FittedModel) -> bytes:
    """Return the booster as UBJSON."""
    return bytes(fitted.content.save_raw("ubj"))


def is_beginning(beginning: bytes) -> bool:
    """Return whether UBJSON of an object may begin so; an empty file is refused by `load`."""
    return beginning[:1] in (b"", b"{")


def find_fault(content: bytes, features: int, classes: int) -> str:
    """Describe what is malformed in the trees; an empty text if nothing is."""
    # XGBoost would crash on some faults while it loads the file.
    return model_integrity.find_booster_fault(content, features, classes if classes > 2 else 1)


def can_load(device: str) -> bool:
    """Return True: XGBoost scores a loaded model on every device."""
    return True


def load(
    content: bytes, sidecar: SidecarJson, device: str, path: Path, *, bulk: bool
) -> FittedModel:
    """Load a booster that scores on the device; its scores never depend on the blocks.

    Raises:
        InputError: the bytes are not a booster, or not the one of the sidecar.
    """
    try:
        if not content:  # XGBoost 3.2 would end the process
            raise ValueError("empty")
        booster = xgb.Booster(model_file=bytearray(content))
    except ValueError:  # the base of XGBoostError, and what a name that is not UTF-8 raises
        raise damaged_model_error(path, "XGBoost") from None
    fields = fields_of_sidecar(sidecar)
    if booster.num_features() != len(fields["features"]):
        raise misfit_error(path, "", "its features are not those of its sidecar")
    target = fields["target"]
    learner = json.loads(booster.save_config())["learner"]
    classes = int(learner["learner_model_param"]["num_class"])
    expected = len(target.classes) if target.task == "multiclass" else 0
    # XGBoost writes 0 or 1 for a single score
    same_width = max(classes, 1) == max(expected, 1)
    if learner["objective"]["name"] not in OBJECTIVES[target.task][0] or not same_width:
        raise misfit_error(path, "", f"it does not predict what a {target.task} target needs")
    fields["importances"] = compute_importances(booster, fields["features"])
    return FittedModel(
        **fields, score=BoosterScore(booster, frames_of(device).name), content=booster, details={}
    )
