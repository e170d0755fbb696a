"""The command `audit RUN`: reread the run's rows, refit its features, and run every check."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts import manifest
from pipeline.artifacts.files import SCRATCH, lock_folder
from pipeline.artifacts.stage_id import SPLIT
from pipeline.audit import refit, scan
from pipeline.audit.checks import CHECKS
from pipeline.audit.evidence import CheckResult, Evidence
from pipeline.audit.finding import Finding, sort_by_severity
from pipeline.audit.finished_run import FinishedRun, open_finished_run
from pipeline.audit.leakage import check_encodings, check_fitted
from pipeline.audit.refit import SampledRun
from pipeline.audit.scan import Scan, ScanSpec
from pipeline.cluster import partitions
from pipeline.console.signals import remove_path, removed_on_exit
from pipeline.execution.context import Listener, RunContext
from pipeline.execution.executor import open_scratch_run
from pipeline.execution.run_stages import list_stages
from pipeline.execution.run_state import LabeledData
from pipeline.features.engine.lineage import trace_lineage
from pipeline.memory.release import freeze_objects

FORMAT = 1
AUDIT_FILE = "audit.json"


@dataclass(frozen=True)
class AuditResult:
    """Result of all checks."""

    run: str
    rows: Mapping[str, int]
    """Number of rows per set."""
    sampled: int
    """Number of rows of the sample, which was refitted, scored and compared."""
    checks: tuple[CheckResult, ...]
    seconds: float
    files: Mapping[str, str]
    """Hashes of the run's config and plan: if these change, the findings may be outdated."""
    accepted: tuple[str, ...] = ()
    """Names of the findings to ignore."""

    @property
    def findings(self) -> list[Finding]:
        """Findings of all checks, in descending order of severity."""
        return sort_by_severity(f for check in self.checks for f in check.findings)

    def find_unresolved(self, *, strict: bool = False) -> list[Finding]:
        """Return findings that make the audit fail: ``fail``, with ``strict`` also ``warn``.

        Accepted findings are left out.
        """
        failing = {"fail", "warn"} if strict else {"fail"}
        return [f for f in self.findings if f.severity in failing and f.name not in self.accepted]

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``audit.json``, which ``--json`` prints."""
        return {
            "format": FORMAT,
            "run": self.run,
            "files": dict(self.files),
            "passed": not self.find_unresolved(),
            "accepted": list(self.accepted),
            "rows": dict(self.rows),
            "sampled": self.sampled,
            "findings": [{"name": f.name, **asdict(f)} for f in self.findings],
            "checks": [
                {"check": c.check, "said": c.summary, "measured": dict(c.measured)}
                for c in self.checks
            ],
            "seconds": self.seconds,
        }


def run_audit(
    run: Path,
    folder: Path,
    *,
    data: Sequence[str] | None = None,
    listener: Listener | None = None,
    serial: bool = False,
) -> AuditResult:
    """Open a finished run, reread its data, and check both.

    Args:
        run: the run folder; nothing is written into it.
        folder: a folder for temporary files, which does not exist yet (see `scratch_folder`).
        data: the current paths of the run's data; None: the paths in its config.
        listener: receives the events of the stages.
        serial: whether to compute partitions in the calling thread.

    Raises:
        InputError: the run is not finished, a file was altered, or the data are missing or differ
            from what the run expects.
    """
    started, listener = time.perf_counter(), listener or Listener()
    finished = open_finished_run(run, data)
    stages = list_stages(finished.job)
    with (
        open_scratch_run(finished.job, folder, stages, listener, serial=serial) as executor,
        freeze_objects(),
    ):
        executor.run_through(SPLIT)
        context, rows = executor.state.context, executor.state.labeled
        with context.ledger.stage("scan") as entry:
            spec = _plan_scan(finished, rows)
            with context.client.as_current():
                scanned = partitions.reduce_partitions(
                    context.client, rows.parts, scan.scan_partition, scan.merge_scans, spec
                )
            entry.rows = scanned.rows
        # All checks work on the sample: the partitions' memory is needed for its refits.
        rows.parts.release()
        checks = [_check_data(finished, rows), *_run_checks(context, finished, rows, scanned, spec)]
    return AuditResult(
        str(run),
        dict(rows.counts.rows),
        len(scanned.sample),
        tuple(checks),
        round(time.perf_counter() - started, 3),
        finished.manifest["files"],
    )


@contextmanager
def scratch_folder(run: Path) -> Iterator[Path]:
    """Provide the path of a folder for temporary files, inside the locked run folder.

    A killed audit leaves nothing permanent there. `runs` counts its files, the next audit or
    ``--resume`` of the run removes them, and `clean` removes them with the run.

    Raises:
        InputError: the run is not finished, or another process uses its folder.
        MachineError: the folder is not writable, so that the findings could not be stored either.
    """
    manifest.open_finished_run(run)
    with lock_folder(run):
        # A killed audit may have left its files.
        remove_path(run / SCRATCH)
        with removed_on_exit(run / SCRATCH):
            yield run / SCRATCH / "audit"


def _plan_scan(finished: FinishedRun, rows: LabeledData) -> ScanSpec:
    columns = set(finished.job.frame_columns)
    plan = finished.saved_plan
    return scan.plan_scan(
        rows.context.device,
        rows.context.seed,
        sum(rows.counts.rows.values()),
        features=[n for n in plan.needed if n in columns],
        entities=finished.entities,
        times=finished.times,
        sample_rows=scan.choose_sample_size(
            len(finished.job.frame_columns) + len(plan.features), rows.plan.limit
        ),
    )


def _check_data(finished: FinishedRun, rows: LabeledData) -> CheckResult:
    """Check that the data are those that the run read."""
    changes, before = list(finished.changes), finished.manifest["rows"]
    now = dict(rows.counts.rows)
    if before != now:
        changes.append(
            f"the run had {_format_counts(before)} rows, now there are {_format_counts(now)}"
        )
    findings = [
        Finding("data", "warn", "", f"not the run's data: {change}; findings concern the new data")
        for change in changes
    ]
    state = "different from the run's data" if changes else "the run's data, unchanged"
    summary = f"{state}: {_format_counts(now)} rows"
    return CheckResult("data", summary, findings, {"changed": changes})


def _format_counts(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {name}" for name, n in rows.items())


def _run_checks(
    context: RunContext,
    finished: FinishedRun,
    rows: LabeledData,
    scanned: Scan,
    spec: ScanSpec,
) -> Iterator[CheckResult]:
    """Refit the features on the sample, and yield the result of each check."""
    sampled, count = SampledRun(context, rows, scanned.sample), len(scanned.sample)
    with context.ledger.stage("refit") as entry:
        entry.rows = count
        base = refit.refit_features(sampled)
    matrices = refit.build_matrices(sampled, base.plan)
    evidence = Evidence(
        split=finished.config.split,
        target=rows.target,
        source=rows.source,
        scan=scanned,
        plan=base.plan,
        train=matrices["train"],
        test=matrices["test"],
        valid=matrices.get("valid"),
        lineage=trace_lineage(base.plan),
        chosen_ops=base.choice.ops if finished.config.features is None else None,
        hash_bound=spec.hash_bound,
    )
    # These two refit, which takes the run; all others inspect the evidence alone.
    for name, check in {"fitted": check_fitted, "encodings": check_encodings}.items():
        with context.ledger.stage(name) as entry:
            entry.rows = count
            yield check(sampled, base, evidence)
    for name, inspect in CHECKS.items():
        with context.ledger.stage(name) as entry:
            entry.rows = count
            yield inspect(evidence)
