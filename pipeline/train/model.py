"""The contract of a model, the registry of all models, and their training.

A model has its parameters in `pipeline.train.params`, its code in
``pipeline/train/<name>/model.py`` (the functions of `ModelImplementation`), and its entry in
`MODEL_REGISTRY`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, get_args

from pipeline.config.model import MODELS
from pipeline.config.validation import validate
from pipeline.errors import ConfigError, DataError, InputError, suggest_or_list
from pipeline.matrix import Feed, SetName
from pipeline.train.fitted_model import FittedModel, SidecarJson, TrainingOptions
from pipeline.train.params import ForestParams, ModelParams, XGBoostParams
from pipeline.train.sidecar import ForestSidecar, Sidecar
from pipeline.versions import XGBOOST_PACKAGES


class ModelImplementation(Protocol):
    """The functions that ``pipeline/train/<name>/model.py`` must have."""

    def train(self, params: Any, feed: Feed, options: TrainingOptions) -> FittedModel:
        """Train on the feed's training rows, on its device; ``params`` have no ``auto``."""

    def to_bytes(self, fitted: FittedModel) -> bytes:
        """Return the contents of the model's file, which no library needs pickle to read."""

    def is_beginning(self, beginning: bytes) -> bool:
        """Return whether a model's file may begin with these (up to 4) bytes."""

    def find_fault(self, content: bytes, features: int, classes: int) -> str:
        """Describe what is malformed in a file's contents, without loading them; empty if fine.

        A malformed file may crash or hang the library that loads it.
        """

    def load(
        self, content: bytes, sidecar: SidecarJson, device: str, path: Path, *, bulk: bool
    ) -> FittedModel:
        """Load a model that scores on the device; errors name ``path``.

        ``bulk`` makes scores the same to the bit however the rows are divided.
        """

    def can_load(self, device: str) -> bool:
        """Return whether a saved model can score on the device with the libraries at hand."""


@dataclass(frozen=True)
class ModelEntry:
    """A model's entry in the registry."""

    params: type[ModelParams]
    file: str
    """Name of the model's own file in ``train/``; its format must not need pickle.

    Any ending but ``.json``: ``train/<name>.json`` is the model's sidecar.
    """
    library: str
    """Name of the library in error messages about the file."""
    packages: tuple[str, ...]
    """Distributions whose versions the model's scores depend on."""
    parity: float
    """Allowed difference of test metrics between a training on the CPU and one on the GPU."""
    sidecar: type[Sidecar] = Sidecar
    trains_last: bool = False


MODEL_REGISTRY: Mapping[str, ModelEntry] = {
    "xgboost": ModelEntry(
        params=XGBoostParams,
        file="xgboost.ubj",
        library="XGBoost",
        packages=XGBOOST_PACKAGES,
        parity=0.003,  # the devices sum gradients in another order
        # Its bins are a quarter of the matrices or less: if nothing trains after it, the
        # matrices are released while it boosts.
        trains_last=True,
    ),
    "forest": ModelEntry(
        params=ForestParams,
        file="forest.tl",
        library="Treelite",
        packages=("scikit-learn", "treelite", "cuml-cu13", "cuml-cu12"),
        # cuML draws other rows, and splits at the quantiles of `n_bins`, not at every value
        parity=0.01,
        sidecar=ForestSidecar,
    ),
}


def check_file_names(registry: Mapping[str, ModelEntry]) -> None:
    """Check that no model's file takes the place of a sidecar or of another model's file.

    Raises:
        ValueError: a file ends in .json, or two models have the same one.
    """
    owners: dict[str, str] = {}
    for name, entry in registry.items():
        if entry.file.lower().endswith(".json"):
            raise ValueError(
                f"model {name!r}: the file {entry.file!r} ends in .json, as sidecars do; "
                "choose another ending"
            )
        other = owners.setdefault(entry.file.lower(), name)
        if other != name:
            raise ValueError(f"models {other!r} and {name!r} have the same file {entry.file!r}")


check_file_names(MODEL_REGISTRY)


def import_model(name: str) -> ModelImplementation:
    """Import a model's module, and with it its library."""
    return cast("ModelImplementation", importlib.import_module(f"pipeline.train.{name}.model"))


def damaged_model_error(path: Path, library: str) -> InputError:
    """Return the error for a file that is not in the library's format."""
    return InputError(
        f"{path} is not a model of {library}: it was damaged after the run wrote it",
        fix="restore it, or run the config again",
    )


def parse_models(models: Mapping[str, Mapping[str, Any] | None] | None) -> dict[str, ModelParams]:
    """Validate the config's ``models:``; the result is in the order of the registry.

    None or an empty mapping means the default models; a model set to null is left out.

    Raises:
        ConfigError: an unknown model or key, or a value out of range; names the nearest.
    """
    chosen: Mapping[str, Any] = models if models else {name: {} for name in MODELS}
    for name in chosen:
        if name not in MODEL_REGISTRY:
            raise ConfigError(
                f"models.{name}: there is no such model", fix=suggest_or_list(name, MODEL_REGISTRY)
            )
    parsed: dict[str, ModelParams] = {
        name: validate(entry.params, chosen[name], f"models.{name}")
        for name, entry in MODEL_REGISTRY.items()
        if chosen.get(name) is not None
    }
    if not parsed:
        raise ConfigError(
            "models: every model is null", fix="leave `models:` out to train the default models"
        )
    return parsed


def sort_for_training(models: Iterable[str]) -> tuple[str, ...]:
    """Return the models in the order in which they train."""
    return tuple(sorted(models, key=lambda name: MODEL_REGISTRY[name].trains_last))


def train(name: str, params: ModelParams, feed: Feed, options: TrainingOptions) -> FittedModel:
    """Train a model on the feed's training rows.

    The valid set, if it has rows, stops the boosting early.

    Args:
        name: the model's name in the config.
        params: its parameters.
        feed: the matrices.
        options: seed, threads, folders and other settings.

    Raises:
        DataError: no training rows, no features, labels or values that are not finite.
        ConfigError: a parameter that does not fit the features or the task.
        DeviceError: the library trained on another device than the feed's.
    """
    if not feed.features:
        raise DataError(
            f"{name}: there is no feature to train on",
            fix="keep at least one column whose values differ",
        )
    if feed.count_rows("train") == 0:
        raise DataError(
            f"{name}: the training set has no rows", fix="check `split:` and the filters"
        )
    rows = sum(feed.count_rows(which) for which in get_args(SetName))
    return import_model(name).train(params.resolve_auto(rows), feed, options)
