"""Reads a `redshift://` URL: where the cluster is, and the options of ours in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import psycopg2
import psycopg2.extensions

from cdc_merge.errors import UsageError
from cdc_merge.warehouses.redshift_options import OWN, RedshiftOptions, options_of, read_options

_PORT = "5439"  # https://docs.aws.amazon.com/redshift/latest/mgmt/managing-clusters-vpc.html


@dataclass(frozen=True)
class RedshiftUrl:
    """`connection`: the parameters of libpq."""

    connection: Mapping[str, str]
    options: RedshiftOptions

    @property
    def name(self) -> str:
        """The URL without password and options."""
        given = self.connection
        user = f"{given['user']}@" if "user" in given else ""
        return f"redshift://{user}{given.get('host', '')}:{given['port']}/{given.get('dbname', '')}"


def read_url(url: str) -> RedshiftUrl:
    """Raises UsageError, which never shows what may be a password."""
    options = read_options(url)
    query = "&".join(f"{quote(k)}={quote(v)}" for k, v in options_of(url).items() if k not in OWN)
    try:
        given = psycopg2.extensions.parse_dsn(urlsplit(url)._replace(scheme="postgresql", query=query).geturl())
    except psycopg2.ProgrammingError:
        # Without the driver's words: they may quote a piece of the password.
        raise UsageError(
            "the Redshift URL cannot be read",
            hint="use redshift://user:password@host:5439/database?…, with %40 for an @ in the password",
        ) from None
    # Without a word about it nothing goes over the network in clear:
    # https://docs.aws.amazon.com/redshift/latest/mgmt/connecting-ssl-support.html
    return RedshiftUrl({"port": _PORT, "sslmode": "require", **given}, options)


__all__ = ["RedshiftUrl", "read_url"]
