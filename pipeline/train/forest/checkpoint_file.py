"""Treelite checkpoints (format 4) as arrays, so that they can be checked before they are loaded.

Treelite trusts the lengths in a checkpoint: it hangs, crashes or fills the memory on some that are
wrong. Here every length is first compared with the bytes that are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

MAJOR = 4
FLOATS = {2: "<f4", 3: "<f8"}
"""Types of thresholds and leaves, by Treelite's number."""
HEADER = (
    ("num_tree", "<u8"), ("num_feature", "<i4"), ("task_type", "u1"), ("average", "u1"),
    ("num_target", "<i4"), ("num_class", ["<i4"]), ("leaf_vector_shape", ["<i4"]),
    ("target_id", ["<i4"]), ("class_id", ["<i4"]), ("postprocessor", ["u1"]),
    ("sigmoid_alpha", "<f4"), ("ratio_c", "<f4"), ("base_scores", ["<f8"]), ("attributes", ["u1"]),
    ("more_of_model", "<i4"),
)  # fmt: skip
"""Fields and their types, in order; a type in brackets is an array, after its length (uint64)."""
TREE = (
    ("num_nodes", "<i4"), ("has_categorical_split", "u1"), ("node_type", ["i1"]),
    ("cleft", ["<i4"]), ("cright", ["<i4"]), ("split_index", ["<i4"]), ("default_left", ["u1"]),
    ("leaf_value", ["float"]), ("threshold", ["float"]), ("cmp", ["i1"]),
    ("category_list_right_child", ["u1"]), ("leaf_vector", ["float"]),
    ("leaf_vector_begin", ["<u8"]), ("leaf_vector_end", ["<u8"]), ("category_list", ["<u4"]),
    ("category_list_begin", ["<u8"]), ("category_list_end", ["<u8"]), ("data_count", ["<u8"]),
    ("data_count_present", ["u1"]), ("sum_hess", ["<f8"]), ("sum_hess_present", ["u1"]),
    ("gain", ["<f8"]), ("gain_present", ["u1"]), ("more_of_tree", "<i4"), ("more_of_node", "<i4"),
)  # fmt: skip

Fields = Mapping[str, Any]
"""Values by field: numbers and NumPy arrays."""


def parse(data: bytes) -> tuple[Fields, Iterator[Fields]]:
    """Read the header, and the trees one by one as they are iterated over.

    Raises:
        ValueError: it is not a checkpoint of this format, or is cut, or has bytes after its end.
    """
    reader = _Reader(data)
    major, _, _ = (reader.number("<i4") for _ in range(3))
    kinds = {reader.number("u1") for _ in range(2)}
    if major != MAJOR or len(kinds) != 1 or not kinds <= set(FLOATS):
        raise ValueError(f"format {major} with numbers of types {sorted(kinds)}")
    reader.floats = FLOATS[kinds.pop()]
    header = reader.fields(HEADER)
    return header, _trees(reader, header)


def _trees(reader: _Reader, header: Fields) -> Iterator[Fields]:
    for _ in range(header["num_tree"]):
        yield reader.fields(TREE)
    if reader.at != len(reader.data):
        raise ValueError(f"{len(reader.data) - reader.at} bytes after the end")


class _Reader:
    """A position in the bytes of a file."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.floats = data, 0, ""

    def array(self, kind: str, count: int) -> np.ndarray:
        """Read ``count`` numbers."""
        dtype = np.dtype(self.floats if kind == "float" else kind)
        end = self.at + count * dtype.itemsize
        if end > len(self.data):
            raise ValueError(f"{count} numbers claimed at {self.at} of {len(self.data)} bytes")
        values = np.frombuffer(self.data, dtype, count, self.at)
        self.at = end
        return values

    def number(self, kind: str) -> Any:
        """Read one number."""
        return self.array(kind, 1)[0].item()

    def fields(self, layout: tuple[tuple[str, Any], ...]) -> Fields:
        """Read fields in order; fields of later versions after them are an error."""
        values = {
            name: self.number(kind)
            if isinstance(kind, str)
            else self.array(kind[0], self.number("<u8"))
            for name, kind in layout
        }
        # Treelite counts the optional fields that a later version adds.
        if any(values[name] for name in values if name.startswith("more_of")):
            raise ValueError(f"fields of a later version at {self.at}")
        return values
