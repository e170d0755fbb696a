"""Meters of all processes of a run: bytes of transfers, and the peak memory of the devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from pipeline.cluster.client import is_distributed
from pipeline.device.choose import frames_of

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")


def collect_meters(client: Client, device: str) -> Mapping[str, int]:
    """Return the sums of `Frames.read_meter` over this process and the workers.

    ``peak_device`` is the highest peak of any process, since each has a GPU of its own.
    """
    meters = _call_everywhere(client, _read_meter, device)
    total: Counter[str] = Counter()
    for meter in meters:
        total.update(meter)
    return {**total, "peak_device": max(meter["peak_device"] for meter in meters)}


def release_tables(client: Client, device: str) -> None:
    """Call `Frames.release` in this process and in the workers."""
    _call_everywhere(client, _release, device)


def _call_everywhere(client: Client, function: Callable[[str], T], device: str) -> list[T]:
    results = [function(device)]
    # on a CPU nothing is transferred or cached, so the workers need not be asked
    if device == "gpu" and is_distributed(client):
        # a worker that dies meanwhile takes its counts with it
        results += client.run(function, device, on_error="ignore").values()
    return results


def _read_meter(device: str) -> dict[str, int]:
    return frames_of(device).read_meter()


def _release(device: str) -> None:
    frames_of(device).release()
