"""The result of scoring files, as text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.console.plural import pluralize, quantify
from pipeline.device.choose import DeviceChoice
from pipeline.ingest.contract import Contract
from pipeline.ingest.reading_note import ReadingNote
from pipeline.predict import writer

SHOWN_NOTES = 8


@dataclass(frozen=True)
class PredictResult:
    """The result of `predict_files`."""

    out: str
    model: str
    rows: int
    unscored: int
    """Rows whose prediction is null: dropped by a filter, or bad under quarantine."""
    extra: tuple[str, ...]
    """Columns of the new data that the run does not use."""
    device: DeviceChoice
    seconds: float
    notes: tuple[ReadingNote, ...] = ()
    """Notes on what reading skipped, replaced or decided, beyond what the run knew."""

    def to_json(self) -> dict[str, Any]:
        """Return the result for ``--json``."""
        return {
            "out": self.out,
            "model": self.model,
            "rows": self.rows,
            "unscored": self.unscored,
            "ignored_columns": list(self.extra),
            "device": {
                "asked": self.device.requested,
                "chosen": self.device.name,
                "reason": self.device.reason,
            },
            "seconds": self.seconds,
            "notes": [note.to_json() for note in self.notes],
        }

    def text(self) -> str:
        """Return the result as lines for people."""
        where, took = f"on the {self.device.name}", f"in {self.seconds:.1f} s"
        out = "standard output" if self.out == writer.STDOUT else self.out
        lines = [
            f"{quantify(self.rows, 'row')} scored by {self.model} {where} {took}: {out}",
            f"device {self.device.name}: {self.device.reason}",
        ]
        if self.unscored:
            verb = pluralize(self.unscored, "has", "have")
            unscored = quantify(self.unscored, "row")
            lines.append(f"{unscored} {verb} a null prediction (filtered or bad)")
        lines += [f"note: {note}" for note in self.notes[:SHOWN_NOTES]]
        if self.extra:
            shown = ", ".join(self.extra[:8]) + (", …" if len(self.extra) > 8 else "")
            lines.append(f"columns that the run does not know were ignored: {shown}")
        return "\n".join(lines)


def select_news(contract: Contract, trained: Contract) -> tuple[ReadingNote, ...]:
    """Return the notes of a kind that the run has not reported for the same column."""

    def identify(note: ReadingNote) -> tuple[str, str | None, str]:
        # How the config spells a name and how a file does are two pieces of news.
        return note.kind, note.column, note.message if note.kind == "header" else ""

    reported = {identify(note) for note in trained.notes}
    return tuple(note for note in contract.notes if identify(note) not in reported)
