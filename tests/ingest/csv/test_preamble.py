"""Lines above the header, on both readers, in several files and in compressed ones."""

import gzip

import pytest

from pipeline.config.model import Csv, Data, Source
from pipeline.device import cpu
from pipeline.errors import DataError, SchemaError
from pipeline.ingest import reader_stats
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.contract import Contract
from pipeline.ingest.csv.preamble import LineRules, find_header, locate_header
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract, match_contract

HEADER, ROWS = "age,city,y\n", "".join(f"{i},{['Oslo', 'Bern'][i % 2]},0.5\n" for i in range(40))
TABLE = HEADER + ROWS


def source(path, *texts, **csv):
    """A source of files with these texts."""
    path.mkdir(exist_ok=True)
    for i, text in enumerate(texts):
        (path / f"{i}.csv").write_text(text)
    return Source(path=str(path), csv=Csv(**csv))


def read(contract, device, block_bytes=200):
    """The frame of all blocks on the CPU, and the number of blocks that the device read."""
    reader_stats.take_counts()
    frames = [
        read_block(b, contract, contract.schema.names, device)[0]
        for b in plan_blocks(contract, block_bytes)
    ]
    left = {reason: n for (_, reason), n in reader_stats.take_counts().items() if reason}
    assert not left, "all blocks are read by the device"
    return cpu.concat([device.to_host(frame) for frame in frames])


def test_lines_above_the_header_are_skipped(tmp_path, device):
    plain = read(infer_contract(source(tmp_path / "plain", TABLE)), device)
    for number, above in enumerate(
        [
            "# exported\n",
            "# exported by lab, 2024\n# units: years, euro\n\n",
            '# a "quote\n',
            "# a,b,c\n",
            "sep=,\n",
            '"sep=,"\n# made by hand\n',
            "Report\n\n",
            "Report, spring\nof,all,persons,measured\n",
            "\n\n# x\n\n",
            "".join(f"## line {i}\n" for i in range(500)),
        ]
    ):
        contract = infer_contract(source(tmp_path / str(number), above + TABLE))
        assert contract.dialect.names == ("age", "city", "y"), above
        frame = read(contract, device)
        assert frame.equals(plain), above
        assert list(frame.index) == list(plain.index)
        (note,) = contract.notes
        assert note.kind == "lines", above
        assert note.change == "data.csv.skip: 0", above
        assert f"{above.count(chr(10)):,} line" in note.message or "\n\n" in above, note


def test_a_plain_table_has_no_notes(tmp_path):
    assert not infer_contract(source(tmp_path, TABLE)).notes


@pytest.mark.parametrize(
    "text",
    [
        "#id,city\n1,Oslo\n2,Bern\n3,Bern\n",
        "## made\n#id,city\n1,Oslo\n2,Bern\n3,Bern\n",
        "#id,city\nx,Oslo\ny,Bern\nz,Bern\n",
        "#id,city\n#1,Oslo\n#2,Bern\n",
    ],
)
def test_a_header_may_begin_with_the_sign_of_comments(tmp_path, text):
    assert infer_contract(source(tmp_path, text)).dialect.names == ("#id", "city")


def test_the_separator_line_names_the_delimiter(tmp_path, device):
    text = "sep=;\r\nname;note\r\n" + "a;1,5\r\nb;2,5\r\n" * 5
    contract = infer_contract(source(tmp_path, text))
    assert contract.dialect.delimiter == ";"
    assert [(c.name, c.type) for c in contract.columns] == [("name", "text"), ("note", "float")]
    other = infer_contract(source(tmp_path, "sep=^\na^b\n1^2\n3^4\n5^6\n"))
    assert other.dialect.delimiter == "^"
    assert list(read(other, device)["b"]) == [2, 4, 6]


def test_each_file_has_lines_of_its_own(tmp_path, device):
    texts = ["# one\n" + TABLE, TABLE, "a\nb\nc\n" + HEADER.upper() + ROWS]
    contract = infer_contract(source(tmp_path, *texts))
    frame = read(contract, device)
    assert list(frame.columns) == ["age", "city", "y"]
    assert list(frame.index) == list(range(120))
    lines = [b.first_line for b in plan_blocks(contract)]
    assert lines == [3, 2, 5]
    assert (
        contract.notes[0].message
        == "up to 3 lines above the header of 3 files are skipped: '# one'"
        or "of 2 files" in contract.notes[0].message
    )


def test_compressed_files_and_quoted_newlines(tmp_path):
    text = '# x\nage,note\n1,"a\n# b"\n2,c\n' * 1 + '3,"d\ne"\n'
    for name, data in (("a.csv", text.encode()), ("a.csv.gz", gzip.compress(text.encode()))):
        (tmp_path / name).write_bytes(data)
        contract = infer_contract(Source(path=str(tmp_path / name)))
        assert contract.dialect.newlines_in_values
        frame = read(contract, cpu)
        assert list(frame["note"]) == ["a\n# b", "c", "d\ne"]
        assert list(frame.index) == [0, 2, 3]


def test_skip_gives_the_number_of_lines(tmp_path, device):
    text = "1,2,3\n4,5,6\n" + TABLE
    contract = infer_contract(source(tmp_path, text, skip=2))
    assert len(read(contract, device)) == 40
    assert not contract.notes
    with pytest.raises(SchemaError, match="no line has as many fields"):
        infer_contract(source(tmp_path, "Report\n" + TABLE, skip=0))
    rows = infer_contract(source(tmp_path, "Report\n" + ROWS, skip=1, header=False))
    assert list(read(rows, device)["f0"]) == list(range(40))


def test_comments_between_rows_need_the_config(tmp_path, device):
    text = TABLE + "# half, of, it\n#\n" + ROWS + "# end"
    with pytest.raises(DataError, match=r"line 42: 1 fields[\s\S]*csv.comment: \"#\""):
        contract = infer_contract(source(tmp_path, text.replace("# half, of, it", "# half")))
        read(contract, cpu)
    contract = infer_contract(source(tmp_path, text, comment="#"))
    frame = read(contract, device)
    assert list(frame["age"]) == [*range(40), *range(40)]
    assert list(frame.index) == [*range(40), *range(42, 82)], "comments leave gaps"
    other = infer_contract(source(tmp_path, text.replace("#", "%"), comment="%"))
    assert read(other, device).equals(frame)


def test_comments_within_quotes_are_values(tmp_path):
    text = 'n,s\n1,"a\n# b"\n# c "\n2,"d\ne"\n'
    contract = infer_contract(source(tmp_path, text, comment="#", newlines_in_values=True))
    assert list(read(contract, cpu)["s"]) == ["a\n# b", "d\ne"]


def test_messages_name_the_line_of_the_file(tmp_path):
    text = "# one\n# two\n" + HEADER + ROWS + "x,Oslo,0.5\n"
    with pytest.raises(DataError, match="line 44, column 'age'"):
        read(infer_contract(source(tmp_path, text)), cpu)


def test_rows_of_another_width_are_not_a_header(tmp_path):
    for text in (
        "a,b\n" + "1,2,3\n1,4,5\n" * 5,
        "a,b\n" + "x,y,z\n" * 9,
        "a,b,c,d\n" + "1,2,3\n" * 9,
    ):
        with pytest.raises(SchemaError, match="no line has as many fields"):
            infer_contract(source(tmp_path, text))


def test_the_dialect_is_stored(tmp_path):
    contract = infer_contract(source(tmp_path / "d", "%\n" + TABLE, comment="%"))
    contract.write(tmp_path / "schema.json")
    assert Contract.read(tmp_path / "schema.json").dialect == contract.dialect
    new = match_contract(
        contract, source(tmp_path / "new", "%\n% 2\n" + TABLE, comment="%"), ["age"]
    )
    assert len(read(new, cpu)) == 40


def test_headers_of_known_columns():
    rules = LineRules(",", '"')
    assert locate_header("x\ny,z\n A ,b,\n1,2,\n", rules, ("a", "B")).above == 2
    assert locate_header("x\ny,z\n", rules, ("a", "B")) is None
    assert find_header("", rules) is None


def test_a_target_in_a_column_below_a_preamble(tmp_path):
    (tmp_path / "a.csv").write_text("# x\n" + TABLE)
    assert infer_contract(Data(path=str(tmp_path / "a.csv"), target="y")).dialect.names[2] == "y"
