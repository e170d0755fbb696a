"""Operators and functions over arrays of numbers: exact for int64, like Python's for floats.

Every function takes an array module (NumPy or CuPy) and arrays of one length or of length 1, and
returns (values, missing): ``missing`` marks the results that do not exist. These are overflows of
int64 and float results that are not finite (a division by zero, the logarithm of 0).
"""

from __future__ import annotations

import operator
from types import ModuleType

from pipeline.device import Array

LOWEST = -(2**63)
Result = tuple[Array, Array]


def mark_infinite(xp: ModuleType, values: Array) -> Result:
    """Mark the float results that are not finite as missing."""
    return values, ~xp.isfinite(values)


def apply_to_integers(xp: ModuleType, op: str, a: Array, b: Array) -> Result:
    """Apply ``+ - * // %`` to int64 arrays: exactly; a result outside int64 is missing."""
    if op in ("//", "%"):
        by_zero, beyond = b == 0, (a == LOWEST) & (b == -1)
        divisor = xp.where(by_zero | beyond, 1, b)
        return (a // divisor, by_zero | beyond) if op == "//" else (a % divisor, by_zero)
    calculate = {"+": operator.add, "-": operator.sub, "*": operator.mul}[op]
    exact = calculate(a, b)
    # Bounds from the extremes cost less than a comparison of every row.
    if 0 not in (a.size, b.size):
        x, y = (max(-int(v.min()), int(v.max())) for v in (a, b))
        if (x * y if op == "*" else x + y) < -LOWEST:
            return exact, xp.zeros(exact.shape, dtype=bool)
    near = calculate(a.astype("float64"), b.astype("float64"))
    # Wrapping moves a result by a multiple of 2^64; the float result is off by far less.
    return exact, xp.abs(near - exact.astype("float64")) > 2.0**63


def apply_to_floats(xp: ModuleType, op: str, a: Array, b: Array) -> Result:
    """Apply any arithmetic operator to float64 arrays."""
    if op in ("//", "%"):
        # As in CPython's Objects/floatobject.c; NumPy's and CuPy's differ from it.
        rest = xp.fmod(a, b)
        # fmod gives the rest the sign of the dividend, and Python that of the divisor.
        turned = (rest != 0) & ((b < 0) != (rest < 0))
        if op == "%":
            rest = xp.where(rest == 0, xp.copysign(0.0, b), rest)
            return mark_infinite(xp, xp.where(turned, rest + b, rest))
        quotient = (a - rest) / b
        quotient = xp.where(turned, quotient - 1.0, quotient)
        # The division may have rounded a quotient to just below a whole number.
        floored = xp.floor(quotient)
        floored = xp.where(quotient - floored > 0.5, floored + 1.0, floored)
        return mark_infinite(xp, xp.where(quotient == 0, xp.copysign(0.0, a / b), floored))
    if op == "**":
        return mark_infinite(xp, xp.power(a, b))
    calculate = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}[op]
    return mark_infinite(xp, calculate(a, b))


def apply_function(xp: ModuleType, name: str, a: Array) -> Result:
    """Apply ``sqrt``, ``exp``, ``log`` or ``log1p`` to a float64 array."""
    return mark_infinite(xp, getattr(xp, name)(a))


def absolute_values(xp: ModuleType, a: Array) -> Result:
    """Compute absolute values; the lowest int64 has none, so its result is missing."""
    return (xp.abs(a), a == LOWEST) if a.dtype.kind == "i" else mark_infinite(xp, xp.abs(a))


def round_values(xp: ModuleType, name: str, a: Array, digits: int) -> Result:
    """Apply ``round`` (half to even, at ``digits`` decimals), ``floor`` or ``ceil``."""
    if a.dtype.kind == "i":
        return a, xp.zeros(a.shape, bool)
    if name == "round" and digits:
        scale = 10.0**digits
        return mark_infinite(xp, xp.rint(a * scale) / scale)
    return mark_infinite(xp, {"round": xp.rint, "floor": xp.floor, "ceil": xp.ceil}[name](a))
