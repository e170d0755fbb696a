"""Processor time of reading a CSV of flights, of this checkout and of another one in turns.

python -m benchmarks.reading --copies 30 --against ../before
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent.parent
FLIGHTS = HERE / "data" / "flights" / "flights.parquet"
# Run in a process of its own, with the checkout of its first argument on the path.
READ = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pipeline.config.model import Source
from pipeline.device import cpu
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract

started = time.process_time()
contract = infer_contract(Source(path=(sys.argv[2],)))
names = contract.schema.names
rows = sum(len(read_block(b, contract, names, cpu)[0]) for b in plan_blocks(contract))
print(rows, time.process_time() - started)
"""


def write_flights(path: Path, copies: int) -> None:
    """Write the flights of 2013 as CSV, all rows ``copies`` times."""
    import pandas as pd

    text = pd.read_parquet(FLIGHTS).to_csv(index=False).encode()
    header = text.index(b"\n") + 1
    with path.open("wb") as stream:
        stream.write(text[:header])
        for _ in range(copies):
            stream.write(text[header:])


def measure_reading(checkout: Path, path: Path) -> tuple[int, float]:
    """Return the rows, and the processor seconds of a process that reads them."""
    command = [sys.executable, "-c", READ, str(checkout), str(path)]
    rows, seconds = subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout.split()
    return int(rows), float(seconds)


def main() -> None:
    """Print the processor seconds of each turn, and their medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copies", type=int, default=30, help="of the 336,776 flights")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--against", type=Path, help="another checkout")
    options = parser.parse_args()
    checkouts = [HERE, *([options.against] if options.against else [])]
    taken: dict[Path, list[float]] = {checkout: [] for checkout in checkouts}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flights.csv"
        write_flights(path, options.copies)
        for _ in range(options.turns):
            for checkout in checkouts:
                rows, seconds = measure_reading(checkout, path)
                taken[checkout].append(seconds)
                print(f"{checkout.name}: {rows:,} rows, {seconds:.2f} s of a processor")
    medians = [statistics.median(values) for values in taken.values()]
    print("medians:", ", ".join(f"{seconds:.2f} s" for seconds in medians))
    if len(medians) > 1:
        print(f"ratio: {medians[0] / medians[1]:.3f}")


if __name__ == "__main__":
    main()
