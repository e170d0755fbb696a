"""Functions over partitions: map, persist, reduce, shuffle.

A dataset is a `Partitions`: items, and the functions that make a partition of each
(docs/decisions/0001-delayed-partitions.md). Persisted partitions stay on the worker that made them.
Others are recomputed in each pass, which is all that streaming is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pipeline.cluster import gpu_worker_failure, task_events
from pipeline.cluster.client import is_distributed, worker_threads
from pipeline.device import Array, Frame
from pipeline.device.choose import frames_of

if TYPE_CHECKING:
    from dask.delayed import Delayed
    from distributed import Client, Future

Summary = TypeVar("Summary")
_MERGE_AT_ONCE = 8


@dataclass(frozen=True)
class Partitions:
    """n lazy partitions in record order."""

    items: Sequence[Any]
    """Arguments of the first function: blocks, or persisted partitions (`dask.delayed.Delayed`)."""
    calls: tuple[tuple[Callable[..., Any], tuple[object, ...]], ...] = ()
    """(function, further arguments), applied one after the other in a single task."""

    def __len__(self) -> int:
        return len(self.items)

    def release(self) -> None:
        """Release persisted items, also those of partitions that `map_partitions` derived."""
        if isinstance(self.items, list):  # derived partitions share the list
            self.items.clear()

    def make_tasks(self, addresses: Sequence[str] = ()) -> list[Delayed]:
        """Return new delayed values, one per partition.

        Args:
            addresses: workers that get the tasks in turn, as long as they live; empty: any.
        """
        from dask import annotate, delayed

        if not self.calls:
            return [i if hasattr(i, "dask") else delayed(i, traverse=False) for i in self.items]
        functions = [function for function, _ in self.calls]
        arguments = [[_make_opaque(value) for value in values] for _, values in self.calls]
        lazy = delayed(apply_functions, pure=False)
        # Each pass needs new keys: to compute a key right after its future was dropped loses it
        # (distributed 2026.7).
        name = task_events.new_task_name(functions[-1].__name__.strip("_"))
        tasks = []
        for i, item in enumerate(self.items):
            where = [addresses[i % len(addresses)]] if addresses else None
            with annotate(workers=where, allow_other_workers=True) if where else nullcontext():
                tasks.append(lazy(item, functions, arguments, dask_key_name=(name, i)))
        return tasks


def _make_opaque(value: object) -> object:
    """Wrap an argument so that Dask does not search it for tasks."""
    from dask.base import is_dask_collection
    from dask.core import literal
    from distributed import Future

    # What `broadcast` returned must stay Dask's own. Anything else is wrapped: the names of 10,000
    # columns were as many tasks per partition.
    is_task = isinstance(value, Future) or is_dask_collection(value)
    return value if is_task else literal(value)


def apply_functions(
    item: Any, functions: list[Callable[..., Any]], arguments: list[list[object]]
) -> Any:
    """Return the partition of an item: apply the functions one after the other."""
    from dask.core import literal

    try:
        for function, values in zip(functions, arguments, strict=True):
            plain = [value.data if isinstance(value, literal) else value for value in values]
            item = function(item, *plain)
    except Exception as error:
        gpu_worker_failure.exit_if_gpu_lost(error)
        raise
    task_events.log_partition_done()
    return item


def map_partitions(
    parts: Partitions | Sequence[Any], function: Callable[..., Any], *arguments: object
) -> Partitions:
    """Apply ``function(partition, *arguments)`` to each partition, lazily."""
    if not isinstance(parts, Partitions):
        parts = Partitions(parts)
    return Partitions(parts.items, (*parts.calls, (function, arguments)))


def broadcast(client: Client, value: object) -> Any:
    """Return a task argument for a value that many tasks need; each worker receives it once.

    Within this process it passes by reference.
    """
    if is_distributed(client):
        from distributed.protocol.pickle import dumps, loads

        # A task's result, not scattered data: if the worker that has it dies, the scheduler can
        # recompute a result, but not what was scattered.
        return client.submit(loads, dumps(value), pure=False)
    # in a list: a tuple or dict would be sent member by member, an empty one not at all
    return client.scatter([value], broadcast=True, hash=False)[0]


def persist(
    client: Client, parts: Partitions, *, instead_of: Partitions | None = None
) -> Partitions:
    """Compute the partitions now and keep them in memory; raise the error of one that failed.

    In a cluster a partition's position decides its worker, so that every run has it on the same one
    (`gang_tasks.assign_members`).

    Args:
        instead_of: persisted partitions that only ``parts`` still needs. They are released one by
            one as the new ones are made, so nobody may use them afterwards.
    """
    from distributed import futures_of, wait

    addresses = list(worker_threads(client)) if is_distributed(client) else ()
    persisted = list(client.persist(parts.make_tasks(addresses)))
    if instead_of is not None:
        instead_of.release()
    futures = futures_of(persisted)
    if futures:  # `SynchronousClient` has none
        wait(futures)
    for future in futures:
        if future.status == "error":
            future.result()
    return Partitions(persisted)


def reduce_partitions(
    client: Client,
    parts: Partitions,
    function: Callable[..., Summary],
    merge: Callable[[Summary, Summary], Summary],
    *arguments: object,
) -> Summary:
    """Apply ``function`` to each partition, merge the results as a tree, and return the last one.

    Results are merged in partition order.
    """
    from dask import delayed

    merge_group = delayed(reduce, pure=False)
    level = map_partitions(parts, function, *arguments).make_tasks()
    while len(level) > 1:
        groups = [level[i : i + _MERGE_AT_ONCE] for i in range(0, len(level), _MERGE_AT_ONCE)]
        level = [merge_group(merge, group) for group in groups]
    result: Summary = client.compute(level[0]).result()
    return result


def iter_results(client: Client, parts: Partitions, ahead: int | None = None) -> Iterator[Any]:
    """Yield the partitions' values in order, and compute the next ones meanwhile.

    Args:
        ahead: how many to compute before they are needed; None: one per thread.
    """
    tasks = parts.make_tasks()
    ahead = ahead or max(2, sum(worker_threads(client).values()))
    waiting: list[Future] = [client.compute(task) for task in tasks[:ahead]]
    for position in range(len(tasks)):
        future = waiting.pop(0)
        if position + ahead < len(tasks):
            waiting.append(client.compute(tasks[position + ahead]))
        yield future.result()


def shuffle_by_group(
    parts: Partitions, meta: Frame, group_of: Callable[..., Array], *arguments: object, device: str
) -> Partitions:
    """Bring the rows of each group into one partition, sorted by group and then by index.

    There are as many partitions as before.

    Args:
        parts: the partitions.
        meta: a partition without rows.
        group_of: returns the group of each row, int64 in [0, 2^32), for a partition and
            ``arguments``.
        device: "cpu" or "gpu".
    """
    count, names = len(parts), list(meta.columns)
    # Partitions get ranges of groups. So the rows of all partitions, one after another, are in the
    # same order for any number of partitions, and models that draw rows draw the same.
    keys = _find_shuffle_keys(count, device)
    marked = map_partitions(parts, _add_shuffle_columns, keys, device, group_of, arguments)
    if count == 1:
        return map_partitions(marked, _drop_shuffle_columns, names)
    import dask.dataframe as dd

    empty = _add_shuffle_columns(meta, keys, device, group_of, arguments)
    frame = dd.from_delayed(marked.make_tasks(), meta=empty, verify_meta=False)
    # "tasks": the default (p2p) takes cuDF frames through the host
    shuffled = frame.shuffle(_PLACE, npartitions=count, shuffle_method="tasks")
    return map_partitions(list(shuffled.to_delayed()), _drop_shuffle_columns, names)


_GROUP, _PLACE, _ROW = "group", "place", "row"


def _find_shuffle_keys(count: int, device_name: str) -> np.ndarray:
    """Return float64 (count,): for each partition a number whose hash Dask's shuffle sends there.

    Dask offers no other way to choose the partition of a row (2026.7).
    """
    from dask.dataframe.shuffle import partitioning_index

    device = frames_of(device_name)
    candidates = np.arange(100.0 * count)
    column = device.make_series(device.to_device(candidates), "float64")
    targets = partitioning_index(device.make_frame({_PLACE: column}), count)
    reached, first = np.unique(device.to_host(targets), return_index=True)
    assert len(reached) == count, "no candidate hashes to some partition"
    keys: np.ndarray = candidates[first]
    return keys


def _add_shuffle_columns(
    frame: Frame,
    keys: np.ndarray,
    device_name: str,
    group_of: Callable[..., Array],
    arguments: tuple[object, ...],
) -> Frame:
    device = frames_of(device_name)
    groups = group_of(frame, *arguments)
    targets = device.to_device(keys)[groups * len(keys) >> 32]
    # Columns are named by position: the shuffle adds columns such as ``_partitions``, and would
    # drop a column of the data that has this name.
    numbered = frame.rename(columns={name: str(i) for i, name in enumerate(frame.columns)})
    return numbered.assign(**{_GROUP: groups, _PLACE: targets, _ROW: device.row_ids(frame)})


def _drop_shuffle_columns(frame: Frame, names: Sequence[str]) -> Frame:
    ordered = frame.sort_values([_GROUP, _ROW]).drop(columns=[_GROUP, _PLACE, _ROW])
    return ordered.rename(columns={str(i): name for i, name in enumerate(names)})
