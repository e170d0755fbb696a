"""The power of `audit`: how often it finds a planted leak, and how often it is wrong.

``python -m benchmarks.audit_power [--kind KIND] [--seeds N]``

Each table is made from a seed, split at random and given to the checks that read the sample, as
if its numeric columns were the models' matrix: nothing is trained, so that many tables can be
tried. A line of the output is one kind of table at one size and strength: of how many seeds the
check for the leak failed or warned, and which other findings there were.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from pipeline.audit import column_checks, overlap, scan
from pipeline.audit import label_mean as means
from pipeline.audit import near_rows as near
from pipeline.audit import noisy_copy as noisy
from pipeline.audit.evidence import Evidence
from pipeline.audit.finding import Finding
from pipeline.config.model import Split
from pipeline.device import cpu
from pipeline.features.engine.fit import FittedPlan
from pipeline.features.try_op import make_frame
from pipeline.matrix import Feature, Matrix, Target
from pipeline.schema import LABEL, SET, TEST, TRAIN, VALID, Schema

CHECKS = [
    near.check_near_rows,
    overlap.check_entities,
    column_checks.check_univariate,
    means.check_label_mean,
    noisy.check_noisy_copy,
]
Make = Callable[[np.random.Generator, int, Any], pd.DataFrame]


@dataclass(frozen=True)
class Kind:
    """Tables of one kind."""

    make: Make
    """Receives a generator, the rows and the strength; returns the table."""
    check: str
    """Check that must find the leak; empty for tables without a leak."""
    grid: Sequence[tuple[int, Any]]
    """Rows and strengths."""
    sampled: float = 1.0
    """The share of the rows that the audit's sample may hold."""


def features(rng: np.random.Generator, rows: int) -> pd.DataFrame:
    """Make honest columns and a target that depends on some of them."""
    x, z = rng.normal(size=rows), rng.normal(size=rows)
    return pd.DataFrame(
        {
            "x": x,
            "z": z,
            "age": rng.integers(18, 90, rows),
            "town": rng.choice([f"t{i}" for i in range(30)], rows),
            "y": x + 0.5 * z + rng.normal(size=rows) > 0,
        }
    )


def entity(rng: np.random.Generator, rows: int, strength: tuple[int, float]) -> pd.DataFrame:
    """Make an integer that names entities, whose label is that of most of their rows."""
    per, noise = strength
    number = rng.integers(0, rows // per, rows)
    label = (rng.random(rows // per) < 0.4)[number]
    return features(rng, rows).assign(number=number * 7 + 3, y=label ^ (rng.random(rows) < noise))


def entity_value(rng: np.random.Generator, rows: int, strength: tuple[int, float]) -> pd.DataFrame:
    """Make an integer that names entities, whose numeric target is their own with noise."""
    per, noise = strength
    number = rng.integers(0, rows // per, rows)
    target = rng.standard_t(3, rows // per)[number] + noise * rng.normal(size=rows)
    return features(rng, rows).assign(number=number * 7 + 3, y=target)


def label_mean(rng: np.random.Generator, rows: int, strength: tuple[int, str]) -> pd.DataFrame:
    """Make the mean target per entity over all rows, without the entity's name."""
    per, form = strength
    number = rng.integers(0, rows // per, rows)
    effect = rng.normal(size=rows // per)[number]
    frame = features(rng, rows)
    y = frame["x"] + effect + rng.normal(size=rows)
    frame["y"] = y if form == "number" else y > 0
    by = frame["y"].astype("float64").groupby(number)
    mean = by.transform("mean")
    if form == "rounded":
        mean = mean.round(3)
    elif form == "smoothed":
        mean = (by.transform("sum") + 5 * frame["y"].mean()) / (by.transform("count") + 5)
    elif form == "logit":
        mean = np.log((mean + 0.05) / (1.05 - mean))
    elif form == "leave one out":
        count = by.transform("count")
        mean = (by.transform("sum") - frame["y"]) / (count - 1).clip(lower=1)
    return frame.assign(history=mean)


def noisy_copy(rng: np.random.Generator, rows: int, strength: tuple[float, str]) -> pd.DataFrame:
    """Make the target with noise of a standard deviation: of its own for numbers."""
    noise, form = strength
    frame = features(rng, rows)
    if form in ("number", "scaled number"):
        frame["y"] = 2 * frame["x"] + frame["z"] + rng.normal(size=rows)
        spread = noise * float(frame["y"].std())
    else:
        spread = noise
    copy = frame["y"].astype("float64") + spread * rng.normal(size=rows)
    if form == "flipped":
        copy = (frame["y"] ^ (rng.random(rows) < noise)).astype("int64")
    return frame.assign(note=copy * 70 + 12 if form.startswith("scaled") else copy)


def near_rows(rng: np.random.Generator, rows: int, strength: tuple[float, float]) -> pd.DataFrame:
    """Repeat a share of the rows with numbers that differ by a share of themselves."""
    share, jitter = strength
    frame = features(rng, rows).assign(w=rng.lognormal(size=rows), v=rng.normal(size=rows))
    again = frame.sample(frac=share, random_state=int(rng.integers(2**31)))
    numbers = ["x", "z", "w", "v"]
    again[numbers] *= 1 + jitter * rng.uniform(-1, 1, (len(again), len(numbers)))
    return pd.concat([frame, again], ignore_index=True).sample(
        frac=1, random_state=int(rng.integers(2**31))
    )


# -- without a leak --------------------------------------------------------------------------------


def clean(rng: np.random.Generator, rows: int, form: str) -> pd.DataFrame:
    """Make a table without a leak that resembles one in some respect."""
    return CLEAN[form](features(rng, rows), rng, rows)


def _ids(frame: pd.DataFrame, rng: np.random.Generator, rows: int) -> pd.DataFrame:
    return frame.assign(
        ticket=rng.permutation(rows) * 13,
        batch=rng.integers(0, rows // 4, rows),
        row=np.arange(rows),
    )


def _strong(frame: pd.DataFrame, rng: np.random.Generator, rows: int) -> pd.DataFrame:
    return frame.assign(y=frame["x"] + 0.3 * rng.normal(size=rows) + 0.1 * frame["z"] > 0)


def _strong_classes(frame: pd.DataFrame, rng: np.random.Generator, rows: int) -> pd.DataFrame:
    y = rng.random(rows) < 0.4
    return frame.assign(
        x=2.3 * y + rng.normal(size=rows), z=0.3 * y + rng.normal(size=rows), y=y
    )  # fmt: skip


def _series(frame: pd.DataFrame, rng: np.random.Generator, rows: int) -> pd.DataFrame:
    day = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(rows), unit="h")
    noise = np.convolve(rng.normal(size=rows + 50), 0.9 ** np.arange(50), "full")[50 : rows + 50]
    y = np.sin(np.arange(rows) / 24) + noise
    return frame.assign(day=day, y=y, before=np.r_[y[0], y[:-1]], x=rng.normal(size=rows))


def _ties(frame: pd.DataFrame, rng: np.random.Generator, rows: int) -> pd.DataFrame:
    rounded = frame.assign(
        x=frame["x"].round(1), z=frame["z"].round(0), rating=rng.integers(1, 6, rows)
    )
    probability = 1 / (1 + np.exp(-2 * rounded["x"]))
    return rounded.assign(odds=probability.round(2), y=rng.random(rows) < probability)


def _rare(frame: pd.DataFrame, rng: np.random.Generator, rows: int) -> pd.DataFrame:
    risk = frame["x"] + rng.normal(size=rows)
    return frame.assign(y=risk > np.quantile(risk, 0.99), shop=rng.integers(0, 300, rows))


def _tails(frame: pd.DataFrame, rng: np.random.Generator, rows: int) -> pd.DataFrame:
    y = np.exp(1.5 * frame["x"]) + rng.standard_t(2, rows)
    return frame.assign(y=y, quote=y.mean() + frame["x"] * 3, shop=rng.integers(0, 300, rows))


def _codes(frame: pd.DataFrame, rng: np.random.Generator, rows: int) -> pd.DataFrame:
    code = rng.zipf(1.4, rows) % 500
    return frame.assign(
        code=code, y=frame["x"] + 0.7 * rng.normal(size=500)[code] > rng.normal(size=rows)
    )


def _known_mean(frame: pd.DataFrame, rng: np.random.Generator, rows: int) -> pd.DataFrame:
    """Make the mean of an earlier period, which is legitimate, and the true rate per entity."""
    entities = max(rows // 10, 1)
    number, rate = rng.integers(0, entities, rows), rng.beta(2, 3, entities)
    before = rng.binomial(20, rate) / 20
    return frame.assign(y=rng.random(rows) < rate[number], before=before[number], rate=rate[number])


def _winners(frame: pd.DataFrame, rng: np.random.Generator, rows: int) -> pd.DataFrame:
    """One winner per race, with a number that is the race's own."""
    race = np.arange(rows) // 6
    luck = pd.Series(rng.normal(size=rows) + frame["x"])
    return frame.assign(
        y=luck == luck.groupby(race).transform("max"), purse=rng.lognormal(size=rows)[race]
    )


def _classes(frame: pd.DataFrame, rng: np.random.Generator, rows: int) -> pd.DataFrame:
    y = np.digitize(frame["x"] + 0.4 * rng.normal(size=rows), [-1, 0, 1])
    return frame.assign(y=np.array(list("abcd"))[y], shop=rng.integers(0, 300, rows))


def _forecast(frame: pd.DataFrame, rng: np.random.Generator, rows: int) -> pd.DataFrame:
    """Make a forecast in the target's units, and last year's value of a persistent quantity."""
    level = rng.normal(100, 10, rows)
    return frame.assign(
        y=level + rng.normal(0, 5, rows), forecast=level, last=level + rng.normal(0, 5, rows)
    )  # fmt: skip


CLEAN: Mapping[str, Callable[[pd.DataFrame, np.random.Generator, int], pd.DataFrame]] = {
    "ids": _ids, "strong cause": _strong, "strong symptom": _strong_classes, "series": _series,
    "ties": _ties, "1 % positive": _rare, "heavy tails": _tails, "codes": _codes,
    "rate known before": _known_mean, "one winner": _winners, "four classes": _classes,
    "forecast": _forecast,
}  # fmt: skip
COPIES = [
    (0.5, "yes or no"),
    (0.8, "yes or no"),
    (0.65, "scaled yes or no"),
    (0.5, "number"),
    (0.8, "number"),
    (0.5, "scaled number"),
    (0.14, "flipped"),
]
MEANS = [
    *product((500, 2000, 10_000), product((3, 10), ("yes or no", "number"))),
    *product((2000, 10_000), product((10,), ("rounded", "smoothed", "logit", "leave one out"))),
]
KINDS = {
    "entity": Kind(
        entity, "entities", list(product((500, 1000, 5000), product((3, 10), (0.0, 0.1, 0.2))))
    ),
    "entity value": Kind(
        entity_value, "entities", list(product((1000, 5000), product((3, 10), (0.0, 0.5, 1.0))))
    ),
    "label mean": Kind(label_mean, "label_mean", MEANS),
    "noisy copy": Kind(noisy_copy, "noisy_copy", list(product((500, 1000, 5000), COPIES))),
    "near rows": Kind(
        near_rows,
        "near_rows",
        list(product((500, 2000, 10_000), product((0.05, 0.2), (1e-6, 1e-3, 1e-2)))),
    ),
    "sampled entity": Kind(entity, "entities", [(20_000, (10, 0.0))], 0.1),
    "sampled mean": Kind(label_mean, "label_mean", [(20_000, (10, "number"))], 0.1),
    "sampled copy": Kind(noisy_copy, "noisy_copy", [(20_000, (0.5, "yes or no"))], 0.1),
    "sampled rows": Kind(near_rows, "near_rows", [(20_000, (0.2, 1e-6))], 0.1),
    "clean": Kind(clean, "", list(product((200, 2000, 10_000), CLEAN))),
}


def facts_of(frame: pd.DataFrame, rng: np.random.Generator, sampled: float) -> Evidence:
    """Make the evidence for the checks, with 70 % of the rows for training and 20 % for test."""
    y, columns = frame["y"], frame.drop(columns="y").reset_index(drop=True)
    classes = () if y.dtype.kind == "f" else tuple(np.unique(y).tolist())
    task = "regression" if not classes else "binary" if len(classes) == 2 else "multiclass"
    label = y.to_numpy("float64") if not classes else np.searchsorted(classes, y).astype("float64")
    sets = rng.choice(3, len(frame), p=[0.7, 0.1, 0.2]).astype("int32")
    schema, storage = make_frame(columns)
    sampled_columns = {
        LABEL: cpu.make_series(label, "float64"),
        SET: cpu.make_series(sets, "int32"),
    }
    whole = storage.assign(**sampled_columns)[rng.random(len(frame)) < sampled]
    numeric = [c.name for c in schema if c.kind == "numeric"]
    plan = FittedPlan(Schema(schema.columns), (), tuple(Feature(n, "q") for n in numeric))
    spec = scan.plan_scan("cpu", 0, len(whole), features=numeric, entities=(), times=())
    look = replace(scan.scan_partition(whole, spec), rows=len(frame))
    x = np.stack([cpu.to_floats(whole[n]) for n in numeric], axis=1).astype("float32")
    sets_of_sample, label = cpu.to_arrays(whole[SET])[0], cpu.to_floats(whole[LABEL])

    def rows(which: int) -> Matrix:
        at = sets_of_sample == which
        return Matrix(x[at], label[at], None, np.flatnonzero(at))

    made_of = {n: frozenset({n}) for n in numeric}
    target = Target(task, classes)
    return Evidence(
        Split(), target, schema, look, plan, rows(TRAIN), rows(TEST), rows(VALID), made_of, None
    )


def find(frame: pd.DataFrame, rng: np.random.Generator, sampled: float) -> list[Finding]:
    """Run the checks."""
    facts = facts_of(frame, rng, sampled)
    return [finding for check in CHECKS for finding in check(facts).findings]


def measure(name: str, rows: int, strength: Any, seeds: int) -> str:
    """Audit one table per seed, and say how many were found."""
    kind = KINDS[name]
    count: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for seed in range(seeds):
        rng = np.random.default_rng([seed, rows])
        findings = find(kind.make(rng, rows, strength), rng, kind.sampled)
        severities = {f.severity for f in findings if f.check == kind.check}
        count[next((s for s in ("fail", "warn") if s in severities), "none")] += 1
        others.update({
            f"{f.severity} {f.name}" for f in findings
            if f.check != kind.check and f.severity != "info"
        })  # fmt: skip
    wrong = ", ".join(f"{n} × {what}" for what, n in sorted(others.items()))
    shown = f"fail {count['fail']}, warn {count['warn']} of {seeds}" if kind.check else ""
    return f"{name} · {rows:,} rows · {strength} · {shown} · {wrong or 'nothing else'}"


def main() -> None:
    """Print a line per kind, size and strength."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", action="append", choices=list(KINDS))
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    for name in options.kind or KINDS:
        for rows, strength in KINDS[name].grid:
            print(measure(name, rows, strength, options.seeds), flush=True)


if __name__ == "__main__":
    main()
