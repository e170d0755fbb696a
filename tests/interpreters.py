"""The interpreters of other versions that this machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


def find_interpreter(version: str) -> Path | None:
    """The interpreter of a version such as "3.12", on the path or of pyenv; None without one."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    on_path = shutil.which(f"python{version}")
    for program in (on_path, *sorted(pyenv.glob(f"{version}.*/bin/python{version}"))):
        # pyenv's programs on the path fail for versions that are installed but not chosen
        if (
            program
            and not subprocess.run([program, "-V"], capture_output=True, check=False).returncode
        ):
            return Path(program)
    return None
