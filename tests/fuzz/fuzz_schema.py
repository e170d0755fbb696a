"""Any bytes as a CSV file: its schema is settled, or an error of ours says why not.

The first byte says how the config describes it.
"""

from __future__ import annotations

import json
from pathlib import Path

from fuzz_laws import SCRATCH, refused

from pipeline.config.model import Csv, Source
from pipeline.ingest.contract import Contract
from pipeline.ingest.schema import infer_contract, match_contract


def source_of(flags: int, path: Path) -> Source:
    """A source whose description depends on the bits of ``flags``."""
    csv = Csv(
        delimiter=[None, ",", ";", "\t"][flags & 3],
        header=[True, False, True, ["p", "q"]][flags >> 2 & 3],
        quote=None if flags >> 4 & 1 else '"',
        newlines_in_values=True if flags >> 5 & 1 else None,
    )
    types = {"p": "integer", "q": "text"} if flags >> 6 & 1 else {}
    return Source(path=str(path), csv=csv, types=types)


def one(data: bytes) -> None:
    """The contract goes through JSON, and the file fits its own contract."""
    path = Path(SCRATCH, "s.csv")
    path.write_bytes(data[1:])
    with refused():
        source = source_of(data[0] if data else 0, path)
        contract = infer_contract(source)
        names = [c.name for c in contract.columns]
        assert len(set(names)) == len(names), "two columns of one name"
        told = json.dumps(contract.to_json(), ensure_ascii=False).encode()
        assert Contract.from_json(json.loads(told)) == contract, "schema.json is another contract"
        new = match_contract(contract, source, names)
        assert new.columns == contract.columns and not new.extra, "the file does not fit itself"
