"""What the memory plan's estimates are made of: the job, its parts, and a sample of the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.errors import ConfigError
from pipeline.execution.job import Job, needs_refit
from pipeline.features.ops.categorify import Categorify
from pipeline.features.ops.hash import Hash
from pipeline.ingest.blocks import BlockGroup
from pipeline.ingest.sample import DataSample, sample_rows
from pipeline.memory.booster_bytes import TreeGrowth, histogram_bytes, tree_bytes
from pipeline.memory.estimate import WIDTH, Sizes, summary_bytes, text_bytes
from pipeline.train.forest.train import MATRIX_ROWS, estimate_nodes
from pipeline.train.model import sort_for_training
from pipeline.train.params import ForestParams, XGBoostParams


def collect_sizes(
    job: Job, parts: Sequence[BlockGroup], threads: int, device: int | None = None
) -> Sizes:
    """What the estimates are made of; reads a sample.

    Args:
        threads: partitions that are worked on at a time.
        device: what the GPUs may hold together.
    """
    rows = sum(part.rows for part in parts)
    blocks = [block for part in parts for block in part.blocks]
    found = sample_rows(job.contract, blocks, job.reads, target=job.target, data=job.config.data)
    split, most = job.config.split, max((part.rows for part in parts), default=0)

    def row(names: Sequence[str], packed: Mapping[str, float]) -> float:
        texts = [found.text_columns[n] for n in names if n in found.text_columns]
        others = [c for c in job.source.select(names) if c.name not in found.text_columns]
        codes = [text_bytes(w.estimate_distinct(most), w.mean_bytes, most) for w in texts]
        return sum(packed.get(c.name, WIDTH[c.dtype]) for c in others) + sum(codes)

    texts = [found.text_columns[n] for n in job.features if n in found.text_columns]
    csv = job.contract.format == "csv"
    again = needs_refit(job.config, rows)
    learnt = int(most * (1 - split.valid - split.test))
    histograms, trees = _boosting(job, rows, found)
    return Sizes(
        rows=rows, train=1 - split.valid - split.test, valid=split.valid,
        read_row=row(job.reads, {}), packed_row=row(job.reads, found.packed_bytes),
        feature_row=row(job.kept, found.packed_bytes),
        staged_row=found.staged_row_bytes,
        block_rows=most, threads=min(threads, len(parts)), features=job.width,
        block_bytes=max((part.size for part in parts), default=0) if csv else 0,
        present=_present(job, found.missing),
        distinct_texts=sum(
            summary_bytes(w.estimate_distinct, w.mean_bytes, learnt, len(parts)) for w in texts
        ),
        scores=found.predictions_per_row,
        forest_rows=_forest_rows(job, rows), forest_nodes=_forest_nodes(job, rows),
        models=sort_for_training(job.models), refit=again,
        keep_frames=again or bool(job.config.evaluate.slices), device=job.choice.name,
        device_memory=device or 0, histograms=histograms, boosted_trees=trees,
    )  # fmt: skip


def _forest_rows(job: Job, rows: int) -> int:
    forest = job.models.get("forest")
    return MATRIX_ROWS if getattr(forest, "max_samples", "auto") == "auto" else rows


def _forest_nodes(job: Job, rows: int) -> int:
    forest = job.models.get("forest")
    return estimate_nodes(forest, rows) if isinstance(forest, ForestParams) else 0


def _boosting(job: Job, rows: int, found: DataSample) -> tuple[int, int]:
    """Bytes of XGBoost's histograms and trees.

    A column of codes has as many bins as values, whatever ``max_bin`` is. Where early stopping may
    end the training, the trees are those that it surely grows.
    """
    xgboost, split = job.models.get("xgboost"), job.config.split
    if not isinstance(xgboost, XGBoostParams):
        return 0, 0
    own = xgboost.resolve_auto(rows)
    assert own.max_depth != "auto"
    codes = _categories(job, int(rows * (1 - split.valid - split.test)), found)
    bins = sum(codes) + max(job.width - len(codes), 0) * min(own.max_bin, rows)
    growth = TreeGrowth(own.max_depth, own.max_leaves)
    stops = own.early_stopping if split.valid else 0
    rounds = min(own.rounds, stops or own.rounds)
    trees = rounds * own.num_parallel_tree * found.predictions_per_row
    return histogram_bytes(int(bins), growth, rows), tree_bytes(trees, growth, rows)


def _categories(job: Job, rows: int, found: DataSample) -> list[float]:
    """The codes of each column that `hash` makes, or `categorify` of a text of the data; about."""
    made: list[float] = []
    for op in job.ops or ():
        if not isinstance(op, Categorify | Hash):
            continue
        try:
            names = op.reads(job.source)
        except ConfigError:
            continue  # columns of earlier ops: nobody knows their values yet
        if isinstance(op, Hash):
            made += [float(op.size)] * len(names)
            continue
        most = min(rows / op.min_count, op.max_size or rows)
        made += [
            min(found.text_columns[n].estimate_distinct(rows), most)
            for n in names
            if n in found.text_columns
        ]
    return made


def _present(job: Job, missing: Mapping[str, float]) -> float:
    """The share of the matrix that is likely not to be missing."""
    names = {op.name for op in job.ops or ()}
    if "fill" in names or not job.features:
        return 1.0
    share = sum(missing.get(n, 0.0) for n in job.features) / len(job.features)
    return 1.0 - max(share, 0.01 if names & {"join", "lag"} else 0.0)
