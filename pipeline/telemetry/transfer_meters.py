"""What all processes of a run counted and keep: bytes over the bus, memory of the devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.cluster.client import is_distributed
from pipeline.device.choose import frames_of


def collect_meters(client: Any, device: str) -> Mapping[str, int]:
    """`Frames.read_meter` of this process and of the workers, since the last call.

    Bytes are added up; of ``peak_device`` it is the most of any process, since each has a GPU.
    """
    found = _everywhere(client, _meter, device)
    total: Counter[str] = Counter()
    for one in found:
        total.update(one)
    return {**total, "peak_device": max(one["peak_device"] for one in found)}


def release_tables(client: Any, device: str) -> None:
    """`Frames.release` of this process and of the workers."""
    _everywhere(client, _release, device)


def _everywhere(client: Any, function: Callable[[str], Any], device: str) -> list[Any]:
    found = [function(device)]
    if device == "gpu" and is_distributed(client):
        # a worker that dies meanwhile takes its counts with it
        found += client.run(function, device, on_error="ignore").values()
    return found


def _meter(device: str) -> dict[str, int]:
    return frames_of(device).read_meter()


def _release(device: str) -> None:
    frames_of(device).release()
