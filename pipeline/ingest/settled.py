"""What the passes over all rows settled, so that rows read again get the same labels and sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.ingest.prepare import Counts
from pipeline.ingest.split import Cuts
from pipeline.matrix import Target


@dataclass(frozen=True)
class Settlement:
    """The target, where the sets are cut, and what they hold."""

    target: Target
    why: str
    """What decided the task."""
    cuts: Cuts | None
    """Of a split by time."""
    counts: Counts

    def to_json(self) -> dict[str, Any]:
        """For the record of the stage."""
        counts = asdict(self.counts)
        return {
            "task": self.target.task,
            "classes": list(self.target.classes),
            "why": self.why,
            "cuts": None if self.cuts is None else self.cuts.to_json(),
            "counts": {**counts, "classes": list(self.counts.classes.values())},
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Settlement:
        """The inverse of `to_json`."""
        own = data["counts"]
        classes = {float(i): n for i, n in enumerate(own["classes"])}
        return Settlement(
            Target(data["task"], tuple(data["classes"])), data["why"],
            None if data["cuts"] is None else Cuts.from_json(data["cuts"]),
            Counts(
                own["rows"], own["sampled"], classes, own["label"], own["weight"],
                own["valid_weight"],
            ),
        )  # fmt: skip
