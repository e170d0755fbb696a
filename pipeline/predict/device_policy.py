"""Which device scores new rows, and why: a GPU only where it can, and where it pays."""

from __future__ import annotations

from pipeline.device.choose import DeviceChoice, choose_device, frames_of
from pipeline.predict.scorer import Scorer

FEW = 100_000
"""Rows up to which ``auto`` stays on the CPU. Both models score 98,225 flights there in 0.7 s
(README); to import cuDF and cuML takes 5.7 s, before the GPU has done anything."""


def choose_for_rows(asked: str, rows: int) -> DeviceChoice:
    """The device for so many rows.

    Raises:
        DeviceError: ``gpu`` was asked for and there is none that works.
        ConfigError: ``asked`` is no device.
    """
    if asked == "auto" and rows <= FEW:
        why = f"{rows:,} rows: a GPU's libraries take longer to load than so few rows to score"
        return DeviceChoice(asked, "cpu", why)
    return choose_device(asked)


def move_to_device(scorer: Scorer, choice: DeviceChoice) -> Scorer:
    """The scorer on the chosen device; under ``auto`` on the CPU if the GPU cannot score the model.

    Raises:
        DeviceError: ``gpu`` was asked for, and it cannot; the reason and the fix.
        InputError: the golden rows get other scores there than when the model was saved.
    """
    try:
        return scorer.on(choice)
    except Exception as error:
        return scorer.on(fall_back_to_cpu(choice, error))


def fall_back_to_cpu(choice: DeviceChoice, error: Exception) -> DeviceChoice:
    """The CPU, because the GPU of an ``auto`` choice cannot go on.

    Raises:
        DeviceError: the GPU was asked for; it says what is the matter. Any other error as it is.
    """
    found = frames_of(choice.name).translate_error(error)
    if found is None:
        raise error
    if choice.requested != "auto":
        fix = found.fix or "score fewer files at a time, or use --device cpu"
        raise type(found)(found.message, fix=fix) from error
    return DeviceChoice(choice.requested, "cpu", found.message)
