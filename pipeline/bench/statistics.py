"""The arithmetic of a benchmark: medians of cells, speed-ups, costs, and where the GPU pays."""

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
    cells: Sequence[Measurement], rates: Mapping[str, DeviceThroughput], prices: Mapping[str, float]
) -> list[Json]:
    """A line per size and device, in the order of the cells: medians of the runs that finished.

    Args:
        cells: of any sizes and devices.
        rates: by device: what the bounds are computed with.
        prices: dollars an hour, by device.
    """
    keys = dict.fromkeys((cell.rows, cell.device) for cell in cells)
    return [
        _line([c for c in cells if (c.rows, c.device) == key], rates.get(key[1]), prices)
        for key in keys
    ]


def _line(
    cells: Sequence[Measurement], rates: DeviceThroughput | None, prices: Mapping[str, float]
) -> Json:
    first, done = cells[0], [c for c in cells if c.failed is None]
    line: Json = {
        "rows": first.rows, "device": first.device, "runs": len(done),
        "failed": [c.failed for c in cells if c.failed is not None],
    }  # fmt: skip
    if not done:
        return line
    seconds = median([c.seconds for c in done])
    line |= {
        "seconds": seconds,
        "seconds_range": [min(c.seconds for c in done), max(c.seconds for c in done)],
        "cpu_seconds": median([c.cpu_seconds for c in done]),
        "rows_per_second": round(first.rows / seconds, 1) if seconds else None,
        "peak_host": max(c.peak_host for c in done),
        "peak_device": max(c.peak_device for c in done),
        "scores": _scores(done),
        "stages": _stages(done, rates),
        "fallbacks": sorted({fell for c in done for fell in c.fallbacks}),
        "elsewhere": sorted({
            name for c in done for name, s in c.stages.items()
            if name != REST and s.device != c.device
        }),
    }  # fmt: skip
    if first.device in prices:
        line["cost"] = seconds / HOUR * prices[first.device]
    return line


def median(values: Sequence[float]) -> float:
    """The median."""
    return round(float(statistics.median(values)), 4)


def _middle_known(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return median(known) if known else None


def _scores(cells: Sequence[Measurement]) -> dict[str, float | None]:
    return {name: _middle_known([c.scores.get(name) for c in cells]) for name in cells[0].scores}


def _stages(cells: Sequence[Measurement], rates: DeviceThroughput | None) -> dict[str, Json]:
    found = {}
    for name in dict.fromkeys(n for c in cells for n in c.stages):
        own = [c.stages[name] for c in cells if name in c.stages]
        found[name] = {
            "seconds": median([s.seconds for s in own]),
            "peak_host": max(s.peak_host for s in own),
            "peak_device": max(s.peak_device for s in own),
            "device": own[0].device,
            "busy": _middle_known([s.busy for s in own]),
            **_bound(name, cells, rates, median([s.seconds for s in own])),
        }
    return found


def _bound(
    name: str, cells: Sequence[Measurement], rates: DeviceThroughput | None, seconds: float
) -> Json:
    """The bound of a stage, the largest of the runs': they may differ in their rounds."""
    parts = [c.work[name] for c in cells if name in c.work]
    if rates is None or not parts:
        return {}
    known = [(took, own) for own in parts if (took := roofline.lower_bound(own, rates)) is not None]
    if not known:
        return {}
    least, own = max(known, key=lambda pair: pair[0])
    ratio = round(seconds / least, 2) if least else None
    return {"bound": least, "times_bound": ratio, "bound_of": roofline.describe_work(own, rates)}


# -- both devices ----------------------------------------------------------------------------------


def compute_speedups(summary: Sequence[Json]) -> list[Json]:
    """CPU seconds over GPU seconds, in total and by stage, of the sizes that both finished."""
    found = []
    for rows, cpu, gpu in pair_devices(summary):
        stages = {
            name: _ratio(cpu["stages"][name]["seconds"], stage["seconds"])
            for name, stage in gpu["stages"].items()
            if name in cpu["stages"]
        }
        found.append(
            {"rows": rows, "total": _ratio(cpu["seconds"], gpu["seconds"]), "stages": stages}
        )
    return found


def pair_devices(summary: Sequence[Json]) -> list[tuple[int, Json, Json]]:
    """(rows, the CPU's line, the GPU's line) of the sizes that both finished, by size."""
    by = {(line["rows"], line["device"]): line for line in summary if line["runs"]}
    sizes = sorted({rows for rows, _ in by})
    return [(n, by[n, "cpu"], by[n, "gpu"]) for n in sizes if (n, "cpu") in by and (n, "gpu") in by]


def _ratio(cpu: float, gpu: float) -> float | None:
    return round(cpu / gpu, 3) if gpu else None


def find_break_even(summary: Sequence[Json], figure: str = "seconds") -> Json:
    """From how many rows on the GPU takes less than the CPU, of ``seconds`` or of ``cost``.

    Between two measured sizes the ratio is taken to change evenly on logarithmic scales. "From"
    means at every measured size beyond.

    Returns:
        ``rows`` (None: at no size, or at all of them), ``says`` in words.
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
        said = f"the GPU {word} at every size measured, from {least:,} rows on"
        return {"rows": None, "says": said}
    last = losing[-1]
    if last == len(ratios) - 1:
        won = [rows for rows, ratio in ratios if ratio >= 1]
        some = f" (at {', '.join(f'{r:,}' for r in won)} it does, but not beyond)" if won else ""
        said = f"the GPU {word} not at the sizes measured, up to {most:,} rows{some}"
        return {"rows": None, "says": said}
    rows = interpolate_break_even(*ratios[last], *ratios[last + 1])
    between = f"between {ratios[last][0]:,} and {ratios[last + 1][0]:,}, interpolated"
    return {"rows": rows, "says": f"the GPU {word} from about {rows:,} rows on ({between})"}


def interpolate_break_even(rows: int, ratio: float, more: int, higher: float) -> int:
    """The rows at which the ratio is 1, on logarithmic scales, to two figures.

    Args:
        rows: where the ratio is below 1.
        more: where it is 1 or above.
    """
    share = -math.log(ratio) / (math.log(higher) - math.log(ratio))
    found = math.exp(math.log(rows) + share * (math.log(more) - math.log(rows)))
    step = 10 ** max(0, math.floor(math.log10(found)) - 1)
    return int(round(found / step) * step)
