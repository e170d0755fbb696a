"""Logging of Dask and the libraries below it to the run's log.txt, not to the terminal."""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path

from pipeline.artifacts.files import open_to_append
from pipeline.console.terminal import LogFormatter
from pipeline.errors import PipelineError

LOGGERS = ("distributed", "tornado", "asyncio", "bokeh", "py.warnings")


class _LogFile(logging.FileHandler):
    """A run's log.txt, opened by `artifacts.files.open_to_append`.

    On a full disk it stays silent: the run's own files report it.
    """

    def _open(self) -> io.TextIOWrapper:
        return io.TextIOWrapper(open_to_append(Path(self.baseFilename)), encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        """Append a record to the file."""
        try:
            # The folder may have been copied by hard links meanwhile. The copy must not receive the
            # record, so open the file anew, which breaks the link.
            if self.stream is not None and os.fstat(self.stream.fileno()).st_nlink > 1:
                self.stream.close()
                self.stream = None  # FileHandler opens it anew
            super().emit(record)
        except (PipelineError, OSError):
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        pass


def log_to_file(path: Path) -> None:
    """Send all log records to this file alone, and close the file of an earlier run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = _LogFile(path)
    handler.setFormatter(LogFormatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    for name in LOGGERS:
        logger = logging.getLogger(name)
        for old in list(logger.handlers):
            logger.removeHandler(old)
            if isinstance(old, _LogFile):
                old.close()
        logger.addHandler(handler)
        logger.propagate = False
