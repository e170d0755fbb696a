"""One side of a parity: a run on one device, stage by stage, and its rows on the host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.artifacts.ledger import Ledger
from pipeline.cluster import partitions
from pipeline.cluster.client import connect
from pipeline.device import Frame
from pipeline.device.choose import frames_of
from pipeline.execution.context import Listener, RunContext
from pipeline.execution.fallback import RunState, run_with_fallback
from pipeline.execution.job import Job
from pipeline.execution.runner import each_model
from pipeline.execution.stages import evaluate, features_and_models, ingest
from pipeline.execution.stages.features_and_models import FeatureSet
from pipeline.execution.stages.ingest import LabeledData
from pipeline.matrix import Matrix
from pipeline.memory.planner import release_memory
from pipeline.schema import SETS
from pipeline.train.fitted_model import FittedModel

FOLD, SAMPLE = "__fold__", "__sample__"
"""Hashes of the row ids: of `Rows.folds`, for any number of folds, and of `Rows.sampled`."""


@dataclass
class DeviceRun:
    """A run on one device, as far as it has come; on the ladder, but never on the other device."""

    work: RunState
    models: dict[str, FittedModel] = field(init=False)
    metrics: dict[str, Any] = field(init=False)

    @property
    def name(self) -> str:
        """The device."""
        return self.session.job.choice.name

    @property
    def session(self) -> RunContext:
        """What its stages share."""
        return self.work.session

    @property
    def rows(self) -> LabeledData:
        """Once they are read."""
        found: LabeledData = self.work.rows
        return found

    @property
    def built(self) -> FeatureSet:
        """Once the features are built."""
        found: FeatureSet = self.work.built
        return found

    @contextmanager
    def _current(self) -> Iterator[None]:
        """A block in which Dask's own functions take this side's client."""
        with self.session.client.as_current():
            yield
        release_memory()

    def read(self) -> None:
        """Rows with labels and sets."""
        work, session = self.work, self.session
        with self._current():
            work.read = run_with_fallback(work, lambda: ingest.read(session))
            work.rows = run_with_fallback(work, lambda: ingest.split_rows(session, work.read))
            work.read = None

    def build(self) -> None:
        """The features' fit, and matrices of all sets; the rows' frames go."""
        work, session = self.work, self.session
        with self._current():
            work.built = run_with_fallback(
                work, lambda: features_and_models.features(session, work.rows, last=True)
            )

    def train(self) -> None:
        """The models and their metrics; the training rows' matrices go."""
        work, session = self.work, self.session
        with self._current():
            self.models = each_model(work, features_and_models.train)
            self.metrics, _ = run_with_fallback(
                work, lambda: evaluate.evaluate(session, work.rows, work.built, self.models)
            )

    def row_frames(self) -> Iterator[pd.DataFrame]:
        """The partitions of `read` as `facts`."""
        context = self.rows.context
        made = partitions.map_partitions(self.rows.parts, facts, context.seed, context.device)
        return partitions.iter_results(self.session.client, made)

    def matrix_frames(self) -> Iterator[pd.DataFrame]:
        """The partitions of `build` as `table`."""
        feed = self.built.feed
        names = [feature.name for feature in feed.features]
        made = partitions.map_partitions(feed.parts(*SETS), table, names, feed.device)
        return partitions.iter_results(self.session.client, made)


@contextmanager
def start_device_run(
    job: Job, folder: Path, listener: Listener, *, serial: bool = False
) -> Iterator[DeviceRun]:
    """A side that has not begun, with a Dask client of its own in this process.

    Args:
        job: with the side's device as its choice.
        folder: absent; the run's files, of which nothing is needed afterwards.
        listener: hears of the stages.
        serial: partitions are computed in the calling thread.
    """
    from dask.system import CPU_COUNT

    folder.mkdir(parents=True)
    choice = job.choice
    ledger = Ledger(
        folder / "ledger.jsonl", choice.requested, choice.name, choice.reason,
        on_stage=listener.stage, meter=lambda: frames_of(choice.name).read_meter(),
    )  # fmt: skip
    told = replace(listener, say=lambda text: listener.say(f"{choice.name}: {text}"))
    tmp, cluster = folder / "tmp", job.cluster
    with connect(cluster, choice.name, CPU_COUNT, tmp, serial=serial) as client:
        yield DeviceRun(RunState(RunContext(job, folder, ledger, client, CPU_COUNT, told)))


# -- in a partition's task -------------------------------------------------------------------------


def facts(frame: Frame, seed: int, device_name: str) -> pd.DataFrame:
    """A partition's columns on the host, label and set among them, and hashes of its row ids."""
    device = frames_of(device_name)
    plain = frame.assign(**{name: device.unpack_integers(frame[name]) for name in frame.columns})
    host: pd.DataFrame = device.to_host(plain)
    ids = device.row_ids(frame)
    hashes = {FOLD: device.hash_ints(ids, seed + 1), SAMPLE: device.hash_ints(ids, seed + 2)}
    return host.assign(**{name: device.to_host(values) for name, values in hashes.items()})


def table(found: Mapping[str, Matrix], names: list[str], device_name: str) -> pd.DataFrame:
    """A partition's matrices on the host: float32 columns by feature, row ids as index."""
    device = frames_of(device_name)
    x = [np.asarray(device.to_host(m.x)) for m in found.values()]
    ids = [np.asarray(device.to_host(m.ids)) for m in found.values()]
    if not x:
        x, ids = [np.empty((0, len(names)), "float32")], [np.empty(0, "int64")]
    return pd.DataFrame(np.concatenate(x), columns=names, index=np.concatenate(ids))
