"""Formats of dates in the config: what is accepted, and what is wrong with the others."""

import pytest

from pipeline.config.date_format import check_format, is_format
from pipeline.config.model import Config
from pipeline.config.validation import validate
from pipeline.errors import ConfigError


def load(kind):
    return validate(Config, {"data": {"path": "x.csv", "target": "y", "types": {"when": kind}}})


@pytest.mark.parametrize(
    "pattern",
    [
        "%d-%m-%Y", "%m/%d/%y[ %I:%M[:%S[.%f]] %p]", "%Y-%j", "%[%d/%b/%Y:%H:%M:%S %z%]", "%Y%m%dT%H%M",
        "%A, %d %B %Y %H:%M:%S %Z", "%m.%Y", "%Y%%", "epoch s", "epoch ms", "epoch us", "epoch ns",
    ],
)  # fmt: skip
def test_formats_that_are_accepted(pattern):
    assert check_format(pattern) == pattern
    assert load(pattern).data.types == {"when": pattern}


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("%d-%Q-%Y", "has the directive '%Q', which is not one of %Y, %y, %m"), ("%", "directive '%'"),
        ("%Y-%U", "directive '%U'"), ("%d/%m", "has no year outside of brackets: %Y or %y"),
        ("%d[/%Y]%m", "has no year"), ("%Y[%m", "opening bracket without"), ("%Y]", "closing bracket without"),
        ("%d %d %m %Y", "has the day twice: %d and %d"), ("%y %Y", "has the year twice: %y and %Y"),
        ("%b %m %Y", "has the month twice"), ("%d %Y", "has %d without the month"),
        ("%Y %I", "has %I without the AM or PM"), ("%Y %H %p", "has %p with %H"),
        ("%Y %M", "has %M without the hour"), ("%Y %H.%f", "has %f without the second"),
        ("%j %m %Y", "both a month and the day of the year"), ("%Y\n", "newline"),
        ("dat", "must be 'integer', 'float', .*or a format of dates such as '%d-%m-%Y'"),
        ("epoch", "must be 'integer'"), (3, "must be 'integer'"), (None, "must be 'integer'"),
        (["date"], "must be 'integer'"),
    ],
)  # fmt: skip
def test_other_types_are_refused_when_the_config_is_loaded(pattern, problem):
    with pytest.raises(ConfigError, match=f"^data.types.when: .*{problem}"):
        load(pattern)


def test_a_typing_error_gets_the_nearest_type():
    with pytest.raises(ConfigError, match="Fix: .*'datetime'"):
        load("datetme")
    assert is_format("%x") and is_format("epoch s") and not is_format("date")
