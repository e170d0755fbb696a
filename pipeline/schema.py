"""Columns of a frame: names, dtypes and kinds, and the selections of them in a config.

Storage (decision 12; the same rule on both devices, pandas name | cuDF name):

    dtype       kind       pandas           cuDF               missing
    int64       numeric    Int64            int64              <NA> (mask)
    int32       category   Int32            int32              <NA> (mask); codes 0…k
    float64/32  numeric    float64/float32  float64/float32    NaN
    bool        bool       boolean          bool               <NA> (mask)
    datetime    datetime   datetime64[us]   datetime64[us]     NaT; in UTC, years 1 to 9999
    text        text       category         category           code -1; values per partition
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue, model_validator

from pipeline.config.stored import StoredObject
from pipeline.errors import ConfigError, suggest_or_list

V = TypeVar("V")
Dtype = Literal["int64", "int32", "float64", "float32", "bool", "datetime", "text"]
Kind = Literal["numeric", "category", "datetime", "text", "bool"]

LABEL, WEIGHT, SET = "__label__", "__weight__", "__set__"
"""Columns that the runner adds."""
RESERVED = frozenset({LABEL, WEIGHT, SET})
"""Names that columns of the data may not have, because the runner adds columns of these names."""
# Python, pandas and Arrow share the years 1 to 9999, and no more.
EARLIEST, LATEST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""First and last datetime, in µs since 1970."""
SETS: tuple[Literal["train"], Literal["valid"], Literal["test"]] = ("train", "valid", "test")
"""Names of the sets; the column `SET` holds positions in this tuple."""
TRAIN, VALID, TEST = range(3)
"""Positions in `SETS`."""

# "categorical" means every column of labels: text, and the codes that ops make from it.
SELECTORS: Mapping[str, frozenset[str]] = {
    "all": frozenset({"numeric", "category", "datetime", "text", "bool"}),
    "numeric": frozenset({"numeric"}),
    "categorical": frozenset({"text", "category"}),
    "text": frozenset({"text"}),
    "datetime": frozenset({"datetime"}),
    "bool": frozenset({"bool"}),
}

KINDS_OF: Mapping[Dtype, tuple[Kind, ...]] = {
    "int64": ("numeric", "category"), "int32": ("category", "numeric"),
    "float64": ("numeric", "category"), "float32": ("numeric", "category"),
    "bool": ("bool",), "datetime": ("datetime",), "text": ("text",),
}  # fmt: skip
"""Kinds that a column of each dtype may have, the default first."""


@dataclass(frozen=True)
class Column:
    """One column: its name, storage dtype and kind (by default the dtype's first kind)."""

    name: str
    dtype: Dtype
    kind: Kind = None  # type: ignore[assignment]  # replaced in __post_init__

    def __post_init__(self) -> None:
        if self.kind is None:
            object.__setattr__(self, "kind", KINDS_OF[self.dtype][0])


@dataclass(frozen=True)
class Schema:
    """The columns of a frame, in order, and the facts about the target that ops need."""

    columns: tuple[Column, ...]
    target: frozenset[str] = field(default_factory=frozenset)
    """Columns that the target is computed from: no op reads them, except lag with a gap."""
    classes: tuple[str, ...] = ()
    """Classes of a multiclass target as text, in label order; empty for other tasks."""
    unreadable: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Columns of the files that cannot be read, with the reason, for messages."""

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    @cached_property
    def _by_name(self) -> Mapping[str, Column]:
        return {c.name: c for c in self.columns}

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Column:
        try:
            return self._by_name[name]
        except KeyError:
            message, fix = self.explain_absence(name)
            raise ConfigError(message, fix=fix) from None

    def explain_absence(self, name: str, others: Iterable[str] = ()) -> tuple[str, str]:
        """Return why there is no column of that name, and how to fix it.

        Args:
            name: the name that was asked for.
            others: words that the user may have meant instead of a column.
        """
        if name in self.unreadable:
            return (
                f"column {name!r} cannot be read: {self.unreadable[name]}",
                "leave it out, or write numbers, text or times into columns of their own",
            )
        return f"there is no column {name!r}", suggest_or_list(name, [*self.names, *others])

    @property
    def names(self) -> list[str]:
        """Names of the columns, in order."""
        return [c.name for c in self.columns]

    def select(self, names: Iterable[str]) -> Schema:
        """Return the schema of these columns, in this schema's order."""
        wanted = set(names)
        return replace(self, columns=tuple(c for c in self.columns if c.name in wanted))

    def drop(self, names: Iterable[str]) -> Schema:
        """Return the schema without these columns."""
        unwanted = set(names)
        return replace(self, columns=tuple(c for c in self.columns if c.name not in unwanted))

    def with_columns(self, new: Iterable[Column]) -> Schema:
        """Return the schema with same-named columns replaced in place, and others appended."""
        by_name = {c.name: c for c in self.columns}
        by_name.update({c.name: c for c in new})
        return replace(self, columns=tuple(by_name.values()))

    def to_json(self) -> dict[str, JsonValue]:
        """Return the content of ``schema.json`` and of a part of ``plan.json``."""
        return {
            "columns": [{"name": c.name, "dtype": c.dtype, "kind": c.kind} for c in self.columns],
            "target": [*sorted(self.target)],
            "classes": list(self.classes),
        }


class StoredColumn(StoredObject):
    """A `Column` in a file of a run."""

    name: str
    dtype: Dtype
    kind: Kind

    @model_validator(mode="after")
    def _check_kind(self) -> StoredColumn:
        if self.kind not in KINDS_OF[self.dtype]:
            raise ValueError(f"a column of {self.dtype} cannot be {self.kind}")
        return self


class StoredSchema(StoredObject):
    """A `Schema` in a file of a run."""

    columns: list[StoredColumn]
    target: list[str]
    classes: list[str]

    @model_validator(mode="after")
    def _check_names(self) -> StoredSchema:
        names = [column.name for column in self.columns]
        if len(set(names)) < len(names):
            raise ValueError("two columns have the same name")
        return self

    def to_schema(self) -> Schema:
        """Return the schema, which knows nothing of unreadable columns."""
        columns = tuple(Column(c.name, c.dtype, c.kind) for c in self.columns)
        return Schema(columns, frozenset(self.target), tuple(self.classes))


def rename_keys(mapping: Mapping[str, V], rename: Callable[[str], str]) -> dict[str, V]:
    """Return a mapping by column with other names of the columns.

    Raises:
        ConfigError: two keys become one.
    """
    renamed: dict[str, V] = {}
    sources: dict[str, str] = {}
    for key, value in mapping.items():
        name = rename(key)
        if name in renamed:
            raise ConfigError(
                f"{sources[name]!r} and {key!r} both mean column {name!r}", fix="keep one of them"
            )
        renamed[name], sources[name] = value, key
    return renamed


class Select(BaseModel):
    """A selection of columns: names, kinds or ``re:PATTERN`` entries, except those in ``but``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    all: tuple[str, ...]
    but: tuple[str, ...] = ()

    def rename(self, rename: Callable[[str], str]) -> Select:
        """Return the selection with other names of columns; kinds and patterns stay."""

        def rename_all(entries: tuple[str, ...]) -> tuple[str, ...]:
            fixed = (entry in SELECTORS or entry.startswith("re:") for entry in entries)
            return tuple(e if keep else rename(e) for e, keep in zip(entries, fixed, strict=True))

        changed = {"all": rename_all(self.all), "but": rename_all(self.but)}
        changed = {key: names for key, names in changed.items() if names != getattr(self, key)}
        return self.model_copy(update=changed) if changed else self

    def resolve(self, schema: Schema) -> list[str]:
        """Return the names of the selected columns, in schema order.

        A kind or pattern never selects columns that the target is computed from. If an entry names
        one, the planner refuses it and gives the reason.

        Raises:
            ConfigError: an entry names no column, or nothing is selected.
        """
        excluded = _resolve_entries(self.but, schema, "but")
        chosen = _resolve_entries(self.all, schema, "columns") - excluded
        if not chosen:
            raise ConfigError(
                f"columns: {list(self.all)} selects nothing among {schema.names[:20]}"
            )
        return [name for name in schema.names if name in chosen]


def _resolve_entries(entries: tuple[str, ...], schema: Schema, where: str) -> set[str]:
    names: set[str] = set()
    for entry in entries:
        if entry in schema:  # a column called "numeric" has priority over the kind of that name
            names.add(entry)
        elif entry in SELECTORS:
            names |= {c.name for c in schema if c.kind in SELECTORS[entry]} - schema.target
        elif entry.startswith("re:"):
            names |= _match_pattern(entry[3:], schema.names, where) - schema.target
        else:
            message, fix = schema.explain_absence(entry, SELECTORS)
            raise ConfigError(f"{where}: {message}", fix=fix)
    return names


def _match_pattern(pattern: str, names: list[str], where: str) -> set[str]:
    """Return the names in which a regular expression of RE2 occurs."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # RE2 takes time linear in the names' length. Python's `re` may backtrack for ever, and the
    # config may come from somebody else.
    try:
        mask = pc.match_substring_regex(pa.array(names, pa.string()), pattern)
    except pa.ArrowInvalid as error:
        reason = str(error).removeprefix("Invalid regular expression: ")
        raise ConfigError(
            f"{where}: 're:{pattern}' is not a regular expression of RE2: {reason}",
            fix="use no look-around or back-reference, which RE2 lacks; `but:` excludes columns",
        ) from None
    return {name for name, matches in zip(names, mask.to_pylist(), strict=True) if matches}


def _parse_selection(value: object) -> object:
    # The short forms; pydantic reports whatever is neither of them nor a mapping of texts.
    if isinstance(value, str):
        return {"all": (value,)}
    if isinstance(value, list | tuple):
        return {"all": tuple(value)}
    if isinstance(value, Mapping):
        listed = {k: [v] if isinstance(v, str) else v for k, v in value.items()}
        return {k: tuple(v) if isinstance(v, list) else v for k, v in listed.items()}
    return value


Columns = Annotated[Select, BeforeValidator(_parse_selection)]
"""Type of an op's ``columns`` field: ``a``, ``[a, b]``, ``numeric``, ``re:x``, ``{all:, but:}``."""
