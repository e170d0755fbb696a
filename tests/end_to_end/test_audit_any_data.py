"""`audit` on tables that it has never seen, with nothing chosen by hand: how often it is wrong."""

from __future__ import annotations

import pytest
from datasets import REAL

from pipeline import Config, run
from pipeline.audit import runner

FAILS = {"planes"}
"""95 % of its test rows have the features and the label of a training row: that is so."""
WARNED = {
    "breast cancer", "affairs", "randhie", "mode choice", "fertility", "co2", "planes", "weather",
    "flights",
}  # fmt: skip
"""docs/trust.md says of what, and which of these are false alarms."""


@pytest.mark.slow
def test_real_tables_raise_the_alarms_that_are_known(tmp_path, capsys):
    grave: dict[str, set[str]] = {"fail": set(), "warn": set()}
    for name, data in REAL.items():
        folder = tmp_path / name
        folder.mkdir()
        tree = {
            "data": {"path": str(data.write(folder)), "target": data.target},
            "models": {"xgboost": {"rounds": 2}},
            "refit": "never",
            "cluster": {"dashboard": False},
        }
        made = run(Config.parse(tree), out=folder / "run").folder
        report = runner.run_audit(made, folder / "meanwhile")
        for finding in report.findings:
            if finding.severity in grave:
                grave[finding.severity].add(name)
                with capsys.disabled():
                    print(f"{name}: {finding.severity} {finding.name}: {finding.what}")
        said = {c.check: c for c in report.checks}
        assert not said["fitted"].findings and not said["encodings"].findings
    assert grave == {"fail": FAILS, "warn": WARNED}
