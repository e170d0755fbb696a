"""The catalogue's new data, and what may be said on the command line of `predict`."""

from __future__ import annotations

import gzip

from bad_case import NEW, Case, bad_new, bad_predict
from bad_parquet import parquet

NEW_DATA: dict[str, Case] = {
    "a column missing": bad_new("a,t\n1,2024-01-01\n", r"n\.csv", "1 needed column", r"- b \(text\)"),
    "a column renamed": bad_new(NEW.replace("a,b", "a,bb", 1), r"- b \(text\)", "did you mean 'bb'"),
    "every column missing": bad_new("p,q\n1,2\n", "3 needed column", "- a", "- b", "- t"),
    "text in a number": bad_new(NEW + "oops,x,2024-01-01\n", "line 4", "'a'", "'oops'", "trained on an integer"),
    "a fraction in an integer": bad_new(NEW + "1.5,x,2024-01-01\n", "line 4", "'1.5'", "trained on an integer"),
    "a fraction beside integers as pandas writes them": bad_new("a,b,t\n1.0,x,2024-01-01\n2.5,y,2024-01-02\n", "line 3", "'2.5'", "trained on an integer"),
    "a date of another format": bad_new(NEW + "3,x,02/01/2024\n", "line 4", "'t'", "02/01/2024"),
    "a row too short": bad_new(NEW + "3\n", "line 4", "1 fields instead of 3"),
    "a row that is not UTF-8": bad_new(f"{NEW}3,éé,2024-01-03\n".encode() + b"3,\xff,2024-01-03\n", "line 5", "UTF-8"),
    "empty": bad_new("", r"n\.csv is empty"),
    "two columns of one name": bad_new("a,a,b,t\n1,1,x,2024-01-01\n", "columns 1 and 2", "'a'"),
    "gzip cut off": bad_new(gzip.compress(NEW.encode() * 99)[:-9], r"n\.csv\.gz", "damaged", name="n.csv.gz"),
    "Parquet cut off": bad_new(parquet()[:-9], r"n\.parquet is not a readable Parquet file", name="n.parquet"),
    "Parquet of another type": bad_new(
        parquet(a=[True] * 60, t=["2024-01-01"] * 60), r"n\.parquet, column 'a' is bool, it must be integer", "trained", name="n.parquet",
    ),
    "Parquet of text that is not a number": bad_new(
        parquet(a=["1"] * 7 + ["oops"] * 53, t=["2024-01-01"] * 60), r"n\.parquet, row 8, column 'a': 'oops' is not an integer", "trained", name="n.parquet",
    ),
    "Parquet without a column": bad_new(parquet(), r"- t \(date\)|- t \(datetime\)", name="n.parquet"),
    "no such file": bad_predict("predict done nn.csv --out o.csv", r"'nn\.csv'", r"did you mean 'n\.csv'"),
    "no match of a glob": bad_predict("predict done x*.csv --out o.csv", r"no file matches 'x\*\.csv'"),
    "a folder without data": bad_predict("predict done e --out o.csv", "folder 'e'", files={"e/a.md": ""}),
    "CSV and Parquet": bad_predict("predict done n.csv n.parquet --out o.csv", "mixed", files={"n.parquet": parquet()}),
    "unknown model": bad_predict("predict done n.csv --out o.csv --model forrest", "no model 'forrest'", "did you mean 'forest'"),
    "unknown kept column": bad_predict("predict done n.csv --out o.csv --keep bb", "--keep bb", "did you mean 'b'"),
    "a kept column named like ours": bad_predict(
        "predict done n.csv --out o.csv --keep prediction", "--keep prediction", "rename", files={"n.csv": NEW.replace("t\n", "t,prediction\n", 1).replace("-01\n", "-01,1\n").replace("-02\n", "-02,1\n")},
    ),
    "unknown side table": bad_predict("predict done n.csv --out o.csv --table ss=s.csv", "--table ss", "did you mean 's'"),
    "side table without a path": bad_predict("predict done n.csv --out o.csv --table s", "'s' is not NAME=PATH"),
    "side table that is not there": bad_predict("predict done n.csv --out o.csv --table s=gone.csv", r"'gone\.csv'"),
    "side table with a key twice": bad_predict(
        "predict done n.csv --out o.csv --table s=s.csv", "'s'|tables.s", "x", "twice|2 times|duplicate|more than once", files={"s.csv": "b,v\nx,1\nx,2\n"},
    ),
    "side table without its column": bad_predict("predict done n.csv --out o.csv --table s=s.csv", "'v'|'b'", files={"s.csv": "b,w\nx,1\n"}),
    "--out of another ending": bad_predict("predict done n.csv --out o.xlsx", r"'o\.xlsx'", r"\.csv", r"\.parquet"),
    "--out is a folder": bad_predict("predict done n.csv --out o.csv", r"o\.csv", "folder", files={"o.csv/keep": ""}),
    "--out is the new data": bad_predict("predict done n.csv --out n.csv", r"n\.csv", "another --out|another"),
    "--out is the new data by another name": bad_predict("predict done n.csv --out ./x/../n.csv", r"n\.csv", "another", files={"x/a": ""}),
    "--out is a file of the run": bad_predict("predict done n.csv --out done/evaluate/predictions.parquet", r"predictions\.parquet", "run"),
    "--out below a file": bad_predict("predict done n.csv --out s.csv/o.csv", "o.csv", status=3),
    "--out missing": bad_predict("predict done n.csv", "Missing option", "--out"),
    "--device gpu without one": bad_predict("predict done n.csv --out o.csv --device gpu", "GPU", "--device cpu", status=3),
    "--device of another framework": bad_predict("predict done n.csv --out o.csv --device cuda", "'cuda'", "gpu"),
}  # fmt: skip
