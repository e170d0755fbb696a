"""What all processes of a run counted: bytes over the bus, memory in use on the devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipeline.cluster.client import spread
from pipeline.device.choose import frames_of


def metered(client: Any, device: str) -> Mapping[str, int]:
    """`Frames.meter` of this process and of the workers, since the last call.

    Bytes are added up; of ``peak_device`` it is the most of any process, since each has a GPU.
    """
    found = [_meter(device)]
    if device == "gpu" and spread(client):
        # a worker that dies meanwhile takes its counts with it
        found += client.run(_meter, device, on_error="ignore").values()
    total: Counter[str] = Counter()
    for one in found:
        total.update(one)
    return {**total, "peak_device": max(one["peak_device"] for one in found)}


def _meter(device: str) -> dict[str, int]:
    return frames_of(device).meter()
