"""Test rows that are training rows but for a small change in their numbers.

No distance is small in itself. A copy is much nearer to its original than to the other rows around
it: the distance to the nearest training row is compared with that to the sixteenth. For rows that
were drawn independently, with a density in d dimensions, the ratio is below q with the probability
``1 - (1 - q^d)^15``; d follows from the ratio of the eighth distance to the sixteenth, which a few
copies of a row do not move (the volumes' ratio is Beta(8, 8), whose median is 1/2).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.audit import univariate
from pipeline.audit.evidence import CheckResult, Evidence
from pipeline.audit.finding import Finding, Severity
from pipeline.audit.likeness import rank_labels
from pipeline.audit.overlap import COPIES, ENTITIES, MANY, SOME
from pipeline.device import cpu
from pipeline.schema import LABEL, TEST, TRAIN

Array = NDArray[np.float64]
Positions = NDArray[np.int64]
NEIGHBOURS = 16
CLOSE = 0.01
"""A nearest training row at less than this share of the sixteenth's distance is a copy."""
TREE_COLUMNS = 6
"""Numeric columns, those with the most values, by which neighbours are looked for."""
TEST_ROWS = 10_000
"""Test rows at most that are compared."""
ENOUGH = 5
"""Copies at least."""
CONTINUOUS = 50
"""Different values that one of the columns must have."""
EXCESS = 5.0
"""How many times the number expected by chance."""


@dataclass(frozen=True)
class Nearness:
    """Test rows and the training rows next to them."""

    test: int
    """Test rows that were compared; those equal to a training row are not."""
    near: int
    """Of these, copies; ``expected``: by chance."""
    expected: float
    share: float
    """Of all test rows, where the sample holds only some of the training rows."""
    dimensions: float
    spread: float
    """How much the copies' labels differ from their originals', as a share of how much all do."""
    farthest: float
    """The distance of nine in ten copies, at most: in interquartile ranges of the columns."""


@dataclass(frozen=True)
class Neighbours:
    """The training rows next to each of m test rows, among those found by `TREE_COLUMNS`."""

    distance: Array
    """(m, `NEIGHBOURS`), ascending."""
    first: Positions
    """(m,): the position of the nearest one."""


def find_neighbours(
    train: Array, test: Array, train_text: Positions, test_text: Positions
) -> Neighbours:
    """Find the nearest training rows of each test row.

    Args:
        train: (n, d) scaled numbers, those with the most values first; ``test``: (m, d).
        train_text: (n, t) codes; a different code is a distance of 1. ``test_text``: (m, t).
    """
    from scipy.spatial import cKDTree

    # midpoint splits: with medians a tree of many equal points degenerates
    tree = cKDTree(train[:, :TREE_COLUMNS], balanced_tree=False, compact_nodes=False)
    _, at = tree.query(test[:, :TREE_COLUMNS], k=NEIGHBOURS)
    squared = np.zeros(at.shape)
    for number in range(train.shape[1]):
        squared += (train[at, number] - test[:, [number]]) ** 2
    for number in range(train_text.shape[1]):
        squared += train_text[at, number] != test_text[:, [number]]
    order = np.argsort(squared, axis=1, kind="stable")
    distance = np.sqrt(np.take_along_axis(squared, order, axis=1))
    return Neighbours(distance, np.take_along_axis(at, order[:, :1], axis=1)[:, 0])


def estimate_dimensions(distance: Array) -> float:
    """Estimate the dimensions in which the rows have a density, from `Neighbours.distance`."""
    used = distance[:, -1] > 0
    ratio = distance[used, NEIGHBOURS // 2 - 1] / distance[used, -1]
    median = float(np.median(ratio)) if len(ratio) else 1.0
    return float(np.log(0.5) / np.log(np.clip(median, 1e-6, 1 - 1e-6)))


def check_near_rows(evidence: Evidence) -> CheckResult:
    """Check whether test rows are altered copies of training rows."""
    train, test, unlike = _sides(evidence)
    if len(train) <= NEIGHBOURS or len(test) < ENOUGH:
        return CheckResult("near_rows", "too few rows to compare")
    numbers, texts = _numbers(evidence, train, test), _texts(evidence, train, test)
    if numbers is None:
        return CheckResult("near_rows", "no column of numbers with many values")
    found = find_neighbours(*numbers, *texts)
    near = (found.distance[:, 0] <= CLOSE * found.distance[:, -1]) & (found.distance[:, -1] > 0)
    measured = _measure(found, near, (train, test), unlike, evidence)
    said = (
        f"{measured.near:,} of {measured.test:,} test rows are next to a training row, "
        f"{measured.expected:.1f} expected"
    )
    excess = measured.near - measured.expected
    enough = measured.near >= max(ENOUGH, EXCESS * measured.expected) and excess > 6 * np.sqrt(
        measured.expected + 1
    )
    if not enough or measured.share < SOME:
        return CheckResult("near_rows", said, (), asdict(measured))
    pairs = train[found.first[near]], test[near]
    return CheckResult("near_rows", said, [_finding(measured, pairs, evidence)], asdict(measured))


def _sides(evidence: Evidence) -> tuple[Positions, Positions, float]:
    """Positions in the sample: training rows, and test rows that are equal to none of them.

    Returns:
        Both, at most `TEST_ROWS` of the test rows, and the share of all test rows that are unequal.
    """
    hashes, sets = evidence.row_hashes
    train, test = np.flatnonzero(sets == TRAIN), np.flatnonzero(sets == TEST)
    unlike = test[~np.isin(hashes[test], hashes[train])]
    share = len(unlike) / max(len(test), 1)
    return train, unlike[:: max(-(-len(unlike) // TEST_ROWS), 1)], share


def _numbers(evidence: Evidence, train: Positions, test: Positions) -> tuple[Array, Array] | None:
    """The scaled numbers of both sides, columns with the most values first."""
    made: list[tuple[int, Array]] = []
    for name in evidence.input_columns:
        if evidence.source[name].kind == "text":
            continue
        values = cpu.to_floats(evidence.scan.sample[name])
        known = np.sort(values[train][np.isfinite(values[train])])
        if not len(known) or known[0] == known[-1]:
            continue
        quarter = len(known) // 4
        scale = float(known[-1 - quarter] - known[quarter]) or float(known.std())
        if not np.isfinite(scale) or scale == 0:
            continue
        limit = float(np.abs(known).max())
        filled = np.nan_to_num(
            values, nan=float(known[len(known) // 2]), posinf=limit, neginf=-limit
        )
        some = known[:: max(len(known) // 5000, 1)]
        made.append((len(np.unique(some)), filled / scale))
    made.sort(key=lambda pair: -pair[0])
    if not made or made[0][0] < CONTINUOUS:
        return None
    whole = np.stack([values for _, values in made], axis=1)
    return whole[train], whole[test]


def _texts(evidence: Evidence, train: Positions, test: Positions) -> tuple[Positions, Positions]:
    names = [n for n in evidence.input_columns if evidence.source[n].kind == "text"]
    codes = [cpu.to_codes(evidence.scan.sample[n])[0].astype("int64") for n in names]
    whole = np.stack(codes, axis=1) if codes else np.zeros((len(evidence.scan.sample), 0), "int64")
    return whole[train], whole[test]


def _measure(
    found: Neighbours, near: NDArray[np.bool_], sides: tuple[Positions, Positions], unlike: float,
    evidence: Evidence,
) -> Nearness:  # fmt: skip
    train, test = sides
    dimensions = estimate_dimensions(found.distance)
    chance = 1 - (1 - CLOSE**dimensions) ** (NEIGHBOURS - 1)
    label = cpu.to_floats(evidence.scan.sample[LABEL])
    if evidence.target.task == "regression":
        each = rank_labels(label)[:, None]
    else:
        labels = univariate.group_labels(label, label[:0], evidence.target)
        each = univariate.encode_indicators(labels.train, labels)
    whole = float(each.var(axis=0).sum()) or 1.0
    differs = ((each[train[found.first[near]]] - each[test[near]]) ** 2).sum(axis=1)
    sampled = len(evidence.scan.sample) / evidence.scan.rows
    share = float(near.mean()) * unlike / sampled
    return Nearness(
        len(test), int(near.sum()), round(chance * len(test), 2), round(min(share, 1.0), 4),
        round(dimensions, 2), round(float(differs.mean()) / 2 / whole, 4) if near.any() else 1.0,
        float(np.quantile(found.distance[near, 0], 0.9)) if near.any() else 0.0,
    )  # fmt: skip


def _finding(found: Nearness, pairs: tuple[Positions, Positions], evidence: Evidence) -> Finding:
    severity: Severity = "warn"
    if found.share >= MANY and found.spread < COPIES and evidence.split.by != "time":
        severity = "fail"
    what = (
        f"{found.share:.1%} of the test rows are copies of training rows with their numbers "
        f"changed a little (nine in ten by less than {found.farthest:.1e} interquartile ranges; "
        f"{found.expected:.1f} rows expected by chance, {found.near:,} found); their labels differ "
        f"{found.spread:.0%} as much as all labels"
    )
    return Finding("near_rows", severity, "", what, asdict(found), _together(pairs, evidence))


def _together(pairs: tuple[Positions, Positions], evidence: Evidence) -> str:
    """A split by a column that copies share with their originals; empty where there is none."""
    best, column = ENTITIES - 1, ""
    for name in evidence.input_columns if evidence.split.by != "time" else []:
        series = evidence.scan.sample[name]
        codes, _ = cpu.to_codes(series)
        values = len(np.unique(codes))
        if values > best and (codes >= 0).all() and (codes[pairs[0]] == codes[pairs[1]]).all():
            best, column = values, name
    return evidence.suggest_split("group", column) if column else ""
