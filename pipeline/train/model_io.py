"""Save models in formats that need no pickle, and load them on any device.

``train/`` of a run folder holds two files per model: its own file, in the format of its library
(``xgboost.ubj``: XGBoost's UBJSON; ``forest.tl``: a Treelite checkpoint), and ``<model>.json``, the
sidecar with task, classes, features in order, importances, rounds, history and notes.
"""

from __future__ import annotations

from io import BufferedReader
from pathlib import Path

from pydantic import TypeAdapter

from pipeline.artifacts import manifest
from pipeline.artifacts.files import atomic_write, write_json
from pipeline.config.stored import check_stored, misfit_error
from pipeline.errors import InputError, shorten, suggest_or_list
from pipeline.train.fitted_model import FittedModel, SidecarJson
from pipeline.train.model import MODEL_REGISTRY, damaged_model_error, import_model
from pipeline.train.sidecar import FORMAT, MAX_MODEL, Sidecar
from pipeline.versions import find_versions


def file_names(name: str) -> list[str]:
    """Return the names of a model's files, in the folder of all models."""
    return [MODEL_REGISTRY[name].file, f"{name}.json"]


def save(fitted: FittedModel, folder: Path) -> None:
    """Write the model's own file and its sidecar."""
    with atomic_write(folder / MODEL_REGISTRY[fitted.name].file) as beside:
        beside.write_bytes(import_model(fitted.name).to_bytes(fitted))
    write_json(folder / f"{fitted.name}.json", make_sidecar(fitted))


def make_sidecar(fitted: FittedModel) -> SidecarJson:
    """Return the contents of the sidecar, as JSON."""
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
        "versions": find_versions([p for entry in MODEL_REGISTRY.values() for p in entry.packages]),
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
    """Load a saved model to score on the device, whichever device trained it.

    Args:
        name: the model's name.
        folder: the folder of all models.
        device: "cpu" or "gpu".
        read: reads the files; `VerifiedRun.read` checks them against the manifest.
        bulk: make scores the same to the bit however the rows are divided; without it a forest
            scores few rows faster.

    Raises:
        InputError: a file is missing or damaged, of a later version, or its trees are malformed.
    """
    if name not in MODEL_REGISTRY:
        raise InputError(
            f"{folder} has no model {name!r}", fix=suggest_or_list(name, MODEL_REGISTRY)
        )
    entry, model = MODEL_REGISTRY[name], import_model(name)
    sidecar_path, path = folder / f"{name}.json", folder / entry.file
    sidecar = manifest.parse_json(read(sidecar_path), sidecar_path)
    check_sidecar(sidecar, name, sidecar_path)

    def check_beginning(file: BufferedReader) -> None:
        # before the file is read as a whole, which may be a gigabyte
        if not model.is_beginning(file.read(4)):
            raise damaged_model_error(path, entry.library)

    content = read(path, MAX_MODEL, check_beginning)
    if fault := model.find_fault(content, len(sidecar["features"]), len(sidecar["classes"])):
        raise InputError(
            f"{path}: {fault}: it is damaged, or made to do harm",
            fix="restore it from a copy, or run the config again",
        )
    return model.load(content, sidecar, device, path, bulk=bulk)


def to_device(fitted: FittedModel, device: str) -> FittedModel:
    """Return the model as it scores on that device, as `load` with ``bulk`` does."""
    model = import_model(fitted.name)
    content, sidecar = model.to_bytes(fitted), make_sidecar(fitted)
    return model.load(content, sidecar, device, Path(MODEL_REGISTRY[fitted.name].file), bulk=True)


def reload(fitted: FittedModel, folder: Path, device: str) -> FittedModel:
    """Replace a model that was trained on the device by what `load` makes of its files."""
    if not import_model(fitted.name).can_load(device):
        return fitted  # only the estimator that was trained can score there
    return load(fitted.name, folder, device, bulk=True)


def check_sidecar(sidecar: object, name: str, path: Path) -> Sidecar:
    """Check the contents of a model's sidecar.

    Raises:
        InputError: it is of another version or model, or malformed; names file and place.
    """
    if isinstance(sidecar, dict) and sidecar.get("format", FORMAT) != FORMAT:
        raise InputError(
            f"{path} has format {shorten(sidecar['format'])}; this version reads {FORMAT}",
            fix="use the version of the pipeline that wrote the run (manifest.json names it)",
        )
    if name not in MODEL_REGISTRY:
        raise misfit_error(path, "model", f"must be one of {', '.join(MODEL_REGISTRY)}")
    checked = check_stored(TypeAdapter(MODEL_REGISTRY[name].sidecar), sidecar, path)
    if checked.model != name:
        raise misfit_error(path, "model", f"must be {name!r}")
    return checked
