"""Text parsed by a format: the same instants as pandas and Python's `datetime`."""

import re
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.csv.date_formats import has_time, is_zoned, parse_dates

DATES = ("%d-%m-%Y", "%m/%d/%Y", "%d.%m.%y", "%Y/%m/%d", "%b %d, %Y", "%d %B %Y", "%Y%m%d", "%Y-%j")
TIMES = ("", " %H:%M", "T%H:%M:%S", " %I:%M:%S %p", " %H:%M:%S.%f", " %H:%M:%S%z", " %I:%M%p %z")


def micros(words, pattern):
    return parse_dates(pa.array(words, pa.string()), pattern).to_pylist()


@given(
    st.sampled_from(DATES),
    st.sampled_from(TIMES),
    st.lists(st.datetimes(datetime(1969, 1, 1), datetime(2068, 12, 31)), min_size=1, max_size=20),
    st.integers(-14 * 60, 14 * 60),
    st.booleans(),
)
def test_texts_are_the_instants_that_pandas_reads(date, time, stamps, offset, is_short):
    pattern, zone = date + time, timezone(timedelta(minutes=offset))
    words = [stamp.replace(tzinfo=zone).strftime(pattern) for stamp in stamps]
    if is_short and date not in ("%Y%m%d", "%Y-%j"):  # one digit where one will do
        words = [re.sub(r"(?<![\d.+-])0(\d)(?!\d)(?!\d*$)", r"\1", word) for word in words]
    expected = pd.to_datetime(pd.Series(words), format=pattern, utc=True)
    assert micros(words, pattern) == expected.dt.tz_localize(None).to_list()


@given(st.sampled_from(DATES), st.text("0123456789-/. janfebmrBC", max_size=12))
def test_what_python_refuses_is_refused(date, text):
    found = micros([text], date)[0]
    try:
        expected = datetime.strptime(text.strip(" "), date)
    except ValueError:
        expected = None
    if found is None and expected is not None:
        # Python takes fewer digits beside other numbers, and blanks in odd places
        assert re.search(r"%Y%m%d|%j", date) or " " in text
    elif expected is not None:
        assert found == expected
    else:
        assert found is None or re.search("[a-zA-Z]", text)  # sept, june: names that Python lacks


@pytest.mark.parametrize(
    ("pattern", "word", "expected"),
    [
        ("%d-%m-%Y", "28-01-2023", "2023-01-28"), ("%d-%m-%Y", "1-2-2023", "2023-02-01"),
        ("%m/%d/%y", "8/15/69", "1969-08-15"), ("%m/%d/%y", "8/15/68", "2068-08-15"),
        ("%d-%m-%Y", "29-02-2024", "2024-02-29"), ("%d-%m-%Y", "29-02-2023", None),
        ("%d-%m-%Y", "31-04-2023", None), ("%d-%m-%Y", "00-01-2023", None),
        ("%d-%m-%Y", "01-01-0000", None), ("%d-%m-%Y", "31-12-9999", "9999-12-31"),
        ("%d-%m-%Y", "01-01-10000", None), ("%d-%m-%Y", "01-01-0001", "0001-01-01"),
        ("%d-%m-%Y", "1-1-23", None), ("%d-%m-%Y", " 28-01-2023\t", "2023-01-28"),
        ("%m/%d/%Y[ %I:%M[:%S] %p]", "1/2/2023", "2023-01-02"),
        ("%m/%d/%Y[ %I:%M[:%S] %p]", "1/2/2023 12:05 am", "2023-01-02 00:05"),
        ("%m/%d/%Y[ %I:%M[:%S] %p]", "1/2/2023 12:05:07 p.m.", "2023-01-02 12:05:07"),
        ("%m/%d/%Y[ %I:%M[:%S] %p]", "1/2/2023 13:05 PM", None),
        ("%m/%d/%Y[ %I:%M[:%S] %p]", "1/2/2023 0:05 PM", None),
        ("%m/%d/%Y %H:%M", "1/2/2023 24:00", None), ("%m/%d/%Y %H:%M", "1/2/2023 23:60", None),
        ("%Y-%m-%d %H:%M:%S.%f", "2023-01-02 03:04:05.123456789", "2023-01-02 03:04:05.123456"),
        ("%Y-%m-%d %H:%M:%S.%f", "2023-01-02 03:04:05.1", "2023-01-02 03:04:05.100000"),
        ("%Y-%m-%d %H:%M:%S", "2016-12-31 23:59:60", None),
        ("%Y-%m-%d %H:%M:%S %z", "2023-01-02 03:04:05 UTC", "2023-01-02 03:04:05"),
        ("%Y-%m-%d %H:%M:%S %z", "2023-01-02 03:04:05 GMT", "2023-01-02 03:04:05"),
        ("%Y-%m-%d %H:%M:%S %z", "2023-01-02 03:04:05 -0130", "2023-01-02 04:34:05"),
        ("%Y-%m-%d %H:%M:%S[ ]%z", "2023-01-02 03:04:05Z", "2023-01-02 03:04:05"),
        ("%Y-%m-%d %H:%M:%S[ ]%z", "2023-01-02 03:04:05+01", "2023-01-02 02:04:05"),
        ("%Y-%m-%d %H:%M:%S%z", "2023-01-02 03:04:05+24:00", None),
        ("%Y-%m-%d %H:%M:%S%z", "0001-01-01 00:00:00+01:00", None),
        ("%Y-%m-%d %H:%M:%S%z", "9999-12-31 23:59:59-01:00", None),
        ("%d %b %Y", "3 sept 2023", "2023-09-03"), ("%d %b %Y", "3  SEPTEMBER 2023", "2023-09-03"),
        ("%a %b %d %Y", "Fri Feb 30 2023", None), ("%Y-%j", "2023-366", None),
        ("%Y%m%d", "20230128", "2023-01-28"), ("%Y%m%d", "2023128", None),
        ("%[%d/%b/%Y:%H:%M:%S %z%]", "[10/Oct/2000:13:55:36 -0700]", "2000-10-10 20:55:36"),
        ("%Y", "2023", "2023-01-01"), ("%m.%Y", "7.2023", "2023-07-01"), ("%Y%%", "2023%", "2023-01-01"),
        ("%Y^%m\\%d", "2023^1\\2", "2023-01-02"), ("(%Y)", "(2023)", "2023-01-01"),
        ("epoch s", "1609459200", "2021-01-01"), ("epoch s", "1609459200.25", "2021-01-01 00:00:00.25"),
        ("epoch s", "-1", "1969-12-31 23:59:59"), ("epoch ms", "1609459200001", "2021-01-01 00:00:00.001"),
        ("epoch us", "1609459200000001", "2021-01-01 00:00:00.000001"),
        ("epoch ns", "1609459200000001999", "2021-01-01 00:00:00.000001"),
        ("epoch s", "253402300799", "9999-12-31 23:59:59"), ("epoch s", "253402300800", None),
        ("epoch s", "999999999999999999999", None), ("epoch s", "1e9", None), ("epoch s", "", None),
    ],
)  # fmt: skip
def test_words_of_formats(pattern, word, expected):
    wanted = None if expected is None else datetime.fromisoformat(expected)
    assert micros([word, None], pattern) == [wanted, None]


def test_every_day_of_the_calendar():
    days = np.arange(np.datetime64("0001-01-01"), np.datetime64("10000-01-01"), 97)
    words = pd.Series(days.astype(str)).str.replace(r"(\d+)-(\d+)-(\d+)", r"\3.\2.\1", regex=True)
    found = parse_dates(pa.array(words), "%d.%m.%Y").to_numpy()
    assert (found == days.astype("datetime64[us]")).all()


def test_kinds_of_formats():
    assert [is_zoned(p) for p in ("iso", "iso zoned", "%Y %H %z", "%Y", None)] == [False, True, True, False, False]  # fmt: skip
    assert [has_time(p) for p in ("%Y", "%Y %I %p", "epoch s")] == [False, True, True]
    assert micros(["1970-01-01 00:00:00 UTC"], "%Y-%m-%d %H:%M:%S %Z") == [datetime(1970, 1, 1)]
    assert datetime(1970, 1, 1, tzinfo=UTC).timestamp() == 0
