"""Storage options: what a config may tell the library that opens a URL, protocol by protocol.

Keys are an allow-list. A value is literal only where it cannot be a secret; every other one is
``${NAME}``, filled in from the environment when the store is opened.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from pipeline.config.urls import REFERENCE, Url, is_url, parse_url
from pipeline.config.validation import RULES
from pipeline.errors import suggest_or_list

MAX_HEADERS = 20


def _reference(value: Any) -> Any:
    if not (isinstance(value, str) and re.fullmatch(rf"(\w+ )?{REFERENCE}", value)):
        raise ValueError("is a literal secret: write it as ${NAME}")
    return value


def _endpoint(value: str) -> str:
    if re.fullmatch(REFERENCE, value):
        return value
    if not re.match(r"https?://", value) or "${" in value:
        raise ValueError("must be a URL such as https://host:9000, or ${NAME}")
    parse_url(value)
    return value


AZURE = (
    ".core.windows.net", ".core.chinacloudapi.cn", ".core.usgovcloudapi.net", ".storage.azure.net",
    ".fabric.microsoft.com",
)  # fmt: skip
"""Endings of hosts that Azure's own credentials may be sent to."""


def _azure_host(value: str) -> str:
    # adlfs adds a token of the environment (AZURE_STORAGE_SAS_TOKEN) to every URL, even if anon
    if not (re.fullmatch(REFERENCE, value) or value.endswith(AZURE)):
        raise ValueError("must be a host of Azure's (….core.windows.net), or ${NAME}")
    return value


Reference = Annotated[str, BeforeValidator(_reference)]
"""``${NAME}``, or ``Bearer ${NAME}``."""
Plain = Annotated[str, Field(max_length=256, pattern=rf"^([\w.:-]*|{REFERENCE})$")]
"""A name: of a region, a project, an account, ... or ``${NAME}``."""
Endpoint = Annotated[str, AfterValidator(_endpoint)]
"""An HTTP address without user-info or query, or ``${NAME}``."""
Seconds = Annotated[float, Field(gt=0, le=3600)]


class Options(BaseModel):
    """Base of the options: unknown keys are errors, and types are not converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class S3Client(Options):
    """``client_kwargs`` of botocore's client."""

    region_name: Plain | None = None
    endpoint_url: Endpoint | None = None
    use_ssl: bool = True
    aws_access_key_id: Reference | None = None
    aws_secret_access_key: Reference | None = None
    aws_session_token: Reference | None = None


class S3Addressing(Options):
    """``config_kwargs.s3``."""

    addressing_style: Literal["auto", "path", "virtual"] = "auto"


class S3Config(Options):
    """``config_kwargs`` of botocore's Config."""

    region_name: Plain | None = None
    signature_version: Literal["s3v4"] | Reference | None = None
    """Version 2 does not sign the host: a stranger's endpoint could send the request on to AWS."""
    connect_timeout: Seconds | None = None
    read_timeout: Seconds | None = None
    s3: S3Addressing = S3Addressing()


class S3Options(Options):
    """For s3fs."""

    anon: bool = False
    requester_pays: bool = False
    profile: Plain | None = None
    """A profile of ``~/.aws``."""
    endpoint_url: Endpoint | None = None
    use_ssl: bool = True
    key: Reference | None = None
    secret: Reference | None = None
    token: Reference | None = None
    client_kwargs: S3Client = S3Client()
    config_kwargs: S3Config = S3Config()


class GcsOptions(Options):
    """For gcsfs."""

    project: Plain | None = None
    token: Literal["anon", "cloud", "google_default"] | Reference | None = None
    """How to log in, or the name of a variable with a token or the path of its file."""
    requester_pays: bool | Plain = False
    endpoint_url: Endpoint | None = None
    default_location: Plain | None = None

    @model_validator(mode="after")
    def _keep_own_token(self) -> GcsOptions:
        """Check that the user's own token, which serves for all of Google's, stays with Google."""
        if self.endpoint_url and self.token in (None, "cloud", "google_default"):
            raise ValueError("endpoint_url needs a token for it: token: anon, or token: ${NAME}")
        return self


class AzureOptions(Options):
    """For adlfs."""

    anon: bool | None = None
    account_name: Plain | None = None
    account_host: Annotated[Plain, AfterValidator(_azure_host)] | None = None
    tenant_id: Plain | None = None
    client_id: Plain | None = None
    location_mode: Literal["primary", "secondary"] = "primary"
    account_key: Reference | None = None
    client_secret: Reference | None = None
    connection_string: Reference | None = None
    credential: Reference | None = None
    sas_token: Reference | None = None


class HttpOptions(Options):
    """For fsspec's HTTP file system."""

    headers: Annotated[Mapping[Plain, Reference], Field(max_length=MAX_HEADERS)] = {}
    """Headers of each request, such as ``Authorization: Bearer ${TOKEN}``."""


class OtherOptions(Options):
    """For a protocol that the command line allows."""

    host: Plain | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    user: Reference | None = None
    username: Reference | None = None
    password: Reference | None = None
    token: Reference | None = None


MODELS: Mapping[str, type[Options]] = {
    "s3": S3Options, "s3a": S3Options, "gs": GcsOptions, "gcs": GcsOptions, "az": AzureOptions,
    "abfs": AzureOptions, "abfss": AzureOptions, "http": HttpOptions, "https": HttpOptions,
}  # fmt: skip
HARMLESS = frozenset({"anon", "requester_pays"})
"""Keys that say neither where data are sent nor which secrets go with them."""


def check_source(paths: Iterable[str], options: Mapping[str, Any]) -> None:
    """Check the URLs among the paths, and the options against the protocol of each.

    Options without a URL serve later paths (``predict``): the protocol that knows most of them must
    take them all.

    Raises:
        ValueError: a URL or an option may not be used; the message does not repeat a secret.
    """
    urls = [parse_url(path) for path in paths if is_url(path)]
    if not options:
        return
    if urls:
        for url in urls:
            check_options(url, options)
        return
    models: list[type[Options]] = [S3Options, GcsOptions, AzureOptions, HttpOptions, OtherOptions]
    model = max(models, key=lambda model: len(options.keys() & model.model_fields.keys()))
    problem = _problem(model, options)
    if problem is not None:
        raise ValueError(problem)


def check_options(url: Url, options: Mapping[str, Any]) -> None:
    """Check options against the protocol of a URL.

    Raises:
        ValueError: a key is not known, or its value is not allowed.
    """
    problem = _problem(MODELS.get(url.protocol, OtherOptions), options)
    if problem is not None:
        raise ValueError(f"{problem} (for {url.protocol}://)")


def _problem(model: type[Options], options: Mapping[str, Any]) -> str | None:
    """What is wrong with the options; None if nothing is."""
    try:
        model.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        keys = [str(part) for part in first["loc"] if re.fullmatch(r"[A-Za-z_]\w{0,63}", str(part))]
        place = ".".join(["storage_options", *keys])
        if first["type"] == "extra_forbidden":
            known = _fields(model, keys[:-1])
            return f"{place}: unknown key; {suggest_or_list(keys[-1] if keys else '', known)}"
        return f"{place} {_rule(first)}"
    return None


def _rule(item: Mapping[str, Any]) -> str:
    if item["type"] in RULES:
        return RULES[item["type"]].format(**item.get("ctx", {}))
    if item["type"] == "string_pattern_mismatch":
        return "must be a plain name, or ${NAME}"
    return str(item["msg"]).removeprefix("Value error, ")


def _fields(model: type[BaseModel], keys: Iterable[str]) -> list[str]:
    """The keys that a model, or the one nested at ``keys``, has."""
    for key in keys:
        inner = model.model_fields[key].annotation if key in model.model_fields else None
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    return sorted(model.model_fields)
