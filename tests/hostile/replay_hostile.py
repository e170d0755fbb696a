"""Runs cases of the harness by hand, and says what each did that it may not.

    python tests/hostile/replay_hostile.py 1234             the generated case of a number
    python tests/hostile/replay_hostile.py 0..3000          those of a range
    python tests/hostile/replay_hostile.py "plan: dask"     a named case
    python tests/hostile/replay_hostile.py named            all of them

The folder of a case with violations is kept, and printed with ``--keep`` for every case.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from hostile_cases import case_of, generated_case, named_cases  # noqa: E402
from hostile_driver import Harness  # noqa: E402

LIMIT = 12 << 30
"""Bytes of address space of this process and of each that it starts."""


def cases_of(words):
    """The cases that the command line names."""
    for word in words:
        first, dots, last = word.partition("..")
        if word == "named":
            yield from named_cases()
        elif dots and first.isdigit():
            yield from map(generated_case, range(int(first), int(last)))
        else:
            yield case_of(word)


def main():
    """Run the cases; the status is 1 if one did what it may not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)  # fmt: skip
    parser.add_argument("cases", nargs="+", metavar="CASE")
    parser.add_argument("--keep", action="store_true", help="print every case and its folder")
    parser.add_argument("--slots", type=int, default=2, help="cases at a time")
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    count = failed = 0
    cpu, begun = 0.0, time.monotonic()
    statuses: dict[int, int] = {}
    with Harness(folder, given.slots) as harness:
        for done in harness.run(cases_of(given.cases), keep=given.keep):
            count, cpu = count + 1, cpu + done.cpu
            statuses[done.status] = statuses.get(done.status, 0) + 1
            failed += bool(done.violations)
            if done.violations or given.keep:
                print(f"{done.text()}\n  in {done.root}\n", flush=True)
    print(f"{count:,} cases, {failed:,} with violations; statuses {dict(sorted(statuses.items()))}; {cpu:.0f} s of CPU in the commands, {time.monotonic() - begun:.0f} s in all")  # fmt: skip
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
