"""What a `redshift://` URL says beside the connection: where batches are staged on S3, and who may read them there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from cdc_merge.errors import UsageError
from cdc_merge.warehouses.tidying import Window, read_window

OWN = frozenset({"staging", "iam_role", "region", "vacuum"})

_EXAMPLE = "redshift://user:password@host:5439/database?staging=s3://bucket/prefix/&iam_role=arn:aws:iam::1:role/name"

# The role that Redshift takes, then the role that this one may take, and so on, without blanks.
# https://docs.aws.amazon.com/redshift/latest/mgmt/authorizing-redshift-service-chaining-roles.html
_ROLES = re.compile(
    r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+?(,arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=.@/-]+)*"
)


@dataclass(frozen=True)
class RedshiftOptions:
    """`iam_role`: one ARN, a chain of them, or None for the cluster's default.

    `region`: of the bucket, which must be the cluster's; None: as the environment says. `vacuum`: the hours in which
    tables are vacuumed; None: never by us.
    """

    bucket: str
    prefix: str  # ends in a slash, or is empty
    iam_role: str | None
    region: str | None
    vacuum: Window | None


def read_options(url: str) -> RedshiftOptions:
    """Raises UsageError, which never shows what may be a password."""
    given = options_of(url)
    vacuum = read_window(given["vacuum"]) if "vacuum" in given else None
    bucket, prefix = _staging(given.get("staging"))
    return RedshiftOptions(bucket, prefix, _role(given.get("iam_role")), given.get("region"), vacuum)


def options_of(url: str) -> Mapping[str, str]:
    """All options of a URL, also those of the driver."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def _staging(place: str | None) -> tuple[str, str]:
    parts = urlsplit(place or "")
    if parts.scheme != "s3" or not parts.netloc:
        raise UsageError(
            "the redshift URL does not say where on S3 to stage batches", hint=f"add &staging=s3://…: {_EXAMPLE}"
        )
    prefix = parts.path.strip("/")
    return parts.netloc, f"{prefix}/" if prefix else ""


def _role(text: str | None) -> str | None:
    if text == "default":
        return None
    if text is None or not _ROLES.fullmatch(text):
        raise UsageError(
            "the redshift URL names no IAM role that may read the staging prefix",
            hint="add &iam_role=arn:aws:iam::123456789012:role/name, a chain of ARNs with commas and no blanks, "
            "or &iam_role=default",
        )
    return text


__all__ = ["OWN", "RedshiftOptions", "options_of", "read_options"]
