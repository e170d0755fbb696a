"""The arithmetic of a benchmark: medians, speed-ups, costs, and the break-even of the GPU."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.bench import roofline
from pipeline.bench.bandwidth import DeviceThroughput
from pipeline.bench.measurements import REST, Measurement

Json = dict[str, Any]
HOUR = 3600.0


def summarize(
    cells: Sequence[Measurement],
    rates: Mapping[str, DeviceThroughput],
    prices: Mapping[str, float],
) -> list[Json]:
    """Return one line per size and device, with the medians of the runs that finished.

    Args:
        cells: measurements of any sizes and devices; the lines keep their order.
        rates: throughput by device, from which the bounds are computed.
        prices: dollars per hour, by device.
    """
    keys = dict.fromkeys((cell.rows, cell.device) for cell in cells)
    return [
        _summarize_line([c for c in cells if (c.rows, c.device) == key], rates.get(key[1]), prices)
        for key in keys
    ]


def _summarize_line(
    cells: Sequence[Measurement], rates: DeviceThroughput | None, prices: Mapping[str, float]
) -> Json:
    first, finished = cells[0], [c for c in cells if c.failed is None]
    line: Json = {
        "rows": first.rows,
        "device": first.device,
        "runs": len(finished),
        "failed": [c.failed for c in cells if c.failed is not None],
    }
    if not finished:
        return line
    seconds = median([c.seconds for c in finished])
    line |= {
        "seconds": seconds,
        "seconds_range": [min(c.seconds for c in finished), max(c.seconds for c in finished)],
        "cpu_seconds": median([c.cpu_seconds for c in finished]),
        "rows_per_second": round(first.rows / seconds, 1) if seconds else None,
        "peak_host": max(c.peak_host for c in finished),
        "peak_device": max(c.peak_device for c in finished),
        "scores": {
            name: _median_of_present([c.scores.get(name) for c in finished])
            for name in finished[0].scores
        },
        "stages": _summarize_stages(finished, rates),
        "fallbacks": sorted({fallback for c in finished for fallback in c.fallbacks}),
        "elsewhere": sorted(
            {
                name
                for c in finished
                for name, stage in c.stages.items()
                if name != REST and stage.device != c.device
            }
        ),
    }
    if first.device in prices:
        line["cost"] = seconds / HOUR * prices[first.device]
    return line


def median(values: Sequence[float]) -> float:
    """Return the median, rounded to 0.1 ms for readable JSON."""
    return round(float(statistics.median(values)), 4)


def _median_of_present(values: Sequence[float | None]) -> float | None:
    present = [v for v in values if v is not None]
    return median(present) if present else None


def _summarize_stages(
    cells: Sequence[Measurement], rates: DeviceThroughput | None
) -> dict[str, Json]:
    summary: dict[str, Json] = {}
    for name in dict.fromkeys(n for c in cells for n in c.stages):
        stages = [c.stages[name] for c in cells if name in c.stages]
        seconds = median([s.seconds for s in stages])
        summary[name] = {
            "seconds": seconds,
            "peak_host": max(s.peak_host for s in stages),
            "peak_device": max(s.peak_device for s in stages),
            "device": stages[0].device,
            "busy": _median_of_present([s.busy for s in stages]),
        }
        if rates is None:
            continue  # this machine's throughput was not measured
        works = [c.work[name] for c in cells if name in c.work]
        bounds = [
            (b, work) for work in works if (b := roofline.lower_bound(work, rates)) is not None
        ]
        if bounds:
            # Runs may differ in their rounds, and so in their bounds: the largest one counts.
            bound, work = max(bounds, key=lambda pair: pair[0])
            summary[name] |= {
                "bound": bound,
                "times_bound": round(seconds / bound, 2) if bound else None,
                "bound_of": roofline.describe_work(work, rates),
            }
    return summary


# -- both devices ----------------------------------------------------------------------------------


def compute_speedups(summary: Sequence[Json]) -> list[Json]:
    """Return CPU seconds over GPU seconds, in total and by stage, of sizes that both finished."""
    speedups = []
    for rows, cpu, gpu in pair_devices(summary):
        stages = {
            name: _ratio(cpu["stages"][name]["seconds"], stage["seconds"])
            for name, stage in gpu["stages"].items()
            if name in cpu["stages"]
        }
        speedups.append(
            {"rows": rows, "total": _ratio(cpu["seconds"], gpu["seconds"]), "stages": stages}
        )
    return speedups


def pair_devices(summary: Sequence[Json]) -> list[tuple[int, Json, Json]]:
    """Return (rows, CPU line, GPU line) of the sizes that both devices finished, by size."""
    by = {(line["rows"], line["device"]): line for line in summary if line["runs"]}
    sizes = sorted({rows for rows, _ in by})
    return [(n, by[n, "cpu"], by[n, "gpu"]) for n in sizes if (n, "cpu") in by and (n, "gpu") in by]


def _ratio(cpu: float, gpu: float) -> float | None:
    return round(cpu / gpu, 3) if gpu else None


def find_break_even(summary: Sequence[Json], figure: str = "seconds") -> Json:
    """Return the number of rows from which the GPU beats the CPU, in ``seconds`` or ``cost``.

    The GPU must win at every measured size from there on. Between two measured sizes the ratio is
    interpolated on logarithmic scales.

    Returns:
        ``rows`` (None: the GPU wins at no size, or at all of them) and ``says``, a sentence.
    """
    word = "is faster" if figure == "seconds" else "is cheaper"
    ratios = [
        (rows, cpu[figure] / gpu[figure])
        for rows, cpu, gpu in pair_devices(summary)
        if figure in cpu and gpu.get(figure)
    ]
    if not ratios:
        return {"rows": None, "says": "unknown: no size was measured on both devices"}
    least, most = ratios[0][0], ratios[-1][0]
    losing = [i for i, (_, ratio) in enumerate(ratios) if ratio < 1]
    if not losing:
        sentence = f"the GPU {word} at every size measured, from {least:,} rows"
        return {"rows": None, "says": sentence}
    last = losing[-1]
    if last == len(ratios) - 1:
        winning = [f"{rows:,}" for rows, ratio in ratios if ratio >= 1]
        some = f"; it {word} only at {', '.join(winning)}" if winning else ""
        sentence = f"the GPU is not {word.removeprefix('is ')} at the largest size measured, "
        return {"rows": None, "says": f"{sentence}{most:,} rows{some}"}
    rows = interpolate_break_even(*ratios[last], *ratios[last + 1])
    between = f"between {ratios[last][0]:,} and {ratios[last + 1][0]:,}, interpolated"
    return {"rows": rows, "says": f"the GPU {word} from about {rows:,} rows ({between})"}


def interpolate_break_even(rows: int, ratio: float, more: int, higher: float) -> int:
    """Return the rows at which the ratio is 1, on logarithmic scales, to two digits.

    Args:
        rows: a size with a ratio below 1.
        ratio: CPU seconds over GPU seconds at ``rows``.
        more: a larger size with a ratio of 1 or above.
        higher: the ratio at ``more``.
    """
    share = -math.log(ratio) / (math.log(higher) - math.log(ratio))
    exact = math.exp(math.log(rows) + share * (math.log(more) - math.log(rows)))
    step = 10 ** max(0, math.floor(math.log10(exact)) - 1)
    return int(round(exact / step) * step)
