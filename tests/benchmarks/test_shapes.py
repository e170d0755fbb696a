import pandas as pd

from benchmarks.shapes import table, write


def test_a_table_is_the_same_in_any_number_of_files(tmp_path):
    frame = table(rows=50, columns=3, words=7, seed=1)
    assert frame["w"].nunique() <= 7
    for kind, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
        write(frame, tmp_path / kind, 7, kind)
        files = sorted((tmp_path / kind).iterdir())
        assert len(files) == 7
        pd.testing.assert_frame_equal(
            pd.concat(map(read, files), ignore_index=True), frame, check_dtype=False
        )
