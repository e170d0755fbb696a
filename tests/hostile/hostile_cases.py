"""All cases by name and number: the same on every machine and at every time."""

from __future__ import annotations

import random
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
for folder in (TESTS.parent, TESTS, TESTS / "fuzz"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))

import hostile_configs  # noqa: E402
import hostile_data  # noqa: E402
import hostile_runs  # noqa: E402
from hostile_case import Case  # noqa: E402

SEED = 9
FAMILIES = {"url": 20, "options": 14, "scheduler": 5, "path": 8, "value": 15, "run": 28, "data": 10}


def named_cases() -> list[Case]:
    """Attacks that were thought of, each with a name of its own."""
    return [
        *hostile_configs.named_urls(), *hostile_configs.allowed_protocols(),
        *hostile_configs.each_protocol(),
        *hostile_configs.each_scheduler(), *hostile_configs.each_path(),
        *hostile_runs.named_runs(), *hostile_data.named_data(),
    ]  # fmt: skip


def generated_case(number: int) -> Case:
    """The case of a number."""
    rng = random.Random(f"{SEED}-{number}")
    family = rng.choices(list(FAMILIES), list(FAMILIES.values()))[0]
    name = str(number)
    if family == "run":
        return hostile_runs.generated(rng, name)
    if family == "data":
        return hostile_data.generated(rng, name)
    return hostile_configs.generated(rng, name, family)


def case_of(name: str) -> Case:
    """The case of a name or number, as a failure prints it."""
    number = name.partition(":")[0]
    if number.isdigit():
        return generated_case(int(number))
    return next(case for case in named_cases() if case.name == name)
