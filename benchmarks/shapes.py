"""Tables that are large in other directions than rows: columns, files, distinct words.

    python -m benchmarks.shapes FOLDER --rows 2000 --columns 10000 --format parquet
    python -m benchmarks.shapes FOLDER --rows 20000 --files 1000
    python -m benchmarks.shapes FOLDER --rows 1e6 --words 1e6

The target is ``y``, 0 or 1; features are numbers ``x0``, ``x1``, … and, with ``--words``, ``w``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd


def table(rows: int, columns: int, words: int, seed: int) -> pd.DataFrame:
    """Make normal numbers, a target that depends on the first, and optionally a text column."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, columns)).round(4)
    frame = pd.DataFrame(numbers, columns=[f"x{i}" for i in range(columns)])
    added = {"y": (numbers[:, 0] + rng.normal(size=rows) > 0).astype("int64")}
    if words:
        added["w"] = np.char.add("word ", rng.integers(0, words, rows).astype(str))
    return frame.assign(**added)


def write(frame: pd.DataFrame, folder: Path, files: int, kind: str) -> None:
    """Split the rows into files of nearly equal size."""
    folder.mkdir(parents=True)
    edges = np.linspace(0, len(frame), files + 1).astype(int)
    for i, (start, end) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        part, path = frame.iloc[start:end], folder / f"{i:06}.{kind}"
        part.to_csv(path, index=False) if kind == "csv" else part.to_parquet(path, index=False)


def main() -> None:
    """Write one table into a new folder."""
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=float, default=2000)
    parser.add_argument("--columns", type=float, default=4)
    parser.add_argument("--files", type=float, default=1)
    parser.add_argument("--words", type=float, default=0, help="distinct, at most")
    parser.add_argument("--format", choices=("csv", "parquet"), default="csv")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    frame = table(int(given.rows), int(given.columns), int(given.words), given.seed)
    write(frame, given.folder, int(given.files), given.format)


if __name__ == "__main__":
    main()
