"""Training of one XGBoost model on all workers of a cluster, each on the matrices in its memory.

The set-up is that of `xgboost.dask.train`, without its collections: a tracker, a communicator on
each worker, and within it the code of a single process (`boost_locally`). Blocks therefore go into
the bins one by one; segments, patience and the best round are the same; and the bins are built
once per training, where `xgboost.dask` would build them for each segment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pipeline.cluster import gang_tasks, partitions
from pipeline.cluster.client import worker_threads
from pipeline.errors import MachineError
from pipeline.train.feed import MatrixSets, PartitionedFeed, WorkerFeed
from pipeline.train.fitted_model import Progress
from pipeline.train.params import XGBoostParams
from pipeline.train.weights import with_class_weights
from pipeline.train.xgboost import local
from pipeline.train.xgboost.checkpointing import (
    BoostingPlan,
    BoostingState,
    OnSegment,
    PackedState,
)

if TYPE_CHECKING:
    from distributed import Future
    from xgboost.tracker import RabitTracker

BOOTSTRAP = 120
"""Seconds in which all workers must have connected."""
SEGMENT = "-segment"
"""Suffix of the topic with the ends of segments, beside the topic with the progress."""


def boost_on_workers(
    params: XGBoostParams,
    feed: PartitionedFeed,
    plan: BoostingPlan,
    *,
    start: BoostingState,
    on_segment: OnSegment,
    progress: Progress,
    notes: list[str],
) -> BoostingState:
    """Boost on all workers that have rows.

    If a worker ends, the others resume from the last segment; its rows are computed afresh.

    Args:
        params: the parameters as the config gives them.
        feed: the matrices on the workers.
        plan: XGBoost's parameters, and when to stop.
        start: the trees that exist already.
        on_segment: called in this process with the trees so far when a segment ends.
        progress: called after each round.
        notes: notes for the ledger are appended to them.

    Raises:
        WorkerLost: a worker ended before a segment did, so that a new attempt would end alike.
    """
    # a worker sees only its own rows, so the weights of classes are computed before
    params = with_class_weights(params, feed)
    facts = (params, plan, feed.features, feed.target, feed.device, dict(feed.counts))
    shared_facts = partitions.broadcast(feed.client, facts)
    state = start

    def remember(reached: BoostingState) -> None:
        nonlocal state
        state = reached
        on_segment(reached)

    while not state.done:
        before = state.segments
        try:
            _attempt(feed, shared_facts, state, on_segment=remember, progress=progress, notes=notes)
        except gang_tasks.WorkerLost as error:
            if state.segments == before:
                raise
            notes.append(f"{error.message}: the others resumed from round {state.rounds}")
    return state


def _attempt(
    feed: PartitionedFeed,
    shared_facts: Future,
    start: BoostingState,
    *,
    on_segment: OnSegment,
    progress: Progress,
    notes: list[str],
) -> None:
    """Boost to the end, or until a worker ends."""
    from distributed.comm import get_address_host

    client = feed.client
    try:
        client.wait_for_workers(1, timeout=BOOTSTRAP)  # a nanny restarts its worker
    except TimeoutError:
        raise MachineError(
            f"XGBoost's training: no worker is left, and none came within {BOOTSTRAP} s",
            fix="start workers again; log.txt and the workers' own logs show why they ended",
        ) from None
    parts = feed.parts("train", "valid")
    members = gang_tasks.assign_members(client, parts)
    first, topic = members[0].address, f"boosting-{uuid4().hex}"
    # The tracker runs in a worker, which the others can reach; this process they may not.
    arguments = client.run(
        _start_tracker, topic, len(members), get_address_host(first), workers=[first]
    )
    notes.append(f"{len(members)} of {len(worker_threads(client))} workers boost together")
    ended: list[int] = []
    client.subscribe_topic(topic, lambda event: progress(*event[1]))
    client.subscribe_topic(topic + SEGMENT, lambda event: ended.append(event[1]))

    def fetch_segment() -> None:
        while ended:  # the worker has the newest segment only, however many events have arrived
            ended.clear()
            by_worker = client.run(_pop_segment, topic, workers=[first], on_error="ignore")
            if (packed := by_worker.get(first)) is not None:  # None: the worker may have died
                on_segment(BoostingState.unpack(*packed))

    try:
        results = gang_tasks.run_on_all_workers(
            client,
            parts,
            members,
            _boost_in_worker,
            shared_facts,
            (arguments[first], topic, start.pack()),
            what="XGBoost's training",
            meanwhile=fetch_segment,
        )
    finally:
        client.unsubscribe_topic(topic)
        client.unsubscribe_topic(topic + SEGMENT)
        if first in worker_threads(client):
            # without waiting, as the worker may die meanwhile
            client.run(_stop_tracker, topic, workers=[first], wait=False)
    packed, worker_notes = next(result for result in results if result is not None)
    notes.extend(worker_notes)
    on_segment(BoostingState.unpack(*packed))


# -- in a worker -----------------------------------------------------------------------------------

_trackers: dict[str, RabitTracker] = {}
_segments: dict[str, PackedState] = {}
"""The trees at the end of the last segment, by topic, until the client fetches them."""


def _start_tracker(topic: str, members: int, host: str) -> dict[str, Any]:
    from xgboost.tracker import RabitTracker

    tracker = RabitTracker(n_workers=members, host_ip=host, sortby="task", timeout=BOOTSTRAP)
    tracker.start()
    _trackers[topic] = tracker
    return dict(tracker.worker_args())


# Coroutines run on the worker's event loop at once; functions would wait for a free thread, which
# the boosting occupies.
async def _stop_tracker(topic: str) -> None:
    _trackers.pop(topic, None)
    _segments.pop(topic, None)


async def _pop_segment(topic: str) -> PackedState | None:
    return _segments.pop(topic, None)


def _boost_in_worker(
    rank: int,
    items: Sequence[Any],
    calls: Sequence[Any],
    facts: tuple[Any, ...],
    meeting: tuple[Mapping[str, Any], str, PackedState],
) -> tuple[PackedState, list[str]] | None:
    """Boost on this worker's items together with the others; the first one returns the result."""
    from distributed import get_worker
    from distributed.worker import thread_state
    from xgboost import collective

    worker, task_key = get_worker(), thread_state.key
    (tracker, topic, start), (params, plan, *feed_facts) = meeting, facts

    def log_progress(text: str, done: int, planned: int) -> None:
        task = worker.state.tasks.get(task_key)
        if task is None or task.state == "cancelled":
            raise RuntimeError("the run has ended")
        if rank == 0:
            worker.log_event(topic, (text, done, planned))

    def offer_segment(state: BoostingState) -> None:
        if rank == 0 and not state.done:  # the last segment is the task's result
            _segments[topic] = state.pack()
            worker.log_event(topic + SEGMENT, state.segments)

    def iter_partitions() -> Iterator[MatrixSets]:
        return (partitions.apply_functions(item, *calls) for item in items)

    plan = replace(plan, params={**plan.params, "nthread": worker.state.nthreads})
    feed = WorkerFeed(iter_partitions, *feed_facts)
    notes: list[str] = []
    with collective.CommunicatorContext(**tracker, DMLC_TASK_ID=f"{rank:08d}"):
        state = local.boost_locally(
            params,
            feed,
            plan,
            start=BoostingState.unpack(*start),
            on_segment=offer_segment,
            progress=log_progress,
            notes=notes,
        )
    return (state.pack(), notes) if rank == 0 else None
