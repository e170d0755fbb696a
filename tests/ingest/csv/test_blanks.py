"""Blanks after delimiters, on both readers."""

import random

import fake_cudf
import pytest

from pipeline.config.model import Csv, Source
from pipeline.device import cpu
from pipeline.ingest import reader_stats
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.csv.blanks import erase_comments, has_leading_blanks, strip_blanks
from pipeline.ingest.csv.text import make_reader
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract


def read(path, text, device, **csv):
    path.write_text(text)
    contract = infer_contract(Source(path=str(path), csv=Csv(**csv)))
    frames = [
        read_block(b, contract, contract.schema.names, device)[0] for b in plan_blocks(contract, 60)
    ]
    return cpu.concat([device.to_host(frame) for frame in frames])


@pytest.mark.parametrize("device", ["cpu", "stand-in"])
def test_blanks_after_delimiters_are_not_part_of_values(tmp_path, device):
    device = cpu if device == "cpu" else fake_cudf.device()
    text = "n, s, note, d\n" + '1, a b ,  "x, y", 2020-01-31\n 2,c,"  z",2020-02-01\n3, , , \n' * 20
    reader_stats.take_counts()
    frame = read(tmp_path / "a.csv", text, device)
    assert list(frame.columns) == ["n", "s", "note", "d"]
    assert list(frame["s"])[:2] == ["a b ", "c"]
    assert list(frame["note"])[:2] == ["x, y", "  z"]
    assert frame["s"].isna().sum() == frame["d"].isna().sum() == 20
    assert frame["n"].sum() == 120
    assert not any(reason for _, reason in reader_stats.take_counts()), "no block was left"


def test_blank_lines_and_newlines_in_values(tmp_path):
    text = 'n, s\n1, "a\n b"\n  \n2, c\n'
    frame = read(tmp_path / "a.csv", text, cpu)
    assert list(frame["s"]) == ["a\n b", "c"]
    plain = read(tmp_path / "b.csv", "n, s\n1, a\n  \n2, c\n", cpu)
    assert list(plain.index) == [0, 2]


def test_values_of_plain_files_keep_their_blanks(tmp_path):
    frame = read(tmp_path / "a.csv", "n,s\n" + "1, a\n2,b\n" * 9, cpu)
    assert list(frame["s"])[:2] == [" a", "b"]
    assert not has_leading_blanks('a,b\n1,"x, y"\n', ",", '"')
    assert not has_leading_blanks("a b\n1 2\n", " ", '"')


def test_the_bytes_are_those_that_pythons_reader_reads():
    chance = random.Random(0)
    plain = 0
    for _ in range(4_000):
        line = "".join(chance.choices(['"', " ", ",", "a", '""', ', "'], k=chance.randint(1, 12)))
        stripped = strip_blanks(line.encode() + b"\n", ",", '"')
        if stripped is None:
            continue
        plain += 1
        expected = list(make_reader([line + "\n"], ",", '"', strip=True))
        found = list(make_reader([stripped.decode()], ",", '"'))
        assert found == expected or not line.strip(), line
    assert plain > 1_000


def test_comments_are_erased():
    data = b'# a\n1,"x\n# b"\n#\n2,y\n# c'
    assert erase_comments(data, "#", None) == b'\n1,"x\n\n\n2,y\n'
    assert erase_comments(data, "#", '"') == b'\n1,"x\n# b"\n\n2,y\n'
    assert erase_comments(data, None, None) is data
