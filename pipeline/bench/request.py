"""The request for a benchmark: sizes, devices and prices, parsed from the options."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.device.choose import DeviceChoice, choose_device
from pipeline.errors import DeviceError, InputError, suggest_or_list

DEVICES = ("cpu", "gpu")


@dataclass(frozen=True)
class Request:
    """Validated options of the command."""

    sizes: tuple[int, ...]
    """Rows, ascending."""
    devices: tuple[str, ...]
    repeat: int
    prices: Mapping[str, float]
    """Dollars per hour, by device."""


def parse_request(rows: str, devices: str, repeat: int, price: str | None) -> Request:
    """Parse the options as users type them: ``1e5,1e6``, ``cpu,gpu``, ``cpu=0.34,gpu=4.10``.

    Raises:
        InputError: an option is not valid; the message names it.
    """
    sizes = set()
    for entry in _split(rows, "--rows"):
        size = _parse_number(entry)
        # Sizes may be written as 1e5, but must be whole.
        if not (1 <= size < math.inf and size == int(size)):
            raise InputError(
                f"--rows {entry!r} is not a number of rows",
                fix="write for example --rows 1e5,1e6,1e7",
            )
        sizes.add(int(size))
    chosen = tuple(dict.fromkeys(_split(devices, "--devices")))
    for name in chosen:
        if name not in DEVICES:
            raise InputError(f"--devices {name!r}", fix=suggest_or_list(name, DEVICES))
    prices = {}
    for entry in _split(price, "--price") if price else ():
        name, equals, amount = entry.partition("=")
        dollars = _parse_number(amount)
        if not (equals and name in DEVICES and 0 <= dollars < math.inf):
            raise InputError(
                f"--price {entry!r} is not device=dollars per hour",
                fix="write for example --price cpu=0.34,gpu=4.10",
            )
        prices[name] = dollars
    return Request(tuple(sorted(sizes)), chosen, repeat, prices)


def _split(text: str, option: str) -> list[str]:
    entries = [entry.strip() for entry in text.split(",")]
    if not all(entries):
        raise InputError(f"{option} {text!r} has an empty entry", fix="separate them by commas")
    return entries


def _parse_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan  # fails every comparison of the callers


def find_devices(
    devices: Sequence[str], choose_device: Callable[[str], DeviceChoice] = choose_device
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the usable devices, and the reason why each other one is not.

    Raises:
        DeviceError: only one device is requested, and it is not usable.
    """
    missing = {}
    for name in devices:
        try:
            choose_device(name)
        except DeviceError as error:
            if len(devices) == 1:
                raise
            missing[name] = error.message.removeprefix(f"device: {name}, but ")
    return tuple(name for name in devices if name not in missing), missing
