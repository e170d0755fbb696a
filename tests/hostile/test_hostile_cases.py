"""Hostile configs, run folders and data: no command does more than it may (`hostile_verdict`).

A failure prints what was done, by which code, and the command that runs the case again.
"""

from __future__ import annotations

import audit_hook
import pytest
from hostile_case import Case, good_tree
from hostile_cases import generated_case, named_cases

QUICK = 100
"""Generated cases of the default suite; about 0.15 s of CPU time each."""
ALL, BATCH = 3000, 250
SHOWN = 8


def run(harness, cases):
    """Run cases; fails with what the first of those did that did something wrong."""
    done = list(harness.run(cases))
    bad = [one for one in done if one.violations]
    more = f"{len(bad):,} of {len(done):,} cases did what they may not\n\n"
    assert not bad, more + "\n\n".join(one.text() for one in bad[:SHOWN])
    return done


def test_named_attacks_do_nothing(harness):
    done = run(harness, named_cases())
    assert {one.status for one in done} >= {0, 2}  # some commands do end well


def test_generated_attacks_do_nothing(harness):
    run(harness, map(generated_case, range(QUICK)))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(QUICK, ALL, BATCH))
def test_more_generated_attacks_do_nothing(harness, first):
    run(harness, map(generated_case, range(first, min(first + BATCH, ALL))))


@pytest.mark.slow
def test_worker_processes_are_watched_too(harness):
    def make(place):
        tree = good_tree()
        tree["cluster"] = {"kind": "cores", "workers": 2, "dashboard": False}
        place.write_config(tree)
        return ["run", "c.yaml", "--out", "run", "-q"]

    done = harness.one(Case("run: two workers", make, seconds=300), keep=True)
    assert done.violations == [] and done.status == 0, done.text()
    records = audit_hook.read(done.root / "log.jsonl")
    started = {record["pid"] for record in records if record["kind"] == "start"}
    assert len({r["pid"] for r in records if r["kind"] == "write"} & started) >= 2


def test_names_are_different():
    names = [case.name for case in named_cases()]
    assert len(set(names)) == len(names)
    assert not any(name.partition(":")[0].isdigit() for name in names)
