"""Transfer of partitions from one device to the other, for a stage that runs on the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.device import Frame
from pipeline.device.choose import frames_of


def transfer_frame(frame: Frame, source: str, target: str) -> Frame:
    """Return a frame of the device ``source`` as one of ``target``; count the bytes."""
    return frames_of(target).to_device(frames_of(source).to_host(frame))


def transfer_sets(sets: Mapping[str, Any], source: str, target: str) -> dict[str, Any]:
    """Return ``{set: Matrix}`` on the device ``target``, array by array."""
    return {
        name: type(matrix)(
            *(None if a is None else transfer_frame(a, source, target) for a in matrix)
        )
        for name, matrix in sets.items()
    }
