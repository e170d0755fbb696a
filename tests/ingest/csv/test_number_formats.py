"""Numbers with currencies, magnitudes, units, separators and parentheses."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.model import Data
from pipeline.device import cpu
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.csv.number_formats import (
    SEPARATORS,
    describe_format,
    guess_formats,
    is_example,
    parse_numbers,
)
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract

FORMATS = {
    "money with magnitudes": (["$56.7M", "$1.2B", "$950K", "$12"], [56.7e6, 1.2e9, 950e3, 12]),
    "a magnitude": (["1.2k", "900", "3.4k"], [1200, 900, 3400]),
    "a magnitude in words": (["1.5 million", "2 million"], [1.5e6, 2e6]),
    "a currency and a magnitude": (["€56.7M", "€3.1K"], [56.7e6, 3100]),
    "a code after a magnitude": (["56.7M EUR", "3 EUR"], [56.7e6, 3]),
    "a percentage": (["3 %", "4.5 %", ".5%"], [3, 4.5, 0.5]),
    "a code of a currency": (["1,234.50 EUR", "12.00 EUR"], [1234.5, 12]),
    "a code before": (["USD 1,200", "USD 5"], [1200, 5]),
    "rupees": (["Rs. 500", "Rs. 1,200"], [500, 1200]),
    "a foreign dollar": (["US$5", "-US$7.5"], [5, -7.5]),
    "parentheses": (["(12.5)", "13", "(1,200)"], [-12.5, 13, -1200]),
    "money in parentheses": (["($12.50)", "$3", "-$4"], [-12.5, 3, -4]),
    "a unit": (["72kg", "80 kg", "1,080kg"], [72, 80, 1080]),
    "meters": (["12.5 m", "3 m"], [12.5, 3]),
    "a word": (["36 months", "60 months"], [36, 60]),
    "a word in the plural": (["1 year", "2 years"], [1, 2]),
    "signs": (["-1,234.5", "+3"], [-1234.5, 3]),
}
TEXTS = {
    "days of a month": ["12 May", "13 May"],
    "hours": ["10 am", "11 pm"],
    "apartments": ["12A", "13A", "14A"],
    "floors": ["12B", "14B"],
    "two units": ["100 m", "3 km"],
    "two currencies": ["$5", "€5", "$7"],
    "ranges": ["1-2", "3-4"],
    "times": ["12:30", "13:45"],
    "dates": ["2020-01-01"],
    "codes": ["A1", "B2"],
    "feet and inches": ["5'1\"", "6'2\""],
    "words": ["abc", "def"],
    "ordinals": ["1st", "2nd"],
}


@pytest.mark.parametrize("name", FORMATS)
def test_numbers_are_read_from_their_format(name: str) -> None:
    words, numbers = FORMATS[name]
    example = guess_formats(words, ",")[0]
    assert is_example(example)
    assert parse_numbers(pa.array(words), example).to_pylist() == numbers


@pytest.mark.parametrize("name", TEXTS)
def test_other_text_has_no_format(name: str) -> None:
    for example in guess_formats(TEXTS[name], ","):
        assert parse_numbers(pa.array(TEXTS[name]), example).null_count == len(TEXTS[name])


def test_one_odd_value_among_many_is_a_bad_value() -> None:
    words = [f"${n}.5M" for n in range(30)] + ["abc 5"]
    (first, *_) = guess_formats(words, ",")
    assert parse_numbers(pa.array(words), first).null_count == 1
    assert guess_formats(words[:4] + ["abc 5"], ",") == []


@given(
    st.lists(st.integers(-(10**9), 10**9), min_size=3, max_size=20),
    st.sampled_from(SEPARATORS),
    st.sampled_from(["", "$", "€"]),
    st.sampled_from(["", "%", " EUR", " kg"]),
)
def test_what_is_written_is_read(
    cents: list[int], separators: tuple[str, str], start: str, end: str
) -> None:
    thousands, decimal = separators
    end = "" if start else end

    def write(value: int) -> str:
        whole, rest = divmod(abs(value), 100)
        digits = f"{whole:,}".replace(",", thousands)
        return f"{'-' * (value < 0)}{start}{digits}{decimal}{rest:02}{end}"

    # A space in every value may as well be part of a code.
    cents = [*cents, 700]
    words = [write(value) for value in cents]
    read = [
        parse_numbers(pa.array(words), example).to_pylist() for example in guess_formats(words, ";")
    ]
    assert [value / 100 for value in cents] in read


def test_letters_of_magnitude_scale_by_their_factor() -> None:
    words = [f"$2.5{letter}" for letter in ("k", "K", "M", "m", "B", "bn", "T", " million")]
    numbers = parse_numbers(pa.array(words), "$1,234.56M").to_pylist()
    assert numbers == [2500, 2500, 2.5e6, 2.5e6, 2.5e9, 2.5e9, 2.5e12, 2.5e6]


@pytest.mark.parametrize("text", ["1.5", "(1,234.56", "1,234.56 foo bar", "12 May", ""])
def test_other_texts_are_no_examples(text: str) -> None:
    assert not is_example(text)


def test_a_target_of_money_is_a_number_and_reported(tmp_path: Path) -> None:
    worth = [f"${n % 90 + 10}.{n % 10}M" if n % 7 else "-" for n in range(200)]
    pd.DataFrame({"a": range(200), "worth": worth}).to_csv(tmp_path / "a.csv", index=False)
    source = Data(path=(str(tmp_path / "a.csv"),), target="worth")
    contract = infer_contract(source)
    assert [(c.type, c.pattern) for c in contract.columns] == [
        ("integer", None), ("float", "$1,234.56M"),
    ]  # fmt: skip
    notes = {note.kind: note for note in contract.notes}
    assert "'$11.1M' is read as 11,100,000" in notes["number"].message
    assert notes["number"].change == "data.types: {worth: text}"
    assert "`-`" in notes["missing"].message
    (block,) = plan_blocks(contract)
    frame, _ = read_block(block, contract, ["worth"], cpu)
    assert frame["worth"].isna().sum() == sum(word == "-" for word in worth)
    assert frame["worth"].iloc[1] == 11.1e6


def test_description_shows_a_value_that_is_not_plain() -> None:
    assert describe_format("1,234.56k", ["900", "1.2k"]) == (
        "values are written as 1,234.56k: '1.2k' is read as 1,200"
    )
