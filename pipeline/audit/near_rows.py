"""Near copies: test rows that are training rows with their numbers changed a little.

No distance is small in itself. A copy is much nearer to its original than to the other rows around
it, so the distance to the nearest training row is compared with the distance to the sixteenth.

For rows drawn independently, with a density in d dimensions, the ratio is below q with probability
``1 - (1 - q^d)^15``. The dimension d follows from the ratio of the eighth distance to the
sixteenth, which a few copies of a row do not change: the ratio of the volumes is Beta(8, 8)
distributed, with a median of 1/2.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.audit.evidence import CheckResult, Evidence
from pipeline.audit.finding import Finding, Severity
from pipeline.audit.likeness import rank_labels
from pipeline.audit.overlap import COPIES, ENTITIES, MANY, SOME
from pipeline.device import cpu
from pipeline.evaluate import univariate
from pipeline.schema import LABEL, TEST, TRAIN

Array = NDArray[np.float64]
Positions = NDArray[np.int64]
NEIGHBOURS = 16
CLOSE = 0.01
"""A nearest training row at less than this share of the sixteenth's distance is a copy."""
TREE_COLUMNS = 6
"""Number of numeric columns, those with the most values, used to search for neighbours."""
TEST_ROWS = 10_000
"""Maximum number of test rows that are compared."""
ENOUGH = 5
"""Minimum number of copies."""
CONTINUOUS = 50
"""Minimum number of different values that one of the columns must have."""
EXCESS = 5.0
"""Minimum ratio of copies to those expected by chance."""


@dataclass(frozen=True)
class Nearness:
    """Measurements of test rows and the training rows next to them."""

    test: int
    """Test rows that were compared; those equal to a training row are left out."""
    near: int
    """Test rows that are near copies."""
    expected: float
    """Near copies expected by chance."""
    share: float
    """Near copies as a share of all test rows, corrected for the sample's share of all rows."""
    dimensions: float
    spread: float
    """Difference between labels of copies and originals, as a share of that of all labels."""
    farthest: float
    """The 0.9 quantile of the copies' distances, in interquartile ranges of the columns."""


@dataclass(frozen=True)
class Neighbours:
    """The training rows next to each of m test rows, among candidates from `TREE_COLUMNS`."""

    distance: Array
    """(m, `NEIGHBOURS`), ascending."""
    first: Positions
    """(m,): the position of the nearest row."""


def check_near_rows(evidence: Evidence) -> CheckResult:
    """Check whether test rows are altered copies of training rows."""
    hashes, sets = evidence.row_hashes
    train, test = np.flatnonzero(sets == TRAIN), np.flatnonzero(sets == TEST)
    # Test rows that equal a training row are left out: `check_rows` reports them.
    distinct = test[~np.isin(hashes[test], hashes[train])]
    distinct_share = len(distinct) / max(len(test), 1)
    test = distinct[:: max(-(-len(distinct) // TEST_ROWS), 1)]
    if len(train) <= NEIGHBOURS or len(test) < ENOUGH:
        return CheckResult("near_rows", "too few rows to compare")
    numbers = _scale_numbers(evidence, train)
    if numbers is None:
        return CheckResult("near_rows", "no numeric column with many values")
    names = [n for n in evidence.input_columns if evidence.source[n].kind == "text"]
    codes = [cpu.to_codes(evidence.scan.sample[n])[0].astype("int64") for n in names]
    texts = np.stack(codes, axis=1) if codes else np.zeros((len(numbers), 0), "int64")
    neighbours = find_neighbours(numbers[train], numbers[test], texts[train], texts[test])
    nearest, farthest = neighbours.distance[:, 0], neighbours.distance[:, -1]
    is_near = (nearest <= CLOSE * farthest) & (farthest > 0)
    nearness = _measure_nearness(neighbours, is_near, (train, test), distinct_share, evidence)
    summary = (
        f"{nearness.near:,} of {nearness.test:,} test rows are next to a training row, "
        f"{nearness.expected:.1f} expected"
    )
    # Counts of chance are Poisson distributed: six standard errors exclude an accident.
    excess = nearness.near - nearness.expected
    is_significant = excess > 6 * np.sqrt(nearness.expected + 1)
    is_frequent = nearness.near >= max(ENOUGH, EXCESS * nearness.expected)
    if not (is_significant and is_frequent) or nearness.share < SOME:
        return CheckResult("near_rows", summary, (), asdict(nearness))
    pairs = train[neighbours.first[is_near]], test[is_near]
    finding = _report_copies(nearness, pairs, evidence)
    return CheckResult("near_rows", summary, [finding], asdict(nearness))


def find_neighbours(
    train: Array, test: Array, train_text: Positions, test_text: Positions
) -> Neighbours:
    """Find the nearest training rows of each test row.

    Args:
        train: (n, d) scaled numbers, columns with the most values first.
        test: (m, d), as ``train``.
        train_text: (n, t) codes; a different code is a distance of 1.
        test_text: (m, t), as ``train_text``.
    """
    from scipy.spatial import cKDTree

    # Midpoint splits: with medians, a tree of many equal points degenerates.
    tree = cKDTree(train[:, :TREE_COLUMNS], balanced_tree=False, compact_nodes=False)
    # A tree of more columns would visit nearly all rows; the candidates are reordered by all.
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


def _scale_numbers(evidence: Evidence, train: Positions) -> Array | None:
    """Return (rows, d): numbers in units of their interquartile range in the training rows.

    Columns with the most values come first. None: no column has enough values.
    """
    scaled: list[tuple[int, Array]] = []
    for name in evidence.input_columns:
        if evidence.source[name].kind == "text":
            continue
        values = cpu.to_floats(evidence.scan.sample[name])
        finite = np.sort(values[train][np.isfinite(values[train])])
        if not len(finite) or finite[0] == finite[-1]:
            continue
        quarter = len(finite) // 4
        # More than half of the values may be equal, so that the interquartile range is 0.
        scale = float(finite[-1 - quarter] - finite[quarter]) or float(finite.std())
        if not np.isfinite(scale) or scale == 0:
            continue
        limit, median = float(np.abs(finite).max()), float(finite[len(finite) // 2])
        filled = np.nan_to_num(values, nan=median, posinf=limit, neginf=-limit)
        some = finite[:: max(len(finite) // 5000, 1)]
        scaled.append((len(np.unique(some)), filled / scale))
    scaled.sort(key=lambda pair: -pair[0])
    if not scaled or scaled[0][0] < CONTINUOUS:
        return None
    return np.stack([values for _, values in scaled], axis=1)


def _measure_nearness(
    neighbours: Neighbours,
    is_near: NDArray[np.bool_],
    rows: tuple[Positions, Positions],
    distinct_share: float,
    evidence: Evidence,
) -> Nearness:
    train, test = rows
    dimensions = estimate_dimensions(neighbours.distance)
    chance = 1 - (1 - CLOSE**dimensions) ** (NEIGHBOURS - 1)
    label = cpu.to_floats(evidence.scan.sample[LABEL])
    if evidence.target.task == "regression":
        targets = rank_labels(label)[:, None]
    else:
        labels = univariate.group_labels(label, label[:0], evidence.target)
        targets = univariate.encode_indicators(labels.train, labels)
    total = float(targets.var(axis=0).sum()) or 1.0
    copies = test[is_near]
    differs = ((targets[train[neighbours.first[is_near]]] - targets[copies]) ** 2).sum(axis=1)
    # A copy is seen only if its original is in the sample too.
    sampled = len(evidence.scan.sample) / evidence.scan.rows
    share = float(is_near.mean()) * distinct_share / sampled
    spread, farthest = 1.0, 0.0
    if len(copies):
        spread = round(float(differs.mean()) / 2 / total, 4)
        farthest = float(np.quantile(neighbours.distance[is_near, 0], 0.9))
    return Nearness(
        len(test),
        len(copies),
        round(chance * len(test), 2),
        round(min(share, 1.0), 4),
        round(dimensions, 2),
        spread,
        farthest,
    )


def _report_copies(
    nearness: Nearness, pairs: tuple[Positions, Positions], evidence: Evidence
) -> Finding:
    severity: Severity = "warn"
    if nearness.share >= MANY and nearness.spread < COPIES and evidence.split.by != "time":
        severity = "fail"
    what = (
        f"{nearness.share:.1%} of the test rows are copies of training rows with slightly changed "
        f"numbers (nine in ten by less than {nearness.farthest:.1e} interquartile ranges; "
        f"{nearness.near:,} rows found, {nearness.expected:.1f} expected by chance); their labels "
        f"differ {nearness.spread:.0%} as much as all labels"
    )
    # Suggest a split by the column with the most values that all copies share with originals.
    most, column = ENTITIES - 1, ""
    for name in evidence.input_columns if evidence.split.by != "time" else []:
        codes, _ = cpu.to_codes(evidence.scan.sample[name])
        values = len(np.unique(codes))
        if values > most and (codes >= 0).all() and (codes[pairs[0]] == codes[pairs[1]]).all():
            most, column = values, name
    config = evidence.suggest_split("group", column) if column else ""
    return Finding("near_rows", severity, "", what, asdict(nearness), config)
