"""The YAML file: its keys, its defaults, and how it is read, overridden and written back."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pipeline.config.loader import apply_override, read_yaml
from pipeline.config.scheduler import LOCAL_KINDS, check_kind, is_local_kind
from pipeline.config.storage_options import check_source
from pipeline.config.validation import validate
from pipeline.errors import ConfigError

MODELS = ("xgboost", "forest")
"""What is trained where the config does not say."""


class Section(BaseModel):
    """Base of the config's sections: frozen, and unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False
    )


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _different(names: tuple[str, ...]) -> tuple[str, ...]:
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ValueError(f"names {name!r} twice")
    return names


def _texts(value: Any) -> Any:
    return [str(v) for v in value] if isinstance(value, list | tuple) else value


Paths = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
ColumnType = Literal["integer", "float", "decimal", "bool", "date", "datetime", "text"]


class Csv(Section):
    """How the CSV files are written. What is None is found out from the first file."""

    delimiter: str | None = None
    """One character; None: the one of ``, ; tab |`` that splits the sample evenly."""
    header: bool | Names = True
    """True: the first line names the columns. False: f0, f1, …. A list: the names, no header."""
    quote: str | None = '"'
    newlines_in_values: bool | None = None
    """Quoted fields may hold newlines. Such files are read from one end to the other."""
    missing: Names = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "<NA>", "#N/A")
    true: Names = ("true", "True", "TRUE")
    false: Names = ("false", "False", "FALSE")


class Source(Section):
    """Files of one table, and what their columns are."""

    path: Paths
    """A file, folder or glob, a list of those; local, or s3://, gs://, abfs://, http(s)://."""
    format: Literal["auto", "csv", "parquet"] = "auto"
    csv: Csv = Csv()
    types: Mapping[str, ColumnType] = {}
    """Overrides of the inferred type, by column."""
    storage_options: Mapping[str, Any] = {}
    """For the library of the URL's protocol; secrets only as ``${NAME}`` from the environment."""

    @model_validator(mode="after")
    def _check_urls(self) -> Source:
        check_source(self.path, self.storage_options)
        return self


class Table(Source):
    """A side table: unique by its keys."""

    keys: Annotated[Names, Field(min_length=1)]


class Data(Source):
    """The main table, its target and what is known of its rows."""

    target: str
    """A column, or an expression over columns (``arr_delay > 15``)."""
    task: Literal["auto", "binary", "multiclass", "regression"] = "auto"
    positive: str | int | float | bool | None = None
    """Binary: the class whose probability is reported; None: the last of the sorted classes."""
    weight: str | None = None
    """A column of row weights: numbers >= 0."""
    tables: Mapping[str, Table] = {}
    on_bad_rows: Literal["error", "quarantine"] = "error"
    rows: int | None = Field(None, ge=1)
    """Only the first so many rows."""


class Split(Section):
    """Which rows train, which stop the training early (valid), which judge the models (test)."""

    by: Literal["random", "time", "group", "column"] = "random"
    column: str | None = None
    """The time, the group, or the column that holds train/valid/test."""
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


Size = Annotated[int, Field(ge=0)] | Annotated[float, Field(gt=0, le=1)] | str
"""Bytes, a share of what there is, or text such as "10GB"."""


def _address(value: Any) -> Any:
    if not re.fullmatch(r"[^\s:]+:\d{1,5}|\[[^\s]+\]:\d{1,5}", str(value)):
        raise ValueError("not host:port, such as 127.0.0.1:8787 (0.0.0.0 is every interface)")
    return value


LOOPBACK = "127.0.0.1"
"""Where servers listen unless told otherwise: other hosts do not reach them."""
Address = Annotated[str, BeforeValidator(_address)]


class Ucx(Section):
    """Transports of ``protocol: ucx``; None: UCX finds out."""

    nvlink: bool | None = None
    infiniband: bool | None = None
    rdmacm: bool | None = None
    tcp: bool | None = None


class Gpus(Section):
    """``kind: gpus``: options of dask-cuda's `LocalCUDACluster`. Sizes are per GPU."""

    devices: Annotated[Names, BeforeValidator(_texts)] = ()
    """Indices or UUIDs as in CUDA_VISIBLE_DEVICES; none: all that are visible."""
    protocol: Literal["tcp", "ucx"] = "tcp"
    """``ucx`` (NVLink, InfiniBand) needs distributed-ucxx. Between two GPUs directly it passes the
    memory of ``pool: pool`` alone: that of the others goes through buffers of its own."""
    ucx: Ucx = Ucx()
    pool: Literal["async", "pool", "managed", "none"] = "async"
    """RMM's asynchronous pool, one of ``pool_size``, managed memory, or none."""
    pool_size: Size = 0.5
    """``pool: pool`` only. XGBoost allocates beside the pool."""
    maximum_pool_size: Size | None = None
    release_threshold: Size | None = None
    """``pool: async`` only: what stays unreleased."""
    device_memory_limit: Size = 0.8
    """From there on data that are not cuDF's go to the host."""
    cudf_spill: bool = True
    """cuDF frames go to the host when memory is short."""

    @model_validator(mode="after")
    def _fits(self) -> Gpus:
        if self.release_threshold is not None and self.pool != "async":
            raise ValueError(f"release_threshold is for pool: async, not for {self.pool}")
        if self.maximum_pool_size is not None and self.pool not in ("async", "pool"):
            raise ValueError(f"maximum_pool_size is for pool: async or pool, not for {self.pool}")
        return self


class Cluster(Section):
    """Where partitions live."""

    kind: Annotated[str, AfterValidator(check_kind)] = Field(
        "process", examples=["process", "cores", "gpus", "tcp://host:8786", "scheduler.json"]
    )
    """``process``, ``cores``, ``gpus``, a scheduler's address, or its scheduler file (.json)."""
    dashboard: bool = True
    dashboard_address: Address = f"{LOOPBACK}:8787"
    metrics_address: Address = f"{LOOPBACK}:0"
    """Where this process answers ``/metrics`` at a scheduler's address; 0: any free port."""
    workers: int | None = Field(None, ge=1, le=10_000)
    """Processes of ``cores`` (None: one per ``threads`` cores) and ``gpus`` (None: one a GPU); at a
    scheduler's address how many must be there before the run starts (None: one)."""
    threads: int | None = Field(None, ge=1, le=1024)
    """Threads of a process of ``cores`` or ``gpus``; None: 1."""
    memory_limit: Size = 0
    """Host memory of such a process from which on Dask spills and pauses it; 0: never."""
    timeout: int = Field(30, ge=1, le=86_400)
    """Seconds to wait for a scheduler and its workers."""
    gpus: Gpus = Gpus()

    @property
    def is_address(self) -> bool:
        """Somebody else's scheduler."""
        return self.kind not in LOCAL_KINDS


def _bytes(value: Any) -> Any:
    if value in (None, "auto"):
        return None
    if isinstance(value, str):
        from dask.utils import parse_bytes

        try:
            return parse_bytes(value)
        except (ValueError, OverflowError):
            raise ValueError("must be a size such as 2GB or 512MiB, or auto") from None
    return value


Bytes = Annotated[int | None, BeforeValidator(_bytes)]
"""A size such as ``2GB`` or ``512MiB``; None or ``auto``: what the machine has."""


class Memory(Section):
    """Limits; ``auto`` is what the container and the GPU have."""

    host: Bytes = Field(None, ge=64_000_000)
    """Resident memory of the run. Rows that do not fit are streamed: read again at each pass."""
    gpu: Bytes = Field(None, ge=64_000_000)
    """Of each GPU; auto: nine tenths of what is free. Rows that do not fit are streamed there."""
    sample: Literal["auto", "never"] = "auto"
    """When even the training rows do not fit: XGBoost trains on the sample that does, or never."""


class Evaluate(Section):
    """What is measured beside the metrics of the task."""

    slices: Annotated[Names, AfterValidator(_different)] = ()
    """Columns whose values get metrics of their own."""


def _when(value: Any) -> Any:
    """YAML's ``true`` and ``false`` are what ``always`` and ``never`` mean."""
    return {True: "always", False: "never"}[value] if isinstance(value, bool) else value


Refit = Annotated[Literal["auto", "always", "never"], BeforeValidator(_when)]


class Config(Section):
    """One run: data in, features, models out."""

    name: str = Field(
        "run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64, examples=["sales-2026.1"]
    )
    seed: int = Field(0, ge=0, lt=2**31)
    data: Data
    split: Split = Split()
    features: tuple[Mapping[str, Any] | str, ...] | None = None
    """Ops in order (`pipeline.features.registry`); None: chosen from the columns' types."""
    models: Mapping[str, Mapping[str, Any] | None] | None = None
    """Parameters by model (`pipeline.train.params`); None: all; a model set to null is left out."""
    evaluate: Evaluate = Evaluate()
    refit: Refit = "auto"
    """Fit once more on all rows after the evaluation; auto: below 500,000 rows."""
    golden: int = Field(50, ge=0, le=1000)
    """Rows (each column shuffled on its own) whose scores are checked when the run is loaded."""
    device: Literal["auto", "gpu", "cpu"] = "auto"
    cluster: Cluster = Cluster()
    memory: Memory = Memory()

    @staticmethod
    def load(path: str | Path, overrides: Sequence[str] = ()) -> Config:
        """The config in a YAML file, with ``a.b=c`` overrides (values are YAML).

        Raises:
            ConfigError: no such file, not YAML, unknown keys, wrong values, or a scheduler on
                another host that no override names.
        """
        return Config.from_file(read_yaml(Path(path).expanduser()), overrides)

    @staticmethod
    def from_file(tree: Any, overrides: Sequence[str] = ()) -> Config:
        """Parse the tree of a file, which may not send the run to a scheduler on another host.

        Raises:
            ConfigError: it does, and no override names the scheduler; or as `parse`.
        """
        config = Config.parse(tree, overrides)
        kind, named = config.cluster.kind, {o.partition("=")[0].strip() for o in overrides}
        if not named & {"cluster", "cluster.kind"} and not is_local_kind(kind):
            raise ConfigError(
                f"cluster.kind: {kind} is a scheduler on another host, which can run any code here",
                fix=f"if you trust it, name it on the command line: --cluster {shlex.quote(kind)}",
            )
        return config

    @staticmethod
    def parse(tree: Any, overrides: Sequence[str] = ()) -> Config:
        """The config of a parsed YAML tree, which is not changed."""
        if not isinstance(tree, dict):
            raise ConfigError("the config is no mapping of keys", fix="start it with `data:`")
        tree = deepcopy(tree)
        if not tree.get("models") and any(o.startswith("models.") for o in overrides):
            tree["models"] = {name: {} for name in MODELS}  # an override names no other set
        _expand_cluster(tree)  # before: an override may name one of its keys
        for override in overrides:
            apply_override(tree, override)
        _expand_cluster(tree)
        return validate(Config, tree)

    def to_yaml(self) -> str:
        """As resolved, with every default."""
        return yaml.safe_dump(self.model_dump(mode="json", by_alias=True), sort_keys=False)


def _expand_cluster(tree: dict[str, Any]) -> None:
    """Write ``cluster: KIND`` out as ``cluster: {kind: KIND}``."""
    if isinstance(tree.get("cluster"), str):
        tree["cluster"] = {"kind": tree["cluster"]}
