"""What a benchmark is asked to do: sizes, devices, prices, and which of the devices are there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.device.choose import Choice, choose
from pipeline.errors import DeviceError, InputError, suggest_or_list

DEVICES = ("cpu", "gpu")


@dataclass(frozen=True)
class Request:
    """The command's options, checked."""

    sizes: tuple[int, ...]
    """Rows, ascending."""
    devices: tuple[str, ...]
    repeat: int
    prices: Mapping[str, float]
    """Dollars an hour, by device."""


def parse_request(rows: str, devices: str, repeat: int, price: str | None) -> Request:
    """The options as they are written: ``1e5,1e6``, ``cpu,gpu``, ``cpu=0.34,gpu=4.10``.

    Raises:
        InputError: one of them is not; names it.
    """
    sizes = sorted({_size(word) for word in _words(rows, "--rows")})
    chosen = tuple(dict.fromkeys(_words(devices, "--devices")))
    for name in chosen:
        if name not in DEVICES:
            raise InputError(f"--devices {name!r}", fix=suggest_or_list(name, DEVICES))
    prices = dict(_price(word) for word in _words(price, "--price")) if price else {}
    return Request(tuple(sizes), chosen, repeat, prices)


def _words(text: str, option: str) -> list[str]:
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise InputError(f"{option} {text!r} has an empty entry", fix="separate them by commas")
    return words


def _size(word: str) -> int:
    try:
        rows = float(word)
    except ValueError:
        rows = math.nan
    if not (1 <= rows < math.inf and rows == int(rows)):
        raise InputError(
            f"--rows {word!r} is no number of rows", fix="for example --rows 1e5,1e6,1e7"
        )
    return int(rows)


def _price(word: str) -> tuple[str, float]:
    name, eq, amount = word.partition("=")
    try:
        dollars = float(amount)
    except ValueError:
        dollars = math.nan
    if not (eq and name in DEVICES and 0 <= dollars < math.inf):
        raise InputError(
            f"--price {word!r} is no device=dollars an hour",
            fix="for example --price cpu=0.34,gpu=4.10",
        )
    return name, dollars


def find_devices(
    devices: Sequence[str], look: Callable[[str], Choice] = choose
) -> tuple[tuple[str, ...], dict[str, str]]:
    """(the devices that are there, why the others are not).

    Raises:
        DeviceError: none is.
    """
    missing = {}
    for name in devices:
        try:
            look(name)
        except DeviceError as error:
            if len(devices) == 1:
                raise
            missing[name] = error.message.removeprefix(f"device: {name}, but ")
    return tuple(name for name in devices if name not in missing), missing
