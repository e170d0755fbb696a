"""Trains one XGBoost model on all workers of a cluster, each on the matrices that it holds.

What `xgboost.dask.train` does, without its collections: a tracker, a communicator on each worker,
and inside it the very code of a single process (`xgb_local.boosted`). So blocks go into the bins
one by one, the segments, the patience and the best round are the same, and the bins are made once a
training, where `xgboost.dask` makes them again in each segment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

from pipeline.cluster import gang_tasks, partitions
from pipeline.cluster.client import worker_threads
from pipeline.errors import MachineError
from pipeline.matrix import Matrix
from pipeline.train.feed import PartitionedFeed, WorkerFeed
from pipeline.train.fitted_model import Progress
from pipeline.train.params import XGBoostParams
from pipeline.train.weights import with_class_weights
from pipeline.train.xgboost import local
from pipeline.train.xgboost.checkpointing import BoostingPlan, BoostingState, SaveState

BOOTSTRAP = 120
"""Seconds in which all workers must have come together."""
SEGMENT = "-segment"
"""Ends the topic that tells of segments, beside that of the progress."""


def boost_on_workers(
    params: XGBoostParams, feed: PartitionedFeed, plan: BoostingPlan, *,
    start: BoostingState, keep: SaveState, progress: Progress, notes: list[str],
) -> BoostingState:  # fmt: skip
    """The trees that all workers with rows grow together.

    When a worker ends, those that are left go on from the last segment, with its rows made again.

    Args:
        start: the trees that are there already.
        keep: called with the trees so far when a segment ends, here.
        notes: what the ledger says is added to them.

    Raises:
        WorkerLost: a worker ended before a segment did: a new attempt would end as this one.
    """
    params = with_class_weights(params, feed)
    facts = (params, plan, feed.features, feed.target, feed.device, dict(feed.counts))
    sent = partitions.broadcast(feed.client, facts)
    last = start

    def reached(state: BoostingState) -> None:
        nonlocal last
        last = state
        keep(state)

    while not last.done:
        before = last.segments
        try:
            _attempt(feed, sent, last, keep=reached, progress=progress, notes=notes)
        except gang_tasks.WorkerLost as error:
            if last.segments == before:
                raise
            notes.append(f"{error.message}: the others went on from round {last.rounds}")
    return last


def _attempt(
    feed: PartitionedFeed, sent: Any, start: BoostingState, *,
    keep: SaveState, progress: Progress, notes: list[str],
) -> None:  # fmt: skip
    """Boosts to the end, or until a worker does."""
    from distributed.comm import get_address_host

    client = feed.client
    _wait_for_one(client)
    parts = feed.parts("train", "valid")
    members = gang_tasks.assign_members(client, parts)
    first, topic = members[0].address, f"boosting-{uuid4().hex}"
    tracker = client.run(_track, topic, len(members), get_address_host(first), workers=[first])
    notes.append(f"{len(members)} of {len(worker_threads(client))} workers boost together")
    ended: list[int] = []
    client.subscribe_topic(topic, lambda event: progress(*event[1]))
    client.subscribe_topic(topic + SEGMENT, lambda event: ended.append(event[1]))

    def fetch() -> None:
        while ended:  # the newest is what there is, however many were told of
            ended.clear()
            found = client.run(_reached, topic, workers=[first], on_error="ignore")
            if (state := found.get(first)) is not None:  # it may have died
                keep(BoostingState.unpacked(*state))

    try:
        found = gang_tasks.run_on_all_workers(
            client, parts, members, _boost, sent,
            (tracker[first], topic, start.packed()), what="XGBoost's training", meanwhile=fetch,
        )  # fmt: skip
    finally:
        client.unsubscribe_topic(topic)
        client.unsubscribe_topic(topic + SEGMENT)
        if first in worker_threads(client):
            client.run(_untrack, topic, workers=[first], wait=False)  # it may die meanwhile
    last, told = next(f for f in found if f is not None)
    notes.extend(told)
    keep(BoostingState.unpacked(*last))


def _wait_for_one(client: Any) -> None:
    try:
        client.wait_for_workers(1, timeout=BOOTSTRAP)  # a nanny starts its worker again
    except TimeoutError:
        raise MachineError(
            f"XGBoost's training: no worker is left, and none came within {BOOTSTRAP} s",
            fix="start workers again; log.txt and the workers' own logs say why they ended",
        ) from None


# -- in a worker -----------------------------------------------------------------------------------

_trackers: dict[str, Any] = {}
_segments: dict[str, tuple[Any, ...]] = {}
"""The trees of the last segment that has ended, by topic, until the client fetches them."""


def _track(key: str, members: int, host: str) -> dict[str, Any]:
    """Starts a tracker in this worker, which the others can reach as this run's client may not."""
    from xgboost.tracker import RabitTracker

    tracker = RabitTracker(n_workers=members, host_ip=host, sortby="task", timeout=BOOTSTRAP)
    tracker.start()
    _trackers[key] = tracker
    return dict(tracker.worker_args())


async def _untrack(key: str) -> None:
    _trackers.pop(key, None)
    _segments.pop(key, None)


async def _reached(key: str) -> tuple[Any, ...] | None:
    return _segments.pop(key, None)


def _boost(
    rank: int, items: Sequence[Any], calls: Sequence[Any], facts: tuple[Any, ...],
    meeting: tuple[Mapping[str, Any], str, tuple[Any, ...]],
) -> tuple[tuple[Any, ...], list[str]] | None:  # fmt: skip
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

    def keep(state: BoostingState) -> None:
        if rank == 0 and not state.done:  # the last is the task's result
            _segments[topic] = state.packed()
            worker.log_event(topic + SEGMENT, state.segments)

    (tracker, topic, start), (params, plan, *described) = meeting, facts
    plan = replace(plan, params={**plan.params, "nthread": worker.state.nthreads})
    feed = WorkerFeed(partial(_made, items, calls), *described)
    notes: list[str] = []
    with collective.CommunicatorContext(**tracker, DMLC_TASK_ID=f"{rank:08d}"):
        last = local.boost_locally(
            params, feed, plan, start=BoostingState.unpacked(*start), keep=keep, progress=tell,
            notes=notes,
        )  # fmt: skip
    return (last.packed(), notes) if rank == 0 else None


def _made(items: Sequence[Any], calls: Sequence[Any]) -> Iterator[Mapping[str, Matrix]]:
    """The partitions of a worker's items, made again at each pass."""
    return (partitions.apply_functions(item, *calls) for item in items)
