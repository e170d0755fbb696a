"""Storage options for the URLs that `predict` is given: never those of a foreign run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pipeline.config.loader import apply_override
from pipeline.config.model import Config, Source
from pipeline.config.storage_options import HARMLESS
from pipeline.config.urls import is_url
from pipeline.errors import InputError

S = TypeVar("S", bound=Source)


def with_options(config: Config, paths: Sequence[str], given: Sequence[str]) -> Config:
    """Replace a run's storage options by those that the command line gives.

    Args:
        config: the run's.
        paths: files, or ``NAME=PATH``, that the command line names.
        given: ``KEY=VALUE``, where the value is YAML and the key may be ``a.b``.

    Raises:
        InputError: a URL is named, and only the run says how to open it.
    """
    sources = [config.data, *config.data.tables.values()]
    risky = sorted({key for source in sources for key in source.storage_options} - HARMLESS)
    is_remote = any(is_url(path.partition("=")[2] or path) for path in paths)
    if is_remote and risky and not given:
        raise InputError(
            f"the run's storage options ({', '.join(risky)}) are not used for files that you name: "
            "they say where URLs are looked up, and which secrets are sent there",
            fix="give those that you trust: --storage-option 'KEY=VALUE', such as "
            "'endpoint_url=https://host:9000' or 'key=${NAME}'",
        )
    options: dict[str, Any] = {}
    for option in given:
        apply_override(options, option, "--storage-option")
    tables = {name: _opened_with(table, options) for name, table in config.data.tables.items()}
    data = _opened_with(config.data, options).model_copy(update={"tables": tables})
    return config.model_copy(update={"data": data})


def _opened_with(source: S, options: Mapping[str, Any]) -> S:
    """Return the source with these storage options and its own harmless ones."""
    harmless = {k: value for k, value in source.storage_options.items() if k in HARMLESS}
    return source.model_copy(update={"storage_options": {**harmless, **options}})
