"""Reads a `redshift://` URL: where the cluster is, where batches are staged on S3, and who may read them there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlsplit

import psycopg2
import psycopg2.extensions

from cdc_merge.errors import UsageError

_EXAMPLE = "redshift://user:password@host:5439/database?staging=s3://bucket/prefix/&iam_role=arn:aws:iam::1:role/name"
_OWN = frozenset({"staging", "iam_role", "region"})
_PORT = "5439"  # https://docs.aws.amazon.com/redshift/latest/mgmt/managing-clusters-vpc.html

# The role that Redshift takes, then the role that this one may take, and so on, without blanks.
# https://docs.aws.amazon.com/redshift/latest/mgmt/authorizing-redshift-service-chaining-roles.html
_ROLES = re.compile(
    r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+?(,arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=.@/-]+)*"
)


@dataclass(frozen=True)
class RedshiftUrl:
    """`connection`: the parameters of libpq. `iam_role`: one ARN, a chain of them, or None for the cluster's default.

    `region`: of the bucket, which must be the cluster's; None: as the environment says.
    """

    connection: Mapping[str, str]
    bucket: str
    prefix: str  # ends in a slash, or is empty
    iam_role: str | None
    region: str | None

    @property
    def name(self) -> str:
        """The URL without password and options."""
        given = self.connection
        user = f"{given['user']}@" if "user" in given else ""
        return f"redshift://{user}{given.get('host', '')}:{given['port']}/{given.get('dbname', '')}"


def read_url(url: str) -> RedshiftUrl:
    """Raises UsageError, which never shows what may be a password."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    mine = {name: options.pop(name) for name in _OWN & options.keys()}
    query = "&".join(f"{quote(k)}={quote(v)}" for k, v in options.items())
    try:
        given = psycopg2.extensions.parse_dsn(parts._replace(scheme="postgresql", query=query).geturl())
    except psycopg2.ProgrammingError:
        # Without the driver's words: they may quote a piece of the password.
        raise UsageError(
            "the Redshift URL cannot be read", hint=f"use {_EXAMPLE}, with %40 for an @ in the password"
        ) from None
    bucket, prefix = _staging(mine.get("staging"))
    # Without a word about it nothing goes over the network in clear:
    # https://docs.aws.amazon.com/redshift/latest/mgmt/connecting-ssl-support.html
    return RedshiftUrl(
        {"port": _PORT, "sslmode": "require", **given}, bucket, prefix, _role(mine.get("iam_role")), mine.get("region")
    )


def _staging(place: str | None) -> tuple[str, str]:
    parts = urlsplit(place or "")
    if parts.scheme != "s3" or not parts.netloc:
        raise UsageError(
            "the Redshift URL does not say where on S3 to stage batches", hint=f"add &staging=s3://…: {_EXAMPLE}"
        )
    prefix = parts.path.strip("/")
    return parts.netloc, f"{prefix}/" if prefix else ""


def _role(text: str | None) -> str | None:
    if text == "default":
        return None
    if text is None or not _ROLES.fullmatch(text):
        raise UsageError(
            "the Redshift URL names no IAM role that may read the staging prefix",
            hint="add &iam_role=arn:aws:iam::123456789012:role/name, a chain of ARNs with commas and no blanks, "
            "or &iam_role=default",
        )
    return text


__all__ = ["RedshiftUrl", "read_url"]
