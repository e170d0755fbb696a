"""The generator of flights-like rows: ``python -m benchmarks.generate --rows 10e6 --out PATH``.

Each row is a row of data/flights/flights.parquet, drawn at random, with noise: other minutes, other
delays, sometimes another aeroplane. The columns, their types and what is missing stay as they are;
``time_hour`` stays too, so that the weather can be joined. Rows are made and written in
blocks: memory is flat. The same seed and number of rows give the same bytes, and the first blocks
are the same for any number of rows.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SOURCE = Path(__file__).parent.parent / "data" / "flights" / "flights.parquet"
BLOCK = 50_000
"""Rows per block."""
GROUP = 1_000_000
"""Rows of a Parquet row group."""
PROCESSES = 2
"""Number of processes that render CSV lines."""
NUMBERS = [
    "year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time",
    "sched_arr_time", "arr_delay", "flight", "air_time", "distance", "hour", "minute",
]  # fmt: skip
TEXTS = ["carrier", "tailnum", "origin", "dest"]
LOWEST, HIGHEST = -1_000, 9_999
"""Every number of the data lies between; LOWEST stands for a missing one."""
# CSV fields that no noise changes and that stand side by side are rendered once, together.
UNCHANGED = [
    ("year", "month", "day"), ("sched_arr_time",), ("carrier", "flight"), ("origin", "dest"),
    ("distance", "hour"), ("time_hour",),
]  # fmt: skip
Block = dict[str, np.ndarray]


@dataclass(frozen=True)
class Source:
    """The real flights: numbers as int32 with LOWEST for missing, text as codes into values."""

    schema: pa.Schema
    numbers: Block
    codes: Block
    values: dict[str, np.ndarray]
    times: np.ndarray
    """int64 (n,): ms since 1970, UTC."""

    def __len__(self) -> int:
        return len(self.times)


def source(path: Path = SOURCE) -> Source:
    """Read the real flights."""
    table = pq.read_table(path)
    numbers = {n: table[n].fill_null(LOWEST).to_numpy().astype("int32") for n in NUMBERS}
    texts = {n: table[n].fill_null("").combine_chunks().dictionary_encode() for n in TEXTS}
    codes = {n: t.indices.to_numpy() for n, t in texts.items()}
    values = {n: t.dictionary.to_numpy(zero_copy_only=False) for n, t in texts.items()}
    times = table["time_hour"].cast(pa.int64()).to_numpy()
    return Source(table.schema, numbers, codes, values, times)


# -- rows ------------------------------------------------------------------------------------------


def numbered(rows: int) -> Iterator[tuple[int, int]]:
    """Each block's number and rows."""
    for number, start in enumerate(range(0, rows, BLOCK)):
        yield number, min(BLOCK, rows - start)


def block(real: Source, seed: int, number: int, rows: int) -> Block:
    """Return the columns of a block by name, and ``row``, the real row of each row.

    Text columns are codes into ``real.values``; ``time_hour`` is not among them: take
    ``real.times[block["row"]]``.
    """
    columns = _whole(real, np.random.default_rng([seed, number]))
    return {name: values[:rows] for name, values in columns.items()}


def _whole(real: Source, rng: np.random.Generator) -> Block:
    row = rng.integers(0, len(real), BLOCK)
    columns = {name: values[row] for name, values in (real.numbers | real.codes).items()}
    columns["minute"] = np.clip(columns["minute"] + rng.integers(-2, 3, BLOCK), 0, 59)
    columns["sched_dep_time"] = columns["hour"] * 100 + columns["minute"]
    for kind in ("dep", "arr"):
        later = np.rint(rng.normal(0, 4, BLOCK)).astype("int32")
        columns[f"{kind}_delay"] = _noisy(columns[f"{kind}_delay"], later, -90, HIGHEST)
        columns[f"{kind}_time"] = _moved(columns[f"{kind}_time"], later)
    columns["air_time"] = _noisy(columns["air_time"], rng.integers(-3, 4, BLOCK), 15, HIGHEST)
    other = rng.random(BLOCK) < 0.02
    planes = real.codes["tailnum"][rng.integers(0, len(real), BLOCK)]
    columns["tailnum"] = np.where(other, planes, columns["tailnum"])
    return columns | {"row": row}


def _noisy(values: np.ndarray, change: np.ndarray, low: int, high: int) -> np.ndarray:
    return np.where(values == LOWEST, LOWEST, np.clip(values + change, low, high))


def _moved(clock: np.ndarray, minutes: np.ndarray) -> np.ndarray:
    """Shift times of day, written as hhmm, by minutes; midnight is 2400."""
    of_day = (clock // 100 * 60 + clock % 100 + minutes - 1) % 1440 + 1
    return np.where(clock == LOWEST, LOWEST, of_day // 60 * 100 + of_day % 60)


# -- CSV -------------------------------------------------------------------------------------------


class CsvWriter:
    """Renders blocks as CSV lines.

    A line is a record of fixed-width fields, each looked up in a table of rendered values and
    padded with NUL bytes; those are deleted from the block as a whole.
    """

    def __init__(self, real: Source) -> None:
        self.real = real
        numbers = [b"," if v == LOWEST else b"%d," % v for v in range(LOWEST, HIGHEST + 1)]
        self.number = np.array(numbers)
        self.text = {
            name: np.array([f"{value},".encode() for value in real.values[name]]) for name in TEXTS
        }
        self.whole = {names: self._rendered(names) for names in UNCHANGED}
        self.fields = self._fields()

    def _fields(self) -> list[tuple[tuple[str, ...], int]]:
        """Return the columns of each field of a line, in the file's order, and its width."""
        fields, left = [], list(self.real.schema.names)
        while left:
            names = next((u for u in UNCHANGED if u[0] == left[0]), (left[0],))
            table = self.whole.get(names, self.text.get(names[0], self.number))
            fields.append((names, table.dtype.itemsize))
            left = left[len(names) :]
        return fields

    def _rendered(self, names: tuple[str, ...]) -> np.ndarray:
        """Return the real rows' values of neighbouring columns."""
        if names == ("time_hour",):
            stamps = np.datetime_as_string(self.real.times.astype("datetime64[ms]"), unit="s")
            return np.char.add(stamps.astype("S19"), b"Z\n")
        parts = [
            self.text[n][self.real.codes[n]] if n in TEXTS else self.number[self._at(n)]
            for n in names
        ]
        joined = parts[0]
        for part in parts[1:]:
            joined = np.char.add(joined, part)
        return joined

    def _at(self, name: str) -> np.ndarray:
        return self.real.numbers[name] - LOWEST

    def lines(self, block: Block) -> bytes:
        """Render the lines of a block."""
        dtype = np.dtype([(names[0], f"S{width}") for names, width in self.fields])
        columns = np.empty(len(block["row"]), dtype)
        for names, _ in self.fields:
            name = names[0]
            if names in self.whole:
                columns[name] = self.whole[names][block["row"]]
            elif name in TEXTS:
                columns[name] = self.text[name][block[name]]
            else:
                columns[name] = self.number[block[name] - LOWEST]
        return columns.tobytes().translate(None, b"\0")


class _Worker:
    """State of a rendering process: the writer."""

    writer: CsvWriter

    @staticmethod
    def start(path: Path) -> None:
        _Worker.writer = CsvWriter(source(path))

    @staticmethod
    def lines(seed: int, number: int, rows: int) -> bytes:
        return _Worker.writer.lines(block(_Worker.writer.real, seed, number, rows))


def write_csv(path: Path, origin: Path, rows: int, seed: int) -> Iterator[int]:
    """Write the file, its lines rendered by PROCESSES processes; yield the rows written so far.

    Few blocks are ahead of the file at any time, so memory is flat on a slow disk too.
    """
    done, ahead = 0, deque[tuple[int, Future[bytes]]]()
    pool = ProcessPoolExecutor(PROCESSES, get_context("spawn"), _Worker.start, (origin,))
    with pool, path.open("wb") as file:
        file.write(",".join(pq.read_schema(origin).names).encode() + b"\n")
        left = numbered(rows)
        while True:
            for number, count in islice(left, 2 * PROCESSES - len(ahead)):
                ahead.append((count, pool.submit(_Worker.lines, seed, number, count)))
            if not ahead:
                return
            count, lines = ahead.popleft()
            file.write(lines.result())
            done += count
            yield done


def rows_of_bytes(origin: Path, size: float, seed: int) -> int:
    """Estimate the rows of a CSV file of about this many bytes, from its first block."""
    real = source(origin)
    first = block(real, seed, 0, BLOCK)
    return max(1, round(size * BLOCK / len(CsvWriter(real).lines(first))))


# -- Parquet ---------------------------------------------------------------------------------------


def write_parquet(path: Path, origin: Path, rows: int, seed: int) -> Iterator[int]:
    """Write the file in row groups of GROUP rows; yield the rows written so far."""
    real, done, waiting = source(origin), 0, []
    with pq.ParquetWriter(path, real.schema, compression="snappy", use_dictionary=TEXTS) as writer:
        for number, count in numbered(rows):
            waiting.append(as_table(real, block(real, seed, number, count)))
            done += count
            if sum(map(len, waiting)) >= GROUP or done == rows:
                writer.write_table(pa.concat_tables(waiting), row_group_size=GROUP)
                waiting = []
            yield done


def as_table(real: Source, block: Block) -> pa.Table:
    """Return the block with the schema of the real table."""
    columns = []
    for field in real.schema:
        if field.name in NUMBERS:
            missing = block[field.name] == LOWEST
            column = pa.array(block[field.name].astype("int16"), mask=missing)
        elif field.name in TEXTS:
            values = pa.array([None if v == "" else v for v in real.values[field.name]])
            column = values.take(pa.array(block[field.name]))
        else:
            column = pa.array(real.times[block["row"]]).cast(field.type)
        columns.append(column)
    return pa.table(columns, schema=real.schema)


# -- command ---------------------------------------------------------------------------------------


def generate(path: Path, rows: int, seed: int = 0, *, origin: Path = SOURCE) -> Iterator[int]:
    """Write ``rows`` rows to a CSV or Parquet file, by its ending; yield the rows written so far.

    The file is written beside its place and renamed when complete.
    """
    write = write_parquet if path.suffix == ".parquet" else write_csv
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    yield from write(unfinished, origin, rows, seed)
    unfinished.replace(path)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.generate", description="Writes flights-like rows."
    )
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--rows", type=lambda text: int(float(text)), help="such as 10e6")
    size.add_argument("--gb", type=float, help="about this many GB (10^9 bytes) of CSV")
    parser.add_argument("--out", type=Path, required=True, help="a .csv or .parquet file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quiet", action="store_true", help="no progress")
    asked = parser.parse_args()
    if asked.out.suffix not in (".csv", ".parquet"):
        parser.error(f"--out must end in .csv or .parquet: {asked.out}")
    rows = asked.rows or rows_of_bytes(SOURCE, asked.gb * 1e9, asked.seed)
    if rows < 1:
        parser.error(f"--rows must be at least 1: {rows}")
    started, shown = time.perf_counter(), 0.0
    for done in generate(asked.out, rows, asked.seed):
        taken = time.perf_counter() - started
        if not asked.quiet and (taken - shown > 1 or done == rows):
            print(f"\r{done:,} of {rows:,} rows, {taken:.0f} s", end="", file=sys.stderr)
            shown = taken
    taken, megabytes = time.perf_counter() - started, asked.out.stat().st_size / 1e6
    print(file=sys.stderr)
    print(
        f"{asked.out}: {rows:,} rows, {megabytes:,.0f} MB, {taken:.1f} s, "
        f"{megabytes / taken:.0f} MB/s"
    )


if __name__ == "__main__":
    main()
