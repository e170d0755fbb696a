"""A run on one of the devices to compare, stage by stage, and its rows on the host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.artifacts.stage_id import EVALUATE, FEATURES, SPLIT
from pipeline.cluster import partitions
from pipeline.device import Frame
from pipeline.device.choose import frames_of
from pipeline.execution.context import Listener
from pipeline.execution.executor import Executor, open_scratch_run
from pipeline.execution.job import Job
from pipeline.execution.run_stages import list_stages
from pipeline.execution.run_state import RunState
from pipeline.matrix import Matrix
from pipeline.schema import SETS

FOLD, SAMPLE = "__fold__", "__sample__"
"""Hashes of the row ids: of `Rows.folds`, for any number of folds, and of `Rows.sampled`."""


@dataclass
class DeviceRun:
    """A run on one device; it may fall back, but never to the other device."""

    executor: Executor

    @property
    def name(self) -> str:
        """The device."""
        return self.state.context.job.choice.name

    @property
    def state(self) -> RunState:
        """Results of the stages so far."""
        return self.executor.state

    def read(self) -> None:
        """Make rows with labels and sets."""
        self.executor.run_through(SPLIT)

    def build_features(self) -> None:
        """Fit the features and make the matrices of all sets, which replace the rows' frames."""
        self.executor.run_through(FEATURES)

    def train(self) -> None:
        """Train and evaluate the models; the training rows' matrices are released."""
        self.executor.run_through(EVALUATE)

    def row_frames(self) -> Iterator[pd.DataFrame]:
        """Yield the partitions that `read` makes, as `host_frame` returns them."""
        rows = self.state.labeled
        frames = partitions.map_partitions(
            rows.parts, host_frame, rows.context.seed, rows.context.device
        )
        return partitions.iter_results(self.state.context.client, frames)

    def matrix_frames(self) -> Iterator[pd.DataFrame]:
        """Yield the partitions that `build_features` makes, as `host_matrix` returns them."""
        feed = self.state.fitted_features.feed
        names = [feature.name for feature in feed.features]
        frames = partitions.map_partitions(feed.parts(*SETS), host_matrix, names, feed.device)
        return partitions.iter_results(self.state.context.client, frames)


@contextmanager
def start_device_run(
    job: Job, folder: Path, listener: Listener, *, serial: bool = False
) -> Iterator[DeviceRun]:
    """Open a run that has not begun, with a Dask client of its own in this process.

    Args:
        job: its choice is the device.
        folder: absent; it holds files that nobody needs afterwards.
        listener: receives the progress of the stages.
        serial: partitions are computed in the calling thread.
    """
    name = job.choice.name
    # Lines of two runs alternate, so each begins with its device.
    named = replace(listener, say=lambda text: listener.say(f"{name}: {text}"))
    with open_scratch_run(job, folder, list_stages(job), named, serial=serial) as executor:
        yield DeviceRun(executor)


# -- in a partition's task -------------------------------------------------------------------------


def host_frame(frame: Frame, seed: int, device_name: str) -> pd.DataFrame:
    """Return a partition's columns on the host, with label, set and hashes of its row ids."""
    device = frames_of(device_name)
    plain = frame.assign(**{name: device.unpack_integers(frame[name]) for name in frame.columns})
    host: pd.DataFrame = device.to_host(plain)
    ids = device.row_ids(frame)
    hashes = {FOLD: device.hash_ints(ids, seed + 1), SAMPLE: device.hash_ints(ids, seed + 2)}
    return host.assign(**{name: device.to_host(values) for name, values in hashes.items()})


def host_matrix(matrices: Mapping[str, Matrix], names: list[str], device_name: str) -> pd.DataFrame:
    """Return a partition's matrices on the host: float32 columns by feature, ids as index."""
    device = frames_of(device_name)
    x = [np.asarray(device.to_host(m.x)) for m in matrices.values()]
    ids = [np.asarray(device.to_host(m.ids)) for m in matrices.values()]
    if not x:
        x, ids = [np.empty((0, len(names)), "float32")], [np.empty(0, "int64")]
    return pd.DataFrame(np.concatenate(x), columns=names, index=np.concatenate(ids))
