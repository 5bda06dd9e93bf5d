"""Reads a `redshift+data://` URL: which cluster or workgroup, as whom, and the options of ours in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from cdc_merge.errors import UsageError
from cdc_merge.warehouses.redshift_options import OWN, RedshiftOptions, options_of, read_options

FORM = (
    "redshift+data:///database?cluster=… (or workgroup=…)&db_user=… (or secret=…)"
    "&region=…&staging=s3://bucket/prefix/&iam_role=…"
)

_DEFAULT_TIMEOUT_SECONDS = 7200
_LONGEST_TIMEOUT_SECONDS = 86_400  # of any query: https://docs.aws.amazon.com/redshift/latest/mgmt/data-api.html

# What goes into each request, by the option that says it.
# https://docs.aws.amazon.com/redshift-data/latest/APIReference/API_ExecuteStatement.html
_FIELDS = {"cluster": "ClusterIdentifier", "workgroup": "WorkgroupName", "db_user": "DbUser", "secret": "SecretArn"}
_KNOWN = OWN | _FIELDS.keys() | {"timeout"}

_NAMES = {
    "cluster": re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*"),
    "workgroup": re.compile(r"[a-z0-9-]{3,63}|arn:aws[a-z-]*:redshift-serverless:\S+"),
}


@dataclass(frozen=True)
class RedshiftDataUrl:
    """`target`: the fields of a request that opens a session. `timeout`: seconds that one statement may run."""

    target: Mapping[str, str]
    options: RedshiftOptions
    timeout: int

    @property
    def name(self) -> str:
        """The URL without secret and options."""
        place = next(f"{option}={self.target[field]}" for option, field in _FIELDS.items() if field in self.target)
        return f"redshift+data:///{self.target['Database']}?{place}"


def read_data_url(url: str) -> RedshiftDataUrl:
    """Raises UsageError, which never shows what may be a password."""
    parts, given = urlsplit(url), options_of(url)
    if parts.netloc:
        # Without the URL: it may hold a password.
        raise _mistake(
            "the redshift+data URL names a host or a user, and the Data API has neither",
            "three slashes, then the database; name the cluster with ?cluster=… and the user with &db_user=…, "
            "or a secret that has the password with &secret=…",
        )
    database = unquote(parts.path.strip("/"))
    if not database or "/" in database:
        raise _mistake("the redshift+data URL names no database")
    if unknown := sorted(given.keys() - _KNOWN):
        known = ", ".join(sorted(_KNOWN))
        raise _mistake(f"the redshift+data URL has an unknown option: {', '.join(unknown)}", f"known: {known}")
    _check_place(given)
    target = {field: given[option] for option, field in _FIELDS.items() if given.get(option)}
    return RedshiftDataUrl({**target, "Database": database}, read_options(url), _timeout(given.get("timeout")))


def _check_place(given: Mapping[str, str]) -> None:
    places = [option for option in _NAMES if given.get(option)]
    if len(places) != 1:
        raise _mistake("the redshift+data URL must name a cluster or a workgroup, and not both")
    (place,) = places
    if not _NAMES[place].fullmatch(given[place]):
        raise _mistake(
            f"{given[place]!r} is not the identifier of a {place}",
            "write its name as the console shows it, without region and domain",
        )
    if given.get("db_user") and given.get("secret"):
        raise _mistake("the redshift+data URL has both db_user and secret", "keep one: a secret has its own user")
    if given.get("db_user") and place == "workgroup":
        # https://docs.aws.amazon.com/redshift/latest/mgmt/data-api.html#data-api-calling-considerations-authentication
        raise _mistake(
            "the Data API takes no db_user for a workgroup",
            "leave it out: the user is the IAM identity's (IAMR:role); or name a secret",
        )


def _timeout(text: str | None) -> int:
    if text is None:
        return _DEFAULT_TIMEOUT_SECONDS
    if not text.isdecimal() or not 0 < int(text) <= _LONGEST_TIMEOUT_SECONDS:
        raise _mistake(
            "the redshift+data URL's timeout must be seconds, and no more than a day", f"write &timeout={3600}"
        )
    return int(text)


def _mistake(message: str, hint: str | None = None) -> UsageError:
    return UsageError(message, hint=hint or f"use {FORM}")


__all__ = ["FORM", "RedshiftDataUrl", "read_data_url"]
