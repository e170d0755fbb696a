"""A change of names and places changes no result: the artefacts of five runs have the hashes on record.

`python -m tests.end_to_end.artefact_hashes > tests/end_to_end/artefact_hashes.json` records them, on the
machine whose floats are compared: other processors may round otherwise.
"""

import json
from pathlib import Path

import pytest
from artefact_hashes import RUNS, hashes_of

from pipeline.versions import has_change

RECORD = Path(__file__).with_name("artefact_hashes.json")


@pytest.mark.slow
@pytest.mark.skipif(has_change("updaters_share_rng"), reason="the record is of XGBoost 3.2")
@pytest.mark.parametrize("name", RUNS)
def test_artefacts_are_those_on_record(name, tmp_path):
    recorded = json.loads(RECORD.read_text())[name]
    found = hashes_of(name, tmp_path / "run")
    assert found.keys() == recorded.keys()
    assert [file for file in found if found[file] != recorded[file]] == []
