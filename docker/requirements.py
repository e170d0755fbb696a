"""Prints what the image installs before the package: the dependencies and the named extras."""

import sys
import tomllib
from pathlib import Path

VARIANTS = ("cpu", "gpu", "gpu-cu12")


def requirements(project: dict, variant: str, extras: list[str]) -> list[str]:
    """Return the requirement lines of ``[project]`` of a pyproject.toml.

    Raises:
        SystemExit: there is no such variant or extra; the message names those that exist.
    """
    optional = project["optional-dependencies"]
    if variant not in VARIANTS:
        raise SystemExit(f"VARIANT={variant}: one of {', '.join(VARIANTS)}")
    unknown = [e for e in extras if e not in optional or e in VARIANTS]
    if unknown:
        others = sorted(set(optional) - set(VARIANTS))
        raise SystemExit(f"EXTRAS={' '.join(unknown)}: some of {', '.join(others)}")
    return [*project["dependencies"], *(r for e in (variant, *extras) for r in optional[e])]


if __name__ == "__main__":
    text = Path("pyproject.toml").read_text(encoding="utf-8")
    sys.stdout.write(
        "\n".join(requirements(tomllib.loads(text)["project"], *sys.argv[1:2], sys.argv[2:]))
    )
    sys.stdout.write("\n")
