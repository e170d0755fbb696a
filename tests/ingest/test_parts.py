"""Many small files are few partitions, with the rows that each would have alone."""

from __future__ import annotations

import pandas as pd
import pytest

from pipeline.config.model import Data
from pipeline.device import cpu
from pipeline.ingest import partitions
from pipeline.ingest.blocks import Block, group_blocks, plan_blocks
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract

FILES = 30


def sizes(parts):
    return [[block.size for block in part.blocks] for part in parts]


def test_blocks_are_put_together_in_order_as_long_as_they_fit():
    blocks = [Block(i, 10 * i, 10, size=size) for i, size in enumerate([3, 4, 5, 20, 1, 9, 9])]
    parts = group_blocks(blocks, 10)
    assert sizes(parts) == [[3, 4], [5], [20], [1, 9], [9]]
    assert [block for part in parts for block in part.blocks] == blocks
    assert [(part.rows, part.size) for part in parts[:2]] == [(20, 7), (10, 5)]
    assert sizes(group_blocks(blocks, 1)) == [[block.size] for block in blocks]
    assert group_blocks([], 10) == []


@pytest.fixture(params=["csv", "parquet"])
def contract(tmp_path, request):
    """Of a folder of small files, of which every third has words of its own."""
    for i in range(FILES):
        words = [f"w{i}" if i % 3 == 0 else "w", "v", None]
        frame = pd.DataFrame({"n": [i, 100 + i, 7], "s": words, "x": [0.5, None, i / 4]})
        path = tmp_path / f"{i:02d}.{request.param}"
        if request.param == "csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path)
    return infer_contract(Data(path=(str(tmp_path),), target="n"))


def test_a_folder_of_small_files_is_one_partition(contract):
    (part,) = partitions.plan_partitions(contract, None, 2, 32 << 20)
    assert len(part.blocks) == FILES and part.rows == 3 * FILES
    names = ["s", "n", "x"]
    found, rejected = partitions._read_group(part, contract, names, "cpu", "error")
    alone = [read_block(b, contract, names, cpu)[0] for b in plan_blocks(contract)]
    assert rejected is None and found.index.tolist() == list(range(3 * FILES))
    expected = cpu.concat(alone)
    pd.testing.assert_frame_equal(found, expected)
    assert found["s"].astype("object").fillna("").tolist()[:4] == ["w0", "v", "", "w"]


def test_rows_end_within_a_part(contract):
    parts = partitions.plan_partitions(contract, 10, 2, 32 << 20)
    frames = [partitions._read_group(part, contract, ["n"], "cpu", "error")[0] for part in parts]
    assert sum(len(frame) for frame in frames) == 10 == sum(part.rows for part in parts)


def test_bad_rows_of_all_blocks_of_a_part_are_set_aside(tmp_path):
    for i in range(6):
        bad = f"x{i},y\n" if i % 2 else ""
        (tmp_path / f"{i}.csv").write_text(f"n,s\n{i},a\n{bad}{i},b\n")
    data = Data(path=(str(tmp_path),), target="n", types={"n": "integer"})
    (part,) = partitions.plan_partitions(infer_contract(data), None, 2, 32 << 20)
    found, rejected = partitions._read_group(
        part, infer_contract(data), ["n", "s"], "cpu", "quarantine"
    )
    assert found["n"].tolist() == [i for i in range(6) for _ in range(2)]
    assert [path[-5:] for path in rejected["file"]] == ["1.csv", "3.csv", "5.csv"]
    assert rejected.index.tolist() == [0, 1, 2]
