import pytest

from pipeline.report import text


@pytest.mark.parametrize(
    ("value", "scale", "shown"),
    [
        (None, None, "–"), (0.0, None, "0.0000"), (0.69123, None, "0.6912"), (-0.5, None, "-0.5000"),
        (16.337, None, "16.34"), (2.5, 29.4, "2.50"), (123.456, None, "123.5"),
        (4321.9, None, "4,322"), (1234567.0, None, "1,234,567"), (2.5e-7, None, "2.5e-07"),
        (1e12, None, "1e+12"), (0.00004, 0.3, "0.0000"),
    ],
)  # fmt: skip
def test_figures(value, scale, shown):
    assert text.format_metric(value, scale) == shown


def test_sizes_seconds_and_lists():
    assert [text.format_bytes(n) for n in (None, 0, 999, 1000, 1_234_567_890, 5e15)] == [
        "–", "–", "999 B", "1 kB", "1.23 GB", "5,000 TB",
    ]  # fmt: skip
    assert [text.format_seconds(s) for s in (0.04, 12.34, 185)] == [
        "0.04 s",
        "12.3 s",
        "3 min 05 s",
    ]
    assert text.join_names(range(5), 3) == "0, 1, 2, … 2 more"
    assert text.format_share(1, 0) == "0.0"
