"""The report's section on leaks and drift: what `audit` left, and nothing where it left nothing."""

from __future__ import annotations

import json

import pytest
from test_page import HOSTILE, parsed

from pipeline.errors import InputError
from pipeline.report import folder, page


def finding(severity, text):
    return {
        "name": f"alone:{text}", "check": "alone", "severity": severity, "column": text, "what": text, "measured": {},
        "config": f"- drop: [{text}]",
    }  # fmt: skip


def audited(run, **changes):
    manifest = json.loads((run / "manifest.json").read_text())
    found = {
        "findings": [finding("fail", text) for text in HOSTILE] + [finding("info", "dest")],
        "checks": [{"check": "alone", "said": "9 columns scored", "measured": {}}],
        "format": 1, "run": "run", "passed": False, "accepted": [], "seconds": 1.5,
        "files": {"config.yaml": manifest["files"]["config.yaml"]},
        "rows": {"train": 70, "valid": 10, "test": 20}, "sampled": 100, **changes,
    }  # fmt: skip
    (run / "audit.json").write_text(json.dumps(found), encoding="utf-8")
    return run


def test_a_run_that_was_not_audited_has_the_command(fake_run):
    shown = "".join(parsed(page.render(folder.read_run_folder(fake_run()))).text)
    assert "has not been audited" in shown and "python -m pipeline audit " in shown


def test_findings_are_shown_and_escaped(fake_run):
    found = parsed(page.render(folder.read_run_folder(audited(fake_run()))))
    assert not {"img", "b"} & set(found.tags)
    shown = "".join(found.text)
    assert "has not been audited" not in shown
    assert f"{len(HOSTILE)} fail, 0 warn, 1 info; 100 rows, features refitted on all" in shown
    for text in [*HOSTILE, "9 columns scored", "- drop: [dest]"]:
        assert text in shown


def test_findings_about_what_the_run_was_before_are_not_shown(fake_run):
    run = audited(fake_run(), files={"config.yaml": "ab" * 32})
    shown = "".join(parsed(page.render(folder.read_run_folder(run))).text)
    assert "has not been audited" in shown and "docs/audit.md" not in shown


@pytest.mark.parametrize(
    "changes",
    [
        {"findings": [{}]},
        {"findings": [finding("grave", "x")]},
        {"rows": [1]},
        {"checks": 3},
        {"files": 1},
    ],
)
def test_a_file_that_audit_did_not_write_is_refused(fake_run, changes):
    with pytest.raises(InputError, match=r"audit\.json: "):
        page.render(folder.read_run_folder(audited(fake_run(), **changes)))
