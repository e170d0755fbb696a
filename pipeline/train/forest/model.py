"""The random forest as a model of the pipeline: see `pipeline.train.model.ModelImplementation`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from pipeline.device.choose import frames_of
from pipeline.matrix import Feed
from pipeline.train import model_integrity
from pipeline.train.feed import PartitionedFeed
from pipeline.train.fitted_model import FittedModel, SidecarJson, TrainingOptions, fields_of_sidecar
from pipeline.train.forest.scoring import FEW, ForestScore
from pipeline.train.params import ForestParams


def train(params: ForestParams, feed: Feed, options: TrainingOptions) -> FittedModel:
    """Grow the trees in this process, or on the workers if the matrices are there."""
    # A saved forest is loaded without the libraries that train it.
    if isinstance(feed, PartitionedFeed) and feed.is_distributed:
        from pipeline.train.forest import distributed

        return distributed.train(params, feed, options)
    from pipeline.train.forest import train as local

    return local.train(params, feed, options)


def to_bytes(fitted: FittedModel) -> bytes:
    """Return the Treelite checkpoint; empty for a forest without trees."""
    return bytes(fitted.content)


def is_beginning(beginning: bytes) -> bool:
    """Return whether a Treelite checkpoint may begin so: with its version, or it is empty."""
    return not beginning or 0 < int.from_bytes(beginning, "little") < 256


def find_fault(content: bytes, features: int, classes: int) -> str:
    """Describe what is malformed in the checkpoint; an empty text if nothing is."""
    return model_integrity.find_checkpoint_fault(content, features)


def can_load(device: str) -> bool:
    """Return whether the checkpoint can score there: on a GPU, nvForest does it."""
    return device != "gpu" or find_spec("nvforest") is not None


def load(
    content: bytes, sidecar: SidecarJson, device: str, path: Path, *, bulk: bool
) -> FittedModel:
    """Load a forest that scores on the device; with ``bulk`` also few rows without Treelite."""
    fields = fields_of_sidecar(sidecar)
    score = ForestScore(
        fields["target"],
        np.array(sidecar["fill"], dtype="float32"),
        list(sidecar["present"]),
        frames_of(device),
        checkpoint=content,
        few=0 if bulk else FEW,
    )
    details = {"fill": sidecar["fill"], "present": sidecar["present"]}
    return FittedModel(**fields, score=score, content=content, details=details)
