"""Files decoded on the GPU: cuDF's CSV and Parquet readers (`pipeline.device.FileReaders`).

Written against the source of cuDF 26.10; what has run on a GPU is in docs/gpu-results.
"""

from __future__ import annotations

from collections.abc import Sequence
from csv import QUOTE_MINIMAL, QUOTE_NONE
from io import BytesIO

import cudf

from pipeline.device import Frame
from pipeline.device.gpu import transfer_bytes

name = "cuDF"


def csv_fields(
    data: bytes, fields: int, used: Sequence[int], delimiter: str, quote: str | None
) -> Frame:
    """Return the fields of CSV records as text; a field that a record lacks is missing.

    Every column is read as text, because cuDF's numbers cannot be trusted: libcudf's
    `parse_numeric` reads 1.5 as the integer 1, lets integers overflow and takes True for 1, all
    without a null (docs/decisions/0004-cudf-reads-text.md).
    """
    transfer_bytes.count("h2d_files", len(data))
    columns = [str(position) for position in used]
    return cudf.read_csv(
        BytesIO(data),
        header=None,
        names=[str(position) for position in range(fields)],
        usecols=columns,
        dtype=dict.fromkeys(columns, "str"),
        sep=delimiter,
        quotechar=quote or '"',
        quoting=QUOTE_MINIMAL if quote else QUOTE_NONE,
        doublequote=True,
        na_filter=False,  # an empty field is an empty text: only a missing field is null
        keep_default_na=False,
        skip_blank_lines=True,
        compression=None,
    )


def row_groups(path: str, groups: Sequence[int], names: Sequence[str], size: int) -> Frame:
    """Return columns of row groups, in cuDF's dtypes."""
    transfer_bytes.count("h2d_files", size)
    return cudf.read_parquet(
        path,
        columns=list(names),
        row_groups=list(groups),
        use_pandas_metadata=False,
        # With the default ``hive``, cuDF (26.10.2, `_process_dataset`) first opens the file through
        # PyArrow, each time. It also makes columns of ``key=value`` folders, which replace columns
        # of the file.
        dataset_kwargs={"partitioning": None},
    )
