"""What Dask and the libraries below it log goes to the run's log.txt, not to the terminal."""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.terminal import LogFormatter

LOGGERS = ("distributed", "tornado", "asyncio", "bokeh", "py.warnings")


class _LogFile(logging.FileHandler):
    """Where the disk is full it keeps quiet: the run's own files say so."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        pass


def log_to_file(path: Path) -> None:
    """Sends what is logged from now on to this file alone; that of a run before is closed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(LogFormatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    for name in LOGGERS:
        logger = logging.getLogger(name)
        for old in list(logger.handlers):
            logger.removeHandler(old)
            if isinstance(old, _LogFile):
                old.close()
        logger.addHandler(handler)
        logger.propagate = False
