"""A frame of all types, and the reading of a source as one frame."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.config.model import Source
from pipeline.device import cpu
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract


def make_frame(rows: int = 40) -> pd.DataFrame:
    """A frame with missing values in every type that has them."""
    i = np.arange(rows)
    days = pd.to_datetime("2024-02-28") + pd.to_timedelta(i, "D")
    frame = pd.DataFrame(
        {
            "i": i - 3,
            "big": i + (1 << 50),
            "f": np.where(i % 7 == 3, np.nan, i / 3),
            "b": i % 3 == 0,
            "code": [f"{n:03}" for n in i],
            "s": [None if n % 5 == 2 else f"é, \"{n % 4}\"" for n in i],
            "day": days.where(i % 6 != 1),
            "time": days + pd.to_timedelta(i * 61, "s"),
        }
    )  # fmt: skip
    frame["s"] = frame["s"].astype("str")
    return frame


def read(path, **keys):
    """The rows of a source, and its contract."""
    contract = infer_contract(Source(path=str(path), **keys))
    names = [c.name for c in contract.columns]
    frames = [read_block(b, contract, names, cpu)[0] for b in plan_blocks(contract)]
    return cpu.concat(frames), contract
