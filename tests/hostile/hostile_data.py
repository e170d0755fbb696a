"""Data files of a stranger: damaged, lying and odd CSV and Parquet, for each command that reads."""

from __future__ import annotations

import io
import random

import pyarrow as pa
import pyarrow.parquet as pq
from hostile_case import GOOD, NEW, Case, Place, good_tree
from hostile_parquet import claim_rows, repeat_row
from hostile_runs import flip

PICKLE = b"cos\nmkdir\n(V{VICTIMS}/ran\ntR."
CELLS = ("", "x", "0", "-1", "1e400", "NaN", "9" * 30, "2024-02-30", "0000-01-01", "9999-12-31", "=1+1", '"', '""', "\x00", "\x1b[2J", "\u202e", "true", "NULL", "é" * 300, ",", "\r", "\n", "ÿ")  # fmt: skip
HEADERS = ("a", "y", "", "a\0b", "__group__", "_partitions", "index", "level_0", "{x}", "a.b", "../x", "<b>", "=a", "y__missing", "\x1b[2J", "é" * 50, "a,b", "!!python/name:os.system", "- a", "#")  # fmt: skip


def odd_csv(rng: random.Random) -> bytes:
    """A CSV of odd cells, or a good one that was damaged."""
    if rng.random() < 0.4:
        return flip(rng, GOOD.encode())
    names = [rng.choice(HEADERS) for _ in range(rng.randint(1, 6))]
    names[0:0] = ["y"] * (rng.random() < 0.8)
    columns = [rng.sample(CELLS, rng.randint(1, 3)) for _ in names]
    rows = [names] + [[rng.choice(cells) for cells in columns] for _ in range(rng.choice([1, 30, 80]))]  # fmt: skip
    return "\n".join(",".join(row) for row in rows).encode("utf-8", "surrogatepass")


def odd_parquet(rng: random.Random) -> bytes:
    """A Parquet file that lies about its rows, repeats one, carries a pickle, or is damaged."""
    count = 60
    metadata = {"pandas": PICKLE, "ARROW:schema": PICKLE}
    field = pa.field("a", pa.int64(), metadata={"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": PICKLE})  # fmt: skip
    name = rng.choice(HEADERS)
    schema = pa.schema([field, pa.field(name + "2", pa.string()), pa.field("y", pa.int64())], metadata)  # fmt: skip
    table = pa.table([pa.array(range(count)), pa.array(["u", "v"] * 30), pa.array([0, 1] * 30)], schema)  # fmt: skip
    stream = io.BytesIO()
    pq.write_table(table, stream)
    data, kind = stream.getvalue(), rng.random()
    if kind < 0.3:
        return claim_rows(data, rng.choice([0, 1, 10**7, 10**9, 10**12, 2**62]))
    if kind < 0.5:
        return repeat_row(table, rng.choice([0, 1, 100, 2_000_000]))
    return flip(rng, data) if kind < 0.8 else data


def generated(rng: random.Random, name: str) -> Case:
    """`plan`, `init`, `predict` or `run` on such a file."""
    command = rng.choices(["plan", "init", "predict", "run"], [5, 3, 5, 1])[0]
    parquet = rng.random() < 0.5
    data = (odd_parquet if parquet else odd_csv)(rng)
    file = "d.parquet" if parquet else "d.csv"

    def make(place: Place) -> list[str]:
        own = data.replace(b"{VICTIMS}", str(place.victims).encode()) if not parquet else data
        (place.work / file).write_bytes(own)
        if command == "init":
            return ["init", file, "--target", "y", "--out", "new.yaml"]
        if command == "predict":
            place.copy_run()
            return ["predict", "done", file, "--out", "o.csv", "-q"]
        place.write_config(good_tree(path=file, on_bad_rows=rng.choice(["error", "quarantine"])))
        return [command, "c.yaml", *(["--out", "run", "-q"] if command == "run" else [])]

    return Case(f"{name}: {command} of {file}", make)


def named_data() -> list[Case]:
    """New data that `predict` may not take for more than they are."""

    def claims(place: Place) -> list[str]:
        place.copy_run()
        table = pa.Table.from_pylist([dict(zip("abt", line.split(","), strict=True)) for line in NEW.splitlines()[1:]])  # fmt: skip
        stream = io.BytesIO()
        pq.write_table(table, stream)
        (place.work / "n.parquet").write_bytes(claim_rows(stream.getvalue(), 10**12))
        return ["predict", "done", "n.parquet", "--out", "o.csv", "-q"]

    return [Case("predict: new data that claim 10^12 rows", claims, statuses=frozenset({2}))]
