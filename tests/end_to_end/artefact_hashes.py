"""Hashes of what five runs leave, without versions, times, keys of stages and names of our modules."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]
PROCESS = ["--device", "cpu", "--no-dashboard", "--quiet"]
RUNS = {
    "binary": ["conf/flights.yaml", *PROCESS],
    "regression": ["conf/flights-regression.yaml", *PROCESS],
    "multiclass": ["conf/flights-multiclass.yaml", *PROCESS],
    "streamed": ["conf/flights.yaml", *PROCESS, "--set", "memory.host=570MB"],
    "cores": ["conf/flights.yaml", *PROCESS, "--cluster", "cores", "--set", "cluster.workers=2"],
}
VARYING = {"versions", "keys", "files", "inputs", "seconds", "pipeline"}
"""Keys of JSON whose values say with what, when and where a run was made."""


def hashes_of(name: str, folder: Path) -> dict[str, str]:
    """Make a run of `RUNS` in the folder; SHA-256 of each artefact by name."""
    command = [sys.executable, "-m", "pipeline", "run", *RUNS[name], "--out", str(folder)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, check=True, cwd=ROOT, env=env, stdout=subprocess.DEVNULL)
    names = sorted(json.loads((folder / "manifest.json").read_text())["files"])
    wanted = ["manifest.json", *(n for n in names if n not in ("config.yaml", "ledger.jsonl"))]
    return {file: hashlib.sha256(content(folder / file)).hexdigest() for file in wanted}


def content(path: Path) -> bytes:
    """What of a file must not change: values, not how a version writes them."""
    if path.suffix == ".parquet":
        table = pq.read_table(path).replace_schema_metadata(None)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table.combine_chunks())
        return bytes(sink.getvalue())
    if path.suffix == ".json":
        return json.dumps(without(json.loads(path.read_text())), sort_keys=True).encode()
    return path.read_bytes()


def without(value: Any) -> Any:
    """The value without `VARYING` keys."""
    if isinstance(value, dict):
        return {k: without(v) for k, v in value.items() if k not in VARYING}
    return [without(v) for v in value] if isinstance(value, list) else value


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        found = {name: hashes_of(name, Path(place, name)) for name in sys.argv[1:] or RUNS}
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
