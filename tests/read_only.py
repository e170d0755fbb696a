"""A folder that nobody may write to, root included."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager

import pytest


def _mounted(*arguments):
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False)
    return done.returncode == 0


@contextmanager
def read_only(folder):
    """A block in which the folder is read-only, as a mount for root, else by its mode."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    if not _mounted("--bind", folder, folder):
        pytest.skip("mounting needs root, and the capability for it")
    try:
        assert _mounted("-o", "remount,ro,bind", folder)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
