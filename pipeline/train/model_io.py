"""Saves models in formats that need nothing of what trained them, and loads them on any device.

xgboost.ubj  XGBoost's own UBJSON          forest.tl  a Treelite checkpoint
<model>.json the sidecar: task, classes, features in order, importances, rounds, history, notes
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from io import BufferedReader
from pathlib import Path
from typing import Any

from pipeline.artifacts import manifest
from pipeline.artifacts.files import atomic_write, write_json
from pipeline.config.stored import misfit_error
from pipeline.errors import InputError, suggest_or_list
from pipeline.matrix import Feature, Target
from pipeline.train import model_integrity
from pipeline.train.fitted_model import FittedModel
from pipeline.train.sidecar import FORMAT, MAX_MODEL, check_sidecar
from pipeline.versions import find_versions

CONTENT: Mapping[str, str] = {"xgboost": "xgboost.ubj", "forest": "forest.tl"}
LIBRARIES = (
    "xgboost", "xgboost-cpu", "xgboost-cu13", "scikit-learn", "treelite", "cuml-cu13", "cuml-cu12",
)  # fmt: skip


def file_names(name: str) -> list[str]:
    """The files of a model, in the folder of all models."""
    return [CONTENT[name], f"{name}.json"]


def save(fitted: FittedModel, folder: Path) -> None:
    """Writes the model and its sidecar."""
    with atomic_write(folder / CONTENT[fitted.name]) as beside:
        beside.write_bytes(_content(fitted))
    write_json(folder / f"{fitted.name}.json", make_sidecar(fitted))


def _content(fitted: FittedModel) -> bytes:
    if fitted.name == "xgboost":
        return bytes(fitted.content.save_raw("ubj"))
    return bytes(fitted.content)


def make_sidecar(fitted: FittedModel) -> dict[str, Any]:
    """What the model's own file does not say, as JSON."""
    return {
        "format": FORMAT,
        "model": fitted.name,
        "task": fitted.target.task,
        "classes": list(fitted.target.classes),
        "features": [{"name": f.name, "kind": f.kind, "size": f.size} for f in fitted.features],
        "importances": dict(fitted.importances),
        "rounds": fitted.rounds,
        "history": {which: dict(metrics) for which, metrics in fitted.history.items()},
        "notes": list(fitted.notes),
        "device": fitted.device,
        "versions": find_versions(LIBRARIES),
        **fitted.details,
    }


def load(
    name: str,
    folder: Path,
    device: str = "cpu",
    read: manifest.FileReader = manifest.read_unverified,
    *,
    bulk: bool = False,
) -> FittedModel:
    """A saved model, scoring on the device, whatever trained it.

    Args:
        name: of the model.
        folder: of all models.
        device: "cpu" or "gpu".
        read: opens its files; `sealed.Sealed.read` checks them against the manifest.
        bulk: scores are the same to the bit however the rows are divided; else a forest scores few
            rows faster.

    Raises:
        InputError: a file is missing or damaged, of a later version, or its trees are malformed.
    """
    if name not in CONTENT:
        raise InputError(f"{folder} has no model {name!r}", fix=suggest_or_list(name, CONTENT))
    sidecar, path = folder / f"{name}.json", folder / CONTENT[name]
    facts = manifest.parse_json(read(sidecar), sidecar)
    check_sidecar(facts, name, sidecar)
    begins = partial(_check_beginning, name=name, path=path)
    content = read(path, MAX_MODEL, begins)
    if fault := _fault(content, facts):
        raise InputError(
            f"{path}: {fault}: it is damaged, or made to do harm",
            fix="restore it from a copy, or run the config again",
        )
    return _made(content, facts, device, path, bulk=bulk)


def _check_beginning(file: BufferedReader, *, name: str, path: Path) -> None:
    """Check a model's first bytes, before it is read as a whole.

    Raises:
        InputError: they are not those of its format.
    """
    first = file.read(4)
    # UBJSON is an object, a checkpoint of Treelite begins with its version; a forest may be empty
    version = int.from_bytes(first, "little")
    begins = first[:1] in (b"", b"{") if name == "xgboost" else not first or 0 < version < 256
    if not begins:
        raise _not_a_model(path, "XGBoost" if name == "xgboost" else "Treelite")


def _fault(content: bytes, facts: Mapping[str, Any]) -> str:
    """Describe what is malformed in a model file; an empty text if nothing is."""
    features, classes = len(facts["features"]), len(facts["classes"])
    if facts["model"] == "xgboost":
        return model_integrity.find_booster_fault(content, features, classes if classes > 2 else 1)
    return model_integrity.find_checkpoint_fault(content, features)


def to_device(fitted: FittedModel, device: str) -> FittedModel:
    """The model as it scores on that device, wherever it was trained; as `load` with ``bulk``."""
    facts = make_sidecar(fitted)
    return _made(_content(fitted), facts, device, Path(CONTENT[fitted.name]), bulk=True)


def reload(fitted: FittedModel, folder: Path, device: str) -> FittedModel:
    """A model that was trained on the device, as it is loaded from the folder that it is saved in.

    Where nvForest is missing only the estimator that was trained can score on a GPU.
    """
    if fitted.name == "forest" and device == "gpu" and find_spec("nvforest") is None:
        return fitted
    return load(fitted.name, folder, device, bulk=True)


def _made(
    content: bytes, facts: Mapping[str, Any], device: str, path: Path, *, bulk: bool
) -> FittedModel:
    """The model of a file's bytes and its sidecar."""
    target = Target(facts["task"], tuple(facts["classes"]))
    features = tuple(Feature(f["name"], f["kind"], f["size"]) for f in facts["features"])
    common = {
        "rounds": facts["rounds"], "history": facts["history"], "notes": tuple(facts["notes"]),
        "device": facts["device"],
    }  # fmt: skip
    if facts["model"] == "xgboost":
        from pipeline.train.xgboost import train as boosting

        booster = _booster(content, path)
        if fault := boosting.find_mismatch(booster, target, features):
            raise misfit_error(path, "", fault)
        return boosting.make_fitted_model(booster, target, features, on=device, **common)
    from pipeline.train.forest import train as forest

    return forest.load_forest(
        content, target, features, on=device, facts=facts, common=common, bulk=bulk
    )


def _booster(content: bytes, path: Path) -> Any:
    import xgboost

    try:
        if not content:  # XGBoost 3.2 ends the process
            raise ValueError("empty")
        return xgboost.Booster(model_file=bytearray(content))
    except ValueError:  # XGBoostError is one, and what a name that is no UTF-8 raises
        raise _not_a_model(path, "XGBoost") from None


def _not_a_model(path: Path, library: str) -> InputError:
    return InputError(
        f"{path} is not a model of {library}: it was damaged after the run wrote it",
        fix="restore it, or run the config again",
    )
