"""A scheduler that runs already: the connection, and what its workers share with this process."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import platform
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.config.cluster import Cluster
from pipeline.config.scheduler import Address, parse_address, scheduler_file
from pipeline.config.urls import is_url
from pipeline.console.plural import quantify
from pipeline.device.choose import DeviceChoice, choose_device
from pipeline.errors import DeviceError, MachineError, PipelineError
from pipeline.versions import XGBOOST_PACKAGES, find_versions

if TYPE_CHECKING:
    from distributed import Client

SHARED_PACKAGES = (
    "pipeline", "dask", "distributed", "numpy", "pandas", "pyarrow", "scikit-learn", "treelite",
)  # fmt: skip
"""Distributions whose versions must be the client's: objects and results pass between them."""
SAME_FIX = "install the same versions of everything on every host (the image has them)"
MAX_FILE = 1 << 20
"""Bytes of a scheduler file to read at most."""


def connect_to_scheduler(cluster: Cluster) -> Client:
    """Connect to the configured scheduler, and check that its workers have our versions.

    Raises:
        MachineError: nothing answers at the address, there is no worker, or versions differ.
    """
    from distributed import Client

    address = _find_address(cluster.kind)
    where = str(address)
    why = ""
    try:
        client = Client(where, timeout=cluster.timeout)
    except (OSError, TimeoutError, ValueError, TypeError, KeyError, RuntimeError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
    if why:
        # The half-made client closes itself when it is collected. If that happens while another
        # client starts, both wait for one lock forever (distributed 2026.7.1, LoopRunner).
        gc.collect()
        doubt = "host, port"
        if address.protocol == "tls":
            doubt = (
                "the certificates (Dask's `distributed.comm.tls.*`, DASK_DISTRIBUTED__COMM__TLS__…)"
            )
        raise MachineError(
            f"no Dask scheduler answers at {where!r} within {cluster.timeout} s: {why}",
            fix=f"start one (`dask scheduler`, then `dask worker ADDRESS`), check {doubt} and "
            "the firewalls between the hosts, or use cluster: process",
        )
    try:
        _check_workers(client, cluster, where)
    except BaseException:
        client.close()
        raise
    return client


def _find_address(kind: str) -> Address:
    """Return the scheduler's address, from the config or from a scheduler file.

    Raises:
        MachineError: the file does not exist, or has no address.
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
            fix="write it with `dask scheduler --scheduler-file F`, where this host can read it",
        ) from None
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise MachineError(
            f"the scheduler file {path!r} holds no address: {error}",
            fix="write it with `dask scheduler --scheduler-file F`",
        ) from None


def _check_workers(client: Client, cluster: Cluster, where: str) -> None:
    """Check that there are enough workers, which run the same code as this process."""
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
    ours = collect_versions()
    for address, theirs in _run_on_workers(client, collect_versions).items():
        if isinstance(theirs, BaseException):
            raise MachineError(
                f"worker {address} cannot run our code: {type(theirs).__name__}: {theirs}",
                fix=SAME_FIX,
            )
        differences = [
            f"{name}: {theirs.get(name)} there, {version} here"
            for name, version in ours.items()
            if theirs.get(name) != version
        ]
        if differences:
            raise MachineError(
                f"worker {address} has other versions than this process",
                examples=differences,
                fix=SAME_FIX,
            )


def collect_versions() -> dict[str, str | None]:
    """Return the versions of everything that this process and the workers must share."""
    installed = find_versions(SHARED_PACKAGES)
    versions: dict[str, str | None] = {"python": ".".join(platform.python_version_tuple()[:2])}
    versions |= {name: installed.get(name) for name in SHARED_PACKAGES}
    versions["xgboost"] = next(iter(find_versions(XGBOOST_PACKAGES).values()), None)
    if versions["pipeline"] is None:  # a checkout that is not installed
        from pipeline import __version__

        versions["pipeline"] = __version__
    return versions


def _run_on_workers(
    client: Client, function: Callable[..., Any], *arguments: object
) -> Mapping[str, Any]:
    """Return, by worker, the function's result or the error that it raises."""
    results: Mapping[str, Any] = client.run(function, *arguments, on_error="return")
    return results


# -- devices ---------------------------------------------------------------------------------------


def choose_worker_device(
    cluster: Cluster, choice: DeviceChoice, choose: Callable[[str], DeviceChoice] = choose_device
) -> DeviceChoice:
    """Choose the device of a run at a running scheduler: the GPU only if every worker's works.

    Args:
        cluster: the config's section.
        choice: this process's device. It needs a GPU too, for empty frames and golden rows.
        choose: chooses the device of a worker, as `choose_device`.

    Raises:
        DeviceError: ``gpu`` is requested and the GPU of a worker does not work; names the worker.
    """
    if choice.name != "gpu":
        return choice
    with connect_to_scheduler(cluster) as client:
        choices = _run_on_workers(client, _choose_in_thread, choose)
    for address, theirs in choices.items():
        if isinstance(theirs, DeviceChoice) and theirs.name == "gpu":
            continue
        reason = str(getattr(theirs, "reason", theirs))
        if isinstance(theirs, DeviceError):
            reason = theirs.message
        if choice.requested == "gpu":
            fix = getattr(theirs, "fix", "") or "run with --device cpu (or auto)"
            raise DeviceError(f"worker {address}: {reason}", fix=fix)
        return DeviceChoice(choice.requested, "cpu", f"worker {address}: {reason}")
    reason = f"{choice.reason}; {quantify(len(choices), 'worker')} with one each"
    return DeviceChoice(choice.requested, "gpu", reason, choice.gpus)


async def _choose_in_thread(choose: Callable[[str], DeviceChoice]) -> DeviceChoice:
    # in a thread: the check of a GPU may take a minute, and heartbeats must continue
    return await asyncio.to_thread(choose, "gpu")


# -- data ------------------------------------------------------------------------------------------


def check_paths(
    client: Client, paths: Sequence[str], options: Mapping[str, object], reach: Callable[..., None]
) -> None:
    """Check that every worker can read the files of the data.

    Args:
        client: of the cluster.
        paths: local files and URLs.
        options: of the store behind the URLs.
        reach: ``reach(url, options)`` raises if it cannot read a URL; called for the first URL.

    Raises:
        PipelineError: a worker cannot read a file; names the worker and a path.
    """
    local = [path for path in paths if not is_url(path)]
    url = next(filter(is_url, paths), None)
    for address, result in _run_on_workers(
        client, _find_unseen, local, url, options, reach
    ).items():
        if isinstance(result, PipelineError):
            raise type(result)(
                f"worker {address}: {result.message}", examples=result.examples, fix=result.fix
            )
        if isinstance(result, BaseException):
            raise MachineError(f"worker {address}: {result}") from result
        host, folder, unseen = result
        if unseen:
            raise MachineError(
                f"worker {address} on host {host!r} does not see {len(unseen)} of "
                f"{len(local)} data files (it runs in {folder})",
                examples=unseen,
                fix="put the data where every worker sees them under the same path: a shared "
                "folder, named absolutely, or object storage (s3://, gs://, abfs://)",
            )


def _find_unseen(
    paths: list[str], url: str | None, options: Mapping[str, object], reach: Callable[..., None]
) -> tuple[str, str, list[str]]:
    """Return (host, working directory, paths that do not exist here) of a worker."""
    if url is not None:
        reach(url, options)
    return socket.gethostname(), os.getcwd(), [p for p in paths if not os.path.exists(p)]
