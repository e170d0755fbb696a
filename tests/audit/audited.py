"""A finished run's folder as far as the audit opens it, without training a model; and its audit."""

from __future__ import annotations

from pathlib import Path

import yaml
from manifest_facts import manifest_facts

from pipeline.artifacts.files import write_manifest, write_text
from pipeline.artifacts.stage_id import FEATURES
from pipeline.audit.runner import run_audit
from pipeline.config.model import Config
from pipeline.execution.executor import open_scratch_run
from pipeline.execution.job import prepare_job
from pipeline.execution.run_stages import list_stages
from pipeline.execution.runner import Listener
from pipeline.features.engine import fit

QUICK = {"models": {"xgboost": {"rounds": 1}}, "cluster": {"kind": "process", "dashboard": False}}


def fitted_run(tree: dict, folder: Path) -> Path:
    """Writes config, plan and manifest of a run into ``folder/run``."""
    config = Config.parse({**QUICK, "refit": "never", "golden": 0, "device": "cpu", **tree})
    run = folder / "run"
    job = prepare_job(config)
    with open_scratch_run(
        job, folder / "made", list_stages(job), Listener(), serial=True
    ) as executor:
        executor.run_through(FEATURES)
        rows = executor.state.labeled
        fit.save(executor.state.fitted_features.plan, run / "features")
    write_text(run / "config.yaml", config.to_yaml())
    inputs = [
        {"path": f.path, "bytes": f.size, "fingerprint": f.fingerprint} for f in job.contract.files
    ]
    facts = manifest_facts(
        task=rows.target.task, classes=list(rows.target.classes), rows=dict(rows.counts.rows),
        inputs=inputs,
    )  # fmt: skip
    write_manifest(run, facts)
    return run


def audited(tree: dict, folder: Path, **options):
    """What the audit says of the config's run."""
    run = fitted_run(tree, folder)
    return run_audit(run, folder / "meanwhile", serial=True, **options)


def found(report, check, severity=None, column=None):
    """The findings of a check."""
    return [
        f
        for f in report.findings
        if f.check == check
        and severity in (None, f.severity)
        and (column is None or column in f.column.split(", "))
    ]


def mended(tree: dict, *findings):
    """The config's tree with the findings' lines in it."""
    for finding in findings:
        assert finding.config, finding
        change = yaml.safe_load(finding.config)
        if isinstance(change, list):
            change = {"features": [*(tree.get("features") or []), *change]}
        tree = {**tree, **change}
    return tree
