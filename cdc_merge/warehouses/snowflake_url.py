"""A `snowflake://` URL as options of the driver."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from cdc_merge.errors import UsageError

FORM = "snowflake://user@account/database/schema?warehouse=…&role=…&private_key_path=…"

# What the URL may say beside user, password, account, database and schema, by the driver's name for it.
# https://docs.snowflake.com/en/developer-guide/python-connector/python-connector-api#connect
_TEXTS = {
    "warehouse": "warehouse",
    "role": "role",
    "private_key_path": "private_key_file",
    "private_key_passphrase": "private_key_file_pwd",
    "authenticator": "authenticator",
    "token": "token",
    "host": "host",
    "protocol": "protocol",
}
_NUMBERS = {"port": "port", "login_timeout": "login_timeout", "network_timeout": "network_timeout"}
_OWN = ("stage", "staging", "region", "cluster", "feeds")
_CLUSTERED = re.compile(r"(?P<table>[^:,]+)(?::(?P<place>[1-9][0-9]{0,3}))?")
_FEED = re.compile(r"@?(?P<stage>[^:,@]+):(?P<url>s3://(?P<bucket>[^/,]+)/(?P<prefix>(?:[^,]*/)?))")
_SECRETS = frozenset({"password", "private_key_file_pwd", "token"})

DEFAULT_SCHEMA = "PUBLIC"


@dataclass(frozen=True)
class Staging:
    """The bucket and prefix on S3 that an external stage points to. `region`: None: as the environment says."""

    bucket: str
    prefix: str  # ends in a slash, or is empty
    region: str | None


@dataclass(frozen=True)
class Feed:
    """An external stage from which feeds are read. `url`: its own, which ends in a slash; `bucket`, `prefix`: of it."""

    stage: str
    url: str
    bucket: str
    prefix: str

    def below(self, url: str) -> str:
        """The name of an object, as the stage has it."""
        return url.removeprefix(self.url)


@dataclass(frozen=True)
class Address:
    """`options`: for the driver. `stage`: where files are put; None: a temporary stage of the session.

    `staging`: where that is on S3; None: the stage is an internal one. `clusters`: as in the Dialect. `feeds`: the
    stages of feeds that the warehouse loads itself.
    """

    options: Mapping[str, object] = field(repr=False)
    stage: str | None
    staging: Staging | None = None
    clusters: tuple[tuple[str, int], ...] = ()
    feeds: tuple[Feed, ...] = ()

    @property
    def name(self) -> str:
        """The URL without its secrets and options."""
        given = self.options
        return f"snowflake://{given['user']}@{given['account']}/{given['database']}/{given['schema']}"

    @staticmethod
    def of(url: str) -> Address:
        """Raises UsageError for a URL that lacks something, or says something that is not known."""
        parts = urlsplit(url)
        database, _, schema = unquote(parts.path.removeprefix("/")).partition("/")
        if not parts.username or not parts.hostname or not database or "/" in schema:
            # Without the URL: it may hold a password.
            raise UsageError("the Snowflake URL lacks user, account or database", hint=f"use {FORM}")
        account = parts.netloc.rpartition("@")[2].partition(":")[0]  # as it is spelled: a host name would be lower case
        options: dict[str, object] = {
            "user": unquote(parts.username),
            "account": unquote(account),
            "database": database,
            "schema": schema or DEFAULT_SCHEMA,
        }
        if parts.password:
            options["password"] = unquote(parts.password)
        said = dict(parse_qsl(parts.query, keep_blank_values=True))
        stage, staging = _staging(said)
        clusters, feeds = _clusters(said.pop("cluster", None)), _feeds(said.pop("feeds", None))
        if unknown := sorted(said.keys() - _TEXTS.keys() - _NUMBERS.keys()):
            known = ", ".join(sorted((*_TEXTS, *_NUMBERS, *_OWN)))
            raise UsageError(f"the Snowflake URL has an unknown option: {', '.join(unknown)}", hint=f"known: {known}")
        for name, value in said.items():
            if name in _NUMBERS and not value.isdecimal():
                raise UsageError(f"the Snowflake URL's {name} must be a number", hint=f"use {FORM}")
            options[_TEXTS.get(name) or _NUMBERS[name]] = int(value) if name in _NUMBERS else value
        if "private_key_file" in options:
            # https://docs.snowflake.com/en/developer-guide/python-connector/python-connector-connect#label-python-key-pair-authn-rotation
            options.setdefault("authenticator", "SNOWFLAKE_JWT")
        elif not _SECRETS & options.keys() and "authenticator" not in options:
            raise UsageError(
                "the Snowflake URL has nothing to prove who it is",
                hint="add ?private_key_path=…, or a password: snowflake://user:${SNOWFLAKE_PASSWORD}@account/…",
            )
        return Address(options, stage, staging, clusters, feeds)


def _staging(said: dict[str, str]) -> tuple[str | None, Staging | None]:
    """The stage, and where it is on S3; taken out of what the URL says."""
    stage, place, region = (said.pop(name, None) for name in ("stage", "staging", "region"))
    if place is None and region is None:
        return (stage.removeprefix("@") if stage else None), None
    parts = urlsplit(place or "")
    if not stage or parts.scheme != "s3" or not parts.netloc:
        raise UsageError(
            "the Snowflake URL's staging, stage and region do not make an external stage",
            hint="use ?stage=db.schema.name&staging=s3://bucket/prefix/ with the URL that the stage was created with",
        )
    prefix = parts.path.strip("/")
    return stage.removeprefix("@"), Staging(parts.netloc, f"{prefix}/" if prefix else "", region)


def _clusters(text: str | None) -> tuple[tuple[str, int], ...]:
    """`orders:7,customers` as ((orders, 7), (customers, 1))."""
    if text is None:
        return ()
    found = [_CLUSTERED.fullmatch(each) for each in text.split(",")]
    if not all(found):
        raise UsageError(
            "the Snowflake URL's cluster must name tables",
            hint="use cluster=customers,orders:7, where a number is the character from which on keys differ",
        )
    return tuple((each["table"], int(each["place"] or 1)) for each in found if each)


def _feeds(text: str | None) -> tuple[Feed, ...]:
    """`db.schema.stage:s3://bucket/prefix/`, and more of them after commas."""
    if text is None:
        return ()
    found = [_FEED.fullmatch(each) for each in text.split(",")]
    if not all(found):
        raise UsageError(
            "the Snowflake URL's feeds must name external stages, each with where it is",
            hint="use feeds=db.schema.name:s3://bucket/prefix/ with the URL that the stage was created with; "
            "it must end in a slash",
        )
    return tuple(Feed(**each.groupdict()) for each in found if each)


__all__ = ["FORM", "Address", "Feed", "Staging"]
