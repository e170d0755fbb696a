"""Coverage-guided fuzzing of what reads strangers' text, with atheris (the extra ``fuzz``).

    python tests/fuzz/fuzz.py --seconds 60              all targets, a quarter of the time each
    python tests/fuzz/fuzz.py csv --seconds 600         one of them
    python tests/fuzz/fuzz.py --seed 1                  the same inputs each time, for CI
    python tests/fuzz/fuzz.py csv --replay FILE...      inputs again, without atheris

A failure is printed with its input and the command that replays it; its file lies in the folder
``--found``. What else reaches new code is thrown away, but for ``--keep DIR``; the corpus is added to by hand.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGETS = ("config", "csv", "expression", "schema")
CORPUS = HERE / "corpus"
LENGTH = {"config": 2048, "csv": 400, "expression": 400, "schema": 1000}
LIMITS = ("-timeout=25", "-rss_limit_mb=1500", "-print_final_stats=1")


def target(name):
    """The function that takes an input; raises where a law does not hold."""
    for folder in (HERE.parents[1], HERE.parent, HERE):
        sys.path.insert(0, str(folder))
    return importlib.import_module(f"fuzz_{name}").one


def fuzzed(name, options):
    """Fuzzes in this process, which ends with the fuzzing."""
    import atheris

    with atheris.instrument_imports(include=["pipeline", "yaml"]):
        one = target(name)
    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


def run(name, seconds, found, keep, seed):
    """Fuzzes one target in a process of its own; its exit status."""
    found.mkdir(parents=True, exist_ok=True)
    before = set(found.iterdir())
    with tempfile.TemporaryDirectory() if keep is None else nullcontext(keep / name) as new:
        Path(new).mkdir(parents=True, exist_ok=True)
        options = [f"-max_total_time={seconds}", f"-artifact_prefix={found}/{name}-", *LIMITS]
        options += [f"-max_len={LENGTH[name]}", f"-seed={seed}"]
        if (words := HERE / "words" / f"{name}.dict").is_file():
            options.append(f"-dict={words}")
        command = [sys.executable, __file__, name, "--here", str(new), str(CORPUS / name), *options]
        same = {**os.environ, "PYTHONHASHSEED": str(seed)} if seed else None
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=same)
    told = done.stderr.splitlines()
    stats = [line for line in told if line.startswith(("stat::number_of", "Done "))]
    print(f"{name}: status {done.returncode}; {'; '.join(stats)}", flush=True)
    if done.returncode:
        print("\n".join((done.stdout.splitlines() + told)[-60:]))
        for path in sorted(set(found.iterdir()) - before):
            print(f"input {path.read_bytes()!r}")
            print(f"again: python tests/fuzz/fuzz.py {name} --replay {path}")
    return done.returncode


def main():
    """Fuzzes, or replays; the status is 1 if a law does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time")
    parser.add_argument("--found", type=Path, default=Path(tempfile.gettempdir(), "fuzz-found"))
    parser.add_argument("--keep", type=Path, metavar="DIR", help="for inputs that reach new code")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--here", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args()
    names = given.names or list(TARGETS)
    if given.here is not None:
        fuzzed(names[0], given.here)
    if given.replay:
        for path in given.replay:
            target(names[0])(path.read_bytes())
        return 0
    seconds = max(1, given.seconds // len(names))
    with ThreadPoolExecutor(given.jobs) as pool:
        done = list(
            pool.map(lambda name: run(name, seconds, given.found, given.keep, given.seed), names)
        )
    return int(any(done))


if __name__ == "__main__":
    sys.exit(main())
