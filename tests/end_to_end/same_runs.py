"""Two run folders compared: to the bit, and by how much where they are not the same."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.artifacts.files import MANIFEST, hash_file, list_artefacts

TIMED = ("seconds", "total_seconds", "lost", "peak_host", "peak_device", "gpu")
"""Fields of a ledger's line that no two runs share."""


def told(folder):
    """Every artefact by name: a hash, or what it says without times and memory."""
    found = {p.relative_to(folder).as_posix(): hash_file(p) for p in list_artefacts(folder)}
    found["ledger.jsonl"] = [
        {k: v for k, v in json.loads(line).items() if k not in TIMED}
        for line in (folder / "ledger.jsonl").read_text().splitlines()
    ]
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["files"].keys() == found.keys()
    manifest["files"] = sorted(manifest["files"])
    return {**found, MANIFEST: manifest}


def assert_same_bits(one, other):
    """Every artefact of two runs is the same to the bit."""
    a, b = told(one), told(other)
    assert a.keys() == b.keys(), set(a) ^ set(b)
    other_bits = [name for name in a if a[name] != b[name]]
    assert not other_bits, "\n".join(f"{n}: {a[n]} {b[n]}" for n in other_bits)


@dataclass
class Difference:
    """How far an artefact of one run is from that of another."""

    artefact: str
    compared: int = 0
    exact: int = 0
    """Integers, texts, truths and missing values that differ; bytes of a model."""
    relative: float = 0.0
    """The largest difference of two floats, to the larger one."""
    where: str = ""
    """Of the first that differs."""

    def note(self, where, one, other):
        """Compares two values."""
        self.compared += 1
        if isinstance(one, float) and isinstance(other, float):
            if one == other or (np.isnan(one) and np.isnan(other)):
                return
            self.relative = max(self.relative, abs(one - other) / max(abs(one), abs(other)))
        elif type(one) is type(other) and one == other:
            return
        else:
            self.exact += 1
        self.where = self.where or f"{where}: {one!r}, {other!r}"[:200]


LEFT_OUT = ("config.yaml", "ledger.jsonl")
"""The config says how the layouts differ, and the ledger what each took."""
SAME_DATA = ("ingest/schema.json",)
"""It names the files, which are others where the format is."""


def differences(one, other, same_files=True):
    """A `Difference` for each artefact of two runs of the same rows."""
    names = {
        p.relative_to(folder).as_posix() for folder in (one, other) for p in list_artefacts(folder)
    }
    for name in sorted(names.difference(LEFT_OUT, () if same_files else SAME_DATA)):
        found = Difference(name)
        a, b = one / name, other / name
        if not (a.is_file() and b.is_file()):
            found.note(name, a.is_file(), b.is_file())
        elif name.endswith(".json"):
            _trees(found, "", *(json.loads(p.read_text()) for p in (a, b)))
        elif name.endswith(".parquet"):
            _frames(found, *(pd.read_parquet(p) for p in (a, b)))
        else:
            found.note("bytes", a.read_bytes() == b.read_bytes(), True)
        yield found


def _trees(found, where, one, other):
    if isinstance(one, dict) and isinstance(other, dict):
        found.note(f"{where}: keys", list(one), list(other))
        for key in one.keys() & other.keys():
            _trees(found, f"{where}.{key}", one[key], other[key])
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for i, pair in enumerate(zip(one, other, strict=True)):
            _trees(found, f"{where}[{i}]", *pair)
    else:
        found.note(where, one, other)


def _frames(found, one, other):
    found.note("dtypes", one.dtypes.astype(str).to_dict(), other.dtypes.astype(str).to_dict())
    found.note("rows", len(one), len(other))
    if len(one) != len(other):
        return
    for name in one.columns.intersection(other.columns):
        a, b = one[name], other[name]
        same = (a == b).fillna(False) | (a.isna() & b.isna())
        found.compared += int(same.sum())
        for at in np.flatnonzero(~same.to_numpy(bool)):
            found.note(f"{name}[{at}]", *(_plain(s.iloc[at]) for s in (a, b)))


def _plain(value):
    return float(value) if isinstance(value, np.floating) else value
