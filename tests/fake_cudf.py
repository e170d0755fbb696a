"""cuDF's readers on pandas: what its documentation and the source of libcudf say that they do.

`csv_fields` follows libcudf's `csv_gpu.cu` character by character: a quote anywhere opens or closes,
fields beyond the names are dropped, a record that ends early leaves nulls, nothing raises. What it
makes of bad bytes is made up: garbage, as there.
"""

import types

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.device import cpu


def records(text, quote):
    """Lines, each with its newline; a newline between quotes is part of its record."""
    start, quoted = 0, False
    for at, c in enumerate(text):
        if c == quote:
            quoted = not quoted
        elif c == "\n" and not quoted:
            yield text[start : at + 1]
            start = at + 1
    if start < len(text):
        yield text[start:]


def fields_of(record, delimiter, quote):
    """The texts of a record's fields."""
    start = 0
    while start < len(record):
        end, quoted = start, False
        while end < len(record):
            c = record[end]
            if c == quote:
                quoted = not quoted
            elif not quoted and (c in (delimiter, "\n") or record[end : end + 2] == "\r\n"):
                break
            end += 1
        field = record[start:end]
        if quote and len(field) > 1 and field[0] == quote == field[-1]:
            field = field[1:-1].replace(quote * 2, quote)
        yield field
        start = end + 1


class Reading:
    """Stands for `pipeline.device.gpu.reading`; counts what it is asked for."""

    name = "cuDF"

    def __init__(self):
        self.blocks, self.bytes = 0, 0

    def csv_fields(self, data, fields, used, delimiter, quote):
        assert data.endswith(b"\n")
        self._count(len(data))
        text = data.decode("utf-8", "replace")
        rows = []
        for record in records(text, quote):
            if record not in ("\n", "\r\n"):
                found = list(fields_of(record, delimiter, quote))[:fields]
                rows.append(found + [None] * (fields - len(found)))
        table = pd.DataFrame(rows, columns=[str(i) for i in range(fields)], dtype="str")
        return table[[str(i) for i in used]]

    def row_groups(self, path, groups, names, size):
        self._count(size)
        file = pq.ParquetFile(path)
        known = [n for n in names if n in file.schema_arrow.names and "." not in n]
        table = file.read_row_groups(list(groups), columns=known)
        return pd.DataFrame({n: _series(table[n]) for n in known})

    def _count(self, size):
        self.blocks, self.bytes = self.blocks + 1, self.bytes + size


def _series(column):
    """A column as cuDF has it: nulls beside values of any dtype, zones gone, days as seconds."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp(kind.unit))
    elif pa.types.is_date32(kind):
        column = column.cast(pa.timestamp("s"))
    elif pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        name = "boolean" if pa.types.is_boolean(kind) else str(kind).replace("int", "Int")
        name = name.replace("uInt", "UInt")
        return pd.Series(pd.array(column.to_pylist(), dtype=name))
    elif pa.types.is_decimal(kind):
        return pd.Series(column.to_pandas(), dtype=object)
    return pd.Series(column.to_pandas())


def device(reading=None):
    """The CPU's functions with readers of their own, as the GPU has them."""
    own = types.SimpleNamespace(**{n: getattr(cpu, n) for n in dir(cpu) if not n.startswith("__")})
    found = reading or Reading()
    own.file_readers = lambda: found
    return own
