"""Trains one XGBoost model on all workers of a cluster, each on the matrices that it holds.

What `xgboost.dask.train` does, without its collections: a tracker, a communicator on each worker,
and inside it the very code of a single process (`xgb.boosted`). So blocks go into the bins one by
one, the segments, the patience and the best round are the same, and the bins are made once a
training, where `xgboost.dask` makes them again in each segment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

from pipeline.cluster import gang, partitions
from pipeline.cluster.client import workers
from pipeline.matrix import Matrix
from pipeline.train import xgb
from pipeline.train.boosting import Boosted, Plan
from pipeline.train.held import HeldFeed, LocalFeed
from pipeline.train.model import Progress
from pipeline.train.params import XGBoostParams
from pipeline.train.weights import class_weights

BOOTSTRAP = 120
"""Seconds in which all workers must have come together."""


def boosted(
    params: XGBoostParams, feed: HeldFeed, plan: Plan, progress: Progress, notes: list[str]
) -> Boosted:
    """The trees that all workers with rows grow together.

    Raises:
        MachineError: a worker died.
    """
    from distributed.comm import get_address_host

    client = feed.client
    by_class = class_weights(params.class_weight, feed)
    if by_class is not None:  # settled over all rows: a worker sees only its own
        named = {str(c): float(w) for c, w in zip(feed.target.classes, by_class, strict=True)}
        params = params.model_copy(update={"class_weight": named})
    members = gang.members(client, feed.parts("train"))
    facts = (params, plan, feed.features, feed.target, feed.device, dict(feed.counts))
    sent = partitions.shared(client, facts)
    topic = f"boosting-{uuid4().hex}"
    client.subscribe_topic(topic, lambda event: progress(*event[1]))
    first = members[0].address
    host = get_address_host(first)
    tracker = client.run(_track, topic, len(members), host, workers=[first])[first]
    notes.append(f"{len(members)} of {len(workers(client))} workers boost together")
    try:
        found = gang.together(
            client,
            feed.parts("train"),
            members,
            _boost,
            sent,
            (tracker, topic),
            what="XGBoost's training",
        )
    finally:
        client.unsubscribe_topic(topic)
        if first in workers(client):
            client.run(_untrack, topic, workers=[first], wait=False)  # it may die meanwhile
    last, told = next(f for f in found if f is not None)
    notes.extend(told)
    return last  # type: ignore[no-any-return]


# -- in a worker -----------------------------------------------------------------------------------

_trackers: dict[str, Any] = {}


def _track(key: str, members: int, host: str) -> dict[str, Any]:
    """Starts a tracker in this worker, which the others can reach as this run's client may not."""
    from xgboost.tracker import RabitTracker

    tracker = RabitTracker(n_workers=members, host_ip=host, sortby="task", timeout=BOOTSTRAP)
    tracker.start()
    _trackers[key] = tracker
    return dict(tracker.worker_args())


async def _untrack(key: str) -> None:
    _trackers.pop(key, None)


def _boost(
    rank: int, items: Sequence[Any], calls: Sequence[Any], facts: tuple[Any, ...],
    meeting: tuple[Mapping[str, Any], str],
) -> tuple[Boosted, list[str]] | None:  # fmt: skip
    """Boosts on this worker's items, with the others; what came of it, from the first."""
    from distributed import get_worker
    from distributed.worker import thread_state
    from xgboost import collective

    worker, key = get_worker(), thread_state.key

    def tell(text: str, done: int, planned: int) -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state == "cancelled":
            raise RuntimeError("the run has ended")
        if rank == 0:
            worker.log_event(topic, (text, done, planned))

    (tracker, topic), (params, plan, *described) = meeting, facts
    plan = replace(plan, params={**plan.params, "nthread": worker.state.nthreads})
    feed = LocalFeed(partial(_made, items, calls), *described)
    notes: list[str] = []
    with collective.CommunicatorContext(**tracker, DMLC_TASK_ID=f"{rank:08d}"):
        last = xgb.boosted(params, feed, plan, None, tell, notes=notes)
    return (last, notes) if rank == 0 else None


def _made(items: Sequence[Any], calls: Sequence[Any]) -> Iterator[Mapping[str, Matrix]]:
    """The partitions of a worker's items, made again at each pass."""
    return (partitions.called(item, *calls) for item in items)
