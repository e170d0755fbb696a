"""A scheduler that runs already: connecting, and what its workers must share with this process."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import platform
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.config.model import Cluster
from pipeline.config.scheduler import Address, parse_address, scheduler_file
from pipeline.config.urls import is_url
from pipeline.device.choose import DeviceChoice, choose_device
from pipeline.errors import DeviceError, MachineError, PipelineError
from pipeline.versions import find_versions

SHARED_PACKAGES = (
    "pipeline", "dask", "distributed", "numpy", "pandas", "pyarrow", "scikit-learn", "treelite",
)  # fmt: skip
"""Distributions whose versions must be the client's: objects and results pass between them."""
XGBOOST = ("xgboost", "xgboost-cpu", "xgboost-cu13")  # one module, any of its distributions


MAX_FILE = 1 << 20
"""Bytes that are read of a scheduler file."""


def connect_to_scheduler(cluster: Cluster) -> Any:
    """A `distributed.Client` of the scheduler, which has workers with our versions.

    Raises:
        MachineError: nothing answers at the address, there is no worker, or versions differ.
    """
    from distributed import Client

    address = _address(cluster.kind)
    where = str(address)
    why = ""
    try:
        client = Client(where, timeout=cluster.timeout)
    except (OSError, TimeoutError, ValueError, TypeError, KeyError, RuntimeError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
    if why:
        # The half-made client closes itself when it is collected. Were that to happen while another
        # client starts, both would wait for one lock for ever (distributed 2026.7.1, LoopRunner).
        gc.collect()
        raise MachineError(
            f"no Dask scheduler answers at {where!r} within {cluster.timeout} s: {why}",
            fix="start one (`dask scheduler`, then `dask worker ADDRESS`), check "
            f"{_doubt(address)} and firewalls between, or use cluster: process",
        )
    try:
        _checked(client, cluster, where)
    except BaseException:
        client.close()
        raise
    return client


def _address(kind: str) -> Address:
    """The scheduler's address, which a scheduler file may hold.

    Raises:
        MachineError: there is no such file, or it holds no address.
    """
    path = scheduler_file(kind)
    if path is None:
        return parse_address(kind)
    try:
        with open(path, "rb") as file:
            return parse_address(json.loads(file.read(MAX_FILE))["address"])
    except FileNotFoundError:
        raise MachineError(
            f"there is no scheduler file {path!r}",
            fix="`dask scheduler --scheduler-file F` writes it; it must be seen from this host",
        ) from None
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise MachineError(
            f"the scheduler file {path!r} holds no address: {error}",
            fix="`dask scheduler --scheduler-file F` writes it",
        ) from None


def _doubt(where: Address) -> str:
    if where.protocol == "tls":
        return "the certificates (Dask's `distributed.comm.tls.*`, DASK_DISTRIBUTED__COMM__TLS__…)"
    return "host, port"


def _checked(client: Any, cluster: Cluster, where: str) -> None:
    wanted = cluster.workers or 1
    try:
        client.wait_for_workers(wanted, timeout=cluster.timeout)
    except TimeoutError:
        raise MachineError(
            f"the scheduler at {where!r} has fewer than {wanted} workers after {cluster.timeout} s",
            fix=f"start them: dask worker {where} --nthreads 1 --nworkers CORES",
        ) from None
    try:
        client.get_versions(check=True)
    except ValueError as error:
        raise MachineError(f"{where!r}: {error}", fix=SAME_FIX) from None
    own = collect_versions()
    for address, found in _asked(client, collect_versions).items():
        if isinstance(found, BaseException):
            raise MachineError(
                f"worker {address} cannot run our code: {type(found).__name__}: {found}",
                fix=SAME_FIX,
            )
        differ = [
            f"{name}: {theirs} there, {ours} here"
            for name, ours in own.items()
            if (theirs := found.get(name)) != ours
        ]
        if differ:
            raise MachineError(
                f"worker {address} has other versions than this process",
                examples=differ,
                fix=SAME_FIX,
            )


SAME_FIX = "install the same versions of everything on every host (the image has them)"


def collect_versions() -> dict[str, str | None]:
    """Versions of what this process and the workers must share."""
    found: dict[str, str | None] = {"python": ".".join(platform.python_version_tuple()[:2])}
    known = find_versions((*SHARED_PACKAGES, *XGBOOST))
    found |= {name: known.get(name) for name in SHARED_PACKAGES}
    found["xgboost"] = next((known[name] for name in XGBOOST if name in known), None)
    if found["pipeline"] is None:  # a checkout that is not installed
        from pipeline import __version__

        found["pipeline"] = __version__
    return found


def _asked(client: Any, function: Any, *arguments: Any) -> Mapping[str, Any]:
    """What the function returns, or raises, on each worker."""
    found: Mapping[str, Any] = client.run(function, *arguments, on_error="return")
    return found


# -- devices ---------------------------------------------------------------------------------------


def choose_worker_device(
    cluster: Cluster, choice: DeviceChoice, ask: Callable[[str], DeviceChoice] = choose_device
) -> DeviceChoice:
    """The device of a run at somebody else's scheduler: the GPU only if every worker's works.

    Args:
        cluster: whose workers are asked.
        choice: this process's. It needs a GPU too, for empty frames and golden rows.
        ask: what a worker chooses, as `choose`.

    Raises:
        DeviceError: ``gpu`` was asked for, and a worker has none that works; names it.
    """
    if choice.name != "gpu":
        return choice
    with connect_to_scheduler(cluster) as client:
        found = _asked(client, _chosen, ask)
    for address, own in found.items():
        reason = own.message if isinstance(own, DeviceError) else str(getattr(own, "reason", own))
        if isinstance(own, DeviceChoice) and own.name == "gpu":
            continue
        if choice.requested == "gpu":
            fix = getattr(own, "fix", "") or "run with --device cpu (or auto)"
            raise DeviceError(f"worker {address}: {reason}", fix=fix)
        return DeviceChoice(choice.requested, "cpu", f"worker {address}: {reason}")
    return DeviceChoice(
        choice.requested, "gpu", f"{choice.reason}; {len(found)} workers have one each", choice.gpus
    )


async def _chosen(ask: Callable[[str], DeviceChoice]) -> DeviceChoice:
    # in a thread: proving that a GPU computes may take a minute, and heartbeats go on
    return await asyncio.to_thread(ask, "gpu")


# -- data ------------------------------------------------------------------------------------------


def check_paths(
    client: Any, paths: Sequence[str], options: Mapping[str, Any], reach: Callable[..., None]
) -> None:
    """Checks that every worker sees the files of the data.

    Args:
        client: of the cluster.
        paths: local files and URLs.
        options: of the store behind the URLs.
        reach: ``reach(url, options)`` raises where a URL cannot be read; asked for the first one.

    Raises:
        PipelineError: a worker does not; names it and a path.
    """
    local = [path for path in paths if not is_url(path)]
    url = next(filter(is_url, paths), None)
    for address, found in _asked(client, _unseen, local, url, options, reach).items():
        if isinstance(found, PipelineError):
            raise type(found)(
                f"worker {address}: {found.message}", examples=found.examples, fix=found.fix
            )
        if isinstance(found, BaseException):
            raise MachineError(f"worker {address}: {found}") from found
        host, folder, unseen = found
        if unseen:
            raise MachineError(
                f"worker {address} on host {host!r} does not see {len(unseen)} of "
                f"{len(local)} data files (it runs in {folder})",
                examples=unseen,
                fix="put the data where every worker sees them under the same path: a shared "
                "folder, named absolutely, or object storage (s3://, gs://, abfs://)",
            )


def _unseen(
    paths: list[str], url: str | None, options: Mapping[str, Any], reach: Callable[..., None]
) -> tuple[str, str, list[str]]:
    if url is not None:
        reach(url, options)
    return socket.gethostname(), os.getcwd(), [p for p in paths if not os.path.exists(p)]
