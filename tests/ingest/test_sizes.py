"""Files that claim or hold too much: an error of ours, within 1 GB, before anything large is made.

Each is read in a child process that may not have more; how long it takes is not asserted.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.model import Csv
from pipeline.ingest.csv import dialect

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, os, resource, sys, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the stacks of many threads are memory too
import psutil
import pipeline.execution.runner, pipeline.execution.job, pipeline.tools.plan, pipeline.ingest.partitions, pipeline.execution.stages.split
import pyarrow.parquet, pyarrow.csv, pyarrow.compute, xgboost
from pipeline.__main__ import run_command_line
resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + (1 << 30),) * 2)
said = []
import pipeline.console.terminal
pipeline.console.terminal.print_stderr = said.append
for arguments in json.loads(sys.argv[1]):
    del said[:]
    started = time.perf_counter()
    status = run_command_line(arguments)
    sys.stdout.write(json.dumps([status, said, time.perf_counter() - started]) + "\\n")
"""


def told(*commands):
    """(status, message, seconds) of each command, in one process that may have a gigabyte."""
    few = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, **few, "PYTHONPATH": str(ROOT), "ARROW_DEFAULT_MEMORY_POOL": "system"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(lines) == len(commands), done.stdout + done.stderr
    return [(status, "\n".join(said), seconds) for status, said, seconds in lines]


def varint(number):
    """The bytes of an i64 in Thrift's compact protocol."""
    zigzag, found = number * 2, bytearray()
    while zigzag >= 128:
        found.append(zigzag % 128 + 128)
        zigzag //= 128
    return bytes([*found, zigzag])


def claiming(path, rows, claimed):
    """A Parquet file of ``rows`` equal rows whose footer says that they are ``claimed``."""
    pq.write_table(pa.table({"x": [1.0] * rows, "y": [0, 1] * (rows // 2)}), path)
    data = path.read_bytes()
    size = int.from_bytes(data[-8:-4], "little")
    footer = data[-8 - size : -8].replace(b"\x16" + varint(rows), b"\x16" + varint(claimed))
    path.write_bytes(data[: -8 - size] + footer + len(footer).to_bytes(4, "little") + b"PAR1")


def yaml_bomb(levels=9):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for above, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{above}'] * 9)}]")
    return "\n".join(lines)


def merge_bomb(levels=40):
    lines = ["k0: &k0 {x: 1}"]
    lines += [f"k{i}: &k{i} {{<<: [*k{i - 1}, *k{i - 1}]}}" for i in range(1, levels)]
    return "\n".join(lines)


def write(folder):
    """(file, a pattern of the message) by name; each file is small, sparse or quick to write."""
    claiming(folder / "claims.parquet", 12346, 10**12)
    claiming(folder / "fewer.parquet", 12346, 10**7)
    claiming(folder / "huge.parquet", 12346, 10**9)
    with (folder / "endless.csv").open("wb") as file:  # a header of a billion columns
        file.truncate(1 << 30)
    with (folder / "commas.csv").open("wb") as file:
        file.write(b"a," * (3 << 20) + b"y\n1,2\n")
    (folder / "names.csv").write_bytes(b",".join(b"%d" % i for i in range(150_000)) + b"\n1\n")
    with (folder / "field.csv").open("wb") as file:  # one field of 300 MB, in the third line
        file.write(b"x,y\n1,0\n")
        for _ in range(300):
            file.write(b"z" * (1 << 20))
        file.write(b",1\n")
    with gzip.open(folder / "bomb.csv.gz", "wb", compresslevel=1) as file:
        for _ in range(300):
            file.write(b"z" * (1 << 20))
    (folder / "aliases.yaml").write_text(yaml_bomb())
    (folder / "merges.yaml").write_text(merge_bomb())
    (folder / "deep.yaml").write_text("a: " + "[" * 500_000)
    (folder / "dict.yaml").write_text("{a: " * 100_000)
    (folder / "long.yaml").write_text("a: [" + "x, " * 1_000_000 + "]")
    return {
        "claims.parquet": r"its footer says 1,000,000,000,000 rows, but column 'x' has only \d+ bytes",
        "fewer.parquet": r"its footer says 10,000,000 rows, but there are 12,346",
        "huge.parquet": r"[\d.]+ GB are needed to train on 10,000 of 700,000,000 training rows",
        "endless.csv": r"NUL bytes|longer than 16 MB|at most",
        "commas.csv": r"first line has [\d,]+ bytes, at most",
        "names.csv": r"first line has 150,000 fields, at most 100,000",
        "field.csv": r"line that begins at byte 8 is longer than 16 MB",
        "bomb.csv.gz": r"longer than 16 MB",
        "aliases.yaml": r"more than 250,000 values, counting what aliases repeat",
        "merges.yaml": r"more than 250,000 values, counting what aliases repeat",
        "deep.yaml": r"more than 50 levels",
        "dict.yaml": r"more than 50 levels",
        "long.yaml": r"too large for a config|more than 250,000 values",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is not kept elsewhere")
def test_what_is_too_large_is_an_error_within_a_gigabyte(tmp_path):
    wanted = write(tmp_path)
    commands = []
    for name in wanted:
        path = str(tmp_path / name)
        if name.endswith(".yaml"):
            commands.append(["run", path])
        else:
            commands.append(["run", "--data", path, "--target", "y", "--out", str(tmp_path / "out" / name),
                             "--set", "memory.host=2GB",
                             "--no-dashboard"])  # fmt: skip
    found = zip(wanted.items(), told(*commands), strict=True)
    for (name, pattern), (status, message, seconds) in found:
        print(f"{name}: {seconds:.2f} s")
        assert status in (2, 3), f"{name}: {status} {message}"
        assert re.search(pattern, message), f"{name}: {message}"
        assert "Traceback" not in message and "out of memory:" not in message, f"{name}: {message}"


def test_a_header_of_half_a_megabyte_is_read_to_its_end(tmp_path):
    names = [f"column{i}" for i in range(40_000)]
    head = (",".join(names) + "\n" + ",".join("1" * len(names)) + "\n").encode()
    found = dialect.infer_dialect(head, "d.csv", Csv())
    assert found.names == tuple(names) and dialect.find_data_start(head, found)[1] == 2
