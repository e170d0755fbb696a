"""The catalogue's CSV: files that are none, rows that do not fit, values that cannot be."""

from __future__ import annotations

import gzip
import os

from bad_case import GOOD, Case, bad_config, bad_data

HEAD = "a,b,y\n"
ROWS = [f"{i},{'xyz'[i % 3]},{i % 2}" for i in range(60)]


DAYS = [f"2024-01-{i % 28 + 1:02},{'xyz'[i % 3]},{i % 2}" for i in range(60)]


def csv(*late: str, head: str = HEAD, end: str = "\n", rows: list[str] = ROWS) -> str:
    """60 good rows, then these."""
    return head + "\n".join([*rows, *late]) + end


def long_csv(late: str) -> str:
    """A row in no part of the file that types are inferred from (1 MiB, and two pieces later)."""
    good = [f"{i},{'xyz'[i % 3]},{'pad' * 170},{i % 2}" for i in range(3_000)]
    return "a,b,c,y\n" + "\n".join([*good[:2_200], late, *good[2_200:]]) + "\n"


def damaged(data: bytes, at: int) -> bytes:
    """A byte changed."""
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


ZIPPED = gzip.compress(GOOD.encode() * 50, mtime=0)
XLSX = b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0[Content_Types].xml"
XLS = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
HTML = "<!DOCTYPE html>\n<html><body>Please sign in, y</body></html>\n"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 132\n"

FILES: dict[str, Case] = {
    "no such file": bad_config(r"'dd\.csv'", r"did you mean 'd\.csv'", data__path="dd.csv"),
    "no such folder": bad_config("'none/x.csv'", "relative to", data__path="none/x.csv"),
    "no match of a glob": bad_config(r"no file matches '\*\.parquet'", "was searched", data__path="*.parquet"),
    "empty folder": Case(("folder 'f'", "no data file|empty"), files={"f/.keep": ""}, config={"data__path": "f"}),
    "folder of other files": Case(("folder 'f'", "notes.md", "format: "), files={"f/notes.md": "x"}, config={"data__path": "f"}),
    "folder of hidden files": Case(("folder 'f'", "_SUCCESS"), files={"f/_SUCCESS": "", "f/.d.csv": GOOD}, config={"data__path": "f"}),
    "a file twice": bad_config(r"d\.csv is named twice", "count double", data__path=["d.csv", "d.csv"]),
    "a pipe": Case((r"p\.csv is not a regular file", "file first"), files={"p.csv": os.mkfifo}, config={"data__path": "p.csv"}),
    "a link to nothing": Case((r"'l\.csv' is a link to 'gone\.csv'", "repair"), files={"l.csv": lambda p: p.symlink_to("gone.csv")}, config={"data__path": "l.csv"}),
    "a link to itself": Case((r"'l\.csv' cannot be read", "link"), files={"l.csv": lambda p: p.symlink_to("l.csv")}, config={"data__path": "l.csv"}),
    "a name with NUL": bad_config("cannot be read", "null", data__path="a\0b.csv"),
    "a name beyond any limit": bad_config("cannot be read", "too long", data__path="x" * 5000 + ".csv"),
    "unknown protocol": bad_config("foo", "s3://", data__path="foo://x/d.csv"),
    "library of the protocol absent": bad_config(r"pipeline\[gcs\]", data__path="gs://b/d.csv", status=3),
    "unusual ending": bad_data(GOOD, r"d\.data", "format: csv", name="d.data"),
    "CSV and Parquet mixed": Case(("files of several formats are mixed", r"2\.parquet"), files={"f/1.csv": GOOD, "f/2.parquet": "PAR1"}, config={"data__path": "f"}),
}  # fmt: skip

TEXTS: dict[str, Case] = {
    "empty": bad_data("", r"d\.csv is empty"),
    "blank lines only": bad_data("\n\n\n", r"d\.csv is empty"),
    "byte-order mark only": bad_data(b"\xef\xbb\xbf", r"d\.csv is empty"),
    "header only": bad_data(HEAD, r"d\.csv has a header but no rows"),
    "header and blank lines": bad_data(HEAD + "\n\r\n\n", r"d\.csv", "no rows"),
    "UTF-8 and Latin-1": bad_data(csv("60,caf\xe9,0").encode("latin-1") + "61,éé,1\n".encode(), "line 62", "'b'", "not UTF-8", r"xe9", r"data\.csv\.encoding"),
    "UTF-8 and Latin-1 in the header": bad_data(GOOD.replace("b,", "caf\xe9,", 1).encode("latin-1") + "61,éé,1\n".encode(), r"d\.csv", "header", "UTF-8"),
    "half a file of UTF-16": bad_data(GOOD.encode() + GOOD.encode("utf-16-le")[:40], r"d\.csv", "NUL bytes", "UTF-8"),
    "an Excel file, renamed": bad_data(XLSX, r"d\.csv is not a CSV", "Excel"),
    "an old Excel file, renamed": bad_data(XLS, r"d\.csv is not a CSV", "Excel"),
    "a Parquet file, renamed": bad_data(b"PAR1\x15\x04\x15", r"d\.csv is not a CSV", "Parquet"),
    "gzip without .gz": bad_data(ZIPPED, r"d\.csv is not a CSV", r"name it \.gz"),
    "text with .gz": bad_data(GOOD, r"d\.csv\.gz is damaged, or not gzip", "ending", name="d.csv.gz"),
    "gzip cut off": bad_data(ZIPPED[:-30], r"d\.csv\.gz", "damaged|cut off", name="d.csv.gz"),
    "gzip with a wrong byte": bad_data(damaged(ZIPPED, len(ZIPPED) - 6), r"d\.csv\.gz is damaged", name="d.csv.gz"),
    "a page to sign in": bad_data(HTML, r"d\.csv", "HTML"),
    "a pointer of Git LFS": bad_data(POINTER, r"d\.csv", "git lfs pull"),
    "carriage returns alone": bad_data(GOOD.replace("\n", "\r"), r"d\.csv", "carriage return", "tr "),
    "a lone carriage return": bad_data(csv("60,x\rz,0"), "line 62", "carriage return"),
    "NUL at its beginning": bad_data(csv("60,x\0z,0"), r"d\.csv is not a CSV", "NUL"),
    "NUL in a number": bad_data(long_csv("6\x000,x,p,0"), "line 2202", "'a'", "x00"),
    "two columns of one name": bad_data(GOOD.replace("b", "a", 1), r"d\.csv", "columns 1 and 2", "'a'"),
    "names that differ by blanks": bad_data(GOOD.replace("b", " a ", 1), r"d\.csv", "columns 1 and 2", "'a'"),
    "a name of our own": bad_data(GOOD.replace("a", "__label__", 1), "__label__", "rename"),
    "a row too short": bad_data(csv("60,x"), "line 62", "2 fields instead of 3"),
    "a row too long": bad_data(csv("60,x,0,9"), "line 62", "4 fields instead of 3"),
    "decimal comma without quotes": bad_data(csv("1,5,x,0"), "line 62", "4 fields instead of 3"),
    "seven rows too short": bad_data(csv(*["60,x"] * 7), "line 62", "line 63", "1 more|more"),
    "a quote that is not closed": bad_data(csv('60,"x,0', "61,y,1"), "line 62", "quoted field", "newlines_in_values"),
    "a quote that is not closed, late": bad_data(long_csv('1,"x,p,0'), "line 2202", "quoted field"),
    "a quote that never ends": bad_data(csv('60,"x,0', "61,y,1"), "line 62", "does not end", data__csv={"newlines_in_values": True}),
    "a value over two lines": bad_data(long_csv('1,"x\nz",p,0'), "line 2202", "newlines_in_values"),
    "other columns in a second file": Case(
        (r"2\.csv does not have the columns of f/1\.csv", "- b", r"\+ c"), files={"f/1.csv": GOOD, "f/2.csv": "a,c,y\n1,x,0\n"}, config={"data__path": "f"},
    ),
    "another order in a second file": Case(
        (r"2\.csv", "another order"), files={"f/1.csv": GOOD, "f/2.csv": "b,a,y\nx,1,0\n"}, config={"data__path": "f"},
    ),
    "another delimiter in a second file": Case(
        (r"2\.csv", "- a"), files={"f/1.csv": GOOD, "f/2.csv": GOOD.replace(",", ";")}, config={"data__path": "f"},
    ),
    "an empty second file": Case((r"2\.csv is empty",), files={"f/1.csv": GOOD, "f/2.csv": ""}, config={"data__path": "f"}),
    "a binary second file": Case((r"2\.csv is not a CSV",), files={"f/1.csv": GOOD, "f/2.csv": XLSX}, config={"data__path": "f"}),
    "a name too many in csv.header": bad_config(r"csv\.header", "4 columns", "3", data__csv={"header": ["a", "b", "c", "y"]}),
    "a delimiter that is not in the file": bad_config("'y'", "a,b,y|delimiter", data__csv={"delimiter": ";"}),
}  # fmt: skip

VALUES: dict[str, Case] = {
    "text among integers": bad_data(csv("oops,x,0"), "line 62", "'a'", "'oops'", "types"),
    "text among integers, beyond the sample": bad_data(long_csv("oops,x,p,0"), "line 2202", "'a'", "'oops'"),
    "a fraction among integers, beyond the sample": bad_data(long_csv("1.5,x,p,0"), "line 2202", "'1.5'", "float"),
    "a word for missing that is not known": bad_data(csv("-,x,0", "unknown,x,1"), "line 62", "'a'", "'-'", r"data\.csv\.missing"),
    "a decimal comma": bad_data(csv('"1,5",x,0'), "line 62", "'1,5'", "one way"),
    "a separator of thousands": bad_data(long_csv('"1,234",x,p,0'), "line 2202", "'1,234'", "one way"),
    "a currency": bad_data(csv("$5,x,0"), "line 62", r"'\$5'"),
    "an integer beyond 64 bits": bad_data(csv("99999999999999999999,x,0"), "line 62", "'99999999999999999999'", data__types={"a": "integer"}),
    "a value of 100,000 letters": bad_data(csv("z" * 100_000 + ",x,0"), "line 62", "…"),
    "dates of two formats": bad_data(
        "t,y\n" + "".join(f"2024-01-{i % 28 + 1:02},{i % 2}\n" for i in range(200)) + "03/14/2024,1\n", "line 202", "'t'", "03/14/2024", "2026-01-31",
    ),
    "a day that there is not": bad_data(
        "t,y\n" + "".join(f"2024-01-{i % 28 + 1:02},{i % 2}\n" for i in range(200)) + "2024-02-30,1\n", "line 202", "'t'", "2024-02-30",
    ),
    "a type that the values do not have": bad_config("line 2", "'b'", "'x'", "integer", data__types={"b": "integer"}),
    "a time with a zone among those without": bad_data(
        "t,y\n" + "".join(f"2024-01-{i % 28 + 1:02}T10:00:00,{i % 2}\n" for i in range(200)) + "2024-02-03T10:00:00Z,1\n", "line 202", "'t'", "zone",
    ),
    "the year 0": bad_data(csv("0000-01-01,x,0", head="t,b,y\n", rows=DAYS), "line 62", "'t'", "0000-01-01", r"csv\.missing"),
    "a zone that leads out of the year 1": bad_data(
        csv("0001-01-01T00:00:00+12:00,x,0", head="t,b,y\n", rows=[f"{day[:10]}T10:00:00Z{day[10:]}" for day in DAYS]), "line 62", "'t'", "0001-01-01T00",
    ),
    "every row bad under quarantine": bad_config("all rows of the data are bad", "quarantine", r"rejected\.parquet", data__types={"b": "integer"}, data__on_bad_rows="quarantine"),
}  # fmt: skip

TARGETS: dict[str, Case] = {
    "no such column": bad_config(r"data\.target", "'yy'", "did you mean 'y'", data__target="yy"),
    "one value": bad_data("a,y\n" + "1,0\n" * 50, "'y'", "only one value", "0: 50 rows"),
    "all missing": bad_data("a,y\n" + "1,\n" * 50, "'y'", "missing in every row"),
    "one value in the first rows": bad_data("a,y\n" + "1,0\n" * 50 + "2,1\n" * 50, "only one value", "more rows", data__rows=40),
    "infinite numbers": bad_data("a,y\n" + "".join(f"{i},{i}.5\n" for i in range(50)) + "5,inf\n", "'y'", "infinite", "filter"),
    "a date": bad_data("a,y\n" + "".join(f"{i},2024-01-{i % 28 + 1:02}\n" for i in range(50)), "'y'", "datetime", "seconds"),
    "1,001 classes": bad_data("a,y\n" + "".join(f"{i},c{i % 1001}\n" for i in range(2002)), "'y'", "more than 1,000", "classes"),
    "three values for two classes": bad_config("'b'", "3 distinct values", "task: binary", data__target="b", data__task="binary"),
    "positive is no value": bad_config("positive", "7", data__positive=7),
    "positive of a regression": bad_data("a,y\n" + "".join(f"{i},{i}.5\n" for i in range(50)), "positive", "regression", data__positive=1),
    "regression of text": bad_config("regression", "'b'", "text", data__target="b", data__task="regression"),
    "no such weight": bad_config(r"data\.weight", "'w'", data__weight="w"),
    "weights are text": bad_config(r"data\.weight", "'b'", "text", data__weight="b"),
    "a weight below 0": bad_data("a,w,y\n" + "1,1,0\n2,-1,1\n" * 30, "weight", "'w'", "invalid weights", data__weight="w"),
    "a weight missing": bad_data("a,w,y\n" + "1,1,0\n2,,1\n" * 30, "weight", "'w'", data__weight="w"),
    "weights that vanish": bad_data("a,w,y\n" + "1,1e-320,0\n2,1e-320,1\n" * 30, "weight", "'w'", "from 1e-18 to 1e\\+18", "mean", data__weight="w"),
    "weights that overflow": bad_data("a,w,y\n" + "1,1e308,0\n2,1e308,1\n" * 30, "weight", "'w'", "from 1e-18 to 1e\\+18", "mean", data__weight="w"),
    "weights of three classes that vanish": bad_data(
        "a,w,y\n" + "1,1e-18,p\n2,1e-18,q\n3,1e-18,r\n" * 30, "xgboost", "sum_weight", "mean", data__weight="w",
    ),
    "weights and labels of which squares overflow": bad_data(
        "a,w,y\n" + "".join(f"{i},1e18,{i}.5e16\n" for i in range(60)), "xgboost: rmse", "inf", "unit", data__weight="w",
    ),
    "weights of the valid rows 0": bad_data(
        "a,w,s,y\n" + "".join(f"{i},{i % 6 > 1:d},{['valid', 'test', 'train'][i % 6 // 2]},{i % 2}\n" for i in range(60)),
        "no row is in valid .*; 20 rows of weight 0 in no set", "data.weight.*set valid: 0", data__weight="w", split={"by": "column", "column": "s"},
    ),
    "all weights 0": bad_data("a,w,y\n" + "1,0,0\n2,0,1\n" * 30, r"data\.weight", "all 60 rows are 0", data__weight="w"),
    "no training row": bad_data("a,y\n1,0\n2,1\n", "training|train", "split|rows"),
    "one class to train on": bad_data(
        "a,t,y\n" + "".join(f"{i},{2000 + i},{int(i > 45)}\n" for i in range(60)), "training rows are all of one class, 0", "0, 1", split={"by": "time", "column": "t"},
    ),
}  # fmt: skip

SPLITS: dict[str, Case] = {
    "by an unknown column": bad_config(r"split\.column", "'q'", split={"by": "time", "column": "q"}),
    "by text as a time": bad_config("'b'", "not a time", "datetime", split={"by": "time", "column": "b"}),
    "by a missing time": bad_data(
        "a,t,y\n" + "1,2024-01-01,0\n2,2024-02-01,1\n" * 30 + "3,,1\n", "'t'", "missing", "60", split={"by": "time", "column": "t"},
    ),
    "by one time": bad_data("a,t,y\n" + "1,2024-01-01,0\n2,2024-01-01,1\n" * 30, "'t'", "only one value, 2024-01-01,", split={"by": "time", "column": "t"}),
    "by one group": bad_data("a,g,y\n" + "1,k,0\n2,k,1\n" * 30, "'g'", "no row is in valid or test", split={"by": "group", "column": "g"}),
    "by a column with other words": bad_config("'b'", "train, valid", split={"by": "column", "column": "b"}),
    "by a column without test": bad_data("a,s,y\n" + "1,train,0\n2,train,1\n" * 30, "test", split={"by": "column", "column": "s"}),
    "filters that drop all": bad_config("filters drop all 60 rows", "filter", features=[{"filter": "a > 1000"}, {"drop": ["b"]}]),
}  # fmt: skip
