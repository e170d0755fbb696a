"""Storage options that a config may pass to the library that opens a URL, by protocol.

Only listed keys are allowed. A value is literal only if it cannot be a secret. All other values are
``${NAME}``, which the environment replaces when the store is opened.
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
from pipeline.config.validation import describe_rule, list_keys
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
"""Endings of the hosts to which Azure's own credentials may be sent."""


def _azure_host(value: str) -> str:
    # adlfs adds a token from the environment (AZURE_STORAGE_SAS_TOKEN) to every URL, even with
    # ``anon``, so any other host would receive it.
    if not (re.fullmatch(REFERENCE, value) or value.endswith(AZURE)):
        raise ValueError("must be a host of Azure (….core.windows.net), or ${NAME}")
    return value


Reference = Annotated[str, BeforeValidator(_reference)]
"""``${NAME}``, or ``Bearer ${NAME}``."""
Plain = Annotated[str, Field(max_length=256, pattern=rf"^([\w.:-]*|{REFERENCE})$")]
"""Name of a region, project, account or similar, or ``${NAME}``."""
Endpoint = Annotated[str, AfterValidator(_endpoint)]
"""HTTP address without user-info or query, or ``${NAME}``."""
Seconds = Annotated[float, Field(gt=0, le=3600)]


class Options(BaseModel):
    """Base class of the options; unknown keys are errors, and types are not converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class S3Client(Options):
    """Options in ``client_kwargs`` for botocore's client."""

    region_name: Plain | None = None
    endpoint_url: Endpoint | None = None
    use_ssl: bool = True
    aws_access_key_id: Reference | None = None
    aws_secret_access_key: Reference | None = None
    aws_session_token: Reference | None = None


class S3Addressing(Options):
    """Options in ``config_kwargs.s3``."""

    addressing_style: Literal["auto", "path", "virtual"] = "auto"


class S3Config(Options):
    """Options in ``config_kwargs`` for botocore's Config."""

    region_name: Plain | None = None
    signature_version: Literal["s3v4"] | Reference | None = None
    """Only version 4: version 2 does not sign the host, so an endpoint could pass it to AWS."""
    connect_timeout: Seconds | None = None
    read_timeout: Seconds | None = None
    s3: S3Addressing = S3Addressing()


class S3Options(Options):
    """Options for s3fs."""

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
    """Options for gcsfs."""

    project: Plain | None = None
    token: Literal["anon", "cloud", "google_default"] | Reference | None = None
    """Way to log in, or ``${NAME}`` of a variable with a token or with the path of its file."""
    requester_pays: bool | Plain = False
    endpoint_url: Endpoint | None = None
    default_location: Plain | None = None

    @model_validator(mode="after")
    def _keep_own_token(self) -> GcsOptions:
        """Check that no other host than Google's receives the user's own token."""
        # The token that gcsfs finds by itself opens every bucket and service of the user.
        if self.endpoint_url and self.token in (None, "cloud", "google_default"):
            raise ValueError("endpoint_url needs a token for it: token: anon, or token: ${NAME}")
        return self


class AzureOptions(Options):
    """Options for adlfs."""

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
    """Options for fsspec's HTTP file system."""

    headers: Annotated[Mapping[Plain, Reference], Field(max_length=MAX_HEADERS)] = {}
    """Headers sent with each request, such as ``Authorization: Bearer ${TOKEN}``."""


class OtherOptions(Options):
    """Options for a protocol that the command line allows."""

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
"""Keys that decide neither where data are sent nor which secrets are sent with them."""


def check_source(paths: Iterable[str], options: Mapping[str, Any]) -> None:
    """Check the URLs among the paths, and the options against the protocol of each URL.

    Raises:
        ValueError: A URL or an option is not allowed. The message never repeats a secret.
    """
    urls = [parse_url(path) for path in paths if is_url(path)]
    if not options:
        return
    if urls:
        for url in urls:
            check_options(url, options)
        return
    # Options without a URL are for later paths (``predict``). The protocol with most of the keys is
    # the one that was meant, so it must accept all of them.
    models: list[type[Options]] = [S3Options, GcsOptions, AzureOptions, HttpOptions, OtherOptions]
    model = max(models, key=lambda model: len(options.keys() & model.model_fields.keys()))
    problem = _problem(model, options)
    if problem is not None:
        raise ValueError(problem)


def check_options(url: Url, options: Mapping[str, Any]) -> None:
    """Check options against the protocol of a URL.

    Raises:
        ValueError: A key is unknown, or its value is not allowed.
    """
    problem = _problem(MODELS.get(url.protocol, OtherOptions), options)
    if problem is not None:
        raise ValueError(f"{problem} (for {url.protocol}://)")


def _problem(model: type[Options], options: Mapping[str, Any]) -> str | None:
    """Describe the first mistake in the options; return None if they are valid."""
    try:
        model.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # Only plain words are repeated: any other text may be a secret in the wrong place.
        keys = [str(part) for part in first["loc"] if re.fullmatch(r"[A-Za-z_]\w{0,63}", str(part))]
        place = ".".join(["storage_options", *keys])
        if first["type"] == "extra_forbidden":
            valid = list_keys(model, tuple(keys[:-1]))
            return f"{place}: unknown key; {suggest_or_list(keys[-1] if keys else '', valid)}"
        if first["type"] == "string_pattern_mismatch":
            return f"{place} must be a plain name, or ${{NAME}}"
        return f"{place} {describe_rule(first)}"
    return None
