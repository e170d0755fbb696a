"""Partitions that pass from one device to the other, for a stage that runs on the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.device import Frame
from pipeline.device.choose import frames_of


def transfer_frame(found: Frame, source: str, target: str) -> Frame:
    """A frame of the device ``source`` as one of ``target``; their bytes are counted."""
    return frames_of(target).to_device(frames_of(source).to_host(found))


def transfer_sets(found: Mapping[str, Any], source: str, target: str) -> dict[str, Any]:
    """``{set: Matrix}`` likewise, array by array."""
    return {
        name: type(matrix)(
            *(None if a is None else transfer_frame(a, source, target) for a in matrix)
        )
        for name, matrix in found.items()
    }
