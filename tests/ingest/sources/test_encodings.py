"""Encodings: detection, conversion by block, and the notes about them."""

from __future__ import annotations

import gzip
from pathlib import Path

import fake_cudf
import pandas as pd
import pytest

from pipeline.config.model import Csv, Source
from pipeline.device import cpu
from pipeline.errors import ConfigError, DataError
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.contract import Contract
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract
from pipeline.ingest.sources.encodings import check_encoding, detect_encoding, to_utf8

TEXT = "größe,ort\n" + "".join(f"{i},{('Köln', 'Málaga', 'Bern')[i % 3]}\n" for i in range(900))
CYRILLIC = "размер,город\n" + "".join(
    f"{i},{('Москва', 'Новосибирск', 'Екатеринбург')[i % 3]}\n" for i in range(900)
)
JAPANESE = "番号,都市\n" + "".join(f"{i},{('東京', '大阪', '名古屋')[i % 3]}\n" for i in range(900))


def read(contract: Contract, device=cpu, block_bytes: int = 3_000) -> pd.DataFrame:
    names = contract.schema.names
    frames = [
        device.to_host(read_block(block, contract, names, device)[0])
        for block in plan_blocks(contract, block_bytes)
    ]
    return pd.concat([f.assign(**{names[1]: f[names[1]].astype(str)}) for f in frames])


def expect(text: str) -> pd.DataFrame:
    header, *rows = text.splitlines()
    values = [row.split(",") for row in rows]
    first, second = header.split(",")
    return pd.DataFrame({first: [int(a) for a, _ in values], second: [b for _, b in values]})


@pytest.mark.parametrize(
    ("text", "stored", "found", "blocks"),
    [
        (TEXT, "utf-8", "utf-8", 4),
        (TEXT, "utf-8-sig", "utf-8", 4),
        (TEXT, "cp1252", "cp1252", 3),
        (TEXT, "latin-1", "cp1252", 3),
        (TEXT, "utf-16", "utf-16", 1),
        (TEXT, "utf-16-le", "utf-16-le", 1),
        (TEXT, "utf-16-be", "utf-16-be", 1),
        (TEXT, "utf-32", "utf-32", 1),
        (CYRILLIC, "cp1251", "cp1251", 4),
        (CYRILLIC, "koi8-r", "koi8-r", 3),
        (JAPANESE, "shift_jis", "shift_jis", 3),
        (JAPANESE, "gb18030", "gb18030", 3),
    ],
)
@pytest.mark.parametrize("device", [cpu, fake_cudf.device()], ids=["host", "device"])
def test_text_is_read_as_it_was_written(
    tmp_path: Path, device, *, text: str, stored: str, found: str, blocks: int
) -> None:
    (tmp_path / "a.csv").write_bytes(text.encode(stored))
    contract = infer_contract(Source(path=(str(tmp_path / "a.csv"),)))
    assert contract.files[0].encoding == found
    assert len(plan_blocks(contract, 3_000)) >= blocks
    pd.testing.assert_frame_equal(
        read(contract, device), expect(text), check_dtype=False, check_column_type=False
    )
    notes = [note.message for note in contract.notes if note.kind == "encoding"]
    assert notes == ([] if found == "utf-8" else [f"the text is read as {found}"])
    contract.write(tmp_path / "schema.json")
    assert Contract.read(tmp_path / "schema.json") == contract


def test_compressed_text_is_converted_too(tmp_path: Path) -> None:
    for encoding in ("cp1252", "utf-16"):
        (tmp_path / "a.csv.gz").write_bytes(gzip.compress(TEXT.encode(encoding)))
        contract = infer_contract(Source(path=(str(tmp_path / "a.csv.gz"),)))
        assert contract.files[0].encoding == encoding
        pd.testing.assert_frame_equal(
            read(contract), expect(TEXT), check_dtype=False, check_column_type=False
        )


def test_text_in_several_lines_is_converted(tmp_path: Path) -> None:
    text = 'ä,b\n1,"Köln\nam Rhein"\n2,Málaga\n'
    (tmp_path / "a.csv").write_bytes(text.encode("cp1252"))
    contract = infer_contract(Source(path=(str(tmp_path / "a.csv"),)))
    assert read(contract)["b"].tolist() == ["Köln\nam Rhein", "Málaga"]


def test_each_file_has_its_own_encoding(tmp_path: Path) -> None:
    for name, encoding in (("1", "utf-8"), ("2", "cp1252"), ("3", "utf-16")):
        (tmp_path / f"{name}.csv").write_bytes(TEXT.encode(encoding))
    contract = infer_contract(Source(path=(str(tmp_path),)))
    assert [f.encoding for f in contract.files] == ["utf-8", "cp1252", "utf-16"]
    frame = read(contract)
    assert len(frame) == 2700
    assert set(frame["ort"]) == {"Köln", "Málaga", "Bern"}
    assert [n.message for n in contract.notes] == [
        "the text is read as cp1252 in 1 of 3 files",
        "the text is read as utf-16 in 1 of 3 files",
    ]


def test_a_letter_at_the_end_of_a_large_file_is_found(tmp_path: Path) -> None:
    rows = "".join(f"{i},Bern\n" for i in range(200_000))
    (tmp_path / "a.csv").write_bytes(f"n,ort\n{rows}200000,Köln\n".encode("cp1252"))
    contract = infer_contract(Source(path=(str(tmp_path / "a.csv"),)))
    assert contract.files[0].encoding == "cp1252"


def test_damaged_utf8_stays_utf8_and_names_the_fix(tmp_path: Path) -> None:
    data = TEXT.encode().replace("Köln".encode(), b"K\xf6ln", 1)
    assert detect_encoding(data) == "utf-8"
    (tmp_path / "a.csv").write_bytes(data)
    contract = infer_contract(Source(path=(str(tmp_path / "a.csv"),)))
    with pytest.raises(DataError, match="not UTF-8 text") as caught:
        read(contract)
    assert "csv.encoding" in str(caught.value)


def test_config_names_the_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(TEXT.replace("Köln", "Łódź").encode("cp1250"))
    source = Source(path=(str(tmp_path / "a.csv"),), csv=Csv(encoding="windows-1250"))
    contract = infer_contract(source)
    assert contract.notes == ()
    assert "Łódź" in set(read(contract)["ort"].tolist()) or "Łódź" in set(read(contract).iloc[:, 1])


@pytest.mark.parametrize(
    "name", ["no such", "zip", "rot13", "cp037", "iso2022_jp", "utf-7", "idna"]
)
def test_other_codecs_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"csv\.encoding"):
        check_encoding(name)


def test_stored_codec_is_checked(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(TEXT.encode("cp1252"))
    infer_contract(Source(path=(str(tmp_path / "a.csv"),))).write(tmp_path / "schema.json")
    stored = (tmp_path / "schema.json").read_text().replace('"cp1252"', '"zip"')
    (tmp_path / "schema.json").write_text(stored)
    with pytest.raises(Exception, match="encoding"):
        Contract.read(tmp_path / "schema.json")


def test_bytes_without_a_meaning_stay_and_are_bad() -> None:
    assert to_utf8(b"a\x81b", "cp1252") == b"a\x81b"
    assert detect_encoding("caf\xe9 \x81".encode("latin-1")) == "iso8859-1"
