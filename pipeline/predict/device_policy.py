"""Choice of the device that scores new rows: a GPU only if it can, and if it is worth it."""

from __future__ import annotations

from pipeline.console.plural import quantify
from pipeline.device.choose import DeviceChoice, choose_device, frames_of
from pipeline.device.probe import probe_gpus
from pipeline.predict.scorer import Scorer

FEW = 100_000
"""Number of rows up to which ``auto`` stays on the CPU. Both models score 98,225 flights there in
0.7 s (README); the import of cuDF and cuML alone takes 5.7 s."""


def choose_for_rows(asked: str, rows: int) -> DeviceChoice:
    """Choose the device for a number of rows.

    Raises:
        DeviceError: ``gpu`` was asked for, and no GPU works.
        ConfigError: ``asked`` is not a device.
    """
    if asked == "auto" and rows <= FEW:
        why = f"{quantify(rows, 'row')}: scoring takes less time than loading a GPU's libraries"
        # Without a GPU there is nothing to load, whatever the number of rows.
        if (problem := probe_gpus().reason) is not None:
            why = f"no GPU: {problem}"
        return DeviceChoice(asked, "cpu", why)
    return choose_device(asked)


def move_to_device(scorer: Scorer, choice: DeviceChoice) -> Scorer:
    """Return the scorer on a device; ``auto`` falls back to the CPU if the GPU cannot score.

    Raises:
        DeviceError: ``gpu`` was asked for, and it cannot score; the message has a fix.
        InputError: the golden rows get other scores there than when the model was saved.
    """
    try:
        return scorer.on(choice)
    except Exception as error:
        return scorer.on(fall_back_to_cpu(choice, error))


def fall_back_to_cpu(choice: DeviceChoice, error: Exception) -> DeviceChoice:
    """Return the CPU in place of the GPU of an ``auto`` choice.

    Raises:
        DeviceError: the GPU was asked for. Other errors are raised as they are.
    """
    trouble = frames_of(choice.name).translate_error(error)
    if trouble is None:
        raise error
    if choice.requested != "auto":
        fix = trouble.fix or "score fewer files at a time, or use --device cpu"
        raise type(trouble)(trouble.message, fix=fix) from error
    return DeviceChoice(choice.requested, "cpu", trouble.message)
