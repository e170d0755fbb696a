"""`audit RUN`: reads the run's rows once more, refits its features, and runs every check."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
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
from pipeline.audit.lineage import trace_lineage
from pipeline.audit.refit import SampledRun
from pipeline.audit.scan import Scan, ScanSpec
from pipeline.cluster import partitions
from pipeline.console.signals import remove_path, removed_on_exit
from pipeline.execution.context import Listener, RunContext
from pipeline.execution.executor import open_scratch_run
from pipeline.execution.run_stages import list_stages
from pipeline.execution.run_state import LabeledData
from pipeline.memory.planner import freeze_objects

FORMAT = 1
AUDIT_FILE = "audit.json"


@dataclass(frozen=True)
class AuditResult:
    """What the checks found."""

    run: str
    rows: Mapping[str, int]
    """Per set."""
    sampled: int
    """Rows of the sample that was refitted, scored and compared."""
    checks: tuple[CheckResult, ...]
    seconds: float
    files: Mapping[str, str]
    """Hashes of the run's config and plan: once these are others, so may be the findings."""
    accepted: tuple[str, ...] = ()
    """Names of findings that somebody has looked at and takes for no fault."""

    @property
    def findings(self) -> list[Finding]:
        """Of all checks, the gravest first."""
        return sort_by_severity(f for check in self.checks for f in check.findings)

    def find_unresolved(self, *, strict: bool = False) -> list[Finding]:
        """Those that make the audit fail: ``fail``, with ``strict`` also ``warn``; not accepted."""
        grave = {"fail", "warn"} if strict else {"fail"}
        return [f for f in self.findings if f.severity in grave and f.name not in self.accepted]

    def to_json(self) -> dict[str, Any]:
        """For ``--json`` and ``audit.json``."""
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
    run: Path, folder: Path, *, data: Sequence[str] | None = None,
    listener: Listener | None = None, serial: bool = False,
) -> AuditResult:  # fmt: skip
    """Opens a finished run, reads its data again and checks both.

    Args:
        run: the run's folder, in which nothing is written.
        folder: absent; for files meanwhile, which nobody needs afterwards (`scratch_folder`).
        data: where the run's data are now; None: where its config says.
        listener: hears of the stages.
        serial: partitions are computed in the calling thread.

    Raises:
        InputError: no finished run, a file altered, no data, or others that do not fit.
    """
    started, listener = time.perf_counter(), listener or Listener()
    found = open_finished_run(run, data)
    with (
        open_scratch_run(
            found.job, folder, list_stages(found.job), listener, serial=serial
        ) as executor,
        freeze_objects(),
    ):
        executor.run_through(SPLIT)
        session, rows = executor.state.context, executor.state.labeled
        with session.ledger.stage("look") as entry:
            spec = _spec(found, rows)
            with session.client.as_current():
                seen = partitions.reduce_partitions(
                    session.client, rows.parts, scan.scan_partition, scan.merge_scans, spec
                )
            entry.rows = seen.rows
        rows.parts.release()
        checks = [_data(found, rows), *_checks(session, found, rows, seen, spec)]
    return AuditResult(
        str(run), dict(rows.counts.rows), len(seen.sample), tuple(checks),
        round(time.perf_counter() - started, 3), found.manifest["files"],
    )  # fmt: skip


@contextmanager
def scratch_folder(run: Path) -> Iterator[Path]:
    """A block with a name for a folder of temporary files, inside the locked run folder.

    There an audit that was killed leaves nothing that stays: `runs` counts the bytes, the next
    audit or ``--resume`` of the run removes them, and `clean` removes them with the run.

    Raises:
        InputError: no finished run, or another process works in it. MachineError: the folder
            cannot be written to, so that the findings could not be left there either.
    """
    manifest.open_finished_run(run)
    with lock_folder(run):
        remove_path(run / SCRATCH)  # of an audit that was killed
        with removed_on_exit(run / SCRATCH):
            yield run / SCRATCH / "audit"


def _spec(found: FinishedRun, rows: LabeledData) -> ScanSpec:
    total = sum(rows.counts.rows.values())
    columns = len(found.job.frame_columns) + len(found.saved_plan.features)
    kept = set(found.job.frame_columns)
    features = [n for n in found.saved_plan.needed if n in kept]
    return scan.plan_scan(
        rows.context.device, rows.context.seed, total,
        features=features, entities=found.entities, times=found.times,
        sample_rows=scan.choose_sample_size(columns, rows.plan.limit),
    )  # fmt: skip


def _data(found: FinishedRun, rows: LabeledData) -> CheckResult:
    """Whether these are the rows that the run had."""
    changed, then = list(found.changes), dict(found.manifest["rows"])
    now = dict(rows.counts.rows)
    if then != now:
        changed.append(f"the run had {_sets(then)} rows, now there are {_sets(now)}")
    findings = [
        Finding("data", "warn", "", f"not the run's data: {what}; the findings are about the data "
                "as they are now")
        for what in changed
    ]  # fmt: skip
    said = "other data than the run's" if changed else "the run's data, unchanged"
    return CheckResult("data", f"{said}: {_sets(now)} rows", findings, {"changed": changed})


def _sets(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {name}" for name, n in rows.items())


def _checks(
    session: RunContext, found: FinishedRun, rows: LabeledData, seen: Scan, spec: ScanSpec
) -> list[CheckResult]:
    of, timed = SampledRun(session, rows, seen.sample), partial(_timed, session, len(seen.sample))
    base = timed("refit", partial(refit.refit_features, of))
    before = refit.build_matrices(of, base.plan)
    evidence = Evidence(
        found.config.split, rows.target, rows.source, seen, base.plan, before["train"],
        before["test"], before.get("valid"), trace_lineage(base.plan),
        base.choice.ops if found.config.features is None else None, spec.hash_bound,
    )  # fmt: skip
    checks: dict[str, Callable[[], CheckResult]] = {
        "fitted": partial(check_fitted, of, base, evidence),
        "encodings": partial(check_encodings, of, base, evidence),
        **{name: partial(check, evidence) for name, check in CHECKS.items()},
    }
    return [timed(name, check) for name, check in checks.items()]


def _timed(session: RunContext, rows: int, name: str, work: Callable[[], Any]) -> Any:
    with session.ledger.stage(name) as entry:
        entry.rows = rows
        return work()
