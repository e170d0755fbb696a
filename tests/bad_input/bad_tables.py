"""The catalogue's side tables: keys that are missing, double or of another type; bad rows."""

from __future__ import annotations

from bad_case import Case, bad_config, bad_table

TABLES: dict[str, Case] = {
    "a key twice": bad_table("b,v\nx,1\ny,2\nx,3\n", "'s'|tables.s", "b='x'|'x'", "twice|2 times|duplicate|more than once"),
    "no column for the key": bad_table("k,v\nx,1\n", r"data\.tables\.s\.keys", "'b'"),
    "a key that the data do not have": bad_table("k,v\nx,1\n", "'k'", "join", keys=["k"]),
    "a key of another type": bad_table("b,v\n1,1\n2,2\n", "'b'", "text", "int64|integer"),
    "no such file": bad_table("b,v\n", r"'t\.csv'", path="t.csv"),
    "empty": bad_table("", r"s\.csv is empty"),
    "header only": bad_table("b,v\n", r"s\.csv has a header but no rows"),
    "a bad row": bad_table("b,v\nx,1\ny,2\nz,3\n" + "".join(f"k{i},{i}\n" for i in range(99)) + "w,oops\n", r"s\.csv, line 104", "'v'", "oops", "correct the file|types"),
    "a row too long": bad_table("b,v\nx,1\ny,2,3\n", r"s\.csv, line 3", "3 fields instead of 2"),
    "a joined column that it lacks": bad_table("b,v\nx,1\n", r"data\.tables\.s: there is no column 'w'", join={"columns": ["w"]}),
    "no keys said": bad_config(r"data\.tables\.s\.keys: missing", data__tables={"s": {"path": "s.csv"}}),
    "keys that are empty": bad_table("b,v\nx,1\n", r"data\.tables\.s\.keys", "empty", keys=[]),
    "none of that name": bad_config("no side table 't'", "data.tables|known", features=[{"join": {"table": "t"}}]),
    "a name but near": bad_table("b,v\nx,1\n", "no side table 'ss'", "did you mean 's'", join={"table": "ss"}),
}  # fmt: skip
