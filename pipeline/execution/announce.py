"""The first line of a run: its data."""

from __future__ import annotations

from pipeline.console.plural import quantify
from pipeline.execution.job import Job
from pipeline.report.text import format_bytes, join_names


def describe_data(job: Job) -> str:
    """Describe the data of a run in one line: where they are, how many, and the target."""
    contract, data = job.contract, job.config.data
    paths = [data.path] if isinstance(data.path, str) else list(data.path)
    size = format_bytes(sum(file.size for file in contract.files))
    if len(contract.files) > 1 or paths != [contract.files[0].path]:
        size = f"{quantify(len(contract.files), 'file')} of {size}"
    # The rows of a CSV are only known once they are read.
    rows = [] if contract.rows is None else [quantify(contract.rows, "row")]
    columns = quantify(len(contract.columns) + len(contract.unreadable), "column")
    facts = ", ".join([size, *rows, columns])
    return f"data {join_names(paths, 3)}: {facts}; target {data.target}"
