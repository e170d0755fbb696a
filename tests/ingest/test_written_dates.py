"""Dates that Parquet stores as text or numbers, and those in names of folders."""

import fake_cudf
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.model import Source
from pipeline.device import cpu
from pipeline.errors import DataError, SchemaError
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract, match_contract

STAMPS = pd.Series(pd.date_range("2020-01-01", periods=30, freq="35h"))
SECONDS = (STAMPS.to_numpy() - np.datetime64(0, "s")) // np.timedelta64(1, "s")
WORDS = STAMPS.dt.strftime("%d-%m-%Y %H:%M")


def source(path, values, **types):
    frame = pd.DataFrame({"when": values, "y": 1})
    (frame.to_csv if path.suffix == ".csv" else frame.to_parquet)(path, index=False)
    return Source(path=str(path), types=types)


def read(contract):
    frames = []
    for device in (cpu, fake_cudf.device()):
        blocks = plan_blocks(contract)
        frames.append(pd.concat([read_block(b, contract, ["when"], device)[0] for b in blocks]))
    pd.testing.assert_frame_equal(*frames)
    return frames[0]["when"]


@pytest.mark.parametrize(
    ("values", "pattern"),
    [
        (WORDS, "%d-%m-%Y %H:%M"), (SECONDS, "epoch s"), (SECONDS * 1000, "epoch ms"),
        (SECONDS.astype("float64"), "epoch s"), (STAMPS, "%d-%m-%Y %H:%M"), (STAMPS, "epoch s"),
        (WORDS.astype("category"), "%d-%m-%Y %H:%M"),
    ],
)  # fmt: skip
def test_parquet_is_read_by_the_format_of_the_config(tmp_path, values, pattern):
    found = read(infer_contract(source(tmp_path / "d.parquet", values, when=pattern)))
    assert (found.to_numpy() == STAMPS.to_numpy()).all()


def test_missing_values_stay_missing(tmp_path):
    gone = pd.Series(SECONDS).astype("float64").mask(WORDS.index == 3)
    for values, pattern in ((WORDS.mask(WORDS.index == 3), "%d-%m-%Y %H:%M"), (gone, "epoch s")):
        data = source(tmp_path / "d.parquet", values, when=pattern)
        assert np.flatnonzero(read(infer_contract(data)).isna()).tolist() == [3]
    table = pa.table({"when": pa.array(gone.to_numpy(), from_pandas=False)})  # NaN, not null
    pq.write_table(table, tmp_path / "d.parquet")
    data = Source(path=str(tmp_path / "d.parquet"), types={"when": "epoch s"})
    assert np.flatnonzero(read(infer_contract(data)).isna()).tolist() == [3]


def test_values_that_do_not_fit_are_shown(tmp_path):
    data = source(tmp_path / "d.parquet", WORDS, when="%m-%d-%Y %H:%M")
    with pytest.raises(DataError, match=r"'when': '14-01-2020 03:00' is not a timestamp \(%m-%d"):
        read(infer_contract(data))
    with pytest.raises(SchemaError, match="'when' is integer, it must be %d-%m-%Y"):
        infer_contract(source(tmp_path / "d.parquet", SECONDS, when="%d-%m-%Y"))
    with pytest.raises(SchemaError, match="'when' is text, it must be epoch s"):
        infer_contract(source(tmp_path / "d.parquet", WORDS, when="epoch s"))


@pytest.mark.parametrize("trained", ["%d-%m-%Y %H:%M", "epoch s", "iso"])
def test_new_parquet_has_times_or_what_the_run_was_written_in(tmp_path, trained):
    written = {"%d-%m-%Y %H:%M": WORDS, "epoch s": SECONDS, "iso": STAMPS}
    run = infer_contract(source(tmp_path / "a.csv", written[trained], when="datetime"))
    for name, values in written.items():
        new = source(tmp_path / "new.parquet", values)
        if name == "epoch s" != trained:
            with pytest.raises((DataError, SchemaError), match=r"timestamp|must be datetime"):
                read(match_contract(run, new, ["when"]))
            continue
        found = read(match_contract(run, new, ["when"]))
        assert (found.to_numpy() == STAMPS.to_numpy()).all()


def test_folders_have_dates_in_the_format_of_the_config(tmp_path):
    for day in ("28-01-2023", "01-02-2023"):
        folder = tmp_path / f"when={day}"
        folder.mkdir()
        (folder / "a.csv").write_text("y\n1\n")
    run = infer_contract(Source(path=str(tmp_path), types={"when": "%d-%m-%Y"}))
    days = [pd.Timestamp("2023-02-01"), pd.Timestamp("2023-01-28")]
    assert read(run).to_list() == days
    assert read(match_contract(run, Source(path=str(tmp_path)), ["when"])).to_list() == days
    with pytest.raises(SchemaError, match=r"when=28-01-2023 is not a date \(%m-%d-%Y\)"):
        infer_contract(Source(path=str(tmp_path), types={"when": "%m-%d-%Y"}))
