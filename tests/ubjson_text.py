"""Writes UBJSON as XGBoost does, for models that it would not write itself."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

CONSTANTS = {None: b"Z", True: b"T", False: b"F"}
MARKERS = {"i1": b"i", "u1": b"U", "i2": b"I", "i4": b"l", "i8": b"L", "f4": b"d", "f8": b"D"}


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"L" + struct.pack(">q", len(encoded)) + encoded


def dumped(value: Any) -> bytes:
    """The inverse of `pipeline.train.xgboost.ubjson.parse`."""
    if isinstance(value, dict):
        return b"{" + b"".join(text(k) + dumped(v) for k, v in value.items()) + b"}"
    if isinstance(value, list):
        return b"[#L" + struct.pack(">q", len(value)) + b"".join(map(dumped, value))
    if isinstance(value, np.ndarray):
        big = value.astype(value.dtype.newbyteorder(">"))
        head = b"[$" + MARKERS[value.dtype.str[1:]] + b"#L" + struct.pack(">q", len(value))
        return head + big.tobytes()
    if isinstance(value, str):
        return b"S" + text(value)
    return (
        CONSTANTS[value]
        if value is None or isinstance(value, bool)
        else b"L" + struct.pack(">q", value)
    )
