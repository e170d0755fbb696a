"""The keys of the config and their defaults, and how a config is loaded and written back."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from pipeline.config.cluster import Cluster, Memory
from pipeline.config.date_format import check_format, is_format
from pipeline.config.loader import apply_override, read_yaml
from pipeline.config.scheduler import is_local_kind
from pipeline.config.section import Names, Section, refuse_repeated, wrap_text
from pipeline.config.storage_options import check_source
from pipeline.config.validation import validate
from pipeline.errors import ConfigError

MODELS = ("xgboost", "forest")
"""Models that are trained if the config names none."""
Paths = Annotated[tuple[str, ...], BeforeValidator(wrap_text), Field(min_length=1)]
ColumnType = Literal["integer", "float", "decimal", "bool", "date", "datetime", "text"]


class OnlyWords(Section):
    """Words that mean missing instead of the default ones."""

    only: Names


def _check_words(value: Any) -> Any:
    # Checked here, so that a mistake gives one message and not one per part of the union.
    words = value.get("only") if isinstance(value, Mapping) and set(value) == {"only"} else value
    if isinstance(words, list | tuple) and all(isinstance(word, str) for word in words):
        return value
    if isinstance(words, str | OnlyWords):
        return value
    raise ValueError("must be a list of words, or {only: [...]} to replace the default ones")


MissingWords = Annotated[Names | OnlyWords, BeforeValidator(_check_words)]


def _check_type(value: Any) -> Any:
    # Checked here, so that a mistake gives one message and not one per part of the union.
    if isinstance(value, str) and is_format(value):
        return check_format(value)
    if value not in get_args(ColumnType):
        expected = ", ".join(map(repr, get_args(ColumnType)))
        expected += " or a format of dates such as '%d-%m-%Y'"
        raise PydanticCustomError("literal_error", "must be {expected}", {"expected": expected})
    return value


TypeOrFormat = Annotated[
    str,
    BeforeValidator(_check_type),
    WithJsonSchema(
        {"type": "string", "pattern": f"^({'|'.join(get_args(ColumnType))}|epoch .*|.*%.*)$"}
    ),
]
"""A `ColumnType`, or a format of dates (`pipeline.config.date_format`)."""


class Csv(Section):
    """Format of the CSV files. An option that is None is inferred from the first file."""

    delimiter: str | None = None
    """One character. None: the one of ``, ; tab |`` that splits the sample evenly."""
    header: bool | Names | None = None
    """True: the first line names the columns. False: they are f0, f1, …. A list: their names. None:
    as True, but a first line that holds data is an error."""
    skip: int | None = Field(None, ge=0)
    """Number of lines above the header, or above the first row. None: ``sep=;``, lines that begin
    with ``#``, and lines with another number of fields than the table are skipped and reported."""
    comment: str | None = None
    """Character that begins comment lines, also between rows. None: ``#``, above the header
    only."""
    quote: str | None = '"'
    encoding: str | None = None
    """Encoding of the text, such as ``cp1252``. None: the one of the byte-order mark, else UTF-8 if
    the bytes are valid, else the one that is detected, which the run reports."""
    newlines_in_values: bool | None = None
    """Quoted fields may contain newlines; such files are read sequentially."""
    missing: MissingWords = ()
    """Words that mean missing, quoted or not, beside an empty field, ``NA``, ``N/A``, ``NaN``,
    ``nan``, ``null``, ``NULL``, ``None``, ``<NA>`` and ``#N/A``. ``{only: [...]}``: these alone."""
    strict: bool = False
    """Words in columns of numbers and dates are errors, even if they seem to mean missing."""
    true: Names = ("true", "True", "TRUE")
    false: Names = ("false", "False", "FALSE")


class Source(Section):
    """Files of one table and the types of their columns."""

    path: Paths
    """A file, folder or glob, or a list of them: local, or s3://, gs://, abfs://, http(s)://."""
    format: Literal["auto", "csv", "parquet", "jsonl", "arrow", "excel", "delta"] = "auto"
    """auto: by the ending. ``arrow`` is Feather or Arrow IPC."""
    csv: Csv = Csv()
    sheet: str | Annotated[int, Field(ge=1)] | None = None
    """Sheet of Excel files: its name, or its number from 1 on. None: the first one with data."""
    types: Mapping[str, TypeOrFormat] = {}
    """Types that replace the inferred ones, by column. Dates may have a format: ``%d-%m-%Y``,
    ``%m/%d/%Y[ %H:%M]``, ``epoch ms``."""
    storage_options: Mapping[str, Any] = {}
    """Options of the library for the URL's protocol; secrets only as ``${NAME}``."""

    @model_validator(mode="after")
    def _check_urls(self) -> Source:
        check_source(self.path, self.storage_options)
        return self


class Table(Source):
    """A side table, in which each combination of keys occurs once."""

    keys: Annotated[Names, Field(min_length=1)]


class Data(Source):
    """The main table, its target, and options for its rows."""

    target: str
    """A column, or an expression over columns (``arr_delay > 15``)."""
    task: Literal["auto", "binary", "multiclass", "regression"] = "auto"
    positive: str | int | float | bool | None = None
    """Class whose probability a binary task reports. None: the last of the sorted classes."""
    weight: str | None = None
    """Column of row weights, which are numbers >= 0: 2 counts as two such rows in all that is
    fitted or measured. Rows of weight 0 are dropped; a note says how many."""
    tables: Mapping[str, Table] = {}
    on_bad_rows: Literal["error", "quarantine"] = "error"
    rows: int | None = Field(None, ge=1)
    """Number of rows that are used, from the first one. None: all."""


class Split(Section):
    """Split of the rows into ``train``, ``valid`` (stops the training) and ``test``."""

    by: Literal["random", "time", "group", "column"] = "random"
    column: str | None = None
    """Column with the time, the group, or the words train/valid/test."""
    valid: float = Field(0.1, ge=0, lt=1)
    test: float = Field(0.2, gt=0, lt=1)

    @model_validator(mode="after")
    def _check(self) -> Split:
        if self.valid + self.test >= 1:
            raise ValueError(f"valid={self.valid} and test={self.test} leave no training rows")
        if (self.by == "random") != (self.column is None):
            raise ValueError(
                "by: random takes no column" if self.column else f"by: {self.by} needs a column"
            )
        return self


class Evaluate(Section):
    """Measurements in addition to the metrics of the task."""

    slices: Annotated[Names, AfterValidator(refuse_repeated)] = ()
    """Columns for whose values metrics are computed separately."""


def _parse_refit(value: Any) -> Any:
    """Accept YAML's ``true`` and ``false`` for ``always`` and ``never``."""
    return {True: "always", False: "never"}[value] if isinstance(value, bool) else value


Refit = Annotated[Literal["auto", "always", "never"], BeforeValidator(_parse_refit)]


class Config(Section):
    """The config of one run, from data to models."""

    name: str = Field(
        "run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64, examples=["sales-2026.1"]
    )
    seed: int = Field(0, ge=0, lt=2**31)
    data: Data
    split: Split = Split()
    features: tuple[Mapping[str, Any] | str, ...] | None = None
    """Ops in order (`pipeline.features.registry`). None: chosen by the types of the columns."""
    models: Mapping[str, Mapping[str, Any] | None] | None = None
    """Parameters by model (`pipeline.train.params`). None: the default models. null skips one."""
    evaluate: Evaluate = Evaluate()
    refit: Refit = "auto"
    """Refit the models on all rows after the evaluation. auto: below 500,000 rows."""
    golden: int = Field(50, ge=0, le=1000)
    """Number of golden rows: rows with shuffled columns whose scores are checked on loading."""
    device: Literal["auto", "gpu", "cpu"] = "auto"
    cluster: Cluster = Cluster()
    memory: Memory = Memory()

    @staticmethod
    def load(path: str | Path, overrides: Sequence[str] = ()) -> Config:
        """Load the config in a YAML file, with overrides ``a.b=c`` whose values are YAML.

        Raises:
            ConfigError: The file is missing or not YAML, has unknown keys or wrong values, or names
                a scheduler on another host that no override names.
        """
        return Config.from_file(read_yaml(Path(path).expanduser()), overrides)

    @staticmethod
    def from_file(tree: Any, overrides: Sequence[str] = ()) -> Config:
        """Parse the tree of a file, which must not send the run to a scheduler on another host.

        Raises:
            ConfigError: The file names such a scheduler and no override does; or as `parse`.
        """
        config = Config.parse(tree, overrides)
        kind, named = config.cluster.kind, {o.partition("=")[0].strip() for o in overrides}
        if not named & {"cluster", "cluster.kind"} and not is_local_kind(kind):
            raise ConfigError(
                f"cluster.kind: {kind} is a scheduler on another host, which can run any code here",
                fix=f"name it on the command line if you trust it: --cluster {shlex.quote(kind)}",
            )
        return config

    @staticmethod
    def parse(tree: Any, overrides: Sequence[str] = ()) -> Config:
        """Check a tree of plain values, which is not changed, and build the config from it.

        Raises:
            ConfigError: The tree or an override has unknown keys or wrong values.
        """
        if not isinstance(tree, dict):
            raise ConfigError(
                "the config is not a mapping of keys to values", fix="start it with `data:`"
            )
        tree = deepcopy(tree)
        if not tree.get("models") and any(o.startswith("models.") for o in overrides):
            # An override of one model's parameters does not leave out the other models.
            tree["models"] = {name: {} for name in MODELS}
        _expand_cluster(tree)  # first, because an override may name one of its keys
        for override in overrides:
            apply_override(tree, override)
        _expand_cluster(tree)
        return validate(Config, tree)

    def to_yaml(self) -> str:
        """Write the config as YAML, with every default."""
        return yaml.safe_dump(self.model_dump(mode="json", by_alias=True), sort_keys=False)


def _expand_cluster(tree: dict[str, Any]) -> None:
    """Replace ``cluster: KIND`` by ``cluster: {kind: KIND}``."""
    if isinstance(tree.get("cluster"), str):
        tree["cluster"] = {"kind": tree["cluster"]}
