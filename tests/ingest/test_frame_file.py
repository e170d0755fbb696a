"""Frames as files: content as name, bounded memory, nothing left of a failure."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.artifacts.files import hash_file
from pipeline.errors import DataError
from pipeline.ingest import frame_file
from pipeline.ingest.frame_file import store_frame

FRAME = pd.DataFrame({"x": range(1000), "s": [f"t{i % 7}" for i in range(1000)]})


def test_the_name_is_the_content_however_it_is_divided(tmp_path, monkeypatch):
    monkeypatch.setattr(frame_file, "MIN_GROUP_ROWS", 1)
    monkeypatch.setattr(frame_file, "GROUP_BYTES", 72 * 300)
    first = store_frame(FRAME, tmp_path)
    assert first.is_new and first.rows == 1000
    assert first.path.name == f"{hash_file(first.path)}.parquet"
    meta = pq.read_metadata(first.path)
    assert [meta.row_group(i).num_rows for i in range(meta.num_row_groups)] == [300, 300, 300, 100]
    before = first.path.stat()
    table = pa.Table.from_pandas(FRAME)
    parts = pa.concat_tables([table.slice(0, 17), table.slice(17, 600), table.slice(617)])
    shuffled_index = FRAME.set_axis(range(1000, 0, -1))
    for same in (FRAME, parts, shuffled_index, pl.from_pandas(FRAME)):
        again = store_frame(same, tmp_path)
        assert not again.is_new and again.path == first.path
    assert again.path.stat().st_mtime_ns == before.st_mtime_ns
    assert pq.read_table(first.path).to_pandas()["x"].tolist() == list(range(1000))


def test_another_value_is_another_file_and_the_old_one_can_be_removed(tmp_path):
    first = store_frame(FRAME, tmp_path)
    second = store_frame(FRAME.assign(x=FRAME["x"] + (FRAME["x"] == 999)), tmp_path)
    assert second.is_new and second.path != first.path and first.path.exists()
    second.remove_others()
    assert [p.name for p in second.path.parent.iterdir()] == [second.path.name]


def test_an_altered_file_is_written_again(tmp_path):
    path = store_frame(FRAME, tmp_path).path
    path.write_bytes(b"PAR1")
    again = store_frame(FRAME, tmp_path)
    assert again.is_new and hash_file(path) == path.stem


def test_nothing_is_left_of_a_frame_without_rows_or_of_a_stream_that_fails(tmp_path):
    def batches():
        yield pa.record_batch({"x": [1]})
        raise ValueError("lost")

    failing = pa.RecordBatchReader.from_batches(pa.schema([("x", pa.int64())]), batches())
    for frame, message in ((FRAME.head(0), "no rows"), (failing, "lost")):
        with pytest.raises(DataError, match=message):
            store_frame(frame, tmp_path)
        assert not list(tmp_path.iterdir())
    store_frame(FRAME, tmp_path).discard()
    assert not list(tmp_path.iterdir())


def test_memory_does_not_grow_with_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(frame_file, "GROUP_BYTES", 1 << 20)
    batch = pa.record_batch({"x": pa.array(range(50_000), pa.float64())})
    peaks = []

    def batches():
        for i in range(100):  # 40 MB in all
            peaks.append(pa.total_allocated_bytes())
            yield pa.record_batch({"x": pa.array([i + 0.5] * 50_000)})

    before = pa.total_allocated_bytes()
    stored = store_frame(pa.RecordBatchReader.from_batches(batch.schema, batches()), tmp_path)
    assert stored.rows == 5_000_000
    assert max(peaks) - before < 8 << 20  # a group of 1 MB, its copy, a batch, Parquet's buffers
