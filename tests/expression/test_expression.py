"""The expression language: its grammar's limits, its types, and its results against plain Python."""

import math
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plain_expression import COMPARE, HIGH, LOW, ROWS, arithmetic, ints, shown, worth

from pipeline.device import cpu
from pipeline.errors import ConfigError
from pipeline.expression import column_expression, parse, quote
from pipeline.features.try_op import make_frame
from pipeline.schema import Column, Schema


def plain(device, series):
    """Python values, None where missing."""
    host = device.to_host(series)
    return [None if m else v for v, m in zip(host.tolist(), host.isna().tolist(), strict=True)]


def result(text, device=cpu, **columns):
    schema, host = make_frame(columns)
    expression = parse(text)
    series = expression.evaluate(device.to_device(host), device)
    made = Schema((expression.check(schema),))
    assert str(device.to_host(series).dtype) == str(cpu.empty_frame(list(made)).dtypes.iloc[0])
    assert len(series) == len(host)
    return plain(device, series)


# -- against plain Python, row by row --------------------------------------------------------------
texts = st.one_of(st.sampled_from([("col", "s"), ("col", "t")]), st.sampled_from(["a", "ü", ""]))
number_leaf = st.one_of(
    st.sampled_from([("col", "i"), ("col", "j"), ("col", "x")]),
    st.sampled_from([0, 1, 2, 60, 2**53 + 1, HIGH, 0.5, 1e300]),
)
compare_op = st.sampled_from(sorted(COMPARE))


def bools(numbers):
    leaf = st.one_of(
        st.just(("col", "b")),
        st.tuples(compare_op, numbers, numbers),
        st.tuples(compare_op, texts, texts),
        st.tuples(st.just("chain"), compare_op, numbers, numbers, numbers, compare_op),
        st.tuples(st.just("is_missing"), st.one_of(numbers, texts)),
    )
    return st.one_of(
        leaf, st.tuples(st.sampled_from(["and", "or"]), leaf, leaf), st.tuples(st.just("not"), leaf)
    )


numbers = st.recursive(
    number_leaf,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["+", "-", "*", "/", "//", "%", "min", "max"]), inner, inner),
        st.tuples(st.just("neg"), inner),
        st.tuples(st.just("coalesce"), inner, inner),
        st.tuples(st.just("where"), bools(inner), inner, inner),
    ),
    max_leaves=5,
)


@given(tree=st.one_of(numbers, bools(numbers)))
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_results_are_those_of_plain_python(tree, device):
    text = shown(tree)
    found = result(text, device, **ROWS)
    expected = [worth(tree, row) for row in range(8)]
    assert [type(v) for v in found] == [type(v) for v in expected], text
    assert found == expected, text


@pytest.mark.parametrize("op", ["+", "-", "*", "//", "%"])
def test_integers_are_exact_to_the_last_one(op, device):
    edges = [LOW, LOW + 1, -(2**32), -3, -1, 0, 1, 3, 2**31, 2**53 + 1, HIGH - 1, HIGH]
    pairs = [(a, b) for a in edges for b in edges]
    found = result(
        f"a {op} b", device, a=ints([a for a, _ in pairs]), b=ints([b for _, b in pairs])
    )
    assert found == [arithmetic(op, a, b) for a, b in pairs]
    assert result("a - b == 1 and a != b", device, a=ints([2**53 + 1]), b=ints([2**53])) == [True]


def test_powers_and_functions(device):
    x = [4.0, -8.0, 0.0, None, 1e5]
    assert result("x ** 0.5", device, x=x)[:4] == [2.0, None, 0.0, None]
    assert result("x ** -1", device, x=x) == [0.25, -0.125, None, None, pytest.approx(1e-5)]
    assert result("2 ** i", device, i=[3, 62]) == [8.0, 2.0**62]
    for name, reference in [("sqrt", math.sqrt), ("exp", math.exp), ("log", math.log),
                            ("log1p", math.log1p)]:  # fmt: skip
        expected = []
        for v in x:
            try:
                expected.append(None if v is None else pytest.approx(reference(v), rel=1e-14))
            except (ValueError, OverflowError):
                expected.append(None)
        assert result(f"{name}(x)", device, x=x) == expected
    assert result("round(y)", device, y=[0.5, 1.5, -2.5, 2.4]) == [0.0, 2.0, -2.0, 2.0]
    assert result("round(y, 2)", device, y=[1.005, 2.345, None]) == [1.0, 2.35, None]
    assert result("floor(y) + ceil(y)", device, y=[1.5, -1.5]) == [3.0, -3.0]
    assert result("abs(i) + round(i)", device, i=ints([-3, LOW, 2])) == [0, None, 4]


# -- missing, texts, times -------------------------------------------------------------------------
def test_a_missing_operand_makes_the_result_missing(device):
    b = pd.Series([True, False, None], dtype="boolean")
    assert result("x > 15", device, x=[20.0, None]) == [True, None]
    assert result("b or True", device, b=b) == [True, True, None]
    assert result("b and False", device, b=b) == [False, False, None]
    assert result("not b", device, b=b) == [False, True, None]
    assert result("is_missing(b) or b", device, b=b) == [True, False, None]
    assert result("coalesce(b, False)", device, b=b) == [True, False, False]
    assert result("where(is_missing(x), 0, x)", device, x=[2.5, None]) == [2.5, 0.0]
    assert result("where(x > 1, x, 0)", device, x=[2.5, None]) == [2.5, None]


def test_texts(device):
    data = {"s": ["b", None, "ü", "B"], "t": ["b", "b", "a", None]}
    assert result("s == 'b'", device, **data) == [True, None, False, False]
    assert result("'b' <= s", device, **data) == [True, None, True, False]
    assert result("s == t", device, **data) == [True, None, False, None]
    assert result("s > t", device, **data) == [False, None, True, None]
    assert result("s in ['b', \"ü\"]", device, **data) == [True, None, True, False]
    assert result("s not in ('b',)", device, **data) == [False, None, True, True]
    assert result("coalesce(s, t, 'none')", device, **data) == ["b", "b", "ü", "B"]
    assert result("where(s == t, 'same', t)", device, **data) == ["same", None, "a", None]
    assert result("s", device, **data) == ["b", None, "ü", "B"]


def test_membership_of_numbers(device):
    assert result("i in [1, -2, 2.5]", device, i=ints([1, -2, 3, None])) == [
        True,
        True,
        False,
        None,
    ]
    assert result("i not in [1]", device, i=ints([1, None])) == [False, None]


def test_times(device):
    when = pd.Series(
        pd.to_datetime(["2013-07-01 00:00:00.000001", None, "1969-12-31 23:59:59.000000"])
    )
    data = {"d": when, "e": pd.Series(pd.to_datetime(["2013-07-02"] * 3))}
    assert result("d > '2013-07-01'", device, **data) == [True, None, False]
    assert result("d >= '2013-07-01T02:00:00+02:00'", device, **data) == [True, None, False]
    assert result("'2013-06-01' < d < e", device, **data) == [True, None, False]
    assert result("e - d", device, **data)[::2] == [86399.999999, pytest.approx(1372723201.0)]
    assert result("d - '1970-01-01'", device, **data)[2] == -1.0
    assert result("e in ['2013-07-02', '2014-01-01']", device, **data) == [True] * 3
    assert result("is_missing(coalesce(d, '2000-01-01'))", device, **data) == [False] * 3


def test_empty_and_all_missing_partitions(device):
    schema, host = make_frame({"x": [1.0, None], "s": ["a", "b"], "i": ints([1, 2])})
    empty = device.to_device(host.iloc[:0].reset_index(drop=True))
    for text in ["x > 1", "s == 'a'", "s < s", "i // 2", "where(x > 0, s, 'q')", "1 + 1", "s"]:
        made = device.to_host(parse(text).evaluate(empty, device))
        assert len(made) == 0
        assert str(made.dtype) == str(cpu.empty_frame([parse(text).check(schema)]).dtypes.iloc[0])
    gone = {"x": [None, None], "s": pd.Series([None, None], dtype=object)}
    schema, host = make_frame(gone)
    assert plain(device, parse("s == 'a'").evaluate(device.to_device(host), device)) == [None, None]


def test_the_frame_is_unchanged_and_its_index_ignored(device):
    _, host = make_frame({"x": [1.0, None, 3.0], "s": ["a", None, "b"]})
    host.index = pd.Index([7, 8, 9])
    before = host.copy(deep=True)
    made = parse("where(s == 'a', x, -x)").evaluate(device.to_device(host), device)
    assert device.to_host(made).index.tolist() == [0, 1, 2]
    pd.testing.assert_frame_equal(host, before)


# -- names and types -------------------------------------------------------------------------------
def test_columns_in_order_of_appearance():
    assert parse("b + a * b > `a b` and c in ['a']").columns == ["b", "a", "a b", "c"]
    assert parse("where(is_missing(`x`), y, 1)").columns == ["x", "y"]
    assert parse("min + 1").columns == ["min"]
    assert column_expression("a > 15").columns == ["a > 15"]


@pytest.mark.parametrize(
    "name", ["a b", "dep.delay", "ﬁ", "class", "π (%)", "`"[:0] + "5", "#x", "'"]
)
def test_odd_names(name, device):
    assert result(f"{quote(name)} + 1", device, **{name: [1.5]}) == [2.5]


def test_a_yaml_block_may_hold_an_expression(device):
    assert result("\n  a +\n  b\n", device, a=[1], b=[2]) == [3]


@pytest.mark.parametrize(
    ("text", "dtype"),
    [("i + j", "int64"), ("i / j", "float64"), ("i + x", "float64"), ("b + 1", "int64"),
     ("i > x", "bool"), ("s", "text"), ("d", "datetime"), ("d - d", "float64"), ("c + 1", "int64"),
     ("f", "float64"), ("i ** 2", "float64"), ("coalesce(i, x)", "float64"), ("-b", "int64"),
     ("where(b, i, j)", "int64"), ("is_missing(s)", "bool"), ("floor(x)", "float64")],
)  # fmt: skip
def test_check_says_the_dtype(text, dtype):
    assert parse(text).check(SCHEMA) == Column(text, dtype)


SCHEMA = Schema(
    tuple(
        Column(n, d)
        for n, d in [
            ("i", "int64"),
            ("j", "int64"),
            ("x", "float64"),
            ("b", "bool"),
            ("s", "text"),
            ("d", "datetime"),
            ("c", "int32"),
            ("f", "float32"),
            ("arr_delay", "float64"),
        ]  # fmt: skip
    )
)


# -- mistakes --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("arr_dela > 15", "position 1: there is no column 'arr_dela'.*did you mean 'arr_delay'"),
        ("i + s", "position 5.*text"),
        ("i + d", "position 5.*datetime"),
        ("s > 3", "position 5: text cannot be compared with int64"),
        ("i == '3'", "int64 cannot be compared with text"),
        ("i in ['a']", "cannot be compared"),
        ("i and b", "position 1: and takes bool"),
        ("not x", "not takes bool"),
        ("d > 'yesterday'", "position 5: 'yesterday' is not a date"),
        ("d + 'x'", "datetime"),
        ("where(i, 1, 2)", "where takes bool"),
        ("where(b, 1, 'a')", "where mixes int64 and text"),
        ("min(i)", "min takes 2 or more arguments, not 1"),
        ("round(x, i)", "decimals"),
        ("round(x, 1, 2)", "takes 1 to 2"),
        ("medain(i)", "no function 'medain'"),
        ("isnt_missing(i)", "did you mean 'is_missing'"),
        ("i.real", "a dot"),
        ("i[0]", "square brackets"),
        ("i & j", "position 1: &.*write: and"),
        ("i | j", "write: or"),
        ("~b", "write: not"),
        ("i << 2", "<<"),
        ("i is 1", "is_missing"),
        ("1 if b else 2", "where"),
        ("i = 1", "compare with =="),
        ("i (2)", "no function 'i'"),
        ("`i`(2)", "only functions"),
        ("abs(i)(j)", "only functions"),
        ("abs(x=i)", "plain arguments"),
        ("abs(*i)", "plain arguments"),
        ("i in j", "list of values"),
        ("i in []", "list of values"),
        ("i in [j]", "literal"),
        ("1 < i in [2]", "chain"),
        ("[1, 2]", "after `in`"),
        ("lambda: 0", "has no meaning"),
        ("[k for k in i]", "has no meaning"),
        ("__import__('os').system('true')", "only functions"),
        ("eval('1')", "no function 'eval'"),
        ("(i := 2)", ":="),
        ("f'{i}'", "f-string"),
        ("b'x' == s", "not a number"),
        ("None", "is_missing"),
        ("1j", "not a number"),
        ("...", "not a number"),
        ("1e999", "not a number"),
        ("9223372036854775808", "not a number"),
        ("i # rest", "position 3: '#'"),
        ("i + \x00", "no meaning"),
        ("'open", "closing quote"),
        ("'\\d' == s", "backslash"),
        ("`i", "backtick"),
        ("i + ``", "backtick"),
        ("(i", "not an expression"),
        ("i j", "position 3"),
        ("é + ü.x", "position 5: a dot"),
        ("i +", "not an expression"),
        ("i + 1" * 1000, "2000|2,000"),
        ("-" * 60 + "i", "50 levels"),
        ("-" * 1999 + "i", "nested|levels"),
        ("(" * 150 + "i" + ")" * 150, "^$|nested|levels|not an expression"),
        (" + ".join(["i"] * 120), "200 parts"),
    ],
)  # fmt: skip
def test_mistakes_are_named(text, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        parse(text).check(SCHEMA)
        if message.startswith("^$"):
            raise ConfigError("")


def test_the_part_is_shown_with_a_caret():
    with pytest.raises(ConfigError) as caught:
        parse("1 + `a b` + nope").check(SCHEMA)
    assert caught.value.examples == ("1 + `a b` + nope", "    ^")


def test_every_operand_of_a_chain_is_evaluated_once():
    text = "i"
    for _ in range(45):
        text = f"0 <= {text} + 0 <= 1" if text == "i" else f"0 <= ({text}) <= 1"
    assert result(text, i=[1]) == [True]


def test_expressions_travel():
    expression = parse("coalesce(`a b`, 2) in [1, 2]")
    assert pickle.loads(pickle.dumps(expression)) == expression


def test_it_never_warns(recwarn):
    result("x / 0 + log(x) + sqrt(x) + exp(x) + i // 0 + i % 0", x=[-1.0, 0.0, 1e9], i=[1, 2, 3])
    parse("1 / 0 + log(0)").check(SCHEMA)
    assert not recwarn.list
    assert np.geterr()["divide"] == "warn"


def test_floor_division_of_floats_is_pythons(device):
    rng = np.random.default_rng(0)
    b = np.concatenate([rng.choice([0.1, 0.3, -0.7, 1e-3, 3.0], 3000), rng.normal(size=1000)])
    a = np.concatenate([rng.integers(-999, 999, 3000) * np.abs(b[:3000]), rng.normal(0, 99, 1000)])
    data = {"a": a, "b": b}
    assert result("a // b", device, **data) == [x // y for x, y in zip(a, b, strict=True)]
    assert result("a % b", device, **data) == [x % y for x, y in zip(a, b, strict=True)]
