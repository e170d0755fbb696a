"""What the operators and functions do to arrays of numbers: exact for int64, as Python for floats.

Every function takes an array module (NumPy or CuPy) and arrays of one length or of length 1, and
returns (values, missing): ``missing`` marks the results that do not exist. Overflow of int64 and
any result that is no finite number (a division by zero, the logarithm of 0) are missing.
"""

from __future__ import annotations

from types import ModuleType

from pipeline.device import Array

LOWEST = -(2**63)
Result = tuple[Array, Array]


def mark_infinite(xp: ModuleType, values: Array) -> Result:
    """Float results; those that are not finite do not exist."""
    return values, ~xp.isfinite(values)


def apply_to_integers(xp: ModuleType, op: str, a: Array, b: Array) -> Result:
    """``+ - * // %`` of int64 arrays: exact; a result outside int64 is missing."""
    if op in ("//", "%"):
        by_zero, beyond = b == 0, (a == LOWEST) & (b == -1)
        divisor = xp.where(by_zero | beyond, 1, b)
        return (a // divisor, by_zero | beyond) if op == "//" else (a % divisor, by_zero)
    if _within(op, a, b):
        exact = a + b if op == "+" else a - b if op == "-" else a * b
        return exact, xp.zeros(exact.shape, dtype=bool)
    exact, near = _both(op, a, b)
    # Wrapping moves a result by a multiple of 2^64; the float result is off by far less.
    return exact, xp.abs(near - exact.astype("float64")) > 2.0**63


def _within(op: str, a: Array, b: Array) -> bool:
    """Whether no result can leave int64: a look at the extremes costs less than one at each row."""
    if 0 in (a.size, b.size):
        return False
    x, y = (max(-int(v.min()), int(v.max())) for v in (a, b))
    return (x * y if op == "*" else x + y) < -LOWEST


def _both(op: str, a: Array, b: Array) -> Result:
    x, y = a.astype("float64"), b.astype("float64")
    if op == "+":
        return a + b, x + y
    return (a - b, x - y) if op == "-" else (a * b, x * y)


def apply_to_floats(xp: ModuleType, op: str, a: Array, b: Array) -> Result:
    """Any operator over float64 arrays."""
    if op == "+":
        return mark_infinite(xp, a + b)
    if op == "-":
        return mark_infinite(xp, a - b)
    if op == "*":
        return mark_infinite(xp, a * b)
    if op == "/":
        return mark_infinite(xp, a / b)
    if op == "**":
        return mark_infinite(xp, xp.power(a, b))
    quotient, rest = _floor_divide(xp, a, b)
    return mark_infinite(xp, quotient if op == "//" else rest)


def _floor_divide(xp: ModuleType, a: Array, b: Array) -> Result:
    """Python's divmod of floats (CPython, Objects/floatobject.c); NumPy's and CuPy's differ."""
    rest = xp.fmod(a, b)
    quotient = (a - rest) / b
    turned = (rest != 0) & ((b < 0) != (rest < 0))
    rest = xp.where(turned, rest + b, xp.where(rest == 0, xp.copysign(0.0, b), rest))
    quotient = xp.where(turned, quotient - 1.0, quotient)
    floored = xp.floor(quotient)
    floored = xp.where(quotient - floored > 0.5, floored + 1.0, floored)
    return xp.where(quotient == 0, xp.copysign(0.0, a / b), floored), rest


def apply_function(xp: ModuleType, name: str, a: Array) -> Result:
    """``sqrt exp log log1p`` of a float64 array."""
    return mark_infinite(xp, getattr(xp, name)(a))


def absolute_values(xp: ModuleType, a: Array) -> Result:
    """The absolute value; of the lowest int64 there is none."""
    return (xp.abs(a), a == LOWEST) if a.dtype.kind == "i" else mark_infinite(xp, xp.abs(a))


def round_values(xp: ModuleType, name: str, a: Array, digits: int) -> Result:
    """``round`` (half to even, at ``digits`` decimals), ``floor``, ``ceil``: floats stay floats."""
    if a.dtype.kind == "i":
        return a, xp.zeros(a.shape, bool)
    if name == "round" and digits:
        scale = 10.0**digits
        return mark_infinite(xp, xp.rint(a * scale) / scale)
    return mark_infinite(xp, {"round": xp.rint, "floor": xp.floor, "ceil": xp.ceil}[name](a))
