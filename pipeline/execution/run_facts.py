"""The facts of an evaluation from which its warnings are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.device import cpu
from pipeline.device.choose import frames_of
from pipeline.evaluate import run_warnings
from pipeline.evaluate.comparison import compare_with_baseline
from pipeline.evaluate.metrics import ScoredRows
from pipeline.evaluate.run_warnings import RunFacts
from pipeline.evaluate.strongest_column import StrongestColumn, find_strongest_column
from pipeline.execution.run_state import RunState
from pipeline.features.engine.lineage import trace_lineage
from pipeline.matrix import Matrix, SetName, concatenate_matrices, take_rows
from pipeline.train.feed import PartitionedFeed, map_blocks

SAMPLE_ROWS, SAMPLE_CELLS = 100_000, 20_000_000
"""Most rows of a set, and most cells of their matrix, by which single columns are scored."""


def collect_facts(
    state: RunState,
    feed: PartitionedFeed,
    sets: Mapping[SetName, ScoredRows],
    prior: Sequence[float] | float,
) -> RunFacts:
    """Collect the facts once the state has metrics and the best model.

    Args:
        state: the run's state.
        feed: the matrices, on the device of the stage.
        sets: the scored rows.
        prior: as for `pipeline.evaluate.metrics.measure_baseline`.
    """
    rows, job, test = state.labeled, state.context.job, sets["test"]
    target = rows.target
    counts = test.weight > 0 if test.weight is not None else np.ones(len(test.label), dtype=bool)
    test_rows = int(counts.sum())
    metrics = state.metrics["models"][state.best]["test"]
    strongest = None
    if run_warnings.is_suspicious(target.task, metrics, test_rows):
        strongest = _find_strongest(state, feed)
    classes = np.asarray(test.label[counts]).astype("int64") if target.classes else np.empty(0, int)
    return RunFacts(
        target=target,
        target_text=job.config.data.target,
        best=state.best,
        metrics=state.metrics,
        comparison=compare_with_baseline(
            target, prior, test.label, test.score[state.best], test.weight
        ),
        strongest=strongest,
        test_rows=test_rows,
        class_rows=list(rows.counts.class_rows.values()),
        test_class_rows=np.bincount(classes, minlength=len(target.classes)).tolist(),
        free_text=state.choice.free_text if state.choice is not None else {},
        notes=job.contract.notes,
        rows=sum(part.records for part in state.parts),
        target_missing=rows.target_missing,
        split=job.config.split,
    )


def _find_strongest(state: RunState, feed: PartitionedFeed) -> StrongestColumn | None:
    """Find the column of the matrix that scores best alone, by the name of its source."""
    seed = state.context.job.config.seed
    valid, test = (_sample(feed, which, seed) for which in ("valid", "test"))
    best = find_strongest_column(feed.features, valid, test, feed.target)
    if best is None:
        return None
    sources = trace_lineage(state.fitted_features.plan)[best.name]
    # The name of a column of the data says more than that of a feature made of it alone.
    return best._replace(name=next(iter(sources))) if len(sources) == 1 else best


def _sample(feed: PartitionedFeed, which: SetName, seed: int) -> Matrix:
    """Return host arrays of a sample of a set's rows that weigh more than 0."""
    limit = min(SAMPLE_ROWS, SAMPLE_CELLS // max(len(feed.features), 1))
    share = min(1.0, limit / max(feed.count_rows(which), 1))
    blocks = list(map_blocks(feed, which, _take_sample, share, seed, feed.device))
    return concatenate_matrices([_make_empty(feed), *blocks], np)


def _make_empty(feed: PartitionedFeed) -> Matrix:
    x = np.empty((0, len(feed.features)), "float32")
    return Matrix(x, np.empty(0), None, np.empty(0, "int64"))


def _take_sample(block: Matrix, share: float, seed: int, device_name: str) -> Matrix:
    """Return rows of a block on the host, without their weights."""
    device = frames_of(device_name)
    ids = device.to_host(block.ids)
    chosen = cpu.hash_ints(ids, seed + 4) < int(share * 2**32)
    if block.weight is not None:
        chosen &= device.to_host(block.weight) > 0
    places = device.to_device(np.flatnonzero(chosen))
    x, label, _, ids = take_rows(block._replace(weight=None), places)
    assert label is not None
    return Matrix(device.to_host(x), device.to_host(label), None, device.to_host(ids))
