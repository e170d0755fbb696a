"""Functions over partitions: map, hold, reduce, shuffle.

Decision 2 lets every dataset be a Dask collection of our own block reads; here it is a `Partitions`
(docs/decisions/0001-delayed-partitions.md): items, and the functions that make a partition of each.
Held partitions stay where they were made; others are made again at each pass, which is all that
streaming is. Every pass makes new tasks with new keys: computing the same key right after dropping
its future loses it (distributed 2026.7).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.cluster import gpu_worker_failure, task_events
from pipeline.cluster.client import is_distributed, worker_threads
from pipeline.device import Frame
from pipeline.device.choose import frames_of

_MERGE_AT_ONCE = 8


@dataclass(frozen=True)
class Partitions:
    """n partitions in record order, none of them computed yet."""

    items: Sequence[Any]
    """What the first function takes: blocks, or held partitions (`dask.delayed.Delayed`)."""
    calls: tuple[tuple[Callable[..., Any], tuple[Any, ...]], ...] = ()
    """(function, further arguments), applied one after the other in a single task."""

    def __len__(self) -> int:
        return len(self.items)

    def release(self) -> None:
        """Frees what is held, here and in all that was made of these by `map_partitions`."""
        if isinstance(self.items, list):
            self.items.clear()

    def tasks(self, addresses: Sequence[str] = ()) -> list[Any]:
        """New delayed values, one a partition; on these workers in turn, as long as they live."""
        from dask import annotate, delayed

        if not self.calls:
            return [i if hasattr(i, "dask") else delayed(i, traverse=False) for i in self.items]
        functions = [function for function, _ in self.calls]
        arguments = [[_opaque(value) for value in own] for _, own in self.calls]
        lazy = delayed(apply_functions, pure=False)
        name = task_events.new_task_name(functions[-1].__name__.strip("_"))
        made = []
        for i, item in enumerate(self.items):
            where = [addresses[i % len(addresses)]] if addresses else None
            with annotate(workers=where, allow_other_workers=True) if where else nullcontext():
                made.append(lazy(item, functions, arguments, dask_key_name=(name, i)))
        return made


def _opaque(value: Any) -> Any:
    """The argument so that Dask does not look into it: the names of 10,000 columns were as many
    tasks, for each partition. What `broadcast` gave is Dask's own and stays so."""
    from dask.base import is_dask_collection
    from dask.core import literal
    from distributed import Future

    own = isinstance(value, Future) or is_dask_collection(value)
    return value if own else literal(value)


def apply_functions(
    item: Any, functions: list[Callable[..., Any]], arguments: list[list[Any]]
) -> Any:
    """The partition of an item: the functions applied one after the other."""
    from dask.core import literal

    try:
        for function, own in zip(functions, arguments, strict=True):
            plain = [value.data if isinstance(value, literal) else value for value in own]
            item = function(item, *plain)
    except Exception as error:
        gpu_worker_failure.exit_if_gpu_lost(error)
        raise
    task_events.log_partition_done()
    return item


def map_partitions(
    parts: Partitions | Sequence[Any], function: Callable[..., Any], *arguments: Any
) -> Partitions:
    """``function(partition, *arguments)`` for each partition, lazily."""
    known = parts if isinstance(parts, Partitions) else Partitions(parts)
    return Partitions(known.items, (*known.calls, (function, arguments)))


def broadcast(client: Any, value: Any) -> Any:
    """A value that many tasks need: sent once, once more to each worker that needs it.

    Within this process it passes by reference. In a cluster it is a task's result: when the worker
    that has it dies, the scheduler still knows how to make it, which of scattered data it does not.
    """
    if is_distributed(client):
        from distributed.protocol.pickle import dumps, loads

        return client.submit(loads, dumps(value), pure=False)
    # in a list of its own: a tuple or dict would be sent member by member, an empty one not at all
    return client.scatter([value], broadcast=True, hash=False)[0]


def persist(client: Any, parts: Partitions, *, instead_of: Partitions | None = None) -> Partitions:
    """The partitions computed now and kept in memory; a failed one raises its error here.

    In a cluster each lies on the same worker in every run (by its position, `gang.members`).

    Args:
        instead_of: held partitions that nothing needs any more once these are made of them. They
            are let go one by one as that happens: nobody may use them afterwards.
    """
    from distributed import futures_of, wait

    kept = list(
        client.persist(parts.tasks(list(worker_threads(client)) if is_distributed(client) else ()))
    )
    if instead_of is not None:
        instead_of.release()
    futures = futures_of(kept)
    if futures:  # of `Serial` there are none
        wait(futures)
    for future in futures:
        if future.status == "error":
            future.result()
    return Partitions(kept)


def reduce_partitions(
    client: Any, parts: Partitions, function: Callable[..., Any],
    merge: Callable[[Any, Any], Any], *arguments: Any,
) -> Any:  # fmt: skip
    """``function`` of each partition, merged as a tree in partition order; the result, here."""
    from dask import delayed

    merge_some = delayed(_merged, pure=False)
    level = map_partitions(parts, function, *arguments).tasks()
    while len(level) > 1:
        groups = [level[i : i + _MERGE_AT_ONCE] for i in range(0, len(level), _MERGE_AT_ONCE)]
        level = [merge_some(group, merge) for group in groups]
    return client.compute(level[0]).result()


def _merged(summaries: list[Any], merge: Callable[[Any, Any], Any]) -> Any:
    total = summaries[0]
    for other in summaries[1:]:
        total = merge(total, other)
    return total


def iter_results(client: Any, parts: Partitions, ahead: int | None = None) -> Iterator[Any]:
    """The partitions' values in order; the next are made while the caller works on one.

    Args:
        ahead: how many at most are made before they are asked for; None: one for each thread.
    """
    tasks = parts.tasks()
    ahead = ahead or max(2, sum(worker_threads(client).values()))
    waiting = [client.compute(task) for task in tasks[:ahead]]
    for following in range(len(tasks)):
        future = waiting.pop(0)
        if following + ahead < len(tasks):
            waiting.append(client.compute(tasks[following + ahead]))
        yield future.result()


def shuffle_by_group(
    parts: Partitions, meta: Frame, group_of: Callable[..., Any], *arguments: Any, device: str
) -> Partitions:
    """Rows of one group together, in as many partitions, by group and then by index.

    Partitions hold ranges of groups, so that the rows of all of them, one after the other, are in
    the same order for any number of partitions: models that draw rows draw the same.

    Args:
        meta: a partition without rows.
        group_of: of a partition and ``arguments``: int64 array in [0, 2^32).
    """
    count, names = len(parts), list(meta.columns)
    places = _places(count, device)
    marked = map_partitions(parts, _marked, places, device, group_of, arguments)
    if count == 1:
        return map_partitions(marked, _unmarked, names)
    import dask.dataframe as dd

    empty = _marked(meta, places, device, group_of, arguments)
    frame = dd.from_delayed(marked.tasks(), meta=empty, verify_meta=False)
    # "tasks": the default (p2p) takes cuDF frames through the host
    shuffled = frame.shuffle(_PLACE, npartitions=count, shuffle_method="tasks")
    return map_partitions(list(shuffled.to_delayed()), _unmarked, names)


_GROUP, _PLACE, _ROW = "group", "place", "row"


def _places(count: int, device_name: str) -> np.ndarray:
    """float64 (count,): for each partition a number that Dask's shuffle, by its hash, sends there.

    Dask lets nobody say where rows go but by columns that it hashes (2026.7).
    """
    from dask.dataframe.shuffle import partitioning_index

    device = frames_of(device_name)
    tried = np.arange(100.0 * count)
    column = device.make_series(device.to_device(tried), "float64")
    sent = partitioning_index(device.make_frame({_PLACE: column}), count)
    found, first = np.unique(device.to_host(sent), return_index=True)
    assert len(found) == count, "a partition that none of a hundred numbers is sent to"
    places: np.ndarray = tried[first]
    return places


def _marked(
    frame: Frame, places: np.ndarray, device_name: str, group_of: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> Frame:  # fmt: skip
    """The columns by their positions, beside where each row goes: the shuffle has columns of its
    own, as ``_partitions``, and loses the data's of that name."""
    device = frames_of(device_name)
    groups = group_of(frame, *arguments)
    at = device.to_device(places)[groups * len(places) >> 32]
    named = frame.rename(columns={name: str(i) for i, name in enumerate(frame.columns)})
    return named.assign(**{_GROUP: groups, _PLACE: at, _ROW: device.row_ids(frame)})


def _unmarked(frame: Frame, names: Sequence[str]) -> Frame:
    ordered = frame.sort_values([_GROUP, _ROW]).drop(columns=[_GROUP, _PLACE, _ROW])
    return ordered.rename(columns={str(i): name for i, name in enumerate(names)})
