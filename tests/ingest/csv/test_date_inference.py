"""Formats of the dates of a column, and which order of day and month is taken."""

from datetime import datetime, timedelta

import pytest

from pipeline.ingest.csv.date_guesses import guess_formats
from pipeline.ingest.csv.date_order import note_dates
from pipeline.ingest.csv.dialect import Dialect
from pipeline.ingest.csv.type_inference import infer_column, reinfer_column
from pipeline.ingest.csv.types import ISO, ZONED, SourceColumn

DIALECT = Dialect(",", '"', True, ("v",), False, ("",), ("true",), ("false",))
STAMPS = [datetime(2022, 11, 25, 3, 5, 9) + timedelta(days=i * 1.37) for i in range(40)]


def infer(values, name="when", asked=None):
    return infer_column(name, [str(v) for v in values], asked, DIALECT)


def note(values, name="when", asked=None):
    values = [str(v) for v in values]
    return " ".join(map(str, note_dates([infer(values, name, asked)], [values], {}, "data")))


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("%d-%m-%Y", ""), ("%m/%d/%Y", ""), ("%d/%m/%Y", ""), ("%d.%m.%Y %H:%M", ""), ("%Y/%m/%d", ""),
        ("%d/%m/%y", ""), ("%b %d, %Y", ""), ("%d-%b-%y", ""), ("%d %m %Y", ""), ("%d. %m. %Y", ""),
        ("%B %d, %Y", "%b %d, %Y"), ("%d %B %Y %I:%M %p", "%d %b %Y %I:%M %p"),
        ("%m/%d/%Y %I:%M:%S%p", ""), ("%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%d %H:%M:%S %z"),
        ("%Y-%m-%d %H:%M:%S.%f789", "%Y-%m-%d %H:%M:%S.%f"), ("%Y%m%dT%H%M%S", ""),
        ("%Y%m%d%H%M%SZ", "%Y%m%d%H%M%S%z"), ("%a %b %d %H:%M:%S %Y", ""),
        ("%a, %d %b %Y %H:%M:%S GMT", "%a, %d %b %Y %H:%M:%S %z"),
        ("[%d/%b/%Y:%H:%M:%S +0100]", "%[%d/%b/%Y:%H:%M:%S %z%]"), ("%H:%M %d.%m.%Y", ""),
        ("%a %b %d %Y %H:%M:%S GMT+0100", "%a %b %d %Y %H:%M:%S %z"), ("%d.%m.%Y %H:%M:%S,%f", ""),
        ("%Y-%m-%d %H:%M:%S", ISO), ("%Y-%m-%dT%H:%M:%S+01:00", ZONED), ("%Y-%m-%d", ISO),
    ],
)  # fmt: skip
def test_formats_are_read_off_the_values(pattern, found):
    column = infer(stamp.strftime(pattern) for stamp in STAMPS)
    assert column.pattern == (found or pattern)
    assert column.type == ("datetime" if "H" in pattern or "I" in pattern else "date")
    assert infer((s.strftime(pattern) for s in STAMPS), asked="datetime").pattern == column.pattern


@pytest.mark.parametrize(
    ("values", "pattern"),
    [
        ([f"{s.month}/{s.day}/{s:%y}" for s in STAMPS], "%m/%d/%y"),
        ([f"{s.year}-{s.month}-{s.day} {s.hour}:{s:%M}" for s in STAMPS], "%Y-%m-%d %H:%M"),
        (["1/31/2020", "2/1/2020 1:05 PM"], "%m/%d/%Y[ %I:%M %p]"),
        (["31.1.2020 10:00", "1.2.2020 10:00:07", "1.2.2020 10:00:07.5"], "%d.%m.%Y %H:%M[:%S[.%f]]"),
        (["31.1.2020 10:00:01", "1.2.2020 10:00:07.25"], "%d.%m.%Y %H:%M:%S[.%f]"),
        (["2020-01-02 10:00 UTC", "2020-01-02 10:00Z"], "%Y-%m-%d %H:%M[ ]%z"),
        (["13/01/2020"] + ["01/02/2020"] * 300, "%d/%m/%Y"),
        (["01/13/2020"] + ["01.02.2020"] * 300, "%d.%m.%Y"),
        (["2.4.41", "2.4.38", "1.2.10"], None), (["1-2-10", "3-4-11"], None), (["10 11 12"], None),
        (["555-12-3456", "555-12-3457"], None), (["12:30", "12:31"], None), (["2010-11"], None),
        (["31/1-2020"], None), (["May", "June"], None), (["1/2", "3/4"], None),
        (["2020-01-02 10:00Z", "2020-01-02 10:00"], None), (["Week 1 2020", "Week 2 2020"], None),
        (["30/30/2020", "31/31/2020"], None), (["0000-00-00"] * 3, None), (["x" * 2000], None),
    ],
)  # fmt: skip
def test_parts_that_differ_and_text_that_only_looks_like_dates(values, pattern):
    column = infer(values)
    assert (column.pattern, column.type == "text") == (pattern, pattern is None)


def days(pattern, values):
    return [datetime(*v).strftime(pattern) for v in values]


def test_the_order_of_day_and_month_is_that_of_the_whole_sample():
    ambiguous = [(2020, m, d) for m in (3, 9, 6) for d in (12, 4, 7, 1)]
    for separator, first in (("/", "%m/%d"), (".", "%d.%m"), ("-", "%d-%m")):
        usual = f"{first}{separator}%Y"
        for other in ("%d/%m/%Y", "%m/%d/%Y"):
            values = days(other.replace("/", separator), ambiguous)
            assert infer(values).pattern == usual  # both fit
            one = (2020, 5, 31)
            decided = [*values, *days(other.replace("/", separator), [one])]
            assert infer(decided).pattern == other.replace("/", separator)


def test_a_log_is_in_order_of_time():
    values = [(y, m, d) for y in (2020, 2021) for m in range(1, 13) for d in (2, 5, 11)]
    for way in (values, values[::-1]):
        for pattern in ("%d/%m/%Y", "%m/%d/%Y"):
            assert infer(days(pattern, way)).pattern == pattern
            assert "the rows are in order of time" in note(days(pattern, way))


def test_the_first_of_each_month():
    values = [(2020 + i // 12, i % 12 + 1, 1) for i in range(24)]
    assert infer(days("%d/%m/%Y", values)).pattern == "%d/%m/%Y"
    assert "each is the first of a month" in note(days("%d/%m/%Y", values))


def test_notes_name_the_line_that_changes_the_choice():
    assert note(["01/02/2020", "05/04/2019"]) == (
        "when: the order of day, month and year is a guess, %m/%d/%Y: month first is usual in such "
        "dates (2019-05-04 to 2020-01-02) (to change it: data.types: {when: '%d/%m/%Y'})"
    )
    assert note(["31-01-2020"]) == (
        "when: read as dates written %d-%m-%Y: 2020-01-31 to 2020-01-31 "
        "(to change it: data.types: {when: text})"
    )
    assert note(["2020-01-31"]) == ""
    assert infer(["01/02/2020"], asked="%d/%m/%Y") == SourceColumn("when", "date", "%d/%m/%Y")
    assert infer(["x"], asked="epoch ms") == SourceColumn("when", "datetime", "epoch ms")


def numbers(unit):
    return [int(stamp.timestamp() * unit) for stamp in STAMPS]


@pytest.mark.parametrize(
    ("name", "values", "pattern"),
    [
        ("event_ts", numbers(1), "epoch s"), ("timestamp", numbers(1000), "epoch ms"),
        ("unixReviewTime", numbers(1), "epoch s"), ("timeStamp", numbers(1), "epoch s"),
        ("epoch_ms", numbers(1000), "epoch ms"), ("epoch_us", numbers(10**6), "epoch us"),
        ("ts_ns", numbers(10**9), "epoch ns"), ("epoch", [f"{n}.5" for n in numbers(1)], "epoch s"),
        ("count", numbers(1), None), ("time", numbers(1), None), ("ts", [0, *numbers(1)], None),
        ("epoch", range(1, 100), None), ("epoch_ms", numbers(1), None), ("ts", numbers(10**6), None),
        ("ts", [4_102_444_800], None), ("ts", [4_102_444_799], "epoch s"), ("hits", numbers(1), None),
        ("date", [20230128, 20230301], "%Y%m%d"), ("orderDay", [20230128], "%Y%m%d"),
        ("date", [20230128, 20231301], None), ("zip", [20230128], None), ("date", [2023, 2024], None),
        ("date", [202301281530, 202301281531], None), ("dt", [20230128153000], "%Y%m%d%H%M%S"),
    ],
)  # fmt: skip
def test_numbers_are_dates_only_if_their_name_says_so(name, values, pattern):
    column = infer(values, name)
    assert (column.pattern, column.dtype == "datetime") == (pattern, pattern is not None)
    if pattern:
        assert infer(values, "x", "datetime").pattern == pattern
        kind = "float" if "." in str(values[0]) else "integer"
        assert note(values, name).endswith(f"data.types: {{{name}: {kind}}})")


@pytest.mark.parametrize(
    ("trained", "values", "pattern"),
    [
        ("%d/%m/%Y", ["01/02/2020"], "%d/%m/%Y"), ("%d/%m/%Y", ["01/13/2020"] * 9, "%d/%m/%Y"),
        ("%d/%m/%Y", ["1-2-2020"], "%d-%m-%Y"), ("%m/%d/%Y", ["1-2-2020"], "%m-%d-%Y"),
        ("%d/%m/%Y", ["2020-02-01"], ISO), ("%d/%m/%Y", ["1 Feb 2020"], "%d %b %Y"),
        (ISO, ["13.1.2020"], "%d.%m.%Y"), (ISO, ["1.2.2020"], ISO), (ISO, ["2020-01-02Z"], ISO),
        ("%d/%m/%Y", [], "%d/%m/%Y"),
    ],
)  # fmt: skip
def test_new_data_keep_the_order_of_the_run(trained, values, pattern):
    column = SourceColumn("when", "date", trained)
    assert reinfer_column(column, values, DIALECT) == SourceColumn("when", "date", pattern)
    # pandas leaves out times that are all midnight: other rows may have others
    times = reinfer_column(SourceColumn("when", "date", "%d/%m/%Y"), ["1/2/2020 10:00"], DIALECT)
    assert times == SourceColumn("when", "datetime", "%d/%m/%Y %H:%M")


def test_zones_of_new_data_are_those_of_the_run():
    plain, zoned = (SourceColumn("t", "datetime", p) for p in ("%d/%m/%Y %H:%M", ZONED))
    with_zone, without = ["13/01/2020 10:00 UTC"], ["2020-01-13 10:00:00"]
    assert reinfer_column(plain, with_zone, DIALECT) == plain
    assert reinfer_column(zoned, without, DIALECT) == zoned
    assert reinfer_column(zoned, with_zone, DIALECT).pattern == "%d/%m/%Y %H:%M %z"
    assert reinfer_column(plain, without, DIALECT).pattern == ISO


def test_nothing_is_guessed_from_text_without_dates():
    assert guess_formats({f"word {i}": 1 for i in range(200)}, is_asked=True) == []
    assert guess_formats({}, is_asked=True) == []
